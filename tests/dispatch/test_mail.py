"""Mails: every ending of a sending has its own outcome."""

from __future__ import annotations

from pathlib import Path

from tests.dispatch.business import VALUES, Business
from worker.dispatch.letters import Templates
from worker.lib import assets
from worker.lib.clock import HOUR


def test_every_mail_says_how_to_get_no_more_of_them(here: Business) -> None:
    contact_id = here.enter()
    here.go_live(contact_id)
    effect_id = here.queue_mail(contact_id)

    here.turn(pulls=False)

    (mail,) = here.mailbox.messages
    link = mail.headers["list-unsubscribe"].strip("<>")
    assert mail.headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert link.startswith("https://keepwell.example/unsubscribe/")
    assert here.workspace.signed(link.rpartition("/")[2]) == effect_id
    assert link in mail.text
    assert "1 Loopback Lane" in mail.text
    assert mail.message_id.startswith(f"<{effect_id}@")


# -- how a sending ends -------------------------------------------------------------------------------------------------


def ready(here: Business, *names: str) -> list[str]:
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    return [here.queue_mail(contact_id) for contact_id in contacts]


def test_a_recipient_who_does_not_exist_stops_nobody_else(here: Business) -> None:
    here.mailbox.refuse("bob@customer.example")
    ada, bob, cyd = ready(here, "Ada", "Bob", "Cyd")

    done = here.turn(pulls=False)

    assert done.mails == {"sent": 2, "failed": 1}
    assert [here.effect(one)["state"] for one in (ada, bob, cyd)] == ["done", "failed", "done"]
    assert "550" in here.effect(bob)["reason"]


def test_a_mail_that_cannot_be_written_stops_nobody_else(here: Business) -> None:
    contacts = [here.enter("Ada"), here.enter("Bob")]
    here.go_live(contacts[0])
    odd = here.queue_mail(contacts[0], values={"usage_days": "3"})
    fine = here.queue_mail(contacts[1])

    here.turn(pulls=False)

    assert (here.effect(odd)["state"], here.effect(fine)["state"]) == ("failed", "done")
    assert "usage_last" in here.effect(odd)["reason"]


def test_a_mail_whose_answer_was_lost_is_unknown_and_never_sent_again(here: Business) -> None:
    here.mailbox.drop_next()
    (effect_id,) = ready(here)
    for _ in range(5):
        here.turn(pulls=False)
        here.clock.sleep(HOUR)

    assert here.effect(effect_id)["state"] == "unknown"
    assert len(here.mailbox.messages) == 1


def test_a_mail_that_is_not_taken_now_is_tried_later_with_growing_waits(here: Business) -> None:
    here.mailbox.refuse_next("ada@customer.example", *["451 4.7.1 Greylisted"] * 2)
    (effect_id,) = ready(here)

    here.turn(pulls=False)
    first = here.effect(effect_id)["due_at"] - here.now
    here.clock.sleep(first)
    here.turn(pulls=False)
    second = here.effect(effect_id)["due_at"] - here.now

    assert 0 < first < second
    assert here.effect(effect_id)["state"] == "waiting"
    here.clock.sleep(second)
    here.turn(pulls=False)
    assert here.effect(effect_id)["state"] == "done"
    assert len(here.mailbox.messages) == 1


def test_a_mail_may_be_in_the_owners_name_from_the_address_of_the_business(here: Business, tmp_path: Path) -> None:
    head = (assets.folder("templates") / "email" / "usage-drop.md").read_text("utf-8")
    (tmp_path / "personal.md").write_text(head.replace("+++\n", '+++\nsender = "owner"\n', 1), "utf-8")
    here.workspace.templates = Templates([assets.folder("templates") / "email", tmp_path])
    ada, bob = here.enter("Ada"), here.enter("Bob")
    here.go_live(ada)
    here.queue_mail(ada, template="personal", values={**VALUES, "sender_name": "Olga Owner"})
    here.queue_mail(bob, template="personal")

    here.turn(pulls=False)

    by_owner, by_business = here.mailbox.messages
    assert by_owner.headers["from"] == "Olga Owner <ann@engines.example>"
    assert "\nOlga Owner\n" in by_owner.text
    assert by_business.headers["from"] == "Ann Keeper <ann@engines.example>"


def test_a_template_that_was_taken_away_fails_that_mail_alone(here: Business) -> None:
    contact_id = here.enter()
    here.go_live(contact_id)
    effect_id = here.queue_mail(contact_id, template="long-gone", values=VALUES)

    here.turn(pulls=False)

    assert here.effect(effect_id)["state"] == "failed"
