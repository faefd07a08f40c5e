"""What a scorecard says, as frozen values; `scorecard.load` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

from worker.scoring.conditions import Condition
from worker.scoring.phrases import Hold, Read
from worker.scoring.points import Table

GREY: Final = "grey"
"""The band of those about whom too little is known; every card has it."""


@dataclass(frozen=True)
class Measure:
    """One `[measures.…]` table."""

    name: str
    read: Read
    against: Read | None = None
    """Their own normal: the value is then `read` as a share of this."""
    points: Table | None = None
    """None for a measure that only rules and signals look at."""
    if_never: Decimal | None = None
    """Points for what was never seen; None leaves it out."""
    if_no_normal: Decimal | None = None
    """Points where there is nothing to hold `read` against; None leaves it out."""
    not_in_first: int = 0
    """Days since the customer began during which it does not apply."""
    answer_valid_for: int = 0
    """Days after which an answer is too old to speak; 0 for never."""
    watch_only: bool = False
    """It is computed and reported, and moves nothing."""
    says: str = ""
    do: str = ""
    """The play that answers it."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of fact that it rests on."""
        return frozenset({self.read.kind} | ({self.against.kind} if self.against else set()))


@dataclass(frozen=True)
class Dimension:
    """One `[dimensions.…]` table: its share of the score, and the shares of its measures; all in percent."""

    share: Decimal
    measures: Mapping[str, Decimal]


@dataclass(frozen=True)
class Rule:
    """One `[rules.…]` table. A limit is a band's name or a score."""

    when: Condition
    at_most: str | Decimal | None
    at_least: str | Decimal | None
    because: str


@dataclass(frozen=True)
class Signal:
    """One `[signals.…]` table."""

    when: Condition
    do: str


@dataclass(frozen=True)
class Band:
    """A colour, and the score from which it begins; the worst begins at 0."""

    name: str
    edge: Decimal


@dataclass(frozen=True)
class Card:
    """A whole scorecard."""

    name: str
    goal: str
    version: str
    """A short hash of what the card says; comments and spaces do not count."""
    measures: Mapping[str, Measure]
    dimensions: Mapping[str, Dimension]
    rules: Mapping[str, Rule]
    signals: Mapping[str, Signal]
    bands: tuple[Band, ...]
    """Best first."""
    worse: Hold
    """What a turn for the worse takes."""
    better: Hold
    least_known: Decimal
    """Below this coverage the band is grey."""
    leaving: tuple[str, ...]
    """The outcomes the score is checked against."""

    def kinds(self) -> frozenset[str]:
        """Every kind of fact that the card reads."""
        return frozenset().union(*(measure.kinds for measure in self.measures.values()))

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the bands, best first; grey is not among them."""
        return tuple(band.name for band in self.bands)

    def band_of(self, score: Decimal) -> str:
        """The band a score falls in, by the edges alone."""
        return next((band.name for band in self.bands if score >= band.edge), self.bands[-1].name)

    def worst(self, *bands: str) -> str:
        """The worst of these bands."""
        return max(bands, key=self.order.index)

    def within(self, band: str, at_most: str, at_least: str) -> str:
        """A band within the limits that rules set ("" is none); the most severe has the last word."""
        lifted = self.best(band, at_least) if at_least else band
        return self.worst(lifted, at_most) if at_most else lifted

    def best(self, *bands: str) -> str:
        """The best of these bands."""
        return min(bands, key=self.order.index)
