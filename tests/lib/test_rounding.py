"""Numbers that are the same bytes on every engine."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.rounding import half_up, nine, plain

NUMBERS = st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=12)


@pytest.mark.parametrize(
    ("number", "places", "shown"),
    [
        ("70.5", 0, "71"), ("8.45", 1, "8.5"), ("69.4999999999", 0, "70"), ("69.499999999", 0, "69"), ("-0.5", 0, "-1"),
        ("-0.4", 0, "0"), ("0", 0, "0"), ("100", 0, "100"), ("1E+2", 0, "100"), ("0.10", 2, "0.1"),
    ],
)  # fmt: skip
def test_halves_go_away_from_zero_after_nine_places(number: str, places: int, shown: str) -> None:
    assert plain(half_up(Decimal(number), places)) == shown


@given(NUMBERS)
def test_rounding_again_changes_nothing(number: Decimal) -> None:
    assert nine(nine(number)) == nine(number)
    assert half_up(half_up(number, 1), 1) == half_up(number, 1)


@given(NUMBERS, NUMBERS)
def test_rounding_keeps_the_order(one: Decimal, other: Decimal) -> None:
    smaller, greater = sorted((one, other))

    assert half_up(smaller) <= half_up(greater)


@given(NUMBERS)
def test_what_is_written_plainly_reads_back_the_same(number: Decimal) -> None:
    text = plain(number)

    assert Decimal(text) == number
    assert not set(text) & {"E", "e", "+"}
