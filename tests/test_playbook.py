"""`keepwell plays`: what was done, what would be done, and what stood in the way of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dispatch.business import Business, business
from worker import approvals, controls, playbook
from worker.lib.clock import DAY
from worker.plays import records as plays
from worker.plays import trials
from worker.river import turn


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "acme") as made:
        yield made


def ada(here: Business) -> str:
    """A contact of a live workspace."""
    contact_id = here.enter()
    here.go_live(contact_id)
    here.clock.sleep(DAY)
    return contact_id


def would(here: Business, contact_id: str) -> dict[str, playbook.Would]:
    return {one.play: one for one in playbook.explain_plays(here.workspace, here.customer(contact_id)).would}


def test_every_play_is_told_with_what_it_would_do_or_what_stands_in_its_way(here: Business) -> None:
    contact_id = ada(here)
    here.happens(contact_id, "payment_failed")

    found = would(here, contact_id)

    assert found.keys() == here.workspace.plays.keys()
    assert all(one.does or (one.rule and one.reason) for one in found.values())
    assert found["failed-payment"].does.startswith("mail failed-payment to ada@customer.example")
    assert (found["thriving"].rule, found["thriving"].reason) == ("occasion", "the signal expansion is not up")
    assert here.store.value("select count(*) as n from effects where kind <> 'standing'") == 0  # it only tells


def test_what_the_arbiter_has_against_it_is_told_too(here: Business) -> None:
    contact_id = ada(here)
    here.happens(contact_id, "payment_failed")
    plays.suppress(here.store, "ada@customer.example", "asked for no more", here.now)

    one = would(here, contact_id)["failed-payment"]

    assert (one.rule, one.reason) == ("suppression", "asked for no more")


def test_what_is_under_way_and_what_was_done_stand_beside_it(here: Business) -> None:
    contact_id = ada(here)
    here.happens(contact_id, "payment_failed")
    here.turn(pulls=False)

    found = playbook.explain_plays(here.workspace, here.customer(contact_id))

    assert [mail.to for mail in here.mailbox.messages] == ["ada@customer.example"]
    assert [(one["play"], one["state"]) for one in found.under_way] == [("failed-payment", "waiting")] * 3
    assert [(one["play"], one["what"]) for one in found.lately] == [("failed-payment", "mail")]
    told = playbook.plays_told(here.workspace, 0)["failed-payment"]
    assert (told["set_off"], told["mails"]) == (1, 1)


def test_later_steps_are_let_go_once_it_is_paid(here: Business) -> None:
    contact_id = ada(here)
    here.happens(contact_id, "payment_failed")
    here.turn(pulls=False)
    here.clock.sleep(DAY)
    here.happens(contact_id, "payment")
    for _ in range(12):
        here.clock.sleep(DAY)
        here.turn(pulls=False)

    assert len(here.mailbox.messages) == 1
    states = here.store.rows(
        "select state, reason from effects where play = 'failed-payment' and step <> '' order by id"
    )
    assert {(row["state"], row["reason"].split(":")[0]) for row in states if row["state"] == "refused"} == {
        ("refused", "dunning")
    }


def test_that_the_team_was_told_is_no_act_and_wants_a_reason(here: Business) -> None:
    contact_id = ada(here)  # without an owner, and nobody else is named for tasks
    here.happens(contact_id, "cancellation_planned")
    here.turn(pulls=False)

    (one,) = playbook.worst(here.workspace)

    assert [message.text.split(" ")[0] for message in here.slack.messages] == ["Ada"]
    assert one.act == ""
    assert one.reason


def test_a_person_is_asked_about_a_later_step_when_its_day_has_come(here: Business) -> None:
    contact_id = ada(here)
    config = here.workspace.config
    every = replace(here.workspace, config=replace(config, approval=config.approval.model_copy(update={"all": True})))
    here.happens(contact_id, "payment_failed")
    turn(every, pulls=False)

    (first,) = approvals.waiting(every)
    approvals.send(every, first.act.id, "Cleo")
    turn(every, pulls=False)
    assert (len(here.mailbox.messages), approvals.waiting(every)) == (1, [])  # the second notice is not due yet

    here.clock.sleep(3 * DAY)
    turn(every, pulls=False)
    (second,) = approvals.waiting(every)
    assert (second.act.what, len(here.mailbox.messages)) == (first.act.what, 1)
    approvals.send(every, second.act.id, "Cleo")
    turn(every, pulls=False)
    assert len(here.mailbox.messages) == 2


def test_every_red_customer_has_an_act_or_a_reason(here: Business) -> None:
    owner = here.keap.add_user("Cleo", "Success", "cleo@engines.example")
    leaving, silent = here.enter(owner_id=owner), here.enter("Bob")
    here.clock.sleep(300)
    here.turn()
    here.happens(silent, "cancellation_planned")
    here.try_canary(leaving)
    controls.set_mode(here.workspace, "watch")
    here.turn(pulls=False)
    controls.set_mode(here.workspace, "live")
    here.clock.sleep(DAY)
    here.happens(leaving, "cancellation_planned")
    here.turn(pulls=False)

    found = {one.name: one for one in playbook.worst(here.workspace)}

    assert len(found) == 2
    assert "is about to leave" in found["Ada Lovelace"].act
    assert found["Bob Lovelace"].act == ""
    assert found["Bob Lovelace"].reason


def test_who_is_held_out_gets_nothing_of_the_play_and_is_on_record_and_the_others_get_it(here: Business) -> None:
    contacts = [here.enter(f"Ada{number}") for number in range(12)]
    here.go_live(contacts[0])
    here.clock.sleep(DAY)
    trials.switch_on(here.store, trials.HoldOut("champion-left", 50, 0.8, 5.0, 100, here.now))
    for contact_id in contacts:
        here.happens(contact_id, "custom.champion_left")

    here.turn(pulls=False, dispatch=False)

    arms = trials.arms(here.store, "champion-left", 0)
    refused = here.store.rows("select rule from refusals where play = 'champion-left'")
    queued = here.store.rows("select customer_id from effects where play = 'champion-left'")
    assert arms.acted + arms.held == 12
    assert (len(queued), [row["rule"] for row in refused]) == (arms.acted, ["holdout"] * arms.held)
    assert 0 < arms.held < 12
