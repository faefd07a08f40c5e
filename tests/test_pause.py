"""A pause stops whatever is under way: after it no call that changes something begins, whoever makes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask, request

from tests.dispatch.business import Business, business
from worker import controls
from worker.dispatch import outbox
from worker.effects import Alert
from worker.integration import CrmNames
from worker.lib.clock import DAY, HOUR, VirtualClock
from worker.lib.http import Failure, Held, Http
from worker.river import turn
from worker.sandbox.servers.loopback import Loopback


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


class SlowVendor:
    """Counts the writes that have reached it, and answers none before it is let."""

    def __init__(self, wanted: int) -> None:
        self.begun = 0
        self.full, self.answers = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        app = Flask("slow")

        @app.route("/x", methods=["GET", "POST"])
        def x() -> dict[str, str]:
            if request.method == "POST":
                with self._lock:
                    self.begun += 1
                    if self.begun == wanted:
                        self.full.set()
                self.answers.wait(20)
            return {}

        self.server = Loopback(app, "slow", threads=wanted)


def test_of_many_writes_under_way_no_further_one_begins_after_a_pause(clock: VirtualClock) -> None:
    vendor, paused = SlowVendor(wanted=5), list[str]()
    http = Http(
        "Vendor", vendor.server.url, clock, hold=lambda: "paused" if paused else "", per_second=1000, burst=1000
    )
    todo, held = list(range(50)), list[int]()

    def work() -> None:
        while todo:
            one = todo.pop()
            try:
                http.post("/x", json={"n": one}, repeatable=True)
            except Held:
                held.append(one)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert vendor.full.wait(20)
    paused.append("yes")
    vendor.answers.set()
    for thread in threads:
        thread.join()
    http.get("/x")  # to read is no harm
    http.close()
    vendor.server.stop()

    assert (vendor.begun, len(held)) == (5, 45)


def test_a_pause_between_two_tries_of_a_call_keeps_it_from_being_tried_again(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    here.keap.faults.planned += ["429_bare"]
    http = here.workspace.connected["keap"].http
    assert http is not None
    here.clock.sleep(300)
    before, sleep = len(here.keap.calls), http.clock.sleep

    class Meanwhile(VirtualClock):
        def sleep(self, seconds: float) -> None:
            controls.set_paused(here.store, here.now, paused=True)
            sleep(seconds)

    http.clock = Meanwhile(here.now)
    with pytest.raises(Held, match="Keap was not called: everything outward is paused"):
        http.patch(f"/crm/rest/v2/contacts/{ada}", json={})

    assert len(here.keap.calls) - before == 1


def test_a_pause_in_the_midst_of_a_write_back_stops_it_and_what_is_left_is_written_later(here: Business) -> None:
    contacts = [here.enter(f"C{number}") for number in range(50)]
    here.go_live(contacts[0])
    for contact_id in contacts:
        here.show(contact_id, "green")
    written = here.keap.writes()
    patches = list[int]()

    def meanwhile() -> None:
        patches.append(here.keap.writes())
        if len(patches) == 20:
            controls.set_paused(here.store, here.now, paused=True)
        else:
            here.keap.before_next_patch = meanwhile

    here.keap.before_next_patch = meanwhile
    here.write()

    assert here.keap.writes() - written == 20  # the one that had begun is the last
    assert here.workspace.paused
    controls.resume(here.store, here.now)
    here.clock.sleep(HOUR)
    here.write()
    assert [here.shown(one) for one in contacts] == [({"Health: green"}, "green", "71")] * 50
    assert here.lost() == 0


@pytest.mark.parametrize("mode", ["watch", "draft"])
def test_not_even_a_mistake_writes_while_nothing_may_leave(here: Business, mode: str) -> None:
    ada = here.enter()
    here.go_live(ada)
    crm, alerter = here.workspace.crm, here.workspace.alerter
    assert crm is not None
    assert alerter is not None
    ids = here.workspace.crm_ids(crm)
    controls.set_mode(here.workspace, mode)
    before = here.keap.writes() + here.slack.writes()

    assert crm.read([ada])
    for write in (
        lambda: crm.add_tag(ids.tags["green"], [ada]),
        lambda: crm.write_fields({ada: {ids.fields["band"]: "green"}}),
        lambda: crm.find_or_create(CrmNames(tags={"red": "Another"}), adopt=True),
        lambda: alerter.send(Alert("", "Ada turned red", "")),
    ):
        with pytest.raises(Failure, match=f"not called: the workspace is in {mode}"):
            write()
    assert here.keap.writes() + here.slack.writes() == before

    with here.workspace.by_hand():
        assert crm.add_tag(ids.tags["green"], [ada]) == {ada: ""}


def test_what_one_thread_does_by_hand_opens_nothing_for_another(here: Business) -> None:
    found = list[str]()
    with here.workspace.by_hand():
        thread = threading.Thread(target=lambda: found.append(here.workspace.holds()))
        thread.start()
        thread.join()
        assert here.workspace.holds() == ""

    assert found == ["the workspace is in watch"]


def test_a_resume_says_what_waited_by_kind_and_refuses_what_is_old_news(here: Business) -> None:
    ada = here.enter()
    here.go_live(ada)
    controls.set_paused(here.store, here.now, paused=True)
    here.show(ada, "green")
    here.queue_mail(ada, key="old", expires_at=here.now + HOUR)
    outbox.put(here.store, Alert(here.customer(ada), "Ada turned red", ""), "alert", here.now)
    here.clock.sleep(2 * HOUR)
    here.queue_mail(ada, key="new")

    done = controls.resume(here.store, here.now)

    assert done.waited == {"alert": 1, "crm": 1, "play:by-hand": 1}
    assert done.expired == ("mail usage-drop to ada@customer.example (by-hand)",)
    assert here.refusals() == [("goal", "it waited until it was no longer worth sending")]
    here.turn(pulls=False)
    assert (len(here.mailbox.messages), len(here.slack.messages)) == (1, 1)


def test_a_draft_that_is_old_news_is_no_draft_any_more(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn()
    controls.set_mode(here.workspace, "draft")
    mail = here.queue_mail(ada, expires_at=here.now + HOUR)
    here.store.run("update effects set state = 'draft'")
    here.clock.sleep(DAY)

    here.turn(pulls=False)

    assert here.effect(mail)["state"] == "refused"


def test_in_a_trial_only_the_listed_contacts_are_touched(here: Business) -> None:
    ada, bob = here.enter("Ada"), here.enter("Bob")
    here.go_live(ada)
    config = here.workspace.config
    trial = replace(config, crm=config.crm.model_copy(update={"only_contacts": (ada,)}))
    workspace = replace(here.workspace, config=trial)
    queued = here.show(bob, "green")
    here.clock.sleep(DAY)
    for _ in range(2):
        turn(workspace, everyone=True)

    assert len(here.shown(ada)[0]) == 1
    assert here.shown(bob) == (set(), "", "")
    assert here.effect(queued)["state"] in ("refused", "replaced")
    assert here.store.value("select count(*) as n from effects where target = :bob", {"bob": bob}) == 1
    here.turn(pulls=False, everyone=True)  # the trial is over
    assert len(here.shown(bob)[0]) == 1
