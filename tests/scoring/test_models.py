"""Scorecards in the manner of those that other companies use, in our words, with results worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from worker.scoring.card import Card
from worker.scoring.measures import Reading
from worker.scoring.score import Assessment, Driver, assess, effective_points
from worker.scoring.scorecard import load

TRAFFIC = """
[bands]
green = "70 and up"
yellow = "40 and up"
"""


def judged(card: Card, **values: float | str | None) -> Assessment:
    """What comes of these values; None is never, and what is not named has no value."""
    readings = dict.fromkeys(card.measures, Reading("never"))
    return assess(card, {**readings, **{name: known(value) for name, value in values.items() if value is not None}})


def known(value: float | str) -> Reading:
    return Reading("value", value if isinstance(value, str) else Decimal(str(value)))


def spoken(card: Card, found: dict[str, float | str], **values: float | str | None) -> Assessment:
    """The same, with what conditions speak themselves."""
    readings = judged(card, **values).readings
    for text, value in found.items():
        assert card.measures[text].spoken
        readings[text] = known(value)
    return assess(card, readings)


def outcome(found: Assessment) -> tuple[float | None, str]:
    return None if found.score is None else float(found.score), found.band


def cost(found: Assessment) -> dict[str, float]:
    return {one.measure: float(one.points_lost) for one in found.drivers}


# -- a weighted tree of levels ----------------------------------------------------------------------------------------

LEVELS = load(
    """
name = "Weighted levels"

[measures.deployment]
read = "number of different labels of logins in the last 30 days"
points = ["20 and up -> green", "10 and up -> yellow", "otherwise -> red"]

[measures.engagement]
read = "days with usage in the last 30 days"
points = ["12 and up -> green", "from 5 to below 12 -> yellow", "below 5 -> red"]

[measures.sentiment]
read = "label of the latest ticket solved"
points = ["happy -> green", "neutral -> yellow", "upset or angry -> red", "otherwise -> leave out"]

[measures.support]
read = "number of open tickets now"
points = ["up to 1 -> green", "above 1 up to 4 -> yellow", "above 4 -> red"]

[dimensions.product]
share = 40
measures = { engagement = 75, deployment = 25 }

[dimensions.people]
share = 60
measures = { sentiment = 50, support = 50 }
"""
    + TRAFFIC
)


def test_levels_are_worth_evenly_spread_points_and_are_weighed() -> None:
    found = judged(LEVELS, deployment=12, engagement=12, sentiment="Neutral", support=5)

    assert found.dimensions == {"people": 25, "product": Decimal("87.5")}  # 75 × 100 + 25 × 50; 50 × 50 + 50 × 0
    assert outcome(found) == (50, "yellow")  # 0.4 × 87.5 + 0.6 × 25
    assert cost(found) == {"support": 30, "sentiment": 15, "deployment": 5}


def test_a_level_that_is_left_out_leaves_its_share_to_the_others() -> None:
    found = judged(LEVELS, deployment=20, engagement=4, sentiment="who knows", support=3)

    assert found.dimensions == {"people": 50, "product": 25}
    assert found.score == 40
    assert found.coverage == Decimal("0.7")


# -- a base of 50 and what speaks for and against ---------------------------------------------------------------------

IMPACTS = load(
    """
name = "Signed impacts"

[measures.logins]
read = "number of logins in the last 30 days"
points = ["10 and up -> 20", "from 1 to below 10 -> 5", "otherwise -> -20"]

[measures.nps]
read = "latest nps answer"
points = ["9 and up -> 15", "7 and up -> 0", "otherwise -> -25"]

[measures.tickets]
read = "number of open tickets now"
each = -5
floor = -15

[measures.failed_payments]
read = "number of failed payments in the last 30 days"
points = ["1 and up -> -30", "otherwise -> 0"]

