"""From the tree of a sentence to its value: each method of `_Meanings` is a rule of `phrases.lark`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

from lark import ParseTree, Token, Transformer, v_args

from worker.facts import FAMILIES, Shape, kind_named
from worker.lib.rounding import plain
from worker.scoring.card import Hold
from worker.scoring.derived import RollUp
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
from worker.scoring.points import Colour, Number, Sliding, Step, StepKind, Worth
from worker.scoring.reads import EVER, Calendar, Fade, Portfolio, Rank, Read, Selection, Stretch, What, Window
from worker.scoring.wording import PhraseError, kind_words, normal

UNITS: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
"""Days; a month is 30 of them and a year 365, so that a measure does not jump with the calendar."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of `[bands]`: from this score up, above it, or (the last band) below it."""

    at: Decimal
    below: bool = False
    above: bool = False


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of fact, a family, or several of them, as a sentence speaks of it."""

    singular: str
    plural: str
    shapes: Collection[Shape]
    has_unit: bool
    selections: tuple[Selection, ...]


def meaning(tree: ParseTree, text: str) -> Any:
    """The value of a sentence's tree; `text` is the sentence as it was written. Raises VisitError around a PhraseError."""
    return _Meanings(text).transform(tree)


# -- reads ------------------------------------------------------------------------------------------------------------

_NEEDS: Final = {
    "count": (Shape.EVENT, Shape.READING),
    "total": (Shape.EVENT,),
    "now": (Shape.OPEN,),
    **dict.fromkeys(("latest", "first", "average", "median", "lowest", "highest"), (Shape.READING,)),
}
"""What can be read from which shapes; all else from what happens or is answered."""

_INSTEAD: Final = {
    Shape.OPEN: "ask how many there are: “number of {plural} now”",
    Shape.EVENT: "count or add them up: “number of {plural} in the last 30 days”",
    Shape.READING: "read the answer: “latest {singular}”, “average {singular} in the last 90 days”",
}

_ARTICLE: Final = {Shape.OPEN: "opens and closes", Shape.EVENT: "happens", Shape.READING: "is an answer"}


def _read(what: What, kind: _Kind, window: Stretch = EVER, **more: Any) -> Read:
    needed = _NEEDS.get(more.get("of", "count") if what == "slope" else what, (Shape.EVENT, Shape.READING))
    for shape in kind.shapes:
        if shape not in needed:
            cure = _INSTEAD[shape].format(singular=kind.singular, plural=kind.plural)
            raise PhraseError(f"“{kind.singular}” {_ARTICLE[shape]}, so this cannot be read from it", cure)
    if what == "count":
        more["of"] = "count"
    return Read(what, kind.selections, window, **more)


def _periods(taken: _Periods, window: Stretch, *, whole: bool) -> None:
    """Refuse a window that periods do not fit into."""
    if window == EVER or (isinstance(window, Window) and window.oldest is None):
        raise PhraseError(f"“per {taken.word}” needs to know over how long", f"“per {taken.word} in the last 8 weeks”")
    if whole and (isinstance(window, Calendar) or window.days % taken.days):
        days = "a stretch of the calendar is" if isinstance(window, Calendar) else f"{window.days} days are"
        raise PhraseError(f"{days} not a whole number of {taken.word}s", f"name the span in {taken.word}s")


@dataclass(frozen=True, slots=True)
class _Periods:
    """`number of logins per week`."""

    of: Literal["count", "total"]
    kind: _Kind
    word: str

    @property
    def days(self) -> int:
        return UNITS[self.word]


