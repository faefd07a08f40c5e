"""Small cards and customers for the tests of scoring."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from worker.facts import Fact, Identity, millionths
from worker.intake.records import add_customer, add_facts, add_identity
from worker.lib.clock import DAY, local_day
from worker.lib.store import Store
from worker.scoring.card import Card
from worker.scoring.measures import Moment, Reading, Sources, read
from worker.scoring.scorecard import load

NOW = 20_500 * DAY + 12 * 3600
"""2026-02-16T12:00:00Z."""

OTHER = """
[measures.other]
read = "days with logins ever"
sliding = "0 -> 0, 10 -> 100"

[dimensions.all]
share = 100
measures = { other = 100 }
"""

_numbers = count()

BANDS = """
[bands]
green = "70 and up"
yellow = "40 and up"
"""


def card_reading(body: str) -> Card:
    """A card whose measure `m` has these lines; without points it is only watched, beside one that counts."""
    if "points" in body or "sliding" in body:
        return load(
            f'name = "Test"\n[measures.m]\n{body}\n[dimensions.all]\nshare = 100\nmeasures = {{ m = 100 }}{BANDS}'
        )
    return load(f'name = "Test"\n[measures.m]\n{body}\nwatch_only = true\n{OTHER}{BANDS}')


def watching(*phrases: str) -> Card:
    """A card with the measures `m0`, `m1` … that only watch, beside one that counts."""
    measures = (f"[measures.m{place}]\nread = '{phrase}'\nwatch_only = true\n" for place, phrase in enumerate(phrases))
    return load(f'name = "Test"\n{"".join(measures)}{OTHER}{BANDS}')


def fact(kind: str, days_ago: float, value: float | str = 1, label: str = "", *, at: int | None = None) -> Fact:
    moment = int(NOW - days_ago * DAY) if at is None else at
    return Fact(kind, moment, "test", f"t{next(_numbers)}", millionths(value), label)


def customer(store: Store, facts: Iterable[Fact], *, days: float = 1000, zone: str = "UTC") -> str:
    """A customer who has been one for so many days."""
    first_at = int(NOW - days * DAY)
    customer_id = add_customer(store, name="", first_at=first_at, time_zone=zone)
    identity = add_identity(store, Identity("test", f"c{next(_numbers)}"), customer_id, first_at)
    add_facts(store, customer_id, identity, facts, zone)
    return customer_id


def moment(customer_id: str, at: int = NOW, zone: str = "UTC") -> Moment:
    return Moment(customer_id, at, local_day(at, zone))


def reading(
    store: Store, body: str, facts: Iterable[Fact], *, days: float = 1000, sources: Sources | None = None
) -> Reading:
    """What a measure with these lines reads from these facts now."""
    customer_id = customer(store, facts, days=days)
    return read(store, card_reading(body), [moment(customer_id)], sources)[customer_id]["m"]
