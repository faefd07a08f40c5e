"""When mails wait or stop, by what came back of them: the limits, and the numbers from either database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import START
from tests.plays.post import Post
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.plays import sending
from worker.plays.reputation import FINE, Reputation, standing, worse
from worker.plays.sending import Numbers

ORDER = ("fine", "pause", "stop")
counts = st.integers(0, 5000)


# -- the limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "complaints", "state"),
    [
        (0, 0, "fine"),
        (20, 1, "fine"),  # one of 20 is 5 %, and says little
        (20, 2, "pause"),
        (2000, 2, "pause"),  # 0.1 %
        (2001, 2, "fine"),
        (1000, 3, "stop"),  # 0.3 %
        (1001, 3, "pause"),
        (5000, 14, "pause"),
        (0, 3, "stop"),
    ],
)
def test_complaints_pause_at_a_tenth_of_a_percent_and_stop_at_three(sent: int, complaints: int, state: str) -> None:
    assert standing(sent, complaints, 0).state == state


@pytest.mark.parametrize(
    ("newest", "bounced", "state"),
    [(100, 5, "pause"), (100, 4, "fine"), (40, 5, "pause"), (40, 4, "fine"), (0, 0, "fine")],
)
def test_a_play_waits_when_five_of_its_last_hundred_mails_came_back(newest: int, bounced: int, state: str) -> None:
    assert standing(1000, 0, bounced, newest=newest).state == state


def test_what_is_lacking_makes_mails_wait_and_is_told() -> None:
    found = standing(0, 0, 0, ["SPF: none", "DKIM: none"])

    assert found == Reputation("pause", "the sender's records are not in order: SPF: none, and 1 more")


def test_a_stop_tells_its_numbers_and_holds_whatever_comes_after() -> None:
    stopped = standing(1000, 4, 0)

    assert stopped.reason == (
        "4 people called one of the 1000 mails of the last 30 days spam (0.40%); mailbox providers refuse senders from 0.3% on"
    )
    assert standing(10**6, 0, 0, stopped=stopped.reason) == stopped


@given(counts, counts, counts, st.booleans(), st.integers(0, 50))
def test_more_trouble_never_lets_more_leave(sent: int, complaints: int, bounced: int, lacking: bool, more: int) -> None:
    findings = ["SPF: none"] * lacking
    before = ORDER.index(standing(sent, complaints, bounced, findings).state)

    for after in (
        standing(sent, complaints + more, bounced, findings), standing(sent, complaints, bounced + more, findings),
        standing(sent, complaints, bounced, [*findings, "DKIM: none"]), standing(max(0, sent - more), complaints, bounced, findings),
    ):  # fmt: skip
        assert ORDER.index(after.state) >= before


@given(counts, counts)
def test_nothing_but_what_is_fine_goes_without_a_reason(sent: int, complaints: int) -> None:
    found = standing(sent, complaints, 0)

    assert bool(found.reason) == (found.state != "fine")
    assert worse(found, FINE) == worse(FINE, found) == found


# -- the numbers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def post(store: Store) -> Post:
    found = Post(store)
    sending.keep(store, START, [])
    return found


def test_mails_and_people_who_complained_are_counted_for_thirty_days(post: Post) -> None:
    mails = [post.mailed("usage-drop", START + n) for n in range(20)]
    post.mailed("usage-drop", START - 31 * DAY)
    post.mailed("usage-drop", START, state="failed")
    post.complained(mails[0], "ada@x.example", START + 100)
    post.complained(mails[1], "ada@x.example", START + 101)  # one person
    post.complained("", "bob@x.example", START + 102)  # nobody knows of which mail
    now = START + DAY

    assert sending.numbers(post.store, "usage-drop", now - 30 * DAY) == Numbers(20, 1, 20, 0)
    assert sending.numbers(post.store, "", now - 30 * DAY) == Numbers(20, 2, 0, 0)
    assert sending.reputation(post.store, "usage-drop", now).state == "pause", "of all plays together"
    assert sending.reputation(post.store, "usage-drop", now + 31 * DAY) == FINE, "it has fallen below"


def test_one_play_that_is_complained_about_waits_alone_where_all_together_are_below(post: Post) -> None:
    with post.store.atomic():
        for n in range(2000):
            post.mailed("good", START + n)
    for n in range(2):
        post.complained(post.mailed("bad", START + n), f"{n}@x.example", START + 100)

    assert sending.reputation(post.store, "bad", START + DAY).state == "pause"
    assert sending.reputation(post.store, "good", START + DAY) == FINE


def test_a_stop_holds_until_a_person_lifts_it_and_then_all_is_counted_anew(post: Post) -> None:
    for n in range(3):
        post.complained(post.mailed("bad", START + n), f"{n}@x.example", START + 100)
    stopped = sending.reputation(post.store, "bad", START + DAY)
    assert stopped.state == "stop"
    assert sending.reputation(post.store, "bad", START + 90 * DAY) == stopped, "though nothing was sent since"

    sending.lift(post.store, "bad", START + 2 * DAY)
    assert sending.reputation(post.store, "bad", START + 3 * DAY).state == "stop", "all mails together are stopped too"
    sending.lift(post.store, "", START + 2 * DAY)
    assert sending.reputation(post.store, "bad", START + 3 * DAY) == FINE
    post.complained("", "late@x.example", START + 3 * DAY)
    assert sending.reputation(post.store, "", START + 4 * DAY) == FINE, "what was before does not count any more"


def test_hard_bounces_of_the_newest_hundred_mails_make_a_play_wait_and_soft_ones_do_not(post: Post) -> None:
    old = [post.mailed("drop", START + n) for n in range(5)]
    with post.store.atomic():
        new = [post.mailed("drop", START + 100 + n) for n in range(95)]
    for effect_id in old:
        post.bounced(effect_id, START + 300)
    for effect_id in new[:20]:
        post.bounced(effect_id, START + 300, final=0)
    now = START + DAY

    assert (
        sending.reputation(post.store, "drop", now).reason == "5 of the last 100 mails could not be delivered for good"
    )
    post.mailed("drop", START + 400)
    assert sending.reputation(post.store, "drop", now) == FINE, "one of the five is no longer among the last hundred"


def test_what_was_not_looked_at_or_not_answered_is_no_pass(store: Store) -> None:
    assert "nobody has looked" in sending.reputation(store, "drop", START).reason

    sending.keep(store, START, [], not_asked=["SPF: could not be asked"])
    assert "SPF: could not be asked" in sending.reputation(store, "drop", START).reason
    sending.keep(store, START + 1, [])
    assert sending.reputation(store, "drop", START + 1) == FINE
    sending.keep(store, START + 2, [], not_asked=["SPF: could not be asked"])
    assert sending.reputation(store, "drop", START + 2) == FINE, "it was in order when it was last answered"


def test_a_name_system_that_fails_takes_no_finding_back(store: Store) -> None:
    sending.keep(store, START, ["DKIM: none"])
    sending.keep(store, START + 1, ["SPF: none"], not_asked=["DKIM: could not be asked"])

    kept = sending.seen(store)
    assert kept is not None
    assert kept.findings == ("SPF: none", "DKIM: none")
    assert (kept.at, kept.asked_at) == (START + 1, START)
