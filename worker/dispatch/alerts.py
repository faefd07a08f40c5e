"""The lane that tells the team."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from worker.dispatch import outbox
from worker.effects import Alert, Lane
from worker.integration import Alerter
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Retry
from worker.lib.store import Store


def send_waiting(store: Store, alerter: Alerter, clock: Clock, *, stop: Callable[[], bool]) -> dict[str, int]:
    """Empty the alert lane; gives counts by outcome. One that may have been posted already says so.

    `stop` is asked before each: whether everything outward has been paused meanwhile. One that the place cannot take now
    ends the turn of all: the next would wait for the same, and keep the CRM and the mails waiting.
    """
    outcomes: dict[str, int] = {}
    while not outcomes.get("later") and not stop() and (queued := outbox.claim(store, Lane.ALERT, seconds(clock))):
        outcome = _send(store, alerter, clock, queued)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def _send(store: Store, alerter: Alerter, clock: Clock, queued: outbox.Queued) -> str:
    alert = queued.effect
    assert isinstance(alert, Alert)
    if queued.attempts > 1:
        alert = replace(alert, title=f"(perhaps a repeat) {alert.title}")
    try:
        remark = alerter.send(alert) or ""
    except GiveUp as failure:
        outbox.finish(store, queued.id, "failed", seconds(clock), str(failure))
        return "failed"
    except Failure as failure:
        after = failure.after if isinstance(failure, Retry) else None
        outbox.try_later(store, queued, seconds(clock), str(failure), after)
        return "later"
    outbox.finish(store, queued.id, "done", seconds(clock), remark)
    return "sent"