[score]
combine = "sum"
base = 50
measures = ["logins", "nps", "tickets", "failed_payments"]
"""
    + TRAFFIC
)


@pytest.mark.parametrize(
    ("values", "score", "band"),
    [
        ({"logins": 12, "nps": 8, "tickets": 0, "failed_payments": 0}, 70, "green"),  # 50 + 20
        ({"logins": 12, "nps": 4, "tickets": 2, "failed_payments": 0}, 35, "red"),  # 50 + 20 - 25 - 10
        ({"logins": 0, "nps": 3, "tickets": 9, "failed_payments": 2}, 0, "red"),  # 50 - 20 - 25 - 15 - 30 is below 0
        ({"logins": 3, "nps": 9, "tickets": 1, "failed_payments": 0}, 65, "yellow"),  # 50 + 5 + 15 - 5
    ],
)
def test_impacts_add_to_the_base_and_stay_in_the_range(values: dict[str, float], score: int, band: str) -> None:
    found = judged(IMPACTS, **values)

    assert outcome(found) == (score, band)
    assert found.coverage == 1


def test_in_a_sum_a_measure_costs_what_its_best_would_add() -> None:
    found = judged(IMPACTS, logins=3, nps=8, tickets=1, failed_payments=0)

    assert found.score == 50
    assert found.drivers == (
        Driver("logins", Decimal(15)), Driver("nps", Decimal(15)), Driver("tickets", Decimal(5)),
    )  # fmt: skip
    found_points = [(name, int(points)) for name, points in effective_points(IMPACTS).items()]
    assert found_points == [("logins", 40), ("nps", 40), ("failed_payments", 30), ("tickets", 15)]


def test_in_a_sum_importance_is_how_far_a_measure_can_move_it() -> None:
    found = judged(IMPACTS, logins=12, nps=None, tickets=0, failed_payments=None)

    assert found.score == 70
    assert found.coverage == Decimal("0.44")  # (40 + 15) of 40 + 40 + 15 + 30


# -- letter grades ----------------------------------------------------------------------------------------------------

GRADES = load(
    """
name = "Grades"

[measures.usage]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 20 -> 100"

[measures.support]
read = "number of open tickets now"
points = ["0 -> 100", "1 -> 85", "2 -> 75", "3 -> 65", "otherwise -> 0"]

[measures.relations]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"

[dimensions.all]
share = 100
measures = { usage = 50, support = 30, relations = 20 }

[score]
decimals = 0

[bands]
a = "90 and up"
b = "80 and up"
c = "70 and up"
d = "60 and up"
f = "below 60"
"""
)


@pytest.mark.parametrize(
    ("values", "score", "grade"),
    [
        ({"usage": 20, "support": 0, "relations": 10}, 100, "a"),
        ({"usage": 18, "support": 1, "relations": 9}, 89, "b"),  # 45 + 25.5 + 18 = 88.5
        ({"usage": 16, "support": 3, "relations": 7}, 74, "c"),  # 40 + 19.5 + 14 = 73.5
        ({"usage": 10, "support": 2, "relations": 6}, 60, "d"),  # 25 + 22.5 + 12 = 59.5, which rounds up
        ({"usage": 1, "support": 9, "relations": 0}, 3, "f"),  # 2.5
    ],
)
def test_a_grade_is_cut_on_the_rounded_score(values: dict[str, float], score: int, grade: str) -> None:
    found = judged(GRADES, **values)

    assert outcome(found) == (score, grade)


def test_a_grade_may_be_cut_on_the_raw_score() -> None:
    card = load(
        'name = "Raw"\n[measures.a]\nread = "latest nps answer"\nsliding = "0 -> 0, 10 -> 100"\n'
        '[score]\nmeasures = { a = 100 }\ndecimals = 0\n[bands]\ngreen = "60 and up"\non = "raw score"'
    )
    found = judged(card, a=5.95)

    assert outcome(found) == (60, "red")
    assert found.raw == found.cut == Decimal("59.5")
    assert Assessment.from_json(found.to_json()) == found


# -- recency, frequency, money ----------------------------------------------------------------------------------------

QUINTILE = '["above 80 -> 5", "above 60 -> 4", "above 40 -> 3", "above 20 -> 2", "otherwise -> 1"]'

RFM = load(
    f"""
