"""Hold-outs on either database: who is drawn, who counts, and what the past tells."""

from __future__ import annotations

import pytest

from tests.conftest import START
from tests.plays.post import Post
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.plays import trials
from worker.plays.trials import Arms, HoldOut

WEEK = 7 * DAY


@pytest.fixture
def post(store: Store) -> Post:
    return Post(store, customers=200)


def on(play: str = "usage-drop", percent: int = 30, at: int = START) -> HoldOut:
    return HoldOut(play, percent, 0.8, 0.05, 500, at)


def drawn(post: Post, one: HoldOut, at: int = START, customers: range = range(200)) -> set[str]:
    with post.store.atomic():
        return {f"cus_{n}" for n in customers if trials.assign(post.store, one, f"cus_{n}", at, "band:1")}


def test_both_arms_are_written_the_first_time_and_never_again(post: Post) -> None:
    held = drawn(post, on())
    again = drawn(post, on(), START + DAY)

    assert again == held
    assert trials.arms(post.store, "usage-drop", START) == Arms(200 - len(held), len(held), 0, 0)
    assert 30 < len(held) < 90
    assert post.store.rows("select distinct at, occasion from trials") == [{"at": START, "occasion": "band:1"}]


def test_every_play_has_its_own_draw_and_every_workspace_its_own_salt(post: Post) -> None:
    held = drawn(post, on())

    assert drawn(post, on("low-nps")) != held
    post.store.run("delete from trials")
    post.store.run("delete from switches")
    assert drawn(post, on()) != held


def test_what_is_on_is_told_until_it_is_switched_off(store: Store) -> None:
    assert trials.switched_on(store) == {}
    trials.switch_on(store, on())
    trials.switch_on(store, on("low-nps", 10, START + 1))
    assert trials.switched_on(store) == {"low-nps": on("low-nps", 10, START + 1), "usage-drop": on()}
    trials.switch_off(store, "low-nps", START + 2)
    assert trials.switched_on(store) == {"usage-drop": on()}


def test_whoever_was_drawn_in_an_earlier_hold_out_counts_in_neither_arm_and_is_acted_for(post: Post) -> None:
    drawn(post, on(), customers=range(100))
    later = on(at=START + WEEK)

    assert drawn(post, later, START + 2 * WEEK, range(100)) == set()
    held = drawn(post, later, START + 2 * WEEK, range(100, 200))
    assert trials.arms(post.store, "usage-drop", later.at) == Arms(100 - len(held), len(held), 0, 100)


def test_whoever_was_merged_away_is_told_apart(post: Post) -> None:
    held = drawn(post, on())
    post.store.run("update customers set merged_into = 'cus_1' where id = :id", {"id": min(held)})

    assert trials.arms(post.store, "usage-drop", START) == Arms(200 - len(held), len(held) - 1, 1, 0)


def test_the_pace_counts_customers_the_first_time_whether_something_was_done_or_refused(post: Post) -> None:
    now = START + 20 * WEEK
    for n in range(10):
        post.mailed("usage-drop", now - n * DAY, customer=f"cus_{n}")
        post.refused("usage-drop", now - n * DAY, customer=f"cus_{n + 5}")
    post.refused("usage-drop", now - 13 * WEEK, customer="cus_0")  # not for the first time
    post.mailed("low-nps", now, customer="cus_90")

    assert trials.past(post.store, "usage-drop", now).per_week == pytest.approx(14 / 12)
    post.store.run(f"insert into switches (name, value, at) values ('first_pass', 'done', {now - 4 * WEEK})")
    assert trials.past(post.store, "usage-drop", now).per_week == pytest.approx(14 / 4), "there were only four weeks"


def test_whoever_left_within_ninety_days_did_not_stay(post: Post) -> None:
    now = START + 200 * DAY
    post.store.run(
        "insert into identities (id, source, external_id, customer_id, at, via) values ('i', 's', 'e', 'cus_0', 0, 'first')"
    )
    for n in range(4):
        post.mailed("usage-drop", START, customer=f"cus_{n}")
    post.mailed("usage-drop", now - 89 * DAY, customer="cus_9")  # has not had its time
    for n, at in ((0, START + 90 * DAY), (1, START + 90 * DAY + 1), (2, START - 1)):
        post.store.run(
            "insert into facts (id, customer_id, identity_id, kind, at, known_at, day, value, source, source_id, sighted_at)"
            " values (:id, :customer, 'i', 'left', :at, :at, 0, 1, 's', :id, 0)",
            {"id": f"f{n}", "customer": f"cus_{n}", "at": at},
        )

    past = trials.past(post.store, "usage-drop", now)
    assert (past.seen, past.stayed) == (4, 3)
