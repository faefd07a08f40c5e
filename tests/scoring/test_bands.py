"""A band turns when it is meant, and not before."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.assets import folder
from worker.lib.clock import DAY
from worker.scoring.bands import Standing, settle
from worker.scoring.card import Card, Hold
from worker.scoring.measures import Reading
from worker.scoring.score import Assessment, assess
from worker.scoring.scorecard import load

STARTER = load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))


def scored(score: float | None, *, at_most: str = "", at_least: str = "") -> Assessment:
    """An assessment with this score; None is grey."""
    blank = assess(STARTER, dict.fromkeys(STARTER.measures, Reading("not_applicable")))
    if score is None:
        return blank
    number = Decimal(str(score))
    band = STARTER.within(STARTER.band_of(number), at_most, at_least)
    return replace(blank, score=number, band=band, coverage=Decimal(1), at_most=at_most, at_least=at_least)


def lived(scores: list[Assessment], *, begin: str = "green", card: Card = STARTER) -> list[str]:
    """The band on each of the days that follow each other."""
    standing: Standing | None = Standing(begin, 0) if begin else None
    bands = []
    for day, assessment in enumerate(scores, start=1):
        standing = settle(card, standing, assessment, day * DAY, day)
        bands.append(standing.band)
    return bands


def days(*scores: float | None) -> list[Assessment]:
    return [scored(score) for score in scores]


@pytest.mark.parametrize(
    ("begin", "scores", "bands"),
    [
        ("", days(69), "yellow"),
        ("green", days(67, 67, 67, 67), "green green green yellow"),
        ("green", days(67.1, 67.1, 67.1, 67.1, 67.1), "green green green green green"),
        ("green", days(60, 60, 68, 60, 60, 60, 60), "green green green green green green yellow"),
        ("yellow", days(73, 73, 73, 73), "yellow yellow yellow green"),
        ("yellow", days(72.9, 72.9, 72.9, 72.9), "yellow yellow yellow yellow"),
        ("green", days(10, 10, 10, 10), "green green green red"),
        ("green", days(38, 38, 38, 38), "green green green yellow"),
        ("green", days(60, 60, 10, 10, 10, 10, 10), "green green green yellow yellow yellow red"),
        ("red", days(95, 95, 95, 95), "red red red green"),
        ("yellow", days(80, 30, 80, 30, 80, 30), "yellow yellow yellow yellow yellow yellow"),
    ],
)
def test_a_turn_takes_points_past_the_line_and_days(begin: str, scores: list[Assessment], bands: str) -> None:
    assert " ".join(lived(scores, begin=begin)) == bands


def test_grey_waits_its_days_and_ends_at_once() -> None:
    assert lived(days(90, None, None, 90, 90)) == ["green"] * 5
    assert lived(days(None, None, None, None, 30)) == ["green", "green", "green", "grey", "red"]


def test_a_rule_speaks_at_once_and_its_end_waits() -> None:
    unpaid = scored(90, at_most="yellow")

    assert lived([scored(90), unpaid, *days(90, 90, 90, 90)]) == [
        "green",
        "yellow",
        "yellow",
        "yellow",
        "yellow",
        "green",
    ]


def test_a_rule_that_lifts_speaks_at_once() -> None:
    assert lived([scored(10, at_least="yellow")], begin="red") == ["yellow"]


def test_the_directions_have_their_own_patience() -> None:
    card = replace(STARTER, worse=Hold(days=1), better=Hold(Decimal(5), 2))

    assert lived(days(69, 69, 74, 75, 75, 75), card=card) == ["green", "yellow", "yellow", "yellow", "yellow", "green"]


def test_a_band_that_the_card_no_longer_has_ends_at_once() -> None:
    assert lived(days(90), begin="platinum") == ["green"]


def test_the_standing_tells_what_waits_and_since_when() -> None:
    first = settle(STARTER, Standing("green", 5), scored(50), 10 * DAY, 10)
    then = settle(STARTER, first, scored(50), 12 * DAY, 12)

    assert first == then == Standing("green", 5, "yellow", 10)
    assert settle(STARTER, then, scored(50), 13 * DAY, 13) == Standing("yellow", 13 * DAY)


SCORES = st.one_of(st.none(), st.integers(0, 100))


@given(st.lists(SCORES, max_size=12), SCORES)
def test_settling_the_same_moment_twice_changes_nothing(before: list[int | None], score: int | None) -> None:
    standing = None
    for day, one in enumerate(before):
        standing = settle(STARTER, standing, scored(one), day * DAY, day)
    once = settle(STARTER, standing, scored(score), 50 * DAY, 50)

    assert settle(STARTER, once, scored(score), 50 * DAY, 50) == once


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12))
def test_without_hold_the_standing_is_the_edges_own_band(scores: list[int]) -> None:
    card = replace(STARTER, worse=Hold(), better=Hold())

    assert lived(days(*scores), begin="", card=card) == [card.band_of(Decimal(score)) for score in scores]


@given(st.integers(0, 100), st.sampled_from(["green", "yellow", "red"]))
def test_whoever_stays_far_from_every_line_ends_in_the_edges_band(score: int, begin: str) -> None:
    if all(abs(score - edge) >= 3 for edge in (40, 70)):
        assert lived(days(*[score] * 8), begin=begin)[-1] == STARTER.band_of(Decimal(score))
