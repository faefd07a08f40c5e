"""More scorecards in the manner of those that others publish, from facts to band, as `keepwell eval` judges them.

The numbers expected are worked out by hand, from the tables of each card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from worker.evaluate import evaluate
from worker.scoring.scorecard import load

AS_OF = "2026-03-31"

TRAFFIC = '[bands]\ngreen = "70 and up"\nyellow = "40 and up"\n'


def fact(kind: str, at: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "at": at, **more}


def daily(kind: str, month: str, days: Iterable[int]) -> list[dict[str, Any]]:
    return [fact(kind, f"{month}-{day:02}") for day in days]


SURVEYS = """
name = "Surveys, and what silence is worth"
[measures.nps]
read = "latest nps answer"
points = ["9 or 10 -> 100", "7 or 8 -> 50", "otherwise -> 0"]
answer_valid_for = "180 days"
if_never = 50
if_expired = 25
[measures.csat]
read = "average custom.csat in the last 90 days"
sliding = "1 -> 0, 5 -> 100"
[score]
measures = { nps = "high", csat = "normal" }
decimals = 1
"""

BASE = """
name = "Fifty, and what speaks for and against"
[measures.logins]
read = "number of logins in the last 30 days"
each = 2
cap = 20
[measures.errors]
read = "number of errors met in the last 30 days"
each = -3
floor = -15
[measures.trainings]
read = "number of custom.training ever"
each = 10
cap = 20
[measures.unpaid]
read = "number of unpaid invoices now"
points = ["0 -> 0", "1 and up -> -25"]
[score]
combine = "sum"
base = 50
measures = ["logins", "errors", "trainings", "unpaid"]
"""

FADING = """
name = "Interest fades"
[measures.visits]
read = "number of custom.page_view in the last 90 days, halving every 14 days"
each = 8
[measures.mails]
read = "number of mails opened in the last 10 weeks, losing 10% per week"
each = 5
cap = 30
[score]
combine = "sum"
measures = ["visits", "mails"]
[bands]
hot = "25 and up"
warm = "10 and up"
cold = "below 10"
"""

LICENCES = """
name = "Licences, by months since the start"
[measures.utilisation]
formula = "attribute active_users / attribute licences"
points = ["70% and up -> green", "50% and up -> yellow", "otherwise -> red"]
[measures.utilisation.instead.first-quarter]
when = "age < 3 months"
points = ["20% and up -> green", "10% and up -> yellow", "otherwise -> red"]
[measures.utilisation.instead.second-quarter]
when = "age < 6 months"
points = ["50% and up -> green", "30% and up -> yellow", "otherwise -> red"]
[score]
measures = ["utilisation"]
"""

GROUPS = """
name = "Groups with caps"
[measures.opens]
read = "number of mails opened in the last 90 days"
each = 1
cap = 10
[measures.clicks]
read = "number of mails clicked in the last 90 days"
each = 5
cap = 25
[measures.unsubscribed]
read = "number of custom.unsubscribed ever"
points = ["0 -> 0", "1 and up -> -20"]
[measures.tier]
read = "attribute tier"
points = ["enterprise -> 30", "mid-market -> 20", "otherwise -> 0"]
[dimensions.engagement]
combine = "sum"
cap = 30
measures = ["opens", "clicks", "unsubscribed"]
[dimensions.fit]
combine = "sum"
measures = ["tier"]
[score]
combine = "sum"
dimensions = ["engagement", "fit"]
"""

SEASONS = """
name = "Held against last year"
[measures.logins]
read = "number of logins in the previous calendar month"
against = "the same time last year"
points = ["below 80% -> red", "below 100% -> yellow", "otherwise -> green"]
if_no_normal = 50
[measures.review]
read = "days since the last custom.business_review"
points = ["up to 90 -> green", "up to 180 -> yellow", "otherwise -> red"]
if_never = "worst"
[measures.sentiment]
read = "label of the latest custom.sentiment"
points = ["positive -> green", "neutral -> yellow", "negative -> red", "otherwise -> leave out"]
[dimensions.use]
importance = "high"
measures = ["logins"]
[dimensions.relation]
importance = "normal"
combine = "lowest"
measures = ["review", "sentiment"]
[score]
decimals = 0
"""

TEN = """
name = "Out of ten"
[measures.adoption]
formula = "min(10, 10 * attribute active / attribute seats)"
sliding = "0 -> 0, 10 -> 10"
[measures.outcome]
read = "attribute outcome"
points = ["1 or 2 -> 2", "3 -> 5", "4 or 5 -> 10", "otherwise -> leave out"]
[measures.support]
formula = "10 - 2 * number of open tickets labelled urgent now - number of open tickets not labelled urgent now"
sliding = "0 -> 0, 10 -> 10"
[score]
measures = { adoption = 50, outcome = 30, support = 20 }
range = "0 to 10"
decimals = 1
"""

MAJORITY = """
name = "The colour of most"
[measures.use]
read = "attribute use"
points = ["green -> green", "yellow -> yellow", "otherwise -> red"]
[measures.support]
read = "attribute support"
points = ["green -> green", "yellow -> yellow", "otherwise -> red"]
[measures.sponsor]
read = "attribute sponsor"
points = ["green -> green", "yellow -> yellow", "otherwise -> red"]
[score]
combine = "middle colour"
measures = ["use", "support", "sponsor"]
"""

SITES = """
name = "An account and its sites"
[measures.logins]
read = "days with logins in the last 30 days"
sliding = "0 -> 0, 20 -> 100"
[measures.sites]
read = "average score of children weighted by arr"
sliding = "0 -> 0, 100 -> 100"
[measures.weakest]
read = "lowest score of children"
sliding = "0 -> 0, 100 -> 100"
[measures.number_of_sites]
read = "number of children"
[score]
measures = ["logins"]
[score.instead.account]
when = "number_of_sites >= 1"
measures = { sites = 80, weakest = 20 }
[rules.one-is-red]
when = "weakest < 40"
at_most = "yellow"
because = "a site is red"
"""

USERS = """
name = "Who of them uses it"
[measures.logins]
read = "number of logins in the last 30 days"
[measures.active]
read = "share of children with logins >= 1"
points = ["75% and up -> 100", "50% and up -> 60", "25% and up -> 30", "otherwise -> 0"]
[measures.promoters]
read = "number of children with last_nps >= 9"
[measures.detractors]
read = "number of children with last_nps <= 6"
[measures.answers]
read = "number of children with last_nps is not missing"
[measures.last_nps]
read = "latest nps answer"
[measures.net_promoters]
formula = "100 * (promoters - detractors) / answers"
sliding = "-100 -> 0, 100 -> 100"
[score]
measures = { active = 70, net_promoters = 30 }
"""

LEFT_TO_ANOTHER = """
name = "Without a survey its weight goes to the manager"
[measures.last_nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
[measures.manager]
read = "latest pulse"
points = ["1 -> 0", "2 -> 25", "3 -> 50", "4 -> 75", "5 -> 100", "otherwise -> leave out"]
[measures.active_days]
read = "days with usage in the last 30 days"
points = ["above 20 -> 100", "above 10 -> 50", "otherwise -> 0"]
[dimensions.relation]
share = 30
measures = { last_nps = 50, manager = 50 }
decimals = 0
[dimensions.relation.instead.no-survey]
when = "last_nps is missing"
measures = { manager = 100 }
[dimensions.product]
share = 70
measures = { active_days = 100 }
[score]
decimals = 0
"""

# card, bands, a case, what comes of it
MODELS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (SURVEYS, TRAFFIC, {"facts": [fact("nps_answer", "2026-03-01", value=8), fact("custom.csat", "2026-03-01", value=4), fact("custom.csat", "2026-03-02", value=2)]}, {"score": 50, "band": "yellow"}),  # (2 × 50 + 50) / 3
    (SURVEYS, TRAFFIC, {"facts": [fact("custom.csat", "2026-03-01", value=5)]}, {"score": 66.7}),  # (2 × 50 + 100) / 3
    (SURVEYS, TRAFFIC, {"facts": [fact("nps_answer", "2025-08-01", value=10), fact("custom.csat", "2025-12-01", value=5)]}, {"score": 25, "coverage": 0.666666667}),  # csat is out of its window
    (BASE, TRAFFIC, {"values": {"logins": 7, "errors": 12, "trainings": 5, "unpaid": 0}}, {"score": 69}),  # 50 + 14 - 15 + 20
    (BASE, TRAFFIC, {"facts": [*daily("login", "2026-03", (2, 30)), fact("error_met", "2026-03-20"), fact("custom.training", "2024-01-01"), fact("unpaid_invoice", "2026-03-20")]}, {"score": 36, "band": "red"}),  # 50 + 4 - 3 + 10 - 25
    (FADING, "", {"facts": [*(fact("custom.page_view", day) for day in ("2026-03-31", "2026-03-17", "2026-03-03")), *(fact("mail_opened", day) for day in ("2026-03-31", "2026-03-24", "2026-02-24"))]}, {"score": 26, "band": "hot"}),  # 8 + 4 + 2, 5 + 4.5 + 2.5
    (LICENCES, TRAFFIC, {"attributes": {"active_users": 25, "licences": 100}, "values": {"age": 40}}, {"band": "green"}),
    (LICENCES, TRAFFIC, {"attributes": {"active_users": 35, "licences": 100}, "values": {"age": 90}}, {"band": "yellow"}),
    (LICENCES, TRAFFIC, {"attributes": {"active_users": 35, "licences": 100}, "values": {"age": 180}}, {"band": "red"}),
    (GROUPS, TRAFFIC, {"attributes": {"tier": "Mid-Market"}, "values": {"opens": 12, "clicks": 7, "unsubscribed": 0}}, {"score": 50, "dimensions": {"engagement": 30, "fit": 20}}),  # 10 + 25 is capped
    (GROUPS, TRAFFIC, {"attributes": {"tier": "enterprise"}, "values": {"opens": 4, "clicks": 1, "unsubscribed": 1}}, {"score": 19}),  # 4 + 5 - 20 + 30
    (SEASONS, TRAFFIC, {"facts": [*daily("login", "2026-02", range(1, 10)), *daily("login", "2025-02", range(1, 11)), fact("custom.sentiment", "2026-01-10", label="Negative"), fact("custom.business_review", "2026-01-10")]}, {"score": 33, "dimensions": {"use": 50, "relation": 0}}),
    (SEASONS, TRAFFIC, {"facts": [*daily("login", "2026-02", range(1, 11)), *daily("login", "2025-02", range(1, 11)), fact("custom.sentiment", "2026-01-10", label="Positive"), fact("custom.business_review", "2025-12-10")]}, {"score": 83, "band": "green"}),  # (2 × 100 + 50) / 3
    (TEN, '[bands]\ngreen = "8 and up"\nyellow = "5 and up"\n', {"attributes": {"active": 80, "seats": 100, "outcome": 4}, "facts": [fact("open_ticket", "2026-03-01", label="urgent"), *daily("open_ticket", "2026-03", range(2, 6))]}, {"score": 7.8, "band": "yellow"}),  # 4 + 3 + 0.8
    (TEN, '[bands]\ngreen = "8 and up"\nyellow = "5 and up"\n', {"attributes": {"active": 120, "seats": 100, "outcome": 3}, "facts": daily("open_ticket", "2026-03", (1, 2))}, {"score": 8.1, "band": "green"}),  # 5 + 1.5 + 1.6
    (MAJORITY, TRAFFIC, {"attributes": {"use": "green", "support": "green", "sponsor": "red"}}, {"band": "green"}),
    (MAJORITY, TRAFFIC, {"attributes": {"use": "green", "support": "red", "sponsor": "red"}}, {"band": "red"}),
    (MAJORITY, TRAFFIC, {"attributes": {"use": "green", "support": "yellow", "sponsor": "red"}}, {"band": "yellow"}),
    (MAJORITY, TRAFFIC, {"attributes": {"use": "green", "support": "red"}}, {"band": "red"}),  # of two, the worse
    (SITES, TRAFFIC, {"children": [{"attributes": {"arr": 300}, "values": {"logins": 20}}, {"attributes": {"arr": 100}, "values": {"logins": 5}}]}, {"score": 70, "band": "yellow", "rules": ["one-is-red"]}),  # 0.8 × 81.25 + 0.2 × 25
    (SITES, TRAFFIC, {"values": {"logins": 16}}, {"score": 80, "band": "green", "rules": []}),
    (USERS, TRAFFIC, {"children": [{"values": {"logins": 3, "last_nps": 9}}, {"values": {"logins": 1, "last_nps": 5}}, {"values": {"logins": 0, "last_nps": 8}}, {"values": {"logins": 0, "last_nps": 10}}]}, {"score": 60.75}),  # 0.7 × 60 + 0.3 × 62.5
    (LEFT_TO_ANOTHER, TRAFFIC, {"values": {"last_nps": None, "manager": 4, "active_days": 15}}, {"score": 58, "coverage": 1}),  # 0.3 × 75 + 0.7 × 50 = 57.5
    (LEFT_TO_ANOTHER, TRAFFIC, {"values": {"last_nps": 5, "manager": 4, "active_days": 21}}, {"score": 89}),  # 62.5 is 63: 18.9 + 70
    (LEFT_TO_ANOTHER, TRAFFIC, {"values": {"last_nps": None, "manager": None, "active_days": 21}}, {"score": 100, "coverage": 0.7}),
]  # fmt: skip


@pytest.mark.parametrize(("card", "bands", "case", "expected"), MODELS)
def test_it_comes_out_as_reckoned_by_hand(
    card: str, bands: str, case: dict[str, Any], expected: dict[str, Any]
) -> None:
    (found,) = evaluate(load(card + bands), [json.dumps({"id": 1, "as_of": AS_OF, **case, "expect": expected})])

    assert "error" not in found
    assert found.get("differences", []) == []


RANKS = """
name = "Recency, frequency, money"
[measures.last_order]
read = "days since the last payment"
[measures.orders]
read = "number of payments in the last year"
[measures.spent]
read = "total payments in the last year"
[measures.recency]
read = "percentile of last_order"
points = ["below 20 -> 5", "below 40 -> 4", "below 60 -> 3", "below 80 -> 2", "otherwise -> 1"]
[measures.frequency]
read = "percentile of orders"
points = ["below 20 -> 1", "below 40 -> 2", "below 60 -> 3", "below 80 -> 4", "otherwise -> 5"]
[measures.money]
read = "percentile of spent"
points = ["below 20 -> 1", "below 40 -> 2", "below 60 -> 3", "below 80 -> 4", "otherwise -> 5"]
[score]
combine = "sum"
range = "3 to 15"
measures = ["recency", "frequency", "money"]
[bands]
champion = "13 and up"
loyal = "9 and up"
asleep = "below 9"
"""


def test_quintiles_are_among_all_cases() -> None:
    lines = [
        json.dumps({"id": rank, "values": {"last_order": 10 * rank, "orders": 5 * rank, "spent": 100 - rank}})
        for rank in range(5)
    ]

    scores = [one["score"] for one in evaluate(load(RANKS), lines)]

    assert scores == [5 + 1 + 5, 4 + 2 + 4, 3 + 3 + 3, 2 + 4 + 2, 1 + 5 + 1]
