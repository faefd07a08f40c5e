"""Signed links and buttons in Slack: one deed each, once, for a week, and nothing for anybody else."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from integrations import slack
from tests.web.asking import approval, ask, ask_about_ann, effect, refusals
from tests.web.house import House, Page
from worker import approvals, deeds
from worker.lib.clock import DAY, VirtualClock
from worker.lib.problems import Problems
from worker.lib.signing import signature
from worker.registry import Connected
from worker.review.disagreement import Pulse
from worker.review.opinions import disagreement, open_disagreement
from worker.sandbox.servers.slack import PretendSlack

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def path(house: House, deed: str, subject: str, **more: str) -> str:
    return deeds.link(house.workspace, deed, subject, **more).removeprefix(house.url)


def words(answer: TestResponse) -> str:
    return " ".join(Page(answer.text).text.split())


def everything(house: House) -> list[list[dict[str, Any]]]:
    """All that a deed could change."""
    tables = ("approvals", "effects", "refusals", "deeds", "snoozes", "disagreements")
    return [house.store.rows(f"select * from {table}") for table in tables]


@pytest.fixture
def asked(any_house: House) -> str:
    return ask_about_ann(any_house)


def test_a_link_shows_what_it_would_do_and_does_nothing_until_pressed(any_house: House, asked: str) -> None:
    links = [path(any_house, deed, asked) for deed in ("send", "refuse")]
    links.append(path(any_house, "snooze", any_house.customer_id("ann@example.com")))
    before = everything(any_house)

    for link in links:
        for method in ("GET", "HEAD", "OPTIONS"):
            assert any_house.browser().open(link, method=method).status_code == 200

    assert everything(any_house) == before
    shown = words(any_house.browser().get(links[0]))
    assert "Send this? What Mail to ann@example.com Why it waits the first mails of this template" in shown
    assert "Thank you for being frank." in shown
    assert "Ann's Garden will be left out of the morning message for 7 days" in words(any_house.browser().get(links[2]))


def test_a_link_leads_nowhere_else(any_house: House, asked: str) -> None:
    page = Page(any_house.browser().get(path(any_house, "send", asked)).text)

    leads = [value for tag, name, value in page.attributes if name in ("href", "src", "action") and tag != "link"]
    assert leads == []
    assert "cus_" not in page.text
    assert any_house.browser().get("/approvals").status_code == 303


def test_a_message_is_sent_by_its_link_once(any_house: House, asked: str) -> None:
    link = path(any_house, "send", asked, made_for="Bea")
    browser = any_house.browser()
    assert ("input", "value", "Bea") in Page(browser.get(link).text).attributes

    first, second = (browser.post(link, data={"by": by}) for by in ("Bea", "Cid"))

    assert "It leaves with the next turn" in words(first)
    assert "works once" in words(second)
    assert effect(any_house, asked)["state"] == "waiting"
    assert (approval(any_house, asked)["decision"], approval(any_house, asked)["by"]) == ("send", "Bea")
    assert "This link was used by Bea on 1 January, 00:00." in words(browser.get(link))
    assert any_house.woken == [1]


def test_a_message_is_refused_by_its_link_with_a_reason(any_house: House, asked: str) -> None:
    link = path(any_house, "refuse", asked)
    browser = any_house.browser()

    without = browser.post(link, data={"by": "Bea", "note": " "})
    answer = browser.post(link, data={"by": "Bea", "note": "I talk to her"})

    assert (without.status_code, answer.status_code) == (422, 200)
    assert "say why not" in words(without)
    assert refusals(any_house) == [("approval", "Bea said no: I talk to her")]


def test_nobody_does_anything_without_a_name(any_house: House, asked: str) -> None:
    answer = any_house.browser().post(path(any_house, "send", asked), data={"by": " \n "})

    assert answer.status_code == 422
    assert effect(any_house, asked)["state"] == "asked"


def test_what_was_decided_on_the_page_stays_so_when_the_link_comes(any_house: House, asked: str) -> None:
    approvals.refuse(any_house.workspace, asked, "Cid", "no")

    answer = any_house.browser().post(path(any_house, "send", asked), data={"by": "Bea"})

    assert "Nothing was done It was decided already: Cid said no (no)." in words(answer)
    assert effect(any_house, asked)["state"] == "refused"


def test_a_customer_is_left_out_of_the_morning_message_for_a_week(any_house: House, asked: str) -> None:
    customer_id = any_house.customer_id("ann@example.com")

    any_house.browser().post(path(any_house, "snooze", customer_id), data={"by": "Bea"})

    assert deeds.snoozed(any_house.store, any_house.now) == {customer_id: any_house.now + 7 * DAY}
    assert deeds.snoozed(any_house.store, any_house.now + 7 * DAY) == {}


def test_a_customer_who_was_left_out_is_told_of_again_when_somebody_says_so(any_house: House, asked: str) -> None:
    customer_id = any_house.customer_id("ann@example.com")
    deeds.snooze(any_house.workspace, customer_id, "Bea")
    operator = any_house.operator()
    page = operator.get(f"/customers/{customer_id}")
    assert "Bea has this customer left out of the morning message until 8 January, 00:00." in words(page)
    assert f"/approvals/{asked}" in page.text

    operator.post(f"/customers/{customer_id}/tell-again", data={"csrf": Page(page.text).value("csrf")})

    assert deeds.snoozed(any_house.store, any_house.now) == {}
    assert "left out of the morning" not in operator.get(f"/customers/{customer_id}").text


def test_a_snooze_goes_with_a_customer_who_becomes_part_of_another(any_house: House, asked: str) -> None:
    any_house.used("bob@example.com", 1)
    any_house.turn()
    ann, bob = any_house.customer_id("ann@example.com"), any_house.customer_id("bob@example.com")
    deeds.snooze(any_house.workspace, bob, "Bea")
    link = path(any_house, "snooze", bob)
    any_house.store.run("update customers set merged_into = :ann where id = :bob", {"ann": ann, "bob": bob})

    assert list(deeds.snoozed(any_house.store, any_house.now)) == [ann]
    assert "Ann's Garden" in words(any_house.browser().get(link))


def test_a_disagreement_is_answered_by_its_link(any_house: House, asked: str) -> None:
    customer_id = any_house.customer_id("ann@example.com")
    pulse = Pulse(5, any_house.now, "page", "p1", "Bea", "")
    opened = open_disagreement(any_house.store, customer_id, "Bea", "red", pulse, any_house.now)
    assert opened is not None
    link = path(any_house, "answer", opened.id)

    assert "Bea said 5 of 5 on 1 January" in words(any_house.browser().get(link))
    any_house.browser().post(link, data={"by": "Bea", "note": "they are on holiday", "right": "pulse"})

    closed = disagreement(any_house.store, opened.id)
    assert closed is not None
    assert (closed.answer, closed.author, closed.was_right) == ("they are on holiday", "Bea", "the pulse")


def test_a_link_works_for_a_week_and_then_is_refused(any_house: House, asked: str) -> None:
    link = path(any_house, "send", asked)
    any_house.clock.sleep(7 * DAY - 1)
    assert any_house.browser().get(link).status_code == 200

    any_house.clock.sleep(1)

    for method in ("GET", "POST"):
        refused = any_house.browser().open(link, method=method, data={"by": "Bea"})
        assert refused.status_code == 404
        assert "This link does nothing any more." in words(refused)
    assert effect(any_house, asked)["state"] == "asked"


def test_a_link_for_one_deed_is_none_for_another(any_house: House, asked: str) -> None:
    made = {deed: deeds.token(any_house.workspace, deed, asked) for deed in deeds.DEEDS}
    unsubscribe = any_house.workspace.sign(asked)

    for deed in deeds.DEEDS:
        for other, token in [*made.items(), ("unsubscribe", unsubscribe)]:
            status = any_house.browser().get(f"/deeds/{deed}/{token}").status_code
            right = deed == other and deed in ("send", "refuse")
            assert status == (200 if right else 404)
    assert any_house.browser().get(f"/deeds/anything/{made['send']}").status_code == 404
    assert any_house.browser().get(f"/unsubscribe/{made['send']}").status_code == 404
    with pytest.raises(ValueError, match="is no deed"):
        deeds.token(any_house.workspace, "erase", asked)


def test_no_letter_of_a_link_can_be_changed(any_house: House, asked: str) -> None:
    link = path(any_house, "send", asked)
    begin = len("/deeds/send/")
    for place in range(begin, len(link)):
        changed = link[:place] + ("A" if link[place] != "A" else "B") + link[place + 1 :]
        if any_house.browser().get(changed).status_code == 200:
            assert place == len(link) - 1  # the last letter of a base64 text has bits that mean nothing


@pytest.mark.parametrize("token", ["x", "..", "%00", "é", "a" * 5000, "WyJhIiwxXQ.forged"])
def test_what_is_no_token_finds_nothing(house: House, token: str) -> None:
    assert house.browser().get(f"/deeds/send/{token}").status_code == 404
    assert house.browser().post(f"/deeds/send/{token}", data={"by": "x"}).status_code == 404


@pytest.mark.parametrize("subject", [["a", 1, "b"], {"a": 1}, "text", 7, None, ["a", "soon", "b"], ["a"]])
def test_what_we_signed_in_another_shape_is_no_deed(house: House, subject: Any) -> None:
    token = house.workspace.signer("deed:send").dumps(subject)

    assert house.browser().get(f"/deeds/send/{token}").status_code == 404


def test_fifty_presses_at_once_have_one_effect(house: House) -> None:
    asked = ask_about_ann(house)
    token = deeds.token(house.workspace, "refuse", asked)
    results: list[bool] = []

    def press() -> None:
        deed = deeds.read(house.workspace, "refuse", token)
        assert deed is not None
        results.append(deeds.do(house.workspace, deed, "Bea", note="no").done)

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(results), sum(results), len(refusals(house))) == (50, 1, 1)


def test_the_page_of_a_deed_holds_what_strangers_write_as_text(house: House) -> None:
    word = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    house.used("ann@example.com", 2, name=word)
    house.turn()
    customer_id = house.customer_id("ann@example.com")
    values = {"nps_answer_last_value": word, "nps_answer_last_on": word}
    asked = ask(house, customer_id, "ann@example.com", why=word, values=values)

    for link in (path(house, "send", asked, made_for=word), path(house, "snooze", customer_id)):
        page = Page(house.browser().get(link).text)
        assert {tag for tag, _ in page.shape} & {"script", "img"} == set()
        assert word in page.text


# -- Slack ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor(clock: VirtualClock) -> Iterator[PretendSlack]:
    server = PretendSlack(clock)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def team(house: House, vendor: PretendSlack) -> House:
    """A house whose team reads in Slack."""
    settings = slack.SlackSettings.model_validate({"url": vendor.webhook_url, "signing_secret": SECRET})
    connected = Connected(slack.INTEGRATION, settings, slack.connect(settings, house.clock))
    house.__dict__["workspace"] = replace(house.workspace, connected={"slack": connected})
    return house


def payload(value: str, response_url: str = "", note: str = "") -> dict[str, Any]:
    """What Slack sends when a button is pressed: the keys that its documentation names."""
    values = {"why": {"note": {"type": "plain_text_input", "value": note or None}}}
    return {
        "type": "block_actions", "user": {"id": "U012AB3CD", "username": "bea", "name": "bea", "team_id": "T9TK3CUKW"},
        "api_app_id": "AABA1ABCD", "token": "9s8d9as89d8as9d8as989", "trigger_id": "12321423423.333649436676.d8c1bb837935",
        "container": {"type": "message", "message_ts": "1548261231.000200", "channel_id": "CBR2V3XEX"},
        "team": {"id": "T9TK3CUKW", "domain": "example"}, "channel": {"id": "CBR2V3XEX", "name": "success"},
        "message": {"type": "message", "text": "Good morning", "ts": "1548261231.000200"},
        "response_url": response_url, "state": {"values": values},
        "actions": [
            {
                "action_id": "send", "block_id": "=qXel", "type": "button", "value": value,
                "text": {"type": "plain_text", "text": "Send"}, "action_ts": "1548426417.840180",
            }
        ],
    }  # fmt: skip


def pressing(
    house: House, body: dict[str, Any] | str, *, secret: str = SECRET, at: int | None = None, headers: Any = None
) -> TestResponse:
    text = body if isinstance(body, str) else urlencode({"payload": json.dumps(body)})
    stamp = str(house.now if at is None else at)
    signed = signature(secret, f"v0:{stamp}:{text}".encode(), prefix="v0=").decode()
    sent = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signed} if headers is None else headers
    return house.browser().post(
        "/slack/actions", data=text, headers=sent, content_type="application/x-www-form-urlencoded"
    )  # fmt: skip


def told(vendor: PretendSlack) -> list[str]:
    """What the person read, once the thread that answers is through."""
    for thread in threading.enumerate():
        if thread.name == "slack answer":
            thread.join(timeout=10)
    return [message.text for message in vendor.messages]


def test_slacks_own_example_of_a_signature_is_believed() -> None:
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    made = signature(SECRET, b"v0:1531420618:" + body, prefix="v0=")

    assert made == b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_a_button_in_slack_does_its_deed_once_and_says_so_to_the_one_who_pressed(
    team: House, vendor: PretendSlack
) -> None:
    asked = ask_about_ann(team)
    value = deeds.button(team.workspace, "send", asked)
    body = payload(value, vendor.webhook_url)

    first, second = (pressing(team, body) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 200)
    assert approval(team, asked)["by"] == "bea (Slack U012AB3CD)"
    assert effect(team, asked)["state"] == "waiting"
    assert "works once" in second.get_json()["text"]
    assert sorted(told(vendor)) == sorted([first.get_json()["text"], second.get_json()["text"]])
    assert len(value) < 2000  # as much as a button holds


def test_a_refusal_by_a_button_takes_its_reason_from_the_message_and_leads_to_the_page_without_one(
    team: House, vendor: PretendSlack
) -> None:
    asked = ask_about_ann(team)
    value = deeds.button(team.workspace, "refuse", asked)

    without = pressing(team, payload(value))
    assert effect(team, asked)["state"] == "asked"
    pressing(team, payload(value, note="I talk to her"))

    assert f"http://localhost/deeds/{value}" in without.get_json()["text"]
    assert refusals(team) == [("approval", "bea (Slack U012AB3CD) said no: I talk to her")]


def test_only_slack_can_press(team: House) -> None:
    asked = ask_about_ann(team)
    body = payload(deeds.button(team.workspace, "send", asked))
    text = urlencode({"payload": json.dumps(body)})
    good = signature(SECRET, f"v0:{team.now}:{text}".encode(), prefix="v0=").decode()
    stamp = {"X-Slack-Request-Timestamp": str(team.now)}

    refused = [
        pressing(team, body, secret="another"),
        pressing(team, body, at=team.now - 301),
        pressing(team, body, at=team.now + 301),
        pressing(team, text, headers={}),
        pressing(team, text, headers=stamp),
        pressing(team, text, headers={"X-Slack-Signature": good}),
        pressing(team, text, headers={**stamp, "X-Slack-Signature": good.replace("v0=", "v1=")}),
        pressing(team, text, headers={**stamp, "X-Slack-Signature": good.upper()}),
        pressing(team, text + "x", headers={**stamp, "X-Slack-Signature": good}),
        pressing(team, text, headers={"X-Slack-Request-Timestamp": "٣", "X-Slack-Signature": good}),
        pressing(team, text, headers={"X-Slack-Request-Timestamp": "9" * 400, "X-Slack-Signature": good}),
    ]

    assert [answer.status_code for answer in refused] == [401] * len(refused)
    assert effect(team, asked)["state"] == "asked"
    assert {re.sub(r"\s+", " ", answer.get_json()["code"]) for answer in refused} == {"forged", "stale", "unsigned"}


@pytest.mark.parametrize(
    "text",
    [
        "", "payload=", "payload=null", "payload=[]", "payload={}", "other=1", "payload=%FF",
        urlencode({"payload": json.dumps({"type": "view_submission"})}),
        urlencode({"payload": json.dumps({"type": "block_actions", "actions": [], "user": {"id": "U"}})}),
        urlencode({"payload": json.dumps({"type": "block_actions", "actions": [{"value": "a"}], "user": "U"})}),
        urlencode({"payload": json.dumps({"type": "block_actions", "actions": [{"value": "a"}], "user": {}, "state": 3})}),
        urlencode({"payload": "[" * 30_000}),
    ],
)  # fmt: skip
def test_what_is_signed_and_no_press_is_refused_in_words(team: House, text: str) -> None:
    refused = pressing(team, text)

    assert refused.status_code == 400
    assert refused.get_json()["detail"] == "This is no press of a button."


def test_an_old_button_says_that_it_does_nothing(team: House) -> None:
    value = deeds.button(team.workspace, "send", ask_about_ann(team))
    team.clock.sleep(7 * DAY)

    assert "does nothing any more" in pressing(team, payload(value)).get_json()["text"]
    assert "does nothing any more" in pressing(team, payload("anything at all")).get_json()["text"]


def test_an_answer_goes_to_the_host_that_the_operator_named_and_to_no_other(team: House, vendor: PretendSlack) -> None:
    other = PretendSlack(team.clock)
    other.start()
    try:
        value = deeds.button(team.workspace, "snooze", "cus_nobody")
        for elsewhere in (other.webhook_url, "http://127.0.0.1:1/x", "file:///etc/passwd", "//evil.example/x"):
            assert pressing(team, payload(value, elsewhere)).status_code == 200
        told(vendor)
        assert other.calls == []
    finally:
        other.stop()


def test_too_much_is_refused_before_it_is_read(team: House) -> None:
    assert pressing(team, "payload=" + "x" * 200_000).status_code == 413


def test_without_a_signing_secret_nobody_is_believed(team: House, vendor: PretendSlack) -> None:
    settings = slack.SlackSettings.model_validate({"url": vendor.webhook_url})
    connected = Connected(slack.INTEGRATION, settings, None)
    team.workspace.connected = {"slack": connected}
    value = deeds.button(team.workspace, "send", ask_about_ann(team))

    assert [pressing(team, payload(value), secret=secret).status_code for secret in (SECRET, "")] == [401, 401]
    team.workspace.connected = {}
    assert pressing(team, payload(value)).status_code == 404


def test_a_deed_about_nobody_is_told_and_leaves_its_link_unused(house: House) -> None:
    deed = deeds.read(house.workspace, "snooze", deeds.token(house.workspace, "snooze", "cus_nobody"))
    assert deed is not None

    with pytest.raises(Problems):
        deeds.do(house.workspace, deed, "Bea")
    assert deeds.used(house.workspace, deed) is None
    assert house.browser().get(path(house, "snooze", "cus_nobody")).status_code == 404


def test_the_way_to_slack_is_no_hook(house_at: Callable[..., House]) -> None:
    assert house_at().browser().get("/slack/actions").status_code == 405
