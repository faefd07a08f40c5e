"""The laws of a score, and the hand-computed ones."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lib.assets import folder
from worker.scoring.card import Card, Mix
from worker.scoring.measures import Reading
from worker.scoring.score import Assessment, Driver, assess, known_shares
from worker.scoring.scorecard import load

STARTER = load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))
Entry = TypeVar("Entry")
LAW = settings(max_examples=20, deadline=None)  # a card is parsed for every example
NUMBERS = st.decimals(min_value=-(10**6), max_value=10**6, places=6)
READINGS = st.one_of(
    st.builds(Reading, st.just("value"), NUMBERS),
    st.sampled_from([Reading("never"), Reading("expired"), Reading("not_applicable"), Reading("source_down")]),
)


@st.composite
def cards(draw: st.DrawFn) -> Card:
    """Cards with up to six measures, each the more the better, in up to three dimensions."""
    names = draw(st.lists(st.sampled_from(string.ascii_lowercase[:6]), min_size=1, unique=True))
    homes = {name: draw(st.sampled_from(["x", "y", "z"])) for name in names}
    text = ['name = "Any"']
    for name in names:
        low, high = sorted(draw(st.lists(st.integers(-50, 50), min_size=2, max_size=2, unique=True)))
        worst, best = sorted(draw(st.lists(st.integers(0, 100), min_size=2, max_size=2)))
        table = draw(
            st.sampled_from(
                [
                    f'sliding = "{low} -> {worst}, {high} -> {best}"',
                    f'points = ["below {low} -> {worst}", "otherwise -> {best}"]',
                ]
            )
        )
        text += [f"[measures.{name}]", 'read = "days with usage ever"', table]
    for home in sorted(set(homes.values())):
        inside = [name for name in names if homes[name] == home]
        shares = ", ".join(f"{name} = {share}" for name, share in zip(inside, draw(_shares(len(inside))), strict=True))
        text += [f"[dimensions.{home}]", "share = @", f"measures = {{ {shares} }}"]
    body = "\n".join([*text, '[bands]\ngreen = "70 and up"\nyellow = "40 and up"\nunknown_if_known_less_than = "0%"'])
    for share in draw(_shares(len(set(homes.values())))):
        body = body.replace("@", str(share), 1)
    return load(body)


@st.composite
def _shares(draw: st.DrawFn, count: int) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(1, 99), min_size=count - 1, max_size=count - 1, unique=True)))
    return [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]


@st.composite
def cards_read(draw: st.DrawFn) -> tuple[Card, dict[str, Reading]]:
    card = draw(cards())
    return card, {name: draw(READINGS) for name in card.measures}


# -- laws -------------------------------------------------------------------------------------------------------------


@LAW
@given(cards_read())
def test_a_score_lies_between_0_and_100_and_coverage_between_0_and_1(case: tuple[Card, dict[str, Reading]]) -> None:
    found = assess(*case)

    assert found.score is None or 0 <= found.score <= 100
    assert 0 <= found.coverage <= 1
    assert (found.score is None) == (found.coverage == 0)


@LAW
@given(cards_read())
def test_shares_over_what_is_known_sum_to_one(case: tuple[Card, dict[str, Reading]]) -> None:
    card, readings = case
    known = [name for name, one in assess(card, readings).measures.items() if one.points is not None]

    assert sum(known_shares(card, known).values()) == pytest.approx(1 if known else 0, abs=Decimal("1e-24"))


@LAW
@given(cards_read())
def test_drivers_are_what_is_missing_to_100(case: tuple[Card, dict[str, Reading]]) -> None:
    found = assess(*case)

    if found.score is not None:
        assert sum(one.points_lost for one in found.drivers) == pytest.approx(100 - found.score, abs=Decimal("1e-8"))
    assert list(found.drivers) == sorted(found.drivers, key=lambda one: (-one.points_lost, one.measure))


@LAW
@given(cards_read(), st.randoms(use_true_random=False))
def test_the_order_of_measures_and_dimensions_changes_nothing(
    case: tuple[Card, dict[str, Reading]], random: object
) -> None:
    card, readings = case
    turned = replace(
        card,
        measures=_backwards(card.measures),
        dimensions={name: Mix(_backwards(one.measures)) for name, one in _backwards(card.dimensions).items()},
        score=Mix(dimensions=_backwards(card.score.dimensions)),
    )

    assert assess(turned, _backwards(readings)).to_json() == assess(card, readings).to_json()


def _backwards(table: Mapping[str, Entry]) -> dict[str, Entry]:
    return dict(reversed(list(table.items())))


@LAW
@given(cards_read(), st.data())
def test_more_of_a_good_measure_never_lowers_the_score(
    case: tuple[Card, dict[str, Reading]], data: st.DataObject
) -> None:
    card, readings = case
    name = data.draw(st.sampled_from(sorted(card.measures)))
    less, more = sorted([data.draw(NUMBERS), data.draw(NUMBERS)])
    low = assess(card, {**readings, name: Reading("value", less)}).score
    high = assess(card, {**readings, name: Reading("value", more)}).score

    assert low is not None
    assert high is not None
    assert high >= low


@LAW
@given(cards_read(), st.data())
def test_removing_a_measure_equals_leaving_it_out(case: tuple[Card, dict[str, Reading]], data: st.DataObject) -> None:
    card, readings = case
    gone = data.draw(st.sampled_from(sorted(card.measures)))
    smaller = replace(
        card,
        measures={name: one for name, one in card.measures.items() if name != gone},
        dimensions={
            name: Mix({measure: share for measure, share in one.measures.items() if measure != gone})
            for name, one in card.dimensions.items()
        },
    )
    removed = assess(smaller, readings)
    left_out = assess(card, {**readings, gone: Reading("never")})

    assert (removed.score, removed.drivers) == (left_out.score, left_out.drivers)


@LAW
@given(cards_read())
def test_what_is_kept_as_text_comes_back_equal(case: tuple[Card, dict[str, Reading]]) -> None:
    found = assess(*case)

    assert Assessment.from_json(found.to_json()) == found
    assert Assessment.from_json(found.to_json()).to_json() == found.to_json()


# -- by hand ----------------------------------------------------------------------------------------------------------


def readings(**values: str | Reading) -> dict[str, Reading]:
    usual: dict[str, str | Reading] = {
        "active_days": "12", "usage_trend": "1", "unpaid_invoices": "0", "last_nps": "10", "open_tickets": "0",
        "days with usage from 12 to 4 weeks ago": "30",
        "number of planned cancellations now": "0",
    }  # fmt: skip
    return {
        name: value if isinstance(value, Reading) else Reading("value", Decimal(value))
        for name, value in {**usual, **values}.items()
    }


def test_a_score_is_the_mean_of_what_is_known_by_its_shares() -> None:
    found = assess(STARTER, readings(active_days="3", last_nps=Reading("expired"), open_tickets="1"))

    assert found.dimensions == {"adoption": Decimal("62.5"), "money": 100, "voice": 70}
    assert (found.score, found.band, found.coverage) == (Decimal("75.25"), "green", Decimal("0.9"))
    assert found.drivers == (Driver("active_days", Decimal("18.75")), Driver("open_tickets", Decimal(6)))


def test_too_little_known_is_grey_and_no_rule_colours_it() -> None:
    unknown = Reading("not_applicable")
    found = assess(STARTER, readings(active_days=unknown, usage_trend=unknown, last_nps=unknown, unpaid_invoices="1"))

    assert (found.coverage, found.band, found.score) == (Decimal("0.4"), "grey", Decimal(64))


def test_nothing_known_is_no_score() -> None:
    found = assess(STARTER, dict.fromkeys(STARTER.measures, Reading("not_applicable")))

    assert (found.score, found.band, found.coverage, found.drivers) == (None, "grey", Decimal(0), ())


def test_a_rule_holds_the_band_and_leaves_the_score() -> None:
    found = assess(STARTER, readings(active_days="20", last_nps="6"))

    assert (found.score, found.band, found.rules) == (Decimal(96), "yellow", ("busy-but-struggling",))


def test_a_rule_that_hangs_on_what_is_missing_does_not_fire() -> None:
    assert assess(STARTER, readings(active_days="20", last_nps=Reading("never"))).rules == ()


def test_a_signal_sees_the_band_after_the_rules() -> None:
    assert assess(STARTER, readings(usage_trend="1.3")).signals == ("expansion",)
    assert assess(STARTER, readings(usage_trend="1.3", unpaid_invoices="1")).signals == ()


def test_a_source_that_is_down_freezes_its_measures() -> None:
    before = assess(STARTER, readings(active_days="3"))
    down = readings(active_days=Reading("source_down"), usage_trend=Reading("source_down"))
    meanwhile = assess(STARTER, down, last_good=before.readings)
    later = assess(STARTER, down, last_good=Assessment.from_json(meanwhile.to_json()).readings)

    assert meanwhile.score == later.score == before.score
    assert later.measures["active_days"].reading == Reading("source_down", Decimal(3), frozen="value")


def test_a_source_that_was_down_from_the_start_is_not_known() -> None:
    assert assess(STARTER, readings(unpaid_invoices=Reading("source_down"))).coverage == Decimal("0.7")


def ruled(rules: str, score: int) -> Assessment:
    card = load(
        'name = "Ruled"\n[measures.a]\nread = "days with usage ever"\nsliding = "0 -> 0, 100 -> 100"\n'
        "[dimensions.all]\nshare = 100\nmeasures = { a = 100 }\n"
        f'{rules}\n[bands]\ngreen = "70 and up"\nyellow = "40 and up"'
    )
    return assess(card, {"a": Reading("value", Decimal(score))})


def rule(name: str, limit: str, when: str = "a >= 0") -> str:
    return f'[rules.{name}]\nwhen = "{when}"\n{limit}\nbecause = "b"\n'


@pytest.mark.parametrize(
    ("rules", "score", "expected"),
    [
        (rule("x", "at_most = 30"), 90, (30, "red")),
        (rule("x", "at_least = 70"), 10, (70, "green")),
        (rule("x", 'at_least = "yellow"'), 10, (10, "yellow")),
        (rule("x", 'at_most = "red"'), 90, (90, "red")),
        (rule("x", 'at_least = "green"') + rule("y", 'at_most = "red"'), 50, (50, "red")),
        (rule("x", "at_most = 20") + rule("y", "at_least = 80"), 50, (20, "red")),
        (rule("x", 'at_most = "red"', "score >= 50 and not (band is yellow or worse)"), 60, (60, "yellow")),
        (rule("x", 'at_most = "red"', "band is green or better or a = 3"), 3, (3, "red")),
        (rule("x", 'at_most = "red"', "a is missing"), 90, (90, "green")),
        (rule("x", 'at_most = "red"', "a is not missing and a != 3"), 90, (90, "red")),
        (rule("x", 'at_most = "red"', "band is not grey and a < 95 and a > 80"), 90, (90, "red")),
    ],
)
def test_rules_limit_score_and_band_and_the_most_severe_has_the_last_word(
    rules: str, score: int, expected: tuple[int, str]
) -> None:
    found = ruled(rules, score)

    assert (found.score, found.band) == (Decimal(expected[0]), expected[1])


def test_never_may_be_worth_the_worst_the_best_or_some_points() -> None:
    def points(said: str) -> Decimal | None:
        card = load(
            f'name = "N"\n[measures.a]\nread = "latest nps answer"\nsliding = "0 -> 10, 10 -> 90"\nif_never = {said}\n'
            '[dimensions.all]\nshare = 100\nmeasures = { a = 100 }\n[bands]\ngreen = "70 and up"'
        )
        return assess(card, {"a": Reading("never")}).score

    assert [points(said) for said in ('"worst"', '"best"', "33", '"leave out"')] == [10, 90, 33, None]


def test_what_is_only_watched_moves_nothing_and_is_told() -> None:
    card = load(
        'name = "W"\n[measures.a]\nread = "days with usage ever"\nsliding = "0 -> 0, 10 -> 100"\n'
        '[measures.b]\nread = "latest nps answer"\nsliding = "0 -> 0, 10 -> 100"\nwatch_only = true\n'
        '[dimensions.all]\nshare = 100\nmeasures = { a = 100 }\n[bands]\ngreen = "70 and up"'
    )
    found = assess(card, {"a": Reading("value", Decimal(10)), "b": Reading("value", Decimal(1))})

    assert (found.score, found.coverage, found.measures["b"].points) == (Decimal(100), Decimal(1), Decimal(10))


def test_a_rule_that_leaves_only_one_band_speaks_however_little_is_known() -> None:
    """Who is about to leave is red, though nothing else of them is known."""
    nothing = dict.fromkeys(STARTER.measures, Reading("not_applicable"))
    ending = {**nothing, "number of planned cancellations now": Reading("value", Decimal(1))}
    owing = {**nothing, "unpaid_invoices": Reading("value", Decimal(1))}

    assert (assess(STARTER, nothing).band, assess(STARTER, owing).band) == ("grey", "grey")
    assert (assess(STARTER, ending).band, assess(STARTER, ending).score) == ("red", None)


@pytest.mark.parametrize(
    ("at_most", "at_least", "band"),
    [("", "", ""), ("red", "", "red"), ("yellow", "", ""), ("", "green", "green"), ("", "yellow", ""),
     ("yellow", "yellow", "yellow"), ("red", "green", "red"), ("yellow", "green", "")],
)  # fmt: skip
def test_limits_may_leave_one_band(at_most: str, at_least: str, band: str) -> None:
    assert STARTER.only(at_most, at_least) == band
