"""Whose it is: by the source's own id, by links the source declares, by name and address; and how two become one.

A declared link is certain, an address is a guess. So a guess never joins two customers that are already there: where
several share an address and no name decides, the newcomer stays apart and the doubt waits for a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from worker.facts import Identity, Sighting
from worker.intake import records
from worker.lib.clock import local_day
from worker.lib.ids import new_id
from worker.lib.store import Store, sql

GUESSES = ("name", "email")
"""How an identity may have been matched without anybody having declared it."""


@dataclass(frozen=True, slots=True)
class Whose:
    """The outcome: which customer, by which identity."""

    customer_id: str
    identity_id: str
    time_zone: str
    new: bool


def resolve(store: Store, sighting: Sighting, now: int) -> Whose:
    """Find, or make, the customer that a sighting is about. Runs inside the caller's transaction."""
    own, links = sighting.identities[0], sighting.identities[1:]
    known = records.identity(store, own)
    linked = [found for link in links if (found := records.identity(store, link))]
    if known is None:
        whose = _newcomer(store, sighting, own, linked, now)
    else:
        whose = Whose(known.customer_id, known.id, known.time_zone, new=False)
        for other in linked:
            whose = _follow_link(store, known, whose, other, own, now)
    for link in links:
        if records.identity(store, link) is None:
            records.add_identity(store, link, whose.customer_id, sighting.at, "link")
    _absorb_known_only_by_address(store, whose, sighting, now)
    return whose


def _newcomer(store: Store, sighting: Sighting, own: Identity, linked: list[records.Known], now: int) -> Whose:
    if linked:
        customer_id, via = linked[0].customer_id, "link"
        for other in linked[1:]:
            if other.customer_id != customer_id:
                customer_id = merge(store, customer_id, other.customer_id, "declared link", now)
        doubts: list[str] = []
    else:
        customer_id, via, doubts = _by_address(store, sighting, own)
    new = not customer_id
    if new:
        customer_id = records.add_customer(store, name=sighting.name, first_at=sighting.at)
    identity_id = records.add_identity(store, own, customer_id, sighting.at, via)
    for other_id in doubts:
        store.run(
            sql("intake", "put_doubt"),
            {
                "id": new_id("dbt"), "identity_id": identity_id, "other_customer_id": other_id, "at": now,
                "reason": f"{own.source} {own.external_id} has the same address, under another name",
            },
        )  # fmt: skip
    return Whose(customer_id, identity_id, _time_zone(store, customer_id), new)


def _by_address(store: Store, sighting: Sighting, own: Identity) -> tuple[str, str, list[str]]:
    """The customer an address points to ("" for none), how, and with whom it may be confused."""
    addresses = {records.normal_email(person.email) for person in sighting.people if person.email}
    if own.source == "email":
        addresses.add(own.external_id)
    found = {row["id"]: row["name"] for address in sorted(addresses) for row in _customers_at(store, address)}
    if not found:
        return "", "first", []
    named = [customer_id for customer_id, name in found.items() if _same_name(name, sighting.name)]
    if len(named) == 1:
        return named[0], "name", []
    if len(found) > 1:
        return "", "first", list(found)
    [only] = found
    sources = {row["source"] for row in store.rows(sql("intake", "sources_of"), {"customer_id": only})}
    if own.source in sources and sighting.name and found[only]:
        return "", "first", [only]  # this source already has that address under another name
    return only, "email", []


def _customers_at(store: Store, address: str) -> list[dict[str, str]]:
    return store.rows(sql("intake", "customers_at"), {"email": address})


def _same_name(one: str, other: str) -> bool:
    return bool(one.strip()) and one.strip().casefold() == other.strip().casefold()


def _follow_link(
    store: Store, known: records.Known, whose: Whose, other: records.Known, own: Identity, now: int
) -> Whose:
    if other.customer_id == whose.customer_id:
        return whose
    if known.via in GUESSES:
        # The guess was wrong, or at least is outranked: this identity alone moves to where the link points.
        move(store, [known.id], other.customer_id, now)
        kept = other.customer_id
    else:
        kept = merge(store, other.customer_id, whose.customer_id, f"declared by {own.source}", now)
    return Whose(kept, known.id, _time_zone(store, kept), new=False)


