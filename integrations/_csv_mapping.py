"""The mapping of CSV files, read and checked: a TOML file in, rules out, every mistake at once.

Every table of the mapping says which file it reads, whose a row is, when it holds, and which facts, attributes and
people it tells of. What a row says of the past must have been known in the past: a column that tells how it went is
refused unless its table says from which date on it was known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfoNotFoundError

from integrations._csv_rules import AttributeRule, Book, FactRule, Join, Path, PersonRule, Table, Use
from worker.facts import KINDS, Kind, Shape, kind_named
from worker.lib import cells as cellsay
from worker.lib.cells import Cells, Moment, Reference, Said
from worker.lib.clock import zone
from worker.lib.problems import Problem
from worker.lib.shape import spell

T = TypeVar("T")
Line = Callable[..., int]
"""(path) -> the line of the mapping where that key stands; 0 where none can be named."""

OUTCOMES: Final = frozenset({
    "active", "attrition", "canceled", "cancellation", "cancelled", "churn", "churned", "departed", "downgrade",
    "downgraded", "exited", "lapsed", "lost", "outcome", "renewed", "retained", "upgrade", "upgraded", "won",
})  # fmt: skip
"""Words that mark a column which tells how it went, and not when."""


def read_book(data: Mapping[str, Any], file: str, line: Line) -> tuple[Book, list[Problem]]:
    """Read a mapping; gives as much of it as could be understood, and every mistake."""
    desk = _Desk(dict(data), file, line, (), [])
    desk.knows("name", "time_zone", "tables")
    book = Book(desk.text("name"), desk.text("time_zone", "UTC"))
    if book.name and not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", book.name):
        desk.say(f"{book.name!r} will not do", "small letters, digits, - and _, a letter first", "name")
    try:
        zone(book.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        desk.say(f"{book.time_zone!r} is no time zone", "write one like Europe/Berlin", "time_zone")
        book.time_zone = "UTC"
    for inner in desk.tables("tables", required=True):
        name = str(inner.path[-1])
        book.tables[name] = read_table(inner, name, book.time_zone)
    desk.problems += _astray(book, desk)
    desk.problems += _ahead_of_their_time(book, desk)
    return book, desk.problems


def table_of(data: Mapping[str, Any], name: str, time_zone: str) -> Table:
    """Read the one table that a delivery carries. Raises ValueError where it has mistakes."""
    desk = _Desk(dict(data), "the delivery", lambda *_: 0, ("tables", name), [])
    table = read_table(desk, name, time_zone)
    if desk.problems:
        raise ValueError("; ".join(str(problem) for problem in desk.problems))
    return table


class _Desk:
    """One table of the TOML on the reader's desk: reads its keys, notes what is wrong with them."""

    def __init__(self, data: dict[str, Any], file: str, line: Line, path: Path, problems: list[Problem]) -> None:
        self.data, self.file, self.line, self.path, self.problems = data, file, line, path, problems

    def say(self, message: str, cure: str, *key: str | int) -> None:
        """Note a mistake."""
        path = (*self.path, *key)
        self.problems.append(Problem(self.file, self.line(*path), ".".join(map(str, path)), message, cure))

    def knows(self, *keys: str) -> None:
        """Refuse every other key."""
        for key in self.data:
            if key not in keys:
                self.say("is no key of a mapping here", spell(key, keys), key)

    def has(self, key: str) -> bool:
        return key in self.data

    def text(self, key: str, default: str | None = None) -> str:
        """A text; one without a default must be there."""
        found = self.data.get(key, default)
        if found is None:
            self.say("is missing", "add it", key)
        elif not isinstance(found, str) or not found.strip():
            self.say(f"{found!r:.60} will not do", "write a text in quotes", key)
        else:
            return found.strip()
        return default or ""

    def texts(self, key: str) -> list[str]:
        """One text, or a list of them."""
        found = self.data.get(key, [])
        found = [found] if isinstance(found, str) else found
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
        self.say(f"{found!r:.60} will not do", "write a column, or a list of columns", key)
        return []

    def tables(self, key: str, *, required: bool = False) -> list[_Desk]:
        """The tables inside a table."""
        found = self.data.get(key, {})
        if not isinstance(found, dict) or (required and not found):
            self.say("is missing" if not found else f"{found!r:.60} will not do", f"write a table [{key}.<name>]", key)
            return []
        good = []
        for name, inner in found.items():
            if isinstance(inner, dict):
                good.append(_Desk(inner, self.file, self.line, (*self.path, key, name), self.problems))
            else:
                self.say(f"{inner!r:.60} will not do", "write a table", key, name)
        return good

    def items(self, key: str) -> list[_Desk]:
        """The tables of a list `[[…]]`."""
        found = self.data.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self.say("will not do", f"write each one under [[{'.'.join(map(str, (*self.path, key)))}]]", key)
            return []
        return [_Desk(one, self.file, self.line, (*self.path, key, at), self.problems) for at, one in enumerate(found)]

    def pairs(self, key: str) -> dict[str, str]:
        """A table of texts."""
        found = self.data.get(key, {})
        if isinstance(found, dict) and all(isinstance(one, str) for one in found.values()):
            return found
        self.say("will not do", f'write {key} = {{ this = "that" }}', key)
        return {}

    def said(self, text: Any, understand: Callable[[str], T], *key: str | int) -> T | None:
        """Understand a text of the cells' language."""
        if not isinstance(text, str):
            self.say(f"{text!r:.60} will not do", "write a text in quotes", *key)
            return None
        try:
            return understand(text)
        except ValueError as error:
            self.say(str(error), "a column's name that is not one plain word stands in brackets: [Order Date]", *key)
            return None


