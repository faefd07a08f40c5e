"""The smallest realistic change that would lift a customer's band, found by scoring what could be. Pure.

Realistic is what a customer can do, or leave: one more active day, an invoice paid, a better answer; never an attribute,
the age, what is not known, or what lies wholly in the past. One measure is changed, else two, else three; of those that
lift the band, the one that moves by the smallest share of its scale is chosen, then the one that comes first by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from graphlib import TopologicalSorter
from itertools import combinations, product
from typing import Final

from worker.facts import kind_named
from worker.lib.rounding import CONTEXT, half_up, nine, plain
from worker.scoring.bands import Standing, settle
from worker.scoring.card import GREY, Card, Hold
from worker.scoring.derived import Formula
from worker.scoring.expressions import Expression, Known, Literally, Name, Spoken, Value, leaves
from worker.scoring.measures import Reading
from worker.scoring.reads import Calendar, Portfolio, Read, Selection
from worker.scoring.score import Assessment, assess

_TOGETHER: Final = 3
"""More than so many measures at once is no advice."""

_FINEST: Final = 100
"""A long scale is tried in so many round steps."""

_ANSWERS: Final = {"nps_answer": (0, 10), "ticket_rating": (0, 1)}
"""The answers that can be given."""

_OURS: Final = frozenset({"pulse", "first_reply"})
"""Answers that the customer does not give."""

_CALENDAR: Final = {"week": 7, "month": 28, "quarter": 90, "year": 365}
"""Days that such a stretch holds in any case."""


@dataclass(frozen=True, slots=True)
class Move:
    """One measure as it is, and as it would have to be."""

    measure: str
    old: Reading
    new: Reading


@dataclass(frozen=True, slots=True)
class Lift:
    """What would lift the band."""

    moves: tuple[Move, ...]
    """By name."""
    band: str
    """The band it would come to."""
    effort: Decimal
    """How far the measures move together, each as a share of its scale."""


def lift(card: Card, assessment: Assessment, standing: Standing | None = None) -> Lift | None:
    """The smallest realistic change that lifts the band, proved by scoring it; None where there is none.

    With the standing, the band must be reached by the points that a turn takes; the days it takes as well are left out.
    """
    stands = _stands(card, standing)
    now = stands(assessment)
    if not _wanted(card, assessment, now):
        return None
    search = _Search(card, assessment.readings, lambda one: _better(card, now, stands(one)))
    for size in range(1, _TOGETHER + 1):
        found = search.smallest(size)
        if found is not None:
            effort, readings, changed = found
            moves = tuple(Move(name, assessment.readings[name], readings[name]) for name in changed)
            return Lift(moves, stands(assess(card, readings)), effort)
    return None


def _stands(card: Card, standing: Standing | None) -> Callable[[Assessment], str]:
    """The band that an assessment comes to, once its days have passed."""
    if standing is None:
        return lambda one: one.band
    at_once = replace(card, worse=Hold(card.worse.points), better=Hold(card.better.points))
    still = replace(standing, waiting=None, waiting_since=None)
    return lambda one: settle(at_once, still, one, 0, 0).band


def _wanted(card: Card, assessment: Assessment, band: str) -> bool:
    """Where too little is known, or a person holds the band, nothing the customer does lifts it."""
    return assessment.override is None and GREY not in {band, assessment.band} and band != card.order[0]


def _better(card: Card, band: str, other: str) -> bool:
    return other not in {band, GREY} and card.best(band, other) == other


# -- what could be ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a read can come to: whole numbers of `1 / size`, within limits."""

    size: Decimal
    low: Decimal | None
    high: Decimal | None

    def value(self, n: int) -> Decimal:
        return nine(CONTEXT.divide(Decimal(n), self.size))

    def holds(self, value: Decimal) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


_SHARE: Final = _Scale(Decimal(100), Decimal(0), None)
"""A share of a normal where the normal itself was not told."""


@dataclass(frozen=True, slots=True)
class _Dial:
    """What is changed at once: the measures that read the same thing."""

    name: str
    """The first of them that the card names."""
    measures: tuple[str, ...]
    edges: tuple[Decimal, ...]
    """Where something turns: the values at and beside the numbers that tables and conditions name."""
    values: tuple[Decimal, ...]
    """All that are tried, the edges among them, the nearest first."""
    now: Decimal
    span: Decimal

    def effort(self, value: Decimal) -> Decimal:
        return nine(CONTEXT.divide(abs(value - self.now), self.span))


