"""What the tests of the intake have in common: sightings in few words, and the laws that always hold."""

from __future__ import annotations

from typing import Any

from tests.conftest import START
from worker.facts import Fact, Identity, Person, Sighting
from worker.intake.inbox import take_in
from worker.lib.store import Store

DAY = 86_400

GROUPED = """
select customer_id, kind, label, day, count(*) as n, cast(sum(value) as bigint) as total, min(value) as lowest,
    max(value) as highest, min(at) as first_at, max(at) as last_at
from facts group by customer_id, kind, label, day order by customer_id, kind, label, day
"""
ROLLED = """
select customer_id, kind, label, day, n, total, lowest, highest, first_at, last_at
from rollup order by customer_id, kind, label, day
"""
ENDS = "select customer_id, kind, label, day, first_at, first_value, last_at, last_value from rollup"


def seen(
    who: str, *links: str, at: int = 0, name: str = "", email: str = "", facts: tuple[Fact, ...] = (), **more: Any
) -> Sighting:
    """`seen("stripe:cus_1", "keap:7", at=3)`: ids as `source:id`, days counted from START."""
    identities = tuple(Identity(*one.split(":", 1)) for one in (who, *links))
    people = (Person(email, name, "main"),) if email else ()
    return Sighting(START + at * DAY, identities, name, people, facts=facts, **more)


def fact(source_id: str, kind: str = "usage", at: int = 0, value: int = 1, label: str = "") -> Fact:
    """A fact of the day `at`, counted from START."""
    return Fact(kind, START + at * DAY, "app", source_id, value * 1_000_000, label)


def take(store: Store, *sightings: Sighting, now: int = START + 100 * DAY, time_zone: str = "UTC") -> None:
    """Each taken in by itself, as from deliveries of one."""
    for one in sightings:
        take_in(store, one.identities[0].source, [one], now, time_zone=time_zone)


def whose(store: Store) -> dict[str, str]:
    """`source:id` -> customer."""
    rows = store.rows("select source, external_id, customer_id from identities")
    return {f"{row['source']}:{row['external_id']}": row["customer_id"] for row in rows}


def together(store: Store) -> list[list[str]]:
    """Which identities are one customer: groups, sorted."""
    groups: dict[str, list[str]] = {}
    for who, customer_id in sorted(whose(store).items()):
        groups.setdefault(customer_id, []).append(who)
    return sorted(groups.values())


def laws(store: Store) -> None:
    """The roll-up equals grouping the facts; all that came by an identity is where the identity is."""
    assert store.rows(ROLLED) == store.rows(GROUPED)
    facts = store.rows("select customer_id, kind, label, day, at, value from facts")
    for row in store.rows(ENDS):
        day = [
            (f["at"], f["value"]) for f in facts if all(f[k] == row[k] for k in ("customer_id", "kind", "label", "day"))
        ]
        assert (row["first_at"], row["first_value"]) == min(day)
        assert (row["last_at"], row["last_value"]) == max(day)
    for table in ("facts", "people", "attributes"):
        strayed = f"from {table} t join identities i on i.id = t.identity_id where t.customer_id <> i.customer_id"
        assert store.value(f"select count(*) as n {strayed}") == 0, table
    lost = "from identities i join customers c on c.id = i.customer_id where c.merged_into is not null"
    assert store.value(f"select count(*) as n {lost}") == 0
