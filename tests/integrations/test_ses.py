"""Amazon SES: signed mails out to a pretend one with its errors, its events in by way of SNS, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations.ses import INTEGRATION, SesMailer, SesSettings, connect, mail, signature
from tests.integrations.cases_ses import CASE, SECRET, TOPIC, envelope, event
from tests.integrations.front import ADA, LETTER, Front, front, sought
from worker.facts import MailEvent, MailWord
from worker.integration import Incoming, Refused
from worker.lib.clock import VirtualClock, seconds
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Store
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.ses import Message, PretendSes


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def ses(clock: VirtualClock, faults: Faults) -> Iterator[PretendSes]:
    server = PretendSes(clock, faults, identities=("business.example",), configuration_sets=("plain", "news"))
    server.start()
    yield server
    server.stop()


def options(ses: PretendSes, **more: Any) -> SesSettings:
    set_up = {
        "region": ses.region, "access_key_id": ses.access_key_id, "secret_access_key": ses.secret, "hook_secret": SECRET,
        "topic_arn": ses.topic_arn, "configuration_set": "plain", "base_url": ses.base_url,
    }  # fmt: skip
    return SesSettings.model_validate(set_up | more)


def mailing(ses: PretendSes, clock: VirtualClock, **more: Any) -> SesMailer:
    settings = options(ses, **more)
    return SesMailer(connect(settings, clock), settings, clock)


@pytest.fixture
def mailer(ses: PretendSes, clock: VirtualClock) -> SesMailer:
    return mailing(ses, clock)


@pytest.fixture
def here(ses: PretendSes, sqlite_store: Store, clock: VirtualClock) -> Iterator[Front]:
    with front(INTEGRATION, options(ses), sqlite_store, clock) as opened:
        opened.customer()
        ses.hooks = [f"{opened.url}/{SECRET}"]
        yield opened


# -- signing ----------------------------------------------------------------------------------------------------------

VANILLA = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
FORM = {**VANILLA, "content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "headers", "body", "expected"),
    [
        ("GET", VANILLA, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", VANILLA, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("POST", FORM, "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ],
    ids=["get-vanilla", "post-vanilla", "post-x-www-form-urlencoded"],
)
def test_requests_of_amazon_s_own_test_suite_get_its_signatures(
    method: str, headers: dict[str, str], body: str, expected: str
) -> None:
    scope = "20150830/us-east-1/service/aws4_request"
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    assert signature(secret, scope, method, "/", headers, body) == expected


def test_a_key_that_is_not_theirs_wants_a_person_and_shows_nowhere(ses: PretendSes, clock: VirtualClock) -> None:
    for wrong in ({"secret_access_key": "tell-nobody"}, {"access_key_id": "AKIATELLNOBODY"}):
        with pytest.raises(Reconnect) as caught:
            mailing(ses, clock, **wrong).send(LETTER)
        assert "tell" not in str(caught.value).lower()
    assert ses.messages == []


def test_each_request_is_signed_for_its_own_moment(ses: PretendSes, mailer: SesMailer, clock: VirtualClock) -> None:
    mailer.send(LETTER)
    clock.sleep(3_600)
    mailer.send(replace(LETTER, effect_id="eff_2"))

    assert len(ses.messages) == 2


# -- mails out --------------------------------------------------------------------------------------------------------


def test_a_mail_leaves_with_all_that_belongs_to_it(ses: PretendSes, mailer: SesMailer) -> None:
    reference = mailer.send(LETTER)

    (sent,) = ses.messages
    assert sent.message_id == reference
    assert sent.body == {
        "FromEmailAddress": "Keepwell <hello@business.example>",
        "Destination": {"ToAddresses": ['"Ada, Countess" <ada@engines.example>']},
        "ReplyToAddresses": ["=?utf-8?q?Ann_=C3=96lund?= <ann@business.example>"],
        "Content": {
            "Simple": {
                "Subject": {"Data": "Your week", "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": "Hello Ada\nZoë", "Charset": "UTF-8"},
                    "Html": {"Data": "<p>Hello <b>Ada</b></p>", "Charset": "UTF-8"},
                },
                "Headers": [
                    {"Name": "List-Unsubscribe", "Value": "<https://keepwell.example/unsubscribe/abc?x=1>"},
                    {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
                ],
            }
        },
        "EmailTags": [{"Name": "keepwell", "Value": "eff_1"}],
        "ConfigurationSetName": "plain",
    }


@pytest.mark.parametrize(
    ("purpose", "chosen"), [("marketing", "news"), ("service", "plain"), ("transactional", "plain")]
)
def test_the_purpose_chooses_the_configuration_set(ses: PretendSes, purpose: str, chosen: str) -> None:
    settings = options(ses, marketing_configuration_set="news")

    assert mail(replace(LETTER, purpose=purpose), settings)["ConfigurationSetName"] == chosen
    assert "ConfigurationSetName" not in mail(LETTER, options(ses, configuration_set=""))


@pytest.mark.parametrize(
    ("change", "set_up", "kind", "said"),
    [
        ({"to": "ada"}, {}, GiveUp, "is no plain address"),
        ({"subject": ""}, {}, GiveUp, "BadRequest"),
        ({"effect_id": "no tag!"}, {}, GiveUp, "BadRequest"),
        ({"sender": "Ann <ann@elsewhere.example>"}, {}, Reconnect, "verify it in SES"),
        ({}, {"configuration_set": "typo"}, Reconnect, "are the configuration sets right"),
    ],
)
def test_what_it_does_not_take_is_told_apart(
    ses: PretendSes, clock: VirtualClock, change: dict[str, str], set_up: dict[str, str], kind: type[Failure], said: str
) -> None:
    with pytest.raises(Failure, match=said) as caught:
        mailing(ses, clock, **set_up).send(replace(LETTER, **change))

    assert type(caught.value) is kind
    assert ses.messages == []


def test_a_paused_account_wants_a_person(ses: PretendSes, mailer: SesMailer) -> None:
    ses.paused = True

    with pytest.raises(Reconnect, match="sending is paused"):
        mailer.send(LETTER)


def test_over_its_rate_a_mail_waits_for_a_later_turn_with_another_signature(
    ses: PretendSes, mailer: SesMailer, faults: Faults
) -> None:
    faults.planned = ["429_bare"]

    with pytest.raises(Retry, match="Maximum sending rate"):
        mailer.send(LETTER)
    assert len(ses.calls) == 1


@pytest.mark.parametrize("fault", ["500", "half_body", "html", "lost"])
def test_an_answer_that_says_nothing_leaves_a_mail_of_which_nobody_knows(
    ses: PretendSes, mailer: SesMailer, faults: Faults, fault: str
) -> None:
    if fault == "lost":
        ses.lose = 1
    else:
        faults.planned = [fault]

    with pytest.raises(Unsure):
        mailer.send(LETTER)
    assert len(ses.calls) == 1
    assert mailer.find(sought()) is None
    assert ses.sent_twice() == []


NASTY = st.text(
    st.sampled_from("\r\n\x00\x85\u2028\u202e\ud800\t \"'<>(),;:@\\=?ëb").map(str) | st.characters(), max_size=40
)


@given(subject=NASTY, name=NASTY, text=NASTY)
def test_no_text_of_a_customer_s_adds_a_header_or_a_recipient(subject: str, name: str, text: str) -> None:
    body = mail(replace(LETTER, subject=subject, to_name=name, text=text), CASE.settings)  # type: ignore[arg-type]

    (to,) = body["Destination"]["ToAddresses"]
    assert to.isascii()
    assert to.endswith("ada@engines.example>") or to == ADA
    assert not set("\r\n") & set(to + body["Content"]["Simple"]["Subject"]["Data"])
    assert len(body["Content"]["Simple"]["Headers"]) == 2
    json.dumps(body, ensure_ascii=False).encode()


# -- events in --------------------------------------------------------------------------------------------------------


def _sent(ses: PretendSes, mailer: SesMailer, here: Front, **more: Any) -> tuple[Message, str]:
    """A mail of ours that has left, as the vendor and as the outbox know it."""
    effect_id = here.sends(key=f"{len(ses.messages)}")
    reference = mailer.send(replace(LETTER, effect_id=effect_id, **more))
    here.store.run("update effects set reference = :it where id = :id", {"it": reference, "id": effect_id})
    return ses.messages[-1], effect_id


def test_every_event_comes_in_under_our_own_name(ses: PretendSes, mailer: SesMailer, here: Front) -> None:
    message, effect_id = _sent(ses, mailer, here)
    ses.said(message, "Send")
    ses.delivered(message)
    ses.opened(message)
    here.clock.sleep(60)
    ses.opened(message)
    ses.clicked(message, "https://keepwell.example/a?token=secret")
    ses.bounced(message, "Transient", "MailboxFull")
    ses.complained(message)
    ses.deliver_hooks(duplicate=0.5)
    taken = here.take_in()

    assert (taken.mail_events, taken.parked) == (6, 0)
    assert here.facts() == [
        ("mail_bounced", "soft"), ("mail_clicked", "keepwell"), ("mail_complained", ""), ("mail_opened", "keepwell"),
        ("mail_opened", "keepwell"),
    ]  # fmt: skip
    assert {row["effect_id"] for row in here.store.rows("select effect_id from mail_events")} == {effect_id}
    assert here.stopped(ADA)
    stored = here.bodies()
    assert not any(word in stored for word in ("Your week", "secret", "192.0.2", "Mozilla", "550", "smtp"))


def test_without_a_configuration_set_a_mail_is_recognised_by_amazon_s_name(
    ses: PretendSes, clock: VirtualClock, here: Front
) -> None:
    message, effect_id = _sent(ses, mailing(ses, clock, configuration_set=""), here)
    ses.bounced(message)
    ses.deliver_hooks()
    here.take_in()

    (told,) = here.parsed().mail_events
    assert (told.effect_id, told.reference, told.final) == ("", message.message_id, True)
    assert here.facts() == [("mail_bounced", "hard")]
    assert here.store.value("select effect_id from mail_events") == effect_id
    assert here.stopped(ADA)


@pytest.mark.parametrize(
    ("kind", "final"), [("Permanent", True), ("Transient", False), ("Undetermined", False)]
)  # fmt: skip
def test_only_a_permanent_bounce_ends_an_address(
    ses: PretendSes, mailer: SesMailer, here: Front, kind: str, final: bool
) -> None:
    message, _ = _sent(ses, mailer, here)
    ses.bounced(message, kind)
    ses.deliver_hooks()
    here.take_in()

    assert here.stopped(ADA) is final


def test_who_takes_a_complaint_back_has_not_complained(ses: PretendSes, mailer: SesMailer, here: Front) -> None:
    message, _ = _sent(ses, mailer, here)
    ses.complained(message, "not-spam")
    ses.deliver_hooks()

    assert here.take_in().mail_events == 0
    assert not here.stopped(ADA)


def test_a_mail_in_doubt_is_settled_by_its_events(ses: PretendSes, mailer: SesMailer, here: Front) -> None:
    effect_id = here.sends(state="unknown")
    ses.lose = 1
    with pytest.raises(Unsure):
        mailer.send(replace(LETTER, effect_id=effect_id))
    ses.delivered(ses.messages[0])
    ses.deliver_hooks()
    here.take_in()

    assert here.effect(effect_id)["state"] == "done"


def test_amazon_s_question_is_told_to_a_person_and_answered_by_nobody_else(ses: PretendSes, here: Front) -> None:
    ses.asks_to_confirm()
    ses.tries_the_topic()
    ses.deliver_hooks()
    taken = here.take_in()

    where = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    question = f"asks whether it may write here; to say yes, open {where}&TopicArn={ses.topic_arn}&Token=2336412f37"
    assert list(taken.reasons) == [question]
    assert taken.parked == 0
    assert here.store.value("select n from counters where name = 'unknown:ses:no event'") == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/?a", "https://sns.eu-west-1.amazonaws.com.evil.example/?a",
        "https://evil.example/sns.eu-west-1.amazonaws.com", "https://ann@sns.eu-west-1.amazonaws.com/", "javascript:alert(1)",
        "https://sns.eu-west-1.amazonaws.com:444/", "https://[", None, 5, "https://sns.eu-west-1.amazonaws.com/?a b",
    ],
)  # fmt: skip
def test_no_other_address_than_amazon_s_is_shown_to_be_opened(url: object) -> None:
    assert INTEGRATION.verify is not None
    body = envelope("…", Type="SubscriptionConfirmation", SubscribeURL=url)
    receipt = INTEGRATION.verify(Incoming({}, body, SECRET), CASE.settings, 0)

    assert json.loads(receipt.body)["SubscribeURL"] == ""


def test_what_another_topic_says_is_refused() -> None:
    assert INTEGRATION.verify is not None
    foreign = "arn:aws:sns:eu-west-1:999999999999:keepwell"
    for body in (
        envelope(event("Delivery"), TopicArn=foreign),
        envelope("…", Type="SubscriptionConfirmation", TopicArn=foreign),
    ):
        with pytest.raises(Refused, match="another topic") as caught:
            INTEGRATION.verify(Incoming({}, body, SECRET), CASE.settings, 0)
        assert caught.value.status == 401


@pytest.mark.parametrize(
    "odd",
    [
        {"eventType": "Bounce"}, {"eventType": "Open", "mail": []}, {"eventType": "Click", "mail": {"messageId": "1"}},
        {"eventType": "Bounce", "bounce": {"bouncedRecipients": "x"}, "mail": {"tags": {"keepwell": [{}]}}}, [], "text", 5,
        {"mail": {"tags": 5}}, {"eventType": {"a": 1}, "complaint": {"complainedRecipients": [5, None]}},
    ],
)  # fmt: skip
def test_an_event_of_an_odd_shape_stops_nobody_else(here: Front, odd: object) -> None:
    for name, message in (("odd", odd), ("good", event("Complaint", complainedRecipients=[{"emailAddress": ADA}]))):
        body = envelope(message if isinstance(message, str) else json.dumps(message), MessageId=name, TopicArn=TOPIC)
        assert INTEGRATION.verify is not None
        receipt = INTEGRATION.verify(Incoming({}, body, SECRET), here.settings, 0)
        here.receiver.receive("ses", "webhook", receipt)
    here.take_in()

    assert here.stopped(ADA)


def test_the_vocabulary_is_one(ses: PretendSes, mailer: SesMailer, here: Front) -> None:
    message, effect_id = _sent(ses, mailer, here)
    ses.delivered(message)
    ses.deliver_hooks()

    assert here.parsed().mail_events == (
        MailEvent(
            MailWord.DELIVERED,
            seconds(here.clock),
            f"{message.message_id}:delivery",
            ADA,
            effect_id,
            message.message_id,
        ),
    )


# -- settings and check -----------------------------------------------------------------------------------------------


def test_events_need_their_topic_named() -> None:
    with pytest.raises(ValidationError, match="go together"):
        SesSettings.model_validate(
            {"region": "eu-west-1", "access_key_id": "a", "secret_access_key": "b", "hook_secret": SECRET}
        )


def test_the_check_says_how_much_may_leave(ses: PretendSes, clock: VirtualClock) -> None:
    settings = options(ses, per_second=50.0)
    assert INTEGRATION.check is not None
    ses.paused = True

    lines = list(INTEGRATION.check(connect(settings, clock), settings))
    assert lines == [
        "Connected to Amazon SES in eu-west-1: 0 of 50,000 mails sent in 24 hours",
        "It lets 14 mails a second through; set per_second to that",
        "Sending is switched off for this account",
    ]
