"""From the tree of a sentence to its value: each method of `_Meanings`, and of what it builds on, is a rule of the grammar."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from lark import ParseTree, Token, v_args

from worker.lib.rounding import plain
from worker.scoring.card import Hold
from worker.scoring.expressions import Expression, Literally
from worker.scoring.meanings_of_conditions import Conditions, a_number, required_condition
from worker.scoring.points import Colour, Number, Sliding, Step, StepKind, Worth
from worker.scoring.wording import PhraseError


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of `[bands]`: from this score up, above it, or (the last band) below it."""

    at: Decimal
    below: bool = False
    above: bool = False


def meaning(tree: ParseTree, text: str) -> Any:
    """The value of a sentence's tree; `text` is the sentence as it was written. Raises VisitError around a PhraseError."""
    return _Meanings(text).transform(tree)


_NO_LABELS: Final = {
    **dict.fromkeys(["else", "default", "rest", "anything", "everything"], "write “otherwise -> …”"),
    **dict.fromkeys(
        ["missing", "never", "null", "unknown"], 'write a line of its own: if_never = "leave out", or points'
    ),
}
"""Bare words left of `->` that are meant otherwise than as a label; in quotes they are labels."""

_NO_COLOURS: Final = frozenset(["skip", "ignore", "ignored", "none", "nothing", "null", "zero", "half", "full"])


@v_args(inline=True)
class _Meanings(Conditions):
    """Every rule of the grammar."""

    def value(self, signed: Literally) -> Number:
        assert isinstance(signed.value, Number)
        return signed.value

    def signed(self, minus: Token | None, number: Token, percent: Token | None) -> Literally:
        return Literally(a_number(number, percent, -1 if minus else 1))

    def signed_number(self, minus: Token | None, number: Token) -> Decimal:
        return -Decimal(number) if minus else Decimal(number)

    def points(self, points: Decimal) -> Worth:
        return points

    def colour(self, word: Token) -> Worth:
        if word in _NO_COLOURS:
            raise PhraseError(f"“{word}” is neither points nor a colour", "write a number of points, or “leave out”")
        return Colour(str(word))

    def leave_out(self) -> Worth:
        return None

    def below(self, at: Number, worth: Worth) -> Step:
        return Step("below", at, worth)

    def up_to(self, at: Number, worth: Worth) -> Step:
        return Step("up to", at, worth)

    def exactly(self, at: Number, *rest: Any) -> Step:
        *others, worth = rest
        return Step("exactly", at, worth, others=tuple(others))

    def and_up(self, at: Number, worth: Worth) -> Step:
        return Step("and up", at, worth)

    def above(self, at: Number, worth: Worth) -> Step:
        return Step("above", at, worth)

    def from_to(self, at: Number, to: Number, worth: Worth) -> Step:
        return _between("from to", at, to, worth)

    def from_to_below(self, at: Number, to: Number, worth: Worth) -> Step:
        return _between("from to below", at, to, worth)

    def above_up_to(self, at: Number, to: Number, worth: Worth) -> Step:
        return _between("above up to", at, to, worth)

    def above_to_below(self, at: Number, to: Number, worth: Worth) -> Step:
        return _between("above to below", at, to, worth)

    def label_list(self, *labels: str) -> tuple[str, ...]:
        return tuple(str(label) for label in labels)

    def labels(self, labels: tuple[str, ...], worth: Worth) -> Step:
        return Step("labels", None, worth, labels=labels)

    def step_word(self, token: Token) -> str:
        if token in _NO_LABELS:
            raise PhraseError(f"“{token}” is no label here", _NO_LABELS[str(token)])
        return self.as_written(token)

    def otherwise(self, worth: Worth) -> Step:
        return Step("otherwise", None, worth)

    def pair(self, at: Number, points: Decimal) -> tuple[Number, Decimal]:
        return at, points

    def sliding(self, *parts: Any) -> Sliding:
        *pairs, outside = parts
        values = [number.value for number, _ in pairs]
        if values != sorted(set(values)):
            raise PhraseError("the values must rise from left to right", "“0 -> 0, 12 -> 100”")
        return Sliding(tuple(pairs), outside is not None)

    def edge_from(self, at: Number) -> Edge:
        return Edge(at.value)

    def edge_above(self, at: Number) -> Edge:
        return Edge(at.value, above=True)

    def edge_below(self, at: Number) -> Edge:
        return Edge(at.value, below=True)

    def hold_points(self, points: Token, _: Token) -> Hold:
        return Hold(Decimal(points))

    def hold_both(self, points: Token, _: Token, days: Token, __: Token) -> Hold:
        return Hold(Decimal(points), int(days))

    def hold_days(self, days: Token, _: Token) -> Hold:
        return Hold(days=int(days))

    def hold_nothing(self) -> Hold:
        return Hold()

    def share(self, number: Token) -> Decimal:
        return Decimal(number) / 100

    def extent(self, lowest: Decimal, highest: Decimal) -> tuple[Decimal, Decimal]:
        if lowest >= highest:
            raise PhraseError(f"{plain(lowest)} to {plain(highest)} is no range", "the lower number first: “0 to 10”")
        return lowest, highest

    def chosen_when(self, file: Token, when: Expression) -> tuple[str, Expression | None]:
        return self._text[file.start_pos : file.end_pos], required_condition(when)

    def chosen_otherwise(self, file: Token) -> tuple[str, Expression | None]:
        return self._text[file.start_pos : file.end_pos], None


def _between(edge: StepKind, low: Number, high: Number, worth: Worth) -> Step:
    if low.value >= high.value:
        raise PhraseError(f"from {low} to {high} runs backwards", f"the lower number first: “from {high} to {low}”")
    return Step(edge, low, worth, high)
