"""What the intake keeps: customers and their identities, facts and their roll-up. The station's door to the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.facts import Attribute, CrmContact, Fact, Identity, Person, Sighting, kind_named
from worker.intake.volumes import Volumes
from worker.lib.clock import local_day
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql

Touched = dict[tuple[str, str, str, int], None]
"""The (customer, kind, label, local day) whose facts changed, in order: what the roll-up must follow."""


@dataclass(frozen=True, slots=True)
class Known:
    """An identity that we know, and whose it is."""

    id: str
    customer_id: str
    via: str
    sighted_at: int
    time_zone: str
    first_at: int
    """Since when the customer is known."""


def identity(store: Store, who: Identity) -> Known | None:
    """Look an identity up."""
    row = store.row(sql("intake", "identity"), {"source": who.source, "external_id": who.external_id})
    if row is None:
        return None
    return Known(row["id"], row["customer_id"], row["via"], row["sighted_at"], row["time_zone"], row["first_at"])


def add_customer(store: Store, *, name: str, first_at: int, time_zone: str = "", owner: str = "") -> str:
    """Make a customer, known since `first_at`; gives its id. An empty time zone means the workspace's."""
    customer_id = new_id("cus")
    store.run(
        sql("intake", "add_customer"),
        {"id": customer_id, "name": name, "owner": owner, "time_zone": time_zone, "first_at": first_at},
    )
    return customer_id


def add_identity(store: Store, who: Identity, customer_id: str, at: int, via: str = "first") -> str:
    """Say that this identity is that customer; gives the identity's id."""
    identity_id = new_id("idn")
    binds = {"id": identity_id, "customer_id": customer_id, "at": at, "via": via}
    store.run(sql("intake", "add_identity"), {**binds, "source": who.source, "external_id": who.external_id})
    return identity_id


def sight(store: Store, identity_id: str, at: int, *, gone: bool) -> bool:
    """Note a sighting; False where a newer one has been taken in already."""
    return store.run(sql("intake", "sight"), {"id": identity_id, "at": at, "gone": int(gone)}) > 0


def put_people(store: Store, customer_id: str, identity_id: str, people: Iterable[Person], at: int) -> None:
    """Keep the people a source names, one for each identity and role; an older word never replaces a newer one."""
    for person in people:
        store.run(
            sql("intake", "put_person"),
            {
                "id": new_id("per"), "customer_id": customer_id, "identity_id": identity_id,
                "email": normal_email(person.email), "name": person.name, "role": person.role, "at": at,
            },
        )  # fmt: skip


def put_attributes(store: Store, customer_id: str, identity_id: str, attributes: Iterable[Attribute]) -> bool:
    """Keep dated attributes; gives whether one was new. Of two values of one second the greater holds."""
    changed = False
    for one in attributes:
        key = {"identity_id": identity_id, "name": one.name, "at": one.at}
        stands = store.value(sql("intake", "attribute_at"), key)
        if stands is None or stands < one.value:
            store.run(sql("intake", "put_attribute"), {**key, "customer_id": customer_id, "value": one.value})
            changed = True
    return changed


def put_words(store: Store, sighting: Sighting) -> None:
    """Keep who gave a pulse, and what they wrote, beside its fact."""
    words = {"author": sighting.author, "note": sighting.note}
    for fact in sighting.facts:
        if fact.kind == "pulse":
            which = {"source": fact.source, "source_id": fact.source_id}
            store.run(sql("opinions", "put_pulse"), {**which, **words})


def put_crm_contact(store: Store, source: str, identity_id: str, contact: CrmContact, now: int) -> bool:
    """Mirror a CRM contact; False where a newer state is mirrored already."""
    return store.run(
        sql("intake", "put_crm_contact"),
        {
            "source": source, "contact_id": contact.contact_id, "identity_id": identity_id,
            "email": normal_email(contact.email), "opt_in": contact.opt_in, "may_mail": int(contact.may_mail),
            "may_serve": int(contact.may_mail or contact.may_serve), "tags": json.dumps(sorted(contact.tags)), "fields": json.dumps(dict(sorted(contact.fields))),
            "updated_at": contact.updated_at, "seen_at": now,
        },
    ) > 0  # fmt: skip


