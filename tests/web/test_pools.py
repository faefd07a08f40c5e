"""What would be done, and which kinds of act may leave: `/drafts` and `/releases`."""

from __future__ import annotations

import pytest

from tests.web.asking import VALUES
from tests.web.house import House, Page
from worker import acts
from worker.dispatch import outbox
from worker.effects import Alert, Effect, Mail, Sms, Standing, Task
from worker.lib.clock import DAY
from worker.plays.records import keep_refusal, set_switch
from worker.plays.rules import Refusal

PLAY = {"mail": "low-nps", "sms": "low-nps", "task": "low-nps", "alert": "", "standing": ""}


def put(house: House, effect: Effect, state: str, key: str = "") -> str:
    kind = type(effect).__name__.lower()
    return outbox.put(house.store, effect, key or f"{state} {kind}", house.now, play=PLAY[kind], state=state)


def everything(house: House, state: str) -> dict[str, str]:
    """One act of each kind in a pool; gives {kind: effect id}."""
    house.used("ann@example.com", 2, name="Ann's Garden")
    house.turn()
    who, until = house.customer_id("ann@example.com"), house.now + DAY
    letter = (who, "ann@example.com", "Ann Keeper", "low-nps", "low-nps", "service", VALUES, until)
    effects: list[Effect] = [
        Standing(who, "17", "red", "20", "active on 2 of the last 30 days (-80)", house.now),
        Mail(*letter), Sms(*letter),
        Task(who, "17", "Cleo", "Call Ann", "She has not been seen.", until, "low-nps"),
        Alert(who, "Ann's Garden turned red", "active on 2 of the last 30 days"),
    ]  # fmt: skip
    return {type(one).__name__.lower(): put(house, one, state) for one in effects}


def text(page: str) -> str:
    return " ".join(Page(page).text.split())


def test_every_act_that_would_be_taken_is_shown_with_text_recipient_reason_and_cost(any_house: House) -> None:
    everything(any_house, "draft")
    set_switch(any_house.store, "mode", "draft", any_house.now)

    shown = text(any_house.operator().get("/drafts").text)

    assert "5 acts, about 5 calls to the CRM, 1 mail, 1 text message, 1 task and 1 message to the team." in shown
    for words in (
        "Ann's Garden: show red 20 on contact 17",
        "because: active on 2 of the last 30 days (-80) Tag: Health: red",
        "Ann's Garden: mail to ann@example.com play “low nps”",
        "Your answer of 30 December",
        "Thank you for being frank.",
        "Ann's Garden: text message to ann@example.com",
        "Ann's Garden: task for Cleo",
        "Call Ann She has not been seen.",
        "Ann's Garden: message to the team",
        "about 1 mail · decided 1 January, 00:00",
    ):
        assert words in shown, words


def test_drafts_come_in_pages_the_newest_first(house: House) -> None:
    house.used("ann@example.com", 2, name="Ann's Garden")
    house.turn()
    who = house.customer_id("ann@example.com")
    for n in range(60):
        put(house, Alert(who, f"Alert {n:02}", ""), "draft", f"alert {n}")
    operator = house.operator()

    first = operator.get("/drafts").text
    onward = next(value for tag, name, value in Page(first).attributes if name == "href" and "behind=" in value)
    second = operator.get(onward).text

    assert "60 acts, about 60 messages to the team" in text(first)
    assert [f"Alert {n:02}" in first for n in (59, 10, 9, 0)] == [True, True, False, False]
    assert [f"Alert {n:02}" in second for n in (59, 10, 9, 0)] == [False, False, True, True]
    assert "Next page" not in second


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({}, "no calls"), ({"mail": 1}, "about 1 mail"), ({"mail": 2, "alert": 1}, "about 2 mails and 1 message to the team"),
        ({"standing": 1}, "about 5 calls to the CRM"), ({"standing": 200}, "about 602 calls to the CRM"),
        ({"standing": 201}, "about 607 calls to the CRM"),
    ],
)  # fmt: skip
def test_what_acts_cost_is_said_as_an_estimate(kinds: dict[str, int], words: str) -> None:
    assert acts.cost_in_calls(kinds).in_words == words


def test_an_act_that_another_version_wrote_is_still_listed(house: House) -> None:
    ids = everything(house, "draft")
    house.store.run("update effects set payload = '{\"new\": 1}' where id = :id", {"id": ids["mail"]})

    assert "another version wrote it" in house.operator().get("/drafts").text


