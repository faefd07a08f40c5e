"""Conditions of rules and signals: `usage_trend >= 130% and band is green`.

A comparison with what is missing is neither true nor false, and so is what rests on it; such a rule does not fire
(Kleene's three values, `None` for unknown).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from worker.scoring.points import Number

SIGNS: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What a condition may look at: the values that are known (measures, and `score`), the band, the order of bands."""

    values: Mapping[str, Decimal]
    band: str
    order: Sequence[str]
    """The card's bands, best first; grey is not among them."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`active_days >= 15`; the name is a measure or `score`."""

    name: str
    sign: str
    number: Number

    def holds(self, known: Known) -> bool | None:
        """True, False, or None while the value is missing."""
        value = known.values.get(self.name)
        return None if value is None else SIGNS[self.sign](value, self.number.value)


@dataclass(frozen=True, slots=True)
class Missing:
    """`last_nps is missing`."""

    name: str

    def holds(self, known: Known) -> bool:
        """True where there is no value now."""
        return self.name not in known.values


@dataclass(frozen=True, slots=True)
class BandIs:
    """`band is green`, `band is yellow or worse`. `reach` is "", better or worse."""

    band: str
    reach: str = ""

    def holds(self, known: Known) -> bool:
        """Grey is neither better nor worse than anything."""
        if known.band == self.band or not self.reach:
            return known.band == self.band
        if known.band not in known.order or self.band not in known.order:
            return False
        better = known.order.index(known.band) < known.order.index(self.band)
        return better == (self.reach == "better")


@dataclass(frozen=True, slots=True)
class Not:
    """`not …`."""

    part: Condition

    def holds(self, known: Known) -> bool | None:
        """Unknown stays unknown."""
        held = self.part.holds(known)
        return None if held is None else not held


@dataclass(frozen=True, slots=True)
class Both:
    """`… and …`."""

    parts: tuple[Condition, ...]

    def holds(self, known: Known) -> bool | None:
        """False as soon as one part is; unknown where it hangs on what is missing."""
        held = [part.holds(known) for part in self.parts]
        return False if False in held else (None if None in held else True)


@dataclass(frozen=True, slots=True)
class Either:
    """`… or …`."""

    parts: tuple[Condition, ...]

    def holds(self, known: Known) -> bool | None:
        """True as soon as one part is; unknown where it hangs on what is missing."""
        held = [part.holds(known) for part in self.parts]
        return True if True in held else (None if None in held else False)


Condition = Compare | Missing | BandIs | Not | Both | Either


def leaves(condition: Condition) -> Iterator[Compare | Missing | BandIs]:
    """The single tests a condition is made of."""
    match condition:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition
