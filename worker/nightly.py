"""What is done once a night after everybody was looked at: a snapshot of ours in the CRM, and a look at what differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker import reconcile, snapshots
from worker.lib.clock import seconds
from worker.lib.http import Failure
from worker.plays.records import set_switch
from worker.workspace import Workspace

TROUBLE = "nightly_trouble"
"""The switch that says what the last night could not do, "" for nothing."""


@dataclass
class Night:
    """What a night's look at the CRM found."""

    suspects: list[str] = field(default_factory=list)
    """The contacts that may not show what they should."""
    told: list[str] = field(default_factory=list)
    """What was done, or could not be, in words."""


def look(workspace: Workspace) -> Night:
    """Read the whole CRM and keep the snapshot. It takes a while, and decides nothing: turns may go on meanwhile."""
    night = Night()
    if workspace.crm is None or workspace.known_crm_ids is None:
        return night
    with _noted(workspace, night, "no snapshot"):
        contacts = snapshots.read_contacts(workspace)
        night.suspects = reconcile.suspects(workspace, contacts)
        night.told.append(f"{len(contacts)} contacts are in {snapshots.keep(workspace, contacts)}")
    return night


def mend(workspace: Workspace, night: Night) -> None:
    """Read the suspects again, and queue what differs. Between two turns only: what is decided meanwhile is newer."""
    if not night.suspects or workspace.crm is None:
        return
    with _noted(workspace, night, "no reconcile"):
        done = reconcile.reconcile(workspace, contacts=workspace.crm.read(night.suspects))
        night.told += [*done.edits, *done.differ, *([f"{done.queued} contacts are written again"] * bool(done.queued))]


@contextmanager
def _noted(workspace: Workspace, night: Night, what: str) -> Iterator[None]:
    """What could not be done stands in `keepwell check` until another night goes well."""
    trouble = ""
    try:
        yield
    except (Failure, OSError) as failure:
        trouble = f"{what} of {workspace.crm_source} last night: {failure}"
        night.told.append(trouble)
    set_switch(workspace.store, TROUBLE, trouble, seconds(workspace.clock))
