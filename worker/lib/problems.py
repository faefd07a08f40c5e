"""Mistakes in what people write, told all at once: file, place, value, cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `line` counts from 1; 0 where no line can be named."""

    file: str
    line: int
    key: str
    """The dotted place inside the file: `measures.active_days.read`; "" for the file as a whole."""
    message: str
    """What is wrong, with the value that is there."""
    cure: str = ""
    """What to write instead."""

    def __str__(self) -> str:
        """One line for a terminal: `config.toml:12: workspace.time_zone: … → …`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        cure = f" → {self.cure}" if self.cure else ""
        return f"{place}:{key} {self.message}{cure}"


class Problems(Exception):
    """At least one mistake; nothing has been run."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems in the order of their places."""
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
