"""The ledger of a move: the difference between two scores of a customer, split exactly. Pure.

From the old score to the new one the readings change one measure at a time, under the old card; then the card changes;
then what a person said against the score. Each step is booked where it belongs. As the order of the measures decides
where a jump is booked that several of them make together, half of each is booked going forward through their names and
half going backward; the sum stays exact.

A score that is not known counts as none: what came or went with the knowledge is one entry, of data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final, Literal

from worker.lib.rounding import CONTEXT, half_up, plain
from worker.scoring import overrides
from worker.scoring.bands import Standing
from worker.scoring.card import GREY, Card, Measure
from worker.scoring.derived import Formula
from worker.scoring.explain import (
    called,
    day_in_words,
    fitted,
    measure_in_words,
    reason,
    rules_in_words,
    value_in_words,
)
from worker.scoring.expressions import Name, Spoken, leaves
from worker.scoring.measures import Reading
from worker.scoring.reads import Read
from worker.scoring.score import Assessment, assess

Why = Literal["behaviour", "time", "data", "version", "override"]

KINDS: Final[dict[Why, str]] = {
    "behaviour": "behaviour",
    "time": "time passing",
    "data": "data",
    "version": "scorecard",
    "override": "override",
}
"""What a move is made of, as people call it."""

_ZERO: Final = Decimal(0)

_GROWS_ALONE: Final = frozenset({"since", "since_first", "age", "days_since_attribute", "days_until_attribute"})
"""Reads that change from day to day though nothing happens."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a move."""

    card: Card | None
    """None where the version cannot be read any more."""
    assessment: Assessment
    day: int
    """The customer's local day."""
    age: int
    """Whole days since the customer began."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of a move."""

    kind: Why
    measure: str
    """"" where it is of no single one."""
    points: Decimal
    words: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """A whole move."""

    old: Decimal | None
    new: Decimal | None
    entries: tuple[Entry, ...]
    """The largest first, whichever way; none of nothing."""
    lifted: tuple[str, ...] = ()
    """What the rules say that held then and do no more; they may have held the band without moving the score."""

    @property
    def total(self) -> Decimal:
        """The difference, to the last decimal: what the entries sum to."""
        with localcontext(CONTEXT):
            return (self.new or _ZERO) - (self.old or _ZERO)


def ledger(old: Side, new: Side, between: Mapping[str, Reading], *, time_zone: str = "UTC") -> Ledger:
    """Split the way from the old score to the new one.

    `between` is what the measures of the old card read at the new moment, frozen where their source is down: where the
    card is the same, the readings of the new assessment. The zone is that of the days in which an override ends.
    """
    with localcontext(CONTEXT):
        before, after = computed(old.assessment), computed(new.assessment)
        entries = []
        start, end = before, before
        if old.card is not None and set(old.card.measures) <= between.keys() & old.assessment.measures.keys():
            start = assess(old.card, old.assessment.readings).score
            end = assess(old.card, between).score
            entries += _behaved(old.card, old, new, between, start, end)
        # What an older Keepwell would have computed otherwise counts as another version, too.
        changed = (after or _ZERO) - (end or _ZERO) + (start or _ZERO) - (before or _ZERO)
        entries += [
            Entry("version", "", changed, "the scorecard was changed"),
            Entry("override", "", _overridden(new) - _overridden(old), _override_words(old, new, time_zone)),
        ]
        kept = sorted((one for one in entries if one.points), key=lambda one: (-abs(one.points), one.kind, one.measure))
        return Ledger(old.assessment.score, new.assessment.score, tuple(kept), _lifted(old, new))


def _lifted(old: Side, new: Side) -> tuple[str, ...]:
    if old.card is None:
        return ()
    holds = [] if new.card is None else rules_in_words(new.card, new.assessment)
    return tuple(one for one in rules_in_words(old.card, old.assessment) if one not in holds)


def computed(assessment: Assessment) -> Decimal | None:
    """The score without what a person said against it."""
    return assessment.score if assessment.override is None else assessment.computed_score


# -- behaviour, time, data --------------------------------------------------------------------------------------------


