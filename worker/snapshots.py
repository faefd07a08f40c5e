"""Snapshots of our tags and fields in the CRM, one JSON file a day beside the workspace, and the way back to one.

They are files also where the database is PostgreSQL: what one fears to lose should lie where one can see it. On a host
whose disk does not outlive a restart they go with it, so copy them away, or mount a disk there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from worker import controls
from worker.assess import new_run
from worker.dispatch import journal
from worker.dispatch.journal import FIELD, TAG, Entry, Place
from worker.facts import CrmContact
from worker.integration import CrmIds
from worker.lib.clock import day_number, day_text, iso, local_day, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import sql
from worker.workspace import Workspace

FOLDER: Final = "snapshots"
_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)\.json")


def read_contacts(workspace: Workspace) -> dict[str, CrmContact]:
    """Every contact that we know of as it is in the CRM now, in as few calls as there are.

    Raises lib.http's Failure kinds, and Problems where the CRM is not set up.
    """
    crm = workspace.crm
    if crm is None:
        raise Problems([Problem(workspace.crm_source, 0, "", "is not set up", "set it up in config.toml")])
    rows = workspace.store.rows(sql("dispatch", "mirrored"), {"source": workspace.crm_source})
    return crm.read([row["contact_id"] for row in rows])


def keep(workspace: Workspace, contacts: Mapping[str, CrmContact]) -> Path | None:
    """Write today's snapshot of `contacts`, as they were just read, and let go of the oldest.

    Gives the file, None while nothing in the CRM is ours. One of the same day is replaced.
    """
    ids = workspace.known_crm_ids
    if ids is None:
        return None
    now = seconds(workspace.clock)
    today = local_day(now, workspace.time_zone)
    data = {
        "taken_at": iso(now), "source": workspace.crm_source,
        "tags": dict(ids.tags), "fields": dict(ids.fields),
        "contacts": {one: _ours(contacts[one], ids) for one in sorted(contacts)},
    }  # fmt: skip
    folder = workspace.config.folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{day_text(today)}.json"
    _write(path, json.dumps(data, ensure_ascii=False, indent=1))
    for old in kept(workspace):
        if day_number(old.stem) <= today - workspace.config.crm.keep_snapshots:
            old.unlink()
    return path


def kept(workspace: Workspace) -> list[Path]:
    """The snapshots that there are, the oldest first."""
    folder = workspace.config.folder / FOLDER
    return sorted(one for one in folder.glob("*.json") if _NAME.fullmatch(one.name)) if folder.is_dir() else []


def _ours(contact: CrmContact, ids: CrmIds) -> dict[str, Any]:
    tags, fields = set(ids.tags.values()), set(ids.fields.values())
    return {
        "tags": sorted(tags & set(contact.tags)),
        "fields": {name: value for name, value in sorted(contact.fields) if name in fields},
    }


def _write(path: Path, text: str) -> None:
    """All or nothing, for nobody else to read; on the disk when this returns."""
    half = path.with_suffix(".half")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# -- the way back -----------------------------------------------------------------------------------------------------


@dataclass
class Restored:
    """What a restore did, or would do."""

    run_id: str = ""
    fields: int = 0
    tags: int = 0
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def restore(workspace: Workspace, path: Path, *, dry_run: bool, customer_id: str = "") -> Restored:
    """Have our tags and fields show again what a snapshot says, and pause; nothing of others is touched.

    A contact that the snapshot does not name stays as it is. It is written in a run of its own, which an undo puts back.
    Raises Problems for a file that is no snapshot of this CRM, and lib.http's Failure kinds while nothing has been done.
    """
    crm, ids, then = workspace.crm, workspace.known_crm_ids, _read(workspace, path)
    if crm is None or ids is None:
        raise Problems([Problem(workspace.crm_source, 0, "", "holds nothing of ours", "nothing can be put back there")])
    only = controls.contacts_of(workspace, customer_id) if customer_id else then["contacts"].keys()
    there = crm.read(sorted(only & then["contacts"].keys()))
    entries = [entry for one in sorted(there) for entry in _differing(there[one], then, ids)]
    done = Restored(
        lines=[f"contact {one.contact_id}: {one.what} {one.name}: {one.before!r} → {one.after!r}" for one in entries]
    )
    if dry_run or not entries:
        return done
    now, store = seconds(workspace.clock), workspace.store
    controls.set_paused(store, now, paused=True)
    done.run_id = new_run(store, "restore", now)
    journal.snapshot(store, workspace.crm_source, there.values(), now)
    entry_ids = journal.intend(store, done.run_id, workspace.crm_source, entries, now)
    wanted: dict[Place, str] = {(one.contact_id, one.what, one.name): one.after for one in entries}
    with workspace.by_hand():
        outcomes = journal.write_places(crm, wanted)
    journal.settle(store, dict(zip(entry_ids, outcomes.values(), strict=True)))
    for place, reason in outcomes.items():
        if reason:
            done.failed.append(f"contact {place[0]}: {place[1]} {place[2]}: {reason}")
        else:
            done.fields += place[1] == FIELD
            done.tags += place[1] == TAG
            store.run(sql("dispatch", "undo_shown"), {"contact_id": place[0]})
    return done


def _differing(contact: CrmContact, then: Mapping[str, Any], ids: CrmIds) -> list[Entry]:
    """What of ours on this contact is not as it was. Our things are found by what they are for, if made anew since."""
    was, shows = then["contacts"][contact.contact_id], dict(contact.fields)
    entries = []
    for key, field_id in ids.fields.items():
        before, after = shows.get(field_id, ""), was["fields"].get(then["fields"].get(key), "")
        if before != after:
            entries.append(Entry(contact.contact_id, FIELD, field_id, before, after))
    for band, tag_id in ids.tags.items():
        has, had = tag_id in contact.tags, then["tags"].get(band) in was["tags"]
        if has != had:
            entries.append(Entry(contact.contact_id, TAG, tag_id, "on" if has else "", "on" if had else ""))
    return entries


def _read(workspace: Workspace, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Problems([Problem(str(path), 0, "", f"cannot be read: {error.strerror}", _choice(workspace))]) from None
    except ValueError:
        data = None
    contacts = data.get("contacts") if isinstance(data, dict) else None
    shapes = isinstance(contacts, dict) and all(
        isinstance(one, dict) and isinstance(one.get("tags"), list) and isinstance(one.get("fields"), dict)
        for one in contacts.values()
    )
    if not shapes or not all(isinstance(data.get(name), dict) for name in ("tags", "fields")):
        raise Problems([Problem(str(path), 0, "", "is no snapshot", _choice(workspace))])
    if data.get("source") != workspace.crm_source:
        raise Problems(
            [Problem(str(path), 0, "source", f"is of {data.get('source')!r}", f"not {workspace.crm_source}")]
        )
    found: dict[str, Any] = data
    return found


def _choice(workspace: Workspace) -> str:
    names = [one.name for one in kept(workspace)]
    return f"there are {names[0]} to {names[-1]} in {FOLDER}/" if names else "take one with: keepwell snapshot"
