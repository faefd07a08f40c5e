"""What waits outside the river or before it, and is no longer worth it."""

from __future__ import annotations

import json
from typing import Final

from worker.lib.store import Row, Store, sql
from worker.plays.records import keep_refusal
from worker.plays.rules import Refusal

EXPIRED: Final = "it waited until it was no longer worth sending"


def expire(store: Store, state: str, now: int) -> list[Row]:
    """Refuse the messages in `state` (waiting, draft or held) that are old news by now; gives their rows."""
    over = [
        row
        for row in store.rows(sql("dispatch", "pooled_messages"), {"state": state})
        if 0 < json.loads(row["payload"])["expires_at"] <= now
    ]
    with store.atomic():
        for row in over:
            binds = {"id": row["id"], "now": now, "reason": f"goal: {EXPIRED}"}
            if store.run(sql("dispatch", "expire_pooled"), binds):
                keep_refusal(store, Refusal(row["customer_id"], row["play"], "goal", EXPIRED), now, row["id"])
    return over
