"""What the sentences of a measure mean: from their tree to a read, a rank, a roll-up, or a normal."""

# ruff: noqa: D102  each method is a rule of the grammar, and its sentence is there

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

from lark import Token, Transformer, v_args

from worker.facts import FAMILIES, Shape, kind_named
from worker.scoring.derived import RollUp
from worker.scoring.expressions import Expression
from worker.scoring.reads import EVER, Calendar, Fade, Portfolio, Rank, Read, Selection, Stretch, What, Window
from worker.scoring.wording import PhraseError, kind_words

UNITS: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
"""Days; a month is 30 of them and a year 365, so that a measure does not jump with the calendar."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of fact, a family, or several of them, as a sentence speaks of it."""

    singular: str
    plural: str
    shapes: Collection[Shape]
    has_unit: bool
    has_value: bool
    """Each of them comes with a number that says something: an amount, an answer, or what one's own kind was sent with."""
    selections: tuple[Selection, ...]


_NEEDS: Final = {
    "count": (Shape.EVENT, Shape.READING),
    "total": (Shape.EVENT,),
    "now": (Shape.OPEN,),
    **dict.fromkeys(("latest", "first", "average", "median", "lowest", "highest"), (Shape.READING,)),
}
"""What can be read from which shapes; all else from what happens or is answered. What happens and has a value of its
own, an amount or whatever one's own kind was sent with, can be read as an answer too."""

_INSTEAD: Final = {
    Shape.OPEN: "ask how many there are: “number of {plural} now”",
    Shape.EVENT: "count or add them up: “number of {plural} in the last 30 days”",
    Shape.READING: "read the answer: “latest {singular}”, “average {singular} in the last 90 days”",
}

_ARTICLE: Final = {Shape.OPEN: "opens and closes", Shape.EVENT: "happens", Shape.READING: "is an answer"}


def _read(what: What, kind: _Kind, window: Stretch = EVER, **more: Any) -> Read:
    needed = _NEEDS.get(more.get("of", "count") if what == "slope" else what, (Shape.EVENT, Shape.READING))
    for shape in kind.shapes:
        is_answer = shape is Shape.EVENT and Shape.READING in needed and kind.has_value
        if shape not in needed and not is_answer:
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
class Reads(Transformer[Token, Any]):
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
            all(kind.unit or kind.name.startswith("custom.") for kind in kinds),
            tuple(Selection(kind.name, labels or (), without or ()) for kind in kinds),
        )

    def kinds(self, *kinds: _Kind) -> _Kind:
        return _Kind(
            " or ".join(kind.singular for kind in kinds),
            " or ".join(kind.plural for kind in kinds),
            {shape for kind in kinds for shape in kind.shapes},
            any(kind.has_unit for kind in kinds),
            all(kind.has_value for kind in kinds),
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
