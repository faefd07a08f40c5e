"""Letters of which nobody knows whether they arrived, as people see them, and what a person says about one.

A plain mail server recognises no mail that it gets twice and keeps no list that could be asked. So a letter whose sending
was interrupted is neither sent again nor forgotten: it waits here for what its channel, an event or a person says.
"""

from __future__ import annotations

from typing import Any

from worker.dispatch import outbox
from worker.dispatch.mail import keep_arrived
from worker.effects import Lane
from worker.lib.clock import iso, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Row, sql
from worker.workspace import Workspace


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """Every letter in doubt, the oldest first: flat, times as `2026-01-31T09:30:00.000Z`, "" for what is not known."""
    return [
        {
            "id": row["id"], "lane": row["lane"], "to": row["target"], "customer_id": row["customer_id"],
            "customer": row["name"], "play": row["play"], "subject": row["subject"] or "",
            "tried_at": iso(row["sending_since"]), "asked_at": iso(row["asked_at"]) if row["asked_at"] else "",
            "reason": row["reason"] or "",
        }
        for row in workspace.store.rows(sql("dispatch", "unknown"))
    ]  # fmt: skip


def arrived(workspace: Workspace, effect_id: str, by: str) -> None:
    """A person has found it with its recipient: it is done. Raises Problems where it is not in doubt."""
    row = _in_doubt(workspace, effect_id)
    with workspace.store.atomic():
        _settled(outbox.settle(workspace.store, effect_id, _now(workspace), reason=f"it arrived, says {by}"), effect_id)
        keep_arrived(workspace.store, Lane(row["lane"]), tell_crm=workspace.tells_crm)


def send_again(workspace: Workspace, effect_id: str, by: str) -> None:
    """A person says that it never left: it waits again, and is asked about before it leaves. Raises Problems likewise."""
    _in_doubt(workspace, effect_id)
    binds = {"id": effect_id, "now": _now(workspace), "reason": f"to be sent again, says {by}"}
    _settled(workspace.store.run(sql("dispatch", "again"), binds) > 0, effect_id)


def let_go(workspace: Workspace, effect_id: str, by: str) -> None:
    """It may have arrived or not, and that is the end of it: it is not sent again. Raises Problems likewise."""
    _in_doubt(workspace, effect_id)
    binds = {"id": effect_id, "now": _now(workspace), "reason": f"nobody knows whether it arrived; let go by {by}"}
    _settled(workspace.store.run(sql("dispatch", "let_go"), binds) > 0, effect_id)


def _in_doubt(workspace: Workspace, effect_id: str) -> Row:
    for row in workspace.store.rows(sql("dispatch", "unknown")):
        if row["id"] == effect_id:
            return row
    raise _no_doubt(effect_id)


def _settled(done: bool, effect_id: str) -> None:
    if not done:  # somebody was quicker
        raise _no_doubt(effect_id)


def _no_doubt(effect_id: str) -> Problems:
    return Problems([Problem(effect_id, 0, "", "is no letter in doubt", "list them with: keepwell unknown")])


def _now(workspace: Workspace) -> int:
    return seconds(workspace.clock)
