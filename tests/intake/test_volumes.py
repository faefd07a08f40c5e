"""The volumes are always what counting the facts gives, in the workspace's days."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import START
from worker.facts import Fact, Identity, Sighting
from worker.intake import inbox, records
from worker.intake.volumes import counted, recount, volumes_of
from worker.lib.clock import DAY, HOUR
from worker.lib.store import SqliteStore, Store

FACTS = st.builds(
    lambda kind, hours, number: Fact(kind, START + hours * HOUR, "shop", f"f{number}"),
    st.sampled_from(["usage", "login", "payment"]),
    st.integers(-60, 60),
    st.integers(0, 9),
)


def take(store: Store, facts: list[Fact], at: int, zone: str, who: str = "1") -> None:
    sighting = Sighting(at, (Identity("shop", who),), facts=tuple(facts))
    inbox.take_in(store, "shop", [sighting], at, time_zone=zone)


def kept(store: Store) -> dict[str, dict[int, int]]:
    return volumes_of(store, "shop", 0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(FACTS, max_size=8), max_size=4), st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]))
def test_added_and_mended_facts_are_counted_as_all_facts_together_are(portions: list[list[Fact]], zone: str) -> None:
    store = SqliteStore(None)
    store.migrate()
    for place, facts in enumerate(portions):
        take(store, facts, START + place, zone)
    before = kept(store)

    recount(store, zone)

    assert before == kept(store)
    store.close()


def test_facts_count_on_the_workspaces_day_whatever_the_customers_is(store: Store) -> None:
    midnight = START
    take(
        store, [Fact("usage", midnight - HOUR, "shop", "late"), Fact("usage", midnight, "shop", "early")], START, "UTC"
    )

    assert kept(store) == {"usage": {START // DAY - 1: 1, START // DAY: 1}}
    counted(store, "Europe/Berlin")
    assert kept(store) == {"usage": {START // DAY: 2}}


def test_a_database_from_before_is_counted_once(store: Store) -> None:
    take(store, [Fact("usage", START, "shop", "1")], START, "UTC")
    store.run("delete from volumes")

    counted(store, "UTC")
    assert kept(store) == {"usage": {START // DAY: 1}}
    store.run("delete from volumes")
    counted(store, "UTC")
    assert kept(store) == {}


def test_a_fact_that_is_told_again_counts_once_and_a_mended_one_where_it_is_now(store: Store) -> None:
    customer = records.add_customer(store, name="", first_at=START)
    identity = records.add_identity(store, Identity("shop", "1"), customer, START)
    one = Fact("usage", START, "shop", "f1")
    records.add_facts(store, customer, identity, [one, one])
    assert kept(store) == {"usage": {START // DAY: 1}}

    records.add_facts(store, customer, identity, [Fact("login", START + DAY, "shop", "f1")], sighted_at=START)

    assert kept(store) == {"login": {START // DAY + 1: 1}}
