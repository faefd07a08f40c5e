"""The outbox: one row an intent, one taker a row, and nothing forgotten after a crash."""

from __future__ import annotations

import threading

import pytest

from tests.dispatch.business import NOON
from worker.dispatch import outbox
from worker.effects import Alert, Effect, Lane, Mail, Sms, Standing, Task
from worker.intake import records
from worker.lib.clock import DAY, HOUR
from worker.lib.store import Store, sql


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


def test_however_many_take_at_once_each_effect_is_taken_once(store: Store) -> None:
    with store.atomic():
        for number in range(40):
            one = records.add_customer(store, name=f"{number}", first_at=NOON)
            outbox.put(store, Alert(one, f"{number}", ""), f"alert:{number}", NOON)
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
    _, mail, alert = effects(customer_id)
    outbox.put(store, alert, "later", NOON, due_at=NOON + HOUR)
    effect_id = outbox.put(store, mail, "a letter", NOON, due_at=NOON + HOUR)

    assert outbox.claim(store, Lane.ALERT, NOON + HOUR - 1) is None
    assert outbox.claim_letter(store, effect_id, NOON + HOUR - 1) is None
    assert outbox.letters_due(store, Lane.MAIL, NOON + HOUR - 1, 10) == {}
    assert outbox.letters_due(store, Lane.MAIL, NOON + HOUR, 10) == {effect_id: "a@b.example"}
    assert outbox.claim_letter(store, effect_id, NOON + HOUR) is not None
    assert outbox.claim_letter(store, effect_id, NOON + HOUR) is None
    assert outbox.claim(store, Lane.ALERT, NOON + HOUR) is not None


# -- in which order -----------------------------------------------------------------------------------------------------


def letter(customer_id: str, to: str = "a@b.example", play: str = "usage-drop", **more: str) -> Mail:
    return Mail(customer_id, to, "Ada", play, play, "service", {"usage_days": "3"}, NOON + DAY, **more)


def put_letter(store: Store, one: Mail, *, due_at: int = NOON) -> str:
    n = store.value("select count(*) as n from effects")
    return outbox.put(store, one, f"{one.play}:{n}", NOON, play=one.play, due_at=due_at)


def test_of_one_customer_or_one_address_never_two_letters_are_under_way(store: Store, customer_id: str) -> None:
    other = records.add_customer(store, name="Bob", first_at=NOON)
    first = put_letter(store, letter(customer_id))
    same_customer = put_letter(store, letter(customer_id, "other@b.example", "low-nps"))
    same_address = put_letter(store, letter(other, play="low-nps"))
    text = Sms(customer_id, "+491511", "Ada", "call-me", "call-me", "service", {}, NOON + DAY)
    by_phone = outbox.put(store, text, "sms", NOON, play="call-me")
    held = [same_customer, same_address, by_phone]

    assert outbox.claim_letter(store, first, NOON) is not None
    assert [outbox.claim_letter(store, one, NOON) for one in held] == [None] * 3
    assert outbox.letters_due(store, Lane.MAIL, NOON, 10) == {}
    assert outbox.letters_due(store, Lane.SMS, NOON, 10) == {}

    outbox.finish(store, first, "done", NOON)
    assert outbox.letters_due(store, Lane.MAIL, NOON, 10).keys() == {same_customer, same_address}
    assert outbox.claim_letter(store, by_phone, NOON) is not None
    assert outbox.claim_letter(store, same_address, NOON) is not None
    assert outbox.claim_letter(store, same_customer, NOON) is None  # a text message to the same customer is under way


@pytest.mark.parametrize("state", ["waiting", "held", "asked"])
def test_a_later_step_of_a_play_never_overtakes_an_earlier_one(store: Store, customer_id: str, state: str) -> None:
    first = put_letter(store, letter(customer_id))
    second = put_letter(store, letter(customer_id, step="reminder"))
    of_another_play = put_letter(store, letter(customer_id, play="low-nps"))
    store.run("update effects set state = :state, due_at = :at where id = :id",
              {"state": state, "at": NOON + HOUR, "id": first})  # fmt: skip

    assert outbox.letters_due(store, Lane.MAIL, NOON, 10).keys() == {of_another_play}
    assert outbox.claim_letter(store, second, NOON) is None

    late = NOON + outbox.HELD_AT_MOST
    assert outbox.letters_due(store, Lane.MAIL, late, 10).keys() >= {second}  # so that it can end
    store.run("update effects set state = 'refused' where id = :id", {"id": first})
    assert outbox.claim_letter(store, second, NOON) is not None


def test_the_story_that_alerts_tell_of_a_customer_stays_in_order(store: Store, customer_id: str) -> None:
    other = records.add_customer(store, name="Bob", first_at=NOON)
    for title, whose in (("red", customer_id), ("green again", customer_id), ("Bob is red", other)):
        outbox.put(store, Alert(whose, title, ""), title, NOON, play=title)
    red = outbox.claim(store, Lane.ALERT, NOON)
    assert red is not None
    outbox.try_later(store, red, NOON, "Slack is unwell", None)

    taken = [outbox.claim(store, Lane.ALERT, NOON) for _ in range(2)]

    assert [one and one.key for one in taken] == ["Bob is red", None]
    later = [outbox.claim(store, Lane.ALERT, NOON + HOUR)]
    assert [one and one.key for one in later] == ["red"]


