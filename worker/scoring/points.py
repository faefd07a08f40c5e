"""From a measure's value to points: steps, a sliding scale, or so many points for each one.

All three are values, read from the card by `phrases`; `awarded` is what scoring asks of them. The rest is for the
loader and `lint`: what a table can give, where it is silent, and which of its steps never speak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal, localcontext
from itertools import pairwise
from typing import Final, Literal

from worker.lib.rounding import CONTEXT, plain

FULL: Final = Decimal(100)

_NO_END: Final = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as the card wrote it: `50%` is 0.5 and remembers that it was a percentage."""

    value: Decimal
    percent: bool = False

    def __str__(self) -> str:
        """Write it as the card would."""
        return f"{plain(self.value * 100)}%" if self.percent else plain(self.value)


@dataclass(frozen=True, slots=True)
class Colour:
    """A band's name in the place of points; `resolve` makes it a number."""

    name: str


Worth = Decimal | Colour | None
"""What stands right of `->`; None leaves the measure out."""

StepKind = Literal[
    "below", "up to", "exactly", "and up", "above",
    "from to", "from to below", "above up to", "above to below",
    "labels", "otherwise",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a table: which values it takes, and what they are worth."""

    edge: StepKind
    at: Number | None
    """The edge, of two the lower; None for labels and otherwise."""
    points: Worth
    to: Number | None = None
    """The upper edge, where there are two."""
    labels: tuple[str, ...] = ()
    """The texts it takes; capitals do not matter."""
    others: tuple[Number, ...] = ()
    """exactly: what it takes as well."""

    def takes(self, value: Decimal | str) -> bool:
        """Whether this step speaks about `value`; a number and a text never meet, but for a label that is the number."""
        if self.edge == "otherwise":
            return True
        if self.edge == "labels":
            text = value if isinstance(value, str) else plain(value)
            return text.casefold() in {label.casefold() for label in self.labels}
        if isinstance(value, str):
            return False
        return (self._low(value) and self._high(value)) or any(value == one.value for one in self.others)

    def _low(self, value: Decimal) -> bool:
        assert self.at is not None
        match self.edge:
            case "exactly" | "and up" | "from to" | "from to below":
                return value >= self.at.value
            case "above" | "above up to" | "above to below":
                return value > self.at.value
            case _:
                return True

    def _high(self, value: Decimal) -> bool:
        last = self.to or self.at
        assert last is not None
        match self.edge:
            case "exactly" | "up to" | "from to" | "above up to":
                return value <= last.value
            case "below" | "from to below" | "above to below":
                return value < last.value
            case _:
                return True

    def ends(self) -> tuple[Number, ...]:
        """Its edges, the lower first."""
        return tuple(number for number in (self.at, self.to, *self.others) if number is not None)

    def __str__(self) -> str:
        """Write what it takes as the card would: `below 50%`, `0`, `from 3 to below 7`, `"gold" or "silver"`."""
        match self.edge:
            case "exactly":
                return " or ".join(str(number) for number in self.ends())
            case "and up":
                return f"{self.at} and up"
            case "otherwise":
                return "otherwise"
            case "labels":
                return " or ".join(quoted(label) for label in self.labels)
            case "from to" | "above to below" | "from to below" | "above up to":
                first, _, second = self.edge.partition(" ")
                return f"{first} {self.at} {second} {self.to}"
            case _:
                return f"{self.edge} {self.at}"


@dataclass(frozen=True, slots=True)
class Steps:
    """A table that is read from the top; the first step that takes the value speaks."""

    steps: tuple[Step, ...]

    def awarded(self, value: Decimal | str) -> Decimal | None:
        """The points for a value; None where it is left out, and for a text where the table knows only numbers."""
        if isinstance(value, str) and not self.labels() and any(self.numbers()):
            return None
        step = next((step for step in self.steps if step.takes(value)), None)
        return None if step is None else _number(step.points)

    def numbers(self) -> Iterator[Number]:
        """The edges as written."""
        return (number for step in self.steps for number in step.ends())

    def labels(self) -> tuple[str, ...]:
        """The texts it names."""
        return tuple(label for step in self.steps for label in step.labels)

    def given(self) -> list[Decimal]:
        """Everything it can give, in its order; what leaves out is not among it."""
        return [points for step in self.steps if (points := _number(step.points)) is not None]

    @property
    def lowest(self) -> Decimal:
        """The fewest points it can give."""
        return min(self.given(), default=Decimal(0))

    @property
    def highest(self) -> Decimal:
        """The most points it can give."""
        return max(self.given(), default=Decimal(0))

    def best(self) -> str:
        """The values that earn the most, in words: `85% and up`."""
        if not self.given():
            return "nothing"
        place = next(place for place, step in enumerate(self.steps) if _number(step.points) == self.highest)
        if self.steps[place].edge != "otherwise":
            return str(self.steps[place])
        return _remainder(self.steps[:place])

    def gaps(self, whole: tuple[Decimal, Decimal | None] | None = None) -> tuple[str, ...]:
        """The values that no step takes, in words, rising: `below 0`, `above 3 to below 5`, `any other text`.

        What is `whole` lies between these two (None is without end) and has no fractions, so that nothing is missing
        between 3 and 4, or below 0.
        """
        edges = self._edges()
        silent = [not any(step.takes(value) for step in self.steps) for value in _around(edges)] if edges else []
        if whole is not None:
            silent = [one and _holds_whole(edges, place, *whole) for place, one in enumerate(silent)]
        found = [str(step) for step in _runs(edges, silent)]
        if self.labels() and not any(step.edge == "otherwise" for step in self.steps):
            found.append("any other text")
        return tuple(found)

    def never_reached(self) -> Iterable[Step]:
        """The steps that earlier steps always forestall."""
        values: list[Decimal | str] = [*_around(self._edges() or [Number(Decimal(0))])]
        if self.labels():
            values += [*self.labels(), " "]  # and a text that nobody writes
        reached = {next((place for place, step in enumerate(self.steps) if step.takes(value)), -1) for value in values}
        return [step for place, step in enumerate(self.steps) if place not in reached]

    def _edges(self) -> list[Number]:
        return sorted({number.value: number for number in self.numbers()}.values(), key=lambda number: number.value)


@dataclass(frozen=True, slots=True)
class Sliding:
    """Straight lines between (value, points) pairs, values rising; outside, the nearest end speaks."""

    pairs: tuple[tuple[Number, Decimal], ...]
    outside_left_out: bool = False
    """Outside nothing speaks: the measure is left out."""

    def awarded(self, value: Decimal | str) -> Decimal | None:
        """The points for a value, not yet rounded; None for a text, and where what lies outside is left out."""
        if isinstance(value, str):
            return None
        first, last = self.pairs[0], self.pairs[-1]
        if not first[0].value <= value <= last[0].value:
            if self.outside_left_out:
                return None
            return first[1] if value < first[0].value else last[1]
        for (low, low_points), (high, high_points) in pairwise(self.pairs):
            if value <= high.value:
                with localcontext(CONTEXT):
                    run = (value - low.value) * (high_points - low_points)
                    return low_points + run / (high.value - low.value)
        return last[1]

    def numbers(self) -> Iterator[Number]:
        """The values as written."""
        return (number for number, _ in self.pairs)

    def given(self) -> list[Decimal]:
        """The points at its corners."""
        return [points for _, points in self.pairs]

    @property
    def lowest(self) -> Decimal:
        """The fewest points it can give."""
        return min(self.given())

    @property
    def highest(self) -> Decimal:
        """The most points it can give."""
        return max(self.given())

    def best(self) -> str:
        """The value that earns the most, in words: `12`."""
        return str(next(number for number, points in self.pairs if points == self.highest))


@dataclass(frozen=True, slots=True)
class Each:
    """So many points for each one of the value: `each = -5`. A measure's `floor` and `cap` say how far it goes."""

    points: Decimal
    """For each 1; below 0 they are taken away."""

    def awarded(self, value: Decimal | str) -> Decimal | None:
        """The points for a value, not yet rounded; None for a text."""
        # Nothing taken away is 0, and not the -0 of arithmetic.
        return None if isinstance(value, str) else CONTEXT.add(CONTEXT.multiply(self.points, value), Decimal(0))

    def numbers(self) -> Iterator[Number]:
        """It has no edges."""
        return iter(())

    def given(self) -> list[Decimal]:
        """What one of them is worth."""
        return [self.points]

    @property
    def lowest(self) -> Decimal:
        """The fewest points, for values from 0 up: without end where they are taken away."""
        return -_NO_END if self.points < 0 else Decimal(0)

    @property
    def highest(self) -> Decimal:
        """The most points, for values from 0 up: without end where they are given."""
        return _NO_END if self.points > 0 else Decimal(0)

    def best(self) -> str:
        """The values that earn the most, in words."""
        return "0" if self.points <= 0 else "the more the better"


Table = Steps | Sliding | Each


def colours(table: Table) -> frozenset[str]:
    """The bands that a table names in the place of points."""
    if not isinstance(table, Steps):
        return frozenset()
    return frozenset(step.points.name for step in table.steps if isinstance(step.points, Colour))


def resolve(table: Table, worth: Mapping[str, Decimal]) -> Table:
    """Put numbers in the place of colours. Raises KeyError for a colour that `worth` does not know."""
    if not isinstance(table, Steps):
        return table
    return Steps(
        tuple(
            replace(step, points=worth[step.points.name]) if isinstance(step.points, Colour) else step
            for step in table.steps
        )
    )


def spread(order: Sequence[str], lowest: Decimal = Decimal(0), highest: Decimal = FULL) -> dict[str, Decimal]:
    """What each band is worth, best first, evenly from the highest to the lowest: 100, 50 and 0 for three."""
    gaps = max(len(order) - 1, 1)
    with localcontext(CONTEXT):
        return {name: highest - (highest - lowest) * place / gaps for place, name in enumerate(order)}


def quoted(text: str) -> str:
    """A text as a sentence holds it."""
    return f"'{text}'" if '"' in text else f'"{text}"'


def _number(points: Worth) -> Decimal | None:
    if isinstance(points, Colour):
        raise TypeError(f"the colour {points.name!r} is no number yet: resolve the table first")
    return points


def _around(edges: Sequence[Number]) -> Iterator[Decimal]:
    """One value below all edges, each edge, one between any two, one above all: enough to tell any two tables apart."""
    values = [number.value for number in edges]
    yield values[0] - 1
    for value, following in pairwise(values):
        yield value
        yield (value + following) / 2
    yield values[-1]
    yield values[-1] + 1


def _holds_whole(edges: Sequence[Number], place: int, lowest: Decimal, highest: Decimal | None) -> bool:
    """Whether a whole number from the lowest to the highest lies at this place of `_around`."""
    if place % 2:
        at = edges[place // 2].value
        return at == at.to_integral_value() and at >= lowest and (highest is None or at <= highest)
    least = lowest if place == 0 else max(edges[place // 2 - 1].value.to_integral_value(ROUND_FLOOR) + 1, lowest)
    is_last = place // 2 == len(edges)
    return (is_last or least < edges[place // 2].value) and (highest is None or least <= highest)


def _runs(edges: Sequence[Number], chosen: Sequence[bool]) -> list[Step]:
    """The stretches of the number line that were chosen, as steps that take just these; `chosen` goes as `_around`."""
    found = []
    places = [place for place, one in enumerate(chosen) if one]
    for first in (place for place in places if place - 1 not in places):
        last = first
        while last + 1 in places:
            last += 1
        found.append(_stretch(edges, first, last))
    return found


def _stretch(edges: Sequence[Number], first: int, last: int) -> Step:
    """From one place of `_around` to another: odd places are edges, even ones lie between them."""
    low = edges[(first - 1) // 2] if first else None
    high = edges[last // 2] if last < 2 * len(edges) else None
    low_in, high_in = first % 2 == 1, last % 2 == 1
    if high_in:
        high = edges[(last - 1) // 2]
    if low and high:
        if low == high:
            return Step("exactly", low, None)
        lower: Literal["from", "above"] = "from" if low_in else "above"
        kinds: dict[tuple[str, bool], StepKind] = {
            ("from", True): "from to",
            ("from", False): "from to below",
            ("above", True): "above up to",
            ("above", False): "above to below",
        }
        return Step(kinds[lower, high_in], low, None, high)
    if low:
        return Step("and up" if low_in else "above", low, None)
    if high:
        return Step("up to" if high_in else "below", high, None)
    return Step("otherwise", None, None)


def _remainder(before: tuple[Step, ...]) -> str:
    edges = {step.edge for step in before}
    numbers = [step.at for step in before if step.at is not None]
    if edges == {"below"}:
        return f"{max(numbers, key=lambda number: number.value)} and up"
    if edges == {"up to"}:
        return f"above {max(numbers, key=lambda number: number.value)}"
    if edges == {"and up"}:
        return f"below {min(numbers, key=lambda number: number.value)}"
    if edges == {"above"}:
        return f"up to {min(numbers, key=lambda number: number.value)}"
    if edges == {"exactly"}:
        return "anything but " + ", ".join(str(number) for step in before for number in step.ends())
    if edges == {"labels"}:
        return "anything but " + ", ".join(label for step in before for label in step.labels)
    return "anything else"
