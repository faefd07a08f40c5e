"""The colours that a business gives its customers today, kept beside ours, to see where the two agree.

They come from a CSV file or from the CRM's tags, once or again and again; each import takes the place of the one before.
Nothing is guessed: a row that names no customer, or several, or no colour of the card, is listed and left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from worker.assess import shown_score
from worker.lib import tables
from worker.lib.cells import Reference
from worker.lib.clock import iso, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.store import sql
from worker.report import find_customer
from worker.scoring import explain, records
from worker.scoring.card import GREY
from worker.workspace import Workspace

CUSTOMER: Final = ("customer", "customer id", "id", "email", "e mail", "name", "company", "keap id", "contact id")
COLOUR: Final = ("colour", "color", "band", "health", "status")
"""What the two columns are called in most files; the first that is there counts, and `--customer` says otherwise."""
APART: Final = 2
"""Steps between two bands that are worth a look."""


@dataclass
class Imported:
    """What came of an import."""

    rows: int = 0
    given: dict[str, int] = field(default_factory=dict)
    """colour -> customers."""
    doubtful: list[str] = field(default_factory=list)
    """One line each: where it stands, and why it was left out."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A colour as somebody gave it."""

    place: str
    """Where it stands, for people: `today.csv:12`."""
    customer: str
    """As it was written; `keap:12` for a contact of the CRM."""
    colour: str


# -- in ---------------------------------------------------------------------------------------------------------------


def import_file(
    workspace: Workspace, path: Path, *, customer: str = "", colour: str = "", words: Mapping[str, str] | None = None
) -> Imported:
    """Take in a CSV file: one customer a row. `customer` and `colour` name its columns where theirs are unusual;
    `words` is {what the file says: our band}. Raises Problems for a file that cannot be read, or lacks a column.
    """
    try:
        sheet = tables.read(path)
    except OSError as error:
        raise Problems([Problem(path.name, 0, "", f"cannot be read: {error.strerror or error}")]) from None
    who = _column(sheet, customer, CUSTOMER, "--customer")
    what = _column(sheet, colour, COLOUR, "--colour")
    keap = "keap" in who.casefold() or "contact" in who.casefold()
    rows = [
        _Given(
            f"{row.file}:{row.line}", _named(row.cells[str(Reference((), who))], workspace.crm_source if keap else ""),
            row.cells[str(Reference((), what))],
        )
        for row in sheet.rows
    ]  # fmt: skip
    refused = [f"{one.file}:{one.line}: {one.reason}" for one in sheet.refused]
    return _take(workspace, rows, words or {}, path.name, refused)


def import_tags(workspace: Workspace, tags: Mapping[str, str]) -> Imported:
    """Take in what the CRM's contacts carry: `tags` is {tag's id: our band}."""
    source = workspace.crm_source
    rows = [
        _Given(f"{source} contact {row['contact_id']}", f"{source}:{row['contact_id']}", tag)
        for row in workspace.store.rows(sql("changing", "tagged"), {"source": source})
        for tag in json.loads(row["tags"])
        if tag in tags
    ]
    return _take(workspace, rows, tags, f"{source} tags", [])


def _column(sheet: tables.Sheet, asked: str, usual: Iterable[str], option: str) -> str:
    by_name = {_plain(name): name for name in sheet.columns}
    for name in [asked] if asked else usual:
        if _plain(name) in by_name:
            return by_name[_plain(name)]
    message = f"there is no column {asked!r}" if asked else "nobody can tell which column this is"
    cure = f"name one with {option}: {', '.join(sheet.columns) or 'the file is empty'}"
    raise Problems([Problem(sheet.file, 1, "", message, cure)])


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _named(word: str, source: str) -> str:
    return f"{source}:{word}" if source and word.isdigit() else word


