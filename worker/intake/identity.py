"""Whose it is: by the source's own id, by links the source declares, by name and address; and how two become one.

A declared link is certain, an address is a guess. So a guess never joins two customers that are already there: where
several share an address and no name decides, the newcomer stays apart and the doubt waits for a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from worker.facts import Identity, Sighting
from worker.intake import records
from worker.lib.clock import local_day
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql

GUESSES = ("name", "email")
"""How an identity may have been matched without anybody having declared it."""


@dataclass(frozen=True, slots=True)
class Whose:
    """The outcome: which customer, by which identity."""

    customer_id: str
    identity_id: str
    time_zone: str
    first_at: int
    """Since when the customer is known."""
    new: bool


def _same_name(one: str, other: str) -> bool:
    return bool(one.strip()) and one.strip().casefold() == other.strip().casefold()


@dataclass(frozen=True, slots=True)
class Register:
    """Who is who, in one store at one moment. Every method runs inside the caller's transaction, or makes one."""

    store: Store
    now: int
    time_zone: str = "UTC"
    """For customers that have no zone of their own."""
    _met: dict[Identity, Whose] = field(default_factory=dict)
    """Who was found for sightings that named nothing but an id: hundreds of events of one customer come together."""

    def resolve(self, sighting: Sighting) -> Whose:
        """Find, or make, the customer that a sighting is about. One register is for one transaction."""
        if len(sighting.identities) > 1 or sighting.people:
            return self._resolve(sighting)
        own = sighting.identities[0]
        if own not in self._met:
            whose = self._resolve(sighting)
            self._met[own] = replace(whose, new=False)
            return whose
        return self._met[own]

    def _resolve(self, sighting: Sighting) -> Whose:
        own, links = sighting.identities[0], sighting.identities[1:]
        known = records.identity(self.store, own)
        linked = [found for link in links if (found := records.identity(self.store, link))]
        if known is None:
            whose = self._newcomer(sighting, own, linked)
        else:
            whose = Whose(known.customer_id, known.id, known.time_zone or self.time_zone, known.first_at, new=False)
            for other in linked:
                whose = self._follow_link(known, whose, other, own)
            if known.via == "first" and not linked:
                whose = self._match_late(whose, sighting, own)
        for link in links:
            if records.identity(self.store, link) is None:
                records.add_identity(self.store, link, whose.customer_id, sighting.at, "link")
        self._absorb_known_only_by_address(whose, sighting)
        return whose

    def _newcomer(self, sighting: Sighting, own: Identity, linked: list[records.Known]) -> Whose:
        if linked:
            customer_id, via = linked[0].customer_id, "link"
            for other in linked[1:]:
                if other.customer_id != customer_id:
                    customer_id = self.merge(customer_id, other.customer_id, "declared link")
            doubts: list[str] = []
        else:
            customer_id, via, doubts = self._by_address(sighting, own)
        new = not customer_id
        if new:
            customer_id = records.add_customer(self.store, name=sighting.name, first_at=sighting.at)
        identity_id = records.add_identity(self.store, own, customer_id, sighting.at, via)
        self._doubt(own, identity_id, doubts)
        return self._whose(customer_id, identity_id, new=new)

    def _doubt(self, own: Identity, identity_id: str, others: Iterable[str]) -> None:
        for other_id in others:
            self.store.run(
                sql("intake", "put_doubt"),
                {
                    "id": new_id("dbt"), "identity_id": identity_id, "other_customer_id": other_id, "at": self.now,
                    "reason": f"{own.source} {own.external_id} has the same address, under another name",
                },
            )  # fmt: skip

    def _match_late(self, whose: Whose, sighting: Sighting, own: Identity) -> Whose:
        """A webhook may name a customer before anything has told their address: the first address is asked now."""
        if not any(person.email for person in sighting.people) or own.source == "email":
            return whose
        if self.store.row(sql("intake", "address_of"), {"identity_id": whose.identity_id}):
            return whose  # its address was asked when it came
        found, via, doubts = self._by_address(sighting, own, besides=whose.customer_id)
        self._doubt(own, whose.identity_id, doubts)
        if not found:
            return whose
        kept = self.merge(found, whose.customer_id, f"{own.source} has the same {via}")
        return self._whose(kept, whose.identity_id, new=False)

    def _by_address(self, sighting: Sighting, own: Identity, besides: str = "") -> tuple[str, str, list[str]]:
        """The customer an address points to ("" for none), how, and with whom it may be confused."""
        addresses = {records.normal_email(person.email) for person in sighting.people if person.email}
        if own.source == "email":
            addresses.add(own.external_id)
        found = {row["id"]: row["name"] for address in sorted(addresses) for row in self._customers_at(address)}
        found.pop(besides, None)
        if not found:
            return "", "first", []
        named = [customer_id for customer_id, name in found.items() if _same_name(name, sighting.name)]
        if len(named) == 1:
            return named[0], "name", []
        if len(found) > 1:
            return "", "first", list(found)
        [only] = found
        sources = {row["source"] for row in self.store.rows(sql("intake", "sources_of"), {"customer_id": only})}
        if sighting.name and found[only] and (own.source in sources or len(sighting.identities) > 1):
            # This source has that address under another name already; or the record says itself whose it is, and only
            # that other one has not come yet: then the order in which vendors answer would decide.
            return "", "first", [only]
        return only, "email", []

    def _customers_at(self, address: str) -> list[Row]:
        return self.store.rows(sql("intake", "customers_at"), {"email": address})

    def _follow_link(self, known: records.Known, whose: Whose, other: records.Known, own: Identity) -> Whose:
        if other.customer_id == whose.customer_id:
            return whose
        if known.via in GUESSES:
            # The guess was wrong, or at least is outranked: this identity alone moves to where the link points.
            self.move([known.id], other.customer_id)
            kept = other.customer_id
        else:
            kept = self.merge(other.customer_id, whose.customer_id, f"declared by {own.source}")
        return self._whose(kept, known.id)

    def _absorb_known_only_by_address(self, whose: Whose, sighting: Sighting) -> None:
        """Usage may come in by an address before the CRM has told us whose it is; now it has."""
        if sighting.identities[0].source == "email":
            return
        for person in sighting.people:
            address = records.normal_email(person.email)
            lonely = self.store.value(sql("intake", "known_only_by_address"), {"email": address}) if address else None
            if lonely and lonely != whose.customer_id:
                others = {row["id"] for row in self._customers_at(address)} - {whose.customer_id, lonely}
                if not others:
                    self.merge(whose.customer_id, lonely, "address became known")

    def _whose(self, customer_id: str, identity_id: str, *, new: bool = False) -> Whose:
        row = self.store.row(sql("intake", "customer"), {"id": customer_id}) or {}
        return Whose(customer_id, identity_id, row["time_zone"] or self.time_zone, row["first_at"], new)

    def known_since(self, whose: Whose, at: int) -> None:
        """Note that a customer has been one since `at` at least. What is remembered may say too late a day: no harm."""
        if at < whose.first_at:
            self.store.run(sql("intake", "known_since"), {"id": whose.customer_id, "at": at})

    def merge(self, kept: str, merged: str, reason: str) -> str:
        """Make two customers one; gives the id of the one that stays. `unmerge` takes it back.

        Facts and people go with their identities; scores and changes that were made stay where they were made.
        """
        moved = [row["id"] for row in self.store.rows(sql("intake", "identities_of"), {"customer_id": merged})]
        binds = {"kept": kept, "merged": merged}
        with self.store.atomic():
            self.move(moved, kept)
            self.store.run(sql("intake", "merged_into"), binds)
            self.store.run(sql("intake", "clean"), {"customer_id": merged})
            self.store.run(sql("intake", "inherit"), binds)
            self.store.run(
                sql("intake", "add_merge"),
                {"id": new_id("mrg"), **binds, "moved": json.dumps(moved), "reason": reason, "at": self.now},
            )
        return kept

    def unmerge(self, merge_id: str) -> None:
        """Take a merge back: what came with the moved identities, then and since, goes back with them.

        Raises KeyError for an unknown merge, ValueError for one that was undone already.
        """
        row = self.store.row(sql("intake", "merge"), {"id": merge_id})
        if row is None:
            raise KeyError(merge_id)
        if row["undone_at"] is not None:
            raise ValueError(f"{merge_id} was undone already")
        with self.store.atomic():
            self.store.run(sql("intake", "merged_into"), {"kept": None, "merged": row["merged"]})
            self.move(json.loads(row["moved"]), row["merged"])
            self.store.run(sql("intake", "undo_merge"), {"id": merge_id, "now": self.now})

    def move(self, identity_ids: Iterable[str], customer_id: str) -> None:
        """Give identities, with all that came by them, to another customer."""
        touched = {customer_id}
        with self.store.atomic():
            for identity_id in identity_ids:
                binds = {"identity_id": identity_id, "customer_id": customer_id}
                touched.add(str(self.store.value(sql("intake", "customer_of"), {"identity_id": identity_id})))
                for what in ("people", "attributes", "facts", "identity"):
                    self.store.run(sql("intake", f"move_{what}"), binds)
            for one in sorted(touched):
                self.rebuild(one)

    def rebuild(self, customer_id: str) -> None:
        """Date a customer's facts by their local day again, and make the roll-up anew."""
        zone = self.zone_of(customer_id)
        self._met.clear()
        facts = self.store.rows(sql("intake", "days"), {"customer_id": customer_id})
        moved = [{"id": f["id"], "day": day} for f in facts if (day := local_day(f["at"], zone)) != f["day"]]
        if moved:
            self.store.many(sql("intake", "redate"), moved)
        for one in self.store.rows(sql("intake", "former_days"), {"customer_id": customer_id}):
            if (day := local_day(one["at"], zone)) != one["day"]:
                binds = {"fact_id": one["fact_id"], "mended_at": one["until"], "day": day}
                self.store.run(sql("intake", "redate_former"), binds)
        records.roll_up_customer(self.store, customer_id)
        records.soil(self.store, customer_id, self.now)

    def zone_of(self, customer_id: str) -> str:
        """The customer's time zone, the workspace's where they have none."""
        return str(self.store.value(sql("intake", "zone_of"), {"customer_id": customer_id}) or self.time_zone)