def _absorb_known_only_by_address(store: Store, whose: Whose, sighting: Sighting, now: int) -> None:
    """Usage may come in by an address before the CRM has told us whose it is; now it has."""
    if sighting.identities[0].source == "email":
        return
    for person in sighting.people:
        address = records.normal_email(person.email)
        lonely = store.value(sql("intake", "known_only_by_address"), {"email": address}) if address else None
        if lonely and lonely != whose.customer_id:
            others = {row["id"] for row in _customers_at(store, address)} - {whose.customer_id, lonely}
            if not others:
                merge(store, whose.customer_id, lonely, "address became known", now)


def merge(store: Store, kept: str, merged: str, reason: str, now: int) -> str:
    """Make two customers one; gives the id of the one that stays. `unmerge` takes it back.

    Facts and people go with their identities; scores and changes that were made stay where they were made.
    """
    moved = [row["id"] for row in store.rows(sql("intake", "identities_of"), {"customer_id": merged})]
    with store.atomic():
        move(store, moved, kept, now)
        binds = {"kept": kept, "merged": merged}
        store.run("update customers set merged_into = :kept where id = :merged", binds)
        store.run("delete from dirty where customer_id = :merged", {"merged": merged})
        store.run(
            "update customers set first_at = (select min(first_at) from customers where id in (:kept, :merged)), "
            "name = case when name = '' then (select name from customers where id = :merged) else name end "
            "where id = :kept",
            binds,
        )
        store.run(
            sql("intake", "add_merge"),
            {"id": new_id("mrg"), **binds, "moved": json.dumps(moved), "reason": reason, "at": now},
        )
    return kept


def unmerge(store: Store, merge_id: str, now: int) -> None:
    """Take a merge back: what came with the moved identities, then and since, goes back with them.

    Raises KeyError for an unknown merge, ValueError for one that was undone already.
    """
    row = store.row("select * from merges where id = :id", {"id": merge_id})
    if row is None:
        raise KeyError(merge_id)
    if row["undone_at"] is not None:
        raise ValueError(f"{merge_id} was undone already")
    with store.atomic():
        store.run("update customers set merged_into = null where id = :id", {"id": row["merged"]})
        move(store, json.loads(row["moved"]), row["merged"], now)
        store.run("update merges set undone_at = :now where id = :id", {"id": merge_id, "now": now})


def move(store: Store, identity_ids: Iterable[str], customer_id: str, now: int) -> None:
    """Give identities, with all that came by them, to another customer."""
    zone = _time_zone(store, customer_id)
    before: set[str] = set()
    with store.atomic():
        for identity_id in identity_ids:
            binds = {"identity": identity_id, "customer": customer_id}
            before.add(str(store.value("select customer_id from identities where id = :identity", binds)))
            for table in ("people", "attributes", "facts"):
                store.run(f"update {table} set customer_id = :customer where identity_id = :identity", binds)  # noqa: S608  names from the line above
            store.run("update identities set customer_id = :customer where id = :identity", binds)
        for one in sorted(before | {customer_id}):
            rebuild(store, one, zone if one == customer_id else _time_zone(store, one), now)


def rebuild(store: Store, customer_id: str, time_zone: str, now: int) -> None:
    """Date a customer's facts by their local day again, and make the roll-up anew."""
    facts = store.rows("select id, at, day from facts where customer_id = :id", {"id": customer_id})
    moved = [{"id": f["id"], "day": day} for f in facts if (day := local_day(f["at"], time_zone)) != f["day"]]
    if moved:
        store.many("update facts set day = :day where id = :id", moved)
    records.roll_up_customer(store, customer_id)
    records.soil(store, customer_id, now)


def _time_zone(store: Store, customer_id: str) -> str:
    return str(store.value("select time_zone from customers where id = :id", {"id": customer_id}) or "")
