"""What the patience of the bands buys in alerts, and what it costs in days of warning."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.scoring.test_bands import STARTER, scored
from worker.scoring.card import Hold
from worker.scoring.flaps import Turns, Warned, flap_report
from worker.scoring.score import Assessment

PATIENT = replace(STARTER, worse=Hold(days=3), better=Hold(days=3))


def series(*scores: float | None, begin: int = 100) -> list[tuple[int, Assessment]]:
    return [(begin + place, scored(score)) for place, score in enumerate(scores)]


def test_a_wobble_costs_two_changes_at_once_and_none_with_patience() -> None:
    found = flap_report(PATIENT, {"ann": series(80, 80, 65, 65, 80, 80)})

    assert found.at_once == Turns(changes=2, alerts=1, flaps=1)
    assert found.with_setting == Turns(0, 0, 0)
    assert (found.customers, found.days, found.alerts_removed) == (1, 6, 1)


def test_what_comes_back_after_more_than_14_days_was_no_flap() -> None:
    within = flap_report(PATIENT, {"ann": series(80, *[50] * 14, 80)})
    after = flap_report(PATIENT, {"ann": series(80, *[50] * 15, 80)})

    assert (within.at_once.flaps, after.at_once.flaps) == (1, 0)
    assert (within.at_once.changes, after.at_once.changes) == (2, 2)


def test_into_grey_is_a_turn_for_the_worse_and_out_of_it_none() -> None:
    assert flap_report(PATIENT, {"ann": series(80, None, 30)}).at_once == Turns(changes=2, alerts=1, flaps=0)


def test_the_days_of_warning_that_patience_costs_before_known_departures() -> None:
    history = {
        "late": series(80, 80, *[20] * 10),
        "never": series(80, 80, 20, 20),
        "stays": series(*[20] * 12),
        "unseen": series(*[80] * 12),
    }

    found = flap_report(PATIENT, history, {"late": 112, "never": 104, "unseen": 110})

    assert found.warnings == (Warned("late", 112, 102, 105), Warned("never", 104, 102, None))
    assert [one.days_lost for one in found.warnings] == [3, 2]
    assert found.days_of_warning_lost == 5


def test_what_comes_with_the_departure_or_later_is_no_warning() -> None:
    found = flap_report(PATIENT, {"ann": series(80, 80, 80, 20, 20)}, {"ann": 103})

    assert (found.warnings, found.days) == ((), 3)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 100), max_size=12)))
def test_without_patience_there_is_nothing_to_gain_or_lose(scores: dict[str, list[int]]) -> None:
    card = replace(STARTER, worse=Hold(), better=Hold())
    history = {name: series(*one) for name, one in scores.items()}

    found = flap_report(card, history, dict.fromkeys(history, 110))

    assert found.with_setting == found.at_once
    assert (found.alerts_removed, found.days_of_warning_lost) == (0, 0)
