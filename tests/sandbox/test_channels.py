"""The pretend Postmark, SES and Twilio refuse what the real ones refuse, where our own clients never go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pytest
import requests

from worker.lib.clock import VirtualClock
from worker.sandbox.servers.base import PretendVendor
from worker.sandbox.servers.postmark import PretendPostmark
from worker.sandbox.servers.ses import PretendSes
from worker.sandbox.servers.twilio import PretendTwilio

_V = TypeVar("_V", bound=PretendVendor)


@pytest.fixture
def postmark(clock: VirtualClock) -> Iterator[PretendPostmark]:
    yield from _started(PretendPostmark(clock))


@pytest.fixture
def ses(clock: VirtualClock) -> Iterator[PretendSes]:
    yield from _started(PretendSes(clock))


@pytest.fixture
def twilio(clock: VirtualClock) -> Iterator[PretendTwilio]:
    yield from _started(PretendTwilio(clock))


def _started(vendor: _V) -> Iterator[_V]:
    vendor.start()
    yield vendor
    vendor.stop()


MAIL = {"From": "a@b.example", "To": "ada@engines.example", "Subject": "Hi", "TextBody": "Hello"}


def test_postmark_judges_each_mail_of_a_batch_by_itself(postmark: PretendPostmark) -> None:
    headers = {"X-Postmark-Server-Token": postmark.token}
    batch = [MAIL, {**MAIL, "To": "nobody"}, {**MAIL, "MessageStream": "typo"}, {**MAIL, "Metadata": {"k" * 21: "v"}}]
    answer = requests.post(f"{postmark.base_url}/email/batch", json=batch, headers=headers, timeout=10)

    assert [one["ErrorCode"] for one in answer.json()] == [0, 300, 1235, 300]
    assert len(postmark.messages) == 1


@pytest.mark.parametrize("query", ["", "?count=5", "?count=5&offset=0&metadata_a=1&metadata_b=2"])
def test_postmark_s_search_wants_its_bounds_and_one_field_at_a_time(postmark: PretendPostmark, query: str) -> None:
    headers = {"X-Postmark-Server-Token": postmark.token}

    assert requests.get(f"{postmark.base_url}/messages/outbound{query}", headers=headers, timeout=10).status_code == 422


def test_postmark_counts_what_left_twice(postmark: PretendPostmark) -> None:
    headers = {"X-Postmark-Server-Token": postmark.token}
    for value in ("one", "two", "one"):
        mail = {**MAIL, "Metadata": {"keepwell": value}}
        requests.post(f"{postmark.base_url}/email", json=mail, headers=headers, timeout=10)

    assert postmark.sent_twice() == ["one"]


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer x", "AWS4-HMAC-SHA256 Credential=AKIASANDBOX/20260101/eu-west-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
    ],
)  # fmt: skip
def test_ses_answers_nobody_who_does_not_sign(ses: PretendSes, authorization: str) -> None:
    headers = {"Authorization": authorization, "X-Amz-Date": "20260101T000000Z"}
    answer = requests.post(f"{ses.base_url}/v2/email/outbound-emails", json={}, headers=headers, timeout=10)

    assert answer.status_code == 403
    assert ses.messages == []


def test_twilio_answers_nobody_without_the_token(twilio: PretendTwilio) -> None:
    url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}/Messages.json"
    for auth in (None, (twilio.account_sid, "wrong"), ("AC" + "0" * 32, twilio.auth_token)):
        assert requests.post(url, data={"To": "+15005550001", "Body": "x"}, auth=auth, timeout=10).status_code == 401
    assert twilio.messages == []


def test_twilio_lets_nothing_through_after_stop_until_start(twilio: PretendTwilio) -> None:
    url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}/Messages.json"

    def send() -> int:
        form = {"To": "+4915112345678", "Body": "Hello", "From": twilio.number}
        answer = requests.post(url, data=form, auth=(twilio.account_sid, twilio.auth_token), timeout=10)
        return int(answer.json().get("code", 0))

    answers = [send()]
    for words in ("Stop", "Unstop"):
        twilio.arrives("+4915112345678", words)
        answers.append(send())
    assert answers == [0, 21610, 0]
