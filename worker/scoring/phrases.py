"""The sentences of a scorecard, by the grammar in `phrases.lark`: text in, values out.

Every function raises PhraseError, which knows how far the sentence was understood and what could come next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from worker.facts import KINDS, Kind, Shape, kind_named
from worker.lib.shape import spell
from worker.scoring.card import Hold
from worker.scoring.expressions import (
    BandIs,
    Both,
    Compare,
    Either,
    Expression,
    Literally,
    Missing,
    Name,
    Not,
    ScoreOf,
)
from worker.scoring.points import FULL, Number, Sliding, Step
from worker.scoring.reads import EVER, Read, Selection, What, Window

_UNITS: Final = {"day": 1, "week": 7, "month": 30}
"""Days; a month is 30 of them, so that a measure does not jump with the calendar."""

_STARTS: Final = ("read", "step", "sliding", "condition", "edge", "hold", "span", "share")

_SHOWN: Final = {
    "KIND": "a kind of fact (`keepwell facts` lists them)",
    "TEXT": "a label in quotes",
    "UNIT": "days, weeks or months",
    "PERIOD": "day, week or month",
    "SPREAD": "average, median, lowest or highest",
    "WHOLE": "a whole number",
    "NUMBER": "a number",
    "POINTS": "a number of points",
    "PERCENT": "%",
    "NAME": "the name of a measure",
    "SIGN": "one of >= <= > < = !=",
    "REACH": "or worse, or better",
    "DAYS": "days",
    "POINT": "points",
    "$END": "the end",
}

_SAY: Final = {
    "sum": "total",
    "mean": "average",
    "avg": "average",
    "count": "number of",
    "min": "lowest",
    "minimum": "lowest",
    "max": "highest",
    "maximum": "highest",
    "last": "latest",
    "distinct days": "days with",
    "past": "last",
    "labeled": "labelled",
    "on": "in the last",
    "during": "in the last",
    "within": "in the last",
}
"""What people write first, and our one spelling of it."""

_LATER: Final = ("first", "age", "distinct", "different", "this", "same", "formula", "attribute", "slope", "percentile")
"""Words that the language is going to know, and does not yet."""


class PhraseError(ValueError):
    """A sentence that is not understood."""

    def __init__(self, message: str, cure: str = "", understood: str = "") -> None:
        """`understood` is the part before the trouble."""
        super().__init__(message)
        self.message, self.cure, self.understood = message, cure, understood


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of `[bands]`: from this score up, or (the last band) below it."""

    at: Decimal
    below: bool = False


@cache
def _words() -> dict[str, str]:
    return {word: kind.name for kind in KINDS.values() for word in (kind.singular, kind.plural)}


@cache
def parser() -> Lark:
    """The grammar with today's vocabulary; `start` is read, step, sliding, condition, edge, hold, span or share."""
    words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(_words(), key=len, reverse=True))
    grammar = Path(__file__).with_name("phrases.lark").read_text("utf-8")
    return Lark(
        rf"{grammar}{chr(10)}KIND.2: /(?:(?:{words})|custom\.[a-z0-9_]+)(?![\w.])/{chr(10)}",
        parser="lalr",
        start=list(_STARTS),
        maybe_placeholders=True,
    )


# -- from the tree to values ------------------------------------------------------------------------------------------

_NEEDS: Final = {
    "days_with": (Shape.EVENT, Shape.READING),
    "count": (Shape.EVENT, Shape.READING),
    "total": (Shape.EVENT,),
    "now": (Shape.OPEN,),
    "latest": (Shape.READING,),
    "average": (Shape.READING,),
    "median": (Shape.READING,),
    "lowest": (Shape.READING,),
    "highest": (Shape.READING,),
    "since": (Shape.EVENT, Shape.READING),
}

_INSTEAD: Final = {
    Shape.OPEN: "ask how many there are: “number of {plural} now”",
    Shape.EVENT: "count or add them up: “number of {plural} in the last 30 days”",
    Shape.READING: "read the answer: “latest {singular}”, “average {singular} in the last 90 days”",
}


