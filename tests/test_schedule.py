"""The wheel by the calendar: once a slot, whoever gets to it, in any zone; and never at the cost of what is urgent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from worker import setup
from worker.lib.clock import DAY, HOUR, MINUTE, VirtualClock
from worker.lib.lease import LASTS, Lease
from worker.schedule import LISTENS_AT_LEAST_EVERY, RESTS_AT_MOST, Wheel
from worker.web.health import health
from worker.workspace import Workspace, open_workspace

CONFIG = """\
[workspace]
name = "Clockwork"
time_zone = "{zone}"

[schedule]
pull_every = "{pull_every}"
assess_daily_at = "{daily_at}"
"""

Open = Callable[..., Workspace]


@pytest.fixture
def business(tmp_path: Path, clock: VirtualClock) -> Iterator[Open]:
    """Opens the workspace; opened twice, it is as if in two processes."""
    opened: list[Workspace] = []

    def open_(zone: str = "UTC", daily_at: str = "06:00", pull_every: str = "15 minutes") -> Workspace:
        text = CONFIG.format(zone=zone, daily_at=daily_at, pull_every=pull_every)
        (tmp_path / "config.toml").write_text(text, "utf-8")
        setup.migrate(tmp_path, {})
        opened.append(open_workspace(tmp_path, {}, clock))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def moment(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


def runs(workspace: Workspace, kind: str) -> int:
    return int(workspace.store.value("select count(*) from runs where kind = :kind", {"kind": kind}))


def live_through(clock: VirtualClock, wheel: Wheel, begin: int, end: int, step: int = 5 * MINUTE) -> list[int]:
    """Look at the calendar as the schedule does; gives when a daily turn was made."""
    made, before = [], runs(wheel._workspace, "daily")
    for now in range(begin, end, step):
        clock.move_to(now)
        wheel.daily()
        if (after := runs(wheel._workspace, "daily")) > before:
            made.append(now)
            before = after
    return made


@pytest.mark.parametrize(
    ("zone", "day", "daily_at", "expected"),
    [
        ("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T02:30"),  # 02:30 comes twice
        ("America/New_York", "2026-11-01", "01:15", "2026-11-01T01:15"),  # 01:15 comes twice
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-05T01:45"),  # by half an hour
        ("Europe/Berlin", "2026-03-29", "02:30", "2026-03-29T03:00"),  # there is no 02:30
        ("America/Santiago", "2026-09-06", "00:30", "2026-09-06T01:00"),  # there is no midnight
        ("Asia/Kolkata", "2026-06-15", "06:00", "2026-06-15T06:00"),
    ],
)
def test_the_daily_turn_is_made_once_a_local_day_whatever_the_clocks_do(
    business: Open, clock: VirtualClock, zone: str, day: str, daily_at: str, expected: str
) -> None:
    workspace = business(zone, daily_at)
    begin = moment(f"{day}T12:00", zone) - DAY
    before = [begin + n for n in range(0, 2 * DAY, 5 * MINUTE)]

    made = live_through(clock, Wheel(workspace), before[0], before[-1])

    local = [datetime.fromtimestamp(at, ZoneInfo(zone)) for at in made]
    assert [one.date().isoformat() for one in local if one.date().isoformat() == day] == [day]
    assert moment(expected, zone) in made


def test_the_daily_turn_waits_for_its_time_of_day(business: Open, clock: VirtualClock) -> None:
    wheel = Wheel(business("UTC", "06:00"))

    assert live_through(clock, wheel, moment("2026-02-01T00:00"), moment("2026-02-01T05:59")) == []
    assert live_through(clock, wheel, moment("2026-02-01T06:00"), moment("2026-02-02T00:00")) == [
        moment("2026-02-01T06:00")
    ]


def test_two_wheels_do_the_work_of_a_slot_once(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    one, other = Wheel(workspace), Wheel(business())
    clock.move_to(moment("2026-02-01T07:00"))

    for wheel in (one, other, one, Wheel(workspace)):
        wheel.pull()
        wheel.daily()

    assert (runs(workspace, "pull"), runs(workspace, "daily")) == (1, 1)


def test_only_one_turns_at_a_time(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    with Lease(workspace.store, clock, "wheel").held() as mine:
        assert mine

        assert Wheel(workspace).turn(kind="regular") is None

    assert Wheel(workspace).turn(kind="regular") is not None


def test_a_slot_that_somebody_else_is_at_is_taken_up_when_they_die(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    clock.move_to(moment("2026-02-01T07:00"))
    wheel, dead = Wheel(workspace), [Lease(workspace.store, clock, name) for name in ("wheel", "pull")]
    assert all(lease.take() for lease in dead)
    wheel.pull()
    wheel.daily()
    assert (runs(workspace, "pull"), runs(workspace, "daily")) == (0, 0)

    clock.sleep(LASTS + 1)
    wheel.pull()
    wheel.daily()

    assert (runs(workspace, "pull"), runs(workspace, "daily")) == (1, 1)


def test_after_a_long_sleep_there_is_one_pull_and_one_daily_turn(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    wheel = Wheel(workspace)
    for _ in range(2):
        clock.sleep(30 * DAY + 7 * HOUR)
        for _ in range(3):
            wheel.pull()
            wheel.daily()

    assert (runs(workspace, "pull"), runs(workspace, "daily")) == (2, 2)


def test_a_turn_that_breaks_off_is_tried_again_later_and_ends_nothing(
    business: Open, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = business()
    wheel = Wheel(workspace)
    clock.move_to(moment("2026-02-01T07:00"))
    workspace.store.run("alter table standings rename to elsewhere")
    for _ in range(20):
        wheel.daily()
    assert [record.levelno for record in caplog.records if "broke off" in record.message] == [logging.ERROR]

    workspace.store.run("alter table elsewhere rename to standings")
    clock.sleep(RESTS_AT_MOST)
    wheel.daily()

    slots = workspace.store.rows("select slot from slots where job = 'daily'")
    assert slots == [{"slot": "2026-02-01"}]


def test_what_no_turn_can_settle_does_not_make_it_turn_forever(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    store = workspace.store
    store.run("insert into customers (id, first_at, merged_into) values ('cus_1', 0, 'cus_1')")
    store.run("insert into dirty (customer_id, since, urgent) values ('cus_1', :now, 1)", {"now": int(clock.now())})
    wheel = Wheel(workspace)

    for _ in range(5):
        clock.sleep(2)
        wheel.look()

    assert runs(workspace, "urgent") == 1


def test_what_somebody_left_who_died_after_taking_it_in_is_seen_to_at_once(business: Open, clock: VirtualClock) -> None:
    workspace = business()
    store, left = workspace.store, "insert into dirty (customer_id, since, urgent) values ('cus_1', :now, 0)"
    store.run("insert into customers (id, first_at) values ('cus_1', 0)")
    store.run(left, {"now": int(clock.now())})
    wheel = Wheel(workspace)

    for _ in range(3):
        clock.sleep(2)
        wheel.look()
    assert (runs(workspace, "urgent"), store.rows("select * from dirty")) == (1, [])

    store.run(left, {"now": int(clock.now())})  # what is not urgent waits for the next turn
    wheel.look()
    assert runs(workspace, "urgent") == 1


def test_a_database_that_is_away_is_asked_less_and_less_often(business: Open, caplog: pytest.LogCaptureFixture) -> None:
    workspace = business()
    workspace.store.run("alter table deliveries rename to away")
    wheel, waits = Wheel(workspace), []

    class Ended(threading.Event):
        """Counts what it is asked to wait, and waits for nothing."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            if len(waits) == 8:
                workspace.store.run("alter table away rename to deliveries")
            if len(waits) == 10:
                wheel._over.set()
            return True

    wheel._wake = Ended()
    wheel.listen()

    assert waits[:6] == [2, 4, 8, 16, LISTENS_AT_LEAST_EVERY, LISTENS_AT_LEAST_EVERY]
    assert waits[-1] == 2


def test_healthz_counts_only_turns_that_came_to_their_end(business: Open, clock: VirtualClock) -> None:
    from flask import Flask

    workspace = business(pull_every="15 minutes")
    app = Flask("health")
    app.register_blueprint(health(workspace))

    def is_well() -> tuple[int, Any]:
        told = app.test_client().get("/healthz")
        return told.status_code, told.get_json()["turning"]

    wheel = Wheel(workspace)
    assert is_well() == (200, True)
    assert wheel.turn(kind="regular") is not None
    workspace.store.run("alter table standings rename to elsewhere")
    for _ in range(5):
        clock.sleep(20 * MINUTE)
        wheel.pull()  # the vendors answer, and no turn comes of it

    assert is_well() == (503, False)