_Found = tuple[Decimal, dict[str, Reading], tuple[str, ...]]


class _Search:
    """One search; what was scored once is not scored again."""

    def __init__(self, card: Card, readings: Mapping[str, Reading], lifts: Callable[[Assessment], bool]) -> None:
        self._card, self._readings, self._lifts = card, readings, lifts
        self._formulas = _formulas(card, readings)
        self._base = assess(card, readings)
        self._dials = {dial.name: dial for dial in self._all_dials()}
        self._useful = {
            name: [edge for edge in dial.edges if self._helps(name, edge)] for name, dial in self._dials.items()
        }
        self._tried: dict[tuple[tuple[str, Decimal], ...], bool] = {}

    def smallest(self, size: int) -> _Found | None:
        """The least effort with so many dials; of equals, the first by name and value."""
        best: tuple[Decimal, tuple[tuple[str, Decimal], ...]] | None = None
        for names in combinations(sorted(self._dials), size):
            for one in self._lifting(names):
                effort = sum((self._dials[name].effort(value) for name, value in one), Decimal(0))
                best = min(best, (effort, one)) if best else (effort, one)
        if best is None:
            return None
        return best[0], self._changed(best[1]), tuple(name for name, _ in best[1])

    def _lifting(self, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, Decimal], ...]]:
        """All at edges but one, and that one as little as it takes."""
        seen = set()
        for edges in product(*(self._useful[name] for name in names)):
            given = tuple(zip(names, edges, strict=True))
            if not self._does(given):
                continue
            for place, name in enumerate(names):
                others = (*given[:place], *given[place + 1 :])
                if (place, others) in seen:
                    continue
                seen.add((place, others))
                for value in self._dials[name].values:
                    one = (*given[:place], (name, value), *given[place + 1 :])
                    if self._does(one):
                        yield one
                        break

    def _does(self, given: tuple[tuple[str, Decimal], ...]) -> bool:
        if given not in self._tried:
            self._tried[given] = self._lifts(assess(self._card, self._changed(given)))
        return self._tried[given]

    def _helps(self, name: str, edge: Decimal) -> bool:
        """Whether it gives points, or silences a rule."""
        one = assess(self._card, self._changed(((name, edge),)))
        more = one.score is not None and self._base.score is not None and one.score > self._base.score
        return more or one.rules != self._base.rules or self._lifts(one)

    def _changed(self, given: tuple[tuple[str, Decimal], ...]) -> dict[str, Reading]:
        """The readings as they would be; formulas follow."""
        readings = dict(self._readings)
        for name, value in given:
            for one in self._dials[name].measures:
                readings[one] = _set(readings[one], value)
        for name in self._formulas:
            found = _computed(self._card, name, readings)
            if isinstance(found, Decimal):
                readings[name] = replace(readings[name], value=found)
        return readings

    def _all_dials(self) -> Iterator[_Dial]:
        together: dict[tuple[Read, bool], list[str]] = {}
        for name, one in self._card.measures.items():
            reading = self._readings[name]
            if isinstance(one.read, Read) and reading.state == "value" and _raw(reading) is not None:
                together.setdefault((one.read, one.against is not None and reading.normal is None), []).append(name)
        for (read, only_share), names in together.items():
            scale = _SHARE if only_share else _scale(read)
            if scale is not None and self._matters(names):
                named = sorted(names, key=lambda name: (self._card.measures[name].spoken, name))
                dial = _dial(self._card, scale, named, self._readings)
                if dial is not None:
                    yield dial

    def _matters(self, names: Sequence[str]) -> bool:
        """Whether one of them costs points, or speaks in a rule that holds, itself or through a formula."""
        wanted = {one.measure for one in self._base.drivers}
        for rule in self._base.rules:
            wanted |= _names(self._card.rules[rule].when)
        for name in reversed(self._formulas):
            read = self._card.measures[name].read
            if name in wanted and isinstance(read, Formula):
                wanted |= _names(read.expression)
        return bool(wanted & set(names))


def _formulas(card: Card, readings: Mapping[str, Reading]) -> tuple[str, ...]:
    """Those that can be worked out again from the readings, each behind those it rests on."""
    rests = {name: _names(one.read.expression) for name, one in card.measures.items() if isinstance(one.read, Formula)}
    order = TopologicalSorter({name: sorted(rests[name] & rests.keys()) for name in sorted(rests)}).static_order()
    return tuple(
        name for name in order if readings[name].state == "value" and _computed(card, name, readings) == readings[name].value
    )  # fmt: skip


