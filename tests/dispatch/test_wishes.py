"""What an address has wished on its page is asked before each mail leaves."""

from __future__ import annotations

import pytest

from tests.dispatch.business import Business
from worker import approvals, preferences
from worker.app import create_app
from worker.lib.clock import DAY
from worker.plays.records import ask_person


@pytest.fixture
def waiting(anywhere: Business) -> str:
    """A mail that is due; gives its effect's id."""
    contact = anywhere.enter()
    anywhere.clock.sleep(300)
    anywhere.turn()
    anywhere.uses(contact, 20)
    anywhere.go_live(contact)
    return anywhere.queue_mail(contact)


def wish(here: Business, effect_id: str, **form: str) -> None:
    app = create_app(here.workspace)
    try:
        path = f"/unsubscribe/{here.workspace.sign(effect_id)}"
        assert app.test_client().post(path, data=form).status_code == 200
    finally:
        app.extensions["receiver"].close()


def test_a_purpose_that_is_not_wanted_is_not_sent(anywhere: Business, waiting: str) -> None:
    wish(anywhere, waiting, wish="topics", topic="marketing")

    anywhere.send_mails()

    assert anywhere.mailbox.messages == []
    assert ("suppression", "the address wants nothing of service") in anywhere.refusals()


def test_during_a_pause_nothing_is_sent(anywhere: Business, waiting: str) -> None:
    wish(anywhere, waiting, wish="pause")

    anywhere.send_mails()

    assert anywhere.mailbox.messages == []
    assert ("suppression", "the address has paused its mails until 31 January") in anywhere.refusals()


def test_who_starts_again_is_written_to_again(anywhere: Business, waiting: str) -> None:
    for one in ("pause", "stop", "again"):
        wish(anywhere, waiting, wish=one)

    anywhere.send_mails()

    assert len(anywhere.mailbox.messages) == 1


def test_a_pause_leaves_what_is_transactional(anywhere: Business, waiting: str) -> None:
    wish(anywhere, waiting, wish="pause")
    email = "ada@customer.example"
    found = preferences.wishes(anywhere.store, email, anywhere.now)
    anywhere.store.run(
        'update effects set payload = replace(payload, \'"purpose": "service"\', \'"purpose": "transactional"\')'
    )

    anywhere.send_mails()

    assert found.paused_until == anywhere.now + 30 * DAY
    assert len(anywhere.mailbox.messages) == 1


def test_a_mail_leaves_as_the_person_wrote_it_who_said_yes(anywhere: Business, waiting: str) -> None:
    anywhere.store.run("update effects set state = 'asked' where id = :id", {"id": waiting})
    ask_person(anywhere.store, waiting, "every message", anywhere.now)
    anywhere.send_mails()
    assert anywhere.mailbox.messages == []
    draft = approvals.find(anywhere.workspace, waiting).draft
    assert draft is not None

    approvals.send(anywhere.workspace, waiting, "Bea", "About your reports", f"{draft[1]}\n\nP.S. I **call** you.")
    anywhere.send_mails()

    (kept,) = anywhere.store.rows("select subject, body from messages")
    assert kept["subject"] == "About your reports"
    assert "P.S. I **call** you." in kept["body"]
    assert len(anywhere.mailbox.messages) == 1


def test_a_mail_that_a_person_refused_never_leaves(anywhere: Business, waiting: str) -> None:
    anywhere.store.run("update effects set state = 'asked' where id = :id", {"id": waiting})
    ask_person(anywhere.store, waiting, "every message", anywhere.now)

    approvals.refuse(anywhere.workspace, waiting, "Bea", "I talk to her")
    anywhere.send_mails()

    assert anywhere.mailbox.messages == []
    assert ("approval", "Bea said no: I talk to her") in anywhere.refusals()
