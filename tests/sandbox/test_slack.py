"""The pretend Slack takes messages at one address and answers in Slack's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from worker.lib.clock import VirtualClock
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.slack import Message, PretendSlack


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def slack(clock: VirtualClock, faults: Faults) -> Iterator[PretendSlack]:
    slack = PretendSlack(clock, faults)
    slack.start()
    yield slack
    slack.stop()


def post(url: str, payload: Any) -> tuple[int, str]:
    answer = requests.post(url, json=payload, timeout=10)
    return answer.status_code, answer.text


def test_a_message_is_taken_and_kept_with_its_time(slack: PretendSlack, clock: VirtualClock) -> None:
    clock.sleep(60)
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "*Acme* turned red"}}

    assert post(slack.webhook_url, {"text": "Acme turned red", "blocks": [block]}) == (200, "ok")
    assert slack.messages == [Message(int(clock.now()), "Acme turned red", (block,))]


@pytest.mark.parametrize("path", ["/services/T0SANDBOX/B0SANDBOX/guessed", "/services/T0SANDBOX", "/"])
def test_any_other_address_is_no_service(slack: PretendSlack, path: str) -> None:
    assert post(slack.base_url + path, {"text": "hello"}) == (404, "no_service")
    assert slack.messages == []


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("hello", "invalid_payload"),
        ({"text": 7}, "invalid_payload"),
        ({"text": "hello", "blocks": "none"}, "invalid_payload"),
        ({"text": "hello", "blocks": [{"text": "no type"}]}, "invalid_payload"),
        ({"text": "hello", "blocks": [{"type": "divider"}] * 51}, "invalid_payload"),
        ({"text": " "}, "no_text"),
    ],
)
def test_a_payload_that_slack_cannot_show_is_refused(slack: PretendSlack, payload: Any, words: str) -> None:
    assert post(slack.webhook_url, payload) == (400, words)
    assert slack.messages == []


def test_a_message_that_met_a_limit_was_not_taken(slack: PretendSlack, faults: Faults) -> None:
    faults.planned = ["429_with_retry_after"]

    refused = requests.post(slack.webhook_url, json={"text": "hello"}, timeout=10)

    assert (refused.status_code, refused.text, refused.headers["Retry-After"]) == (429, "rate_limited", "1")
    assert slack.messages == []
    assert post(slack.webhook_url, {"text": "hello"}) == (200, "ok")
