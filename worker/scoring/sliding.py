"""Many days of one customer from one look at their days: windows that slide instead of being read anew. Pure.

What a pass of `measures` is told by its statement, day by day, is told here from the customer's rows of the roll-up, in
the same shape; from there on the same code makes the readings. Only for whole days: of the day that is not over yet,
and for measures that look at other customers, a pass has to be made (`slides` says whether a card needs none).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import accumulate
from typing import Any, Final

from worker.scoring.asking import BORN, ENDS, FIRST, Asked, period_of, window_of
from worker.scoring.card import Card, Measure
from worker.scoring.measures import SINCE, Moment, Readings, Sources, Told, Wanted
from worker.scoring.reads import Calendar, Read, Selection, Window
from worker.scoring.rests import needs_others, reads_of

Row = Mapping[str, Any]

_TODAY: Final = frozenset({"since", "since_first", "age", "days_since_attribute", "days_until_attribute", "attribute"})
"""Reads whose value may be another on the next day though the same rows lie in their window."""

_NEVER: Final = 10**9

_SOME_DAY: Final = 0
"""What a card asks for is the same on every day, but for the stretches of its calendar."""

_COLUMNS: Final = (FIRST, FIRST + 1)


@dataclass(frozen=True, slots=True)
class History:
    """All that is known of one customer."""

    first_at: int
    days: Mapping[str, Sequence[Row]]
    """{kind: rows of the roll-up}, in any order."""
    attributes: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """{name: rows of at, value, gone_at}, in any order; `gone_at` is that of the identity it came by."""


def slides(card: Card) -> bool:
    """Whether every measure of the card is about one customer alone."""
    return not any(map(needs_others, card.measures.values()))


class Sliding:
    """Cards over whole days: the days are looked at once for all of them."""

    def __init__(self, cards: Sequence[Card], sources: Sources) -> None:
        """Only for cards that `slides`."""
        known = [{name: one for name, one in card.measures.items() if sources.state(one) == "value"} for card in cards]
        self._reads = list(dict.fromkeys(read for measures in known for read in reads_of(measures)))
        self._has_calendar = any(isinstance(read.window, Calendar) for read in self._reads)
        attributes = sorted(frozenset().union(*(Wanted(card, sources, _SOME_DAY).attributes for card in cards)))
        places = {read: place for place, read in enumerate(self._reads, start=1)}
        at = {name: place for place, name in enumerate(attributes, start=len(self._reads) + 1)}
        self._first, *self._others = (
            _Reader(card, sources, steady, _alike(card, cards[0]) if number else frozenset(), places, at)
            for number, (card, steady) in enumerate(zip(cards, known, strict=True))
        )
        self._at = at
        self.kinds = frozenset().union(*(read.kinds for read in self._reads))
        """What rows they need …"""
        self.attributes = frozenset(attributes)
        """… and what attributes."""

    def readings(self, history: History, moments: Sequence[Moment]) -> Iterator[tuple[Readings, ...] | None]:
        """The readings at the end of each of these days, oldest first, for each card; None before the customer began."""
        slides = [_Slide(read, history, place) for place, read in enumerate(self._reads, start=1) if read.kinds]
        rows: dict[int, list[tuple[Any, ...]]] = {BORN: [("", history.first_at)]}
        ages = SINCE not in history.attributes
        last: tuple[Readings, ...] | None = None
        for moment in moments:
            if history.first_at > moment.at:
                yield None
                continue
            today = moment.today
            moved = {slide.place for slide in slides if slide.next_on <= today and slide.move(today, rows)}
            for name, place in self._at.items():
                rows[place] = _newest(history.attributes.get(name, ()), moment.at)
            key = today if self._has_calendar else None
            told = [self._first.readings(moment, key, rows, last[0] if last else None, {}, moved, ages=ages)]
            for number, card in enumerate(self._others, start=1):
                before = last[number] if last else None
                told.append(card.readings(moment, key, rows, before, told[0], moved, ages=ages))
            last = tuple(told)
            yield last


class _Reader:
    """One of the cards: how the rows become its readings, and which of these are still those of the day before."""

    def __init__(
        self,
        card: Card,
        sources: Sources,
        known: Mapping[str, Measure],
        alike: frozenset[str],
        places: Mapping[Read, int],
        at: Mapping[str, int],
    ) -> None:
        self._card, self._sources, self._places, self._at = card, sources, places, at
        self._alike = alike
        self._steady = {
            name: {places[read] for read in reads}
            for name, one in known.items()
            if name not in alike and (reads := _steady(one))
        }
        """{measure that changes with its rows: the places of these}; without those that the first card reads alike."""
        self._told: dict[int | None, Told] = {}

    def readings(
        self, moment: Moment, day: int | None, rows: dict[int, list[tuple[Any, ...]]], last: Readings | None,
        first: Readings, moved: set[int], *, ages: bool,
    ) -> Readings:  # fmt: skip
        """Those of the moment; the very same object as the day before where nothing can have changed.

        `first` are the readings of the first card at that moment.
        """
        known = {} if last is None else self._still(last, moved, moment.today, ages=ages)
        for name in self._alike:
            known[name] = first[name]
        if last is not None and len(known) == len(last) and all(last[name] is first[name] for name in self._alike):
            return last
        if day not in self._told:
            asked = Asked(attributes=dict(self._at))
            for read, place in self._places.items():
                asked.places[_on(read, moment.today)] = ((place, _COLUMNS[: _width(read)]),)
            self._told[day] = Told(Wanted(self._card, self._sources, day), asked)
        return self._told[day].renewed(moment, rows, known)

    def _still(self, last: Readings, moved: set[int], today: int, *, ages: bool) -> Readings:
        """The readings that are those of the day before; `ages` where a customer grows older by a day a day."""
        kept = {}
        for name, places in self._steady.items():
            if not moved.isdisjoint(places):
                continue
            measure, reading = self._card.measures[name], last[name]
            if measure.not_in_first and (not ages or reading.state == "not_applicable"):
                continue
            valid = measure.answer_valid_for
            if valid and reading.state == "value" and reading.day is not None and today - reading.day >= valid:
                continue
            kept[name] = reading
        return kept


def _alike(card: Card, first: Card) -> frozenset[str]:
    """The measures that both cards read in the same way, whatever they are worth."""
    return frozenset(
        name
        for name, one in card.measures.items()
        if isinstance(one.read, Read)
        and (other := first.measures.get(name)) is not None
        and (one.read, one.against, one.not_in_first, one.answer_valid_for)
        == (other.read, other.against, other.not_in_first, other.answer_valid_for)
    )


def _on(read: Read, today: int) -> Read:
    return replace(read, window=read.window.on(today)) if isinstance(read.window, Calendar) else read


def _steady(measure: Measure) -> tuple[Read, ...] | None:
    """The reads of a measure that changes only with the rows in its windows, or with its age; None for any other."""
    if not isinstance(measure.read, Read):
        return None
    reads = tuple(side for side in (measure.read, measure.against) if isinstance(side, Read))
    return None if any(read.what in _TODAY for read in reads) else reads


def _newest(rows: Sequence[Row], at: int) -> list[tuple[Any, ...]]:
    """The rows of an attribute as the statement has them."""
    there = [row for row in rows if row["at"] <= at and (row["gone_at"] is None or row["gone_at"] > at)]
    newest = max((row["at"] for row in there), default=0)
    return [(row["value"], newest) for row in there if row["at"] == newest]


class _Slide:
    """One read over one customer's days."""

    def __init__(self, read: Read, history: History, place: int) -> None:
        self.read, self.place = read, place
        found = [row for kind in sorted(read.kinds) for row in history.days.get(kind, ()) if _meant(read, row)]
        self._rows = sorted(found, key=lambda row: row["day"])
        self._days = [row["day"] for row in self._rows]
        self._sums = {name: [0, *accumulate(row[name] for row in self._rows)] for name in _SUMMED.get(read.what, ())}
        unit = _UNITS.get(read.what)
        self._distinct = [] if unit is None else [0, *accumulate(_turns([unit(day) for day in self._days]))]
        self._inside: tuple[int, int] | None = None
        self.next_on = 0
        """The first day on which it has to `move`; on those before, the same lies in its window."""

    def move(self, today: int, rows: dict[int, list[tuple[Any, ...]]]) -> bool:
        """Put into `rows` what lies in the window of that day; False where it is what lay in it the day before."""
        window = window_of(_on(self.read, today))
        begin = 0 if window.oldest is None else bisect_left(self._days, today - window.oldest)
        end = max(begin, bisect_right(self._days, today - window.newest))
        period = period_of(_on(self.read, today))
        # The calendar's windows grow and shrink, and with them the number of periods.
        is_same = self._inside == (begin, end) and not isinstance(self.read.window, Calendar)
        if is_same and (not period or begin == end):
            return False
        self._inside = (begin, end)
        self.next_on = self._next(today, window, begin, end, period)
        if self.read.what in ENDS:
            rows[self.place] = self._ends(begin, end)
        elif period:
            rows[self.place] = self._periods(begin, end, today - window.newest, period)
        else:
            rows[self.place] = [("", *self._amounts(begin, end))]
        return True

    def _next(self, today: int, window: Window, begin: int, end: int, period: int) -> int:
        if isinstance(self.read.window, Calendar) or (period and begin != end):
            return today + 1
        leaves = self._days[begin] + window.oldest + 1 if window.oldest is not None and begin < end else _NEVER
        enters = self._days[end] + window.newest if end < len(self._days) else _NEVER
        return min(leaves, enters)

    def _ends(self, begin: int, end: int) -> list[tuple[Any, ...]]:
        at, value, best = (
            ("first_at", "first_value", min) if self.read.what == "first" else ("last_at", "last_value", max)
        )
        inside = self._rows[begin:end]
        if not inside:
            return []
        spoke = best(row[at] for row in inside)
        return [(row["label"], row["day"], row[value]) for row in inside if row[at] == spoke]

    def _periods(self, begin: int, end: int, newest: int, length: int) -> list[tuple[Any, ...]]:
        found: dict[int, tuple[int, int]] = {}
        for row in self._rows[begin:end]:
            period = (newest - row["day"]) // length
            n, total = found.get(period, (0, 0))
            found[period] = (n + row["n"], total + row["total"])
        return [("", period, n, total) for period, (n, total) in found.items()]

    def _amounts(self, begin: int, end: int) -> Sequence[int | None]:
        """As many as the statement has columns for the read."""
        what, inside = self.read.what, slice(begin, end)
        if what in _UNITS:
            # Two stretches of days begin with the same unit where the first day turns nothing.
            return (0 if begin == end else self._distinct[end] - self._distinct[begin + 1] + 1,)
        if what == "labels":
            return (len({row["label"] for row in self._rows[inside]} - {""}),)
        if begin == end:
            return (None, None) if what == "average" else (None,)
        match what:
            case "lowest":
                return (min(row["lowest"] for row in self._rows[inside]),)
            case "highest":
                return (max(row["highest"] for row in self._rows[inside]),)
            case "since":
                return (self._days[end - 1],)
            case "since_first":
                return (self._days[begin],)
        return tuple(self._sums[name][end] - self._sums[name][begin] for name in _SUMMED[what])


_SUMMED: Final[dict[str, tuple[str, ...]]] = {
    "count": ("n",),
    "total": ("total",),
    "now": ("total",),
    "average": ("total", "n"),
}
"""What is added up, in the order of the statement's columns."""


_EPOCH: Final = date(1970, 1, 1).toordinal()


def _width(read: Read) -> int:
    return len(_SUMMED.get(read.what, ("",)))


def _month(day: int) -> int:
    found = date.fromordinal(day + _EPOCH)
    return found.year * 12 + found.month


_UNITS: Final = {"days_with": lambda day: day, "weeks_with": lambda day: (day + 3) // 7, "months_with": _month}
"""What is counted, each once."""


def _turns(units: Sequence[int]) -> list[int]:
    """1 wherever another unit begins."""
    return [int(place == 0 or unit != units[place - 1]) for place, unit in enumerate(units)]


def _meant(read: Read, row: Row) -> bool:
    return any(_selects(one, row) for one in read.selections)


def _selects(one: Selection, row: Row) -> bool:
    return (
        one.kind == row["kind"] and (not one.labels or row["label"] in one.labels) and row["label"] not in one.without
    )
