"""`[measures.…]`: what is read, what it is worth, how it is told."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from worker.lib.rounding import plain
from worker.lib.shape import spell
from worker.scoring import phrases
from worker.scoring.card import Measure, TableIf
from worker.scoring.derived import Formula, RollUp, Source
from worker.scoring.expressions import Expression
from worker.scoring.loading.bands import Bands, Range
from worker.scoring.loading.page import LABEL, NAME, Body, Page, Place, decimal, is_number
from worker.scoring.points import Each, Steps, Table, colours, resolve, spread
from worker.scoring.reach import ANSWERS
from worker.scoring.reads import Portfolio, Rank, Read

KEYS: Final = (
    "read", "formula", "divided_by_zero_is", "against", "points", "sliding", "each", "instead", "floor", "cap",
    "decimals", "says", "do", "if_never", "if_no_normal", "if_expired", "if_not_applicable", "not_in_first",
    "answer_valid_for", "watch_only",
)  # fmt: skip

INSTEAD: Final = ("when", "points", "sliding", "each")

TABLES: Final = ("points", "sliding", "each")

_DATED: Final = frozenset({"latest", "first", "latest_label", "since", "since_first"})
"""Reads of which one day speaks."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A measure as far as it could be read, with what the other tables need to know of it."""

    measure: Measure | None
    """None where what it reads could not be understood."""
    gives_points: bool
    """It says what it is worth, be it understood or not."""
    is_watched: bool

    @property
    def is_share(self) -> bool:
        """Its value is a share of something, so that numbers beside it are percents."""
        if self.measure is None:
            return False
        read = self.measure.read
        return self.measure.against is not None or (isinstance(read, RollUp) and read.how == "share")

    @property
    def is_number(self) -> bool:
        """Its value is never a text."""
        return self.measure is not None and numbers_only(self.measure.read)


def read_measures(
    page: Page, bands: Bands, extent: Range, condition: Callable[[Place, Body], Expression | None]
) -> dict[str, Draft]:
    """Every measure by its name; `condition` reads the `when` of another table."""
    if not page.data.get("measures"):
        page.note(("measures",), "there is no measure", "begin with [measures.active_days] and its read = …")
    reader = _Measures(page, bands, extent, condition)
    return {name: reader.draft(name, body) for name, body in page.tables(("measures",), NAME)}


