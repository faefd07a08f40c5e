"""A notice reaches the operator once, or says that nobody can know."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.conftest import START
from worker.dispatch import notices
from worker.dispatch.outbox import STRANDED_AFTER
from worker.effects import Alert
from worker.lib.clock import VirtualClock
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Store, sql


@dataclass
class Team:
    """Where the team reads: takes what is posted, after the failures that are planned."""

    failures: list[Failure] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)

    def send(self, alert: Alert) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.posted.append(alert.title)


def put(store: Store, key: str) -> None:
    store.run(sql("guard", "put_notice"), {"key": key, "title": key, "text": "", "now": START})


def send(store: Store, team: Team, clock: VirtualClock) -> int:
    return notices.send_waiting(store, team, clock, stop=lambda: False)


def states(store: Store) -> dict[str, str]:
    return {row["key"]: row["state"] for row in store.rows("select key, state from notices")}


def test_each_notice_leaves_once_however_often_it_is_put_and_sent(store: Store, clock: VirtualClock) -> None:
    team = Team()
    for _ in range(3):
        put(store, "stripe is down")
        put(store, "keap is down")
        send(store, team, clock)

    assert team.posted == ["keap is down", "stripe is down"]
    assert set(states(store).values()) == {"done"}


def test_one_that_was_interrupted_is_unknown_and_not_repeated(store: Store, clock: VirtualClock) -> None:
    put(store, "stripe is down")
    assert store.row(sql("guard", "claim_notice"), {"now": START})  # and the process dies
    clock.sleep(STRANDED_AFTER)
    team = Team()

    assert send(store, team, clock) == 0
    assert (team.posted, states(store)) == ([], {"stripe is down": "unknown"})
    assert [row["state"] for row in store.rows(sql("guard", "notices_in_doubt"))] == ["unknown"]


@pytest.mark.parametrize(
    ("failure", "state", "posted"),
    [
        (Unsure("the answer was lost"), "unknown", []),
        (GiveUp("no such channel"), "failed", []),
        (Retry("too many"), "done", ["stripe is down"]),
        (Reconnect("the address was revoked"), "done", ["stripe is down"]),
    ],
)
def test_after_a_failure_only_what_surely_did_not_arrive_is_tried_again(
    store: Store, clock: VirtualClock, failure: Failure, state: str, posted: list[str]
) -> None:
    put(store, "stripe is down")
    team = Team([failure])
    for _ in range(2):
        send(store, team, clock)

    assert (states(store), team.posted) == ({"stripe is down": state}, posted)


def test_what_is_over_before_it_left_is_not_told(store: Store, clock: VirtualClock) -> None:
    put(store, "stripe is down")
    store.run(sql("guard", "past_notice"), {"key": "stripe is down"})
    team = Team()

    assert (send(store, team, clock), team.posted) == (0, [])