name = "Recency, frequency, money"

[measures.last_paid]
read = "days since the last payment"

[measures.payments]
read = "number of payments in the last 365 days"

[measures.paid]
read = "total payments in the last 365 days"

[measures.recency]
read = "percentile of last_paid"
points = ["below 20 -> 5", "below 40 -> 4", "below 60 -> 3", "below 80 -> 2", "otherwise -> 1"]

[measures.frequency]
read = "percentile of payments"
points = {QUINTILE}

[measures.money]
read = "percentile of paid"
points = {QUINTILE}

[score]
range = "3 to 15"
combine = "sum"
measures = ["recency", "frequency", "money"]

[bands]
champions = "13 and up"
loyal = "9 and up"
hibernating = "below 9"
"""
)


@pytest.mark.parametrize(
    ("ranks", "score", "band"),
    [
        ((5, 95, 81), 15, "champions"),
        ((20, 80, 61), 12, "loyal"),  # 4 + 4 + 4
        ((85, 10, 45), 5, "hibernating"),  # 1 + 1 + 3
    ],
)
def test_quintiles_of_ranks_add_up(ranks: tuple[int, int, int], score: int, band: str) -> None:
    recency, frequency, money = ranks
    found = judged(RFM, last_paid=1, payments=1, paid=1, recency=recency, frequency=frequency, money=money)

    assert outcome(found) == (score, band)


# -- licences in use, with another table for newcomers ----------------------------------------------------------------

LICENCES = load(
    """
name = "Licences"

[measures.active_users]
read = "number of different labels of logins in the last 30 days"

[measures.in_use]
formula = "active_users / attribute seats"
divided_by_zero_is = 0
points = ["90% and up -> 100", "from 70% to below 90% -> 75", "from 40% to below 70% -> 40", "below 40% -> 10"]

[measures.in_use.instead.first_quarter]
when = "age < 90 days"
points = ["50% and up -> 100", "from 20% to below 50% -> 70", "below 20% -> 30"]

[dimensions.adoption]
share = 100
measures = { in_use = 100 }
"""
    + TRAFFIC
)


@pytest.mark.parametrize(
    ("age", "share", "points"), [(200, 0.7, 75), (90, 0.5, 40), (89, 0.5, 100), (10, 0.1999, 30), (300, 1.2, 100)]
)
def test_newcomers_are_held_to_another_table(age: int, share: float, points: int) -> None:
    assert spoken(LICENCES, {"age": age, "attribute seats": 10}, active_users=1, in_use=share).score == points


# -- the worst colour -------------------------------------------------------------------------------------------------

WORST = load(
    """
name = "Worst colour"

[measures.usage]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 10 -> 100"