def test_without_drafts_the_page_says_where_they_come_from(house: House) -> None:
    operator = house.operator()

    assert "keepwell mode draft" in operator.get("/drafts").text
    set_switch(house.store, "mode", "draft", house.now)
    assert "Nothing yet." in operator.get("/drafts").text


# -- releases ---------------------------------------------------------------------------------------------------------


def release(house: House, kind: str, by: str = "Bea") -> int:
    operator = house.operator()
    csrf = Page(operator.get("/releases").text).value("csrf")
    return operator.post("/releases", data={"csrf": csrf, "kind": kind, "by": by}).status_code


def test_each_kind_that_waits_is_shown_with_its_first_cases_in_full(any_house: House) -> None:
    everything(any_house, "held")
    set_switch(any_house.store, "mode", "approve", any_house.now)

    shown = text(any_house.operator().get("/releases").text)

    assert "What the play “low nps” does play:low-nps 3 wait The first 3, in full: Ann's Garden: mail to" in shown
    assert "Thank you for being frank." in shown
    assert "Messages to the team without a play alert 1 waits" in shown
    assert "The tag for red tag:red 1 waits" in shown


def test_a_kind_is_released_by_somebody_and_what_was_held_waits_to_leave(any_house: House) -> None:
    ids = everything(any_house, "held")
    set_switch(any_house.store, "mode", "approve", any_house.now)

    assert release(any_house, "play:low-nps") == 303

    states = {row["id"]: row["state"] for row in any_house.store.rows("select id, state from effects")}
    assert {kind: states[one] for kind, one in ids.items()} == {
        "mail": "waiting", "sms": "waiting", "task": "waiting", "alert": "held", "standing": "held",
    }  # fmt: skip
    assert any_house.woken == [1]
    shown = text(any_house.operator().get("/releases?said=play:low-nps").text)
    assert "play:low-nps is released." in shown
    assert "by Bea on 1 January" in shown


@pytest.mark.parametrize(("kind", "by"), [("play:none", "Bea"), ("", "Bea"), ("alert", " "), ("alert", "B" * 101)])
def test_what_is_no_kind_or_nobody_s_is_released_by_nobody(house: House, kind: str, by: str) -> None:
    everything(house, "held")

    assert release(house, kind, by) == 422
    assert house.store.rows("select * from releases") == []


def test_in_another_mode_the_page_says_what_a_release_means(house: House) -> None:
    page = house.operator().get("/releases?said=<script>").text

    assert "nothing leaves, whatever is released" in page
    assert "No kind of act waits" in page
    assert "script" not in {tag for tag, _ in Page(page).shape}


def test_the_pages_hold_what_strangers_write_as_text(house: House) -> None:
    word = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    house.used("ann@example.com", 2, name=word)
    house.turn()
    who = house.customer_id("ann@example.com")
    for state in ("draft", "held"):
        put(house, Alert(who, word, word), state)
        put(house, Standing(who, word, "red", word, word, house.now), state)
    operator = house.operator()

    for path in ("/drafts", "/releases"):
        page = Page(operator.get(path).text)
        assert {tag for tag, _ in page.shape} & {"script", "img"} == set()
        assert word in page.text


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_was_not_done_is_listed_by_rule_with_its_reason(any_house: House) -> None:
    any_house.used("ann@example.com", 2, name="Ann's Garden")
    any_house.turn()
    who = any_house.customer_id("ann@example.com")
    for n in range(55):
        keep_refusal(any_house.store, Refusal(who, "low-nps", "frequency", f"mail {n:02} too soon"), any_house.now + n)
    keep_refusal(any_house.store, Refusal(who, "", "approval", "Bea said no: later"), any_house.now)
    operator = any_house.operator()

    everything, some = text(operator.get("/refusals").text), operator.get("/refusals?rule=frequency").text
    onward = next(value for _, name, value in Page(some).attributes if name == "href" and "behind=" in value)

    assert "Ann's Garden: Bea said no: later approval" in everything
    assert "said no" not in some
    assert [f"mail {n:02}" in some for n in (54, 5, 4)] == [True, True, False]
    assert "mail 04 too soon" in operator.get(onward).text
    assert "/refusals?rule=frequency" in operator.get("/").text
    assert "Nothing under this rule." in operator.get("/refusals?rule=none").text
