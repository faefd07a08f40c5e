"""What may be said of the cells of a row, as short texts: references, amounts, moments and conditions.

`usage_count`, `subscription.account_id`, `[Order Date]` are references; `cents / 100` is an amount; `submitted_at + wait
minutes` is a moment; `paid_on after due_on and total > 0` is a condition. The grammar is `cells.lark`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import lark

from worker.lib.clock import DAY, HOUR, MINUTE, day_number, end_of_day, local_day, zone

T = TypeVar("T")


class Cells(dict[str, str]):
    """The cells of one row by the texts of their references, and the many rows that are joined to it by name."""

    __slots__ = ("many",)

    def __init__(self, cells: Mapping[str, str], many: Mapping[str, Sequence[Mapping[str, str]]] | None = None) -> None:
        """`many`: {join: rows by the keys of their own columns}, for conditions that say "some … has"."""
        super().__init__(cells)
        self.many = many or {}


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One cell: the joins that lead to its row (none for the row itself), and its column."""

    joins: tuple[str, ...]
    column: str
    key: str = field(init=False, compare=False, repr=False)
    """As it is written: its key in `Cells`."""

    def __post_init__(self) -> None:
        """Write it once, since every row asks for it."""
        object.__setattr__(self, "key", ".".join(_part(name) for name in (*self.joins, self.column)))

    def __str__(self) -> str:
        """As it is written."""
        return self.key


