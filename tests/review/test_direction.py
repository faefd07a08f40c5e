"""Which way points pointed: two tests on ranks, held against values that were worked through by hand or by tables."""

from __future__ import annotations

from decimal import Decimal

import pytest

from worker.review.direction import along_with, left_and_stayed


def decimals(*numbers: float) -> list[Decimal]:
    return [Decimal(str(number)) for number in numbers]


def test_the_rank_sum_of_two_samples_that_do_not_meet() -> None:
    """n = m = 10, all of one below all of the other: U = 0, z = (50 - 0.5) / sqrt(175) = 3.742, p = 0.000183."""
    found = left_and_stayed(decimals(*range(10)), decimals(*range(10, 20)))

    assert found is not None
    assert (found.cases, found.points_for_good) == ((10, 10), True)
    assert found.chance == pytest.approx(0.000183, abs=2e-6)


def test_ties_share_their_rank_and_narrow_the_spread() -> None:
    """Ranks 2, 2, 5.5, 2, 5.5, 5.5, 5.5: U of the first three 3.5, variance 12/12 * (8 - (24 + 60) / 42) = 6, z = 2 / root 6."""
    found = left_and_stayed(decimals(0, 0, 1), decimals(0, 1, 1, 1))

    assert found is not None
    assert found.points_for_good
    assert found.chance == pytest.approx(0.41422, abs=1e-4)


def test_leavers_with_more_points_point_the_other_way() -> None:
    found = left_and_stayed(decimals(80, 90, 100), decimals(10, 20, 30))

    assert found is not None
    assert not found.points_for_good


def test_points_that_are_all_alike_say_nothing() -> None:
    assert left_and_stayed(decimals(5, 5), decimals(5, 5, 5)) is None
    assert left_and_stayed([], decimals(1)) is None
    assert along_with(decimals(1, 1), decimals(1, 2), "pulses") is None


def test_the_rank_correlation_with_what_people_say() -> None:
    """Five pairs, one pair of neighbours swapped: rho = 1 - 6 * 2 / 120 = 0.9, z = 0.9 * 2."""
    found = along_with(decimals(1, 2, 3, 4, 5), decimals(2, 1, 3, 4, 5), "nps answers")
    other = along_with(decimals(1, 2, 3, 4, 5), decimals(5, 4, 3, 1, 2), "nps answers")

    assert found is not None
    assert other is not None
    assert (found.points_for_good, other.points_for_good) == (True, False)
    assert found.chance == pytest.approx(0.07186, abs=1e-4)