[measures.nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"

[measures.invoices]
read = "number of unpaid invoices now"
points = ["0 -> green", "1 -> yellow", "otherwise -> red"]

[dimensions.product]
measures = ["usage", "nps"]
combine = "mean"

[dimensions.commerce]
measures = ["invoices"]

[score]
combine = "worst colour"
"""
    + TRAFFIC
)


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({"usage": 10, "nps": 9, "invoices": 0}, 100),
        ({"usage": 10, "nps": 3, "invoices": 0}, 50),  # the product has 65 points: yellow
        ({"usage": 10, "nps": 10, "invoices": 1}, 50),
        ({"usage": 2, "nps": 3, "invoices": 1}, 0),  # 25 points: red
        ({"usage": None, "nps": 10, "invoices": 0}, 100),
    ],
)
def test_the_worst_colour_speaks_for_all(values: dict[str, float | None], score: int) -> None:
    assert judged(WORST, **values).score == score


def test_under_the_worst_colour_only_what_alone_would_lift_it_is_a_driver() -> None:
    assert cost(judged(WORST, usage=10, nps=3, invoices=0)) == {"nps": 50}
    assert cost(judged(WORST, usage=10, nps=3, invoices=1)) == {}


# -- categories, importance, events that fade -------------------------------------------------------------------------

WORDS = load(
    """
name = "Categories"

[measures.attitude]
formula = "if(nps >= 9, 'promoter', if(nps >= 7, 'passive', 'detractor'))"
points = ["promoter -> 100", "passive -> 60", "detractor -> 0", "otherwise -> leave out"]

[measures.nps]
read = "latest nps answer"

[measures.plan]
read = "attribute plan"
points = ["enterprise or \\"pro plus\\" -> 100", "pro -> 70", "otherwise -> 30"]

[measures.visits]
read = "number of logins in the last 90 days, halving every 30 days"
each = 4
cap = 100

[score]
measures = { attitude = "high", plan = "low", visits = "normal" }
"""
    + TRAFFIC
)


def test_categories_weigh_by_importance() -> None:
    found = judged(WORDS, attitude="Passive", nps=8, plan="Pro Plus", visits=12.5)

    assert found.measures["visits"].points == 50
    assert found.score == Decimal("62.857142857")  # (4 × 60 + 1 × 100 + 2 × 50) / 7
    assert judged(WORDS, attitude="promoter", nps=9, plan="free", visits=60).score == 90  # (400 + 30 + 200) / 7


def test_what_is_missing_leaves_its_importance_to_the_rest() -> None:
    found = judged(WORDS, attitude=None, nps=None, plan="pro", visits=10)

    assert found.score == 50  # (1 × 70 + 2 × 40) / 3
    assert found.coverage == Decimal("0.428571429")
    assert found.band == "grey"


# -- a scale from 0 to 10 ---------------------------------------------------------------------------------------------

TEN = load(
    """
name = "Out of ten"

[measures.a]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 10"

[measures.b]
read = "latest ticket rating"
sliding = "0 -> 0, 10 -> 10"
if_never = "worst"

[score]
range = "0 to 10"
decimals = 1
measures = { a = 50, b = 50 }

[bands]
good = "8.5 and up"
fair = "above 5"
poor = "below 5"
"""
)


@pytest.mark.parametrize(
    ("a", "b", "score", "band"),
    [(8.4, 8.5, "8.5", "good"), (8.3, 8.5, "8.4", "fair"), (5, 5, "5", "poor"), (10, None, "5", "poor"), (5, 5.2, "5.1", "fair")],
)  # fmt: skip
def test_a_scale_of_ten_is_rounded_half_up(a: float, b: float | None, score: str, band: str) -> None:
    found = judged(TEN, a=a, b=b)

    assert outcome(found) == (float(score), band)


def test_drivers_are_told_in_the_points_of_the_scale() -> None:
    assert cost(judged(TEN, a=4, b=10)) == {"a": 3}


# -- dimensions inside dimensions, other shares, and too little known --------------------------------------------------

NESTED = load(
    """
name = "Nested"

[measures.breadth]
read = "number of different labels of usage in the last 30 days"
sliding = "0 -> 0, 10 -> 100"

[measures.depth]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 20 -> 100"

[measures.nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"

[measures.rating]
read = "average ticket rating in the last 90 days"
sliding = "1 -> 0, 5 -> 100"

[measures.invoices]
read = "number of unpaid invoices now"
points = ["0 -> 100", "otherwise -> 0"]

[measures.referrals]
read = "number of custom.referral in the last 365 days"
sliding = "0 -> 0, 2 -> 100"

[dimensions.product]
share = 60
measures = { depth = 50 }
dimensions = { reach = 50 }

[dimensions.reach]
measures = ["breadth"]
floor = 20

[dimensions.voice]
share = 25
measures = { nps = 60, rating = 40 }
known_at_least = "50%"

[dimensions.voice.instead.unhappy]
when = "nps <= 3"
measures = { nps = 90, rating = 10 }

[dimensions.money]
share = 15
measures = { invoices = 100 }

[bonus]
referrals = 10

[scores.growth]
measures = ["breadth", "referrals"]
combine = "highest"

[rules.broke]
when = "invoices >= 1"
add = -10
because = "an invoice is unpaid"

[rules.angry]
when = "nps <= 3 and score >= 40"
set = "yellow"
because = "unhappy"

[rules.slow]
when = "dimension product < 30"
score = "growth"
at_most = 40
because = "hardly used"
"""
    + TRAFFIC
)


def test_dimensions_nest_and_a_bonus_comes_on_top() -> None:
    found = judged(NESTED, breadth=5, depth=10, nps=9, rating=4, invoices=0, referrals=1)

    assert found.dimensions == {"reach": 50, "product": 50, "voice": 84, "money": 100}  # 60 × 90 + 40 × 75
    assert found.score == 71  # 30 + 21 + 15, and half of the bonus
    assert found.scores == {"growth": 50}
    assert cost(found) == {"breadth": 15, "depth": 15, "referrals": 5, "rating": 2.5, "nps": 1.5}


def test_a_bonus_does_not_leave_the_range() -> None:
    assert judged(NESTED, breadth=10, depth=20, nps=10, rating=5, invoices=0, referrals=9).score == 100


def test_other_shares_hold_for_whom_they_are_meant() -> None:
    found = judged(NESTED, breadth=10, depth=20, nps=2, rating=5, invoices=0, referrals=0)

    assert found.dimensions["voice"] == 28  # 90 × 20 + 10 × 100
    assert outcome(found) == (82, "yellow")
    assert found.rules == ("angry",)


def test_a_dimension_of_which_too_little_is_known_is_not_known() -> None:
    found = judged(NESTED, breadth=10, depth=20, nps=None, rating=1, invoices=0, referrals=None)

    assert found.dimensions["voice"] is None
    assert found.score == 100
    assert found.coverage == Decimal("0.75")
    assert judged(NESTED, breadth=10, depth=20, nps=8, rating=None, invoices=0).coverage == Decimal("0.9")


def test_adding_comes_before_setting_and_the_other_score_has_its_own_rule() -> None:
    found = judged(NESTED, breadth=0, depth=0, nps=10, rating=5, invoices=1, referrals=2)

    assert found.dimensions["product"] == 10  # half of the floor
    assert found.score == 31  # 6 + 25 + 0 + 10 - 10
    assert found.scores == {"growth": 40}
    assert found.rules == ("broke", "slow")


# -- rules ------------------------------------------------------------------------------------------------------------


def ruled(first: str = "most severe") -> Card:
    return load(
        f"""
name = "Rules"

[measures.a]
read = "number of logins in the last 30 days"
sliding = "0 -> 0, 100 -> 100"

[score]
measures = {{ a = 100 }}
rules = "{first}"

[rules.ticket]
when = 'number of open tickets labelled "critical" now >= 1'
at_most = "yellow"
because = "a critical ticket is open"

[rules.newcomer]
when = "age < 1 month"
at_least = "yellow"
because = "in their first month"

[rules.gone]
when = "number of planned cancellations now >= 1"
set = 0
because = "a subscription is set to end"
"""
        + TRAFFIC
    )


TICKET = 'number of open tickets labelled "critical" now'
GONE = "number of planned cancellations now"


@pytest.mark.parametrize(
    ("order", "a", "tickets", "age", "gone", "score", "band"),
    [
        ("most severe", 90, 1, 200, 0, 90, "yellow"),
        ("most severe", 10, 0, 5, 0, 10, "yellow"),
        ("most severe", 90, 1, 5, 1, 0, "yellow"),  # set to red, held at least yellow, at most yellow
        ("most severe", 90, 0, 200, 1, 0, "red"),
        ("first match", 90, 1, 5, 1, 90, "yellow"),
        ("first match", 90, 0, 5, 1, 90, "green"),
    ],
)
def test_rules_speak_together_or_the_first_alone(
    order: str, a: int, tickets: int, age: int, gone: int, score: int, band: str
) -> None:
    found = spoken(ruled(order), {TICKET: tickets, "age": age, GONE: gone}, a=a)

    assert outcome(found) == (score, band)
