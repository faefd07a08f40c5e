"""One message for one cause: what concerns many customers is told once, and every one of them is accounted for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import START
from worker.dispatch import alerts, outbox
from worker.dispatch.alerts import MOST_SINGLY, told
from worker.dispatch.outbox import STRANDED_AFTER
from worker.effects import Alert, Lane
from worker.intake import records
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.lib.store import Row, Store

HOME = "https://keepwell.example/"


@dataclass
class Team:
    """Where the team reads: takes what is posted, after the failures that are planned."""

    failures: list[Failure] = field(default_factory=list)
    posted: list[Alert] = field(default_factory=list)
    remark: str | None = None

    def send(self, alert: Alert) -> str | None:
        if self.failures:
            raise self.failures.pop(0)
        self.posted.append(alert)
        return self.remark

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.posted]


def put(store: Store, number: int, *, play: str = "usage-drop", first: int = 0, key: str = "") -> list[str]:
    """An alert for each of so many customers; gives the effects' ids."""
    ids = []
    with store.atomic():
        for place in range(first, first + number):
            customer = records.add_customer(store, name=f"C{place}", first_at=START)
            alert = Alert(customer, f"C{place} turned red", "2 invoices\nunpaid", f"{HOME}customers/{customer}")
            ids.append(outbox.put(store, alert, f"{key or f'{customer}:{play}'}:{place}", START, play=play))
    return ids


def send(store: Store, team: Team, clock: VirtualClock) -> dict[str, int]:
    titles = {"usage-drop": "Use has dropped"}
    return alerts.send_waiting(store, team, clock, stop=lambda: False, titles=titles, link=HOME)


def rows(store: Store) -> list[Row]:
    return store.rows("select id, state, reference, reason, attempts, due_at from effects order by id")


def test_what_one_play_says_of_many_is_one_message_that_names_the_first(store: Store, clock: VirtualClock) -> None:
    ids = put(store, 30)
    team = Team()

    assert send(store, team, clock) == {"sent": 30}
    (alert,) = team.posted
    assert alert.title == "Use has dropped: 30 customers"
    assert [line.text for line in alert.lines] == [
        *(f"C{place} turned red: 2 invoices unpaid" for place in range(MOST_SINGLY)), "And 25 more.",
    ]  # fmt: skip
    assert alert.lines[0].link.startswith(f"{HOME}customers/cus_")
    assert alert.lines[-1].link == HOME
    assert {(row["state"], row["reference"], row["attempts"]) for row in rows(store)} == {("done", ids[0], 1)}


def test_of_a_few_each_is_told_by_itself(store: Store, clock: VirtualClock) -> None:
    put(store, MOST_SINGLY)
    team = Team()

    assert send(store, team, clock) == {"sent": MOST_SINGLY}
    assert team.titles == [f"C{place} turned red" for place in range(MOST_SINGLY)]
    assert {row["reference"] for row in rows(store)} == {None}


def test_each_cause_has_a_message_of_its_own(store: Store, clock: VirtualClock) -> None:
    put(store, 7)
    put(store, 6, play="renewal", first=7)
    put(store, 6, play="", first=13, key="disagreement")
    put(store, 2, play="", first=19, key="override")
    team = Team()

    assert send(store, team, clock) == {"sent": 21}
    assert sorted(team.titles) == [
        "C19 turned red", "C20 turned red", "Pulse and band part; who is right?: 6 customers", "Use has dropped: 7 customers",
        "renewal: 6 customers",
    ]  # fmt: skip


def test_many_alerts_about_one_customer_are_not_many_customers(store: Store, clock: VirtualClock) -> None:
    customer = records.add_customer(store, name="Ada", first_at=START)
    for number in range(8):
        outbox.put(store, Alert(customer, f"{number}", ""), f"{customer}:usage-drop:{number}", START, play="usage-drop")
    team = Team()

    send(store, team, clock)
    assert team.titles == [str(number) for number in range(8)]


@pytest.mark.parametrize("failure", [Retry("too many"), Unsure("the answer was lost"), Reconnect("revoked")])
def test_one_that_could_not_be_sent_stays_one_and_says_that_it_may_be_a_repeat(
    store: Store, clock: VirtualClock, failure: Failure
) -> None:
    put(store, 12)
    team = Team([failure])

    assert send(store, team, clock) == {"later": 12}
    (due,) = {row["due_at"] for row in rows(store)}
    clock.move_to(due)
    assert send(store, team, clock) == {"sent": 12}
    assert team.titles == ["(perhaps a repeat) Use has dropped: 12 customers"]


def test_one_that_a_crash_interrupted_is_told_again_as_one(store: Store, clock: VirtualClock) -> None:
    put(store, 12)
    first = outbox.claim(store, Lane.ALERT, START)
    assert first is not None
    assert len(outbox.claim_alike(store, first, START, 500)) == 11  # and the process dies
    clock.sleep(STRANDED_AFTER + 1)
    outbox.recover(store, Lane.ALERT, seconds(clock))
    team = Team()

    assert send(store, team, clock) == {"sent": 12}
    assert team.titles == ["(perhaps a repeat) Use has dropped: 12 customers"]


def test_one_that_the_place_will_never_take_has_failed_for_all(store: Store, clock: VirtualClock) -> None:
    put(store, 8)

    assert send(store, Team([GiveUp("no such channel")]), clock) == {"failed": 8}
    assert {(row["state"], row["reason"]) for row in rows(store)} == {("failed", "no such channel")}


def test_it_ends_for_all_after_as_many_tries_as_for_one(store: Store, clock: VirtualClock) -> None:
    put(store, 8)
    for _ in range(20):
        send(store, Team([Retry("too many")]), clock)
        clock.sleep(DAY)

    assert {(row["state"], row["attempts"]) for row in rows(store)} == {("failed", outbox.MOST_ATTEMPTS)}


def test_that_not_every_place_took_it_is_kept_beside_it(store: Store, clock: VirtualClock) -> None:
    put(store, 1)
    send(store, Team(remark="not everywhere: Discord (place 2) answered 404"), clock)

    assert [(row["state"], row["reason"]) for row in rows(store)] == [
        ("done", "not everywhere: Discord (place 2) answered 404")
    ]


def test_one_that_cannot_be_read_stops_no_other(store: Store, clock: VirtualClock) -> None:
    ids = put(store, 8)
    store.run("update effects set payload = :odd where id = :id", {"odd": '{"colour": "blue"}', "id": ids[3]})
    team = Team()

    send(store, team, clock)
    assert team.titles == ["Use has dropped: 7 customers"]
    assert [row["id"] for row in rows(store) if row["state"] == "failed"] == [ids[3]]


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=600)), min_size=1, max_size=60))
def test_no_message_is_long_and_everybody_is_counted(about: list[tuple[str, str]]) -> None:
    alert = told([Alert(f"cus_{place}", *words) for place, words in enumerate(about)], "Use has dropped", HOME)

    assert len(alert.lines) <= MOST_SINGLY + 1
    if len(about) > 1:
        assert alert.title == f"Use has dropped: {len(about)} customers"
        if len(about) > MOST_SINGLY:
            assert alert.lines[-1].text == f"And {len(about) - MOST_SINGLY} more."
