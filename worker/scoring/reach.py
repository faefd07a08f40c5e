"""What a card can come to: the values a measure can have, the points they earn, the score, and what always holds. Pure.

Bounds, not likelihoods: with everything known, and each measure for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise, product
from typing import Final

from worker.lib.rounding import CONTEXT, half_up, plain
from worker.scoring.card import HEALTH, Card, Measure, Mix
from worker.scoring.derived import Formula, RollUp
from worker.scoring.expressions import (
    SIGNS,
    BandIs,
    Both,
    Compare,
    Either,
    Expression,
    In,
    Literally,
    Missing,
    Name,
    Not,
    ScoreOf,
    Spoken,
    leaves,
)
from worker.scoring.points import FULL, Each, Number, Step, Steps, Table
from worker.scoring.reads import Rank, Read, Window

ANSWERS: Final = {
    "nps_answer": (Decimal(0), Decimal(10)),
    "pulse": (Decimal(1), Decimal(5)),
    "ticket_rating": (Decimal(0), Decimal(1)),
    "first_reply": (Decimal(0), None),
}
"""What answers of a kind lie between."""

_MOST_CASES: Final = 256
"""Conditions with more ways to hold than this are taken to be able to hold together."""


@dataclass(frozen=True, slots=True)
class Extent:
    """From where to where a number can go, both ends included; None is without end."""

    low: Decimal | None = None
    high: Decimal | None = None

    def holds(self, value: Decimal) -> bool:
        """Whether it can be that."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        """In words, behind “lies”."""
        if self.low is not None and self.high is not None:
            return f"from {_shown(self.low)} to {_shown(self.high)}"
        if self.low is not None:
            return f"at {_shown(self.low)} or above"
        return "anywhere" if self.high is None else f"at {_shown(self.high)} or below"


# -- values -----------------------------------------------------------------------------------------------------------


def extent(card: Card, measure: Measure) -> Extent:
    """What the measure's value can be."""
    found = _source_extent(card, measure.read)
    if measure.against is None:
        return found
    return Extent(Decimal(0)) if found.low is not None and found.low >= 0 else Extent()


def _source_extent(card: Card, source: Read | Rank | RollUp | Formula) -> Extent:
    match source:
        case Read():
            return _read_extent(source)
        case Rank(how="percentile"):
            return Extent(Decimal(0), FULL)
        case RollUp(how="number"):
            return Extent(Decimal(0))
        case RollUp(how="share"):
            return Extent(Decimal(0), Decimal(1))
        case RollUp(how="average" | "lowest" | "highest", of="score"):
            return Extent(card.lowest, card.highest)
    return Extent()


