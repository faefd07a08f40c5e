"""What a look-back says of itself: shares with the interval they may lie in, and a warning where they say little."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.review import words
from worker.review.lookback import Horizon, Left, LookBack, Square, View


@pytest.mark.parametrize(
    ("count", "of", "expected"),
    # by hand; the last two as in table I of R. G. Newcombe, Statistics in Medicine 17 (1998)
    [(7, 10, (40, 89)), (0, 10, (0, 28)), (10, 10, (72, 100)), (81, 263, (26, 37)), (15, 148, (6, 16))],
)
def test_the_interval_of_a_share_is_wilsons(count: int, of: int, expected: tuple[int, int]) -> None:
    assert words.interval(count, of) == expected


@given(st.integers(1, 5000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_share_and_shrinks_with_more_of_the_same(pair: tuple[int, int]) -> None:
    count, of = pair
    low, high = words.interval(count, of)
    narrow = words.interval(count * 10, of * 10)

    assert 0 <= low <= round(100 * count / of) <= high <= 100
    assert narrow[1] - narrow[0] <= high - low


def _left(number: int, *bands: str) -> Left:
    before = tuple(View(days, "2026-01-01", band, "50", ("x",)) for days, band in zip((90, 60, 30), bands, strict=True))
    return Left(f"cus_{number}", f"C{number}", "2026-03-01", "", {"USD": "100"}, before, (), 0, ever_red=True)


def look(left: int) -> LookBack:
    """So many left, seven of them red or yellow 30 days before (all, if there are fewer)."""
    caught = min(7, left)
    counts = {"green": left - caught, "yellow": caught - caught // 2, "red": caught // 2, "grey": 0}
    return LookBack(
        business="Acme", card="Test", version="v", since="2025-01-01", until="2026-01-01", days=365, best="green",
        worst="red", left=tuple(_left(n, "green", "yellow", "red") for n in range(left)), left_otherwise={}, stayed=(),
        horizons=tuple(Horizon(days, counts, 0, {}) for days in (90, 60, 30)),
        square=Square(left, 24, 0, 166), shares={"red": "7%", "grey": "2%"}, last_heard="", mostly_grey=False, average=180, unseen={}, paid_left={}, paid_stayed={},
    )  # fmt: skip


def test_ten_who_left_are_told_with_what_so_few_can_bear() -> None:
    base, recall, precision = words.bearing(look(10))

    assert base.startswith("10 of 200 customers left by choice in 365 days: 5%, or 0.5% of the customers a month.")
    assert recall == (
        "Of 10 who left, 7 were red or yellow 30 days before. With 7 of 10 the true share lies between 40% and 89%."
    )
    assert precision == (
        "Of 34 who were ever red, 10 left by choice and 24 stayed: 29% left, against 0% of the 166 who never were. "
        "With 10 of 34 the true share lies between 17% and 46%."
    )
    assert words.warnings(look(10)) == []


def test_fewer_than_ten_are_too_few_to_tell_a_good_card_from_luck() -> None:
    [few] = words.warnings(look(9))
    assert few.startswith("Only 9 left by choice: too few to tell a good card from luck.")


def test_a_card_that_knows_too_little_says_so_before_all_else() -> None:
    grey = replace(look(10), mostly_grey=True, shares={"grey": "92%"}, unseen={"active days": "0%", "last nps": "3%"})

    [warning] = words.warnings(grey)
    assert warning.startswith(
        "On 92% of the days this card knew too little to give a colour. It asks for active days, last nps. "
    )


def test_where_nobody_left_nothing_is_claimed() -> None:
    nobody = replace(look(0), square=Square(0, 0, 0, 200))

    assert words.warnings(nobody) == [
        "Nobody left by choice in this time, so there is nothing to hold the card against."
    ]
    [base] = words.bearing(nobody)
    assert base.startswith("0 of 200 customers left by choice in 365 days: 0%, or 0% of the customers a month.")
