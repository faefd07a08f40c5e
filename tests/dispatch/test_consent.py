"""Everything is asked again at the moment of sending, of the CRM too: nobody who has opted out is written to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import START
from tests.dispatch.business import Business
from worker import controls
from worker.dispatch import outbox
from worker.effects import Lane
from worker.lib.clock import DAY, HOUR
from worker.plays import records as plays


def ready(here: Business) -> str:
    """One customer whose mail waits in a live workspace."""
    contact_id = here.enter()
    here.go_live(contact_id)
    return contact_id


def test_a_mail_that_may_leave_leaves_with_the_basis_for_it(anywhere: Business) -> None:
    contact_id = ready(anywhere)
    effect_id = anywhere.queue_mail(contact_id)

    done = anywhere.turn(pulls=False)

    (mail,) = anywhere.mailbox.messages
    assert done.mails == {"sent": 1}
    assert anywhere.effect(effect_id)["state"] == "done"
    row = anywhere.store.row("select * from messages")
    assert row is not None
    assert (row["effect_id"], row["email"], row["basis"]) == (
        effect_id, "ada@customer.example", "CRM opt-in status SINGLE_OPT_IN",
    )  # fmt: skip
    assert mail.subject == row["subject"] == "Is reports still doing its job?"


def test_an_opt_out_that_no_pull_brings_is_seen_before_the_mail_leaves(anywhere: Business) -> None:
    contact_id = ready(anywhere)
    effect_id = anywhere.queue_mail(contact_id)
    anywhere.clock.sleep(HOUR)
    anywhere.turn(dispatch=False)  # the pull sees nothing: an opt-out does not move update_time
    anywhere.keap.set_opt_status(contact_id, "LIST_UNSUBSCRIBE")
    anywhere.turn(dispatch=False)

    anywhere.turn(pulls=False)

    assert anywhere.mailbox.messages == []
    assert anywhere.effect(effect_id)["state"] == "refused"
    assert anywhere.refusals() == [("consent", "the opt-in status is LIST_UNSUBSCRIBE")]


def test_where_the_crm_cannot_be_read_no_mail_leaves_and_none_is_lost(here: Business) -> None:
    contact_id = ready(here)
    effect_id = here.queue_mail(contact_id)
    here.keap.faults.planned += ["500"] * 30

    broken = here.turn(pulls=False)

    assert here.mailbox.messages == []
    assert here.effect(effect_id)["state"] == "waiting"
    assert "the mails wait" in broken.troubles["keap opt-in"]
    here.keap.faults.planned.clear()
    here.turn(pulls=False)
    assert len(here.mailbox.messages) == 1


def test_a_contact_that_is_gone_from_the_crm_gets_no_mail(here: Business) -> None:
    contact_id = ready(here)
    here.queue_mail(contact_id)
    here.keap.delete_contact(contact_id)

    here.turn(pulls=False)

    assert here.mailbox.messages == []
    assert here.refusals() == [("consent", "the opt-in status is gone from the CRM")]


def test_an_address_that_was_changed_in_the_crm_gets_no_mail_any_more(here: Business) -> None:
    contact_id = ready(here)
    here.queue_mail(contact_id)
    here.keap.change_email(contact_id, "new@customer.example")

    here.turn(pulls=False)

    assert here.mailbox.messages == []
    assert here.refusals() == [("consent", "no opt-in is recorded for this address")]


def test_many_mails_cost_one_question_to_the_crm(here: Business) -> None:
    contacts = [here.enter(f"Ada{number}") for number in range(20)]
    here.go_live(contacts[0])
    here.turn(pulls=False, everyone=True)
    for contact_id in contacts:
        here.queue_mail(contact_id)
    before = len(here.keap.calls)

    here.turn(pulls=False)

    questions = [call for call in here.keap.calls[before:] if call.path.endswith("/contacts")]
    assert len(here.mailbox.messages) == 20
    assert len(questions) == 1


def unsubscribes(here: Business, contact_id: str) -> None:
    plays.suppress(here.store, "Ada@customer.example", "asked for no more mail", here.now)


def has_an_urgent_ticket(here: Business, contact_id: str) -> None:
    here.happens(contact_id, "open_ticket", label="urgent")


def disputes_a_charge(here: Business, contact_id: str) -> None:
    here.happens(contact_id, "open_dispute")


def got_a_mail_from_the_crm(here: Business, contact_id: str) -> None:
    here.happens(contact_id, "mail_sent", label="crm")


def leaves(here: Business, contact_id: str) -> None:
    here.happens(contact_id, "left", label="by choice")


def waits_too_long(here: Business, contact_id: str) -> None:
    here.clock.sleep(5 * DAY)


def is_switched_to_watch(here: Business, contact_id: str) -> None:
    plays.set_switch(here.store, "mode", "watch", here.now)


@pytest.mark.parametrize(
    ("meanwhile", "state", "rule"),
    [
        (unsubscribes, "refused", "suppression"),
        (has_an_urgent_ticket, "refused", "suppression"),
        (disputes_a_charge, "refused", "suppression"),
        (leaves, "refused", "identity"),
        (waits_too_long, "refused", "goal"),
        (got_a_mail_from_the_crm, "refused", "frequency"),  # the mail would be stale by the time it might go
    ],
)
def test_what_comes_between_queueing_and_sending_stops_the_mail(
    here: Business, meanwhile: Callable[[Business, str], None], state: str, rule: str
) -> None:
    contact_id = ready(here)
    effect_id = here.queue_mail(contact_id)
    meanwhile(here, contact_id)

    here.turn(pulls=False)

    assert here.mailbox.messages == []
    assert here.effect(effect_id)["state"] == state
    assert [found for found, _ in here.refusals()] == [rule]
    assert here.effect(effect_id)["reason"].startswith(f"{rule}: ")


def test_a_mail_that_must_wait_says_why_and_loses_no_attempt(here: Business) -> None:
    contact_id = ready(here)
    effect_id = here.queue_mail(contact_id, expires_at=here.now + 60 * DAY)
    got_a_mail_from_the_crm(here, contact_id)
    sent = here.now
    for _ in range(10):
        here.turn(pulls=False)
        here.clock.sleep(HOUR)

    row = here.effect(effect_id)

    assert (row["state"], row["attempts"], row["due_at"]) == ("waiting", 0, sent + 7 * DAY)
    assert row["reason"] == "frequency: the last mail went 0 days ago; the limit is one in 7"
    here.clock.move_to(sent + 7 * DAY)
    here.turn(pulls=False)
    assert len(here.mailbox.messages) == 1


def test_a_pause_stops_the_mails_that_are_left_and_a_resume_lets_them_go(here: Business) -> None:
    contact_id = ready(here)
    effect_id = here.queue_mail(contact_id)
    controls.set_paused(here.workspace.store, START, paused=True)
    here.turn(pulls=False)
    assert here.mailbox.messages == []

    controls.set_paused(here.workspace.store, START, paused=False)
    here.turn(pulls=False)

    assert here.effect(effect_id)["state"] == "done"


@pytest.mark.parametrize("state", ["sending", "unknown"])
@pytest.mark.parametrize("whose", ["the customer's", "another customer's with the same address"])
def test_a_mail_that_may_have_left_counts_as_one_that_did(here: Business, state: str, whose: str) -> None:
    contact_id, other = here.enter(), here.enter("Bob")
    here.go_live(contact_id)
    first = here.queue_mail(contact_id if whose == "the customer's" else other, key="first")
    here.store.run("update effects set target = 'ada@customer.example' where id = :id", {"id": first})
    outbox.claim_letter(here.store, first, here.now)
    if state == "unknown":
        outbox.finish(here.store, first, "unknown", here.now)
    second = here.queue_mail(contact_id, key="second")

    here.turn(pulls=False)

    assert here.mailbox.messages == []
    expected = {"sending": ("waiting", []), "unknown": ("refused", ["frequency"])}[state]
    assert (here.effect(second)["state"], [rule for rule, _ in here.refusals()]) == expected


def test_what_cannot_be_read_is_an_objection_and_stops_nobody_else(here: Business) -> None:
    odd, fine = here.enter(), here.enter("Bob")
    here.go_live(odd)
    here.queue_mail(odd)
    good = here.queue_mail(fine)
    here.store.run("update customers set time_zone = 'Mars/Olympus' where id = :id", {"id": here.customer(odd)})

    here.send_mails()

    assert [mail.to for mail in here.mailbox.messages] == ["bob@customer.example"]
    assert here.effect(good)["state"] == "done"
    assert [rule for rule, _ in here.refusals()] == ["unreadable"]


def test_while_nobody_knows_of_the_last_mail_of_a_play_its_next_step_waits_and_says_so(here: Business) -> None:
    contact_id = ready(here)
    first = here.queue_mail(contact_id, key="first")
    outbox.claim(here.store, Lane.MAIL, here.now)
    outbox.finish(here.store, first, "unknown", here.now)
    second = here.queue_mail(contact_id, key="second", step="again")
    # What is owed to the customer is not held by the cap, which the letter in doubt counts for as well.
    here.store.run("""update effects set payload = replace(payload, '"service"', '"transactional"')""")

    here.turn(pulls=False)

    assert here.mailbox.messages == []
    assert here.effect(second)["state"] == "waiting"
    assert [rule for rule, _ in here.refusals()] == ["repeat"]
