"""The nightly look whether the CRM shows what it should: what differs is queued to be written, and nothing is fought.

A write that was lost, two colours on one contact, a colour on a contact that stands for nobody: each is put right by the
same write-back as everything else. What somebody wrote into a place of ours is noticed, told, and left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker import controls, snapshots
from worker.dispatch import edits
from worker.dispatch.journal import FIELD, TAG
from worker.dispatch.writeback import released
from worker.effects import Standing
from worker.facts import CrmContact
from worker.integration import CrmIds
from worker.lib.clock import seconds
from worker.lib.store import sql
from worker.plays import modes
from worker.plays.records import main_contact
from worker.workspace import Workspace


@dataclass
class Reconciled:
    """What was found."""

    contacts: int = 0
    """How many were looked at."""
    differ: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    """What somebody put into places of ours."""
    queued: int = 0
    """How many contacts the next turn writes again."""


def reconcile(
    workspace: Workspace, *, dry_run: bool = False, contacts: Mapping[str, CrmContact] | None = None
) -> Reconciled:
    """Hold every contact against what it shall show, and queue what differs; `contacts` are those just read, if any.

    Nothing is queued while nothing may leave. Raises lib.http's Failure kinds, and Problems without a CRM.
    """
    done, ids = Reconciled(), workspace.known_crm_ids
    if ids is None:
        return done
    there = snapshots.read_contacts(workspace) if contacts is None else contacts
    ids = released(ids, workspace.may_leave) if modes.lets_out(workspace.mode) else ids
    store, now = workspace.store, seconds(workspace.clock)
    wanted = _wanted(workspace, there, ids, now)
    only = workspace.config.crm.only_contacts
    wanted = {one: standing for one, standing in wanted.items() if not only or one in only}
    keep = workspace.config.crm.when_edited == "keep"
    noticed = edits.notice(store, workspace.crm_source, there, wanted, ids, now, keep=keep)
    done.contacts, done.edits = len(there), list(noticed.words)
    again = []
    for contact_id, standing in sorted(wanted.items()):
        if differences := _differences(there[contact_id], standing, ids, noticed):
            done.differ.append(f"contact {contact_id}: {'; '.join(differences)}")
            again.append(standing)
    if not dry_run and modes.lets_out(workspace.mode):
        with store.atomic():
            done.queued = controls.show_again(store, again, now)
    return done


def suspects(workspace: Workspace, contacts: Mapping[str, CrmContact]) -> list[str]:
    """The contacts that may not show what they should, as they were read: a turn may have written to them since."""
    ids = workspace.known_crm_ids or CrmIds({}, {})
    wanted = _wanted(workspace, contacts, ids, seconds(workspace.clock))
    nobody = edits.Noticed(frozenset(), ())
    taken = {row["contact_id"] for row in edits.standing_now(workspace.store, workspace.crm_source)}
    odd = {one for one, standing in wanted.items() if _differences(contacts[one], standing, ids, nobody)}
    worded = {one for one, standing in wanted.items() if _reworded(contacts[one], standing, ids)}
    return sorted((odd | worded | taken) & contacts.keys())


def _reworded(contact: CrmContact, standing: Standing, ids: CrmIds) -> bool:
    """Whether the reason is not ours, or no more: that alone is not written again, but may be somebody's word."""
    return dict(contact.fields).get(ids.fields.get("reason", ""), "") not in ("", standing.reason)


def _wanted(workspace: Workspace, there: Mapping[str, CrmContact], ids: CrmIds, now: int) -> dict[str, Standing]:
    """What each contact shall show: what was decided last, and nothing where the contact stands for nobody."""
    store, source = workspace.store, workspace.crm_source
    rows = store.rows(sql("dispatch", "standings_now"))
    decided = {row["target"] for row in rows}  # what a person took back among them: that is left to the next decision
    found = {row["target"]: Standing(**json.loads(row["payload"])) for row in rows if row["state"] != "undone"}
    wanted = {one: standing for one, standing in found.items() if one in there}
    ours = {*ids.tags.values(), *ids.fields.values()}
    for row in store.rows(sql("dispatch", "mirrored"), {"source": source}):
        contact = there.get(row["contact_id"])
        if contact is None or contact.contact_id in decided:
            continue
        if not ours.intersection([*contact.tags, *(name for name, value in contact.fields if value)]):
            continue
        main = main_contact(store, row["customer_id"], source)
        if main is not None and main["contact_id"] != contact.contact_id:
            wanted[contact.contact_id] = Standing(row["customer_id"], contact.contact_id, "", "", "", now)
    return wanted


def _differences(contact: CrmContact, standing: Standing, ids: CrmIds, noticed: edits.Noticed) -> list[str]:
    found = []
    bands = {tag_id: band for band, tag_id in ids.tags.items()}
    colours = sorted(bands[tag_id] for tag_id in contact.tags if tag_id in bands)
    should = [standing.band] if standing.band in ids.tags else []
    if standing.tag and colours != should and (contact.contact_id, TAG, edits.COLOUR) not in noticed.left:
        found.append(f"has the tags of {' and '.join(colours) or 'no band'}, not of {should[0] if should else 'none'}")
    shows = dict(contact.fields)
    for key, value in (("score", standing.score), ("band", standing.band)):
        field_id = ids.fields.get(key)
        if field_id is None or (contact.contact_id, FIELD, field_id) in noticed.left:
            continue
        if not edits.same(shows.get(field_id, ""), value):
            found.append(f"shows the {key} {shows.get(field_id, '')!r}, not {value!r}")
    return found
