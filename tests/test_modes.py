"""What leaves in which mode: drafts never, an act of a kind once a person has released it, a backfill only when told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dispatch.business import Business, business
from worker import controls
from worker.dispatch import backfill, outbox
from worker.effects import Alert
from worker.lib.clock import DAY, HOUR
from worker.lib.problems import Problems
from worker.lib.store import Row
from worker.plays import modes


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


def prosper(here: Business, contact_id: str) -> None:
    """A customer for half a year who uses the product every day, and pays late now and then."""
    binds = {"id": here.customer(contact_id), "at": here.now - 180 * DAY}
    here.store.run("update customers set first_at = :at where id = :id", binds)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 90 * DAY)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 89 * DAY, value=-1)
    here.uses(contact_id, 90)


def seen(here: Business, *names: str) -> list[str]:
    """Customers after the silent first pass, one of whom has been the canary; the workspace watches."""
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.clock.sleep(300)
    here.turn(dispatch=False, pulls=True)
    for contact_id in contacts:
        prosper(here, contact_id)
    here.turn(pulls=False, everyone=True)
    here.try_canary(contacts[0])
    return contacts


def outward(here: Business) -> tuple[int, int, int]:
    """(calls that wrote to Keap or Slack, mails, messages to the team), by the vendors' own records."""
    return here.keap.writes() + here.slack.writes(), len(here.mailbox.messages), len(here.slack.messages)


def effects(here: Business, state: str) -> list[Row]:
    return here.store.rows("select * from effects where state = :state order by id", {"state": state})


def payload(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["payload"])
    return found


def next_day(here: Business, days: int = 1) -> None:
    for _ in range(days):
        here.clock.sleep(DAY)
        here.turn()


# -- draft ------------------------------------------------------------------------------------------------------------


def test_in_draft_everything_is_decided_and_nobody_outside_can_tell(here: Business) -> None:
    ada, bob = seen(here, "Ada", "Bob")
    before = outward(here)
    controls.set_mode(here.workspace, "draft")
    here.happens(ada, "payment_failed")
    here.happens(ada, "unpaid_invoice")
    next_day(here)
    told = controls.pooled(here.store, "draft")
    assert any(one["what"].startswith("mail failed-payment to ada@customer.example") for one in told)
    next_day(here, 42)  # both use it no more, and turn red

    assert outward(here) == before
    drafts = effects(here, "draft")
    assert {row["kind"] for row in drafts} >= {"standing", "alert"}
    assert sorted(payload(row)["contact_id"] for row in drafts if row["kind"] == "standing") == [ada, bob]
    states = {row["state"] for row in here.store.rows("select state from effects")}
    assert states == {"draft", "replaced", "refused"}  # a newer draft, or too old to be news


def test_drafts_are_let_go_and_what_the_crm_shall_show_is_decided_anew(here: Business) -> None:
    (ada,) = seen(here)
    controls.set_mode(here.workspace, "draft")
    here.happens(ada, "payment_failed")
    next_day(here)
    shown = controls.mode_would(here.workspace, "live")
    controls.set_mode(here.workspace, "live")

    next_day(here)

    assert effects(here, "draft") == []
    assert here.shown(ada)[1] != ""
    assert here.mailbox.messages == []  # a draft of yesterday is old news
    assert any("Let go of: 4 drafts of play:failed-payment, as mail failed-payment to ada" in line for line in shown)


# -- approve ----------------------------------------------------------------------------------------------------------


def test_in_approve_nothing_leaves_before_its_kind_is_released(here: Business) -> None:
    (ada,) = seen(here)
    before = outward(here)
    controls.set_mode(here.workspace, "approve")
    here.happens(ada, "payment_failed")
    outbox.put(here.store, Alert(here.customer(ada), "Ada", ""), "alert", here.now, state="held")
    next_day(here, 3)

    assert outward(here) == before
    kinds = {one.name: one for one in controls.kinds(here.workspace)}
    assert kinds["play:failed-payment"].n == 4  # a notice, its two reminders, and a task in the end
    assert "mail failed-payment to ada@customer.example" in kinds["play:failed-payment"].cases[0]
    assert kinds["alert"].cases == ("tell the team: Ada",)
    assert kinds["field:band"].cases == (f"contact {ada}: Health band 'green'",)
    assert not any(name.startswith("tag:") for name in kinds)  # nobody has changed band since nothing left


def test_a_released_kind_leaves_and_the_others_stay(here: Business) -> None:
    (ada,) = seen(here)
    controls.set_mode(here.workspace, "approve")
    outbox.put(here.store, Alert(here.customer(ada), "Ada", ""), "alert", here.now, state="held")
    here.happens(ada, "payment_failed")
    next_day(here)

    assert controls.release(here.workspace, "alert", "Olga") == 1
    here.turn(pulls=False)

    assert [message.text for message in here.slack.messages] == ["Ada"]
    assert {row["play"] for row in effects(here, "held") if row["kind"] == "mail"} == {"failed-payment"}
    (alert,) = [one for one in controls.kinds(here.workspace) if one.name == "alert"]
    assert (alert.n, alert.released_by) == (0, "Olga")
    assert controls.release(here.workspace, "alert", "Otto") == 0


