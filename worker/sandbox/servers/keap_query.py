"""How the pretend Keap reads a query: parameters, filters, order, pages. Pure.

A `+` stays a plus: Keap's own examples write a space as `%20`, so a client that writes form text is told at once.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote

from worker.lib.clock import from_iso

DEFAULT_PAGE: Final = 25

_CONDITION: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(==|>=|<=|>|<)(.*)", re.DOTALL)
_FULL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:?\d\d)")

Row = TypeVar("Row")


class Refusal(Exception):
    """A request that Keap turns down: a status and the sentence in its body."""

    def __init__(self, status: int, sentence: str) -> None:
        """`status` is one of those the specification declares: 400, 404, 409, 501 …"""
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a filter: `email==ann@example.com`."""

    name: str
    operator: str
    value: str


Test = Callable[[Row], bool]
MakeTest = Callable[[Condition], Test[Row]]
"""Turns a condition into a test of a row; raises Refusal for a value or operator that does not fit."""


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """What a list endpoint knows: the name of its rows, its filters by name, its orders, what tells rows apart."""

    name: str
    filters: Mapping[str, MakeTest[Row]]
    orders: Mapping[str, Callable[[Row], Any]]
    """Each gives text, or each a number."""
    place: Callable[[Row], Any]
    """A row's place where nothing else orders it, and the tie-breaker where something does."""
    largest_page: int = 1000
    smallest_page: int = 0
    required: Sequence[str] = ()


def parameters(query: str) -> dict[str, list[str]]:
    """Split a raw query string; `+` is not a space."""
    found: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        found.setdefault(unquote(name), []).append(unquote(value))
    return found


def one(params: Mapping[str, list[str]], name: str) -> str:
    """The first value of a parameter, "" where there is none."""
    return params.get(name, [""])[0]


def conditions(text: str) -> list[Condition]:
    """Read `a==1;b>2`; a closing semicolon is allowed."""
    found = []
    for part in filter(str.strip, text.split(";")):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise Refusal(400, f"Invalid filter: {part}")
        found.append(Condition(match[1], match[2], match[3].strip()))
    return found


def page(listing: Listing[Row], rows: Iterable[Row], params: Mapping[str, list[str]]) -> tuple[list[Row], str]:
    """One page of the rows that pass the filter, in order, and the token of the next page or ""."""
    asked = one(params, "filter")
    tests = [_test(listing, condition) for condition in conditions(asked)]
    missing = set(listing.required) - {condition.name for condition in conditions(asked)}
    if missing:
        raise Refusal(400, f"Filter must name: {', '.join(sorted(missing))}")
    key, downwards = _order(listing, one(params, "order_by"))
    size = _size(listing, one(params, "page_size"))
    found = sorted((row for row in rows if all(test(row) for test in tests)), key=key, reverse=downwards)
    question = f"{listing.name}|{asked}|{one(params, 'order_by')}"
    last = _opened(one(params, "page_token"), question)
    if last is not None:
        found = [row for row in found if (key(row) < last if downwards else key(row) > last)]
    more = len(found) > size
    return found[:size], _token(question, key(found[size - 1])) if more else ""


def _test(listing: Listing[Row], condition: Condition) -> Test[Row]:
    make = listing.filters.get(condition.name) or listing.filters.get(condition.name.lower())
    if make is None:
        raise Refusal(400, f"Invalid filter field: {condition.name}")
    return make(condition)


def _order(listing: Listing[Row], text: str) -> tuple[Callable[[Row], Any], bool]:
    if not text:
        return lambda row: (0, listing.place(row)), False
    name, _, direction = text.partition(" ")
    value = listing.orders.get(name)
    if value is None or direction not in {"asc", "desc"}:
        raise Refusal(400, f"Invalid order_by: {text}")
    return lambda row: (value(row), listing.place(row)), direction == "desc"


def _size(listing: Listing[Row], text: str) -> int:
    if not text:
        return DEFAULT_PAGE
    if not text.isdecimal() or not listing.smallest_page <= int(text) <= listing.largest_page:
        raise Refusal(400, f"page_size must be between {listing.smallest_page} and {listing.largest_page}: {text}")
    return int(text) or DEFAULT_PAGE


