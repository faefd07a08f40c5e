"""Twilio: text messages out to a pretend one with its errors; what became of them, answers and STOP in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations.twilio import INTEGRATION, TwilioSettings, TwilioTexter, connect, message
from tests.integrations.cases_twilio import CASE, SETTINGS, URL, form, sign
from tests.integrations.front import ADA, LETTER, Front, front, sought
from worker.facts import MailEvent, MailWord
from worker.integration import Refused
from worker.lib.clock import HOUR, VirtualClock, seconds
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Store
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.twilio import Message, PretendTwilio

PHONE, OTHER = "+4915112345678", "+4915112345679"
TEXT = replace(LETTER, to=PHONE, html="", subject="", text="Hello Ada, Zoë here")


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def twilio(clock: VirtualClock, faults: Faults) -> Iterator[PretendTwilio]:
    server = PretendTwilio(clock, faults)
    server.start()
    yield server
    server.stop()


def options(twilio: PretendTwilio, **more: Any) -> TwilioSettings:
    set_up = {
        "account_sid": twilio.account_sid, "auth_token": twilio.auth_token, "sender": twilio.number, "hook_url": URL,
        "base_url": twilio.base_url, "per_second": 100.0,
    }  # fmt: skip
    return TwilioSettings.model_validate(set_up | more)


def texting(twilio: PretendTwilio, clock: VirtualClock, **more: Any) -> TwilioTexter:
    settings = options(twilio, **more)
    return TwilioTexter(connect(settings, clock), settings, clock)


@pytest.fixture
def texter(twilio: PretendTwilio, clock: VirtualClock) -> TwilioTexter:
    return texting(twilio, clock)


@pytest.fixture
def here(twilio: PretendTwilio, sqlite_store: Store, clock: VirtualClock) -> Iterator[Front]:
    with front(INTEGRATION, options(twilio), sqlite_store, clock) as opened:
        opened.customer()
        twilio.inbound_url, twilio.tunnels = URL, {URL: opened.url}
        yield opened


# -- messages out -----------------------------------------------------------------------------------------------------


def test_a_message_leaves_with_the_address_for_what_becomes_of_it(twilio: PretendTwilio, texter: TwilioTexter) -> None:
    reference = texter.send(TEXT)

    (sent,) = twilio.messages
    assert (sent.sid, sent.to, sent.sender, sent.body) == (reference, PHONE, twilio.number, "Hello Ada, Zoë here")
    assert sent.status_callback == f"{URL}/eff_1"


def test_a_messaging_service_may_be_the_sender(twilio: PretendTwilio, clock: VirtualClock) -> None:
    texting(twilio, clock, sender=twilio.service).send(TEXT)

    assert twilio.messages[0].service == twilio.service


@pytest.mark.parametrize(
    ("change", "set_up", "kind", "said"),
    [
        ({"to": ADA}, {}, GiveUp, "no telephone number"),
        ({"to": "+0123456789"}, {}, GiveUp, "no telephone number"),
        ({"to": f"{PHONE},{OTHER}"}, {}, GiveUp, "no telephone number"),
        ({"to": "+٤٩١٥١١٢٣٤٥٦"}, {}, GiveUp, "no telephone number"),
        ({"text": " "}, {}, GiveUp, "1 to 1600"),
        ({"text": "x" * 1601}, {}, GiveUp, "1 to 1600"),
        ({"to": "+4930123456"}, {}, GiveUp, "21614"),
        ({"to": OTHER}, {}, GiveUp, "21610"),
        ({}, {"sender": "+15005550001"}, Reconnect, "is `sender` right"),
        ({}, {"auth_token": "tell-nobody"}, Reconnect, "Authenticate"),
    ],
)
def test_what_it_does_not_take_is_told_apart(
    twilio: PretendTwilio,
    clock: VirtualClock,
    change: dict[str, str],
    set_up: dict[str, str],
    kind: type[Failure],
    said: str,
) -> None:
    twilio.landlines, twilio.stopped = {"+4930123456"}, {OTHER}

    with pytest.raises(Failure, match=said) as caught:
        texting(twilio, clock, **set_up).send(replace(TEXT, **change))
    assert type(caught.value) is kind
    assert "tell-nobody" not in str(caught.value)
    assert twilio.messages == []


def test_a_busy_account_is_asked_again(twilio: PretendTwilio, texter: TwilioTexter, faults: Faults) -> None:
    faults.planned = ["429_bare", "429_bare"]
    texter.send(TEXT)

    assert len(twilio.messages) == 1


@pytest.mark.parametrize("fault", ["500", "half_body", "html"])
def test_an_answer_that_says_nothing_leaves_a_message_of_which_nobody_knows(
    twilio: PretendTwilio, texter: TwilioTexter, faults: Faults, fault: str
) -> None:
    faults.planned = [fault]

    with pytest.raises(Unsure):
        texter.send(TEXT)
    assert len(twilio.calls) == 1


@given(st.text(max_size=200))
def test_any_text_is_a_text(text: str) -> None:
    try:
        fields = message(replace(TEXT, text=text), SETTINGS)
    except ValueError:
        assert not text.replace("\0", "").strip()
    else:
        assert fields.keys() == {"To", "Body", "From", "StatusCallback"}
        fields["Body"].encode()


# -- a message in doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [False, True])
def test_a_message_in_doubt_is_found_by_whom_it_went_to_and_when(
    twilio: PretendTwilio, clock: VirtualClock, service: bool
) -> None:
    texter = texting(twilio, clock, **({"sender": twilio.service} if service else {}))
    texter.send(TEXT)
    texter.send(replace(TEXT, to=OTHER))
    clock.sleep(HOUR)
    twilio.arrives(PHONE, "Who is there?")
    twilio.lose = 1
    with pytest.raises(Unsure):
        texter.send(TEXT)
    tried_at = seconds(clock)
    clock.sleep(HOUR)

    assert texter.find(sought(to=PHONE, tried_at=tried_at)) == twilio.messages[-1].sid
    assert texter.find(sought(to=PHONE, tried_at=tried_at - HOUR // 2)) == ""
    assert texter.find(sought(to="+4915100000000", tried_at=tried_at)) == ""


def test_that_a_message_never_left_is_said_after_a_while_only(
    twilio: PretendTwilio, texter: TwilioTexter, clock: VirtualClock
) -> None:
    tried_at = seconds(clock)
    with pytest.raises(Retry, match="may not have listed"):
        texter.find(sought(to=PHONE, tried_at=tried_at))
    clock.sleep(120)

    assert texter.find(sought(to=PHONE, tried_at=tried_at)) == ""


def test_where_more_is_listed_than_was_looked_at_nobody_can_tell(
    twilio: PretendTwilio, texter: TwilioTexter, clock: VirtualClock
) -> None:
    tried_at = seconds(clock)
    clock.sleep(HOUR)
    for _ in range(101):
        twilio.messages.append(Message("SM" + "0" * 32, twilio.now, PHONE, twilio.number, "", "another"))

    assert texter.find(sought(to=PHONE, tried_at=tried_at)) is None


# -- what comes in ----------------------------------------------------------------------------------------------------


def _sent(twilio: PretendTwilio, texter: TwilioTexter, here: Front, **more: Any) -> tuple[Message, str]:
    """A message of ours that has left, as the vendor and as the outbox know it."""
    effect_id = here.sends(PHONE, key=f"{len(twilio.messages)}")
    reference = texter.send(replace(TEXT, effect_id=effect_id, **more))
    here.store.run("update effects set reference = :it where id = :id", {"it": reference, "id": effect_id})
    return twilio.messages[-1], effect_id


def test_what_becomes_of_a_message_comes_in_under_our_own_name(
    twilio: PretendTwilio, texter: TwilioTexter, here: Front
) -> None:
    text, effect_id = _sent(twilio, texter, here)
    for status in ("queued", "sent", "delivered", "read"):
        twilio.becomes(text, status)
    twilio.deliver_hooks(duplicate=0.5)
    taken = here.take_in()

    assert (taken.mail_events, taken.parked, taken.unknown) == (2, 0, 0)
    assert here.facts() == [("mail_opened", "keepwell")]
    (delivered, *_) = (one for one in here.parsed().mail_events if one.word is MailWord.DELIVERED)
    assert delivered == MailEvent(
        MailWord.DELIVERED, seconds(here.clock), f"{text.sid}:delivered", PHONE, effect_id, text.sid
    )


@pytest.mark.parametrize(
    ("status", "error", "said", "stops"),
    [
        ("undelivered", 30005, [("mail_bounced", "hard")], True),
        ("undelivered", 30006, [("mail_bounced", "hard")], True),
        ("undelivered", 30003, [("mail_bounced", "soft")], False),
        ("failed", 30007, [("mail_bounced", "soft")], False),
        ("failed", 21610, [("opted_out", "text messages")], True),
    ],
)
def test_what_did_not_arrive_ends_a_number_only_where_none_ever_will(
    twilio: PretendTwilio,
    texter: TwilioTexter,
    here: Front,
    status: str,
    error: int,
    said: list[tuple[str, str]],
    stops: bool,
) -> None:
    text, _ = _sent(twilio, texter, here)
    twilio.becomes(text, status, error)
    twilio.deliver_hooks()
    here.take_in()

    assert here.facts() == said
    assert here.stopped(PHONE) is stops


@pytest.mark.parametrize(
    "words", ["STOP", " stop ", "Unsubscribe", "STOPALL", "end", "Quit", "cancel", "REVOKE", "OptOut"]
)
def test_stop_stops_text_messages_to_that_number_and_no_mail(
    twilio: PretendTwilio, texter: TwilioTexter, here: Front, words: str
) -> None:
    _sent(twilio, texter, here)
    twilio.arrives(PHONE, words)
    twilio.deliver_hooks()
    here.take_in()

    assert here.facts() == [("opted_out", "text messages")]
    assert (here.stopped(PHONE), here.stopped(ADA), here.stopped(OTHER)) == (True, False, False)


def test_stop_in_a_language_that_advanced_opt_out_knows(
    twilio: PretendTwilio, texter: TwilioTexter, here: Front
) -> None:
    _sent(twilio, texter, here)
    twilio.arrives(PHONE, "ARRET", opt_out_type="STOP")
    twilio.deliver_hooks()
    here.take_in()

    assert here.stopped(PHONE)


@pytest.mark.parametrize("words", ["Stop please, I am driving", "Thank you!", "START", "HELP", ""])
def test_any_other_message_is_an_answer_and_is_not_stored(
    twilio: PretendTwilio, texter: TwilioTexter, here: Front, words: str
) -> None:
    here.store.run("update customers set name = 'Ada'")
    _sent(twilio, texter, here)
    twilio.arrives(PHONE, words)
    twilio.deliver_hooks()
    here.take_in()

    assert here.facts() == [("mail_replied", "")]
    assert not here.stopped(PHONE)
    assert not words or words not in here.bodies()


def test_start_opens_twilio_s_door_and_not_ours(twilio: PretendTwilio, texter: TwilioTexter, here: Front) -> None:
    _sent(twilio, texter, here)
    for words in ("STOP", "START"):
        twilio.arrives(PHONE, words)
    twilio.deliver_hooks()
    here.take_in()

    assert here.stopped(PHONE)
    assert twilio.stopped == set()


def test_who_was_never_written_to_may_say_stop_too(twilio: PretendTwilio, here: Front) -> None:
    twilio.arrives(OTHER, "STOP")
    twilio.arrives("whatsapp:+4915112345678", "Hello")
    twilio.deliver_hooks()
    taken = here.take_in()

    assert here.stopped(OTHER)
    assert here.facts() == []
    assert taken.unknown == 1


def test_a_message_in_doubt_is_settled_by_what_became_of_it(
    twilio: PretendTwilio, texter: TwilioTexter, here: Front
) -> None:
    effect_id = here.sends(PHONE, state="unknown")
    twilio.lose = 1
    with pytest.raises(Unsure):
        texter.send(replace(TEXT, effect_id=effect_id))
    twilio.becomes(twilio.messages[0], "delivered")
    twilio.deliver_hooks()
    here.take_in()

    row = here.effect(effect_id)
    assert (row["state"], row["reference"]) == ("done", twilio.messages[0].sid)
    assert twilio.sent_twice() == []


def test_any_order_and_any_repeating_tell_the_same(twilio: PretendTwilio, texter: TwilioTexter, here: Front) -> None:
    text, _ = _sent(twilio, texter, here)
    here.clock.sleep(60)
    for status in ("sent", "delivered", "read"):
        twilio.becomes(text, status)
    twilio.arrives(PHONE, "Thanks")
    twilio.arrives(PHONE, "STOP")
    random.Random(5).shuffle(twilio._waiting)
    twilio.deliver_hooks(duplicate=0.9, reorder=0.5)
    here.take_in()

    assert here.facts() == [("mail_opened", "keepwell"), ("mail_replied", ""), ("opted_out", "text messages")]


# -- who is believed --------------------------------------------------------------------------------------------------


def test_the_signature_of_twilio_s_own_example(twilio: PretendTwilio) -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+12349013030", "Digits": "1234", "From": "+12349013030",
        "To": "+18005551212",
    }  # fmt: skip
    twilio.auth_token = "12345"

    assert twilio.signature("https://mycompany.com/myapp.php?foo=1&bar=2", fields) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


@pytest.mark.parametrize("signed_for", [URL, "https://keepwell.example:443/hooks/twilio"])
def test_with_or_without_the_usual_port_the_address_is_the_same(signed_for: str) -> None:
    assert INTEGRATION.verify is not None
    for hook_url in (URL, "https://keepwell.example:443/hooks/twilio"):
        settings = SETTINGS.model_copy(update={"hook_url": hook_url})
        incoming = sign(form(MessageStatus="delivered"), url=signed_for, name="eff_1")
        assert '"effect_id": "eff_1"' in INTEGRATION.verify(incoming, settings, 0).body


@pytest.mark.parametrize(
    "signed_for",
    ["http://keepwell.example/hooks/twilio", "https://keepwell.example/hooks/twilio/", "https://evil.example/hooks/twilio", "https://keepwell.example:8443/hooks/twilio"],
)  # fmt: skip
def test_what_was_signed_for_another_address_is_refused(signed_for: str) -> None:
    assert INTEGRATION.verify is not None
    with pytest.raises(Refused, match="does not match"):
        INTEGRATION.verify(sign(form(MessageStatus="delivered"), url=signed_for), SETTINGS, 0)


def test_our_own_name_of_a_message_is_signed_too() -> None:
    assert INTEGRATION.verify is not None
    whole = sign(form(MessageStatus="delivered"), name="eff_1")
    for forged in ("eff_2", "", "eff_1/", "EFF_1"):
        with pytest.raises(Refused, match="does not match"):
            INTEGRATION.verify(replace(whole, secret=forged), SETTINGS, 0)


def test_where_no_address_is_set_nobody_is_believed() -> None:
    assert INTEGRATION.verify is not None
    with pytest.raises(Refused, match="set hook_url first"):
        INTEGRATION.verify(sign(CASE.known, url=""), SETTINGS.model_copy(update={"hook_url": ""}), 0)


@given(st.binary(max_size=120))
def test_no_form_makes_it_stumble(body: bytes) -> None:
    assert INTEGRATION.verify is not None
    with pytest.raises(Refused):
        INTEGRATION.verify(sign(body), SETTINGS, 0)


# -- settings and check -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["keepwell.example/hooks/twilio", "https://keepwell.example/hooks/twilio?x=1", "ftp://a/b"]
)
def test_an_address_that_is_none_is_told(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no address of a hook"):
        TwilioSettings.model_validate(SETTINGS.model_dump() | {"hook_url": wrong})


def test_the_check_says_whose_account_it_is(twilio: PretendTwilio, clock: VirtualClock) -> None:
    settings = options(twilio, hook_url="")
    assert INTEGRATION.check is not None

    lines = list(INTEGRATION.check(connect(settings, clock), settings))
    assert lines[0] == "Connected to the Twilio account Sandbox"
    assert "No hook_url is set" in lines[1]
