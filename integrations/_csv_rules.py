"""The mapping of CSV files, understood: its tables, their rules, and what a row says under them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from worker.facts import Attribute, Fact, Identity, Person, Sighting, millionths
from worker.lib.cells import Cells, Moment, Reference, Said

Path = tuple[str | int, ...]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]*")

ROLES: Final = ("main", "billing", "user", "champion")


@dataclass(frozen=True, slots=True)
class Use:
    """A place of the mapping that reads cells."""

    path: Path
    references: tuple[Reference, ...]
    dated_by: Reference | None = None
    """The date at which what they say becomes history; None where they do not become history."""
    many: bool = False
    """Whether all rows of the join are looked through: "some … has"."""


@dataclass(frozen=True, slots=True)
class Join:
    """How a row finds its row in another table."""

    table: str
    on: tuple[tuple[Reference, Reference], ...]
    """(own column, the other table's column)."""
    path: Path


@dataclass(frozen=True, slots=True)
class FactRule:
    """A kind of fact that a row tells of."""

    kind: str
    step: str
    where: Said[bool] | None
    value: Said[Decimal]
    label: Said[str]
    moments: tuple[tuple[str, int, Moment, bool], ...]
    """(transition, sign, moment, whether an empty date means that it has not happened)."""
    known_at: Moment | None


@dataclass(frozen=True, slots=True)
class AttributeRule:
    """Attributes of one date."""

    at: Moment
    where: Said[bool] | None
    values: tuple[tuple[str, Said[str]], ...]


@dataclass(frozen=True, slots=True)
class PersonRule:
    """A person that a row names."""

    email: Said[str]
    name: Said[str]
    role: Said[str]


@dataclass(slots=True)
class Table:
    """One kind of file, and what its rows say."""

    name: str
    file: str = ""
    id: tuple[Reference, ...] = ()
    customer: Reference | None = None
    """None for a table that is only joined."""
    identities: tuple[tuple[str, Reference], ...] = ()
    at: Moment | None = None
    since: Moment | None = None
    where: Said[bool] | None = None
    named: Said[str] | None = None
    owner: Said[str] | None = None
    facts: tuple[FactRule, ...] = ()
    attributes: tuple[AttributeRule, ...] = ()
    people: tuple[PersonRule, ...] = ()
    joins: dict[str, Join] = field(default_factory=dict)
    known_at: dict[str, str] = field(default_factory=dict)
    """column -> the column with the date from which on its content was known."""
    unique: tuple[Reference, ...] = ()
    doubts: dict[str, Said[bool]] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    """As it is written; what a delivery of its rows carries."""

    def read_by(self, *parts: str) -> list[Reference]:
        """The cells of single rows that these parts of the table read, each once."""
        uses = (use for use in self.uses if use.path[2] in parts and not use.many)
        return list(dict.fromkeys(one for use in uses for one in use.references))


@dataclass(slots=True)
class Book:
    """A whole mapping."""

    name: str = ""
    time_zone: str = "UTC"
    tables: dict[str, Table] = field(default_factory=dict)

    def resolve(self, table: Table, one: Reference) -> tuple[Table, str] | None:
        """The table and column that a reference leads to; None where a join on the way does not exist."""
        for name in one.joins:
            join = table.joins.get(name)
            if join is None or join.table not in self.tables:
                return None
            table = self.tables[join.table]
        return table, one.column


# -- from a row to a sighting -----------------------------------------------------------------------------------------


def sighting(source: str, table: Table, cells: Cells, seen_at: int) -> Sighting | None:
    """What a row says; None where `where` leaves it out. Raises ValueError with the reason why it cannot be used.

    `seen_at` is when its file was taken in, epoch seconds: a later export speaks louder, whatever its dates.
    """
    assert table.customer is not None
    assert table.at is not None
    if table.where is not None and not table.where.of(cells):
        return None
    own = cells.get(table.customer.key, "")
    if not own:
        missing = ": nothing was joined" if table.customer.joins else ""
        raise ValueError(f"{table.customer} is empty{missing}, so nobody knows whose row it is")
    links = ((place, cells.get(one.key, "")) for place, one in table.identities)
    since = table.since
    if since is None or not cells.get(since.base.key, ""):
        since = table.at
    return Sighting(
        at=seen_at,
        since=since.of(cells),
        identities=(Identity(source, own), *(Identity(place, text) for place, text in links if text)),
        name=table.named.of(cells) if table.named else "",
        owner=table.owner.of(cells) if table.owner else "",
        people=tuple(_people(table, cells)),
        attributes=tuple(_attributes(table, cells)),
        facts=tuple(_facts(source, table, cells)),
    )


def row_id(table: Table, cells: Mapping[str, str]) -> str:
    """What makes a row the same row: `usage/U-1/S-7`. Raises ValueError where nothing is in it."""
    parts = [cells.get(one.key, "") for one in table.id]
    if not any(parts):
        raise ValueError(f"{', '.join(map(str, table.id))} is empty, so the row has no id")
    return "/".join([table.name, *(part if _PLAIN.fullmatch(part) else quote(part, safe=" ()@+,") for part in parts)])


def _people(table: Table, cells: Cells) -> Iterator[Person]:
    for rule in table.people:
        email, role = rule.email.of(cells), rule.role.of(cells)
        if not email:
            continue
        if "@" not in email:
            raise ValueError(f"{email!r:.60} is no e-mail address")
        if role not in ROLES:
            raise ValueError(f"{role!r:.60} is no role; the roles are {', '.join(ROLES)}")
        yield Person(email, rule.name.of(cells), role)


def _attributes(table: Table, cells: Cells) -> Iterator[Attribute]:
    for rule in table.attributes:
        if rule.where is None or rule.where.of(cells):
            found = [(name, text) for name, said in rule.values if (text := said.of(cells))]
            at = rule.at.of(cells) if found else 0
            yield from (Attribute(name, text, at) for name, text in found)


def _facts(source: str, table: Table, cells: Cells) -> Iterator[Fact]:
    whose = row_id(table, cells)
    for rule in table.facts:
        if rule.where is not None and not rule.where.of(cells):
            continue
        value, label = millionths(str(rule.value.of(cells))), rule.label.of(cells)
        known_at = rule.known_at.of(cells) if rule.known_at else 0
        for transition, sign, moment, may_be_empty in rule.moments:
            if may_be_empty and not cells.get(moment.base.key, ""):
                continue
            at = moment.of(cells)
            yield Fact(
                rule.kind, at, source, f"{whose}:{rule.step}{transition}", sign * value, label,
                known_at if known_at > at else 0,
            )  # fmt: skip
