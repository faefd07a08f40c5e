"""Postmark: mails out to a pretend server with its errors, its events in, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.postmark import INTEGRATION, PostmarkMailer, PostmarkSettings, connect, mail
from tests.integrations.cases_postmark import SECRET
from tests.integrations.front import ADA, LETTER, Front, front, sought
from worker.facts import MailEvent, MailWord
from worker.integration import Integration, Letter
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Store
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.postmark import Message, PretendPostmark


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def postmark(clock: VirtualClock, faults: Faults) -> Iterator[PretendPostmark]:
    server = PretendPostmark(clock, faults, senders=("business.example",))
    server.start()
    yield server
    server.stop()


def options(postmark: PretendPostmark, **more: Any) -> PostmarkSettings:
    set_up = {"token": postmark.token, "hook_secret": SECRET, "base_url": postmark.base_url}
    return PostmarkSettings.model_validate(set_up | more)


@pytest.fixture
def mailer(postmark: PretendPostmark, clock: VirtualClock) -> PostmarkMailer:
    settings = options(postmark)
    return PostmarkMailer(connect(settings, clock), settings, clock)


@pytest.fixture
def here(postmark: PretendPostmark, sqlite_store: Store, clock: VirtualClock) -> Iterator[Front]:
    with front(INTEGRATION, options(postmark), sqlite_store, clock) as opened:
        opened.customer()
        postmark.hooks = [f"{opened.url}/{SECRET}"]
        yield opened


# -- mails out --------------------------------------------------------------------------------------------------------


def test_a_mail_leaves_with_all_that_belongs_to_it(postmark: PretendPostmark, mailer: PostmarkMailer) -> None:
    reference = mailer.send(LETTER)

    (sent,) = postmark.messages
    assert sent.message_id == reference
    assert sent.body == {
        "From": '"Keepwell" <hello@business.example>',
        "To": '"Ada, Countess" <ada@engines.example>',
        "ReplyTo": '"Ann Ölund" <ann@business.example>',
        "Subject": "Your week",
        "TextBody": "Hello Ada\nZoë",
        "HtmlBody": "<p>Hello <b>Ada</b></p>",
        "MessageStream": "outbound",
        "Headers": [
            {"Name": "List-Unsubscribe", "Value": "<https://keepwell.example/unsubscribe/abc?x=1>"},
            {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
        ],
        "Metadata": {"keepwell": "eff_1"},
        "Tag": "usage-drop",
        "TrackOpens": False,
        "TrackLinks": "None",
    }


@pytest.mark.parametrize(
    ("purpose", "stream"), [("marketing", "news"), ("service", "outbound"), ("transactional", "outbound")]
)
def test_the_purpose_chooses_the_stream(postmark: PretendPostmark, purpose: str, stream: str) -> None:
    settings = options(postmark, marketing_stream="news")

    assert mail(replace(LETTER, purpose=purpose), settings)["MessageStream"] == stream


def test_tracking_is_a_setting(postmark: PretendPostmark) -> None:
    body = mail(LETTER, options(postmark, track_opens=True, track_links=True))

    assert (body["TrackOpens"], body["TrackLinks"]) == (True, "HtmlAndText")


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"to": "ada@engines"}, GiveUp, "300"),
        ({"to": "ada"}, GiveUp, "is no plain address"),
        ({"sender": "Ann <ann@elsewhere.example>"}, Reconnect, "no sender signature"),
        ({"unsubscribe_url": "javascript:x"}, GiveUp, "cannot be sent"),
        ({"text": "", "html": ""}, GiveUp, "300"),
    ],
)
def test_what_it_does_not_take_is_told_apart(
    postmark: PretendPostmark, mailer: PostmarkMailer, change: dict[str, str], kind: type[Failure], said: str
) -> None:
    with pytest.raises(Failure, match=said) as caught:
        mailer.send(replace(LETTER, **change))

    assert type(caught.value) is kind
    assert postmark.messages == []


def test_an_inactive_recipient_is_given_up(postmark: PretendPostmark, mailer: PostmarkMailer) -> None:
    postmark.inactive["outbound", ADA] = "HardBounce"

    with pytest.raises(GiveUp, match="406"):
        mailer.send(LETTER)


def test_a_stream_that_is_not_there_wants_a_person(postmark: PretendPostmark, clock: VirtualClock) -> None:
    settings = options(postmark, stream="typo")

    with pytest.raises(Reconnect, match="are stream and marketing_stream right"):
        PostmarkMailer(connect(settings, clock), settings, clock).send(LETTER)


def test_a_wrong_token_wants_a_person_and_shows_nowhere(postmark: PretendPostmark, clock: VirtualClock) -> None:
    settings = options(postmark, token="tell-nobody")

    with pytest.raises(Reconnect) as caught:
        PostmarkMailer(connect(settings, clock), settings, clock).send(LETTER)
    assert "tell-nobody" not in str(caught.value)


def test_a_busy_server_is_asked_again(postmark: PretendPostmark, mailer: PostmarkMailer, faults: Faults) -> None:
    faults.planned = ["429_with_retry_after", "429_bare"]
    mailer.send(LETTER)

    assert len(postmark.messages) == 1
    faults.planned = ["429_bare"] * 20
    with pytest.raises(Retry):
        mailer.send(LETTER)
    assert len(postmark.messages) == 1


@pytest.mark.parametrize("fault", ["500", "half_body", "html"])
def test_an_answer_that_says_nothing_leaves_a_mail_of_which_nobody_knows(
    postmark: PretendPostmark, mailer: PostmarkMailer, faults: Faults, fault: str
) -> None:
    faults.planned = [fault]

    with pytest.raises(Unsure):
        mailer.send(LETTER)
    assert len([call for call in postmark.calls if call.writes]) == 1


def test_a_server_that_is_not_there_may_be_tried_later(clock: VirtualClock) -> None:
    settings = PostmarkSettings.model_validate({"token": "x", "base_url": "http://127.0.0.1:9"})

    with pytest.raises(Retry, match="refused"):
        PostmarkMailer(connect(settings, clock), settings, clock).send(LETTER)


NASTY = st.text(
    st.sampled_from("\r\n\x00\x85\u2028\u202e\ud800\t \"'<>(),;:@\\=?ëb").map(str) | st.characters(), max_size=40
)


@given(subject=NASTY, name=NASTY, text=NASTY, sender=NASTY)
def test_no_text_of_a_customer_s_adds_a_header_or_a_recipient(subject: str, name: str, text: str, sender: str) -> None:
    settings = PostmarkSettings.model_validate({"token": "x"})
    letter = replace(LETTER, subject=subject, to_name=name, text=text)

    body = mail(letter, settings)
    assert parseaddr(body["To"])[1] == ADA
    assert not any(ord(letter) < 32 for field in ("To", "From", "Subject", "ReplyTo") for letter in body[field])
    assert len(body["Headers"]) == 2
    json.dumps(body, ensure_ascii=False).encode()
    with contextlib.suppress(ValueError):
        assert "@" in parseaddr(mail(replace(letter, sender=f"{sender} <a@b.example>"), settings)["From"])[1]


# -- a mail in doubt --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["marketing", "service"])
def test_a_mail_in_doubt_is_found_by_our_own_name(
    postmark: PretendPostmark, mailer: PostmarkMailer, clock: VirtualClock, purpose: str
) -> None:
    mailer.send(replace(LETTER, effect_id="eff_2"))
    postmark.lose = 1
    with pytest.raises(Unsure):
        mailer.send(replace(LETTER, purpose=purpose))

    found = mailer.find(sought(tried_at=seconds(clock)))
    assert found == postmark.messages[1].message_id
    assert postmark.sent_twice() == []


def test_that_a_mail_never_left_is_said_after_a_while_only(
    postmark: PretendPostmark, mailer: PostmarkMailer, clock: VirtualClock
) -> None:
    mailer.send(replace(LETTER, effect_id="eff_2"))
    tried_at = seconds(clock)
    with pytest.raises(Retry, match="may not have listed"):
        mailer.find(sought(tried_at=tried_at))
    clock.sleep(120)

    assert mailer.find(sought(tried_at=tried_at)) == ""
    clock.sleep(8 * DAY)
    assert mailer.find(sought(tried_at=tried_at)) is None


# -- events in --------------------------------------------------------------------------------------------------------


def _sent(postmark: PretendPostmark, mailer: PostmarkMailer, here: Front, **more: Any) -> tuple[Message, str]:
    """A mail of ours that has left, as the vendor and as the outbox know it."""
    effect_id = here.sends(key=f"{len(postmark.messages)}")
    reference = mailer.send(replace(LETTER, effect_id=effect_id, **more))
    here.store.run("update effects set reference = :it where id = :id", {"it": reference, "id": effect_id})
    return postmark.messages[-1], effect_id


def test_every_event_comes_in_under_our_own_name(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, effect_id = _sent(postmark, mailer, here)
    postmark.delivered(message)
    postmark.opened(message)
    here.clock.sleep(60)
    postmark.opened(message)
    postmark.clicked(message, "https://keepwell.example/a?token=secret")
    postmark.bounced(message, "Transient")
    postmark.answered(message, "That is private.")
    postmark.deliver_hooks()
    taken = here.take_in()

    assert taken.mail_events == 6
    assert taken.parked == 0
    assert here.facts() == [
        ("mail_bounced", "soft"), ("mail_clicked", "keepwell"), ("mail_opened", "keepwell"), ("mail_opened", "keepwell"),
        ("mail_replied", ""),
    ]  # fmt: skip
    assert {row["effect_id"] for row in here.store.rows("select effect_id from mail_events")} == {effect_id}
    assert not here.stopped(ADA)
    assert [one.at for one in here.parsed().mail_events][:2] == [seconds(here.clock) - 60] * 2


def test_nothing_that_people_wrote_or_where_they_are_is_stored(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, _ = _sent(postmark, mailer, here, subject="Your private week")
    for tell in (postmark.opened, postmark.bounced, postmark.unsubscribed):
        tell(message)
    postmark.clicked(message, "https://keepwell.example/a?token=secret")
    postmark.answered(message, "That is private.")
    postmark.deliver_hooks()

    stored = here.bodies()
    assert not any(word in stored for word in ("private", "secret", "203.0.113", "Mozilla", "San Francisco", "550"))


@pytest.mark.parametrize(
    ("kind", "said", "stops"),
    [
        ("HardBounce", [("mail_bounced", "hard")], True),
        ("BadEmailAddress", [("mail_bounced", "hard")], True),
        ("SoftBounce", [("mail_bounced", "soft")], False),
        ("Blocked", [("mail_bounced", "soft")], False),
        ("SpamComplaint", [("mail_complained", "")], True),
        ("AutoResponder", [], False),
        ("SomethingNew", [("mail_bounced", "soft")], False),
    ],
)
def test_each_kind_of_bounce_is_told_once(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front, kind: str, said: list[tuple[str, str]], stops: bool
) -> None:
    message, _ = _sent(postmark, mailer, here)
    postmark.bounced(message, kind)
    postmark.deliver_hooks(duplicate=1.0)
    here.take_in()

    assert here.facts() == said
    assert here.stopped(ADA) is stops


def test_who_unsubscribes_at_postmark_is_not_written_to_and_nobody_there_can_undo_it(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, _ = _sent(postmark, mailer, here, purpose="marketing")
    postmark.unsubscribed(message)
    postmark.reactivated(message)
    postmark.deliver_hooks()
    here.take_in()

    assert here.facts() == [("opted_out", "mail")]
    assert here.stopped(ADA)


@pytest.mark.parametrize("domain", ["mtasv.net", "mail.business.example"])
def test_an_answer_names_what_it_answers(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front, domain: str
) -> None:
    first, first_id = _sent(postmark, mailer, here)
    _sent(postmark, mailer, here)
    postmark.answered(first, In_Reply_To=f"<{first.message_id.upper()}@{domain}>")
    postmark.deliver_hooks()
    here.take_in()

    assert here.store.rows("select effect_id from mail_events") == [{"effect_id": first_id}]


def test_that_postmark_may_write_again_says_nothing(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, _ = _sent(postmark, mailer, here)
    postmark.reactivated(message)
    postmark.deliver_hooks()

    assert here.take_in().mail_events == 0
    assert not here.stopped(ADA)


def test_a_machine_s_answer_is_no_answer(postmark: PretendPostmark, mailer: PostmarkMailer, here: Front) -> None:
    message, _ = _sent(postmark, mailer, here)
    postmark.answered(message, Auto_Submitted="auto-replied")
    postmark.deliver_hooks()

    assert here.take_in().mail_events == 0
    postmark.answered(message, Auto_Submitted="no")
    postmark.deliver_hooks()
    assert here.take_in().mail_events == 1


def test_a_mail_in_doubt_is_settled_by_its_events(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    effect_id = here.sends(state="unknown")
    postmark.lose = 1
    with pytest.raises(Unsure):
        mailer.send(replace(LETTER, effect_id=effect_id))
    postmark.delivered(postmark.messages[0])
    postmark.deliver_hooks()
    here.take_in()

    row = here.effect(effect_id)
    assert (row["state"], row["reference"]) == ("done", postmark.messages[0].message_id)


def test_any_order_and_any_repeating_tell_the_same(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, _ = _sent(postmark, mailer, here)
    for tell in (postmark.delivered, postmark.opened, postmark.bounced, postmark.unsubscribed, postmark.answered):
        tell(message)
        here.clock.sleep(5)
    random.Random(3).shuffle(postmark._waiting)
    postmark.deliver_hooks(duplicate=0.8, reorder=0.5)
    here.take_in()

    assert sorted({one.source_id for one in here.parsed().mail_events}) == sorted(
        row["source_id"] for row in here.store.rows("select source_id from mail_events")
    )
    assert here.facts() == [
        ("mail_bounced", "hard"), ("mail_opened", "keepwell"), ("mail_replied", ""), ("opted_out", "mail"),
    ]  # fmt: skip


def test_what_comes_to_another_address_is_refused_and_sent_again_for_hours(
    postmark: PretendPostmark, mailer: PostmarkMailer, here: Front
) -> None:
    message, _ = _sent(postmark, mailer, here)
    postmark.hooks = [f"{here.url}/not-the-secret-at-all", here.url]
    postmark.bounced(message)
    postmark.deliver_hooks(attempts=2)

    assert (postmark.hooks_accepted, postmark.hooks_sent) == (0, 8)
    assert here.bodies() == ""


# -- check ------------------------------------------------------------------------------------------------------------


def test_the_check_says_whose_server_it_is(postmark: PretendPostmark, clock: VirtualClock) -> None:
    settings = options(postmark, hook_secret=None)
    assert INTEGRATION.check is not None

    lines = list(INTEGRATION.check(connect(settings, clock), settings))
    assert lines[0] == "Connected to the Postmark server Sandbox"
    assert "No hook_secret is set" in lines[1]


def test_it_plays_the_role_of_a_mailer(postmark: PretendPostmark, clock: VirtualClock) -> None:
    integration: Integration = INTEGRATION
    settings = options(postmark)
    assert integration.mailer is not None
    mailer = integration.mailer(connect(settings, clock), settings, clock)

    letter: Letter = LETTER
    assert mailer.send(letter)
    assert mailer.deduplicates is False
    mailer.close()


def test_the_vocabulary_is_one(postmark: PretendPostmark, mailer: PostmarkMailer, here: Front) -> None:
    message, effect_id = _sent(postmark, mailer, here)
    postmark.bounced(message)
    postmark.deliver_hooks()

    first, second = here.parsed().mail_events
    expected = MailEvent(
        MailWord.BOUNCED, seconds(here.clock), f"{message.message_id}:bounced", ADA, effect_id, message.message_id,
        final=True, detail="HardBounce",
    )  # fmt: skip
    assert (first, second) == (expected, expected)
