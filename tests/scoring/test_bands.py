"""A band turns when it is meant, and not before."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.assets import folder
from worker.lib.clock import DAY
from worker.scoring.bands import Frozen, Standing, settle
from worker.scoring.card import Band, Card, Hold
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


def crossed(scores: list[int], card: Card) -> int:
    """How many lines the band crosses over these days."""
    places = [card.order.index(band) for band in lived(days(*scores), begin="", card=card)]
    return sum(abs(one - other) for one, other in pairwise(places))


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


# -- while a source is down -------------------------------------------------------------------------------------------


def between(best: float | None, worst: float | None, looked: int = 10, *, at_most: str = "") -> Frozen:
    return Frozen(scored(best, at_most=at_most), scored(worst, at_most=at_most), looked)


GREEN = Standing("green", 5)
AT_ONCE = replace(STARTER, worse=Hold(), better=Hold())


@pytest.mark.parametrize(
    ("begin", "score", "best", "worst", "band"),
    [
        ("green", 20, 90, 10, "green"),  # it may be well
        ("green", 20, 60, 10, "yellow"),  # yellow at best, so yellow it is, and no further
        ("green", 20, 30, 10, "red"),
        ("red", 90, 100, 30, "red"),
        ("red", 90, 100, 50, "yellow"),  # yellow at worst
        ("red", 90, 100, 80, "green"),
        ("yellow", 60, 80, 30, "yellow"),
        ("green", None, 90, None, "green"),  # whether too little is known is not known either
        ("green", None, None, None, "grey"),
        ("grey", 20, 90, 10, "grey"),
        ("grey", 20, 30, 10, "red"),
    ],
)
def test_while_measures_are_frozen_a_band_turns_only_as_far_as_what_is_known_carries(
    begin: str, score: float | None, best: float | None, worst: float | None, band: str
) -> None:
    assert settle(AT_ONCE, Standing(begin, 5), scored(score), 11 * DAY, 11, between(best, worst)).band == band


def test_days_of_waiting_pass_only_where_it_would_be_as_bad_at_best() -> None:
    waiting = Standing("green", 5, "yellow", 9)

    assert settle(STARTER, waiting, scored(50), 11 * DAY, 11, between(90, 10)) == replace(waiting, waiting_since=10)
    assert settle(STARTER, waiting, scored(50), 11 * DAY, 11, between(60, 10)) == waiting
    assert settle(STARTER, waiting, scored(50), 12 * DAY, 12, between(60, 10)).band == "yellow"


def test_a_rule_over_healthy_sources_speaks_at_once_while_others_are_down() -> None:
    unpaid = between(95, 10, at_most="yellow")

    assert settle(STARTER, GREEN, scored(50, at_most="yellow"), 11 * DAY, 11, unpaid).band == "yellow"


BETWEEN = st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100)).map(sorted)


@given(st.lists(st.tuples(BETWEEN, st.booleans()), min_size=1, max_size=12), st.sampled_from([STARTER, AT_ONCE]))
def test_while_frozen_no_turn_is_worse_than_the_best_that_could_be_nor_better_than_the_worst(
    lives: list[tuple[list[int], bool]], card: Card
) -> None:
    standing: Standing | None = Standing("yellow", 0)
    for day, ((worst, score, best), down) in enumerate(lives, start=1):
        frozen = between(best, worst, day - 1) if down else None
        before = standing
        standing = settle(card, before, scored(score), day * DAY, day, frozen)

        assert (
            settle(card, standing, scored(score), day * DAY, day, between(best, worst, day) if down else None)
            == standing
        )
        if down and before is not None and standing.band != before.band:
            worse = card.worst(standing.band, before.band) == standing.band
            limit = card.band_of(Decimal(best if worse else worst))
            assert (card.worst(standing.band, limit) == limit) is worse or standing.band == limit


# -- hysteresis -------------------------------------------------------------------------------------------------------

# A jump over two lines may be taken in two steps, so what is counted is the lines crossed and not the changes. More points
# beside days can cross a line more often: what falls back among the points begins its days anew.

SERIES = st.lists(st.integers(20, 90), min_size=2, max_size=20)
POINTS = st.integers(0, 8).map(Decimal)
DAYS = st.integers(0, 4)


@given(SERIES, POINTS, POINTS, DAYS, DAYS)
def test_patience_never_crosses_more_lines_than_none(
    scores: list[int], worse: Decimal, better: Decimal, worse_days: int, better_days: int
) -> None:
    patient = replace(STARTER, worse=Hold(worse, worse_days), better=Hold(better, better_days))

    assert crossed(scores, patient) <= crossed(scores, AT_ONCE)


@given(SERIES, POINTS, DAYS, DAYS)
def test_more_days_never_cross_more_lines(scores: list[int], points: Decimal, days: int, more: int) -> None:
    patient, stubborn = Hold(points, days), Hold(points, days + more)

    assert crossed(scores, replace(STARTER, worse=stubborn, better=stubborn)) <= crossed(
        scores, replace(STARTER, worse=patient, better=patient)
    )


@given(SERIES, POINTS, POINTS)
def test_more_points_without_days_never_cross_more_lines(scores: list[int], points: Decimal, more: Decimal) -> None:
    patient, stubborn = Hold(points), Hold(points + more)

    assert crossed(scores, replace(STARTER, worse=stubborn, better=stubborn)) <= crossed(
        scores, replace(STARTER, worse=patient, better=patient)
    )


def test_an_edge_that_a_band_begins_above_belongs_to_the_one_beneath() -> None:
    at, above = (
        replace(STARTER, bands=(Band("green", Decimal(70), above=one), *STARTER.bands[1:]), worse=Hold(), better=Hold())
        for one in (False, True)
    )

    assert (lived(days(70), begin="yellow", card=at), lived(days(70), begin="yellow", card=above)) == (
        ["green"],
        ["yellow"],
    )
    assert (lived(days(70), begin="green", card=at), lived(days(70), begin="green", card=above)) == (
        ["green"],
        ["yellow"],
    )
