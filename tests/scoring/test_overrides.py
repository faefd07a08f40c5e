"""What a person says against the score holds, wins over the rules, and leaves no trace when it is over."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lib.clock import DAY
from worker.scoring import overrides
from worker.scoring.bands import Standing, settle
from worker.scoring.card import Card
from worker.scoring.measures import Reading
from worker.scoring.overrides import applied, limit_of, override_in_words, released, weighed
from worker.scoring.score import Assessment, Override, assess
from worker.scoring.scorecard import load

CARD = load("""
name = "Overruled"

[measures.days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 100 -> 100"

[measures.other]
read = "number of logins in the last 30 days"
points = ["0 -> 0", "otherwise -> 100"]

[dimensions.use]
share = 100
measures = { days = 90, other = 10 }

[rules.capped]
when = "other >= 7"
at_most = "red"
because = "seven is unlucky"

[rules.lifted]
when = "other >= 5 and other <= 6"
at_least = "green"
because = "five is lucky"

[signals.loved]
when = "band is green"
do = "thriving"

[signals.used]
when = "days >= 1"
do = "thriving"

[bands]
green = "70 and up"
yellow = "40 and up"
change_when = "3 points past the line for 3 days"
unknown_if_known_less_than = "50%"
""")


def scored(days: int | None, other: int | None = None) -> Assessment:
    """An assessment whose score is `days`, but for the rules; of None nothing is known."""

    def read(value: int | None) -> Reading:
        return Reading("never") if value is None else Reading("value", Decimal(value))

    return assess(CARD, {"days": read(days), "other": read(other)})


def said(how: str, limit: str | int, *, named: str = "ovr_1") -> Override:
    bound = limit if isinstance(limit, str) else Decimal(limit)
    return Override(named, how, bound, "Ann", "new owner", 0, 59 * DAY)  # to the end of 1970-02-28


@pytest.mark.parametrize(
    ("how", "limit", "score", "came_to"),
    [
        ("set", "red", 85, ("red", 85)),
        ("set", "green", 10, ("green", 10)),
        ("set", 30, 85, ("red", 30)),
        ("at_most", "yellow", 85, ("yellow", 85)),
        ("at_most", "yellow", 20, ("red", 20)),
        ("at_least", "yellow", 20, ("yellow", 20)),
        ("at_least", "yellow", 85, ("green", 85)),
        ("at_most", 55, 85, ("yellow", 55)),
        ("at_most", 55, 41, ("yellow", 41)),
        ("at_least", 55, 20, ("yellow", 55)),
        ("at_least", 0, 0, ("red", 0)),
    ],
)
def test_a_number_limits_the_score_and_so_the_band_and_a_band_leaves_the_number(
    how: str, limit: str | int, score: int, came_to: tuple[str, int]
) -> None:
    found = applied(CARD, scored(score), said(how, limit))

    assert (found.band, found.score) == (came_to[0], Decimal(came_to[1]))
    assert (found.computed_band, found.computed_score) == (CARD.band_of(Decimal(score)), Decimal(score))


@pytest.mark.parametrize(
    ("how", "limit", "days", "other", "band"),
    [
        ("set", "green", 50, 7, "green"),
        ("at_least", "yellow", 50, 7, "yellow"),
        ("at_most", "yellow", 50, 5, "yellow"),
        ("at_most", "yellow", 50, 7, "red"),
        ("at_least", "yellow", 50, 5, "green"),
        ("set", 80, 50, 7, "green"),
    ],
)
def test_a_person_wins_over_the_rules_and_where_they_agree_both_hold(
    how: str, limit: str | int, days: int, other: int, band: str
) -> None:
    found = applied(CARD, scored(days, other), said(how, limit))

    assert found.band == band
    assert settle(CARD, Standing("green", 0), found, DAY, 1).band == band


@pytest.mark.parametrize("limit", ["red", 20])
def test_of_whom_nothing_is_known_only_set_says_something(limit: str | int) -> None:
    unknown = scored(None)

    assert applied(CARD, unknown, said("at_most", limit)).band == "grey"
    assert applied(CARD, unknown, said("at_least", limit)).band == "grey"
    found = applied(CARD, unknown, said("set", limit))
    assert found.band == "red"
    for begin in ("green", "grey", "red"):
        standing = settle(CARD, Standing(begin, 0), found, DAY, 1)
        assert (standing.band, standing.waiting) == ("red", None)


@settings(max_examples=50)
@given(
    days=st.integers(0, 100) | st.none(),
    other=st.integers(0, 9) | st.none(),
    how=st.sampled_from(overrides.HOWS),
    limit=st.sampled_from([*CARD.order]) | st.integers(0, 100),
    begin=st.sampled_from(CARD.order),
)
def test_an_override_takes_the_band_at_once_and_touches_no_reading(
    days: int | None, other: int | None, how: str, limit: str | int, begin: str
) -> None:
    plain = scored(days, other)
    override = said(how, limit)

    found = applied(CARD, plain, override)

    assert found.readings == plain.readings
    assert (found.measures, found.drivers, found.dimensions) == (plain.measures, plain.drivers, plain.dimensions)
    assert Assessment.from_json(found.to_json()) == found
    if found.band != "grey":
        standing = settle(CARD, Standing(begin, 0), found, DAY, 1)
        bound = limit if isinstance(limit, str) else CARD.band_of(Decimal(limit))
        place, bound_at = CARD.order.index(standing.band), CARD.order.index(bound)
        assert {"set": place == bound_at, "at_most": place >= bound_at, "at_least": place <= bound_at}[how]
        assert settle(CARD, standing, found, DAY, 1) == standing


def test_signals_see_what_the_person_said() -> None:
    assert scored(85).signals == ("loved", "used")
    assert applied(CARD, scored(85), said("at_most", "yellow")).signals == ("used",)
    assert applied(CARD, scored(20), said("set", "green")).signals == ("loved", "used")


def test_a_band_that_the_card_no_longer_has_is_ignored_and_told() -> None:
    found = applied(CARD, scored(85), said("set", "purple"))

    assert (found.band, found.score, found.computed_band) == ("green", Decimal(85), "")
    assert override_in_words(found) == [
        "set to purple by Ann until 1970-02-28: new owner; this scorecard has no such band, so it changes nothing"
    ]


def test_an_override_is_said_in_words_with_what_it_would_be_without() -> None:
    held = applied(CARD, scored(85), said("at_most", "yellow"))

    assert override_in_words(held) == ["held at most yellow by Ann until 1970-02-28: new owner; without it: green, 85"]
    assert override_in_words(applied(CARD, scored(None), said("set", 40)))[0].endswith("; without it: grey")
    assert override_in_words(scored(85)) == []
    ended = weighed(CARD, scored(85), None, said("at_most", "yellow"))
    assert override_in_words(ended) == ["the override by Ann (new owner) has ended"]


def test_the_text_of_those_without_an_override_has_no_word_of_it() -> None:
    for word in ("override", "computed", "ended"):
        assert word not in scored(85).to_json()


@pytest.mark.parametrize(
    ("held", "now", "band"),
    [
        (("at_most", "yellow", 85), 85, "green"),  # given back at once, not after three days
        (("set", "red", 85), 50, "yellow"),
        (("at_most", "yellow", 20), 41, "red"),  # red by itself: a turn for the better takes its points and days
        (("set", "purple", 85), 50, "green"),  # it had changed nothing
    ],
)
def test_when_it_ends_the_band_that_only_it_held_is_given_back(held: tuple[str, str, int], now: int, band: str) -> None:
    how, limit, score = held
    last = applied(CARD, scored(score), said(how, limit))
    standing = settle(CARD, Standing(last.band, 0), last, DAY, 1)
    after = weighed(CARD, scored(now), None, last.override)

    assert settle(CARD, released(standing, last, after, 2 * DAY), after, 2 * DAY, 2).band == band


def test_while_it_goes_on_nothing_is_released() -> None:
    last = applied(CARD, scored(85), said("at_most", "yellow"))
    standing = Standing("yellow", DAY)

    assert released(standing, last, last, 2 * DAY) == standing
    assert overrides.ended(last, last.override) is None
    other = said("set", "red", named="ovr_2")
    assert overrides.ended(last, other) == last.override
    assert overrides.ended(None, other) is None


@pytest.mark.parametrize(("text", "limit"), [(" Red ", "red"), ("40", 40), ("0", 0), ("100", 100), ("39.5", "39.5")])
def test_a_limit_is_read_as_people_write_it(text: str, limit: str | int) -> None:
    found = limit_of(text, CARD)

    assert found == (limit if limit == "red" else Decimal(limit))


@pytest.mark.parametrize("text", ["purple", "grey", "", "101", "-1", "nan", "inf", "1e9", "40%"])
def test_what_is_no_limit_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(ValueError, match="write green, yellow, red, or a number from 0 to 100"):
        limit_of(text, CARD)


def test_the_same_is_true_of_a_card_with_two_bands() -> None:
    two: Card = replace(CARD, bands=(CARD.bands[0], CARD.bands[2]))

    assert applied(two, scored(85), said("at_most", "red")).band == "red"
    assert applied(two, scored(10), said("at_least", 70)).band == "green"
