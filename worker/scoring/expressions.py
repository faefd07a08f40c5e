"""Expressions: the conditions of rules and signals, and the arithmetic of formulas.

`usage_trend >= 130% and band is green`, `active_users / attribute seats`. What rests on something missing is missing
itself, and a condition that is missing is neither true nor false, so such a rule does not fire (Kleene's three
values; `None` is the third). Texts are compared without regard to capital letters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from worker.lib.rounding import CONTEXT, half_up
from worker.scoring.points import Number
from worker.scoring.reads import Read

Value = Decimal | str
Found = Decimal | str | bool | None
"""What an expression comes to; None is missing."""

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
    """What an expression may look at. What is missing is not in `values`."""

    values: Mapping[str, Value]
    """By name: measures, and the sentences that conditions speak themselves (`Spoken`)."""
    band: str
    order: Sequence[str]
    """The card's bands, best first; grey is not among them."""
    scores: Mapping[str, Decimal | None] = field(default_factory=dict)
    """`health` is the score; the card's other scores by their names."""
    dimensions: Mapping[str, Decimal | None] = field(default_factory=dict)
    by_zero: Decimal | None = None
    """What a division by zero gives."""


@dataclass(frozen=True, slots=True)
class Literally:
    """A number as it was written, `50%` or `3 months` (90); or a text."""

    value: Number | str

    def found(self, known: Known) -> Found:
        """Itself."""
        return self.value if isinstance(self.value, str) else self.value.value


@dataclass(frozen=True, slots=True)
class Name:
    """A measure by its name."""

    name: str

    def found(self, known: Known) -> Found:
        """Its value now."""
        return known.values.get(self.name)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence about facts or attributes inside a condition: `number of open tickets now`, `attribute plan`, `age`.

    The card reads it as it reads its measures, under its text.
    """

    text: str
    read: Read

    def found(self, known: Known) -> Found:
        """What was read."""
        return known.values.get(self.text)


@dataclass(frozen=True, slots=True)
class ScoreOf:
    """`score`, or `score onboarding`."""

    name: str = "health"

    def found(self, known: Known) -> Found:
        """The score before rules in a rule, after them in a signal."""
        return known.scores.get(self.name)


@dataclass(frozen=True, slots=True)
class DimensionOf:
    """`dimension adoption`."""

    name: str

    def found(self, known: Known) -> Found:
        """Its points."""
        return known.dimensions.get(self.name)


@dataclass(frozen=True, slots=True)
class Compare:
    """`active_days >= 15`; texts may be compared by = and != only."""

    left: Expression
    sign: str
    right: Expression

    def found(self, known: Known) -> bool | None:
        """True, False, or None while either side is missing or the two are of different nature.

        What an attribute or a label is asked to be, it is not while it is missing: `attribute plan is not "gold"` holds.
        """
        left, right = self.left.found(known), self.right.found(known)
        if left is None or right is None:
            return (self.sign == "!=") if self._asks_what_it_is else None
        if isinstance(left, str) or isinstance(right, str):
            if self.sign not in ("=", "!="):
                return None
            same = str(left).casefold() == str(right).casefold()
            return same == (self.sign == "=")
        return SIGNS[self.sign](Decimal(left), Decimal(right))

    @property
    def _asks_what_it_is(self) -> bool:
        if self.sign not in ("=", "!=") or not isinstance(self.right, Literally):
            return False
        is_named = isinstance(self.left, Spoken) and self.left.read.what in ("attribute", "latest_label")
        return is_named or isinstance(self.right.value, str)


@dataclass(frozen=True, slots=True)
class In:
    """`attribute plan is "gold" or "silver"`, `active_days in (1, 2)`."""

    part: Expression
    options: tuple[Expression, ...]

    def found(self, known: Known) -> bool | None:
        """Whether it equals one of them."""
        return Either(tuple(Compare(self.part, "=", option) for option in self.options)).found(known)


@dataclass(frozen=True, slots=True)
class Missing:
    """`last_nps is missing`."""

    part: Expression

    def found(self, known: Known) -> bool:
        """True where there is no value now."""
        return self.part.found(known) is None


@dataclass(frozen=True, slots=True)
class BandIs:
    """`band is green`, `band is yellow or worse`. `reach` is "", better or worse."""

    band: str
    reach: str = ""

    def found(self, known: Known) -> bool:
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

    part: Expression

    def found(self, known: Known) -> bool | None:
        """Unknown stays unknown."""
        found = truth(self.part, known)
        return None if found is None else not found


@dataclass(frozen=True, slots=True)
class Both:
    """`… and …`."""

    parts: tuple[Expression, ...]

    def found(self, known: Known) -> bool | None:
        """False as soon as one part is; unknown where it hangs on what is missing."""
        found = [truth(part, known) for part in self.parts]
        return False if False in found else (None if None in found else True)


@dataclass(frozen=True, slots=True)
class Either:
    """`… or …`."""

    parts: tuple[Expression, ...]

    def found(self, known: Known) -> bool | None:
        """True as soon as one part is; unknown where it hangs on what is missing."""
        found = [truth(part, known) for part in self.parts]
        return True if True in found else (None if None in found else False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`… + …`, `-`, `*`, `/`."""

    left: Expression
    sign: Literal["+", "-", "*", "/"]
    right: Expression

    def found(self, known: Known) -> Decimal | None:
        """None where a side is missing or a text, or for a division by zero without a policy."""
        left, right = _number(self.left, known), _number(self.right, known)
        if left is None or right is None:
            return None
        match self.sign:
            case "+":
                return CONTEXT.add(left, right)
            case "-":
                return CONTEXT.subtract(left, right)
            case "*":
                return CONTEXT.multiply(left, right)
            case _:
                return CONTEXT.divide(left, right) if right else known.by_zero


