"""CSV files: another system's history, taken in by a mapping that a person writes in TOML (`docs/import.md`).

Format: RFC 4180 as https://docs.python.org/3/library/csv.html reads it, UTF-8.

Oddities. A file is an export: it shows rows as they stand on the day it was made, so a column may know what became
of a customer long after the date beside it. An id that ought to be unique need not be. Rows of several files belong
together, so a delivery carries, beside its rows' own cells, the joined cells that its mapping reads, and the mapping's
table itself: the same delivery gives the same facts, whatever has become of the files.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from integrations._csv_mapping import read_book, table_of
from integrations._csv_rules import Book, Join, Table, row_id, sighting
from worker.facts import Delivery, Parsed, Sighting
from worker.integration import Integration, Page, Settings
from worker.lib import toml
from worker.lib.cells import Cells, Reference
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.tables import Findings, Index, Row, Sheet
from worker.lib.tables import read as read_sheet

# -- settings ---------------------------------------------------------------------------------------------------------


class CsvSettings(Settings):
    """Nothing to set: the mapping says it all."""


CHUNK: Final = 1_000
"""Rows in a delivery, and so in a transaction: webhooks wait for it, and are to be answered within a second. Cut by line,
so that a file that has only grown repeats its earlier deliveries."""


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: Any = None) -> Parsed:
    """Give what a chunk of rows says. Raises ValueError for a body that is no chunk of ours."""
    body = json.loads(delivery.body)
    if not isinstance(body, dict) or not {"mapping", "time_zone", "table", "rules", "columns", "rows"} <= body.keys():
        raise ValueError("is no chunk of an imported file")
    table = _table(json.dumps(body["rules"]), body["table"], body["time_zone"])
    found: list[Sighting] = []
    refused: list[tuple[str, str]] = []
    for line, *texts in body["rows"]:
        try:
            one = sighting(
                body["mapping"], table, Cells(dict(zip(body["columns"], texts, strict=True))), delivery.received_at
            )
        except ValueError as error:
            refused.append((f"{body.get('file', '')}:{line}", str(error)))
        else:
            found += [one] if one else []
    return Parsed(tuple(_together(found)), refused=tuple(refused))


@lru_cache(maxsize=64)
def _table(rules: str, name: str, time_zone: str) -> Table:
    return table_of(json.loads(rules), name, time_zone)


def _together(found: Sequence[Sighting]) -> Iterator[Sighting]:
    """One sighting of what several rows say of the same customer."""
    same: dict[Any, list[Sighting]] = defaultdict(list)
    for one in found:
        same[one.identities, one.name, one.owner, one.people].append(one)
    for alike in same.values():
        yield replace(
            alike[0],
            since=min(one.since for one in alike),
            attributes=tuple(dict.fromkeys(attribute for one in alike for attribute in one.attributes)),
            facts=tuple(dict.fromkeys(fact for one in alike for fact in one.facts)),
        )


# -- reading files ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, ready to be stored, and what they say."""

    page: Page
    parsed: Parsed
    rows: int


@dataclass(slots=True)
class Reading:
    """Files that were read under a mapping."""

    source: str
    """The mapping's name."""
    book: Book
    sheets: Mapping[str, Sequence[Sheet]]
    """By the name of their table."""
    findings: dict[str, Findings] = field(default_factory=dict)
    """By the name of their table; complete once `chunks` has come to its end."""

    @property
    def rows(self) -> int:
        """How many rows there are to go through."""
        return sum(len(sheet.rows) for sheets in self.sheets.values() for sheet in sheets)

    def chunks(self, now: int) -> Iterator[Chunk]:
        """The rows in portions, table by table in the mapping's order, the files of a table by name.

        `now` is when they are taken in, epoch seconds.
        """
        self.findings.clear()
        joiner = _Joiner(self.book, self.sheets)
        for table in self.book.tables.values():
            if table.name in self.sheets:
                yield from _TablePass(self, table, joiner, now).chunks()


def read(mapping: Path, paths: Sequence[Path]) -> Reading:
    """Read a mapping, and the files it is to take: single ones, or those in a folder that it names.

    Raises Problems with every mistake in the mapping and everything the files lack.
    """
    document = toml.parse(_text(mapping), mapping.name)
    book, problems = read_book(document.data, mapping.name, document.line)
    sheets: dict[str, list[Sheet]] = {}
    for path, named in _files(paths):
        tables = [table for table in book.tables.values() if table.file and fnmatch(path.name, table.file)]
        if not tables and named:
            cure = "name it in the mapping, or leave it out: " + spell(
                path.name, [t.file for t in book.tables.values()]
            )
            problems.append(Problem(str(path), 0, "", "no table of the mapping takes this file", cure))
        for table in tables:
            try:
                sheets.setdefault(table.name, []).append(read_sheet(path))
            except OSError as error:
                reason = error.strerror or str(error)
                problems.append(Problem(str(path), 0, "", f"cannot be read: {reason}", "name a CSV file that is there"))
    problems += _lacking(book, sheets, mapping.name, document)
    if problems:
        raise Problems(problems)
    return Reading(book.name, book, sheets)


