"""From deliveries to facts: parse what has arrived, find out whose it is, keep what it says. Can be replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from worker.facts import Delivery, Fact, Parsed, Sighting
from worker.intake import mail_events, records
from worker.intake.identity import Register
from worker.intake.volumes import Volumes
from worker.lib.store import Store, sql

ATTEMPTS = 3
"""How often a delivery that cannot be parsed is tried before it is parked with its reason."""

URGENT = frozenset({"payment_failed", "unpaid_invoice", "left", "cancellation_planned", "open_dispute"})
"""Kinds that are assessed at once, when they begin; so is an urgent `open_ticket`."""


@dataclass
class Taken:
    """What came of some deliveries."""

    deliveries: int = 0
    sightings: int = 0
    facts: int = 0
    mail_events: int = 0
    """What channels told of messages, each once."""
    unknown: int = 0
    refused: int = 0
    parked: int = 0
    urgent: bool = False
    reasons: dict[str, int] = field(default_factory=dict)


def parse_waiting(
    store: Store,
    parsers: Callable[[Delivery], Parsed],
    now: int,
    *,
    time_zone: str = "UTC",
    most: int = 10_000,
    pulled: bool = True,
) -> Taken:
    """Take in what has arrived and not been parsed, oldest first, each delivery in its own transaction.

    Without `pulled` the pages of pulls are left: only what came by itself, by webhook or API, is taken.

    `parsers` gives what a delivery says, by its source; it raises ValueError (KeyError, TypeError …) for one it cannot
    read, which is then tried `ATTEMPTS` times in all and parked with the reason.
    """
    taken = Taken()
    for row in store.rows(sql("intake", "unparsed"), {"attempts": ATTEMPTS, "most": most, "pulled": int(pulled)}):
        delivery = Delivery(
            row["id"], row["source"], row["stream"], row["external_id"], row["body"], row["received_at"]
        )
        try:
            parsed = parsers(delivery)
            with store.atomic():
                known_at = 0 if row["history"] else row["received_at"]
                take_in(store, delivery.source, parsed.sightings, now, time_zone=time_zone, known_at=known_at, to=taken)
                told = mail_events.take_in(
                    store, delivery.source, parsed.mail_events, now, time_zone=time_zone, known_at=known_at
                )
                taken.mail_events += told.events
                taken.facts += told.facts
                _note(store, delivery, parsed, taken)
                error = "; ".join(f"{what}: {why}" for what, why in parsed.refused)[:2000] or None
                store.run(sql("intake", "parsed"), {"id": delivery.id, "now": now, "error": error})
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            store.run(sql("intake", "stumbled"), {"id": delivery.id, "error": reason})
            taken.parked += row["attempts"] + 1 >= ATTEMPTS
        taken.deliveries += 1
    mail_events.settle(store, now)
    return taken


def take_in(
    store: Store,
    source: str,
    sightings: Iterable[Sighting],
    now: int,
    *,
    time_zone: str = "UTC",
    known_at: int = 0,
    to: Taken | None = None,
) -> Taken:
    """Keep what sightings say, all or nothing. The same ones again change nothing.

    `known_at` is when we learned it; 0 for history, which was known when it happened. `time_zone` holds for customers
    that have none of their own.
    """
    taken = to or Taken()
    register, touched, volumes = Register(store, now, time_zone), records.Touched(), Volumes(time_zone)
    with store.atomic():
        for sighting in sightings:
            _take_one(store, source, sighting, register, known_at, taken, touched, volumes)
        records.roll_up(store, touched)
        volumes.keep(store)
    return taken


def _take_one(
    store: Store,
    source: str,
    sighting: Sighting,
    register: Register,
    known_at: int,
    taken: Taken,
    touched: records.Touched,
    volumes: Volumes,
) -> None:
    now = register.now
    whose = register.resolve(sighting)
    # Facts alone say nothing about who it is, so they must not make an older record of the person look outdated.
    speaks = bool(sighting.people or sighting.name or sighting.owner or sighting.gone or sighting.crm)
    newest = speaks and records.sight(store, whose.identity_id, sighting.at, gone=sighting.gone)
    changed = whose.new or (sighting.gone and newest)
    if newest:
        records.put_people(store, whose.customer_id, whose.identity_id, sighting.people, sighting.at)
        changed |= _put_customer(store, whose.customer_id, sighting)
    if sighting.crm is not None:
        changed |= records.put_crm_contact(store, source, whose.identity_id, sighting.crm, now)
    changed |= records.put_attributes(store, whose.customer_id, whose.identity_id, sighting.attributes)
    zone = next((one.value for one in sighting.attributes if one.name == "time_zone"), whose.time_zone)
    if zone != whose.time_zone:
        store.run(sql("intake", "put_zone"), {"time_zone": zone, "customer_id": whose.customer_id})
        register.rebuild(whose.customer_id)
    news: list[Fact] = []
    if sighting.facts:
        taken.facts += records.add_facts(
            store, whose.customer_id, whose.identity_id, sighting.facts, zone,
            sighted_at=sighting.at, known_at=known_at, touched=touched, news=news, volumes=volumes,
        )  # fmt: skip
        if sighting.author:
            records.put_words(store, sighting)
    since = min([sighting.since or sighting.at, *(fact.at for fact in sighting.facts if fact.kind == "joined")])
    register.known_since(whose, since)
    urgent = any(
        one.value > 0 and (one.kind in URGENT or (one.kind == "open_ticket" and one.label == "urgent")) for one in news
    )
    if changed or urgent:
        records.soil(store, whose.customer_id, now, urgent=urgent)
    taken.urgent |= urgent
    taken.sightings += 1


def _put_customer(store: Store, customer_id: str, sighting: Sighting) -> bool:
    changed = False
    if sighting.name:
        binds = {"id": customer_id, "name": sighting.name, "at": sighting.at}
        changed |= store.run(sql("intake", "name_customer"), binds) > 0
    if sighting.owner:
        changed |= store.run(sql("intake", "own_customer"), {"id": customer_id, "owner": sighting.owner}) > 0
    return changed


def _note(store: Store, delivery: Delivery, parsed: Parsed, taken: Taken) -> None:
    for event in parsed.unknown:
        records.count(store, f"unknown:{delivery.source}:{event}"[:200])
        taken.unknown += 1
    for _, why in parsed.refused:
        taken.reasons[why] = taken.reasons.get(why, 0) + 1
        taken.refused += 1
