"""From a measure's value to points out of 100: steps, or a sliding scale.

Both are values, read from the card by `phrases`; `awarded` is all that is ever asked of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Final

from worker.lib.rounding import CONTEXT, plain

FULL: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the card wrote it: `50%` is 0.5 and remembers that it was a percentage."""

    value: Decimal
    percent: bool = False

    def __str__(self) -> str:
        """Write it as the card would."""
        return f"{plain(self.value * 100)}%" if self.percent else plain(self.value)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a table. `edge` is below, up to, exactly, and up, above or otherwise (then `at` is None)."""

    edge: str
    at: Number | None
    points: Decimal

    def takes(self, value: Decimal) -> bool:
        """Whether this step speaks about `value`."""
        if self.at is None:
            return True
        edge = self.at.value
        return {
            "below": value < edge,
            "up to": value <= edge,
            "exactly": value == edge,
            "and up": value >= edge,
            "above": value > edge,
        }[self.edge]

    def __str__(self) -> str:
        """Write what it takes as the card would: `below 50%`, `0`, `10 and up`."""
        return {"exactly": f"{self.at}", "and up": f"{self.at} and up", "otherwise": "otherwise"}.get(
            self.edge, f"{self.edge} {self.at}"
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """A table that is read from the top; the first step that takes the value speaks."""

    steps: tuple[Step, ...]

    def awarded(self, value: Decimal) -> Decimal:
        """The points for a value; the card was refused if any value fell between the steps."""
        return next(step.points for step in self.steps if step.takes(value))

    def numbers(self) -> Iterator[Number]:
        """The edges as written."""
        return (step.at for step in self.steps if step.at is not None)

    @property
    def lowest(self) -> Decimal:
        """The fewest points it can give."""
        return min(step.points for step in self.steps)

    @property
    def highest(self) -> Decimal:
        """The most points it can give."""
        return max(step.points for step in self.steps)

    def best(self) -> str:
        """The values that earn the most, in words: `85% and up`."""
        place = next(place for place, step in enumerate(self.steps) if step.points == self.highest)
        if self.steps[place].at is not None:
            return str(self.steps[place])
        return _remainder(self.steps[:place])

    def silent_about(self) -> Decimal | None:
        """A value that no step takes, None where there is none."""
        return next((value for value in self._samples() if not any(s.takes(value) for s in self.steps)), None)

    def never_reached(self) -> Iterable[Step]:
        """The steps that an earlier step always forestalls."""
        reached = {
            next((place for place, step in enumerate(self.steps) if step.takes(value)), -1) for value in self._samples()
        }
        return [step for place, step in enumerate(self.steps) if place not in reached]

    def _samples(self) -> list[Decimal]:
        """Every edge, a value between any two, and one beyond either end: enough to tell all tables apart."""
        edges = sorted({number.value for number in self.numbers()}) or [Decimal(0)]
        between = [(low + high) / 2 for low, high in pairwise(edges)]
        return [*edges, *between, edges[0] - 1, edges[-1] + 1]


def _remainder(before: tuple[Step, ...]) -> str:
    edges = {step.edge for step in before}
    numbers = [step.at for step in before if step.at is not None]
    if edges == {"below"}:
        return f"{max(numbers, key=lambda number: number.value)} and up"
    if edges == {"and up"}:
        return f"below {min(numbers, key=lambda number: number.value)}"
    if edges == {"exactly"}:
        return "anything but " + ", ".join(str(number) for number in numbers)
    return "anything else"


@dataclass(frozen=True, slots=True)
class Sliding:
    """Straight lines between (value, points) pairs, values rising; outside, the nearest end speaks."""

    pairs: tuple[tuple[Number, Decimal], ...]

    def awarded(self, value: Decimal) -> Decimal:
        """The points for a value, not yet rounded."""
        first, last = self.pairs[0], self.pairs[-1]
        if value <= first[0].value:
            return first[1]
        for (low, low_points), (high, high_points) in pairwise(self.pairs):
            if value <= high.value:
                with localcontext(CONTEXT):
                    run = (value - low.value) * (high_points - low_points)
                    return low_points + run / (high.value - low.value)
        return last[1]

    def numbers(self) -> Iterator[Number]:
        """The values as written."""
        return (number for number, _ in self.pairs)

    @property
    def lowest(self) -> Decimal:
        """The fewest points it can give."""
        return min(points for _, points in self.pairs)

    @property
    def highest(self) -> Decimal:
        """The most points it can give."""
        return max(points for _, points in self.pairs)

    def best(self) -> str:
        """The value that earns the most, in words: `12`."""
        return str(next(number for number, points in self.pairs if points == self.highest))


Table = Steps | Sliding