def _text(mapping: Path) -> str:
    try:
        return mapping.read_text("utf-8")
    except OSError as error:
        said = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        said = "is not UTF-8 text"
    raise Problems([Problem(str(mapping), 0, "", said, "name the TOML file with the mapping")])


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """The files, by name, each once; and whether a person named it (rather than its folder)."""
    found: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir():
            found |= {inner: False for inner in path.iterdir() if inner.is_file() and inner not in found}
        else:
            found[path] = True
    yield from sorted(found.items(), key=lambda item: (item[0].name, str(item[0])))


def _lacking(
    book: Book, sheets: Mapping[str, Sequence[Sheet]], file: str, document: toml.Document
) -> Iterator[Problem]:
    """What the mapping reads and the files do not have."""
    if not sheets and book.tables:
        names = ", ".join(table.file for table in book.tables.values())
        yield Problem(file, 0, "", "none of its files is there", f"name the files, or their folder: {names}")
    for name, found in sheets.items():
        for sheet in found:
            yield from _bad_header(sheet)
        for join in book.tables[name].joins.values():
            if join.table in book.tables and join.table not in sheets:
                yield Problem(
                    file, document.line(*join.path), ".".join(map(str, join.path)),
                    f"{name} is joined to {join.table}, whose file is not there",
                    f"name {book.tables[join.table].file} too",
                )  # fmt: skip
        for use in book.tables[name].uses:
            for one in use.references:
                where = book.resolve(book.tables[name], one)
                for sheet in sheets.get(where[0].name, ()) if where else ():
                    if where and sheet.columns and where[1] not in sheet.columns:
                        key = ".".join(map(str, use.path))
                        said = f"{sheet.file} has no column {where[1]!r}"
                        yield Problem(file, document.line(*use.path), key, said, spell(where[1], sheet.columns))


def _bad_header(sheet: Sheet) -> Iterator[Problem]:
    if not sheet.columns:
        yield Problem(
            sheet.file, 1, "", "has no header that can be read", "save it as CSV UTF-8 with column names on top"
        )
    for column in sorted({column for column in sheet.columns if column and sheet.columns.count(column) > 1}):
        yield Problem(sheet.file, 1, column, "two columns have the same name", "give each column a name of its own")


# -- rows -------------------------------------------------------------------------------------------------------------


class _Joiner:
    """Finds the rows that belong to a row."""

    def __init__(self, book: Book, sheets: Mapping[str, Sequence[Sheet]]) -> None:
        self.book = book
        self._rows = {name: [row for sheet in found for row in sheet.rows] for name, found in sheets.items()}
        self._indexes: dict[tuple[str, tuple[str, ...]], Index] = {}

    def rows(self, table: str) -> Sequence[Row]:
        return self._rows.get(table, ())

    def joined(self, join: Join, row: Row) -> Sequence[Row]:
        """The rows of another table that a row joins to."""
        theirs = tuple(other.key for _, other in join.on)
        if (join.table, theirs) not in self._indexes:
            self._indexes[join.table, theirs] = Index(self.rows(join.table), theirs)
        return self._indexes[join.table, theirs].find(tuple(row.cells[own.key] for own, _ in join.on))

    def cell(self, table: Table, row: Row, one: Reference) -> str:
        """What a reference leads to; empty where a join finds nothing. Of several rows the first speaks."""
        for name in one.joins:
            join = table.joins[name]
            rows = self.joined(join, row)
            if not rows:
                return ""
            table, row = self.book.tables[join.table], rows[0]
        return row.cells[_own(one.column)]


@lru_cache(maxsize=4_096)
def _own(column: str) -> str:
    """The key of a row's own column."""
    return Reference((), column).key


