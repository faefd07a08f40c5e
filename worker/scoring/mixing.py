"""How parts become one number: dimensions inside dimensions, and the scores. Pure.

What is not known is left out: the others' shares grow, and coverage says how much was known. To be called in
`rounding.CONTEXT`; nothing is rounded but where the card asks for it.

Coverage is the share of importance that was known, down the tree. In a sum a part's importance is how far it can move
the sum, from the fewest points its table gives to the most; everywhere else it is its share. A mix that knows less
than its `known_at_least` is not known itself, and counts for nothing above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from worker.scoring.card import Card, Mix, Shares
from worker.scoring.expressions import Known, truth

_NONE: Final = Decimal(0)
_ALL: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What the dimensions came to for one customer."""

    values: Mapping[str, Decimal | None]
    """None where nothing, or too little, is known."""
    known: Mapping[str, Decimal]
    """The share of importance known inside, 0 to 1."""


def dimensions_of(card: Card, points: Mapping[str, Decimal], seen: Known) -> Dimensions:
    """Every dimension of the card, from the points of the measures that are known."""
    values: dict[str, Decimal | None] = {}
    known: dict[str, Decimal] = {}
    inside = Dimensions(values, known)
    for name, mix in card.inside_out:
        value, coverage = mixed(card, mix, points, inside, seen)
        values[name] = None if value is None else mix.rounded(value)
        known[name] = _NONE if value is None else coverage
    return inside


def mixed(
    card: Card, mix: Mix, points: Mapping[str, Decimal], inside: Dimensions, seen: Known
) -> tuple[Decimal | None, Decimal]:
    """What a mix comes to, not rounded, None where too little is known; and the share of importance that was known."""
    measures, dimensions = shares_of(mix, seen).by_name
    parts: list[tuple[Decimal, Decimal]] = []
    known = whole = _NONE
    for name, weight in measures:
        importance = card.bounds[name].span if mix.combine == "sum" else weight
        whole += importance
        given = points.get(name)
        if given is not None:
            known += importance
            parts.append((weight, given))
    for name, weight in dimensions:
        importance = card.inner_bounds[name].span if mix.combine == "sum" else weight
        whole += importance
        value = inside.values[name]
        if value is not None:
            known += importance * inside.known[name]
            parts.append((weight, value))
    coverage = known / whole if whole else (_ALL if parts else _NONE)
    if not parts or coverage < mix.known_at_least:
        return None, coverage
    return mix.combined(parts, card.colour_of), coverage


def shares_of(mix: Mix, seen: Known) -> Shares:
    """The shares that hold for this customer."""
    for other in mix.instead:
        if truth(other.when, seen):
            return other
    return mix
