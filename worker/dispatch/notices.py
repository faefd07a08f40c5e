"""What the operator is told about Keepwell's own affairs, each notice once: effects are about customers, these are not.

A notice is claimed before it is sent. One that was interrupted, or may have been posted, is *unknown*: it stands in
`keepwell check` and is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.dispatch.outbox import STRANDED_AFTER
from worker.effects import Alert
from worker.integration import Alerter
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Unsure
from worker.lib.store import Store, sql


def send_waiting(store: Store, alerter: Alerter, clock: Clock, *, stop: Callable[[], bool]) -> int:
    """Send what waits; gives how many left. One that the place cannot take now ends the turn of all."""
    store.run(sql("guard", "stranded_notices"), {"before": seconds(clock) - STRANDED_AFTER})
    sent = 0
    while not stop() and (row := store.row(sql("guard", "claim_notice"), {"now": seconds(clock)})) is not None:
        state, reason = _send(alerter, row["title"], row["text"])
        sent_at = seconds(clock) if state == "done" else None
        binds = {"key": row["key"], "state": state, "sent_at": sent_at, "reason": reason}
        store.run(sql("guard", "finish_notice"), binds)
        if state == "waiting":
            break
        sent += state == "done"
    return sent


def _send(alerter: Alerter, title: str, text: str) -> tuple[str, str | None]:
    """(the state it is in now, why)."""
    try:
        remark = alerter.send(Alert("", title, text))
    except Unsure as failure:
        return "unknown", str(failure)
    except GiveUp as failure:
        return "failed", str(failure)
    except Failure as failure:
        return "waiting", str(failure)
    return "done", remark
