"""Ordinary changes to the recipes, as somebody makes them who has read the page once: done, or answered with the cure."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from worker.evaluate import evaluate
from worker.lib.assets import folder
from worker.lib.problems import Problems
from worker.scoring.scorecard import load

AS_OF = "2026-03-31"

WELL = {
    "starter": {"active_days": 12, "usage_trend": 1, "unpaid_invoices": 0, "last_nps": 10, "open_tickets": 0},
    "saas": {
        "active_days": 12, "usage_trend": 1, "features_used": 4, "struggle": 0, "open_tickets": 0, "ticket_ratings": 1,
        "unpaid_invoices": 0, "failed_payments": 0, "last_nps": 10,
    },
    "coaching": {
        "lessons": 6, "calls": 2, "community": 3, "reads_mails": 2, "unpaid_invoices": 0, "failed_payments": 0,
        "last_nps": 10, "coach_thinks": 5,
    },
    "membership": {
        "last_seen": 1, "weeks_active": 6, "community": 3, "reads_mails": 2, "unpaid_invoices": 0, "failed_payments": 0,
        "months_paid": 6, "last_nps": 10,
    },
    "agency": {
        "last_meeting": 7, "waiting_for_us": 0, "first_reply": 4, "reads_reports": 2, "unpaid_invoices": 0, "spend": 1,
        "last_nps": 10, "manager_thinks": 5,
    },
    "ecommerce-subscription": {
        "last_payment": 20, "spend": 1, "failed_payments": 0, "refunds": 0, "skipped": 0, "reads_mails": 2,
        "open_tickets": 0, "last_nps": 10,
    },
}  # fmt: skip
"""By recipe: a customer with full marks everywhere."""


@cache
def recipe(name: str) -> str:
    return (folder("recipes") / "scorecards" / f"{name}.toml").read_text("utf-8")


def edited(name: str, *changes: tuple[str, str]) -> str:
    """The recipe with these texts in the place of those; what takes the place of nothing goes above `[bands]`."""
    card = recipe(name)
    for old, new in changes:
        assert (old or "[bands]") in card, old
        card = card.replace(old, new, 1) if old else card.replace("[bands]", f"{new}\n[bands]", 1)
    return card


def judged(card: str, name: str, case: dict[str, Any]) -> dict[str, Any]:
    """What comes of the customer who does well, but for what the case says; a measure set to "read" is read."""
    values = {key: value for key, value in {**WELL[name], **case.pop("values", {})}.items() if value != "read"}
    (found,) = evaluate(load(card), [json.dumps({"id": 1, "as_of": AS_OF, "values": values, **case})])
    return found


def fact(kind: str, day: str = "2026-03-20", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "at": day, **more}


def rule(name: str, when: str, does: str) -> tuple[str, str]:
    quote = "'" if '"' in when else '"'
    return ("", f'[rules.{name}]\nwhen = {quote}{when}{quote}\n{does}\nbecause = "so"\n')


NPS = 'sliding = "0 -> 0, 10 -> 100"\n'
TURNS = 'change_when = "3 points past the line for 3 days"'
QUIET = {"active_days": 0, "usage_trend": 0.6, "last_nps": 8}

# recipe, changes, a case, what comes of it
WORKS: list[tuple[str, list[tuple[str, str]], dict[str, Any], dict[str, Any]]] = [
    ("starter", [("days with usage in the last 30 days", "days with logins labelled admin in the last 30 days")], {"values": {"active_days": "read"}, "facts": [fact("login", label="admin"), fact("login", "2026-03-21", label="user"), fact("usage", "2026-03-22")]}, {"score": 77.083333333}),
    ("starter", [("in the last 30 days", "in the last 2 weeks"), ("12 -> 100", "6 -> 100")], {"values": {"active_days": 3}}, {"score": 87.5}),
    ("starter", [("if_never = \"leave out\"", "if_never = 50")], {"values": {"last_nps": None}}, {"score": 95}),
    ("starter", [("answer_valid_for = \"180 days\"", "answer_valid_for = \"90 days\"\nif_expired = 50")], {"values": {"last_nps": "read"}, "facts": [fact("nps_answer", "2025-12-01", value=10)]}, {"score": 95}),
    ("starter", [("last_nps = 50, open_tickets = 50", 'last_nps = "high", open_tickets = "normal"')], {"values": {"last_nps": 0}}, {"score": 86.666666667}),
    ("starter", [("last_nps = 50, open_tickets = 50", "last_nps = 67, open_tickets = 33")], {"values": {"last_nps": 0}}, {"score": 86.6}),
    ("starter", [("number of open tickets now", "number of open tickets not labelled low now")], {"values": {"open_tickets": "read"}, "facts": [fact("open_ticket", label="low"), fact("open_ticket", label="high")]}, {"score": 97}),
    ("starter", [("", '[measures.active_days.instead.gold]\nwhen = "attribute plan is gold"\nsliding = "0 -> 0, 20 -> 100"\n')], {"attributes": {"plan": "Gold"}}, {"score": 90}),
    ("starter", [("", '[measures.active_days.instead.gold]\nwhen = "attribute plan is gold"\nsliding = "0 -> 0, 20 -> 100"\n')], {}, {"score": 100}),
    ("starter", [("40 and up", "35 and up")], {"values": {"active_days": 0, "usage_trend": 0, "unpaid_invoices": 1, "last_nps": 10}}, {"score": 32, "band": "red"}),
    ("starter", [('yellow = "40 and up"', 'yellow = "35 and up"\nred = "below 35"')], {}, {"band": "green"}),
    ("starter", [rule("critical", 'number of open tickets labelled "critical" now >= 1', 'at_most = "yellow"')], {"facts": [fact("open_ticket", label="critical")]}, {"score": 100, "band": "yellow", "rules": ["critical"]}),
    ("starter", [rule("new", "age < 1 month", 'at_least = "yellow"')], {"values": {"active_days": 0, "usage_trend": 0, "unpaid_invoices": 3, "last_nps": 0, "age": 29}}, {"band": "yellow"}),
    ("starter", [rule("new", "age < 1 month", 'at_least = "yellow"')], {"values": {"active_days": 0, "usage_trend": 0, "unpaid_invoices": 3, "last_nps": 0, "age": 30}}, {"band": "red"}),
    ("starter", [("goal", 'who = "attribute test is not yes"\ngoal')], {}, {"score": 100}),
    ("starter", [("goal", 'who = "attribute test is not yes"\ngoal')], {"attributes": {"test": "no"}}, {"score": 100}),
    ("starter", [("goal", 'who = "attribute test is not yes"\ngoal')], {"attributes": {"test": "Yes"}}, {"score": None, "band": None}),
    ("starter", [("goal", 'who = "not (attribute test = 1)"\ngoal')], {}, {"score": 100}),
    ("starter", [rule("plain", "attribute plan is not gold", 'at_most = "yellow"')], {}, {"band": "yellow"}),
    ("starter", [("", '[measures.referrals]\nread = "number of custom.referral in the last year"\nsliding = "0 -> 0, 3 -> 100"\n[bonus]\nreferrals = 5\n')], {"values": {"last_nps": 0, "referrals": 3}}, {"score": 95}),
    ("starter", [rule("referral", "number of custom.referral in the last year >= 1", "add = 5")], {"values": {"last_nps": 0}, "facts": [fact("custom.referral")]}, {"score": 95}),
    ("starter", [(TURNS, 'change_when = "for 7 days"')], {"values": QUIET, "previous": {"band": "green", "since": "2026-03-25"}}, {"band": "green"}),
    ("starter", [(TURNS, 'change_when = "for 7 days"')], {"values": QUIET, "previous": {"band": "green", "since": "2026-03-24"}}, {"band": "yellow"}),
    ("starter", [(TURNS, 'worse_when = "for 5 days"\nbetter_when = "at once"')], {"values": QUIET, "previous": {"band": "green", "since": "2026-03-27"}}, {"band": "green"}),
    ("starter", [(TURNS, 'worse_when = "for 5 days"\nbetter_when = "at once"')], {"previous": {"band": "red", "since": "2026-03-31"}}, {"band": "green"}),
    ("starter", [("", "[score]\ndecimals = 1\n")], {"values": {"active_days": 7}}, {"score": 89.6}),
    ("starter", [("", "[scores.support]\nmeasures = { open_tickets = 100 }\n")], {"values": {"open_tickets": 1}}, {"scores": {"health": 97, "support": 70}}),
    ("starter", [('points = ["0 -> 100", "1 -> 70", "2 -> 30", "otherwise -> 0"]', 'points = ["0 -> 100", "1 or 2 -> 50", "3 and up -> 0"]')], {"values": {"open_tickets": 2}}, {"score": 95}),
    ("starter", [('points = ["0 -> 100", "1 -> 70", "2 -> 30", "otherwise -> 0"]', 'points = ["0 -> green", "from 1 to 3 -> yellow", "above 3 -> red"]')], {"values": {"open_tickets": 3}}, {"score": 95}),
    ("starter", [('against = "usage per week from 12 to 4 weeks ago"', 'against = "the same month last year"')], {"values": {"usage_trend": "read"}, "facts": [*(fact("usage", f"2025-03-{day:02}") for day in range(1, 32)), *(fact("usage", f"2026-03-{day}") for day in range(11, 20))]}, {"measures": {"usage_trend": {"value": 0.428571429, "points": 0}}}),
    ("starter", [rule("quiet", "days since the last login > 30", 'at_most = "red"')], {"facts": [fact("login", "2026-02-01")]}, {"band": "red"}),
    ("starter", [("", '[measures.csat]\nread = "latest custom.csat"\nsliding = "1 -> 0, 5 -> 100"\n'), ("last_nps = 50, open_tickets = 50", "csat = 50, open_tickets = 50"), ("", '[rules.detractor]\nwhen = "last_nps <= 6"\nat_most = "yellow"\nbecause = "unhappy"\n')], {"facts": [fact("custom.csat", value=4)]}, {"score": 97.5}),
    ("saas", [("active_days = 25, usage_trend = 62, features_used = 13", "active_days = 50, usage_trend = 50"), ("measures = { last_nps = 100 }", "measures = { last_nps = 50, features_used = 50 }")], {"values": {"features_used": 0}}, {"score": 92.5}),
    ("saas", [(NPS, 'points = ["from 0 to 6 -> 0", "7 or 8 -> 50", "from 9 to 10 -> 100"]\n')], {"values": {"last_nps": 7}}, {"score": 92.5}),
    ("coaching", [('"below 2 -> 0", "below 3 -> 25", "below 4 -> 60", "otherwise -> 100"', '"1 -> red", "2 or 3 -> yellow", "from 4 to 5 -> green"')], {"values": {"coach_thinks": 3}}, {"score": 96.25}),
    ("saas", [("4 -> 100", "8 -> 100")], {}, {"score": 96.75}),
    ("saas", [("active_days >= 15 and", "active_days >= 10 and")], {"values": {"last_nps": 6}}, {"band": "yellow"}),
    ("saas", [('green = "70 and up"', 'green = "80 and up"')], {"values": {"last_nps": 0, "open_tickets": 3}}, {"score": 79, "band": "yellow"}),
    ("saas", [('last_nps >= 9 and band is green"', 'last_nps >= 9 and band is green and age > 6 months"')], {"values": {"age": 100}}, {"signals": []}),
    ("coaching", [("days with custom.lesson_done in the last 30 days", "days with custom.lesson_done in the last 14 days"), ("6 -> 100", "3 -> 100")], {"values": {"lessons": "read"}, "facts": [fact("custom.lesson_done", "2026-03-30"), fact("custom.lesson_done", "2026-03-10")]}, {"measures": {"lessons": {"value": 1, "points": 33.333333333}}}),
    ("coaching", [("coach_thinks <= 2", "coach_thinks <= 3")], {"values": {"coach_thinks": 3}}, {"band": "yellow"}),
    ("coaching", [("number of custom.call_attended in the last 6 weeks", "number of custom.call_attended labelled group in the last 6 weeks")], {"values": {"calls": "read", "age": 90}, "facts": [fact("custom.call_attended", label="group"), fact("custom.call_attended", label="single")]}, {"measures": {"calls": {"value": 1}}}),
    ("coaching", [("age < 1 month and number", "age < 2 months and number")], {"values": {**dict.fromkeys(["lessons", "calls", "community", "coach_thinks", "last_nps"], 0), "age": 50}}, {"band": "yellow"}),
    ("membership", [("7 -> 100, 45 -> 0", "14 -> 100, 60 -> 0")], {"values": {"last_seen": 14}}, {"score": 100}),
    ("membership", [('if_never = "worst"', 'if_never = 20')], {"values": {"last_seen": None}}, {"score": 88.8}),
    ("membership", [rule("paid-long", "months_paid >= 6", "add = 5")], {"values": {"last_nps": 0}}, {"score": 95}),
    ("agency", [("21 -> 100, 60 -> 0", "14 -> 100, 45 -> 0")], {"values": {"last_meeting": 45}}, {"score": 88}),
    ("agency", [("waiting_for_us >= 3", "waiting_for_us >= 2")], {"values": {"waiting_for_us": 2}}, {"band": "yellow"}),
    ("agency", [('worse_when = "3 points past the line for 2 days"', 'worse_when = "at once"')], {"values": {"unpaid_invoices": 2, "last_nps": 0, "reads_reports": 0}, "previous": {"band": "green", "since": "2026-03-31"}}, {"band": "yellow"}),
    ("ecommerce-subscription", [("refunds = 40, open_tickets = 20", "open_tickets = 60"), ("", '[rules.refund]\nwhen = "refunds >= 1"\nat_most = "yellow"\nbecause = "a refund"\n')], {"values": {"refunds": 1}}, {"score": 100, "band": "yellow"}),
    ("ecommerce-subscription", [("last_payment >= 65", "last_payment >= 40")], {"values": {"last_payment": 41, "age": 100}}, {"band": "red"}),
    ("ecommerce-subscription", [("", '[measures.box_worth]\nread = "average payment in the last 90 days"\nsliding = "0 -> 0, 50 -> 100"\n'), ("reads_mails = 100", "reads_mails = 50, box_worth = 50")], {"facts": [fact("payment", value=20), fact("payment", value=30)]}, {"score": 95}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "case", "expected"), WORKS)
def test_a_change_does_what_was_meant(
    name: str, changes: list[tuple[str, str]], case: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = judged(edited(name, *changes), name, {**case, "expect": expected})

    assert "error" not in found
    assert found.get("differences", []) == []


READ = 'read = "days with usage in the last 30 days"'
TICKETS = "number of open tickets now"
STEPS = 'points = ["0 -> 100", "1 -> 70", "2 -> 30", "otherwise -> 0"]'

# a change to the starter, and what the answer says to write
CURED: list[tuple[tuple[str, str], str]] = [
    ((READ, 'read = "days with logins labelled "admin" in the last 30 days"'), "read = 'days with logins labelled \"admin\" in the last 30 days'"),
    ((READ, "read = “days with logins in the last 30 days”"), 'use straight quotes: read = "days with logins in the last 30 days"'),
    ((READ, 'read = "days with admin logins in the last 30 days"'), "write “days with logins labelled 'admin' in the last 30 days”"),
    ((READ, 'read = "days with usage in the last fortnight"'), "write “days with usage in the last 2 weeks”"),
    ((READ, 'read = "days with usage within 14 days"'), "write “days with usage in the last 14 days”"),
    ((READ, 'read = "weekdays with usage in the last 30 days"'), "days of the week are not told apart"),
    ((TICKETS, "number of tickets opened in the last 30 days"), "write “number of tickets raised in the last 30 days”"),
    ((TICKETS, "number of open tickets now except low"), "write “number of open tickets not labelled low now”"),
    ((TICKETS, "number of open tickets labelled urgent, high or normal now"), "write “number of open tickets labelled urgent or high or normal now”"),
    ((TICKETS, "number of referrals in the last year"), "one of your own is written custom.referrals"),
    (rule("x", "number of critical tickets now >= 1", 'at_most = "yellow"'), "write “number of open tickets labelled 'critical' now >= 1”"),
    (rule("x", "open_tickets labelled critical >= 1", 'at_most = "yellow"'), "write “number of open tickets labelled critical now >= 1”"),
    (rule("x", "first month", 'at_least = "yellow"'), "write “age < 1 month”"),
    (rule("x", "age < a month", 'at_least = "yellow"'), "write “age < 1 month”"),
    (rule("x", "no logins for 30 days", 'at_most = "red"'), "write “number of logins in the last 30 days = 0”"),
    (rule("x", "last login more than 30 days ago", 'at_most = "red"'), "write “days since the last login > 30”"),
    (rule("x", "more than 1 unpaid invoice", 'at_most = "red"'), "write “number of unpaid invoices now > 1”"),
    (rule("x", "last_nps is detractor", 'at_most = "red"'), "last_nps is a number, and never “detractor”"),
    (rule("x", "the plan is gold", 'at_most = "red"'), "write “attribute plan is gold”"),
    (rule("x", "plan is gold", 'at_most = "red"'), "write “attribute plan”"),
    (rule("x", "lowest score of children < 40", 'at_most = "yellow"'), "make a measure of it"),
    (rule("x", "age < 1 month", 'at_least = "Yellow"'), 'write it in small letters: "yellow"'),
    (rule("x", "age < 1 month", 'not = "red"'), 'at_least = "yellow" means never red'),
    (rule("x", "age < 1 month", 'set = "grey"'), "who is scored at all is said at the top of the file"),
    (rule("x y", "age < 1 month", 'at_least = "yellow"'), "write it in one word: [rules.x-y]"),
    (rule("x", "age < 1 month", 'at least = "yellow"'), "write at_least = …"),
    (rule("x", "attribute arr > 10,000", 'at_most = "red"'), "write “attribute arr > 10000”"),
    (rule("x", "dimension adoption is red", 'at_most = "yellow"'), "compare points: dimension adoption < 40"),
    (rule("x", "adoption < 40", 'at_most = "yellow"'), "write “dimension adoption”"),
    (rule("x", "usage_trend dropped by 30%", 'at_most = "yellow"'), "write “usage_trend <= 70%”"),
    (rule("x", "renewal in less than 90 days", 'at_most = "yellow"'), "write “days until attribute renewal <= 90”"),
    (rule("x", "any measure is red", 'at_most = "red"'), 'combine = "worst colour"'),
    ((READ, 'read = "active users in the last 30 days"'), "count: “number of people with active_days >= 1”"),
    ((READ, 'read = "average csat in the last 90 days"'), "write “average custom.csat in the last 90 days”"),
    ((READ, 'read = "days to renewal"'), "write “days until attribute renewal”"),
    (("", 'who = "attribute test is not yes"\n'), "put it at the very top of the file"),
    (("goal", 'who = "attribute test is no or missing"\ngoal'), "write “attribute test is no or attribute test is missing”"),
    (("goal", 'who = "everyone except attribute test is yes"\ngoal'), "write “not (attribute test is yes)”"),
    (("goal", 'exclude = "attribute test is yes"\ngoal'), 'who = "attribute test_account is not yes"'),
    (("if_never", "if_missing"), "write if_never"),
    (("answer_valid_for", "expires_after"), "write answer_valid_for"),
    (('"180 days"', "180"), 'write "180 days"'),
    (('"180 days"', '"half a year"'), "write “6 months”"),
    (("", '[measures.active_days.gold]\nwhen = "attribute plan is gold"\nsliding = "0 -> 0, 20 -> 100"\n'), "write [measures.active_days.instead.gold]"),
    (('yellow = "40 and up"', "yellow = 35"), 'write yellow = "35 and up"'),
    (('yellow = "40 and up"', "yellow = 35 and up"), 'put text in quotes: yellow = "35 and up"'),
    (('yellow = "40 and up"', 'yellow = "40 and up"\nred = "below 35"'), "“35 and up”"),
    (('yellow = "40 and up"', 'yellow = "from 35 to below 70"'), "write “35 and up”"),
    (("[bands]", '[bands]\nnot_in_first = "30 days"'), 'when = "age < 1 month", at_least = "yellow"'),
    ((TURNS, 'change_when = "only after a week"'), "write “for 7 days”"),
    ((TURNS, 'red_when = "for 5 days"'), "write worse_when for the way down"),
    (("[bands]", "[bands]\ndecimals = 1"), "put it below [score]"),
    (("", "[score.support]\nmeasures = { open_tickets = 100 }\n"), "write [scores.support]"),
    (("last_nps = 50, open_tickets = 50", "last_nps = 100, open_tickets = 50"), "in proportion 66.7 + 33.3"),
    (("last_nps = 50, open_tickets = 50", "last_nps = 67 open_tickets = 33"), "put a comma between its parts"),
    ((STEPS, 'points = ["0 -> 100" "1 -> 50"]'), "a comma between them"),
    ((STEPS, 'points = ["0 -> 100", "1-3 -> 50", "4 and up -> 0"]'), "write “from 1 to 3 -> 50”"),
    ((STEPS, 'points = ["0 -> 100", "1 -> 50"]'), "nothing is said about above 1"),
    ((STEPS, 'points = ["0 tickets -> 100", "otherwise -> 0"]'), "write “0 -> 100”"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "cure"), CURED)
def test_a_near_miss_is_answered_with_what_to_write(change: tuple[str, str], cure: str) -> None:
    with pytest.raises(Problems) as caught:
        load(edited("starter", change))

    assert cure in str(caught.value)
