"""What may be said of cells: references, amounts, moments and conditions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.cells import Cells, Reference, amount, condition, moment, reference
from worker.lib.clock import from_iso

T = TypeVar("T")

ROW = Cells(
    {
        "cents": "1250", "stars": "5", "nothing": "", "word": "nine", "day": "2024-03-30", "minutes": "90",
        "order_id": "7", "[Order Date]": "2024-03-31 08:15", "account.since": "2024-03-31T09:00:00+02:00",
    },
    {"paid": [{"amount": "0", "ended": ""}, {"amount": "20", "ended": "2024-03-31", "[Paid by]": "card"}]},
)  # fmt: skip


def outcome(call: Callable[[], T]) -> T | str:
    """What a call gives, or the sentence with which it refuses."""
    try:
        return call()
    except ValueError as error:
        return str(error)


def holds(text: str, zone: str = "UTC") -> bool:
    return condition(text, zone).of(ROW)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cents", "1250"), ("cents / 100", "12.5"), ("(stars - 1) / 4", "1"), ("-stars + 2 * 3", "1"),
        ("cents - stars - 5", "1240"), ("100 / 8 / 5", "2.5"), ("minutes * 60", "5400"), ("order_id", "7"),
    ],
)  # fmt: skip
def test_arithmetic_over_cells_keeps_its_usual_order(text: str, value: str) -> None:
    assert amount(text).of(ROW) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("word", "word is 'nine', which is no number"),
        ("nothing", "nothing is empty, which is no number"),
        ("cents / (stars - 5)", "divides by zero"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        amount(text).of(ROW)


@given(st.text(max_size=20))
def test_whatever_a_cell_holds_is_a_number_or_a_named_mistake(text: str) -> None:
    found = outcome(lambda: amount("n").of(Cells({"n": text})))

    assert "n is " in found if isinstance(found, str) else found.is_finite()


@pytest.mark.parametrize(
    ("text", "zone", "at"),
    [
        ("day", "UTC", "2024-03-30T23:59:59Z"),
        ("day", "Europe/Berlin", "2024-03-30T22:59:59Z"),
        ("[Order Date]", "UTC", "2024-03-31T08:15:00Z"),
        ("[Order Date]", "Europe/Berlin", "2024-03-31T06:15:00Z"),
        ("account.since", "Europe/Berlin", "2024-03-31T07:00:00Z"),
        ("day + minutes minutes", "UTC", "2024-03-31T01:29:59Z"),
        ("account.since + 2 hours", "UTC", "2024-03-31T09:00:00Z"),
    ],
)
def test_a_day_means_its_end_and_a_time_without_a_zone_is_local(text: str, zone: str, at: str) -> None:
    assert moment(text, zone).of(ROW) == from_iso(at)


@pytest.mark.parametrize(
    "text", ["31.01.2024", "2024-02-30", "2024-1-5", "0023-01-01", "9999-12-31", "", "20240131", "x"]
)
def test_what_is_no_date_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"day is .*, which is no date; write 2026-01-31"):
        moment("day", "UTC").of(Cells({"day": text}))


@given(st.text(max_size=25))
def test_whatever_a_cell_holds_is_a_date_or_a_named_mistake(text: str) -> None:
    found = outcome(lambda: moment("day", "Asia/Kathmandu").of(Cells({"day": text})))

    assert "day is " in found if isinstance(found, str) else abs(found) < 10**10


def test_conditions_compare_numbers_texts_and_dates() -> None:
    assert holds("cents > 1000 and stars = 5")
    assert holds("stars < 5 or word is 'nine'")
    assert holds("word is one of 'eight', 'nine' and word is not 'ten'")
    assert holds("nothing is empty and not day is empty and day is not empty")
    assert not holds("word is 'eight' or (stars = 5 and cents <= 10)")


def test_a_day_and_a_time_are_compared_by_days() -> None:
    assert holds("day before [Order Date]")
    assert holds("[Order Date] before account.since", "Europe/Berlin")
    assert not holds("[Order Date] before account.since", "UTC")
    assert not condition("a before b", "UTC").of(Cells({"a": "2024-05-01T08:00", "b": "2024-05-01"}))
    assert not condition("a after b", "UTC").of(Cells({"a": "2024-05-01", "b": "2024-05-01T08:00"}))


def test_an_empty_date_lies_neither_before_nor_after() -> None:
    assert not holds("nothing before day")
    assert not holds("nothing after day")


def test_many_rows_are_looked_through_for_one_that_has_it_all() -> None:
    assert holds("some paid has (paid.amount > 0 and paid.ended after day)")
    assert not holds("some paid has (paid.amount > 0 and paid.ended is empty)")
    assert holds("some paid has (paid.[Paid by] is 'card' and stars = 5)")
    assert holds("not some other has (other.amount > 0)")


def test_a_name_that_is_not_one_plain_word_stands_in_brackets() -> None:
    assert reference("sub.account.[Sign-up date]") == Reference(("sub", "account"), "Sign-up date")
    assert str(reference("[plain]")) == "plain"
    assert str(reference("a.[b.c]")) == "a.[b.c]"


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("Order Total / 2", "is understood up to 'Order'; next could come: "),
        ("cents *", r"is understood up to 'cents \*'; next could come: \(, -, a column, a number"),
        ("", "is not understood; next could come: "),
        ("cents ? 3", "is understood up to 'cents'"),
    ],
)
def test_what_is_not_understood_is_shown_with_what_could_come_next(text: str, understood: str) -> None:
    with pytest.raises(ValueError, match=understood):
        amount(text)


@pytest.mark.parametrize(
    "understand", [reference, amount, partial(moment, zone_name="UTC"), partial(condition, zone_name="UTC")]
)
@given(text=st.text(alphabet="ab .'[]()+-*/<>=0189\n", max_size=25))
def test_any_text_is_understood_or_refused_in_a_sentence(understand: Callable[[str], object], text: str) -> None:
    found = outcome(lambda: understand(text))

    assert not isinstance(found, str) or "next could come" in found