def _behaved(
    card: Card, old: Side, new: Side, between: Mapping[str, Reading], start: Decimal | None, end: Decimal | None
) -> list[Entry]:
    after = assess(card, between)
    was, now = old.assessment.readings, after.readings
    if start is None and end is None:
        return []
    if start is None or end is None:
        return [Entry("data", "", (end or _ZERO) - (start or _ZERO), _known_words(card, old.assessment, after))]
    groups = _groups(card, (name for name in sorted(card.measures) if was[name] != now[name]))
    forward = _walked(card, was, now, groups, start)
    backward = _walked(card, was, now, dict(reversed(groups.items())), start)
    found = []
    for name, together in groups.items():
        kinds = [_kind(card, one, was, now, old, new) for one in together]
        kind = "data" if "data" in kinds else kinds[together.index(name)]
        points = (forward[name] + backward[name]) / 2
        found.append(Entry(kind, name, points, _words(card, name, was[name], now[name], kind, new.day)))
    return found


def _groups(card: Card, names: Iterable[str]) -> dict[str, list[str]]:
    """Measures that change as one: what a condition speaks itself goes with the measure that reads the same."""
    changed = list(names)
    named = {
        card.measures[name].read: name
        for name in reversed(changed)
        if not card.measures[name].spoken and card.measures[name].against is None
    }
    groups: dict[str, list[str]] = {}
    for name in changed:
        measure = card.measures[name]
        groups.setdefault(named.get(measure.read, name) if measure.spoken else name, []).append(name)
    return dict(sorted(groups.items()))


def _walked(
    card: Card,
    was: Mapping[str, Reading],
    now: Mapping[str, Reading],
    groups: Mapping[str, list[str]],
    start: Decimal,
) -> dict[str, Decimal]:
    """What each group moved, one after the other; where nothing is known on the way, the next one brings it all."""
    readings, last, moved = dict(was), start, {}
    for name, together in groups.items():
        readings.update({one: now[one] for one in together})
        score = assess(card, readings).score
        moved[name] = _ZERO if score is None else score - last
        last = last if score is None else score
    return moved


def _kind(card: Card, name: str, was: Mapping[str, Reading], now: Mapping[str, Reading], old: Side, new: Side) -> Why:
    """Where the change of one measure is booked. Silence is behaviour: a window that empties is not the calendar's."""
    before, after, measure = was[name], now[name], card.measures[name]
    states = {before.state, after.state}
    if "source_down" in states:
        return "data"
    if "not_applicable" in states:
        return "time" if old.age < measure.not_in_first <= new.age else "data"
    if isinstance(measure.read, Formula):
        changed = (one for one in _rests_on(card, measure.read) if was[one] != now[one])
        kinds = {_kind(card, one, was, now, old, new) for one in changed}
        return "data" if "data" in kinds else ("time" if kinds == {"time"} else "behaviour")
    return "time" if _only_time(measure, before, after) else "behaviour"


def _rests_on(card: Card, formula: Formula) -> list[str]:
    found = (
        one.name if isinstance(one, Name) else one.text
        for one in leaves(formula.expression)
        if isinstance(one, Name | Spoken)
    )
    return [name for name in found if name in card.measures]


def _only_time(measure: Measure, before: Reading, after: Reading) -> bool:
    """Whether the calendar alone has changed it: nothing happened but that days went by."""
    if after.state == "expired":
        return True
    if measure.against is not None and before.current is not None and before.current == after.current:
        return True  # they do the same as before, and only what is held against them slid
    if not isinstance(measure.read, Read) or before.value is None or after.value is None:
        return False
    if measure.read.what in _GROWS_ALONE:
        return before.day == after.day
    return measure.read.fade is not None and _sinks(before, after)


def _sinks(before: Reading, after: Reading) -> bool:
    """What fades can grow only by something new."""
    return isinstance(before.value, Decimal) and isinstance(after.value, Decimal) and after.value < before.value


# -- in words ---------------------------------------------------------------------------------------------------------


def _words(card: Card, name: str, before: Reading, after: Reading, kind: Why, today: int) -> str:
    words, told = called(card.measures[name]), measure_in_words(card, name, after)
    if after.state == "expired" and after.day is not None:
        return f"{words}: the answer of {day_in_words(after.day, today)} expired"
    if kind == "data":
        if after.state == "source_down":
            return f"{words}: its source is down"
        if after.state == "not_applicable":
            return f"{words}: no longer connected"
        arrived = "its source answers again" if before.state == "source_down" else "now connected"
        return f"{told} ({arrived})"
    if before.state == "not_applicable":
        return f"{told} (counts since the first {card.measures[name].not_in_first} days are over)"
    if before.value is None:
        return f"{told} (not known before)"
    if after.value == before.value:
        return told
    return f"{told} (was {value_in_words(card, name, before.value)})"


