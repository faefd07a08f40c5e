"""Taking Keepwell out of every vendor: what was there before comes back, what we made goes, and what is left is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker import controls
from worker.dispatch import journal
from worker.integration import Crm, CrmIds
from worker.lib.clock import seconds
from worker.lib.http import Failure
from worker.lib.store import sql
from worker.plays import modes
from worker.plays.records import set_switch
from worker.workspace import Workspace


@dataclass
class Uninstalled:
    """What was done, and what was not."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Each is for a person to see to."""
    asked: list[str] = field(default_factory=list)
    """What a person has to do in any case: nobody but they can."""


def would(workspace: Workspace) -> list[str]:
    """What an uninstall would do, in words. Asks no vendor."""
    rows = journal.all_standing(workspace.store, workspace.crm_source)
    contacts = {row["contact_id"] for row in rows}
    lines = [f"The mode becomes watch: nothing leaves any more (it is {workspace.mode} now)."]
    if contacts:
        lines.append(
            f"{len(contacts)} contacts in {workspace.crm_source} get back what stood in our fields and tags before us,"
            " where ours still stands."
        )
    made = [one.integration.title for one in workspace.connected.values() if one.integration.remove is not None]
    return [*lines, *(f"{title}: what we made there is deleted." for title in made), *_for_a_person(workspace)]


def uninstall(workspace: Workspace) -> Uninstalled:
    """Take everything of ours out. Doing it again does what was left, and no more."""
    result = Uninstalled()
    if workspace.mode != modes.WATCH:
        controls.set_mode(workspace, modes.WATCH)
        result.done.append("The workspace is in watch: nothing leaves any more.")
    with workspace.by_hand():
        if _put_back(workspace, result):
            _remove(workspace, result)
    result.asked = _for_a_person(workspace)
    return result


def _put_back(workspace: Workspace, result: Uninstalled) -> bool:
    """Whether all was put back that could be; where not, our tags and fields must stay, so that it can be done again."""
    rows = journal.all_standing(workspace.store, workspace.crm_source)
    if not rows:
        return True
    crm: Crm | None = workspace.crm
    if crm is None:
        result.left.append(f"{workspace.crm_source} is not set up, so nothing can be put back there; set it up again")
        return False
    try:
        done = journal.put_back(workspace.store, crm, rows, workspace.clock)
    except Failure as failure:
        result.left.append(f"{workspace.crm_source} cannot be read: {failure}")
        return False
    result.done.append(f"{done.fields} fields and {done.tags} tags of contacts are as they were before us.")
    result.done += [f"{one}, and goes where the field or the tag is ours" for one in done.kept]
    result.left += [f"could not be put back: {one}; do this again" for one in done.failed]
    if done.failed:
        return False
    _begin_anew(workspace)
    return True


def _remove(workspace: Workspace, result: Uninstalled) -> None:
    for name, one in workspace.connected.items():
        if one.integration.remove is None or one.http is None:
            continue
        ours = workspace.known_crm_ids if name == workspace.crm_source else None
        try:
            removed = one.integration.remove(
                one.http, one.settings, workspace.config.workspace.public_url, ours or CrmIds({}, {})
            )
        except Failure as failure:
            result.left.append(f"{one.integration.title}: {failure}")
            continue
        result.done += [f"{one.integration.title}: {line}" for line in removed.done]
        result.left += [f"{one.integration.title}: {line}" for line in removed.left]


def _begin_anew(workspace: Workspace) -> None:
    """Where it ever goes live again, it is as the first time: a trial write first, and no tag of a backfill unasked."""
    store, source, now = workspace.store, workspace.crm_source, seconds(workspace.clock)
    with store.atomic():
        for row in journal.all_standing(store, source):  # kept by a person, and gone with the field
            store.run(sql("dispatch", "undone"), {"id": row["id"], "now": now})
        for name in ("undo_all_shown", "backfill_all"):
            store.run(sql("dispatch", name))
        store.run(sql("dispatch", "forget_edits"), {"source": source})
        set_switch(store, f"canary:{source}", "", now)


def _for_a_person(workspace: Workspace) -> list[str]:
    lines = []
    url = workspace.config.workspace.public_url
    for name, one in workspace.connected.items():
        if one.integration.verify is not None and one.integration.remove is None:
            lines.append(f"Delete the webhook to {url}/hooks/{name} in {one.integration.title}, if there is one.")
        if one.http is not None:
            lines.append(f"Revoke the key of {one.integration.title} that Keepwell was given.")
    lines.append("What was heard and scored is in this workspace's database; delete it when you no longer want it.")
    return lines
