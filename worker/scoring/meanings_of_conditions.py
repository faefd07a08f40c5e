"""What conditions and formulas mean: from their tree to an expression."""

# ruff: noqa: D102  each method is a rule of the grammar, and its sentence is there

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from lark import Token, v_args

from worker.scoring.expressions import (
    Arithmetic,
    BandIs,
    Both,
    Call,
    Compare,
    DimensionOf,
    Either,
    Expression,
    In,
    Literally,
    Missing,
    Name,
    Not,
    ScoreOf,
    Spoken,
)
from worker.scoring.meanings_of_reads import UNITS, Reads
from worker.scoring.points import Number
from worker.scoring.reads import Read
from worker.scoring.wording import PhraseError, normal

_TRUE_OR_FALSE: Final = (Compare, In, Missing, BandIs, Not, Both, Either)


def required_condition(expression: Expression) -> Expression:
    """The same, where it is true or false. Raises PhraseError for a mere value."""
    if isinstance(expression, Call) and expression.function == "if":
        required_condition(expression.parts[1])
        return expression
    if not isinstance(expression, _TRUE_OR_FALSE):
        said = _said(expression)
        cure = f"compare it: “{said} >= 1”, or “… is missing”"
        if isinstance(expression, Name):
            cure += f"; if you know it of your customers: “attribute {said} is yes”"
        raise PhraseError(f"“{said}” alone is no condition", cure)
    return expression


def _value(expression: Expression) -> Expression:
    if isinstance(expression, _TRUE_OR_FALSE):
        raise PhraseError("what is true or false cannot be counted with", "“if(active_days > 3, 1, 0)” makes a number")
    return expression


def _said(expression: Expression) -> str:
    match expression:
        case Name(name):
            return name
        case Spoken(text, _):
            return text
        case ScoreOf():
            return "score"
        case Literally(value):
            return str(value)
        case _:
            return "this number"


def _speaks_text(expression: Expression) -> bool:
    return isinstance(expression, Spoken) and expression.read.what in ("attribute", "latest_label")


