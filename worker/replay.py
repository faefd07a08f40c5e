"""Past days lived again under any card: what everybody's measures were at the end of each, for previews. Keeps nothing.

Facts count from when they happened, as if every source had always answered; what people said against a score is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from worker.lib.clock import end_of_day, local_day
from worker.lib.store import Store
from worker.review import records
from worker.review.past import Past
from worker.scoring import measures
from worker.scoring.bands import Standing, settle
from worker.scoring.card import Card
from worker.scoring.measures import Moment, Reading, Sources
from worker.scoring.score import Assessment, assess

_T = TypeVar("_T")

TOGETHER: Final = 500
"""Customers whose days are held in memory at once."""

Readings = Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose days are lived again."""

    past: Past
    moments: tuple[Moment, ...]
    """The end of each local day on which they were a customer, oldest first; of today the present moment."""

    @property
    def id(self) -> str:
        """The customer's id."""
        return self.past.customer_id


def customers(store: Store, now: int, days: int, time_zone: str) -> list[Customer]:
    """Everybody who was a customer on one of the last `days` days, today included."""
    found = []
    for past in records.pasts(store, now, time_zone).values():
        today = local_day(now, past.time_zone)
        moments = (
            Moment(past.customer_id, now if day == today else end_of_day(day, past.time_zone), day)
            for day in range(today - days + 1, today + 1)
        )
        here = tuple(one for one in moments if _is_here(past, one.at))
        if here:
            found.append(Customer(past, here))
    return sorted(found, key=lambda one: one.id)


def _is_here(past: Past, at: int) -> bool:
    """Whether an assessment as of then would have looked at them."""
    if at < past.first_known:
        return False
    last = [step for step in past.steps if step.at <= at][-1:]
    return not last or last[0].kind != "left"


# -- reading ----------------------------------------------------------------------------------------------------------


def read_each_day(
    store: Store, card: Card, asked: Sequence[Customer], sources: Sources
) -> Iterator[tuple[Customer, list[Readings | None]]]:
    """For each customer the readings at each of their moments, by one pass over everybody a day: exact, and slow.

    None where the customer was not known to the store yet.
    """
    for some in _together(asked, TOGETHER):
        by_day: dict[int, list[Moment]] = {}
        for one in some:
            for moment in one.moments:
                by_day.setdefault(moment.today, []).append(moment)
        found = {day: measures.read(store, card, moments, sources) for day, moments in sorted(by_day.items())}
        for one in some:
            yield one, [found[moment.today].get(one.id) for moment in one.moments]


def _together(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


# -- living -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """How a customer stood at the end of a day."""

    moment: Moment
    assessment: Assessment
    band: str
    turned_from: str = ""
    """The band before, where it turned on this day."""
    new_signals: frozenset[str] = frozenset()


@dataclass
class Life:
    """A customer's days under one card."""

    customer: Customer
    days: list[Day] = field(default_factory=list)
    standing: Standing | None = None
    """On the last day."""

    @property
    def turns(self) -> list[Day]:
        """The days on which the band turned."""
        return [one for one in self.days if one.turned_from]


def live(card: Card, customer: Customer, readings: Sequence[Readings | None]) -> Life:
    """Live these days under a card. The first is no turn: everybody is newly something then."""
    life = Life(customer)
    last: Readings | None = None
    assessment: Assessment | None = None
    for moment, found in zip(customer.moments, readings, strict=True):
        if found is None:
            continue
        before = assessment
        if assessment is None or found != last:
            assessment = assess(card, found)
        last = found
        previous = life.standing
        standing = life.standing = settle(card, previous, assessment, moment.at, moment.today)
        turned = previous.band if previous is not None and previous.band != standing.band else ""
        new = frozenset(assessment.signals) - frozenset(before.signals) if before is not None else frozenset()
        life.days.append(Day(moment, assessment, standing.band, turned, new))
    return life
