"""What the patience of the bands buys, and what it costs: the same days lived with the card's setting and at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from worker.scoring.bands import Standing, settle
from worker.scoring.card import GREY, Card, Hold
from worker.scoring.score import Assessment

BACK_WITHIN: Final = 14
"""Days within which a turn that is taken back was a flap."""
_DAY: Final = 86_400

Days = Sequence[tuple[int, Assessment]]
"""(number of the customer's local day, that day's assessment), oldest first."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How often bands turned."""

    changes: int
    alerts: int
    """Turns for the worse; into grey is one."""
    flaps: int
    """Turns that were taken back within 14 days."""


@dataclass(frozen=True, slots=True)
class Warned:
    """How long before a known departure the worst band was shown."""

    customer_id: str
    left_on: int
    at_once_on: int
    """The number of the first day on which the score alone was in the worst band."""
    settled_on: int | None
    """The first on which the customer stood there; None where they left before."""

    @property
    def days_lost(self) -> int:
        """How many days later the setting warned; all of them where it never did."""
        return (self.left_on if self.settled_on is None else self.settled_on) - self.at_once_on


@dataclass(frozen=True, slots=True)
class Flaps:
    """The flap report."""

    customers: int
    days: int
    """Customer days that were looked at."""
    with_setting: Turns
    at_once: Turns
    warnings: tuple[Warned, ...]
    """One for each known departure before which the score alone had been in the worst band, by customer."""

    @property
    def alerts_removed(self) -> int:
        """How many turns for the worse the setting spares."""
        return self.at_once.alerts - self.with_setting.alerts

    @property
    def days_of_warning_lost(self) -> int:
        """What that costs, in all."""
        return sum(one.days_lost for one in self.warnings)


def flap_report(card: Card, history: Mapping[str, Days], departures: Mapping[str, int] | None = None) -> Flaps:
    """Live the days of these customers twice, with the card's hold and days, and without any.

    `history` is {customer: days}, `departures` {customer: the number of the local day on which they left}; what comes on
    that day or later is left out.
    """
    left = departures or {}
    hasty = replace(card, worse=Hold(), better=Hold())
    settled, raw, warnings, looked_at = Turns(0, 0, 0), Turns(0, 0, 0), [], 0
    for customer_id, days in sorted(history.items()):
        end = left.get(customer_id)
        days = [one for one in days if end is None or one[0] < end]
        looked_at += len(days)
        patient, at_once = _lived(card, days), _lived(hasty, days)
        settled, raw = _more(settled, turns(card, patient)), _more(raw, turns(card, at_once))
        seen = _first(at_once, card.order[-1])
        if end is not None and seen is not None:
            warnings.append(Warned(customer_id, end, seen, _first(patient, card.order[-1])))
    return Flaps(len(history), looked_at, settled, raw, tuple(warnings))


def _lived(card: Card, days: Days) -> list[tuple[int, str]]:
    """(day, band) of each day."""
    standing: Standing | None = None
    lived = []
    for day, assessment in days:
        standing = settle(card, standing, assessment, day * _DAY, day)
        lived.append((day, standing.band))
    return lived


def _first(lived: Iterable[tuple[int, str]], band: str) -> int | None:
    return next((day for day, one in lived if one == band), None)


def turns(card: Card, lived: Sequence[tuple[int, str]]) -> Turns:
    """Count the turns of one customer, whose (day, band) these are, oldest first."""
    changes = [(day, old, new) for (_, old), (day, new) in pairwise(lived) if old != new]
    worse = sum(
        new == GREY or (old != GREY and card.order.index(new) > card.order.index(old)) for _, old, new in changes
    )
    flaps = sum(back_on - on <= BACK_WITHIN and old == back for (on, old, _), (back_on, _, back) in pairwise(changes))
    return Turns(len(changes), worse, flaps)


def _more(one: Turns, other: Turns) -> Turns:
    return Turns(one.changes + other.changes, one.alerts + other.alerts, one.flaps + other.flaps)