def _read(what: What, spoken: tuple[Kind, tuple[str, ...]], window: Window = EVER, per: str = "") -> Read:
    kind, labels = spoken
    if kind.shape not in _NEEDS[what]:
        article = {Shape.OPEN: "opens and closes", Shape.EVENT: "happens", Shape.READING: "is an answer"}[kind.shape]
        cure = _INSTEAD[kind.shape].format(singular=kind.singular, plural=kind.plural)
        raise PhraseError(f"“{kind.singular}” {article}, so this cannot be read from it", cure)
    if per and window.oldest is None:
        raise PhraseError(f"“per {per}” needs to know over how long", f"“per {per} in the last 8 weeks”")
    if per and window.days % _UNITS[per]:
        raise PhraseError(f"{window.days} days are not a whole number of {per}s", f"name the span in {per}s")
    of: Literal["count", "total"] = "count" if what == "count" else "total"
    return Read(what, (Selection(kind.name, labels),), window, _UNITS[per] if per else 0, of)


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Each method is a rule of the grammar."""

    def kind(self, word: Token, labels: tuple[str, ...] | None) -> tuple[Kind, tuple[str, ...]]:
        spoken = " ".join(word.split())
        return kind_named(_words().get(spoken, spoken)), labels or ()

    def labels(self, *texts: Token) -> tuple[str, ...]:
        return tuple(sorted({text[1:-1] for text in texts}))

    def last(self, number: Token | None, unit: Token) -> Window:
        days = self.span(number or Token("WHOLE", "1"), unit)
        return Window(0, days - 1)

    def ago(self, start: Token, end: Token, unit: Token) -> Window:
        oldest, newest = (int(number) * _UNITS[unit.rstrip("s")] for number in (start, end))
        if oldest <= newest:
            raise PhraseError(f"from {start} to {end} {unit} ago runs backwards", f"from {end} to {start} {unit} ago")
        return Window(newest, oldest - 1)

    def ever(self) -> Window:
        return EVER

    def days_with(self, kind: Any, window: Window) -> Read:
        return _read("days_with", kind, window)

    def count(self, kind: Any, window: Window) -> Read:
        return _read("count", kind, window)

    def count_per(self, kind: Any, period: Token, window: Window) -> Read:
        return _read("count", kind, window, period)

    def total(self, kind: Any, window: Window) -> Read:
        return _read("total", kind, window)

    def total_per(self, kind: Any, period: Token, window: Window) -> Read:
        return _read("total", kind, window, period)

    def kind_per(self, kind: Any, period: Token, window: Window) -> Read:
        if kind[0].shape is Shape.EVENT and kind[0].unit:
            words = f"“number of {kind[0].plural} per {period}” or “total {kind[0].plural} per {period}”"
            raise PhraseError(f"“{kind[0].plural} per {period}” could mean how many or how much", f"write {words}")
        return _read("total", kind, window, period)

    def now(self, kind: Any) -> Read:
        return _read("now", kind)

    def latest(self, kind: Any) -> Read:
        return _read("latest", kind)

    def spread(self, which: Token, kind: Any, window: Window) -> Read:
        return _read(str(which), kind, window)  # type: ignore[arg-type]  # the grammar knows only these

    def since(self, kind: Any) -> Read:
        return _read("since", kind)

    def value(self, number: Token, percent: Token | None) -> Number:
        return Number(Decimal(number) / 100, percent=True) if percent else Number(Decimal(number))

    def below(self, at: Number, points: Token) -> Step:
        return Step("below", at, _points(points))

    def up_to(self, at: Number, points: Token) -> Step:
        return Step("up to", at, _points(points))

    def exactly(self, at: Number, points: Token) -> Step:
        return Step("exactly", at, _points(points))

    def and_up(self, at: Number, points: Token) -> Step:
        return Step("and up", at, _points(points))

    def above(self, at: Number, points: Token) -> Step:
        return Step("above", at, _points(points))

    def otherwise(self, points: Token) -> Step:
        return Step("otherwise", None, _points(points))

    def pair(self, at: Number, points: Token) -> tuple[Number, Decimal]:
        return at, _points(points)

    def sliding(self, *pairs: tuple[Number, Decimal]) -> Sliding:
        values = [number.value for number, _ in pairs]
        if values != sorted(set(values)):
            raise PhraseError("the values must rise from left to right", "“0 -> 0, 12 -> 100”")
        return Sliding(pairs)

    def either(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Either(parts)

    def both(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Both(parts)

    def negated(self, part: Expression) -> Expression:
        return Not(part)

    def compare(self, name: Token, sign: Token, number: Number) -> Expression:
        return Compare(_named(name), str(sign), Literally(number))

    def missing(self, name: Token) -> Expression:
        return Missing(_named(name))

    def not_missing(self, name: Token) -> Expression:
        return Not(Missing(_named(name)))

    def band_is(self, band: Token, reach: Token | None) -> Expression:
        return BandIs(str(band), reach.split()[1] if reach else "")

    def band_is_not(self, band: Token) -> Expression:
        return Not(BandIs(str(band)))

    def edge_from(self, at: Number) -> Edge:
        return Edge(at.value)

    def edge_below(self, at: Number) -> Edge:
        return Edge(at.value, below=True)

    def hold_points(self, points: Token, _: Token) -> Hold:
        return Hold(_points(points))

    def hold_both(self, points: Token, _: Token, days: Token, __: Token) -> Hold:
        return Hold(_points(points), int(days))

    def hold_days(self, days: Token, _: Token) -> Hold:
        return Hold(days=int(days))

    def hold_nothing(self) -> Hold:
        return Hold()

    def span(self, number: Token, unit: Token) -> int:
        if int(number) == 0:
            raise PhraseError(f"0 {unit} is no span of time", f"1 {unit.rstrip('s')} is the shortest")
        return int(number) * _UNITS[unit.rstrip("s")]

    def share(self, number: Token, _: Token | None = None) -> Decimal:
        return Decimal(number) / 100


def _named(name: str) -> Expression:
    return ScoreOf() if name == "score" else Name(str(name))


def _points(text: str) -> Decimal:
    if Decimal(text) > FULL:
        raise PhraseError(f"{text} points are more than there are", "points go from 0 to 100")
    return Decimal(text)


# -- the sentences ----------------------------------------------------------------------------------------------------


def read(text: str) -> Read:
    """`days with usage in the last 30 days`."""
    return _parse("read", text)  # type: ignore[no-any-return]  # each start of the grammar builds its own type


def step(text: str) -> Step:
    """`below 50% -> 0`."""
    return _parse("step", text)  # type: ignore[no-any-return]  # as above


def sliding(text: str) -> Sliding:
    """`0 -> 0, 12 -> 100`."""
    return _parse("sliding", text)  # type: ignore[no-any-return]  # as above


def condition(text: str) -> Expression:
    """`active_days >= 15 and last_nps <= 6`."""
    return _parse("condition", text)  # type: ignore[no-any-return]  # as above


def edge(text: str) -> Edge:
    """`70 and up`."""
    return _parse("edge", text)  # type: ignore[no-any-return]  # as above


def hold(text: str) -> Hold:
    """`3 points past the line for 3 days`."""
    return _parse("hold", text)  # type: ignore[no-any-return]  # as above


def span(text: str) -> int:
    """`60 days`, in days."""
    return _parse("span", text)  # type: ignore[no-any-return]  # as above


def share(text: str) -> Decimal:
    """`50%`, as 0.5."""
    return _parse("share", text)  # type: ignore[no-any-return]  # as above


def _lowered(text: str) -> str:
    return "".join(part if part.startswith('"') else part.lower() for part in re.split(r'("[^"]*")', text))


def _parse(start: str, text: str) -> Any:
    lowered = _lowered(text)
    try:
        return _Build().transform(parser().parse(lowered, start=start))
    except UnexpectedInput as error:
        raise _not_understood(lowered, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, PhraseError):
            raise error.orig_exc from None
        raise


def _not_understood(text: str, error: UnexpectedInput) -> PhraseError:
    place, expected = _stumble(text, error)
    understood, rest = " ".join(text[:place].split()), " ".join(text[place:].split())
    if place and understood and text[place - 1].isalnum() and rest[:1].isalnum():  # inside a word: give it back whole
        understood, _, begun = understood.rpartition(" ")
        rest = begun + rest
    message = f"“{rest}” is not understood" if rest else "the sentence breaks off"
    if understood:
        message += f" after “{understood}”"
    return PhraseError(message, _cure(rest, expected), understood)


def _stumble(text: str, error: UnexpectedInput) -> tuple[int, set[str]]:
    if isinstance(error, UnexpectedToken):
        at_end = error.token.type == "$END"
        return (len(text) if at_end else error.token.start_pos or 0), set(error.accepts or error.expected)
    assert isinstance(error, UnexpectedCharacters)
    return error.pos_in_stream or 0, set(error.allowed or ())


def _cure(rest: str, expected: set[str]) -> str:
    words = rest.split()
    if expected == {"NUMBER"} and rest[:1] in "=<>":
        return f"write {_SHOWN['SIGN']}"
    for length in (2, 1):
        said = " ".join(words[:length])
        if said in _SAY and len(words) >= length:
            return f"write “{_SAY[said]}” instead of “{said}”"
    if words and words[0] in _LATER:
        return f"the language does not know “{words[0]}” yet"
    shown = sorted(_shown(name) for name in expected)
    if "KIND" in expected and words:
        guess = re.split(r"\s(?:in|now|per|from|ever|labelled)\b", rest)[0]
        return f"{guess!r} is no kind of fact; {_nearest_kind(guess)}" if len(expected) == 1 else _next(shown)
    return _next(shown)


def _next(shown: Iterable[str]) -> str:
    return "what can come next: " + ", ".join(shown)


def _nearest_kind(guess: str) -> str:
    begins = sorted(word for word in _words() if word.startswith(guess))
    cure = f"did you mean {begins[0]!r}?" if begins else spell(guess, _words())
    return cure if cure.startswith("did") else "`keepwell facts` lists them"


def _shown(terminal: str) -> str:
    if terminal in _SHOWN:
        return _SHOWN[terminal]
    pattern = next((one.pattern.value for one in parser().terminals if one.name == terminal), terminal)
    return f"“{pattern}”"