def _read_extent(read: Read) -> Extent:
    none = Decimal(0)
    days = read.window.days if isinstance(read.window, Window) and read.window.oldest is not None else None
    match read.what:
        case "days_with":
            return Extent(none, None if days is None else Decimal(days))
        case "weeks_with":
            return Extent(none, None if days is None else Decimal((days + 12) // 7))
        case "months_with":
            return Extent(none, None if days is None else Decimal((days + 58) // 28))
        case "count" | "now" | "since" | "since_first" | "labels" | "age":
            return Extent(none)
        case "latest" | "first" | "average" | "median" | "lowest" | "highest":
            known = [ANSWERS.get(kind, (None, None)) for kind in read.kinds]
            if len(known) == 1:
                return Extent(*known[0])
    return Extent()


def kinds(card: Card, measure: Measure, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """The kinds of fact that a measure rests on, through the measures that it is made of as well."""
    if measure.name in seen:
        return frozenset()
    seen |= {measure.name}
    found = measure.kinds
    if isinstance(measure.read, Formula):
        for leaf in leaves(measure.read.expression):
            if isinstance(leaf, Name) and leaf.name in card.measures:
                found |= kinds(card, card.measures[leaf.name], seen)
            elif isinstance(leaf, Spoken):
                found |= leaf.read.kinds
    elif isinstance(measure.read, Rank) and measure.read.measure in card.measures:
        found |= kinds(card, card.measures[measure.read.measure], seen)
    elif isinstance(measure.read, RollUp) and measure.read.of in card.measures:
        found |= kinds(card, card.measures[measure.read.of], seen)
    return found


# -- points -----------------------------------------------------------------------------------------------------------


def possible(table: Steps, step: Step, within: Extent) -> bool:
    """Whether some value that can be is taken by this step before all others."""
    if step.edge == "labels" or not any(table.numbers()):
        return True
    for value in samples(table, within):
        first = next((one for one in table.steps if one.takes(value)), None)
        if first is step:
            return True
    return False


def samples(table: Table, within: Extent) -> list[Decimal]:
    """Values enough to tell all parts of a table apart: its edges, one between any two, and the ends of what can be."""
    edges = sorted({number.value for number in table.numbers()}) or [Decimal(0)]
    between = [(low + high) / 2 for low, high in pairwise(edges)]
    ends = [edges[0] - 1 if within.low is None else within.low, edges[-1] + 1 if within.high is None else within.high]
    return sorted({value for value in [*edges, *between, *ends] if within.holds(value)})


def shared(table: Steps, one: Step, other: Step) -> tuple[str, bool] | None:
    """A value that both steps take though neither lies inside the other, and whether it is the only one.

    That a later step reaches further in the same direction is how a table is read, and is nothing shared.
    """
    mine, theirs, both = [], [], []
    for value in samples(table, Extent()):
        first, second = one.takes(value), other.takes(value)
        if first and second:
            both.append(value)
        elif first:
            mine.append(value)
        elif second:
            theirs.append(value)
    if not (mine and theirs and both):
        return None
    percent = any(number.percent for number in table.numbers())
    return str(Number(both[0], percent)), len(both) == 1


def points(card: Card, measure: Measure) -> tuple[Decimal, Decimal]:
    """The fewest and the most points that it can give; (0, 0) without a table, Infinity where a table knows no end."""
    within = extent(card, measure)
    found = [points for table in measure.tables() for points in _given(table, within)]
    fallbacks = (measure.if_never, measure.if_no_normal, measure.if_expired, measure.if_not_applicable)
    found += [one for one in fallbacks if one is not None]
    if not found:
        return Decimal(0), Decimal(0)
    return _clamped(measure, min(found)), _clamped(measure, max(found))


def _given(table: Table, within: Extent) -> list[Decimal]:
    """All points at the samples, in their order; of a table of labels, or without edges, all that it can give."""
    if isinstance(table, Each):
        return [table.lowest, table.highest] if table.points >= 0 else [table.highest, table.lowest]
    if isinstance(table, Steps) and table.labels():
        return table.given()
    return [points for value in samples(table, within) if (points := table.awarded(value)) is not None]


def _clamped(part: Measure | Mix, number: Decimal) -> Decimal:
    if part.floor is not None:
        number = max(number, part.floor)
    return number if part.cap is None else min(number, part.cap)


def direction(card: Card, measure: Measure) -> int | None:
    """1 where more of it is never worse, -1 where more is never better, None where it is neither, or says nothing."""
    if measure.points is None:
        return None
    given = _given(measure.points, extent(card, measure))
    rising = all(low <= high for low, high in pairwise(given))
    falling = all(low >= high for low, high in pairwise(given))
    if rising == falling:
        return None
    return 1 if rising else -1


# -- the score --------------------------------------------------------------------------------------------------------


def weights(card: Card) -> dict[str, Decimal]:
    """{measure: by how much the score moves, at most, for one point of it}; a bonus counts by its points."""
    found: dict[str, Decimal] = {}
    with localcontext(CONTEXT):
        for mix in (card.score, *card.scores.values()):
            for measure, weight in _weights(card, mix, Decimal(1), frozenset()):
                found[measure] = max(found.get(measure, Decimal(0)), weight)
        for measure, most in card.bonus.items():
            found[measure] = max(found.get(measure, Decimal(0)), most / FULL)
    return found


def _weights(card: Card, mix: Mix, whole: Decimal, seen: frozenset[str]) -> Iterator[tuple[str, Decimal]]:
    for measures, dimensions in _mixtures(mix):
        shares = [*measures.values(), *dimensions.values()]
        total = sum(shares, Decimal(0))
        for names, nested in ((measures, False), (dimensions, True)):
            for name, share in names.items():
                match mix.combine:
                    case "weighted mean":
                        weight = whole * share / total if total else Decimal(0)
                    case "mean":
                        weight = whole / len(shares)
                    case _:
                        weight = whole
                if not nested:
                    yield name, weight
                elif name in card.dimensions and name not in seen:
                    yield from _weights(card, card.dimensions[name], weight, seen | {name})


def _mixtures(mix: Mix) -> list[tuple[dict[str, Decimal], dict[str, Decimal]]]:
    """Its own shares, and those that stand in for them."""
    return [
        (dict(mix.measures), dict(mix.dimensions)),
        *((dict(other.measures), dict(other.dimensions)) for other in mix.instead),
    ]


def score(card: Card) -> tuple[Decimal, Decimal]:
    """The worst and the best score that the measures can come to, everything known, before any rule that limits it."""
    with localcontext(CONTEXT):
        low, high = _mix(card, card.score, frozenset())
        high += sum(card.bonus.values(), Decimal(0))
        for rule in card.rules.values():
            if rule.score == HEALTH:
                low, high = low + min(rule.add, Decimal(0)), high + max(rule.add, Decimal(0))
    return max(min(low, card.highest), card.lowest), max(min(high, card.highest), card.lowest)


def _mix(card: Card, mix: Mix, seen: frozenset[str]) -> tuple[Decimal, Decimal]:
    found = []
    for measures, dimensions in _mixtures(mix):
        parts = [(share, points(card, card.measures[name])) for name, share in measures.items()]
        parts += [
            (share, _mix(card, card.dimensions[name], seen | {name}))
            for name, share in dimensions.items() if name not in seen
        ]  # fmt: skip
        if parts:
            low, high = (
                mix.combined([(share, ends[side]) for share, ends in parts], card.colour_of) for side in (0, 1)
            )
            found.append((low, high))
    if not found:
        return card.lowest, card.highest
    return _clamped(mix, min(low for low, _ in found)), _clamped(mix, max(high for _, high in found))


# -- conditions -------------------------------------------------------------------------------------------------------


def holds(card: Card, expression: Expression) -> bool | None:
    """True where it holds whenever it is known, False where it never does, None where that depends."""
    match expression:
        case Both(parts):
            found = [holds(card, part) for part in parts]
            return False if False in found else (None if None in found else True)
        case Either(parts):
            found = [holds(card, part) for part in parts]
            return True if True in found else (None if None in found else False)
        case Not(part):
            inside = holds(card, part)
            return None if inside is None else not inside
        case Compare(left, sign, right):
            return _compared(_expression_extent(card, left), sign, _expression_extent(card, right))
    return None


def _compared(left: Extent, sign: str, right: Extent) -> bool | None:
    match sign:
        case ">=":
            return True if _reaches(left.low, right.high) else (False if _passes(right.low, left.high) else None)
        case ">":
            return True if _passes(left.low, right.high) else (False if _reaches(right.low, left.high) else None)
        case "<=":
            return _compared(right, ">=", left)
        case "<":
            return _compared(right, ">", left)
    apart = _passes(left.low, right.high) or _passes(right.low, left.high)
    return (sign == "!=") if apart else None


def _reaches(low: Decimal | None, high: Decimal | None) -> bool:
    return low is not None and high is not None and low >= high


def _passes(low: Decimal | None, high: Decimal | None) -> bool:
    return low is not None and high is not None and low > high


def _expression_extent(card: Card, expression: Expression) -> Extent:
    match expression:
        case Literally(Number(value)):
            return Extent(value, value)
        case Name(name) if name in card.measures:
            return extent(card, card.measures[name])
        case Spoken(_, read):
            return _read_extent(read)
        case ScoreOf("health"):
            return Extent(*score(card))
    return Extent()


def why(card: Card, expression: Expression) -> str:
    """Where the numbers lie that a condition looks at: `active_days lies from 0 to 30`."""
    told = []
    for leaf in leaves(expression):
        match leaf:
            case Name(name):
                what = name
            case Spoken(text, _):
                what = text
            case ScoreOf("health"):
                what = "score"
            case _:
                continue
        told.append(f"{what} lies {_expression_extent(card, leaf)}")
    return ", ".join(dict.fromkeys(told))


def together(card: Card, one: Expression, other: Expression) -> bool:
    """Whether two conditions can hold for one customer at once, as far as single comparisons can tell."""
    ways = [list(_ways(one, wanted=True)), list(_ways(other, wanted=True))]
    if len(ways[0]) * len(ways[1]) > _MOST_CASES:
        return True
    return any(_consistent(card, (*first, *second)) for first, second in product(*ways))


_Test = tuple[Expression, bool]


def _ways(expression: Expression, *, wanted: bool) -> Iterator[tuple[_Test, ...]]:
    """Every way for a condition to come true (or false), as single tests that must all come out so."""
    match expression:
        case Not(part):
            yield from _ways(part, wanted=not wanted)
        case Both(parts) | Either(parts):
            if isinstance(expression, Both) == wanted:
                for chosen in product(*(list(_ways(part, wanted=wanted)) for part in parts)):
                    yield tuple(test for tests in chosen for test in tests)
            else:
                for part in parts:
                    yield from _ways(part, wanted=wanted)
        case _:
            yield ((expression, wanted),)


_OPPOSITE: Final = {">=": "<", "<": ">=", ">": "<=", "<=": ">", "=": "!=", "!=": "="}
_MIRRORED: Final = {">=": "<=", "<=": ">=", ">": "<", "<": ">", "=": "=", "!=": "!="}


def _consistent(card: Card, tests: Iterable[_Test]) -> bool:
    numbers: dict[str, list[tuple[str, Decimal]]] = {}
    texts: dict[str, set[str]] = {}
    missing: dict[str, bool] = {}
    bands = {*card.order, "grey"}
    for test, wanted in tests:
        match test:
            case Compare(left, sign, right):
                sign = sign if wanted else _OPPOSITE[sign]
                if isinstance(left, Literally):
                    left, sign, right = right, _MIRRORED[sign], left
                match right:
                    case Literally(Number(value)):
                        numbers.setdefault(_said(left), []).append((sign, value))
                    case Literally(str() as text) if sign == "=":
                        same = {text.casefold()}
                        texts[_said(left)] = texts.get(_said(left), same) & same
                for side in (left, right):
                    if not isinstance(side, Literally) and missing.setdefault(_said(side), False):
                        return False
            case In(part, options) if wanted:
                words = {
                    one.value.casefold() for one in options if isinstance(one, Literally) and isinstance(one.value, str)
                }
                if len(words) == len(options):
                    texts[_said(part)] = texts.get(_said(part), words) & words
            case Missing(part):
                if missing.setdefault(_said(part), wanted) != wanted:
                    return False
            case BandIs(band, how):
                taken = _taken(card, band, how)
                bands &= taken if wanted else {*card.order, "grey"} - taken
    possible_texts = all(texts.values())
    return bool(bands) and possible_texts and all(_meets(found) for found in numbers.values())


def _said(expression: Expression) -> str:
    return repr(expression)


def _taken(card: Card, band: str, how: str) -> set[str]:
    if not how or band not in card.order:
        return {band}
    place = card.order.index(band)
    return set(card.order[: place + 1] if how == "better" else card.order[place:])


def _meets(tests: list[tuple[str, Decimal]]) -> bool:
    """Whether one number can pass all of these comparisons."""
    edges = sorted({value for _, value in tests})
    tried = [*edges, *((low + high) / 2 for low, high in pairwise(edges)), edges[0] - 1, edges[-1] + 1]
    return any(all(SIGNS[sign](one, value) for sign, value in tests) for one in tried)


def _shown(number: Decimal) -> str:
    return plain(half_up(number, 2))