def _take(
    workspace: Workspace, rows: Iterable[_Given], words: Mapping[str, str], source: str, doubtful: list[str]
) -> Imported:
    """Find whose each colour is, and keep them all in place of those before. Nothing is kept where none can be."""
    bands = workspace.card.order
    says = {name.casefold(): name for name in bands} | {word.casefold(): band for word, band in words.items()}
    for word, band in words.items():
        if band not in bands:
            raise Problems([Problem(word, 0, "", f"{band!r} is no band of the scorecard", spell(band, bands))])
    done = Imported(doubtful=doubtful)
    found: dict[str, list[tuple[_Given, str]]] = {}
    for row in rows:
        done.rows += 1
        said = row.colour.strip().casefold()
        if said not in says:
            done.doubtful.append(f"{row.place}: {row.colour!r} is no band of the scorecard; {spell(row.colour, says)}")
            continue
        try:
            customer_id = find_customer(workspace.store, row.customer, by_beginning=False)
        except Problems as problems:
            done.doubtful += [f"{row.place}: {one.message}" for one in problems.problems]
            continue
        found.setdefault(customer_id, []).append((row, says[said]))
    now, kept = seconds(workspace.clock), {}
    for customer_id, given in found.items():
        colours = {band for _, band in given}
        if len(colours) > 1:
            places = ", ".join(f"{row.place} {band}" for row, band in given)
            done.doubtful.append(f"one customer with several colours: {places}")
        else:
            kept[customer_id] = colours.pop()
    if kept:
        with workspace.store.atomic():
            workspace.store.run(sql("changing", "drop_colours"))
            binds = [
                {"customer_id": one, "colour": colour, "at": now, "source": source} for one, colour in kept.items()
            ]
            workspace.store.many(sql("changing", "give_colour"), binds)
    counts = Counter(kept.values())
    done.given = {band: counts[band] for band in bands if counts[band]}
    return done


# -- side by side -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Apart:
    """A customer about whom the two are two steps or more apart."""

    customer_id: str
    name: str
    given: str
    ours: str
    score: str
    why: tuple[str, ...]
    """The drivers, in words."""


@dataclass(frozen=True)
class SideBySide:
    """Given colours against ours."""

    source: str
    as_of: str
    """When they were imported; "" before any import."""
    bands: tuple[str, ...]
    """Ours, best first, and grey."""
    matrix: dict[str, dict[str, int]]
    """given -> ours -> customers."""
    compared: int
    """Customers of whom both say something."""
    agreeing: int
    unknown: int
    """Customers with a given colour of whom we know too little, or nothing yet."""
    apart: tuple[Apart, ...]
    """Those further apart first."""

    @property
    def share(self) -> int:
        """Of those compared, how many percent agree."""
        return round(100 * self.agreeing / self.compared) if self.compared else 0


def side_by_side(workspace: Workspace) -> SideBySide:
    """Hold the given colours against the bands in which everybody stands now."""
    order = workspace.card.order
    rows = [one for one in workspace.store.rows(sql("changing", "given_colours")) if one["colour"] in order]
    ours = (*order, GREY)
    matrix = {given: dict.fromkeys(ours, 0) for given in order}
    for row in rows:
        matrix[row["colour"]][row["band"] if row["band"] in order else GREY] += 1
    known = [one for one in rows if one["band"] in order]
    agreeing = sum(one["band"] == one["colour"] for one in known)
    far = [one for one in known if abs(order.index(one["band"]) - order.index(one["colour"])) >= APART]
    far.sort(key=lambda one: (-abs(order.index(one["band"]) - order.index(one["colour"])), one["name"]))
    first = rows[0] if rows else None
    return SideBySide(
        first["source"] if first else "", iso(first["at"]) if first else "", ours, matrix, len(known), agreeing,
        len(rows) - len(known), tuple(_apart(workspace, far)),
    )  # fmt: skip


def _apart(workspace: Workspace, rows: list[dict[str, Any]]) -> Iterator[Apart]:
    scores = records.latest_scores(workspace.store, [one["customer_id"] for one in rows])
    for row in rows:
        score = scores.get(row["customer_id"])
        current = score is not None and workspace.deck.card_of(score.version) is not None
        yield Apart(
            row["customer_id"], row["name"], row["colour"], row["band"],
            shown_score(score.assessment) if score else "",
            tuple(_why(workspace, score)) if score and current else (),
        )  # fmt: skip


def _why(workspace: Workspace, score: records.Score) -> Iterator[str]:
    card = workspace.card_of(score.version)
    yield from explain.rules_in_words(card, score.assessment)
    for driver in score.assessment.drivers:
        yield explain.driver_in_words(card, score.assessment, driver)