def _computed(card: Card, name: str, readings: Mapping[str, Reading]) -> Value | None:
    read = card.measures[name].read
    assert isinstance(read, Formula)
    values = {one: reading.value for one, reading in readings.items() if reading.value is not None}
    found = read.expression.found(Known(values, "", card.order, by_zero=read.by_zero))
    return found if found is None or isinstance(found, str) else nine(Decimal(found))


def _dial(card: Card, scale: _Scale, names: Sequence[str], readings: Mapping[str, Reading]) -> _Dial | None:
    now = _raw(readings[names[0]])
    assert now is not None
    numbers = {number for name in names for number in _numbers(card, name, readings[name])}
    places = {
        int((number * scale.size).to_integral_value("ROUND_FLOOR")) + step
        for number in numbers
        for step in (-1, 0, 1, 2)
    }
    edges = sorted({value for place in places if scale.holds(value := scale.value(place))} - {now})
    if not edges:
        return None
    low, high = min(edges[0], now), max(edges[-1], now)
    first, last = (int((end * scale.size).to_integral_value()) for end in (low, high))
    step = _round_step(last - first)
    between = (scale.value(place) for place in range(first - first % step, last + 1, step))
    values = {value for value in (*edges, *between) if low <= value <= high and scale.holds(value)} - {now}
    nearest = tuple(sorted(values, key=lambda value: (abs(value - now), value)))
    return _Dial(names[0], tuple(names), tuple(edges), nearest, now, high - low)


def _round_step(length: int) -> int:
    """1, 2, 5, 10 …: so that not more than so many steps make the length."""
    steps = (digit * 10**zeros for zeros in range(20) for digit in (1, 2, 5))
    return next(int(step) for step in steps if length <= step * _FINEST)


