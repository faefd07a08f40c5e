"""Tasks for our people: never lost, never twice, whatever breaks off and wherever a crash comes."""

from __future__ import annotations

import pytest

from tests.conftest import START
from worker.dispatch import outbox, tasks
from worker.effects import Lane, Task
from worker.intake import records
from worker.integration import Colleague
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Store


class Office:
    """A desk that breaks off before or after it has taken a task, when told to."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.tasks: list[tuple[str, str]] = []
        """(effect id, title)"""
        self.sought: list[tuple[str, int]] = []

    def colleagues(self) -> list[Colleague]:
        return []

    def add(self, task: Task, effect_id: str) -> str:
        if self.before:
            raise self.before.pop(0)
        self.tasks.append((effect_id, task.title))
        if self.after:
            raise self.after.pop(0)
        return f"task-{len(self.tasks)}"

    def find(self, task: Task, effect_id: str, tried_at: int) -> str:
        self.sought.append((effect_id, tried_at))
        return next((f"task-{n}" for n, (one, _) in enumerate(self.tasks, 1) if one == effect_id), "")


@pytest.fixture
def office(clock: VirtualClock) -> Office:
    return Office(clock)


def put(store: Store, title: str = "Call Ada", key: str = "task", play: str = "went-quiet", step: str = "") -> str:
    known = store.value("select id from customers limit 1")
    customer_id = known or records.add_customer(store, name="Ada", first_at=START)
    task = Task(str(customer_id), "1", "7", title, "Why, and what to say.", START + DAY, play, step=step)
    return outbox.put(store, task, key, START, play=play)


def work(store: Store, office: Office, clock: VirtualClock) -> dict[str, int]:
    """What a turn does in this lane."""
    outbox.recover(store, Lane.TASK, seconds(clock))
    return tasks.send_waiting(store, office, clock, stop=lambda: False)


def state(store: Store, effect_id: str) -> tuple[str, str]:
    row = store.row("select state, reference from effects where id = :id", {"id": effect_id})
    assert row is not None
    return row["state"], row["reference"] or ""


def test_a_task_is_put_on_the_desk_once(store: Store, office: Office, clock: VirtualClock) -> None:
    effect_id = put(store)

    assert work(store, office, clock) == {"added": 1}
    assert work(store, office, clock) == {}

    assert office.tasks == [(effect_id, "Call Ada")]
    assert state(store, effect_id) == ("done", "task-1")
    assert office.sought == []  # nobody had tried before


@pytest.mark.parametrize("taken", [True, False])
def test_after_a_crash_it_is_looked_for_before_it_is_made_again(
    store: Store, office: Office, clock: VirtualClock, taken: bool
) -> None:
    effect_id = put(store)
    queued = outbox.claim(store, Lane.TASK, START)
    assert queued is not None
    if taken:
        office.add(Task("", "", "", "Call Ada", "", 0, ""), effect_id)
    clock.sleep(outbox.STRANDED_AFTER)
    assert work(store, office, clock) == {}  # what was under way may still arrive
    clock.move_to(START + outbox.SETTLED_AFTER)

    assert work(store, office, clock) == ({"found": 1} if taken else {"added": 1})

    assert len(office.tasks) == 1
    assert state(store, effect_id) == ("done", "task-1")
    assert office.sought == [(effect_id, START)]


@pytest.mark.parametrize("taken", [True, False])
def test_where_the_answer_was_lost_it_is_looked_for_too(
    store: Store, office: Office, clock: VirtualClock, taken: bool
) -> None:
    effect_id = put(store)
    (office.after if taken else office.before).append(Unsure("broke off"))
    assert work(store, office, clock) == {"later": 1}
    for _ in range(20):
        clock.sleep(30)
        work(store, office, clock)

    assert len(office.tasks) == 1
    assert state(store, effect_id)[0] == "done"


@pytest.mark.parametrize(
    ("failure", "then", "rests"),
    [
        (GiveUp("no such contact"), "failed", False),
        (Retry("busy"), "waiting", False),
        (Retry("busy", 600.0), "waiting", True),
        (Reconnect("who are you"), "waiting", True),
        (ZeroDivisionError("a fault of ours"), "waiting", False),
    ],
)
def test_a_failure_stops_the_others_only_where_they_would_fare_the_same(
    store: Store, office: Office, clock: VirtualClock, failure: Failure, then: str, rests: bool
) -> None:
    first, second = put(store, "first", "1", "one"), put(store, "second", "2", "two")
    office.before.append(failure)

    work(store, office, clock)

    assert state(store, first)[0] == then
    assert state(store, second)[0] == ("waiting" if rests else "done")
    assert bool(outbox.resting(store, Lane.TASK, START)) == rests


def test_tasks_of_one_play_keep_their_order(store: Store, office: Office, clock: VirtualClock) -> None:
    put(store, "first", "1")
    put(store, "second", "2", step="later")
    office.before.append(Retry("busy"))
    assert work(store, office, clock) == {"later": 1}
    for _ in range(10):
        clock.sleep(30)
        work(store, office, clock)

    assert [title for _, title in office.tasks] == ["first", "second"]
