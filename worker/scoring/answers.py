"""From the rows that came back for one customer to the value of one read. Pure; exact in decimals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import lru_cache
from statistics import median
from typing import Any, Final

from worker.facts import MILLION
from worker.lib.rounding import CONTEXT, nine, plain
from worker.scoring.asking import ATTRIBUTES, ENDS, FIRST, TEXT, Asked, period_of, window_of
from worker.scoring.expressions import Value
from worker.scoring.reads import Fade, Read

Rows = Mapping[int, Sequence[Sequence[Any]]]
"""The rows of one customer by their place in the statement."""

Raw = tuple[Any, ...]
"""The numbers and texts that a value is made of; equal ones give equal values."""

Told = tuple[Value | None, int | None]
"""A value, not yet rounded, and the local day of the answer or event that spoke; None where it was never seen."""

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,18})?")
"""An attribute that is one: not `007`, which is a name."""

_EPOCH: Final = date(1970, 1, 1)


Find = Callable[[Rows, int, int | None], Raw]
"""From a customer's rows, the local day and the age in days (None where nobody knows) to what a value depends on."""


class Answer:
    """How a read is found in the rows of a customer, and what it comes to."""

    def __init__(self, read: Read, asked: Asked) -> None:
        """`asked` is the statement that the rows come from."""
        self.read = read
        self.raw: Find = _finder(read, asked)
        """Asked of every customer for every measure, so what can be settled before is settled once."""

    def told(self, raw: Raw) -> Told:
        """The value that these numbers come to."""
        with localcontext(CONTEXT):
            return self._told(raw)

    def _told(self, raw: Raw) -> Told:
        read = self.read
        match read.what:
            case "age":
                return (None if raw[0] is None else Decimal(raw[0] // max(read.per, 1))), None
            case "attribute":
                return _attribute(raw[0]), None
            case "days_since_attribute" | "days_until_attribute":
                return _days(raw[0], raw[1], until=read.what == "days_until_attribute")
            case "latest" | "first":
                return (_units(raw[0]), raw[2]) if raw else (None, None)
            case "latest_label":
                return (raw[1], raw[2]) if raw else (None, None)
            case "since" | "since_first":
                return (None, None) if not raw or raw[0] is None else (Decimal(raw[1] - raw[0]), raw[0])
            case "days_with" | "weeks_with" | "months_with" | "labels":
                return Decimal(raw[0] if raw else 0), None
            case "now":
                # The end of a thing may be heard of before its beginning; less than none is open never.
                return max(_units((raw and raw[0]) or 0), Decimal(0)), None
            case "average":
                return (_units(raw[0]) / raw[1] if raw and raw[1] else None), None
            case "lowest" | "highest":
                return (_units(raw[0]) if raw and raw[0] is not None else None), None
            case "median":
                return (median(_units(total) / n for _, n, total in raw) if raw else None), None
            case "slope":
                return _slope(read, raw), None
            case _:  # count, total
                return self._amount(raw), None

    def _amount(self, raw: Raw) -> Decimal | None:
        """A count or a total: plain, per period, or fading."""
        read = self.read
        if read.fade is not None:
            parts = (_number(read, n, total) * _weight(read.fade, period) for period, n, total in raw)
            return sum(parts, Decimal(0))
        if not period_of(read):
            plainly = Decimal(0) if not raw or raw[0] is None else _of(read.what, raw[0])
            return plainly / (Decimal(window_of(read).days) / read.per) if read.per else plainly
        numbers = [number for _, number in _periods(read, raw)]
        if not numbers:
            return None
        match read.spread:
            case "median":
                return median(numbers)
            case "lowest":
                return min(numbers)
            case "highest":
                return max(numbers)
            case _:
                return sum(numbers, Decimal(0)) / len(numbers)


# -- where it is found ------------------------------------------------------------------------------------------------


def _finder(read: Read, asked: Asked) -> Find:
    if read.what == "age":
        return lambda rows, today, age: (age,)
    if read.what in ATTRIBUTES:
        place = asked.attributes.get(read.attribute, -1)
        if read.what == "attribute":
            return lambda rows, today, age: (attribute_in(rows, place),)
        return lambda rows, today, age: (attribute_in(rows, place), today)
    places = asked.places.get(read, ())
    if not places:  # its source is not there, or down: nobody will ask
        return lambda rows, today, age: ()
    if read.what in ENDS:
        return _end_finder(read, places[0][0])
    if period_of(read):
        place = places[0][0]
        return lambda rows, today, age: tuple(
            sorted((row[FIRST], row[FIRST + 1], row[FIRST + 2]) for row in rows.get(place, ()))
        )
    return _sum_finder(read, places)


def _end_finder(read: Read, place: int) -> Find:
    # Of answers given in one second the greatest speaks; of the first ones the least, as in the roll-up.
    spoke = min if read.what == "first" else max

    def raw(rows: Rows, today: int, age: int | None) -> Raw:
        found = [(row[FIRST + 1], row[TEXT], row[FIRST]) for row in rows.get(place, ())]
        return spoke(found) if found else ()

    return raw


def _sum_finder(read: Read, places: Sequence[tuple[int, tuple[int, ...]]]) -> Find:
    dated = read.what in ("since", "since_first")
    merge: Callable[[Sequence[int]], int] = _MERGES.get(read.what, sum)

    def of_one(rows: Rows, today: int, age: int | None) -> Raw:
        found = rows.get(place)
        if found is None:
            return ()
        number = found[0][column]
        return (number, today) if dated else (number,)

    def of_many(rows: Rows, today: int, age: int | None) -> Raw:
        parts = [[rows[place][0][column] for column in columns] for place, columns in places if place in rows]
        given = [[number for number in column if number is not None] for column in zip(*parts, strict=True)]
        merged = tuple(merge(numbers) if numbers else None for numbers in given)
        return (*merged, today) if dated and merged else merged

    if len(places) == len(places[0][1]) == 1:
        ((place, (column,)),) = places
        return of_one
    return of_many


_MERGES: Final[Mapping[str, Callable[[Sequence[int]], int]]] = {
    "lowest": min, "since_first": min, "highest": max, "since": max,
}  # fmt: skip
"""How the parts are put together; all else is added up."""


def attribute_in(rows: Rows, place: int) -> str | None:
    """The text of an attribute; of two of one second the greater holds. None where it is not there, or empty."""
    return max((row[TEXT] for row in rows.get(place, ())), default=None) or None


def day_in(text: str) -> int | None:
    """The day number that `2026-01-31` or a moment names (as it is written, in its own zone); None for no date."""
    try:
        return ((date if len(text) == 10 else datetime).fromisoformat(text).toordinal()) - _EPOCH.toordinal()
    except ValueError:
        return None


# -- what they come to ------------------------------------------------------------------------------------------------


def _units(millionths: int) -> Decimal:
    return Decimal(millionths) / MILLION


def _of(what: str, number: int) -> Decimal:
    return Decimal(number) if what == "count" else _units(number)


def _attribute(text: str | None) -> Value | None:
    if text is None or not _NUMBER.fullmatch(text):
        return text
    return Decimal(plain(nine(Decimal(text))))  # as a person would write it, so that it can be compared with texts


def _days(text: str | None, today: int, *, until: bool) -> Told:
    day = None if text is None else day_in(text)
    if day is None:
        return None, None
    return Decimal(day - today if until else today - day), day


def _number(read: Read, n: int, total: int) -> Decimal:
    """What is taken of one period: how many, or how much."""
    of = read.of if read.what == "slope" else read.what
    return Decimal(n) if of == "count" else _units(total)


def _periods(read: Read, raw: Raw) -> list[tuple[int, Decimal]]:
    """(how many periods ago, its number) for each period of the window; without the empty ones where they say nothing."""
    given = {period: _number(read, n, total) for period, n, total in raw}
    if read.skip_empty:
        return sorted(given.items())
    periods = -(-window_of(read).days // read.per)
    return [(period, given.get(period, Decimal(0))) for period in range(periods)]


def _slope(read: Read, raw: Raw) -> Decimal | None:
    """By how much the number rises from one period to the next; None of nothing, or of a single period."""
    points = [(-period, number) for period, number in _periods(read, raw)] if raw else []
    if len(points) < 2:
        return None
    n, xs, ys = len(points), sum(x for x, _ in points), sum((y for _, y in points), Decimal(0))
    squares = sum(x * x for x, _ in points)
    products = sum((x * y for x, y in points), Decimal(0))
    return (n * products - xs * ys) / (n * squares - xs * xs)


@lru_cache(maxsize=65_536)
def _weight(fade: Fade, period: int) -> Decimal:
    """What an event weighs that lies so many days (half-life) or whole periods (linear) back."""
    if fade.how == "half-life":
        return CONTEXT.power(Decimal(2), CONTEXT.divide(Decimal(-period), Decimal(fade.days)))
    return max(Decimal(1) - fade.loses * period, Decimal(0))
