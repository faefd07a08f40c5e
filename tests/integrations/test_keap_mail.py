"""Mails by Keap, each once and to whom it is meant, and Keap's history of those that left by another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations._keap_mail import LISTED, SLACK, KeapHistory, KeapMailer, batches, plain
from integrations.keap import INTEGRATION, KeapSettings
from tests.conftest import START
from worker.facts import Delivery
from worker.integration import Letter, Logged, Sought
from worker.lib.clock import HOUR, VirtualClock
from worker.lib.http import GiveUp, Http, Retry, Unsure
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.keap_mails import _MERGE

LETTER = Letter(
    message_id="<eff_1@acme.example>", sender="Cleo of Acme <hello@business.example>", reply_to="cleo@acme.example",
    to="ada@engines.example", to_name="Ada", subject="Your exports stopped", text="Dear Ada, …", html="<p>Dear Ada</p>",
    unsubscribe_url="https://us.example/u/1", effect_id="eff_1",
)  # fmt: skip


def options(**more: Any) -> KeapSettings:
    return KeapSettings.model_validate({"key": "KeapAK-sandbox", **more})


def letter(contact_id: str, /, **more: Any) -> Letter:
    return replace(LETTER, contact_id=contact_id, **more)


def sought(contact_id: str, /, **more: Any) -> Sought:
    one = Sought(LETTER.message_id, LETTER.effect_id, LETTER.to, contact_id, LETTER.subject, START)
    return replace(one, **more)


@pytest.fixture
def mailer(http: Http, clock: VirtualClock) -> KeapMailer:
    return KeapMailer(http, options(), clock)


# -- sending ----------------------------------------------------------------------------------------------------------


def test_a_letter_leaves_keap_for_the_address_it_is_for(keap: PretendKeap, mailer: KeapMailer, ada: str) -> None:
    reference = mailer.send(letter(ada))

    (mail,) = keap.mails_to(ada, LETTER.subject)
    assert (reference, mail.to, mail.sent_from) == (LETTER.message_id, LETTER.to, "hello@business.example")
    assert (mail.plain, mail.html) == (LETTER.text, LETTER.html)


def test_it_can_leave_in_the_name_of_a_user(keap: PretendKeap, http: Http, clock: VirtualClock, ada: str) -> None:
    KeapMailer(http, options(mail_user_id="1"), clock).send(letter(ada))

    assert keap.mails_to(ada)[0].sent_from == "olga@business.example"


def test_a_second_address_of_the_contact_is_written_to_as_such(keap: PretendKeap, mailer: KeapMailer, ada: str) -> None:
    keap.contacts[ada].emails.append({"email": "Bills@Engines.example", "field": "EMAIL2"})
    keap.address("bills@engines.example", "SINGLE_OPT_IN")

    mailer.send(letter(ada, to="bills@engines.example"))

    assert [mail.to for mail in keap.mails_to(ada)] == ["Bills@Engines.example"]


@pytest.mark.parametrize(
    ("contact_id", "to", "status", "why"),
    [
        ("", LETTER.to, "", "contacts only"),
        ("1;email==x", LETTER.to, "", "contacts only"),
        ("999", LETTER.to, "", "404"),
        ("ada", "former@engines.example", "", "does not have the address former@engines.example"),
        ("ada", LETTER.to, "MANUAL", "its status there is MANUAL"),
    ],
)
def test_what_keap_would_not_deliver_is_given_up_with_the_reason(
    keap: PretendKeap, mailer: KeapMailer, ada: str, contact_id: str, to: str, status: str, why: str
) -> None:
    if status:
        keap.set_opt_status(ada, status)

    with pytest.raises(GiveUp, match=why):
        mailer.send(letter(ada if contact_id == "ada" else contact_id, to=to))

    assert (keap.mails, keap.unwanted, keap.writes()) == ({}, 0, 0)


def test_a_sender_that_is_not_authenticated_is_told(keap: PretendKeap, mailer: KeapMailer, ada: str) -> None:
    with pytest.raises(GiveUp, match="not authenticated"):
        mailer.send(letter(ada, sender="Us <us@elsewhere.example>"))


def test_what_looks_like_a_merge_field_of_keaps_arrives_as_it_was_written(
    keap: PretendKeap, mailer: KeapMailer, ada: str
) -> None:
    mailer.send(
        letter(ada, subject="~Contact.Email~ or\nnot", text="at ~Contact.LastName~, ~50", html="<p>~Contact.Id~")
    )

    (mail,) = keap.mails_to(ada)
    assert mail.subject == "˜Contact.Email~ or not"
    assert (mail.plain, mail.html) == ("at ˜Contact.LastName~, ~50", "<p>&#126;Contact.Id&#126;")


@given(st.text("~.aB_0 \n"))
def test_no_text_holds_a_merge_field(words: str) -> None:
    assert not _MERGE.search(plain(words))
    assert plain(words).replace("˜", "~") == words


def test_a_limit_is_waited_for_and_the_mail_leaves_once(keap: PretendKeap, mailer: KeapMailer, ada: str) -> None:
    keap.faults.planned = ["429_with_retry_after", "", "429_bare"]

    mailer.send(letter(ada))

    assert len(keap.mails_to(ada)) == 1


def test_before_the_mail_is_handed_over_a_failure_can_be_tried_again(
    keap: PretendKeap, mailer: KeapMailer, ada: str
) -> None:
    keap.faults.planned = ["500"] * 6

    with pytest.raises(Retry):
        mailer.send(letter(ada))


# -- of which nobody knows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["500", "html", "half_body"])
def test_a_mail_without_an_answer_is_in_doubt_and_not_sent_again(
    keap: PretendKeap, mailer: KeapMailer, ada: str, clock: VirtualClock, fault: str
) -> None:
    keap.faults.planned = ["", fault]

    with pytest.raises(Unsure):
        mailer.send(letter(ada))

    assert mailer.find(sought(ada)) is None, "it may still be on its way"
    clock.sleep(LISTED + 60)
    assert mailer.find(sought(ada)) == ""


def test_a_mail_that_left_though_the_answer_got_lost_is_found(
    keap: PretendKeap, mailer: KeapMailer, ada: str, clock: VirtualClock
) -> None:
    keap.lose_next_answers = 1
    with pytest.raises(Unsure):
        mailer.send(letter(ada, subject="Hello\t ~Contact.Id~"))

    assert mailer.find(sought(ada, subject="Hello\t ~Contact.Id~")) == keap.mails_to(ada)[0].id
    assert len(keap.mails_to(ada)) == 1


def test_no_other_mail_is_taken_for_it(keap: PretendKeap, mailer: KeapMailer, http: Http, ada: str, clock: VirtualClock) -> None:  # fmt: skip
    bob = keap.add_contact("Bob", "B", "bob@b.example")
    keap.log_email(ada, LETTER.subject, START - SLACK - 1)
    keap.log_email(ada, "Another subject", START)
    keap.log_email(bob, LETTER.subject, START)
    KeapHistory(http, None, clock).log([logged(ada)])
    clock.sleep(2 * HOUR)

    assert mailer.find(sought(ada)) == ""


def test_where_there_is_nothing_to_look_for_it_says_so(mailer: KeapMailer, ada: str) -> None:
    assert mailer.find(sought("")) == "", "without a contact nothing was handed over"
    assert mailer.find(sought(ada, subject="")) is None


# -- the history ------------------------------------------------------------------------------------------------------


def logged(contact_id: str, number: int = 1) -> Logged:
    return Logged(
        f"eff_{number}", contact_id, "Us <us@acme.example>", LETTER.to, LETTER.subject, "text é", "<p>html", START - 60
    )


@pytest.fixture
def history(http: Http, clock: VirtualClock) -> KeapHistory:
    return KeapHistory(http, None, clock)


def test_a_mail_that_left_elsewhere_stands_in_the_contact_s_history_once(
    keap: PretendKeap, history: KeapHistory, ada: str
) -> None:
    assert history.log([logged(ada)]) == {"eff_1": ""}
    assert history.log([logged(ada)]) == {"eff_1": ""}, "Keap takes an id once, and this one is ours"

    (mail,) = keap.mails_to(ada, LETTER.subject)
    assert (mail.to, mail.sent_from, mail.sent_at) == (LETTER.to, "us@acme.example", START - 60)
    assert (mail.plain, mail.html) == ("text é", "<p>html")


def test_one_that_keap_refuses_does_not_keep_the_others_out(keap: PretendKeap, history: KeapHistory, ada: str) -> None:
    found = history.log([logged(ada, 1), logged("999", 2), logged("", 3), logged(ada, 4)])

    assert (found["eff_1"], found["eff_2"], found["eff_4"]) == ("", "Contact not found", "")
    assert "has none" in found["eff_3"]
    assert len(keap.mails_to(ada)) == 2


def test_a_thousand_go_at_once(keap: PretendKeap, history: KeapHistory, ada: str) -> None:
    found = history.log([logged(ada, number) for number in range(1001)])

    assert set(found.values()) == {""}
    assert keap.writes() == 2


def test_a_call_is_neither_too_long_nor_too_heavy() -> None:
    mails = [replace(logged("1", number), html="x" * weight) for number, weight in enumerate([9, 9, 9, 5_000_000, 9])]

    assert [len(batch) for batch in batches(mails, 2)] == [2, 1, 1, 1]


def test_a_lost_answer_is_told_and_what_was_noted_before_it_stays(
    keap: PretendKeap, http: Http, ada: str, clock: VirtualClock
) -> None:
    history = KeapHistory(http, None, clock, at_once=1)
    mails = [logged(ada, number) for number in range(2)]
    keap.lose_next_answers = 1
    with pytest.raises(Unsure):
        history.log(mails)

    keap.faults.planned = ["", "500"]
    found = history.log(mails)
    assert (found["eff_0"], "500" in found["eff_1"]) == ("", True)
    assert history.log(mails) == {"eff_0": "", "eff_1": ""}
    assert len(keap.mails_to(ada)) == 2


def test_what_we_noted_ourselves_is_no_news_and_what_keap_sent_is(
    keap: PretendKeap, history: KeapHistory, mailer: KeapMailer, http: Http, ada: str, clock: VirtualClock
) -> None:
    history.log([logged(ada)])
    mailer.send(letter(ada, subject="By Keap"))
    clock.sleep(HOUR)
    pull = next(one for one in INTEGRATION.pulls if one.stream == "emails")
    assert INTEGRATION.parse is not None

    (page,) = pull.fetch(http, None, None, int(clock.now()))
    parsed = INTEGRATION.parse(Delivery("dlv_1", "keap", "emails", "x", page.body, START), options())

    (sent,) = [fact for sighting in parsed.sightings for fact in sighting.facts]
    assert (sent.kind, sent.source_id) == ("mail_sent", f"email:{keap.mails_to(ada, 'By Keap')[0].id}:sent")
    assert parsed.refused == ()