def read_table(desk: _Desk, name: str, zone_name: str) -> Table:
    """Read one table; what is wrong with it goes into the desk's problems."""
    return _TableReader(desk, name, zone_name).read()


class _TableReader:
    """Reads one table of a mapping."""

    def __init__(self, desk: _Desk, name: str, zone_name: str) -> None:
        self.desk, self.zone = desk, zone_name
        self.table = Table(name, raw=desk.data)

    def read(self) -> Table:
        desk, table = self.desk, self.table
        desk.knows(
            "file", "id", "customer", "identities", "at", "since", "where", "name", "owner", "facts", "attributes",
            "people", "joins", "known_at", "unique", "doubts",
        )  # fmt: skip
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", table.name):
            desk.say("will not do as a table's name", "small letters, digits, - and _, a letter first")
        table.file = desk.text("file")
        for column, date in self._columns(desk, "known_at"):
            table.known_at[column.column] = date.column
            self._use(desk, (column, date), "known_at", str(column))
        table.unique = self._references("unique")
        self._joins()
        self._doubts()
        if any(desk.has(key) for key in ("customer", "facts", "attributes", "people")):
            self._what_it_says()
        return table

    # parts of a table

    def _what_it_says(self) -> None:
        desk, table = self.desk, self.table
        table.id = self._references("id")
        if not table.id:
            desk.say("is missing", "name the column, or the columns, that tell one row from another", "id")
        table.customer = self._reference("customer")
        table.at = self._moment(desk, "at")
        table.since = self._moment(desk, "since", required=False)
        dated = table.at.base if table.at else None
        table.where = self._condition(desk, "where", dated)
        table.named = self._text(desk, "name", dated) if desk.has("name") else None
        table.owner = self._text(desk, "owner", dated) if desk.has("owner") else None
        table.identities = tuple(
            (source, one)
            for source, text in desk.pairs("identities").items()
            if (one := desk.said(text, cellsay.reference, "identities", source))
        )
        self._use(desk, tuple(one for _, one in table.identities), "identities")
        table.attributes = _understood(map(self._attribute, desk.items("attributes")))
        table.people = _understood(map(self._person, desk.items("people")))
        facts = [(inner, self._fact(inner)) for inner in desk.items("facts")]
        table.facts = _understood(rule for _, rule in facts)
        steps: set[tuple[str, str]] = set()
        for inner, rule in facts:
            if rule and (rule.kind, rule.step) in steps:
                inner.say(f"is a second fact {rule.step!r} of one row", 'tell them apart: step = "…"')
            steps |= {(rule.kind, rule.step)} if rule else set()

    def _fact(self, desk: _Desk) -> FactRule | None:
        desk.knows("kind", "step", "at", "opens", "closes", "known_at", "value", "label", "where")
        kind = self._kind(desk)
        moments, base = self._moments(desk, kind)
        known_at = self._moment(desk, "known_at", required=False)
        dated = known_at.base if known_at else base
        where = self._condition(desk, "where", dated)
        value = self._amount(desk, dated)
        label = self._text(desk, "label", dated) if desk.has("label") else _constant("")
        if kind is None or value is None or label is None or not moments:
            return None
        return FactRule(kind.name, desk.text("step", kind.name), where, value, label, moments, known_at)

    def _kind(self, desk: _Desk) -> Kind | None:
        name = desk.text("kind")
        try:
            return kind_named(name) if name else None
        except KeyError:
            cure = f"{spell(name, KINDS)} A kind of your own begins with custom."
            desk.say(f"{name!r} is no kind of fact", cure, "kind")
            return None

    def _moments(
        self, desk: _Desk, kind: Kind | None
    ) -> tuple[tuple[tuple[str, int, Moment, bool], ...], Reference | None]:
        """When its facts happen, and the date that what they say becomes history at."""
        if not desk.has("opens") and not desk.has("closes"):
            at = self._moment(desk, "at") if desk.has("at") else self.table.at
            return ((("", 1, at, False),), at.base) if at else ((), None)
        if desk.has("at"):
            desk.say("stands beside opens and closes", "what opens and closes has no other date; take it out", "at")
        if kind is not None and kind.shape is not Shape.OPEN and kind.name in KINDS:
            opening = ", ".join(sorted(one.name for one in KINDS.values() if one.shape is Shape.OPEN))
            desk.say(f"{kind.name} does not stay open", f"date it with at; what opens and closes: {opening}", "opens")
        opens = self._moment(desk, "opens")
        closes = self._moment(desk, "closes", required=False)
        if opens is None:
            return (), None
        ends = ((":closed", -1, closes, True),) if closes else ()
        return ((":opened", 1, opens, False), *ends), opens.base

    def _attribute(self, desk: _Desk) -> AttributeRule | None:
        desk.knows("at", "where", "columns")
        at = self._moment(desk, "at") if desk.has("at") else self.table.at
        dated = at.base if at else None
        where = self._condition(desk, "where", dated)
        columns = desk.data.get("columns")
        if not isinstance(columns, dict) or not columns:
            desk.say("is missing", 'name the attributes: columns = { country = "country" }', "columns")
            return None
        inner = _Desk(columns, desk.file, desk.line, (*desk.path, "columns"), desk.problems)
        values = tuple((name, said) for name in columns if (said := self._text(inner, name, dated)))
        return AttributeRule(at, where, values) if at else None

    def _person(self, desk: _Desk) -> PersonRule | None:
        desk.knows("email", "name", "role")
        email = self._text(desk, "email", None)
        name = self._text(desk, "name", None) if desk.has("name") else _constant("")
        role = self._text(desk, "role", None) if desk.has("role") else _constant("user")
        return PersonRule(email, name, role) if email and name and role else None

    def _joins(self) -> None:
        for desk in self.desk.tables("joins"):
            desk.knows("table", "on")
            name = str(desk.path[-1])
            on = self._columns(desk, "on")
            if not on:
                desk.say("is missing", 'say which columns meet: on = { account_id = "account_id" }', "on")
            if not re.fullmatch(r"[^\W\d]\w*", name):
                desk.say("will not do as a join's name", "write one plain word")
            self.table.joins[name] = Join(desk.text("table"), tuple(on), desk.path)
            self._use(desk, tuple(own for own, _ in on), "on")
            self._use(desk, tuple(Reference((name,), theirs.column) for _, theirs in on), "on")

    def _doubts(self) -> None:
        for what, text in self.desk.pairs("doubts").items():
            said = self.desk.said(text, lambda text: cellsay.condition(text, self.zone), "doubts", what)
            if said:
                self.table.doubts[what] = said
                self._use(self.desk, said.references, "doubts", what)
                for name, inside in said.some:
                    self._looked_through(name, inside, what)

    def _looked_through(self, name: str, inside: tuple[Reference, ...], what: str) -> None:
        """Check the "some … has" of a doubt."""
        if name not in self.table.joins:
            self.desk.say(
                f"looks through {name!r}, a join that is not there", spell(name, self.table.joins), "doubts", what
            )
            return
        for one in inside:
            if len(one.joins) > 1:
                cure = "only the looked-through rows' own columns can be asked there"
                self.desk.say(f"{one} leads on from {name}", cure, "doubts", what)
        self._use(self.desk, tuple(one for one in inside if len(one.joins) == 1), "doubts", what, many=True)

    # words of a table

    def _use(
        self, desk: _Desk, read: tuple[Reference, ...], *key: str, dated_by: Reference | None = None, many: bool = False
    ) -> None:
        self.table.uses.append(Use((*desk.path, *key), read, dated_by, many))

    def _columns(self, desk: _Desk, key: str) -> list[tuple[Reference, Reference]]:
        """Pairs of columns, none of them a joined row's."""
        pairs = (
            (desk.said(one, cellsay.own_column, key, one), desk.said(other, cellsay.own_column, key, one))
            for one, other in desk.pairs(key).items()
        )
        return [(one, other) for one, other in pairs if one and other]

    def _reference(self, key: str) -> Reference | None:
        text = self.desk.text(key)
        found = self.desk.said(text, cellsay.reference, key) if text else None
        if found:
            self._use(self.desk, (found,), key)
        return found

    def _references(self, key: str) -> tuple[Reference, ...]:
        found = tuple(one for text in self.desk.texts(key) if (one := self.desk.said(text, cellsay.reference, key)))
        self._use(self.desk, found, key)
        return found

    def _moment(self, desk: _Desk, key: str, *, required: bool = True) -> Moment | None:
        if not required and not desk.has(key):
            return None
        text = desk.text(key)
        said = desk.said(text, lambda text: cellsay.moment(text, self.zone), key) if text else None
        if said:
            self._use(desk, said.references, key)
        return said

    def _condition(self, desk: _Desk, key: str, dated_by: Reference | None) -> Said[bool] | None:
        if not desk.has(key):
            return None
        said = desk.said(desk.data[key], lambda text: cellsay.condition(text, self.zone), key)
        if said and said.some:
            desk.say("'some … has' looks through other rows", "it is for doubts only", key)
        if said:
            self._use(desk, said.references, key, dated_by=dated_by)
        return said

    def _amount(self, desk: _Desk, dated_by: Reference | None) -> Said[Decimal] | None:
        """A number, arithmetic over cells, or `{ column = "…", values = { good = 1 } }`."""
        found = desk.data.get("value", 1)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return _constant(Decimal(str(found))) if _fits(found) else desk.said(found, _never, "value")
        if not isinstance(found, dict):
            said = desk.said(found, cellsay.amount, "value")
            if said:
                self._use(desk, said.references, "value", dated_by=dated_by)
            return said
        inner = _Desk(found, desk.file, desk.line, (*desk.path, "value"), desk.problems)
        inner.knows("column", "values")
        values = found.get("values")
        if not isinstance(values, dict) or not all(_fits(one) for one in values.values()):
            inner.say("will not do", "write values = { good = 1, bad = 0 }", "values")
            return None
        return self._from_map(inner, {text: Decimal(str(one)) for text, one in values.items()}, "values", dated_by)

    def _text(self, desk: _Desk, key: str, dated_by: Reference | None) -> Said[str] | None:
        """A column, `{ column = "…", labels = { from = "to" } }`, or `{ is = "constant" }`."""
        found = desk.data.get(key)
        if not isinstance(found, dict):
            text = desk.text(key)
            one = desk.said(text, cellsay.reference, key) if text else None
            if one is None:
                return None
            self._use(desk, (one,), key, dated_by=dated_by)
            name = str(one)
            return Said(lambda cells: cells.get(name, ""), (one,))
        inner = _Desk(found, desk.file, desk.line, (*desk.path, key), desk.problems)
        inner.knows("column", "labels", "is")
        if inner.has("is"):
            if inner.has("column"):
                inner.say("stands beside is", "a constant is no column; keep one of the two", "column")
            return _constant(inner.text("is"))
        return self._from_map(inner, dict(inner.pairs("labels")), "labels", dated_by)

    def _from_map(self, desk: _Desk, entries: dict[str, T], key: str, dated_by: Reference | None) -> Said[T] | None:
        text = desk.text("column")
        one = desk.said(text, cellsay.reference, "column") if text else None
        if not entries:
            desk.say("is missing", f'write {key} = {{ "what stands there" = … }}', key)
        if one is None or not entries:
            return None
        self._use(desk, (one,), "column", dated_by=dated_by)
        name = str(one)

        def mapped(cells: Cells) -> T:
            found = cells.get(name, "")
            if found in entries:
                return entries[found]
            if "otherwise" in entries:
                return entries["otherwise"]
            raise ValueError(f"{name} is {found!r:.60}, which {key} in the mapping do not name")

        return Said(mapped, (one,))


