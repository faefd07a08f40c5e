"""The outbox: one row an intent, one taker a row, and nothing forgotten after a crash."""

from __future__ import annotations

import threading

import pytest

from tests.dispatch.business import NOON
from worker.dispatch import outbox
from worker.effects import Alert, Effect, Lane, Mail, Standing
from worker.intake import records
from worker.lib.clock import HOUR
from worker.lib.store import Store


@pytest.fixture
def customer_id(store: Store) -> str:
    return records.add_customer(store, name="Ada", first_at=NOON)


def effects(customer_id: str) -> list[Effect]:
    return [
        Standing(customer_id, "1", "green", "71", "active", NOON),
        Mail(
            customer_id, "a@b.example", "Ada", "usage-drop", "usage-drop", "service", {"usage_days": "3"}, NOON + HOUR
        ),
        Alert(customer_id, "Ada turned red", "2 invoices unpaid"),
    ]


def test_what_is_put_is_taken_as_it_was_put(store: Store, customer_id: str) -> None:
    for effect in effects(customer_id):
        effect_id = outbox.put(store, effect, f"key:{effect.lane}", NOON, play="a play")

        queued = outbox.claim(store, effect.lane, NOON)

        assert queued is not None
        assert (queued.id, queued.effect, queued.play, queued.attempts) == (effect_id, effect, "a play", 1)


def test_the_same_intent_any_number_of_times_is_one_row(store: Store, customer_id: str) -> None:
    alert = effects(customer_id)[2]

    ids = [outbox.put(store, alert, "the same", NOON + second) for second in range(5)]

    assert ids[0] != ""
    assert ids[1:] == [""] * 4
    assert outbox.claim(store, Lane.ALERT, NOON + 9) is not None
    assert outbox.claim(store, Lane.ALERT, NOON + 9) is None


def test_however_many_take_at_once_each_effect_is_taken_once(store: Store, customer_id: str) -> None:
    with store.atomic():
        for number in range(40):
            outbox.put(store, Alert(customer_id, f"{number}", ""), f"alert:{number}", NOON)
    taken: list[str] = []
    start = threading.Barrier(5)

    def worker() -> None:
        start.wait()
        while (queued := outbox.claim(store, Lane.ALERT, NOON)) is not None:
            taken.append(queued.id)
        taken.extend(one.id for one in outbox.claim_all(store, Lane.ALERT, NOON, 10))
        store.let_go()

    threads = [threading.Thread(target=worker) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken))
    assert set(taken) <= {row["id"] for row in store.rows("select id from effects")}
    left = outbox.claim_all(store, Lane.ALERT, NOON, 100)  # PostgreSQL passes over rows that others are taking
    assert len(taken) + len(left) == 40


def test_what_is_not_due_yet_is_not_taken(store: Store, customer_id: str) -> None:
    alert = effects(customer_id)[2]
    effect_id = outbox.put(store, alert, "later", NOON, due_at=NOON + HOUR)

    assert outbox.claim(store, Lane.ALERT, NOON + HOUR - 1) is None
    assert outbox.claim_this(store, effect_id, NOON + HOUR - 1) is None
    assert outbox.due(store, Lane.ALERT, NOON + HOUR, 10) == {effect_id: ""}
    assert outbox.claim_this(store, effect_id, NOON + HOUR) is not None
    assert outbox.claim_this(store, effect_id, NOON + HOUR) is None


def test_after_a_crash_a_mail_asks_and_the_others_are_done_again(store: Store, customer_id: str) -> None:
    ids = {effect.lane: outbox.put(store, effect, effect.lane, NOON) for effect in effects(customer_id)}
    for lane in Lane:
        outbox.claim(store, lane, NOON)

    assert outbox.recover(store, NOON + outbox.STRANDED_AFTER - 1, mail_deduplicates=False) == {}
    became = outbox.recover(store, NOON + outbox.STRANDED_AFTER, mail_deduplicates=False)

    assert became == {"waiting": 2, "unknown": 1}
    states = {row["lane"]: row["state"] for row in store.rows("select lane, state from effects")}
    assert states == {"crm": "waiting", "alert": "waiting", "mail": "unknown"}
    assert outbox.claim_this(store, ids[Lane.MAIL], NOON + 10**8) is None


def test_a_mail_is_done_again_only_where_the_channel_deduplicates(store: Store, customer_id: str) -> None:
    outbox.put(store, effects(customer_id)[1], "mail", NOON)
    outbox.claim(store, Lane.MAIL, NOON)

    assert outbox.recover(store, NOON + HOUR, mail_deduplicates=True) == {"waiting": 1}


def test_a_failure_that_may_pass_is_waited_for_longer_each_time_and_given_up_in_the_end(
    store: Store, customer_id: str
) -> None:
    effect_id, now, waits = outbox.put(store, effects(customer_id)[2], "alert", NOON), NOON, []
    while (queued := outbox.claim(store, Lane.ALERT, now)) is not None:
        outbox.try_later(store, queued, now, "Slack is unwell", None)
        row = store.row("select state, due_at, reason from effects where id = :id", {"id": effect_id})
        assert row is not None
        waits.append(row["due_at"] - now)
        now = row["due_at"]
        if row["state"] == "failed":
            break

    assert waits[:-1] == sorted(set(waits[:-1]))
    assert len(waits) == outbox.MOST_ATTEMPTS
    assert row is not None
    assert row["reason"] == "tried 8 times; last: Slack is unwell"


@pytest.mark.parametrize(("asked", "waits"), [(3600.5, 3601), (10.0, 61), (1e300, outbox.LONGEST_WAIT + 1)])
def test_nothing_is_tried_earlier_than_the_vendor_asks(
    store: Store, customer_id: str, asked: float, waits: int
) -> None:
    outbox.put(store, effects(customer_id)[2], "alert", NOON)
    queued = outbox.claim(store, Lane.ALERT, NOON)
    assert queued is not None

    outbox.try_later(store, queued, NOON, "429", asked)

    assert store.value("select due_at from effects") == NOON + waits


def test_what_another_version_wrote_is_given_up_and_stops_nobody(store: Store, customer_id: str) -> None:
    for number in range(3):
        outbox.put(store, Alert(customer_id, f"{number}", ""), f"alert:{number}", NOON)
    store.run("update effects set payload = :odd where key = 'alert:0'", {"odd": '{"colour": "blue"}'})
    store.run("update effects set kind = 'pigeon' where key = 'alert:1'")

    queued = outbox.claim(store, Lane.ALERT, NOON)

    assert queued is not None
    assert queued.key == "alert:2"
    rows = store.rows("select state, reason from effects order by key")
    assert [row["state"] for row in rows] == ["failed", "failed", "sending"]
    assert rows[0]["reason"].startswith("cannot be read")


def test_an_end_is_final(store: Store, customer_id: str) -> None:
    effect_id = outbox.put(store, effects(customer_id)[2], "alert", NOON)
    assert not outbox.finish(store, effect_id, "done", NOON)  # nobody has taken it
    outbox.claim(store, Lane.ALERT, NOON)

    assert outbox.finish(store, effect_id, "unknown", NOON)
    assert not outbox.finish(store, effect_id, "done", NOON)
    assert store.value("select state from effects") == "unknown"