@v_args(inline=True)
class _Reads(Transformer[Token, Any]):
    """What a measure reads, and its windows."""

    def __init__(self, text: str) -> None:
        """Remember the sentence as it was written, for the capitals of its words."""
        super().__init__()
        self._text = text

    # words and kinds

    def word(self, token: Token) -> str:
        return self.as_written(token) if token.type == "TEXT" else str(token)

    def as_written(self, token: Token) -> str:
        written = self._text[token.start_pos : token.end_pos]
        return written[1:-1] if token.type == "TEXT" else written

    def texts(self, *words: str) -> tuple[str, ...]:
        return tuple(sorted(set(words)))

    def labelled(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return texts

    def not_labelled(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return texts

    def kind(self, token: Token, labels: tuple[str, ...] | None, without: tuple[str, ...] | None) -> _Kind:
        said = " ".join(token.split())
        kinds = [kind_named(name) for name in kind_words().get(said, (said,))]
        family = next((one for one in FAMILIES if said in (one.singular, one.plural)), kinds[0])
        return _Kind(
            family.singular,
            family.plural,
            {kind.shape for kind in kinds},
            any(kind.unit for kind in kinds),
            tuple(Selection(kind.name, labels or (), without or ()) for kind in kinds),
        )

    def kinds(self, *kinds: _Kind) -> _Kind:
        return _Kind(
            " or ".join(kind.singular for kind in kinds),
            " or ".join(kind.plural for kind in kinds),
            {shape for kind in kinds for shape in kind.shapes},
            any(kind.has_unit for kind in kinds),
            tuple(dict.fromkeys(one for kind in kinds for one in kind.selections)),
        )

    def kinds_per(self, *kinds: _Kind) -> _Kind:
        return self.kinds(*kinds)

    def measure(self, token: Token) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", token):
            raise PhraseError(f"“{token}” is no measure", "name one of this card's measures")
        return str(token)

    # windows

    def last(self, number: Token | None, unit: Token) -> Window:
        return Window(0, self.span(number or Token("WHOLE", "1"), unit) - 1)

    def ago(self, start: Token, end: Token, unit: Token) -> Window:
        oldest, newest = (int(number) * UNITS[unit.rstrip("s")] for number in (start, end))
        if oldest <= newest:
            raise PhraseError(f"from {start} to {end} {unit} ago runs backwards", f"from {end} to {start} {unit} ago")
        return Window(newest, oldest - 1)

    def ever(self) -> Window:
        return EVER

    def this_calendar(self, unit: Any) -> Calendar:
        return Calendar(str(unit))  # type: ignore[arg-type]  # the grammar knows only these

    def previous_calendar(self, unit: Any) -> Calendar:
        return Calendar(str(unit), back=1)  # type: ignore[arg-type]  # as above

    def same_last_year(self, unit: Any) -> Calendar:
        if unit in ("week", "year"):
            raise PhraseError(f"there is no same {unit} last year", "“in the same month last year”, or quarter")
        return Calendar(str(unit), years_back=1)  # type: ignore[arg-type]  # as above

    def span(self, number: Token, unit: Token) -> int:
        if int(number) == 0:
            raise PhraseError(f"0 {unit} is no span of time", f"1 {unit.rstrip('s')} is the shortest")
        return int(number) * UNITS[unit.rstrip("s")]

    def halving(self, number: Token, unit: Token) -> Fade:
        return Fade("half-life", self.span(number, unit))

    def losing(self, share: Token, period: Token) -> Fade:
        if not 0 < Decimal(share) <= 100:
            raise PhraseError(f"{share}% cannot be lost", "between 0% and 100%: “, losing 10% per week”")
        return Fade("linear", UNITS[str(period)], Decimal(share) / 100)

    # sentences

    def days_with(self, kind: _Kind, window: Stretch) -> Read:
        return _read("days_with", kind, window)

    def weeks_with(self, kind: _Kind, window: Stretch) -> Read:
        return _read("weeks_with", kind, window)

    def months_with(self, kind: _Kind, window: Stretch) -> Read:
        return _read("months_with", kind, window)

    def count(self, kind: _Kind, window: Stretch, fade: Fade | None) -> Read:
        return _read("count", kind, window, fade=fade)

    def total(self, kind: _Kind, window: Stretch, fade: Fade | None) -> Read:
        return _read("total", kind, window, fade=fade)

    def now(self, kind: _Kind) -> Read:
        return _read("now", kind)

    def count_per(self, kind: _Kind, period: Token) -> _Periods:
        return _Periods("count", kind, str(period))

    def total_per(self, kind: _Kind, period: Token) -> _Periods:
        return _Periods("total", kind, str(period))

    def kind_per(self, kind: _Kind, period: Token) -> _Periods:
        if Shape.EVENT in kind.shapes and kind.has_unit:
            words = f"“number of {kind.plural} per {period}” or “total {kind.plural} per {period}”"
            raise PhraseError(f"“{kind.plural} per {period}” could mean how many or how much", f"write {words}")
        return _Periods("total", kind, str(period))

    def empty(self, unit: Token) -> str:
        return unit.rstrip("s")

    def per_period(self, spread: Token | None, taken: _Periods, window: Stretch, empty: str | None) -> Read:
        if empty and empty != taken.word:
            cure = f"“without empty {taken.word}s”"
            raise PhraseError(f"“per {taken.word}” has {taken.word}s that may be empty, not {empty}s", cure)
        which = str(spread or "average")
        _periods(taken, window, whole=which != "average" or empty is not None)
        more: dict[str, Any] = {"per": taken.days, "spread": which, "skip_empty": empty is not None}
        return _read(taken.of, taken.kind, window, **more)

    def slope(self, taken: _Periods, window: Stretch) -> Read:
        _periods(taken, window, whole=True)
        assert isinstance(window, Window)
        if window.days < 2 * taken.days:
            raise PhraseError(f"a slope needs two {taken.word}s at least", f"name a longer span in {taken.word}s")
        return _read("slope", taken.kind, window, per=taken.days, of=taken.of)

    def latest(self, kind: _Kind) -> Read:
        return _read("latest", kind)

    def first(self, kind: _Kind) -> Read:
        return _read("first", kind)

    def spread(self, which: Token, kind: _Kind, window: Stretch) -> Read:
        return _read(str(which), kind, window)  # type: ignore[arg-type]  # the grammar knows only these

    def since(self, kind: _Kind) -> Read:
        return _read("since", kind)

    def since_first(self, kind: _Kind) -> Read:
        return _read("since_first", kind)

    def latest_label(self, kind: _Kind) -> Read:
        return _read("latest_label", kind)

    def labels_of(self, kind: _Kind, window: Stretch) -> Read:
        return _read("labels", kind, window)

    def age(self, unit: Token | None) -> Read:
        return Read("age", per=UNITS[(unit or "days").rstrip("s")])

    def attribute(self, name: str) -> Read:
        return Read("attribute", attribute=name)

    def days_since(self, name: str) -> Read:
        return Read("days_since_attribute", attribute=name)

    def days_until(self, name: str) -> Read:
        return Read("days_until_attribute", attribute=name)

    # the population, and what hangs below a customer

    def peers(self, name: str) -> str:
        return name

    def percentile(self, measure: str, peers: str | None) -> Rank:
        return Rank("percentile", measure, peers or "")

    def z_score(self, measure: str, peers: str | None) -> Rank:
        return Rank("z-score", measure, peers or "")

    def where(self, condition: Expression) -> Expression:
        return required_condition(condition)

    def weight(self, name: str) -> str:
        return name

    def roll_up_score(self, how: Token, units: Token, where: Expression | None, weight: str | None) -> RollUp:
        return _roll_up(str(how), "score", units, where, weight)

    def roll_up_measure(
        self, how: Token, measure: str, units: Token, where: Expression | None, weight: str | None
    ) -> RollUp:
        return _roll_up(str(how), measure, units, where, weight)

    def roll_up_total_score(self, units: Token, where: Expression | None, weight: str | None) -> RollUp:
        return _roll_up("total", "score", units, where, weight)

    def roll_up_total(self, measure: str, units: Token, where: Expression | None, weight: str | None) -> RollUp:
        return _roll_up("total", measure, units, where, weight)

    def roll_up_share(self, units: Token, where: Expression) -> RollUp:
        return _roll_up("share", "", units, where, None)

    def roll_up_number(self, units: Token, where: Expression | None) -> RollUp:
        return _roll_up("number", "", units, where, None)

    # against

    def same_time(self) -> Callable[[Read], Read]:
        return a_year_before

    def same_stretch(self, unit: Token) -> Callable[[Read], Read]:
        stretch = self.same_last_year(unit)
        return lambda read: _that_stretch(read, stretch)

    def portfolio(self, how: Any, peers: str | None) -> Portfolio:
        return Portfolio(str(how), peers or "")  # type: ignore[arg-type]  # the grammar knows only these


def _roll_up(how: str, of: str, units: Token, where: Expression | None, weight: str | None) -> RollUp:
    if weight and how in ("lowest", "highest"):
        raise PhraseError(f"the {how} is the same whatever the others weigh", "take “weighted by …” out")
    return RollUp(how, of, str(units), where, weight or "")  # type: ignore[arg-type]  # the grammar knows only these


def _windowed(read: Read) -> None:
    if read.window == EVER:
        cure = "read over a stretch of time: “usage per week in the last 4 weeks”"
        raise PhraseError("what is read has no stretch of time that could be moved to last year", cure)
    if isinstance(read.window, Calendar) and not read.window.back:
        cure = "read “in the previous calendar month” or “in the last 30 days”"
        raise PhraseError(f"this calendar {read.window.unit} is not over yet, last year's is", cure)


def a_year_before(read: Read) -> Read:
    """The same stretch 364 days earlier, so that weekdays meet their like."""
    _windowed(read)
    if isinstance(read.window, Calendar):
        return replace(read, window=replace(read.window, years_back=read.window.years_back + 1))
    assert read.window.oldest is not None
    return replace(read, window=Window(read.window.newest + 364, read.window.oldest + 364))


def _that_stretch(read: Read, stretch: Calendar) -> Read:
    _windowed(read)
    if isinstance(read.window, Calendar):
        if read.window.unit != stretch.unit:
            cure = f"“the same {read.window.unit} last year”, or “the same time last year”"
            raise PhraseError(f"a {read.window.unit} is read, so a {stretch.unit} is no normal for it", cure)
        return a_year_before(read)
    if read.per and (read.spread != "average" or read.skip_empty or read.what == "slope"):
        cure = "“the same time last year” keeps whole periods"
        raise PhraseError(f"a calendar {stretch.unit} is not a whole number of periods", cure)
    return replace(read, window=stretch)


# -- expressions ------------------------------------------------------------------------------------------------------

_TRUE_OR_FALSE: Final = (Compare, In, Missing, BandIs, Not, Both, Either)


def required_condition(expression: Expression) -> Expression:
    """The same, where it is true or false. Raises PhraseError for a mere value."""
    if isinstance(expression, Call) and expression.function == "if":
        required_condition(expression.parts[1])
        return expression
    if not isinstance(expression, _TRUE_OR_FALSE):
        raise PhraseError(
            f"“{_said(expression)}” alone is no condition", f"compare it: “{_said(expression)} >= 1”, or “… is missing”"
        )
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
class _Conditions(_Reads):
    """Conditions and arithmetic."""

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
        return Literally(_a_number(number, percent))

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
        ["null", "none", "nil", "unknown", "empty", "blank", "never", "nothing", "unset"], "“… is missing”"
    ),
    **dict.fromkeys(["known", "present", "given", "set"], "“… is not missing”"),
    **dict.fromkeys(
        ["more", "less", "fewer", "higher", "lower", "above", "below", "up", "over", "under"], "“… >= 5”, “… <= 5”"
    ),
}
"""Bare words after `is` that are meant otherwise than as a text; in quotes they are texts."""

_NO_LABELS: Final = {
    **dict.fromkeys(["else", "default", "rest", "anything", "everything"], "write “otherwise -> …”"),
    **dict.fromkeys(
        ["missing", "never", "null", "unknown"], 'write a line of its own: if_never = "leave out", or points'
    ),
}
"""Bare words left of `->` that are meant otherwise than as a label; in quotes they are labels."""

_NO_COLOURS: Final = frozenset(["skip", "ignore", "ignored", "none", "nothing", "null", "zero", "half", "full"])

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


def _a_number(number: Token, percent: Token | None, sign: int = 1) -> Number:
    value = sign * Decimal(number)
    return Number(value / 100, percent=True) if percent else Number(value)


# -- points, bands, and the rest --------------------------------------------------------------------------------------


@v_args(inline=True)
class _Meanings(_Conditions):
    """Every rule of the grammar."""

    def value(self, signed: Literally) -> Number:
        assert isinstance(signed.value, Number)
        return signed.value

    def signed(self, minus: Token | None, number: Token, percent: Token | None) -> Literally:
        return Literally(_a_number(number, percent, -1 if minus else 1))

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

    def exactly(self, at: Number, worth: Worth) -> Step:
        return Step("exactly", at, worth)

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
