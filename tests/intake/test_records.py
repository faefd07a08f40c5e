"""Facts: the same one any number of times, in any order, is one; and the roll-up is always what grouping gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import START
from tests.intake.worlds import DAY, ROLLED, fact, laws, seen, take
from worker.facts import MILLION, Attribute, Fact, Identity
from worker.intake import records
from worker.intake.identity import Register
from worker.intake.inbox import take_in
from worker.lib.clock import local_day
from worker.lib.store import SqliteStore, Store

QUICKLY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

words = st.tuples(
    st.integers(0, 3),  # as of when the source says so
    st.sampled_from(["a", "b", "c"]),  # which fact
    st.sampled_from(["usage", "login"]),
    st.sampled_from(["", "export"]),
    st.integers(0, 2),  # on which day
    st.integers(-2, 3),  # value
)


@pytest.fixture
def memory() -> Iterator[Store]:
    store = SqliteStore(None)
    store.migrate()
    yield store
    store.close()


def _fresh(store: Store) -> tuple[str, str]:
    customer_id = records.add_customer(store, name="Acme", first_at=START)
    return customer_id, records.add_identity(store, Identity("app", customer_id), customer_id, START)


def _told(store: Store, saying: list[tuple[int, str, str, str, int, int]], who: str) -> list[tuple[object, ...]]:
    """Tell it all to a customer of its own, and give the facts and the roll-up that came of it."""
    customer_id, identity_id = _fresh(store)
    for sighted, which, kind, label, day, value in saying:
        one = Fact(kind, START + day * DAY + sighted, f"app{who}", which, value * 1_000_000, label)
        records.add_facts(store, customer_id, identity_id, [one], sighted_at=START + sighted)
    binds = {"id": customer_id}
    facts = store.rows(
        "select source_id, kind, label, at, day, value from facts where customer_id = :id order by source_id", binds
    )
    rolled = [row for row in store.rows(ROLLED) if row["customer_id"] == customer_id]
    return [tuple(row.values()) for row in facts] + [tuple(row.values())[1:] for row in rolled]


@QUICKLY
@given(saying=st.lists(words, min_size=1, max_size=8), dice=st.randoms(use_true_random=False))
def test_the_order_and_number_of_times_in_which_facts_come_decides_nothing(
    memory: Store, saying: list[tuple[int, str, str, str, int, int]], dice: object
) -> None:
    shuffled = [*saying, *saying[:3]]
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis calls its Random an object
    number = memory.value("select count(*) as n from customers")

    assert _told(memory, saying, f"{number}-1") == _told(memory, shuffled, f"{number}-2")
    laws(memory)


def test_a_fact_that_comes_again_is_one_row_and_no_news(store: Store) -> None:
    customer_id, identity_id = _fresh(store)
    one = [fact("f1")]

    assert [records.add_facts(store, customer_id, identity_id, one, sighted_at=START) for _ in range(3)] == [1, 0, 0]
    assert store.value("select count(*) as n from facts") == 1


def test_a_newer_word_replaces_an_older_one_and_never_the_reverse(store: Store) -> None:
    customer_id, identity_id = _fresh(store)
    for sighted, value in ((5, 3), (9, 4), (7, 8)):
        records.add_facts(store, customer_id, identity_id, [fact("f1", value=value)], sighted_at=START + sighted)

    assert store.rows("select value from facts") == [{"value": 4_000_000}]
    laws(store)


def test_a_kind_outside_the_vocabulary_is_refused(store: Store) -> None:
    customer_id, identity_id = _fresh(store)

    with pytest.raises(KeyError, match="sneezed"):
        records.add_facts(store, customer_id, identity_id, [fact("f1", "sneezed")])
    assert records.add_facts(store, customer_id, identity_id, [fact("f2", "custom.sneezed")]) == 1


@pytest.mark.parametrize(
    ("own", "received", "expected"),
    [(0, 0, 10), (0, 50, 50), (0, 5, 10), (30, 50, 30)],
    ids=["history is known when it happened", "live is known when it came", "never before it happened", "its own word"],
)
def test_when_a_fact_was_known(store: Store, own: int, received: int, expected: int) -> None:
    customer_id, identity_id = _fresh(store)
    records.add_facts(
        store, customer_id, identity_id, [Fact("login", 10, "app", "f1", known_at=own)], known_at=received
    )

    assert store.value("select known_at from facts") == expected


def test_a_fact_that_comes_again_is_known_since_the_first_time(store: Store) -> None:
    customer_id, identity_id = _fresh(store)
    for received in (50, 90):
        records.add_facts(
            store, customer_id, identity_id, [Fact("login", 10, "app", "f1")], known_at=received, sighted_at=received
        )

    assert store.value("select known_at from facts") == 50


@pytest.mark.parametrize(
    ("learned", "expected"),
    [
        ((50, 90), [(50, 90)]),
        ((50, 90, 120), [(50, 90), (90, 120)]),
        ((50, 50), []),
        ((50, 0), []),
        ((0, 90), [(10, 90)]),
        ((50, 90, 0), []),
    ],
    ids=["once", "twice", "in the same second", "by history", "what history said", "and then by history"],
)
def test_what_a_fact_said_is_kept_for_as_long_as_it_was_known(
    store: Store, learned: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    customer_id, identity_id = _fresh(store)
    for n, at in enumerate(learned, start=1):
        said = Fact("login", 10, "app", "f1", n * MILLION)
        records.add_facts(store, customer_id, identity_id, [said], known_at=at, sighted_at=100 + n)

    former = store.rows("select value, known_at, until from former_facts order by until")
    assert [(row["known_at"], row["until"]) for row in former] == expected
    assert [row["value"] for row in former] == [n * MILLION for n in range(1, len(former) + 1)]
    last = store.row("select value, known_at, mended_at from facts") or {}
    assert last["value"] == len(learned) * MILLION
    assert max(last["known_at"], last["mended_at"]) == (learned[-1] or 10)


def test_what_a_fact_said_of_tomorrow_was_never_known(store: Store) -> None:
    customer_id, identity_id = _fresh(store)
    for n, (at, learned) in enumerate(((500, 50), (60, 90))):
        records.add_facts(
            store, customer_id, identity_id, [Fact("login", at, "app", "f1")], known_at=learned, sighted_at=n
        )

    assert store.rows("select * from former_facts") == []
    assert store.value("select known_at from facts") == 90


def test_only_what_changes_something_asks_for_a_new_assessment(store: Store) -> None:
    take(store, seen("app:1", facts=(fact("f1"),)))
    store.run("delete from dirty")
    take(store, seen("app:1", facts=(fact("f1"),)))
    assert store.rows("select customer_id from dirty") == []

    take(store, seen("app:1", at=1, facts=(fact("f1", value=9),)))
    assert len(store.rows("select customer_id from dirty")) == 1


def test_a_changed_time_zone_dates_the_facts_anew(store: Store) -> None:
    late = Fact("login", START + 23 * 3600, "app", "f1")
    take(store, seen("app:1", facts=(late,)))
    assert store.value("select day from rollup") == local_day(START)

    take(store, seen("app:1", at=1, attributes=(Attribute("time_zone", "Asia/Tokyo", START + DAY),)))

    assert store.value("select day from rollup") == local_day(START) + 1
    laws(store)


def test_a_fact_that_moves_to_another_customer_leaves_no_trace_with_the_first(store: Store) -> None:
    take(store, seen("app:1", facts=(fact("f1"),)), seen("app:2", at=1, facts=(fact("f1"),)))

    assert store.value("select count(*) as n from facts") == 1
    assert store.value("select i.external_id from rollup r join identities i on i.customer_id = r.customer_id") == "2"
    laws(store)


def test_of_two_values_of_one_second_the_greater_holds_whichever_came_first(store: Store) -> None:
    customer_id, identity_id = _fresh(store)
    for plans in (("pro", "basic"), ("basic", "pro")):
        store.run("delete from attributes")
        for plan in plans:
            records.put_attributes(store, customer_id, identity_id, [Attribute("plan", plan, START)])
        assert store.rows("select value from attributes") == [{"value": "pro"}]


@QUICKLY
@given(saying=st.lists(words, max_size=10), zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]))
def test_the_roll_up_holds_through_merges_and_moves(
    memory: Store, saying: list[tuple[int, str, str, str, int, int]], zone: str
) -> None:
    number = memory.value("select count(*) as n from customers")
    one, two = f"app:{number}a", f"app:{number}b"
    for place, (sighted, which, kind, label, day, value) in enumerate(saying):
        who = (one, two)[place % 2]
        take(memory, seen(who, at=sighted, facts=(fact(f"{number}{which}", kind, day, value, label),)))
    take(memory, seen(one, at=4), seen(two, at=4))
    take_in(memory, "app", [seen(two, one, at=5)], START + 100 * DAY, time_zone=zone)
    laws(memory)
    merge = memory.value("select id from merges order by id desc")
    Register(memory, START).unmerge(merge)
    laws(memory)
