"""The values of a card as sentences again, in the language's one spelling: what is printed here reads back as the same."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from worker.facts import FAMILIES, kind_named
from worker.lib.rounding import plain
from worker.scoring.card import HEALTH
from worker.scoring.derived import Formula, RollUp, Source
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
from worker.scoring.meanings_of_reads import a_year_before
from worker.scoring.points import Colour, Each, Number, Steps, Table, Worth, quoted
from worker.scoring.reads import EVER, Calendar, Fade, Portfolio, Rank, Read, Selection, Stretch
from worker.scoring.wording import PhraseError

_PERIODS: Final = {1: "day", 7: "week", 30: "month", 365: "year"}


def read_in_words(source: Source | Portfolio) -> str:
    """`number of logins labelled "admin" in the last 30 days`; of a formula its arithmetic."""
    match source:
        case Formula(expression, _):
            return expression_in_words(expression)
        case Portfolio(how, peers):
            return f"the portfolio's {how}{_peers(peers)}"
        case Rank(how, measure, peers):
            return f"{how} of {measure}{_peers(peers)}"
        case RollUp():
            return _roll_up(source)
        case Read(what="age", per=per):
            return f"age in {_PERIODS[per]}s"
        case Read(what="attribute", attribute=name):
            return f"attribute {_word(name)}"
        case Read(what="days_since_attribute" | "days_until_attribute" as what, attribute=name):
            return f"days {what.split('_')[1]} attribute {_word(name)}"
        case _:
            return _facts(source)


def normal_in_words(normal: Read | Portfolio, source: Source) -> str:
    """What `source` is held against: `the same time last year` where that is what it is."""
    if isinstance(source, Read) and isinstance(normal, Read):
        try:
            before = a_year_before(source)
        except PhraseError:
            before = None
        if normal == before:
            return "the same time last year"
    return read_in_words(normal)


def _facts(read: Read) -> str:
    few, many = (_kinds(read.selections, is_plural=is_plural) for is_plural in (False, True))
    window = _window(read.window, read.per)
    match read.what:
        case "days_with" | "weeks_with" | "months_with":
            return f"{read.what.replace('_', ' ')} {many} {window}"
        case "count" | "total" if read.per:
            spread = "" if read.spread == "average" else f"{read.spread} "
            empty = f" without empty {_PERIODS[read.per]}s" if read.skip_empty else ""
            return f"{spread}{_taken(read, many)} {window}{empty}"
        case "count":
            return f"number of {many} {window}{_fade(read.fade)}"
        case "total":
            return f"total {many} {window}{_fade(read.fade)}"
        case "now":
            return f"number of {many} now"
        case "since":
            return f"days since the last {few}"
        case "since_first":
            return f"days since the first {few}"
        case "latest_label":
            return f"label of the latest {few}"
        case "labels":
            return f"number of different labels of {many} {window}"
        case "slope":
            return f"slope of {_taken(read, many)} {window}"
        case "latest" | "first":
            return f"{read.what} {few}"
        case _:
            return f"{read.what} {few} {window}"


def _taken(read: Read, many: str) -> str:
    if read.of == "count":
        return f"number of {many} per {_PERIODS[read.per]}"
    clear = not any(kind_named(one.kind).unit for one in read.selections)
    return f"{'' if clear else 'total '}{many} per {_PERIODS[read.per]}"


def _kinds(selections: tuple[Selection, ...], *, is_plural: bool) -> str:
    parts = []
    rest = list(selections)
    while rest:
        family = next(
            (
                one
                for one in FAMILIES
                if tuple(Selection(kind, rest[0].labels, rest[0].without) for kind in one.kinds)
                == tuple(rest[: len(one.kinds)])
            ),
            None,
        )
        kind = kind_named(rest[0].kind)
        words = family or kind
        said = words.plural if is_plural else words.singular
        parts.append((rest[0].kind if kind.name.startswith("custom.") else said) + _labels(rest[0]))
        del rest[: len(family.kinds) if family else 1]
    return " or ".join(parts)


def _labels(selection: Selection) -> str:
    chosen, without = (
        " or ".join(quoted(label) for label in labels) for labels in (selection.labels, selection.without)
    )
    return (f" labelled {chosen}" if chosen else "") + (f" not labelled {without}" if without else "")


def _window(window: Stretch, per: int) -> str:
    if window == EVER:
        return "ever"
    if isinstance(window, Calendar):
        if window.years_back and not window.back:
            return f"in the same calendar {window.unit} last year"
        return f"in the previous calendar {window.unit}" if window.back else f"this calendar {window.unit}"
    if not window.newest:
        return f"in the last {span_in_words(window.days, per)}".replace("last 1 ", "last ")
    assert window.oldest is not None
    start, end = window.oldest + 1, window.newest
    unit = next(days for days in (per, 30, 7, 1) if days and not start % days and not end % days)
    return f"from {start // unit} to {end // unit} {_PERIODS[unit]}s ago"


def span_in_words(days: int, per: int = 0) -> str:
    """`30 days`, `12 weeks`, `3 months`; in periods of `per` days where they go into it."""
    whole = (unit for unit, least in ((per, 1), (365, 1), (30, 2), (7, 2)) if unit and days >= unit * least)
    unit = next((unit for unit in whole if not days % unit), 1)
    return f"{days // unit} {_PERIODS[unit]}" + ("" if days == unit else "s")


def _fade(fade: Fade | None) -> str:
    if fade is None:
        return ""
    if fade.how == "half-life":
        return f", halving every {span_in_words(fade.days)}"
    return f", losing {plain(fade.loses * 100)}% per {_PERIODS[fade.days]}"


def _peers(name: str) -> str:
    return f" among customers with the same {_word(name)}" if name else ""


def _word(name: str) -> str:
    return name if re.fullmatch(r"[a-z][a-z0-9_]*", name) and name not in {"is", "and", "or"} else quoted(name)


def _roll_up(roll_up: RollUp) -> str:
    of = f"{roll_up.of} of " if roll_up.of else "of "
    where = f" with {expression_in_words(roll_up.where)}" if roll_up.where else ""
    weight = f" weighted by {_word(roll_up.weighted_by)}" if roll_up.weighted_by else ""
    return f"{roll_up.how} {of}{roll_up.units}{where}{weight}"


# -- expressions ------------------------------------------------------------------------------------------------------

_ENDS_IN_KINDS: Final = frozenset({"latest", "first", "since", "since_first", "latest_label"})
"""An “or” that follows could belong to these, so they are put in brackets; but not where they are compared at once."""

_OR, _AND, _NOT, _RELATION, _SUM, _PRODUCT, _ATOM = range(7)
"""How tightly an expression binds; a looser one inside a tighter one is put in brackets."""


def expression_in_words(expression: Expression) -> str:
    """`active_days >= 15 and last_nps <= 6`."""
    return _said(expression)[0]


def _inside(expression: Expression, least: int) -> str:
    words, binds = _said(expression)
    return words if binds >= least else f"({words})"


def _said(expression: Expression) -> tuple[str, int]:
    match expression:
        case Literally(value):
            return (quoted(value), _ATOM) if isinstance(value, str) else (str(value), _ATOM)
        case Name(name):
            return name, _ATOM
        case Spoken(text, read):
            return (f"({text})" if read.what in _ENDS_IN_KINDS else text), _ATOM
        case ScoreOf(name):
            return ("score" if name == HEALTH else f"score {name}"), _ATOM
        case DimensionOf(name):
            return f"dimension {name}", _ATOM
        case Arithmetic(left, sign, right):
            level = _SUM if sign in "+-" else _PRODUCT
            return f"{_inside(left, level)} {sign} {_inside(right, level + 1)}", level
        case Call(function, parts):
            return f"{function}({', '.join(map(expression_in_words, parts))})", _ATOM
        case Either(parts) | Both(parts):
            return _joined(expression)
        case _:
            return _relation(expression)


def _joined(expression: Either | Both) -> tuple[str, int]:
    if isinstance(expression, Both):
        return " and ".join(_inside(part, _NOT) for part in expression.parts), _AND
    bands = [part.band for part in expression.parts if isinstance(part, BandIs) and not part.reach]
    if len(bands) == len(expression.parts):
        return f"band is {' or '.join(bands)}", _RELATION
    first, *others = (_inside(part, _AND) for part in expression.parts)
    # After “is …” a text would be taken for one more of its texts.
    return " or ".join([first, *(f"({part})" if part[0] in "\"'" else part for part in others)]), _OR


def _relation(expression: Expression) -> tuple[str, int]:
    match expression:
        case Compare(left, sign, Literally(str() as text)) if sign in ("=", "!="):
            return f"{_first_side(left)} is {'' if sign == '=' else 'not '}{quoted(text)}", _RELATION
        case Compare(left, sign, right):
            return f"{_first_side(left)} {sign} {_compared(left, right)}", _RELATION
        case In(part, options) if _are_texts(options):
            return f"{_first_side(part)} is {_options(options)}", _RELATION
        case In(part, options):
            return f"{_first_side(part)} in ({', '.join(_inside(one, _SUM) for one in options)})", _RELATION
        case Missing(part):
            return f"{_first_side(part)} is missing", _RELATION
        case BandIs(band, reach):
            return f"band is {band}" + (f" or {reach}" if reach else ""), _RELATION
        case Not(Missing(part)):
            return f"{_first_side(part)} is not missing", _RELATION
        case Not(In(part, options)) if _are_texts(options):
            return f"{_first_side(part)} is not {_options(options)}", _RELATION
        case Not(BandIs(band, "")):
            return f"band is not {band}", _RELATION
        case Not(part):
            return f"not {_inside(part, _RELATION)}", _NOT
    raise TypeError(f"{expression!r} is no relation")


def _first_side(side: Expression) -> str:
    if isinstance(side, Spoken) and " or " not in side.text:
        return side.text
    return _inside(side, _SUM)


def _compared(left: Expression, right: Expression) -> str:
    if isinstance(left, Spoken) and _is_days(left.read) and isinstance(right, Literally):
        number = right.value
        if isinstance(number, Number) and not number.percent and number.value > 1:
            return f"{number} days"
    return _inside(right, _SUM)


def _is_days(read: Read) -> bool:
    return read.what in ("since", "since_first", "days_since_attribute", "days_until_attribute") or (
        read.what == "age" and read.per == 1
    )


def _are_texts(options: tuple[Expression, ...]) -> bool:
    return len(options) > 1 and all(isinstance(one, Literally) and isinstance(one.value, str) for one in options)


def _options(options: tuple[Expression, ...]) -> str:
    return " or ".join(quoted(str(one.value)) for one in options if isinstance(one, Literally))


# -- points -----------------------------------------------------------------------------------------------------------


def table_in_words(table: Table) -> list[str]:
    """The lines of `points`, the one line of `sliding`, or how much each one gives."""
    if isinstance(table, Steps):
        return [f"{step} -> {worth_in_words(step.points)}" for step in table.steps]
    if isinstance(table, Each):
        return [f"{plain(table.points)} for each one"]
    pairs = [f"{number} -> {plain(points)}" for number, points in table.pairs]
    return [", ".join([*pairs, *(["outside leave out"] if table.outside_left_out else [])])]


def worth_in_words(worth: Worth) -> str:
    """What stands right of `->`."""
    match worth:
        case Decimal():
            return plain(worth)
        case Colour(name):
            return name
        case _:
            return "leave out"