def add_facts(
    store: Store,
    customer_id: str,
    identity_id: str,
    facts: Iterable[Fact],
    time_zone: str = "UTC",
    *,
    sighted_at: int = 0,
    known_at: int = 0,
    touched: Touched | None = None,
    news: list[Fact] | None = None,
    volumes: Volumes | None = None,
) -> int:
    """Keep facts, roll them up, and mark the customer for the next assessment; gives how many rows were new or mended.

    With `touched` the caller rolls up, once for many sightings: what changed is added to it; so with `volumes`, of which
    the caller has told the workspace's zone. With `news` the facts that were new or mended are added to that.

    (source, source_id) is one fact. Where it stands already with other content, the word of the newer sighting
    (`sighted_at`) holds; of two from the same second, the greater, so that the order of arrival decides nothing.
    `known_at` 0 means that each was known when it happened. What a fact said before it was mended is kept beside it, so
    that nothing is known before it was learned. Raises KeyError for a kind outside the vocabulary.
    """
    changed: Touched = {}
    counts = volumes or Volumes()
    count = 0
    for one in facts:
        kind_named(one.kind)
        day = local_day(one.at, time_zone)
        said = {
            "customer_id": customer_id, "identity_id": identity_id, "kind": one.kind, "label": one.label, "at": one.at,
            "day": day, "value": one.value, "sighted_at": sighted_at,
        }  # fmt: skip
        which = {"source": one.source, "source_id": one.source_id}
        learned = one.known_at or known_at
        made = {"id": new_id("fct"), "known_at": one.known_at or max(known_at, one.at)}
        if not store.run(sql("intake", "add_fact"), {**made, **which, **said}):
            row = store.row(sql("intake", "fact"), which)
            content = (customer_id, one.kind, one.label, one.at, one.value)
            if row is None or not _replaces(row, content, sighted_at):
                continue
            since = _set_aside(store, row, one.at, learned) if content[1:] != _content(row)[1:] else _since(row)
            store.run(sql("intake", "mend_fact"), {**said, **since, "id": row["id"]})
            if _content(row) == content:
                continue
            counts.add(one.source, row["kind"], row["at"], -1)
            changed[row["customer_id"], row["kind"], row["label"], row["day"]] = None
        changed[customer_id, one.kind, one.label, day] = None
        counts.add(one.source, one.kind, one.at)
        if news is not None:
            news.append(one)
        count += 1
    if volumes is None:
        counts.keep(store)
    if touched is None:
        roll_up(store, changed)
    else:
        touched.update(changed)
    return count


def _content(row: Row) -> tuple[Any, ...]:
    return row["customer_id"], row["kind"], row["label"], row["at"], row["value"]


def _replaces(row: Row, content: tuple[Any, ...], sighted_at: int) -> bool:
    if sighted_at != row["sighted_at"]:
        return bool(sighted_at > row["sighted_at"])
    return content[1:] > _content(row)[1:]


def _since(row: Row) -> dict[str, int]:
    return {"known_at": row["known_at"], "mended_at": row["mended_at"]}


def _set_aside(store: Store, row: Row, at: int, learned: int) -> dict[str, int]:
    """Keep what a fact says that is about to say something else, of `at`; gives since when that is known.

    `learned` is when that came, 0 for history: then it has always been so.
    """
    known_since = max(row["known_at"], row["mended_at"])
    if not learned:
        store.run(sql("intake", "forget_former"), {"fact_id": row["id"]})
        return {"known_at": at, "mended_at": 0}
    if learned <= known_since:  # nobody had time to know the other, or it lay in the future
        return {**_since(row), "known_at": min(row["known_at"], max(learned, at))}
    words = {name: row[name] for name in ("kind", "label", "at", "day", "value")}
    store.run(
        sql("intake", "put_former"), {**words, "fact_id": row["id"], "known_at": known_since, "mended_at": learned}
    )
    return {**_since(row), "mended_at": learned}


def roll_up(store: Store, keys: Iterable[tuple[str, str, str, int]]) -> None:
    """Make the roll-up of these (customer, kind, label, day) equal to what grouping the facts gives."""
    binds = [dict(zip(("customer_id", "kind", "label", "day"), key, strict=True)) for key in keys]
    if not binds:
        return
    store.many(sql("intake", "unroll"), binds)
    store.many(sql("intake", "roll_up"), binds)
    for customer_id in {bind["customer_id"]: None for bind in binds}:
        soil(store, str(customer_id), 0)


def roll_up_customer(store: Store, customer_id: str) -> None:
    """Make one customer's whole roll-up anew."""
    store.run(sql("intake", "unroll_customer"), {"customer_id": customer_id})
    store.run(sql("intake", "roll_up_customer"), {"customer_id": customer_id})
    soil(store, customer_id, 0)


def soil(store: Store, customer_id: str, now: int, *, urgent: bool = False) -> None:
    """Mark a customer for the next assessment; an urgent one is not left to the schedule."""
    store.run(sql("intake", "soil"), {"customer_id": customer_id, "since": now, "urgent": int(urgent)})


def count(store: Store, name: str, n: int = 1) -> None:
    """Count something that leaves no row of its own."""
    store.run(sql("intake", "count"), {"name": name, "n": n})


def normal_email(address: str) -> str:
    """An address as it is compared: trimmed, in small letters."""
    return address.strip().casefold()
