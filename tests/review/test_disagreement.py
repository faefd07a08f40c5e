"""Pulse and band part by whole steps, whatever the number of bands."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.facts import Fact, Identity, millionths
from worker.intake import records as intake
from worker.lib.assets import folder
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.review import opinions
from worker.review.disagreement import AGREED_AGAIN, PARTED, TOO_OLD, Disagreement, Pulse, closes, parted, question
from worker.scoring.card import Band, Card
from worker.scoring.scorecard import load

STARTER = load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))
NOW = 20_000 * DAY


def with_bands(*names: str) -> Card:
    edges = range(10 * (len(names) - 1), -1, -10)
    return replace(STARTER, bands=tuple(Band(name, Decimal(edge)) for name, edge in zip(names, edges, strict=True)))


THREE = with_bands("green", "yellow", "red")


@pytest.mark.parametrize(
    ("band", "steps"),
    [
        ("green", [2, 2, 1, 0, 0]),
        ("yellow", [1, 1, 0, 1, 1]),
        ("red", [0, 0, 1, 2, 2]),
        ("grey", [0] * 5),
        ("x", [0] * 5),
    ],
)
def test_five_and_four_are_best_three_is_the_middle_two_and_one_are_worst(band: str, steps: list[int]) -> None:
    assert [parted(THREE, band, pulse) for pulse in range(1, 6)] == steps


def test_the_two_bands_of_a_card_part_by_two_steps_from_the_other_end() -> None:
    two = with_bands("fine", "ill")

    assert [parted(two, "fine", pulse) for pulse in range(1, 6)] == [2, 2, 1, 0, 0]
    assert [parted(two, "ill", pulse) for pulse in range(1, 6)] == [0, 0, 1, 2, 2]


def test_a_band_between_the_ends_never_parts_by_two_steps() -> None:
    for count in (4, 5, 7):
        card = with_bands(*(f"b{place}" for place in range(count)))
        for band in card.order[1:-1]:
            assert all(parted(card, band, pulse) < PARTED for pulse in range(1, 6))
        assert parted(card, "b0", 1) == parted(card, card.order[-1], 5) == 2


@settings(max_examples=40)
@given(count=st.integers(2, 8), place=st.integers(0, 7), pulse=st.integers(1, 5))
def test_best_and_worst_are_alike_seen_from_either_side(count: int, place: int, pulse: int) -> None:
    card = with_bands(*(f"b{one}" for one in range(count)))
    band, mirrored = card.order[place % count], card.order[count - 1 - place % count]

    assert parted(card, band, pulse) == parted(card, mirrored, 6 - pulse)


def test_a_disagreement_closes_by_itself_when_they_agree_or_the_pulse_is_too_old_and_waits_under_grey() -> None:
    low = Pulse(1, NOW, "pulse", "p1")

    assert closes(THREE, "green", low) == ""
    assert closes(THREE, "grey", low) == ""
    assert closes(THREE, "yellow", low) == AGREED_AGAIN
    assert closes(THREE, "green", None) == TOO_OLD


def test_the_question_names_both_sides_and_asks_who_is_right() -> None:
    one = Disagreement("d", "c", "Acme", "Cleo", "green", 1, NOW, "pulse", "p1", "Ann", NOW)

    title, text = question(one, "85", "nothing costs points", "sponsor has left")

    assert title == "Cleo: score and pulse part over Acme"
    assert text == (
        "Ann says 1 of 5: “sponsor has left”. The score says green, 85 (nothing costs points). Who is right?"
    )
    assert question(replace(one, owner=""), "", "x", "")[0].startswith("Team: ")


# -- as they are kept -------------------------------------------------------------------------------------------------


@pytest.fixture
def ann(store: Store) -> str:
    customer_id = intake.add_customer(store, name="Ann", first_at=0)
    intake.add_identity(store, Identity("test", "ann"), customer_id, 0)
    return customer_id


def pulsed(store: Store, customer_id: str, value: float, at: int, named: str) -> None:
    who = intake.identity(store, Identity("test", "ann"))
    assert who is not None
    intake.add_facts(store, customer_id, who.id, [Fact("pulse", at, "test", named, millionths(value))])


def test_the_newest_pulse_that_is_not_too_old_speaks(store: Store, ann: str) -> None:
    for days_ago, value in ((100, 5), (20, 2), (10, 7), (5, 2.5), (-1, 4)):
        pulsed(store, ann, value, NOW - days_ago * DAY, f"p{days_ago}")

    found = opinions.latest_pulses(store, NOW, 90 * DAY)

    assert {customer_id: (one.value, one.source_id) for customer_id, one in found.items()} == {ann: (2, "p20")}
    assert opinions.latest_pulses(store, NOW, 20 * DAY) == {}
    assert [one.value for one in opinions.pulses_of(store, ann, NOW)] == [2, 5]


def test_one_is_open_at_a_time_and_what_was_answered_is_not_asked_again(store: Store, ann: str) -> None:
    low, lower = Pulse(2, NOW, "test", "p1"), Pulse(1, NOW + 1, "test", "p2", "Bo")
    one = opinions.open_disagreement(store, ann, "Cleo", "green", low, NOW)
    assert one is not None
    assert opinions.open_disagreement(store, ann, "Cleo", "green", lower, NOW) is None
    assert opinions.keep_up(store, one, "green", lower) == opinions.disagreement(store, one.id)
    assert (opinions.asked(store, one.id, NOW), opinions.asked(store, one.id, NOW)) == (True, False)

    assert opinions.close(store, one.id, "we called", NOW, was_right="the score", author="Cleo")
    assert not opinions.close(store, one.id, "again", NOW)

    assert opinions.open_disagreements(store) == []
    assert [old.answer for old in opinions.disagreements_of(store, ann)] == ["we called"]
    assert opinions.open_disagreement(store, ann, "", "green", lower, NOW) is None
    assert opinions.open_disagreement(store, ann, "", "green", Pulse(1, NOW + 2, "test", "p3"), NOW) is not None


def test_what_closed_by_itself_before_anybody_was_asked_may_open_again(store: Store, ann: str) -> None:
    low = Pulse(2, NOW, "test", "p1")
    one = opinions.open_disagreement(store, ann, "", "green", low, NOW)
    assert one is not None
    opinions.close(store, one.id, AGREED_AGAIN, NOW)

    assert opinions.open_disagreement(store, ann, "", "green", low, NOW) is not None
