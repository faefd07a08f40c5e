"""How often bands turn, with the patience of a card and without."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.scoring.test_bands import STARTER, days, lived
from worker.scoring.card import Card, Hold
from worker.scoring.flaps import Turns, turns

PATIENT = replace(STARTER, worse=Hold(days=3), better=Hold(days=3))
HASTY = replace(STARTER, worse=Hold(), better=Hold())


def turned(card: Card, *scores: float | None) -> Turns:
    """Over these days, one after the other."""
    return turns(card, list(enumerate(lived(days(*scores), begin="", card=card))))


def test_a_wobble_costs_two_changes_at_once_and_none_with_patience() -> None:
    assert turned(HASTY, 80, 80, 65, 65, 80, 80) == Turns(changes=2, alerts=1, flaps=1)
    assert turned(PATIENT, 80, 80, 65, 65, 80, 80) == Turns(0, 0, 0)


def test_what_comes_back_after_more_than_14_days_was_no_flap() -> None:
    within, after = turned(HASTY, 80, *[50] * 14, 80), turned(HASTY, 80, *[50] * 15, 80)

    assert (within.flaps, after.flaps) == (1, 0)
    assert (within.changes, after.changes) == (2, 2)


def test_into_grey_is_a_turn_for_the_worse_and_out_of_it_none() -> None:
    assert turned(HASTY, 80, None, 30) == Turns(changes=2, alerts=1, flaps=0)


@given(st.lists(st.integers(0, 100), max_size=12))
def test_without_patience_the_band_is_the_one_that_the_score_cuts(scores: list[int]) -> None:
    """So the preview may take it for the band at once."""
    assert lived(days(*scores), begin="", card=HASTY) == [one.band for one in days(*scores)]
