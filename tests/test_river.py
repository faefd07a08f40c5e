"""One turn of the wheel: in `watch` nothing leaves, the first pass is silent, and a pause stops everything outward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import START
from tests.dispatch.business import Business, business
from worker import controls
from worker.dispatch import alerts, outbox
from worker.effects import Alert
from worker.lib.clock import DAY, HOUR


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


def prosper(here: Business, contact_id: str) -> None:
    binds = {"id": here.customer(contact_id), "at": here.now - 180 * DAY}
    here.store.run("update customers set first_at = :at where id = :id", binds)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 90 * DAY)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 89 * DAY, value=-1)
    here.uses(contact_id, 90)


def outward(here: Business) -> tuple[int, int, int]:
    """(calls that wrote to Keap or Slack, mails, messages to the team)."""
    return here.keap.writes() + here.slack.writes(), len(here.mailbox.messages), len(here.slack.messages)


def test_in_watch_nothing_leaves_however_much_happens(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    prosper(here, ada)
    changes = 0
    for _ in range(40):
        here.clock.sleep(DAY)
        changes += here.turn().assessed.changes

    assert changes >= 1
    assert outward(here) == (0, 0, 0)
    assert here.store.value("select count(*) as n from effects") == 0


def test_what_waited_in_one_mode_is_let_go_in_another(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    mail = here.queue_mail(ada)
    standing = here.show(ada, "green")
    controls.set_mode(here.workspace, "watch")
    controls.set_mode(here.workspace, "live")

    here.turn(pulls=False)

    assert (here.effect(mail)["state"], here.effect(standing)["state"]) == ("replaced", "replaced")
    assert here.mailbox.messages == []


def test_a_pause_stops_everything_outward_and_loses_nothing(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    before = outward(here)
    here.queue_mail(ada)
    here.show(ada, "green")
    outbox.put(here.store, Alert(here.customer(ada), "Ada turned red", ""), "alert", here.now)
    controls.set_paused(here.workspace.store, START, paused=True)
    here.turn(pulls=False)
    assert outward(here) == before

    controls.set_paused(here.workspace.store, START, paused=False)
    here.turn(pulls=False)

    assert len(here.mailbox.messages) == 1
    assert len(here.slack.messages) == 1
    assert here.shown(ada)[0] == {"Health: green"}


def test_a_pause_in_the_midst_of_the_alerts_stops_the_rest(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    for number in range(3):
        outbox.put(here.store, Alert(here.customer(ada), f"{number}", ""), f"alert:{number}", here.now)
    alerter = here.workspace.alerter
    assert alerter is not None

    done = alerts.send_waiting(here.store, alerter, here.clock, stop=lambda: len(here.slack.messages) >= 1)

    assert done == {"sent": 1}


def test_a_team_channel_that_is_unwell_holds_up_neither_the_crm_nor_the_mails(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    for number in range(20):
        outbox.put(here.store, Alert(here.customer(ada), f"{number}", ""), f"alert:{number}", here.now)
    here.show(ada, "green")
    here.queue_mail(ada)
    here.slack.faults.planned += ["429_bare"] * 500
    before = here.now

    done = here.turn(pulls=False)

    assert done.alerts == {"later": 1}
    assert here.now - before < 5 * 60
    assert here.shown(ada)[0] == {"Health: green"}
    assert len(here.mailbox.messages) == 1
    here.slack.faults.planned.clear()
    here.clock.sleep(HOUR)
    here.turn(pulls=False)
    assert len(here.slack.messages) == 20


def test_an_alert_that_may_have_been_posted_says_so_the_second_time(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    outbox.put(here.store, Alert(here.customer(ada), "Ada turned red", ""), "alert", here.now)
    here.slack.faults.planned += ["500"]
    here.turn(pulls=False)
    here.clock.sleep(HOUR)

    here.turn(pulls=False)

    assert [message.text for message in here.slack.messages] == ["(perhaps a repeat) Ada turned red"]
