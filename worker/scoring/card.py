"""What a scorecard says, as frozen values; `scorecard.load` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Final, Literal

from worker.scoring.expressions import Expression
from worker.scoring.points import FULL, Table
from worker.scoring.reads import Portfolio, Read, Source

GREY: Final = "grey"
"""The band of those about whom too little is known; every card has it."""

HEALTH: Final = "health"
"""The name of the score that has bands; a card may have others beside it."""

Combine = Literal["weighted mean", "mean", "sum", "lowest", "highest", "worst colour"]


@dataclass(frozen=True, slots=True)
class Hold:
    """How stubborn a band is: points past the line, and days."""

    points: Decimal = Decimal(0)
    days: int = 0


@dataclass(frozen=True, slots=True)
class TableIf:
    """Another table, for those of whom `when` holds: `[measures.x.instead.newcomers]`."""

    name: str
    when: Expression
    points: Table


@dataclass(frozen=True)
class Measure:
    """One `[measures.…]` table, or a sentence that a condition speaks itself."""

    name: str
    """Of a spoken one the sentence."""
    read: Source
    against: Read | Portfolio | None = None
    """The normal: the value is then `read` as a share of this."""
    points: Table | None = None
    """None for a measure that only rules, signals and formulas look at."""
    instead: tuple[TableIf, ...] = ()
    """The first that holds takes the place of `points`."""
    floor: Decimal | None = None
    """The fewest points it gives, whatever the table says; and the most."""
    cap: Decimal | None = None
    decimals: int | None = None
    """Its points are rounded half up to so many; None leaves them."""
    if_never: Decimal | None = None
    """Points for what was never seen; None leaves it out. What is given points counts as known."""
    if_no_normal: Decimal | None = None
    """Points where there is nothing to hold `read` against; None leaves it out."""
    if_expired: Decimal | None = None
    if_not_applicable: Decimal | None = None
    not_in_first: int = 0
    """Days since the customer began during which it does not apply."""
    answer_valid_for: int = 0
    """Days after which an answer is too old to speak; 0 for never."""
    watch_only: bool = False
    """It is computed and reported, and moves nothing."""
    says: str = ""
    do: str = ""
    """The play that answers it."""
    spoken: bool = False
    """It was not named in the card: a condition speaks it."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of fact that it reads itself; what a formula rests on is for the card to tell (`kinds_of`)."""
        sides = (self.read, self.against)
        return frozenset().union(*(side.kinds for side in sides if isinstance(side, Read)))


@dataclass(frozen=True, slots=True)
class MixIf:
    """Other shares, for those of whom `when` holds: `[dimensions.voice.instead.no-nps]`."""

    name: str
    when: Expression
    measures: Mapping[str, Decimal]
    dimensions: Mapping[str, Decimal]


@dataclass(frozen=True)
class Mix:
    """How parts become one number: a dimension, the score, and each of the other scores."""

    measures: Mapping[str, Decimal] = field(default_factory=dict)
    """{measure: share in percent}; with its dimensions they total 100 where the shares weigh."""
    dimensions: Mapping[str, Decimal] = field(default_factory=dict)
    combine: Combine = "weighted mean"
    base: Decimal = Decimal(0)
    """Where a sum begins."""
    floor: Decimal | None = None
    cap: Decimal | None = None
    decimals: int | None = None
    """Rounded half up to so many decimals; None leaves it."""
    known_at_least: Decimal = Decimal(0)
    """Below this share of known importance inside (0 to 1) it is not known itself."""
    instead: tuple[MixIf, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One `[rules.…]` table. A limit is a band's name or a score."""

    when: Expression
    at_most: str | Decimal | None = None
    at_least: str | Decimal | None = None
    because: str = ""
    set: str | Decimal | None = None
    add: Decimal = Decimal(0)
    score: str = HEALTH
    """Which score it is about; of the others only numbers can be limited."""


@dataclass(frozen=True)
class Signal:
    """One `[signals.…]` table."""

    when: Expression
    do: str


@dataclass(frozen=True)
class Band:
    """A colour, and the score from which it begins; the worst begins at the lowest score."""

    name: str
    edge: Decimal
    above: bool = False
    """It begins above the edge rather than at it."""

    def takes(self, score: Decimal) -> bool:
        """Whether a score reaches it."""
        return score > self.edge if self.above else score >= self.edge


@dataclass(frozen=True)
class Card:
    """A whole scorecard."""

    name: str
    goal: str
    version: str
    """A short hash of what the card says; comments and spaces do not count."""
    measures: Mapping[str, Measure]
    """By name; behind them what conditions speak themselves, by their sentences."""
    dimensions: Mapping[str, Mix]
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
    score: Mix
    """How the dimensions (or measures) become the score."""
    scores: Mapping[str, Mix] = field(default_factory=dict)
    """The other scores beside it."""
    bonus: Mapping[str, Decimal] = field(default_factory=dict)
    """{measure: points that full marks add on top of the score}."""
    first_rule_only: bool = False
    """Of the rules that hold only the first speaks; otherwise all do, and the most severe has the last word."""
    cut_raw: bool = False
    """Bands are cut on the score before it was rounded."""
    lowest: Decimal = Decimal(0)
    """The range of the score."""
    highest: Decimal = FULL
    who: Expression | None = None
    """Who is scored at all; None for everybody."""

    def kinds(self) -> frozenset[str]:
        """Every kind of fact that the card reads."""
        return frozenset().union(*(measure.kinds for measure in self.measures.values()))

    def in_dimensions(self) -> Iterator[str]:
        """The measures that some dimension, score or bonus counts."""
        mixes = (self.score, *self.dimensions.values(), *self.scores.values())
        shares = [mix.measures for mix in mixes] + [other.measures for mix in mixes for other in mix.instead]
        counted = set(self.bonus).union(*shares)
        return (name for name in self.measures if name in counted)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the bands, best first; grey is not among them."""
        return tuple(band.name for band in self.bands)

    def band_of(self, score: Decimal) -> str:
        """The band a score falls in, by the edges alone."""
        return next((band.name for band in self.bands if band.takes(score)), self.bands[-1].name)

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
