"""What review reads: who came and went, what they paid, and how each stood on a day of the past. Its door to the store."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from worker.lib.store import Row, Store, sql
from worker.review.past import Asked, Past, Step
from worker.scoring import measures
from worker.scoring.card import Card
from worker.scoring.choice import Choice, Deck
from worker.scoring.dealing import dealt
from worker.scoring.measures import Moment, Sources
from worker.scoring.score import Assessment, assess


def pasts(store: Store, now: int, time_zone: str) -> dict[str, Past]:
    """Everybody's comings and goings until now; `time_zone` is for those who have none of their own.

    Who is one customer, and in which time zone their days begin, is as we know it today.
    """
    steps: dict[str, list[Step]] = defaultdict(list)
    for row in store.rows(sql("review", "steps"), {"now": now}):
        steps[row["customer_id"]].append(Step(row["kind"], row["label"], row["at"], row["known_at"]))
    former: dict[str, list[Step]] = defaultdict(list)
    for row in store.rows(sql("review", "former_steps"), {"now": now}):
        step = Step(row["kind"], row["label"], row["at"], row["known_at"], row["until"])
        former[row["customer_id"]].append(step)
    first = {row["customer_id"]: row["at"] for row in store.rows(sql("review", "first_known"))}
    found = {}
    for row in store.rows(sql("review", "customers")):
        id_, zone = row["id"], row["time_zone"] or time_zone
        if id_ in first:
            found[id_] = Past(id_, row["name"], zone, tuple(steps[id_]), first[id_], tuple(former[id_]))
    return found


def kinds_known(store: Store) -> dict[str, int]:
    """kind -> the moment since which a fact of it has been known."""
    return {row["kind"]: row["at"] for row in store.rows(sql("review", "kinds_known"))}


def last_heard(store: Store, now: int) -> int | None:
    """When the last thing happened until now; None where nothing did."""
    found: int | None = store.value(sql("review", "last_heard"), {"now": now})
    return found


def successes(store: Store) -> dict[str, list[int]]:
    """`stripe invoices` -> when a pull of it went well, in order of time."""
    found: dict[str, list[int]] = defaultdict(list)
    for row in store.rows(sql("review", "runs")):
        for stream in json.loads(row["summary"]).get("pulled", ()):
            found[stream].append(row["finished_at"])
    return found


def outages(store: Store) -> list[tuple[frozenset[str], int, int | None]]:
    """What the source guard has held up: (the kinds of fact, from when, until when; None while it lasts)."""
    rows = store.rows(sql("review", "outages"))
    return [(frozenset(json.loads(row["kinds"])), row["opened_at"], row["ended_at"]) for row in rows]


def payments(store: Store, since: int, now: int) -> dict[str, list[Row]]:
    """customer -> the payments after `since` and until now (label, at, value), in order of time."""
    return _by_customer(store.rows(sql("review", "payments"), {"since": since, "now": now}))


def news(store: Store, kinds: Iterable[str], since: int, now: int) -> dict[str, list[Row]]:
    """customer -> the facts of these kinds (kind, at, known_at), for the plays that a fact sets off."""
    return _by_customer(
        {**row, "kind": kind}
        for kind in sorted(set(kinds))
        for row in store.rows(sql("review", "of_kind"), {"kind": kind, "since": since, "now": now})
    )


def _by_customer(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["customer_id"]].append(row)
    return found


def judged(
    store: Store, card: Card, asked: Collection[Asked], sources: Callable[[int], Sources]
) -> dict[str, Assessment]:
    """What one card says of each customer: as `judged_by`, for whoever it is for."""
    found = judged_by(store, Deck({"": card}, (Choice("", None),)), asked, sources)
    return {name: assessment for name, (_, assessment) in found.items()}


def judged_by(
    store: Store, deck: Deck, asked: Collection[Asked], sources: Callable[[int], Sources]
) -> dict[str, tuple[Card, Assessment]]:
    """What the card that was for them says of each customer as of a moment of its own; one moment a customer.

    Nothing that became known after that moment has any influence: facts, kinds and beginnings count from when they
    were known, and `sources` says what could be known at all by then.
    """
    together: dict[tuple[frozenset[str], frozenset[str]], list[Asked]] = defaultdict(list)
    for one in asked:
        then = sources(one.at)
        together[frozenset(then.connected or ()), frozenset(then.down)].append(one)
    found: dict[str, tuple[Card, Assessment]] = {}
    for (connected, down), group in together.items():
        then = Sources(connected, down)
        moments = [Moment(one.customer_id, one.at, one.today, since=one.since) for one in group]
        for card, hand in dealt(store, deck, moments, then, known=True):
            for customer_id, readings in measures.read(store, card, hand, then, known=True).items():
                found[customer_id] = card, assess(card, readings)
    return found