# -- after a crash ------------------------------------------------------------------------------------------------------


def hand_over(store: Store, effect_id: str, attempt: int, at: int) -> None:
    """As the lane notes it right before."""
    store.run(
        sql("dispatch", "hand_over"),
        {
            "effect_id": effect_id, "attempt": attempt, "now": at, "message_id": f"<{effect_id}@b.example>",
            "sender": "", "subject": "", "body": "", "html": "", "basis": "", "mail": "{}",
        },
    )  # fmt: skip


def test_after_a_crash_a_mail_that_may_have_left_asks_and_the_others_are_done_again(
    store: Store, customer_id: str
) -> None:
    ids = {effect.lane: outbox.put(store, effect, effect.lane, NOON) for effect in effects(customer_id)}
    task = Task(customer_id, "1", "7", "Call Ada", "…", NOON, "a play")
    ids[Lane.TASK] = outbox.put(store, task, "task", NOON)
    for lane in (Lane.CRM, Lane.ALERT, Lane.TASK):
        outbox.claim(store, lane, NOON)
    outbox.claim_letter(store, ids[Lane.MAIL], NOON)
    hand_over(store, ids[Lane.MAIL], 1, NOON)
    now = NOON + outbox.STRANDED_AFTER

    assert [outbox.recover(store, lane, now - 1) for lane in Lane] == [{}] * 5
    became = {lane: outbox.recover(store, lane, now) for lane in Lane}

    again = {"waiting": 1}
    assert became == {
        Lane.CRM: again, Lane.ALERT: again, Lane.TASK: again, Lane.MAIL: {"unknown": 1}, Lane.SMS: {},
    }  # fmt: skip
    assert outbox.claim_letter(store, ids[Lane.MAIL], NOON + 10**8) is None
    # a task that is on its way may still arrive: it is looked for only when that is over
    assert outbox.claim(store, Lane.TASK, NOON + outbox.SETTLED_AFTER - 1) is None
    found = outbox.claim(store, Lane.TASK, NOON + outbox.SETTLED_AFTER)
    assert found is not None
    assert (found.attempts, found.tried_at) == (2, NOON)


@pytest.mark.parametrize(
    ("handed", "deduplicates", "hours", "state"),
    [
        (None, False, 0, "waiting"),  # nobody had begun to hand it over
        (0, False, 0, "waiting"),  # nor had anybody in this attempt
        (1, False, 0, "unknown"),
        (1, True, 0, "waiting"),  # the channel knows the key
        (1, True, 1, "unknown"),  # the key may have run out
    ],
)
def test_a_mail_is_sent_again_only_where_that_cannot_be_a_second_time(
    store: Store, customer_id: str, handed: int | None, deduplicates: bool, hours: int, state: str
) -> None:
    effect_id = outbox.put(store, effects(customer_id)[1], "mail", NOON)
    outbox.claim_letter(store, effect_id, NOON)
    if handed is not None:
        hand_over(store, effect_id, handed, NOON)

    now = NOON + outbox.STRANDED_AFTER + hours * HOUR
    assert outbox.recover(store, Lane.MAIL, now, deduplicates=deduplicates) == {state: 1}


# -- what may pass ------------------------------------------------------------------------------------------------------


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
def test_nothing_is_tried_earlier_than_the_vendor_asks_and_many_do_not_come_back_at_once(
    store: Store, asked: float, waits: int
) -> None:
    for number in range(30):
        one = records.add_customer(store, name=f"{number}", first_at=NOON)
        outbox.put(store, Alert(one, f"{number}", ""), f"alert:{number}", NOON)
        queued = outbox.claim(store, Lane.ALERT, NOON)
        assert queued is not None
        outbox.try_later(store, queued, NOON, "429", asked)

    due = [row["due_at"] - NOON for row in store.rows("select due_at from effects")]

    assert min(due) >= waits
    assert max(due) - min(due) >= 0.1 * waits
    assert max(due) <= 1.25 * waits + 1


def test_a_lane_rests_for_as_long_as_its_vendor_asks_and_no_other_with_it(store: Store) -> None:
    outbox.rest(store, Lane.MAIL, NOON, 600.0, "503 Retry-After: 600")
    outbox.rest(store, Lane.MAIL, NOON, None, "and again, without a word")

    assert outbox.resting(store, Lane.MAIL, NOON + 600) == "503 Retry-After: 600"
    assert outbox.resting(store, Lane.MAIL, NOON + 602) == ""
    assert outbox.resting(store, Lane.CRM, NOON) == ""


def test_what_another_version_wrote_is_given_up_and_stops_nobody(store: Store, customer_id: str) -> None:
    for number in range(3):
        outbox.put(store, Alert(customer_id, f"{number}", ""), f"alert:{number}", NOON, due_at=NOON - 9 + number)
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
