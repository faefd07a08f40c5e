"""What a person does to a running workspace: mode, pause, undo; and what shows before they do it."""

from __future__ import annotations

import json
from typing import Any

from worker.dispatch import journal
from worker.lib.clock import iso, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Row, Store, sql
from worker.plays.records import set_switch, switch
from worker.workspace import Workspace


def waiting(store: Store) -> list[Row]:
    """The effects that would leave next, in words."""
    rows = store.rows(sql("house", "waiting_effects"))
    return [{"id": row["id"], "due_at": iso(row["due_at"]), "what": _in_words(row)} for row in rows]


def _in_words(row: Row) -> str:
    payload: dict[str, Any] = json.loads(row["payload"])
    if row["kind"] == "standing":
        shown = f"{payload['band']} {payload['score']}".strip() if payload["band"] else "nothing of ours"
        return f"show {shown} on contact {row['target']}"
    if row["kind"] == "task":
        return f"task {payload['title']} ({row['play']})"
    if row["kind"] in ("mail", "sms"):
        return f"mail {payload['template']} to {row['target']} ({row['play']})"
    return f"tell the team: {payload['title']}"


def mode_would(workspace: Workspace, to: str) -> list[str]:
    """What changing the mode would let happen, in words."""
    if to == "watch":
        return ["Nothing will leave any more; facts still come in, and scores are still made."]
    store = workspace.store
    bands = ", ".join(f"{row['n']} {row['band']}" for row in store.rows(sql("house", "bands_shown"))) or "nobody yet"
    lines = [f"From the next turn on, the standing of each customer is shown in {workspace.crm_source}: {bands}."]
    if workspace.crm is not None and not switch(store, f"canary:{workspace.crm_source}"):
        lines.append("Nothing is written there before one contact has been tried: keepwell check --canary CONTACT")
    lines.append(f"Mails leave by {workspace.config.outreach.mailer}, alerts by {workspace.config.outreach.alerts}.")
    if not switch(store, "first_pass"):
        lines.append("The first pass is silent: it scores everybody, and tells nobody.")
    return lines


def set_mode(workspace: Workspace, to: str) -> None:
    """Change the mode. What was decided in another mode and still waits is let go: it would be old news."""
    with workspace.store.atomic():
        set_switch(workspace.store, "mode", to, seconds(workspace.clock))
        workspace.store.run(
            sql("house", "let_go"),
            {"reason": f"the mode changed to {to}", "now": seconds(workspace.clock)},
        )


def set_paused(store: Store, now: int, *, paused: bool) -> None:
    """Stop everything outward, or let it leave again. Needs the store alone, so that no mistake in a file hinders it."""
    set_switch(store, "paused", "yes" if paused else "no", now)


def runs_that_wrote(store: Store) -> list[Row]:
    """The runs that wrote to a CRM, newest first."""
    return [{**row, "at": iso(row["at"])} for row in store.rows(sql("house", "runs_that_wrote"))]


def undo(workspace: Workspace, run_id: str, *, dry_run: bool) -> dict[str, Any]:
    """Put back what a run wrote to the CRM, and pause, since the next turn would write it again.

    Raises Problems for a run that wrote nothing, or where the CRM is not set up.
    """
    rows = workspace.store.rows(sql("dispatch", "journal_of_run"), {"run_id": run_id})
    crm = workspace.crm
    if not rows:
        raise Problems([Problem(run_id, 0, "", "wrote nothing that still stands", "list the runs with: keepwell undo")])
    if crm is None:
        raise Problems([Problem(run_id, 0, "", f"wrote to {workspace.crm_source}, which is not set up", "set it up")])
    if dry_run:
        lines = [f"contact {r['contact_id']}: {r['what']} {r['name']}: {r['after']!r} → {r['before']!r}" for r in rows]
        return {"run": run_id, "lines": lines, "fields": 0, "tags": 0, "kept": [], "failed": []}
    set_paused(workspace.store, seconds(workspace.clock), paused=True)
    done = journal.undo(workspace.store, crm, workspace.crm_source, run_id, workspace.clock)
    lines = [f"{done.fields} fields and {done.tags} tags are as they were before {run_id}."]
    lines += [f"left as it is: {one}" for one in done.kept] + [f"could not be put back: {one}" for one in done.failed]
    lines.append("Everything outward is paused now; let it leave again with: keepwell resume")
    return {
        "run": run_id, "lines": lines, "fields": done.fields, "tags": done.tags, "kept": done.kept, "failed": done.failed,
    }  # fmt: skip
