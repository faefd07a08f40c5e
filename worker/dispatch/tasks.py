"""The lane of tasks: one thing for one of our people, never lost and never twice.

A desk recognises no task that it gets twice. So one that was tried before, whatever came of that, is looked for by our
mark before it is made again, and not before everything that was under way has had its time.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.dispatch import outbox
from worker.effects import Lane, Task
from worker.integration import Desk
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Held, Reconnect, Retry, Unsure
from worker.lib.store import Store
from worker.plays import records as plays
from worker.plays.rules import Refusal

Over = Callable[[Task, int], Refusal | None]
"""(a task, when it was set off) -> what speaks against it by now, None for nothing."""


def send_waiting(
    store: Store, desk: Desk, clock: Clock, *, stop: Callable[[], bool], over: Over = lambda task, since: None
) -> dict[str, int]:
    """Empty the task lane; gives counts by outcome. `stop` is asked before each; what is over is not handed to anybody."""
    outcomes: dict[str, int] = {}
    in_a_row = 0
    while in_a_row < outbox.IN_A_ROW and not stop() and (queued := outbox.claim(store, Lane.TASK, seconds(clock))):
        outcome, tells_of_all = _add(store, desk, clock, queued, over)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        in_a_row = in_a_row + 1 if outcome == "later" else 0
        if tells_of_all:
            break
    return outcomes


def _add(store: Store, desk: Desk, clock: Clock, queued: outbox.Queued, over: Over) -> tuple[str, bool]:
    """(what came of one, whether the next would fare the same)."""
    task = queued.effect
    assert isinstance(task, Task)
    if queued.attempts == 1 and (refusal := over(task, queued.created_at)):
        with store.atomic():
            outbox.finish(store, queued.id, "refused", seconds(clock), f"{refusal.rule}: {refusal.reason}")
            plays.keep_refusal(store, refusal, seconds(clock), queued.id)
        return "refused", False
    try:
        found = desk.find(task, queued.id, queued.tried_at or queued.created_at) if queued.attempts > 1 else ""
        task_id = found or desk.add(task, queued.id)
    except GiveUp as failure:
        outbox.finish(store, queued.id, "failed", seconds(clock), str(failure))
        return "failed", False
    except Held as failure:  # nothing may leave at the moment, and nothing was tried
        outbox.hold(store, queued.id, seconds(clock), str(failure))
        return "waiting", True
    except Unsure as failure:
        return outbox.try_later(store, queued, seconds(clock), str(failure), outbox.SETTLED_AFTER), False
    except Failure as failure:
        after = failure.after if isinstance(failure, Retry) else 900.0
        outcome = outbox.try_later(store, queued, seconds(clock), str(failure), after)
        if after is not None:
            outbox.rest(store, Lane.TASK, seconds(clock), after, str(failure))
        return outcome, after is not None or isinstance(failure, Reconnect)
    except Exception as error:  # noqa: BLE001  a fault of ours in one task stops no other
        reason = f"Keepwell met a fault of its own: {type(error).__name__}: {error}"[:500]
        return outbox.try_later(store, queued, seconds(clock), reason, outbox.SETTLED_AFTER), False
    outbox.finish(store, queued.id, "done", seconds(clock), reference=task_id)
    return ("found" if found else "added"), False
