"""Who left, and what the card would have said: what a look-back tells, and how it is counted. Pure.

The joiner `worker/lookback.py` reads, scores and asks the plays. Bands are as score and rules cut them, without hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from worker.facts import MILLION
from worker.lib.rounding import half_up, plain
from worker.scoring import explain
from worker.scoring.card import GREY, Card
from worker.scoring.score import Assessment

BEFORE: Final = (90, 60, 30)
"""How many days before they left customers are looked at."""
DRIVERS: Final = 3
"""How many of the costliest measures are named."""


# -- what is told of one customer -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """What the card would have said on a day."""

    days: int
    """Before they left."""
    on: str
    """The local day: 2026-01-31."""
    band: str
    """"" where they were not a customer then (or had left, and come back later)."""
    score: str
    """Whole points; "" while unknown."""
    why: tuple[str, ...]
    """Rules that spoke, and the costliest measures, in words."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a play would have done."""

    on: str
    days: int
    """Before they left."""
    play: str
    title: str
    does: str
    """`a mail to the customer`, `an alert to the team`."""


@dataclass(frozen=True, slots=True)
class Left:
    """A customer who left by choice."""

    customer_id: str
    name: str
    on: str
    back_on: str
    """When they came again; "" while they have not."""
    paid: dict[str, str]
    """currency -> what they paid in the 90 days before."""
    before: tuple[View, ...]
    """One for each of BEFORE."""
    acts: tuple[Act, ...]
    red_for: int
    """Days in a row in the worst band, up to the day before they left; 120 for that and more."""
    ever_red: bool
    """On one of the days, one a week, on which everybody was looked at."""


@dataclass(frozen=True, slots=True)
class Stayed:
    """A customer who was in the worst band and did not leave by choice."""

    customer_id: str
    name: str
    since: str
    """The first day of the last time they were."""
    until: str
    """The last day of it; "" where they still are."""
    weeks: int
    """How many of the days that were looked at, one a week, found them there."""
    why: tuple[str, ...]
    """On the first day of the last time."""
    paid: dict[str, str]
    """currency -> what they paid in the last 90 days of the period."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How those who left by choice stood so many days before."""

    days: int
    bands: dict[str, int]
    """band -> customers, best first, grey last."""
    absent: int
    """Not a customer then."""
    paid: dict[str, dict[str, str]]
    """band -> currency -> what these paid in the 90 days before they left."""


@dataclass(frozen=True, slots=True)
class Square:
    """The two questions against each other: was red on a day that was looked at; left by choice in the period."""

    red_left: int
    red_stayed: int
    other_left: int
    other_stayed: int

    @property
    def red(self) -> int:
        """Ever red."""
        return self.red_left + self.red_stayed

    @property
    def left(self) -> int:
        """Left by choice."""
        return self.red_left + self.other_left

    @property
    def everyone(self) -> int:
        """Left by choice, or stayed; who left otherwise is not among them."""
        return self.red + self.other_left + self.other_stayed


@dataclass(frozen=True)
class LookBack:
    """All of it, ready for a terminal, a page and JSON."""

    business: str
    card: str
    version: str
    since: str
    until: str
    """Local days, both included."""
    days: int
    best: str
    worst: str
    """The names of the card's best and worst band."""
    left: tuple[Left, ...]
    """By choice, the last to go first."""
    left_otherwise: dict[str, int]
    """how -> customers."""
    stayed: tuple[Stayed, ...]
    """In the worst band and stayed: those who were there the longest first."""
    horizons: tuple[Horizon, ...]
    square: Square
    shares: dict[str, str]
    """band -> how much of everybody, on the average of the days that were looked at: `7%`."""
    last_heard: str
    """The day of the last fact where that was long before the end; "" otherwise."""
    mostly_grey: bool
    """On half of the days or more too little was known to give a colour."""
    average: int
    """Customers on an average day."""
    unseen: dict[str, str]
    """What the card asks and could not know: `last nps` -> on how much of the days it was known."""
    paid_left: dict[str, str]
    paid_stayed: dict[str, str]
    """What they paid: who left in their last 90 days, who was red and stayed in the period's last 90."""
    troubles: dict[str, str] = field(default_factory=dict)
    """What could not be pulled, and why."""

    @property
    def red_at_the_end(self) -> tuple[int, int]:
        """How many who left were in the worst band the day before; and for how many days half of them had been at least."""
        spells = sorted(one.red_for for one in self.left if one.red_for)
        return len(spells), spells[(len(spells) - 1) // 2] if spells else 0

    @property
    def alarming(self) -> tuple[str, ...]:
        """The bands that are a warning, the worst first: all but the best, and grey."""
        return tuple(band for band in reversed(self.horizons[0].bands) if band not in {self.best, GREY})

    def warned(self, horizon: Horizon) -> int:
        """How many of those who left were in one of those."""
        return sum(horizon.bands[band] for band in self.alarming)


# -- counting ---------------------------------------------------------------------------------------------------------


def why(card: Card, assessment: Assessment) -> tuple[str, ...]:
    """The rules that spoke and the costliest measures, in words; in grey, how little was known."""
    parts = list(dict.fromkeys(explain.rules_in_words(card, assessment)))
    if assessment.band == GREY:
        parts.insert(0, f"only {plain(half_up(assessment.coverage * 100))}% of what counts was known")
    parts += [explain.driver_in_words(card, assessment, one) for one in assessment.drivers[:DRIVERS]]
    return tuple(parts) or ("nothing cost points",)


def bands_of(card: Card) -> tuple[str, ...]:
    """The card's bands, best first, and grey."""
    return (*card.order, GREY)


def horizons(card: Card, left: Sequence[Left], paid: Mapping[str, Mapping[str, int]]) -> tuple[Horizon, ...]:
    """For each of BEFORE how many stood in which band; `paid` is customer -> currency -> millionths."""
    found = []
    for place, days in enumerate(BEFORE):
        views = [(one.customer_id, one.before[place].band) for one in left]
        counts = Counter(band for _, band in views)
        sums = {
            band: money(total(paid[customer] for customer, theirs in views if theirs == band))
            for band in bands_of(card)
        }
        found.append(Horizon(days, {band: counts[band] for band in bands_of(card)}, counts[""], sums))
    return tuple(found)


def total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Money by currency, added up."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)
    return dict(sums)


def money(millionths: Mapping[str, int]) -> dict[str, str]:
    """Whole units with thousands set apart, by currency in alphabetical order: {"USD": "1,240"}."""
    return {
        currency: f"{half_up(Decimal(amount) / MILLION):,}" for currency, amount in sorted(millionths.items()) if amount
    }
