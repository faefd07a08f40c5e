"""The lanes side by side: a vendor that hangs or is away holds up its own lane, and nobody else's, nor the next turn."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dispatch.business import Business, business
from worker import controls, lanes
from worker.dispatch import outbox
from worker.effects import Alert, Lane
from worker.lib.clock import DAY, MINUTE
from worker.lib.lease import LASTS
from worker.lib.store import Store
from worker.schedule import LISTENS_AT_LEAST_EVERY, LISTENS_EVERY, LaneRunner, Wheel


@pytest.fixture
def anywhere(tmp_path: Path, store: Store) -> Iterator[Business]:
    """A live business with one customer, once on each database."""
    with business(tmp_path / "workspace", store) as opened:
        opened.go_live(opened.enter())
        yield opened


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        opened.go_live(opened.enter())
        yield opened


def ada(here: Business) -> str:
    return next(iter(here.keap.contacts))


def alert(here: Business, title: str, *, due_at: int = 0) -> str:
    return outbox.put(here.store, Alert(here.customer(ada(here)), title, ""), title, here.now, due_at=due_at)


def runner(here: Business, lane: Lane) -> LaneRunner:
    return LaneRunner(here.workspace, lane, threading.Event())


@contextmanager
def mail_server_that_says_nothing(here: Business) -> Iterator[socket.socket]:
    """In place of the mailbox: takes connections, and hangs."""
    here.mailbox.stop()
    listening = socket.create_server(("127.0.0.1", here.mailbox.port))
    try:
        yield listening
    finally:
        listening.close()


def test_a_mail_server_that_hangs_holds_up_neither_the_other_lanes_nor_the_next_turn(anywhere: Business) -> None:
    here, wheel = anywhere, Wheel(anywhere.workspace)
    here.queue_mail(ada(here))
    here.show(ada(here), "green")
    alert(here, "Ada turned green")
    with mail_server_that_says_nothing(here) as listening:
        mails = threading.Thread(target=runner(here, Lane.MAIL).look)
        mails.start()
        talking, _ = listening.accept()  # the mail lane is in the middle of its letter now, and stays there

        runner(here, Lane.CRM).look()
        runner(here, Lane.ALERT).look()
        turned = wheel.turn(kind="urgent")

        assert mails.is_alive()
        assert turned is not None
        assert here.shown(ada(here))[0] == {"Health: green"}
        assert ["Ada turned green" in message.text for message in here.slack.messages] == [True]
        talking.close()
        mails.join()


def test_a_lane_is_emptied_by_one_at_a_time_and_taken_over_from_who_died(anywhere: Business) -> None:
    here = anywhere
    alert(here, "Ada turned red")
    dead = lanes.lease(here.workspace, Lane.ALERT)
    assert dead.take()

    runner(here, Lane.ALERT).look()
    assert here.slack.messages == []

    here.clock.sleep(LASTS + 1)
    runner(here, Lane.ALERT).look()
    assert len(here.slack.messages) == 1


def test_what_becomes_due_leaves_without_a_turn(here: Business) -> None:
    alert(here, "Ada turned red", due_at=here.now + 90)
    lane, sent = runner(here, Lane.ALERT), []
    for _ in range(60):
        lane.look()
        sent.append(len(here.slack.messages))
        here.clock.sleep(2)

    assert sent.index(1) == 45
    assert sent[-1] == 1


@pytest.mark.parametrize("lane", lanes.ORDER)
def test_nothing_leaves_by_a_lane_while_paused_or_in_watch(here: Business, lane: Lane) -> None:
    here.queue_mail(ada(here))
    here.show(ada(here), "green")
    alert(here, "Ada turned green")
    controls.set_paused(here.store, here.now, paused=True)
    assert runner(here, lane).look()
    assert not lanes.waits(here.workspace, lane)
    controls.set_paused(here.store, here.now, paused=False)
    here.store.run("update switches set value = 'watch' where name = 'mode'")
    runner(here, lane).look()

    assert here.store.value("select count(*) as n from effects where state <> 'waiting'") == 0


def test_a_vendor_that_asks_to_be_left_alone_is_and_the_others_are_not(here: Business) -> None:
    here.slack.faults.planned += ["429"] * 30  # each with its Retry-After
    for number in range(3):
        alert(here, f"{number}")
    here.queue_mail(ada(here))
    lane = runner(here, Lane.ALERT)
    lane.look()
    calls, until = len(here.slack.calls), here.store.value("select until from lane_rests where lane = 'alert'")
    assert until is not None
    while here.now < until:
        lane.look()
        here.clock.sleep(1)

    assert len(here.slack.calls) == calls
    runner(here, Lane.MAIL).look()
    assert len(here.mailbox.messages) == 1


def test_where_nothing_comes_of_a_lane_it_is_looked_at_less_often_and_told_about_once(
    here: Business, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    here.store.run("delete from switches where name like 'canary:%'")
    here.show(ada(here), "green")
    lane, waits = runner(here, Lane.CRM), []

    class Ended(threading.Event):
        """Counts what it is asked to wait, and waits for nothing."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            if len(waits) == 8:
                lane._over.set()
            return False

    lane._wake = Ended()
    lane.listen()

    assert waits[:6] == [LISTENS_EVERY, 4, 8, 16, LISTENS_AT_LEAST_EVERY, LISTENS_AT_LEAST_EVERY]
    assert ["keepwell check --canary" in record.message for record in caplog.records] == [True]


def test_what_a_lane_writes_without_a_turn_can_be_taken_back_by_the_run_it_began(here: Business) -> None:
    here.show(ada(here), "green")
    runner(here, Lane.CRM).look()
    (run,) = controls.runs_that_wrote(here.store)
    assert here.store.value("select kind from runs where id = :id", {"id": run["run_id"]}) == lanes.RUN

    controls.undo(here.workspace, run["run_id"], dry_run=False)

    assert here.shown(ada(here)) == (set(), "", "")


def test_a_wheel_that_is_stopped_stops_its_lanes(here: Business) -> None:
    wheel = Wheel(here.workspace)
    wheel.start()

    assert wheel.stop()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("lane-")] == []


def test_by_the_machine_s_clock_a_turn_empties_all_lanes_at_once_and_waits_for_them(here: Business) -> None:
    class Real:
        """Time that nobody can call virtual, and that does not pass."""

        def now(self) -> float:
            return here.clock.now()

        def sleep(self, seconds: float) -> None:
            here.clock.sleep(seconds)

    here.queue_mail(ada(here))
    here.show(ada(here), "green")
    alert(here, "Ada turned green")
    here.workspace.clock = Real()

    done = here.turn(pulls=False)

    assert (done.mails, done.alerts, done.written.contacts) == ({"sent": 1}, {"sent": 1}, 1)
    assert done.troubles == {}
    assert len(here.mailbox.messages) == len(here.slack.messages) == 1
    assert here.store.value("select count(*) as n from leases") == 0


def test_a_letter_that_came_from_a_lane_long_ago_is_not_sent_late(here: Business) -> None:
    effect_id = here.queue_mail(ada(here), expires_at=here.now + DAY)
    here.clock.sleep(DAY + MINUTE)
    runner(here, Lane.MAIL).look()

    assert here.effect(effect_id)["state"] == "refused"
