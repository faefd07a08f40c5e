"""What measures rest on: which others each is made of, and the order in which they can be read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter

from worker.scoring.card import Measure
from worker.scoring.derived import Formula, RollUp
from worker.scoring.expressions import BandIs, DimensionOf, Expression, Name, ScoreOf, Spoken, leaves
from worker.scoring.reads import Portfolio, Rank, Read


def rests_on(measure: Measure) -> frozenset[str]:
    """The names of the measures (and spoken sentences) of the same customer that one is made of."""
    match measure.read:
        case Formula(expression):
            return frozenset(names_in(expression))
        case Rank(_, of):
            return frozenset({of})
        case _:
            return frozenset()


def rolls_up(measure: Measure) -> frozenset[str]:
    """The names of the measures that a roll-up looks at in each of those below."""
    if not isinstance(measure.read, RollUp):
        return frozenset()
    roll = measure.read
    inside = frozenset() if roll.where is None else frozenset(names_in(roll.where))
    return inside | ({roll.of, roll.weighted_by} - {"", "score"})


def names_in(expression: Expression) -> Iterator[str]:
    """The measures and spoken sentences that an expression looks at, by the names the card has them under."""
    for leaf in leaves(expression):
        if isinstance(leaf, Name):
            yield leaf.name
        elif isinstance(leaf, Spoken):
            yield leaf.text


def in_order(measures: Mapping[str, Measure]) -> list[str]:
    """The names, each behind those it is made of. Raises graphlib.CycleError where they go round in a circle."""
    graph = {name: sorted(rests_on(one) & measures.keys()) for name, one in sorted(measures.items())}
    return list(TopologicalSorter(graph).static_order())


def needs_others(measure: Measure) -> bool:
    """Whether it looks at more than this one customer: a rank, a roll-up, or the portfolio's normal."""
    return isinstance(measure.read, Rank | RollUp) or isinstance(measure.against, Portfolio)


def needs_score(measure: Measure) -> bool:
    """Whether it is a roll-up for which those below have to be judged first."""
    if not isinstance(measure.read, RollUp):
        return False
    where = () if measure.read.where is None else leaves(measure.read.where)
    return measure.read.of == "score" or any(isinstance(leaf, ScoreOf | BandIs | DimensionOf) for leaf in where)


def resting_on(measures: Mapping[str, Measure], names: frozenset[str]) -> frozenset[str]:
    """Those names, and every measure that is made of one of them, however far down."""
    found = set(names)
    for name in in_order(measures):
        if rests_on(measures[name]) & found:
            found.add(name)
    return frozenset(found)


def below(measures: Mapping[str, Measure], names: frozenset[str]) -> frozenset[str]:
    """Those names, and everything they are made of, however far down, be it in those below."""
    found: set[str] = set()
    ahead = set(names)
    while ahead:
        name = ahead.pop()
        if name in measures and name not in found:
            found.add(name)
            ahead |= rests_on(measures[name]) | rolls_up(measures[name])
    return frozenset(found)


def reads_of(measures: Mapping[str, Measure]) -> Iterator[Read]:
    """Every sentence about facts and attributes that these measures read themselves."""
    for one in measures.values():
        yield from (side for side in (one.read, one.against) if isinstance(side, Read))