class _Measures:
    def __init__(
        self, page: Page, bands: Bands, extent: Range, condition: Callable[[Place, Body], Expression | None]
    ) -> None:
        self._page, self._bands, self._extent, self._condition = page, bands, extent, condition
        self._colours = spread(bands.order, extent.lowest, extent.highest)

    def draft(self, name: str, body: Body) -> Draft:
        place: Place = ("measures", name)
        page = self._page
        page.only(body, place, KEYS)
        if NAME.fullmatch(name) and not phrases.may_name(name):
            page.note(place, f"{name!r} means something else in a condition", "give the measure another name")
        source = self._source(place, body)
        against = self._against(place, body, source)
        floor, cap = page.limits(place, body)
        table = self._table(place, body, source, shares=against is not None)
        instead = tuple(self._instead(place, body, source, shares=against is not None))
        self._needs(place, body, source)
        says = self._says(place, body, source)
        gives_points = bool(body.keys() & set(TABLES))
        watched = page.flag(place, body, "watch_only")
        if instead and table is None and not gives_points:
            page.note(place, "there is no table for all the others", "add points = […] or sliding = … to the measure")
        if source is None:
            return Draft(None, gives_points, watched)
        measure = Measure(
            name=name,
            read=source,
            against=against,
            points=table,
            instead=instead,
            floor=floor,
            cap=cap,
            decimals=page.decimals(place, body),
            not_in_first=page.phrase(phrases.span, place, body, "not_in_first") or 0,
            answer_valid_for=page.phrase(phrases.span, place, body, "answer_valid_for") or 0,
            watch_only=watched,
            says=says,
            do=page.text(place, body, "do"),
            **self._fallbacks(place, body, table, floor, cap),
        )
        return Draft(measure, gives_points, watched)

    # -- what is read -------------------------------------------------------------------------------------------------

    def _source(self, place: Place, body: Body) -> Source | None:
        page = self._page
        if "formula" not in body:
            if "divided_by_zero_is" in body:
                page.note((*place, "divided_by_zero_is"), "there is no formula that divides", "take it out")
            return page.phrase(phrases.read, place, body, "read", needed=True)
        if "read" in body:
            page.note((*place, "formula"), "there is a read already", "keep one of the two")
            return page.phrase(phrases.read, place, body, "read")
        expression = page.phrase(phrases.formula, place, body, "formula")
        by_zero = page.number(place, body, "divided_by_zero_is", example="0")
        return None if expression is None else Formula(expression, by_zero)

    def _against(self, place: Place, body: Body, source: Source | None) -> Read | Portfolio | None:
        page, here = self._page, (*place, "against")
        if "against" not in body or source is None:
            return None
        found = page.sentence(lambda text: phrases.against(text, source), here, body["against"])
        if isinstance(found, Portfolio) or found is None:
            return found
        if not isinstance(source, Read):
            page.note(here, "only a read has a normal of its own", "write “the portfolio's average”, or take it out")
            return None
        if (source.what, source.per) != (found.what, found.per):
            why = "the two sides count differently, so one is no share of the other"
            page.note(here, why, "begin both sentences with the same words: “usage per week …”")
        if "now" in (source.what, found.what) or source.window == found.window:
            page.note(here, "a normal is another stretch of time", "“usage per week from 12 to 4 weeks ago”")
        return found

    def _needs(self, place: Place, body: Body, source: Source | None) -> None:
        """Lines that speak only beside another."""
        answers = isinstance(source, Read) and source.what in {"latest", "latest_label"}
        for key, is_there, why in (
            ("if_no_normal", "against" in body, "there is no normal to miss"),
            ("answer_valid_for", answers or source is None, "only “latest …” is an answer that can grow old"),
            ("if_expired", "answer_valid_for" in body, "nothing grows old here without answer_valid_for"),
        ):
            if key in body and not is_there:
                self._page.note((*place, key), why, "take it out")

    # -- what it is worth ---------------------------------------------------------------------------------------------

    def _table(self, place: Place, body: Body, source: Source | None, *, shares: bool) -> Table | None:
        page = self._page
        keys = [key for key in TABLES if key in body]
        for key in keys[1:]:
            page.note((*place, key), f"there is {keys[0]} already", "keep one of the two")
        if not keys:
            return None
        key = keys[0]
        table: Table | None
        if key == "points":
            table = self._steps(place, body, source, shares=shares)
        elif key == "sliding":
            table = page.phrase(phrases.sliding, place, body, key)
        else:
            each = page.number(place, body, key, example="-5")
            table = None if each is None else Each(each)
        if table is None:
            return None
        share = shares or (isinstance(source, RollUp) and source.how == "share")
        if share and any(not number.percent and number.value != 0 for number in table.numbers()):
            why = "measured against a normal, the value is a share of it" if shares else "the value is a share"
            page.note((*place, key), why, "write percents: 50%")
        self._nature((*place, key), table, source)
        return table

    def _steps(self, place: Place, body: Body, source: Source | None, *, shares: bool) -> Table | None:
        page, lines, here = self._page, body["points"], (*place, "points")
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            page.note(here, f"{lines!r} is no list of steps", 'write ["below 5 -> 0", "otherwise -> 100"]')
            return None
        found = [page.sentence(phrases.step, (*here, index), line) for index, line in enumerate(lines)]
        if None in found:
            return None
        steps = Steps(tuple(step for step in found if step))
        gaps = steps.gaps(None if shares else _whole_numbers(source))
        if gaps and not (steps.labels() and numbers_only(source)):
            cure = (
                "end with “otherwise -> leave out”, or with points" if steps.labels() else "end with “otherwise -> …”"
            )
            page.note(here, f"nothing is said about {gaps[0]}", cure)
        for step in steps.never_reached():
            page.note(here, f"“{step}” is never reached", "put it above the step that takes its values")
        unknown = sorted(colours(steps) - set(self._bands.order))
        for colour in unknown:
            page.note(here, f"there is no band {colour!r}", spell(colour, [*self._bands.order, "leave out"]))
        return None if unknown else resolve(steps, self._colours)

    def _nature(self, place: Place, table: Table, source: Source | None) -> None:
        """A label is no number, and a number no label."""
        labels = table.labels() if isinstance(table, Steps) else ()
        if labels and numbers_only(source):
            if not any(_is_plain_number(label) for label in labels):
                self._page.note(place, f"what is read is a number, and never “{labels[0]}”", "write numbers")
        elif isinstance(source, Read) and source.what == "latest_label" and any(table.numbers()):
            self._page.note(place, "what is read is a label, and no number", 'write ["gold -> 100", "otherwise -> 0"]')

    def _instead(self, place: Place, body: Body, source: Source | None, *, shares: bool) -> Iterator[TableIf]:
        if "instead" not in body:
            return
        for name, inside in self._page.tables((*place, "instead"), LABEL):
            here = (*place, "instead", name)
            self._page.only(inside, here, INSTEAD)
            when = self._condition(here, inside)
            table = self._table(here, inside, source, shares=shares)
            if not inside.keys() & set(TABLES):
                self._page.note(here, "it gives no points", 'add points = […] or sliding = "0 -> 0, 12 -> 100"')
            if when is not None and table is not None:
                yield TableIf(name, when, table)

    def _fallbacks(
        self, place: Place, body: Body, table: Table | None, floor: Decimal | None, cap: Decimal | None
    ) -> dict[str, Any]:
        keys = ("if_never", "if_no_normal", "if_expired", "if_not_applicable")
        return {key: self._fallback((*place, key), body.get(key), table, floor, cap) for key in keys}

    def _fallback(
        self, place: Place, said: Any, table: Table | None, floor: Decimal | None, cap: Decimal | None
    ) -> Decimal | None:
        if said is None or said == "leave out":
            return None
        if is_number(said):
            return decimal(said)
        if isinstance(said, str) and said in self._colours:
            return self._colours[said]
        if said not in ("worst", "best"):
            cure = '"leave out", "worst", "best", a colour, or points without quotes'
            self._page.note(place, f"{said!r} will not do", cure)
            return None
        if table is None:
            return None
        points = within(table.lowest if said == "worst" else table.highest, floor, cap)
        if points.is_finite():
            return points
        end = "floor" if said == "worst" else "cap"
        self._page.note(
            place, f"there is no {said}, for the points know no end", f"add {end} = …, or write points here"
        )
        return None

    # -- how it is told -----------------------------------------------------------------------------------------------

    def _says(self, place: Place, body: Body, source: Source | None) -> str:
        page, here = self._page, (*place, "says")
        says = page.text(place, body, "says")
        dated = source is None or (isinstance(source, Read) and source.what in _DATED)
        allowed = {"value": ("", "percent"), **({"day": ("",)} if dated else {})}
        try:
            fields = [
                (name, (form or "") + (f"!{conversion}" if conversion else ""))
                for _, name, form, conversion in string.Formatter().parse(says)
                if name is not None
            ]
        except ValueError:
            page.note(here, f"{says!r} has a brace that is not closed", "write {value}")
            return says
        for name, form in fields:
            if form not in allowed.get(name, ()):
                shown = name + (f":{form}" if form else "")
                can = "{value}, {value:percent}" + (", {day}" if dated else "")
                page.note(here, f"{{{shown}}} is not known here", f"what can be filled in: {can}")
        return says