def _known_words(card: Card, old: Assessment, new: Assessment) -> str:
    """Which measures became known, or ceased to be."""
    came, went = (
        [
            called(card.measures[name])
            for name in card.in_dimensions()
            if one.measures[name].points is not None and other.measures[name].points is None
        ]
        for one, other in ((new, old), (old, new))
    )
    parts = [
        f"{label}: {', '.join(names)}" for label, names in (("now known", came), ("no longer known", went)) if names
    ]
    return "; ".join(parts) or ("there is a score now" if new.score is not None else "there is no score any more")


def _overridden(side: Side) -> Decimal:
    return (side.assessment.score or _ZERO) - (computed(side.assessment) or _ZERO)


def _override_words(old: Side, new: Side, time_zone: str) -> str:
    if new.assessment.override is not None:
        return overrides.in_words(new.assessment.override, time_zone)
    return "" if old.assessment.override is None else overrides.ended_in_words(old.assessment.override)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a ledger as it is printed: rounded so that the lines still sum to the total as printed."""

    points: str
    """`-18.3`, `+4`."""
    kind: str
    words: str


def shown(one: Ledger) -> tuple[str, list[Line]]:
    """The total with one decimal, and the lines that make it, largest first; what rounds to nothing is left out.

    The total is the difference between the two scores as people see them, with one decimal each; the tenths that
    rounding leaves over go to the entries that it wronged most.
    """
    total = int(10 * (half_up(one.new or _ZERO, 1) - half_up(one.old or _ZERO, 1)))
    exact = [entry.points * 10 for entry in one.entries]
    tenths = [int(points.to_integral_value("ROUND_FLOOR")) for points in exact]
    by_rest = sorted(range(len(exact)), key=lambda place: (tenths[place] - exact[place], place))
    for turn in range(total - sum(tenths)):
        tenths[by_rest[turn % len(by_rest)]] += 1
    if tenths:
        tenths[0] -= max(0, sum(tenths) - total)  # where the scores were rounded the other way
    lines = [
        Line(signed(Decimal(n) / 10), KINDS[entry.kind], entry.words)
        for n, entry in zip(tenths, one.entries, strict=True)
        if n
    ]
    return signed(Decimal(total) / 10), lines


def score_in_words(score: Decimal | None) -> str:
    """`64.4`."""
    return "no score" if score is None else plain(half_up(score, 1))


def signed(points: Decimal) -> str:
    """`-18`, `+4`, `0`."""
    return f"+{plain(points)}" if points > 0 else plain(points)


def as_data(one: Ledger) -> dict[str, Any]:
    """For `--json` and the API: exact numbers as text."""
    return {
        "old_score": None if one.old is None else plain(one.old),
        "new_score": None if one.new is None else plain(one.new),
        "total": plain(one.total),
        "entries": [
            {"kind": entry.kind, "measure": entry.measure, "points": plain(entry.points), "words": entry.words}
            for entry in one.entries
        ],
    }


def turn_in_words(card: Card, assessment: Assessment, before: str, standing: Standing, one: Ledger) -> str:
    """Why a band turned from `before`, in at most 250 characters: what a person said, the rules, then what moved.

    What moved the way of the turn comes first. Where nothing did, what costs points.
    """
    if GREY in {before, standing.band, assessment.band} or before not in card.order:
        return reason(card, assessment, standing)
    worse = card.worst(before, standing.band) == standing.band
    whole = ((half_up(entry.points), entry) for entry in one.entries if entry.kind != "override")
    moved = sorted(
        ((points, entry) for points, entry in whole if points), key=lambda pair: (pair[0] < 0) != worse
    )  # stable: the largest first within either way
    ended = [] if worse else [f"no longer: {words}" for words in one.lifted]
    if not ended and (not moved or (moved[0][0] < 0) != worse):
        return reason(card, assessment, standing)
    said = [entry.words for entry in one.entries if entry.kind == "override"]
    parts = [f"{entry.words}: {signed(points)}" for points, entry in moved]
    return fitted([*said, *ended, *rules_in_words(card, assessment), *parts])
