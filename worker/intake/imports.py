"""Taking files in: their rows become deliveries, what the rows say becomes facts, and what is odd about them is told.

An integration reads and joins the files; here they are stored. All of it can be done again: a portion of rows that
was taken in before is the same delivery, and the same fact from another portion is one fact.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from worker.facts import Parsed
from worker.intake.inbox import Taken, take_in
from worker.intake.pull import store_raw
from worker.integration import Page
from worker.lib.store import Store, sql
from worker.lib.tables import Findings, Refusal

STREAM: Final = "import"
"""The stream of every delivery that comes from a file; its source is the mapping's name."""

SHOWN: Final = 5
"""How many refused rows the report prints; the file beside it has them all."""


class Chunk(Protocol):
    """A portion of rows."""

    @property
    def page(self) -> Page:
        """What is stored of it."""

    @property
    def parsed(self) -> Parsed:
        """What it says."""

    @property
    def rows(self) -> int:
        """How many rows it stands for."""


class Reading(Protocol):
    """Files that an integration has read and found fit to be taken in."""

    @property
    def source(self) -> str:
        """Where they come from."""

    @property
    def rows(self) -> int:
        """How many rows they have."""

    @property
    def findings(self) -> Mapping[str, Findings]:
        """What was found in them, by table; complete after the last chunk."""

    def chunks(self, now: int) -> Iterator[Chunk]:
        """Their rows in portions, always in the same order; `now` is when they are taken in."""


@dataclass
class Report:
    """What came of an import."""

    source: str
    findings: Mapping[str, Findings]
    taken: Taken = field(default_factory=Taken)
    """What was new in it; `facts` counts those that were not there before."""
    repeated: int = 0
    """Deliveries that had been taken in before."""

    @property
    def rows(self) -> int:
        """Rows read."""
        return sum(one.rows for one in self.findings.values())

    @property
    def facts(self) -> int:
        """Facts that the files tell, new or not."""
        return sum(n for one in self.findings.values() for n in one.facts.values())

    @property
    def refused(self) -> list[Refusal]:
        """Every row that cannot be used."""
        return [refusal for one in self.findings.values() for refusal in sorted(one.refused)]

    @property
    def doubted(self) -> int:
        """Doubts; a row may be doubted for several reasons."""
        return sum(tally.n for one in self.findings.values() for tally in one.doubted.values())

    def as_text(self) -> str:
        """For a person."""
        counts = (
            f"{_several(self.rows, 'row')} read, {_several(self.facts, 'fact')} ({self.taken.facts:,} new)",
            f"{_several(len(self.refused), 'row')} refused, {_several(self.doubted, 'doubt')}",
        )
        lines = [f"{self.source}: {', '.join(counts)}"]
        for one in self.findings.values():
            lines += ["", *_told(one)]
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """For a program: one JSON object."""
        return json.dumps(
            {
                "source": self.source, "rows": self.rows, "facts": self.facts, "new_facts": self.taken.facts,
                "refused": len(self.refused), "doubted": self.doubted, "deliveries": self.taken.deliveries,
                "repeated_deliveries": self.repeated,
                "tables": {name: _as_dict(one) for name, one in self.findings.items()},
            },
            ensure_ascii=False, indent=2,
        )  # fmt: skip

    def write(self, path: Path) -> list[Path]:
        """Write the report (as JSON where the name ends so) and, where rows were refused, `<path>.refused.csv`.

        Gives the files written.
        """
        path.write_text(self.as_json() if path.suffix == ".json" else self.as_text(), "utf-8", "backslashreplace")
        if not self.refused:
            return [path]
        beside = path.with_name(f"{path.name}.refused.csv")
        with beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("file", "line", "reason", "row"))
            writer.writerows((_harmless(one.file), one.line, one.reason, _harmless(one.row)) for one in self.refused)
        return [path, beside]


def import_files(
    store: Store,
    reading: Reading,
    *,
    now: int,
    time_zone: str = "UTC",
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Take in files that were read; the same ones again change nothing.

    `time_zone` is the workspace's, for customers that have none of their own. `progress` hears (rows done, rows in
    all). Each portion is a transaction of its own, so what was taken in before an interruption stays.
    """
    report = Report(reading.source, reading.findings)
    done, total = 0, reading.rows
    for chunk in reading.chunks(now):
        if chunk.parsed.sightings:
            _take_chunk(store, reading.source, chunk, now, time_zone, report)
        done += chunk.rows
        if progress:
            progress(done, total)
    return report


def _take_chunk(store: Store, source: str, chunk: Chunk, now: int, time_zone: str, report: Report) -> None:
    with store.atomic():
        page = chunk.page
        delivery = store_raw(store, source, STREAM, page.external_id, page.body, now, history=1)
        # One that was there before keeps its own id, so this one touches no row.
        if not store.run(sql("intake", "parsed"), {"id": delivery.id, "now": now, "error": None}):
            report.repeated += 1
            return
        take_in(store, source, chunk.parsed.sightings, now, time_zone=time_zone, to=report.taken)
        report.taken.deliveries += 1


def _several(n: int, thing: str) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def _told(one: Findings) -> list[str]:
    """The lines of the report about one table."""
    left_out = f", {one.left_out:,} left out by the mapping" if one.left_out else ""
    lines = [f"{one.table} ({', '.join(one.files)}): {_several(one.rows, 'row')}{left_out}"]
    lines += [f"  {n:>9,}  {kind}" for kind, n in one.facts.items()]
    if one.doubted:
        lines.append("  doubted, and kept:")
    for what, tally in sorted(one.doubted.items(), key=lambda item: (-item[1].n, item[0])):
        lines += [f"  {tally.n:>9,}  {what}", *(f"{'':13}{example}" for example in tally.examples)]
    if one.refused:
        lines.append(f"  refused: {len(one.refused):,}")
    lines += [f"{'':13}{refusal.file}:{refusal.line}: {refusal.reason}" for refusal in sorted(one.refused)[:SHOWN]]
    return lines


def _as_dict(one: Findings) -> dict[str, Any]:
    return {
        "files": list(one.files), "rows": one.rows, "left_out": one.left_out, "facts": dict(one.facts),
        "doubted": {what: {"rows": tally.n, "examples": tally.examples} for what, tally in sorted(one.doubted.items())},
        "refused": [{"file": r.file, "line": r.line, "reason": r.reason} for r in sorted(one.refused)],
    }  # fmt: skip


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (CWE-1236)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
