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
from worker.lib.store import Row, Store, sql

GUESSES = ("name", "email")
"""How an identity may have been matched without anybody having declared it."""


@dataclass(frozen=True, slots=True)
class Whose:
    """The outcome: which customer, by which identity."""

    customer_id: str
    identity_id: str
    time_zone: str
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

    def resolve(self, sighting: Sighting) -> Whose:
        """Find, or make, the customer that a sighting is about."""
        own, links = sighting.identities[0], sighting.identities[1:]
        known = records.identity(self.store, own)
        linked = [found for link in links if (found := records.identity(self.store, link))]
        if known is None:
            whose = self._newcomer(sighting, own, linked)
        else:
            whose = Whose(known.customer_id, known.id, known.time_zone or self.time_zone, new=False)
            for other in linked:
                whose = self._follow_link(known, whose, other, own)
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
        for other_id in doubts:
            self.store.run(
                sql("intake", "put_doubt"),
                {
                    "id": new_id("dbt"), "identity_id": identity_id, "other_customer_id": other_id, "at": self.now,
                    "reason": f"{own.source} {own.external_id} has the same address, under another name",
                },
            )  # fmt: skip
        return Whose(customer_id, identity_id, self.zone_of(customer_id), new)

    def _by_address(self, sighting: Sighting, own: Identity) -> tuple[str, str, list[str]]:
        """The customer an address points to ("" for none), how, and with whom it may be confused."""
        addresses = {records.normal_email(person.email) for person in sighting.people if person.email}
        if own.source == "email":
            addresses.add(own.external_id)
        found = {row["id"]: row["name"] for address in sorted(addresses) for row in self._customers_at(address)}
        if not found:
            return "", "first", []
        named = [customer_id for customer_id, name in found.items() if _same_name(name, sighting.name)]
        if len(named) == 1:
            return named[0], "name", []
        if len(found) > 1:
            return "", "first", list(found)
        [only] = found
        sources = {row["source"] for row in self.store.rows(sql("intake", "sources_of"), {"customer_id": only})}
        if own.source in sources and sighting.name and found[only]:
            return "", "first", [only]  # this source already has that address under another name
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
        return Whose(kept, known.id, self.zone_of(kept), new=False)

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
        facts = self.store.rows(sql("intake", "days"), {"customer_id": customer_id})
        moved = [{"id": f["id"], "day": day} for f in facts if (day := local_day(f["at"], zone)) != f["day"]]
        if moved:
            self.store.many(sql("intake", "redate"), moved)
        records.roll_up_customer(self.store, customer_id)
        records.soil(self.store, customer_id, self.now)

    def zone_of(self, customer_id: str) -> str:
        """The customer's time zone, the workspace's where they have none."""
        return str(self.store.value(sql("intake", "zone_of"), {"customer_id": customer_id}) or self.time_zone)