def _understood(found: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(one for one in found if one is not None)


def _constant(value: T) -> Said[T]:
    return Said(lambda _: value)


def _fits(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) <= 10**12


def _never(text: str) -> Said[Decimal]:
    raise ValueError(f"{text} is out of bounds")


# -- checks over the whole mapping ------------------------------------------------------------------------------------


def _astray(book: Book, desk: _Desk) -> Iterator[Problem]:
    """References and joins that lead nowhere."""
    for table in book.tables.values():
        for join in table.joins.values():
            if join.table and join.table not in book.tables:
                yield _problem(
                    desk, (*join.path, "table"), f"there is no table {join.table!r}", spell(join.table, book.tables)
                )
        for use in table.uses:
            for one in use.references:
                missing = _missing_join(book, table, one)
                if missing:
                    yield _problem(desk, use.path, f"{one} uses a join {missing[0]!r} that is not there", missing[1])


def _missing_join(book: Book, table: Table, one: Reference) -> tuple[str, str] | None:
    for name in one.joins:
        if name not in table.joins:
            joins = spell(name, table.joins) if table.joins else f"add [tables.{table.name}.joins.{name}]"
            return name, joins
        if table.joins[name].table not in book.tables:
            return None  # told where the join stands
        table = book.tables[table.joins[name].table]
    return None


def _ahead_of_their_time(book: Book, desk: _Desk) -> Iterator[Problem]:
    """Columns that would tell the past what only the future knew."""
    for table in book.tables.values():
        for use in table.uses:
            for one in use.references if use.dated_by else ():
                found = book.resolve(table, one)
                if found is None:
                    continue
                known_at = found[0].known_at.get(found[1])
                if known_at and Reference(one.joins, known_at) != use.dated_by:
                    date = Reference(one.joins, known_at)
                    yield _problem(
                        desk, use.path, f"{one} became known on {date}, but this is dated {use.dated_by}",
                        f'date it {date}' + (f', or add known_at = "{date}"' if "facts" in use.path else ""),
                    )  # fmt: skip
                elif not known_at and OUTCOMES & set(re.split(r"[^a-z]+", _snake(found[1]))):
                    yield _problem(
                        desk, use.path,
                        f"{one} tells how it went but not when: dated {use.dated_by}, it would be known before it happened",
                        "take a table that dates what happened; or, where this one does, say so: "
                        f"[tables.{found[0].name}] known_at = {{ {found[1]} = \"<the date column>\" }}",
                    )  # fmt: skip


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _problem(desk: _Desk, path: Path, message: str, cure: str) -> Problem:
    return Problem(desk.file, desk.line(*path), ".".join(map(str, path)), message, cure)