def _part(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"[{name}]"


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A text that was understood."""

    of: Callable[[Cells], T]
    """Its value for a row. Raises ValueError with a sentence where a cell does not fit."""
    references: tuple[Reference, ...] = ()
    """The cells that it reads, but for those inside "some … has"."""
    some: tuple[tuple[str, tuple[Reference, ...]], ...] = ()
    """The joins it looks through as a whole, each with the cells that are read there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A text that was understood as a moment."""

    of: Callable[[Cells], int]
    """Epoch seconds UTC, for a row. Raises ValueError with a sentence where a cell does not fit."""
    references: tuple[Reference, ...]
    base: Reference
    """The date it counts from."""


# -- from text to values ----------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?\s*(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def number(text: str, what: str) -> Decimal:
    """Read a cell as a number. Raises ValueError naming the cell."""
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{what} is {_shown(text)}, which is no number")
    return Decimal(text.strip())


def moment_in(text: str, what: str, zone_name: str) -> int:
    """Read a cell as a moment, epoch seconds UTC.

    `2026-01-31` is the last second of that local day; a date-time without a zone is local time. Raises ValueError.
    """
    return _moment(text, what, zone_name)[0]


def _moment(text: str, what: str, zone_name: str) -> tuple[int, bool]:
    """The moment, and whether it is a whole day."""
    try:
        return _read_moment(text, zone_name)
    except (ValueError, OverflowError):
        reason = "which is no date; write 2026-01-31 or 2026-01-31T09:30:00"
        raise ValueError(f"{what} is {_shown(text)}, {reason}") from None


@lru_cache(maxsize=65_536)
def _read_moment(text: str, zone_name: str) -> tuple[int, bool]:
    text = text.strip()
    if not 1900 <= int(text[:4]) <= 2199:
        raise ValueError(text)
    if _DATE.fullmatch(text):
        return end_of_day(day_number(text), zone_name), True
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    found = datetime.fromisoformat(text[:10] + "T" + "".join(text[11:].split()))
    return int((found if found.tzinfo else found.replace(tzinfo=zone(zone_name))).timestamp()), False


def _shown(text: str) -> str:
    return f"{text!r:.60}" if text.strip() else "empty"


# -- from sentences to functions --------------------------------------------------------------------------------------

_COMPARE: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip

_UNITS: Final = {"seconds": 1, "minutes": MINUTE, "hours": HOUR, "days": DAY}

_NEXT: Final = {
    # what the grammar calls it: what a person calls it
    "NAME": "a column", "BRACKETED": "", "NUMBER": "a number", "TEXT": "a text in 'single quotes'",
    "UNIT": "seconds, minutes, hours or days", "COMPARISON": "< <= > >= = or !=", "PLUS": "+", "MINUS": "-",
    "STAR": "*", "SLASH": "/", "LPAR": "(", "RPAR": ")", "COMMA": ",", "DOT": "", "$END": "the end",
}  # fmt: skip

_GRAMMAR: Final = lark.Lark(
    Path(__file__).with_suffix(".lark").read_text("utf-8"),
    parser="lalr",
    start=["reference", "amount", "moment", "condition"],
)


def reference(text: str) -> Reference:
    """Understand `usage_date` or `subscription.account_id`. Raises ValueError."""
    found: Reference = _Reader("UTC").transform(_tree(text, "reference"))
    return found


def own_column(text: str) -> Reference:
    """Understand a column of the row itself. Raises ValueError, for a joined row's too."""
    found = reference(text)
    if found.joins:
        raise ValueError(f"{text!r} is a joined row's column; a column of the table itself belongs here")
    return found


def amount(text: str) -> Said[Decimal]:
    """Understand arithmetic over cells and constants: `(satisfaction_score - 1) / 4`. Raises ValueError."""
    reader = _Reader("UTC")
    return Said(_exact(reader.transform(_tree(text, "amount"))), tuple(reader.references))


def moment(text: str, zone_name: str) -> Moment:
    """Understand a date, or a date and a time after it: `submitted_at + wait minutes`. Raises ValueError."""
    reader = _Reader(zone_name)
    of, base = reader.transform(_tree(text, "moment"))
    return Moment(of, tuple(reader.references), base)


def condition(text: str, zone_name: str) -> Said[bool]:
    """Understand a condition: `ended_on is empty or ended_on after left_on`. Raises ValueError."""
    reader = _Reader(zone_name)
    of = _exact(reader.transform(_tree(text, "condition")))
    through: dict[str, list[Reference]] = {name: [] for name in reader.some_of}
    plain: list[Reference] = []
    for one in reader.references:
        inside = through.get(one.joins[0]) if one.joins else None
        (plain if inside is None else inside).append(one)
    return Said(of, tuple(plain), tuple((name, tuple(found)) for name, found in through.items()))


def _tree(text: str, start: str) -> lark.Tree[Any]:
    try:
        return _GRAMMAR.parse(text, start=start)
    except lark.exceptions.UnexpectedToken as error:
        read = text if error.token.type == "$END" else text[: error.pos_in_stream]
        raise _not_understood(text, read, error.accepts or error.expected) from None
    except lark.exceptions.UnexpectedCharacters as error:
        raise _not_understood(text, text[: error.pos_in_stream], error.allowed or ()) from None


def _not_understood(text: str, read: str, expected: Iterable[str]) -> ValueError:
    names = sorted({_NEXT.get(name, name.lower()) for name in expected} - {""})
    understood = f"is understood up to {read.strip()!r}" if read.strip() else "is not understood"
    return ValueError(f"{text!r} {understood}; next could come: {', '.join(names)}")


def _exact(of: Callable[[Cells], T]) -> Callable[[Cells], T]:
    """Say in plain words what decimal arithmetic stumbles over."""

    def guarded(cells: Cells) -> T:
        try:
            return of(cells)
        except ArithmeticError:
            raise ValueError("the arithmetic divides by zero, or its result is too large") from None

    return guarded


class _Reader(lark.Transformer[Any, Any]):
    """Makes functions from a row's cells to values; collects which cells they read."""

    def __init__(self, zone_name: str) -> None:
        super().__init__()
        self.zone = zone_name
        self.references: dict[Reference, None] = {}
        self.some_of: dict[str, None] = {}

    # names
    def part(self, found: list[str]) -> str:
        return str(found[0]).strip("[]").strip()

    def reference(self, found: list[str]) -> Reference:
        one = Reference(tuple(found[:-1]), found[-1])
        self.references[one] = None
        return one

    # amounts
    def amount(self, found: list[Any]) -> Any:
        return found[0]

    def number(self, found: list[str]) -> Callable[[Cells], Decimal]:
        constant = Decimal(found[0])
        return lambda _: constant

    def cell(self, found: list[Reference]) -> Callable[[Cells], Decimal]:
        key = found[0].key
        return lambda cells: number(cells.get(key, ""), key)

    def negative(self, found: list[Any]) -> Callable[[Cells], Decimal]:
        return lambda cells: -found[0](cells)

    def _two(self, found: list[Any], do: Callable[[Any, Any], Any]) -> Callable[[Cells], Any]:
        one, other = found
        return lambda cells: do(one(cells), other(cells))

    def plus(self, found: list[Any]) -> Callable[[Cells], Decimal]:
        return self._two(found, operator.add)

    def minus(self, found: list[Any]) -> Callable[[Cells], Decimal]:
        return self._two(found, operator.sub)

    def times(self, found: list[Any]) -> Callable[[Cells], Decimal]:
        return self._two(found, operator.mul)

    def over(self, found: list[Any]) -> Callable[[Cells], Decimal]:
        return self._two(found, operator.truediv)

    # moments
    def moment(self, found: list[Any]) -> tuple[Callable[[Cells], int], Reference]:
        base, more, unit = found
        key, zone_name = base.key, self.zone
        if more is None:
            return (lambda cells: moment_in(cells.get(key, ""), key, zone_name)), base
        seconds = _UNITS[unit]
        later = _exact(lambda cells: int(more(cells) * seconds))
        return (lambda cells: moment_in(cells.get(key, ""), key, zone_name) + later(cells)), base

    # conditions
    def condition(self, found: list[Any]) -> Any:
        return found[0]

    def either(self, found: list[Any]) -> Callable[[Cells], bool]:
        return lambda cells: any(one(cells) for one in found)

    def both(self, found: list[Any]) -> Callable[[Cells], bool]:
        return lambda cells: all(one(cells) for one in found)

    def no(self, found: list[Any]) -> Callable[[Cells], bool]:
        return lambda cells: not found[0](cells)

    def compare(self, found: list[Any]) -> Callable[[Cells], bool]:
        one, sign, other = found
        return self._two([one, other], _COMPARE[sign])

    def _text(self, found: list[Any]) -> tuple[str, frozenset[str]]:
        return found[0].key, frozenset(str(text)[1:-1].strip() for text in found[1:])

    def equals(self, found: list[Any]) -> Callable[[Cells], bool]:
        key, texts = self._text(found)
        return lambda cells: cells.get(key, "").strip() in texts

    among = equals

    def differs(self, found: list[Any]) -> Callable[[Cells], bool]:
        key, texts = self._text(found)
        return lambda cells: cells.get(key, "").strip() not in texts

    def empty(self, found: list[Any]) -> Callable[[Cells], bool]:
        key = found[0].key
        return lambda cells: not cells.get(key, "").strip()

    def filled(self, found: list[Any]) -> Callable[[Cells], bool]:
        key = found[0].key
        return lambda cells: bool(cells.get(key, "").strip())

    def before(self, found: list[Any]) -> Callable[[Cells], bool]:
        return self._in_order(found[0].key, found[1].key)

    def after(self, found: list[Any]) -> Callable[[Cells], bool]:
        return self._in_order(found[1].key, found[0].key)

    def _in_order(self, early: str, late: str) -> Callable[[Cells], bool]:
        """Whether one date lies before another; not, where either is empty. A day and a time compare by days."""
        zone_name = self.zone

        def in_order(cells: Cells) -> bool:
            one, other = cells.get(early, ""), cells.get(late, "")
            if not one.strip() or not other.strip():
                return False
            (first, whole), (second, whole_too) = _moment(one, early, zone_name), _moment(other, late, zone_name)
            if whole or whole_too:
                return local_day(first, zone_name) < local_day(second, zone_name)
            return first < second

        return in_order

    def some(self, found: list[Any]) -> Callable[[Cells], bool]:
        name, holds = str(found[0]), found[1]
        self.some_of[name] = None

        def some(cells: Cells) -> bool:
            return any(
                holds(Cells({**cells, **{f"{name}.{key}": text for key, text in row.items()}}, cells.many))
                for row in cells.many.get(name, ())
            )

        return some
