"""Reading a vendor's stream: every page is stored raw, and the cursor moves in the same transaction."""

from __future__ import annotations

import hashlib
from typing import Any

from worker.facts import Delivery
from worker.integration import Pull
from worker.lib.clock import seconds
from worker.lib.http import Failure, Http
from worker.lib.ids import new_id
from worker.lib.store import Store, sql


def pull(store: Store, source: str, stream: Pull, http: Http, settings: Any) -> str:
    """Read one stream from its cursor on; gives "" or the reason why it broke off.

    What was stored before a failure stays; the next turn goes on from there. A source is well when its last pull was.
    """
    place = {"source": source, "stream": stream.stream}
    stands = store.row(sql("intake", "cursor"), place)
    history = int(stands is None or stands["succeeded_at"] is None)
    try:
        for page in stream.fetch(http, settings, stands["value"] if stands else None, seconds(http.clock)):
            now = seconds(http.clock)
            with store.atomic():
                store_raw(store, source, stream.stream, page.external_id, page.body, now, history=history)
                if page.cursor is not None:
                    store.run(sql("intake", "move_cursor"), {**place, "value": page.cursor})
    except Failure as failure:
        store.run(sql("intake", "pull_failed"), {**place, "now": seconds(http.clock), "reason": str(failure)})
        return str(failure)
    store.run(sql("intake", "pull_succeeded"), {**place, "now": seconds(http.clock)})
    return ""


def store_raw(
    store: Store, source: str, stream: str, external_id: str, body: str, now: int, *, history: int = 0
) -> Delivery:
    """Keep one raw thing as a delivery, unless the same id with the same body is there already."""
    delivery = Delivery(new_id("dlv"), source, stream, external_id, body, now)
    store.run(
        sql("intake", "store_page"),
        {
            "id": delivery.id, "source": source, "stream": stream, "external_id": external_id,
            "body_hash": hashlib.sha256(body.encode()).hexdigest(), "body": body, "received_at": now,
            "history": history,
        },
    )  # fmt: skip
    return delivery
