"""The journal: what a CRM contact looked like before us, what we wrote and over what, and how a run is taken back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.facts import CrmContact
from worker.integration import Crm
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql

FIELD, TAG = "field", "tag"

Place = tuple[str, str, str]
"""Where something was written: contact, `field` or `tag`, and its id."""


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


def write_places(crm: Crm, values: Mapping[Place, str]) -> dict[Place, str]:
    """Have each place show its value; gives "" for each that does, else the reason it could not. Raises nothing."""
    fields: dict[str, dict[str, str]] = {}
    tags: dict[tuple[str, bool], list[str]] = {}
    for (contact_id, what, name), value in values.items():
        if what == FIELD:
            fields.setdefault(contact_id, {})[name] = value
        else:
            tags.setdefault((name, bool(value)), []).append(contact_id)
    outcomes: dict[Place, str] = {}
    try:
        for contact_id, result in crm.write_fields(fields).items() if fields else ():
            for name in fields[contact_id]:
                outcomes[contact_id, FIELD, name] = "" if result.ok else result.reason
        # What comes back goes on first: a contact never stands without a colour in between.
        for (tag_id, on), contacts in sorted(tags.items(), key=lambda item: not item[0][1]):
            for contact_id, reason in (crm.add_tag if on else crm.remove_tag)(tag_id, contacts).items():
                outcomes[contact_id, TAG, tag_id] = reason
    except Failure as failure:
        outcomes = {**dict.fromkeys(values, str(failure)), **outcomes}
    return {place: outcomes.get(place, "the CRM gave no answer for this contact") for place in values}


def undo(store: Store, crm: Crm, source: str, run_id: str, clock: Clock, only: Collection[str] | None = None) -> Undone:
    """Put back what a run wrote, unless somebody has changed it since. Doing it twice changes nothing.

    `only` names the contacts, None means all. Raises a Failure only where the CRM cannot be read, and so nothing was done.
    """
    return put_back(store, crm, of_run(store, run_id, only), clock)


def all_standing(store: Store, source: str) -> list[Row]:
    """Everything that was ever written to a CRM and not been put back, the newest entry first."""
    return store.rows(sql("dispatch", "journal_standing"), {"source": source})


def put_back(store: Store, crm: Crm, rows: Sequence[Row], clock: Clock) -> Undone:
    """Put back what these entries of the journal, the newest first, wrote; as `undo` does it."""
    plan = _plan(rows, crm.read(sorted({row["contact_id"] for row in rows})))
    done = Undone(kept=plan.kept)
    outcomes = write_places(crm, plan.back)
    now = seconds(clock)
    with store.atomic():
        _mark(store, [entry_id for place in plan.back_already for entry_id in plan.ids[place]], now)
        for place, reason in outcomes.items():
            if reason:
                done.failed.append(f"contact {place[0]}: {place[1]} {place[2]}: {reason}")
                continue
            done.fields += place[1] == FIELD
            done.tags += place[1] == TAG
            _mark(store, plan.ids[place], now)
            store.run(sql("dispatch", "undo_shown"), {"contact_id": place[0]})
    return done


def of_run(store: Store, run_id: str, only: Collection[str] | None = None) -> list[Row]:
    """What of a run still stands, the newest entry first."""
    rows = store.rows(sql("dispatch", "journal_of_run"), {"run_id": run_id})
    return [row for row in rows if only is None or row["contact_id"] in only]


def _mark(store: Store, entry_ids: Sequence[str], now: int) -> None:
    store.many(sql("dispatch", "undone"), [{"id": entry_id, "now": now} for entry_id in entry_ids])


@dataclass
class _Plan:
    """What an undo has to do."""

    back: dict[Place, str] = field(default_factory=dict)
    """What each place shall show again."""
    back_already: list[Place] = field(default_factory=list)
    """What shows it already: it was never written, or was put back by hand or by an undo that broke off."""
    ids: dict[Place, list[str]] = field(default_factory=dict)
    """The journal's entries of each place, for those that are settled by this."""
    kept: list[str] = field(default_factory=list)


def _plan(rows: Sequence[Row], now_there: Mapping[str, CrmContact]) -> _Plan:
    """Hold the journal against what is there: the newest entry must stand, the oldest before-image is what returns."""
    plan, entries = _Plan(), dict[Place, list[Row]]()
    for row in rows:  # the newest first
        entries.setdefault((row["contact_id"], row["what"], row["name"]), []).append(row)
    for contact_id in sorted({place[0] for place in entries} - now_there.keys()):
        plan.kept.append(f"contact {contact_id} is gone")
    for place, written in entries.items():
        contact = now_there.get(place[0])
        if contact is None:
            continue
        plan.ids[place] = [row["id"] for row in written]
        before = written[-1]["before"]
        if _stands(contact, place[1], place[2], before):
            plan.back_already.append(place)
        elif _stands(contact, place[1], place[2], _last_written(contact, place, written)):
            plan.back[place] = before
        else:
            plan.kept.append(f"contact {place[0]}: {place[1]} {place[2]} was changed since")
    return plan


def _last_written(contact: CrmContact, place: Place, written: Sequence[Row]) -> str:
    """What our last write left there. An entry whose write never came about shows as it was before."""
    for row in written:
        if row["state"] == "written" or _stands(contact, place[1], place[2], row["after"]):
            return str(row["after"])
    return str(written[0]["before"])


def _stands(contact: CrmContact, what: str, name: str, value: str) -> bool:
    if what == FIELD:
        return dict(contact.fields).get(name, "") == value
    return (name in contact.tags) == bool(value)
