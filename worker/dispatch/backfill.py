"""The tags of those who merely stand where they stood when nothing left yet: written on an explicit release, at a pace.

An automation in the CRM may hang on a tag of ours. It is meant for the customer who turns red, not for all who were red
on the day on which a workspace went live.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.lib.clock import HOUR
from worker.lib.store import Store, sql
from worker.plays.records import set_switch, switch

PACE: Final = "backfill_per_hour"
"""The switch that holds how many an hour, 0 for all at once."""


def waiting(store: Store) -> frozenset[str]:
    """The customers whose tag waits."""
    return frozenset(row["customer_id"] for row in store.rows(sql("dispatch", "backfill")))


def release(store: Store, now: int, per_hour: int | None) -> int:
    """Give everybody who waits a slot: the first at once, `per_hour` an hour, None all at once; gives how many wait."""
    with store.atomic():
        set_switch(store, PACE, str(per_hour or 0), now)
        rows = store.rows(sql("dispatch", "backfill"))
        _spread(store, [row["customer_id"] for row in rows], now, per_hour or 0)
    return len(rows)


def _spread(store: Store, customers: Sequence[str], begin: int, per_hour: int) -> None:
    slots = ((one, begin + (place * HOUR // per_hour if per_hour else 0)) for place, one in enumerate(customers))
    store.many(sql("dispatch", "backfill_slot"), [{"customer_id": one, "due_at": due_at} for one, due_at in slots])


def take(store: Store, now: int) -> int:
    """Have those looked at whose slot has come; gives how many. Their tags are written as everybody's from then on.

    After a pause, or a night in which nothing ran, many slots have passed: an hour's worth is taken at once, and the
    others get new slots.
    """
    due = [row["customer_id"] for row in store.rows(sql("dispatch", "backfill_due"), {"now": now})]
    if not due:
        return 0
    per_hour = int(switch(store, PACE, "0"))
    mine = due[:per_hour] if per_hour else due
    with store.atomic():
        store.many(sql("opinions", "soil"), [{"customer_id": one, "now": now} for one in mine])
        store.many(sql("assess", "no_backfill"), [{"customer_id": one} for one in mine])
        if len(mine) < len(due):
            released = [row["customer_id"] for row in store.rows(sql("dispatch", "backfill_released"))]
            _spread(store, released, now + HOUR, per_hour)
    return len(mine)