def _scale(read: Read) -> _Scale | None:
    """What the customer can bring this to; None where nothing they do changes it."""
    stretch = read.window
    if isinstance(stretch, Calendar):
        days, past = _CALENDAR[stretch.unit], bool(stretch.back or stretch.years_back)
    else:
        days, past = 0 if stretch.oldest is None else stretch.days, stretch.newest > 0
    if past or read.fade is not None or {one.kind for one in read.selections} & _OURS:
        return None
    none, one = Decimal(0), Decimal(1)
    match read.what:
        case "days_with" | "weeks_with" | "months_with":
            unit = {"days_with": 1, "weeks_with": 7, "months_with": 30}[read.what]
            return _Scale(one, none, Decimal(-(-days // unit)) if days else None)
        case "count" | "total" if read.per:
            whole = read.spread == "average" and not read.skip_empty and days
            return _Scale(CONTEXT.divide(Decimal(days), Decimal(read.per)) if whole else Decimal(10), none, None)
        case "count" | "total" | "now" | "labels" | "since":
            return _Scale(one, none, None)
        case "latest" | "lowest" | "highest" | "average" | "median":
            ends = [_ANSWERS[kind] for kind in sorted(read.kinds) if kind in _ANSWERS]
            size = one if read.what in ("latest", "lowest", "highest") else Decimal(10)
            return _Scale(size, Decimal(ends[0][0]), Decimal(ends[0][1])) if ends else _Scale(size, none, None)
        case _:
            return None


def _raw(reading: Reading) -> Decimal | None:
    """What was read, before it became a share of a normal; None for a text."""
    read = reading.value if reading.current is None else reading.current
    return read if isinstance(read, Decimal) else None


def _set(reading: Reading, value: Decimal) -> Reading:
    if reading.normal is None:
        return replace(reading, value=value)
    return replace(reading, value=nine(CONTEXT.divide(value, reading.normal)), current=value)


def _numbers(card: Card, name: str, reading: Reading) -> Iterator[Decimal]:
    """The numbers that tables and rules hold the measure against, as it is read; and none, and twice as much."""
    measure = card.measures[name]
    tables = [measure.points, *(other.points for other in measure.instead)]
    named = [number.value for table in tables if table is not None for number in table.numbers()]
    for rule in card.rules.values():
        if name in _names(rule.when):
            found = (one.value for one in leaves(rule.when) if isinstance(one, Literally))
            named += [number.value for number in found if not isinstance(number, str)]
    for number in named:
        yield number if reading.normal is None else CONTEXT.multiply(number, reading.normal)
    if any(isinstance(one.read, Formula) and name in _names(one.read.expression) for one in card.measures.values()):
        now = _raw(reading)
        assert now is not None
        yield from (Decimal(0), 2 * now)


def _names(expression: Expression) -> set[str]:
    found = leaves(expression)
    return {one.name if isinstance(one, Name) else one.text for one in found if isinstance(one, Name | Spoken)}


# -- in words ---------------------------------------------------------------------------------------------------------

_ENDING: Final = {
    "unpaid_invoice": "paying",
    "open_ticket": "settling",
    "open_dispute": "settling",
    "cancellation_planned": "taking back",
}
"""How what is open is brought to its end."""


def in_words(card: Card, assessment: Assessment, standing: Standing | None = None) -> str:
    """`2 more days with usage (14 instead of 12 of the last 30) would make it green`; "" where nothing is to be lifted."""
    if not _wanted(card, assessment, _stands(card, standing)(assessment)):
        return ""
    found = lift(card, assessment, standing)
    if found is None:
        return "no single realistic change would lift it"
    *firsts, last = (_move_in_words(card, move) for move in found.moves)
    changes = f"{', '.join(firsts)} and {last}" if firsts else last
    return f"{changes} would {'keep' if standing and standing.band == found.band else 'make'} it {found.band}"


def _move_in_words(card: Card, move: Move) -> str:
    measure = card.measures[move.measure]
    old, new = _raw(move.old), _raw(move.new)
    assert isinstance(measure.read, Read)
    assert old is not None
    assert new is not None
    if measure.against is not None:
        whose = "the portfolio's" if isinstance(measure.against, Portfolio) else "their own"
        shares = (
            f"{plain(half_up(one.value * 100))}%" for one in (move.new, move.old) if isinstance(one.value, Decimal)
        )
        after, before = shares
        return f"{_things(measure.read, 2)} at {after} of {whose} normal instead of {before}"
    return _change_in_words(measure.read, old, new)


def _change_in_words(read: Read, old: Decimal, new: Decimal) -> str:
    things, many, within = _things(read, 2), abs(new - old), _within(read)
    count = f"{plain(half_up(many, 1))} {'more' if new > old else 'fewer'}"
    instead = f"{plain(half_up(new, 1))} instead of {plain(half_up(old, 1))}"
    match read.what:
        case "days_with" | "weeks_with" | "months_with":
            unit = read.what.removesuffix("s_with") + ("" if many == 1 else "s")
            return f"{count} {unit} with {things} ({instead}{within.replace(' in ', ' of ', 1).removesuffix(' days')})"
        case "now" if new < old:
            verb = next((_ENDING[kind] for kind in sorted(read.kinds) if kind in _ENDING), "closing")
            if many < old:
                return f"{verb} {plain(many)} of {plain(old)} {things}"
            return f"{verb} the {_things(read, 1)}" if old == 1 else f"{verb} all {plain(old)} {things}"
        case "count" | "now" if not read.per:
            return f"{count} {_things(read, 1 if many == 1 else 2)} ({instead}{within})"
        case "labels":
            return f"{count} different labels of {things} ({instead}{within})"
        case "since":
            return f"the last {_things(read, 1)} {instead} days ago"
        case "count" | "total":
            each = {1: " per day", 7: " per week", 30: " per month"}.get(read.per, "")
            return f"{things} of {instead}{each}{within}"
        case "latest":
            return f"the latest {_things(read, 1)} being {instead}"
        case _:
            return f"{read.what} {_things(read, 1)} of {instead}{within}"


def _things(read: Read, many: int) -> str:
    """`logins`, `unpaid invoice`, `open tickets labelled "urgent"`."""
    return " or ".join(_selected(one, many) for one in read.selections)


def _selected(one: Selection, many: int) -> str:
    kind = kind_named(one.kind)
    words = kind.singular if many == 1 else kind.plural
    if one.labels:
        words += " labelled " + " or ".join(f'"{label}"' for label in one.labels)
    if one.without:
        words += " not labelled " + " or ".join(f'"{label}"' for label in one.without)
    return words


def _within(read: Read) -> str:
    """` in the last 30 days`; "" where there is no end."""
    if isinstance(read.window, Calendar):
        return f" in this calendar {read.window.unit}"
    if read.window.oldest is None:
        return ""
    unit, length = {7: ("weeks", 7), 30: ("months", 30)}.get(read.per, ("days", 1))
    return f" in the last {read.window.days // length} {unit}"