@dataclass(frozen=True, slots=True)
class Call:
    """`min(…)`, `max(…)`, `abs(…)`, `round(…)`, `round(…, 1)`, `if(condition, then, else)`."""

    function: Literal["min", "max", "abs", "round", "if"]
    parts: tuple[Expression, ...]

    def found(self, known: Known) -> Found:
        """`if` looks only at the branch that is taken; the others are missing where a part is. Rounding is half up."""
        if self.function == "if":
            condition, then, other = self.parts
            chosen = truth(condition, known)
            return None if chosen is None else (then if chosen else other).found(known)
        numbers = [_number(part, known) for part in self.parts]
        given = [number for number in numbers if number is not None]
        if len(given) < len(numbers):
            return None
        match self.function:
            case "min":
                return min(given)
            case "max":
                return max(given)
            case "abs":
                return abs(given[0])
            case _:
                return half_up(given[0], int(given[1]) if len(given) > 1 else 0)


Expression = (
    Literally | Name | Spoken | ScoreOf | DimensionOf | Compare | In | Missing | BandIs | Not | Both | Either
    | Arithmetic | Call
)  # fmt: skip


def truth(expression: Expression, known: Known) -> bool | None:
    """Whether it holds: True, False, or None for unknown; a number holds unless it is 0, a text is no answer."""
    found = expression.found(known)
    if isinstance(found, str):
        return None
    return found if found is None or isinstance(found, bool) else bool(found)


def _number(expression: Expression, known: Known) -> Decimal | None:
    found = expression.found(known)
    return None if found is None or isinstance(found, str) else Decimal(found)


def leaves(expression: Expression) -> Iterator[Literally | Name | Spoken | ScoreOf | DimensionOf | BandIs]:
    """The single things an expression is made of, from the left."""
    match expression:
        case Both(parts) | Either(parts) | Call(_, parts):
            for part in parts:
                yield from leaves(part)
        case In(part, options):
            for one in (part, *options):
                yield from leaves(one)
        case Not(part) | Missing(part):
            yield from leaves(part)
        case Compare(left, _, right) | Arithmetic(left, _, right):
            yield from leaves(left)
            yield from leaves(right)
        case _:
            yield expression
