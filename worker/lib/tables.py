"""Tables in CSV files (RFC 4180): rows with their line numbers, what cannot be read refused, rows joined by keys.

A file is read as UTF-8, with or without a byte-order mark. A row that cannot be read never takes the next ones with
it: after a stray quotation mark reading goes on in the next line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.lib.cells import Reference

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """A row that cannot be used."""

    file: str
    line: int
    """Where it begins, from 1; the header is line 1."""
    reason: str
    row: str
    """Its cells, as they came, on one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row that was read."""

    file: str
    line: int
    cells: Mapping[str, str]
    """By the text of a reference to the column; trimmed."""

    def refused(self, reason: str) -> Refusal:
        """The same row, as one that cannot be used."""
        return Refusal(self.file, self.line, reason, ",".join(self.cells.values()))


@dataclass(slots=True)
class Sheet:
    """A CSV file that was read."""

    file: str
    """Its name without the folder."""
    columns: tuple[str, ...] = ()
    """The header's names, trimmed; none in an empty file."""
    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def read(path: Path) -> Sheet:
    """Read a CSV file. Raises OSError where there is none to read."""
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    return read_text(text, path.name)


def read_text(text: str, file: str) -> Sheet:
    """Read the text of a CSV file; never raises."""
    sheet = Sheet(file)
    keys: list[str] = []
    # A lone carriage return ends a line too, as it did on old Macs.
    lines = [f"{line}\n" for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    for line, found in _records(lines):
        raw = lines[line - 1].rstrip("\n")
        if isinstance(found, str):
            sheet.refused.append(Refusal(file, line, found, raw))
            if not sheet.columns:
                break  # without a header nobody knows what the cells are
        elif not any(cell.strip() for cell in found):
            continue
        elif not sheet.columns:
            if _unfit(found):
                break
            sheet.columns = tuple(cell.strip() for cell in found)
            keys = [str(Reference((), column)) for column in sheet.columns]
        elif (reason := _unfit(found)) is not None:
            sheet.refused.append(Refusal(file, line, reason, raw))
        else:
            cells = {key: cell.strip() for key, cell in zip(keys, found, strict=True)}
            sheet.rows.append(Row(file, line, cells))
    return sheet


_SAID: Final = (
    # how the csv module puts it, how we do
    ("unexpected end of data", "a quotation mark that opens in this line is never closed"),
    ("',' expected after", "text goes on after a closing quotation mark"),
    ("field larger than", "a cell is longer than 131,072 characters"),
)


def _records(lines: Sequence[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Each row with the line where it begins, or the reason why it cannot be read."""
    width, begin = 0, 0
    while begin < len(lines):
        reader = csv.reader((lines[at] for at in range(begin, len(lines))), strict=True)
        first = begin
        try:
            for cells in reader:
                following = begin + reader.line_num
                width = width or len(cells)
                if len(cells) in {0, width}:
                    yield first + 1, cells
                else:
                    yield (
                        first + 1,
                        f"has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header has {width}",
                    )
                    if following > first + 1:
                        break  # a stray quotation mark has swallowed the lines that follow
                first = following
            else:
                return
        except csv.Error as error:
            said = str(error)
            yield first + 1, next((ours for theirs, ours in _SAID if theirs in said), said)
        begin = first + 1


def _unfit(cells: Sequence[str]) -> str | None:
    """Why no database would take these cells."""
    for cell in cells:
        if "\0" in cell:
            return "holds a zero byte"
        if not cell.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cell):
            return "is not UTF-8; save the file as CSV UTF-8"
    return None


# -- joining ----------------------------------------------------------------------------------------------------------


class Index:
    """The rows of a table by what some of its columns hold."""

    def __init__(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """`columns`: the texts of references to the table's own columns."""
        self._rows: dict[Key, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(tuple(row.cells[column] for column in columns), []).append(row)

    def find(self, key: Key) -> Sequence[Row]:
        """The rows of that key, in the order of the files; an empty key finds nothing."""
        return self._rows.get(key, ()) if all(key) else ()


# -- what was found in a table ----------------------------------------------------------------------------------------

EXAMPLES: Final = 3
"""How many lines are named for each thing that was found."""


@dataclass(slots=True)
class Tally:
    """How often something was found, and where, for example."""

    n: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.n += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class Findings:
    """What reading one table's files came to. Complete once all their rows have been gone through."""

    table: str
    files: tuple[str, ...] = ()
    rows: int = 0
    """Read, the refused ones included."""
    left_out: int = 0
    """Rows that the mapping does not want."""
    refused: list[Refusal] = field(default_factory=list)
    doubted: dict[str, Tally] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    """Different ones, by kind."""

    def doubt(self, what: str, row: Row, shown: str) -> None:
        """Count a row that is kept all the same."""
        self.doubted.setdefault(what, Tally()).add(f"{row.file}:{row.line}: {shown}")
