"""Conditions, and what asks them: rules, signals, who is scored, other tables and other shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from worker.lib.rounding import plain
from worker.lib.shape import spell
from worker.scoring import phrases
from worker.scoring.card import GREY, HEALTH, Rule, Signal
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
    leaves,
)
from worker.scoring.loading.bands import Range
from worker.scoring.loading.measures import Draft
from worker.scoring.loading.page import LABEL, NAME, Body, Page, Place, decimal, is_number
from worker.scoring.points import Number
from worker.scoring.reads import Read

RULE: Final = ("when", "because", "score", "set", "add", "at_least", "at_most")
SIGNAL: Final = ("when", "do")

Asked = tuple[Place, Expression]
"""A condition and where it stands."""


@dataclass
class Asking:
    """Every condition of a file: read first, and held against what the file names when all of it is read."""

    page: Page
    early: list[Asked] = field(default_factory=list)
    """Asked before there is a score: instead, formulas."""
    late: list[Asked] = field(default_factory=list)
    """Asked of the score too: rules and signals."""
    chosen_by: dict[str, Read] = field(default_factory=dict)
    """The sentences of `who`."""
    is_whole: bool = True
    """No condition was left out for being not understood."""

    def before(self, place: Place, body: Body) -> Expression | None:
        """The `when` of another table, or of other shares; a score is not there yet."""
        return self._when(place, body, "when", self.early)

    def after(self, place: Place, body: Body) -> Expression | None:
        """The `when` of a rule or a signal."""
        return self._when(place, body, "when", self.late)

    def who(self) -> Expression | None:
        """Who is scored at all; None for everybody."""
        found = self.page.phrase(phrases.condition, (), self.page.data, "who")
        if found is not None:
            self.choosing(("who",), found)
        return found

    def choosing(self, place: Place, expression: Expression) -> None:
        """What tells who is scored, and by which card, is asked before a card is read: it names no measure."""
        for leaf in leaves(expression):
            if isinstance(leaf, Name):
                said = self.page.table(("measures", leaf.name)).get("read")
                example = said or f"number of logins in the last 30 days; or “attribute {leaf.name}”"
                cure = f"write what is to be read: {example}"
                self.page.note(place, f"{leaf.name!r} is not read yet when this is asked", cure)
            elif problem := _too_early(leaf):
                self.page.note(place, *problem)
            elif isinstance(leaf, Spoken):
                self.chosen_by[leaf.text] = leaf.read

    def _when(self, place: Place, body: Body, key: str, asked: list[Asked]) -> Expression | None:
        found = self.page.phrase(phrases.condition, place, body, key, needed=True)
        if found is None:
            self.is_whole = False
        else:
            asked.append(((*place, key), found))
        return found

    def measures(self) -> set[str]:
        """The measures that any of them names."""
        return {leaf.name for _, asked in self._all() for leaf in leaves(asked) if isinstance(leaf, Name)}

    def spoken(self) -> dict[str, Read]:
        """The sentences that they speak themselves, each once, in the order of the file."""
        asked = {leaf.text: leaf.read for _, one in self._all() for leaf in leaves(one) if isinstance(leaf, Spoken)}
        return {**asked, **self.chosen_by}

    def _all(self) -> Iterator[Asked]:
        yield from self.early
        yield from self.late

    def check(
        self,
        measures: Mapping[str, Draft],
        bands: Iterable[str],
        dimensions: Iterable[str],
        scores: Iterable[str],
    ) -> None:
        """Note every name that the file does not have, and numbers that should be percents."""
        known = _Named(list(measures), list(bands), list(dimensions), list(scores))
        misnamed = not all(NAME.fullmatch(name) for name in measures)  # a condition reads `last-nps` as a difference
        early = len(self.early)
        for index, (place, asked) in enumerate(self._all()):
            for leaf in leaves(asked):
                problem = (_too_early(leaf) if index < early else None) or known.unknown(leaf)
                if problem and not (isinstance(leaf, Name) and misnamed):
                    self.page.note(place, *problem)
                    self.page.is_misnamed = True
            for what, text in _points_compared(asked):
                cure = f"compare points: {what} < 40"
                self.page.note(place, f"{what} is a number of points, and never “{text}”", cure)
            for name, text in _texts_compared(asked):
                draft = measures.get(name)
                if draft and draft.is_number and not text.replace(".", "", 1).isdigit():
                    self.page.note(place, f"{name} is a number, and never “{text}”", f"compare numbers: {name} >= 1")
            for name, number in comparisons(asked):
                draft = measures.get(name)
                if draft and draft.is_share and not number.percent and number.value:
                    what = "their own normal" if draft.measure and draft.measure.against else "the whole"
                    shown = f"write {plain(number.value)}% or the like"
                    self.page.note(place, f"{name} is a share of {what}", shown)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a condition may name."""

    measures: list[str]
    bands: list[str]
    dimensions: list[str]
    scores: list[str]

    def unknown(self, leaf: Expression) -> tuple[str, str] | None:
        """Message and cure for a name that is not there."""
        match leaf:
            case BandIs(band, reach) if band not in (self.bands if reach else [*self.bands, GREY]):
                return f"there is no band {band!r}", spell(band, [*self.bands, GREY])
            case Name(name) if name not in self.measures:
                cure = f"write “dimension {name}”" if name in self.dimensions else _named(name, self.measures)
                return f"there is no measure {name!r}", cure
            case DimensionOf(name) if name not in self.dimensions:
                return f"there is no dimension {name!r}", spell(name, self.dimensions)
            case ScoreOf(name) if name not in (HEALTH, *self.scores):
                return f"there is no score {name!r}", spell(name, self.scores) or "write “score”"
        return None


