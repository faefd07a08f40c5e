"""`keepwell eval`: one line in, one line out; and the same bytes as the way of every customer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scoring.cards import NOW, customer
from worker.evaluate import evaluate, result, run
from worker.facts import KINDS, Fact, Shape, millionths
from worker.lib.assets import folder
from worker.lib.clock import DAY, iso, local_day
from worker.lib.problems import Problems
from worker.lib.store import Store
from worker.scoring.measures import Moment, read
from worker.scoring.score import assess
from worker.scoring.scorecard import load

RECIPES = folder("recipes") / "scorecards"
STARTER = load((RECIPES / "starter.toml").read_text("utf-8"))
WELL = {
    "active_days": 12, "usage_trend": 1, "unpaid_invoices": 0, "last_nps": 10, "open_tickets": 0,
}  # fmt: skip


def judged(**case: Any) -> dict[str, Any]:
    (found,) = evaluate(STARTER, [json.dumps({"id": "one", **case})])
    return found


def test_a_case_of_values_gives_the_whole_line() -> None:
    assert judged(values={**WELL, "active_days": 3, "last_nps": None}) == {
        "id": "one",
        "scores": {"health": 81.25},
        "score": 81.25,
        "band": "green",
        "coverage": 0.9,
        "dimensions": {"adoption": 62.5, "money": 100, "voice": 100},
        "measures": {
            "active_days": {"value": 3, "state": "value", "points": 25},
            "last_nps": {"value": None, "state": "never", "points": None},
            "open_tickets": {"value": 0, "state": "value", "points": 100},
            "unpaid_invoices": {"value": 0, "state": "value", "points": 100},
            "usage_trend": {"value": 1, "state": "value", "points": 100},
        },
        "drivers": [{"measure": "active_days", "points_lost": 18.75}],
        "rules": [],
        "signals": [],
    }


def test_values_and_facts_may_be_mixed() -> None:
    found = judged(
        as_of="2026-03-31",
        values={"active_days": 5},
        facts=[{"kind": "usage", "at": "2026-03-30"}, {"kind": "nps_answer", "at": "2026-03-31", "value": 9}],
    )

    assert found["measures"]["active_days"]["value"] == 5
    assert found["measures"]["last_nps"]["value"] == 9
    assert found["measures"]["usage_trend"]["state"] == "not_applicable"


def test_a_date_is_its_last_second_and_a_bare_time_is_utc() -> None:
    def unpaid(as_of: str, at: str) -> int:
        found = judged(as_of=as_of, facts=[{"kind": "unpaid_invoice", "at": at}])
        return int(found["measures"]["unpaid_invoices"]["value"])

    assert unpaid("2026-03-31", "2026-03-31T23:59:59Z") == 1
    assert unpaid("2026-03-31", "2026-04-01T00:00:00Z") == 0
    assert unpaid("2026-03-31T10:00:00", "2026-03-31T10:00:00Z") == 1
    assert unpaid("2026-03-31T10:00:00", "2026-03-31T11:30:00+02:00") == 1


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"values": {"active_days": 1}}, "as_of is missing: usage_trend"),
        ({"values": {**WELL, "active_dais": 1}}, "there is no measure 'active_dais'; did you mean 'active_days'?"),
        ({"values": {**WELL, "active_days": True}}, "values.active_days"),
        ({"values": WELL, "attributes": {"plan": ["pro"]}}, "attributes.plan"),
        ({"values": WELL, "children": [{"values": {"seats": 1}}]}, "children.0.values: there is no measure 'seats'"),
        ({"values": WELL, "children": [{"facts": [{"kind": "use", "at": "2026-03-31"}]}]}, "children.0.facts.0: 'use' is"),
        ({"values": WELL, "valeus": 1}, "valeus"),
        ({"values": WELL, "previous": {"band": "gren"}}, "there is no band 'gren'; did you mean 'green'?"),
        ({"values": WELL, "previous": {"band": "red", "since": "soon"}}, "previous.since: 'soon' is no moment"),
        ({"as_of": "yesterday"}, "as_of: 'yesterday' is no moment"),
        ({"as_of": "0001-01-01"}, "as_of: '0001-01-01' is no moment"),
        ({"values": {**WELL, "active_days": 1e300}}, "values.active_days: 1e+300 is not within -10^24 to 10^24"),
        ({"values": {**WELL, "age": "old"}}, "values.age: 'old' is no number of days"),
        ({"values": {**WELL, "age": -1}}, "values.age: -1 is not within 0 to 100000 days"),
        ({"as_of": "2026-03-31", "facts": [{"kind": "use", "at": "2026-03-31"}]}, "facts.0: 'use' is no kind of fact"),
        ({"as_of": "2026-03-31", "facts": [{"kind": "usage"}]}, "facts.0.at: Field required"),
        ({"as_of": "2026-03-31", "facts": [{"kind": "usage", "at": "2026-03-31", "value": 1e15}]}, "10^12"),
    ],
)  # fmt: skip
def test_a_bad_case_is_told_in_its_own_line(case: Mapping[str, Any], told: str) -> None:
    found = judged(**case)

    assert set(found) == {"id", "error"}
    assert found["id"] == "one"
    assert told in found["error"]


def test_a_bad_line_does_not_stop_the_others(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    good = json.dumps({"id": 1, "values": WELL})
    cases.write_text(f"{good}\n\nnot json\n[1]\n{good}\n", "utf-8")
    lines: list[str] = []

    code = run(RECIPES / "starter.toml", cases, lines.append)

    assert code == 2
    assert [json.loads(line).get("score") for line in lines] == [100, None, None, 100]
    assert "line 3" in json.loads(lines[1])["error"]


def test_a_difference_is_named_and_makes_exit_1(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    expect = {"score": 99, "band": "green", "measures": {"active_days": {"points": 50}}, "drivers": [], "colour": 1}
    cases.write_text(json.dumps({"id": 1, "values": WELL, "expect": expect}), "utf-8")
    lines: list[str] = []

    assert run(RECIPES / "starter.toml", cases, lines.append) == 1
    assert json.loads(lines[0])["differences"] == [
        "score is 100, expected 99",
        "measures.active_days.points is 100, expected 50",
        "colour is not there; use one of: band, coverage, dimensions, drivers, id, measures, rules, score, scores, signals",
    ]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for card, cases in (
        (tmp_path / "none.toml", RECIPES / "starter.cases.jsonl"),
        (RECIPES / "starter.toml", tmp_path / "no"),
    ):
        with pytest.raises(Problems, match="is not there"):
            run(card, cases, print)


# -- the whole contract -----------------------------------------------------------------------------------------------

WHOLE = """
name = "Whole"
[measures.plan]
read = "attribute plan"
points = ["gold -> 100", "otherwise -> 0"]
[measures.used]
formula = "logins / attribute seats"
sliding = "0 -> 0, 1 -> 100"
[measures.logins]
read = "number of logins in the last 30 days"
[measures.place]
read = "percentile of logins"
sliding = "0 -> 0, 100 -> 100"
[measures.group]
read = "average score of children"
sliding = "0 -> 0, 100 -> 100"
[dimensions.all]
share = 100
measures = { plan = 25, used = 25, place = 25, group = 25 }
[scores.money]
measures = ["plan"]
[rules.tickets]
when = 'number of open tickets labelled "urgent" now >= 1'
at_most = "yellow"
because = "urgent"
[rules.young]
when = "age < 1 month"
at_least = "yellow"
because = "young"
[bands]
green = "70 and up"
yellow = "40 and up"
"""


def told(text: str, *cases: Any) -> list[dict[str, Any]]:
    return evaluate(load(text), [json.dumps({"id": number, **case}) for number, case in enumerate(cases)])


def test_attributes_children_texts_and_the_portfolio_have_their_part() -> None:
    one, other = told(
        WHOLE,
        {
            "attributes": {"plan": "Gold", "seats": 8, "trial": True, "none": None},
            "values": {"logins": 2, "age": 400},
            "children": [
                {"attributes": {"plan": "gold", "seats": 1}, "values": {"logins": 1}},
                {"values": {"logins": 0, "plan": None}},
            ],
        },
        {"values": {"logins": 5, "plan": "basic", "used": 0.5, "group": None, "age": 10}},
    )

    # Among 0, 1, 2 and 5 logins; the children have 100, 100, 33.3 and 0, and two of the four to be known at all.
    assert one["measures"] == {
        "plan": {"value": "Gold", "state": "value", "points": 100},
        "used": {"value": 0.25, "state": "value", "points": 25},
        "logins": {"value": 2, "state": "value", "points": None},
        "place": {"value": 66.666666667, "state": "value", "points": 66.666666667},
        "group": {"value": 38.888888889, "state": "value", "points": 38.888888889},
    }
    assert one["scores"] == {"health": one["score"], "money": 100}
    assert (one["band"], one["rules"]) == ("yellow", [])
    assert (other["score"], other["band"], other["rules"]) == (50, "yellow", ["young"])
    assert other["measures"]["group"] == {"value": None, "state": "never", "points": None}


def test_where_nothing_is_known_what_conditions_speak_is_nothing() -> None:
    values = {"logins": 5, "used": 1, "plan": "gold", "place": 1, "group": 1}
    plainly, given, urgent = told(
        WHOLE,
        {"values": values},
        {"values": {**values, 'number of open tickets labelled "urgent" now': 1}},
        {
            "values": values,
            "as_of": "2026-03-31",
            "facts": [{"kind": "open_ticket", "at": "2026-03-30", "label": "urgent"}],
        },
    )

    assert plainly["rules"] == []
    assert given["rules"] == ["tickets"]
    assert urgent["rules"] == ["tickets", "young"]


def test_the_age_is_known_by_facts_by_an_attribute_or_by_what_is_said() -> None:
    text = STARTER_AGE
    facts = [{"kind": "login", "at": "2026-03-01T12:00:00Z"}]
    since = {"customer_since": "2025-03-31"}

    found = told(
        text,
        {"as_of": "2026-03-31", "facts": facts},
        {"as_of": "2026-03-31", "attributes": since},
        {"as_of": "2026-03-31", "attributes": since, "facts": facts},
        {"as_of": "2026-03-31"},
        {"values": {"age": 45}},
        {"attributes": since},
    )

    assert [one["measures"]["tenure"]["value"] for one in found[:5]] == [1, 12, 12, None, 1]
    assert "as_of is missing: tenure" in found[5]["error"]


STARTER_AGE = """
name = "Age"
[measures.tenure]
read = "age in months"
sliding = "0 -> 0, 12 -> 100"
[dimensions.all]
share = 100
measures = { tenure = 100 }
[bands]
green = "70 and up"
"""


def test_who_is_not_scored_has_no_score() -> None:
    who = 'name = "Age"\nwho = "attribute plan is not \'free\' and attribute plan is not missing"'
    scored, free = told(
        STARTER_AGE.replace('name = "Age"', who),
        {"values": {"tenure": 12}, "attributes": {"plan": "pro"}},
        {"values": {"tenure": 12}, "attributes": {"plan": "free"}, "expect": {"score": None, "band": None}},
    )

    assert (scored["score"], scored["band"]) == (100, "green")
    assert (free["score"], free["band"], free["scores"]) == (None, None, {"health": None})
    assert free.keys() == scored.keys()


def test_a_folder_chooses_the_card(tmp_path: Path) -> None:
    (tmp_path / "young.toml").write_text(STARTER_AGE.replace("12 -> 100", "1 -> 100"), "utf-8")
    (tmp_path / "usual.toml").write_text(STARTER_AGE, "utf-8")
    (tmp_path / "cards.toml").write_text('cards = ["young.toml when age < 90 days", "usual.toml otherwise"]', "utf-8")
    cases = tmp_path / "cases.jsonl"
    cases.write_text("".join(f'{{"id": {age}, "values": {{"age": {age}}}}}\n' for age in (60, 120)), "utf-8")
    lines: list[str] = []

    assert run(tmp_path, cases, lines.append) == 0
    assert [json.loads(line)["score"] for line in lines] == [100, 33.333333333]


def test_what_a_child_expects_is_compared_too() -> None:
    case = {"values": {"tenure": 12}, "children": [{"values": {"tenure": 0}, "expect": {"score": 0, "band": "green"}}]}

    (found,) = told(STARTER_AGE, case)

    assert found["differences"] == ['children.0.band is "red", expected "green"']


@pytest.mark.parametrize("number", [100, 1e22, 0.5, -3, 1234567.125])
def test_numbers_are_written_as_json_has_them(number: float) -> None:
    (found,) = told(WHOLE, {"values": {"logins": number, "plan": "x", "used": number, "place": 0, "group": 0}})

    assert "E" not in json.dumps(found)
    assert found["measures"]["logins"]["value"] == number


# -- the same everywhere ----------------------------------------------------------------------------------------------

EVERY_PHRASE = load("""
name = "Every phrase"
[measures.days]
read = 'days with usage labelled "a" or "b" in the last 30 days'
sliding = "0 -> 0, 7 -> 100"
[measures.trend]
read = "usage per week in the last 3 weeks"
against = "usage per week from 12 to 4 weeks ago"
points = ["below 50% -> 0", "below 85% -> 50", "otherwise -> 100"]
not_in_first = "20 days"
if_no_normal = 30
[measures.open]
read = "number of open tickets now"
points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]
[measures.latest]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
answer_valid_for = "60 days"
[measures.middle]
read = "median nps answer ever"
sliding = "0 -> 0, 7 -> 77, 10 -> 100"
if_never = "worst"
[measures.mean]
read = "average nps answer in the last 8 weeks"
sliding = "0 -> 0, 10 -> 100"
[measures.high]
read = "highest nps answer from 9 to 1 days ago"
sliding = "0 -> 0, 10 -> 100"
[measures.quiet]
read = "days since the last usage"
sliding = "0 -> 100, 30 -> 0"
[measures.tried]
read = "number of failed payments per month in the last 2 months"
sliding = "0 -> 100, 3 -> 0"
[dimensions.use]
share = 60
measures = { days = 30, trend = 30, quiet = 40 }
[dimensions.rest]
share = 40
measures = { open = 20, latest = 20, middle = 20, mean = 10, high = 10, tried = 20 }
[rules.open]
when = "open >= 2 or latest is missing and not (score > 80)"
at_most = "yellow"
because = "open"
[signals.grow]
when = "trend >= 130% and band is yellow or better"
[bands]
green = "70 and up"
yellow = "40 and up"
""")

SPAN = 100 * DAY


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    facts = []
    for place in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["usage", "open_ticket", "nps_answer", "payment_failed"]))
        value = {
            Shape.OPEN: st.sampled_from([1, -1]),
            Shape.READING: st.integers(0, 10),
            Shape.EVENT: st.integers(1, 3000).map(lambda n: n / 1000),
        }[KINDS[kind].shape]
        # Many near the moment and near each other: edges of days, and ties of one second.
        at = NOW - draw(st.one_of(st.integers(-2 * DAY, SPAN), st.integers(-5, 5), st.sampled_from([DAY, 12 * 3600])))
        facts.append(Fact(kind, at, "eval", str(place), millionths(draw(value)), draw(st.sampled_from(["", "a", "b"]))))
    return facts


def case_line(name: str, facts: list[Fact], as_of: int = NOW) -> str:
    told = [{"kind": one.kind, "at": iso(one.at), "value": one.value / 1_000_000, "label": one.label} for one in facts]
    return json.dumps({"id": name, "as_of": iso(as_of), "facts": told})


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(histories(), min_size=1, max_size=4))
def test_eval_and_the_way_of_every_customer_give_equal_bytes(store: Store, cases: list[list[Fact]]) -> None:
    """In whatever order facts and customers come, among whatever other customers, with the future or without it."""
    evaluated = [
        json.dumps(one) for one in evaluate(EVERY_PHRASE, [case_line(str(n), one) for n, one in enumerate(cases)])
    ]
    cut = [[one for one in facts if one.at <= NOW] for facts in cases]
    alone = [json.dumps(evaluate(EVERY_PHRASE, [case_line(str(n), one)])[0]) for n, one in enumerate(cut)]

    with store.atomic():
        ids = {
            customer(store, [_renamed(one, n, store) for one in reversed(facts)], days=_age(facts)): str(n)
            for n, facts in reversed(list(enumerate(cases)))
        }
    began = {name: any(fact.at <= NOW for fact in cases[int(name)]) for name in ids.values()}
    moments = [Moment(one, NOW, local_day(NOW), age_known=began[name]) for one, name in ids.items()]
    found = read(store, EVERY_PHRASE, moments)
    lived = {
        ids[one]: json.dumps(result(ids[one], EVERY_PHRASE, (told := assess(EVERY_PHRASE, readings)), told.band))
        for one, readings in found.items()
    }

    assert evaluated == alone == [lived[str(n)] for n in range(len(cases))]


def _age(facts: list[Fact]) -> float:
    return (NOW - min([NOW, *(one.at for one in facts)])) / DAY


def _renamed(fact: Fact, case: int, store: Store) -> Fact:
    serial = store.value("select count(*) from customers")
    return Fact(fact.kind, fact.at, fact.source, f"{serial}:{case}:{fact.source_id}", fact.value, fact.label)
