"""The journal: what a CRM contact looked like before us, what we wrote and over what, and how a run is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.facts import CrmContact
from worker.integration import Crm
from worker.lib.clock import Clock, seconds
from worker.lib.ids import new_id
from worker.lib.store import Store, sql

FIELD, TAG = "field", "tag"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is about to be written: committed before the write."""

    contact_id: str
    what: str
    """`field` or `tag`."""
    name: str
    """The field's or the tag's id."""
    before: str
    after: str
    """A field's value; for a tag "on" or ""."""


def snapshot(store: Store, source: str, contacts: Iterable[CrmContact], now: int) -> None:
    """Keep each contact as it is, unless it has been kept before: nothing is written before this has committed."""
    store.many(
        sql("dispatch", "snapshot"),
        [
            {
                "source": source, "contact_id": contact.contact_id, "at": now,
                "tags": json.dumps(sorted(contact.tags)), "fields": json.dumps(dict(sorted(contact.fields))),
            }
            for contact in contacts
        ],
    )  # fmt: skip


def intend(store: Store, run_id: str, source: str, entries: Sequence[Entry], now: int) -> list[str]:
    """Write down what is about to be written; gives the ids, in order."""
    ids = [new_id("jnl") for _ in entries]
    store.many(
        sql("dispatch", "journal"),
        [
            {
                "id": entry_id, "run_id": run_id, "source": source, "contact_id": entry.contact_id,
                "what": entry.what, "name": entry.name, "before": entry.before, "after": entry.after, "at": now,
            }
            for entry_id, entry in zip(ids, entries, strict=True)
        ],
    )  # fmt: skip
    return ids


def settle(store: Store, outcomes: Mapping[str, str]) -> None:
    """Note how each went: journal id -> "" for written, else the reason it failed."""
    store.many(
        sql("dispatch", "journal_done"),
        [
            {"id": entry_id, "state": "failed" if reason else "written", "reason": reason or None}
            for entry_id, reason in outcomes.items()
        ],
    )


@dataclass
class Undone:
    """What an undo did."""

    fields: int = 0
    tags: int = 0
    kept: list[str] = field(default_factory=list)
    """What somebody has changed since, and so was left as it is."""
    failed: list[str] = field(default_factory=list)


def undo(store: Store, crm: Crm, source: str, run_id: str, clock: Clock) -> Undone:
    """Put back what a run wrote, unless somebody has changed it since. Doing it twice changes nothing."""
    rows = store.rows(sql("dispatch", "journal_of_run"), {"run_id": run_id})
    done = Undone()
    now_there = crm.read(sorted({row["contact_id"] for row in rows}))
    fields: dict[str, dict[str, str]] = {}
    put_on: dict[str, list[str]] = {}
    take_off: dict[str, list[str]] = {}
    ids: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:  # the newest first: the oldest before-image is the one that stays
        place = (row["contact_id"], row["what"], row["name"])
        contact = now_there.get(row["contact_id"])
        if contact is None:
            done.kept.append(f"contact {row['contact_id']} is gone")
            continue
        if place not in ids and not _stands(contact, row["what"], row["name"], row["after"]):
            done.kept.append(f"contact {row['contact_id']}: {row['what']} {row['name']} was changed since")
            continue
        ids.setdefault(place, []).append(row["id"])
        if row["what"] == FIELD:
            fields.setdefault(row["contact_id"], {})[row["name"]] = row["before"]
        else:
            for side in (put_on, take_off):
                side[row["name"]] = [one for one in side.get(row["name"], []) if one != row["contact_id"]]
            (put_on if row["before"] else take_off)[row["name"]].append(row["contact_id"])
    outcomes: dict[tuple[str, str, str], str] = {}
    for contact_id, result in crm.write_fields(fields).items() if fields else ():
        for name in fields[contact_id]:
            outcomes[contact_id, FIELD, name] = "" if result.ok else result.reason
    for side, act in ((put_on, crm.add_tag), (take_off, crm.remove_tag)):
        for tag_id, contacts in sorted(side.items()):
            for contact_id, reason in act(tag_id, contacts).items() if contacts else ():
                outcomes[contact_id, TAG, tag_id] = reason
    with store.atomic():
        for place, reason in outcomes.items():
            if reason:
                done.failed.append(f"contact {place[0]}: {place[1]} {place[2]}: {reason}")
                continue
            done.fields += place[1] == FIELD
            done.tags += place[1] == TAG
            binds = [{"id": entry_id, "now": seconds(clock)} for entry_id in ids[place]]
            store.many(sql("dispatch", "undone"), binds)
            store.run(sql("dispatch", "undo_shown"), {"contact_id": place[0]})
    return done


def _stands(contact: CrmContact, what: str, name: str, value: str) -> bool:
    if what == FIELD:
        return dict(contact.fields).get(name, "") == value
    return (name in contact.tags) == bool(value)
