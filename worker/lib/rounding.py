"""Exact numbers: scores are decimals, quantised to nine places before any half-up rounding.

So equal facts give equal bytes on any engine, in any order (70.5 → 71, 8.45 → 8.5).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final

CONTEXT: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)
"""Wide enough that nothing the language can say loses a digit before the ninth place."""

_NINE: Final = Decimal("1e-9")


def nine(number: Decimal) -> Decimal:
    """Quantise to nine decimals."""
    return number.quantize(_NINE, ROUND_HALF_UP, CONTEXT)


def half_up(number: Decimal, places: int = 0) -> Decimal:
    """Round to `places` decimals, halves away from zero, after quantising to nine."""
    return nine(number).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, CONTEXT)


def plain(number: Decimal) -> str:
    """Write without exponent and without trailing zeros: `71`, `8.5`, `0`."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
