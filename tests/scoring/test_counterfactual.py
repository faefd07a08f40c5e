"""What would lift a band: it does when it is scored, and nothing smaller would."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.cards import BANDS, NOW
from worker.lib.assets import folder
from worker.scoring.bands import Standing
from worker.scoring.counterfactual import in_words, lift
from worker.scoring.measures import Reading
from worker.scoring.overrides import applied
from worker.scoring.score import Override, assess
from worker.scoring.scorecard import load

STARTER = load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))


def value(number: str | int) -> Reading:
    return Reading("value", Decimal(number))


WELL: dict[str, Reading] = {
    **dict.fromkeys(STARTER.measures, value(12)),
    "days with usage from 12 to 4 weeks ago": value(30),
    "usage_trend": Reading("value", Decimal(1), Decimal(6), Decimal(6)),
    **dict.fromkeys(("unpaid_invoices", "open_tickets", "number of planned cancellations now"), value(0)),
}

ONE = """
name = "One"

[measures.m]
read = "{read}"
{table}

[dimensions.all]
share = 100
measures = {{ m = 100 }}
{bands}
"""


def words(readings: Mapping[str, Reading], standing: Standing | None = None) -> str:
    return in_words(STARTER, assess(STARTER, readings), standing)


def one(read: str, table: str, now: str, against: str = "", normal: str = "1") -> str:
    """What a card with this measure alone says."""
    body = table + (f'\nagainst = "{against}"' if against else "")
    card = load(ONE.format(read=read, table=body, bands=BANDS))
    reading = (
        Reading("value", Decimal(now) / Decimal(normal), Decimal(now), Decimal(normal)) if against else value(now)
    )  # fmt: skip
    return in_words(card, assess(card, {"m": reading}))


def test_what_is_missing_is_told_in_days() -> None:
    idle = {**WELL, "active_days": value(0), "open_tickets": value(3)}

    assert words(idle) == "3 more days with usage (3 instead of 0 of the last 30) would make it green"


def test_a_turn_takes_the_points_of_the_hold_too() -> None:
    idle = {**WELL, "active_days": value(0), "open_tickets": value(3)}

    assert words(idle, Standing("yellow", NOW)).startswith("4 more days with usage")
    assert words(idle, Standing("green", NOW, "yellow", 20_490)).endswith("would keep it green")


def test_what_a_rule_holds_down_is_lifted_by_what_made_it_fire() -> None:
    assert words({**WELL, "unpaid_invoices": value(1)}) == "paying the unpaid invoice would make it green"
    assert words({**WELL, "number of planned cancellations now": value(2), "unpaid_invoices": value(1)}) == (
        "taking back all 2 planned cancellations would make it yellow"
    )


def test_two_changes_are_named_where_one_would_not_do() -> None:
    low = {**WELL, "active_days": value(0), "usage_trend": Reading("value", Decimal(0), Decimal(0), Decimal(6))}
    found = words({**low, "number of planned cancellations now": value(1)})

    assert found.startswith("taking back the planned cancellation and ")
    assert found.endswith(" would make it yellow")


@pytest.mark.parametrize(
    ("read", "table", "now", "said"),
    [
        ("number of logins in the last 30 days", 'sliding = "0 -> 0, 10 -> 100"', "4",
         "3 more logins (7 instead of 4 in the last 30 days) would make it green"),
        ("number of logins in the last 30 days", 'sliding = "0 -> 0, 10 -> 100"', "6",
         "1 more login (7 instead of 6 in the last 30 days) would make it green"),
        ("number of logins per week in the last 4 weeks", 'sliding = "0 -> 0, 10 -> 100"', "6.25",
         "logins of 7 instead of 6.3 per week in the last 4 weeks would make it green"),
        ("total payments in the last 90 days", 'sliding = "0 -> 0, 10000 -> 100"', "5123",
         "payments of 7000 instead of 5123 in the last 90 days would make it green"),
        ("latest nps answer", 'points = ["below 9 -> 50", "otherwise -> 100"]', "4",
         "the latest nps answer being 9 instead of 4 would make it green"),
        ("days since the last login", 'points = ["below 7 -> 100", "otherwise -> 0"]', "40",
         "the last login 6 instead of 40 days ago would make it green"),
        ("number of open tickets now", 'points = ["up to 2 -> 100", "otherwise -> 0"]', "5",
         "settling 3 of 5 open tickets would make it green"),
        ('number of open tickets labelled \\"urgent\\" now', 'points = ["0 -> 100", "otherwise -> 0"]', "1",
         'settling the open ticket labelled "urgent" would make it green'),
        ("number of active subscriptions now", 'points = ["below 2 -> 0", "otherwise -> 100"]', "1",
         "1 more active subscription (2 instead of 1) would make it green"),
        ("average ticket rating in the last 90 days", 'sliding = "0 -> 0, 1 -> 100"', "0.25",
         "average ticket rating of 0.4 instead of 0.3 in the last 90 days would make it yellow"),
    ],
)  # fmt: skip
def test_each_read_is_told_as_people_say_it(read: str, table: str, now: str, said: str) -> None:
    assert one(read, table, now) == said


def test_a_share_of_a_normal_is_told_in_percent() -> None:
    found = one(
        "usage per week in the last 3 weeks", 'points = ["below 85% -> 0", "otherwise -> 100"]', "4",
        "usage per week from 12 to 4 weeks ago", "10",
    )  # fmt: skip

    assert found == "usage at 87% of their own normal instead of 40% would make it green"  # 26 in three weeks


@pytest.mark.parametrize(
    ("read", "table", "now"),
    [
        ("days with usage in the last 5 days", 'points = ["below 9 -> 0", "otherwise -> 100"]', "2"),
        ("latest nps answer", 'points = ["below 11 -> 0", "otherwise -> 100"]', "10"),
        ("number of logins from 12 to 4 weeks ago", 'points = ["below 9 -> 0", "otherwise -> 100"]', "2"),
        ("latest pulse", 'points = ["below 4 -> 0", "otherwise -> 100"]', "2"),
    ],
)
def test_what_cannot_happen_is_not_proposed(read: str, table: str, now: str) -> None:
    assert one(read, table, now) == "no single realistic change would lift it"


@pytest.mark.parametrize(
    "reading", [Reading("never"), Reading("source_down", Decimal(0), frozen="value"), Reading("expired", day=3)]
)
def test_what_is_frozen_or_not_known_is_left_alone(reading: Reading) -> None:
    idle = {**WELL, "active_days": value(0), "open_tickets": value(3), "usage_trend": reading}
    found = lift(STARTER, assess(STARTER, idle))

    assert found is None or "usage_trend" not in {move.measure for move in found.moves}


def test_of_what_is_best_unknown_or_held_by_a_person_nothing_is_said() -> None:
    unknown = dict.fromkeys(STARTER.measures, Reading("not_applicable"))
    held = applied(STARTER, assess(STARTER, WELL), Override("ovr_1", "at_most", "red", "Ann", "new", 0, NOW))

    assert words(WELL) == ""
    assert words(unknown) == ""
    assert in_words(STARTER, held) == ""


# -- the law ----------------------------------------------------------------------------------------------------------

SMALL = load(
    f"""