@v_args(inline=True)
class Conditions(Reads):
    """Conditions and arithmetic."""

    def where(self, condition: Expression) -> Expression:
        return required_condition(condition)

    def either(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Either(tuple(map(required_condition, parts)))

    def both(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Both(tuple(map(required_condition, parts)))

    def negated(self, part: Expression) -> Expression:
        return Not(required_condition(part))

    def compare(self, left: Expression, sign: Token, right: Expression) -> Expression:
        if sign in ("=", "!=") and _speaks_text(left) and isinstance(right, Name):
            right = Literally(right.name)  # a bare word after an attribute is a text
        texts = any(isinstance(side, Literally) and isinstance(side.value, str) for side in (left, right))
        if texts and sign not in ("=", "!="):
            raise PhraseError("a text is neither more nor less than another", '“… is "gold"”, “… is not "gold"”')
        return Compare(_value(left), str(sign), _value(right))

    def missing(self, part: Expression) -> Expression:
        return Missing(_value(part))

    def not_missing(self, part: Expression) -> Expression:
        return Not(Missing(_value(part)))

    def text(self, word: str) -> Expression:
        return Literally(word)

    def option_word(self, token: Token) -> str:
        if token in _NO_OPTIONS:
            raise PhraseError(f"“is {token}” would be the text “{token}”", _NO_OPTIONS[str(token)])
        return self.as_written(token)

    def literally(self, signed: Literally) -> Expression:
        return signed

    def options(self, *options: Expression) -> tuple[Expression, ...]:
        return options

    def is_one_of(self, part: Expression, options: tuple[Expression, ...]) -> Expression:
        if part in (Name("colour"), Name("color")):
            raise PhraseError("a colour is asked for by the word “band”", "“band is yellow”")
        return Compare(_value(part), "=", options[0]) if len(options) == 1 else In(_value(part), options)

    def is_none_of(self, part: Expression, options: tuple[Expression, ...]) -> Expression:
        return Compare(_value(part), "!=", options[0]) if len(options) == 1 else Not(In(_value(part), options))

    def in_list(self, part: Expression, *options: Expression) -> Expression:
        words = (Literally(one.name) if isinstance(one, Name) and _speaks_text(part) else one for one in options)
        return In(_value(part), tuple(map(_value, words)))

    def band_name(self, word: Token) -> Expression:
        return BandIs(str(word))

    def bands(self, *bands: Expression) -> Expression:
        return bands[0] if len(bands) == 1 else Either(bands)

    def band_is(self, bands: Expression) -> Expression:
        return bands

    def band_is_not(self, bands: Expression) -> Expression:
        return Not(bands)

    def band_reaches(self, band: BandIs, reach: Token) -> Expression:
        return BandIs(band.band, reach.split()[1])

    def arithmetic(self, left: Expression, sign: Any, right: Expression) -> Expression:
        return Arithmetic(_value(left), str(sign), _value(right))  # type: ignore[arg-type]  # the grammar knows these

    def minus(self, left: Expression, right: Expression) -> Expression:
        return Arithmetic(_value(left), "-", _value(right))

    def negative(self, part: Expression) -> Expression:
        if isinstance(part, Literally) and isinstance(part.value, Number):
            return Literally(Number(-part.value.value, part.value.percent))
        return Arithmetic(Literally(Number(Decimal(0))), "-", _value(part))

    def number(self, number: Token, percent: Token | None) -> Expression:
        return Literally(a_number(number, percent))

    def days(self, number: Token, unit: Token) -> Expression:
        return Literally(Number(Decimal(number) * UNITS[unit.rstrip("s")]))

    def quoted(self, text: Token) -> Expression:
        return Literally(text[1:-1])

    def name(self, name: Token) -> Expression:
        return Name(str(name))

    def score_of(self, name: Token | None) -> Expression:
        return ScoreOf(str(name)) if name else ScoreOf()

    def dimension_of(self, name: Token) -> Expression:
        return DimensionOf(str(name))

    def call(self, function: Any, *parts: Expression) -> Expression:
        fewest, most, example = _ARGUMENTS[str(function)]
        if not fewest <= len(parts) <= most:
            raise PhraseError(f"“{function}(…)” does not take {len(parts)}", f"write {example}")
        if function == "if":
            required_condition(parts[0])
        else:
            parts = tuple(map(_value, parts))
        if function == "round" and len(parts) > 1 and not _is_places(parts[1]):
            raise PhraseError("“round(…)” takes a whole number of decimals", f"write {example}")
        return Call(str(function), parts)  # type: ignore[arg-type]  # the grammar knows only these

    @v_args(meta=True, inline=True)
    def spoken(self, meta: Any, read: Read) -> Expression:
        return Spoken(normal(self._text[meta.start_pos : meta.end_pos]), read)


_NO_OPTIONS: Final = {
    **dict.fromkeys(
        ["null", "none", "nil", "unknown", "empty", "blank", "never", "nothing", "unset", "missing"], "“… is missing”"
    ),
    **dict.fromkeys(["known", "present", "given", "set"], "“… is not missing”"),
    **dict.fromkeys(
        ["more", "less", "fewer", "higher", "lower", "above", "below", "up", "over", "under"], "“… >= 5”, “… <= 5”"
    ),
}
"""Bare words after `is` that are meant otherwise than as a text; in quotes they are texts."""

_ARGUMENTS: Final = {
    "min": (2, 99, "“min(a, b)”"),
    "max": (2, 99, "“max(a, b)”"),
    "abs": (1, 1, "“abs(a)”"),
    "round": (1, 2, "“round(a)”, “round(a, 1)”"),
    "if": (3, 3, "“if(active_days > 3, a, b)”"),
}


def _is_places(part: Expression) -> bool:
    match part:
        case Literally(Number(value, False)):
            return value == value.to_integral_value() and 0 <= value <= 9
        case _:
            return False


def a_number(number: Token, percent: Token | None, sign: int = 1) -> Number:
    """A number as it was written; `50%` is 0.5 and remembers it."""
    value = sign * Decimal(number)
    return Number(value / 100, percent=True) if percent else Number(value)