def _token(question: str, last: tuple[Any, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([question, last]).encode()).decode()


def _opened(token: str, question: str) -> tuple[Any, ...] | None:
    """Where the page before ended; a token answers only the question that it came from."""
    if not token:
        return None
    try:
        asked, last = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError):
        raise Refusal(400, "Invalid page_token") from None
    if asked != question:
        raise Refusal(400, "page_token belongs to another filter or order")
    value, place = last
    return value, tuple(place) if isinstance(place, list) else place


# -- tests of a row ---------------------------------------------------------------------------------------------------


def _only_equals(condition: Condition) -> None:
    if condition.operator != "==":
        raise Refusal(400, f"{condition.name} takes == only")


def text(get: Callable[[Row], Iterable[str]], *, none: bool = False) -> MakeTest[Row]:
    """One of the row's texts is the value, whatever the case; a closing `*` makes it a beginning.

    With `none`, the value NONE asks for rows that have no such text.
    """

    def make(condition: Condition) -> Test[Row]:
        _only_equals(condition)
        wanted = condition.value.lower()
        if none and condition.value == "NONE":
            return lambda row: not any(get(row))
        if wanted.endswith("*"):
            return lambda row: any(have.lower().startswith(wanted[:-1]) for have in get(row))
        return lambda row: any(have.lower() == wanted for have in get(row))

    return make


def member(get: Callable[[Row], str], *, most: int | None = None) -> MakeTest[Row]:
    """The row's value is one of a comma-joined set."""

    def make(condition: Condition) -> Test[Row]:
        _only_equals(condition)
        wanted = {part.strip().lower() for part in condition.value.split(",") if part.strip()}
        if most is not None and len(wanted) > most:
            raise Refusal(400, f"{condition.name} takes at most {most} values")
        return lambda row: get(row).lower() in wanted

    return make


def flag(get: Callable[[Row], bool]) -> MakeTest[Row]:
    """The row's truth is the value, `true` or `false`."""

    def make(condition: Condition) -> Test[Row]:
        _only_equals(condition)
        if condition.value not in {"true", "false"}:
            raise Refusal(400, f"{condition.name} must be true or false: {condition.value}")
        return lambda row: get(row) == (condition.value == "true")

    return make


def moment(condition: Condition) -> int:
    """The value as a moment: a date-time with milliseconds and a zone, as Keap demands."""
    if not _FULL_TIME.fullmatch(condition.value):
        raise Refusal(400, f"{condition.name} must be like 2024-12-22T01:00:00.000Z: {condition.value}")
    try:
        return from_iso(condition.value)
    except ValueError:
        raise Refusal(400, f"{condition.name} is no moment: {condition.value}") from None


def since(get: Callable[[Row], int | None]) -> MakeTest[Row]:
    """The row's moment is not before the value; a row without one is left out."""

    def make(condition: Condition) -> Test[Row]:
        _only_equals(condition)
        first = moment(condition)
        return lambda row: (at := get(row)) is not None and at >= first

    return make


def until(get: Callable[[Row], int | None]) -> MakeTest[Row]:
    """The row's moment is not after the value; a row without one is left out."""

    def make(condition: Condition) -> Test[Row]:
        _only_equals(condition)
        last = moment(condition)
        return lambda row: (at := get(row)) is not None and at <= last

    return make


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": lambda have, wanted: have == wanted,
    ">": lambda have, wanted: have > wanted,
    "<": lambda have, wanted: have < wanted,
    ">=": lambda have, wanted: have >= wanted,
    "<=": lambda have, wanted: have <= wanted,
}


def compared(get: Callable[[Row], float | None], read: Callable[[Condition], float] | None = None) -> MakeTest[Row]:
    """The row's number stands to the value as the operator says; `read` turns the value into a number."""

    def make(condition: Condition) -> Test[Row]:
        wanted = (read or _number)(condition)
        compare = _COMPARE[condition.operator]
        return lambda row: (have := get(row)) is not None and compare(have, wanted)

    return make


def _number(condition: Condition) -> float:
    try:
        return float(condition.value)
    except ValueError:
        raise Refusal(400, f"{condition.name} must be a number: {condition.value}") from None


def not_pretended(condition: Condition) -> Test[Any]:
    """A filter that Keap has and this double has not: said plainly, so that nobody takes silence for an answer."""
    raise Refusal(501, f"the pretend Keap does not know the filter {condition.name}")
