"""The words a founder, a CSM and a CRM field get."""

from __future__ import annotations

from decimal import Decimal

import pytest

from worker.lib.assets import folder
from worker.scoring.bands import Standing
from worker.scoring.explain import explain, measure_in_words, reason
from worker.scoring.measures import Reading
from worker.scoring.overrides import applied
from worker.scoring.phrases import step
from worker.scoring.points import Steps
from worker.scoring.score import Override, assess
from worker.scoring.scorecard import load

STARTER = load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))

ONE = Reading("value", Decimal(1))

DRIFTING = {
    "active_days": Reading("value", Decimal(4)),
    "usage_trend": Reading("value", Decimal("0.41666")),
    "unpaid_invoices": Reading("value", Decimal(1)),
    "last_nps": Reading("value", Decimal(4), day=20_470),
    "open_tickets": Reading("value", Decimal(0)),
    "days with usage from 12 to 4 weeks ago": Reading("value", Decimal(30)),
    "number of planned cancellations now": Reading("value", Decimal(0)),
}


def test_each_driver_names_value_full_marks_and_cost() -> None:
    assert explain(STARTER, assess(STARTER, DRIFTING)) == [
        "red, score 34.3",
        "an invoice is unpaid",
        "usage at 42% of their own normal; 85% and up is full marks; costs 25 points",
        "unpaid invoices: 1; 0 is full marks; costs 18 points",
        "active on 4 of the last 30 days; 12 is full marks; costs 17 points",
        "answered 4 of 10 on 2026-01-17; 10 is full marks; costs 6 points",
        "usage at 50% of their own normal instead of 42% would make it yellow",
    ]


def test_the_standing_and_what_is_not_known_are_told() -> None:
    readings = {**DRIFTING, "usage_trend": Reading("never", current=Decimal(1)), "last_nps": Reading("never")}
    found = explain(STARTER, assess(STARTER, readings), Standing("green", 5, "yellow", 10))

    assert found[0] == "green, score 48.7; turning yellow if it stays so"
    assert found[1:3] == ["an invoice is unpaid", "65% of what counts is known"]
    assert found[-2:] == [
        "not counted: last nps: never seen",
        "not counted: usage trend: no normal to compare with yet",
    ]


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading("expired", day=3), "last nps: the answer is too old to speak"),
        (Reading("not_applicable"), "last nps: does not apply here"),
        (Reading("source_down"), "last nps: its source is down"),
        (
            Reading("source_down", Decimal(4), day=20_470, frozen="value"),
            "answered 4 of 10 on 2026-01-17 (as last known; its source is down)",
        ),
        (Reading("source_down", frozen="never"), "last nps: never seen"),
    ],
)
def test_each_state_has_its_words(reading: Reading, words: str) -> None:
    assert measure_in_words(STARTER, "last_nps", reading) == words


def test_the_reason_fits_a_crm_field_and_begins_with_the_weightiest() -> None:
    found = reason(STARTER, assess(STARTER, DRIFTING))

    assert found.startswith(
        "an invoice is unpaid; usage at 42% of their own normal (-25); unpaid invoices: 1 (-18); active on 4"
    )
    assert len(found) <= 250


def test_a_long_reason_ends_with_a_whole_driver() -> None:
    long = STARTER.measures["usage_trend"]
    card = load(
        (folder("recipes") / "scorecards" / "starter.toml")
        .read_text("utf-8")
        .replace(long.says, "usage at {value:percent} of normal, " + "as was to be expected after so long a while " * 3)
    )
    found = reason(card, assess(card, DRIFTING))

    assert len(found) <= 250
    assert found.endswith((")", "unpaid"))


def test_a_single_overlong_reason_is_cut() -> None:
    text = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")
    card = load(text.replace("an invoice is unpaid", "unpaid " * 60))

    assert len(reason(card, assess(card, DRIFTING))) == 250


WELL = {
    **{name: Reading("value", Decimal(12)) for name in STARTER.measures},
    "days with usage from 12 to 4 weeks ago": Reading("value", Decimal(30)),
    **dict.fromkeys(
        ("unpaid_invoices", "open_tickets", "number of planned cancellations now"), Reading("value", Decimal(0))
    ),
}


def test_the_rule_that_decides_the_band_is_told_before_the_others_and_before_any_driver() -> None:
    text = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")
    last = '[rules.zero]\nwhen = "open_tickets >= 9"\nat_most = 0\nbecause = "drowns in tickets"\n\n[signals.'
    card = load(text.replace("[signals.", last))
    busy = {**WELL, "active_days": Reading("value", Decimal(20)), "last_nps": Reading("value", Decimal(6))}
    ending = assess(
        card, {**busy, "unpaid_invoices": Reading("value", Decimal(1)), "number of planned cancellations now": ONE}
    )
    drowning = assess(card, {**busy, "open_tickets": Reading("value", Decimal(9))})

    assert explain(card, ending)[:4] == [
        "red, score 78",
        "a subscription is set to end",
        "an invoice is unpaid",
        "uses it a lot and is unhappy",
    ]
    assert reason(card, ending).startswith("a subscription is set to end; an invoice is unpaid; uses it a lot")
    assert reason(card, drowning).startswith("drowns in tickets; uses it a lot and is unhappy; support tickets")


