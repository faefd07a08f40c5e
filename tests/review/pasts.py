"""Pasts for the tests of review: what happened to customers, and when it became known."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import START
from worker.facts import Fact, Identity, Sighting
from worker.intake.inbox import take_in
from worker.lib.clock import DAY, HOUR, end_of_day, local_day
from worker.lib.store import Store
from worker.review import records
from worker.review.past import Asked
from worker.scoring.card import Card
from worker.scoring.measures import Sources

DAYS = 300
KINDS = (
    "nps_answer", "usage", "usage", "usage", "unpaid_invoice", "open_ticket", "cancellation_planned", "joined", "left",
    "subscription", "payment",
)  # fmt: skip


@dataclass(frozen=True)
class News:
    """One fact of a customer, and when we learned it. Seconds are counted from START."""

    customer: int
    kind: str
    at: int
    known_at: int
    value: int = 1
    history: bool = False
    """It came with the first backfill, and counts as known when it happened."""
    since: int = 0
    """How long before that the customer had been one, as was learned with it."""
    same: int | None = None
    """News of one customer with the same number are of one fact: the later mends what the earlier said."""


def tell(store: Store, news: News, number: int) -> None:
    """Take it in, as from a delivery of its own."""
    label = {"left": "by choice", "payment": "USD"}.get(news.kind, "")
    named = f"f{number}" if news.same is None else f"m{news.customer}:{news.same}"
    fact = Fact(news.kind, START + news.at, "app", named, news.value * 1_000_000, label)
    known_at = START + news.known_at
    sighting = Sighting(
        known_at, (Identity("app", str(news.customer)),), name=f"Customer {news.customer}", facts=(fact,),
        since=known_at - news.since,
    )  # fmt: skip
    take_in(store, "app", [sighting], known_at, known_at=0 if news.history else known_at)


def drawn(seed: int, count: int) -> list[News]:
    """Made-up news, in the order in which it became known: late, out of order, and some of it history."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        at = dice.randrange(0, DAYS * DAY)
        history = at < 60 * DAY
        kind = dice.choice(KINDS[1:] if history else KINDS)
        # Surveys are brought in long after; before that they were nothing that could be known.
        late = 90 * DAY if kind == "nps_answer" else dice.choice((0, 5, 3 * HOUR, DAY, 20 * DAY, 70 * DAY))
        value = dice.choice((1, -1)) if kind in {"unpaid_invoice", "open_ticket"} else dice.randrange(1, 11)
        since = dice.choice((0, 0, 0, 90 * DAY))
        found.append(
            News(
                dice.randrange(8), kind, at, 60 * DAY if history else at + late, value, history=history, since=since,
                same=dice.choice((None, None, dice.randrange(6))),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.known_at)


def by_what_was_heard(store: Store) -> Callable[[int], Sources]:
    """What could be known, where there is no workspace to ask: the kinds that had been heard."""
    kinds = records.kinds_known(store)
    return lambda moment: Sources(frozenset(kind for kind, since in kinds.items() if since <= moment))


def verdicts(store: Store, card: Card, day: int, sources: Callable[[int], Sources]) -> dict[str, str]:
    """What the look-back says of everybody as of the end of a day after START, in bytes, by the customer's name."""
    today = local_day(START) + day
    at = end_of_day(today)
    pasts = records.pasts(store, START + 10 * DAYS * DAY, "UTC")
    asked = [
        Asked(past.customer_id, at, today, since)
        for past in pasts.values() if (since := past.since(at)) is not None
    ]  # fmt: skip
    return {pasts[one].name: said.to_json() for one, said in records.judged(store, card, asked, sources).items()}