def numbers_only(source: Source | None) -> bool:
    """What is read is never a text."""
    if isinstance(source, Read):
        return source.what not in {"latest_label", "attribute"}
    return isinstance(source, Rank | RollUp)


_COUNTS: Final = frozenset({"days_with", "weeks_with", "months_with", "count", "now", "labels", "since", "since_first"})


def _whole_numbers(source: Source | None) -> tuple[Decimal, Decimal | None] | None:
    """From where to where what is read goes, if it has no fractions: a count, or an answer on a scale."""
    if not isinstance(source, Read):
        return None
    if source.what in ("latest", "first") and source.kinds in ({"nps_answer"}, {"pulse"}):
        return ANSWERS[next(iter(source.kinds))]
    if source.what in _COUNTS and not source.per and source.fade is None:
        return Decimal(0), None
    return None


def _is_plain_number(label: str) -> bool:
    return label.replace(".", "", 1).removeprefix("-").isdigit()


def out_of_range(measure: Measure, extent: Range) -> tuple[str, Decimal] | None:
    """The key, and the points it gives, where they lie beyond the range of the score; None where all lie in it."""
    for table in measure.tables():
        for points in (table.lowest, table.highest):
            given = within(points, measure.floor, measure.cap)
            if not extent.holds(given):
                return _key(table), given
    for key in ("if_never", "if_no_normal", "if_expired", "if_not_applicable"):
        fallback = getattr(measure, key)
        if fallback is not None and not extent.holds(fallback):
            return key, fallback
    return None


def _key(table: Table) -> str:
    return "points" if isinstance(table, Steps) else ("each" if isinstance(table, Each) else "sliding")


def within(points: Decimal, floor: Decimal | None, cap: Decimal | None) -> Decimal:
    """Points between floor and cap, where there are any; points without end have one then."""
    points = points if floor is None else max(points, floor)
    return points if cap is None else min(points, cap)


def in_words(points: Decimal) -> str:
    """`120 points`, or `points without end`."""
    return f"{plain(points)} points" if points.is_finite() else "points without end"