def test_a_rule_is_told_before_how_much_is_known() -> None:
    unasked = assess(STARTER, {**WELL, "number of planned cancellations now": ONE, "last_nps": Reading("never")})

    assert explain(STARTER, unasked)[1:3] == ["a subscription is set to end", "90% of what counts is known"]


def test_a_band_on_its_way_to_another_says_so() -> None:
    paid = assess(STARTER, WELL)

    assert reason(STARTER, paid, Standing("yellow", 5, "green", 10)) == "turning green if it stays so"
    assert reason(STARTER, paid, Standing("green", 5)) == "nothing costs points"


def test_when_all_is_well_the_reason_says_so() -> None:
    assert reason(STARTER, assess(STARTER, WELL)) == "nothing costs points"


def test_what_a_person_said_is_told_before_all_else() -> None:
    said = Override("ovr_1", "at_most", "red", "Ann", "new owner", 0, 20_510 * 86_400)
    held = applied(STARTER, assess(STARTER, WELL), said)
    told = "held at most red by Ann until 2026-02-25: new owner; without it: green, 100"

    assert explain(STARTER, held)[:2] == ["red, score 100", told]
    assert reason(STARTER, held) == told


def test_what_is_frozen_is_told_though_it_costs_nothing() -> None:
    down = {**WELL, "open_tickets": Reading("source_down", Decimal(0), frozen="value")}

    assert "frozen: support tickets waiting: 0 (as last known; its source is down)" in explain(
        STARTER, assess(STARTER, down)
    )


def test_grey_gives_the_reason_that_too_little_is_known() -> None:
    readings = dict.fromkeys(STARTER.measures, Reading("not_applicable"))

    assert reason(STARTER, assess(STARTER, readings)) == "only 0% of what counts is known"


def test_in_grey_a_rule_that_leaves_several_bands_is_told_after_what_is_known() -> None:
    readings = {**dict.fromkeys(STARTER.measures, Reading("never")), "unpaid_invoices": ONE}

    assert explain(STARTER, assess(STARTER, readings))[:3] == [
        "grey, score 40",
        "30% of what counts is known",
        "an invoice is unpaid",
    ]


def test_a_rule_that_leaves_one_band_is_told_before_how_little_is_known() -> None:
    readings = {**dict.fromkeys(STARTER.measures, Reading("never")), "number of planned cancellations now": ONE}
    found = assess(STARTER, {**readings, "unpaid_invoices": ONE})

    assert explain(STARTER, found)[:4] == [
        "red, score 40",
        "a subscription is set to end",
        "an invoice is unpaid",
        "30% of what counts is known",
    ]


@pytest.mark.parametrize(
    ("steps", "best"),
    [
        (["below 50% -> 0", "otherwise -> 100"], "50% and up"),
        (["10 and up -> 0", "5 and up -> 50", "otherwise -> 100"], "below 5"),
        (["0 -> 0", "1 -> 20", "otherwise -> 100"], "anything but 0, 1"),
        (["0 -> 0", "below 5 -> 50", "otherwise -> 100"], "anything else"),
        (["up to 3 -> 100", "above 3 -> 0"], "up to 3"),
        (["up to 3 -> 0", "above 3 -> 100"], "above 3"),
    ],
)
def test_full_marks_are_told_for_every_kind_of_table(steps: list[str], best: str) -> None:
    assert Steps(tuple(map(step, steps))).best() == best


ALL_KINDS = """
name = "All kinds"

[measures.errors]
read = 'number of errors met labelled "crash" in the last 14 days'
each = -5
floor = -20

[measures.plan]
read = "attribute plan"
points = ["gold or silver -> 30", "otherwise -> 0"]

[measures.trend]
read = "usage per week in the last 3 weeks"
against = "usage per week from 12 to 4 weeks ago"
points = ["below 50% -> 0", "otherwise -> 20"]

[measures.young]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 12 -> 50"
[measures.young.instead.newcomers]
when = "age < 90 days"
sliding = "0 -> 0, 6 -> 50"

[score]
combine = "sum"
base = 0
measures = ["errors", "plan", "trend", "young"]

[bands]
green = "70 and up"
"""


def test_a_measure_without_words_of_its_own_names_what_it_reads_and_over_which_period() -> None:
    card = load(ALL_KINDS)
    readings = {
        "errors": ONE, "plan": Reading("value", "bronze"), "trend": Reading("value", Decimal("0.4")),
        "young": Reading("value", Decimal(3)),
    }  # fmt: skip
    young = {name: Reading("value", Decimal(20)) for name in card.measures if card.measures[name].spoken}
    old = {name: Reading("value", Decimal(200)) for name in young}

    assert explain(card, assess(card, {**readings, **young}))[1:-1] == [
        'attribute plan: bronze; "gold" or "silver" is worth 30 of 100 points; costs 30 points',
        "days with usage in the last 30 days: 3; 6 is worth 50 of 100 points; costs 25 points",
        "usage per week in the last 3 weeks: 40% of their own normal; 50% and up is worth 20 of 100 points; costs 20 points",
        'number of errors met labelled "crash" in the last 2 weeks: 1; 0 is the best; costs 5 points',
    ]
    assert "; 12 is worth 50 of 100 points; costs 38 points" in explain(card, assess(card, {**readings, **old}))[1]