name = "Small"

[measures.days]
read = "days with usage in the last 6 days"
sliding = "0 -> 0, 6 -> 100"

[measures.tickets]
read = "number of open tickets now"
points = ["0 -> 100", "up to 2 -> 40", "otherwise -> 0"]

[measures.nps]
read = "latest nps answer"
points = ["below 7 -> 0", "below 9 -> 50", "otherwise -> 100"]

[dimensions.all]
share = 100
measures = {{ days = 50, tickets = 30, nps = 20 }}

[rules.angry]
when = "tickets >= 2 and nps <= 5"
at_most = "red"
because = "angry"
{BANDS}"""
)

REACH = {"days": range(7), "tickets": range(5), "nps": range(11)}


def given_values(values: Mapping[str, int]) -> dict[str, Reading]:
    return {name: value(number) for name, number in values.items()}


@cache
def rank(**values: int) -> int:
    return SMALL.order.index(assess(SMALL, given_values(values)).band)


def lifting(now: Mapping[str, int], names: tuple[str, ...]) -> list[dict[str, int]]:
    """By brute force: every way to lift the band by changing these measures and no other."""
    ways = ({**now, **dict(zip(names, chosen, strict=True))} for chosen in product(*(REACH[name] for name in names)))
    return [way for way in ways if rank(**way) < rank(**now)]


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from(reach) for name, reach in REACH.items()}))
def test_what_is_proposed_lifts_and_nothing_smaller_does(now: dict[str, int]) -> None:
    assessment = assess(SMALL, given_values(now))
    found = lift(SMALL, assessment)
    ways = {
        size: [way for names in combinations(sorted(now), size) for way in lifting(now, names)] for size in (1, 2, 3)
    }

    if found is None:
        assert assessment.band == "green" or not ways[3]
        return
    changed = {move.measure: move.new for move in found.moves}
    again = assess(SMALL, {**given_values(now), **changed})
    assert SMALL.order.index(again.band) < SMALL.order.index(assessment.band)
    assert again.band == found.band
    size = len(changed)
    assert not any(ways[smaller] for smaller in range(1, size))
    if size == 1:
        (name, reading), = changed.items()  # fmt: skip
        assert isinstance(reading.value, Decimal)
        assert abs(reading.value - now[name]) == min(abs(way[name] - now[name]) for way in lifting(now, (name,)))
    assert found == lift(SMALL, assessment)
