"""What a measure can be made of besides facts and attributes: those below a customer, and other measures."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from worker.scoring.expressions import Expression
from worker.scoring.reads import Rank, Read


@dataclass(frozen=True, slots=True)
class RollUp:
    """One number from the customer's children, or people: of their scores, or of one of their measures."""

    how: Literal["average", "lowest", "highest", "total", "share", "number"]
    of: str = "score"
    """`score`, or a measure; "" for share and number, which count."""
    units: Literal["children", "people"] = "children"
    where: Expression | None = None
    """Only those; for share and number what is counted: `with score >= 70`."""
    weighted_by: str = ""
    """The child's attribute, or measure, that it weighs by."""


@dataclass(frozen=True, slots=True)
class Formula:
    """Arithmetic over measures and attributes."""

    expression: Expression
    by_zero: Decimal | None = None
    """What a division by zero gives; None for nothing: then the measure is never."""


Source = Read | Rank | RollUp | Formula