def _named(name: str, measures: list[str]) -> str:
    """The cure for a name that no measure has: the nearest one, or the word for what a customer has."""
    cure = spell(name, [*measures, "score"])
    if not cure.startswith("use one of"):
        return cure
    return f"if you know it of your customers, write “attribute {name}”; else {cure}"


def _too_early(leaf: Expression) -> tuple[str, str] | None:
    """Message and cure for what is not there yet when the condition is asked."""
    if isinstance(leaf, BandIs | ScoreOf | DimensionOf):
        word = {BandIs: "the band", ScoreOf: "the score", DimensionOf: "a dimension"}[type(leaf)]
        return f"{word} is not there yet when this is asked", "ask for measures or attributes; or write a rule"
    return None


def comparisons(expression: Expression) -> Iterator[tuple[str, Number]]:
    """Each measure that is compared with a number, and the number."""
    match expression:
        case Both(parts) | Either(parts) | Call(_, parts):
            for part in parts:
                yield from comparisons(part)
        case Not(part) | Missing(part):
            yield from comparisons(part)
        case Arithmetic(left, _, right):
            yield from comparisons(left)
            yield from comparisons(right)
        case In(Name(name), options):
            for option in options:
                if isinstance(option, Literally) and isinstance(option.value, Number):
                    yield name, option.value
        case Compare(Name(name), _, Literally(Number() as number)):
            yield name, number
        case Compare(Literally(Number() as number), _, Name(name)):
            yield name, number
        case Compare(left, _, right):
            yield from comparisons(left)
            yield from comparisons(right)


def _points_compared(expression: Expression) -> Iterator[tuple[str, str]]:
    """Each score or dimension that is compared with a text, as a condition names it, and the text."""
    match expression:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _points_compared(part)
        case Not(part):
            yield from _points_compared(part)
        case Compare(ScoreOf(name) | DimensionOf(name) as side, _, Literally(str() as text)):
            yield (f"dimension {name}" if isinstance(side, DimensionOf) else "score"), text


def _texts_compared(expression: Expression) -> Iterator[tuple[str, str]]:
    """Each measure that is compared with a text, and the text."""
    match expression:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _texts_compared(part)
        case Not(part):
            yield from _texts_compared(part)
        case In(Name(name), options):
            yield from (
                (name, one.value) for one in options if isinstance(one, Literally) and isinstance(one.value, str)
            )
        case Compare(Name(name), _, Literally(str() as text)):
            yield name, text


# -- rules and signals ------------------------------------------------------------------------------------------------


def read_rules(page: Page, asking: Asking, order: list[str], scores: Iterable[str], extent: Range) -> dict[str, Rule]:
    """Every `[rules.…]` that can be read."""
    known = [HEALTH, *scores]
    found = {}
    for name, body in page.tables(("rules",), LABEL):
        place: Place = ("rules", name)
        page.only(body, place, RULE)
        if not {"set", "add", "at_most", "at_least"} & body.keys():
            page.note(place, "the rule does nothing", 'add at_most = "yellow", or at_least, set or add')
        when = asking.after(place, body)
        score = page.choice(place, body, "score", known) or HEALTH
        limit = _numbers if score != HEALTH else _bands_or_numbers
        limits = {key: limit(page, (*place, key), body[key], order, extent) for key in _LIMITS if key in body}
        add = page.number(place, body, "add", example="-10")
        if add == 0:
            page.note((*place, "add"), "0 adds nothing", "write how many points: add = -10")
        because = page.text(place, body, "because", needed=True)
        if when is not None:
            found[name] = Rule(when, because=because, add=add or Decimal(0), score=score, **limits)
    return found


_LIMITS: Final = ("set", "at_most", "at_least")


def _bands_or_numbers(page: Page, place: Place, said: Any, order: list[str], extent: Range) -> str | Decimal | None:
    if is_number(said) and extent.holds(decimal(said)):
        return decimal(said)
    if said in order:
        return str(said)
    if isinstance(said, str) and said.lower() in order:
        page.note(place, f"{said!r} is no band of this card", f'write it in small letters: "{said.lower()}"')
        return None
    if said == GREY:
        page.note(place, "no rule makes anybody grey", 'who is scored at all is said at the top of the file: who = "…"')
        return None
    bands = ", ".join(order)
    page.note(place, f"{said!r} is no band of this card", f"use one of: {bands}, or a score from {extent}")
    return None


def _numbers(page: Page, place: Place, said: Any, order: list[str], extent: Range) -> Decimal | None:
    if is_number(said) and extent.holds(decimal(said)):
        return decimal(said)
    why = "only the health score has bands" if said in order else "it is no score"
    page.note(place, f"{said!r} will not do: {why}", f"write a number from {extent}")
    return None


def read_signals(page: Page, asking: Asking) -> dict[str, Signal]:
    """Every `[signals.…]` that can be read."""
    found = {}
    for name, body in page.tables(("signals",), LABEL):
        place: Place = ("signals", name)
        page.only(body, place, SIGNAL)
        when = asking.after(place, body)
        do = page.text(place, body, "do")
        if when is not None:
            found[name] = Signal(when, do)
    return found
