"""What a scorecard says, as frozen values; `scorecard.load` makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Final, Literal

from worker.lib.rounding import CONTEXT, half_up, nine
from worker.scoring.derived import Source
from worker.scoring.expressions import Expression
from worker.scoring.points import FULL, Table, spread
from worker.scoring.reads import Portfolio, Read

GREY: Final = "grey"
"""The band of those about whom too little is known; every card has it."""

HEALTH: Final = "health"
"""The name of the score that has bands; a card may have others beside it."""

Combine = Literal["weighted mean", "mean", "sum", "lowest", "highest", "worst colour", "middle colour"]


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

    def tables(self) -> Iterator[Table]:
        """Every table it may be given points by, the usual one first."""
        yield from [] if self.points is None else [self.points]
        yield from (other.points for other in self.instead)

    @cached_property
    def worth(self) -> dict[Decimal | str, Decimal | None]:
        """What `score` keeps with the measure: the points of the values it has met, for the same come again."""
        return {}

    def shaped(self, points: Decimal) -> Decimal:
        """What its table says, within floor and cap, and rounded."""
        return _shaped(points, self.floor, self.cap, self.decimals)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest that something can come to."""

    low: Decimal
    high: Decimal

    @property
    def span(self) -> Decimal:
        """How far it can move a sum that it is in."""
        return self.high - self.low


@dataclass(frozen=True)
class Shares:
    """How much each part of a mix weighs against the others.

    Percents that total 100 as the card gives them; 4, 2 and 1 for high, normal and low importance; 1 each for a list.
    So thirds and sevenths stay exact. In a sum every part counts fully, and its weight is 1.
    """

    measures: Mapping[str, Decimal] = field(default_factory=dict)
    dimensions: Mapping[str, Decimal] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> tuple[tuple[tuple[str, Decimal], ...], tuple[tuple[str, Decimal], ...]]:
        """Measures and dimensions in one order, whatever that of the card: so that it decides no digit."""
        return tuple(sorted(self.measures.items())), tuple(sorted(self.dimensions.items()))

    def percent(self, name: str) -> Decimal:
        """The share of a measure or dimension in percent, at most nine decimals."""
        total = sum((*self.measures.values(), *self.dimensions.values()), Decimal(0))
        weight = self.measures[name] if name in self.measures else self.dimensions[name]
        return nine(CONTEXT.divide(weight * FULL, total))


@dataclass(frozen=True)
class MixIf(Shares):
    """Other shares, for those of whom `when` holds: `[dimensions.voice.instead.no-nps]`."""

    name: str = field(kw_only=True)
    when: Expression = field(kw_only=True)