class _TablePass:
    """Goes through the rows of one table: what they say, what is wrong with them, in portions."""

    def __init__(self, reading: Reading, table: Table, joiner: _Joiner, now: int) -> None:
        sheets = reading.sheets[table.name]
        refused = [refusal for sheet in sheets for refusal in sheet.refused]
        self.reading, self.table, self.joiner, self.sheets, self.now = reading, table, joiner, sheets, now
        self.findings = reading.findings[table.name] = Findings(
            table.name,
            tuple(sheet.file for sheet in sheets),
            len(refused) + len(joiner.rows(table.name)),
            refused=refused,
        )
        told = table.read_by(
            "id", "customer", "identities", "at", "since", "where", "name", "owner", "facts", "attributes", "people"
        )
        self.kept = [one.key for one in told]
        self.far = [one for one in dict.fromkeys((*told, *table.read_by("doubts"))) if one.joins]
        self.plain = [table.joins[name] for name in dict.fromkeys(one.joins[0] for one in self.far)]
        self.some = list(dict.fromkeys(name for doubt in table.doubts.values() for name, _ in doubt.some))
        self.contents = self._contents()
        self.seen_rows: dict[str, tuple[str, ...]] = {}
        self.again: set[tuple[str, tuple[str, ...]]] = set()
        self.seen_facts: set[str] = set()
        self.rules = {key: value for key, value in table.raw.items() if key not in {"doubts", "unique"}}

    def _contents(self) -> dict[tuple[str, str], set[tuple[str, ...]]]:
        """What stands in the rows of each value of the columns that ought to be unique."""
        found: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
        for column in (one.key for one in self.table.unique):
            for row in self.joiner.rows(self.table.name):
                found[column, row.cells[column]].add(tuple(row.cells.values()))
        return found

    def chunks(self) -> Iterator[Chunk]:
        """The rows that tell something, in portions."""
        if self.table.customer is None:
            return
        for sheet in self.sheets:
            for at in range(0, len(sheet.rows), CHUNK):
                rows = sheet.rows[at : at + CHUNK]
                said = [(row, *found) for row in rows if (found := self._take(row)) is not None]
                yield self._chunk(sheet.file, rows[0].line, said, len(rows))

    def _chunk(self, file: str, first: int, said: Sequence[tuple[Row, Cells, Sighting]], rows: int) -> Chunk:
        body = json.dumps(
            {
                "mapping": self.reading.book.name, "time_zone": self.reading.book.time_zone, "table": self.table.name,
                "rules": self.rules, "file": file, "columns": self.kept,
                "rows": [[row.line, *(cells[key] for key in self.kept)] for row, cells, _ in said],
            },
            ensure_ascii=False, separators=(",", ":"),
        )  # fmt: skip
        parsed = Parsed(tuple(_together([one for _, _, one in said])))
        self._count(parsed)
        return Chunk(Page(f"{self.table.name}/{file}:{first}", body), parsed, rows)

    def _take(self, row: Row) -> tuple[Cells, Sighting] | None:
        """What a row says, with its cells; notes what is doubtful in it, or why it is refused."""
        far = {one.key: self.joiner.cell(self.table, row, one) for one in self.far}
        many = {
            name: [joined.cells for joined in self.joiner.joined(self.table.joins[name], row)] for name in self.some
        }
        cells = Cells({**row.cells, **far}, many)
        try:
            found = sighting(self.reading.source, self.table, cells, self.now)
        except ValueError as error:
            self.findings.refused.append(row.refused(str(error)))
            return None
        if found is None:
            self.findings.left_out += 1
            return None
        self._doubt(row, cells, row_id(self.table, cells))
        return cells, found

    def _doubt(self, row: Row, cells: Cells, key: str) -> None:
        doubt, content = self.findings.doubt, tuple(row.cells.values())
        if self.seen_rows.setdefault(key, content) != content:
            doubt("the same id with other content", row, key)
        elif (key, content) in self.again:
            doubt("the same row again", row, key)
        self.again.add((key, content))
        for column in (one.key for one in self.table.unique):
            if len(self.contents[column, row.cells[column]]) > 1:
                doubt(f"{column} that other rows have too", row, row.cells[column])
        for join in self.plain:
            self._doubt_join(row, join)
        for what, said in self.table.doubts.items():
            try:
                if said.of(cells):
                    doubt(what, row, key)
            except ValueError as error:
                doubt(f"{what}: cannot be checked", row, str(error))

    def _doubt_join(self, row: Row, join: Join) -> None:
        rows = self.joiner.joined(join, row)
        own = ", ".join(column.key for column, _ in join.on)
        shown = ", ".join(row.cells[column.key] or "(empty)" for column, _ in join.on)
        if not rows:
            self.findings.doubt(f"no row in {join.table} for its {own}", row, shown)
        elif len({tuple(one.cells.values()) for one in rows}) > 1:
            self.findings.doubt(f"several rows in {join.table} for its {own}", row, shown)

    def _count(self, parsed: Parsed) -> None:
        facts = self.findings.facts
        for fact in (fact for one in parsed.sightings for fact in one.facts):
            if fact.source_id not in self.seen_facts:
                self.seen_facts.add(fact.source_id)
                facts[fact.kind] = facts.get(fact.kind, 0) + 1


INTEGRATION: Final = Integration(
    name="csv",
    title="CSV files",
    does="history from any system's export, by a mapping",
    settings=CsvSettings,
    docs="https://www.rfc-editor.org/rfc/rfc4180",
    parse=parse,
)
