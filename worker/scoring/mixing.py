"""How parts become one number: dimensions inside dimensions, and the scores. Pure.

What is not known is left out: the others' shares grow, and coverage says how much was known. To be called in
`rounding.CONTEXT`; nothing is rounded but where the card asks for it.

Coverage is the share of importance that was known, down the tree. In a sum a part's importance is how far it can move
the sum, from the fewest points its table gives to the most; everywhere else it is its share. A mix that knows less
than its `known_at_least` is not known itself, and counts for nothing above.

All of that hangs on which measures are known, not on their points; so it is worked out once for all customers of whom
the same is known, and kept with the card (`Frame`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from worker.lib.rounding import nine
from worker.scoring.card import HEALTH, Card, Mix, Shares
from worker.scoring.expressions import Known, truth

_NONE: Final = Decimal(0)
_ALL: Final = Decimal(1)

_MOST: Final = 4096
"""Frames that a card keeps; there are far fewer of them than customers."""


@dataclass(frozen=True, slots=True)
class Blend:
    """One mix for all of whom the same is known."""

    name: str
    mix: Mix
    measures: tuple[tuple[str, Decimal], ...]
    """The known ones and their weights, in one order."""
    dimensions: tuple[tuple[str, Decimal], ...]
    weight: Decimal
    """Of all of these together."""
    coverage: Decimal
    """The share of importance known inside, 0 to 1."""
    is_known: bool
    """Enough of it is."""

    def value(self, card: Card, points: Mapping[str, Decimal], dimensions: Mapping[str, Decimal | None]) -> Decimal:
        """What it comes to, not rounded. Only where it is known."""
        if self.mix.is_mean:
            total = _NONE
            for name, weight in self.measures:
                total += weight * points[name]
            for name, weight in self.dimensions:
                total += weight * (dimensions[name] or _NONE)
            return total / self.weight
        parts = [(weight, points[name]) for name, weight in self.measures]
        parts += [(weight, dimensions[name] or _NONE) for name, weight in self.dimensions]
        return self.mix.combined(parts, card.colour_of)


@dataclass(frozen=True, slots=True)
class Frame:
    """All mixes of a card for all of whom the same is known."""

    dimensions: tuple[Blend, ...]
    """Each behind those that are in it."""
    score: Blend
    others: tuple[Blend, ...]
    """The scores beside health, by name."""
    coverage: Decimal
    """Of the score, nine decimals at most."""
    shares: Mapping[str, Decimal]
    """How much of the score each known measure decides by the shares alone; together 1."""
    costs: dict[tuple[str, Decimal], tuple[Decimal, str, Any]] = field(default_factory=dict)
    """What `score` keeps here: the drivers of measures and points it has met, the costliest first in order."""


def frame(card: Card, known: tuple[str, ...], seen: Known) -> Frame:
    """The frame for those of whom these measures are known; `seen` tells which shares hold for them."""
    key = (known, *(_place(mix, seen) for mix in card.mixes_with_others)) if card.mixes_with_others else known
    found: Frame | None = card.frames.get(key)
    if found is None:
        if len(card.frames) >= _MOST:
            card.frames.clear()
        found = card.frames[key] = _framed(card, frozenset(known), seen)
    return found


def dimensions_of(card: Card, framed: Frame, points: Mapping[str, Decimal]) -> dict[str, Decimal | None]:
    """Every dimension, rounded as it says; None where nothing, or too little, is known."""
    values: dict[str, Decimal | None] = {}
    for blend in framed.dimensions:
        values[blend.name] = blend.mix.rounded(blend.value(card, points, values)) if blend.is_known else None
    return values


def _place(mix: Mix, seen: Known) -> int:
    """Which of a mix's shares hold: the place of the first whose condition does, -1 for the usual ones."""
    return next((place for place, other in enumerate(mix.instead) if truth(other.when, seen)), -1)


def _framed(card: Card, known: frozenset[str], seen: Known) -> Frame:
    inside: dict[str, Blend] = {}
    for name, mix in card.inside_out:
        inside[name] = _blend(card, name, mix, known, inside, seen)
    score = _blend(card, HEALTH, card.score, known, inside, seen)
    others = tuple(_blend(card, name, mix, known, inside, seen) for name, mix in sorted(card.scores.items()))
    return Frame(tuple(inside.values()), score, others, nine(score.coverage), _decided(score, inside))


def _blend(card: Card, name: str, mix: Mix, known: frozenset[str], inside: Mapping[str, Blend], seen: Known) -> Blend:
    place = _place(mix, seen)
    shares: Shares = mix if place < 0 else mix.instead[place]
    measures, dimensions = shares.by_name
    summed = mix.combine == "sum"
    whole = found = _NONE
    for one, weight in measures:
        importance = card.bounds[one].span if summed else weight
        whole += importance
        found += importance if one in known else _NONE
    for one, weight in dimensions:
        importance = card.inner_bounds[one].span if summed else weight
        whole += importance
        found += importance * inside[one].coverage if inside[one].is_known else _NONE
    measures = tuple(one for one in measures if one[0] in known)
    dimensions = tuple(one for one in dimensions if inside[one[0]].is_known)
    parts = measures + dimensions
    coverage = found / whole if whole else (_ALL if parts else _NONE)
    weight = sum((one for _, one in parts), _NONE)
    return Blend(name, mix, measures, dimensions, weight, coverage, bool(parts) and coverage >= mix.known_at_least)


def _decided(score: Blend, inside: Mapping[str, Blend]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    blends = [(score, _ALL)]
    while blends:
        blend, share = blends.pop()
        for name, weight in blend.measures:
            found[name] = share * weight / blend.weight
        blends += [(inside[name], share * weight / blend.weight) for name, weight in blend.dimensions]
    return found
