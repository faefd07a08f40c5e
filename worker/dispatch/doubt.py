"""Letters of which nobody knows whether they arrived: the channel is asked, once nothing can be under way any more.

What it knows settles them: one that arrived is done, one that surely never left waits again. Where it cannot tell, as a
plain mail server, they stay *unknown*: an event of the channel may still tell (intake), or a person does (worker/unknowns.py).
"""

from __future__ import annotations

import json
from typing import Final

from worker.dispatch import outbox
from worker.effects import Lane
from worker.integration import Mailer, Sought
from worker.lib.clock import Clock, seconds
from worker.lib.store import Row, Store, sql

AT_ONCE: Final = 50
"""Letters about which the channel is asked in one go."""


def ask_channel(store: Store, lane: Lane, mailer: Mailer, clock: Clock) -> dict[str, int]:
    """Ask what became of each letter in doubt; gives counts: arrived, again (it never left), unknown.

    Each is asked about again later and later. Raises lib.http's Failure kinds where the channel cannot be asked.
    """
    found: dict[str, int] = {}
    binds = {
        "lane": lane.value, "now": seconds(clock), "settled": seconds(clock) - outbox.SETTLED_AFTER,
        "pause": outbox.ASKED_EVERY, "most": AT_ONCE,
    }  # fmt: skip
    for row in store.rows(sql("dispatch", "to_ask"), binds):
        store.run(sql("dispatch", "asked"), {"id": row["id"], "now": seconds(clock)})
        word = _ask(store, mailer, row, seconds(clock))
        found[word] = found.get(word, 0) + 1
    return found


def _ask(store: Store, mailer: Mailer, row: Row, now: int) -> str:
    if row["message_id"] is None:  # of another version, which noted nothing before the hand-over
        return "unknown"
    contact_id = str(json.loads(row["payload"]).get("contact_id", ""))
    sought = Sought(row["message_id"], row["id"], row["target"], contact_id, row["subject"], row["sending_since"])
    reference = mailer.find(sought)
    if reference is None:
        return "unknown"
    if reference:
        outbox.settle(store, row["id"], now, reference=reference, reason="the channel says that it arrived")
        return "arrived"
    binds = {"id": row["id"], "now": now, "reason": "the channel says that it never left"}
    store.run(sql("dispatch", "again"), binds)
    return "again"
