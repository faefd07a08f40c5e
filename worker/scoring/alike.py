"""What of a measure's value the conditions of a card can tell apart: between which of its numbers it lies. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from worker.scoring.card import Card
from worker.scoring.expressions import (
    Both,
    Compare,
    DimensionOf,
    Either,
    Expression,
    Literally,
    Name,
    Not,
    ScoreOf,
    Spoken,
    Value,
    leaves,
)  # fmt: skip
from worker.scoring.points import Number
from worker.scoring.rests import names_in


def edges_of(card: Card) -> dict[str, list[Decimal] | None]:
    """{measure, or spoken sentence, that some condition looks at: the numbers it is compared with}.

    None where a condition looks at it in another way, so that every value may count.
    """
    found: dict[str, list[Decimal] | None] = {}
    for condition in _conditions(card):
        for name, edge in _compared(condition):
            known = found.setdefault(name, [])
            if edge is None:
                found[name] = None
            elif known is not None:
                insort(known, edge)
    return found


def part(edges: Mapping[str, Sequence[Decimal] | None], name: str, value: Value | None) -> object:
    """What conditions can tell of the value of a measure; equal parts make them come to the same."""
    if name not in edges:
        return None
    known = edges[name]
    if known is None or not isinstance(value, Decimal):
        return value
    return bisect_left(known, value), bisect_right(known, value)


def look_at_scores(card: Card) -> bool:
    """Whether a rule or a signal looks at the number of a score or a dimension."""
    conditions = (*(rule.when for rule in card.rules.values()), *(signal.when for signal in card.signals.values()))
    return any(isinstance(leaf, ScoreOf | DimensionOf) for condition in conditions for leaf in leaves(condition))


def _conditions(card: Card) -> list[Expression]:
    mixes = (card.score, *card.scores.values(), *card.dimensions.values())
    return [
        *(rule.when for rule in card.rules.values()),
        *(signal.when for signal in card.signals.values()),
        *(other.when for one in card.measures.values() for other in one.instead),
        *(other.when for mix in mixes for other in mix.instead),
        *([] if card.who is None else [card.who]),
    ]


def _compared(condition: Expression) -> Iterator[tuple[str, Decimal | None]]:
    """Each name that a condition looks at, with the number it is compared with; None for any other way of looking."""
    match condition:
        case Both(parts) | Either(parts):
            for one in parts:
                yield from _compared(one)
        case Not(one):
            yield from _compared(one)
        case Compare(Name() | Spoken() as side, _, Literally(Number(value))) | Compare(
            Literally(Number(value)), _, Name() | Spoken() as side
        ):
            yield next(names_in(side)), value
        case _:
            for name in names_in(condition):
                yield name, None