def test_of_a_contact_only_the_released_places_are_written(here: Business) -> None:
    (ada,) = seen(here)
    here.store.run("delete from backfill")
    controls.set_mode(here.workspace, "approve")
    next_day(here)
    assert here.shown(ada) == (set(), "", "")

    for kind, shows in (("field:band", (set(), "green", "")), ("tag:green", ({"Health: green"}, "green", ""))):
        controls.release(here.workspace, kind, "Olga")
        here.turn(pulls=False)
        assert here.shown(ada) == shows

    here.show(ada, "red", "12")
    here.turn(pulls=False)
    assert here.shown(ada) == (set(), "red", "")  # green is ours to take off; red is not released
    controls.set_mode(here.workspace, "live")
    here.turn(pulls=False)
    assert here.shown(ada) == ({"Health: red"}, "red", "12")
    assert here.lost() == 0


def test_what_is_no_kind_of_act_cannot_be_released(here: Business) -> None:
    with pytest.raises(Problems, match="tag:green"):
        controls.release(here.workspace, "tag:gren", "Olga")


# -- backfill ---------------------------------------------------------------------------------------------------------


def test_going_live_writes_fields_and_sets_off_no_automation_that_hangs_on_a_tag(here: Business) -> None:
    contacts = seen(here, "Ada", "Bob", "Cyd")
    controls.set_mode(here.workspace, "live")
    next_day(here, 2)

    assert [here.shown(one)[:2] for one in contacts] == [(set(), "green")] * 3
    assert backfill.waiting(here.store) == {here.customer(one) for one in contacts}


def test_a_change_of_band_that_happens_while_live_is_tagged_and_one_from_before_is_not(here: Business) -> None:
    ada, bob = seen(here, "Ada", "Bob")
    next_day(here, 40)  # both fall silent and turn, while the workspace watches
    controls.set_mode(here.workspace, "live")
    next_day(here)
    assert [here.shown(one)[0] for one in (ada, bob)] == [set(), set()]

    here.uses(bob, 30)
    next_day(here, 5)

    tags, band, _ = here.shown(bob)
    assert tags == {f"Health: {band}"}
    assert here.shown(ada)[0] == set()


def test_a_customer_who_comes_while_live_is_tagged_at_once(here: Business) -> None:
    seen(here)
    controls.set_mode(here.workspace, "live")
    new = here.enter("New")
    next_day(here)

    assert len(here.shown(new)[0]) == 1


def test_a_backfill_is_written_at_the_pace_that_was_told_and_not_faster_after_a_pause(here: Business) -> None:
    contacts = seen(here, *(f"C{number}" for number in range(12)))
    controls.set_mode(here.workspace, "live")
    next_day(here)

    def tagged() -> int:
        return sum(bool(here.shown(one)[0]) for one in contacts)

    assert controls.release_backfill(here.workspace, per_hour=2) == 12
    seen_so_far = []
    for _ in range(4):  # half an hour each
        here.turn(pulls=False)
        seen_so_far.append(tagged())
        here.clock.sleep(HOUR / 2)
    assert seen_so_far == [1, 2, 3, 4]

    controls.set_paused(here.store, here.now, paused=True)
    here.clock.sleep(10 * HOUR)
    here.turn(pulls=False)
    controls.set_paused(here.store, here.now, paused=False)
    here.turn(pulls=False)
    assert tagged() == 6
    for _ in range(20):
        here.clock.sleep(HOUR / 2)
        here.turn(pulls=False)
    assert tagged() == 12
    assert backfill.waiting(here.store) == frozenset()


def test_a_backfill_that_is_released_without_a_pace_is_written_in_the_next_turn(here: Business) -> None:
    contacts = seen(here, "Ada", "Bob")
    controls.set_mode(here.workspace, "live")
    controls.release_backfill(here.workspace)

    here.turn(pulls=False)

    assert [here.shown(one)[0] for one in contacts] == [{"Health: green"}] * 2


# -- going up and down ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in modes.MODES for new in modes.MODES if old != new])
def test_every_step_shows_what_it_lets_go_and_leaves_nothing_in_a_pool(here: Business, old: str, new: str) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    controls.set_mode(here.workspace, old)
    state = "draft" if old == "draft" else "held"
    outbox.put(here.store, Alert(here.customer(ada), "Ada turned red", ""), "alert", here.now, state=state)

    told = controls.mode_would(here.workspace, new)
    controls.set_mode(here.workspace, new)

    assert any("of alert, as tell the team: Ada turned red" in line for line in told)
    assert [row["state"] for row in here.store.rows("select state from effects")] == ["replaced"]


def test_from_approve_to_live_what_had_been_released_goes_on(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    controls.set_mode(here.workspace, "approve")
    later = here.queue_mail(ada, key="a later step")
    held = here.queue_mail(ada, key="held")
    here.store.run("update effects set state = 'held' where id = :id", {"id": held})

    told = controls.mode_would(here.workspace, "live")
    controls.set_mode(here.workspace, "live")

    assert (here.effect(later)["state"], here.effect(held)["state"]) == ("waiting", "replaced")
    assert sum(line.startswith("Let go of") for line in told) == 1


def test_a_mode_that_is_none_is_refused(here: Business) -> None:
    with pytest.raises(Problems, match="live"):
        controls.set_mode(here.workspace, "life")
    with pytest.raises(ValueError, match="nothing is decided"):
        modes.pool("watch", frozenset(), "alert")