@dataclass(frozen=True)
class Mix(Shares):
    """How parts become one number: a dimension, the score, and each of the other scores."""

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

    def combined(self, parts: Sequence[tuple[Decimal, Decimal]], colour: Callable[[Decimal], Decimal]) -> Decimal:
        """One number of (weight, value) pairs, at least one, within floor and cap, not rounded.

        `colour` gives the points of the colour that a value lies in. To be called in `rounding.CONTEXT`.
        """
        match self.combine:
            case "weighted mean" | "mean":
                number = _mean(parts)
            case "sum":
                number = sum((value for _, value in parts), self.base)
            case "lowest":
                number = min(value for _, value in parts)
            case "highest":
                number = max(value for _, value in parts)
            case "worst colour":
                number = min(colour(value) for _, value in parts)
            case _:
                number = sorted(colour(value) for _, value in parts)[(len(parts) - 1) // 2]
        return _shaped(number, self.floor, self.cap, None)

    def rounded(self, number: Decimal) -> Decimal:
        """Half up to the decimals that it says; the number itself where it says none."""
        return number if self.decimals is None else half_up(number, self.decimals)

    @cached_property
    def is_mean(self) -> bool:
        """A weighted mean of its parts and nothing else, so that each part's own cost is its share."""
        plain = self.floor is None and self.cap is None and self.decimals is None
        return plain and self.combine in ("weighted mean", "mean")

    def parts(self) -> frozenset[str]:
        """The names of all measures that may ever be in it, by whichever shares."""
        return frozenset().union(self.measures, *(other.measures for other in self.instead))

    def inner(self) -> frozenset[str]:
        """The names of all dimensions that may ever be in it."""
        return frozenset().union(self.dimensions, *(other.dimensions for other in self.instead))


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
        counted = set(self.bonus).union(*(mix.parts() for mix in mixes))
        return (name for name in self.measures if name in counted)

    @cached_property
    def by_name(self) -> tuple[tuple[str, Measure], ...]:
        """The measures in one order, whatever that of the file."""
        return tuple(sorted(self.measures.items()))

    @cached_property
    def inside_out(self) -> tuple[tuple[str, Mix], ...]:
        """The dimensions, each behind those that are in it."""
        order = TopologicalSorter({name: sorted(mix.inner()) for name, mix in sorted(self.dimensions.items())})
        return tuple((name, self.dimensions[name]) for name in order.static_order())

    @cached_property
    def in_health(self) -> tuple[str, ...]:
        """The measures that the score rests on, by name; those of other scores alone are not among them."""
        return tuple(sorted({*self.bonus, *self._ways(self.score)[0]} & self.measures.keys()))

    @cached_property
    def is_mean(self) -> bool:
        """Every number on the way to the score is a weighted mean, so that what a measure costs is its share."""
        return not self.bonus and self.score.is_mean and all(mix.is_mean for mix in self.dimensions.values())

    @cached_property
    def mixes_with_others(self) -> tuple[Mix, ...]:
        """The mixes that have other shares for some customers."""
        mixes = (*self.dimensions.values(), self.score, *self.scores.values())
        return tuple(mix for mix in mixes if mix.instead)

    @cached_property
    def frames(self) -> dict[Any, Any]:
        """What `mixing` keeps with the card."""
        return {}

    @cached_property
    def judged(self) -> dict[str, dict[int, Any]]:
        """What `score` keeps of each measure, by the very reading: one is shared by all who have the same numbers."""
        return {name: {} for name in self.measures}

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What `score` keeps of the conditions."""
        return {}

    @cached_property
    def full_marks(self) -> Mapping[str, Decimal]:
        """The points that each measure of the score is held against: full marks; where it goes into a sum, its most."""
        summed, _ = self._ways(self.score)
        return {name: self.bounds[name].high if summed.get(name) else self.highest for name in self.in_health}

    @cached_property
    def beyond_range(self) -> tuple[frozenset[str], frozenset[str]]:
        """The measures, and the dimensions, that go into sums alone, be it through others: they may leave the range."""
        ways = [self._ways(mix) for mix in (self.score, *self.scores.values())]
        measures = {name for way, _ in ways for name in way if all(other.get(name, True) for other, _ in ways)}
        dimensions = {name for _, way in ways for name in way if all(other.get(name, True) for _, other in ways)}
        return frozenset(measures), frozenset(dimensions)

    def _ways(self, whole: Mix) -> tuple[dict[str, bool], dict[str, bool]]:
        """The measures and dimensions that a score is made of, and whether they go into a sum on their way to it."""
        measures: dict[str, bool] = {}
        dimensions: dict[str, bool] = {}
        mixes = [(whole, False)]
        while mixes:
            mix, summed = mixes.pop()
            summed = summed or mix.combine == "sum"
            measures.update(dict.fromkeys(mix.parts(), summed))
            dimensions.update(dict.fromkeys(mix.inner(), summed))
            mixes += [(self.dimensions[name], summed) for name in sorted(mix.inner())]
        return measures, dimensions

    @cached_property
    def bounds(self) -> Mapping[str, Bounds]:
        """The fewest and the most points that each measure's tables give; what knows no end, the range of the score."""
        wide = self.highest - self.lowest
        found = {}
        for name, measure in self.measures.items():
            low = min((max(one.lowest, -wide) for one in measure.tables()), default=Decimal(0))
            high = max((min(one.highest, wide) for one in measure.tables()), default=Decimal(0))
            found[name] = Bounds(measure.shaped(low), measure.shaped(high))
        return found

    @cached_property
    def inner_bounds(self) -> Mapping[str, Bounds]:
        """The lowest and the highest that each dimension can come to, by its usual shares."""
        found: dict[str, Bounds] = {}
        with localcontext(CONTEXT):
            for name, mix in self.inside_out:
                parts = [(weight, self.bounds[one]) for one, weight in mix.measures.items()]
                parts += [(weight, found[one]) for one, weight in mix.dimensions.items()]
                if not parts:
                    found[name] = Bounds(Decimal(0), Decimal(0))
                    continue
                low = mix.combined([(weight, one.low) for weight, one in parts], self.colour_of)
                high = mix.combined([(weight, one.high) for weight, one in parts], self.colour_of)
                found[name] = Bounds(mix.rounded(low), mix.rounded(high))
        return found

    @cached_property
    def colours(self) -> Mapping[str, Decimal]:
        """The points that a colour is worth: the bands spread evenly over the range."""
        return spread(self.order, self.lowest, self.highest)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the bands, best first; grey is not among them."""
        return tuple(band.name for band in self.bands)

    def colour_of(self, points: Decimal) -> Decimal:
        """The points of the colour that these points lie in."""
        return self.colours[self.band_of(points)]

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

    def only(self, at_most: str, at_least: str) -> str:
        """The one band that limits leave, whatever the score ("" is none); "" where they leave several."""
        if at_most and at_most in {at_least, self.order[-1]}:
            return at_most
        return at_least if at_least == self.order[0] and not at_most else ""

    def best(self, *bands: str) -> str:
        """The best of these bands."""
        return min(bands, key=self.order.index)


def _shaped(number: Decimal, floor: Decimal | None, cap: Decimal | None, decimals: int | None) -> Decimal:
    if floor is not None:
        number = max(number, floor)
    if cap is not None:
        number = min(number, cap)
    return number if decimals is None else half_up(number, decimals)


def _mean(parts: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    total = weighed = Decimal(0)
    for weight, value in parts:
        total += weight * value
        weighed += weight
    return total / weighed
