"""Slack, against a pretend Slack over real HTTP: what the team reads, and what nobody can slip in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations.slack import LONGEST_SECTION, SlackChannel, SlackSettings, connect, escaped, message
from worker.effects import Alert, Button, Line
from worker.lib.clock import VirtualClock
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.sandbox.servers.slack import PretendSlack

URL = "https://hooks.slack.com/services/T0/B0/tell-nobody"
ALERT = Alert("cus_1", "Engines Ltd turned red", "2 invoices unpaid", "https://keepwell.example/customers/cus_1")


@pytest.fixture
def slack(clock: VirtualClock) -> Iterator[PretendSlack]:
    server = PretendSlack(clock)
    server.start()
    yield server
    server.stop()


def channel(url: str, clock: VirtualClock) -> SlackChannel:
    settings = SlackSettings.model_validate({"url": url})
    return SlackChannel(connect(settings, clock), settings)


def test_the_team_reads_who_why_and_where_to_look(slack: PretendSlack, clock: VirtualClock) -> None:
    channel(slack.webhook_url, clock).send(ALERT)

    (read,) = slack.messages
    assert read.text == "Engines Ltd turned red: 2 invoices unpaid"
    assert [block["text"]["text"] for block in read.blocks] == [
        "*Engines Ltd turned red*",
        "2 invoices unpaid",
        "<https://keepwell.example/customers/cus_1|Open in Keepwell>",
    ]


def test_a_customer_s_name_calls_nobody_and_links_nowhere() -> None:
    told = message(Alert("cus_1", "<!channel> & Sons", "see <https://evil.example|here>", "javascript:alert(1)"))

    assert "<" not in json.dumps(told)
    assert told["text"] == "&lt;!channel&gt; &amp; Sons: see &lt;https://evil.example|here&gt;"
    assert all(block["text"]["verbatim"] for block in told["blocks"])
    assert len(told["blocks"]) == 2


SEND = Button("Send", "https://k.example/deeds/send/t?a=1&b=2", "send/t", "Send “Your week” to <Ada>?")
REFUSE = Button("Refuse", "https://k.example/deeds/refuse/t")
MORNING = Alert(
    "", "Good morning", "", "", (Line("<Ada>\nwaits", "https://k.example/a", (SEND, REFUSE)), Line("And 2 tasks."))
)


def test_what_nobody_would_hear_of_is_a_link_and_no_button() -> None:
    told = message(MORNING)

    assert [block["type"] for block in told["blocks"]] == ["section"] * 3
    assert told["blocks"][1]["text"]["text"] == (
        "&lt;Ada&gt; waits · <https://k.example/a|Open> · <https://k.example/deeds/send/t?a=1&amp;b=2|Send>"
        " · <https://k.example/deeds/refuse/t|Refuse>"
    )


def test_a_button_carries_its_deed_and_asks_first() -> None:
    told = message(MORNING, presses=True)

    assert [block["type"] for block in told["blocks"]] == ["section", "section", "actions", "section"]
    assert told["blocks"][1]["text"]["text"].endswith("<https://k.example/deeds/refuse/t|Refuse>")
    (button,) = told["blocks"][2]["elements"]
    assert button["value"] == "send/t"
    assert button["confirm"]["text"] == {"type": "plain_text", "text": "Send “Your week” to <Ada>?", "emoji": False}
    assert told["text"] == "Good morning: &lt;Ada&gt; waits"


@given(
    st.lists(
        st.builds(
            Line,
            st.text(),
            st.text(),
            st.lists(st.builds(Button, st.text(), st.text(), st.text(max_size=500), st.text()), max_size=3),
        ),
        max_size=40,
    )
)
def test_no_message_grows_beyond_what_slack_takes(lines: list[Line]) -> None:
    for presses in (True, False):
        blocks = message(Alert("", "Good morning", "", "", lines), presses=presses)["blocks"]
        assert len(blocks) <= 50
        assert all(0 < len(block["text"]["text"]) <= LONGEST_SECTION for block in blocks if block["type"] == "section")
        for button in (one for block in blocks if block["type"] == "actions" for one in block["elements"]):
            assert 0 < len(button["text"]["text"]) <= 75
            assert len(button.get("confirm", {}).get("text", {}).get("text", "")) <= 300


@given(st.text(), st.integers(1, 400))
def test_no_words_hold_a_sign_of_slack_s_or_grow_too_long(words: str, longest: int) -> None:
    safe = escaped(words, longest)

    assert len(safe) <= longest
    assert not {"<", ">"} & set(safe)
    assert safe.count("&") == safe.count("&amp;") + safe.count("&lt;") + safe.count("&gt;")


def test_a_long_story_is_cut_to_what_slack_takes(slack: PretendSlack, clock: VirtualClock) -> None:
    channel(slack.webhook_url, clock).send(Alert("cus_1", "Long\nstory", "& " * 5000))

    assert all(len(block["text"]["text"]) <= LONGEST_SECTION for block in slack.messages[0].blocks)


@pytest.mark.parametrize("fault", ["429_bare", "429_with_retry_after"])
def test_a_message_that_came_too_early_is_sent_once_later(slack: PretendSlack, clock: VirtualClock, fault: str) -> None:
    slack.faults.planned = [fault]
    channel(slack.webhook_url, clock).send(ALERT)

    assert len(slack.messages) == 1


@pytest.mark.parametrize("fault", ["500", "html", "half_body"])
def test_a_message_that_may_have_been_shown_is_not_sent_again_blindly(
    slack: PretendSlack, clock: VirtualClock, fault: str
) -> None:
    slack.faults.planned = [fault]

    with pytest.raises(Unsure):
        channel(slack.webhook_url, clock).send(ALERT)
    assert len(slack.calls) == 1


def test_a_webhook_that_was_removed_says_how_to_make_a_new_one(slack: PretendSlack, clock: VirtualClock) -> None:
    with pytest.raises(Reconnect, match=r"404 no_service: .* make a new one") as caught:
        channel(f"{slack.base_url}/services/T0/B0/tell-nobody", clock).send(ALERT)
    assert "tell-nobody" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "invalid_payload", GiveUp),
        (403, "action_prohibited", Reconnect),
        (410, "channel_is_archived", Reconnect),
        (302, "redirects", GiveUp),
    ],
)
@responses.activate
def test_slack_s_words_are_passed_on_without_the_secret(
    clock: VirtualClock, status: int, word: str, kind: type[Failure]
) -> None:
    responses.post(URL, body=word, status=status)

    with pytest.raises(kind, match=word) as caught:
        channel(URL, clock).send(ALERT)
    assert "tell-nobody" not in str(caught.value)


def test_a_slack_that_cannot_be_reached_may_be_tried_later_and_its_address_is_not_told(clock: VirtualClock) -> None:
    with pytest.raises(Retry) as caught:
        channel("http://127.0.0.1:9/services/T0/B0/tell-nobody", clock).send(ALERT)
    assert "tell-nobody" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "hooks.slack.com/services/T0/tell-nobody", "https://hooks.slack.com", "http://hooks.slack.com/tell-nobody"],
)
def test_what_is_no_safe_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SlackSettings.model_validate({"url": url})
    assert "tell-nobody" not in str(caught.value)
    assert "tell-nobody" not in repr(SlackSettings.model_validate({"url": URL}))
