"""The CRM's own history is told of mails that left by another way, so that it never lies about who was written to.

In batches, each mail once: what is about to be told is committed before. Where an answer is lost nobody repeats blindly:
such a mail is *unsure*, and stays so; the CRM of our knowledge takes one under its id only once anyway. What the CRM then
shows of ours is known again by that id when it is pulled, and makes no second fact (the CRM's integration).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from worker.dispatch import outbox
from worker.effects import Lane
from worker.integration import History, Logged
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Held, Retry, Unsure
from worker.lib.store import Row, Store, sql

BATCH: Final = 50
"""Mails in one go."""
AGAIN_AFTER: Final = 15 * 60
"""Seconds after which what could not be told is tried again."""


def waits(store: Store, now: int) -> bool:
    """Whether there is anything to tell, or an interrupted telling to settle."""
    binds = {"before": now - AGAIN_AFTER, "stranded": now - outbox.STRANDED_AFTER}
    return store.value(sql("dispatch", "untold"), binds) is not None


def tell_waiting(
    store: Store, history: History, clock: Clock, *, stop: Callable[[], bool], most: int = BATCH
) -> dict[str, int]:
    """Tell of what waits, `most` at a time; gives counts by outcome: told, failed, unsure, later. `stop` is asked before each batch."""
    outcomes: dict[str, int] = {}
    interrupted = store.run(sql("dispatch", "telling_stranded"), {"stranded": seconds(clock) - outbox.STRANDED_AFTER})
    _count(outcomes, "unsure", interrupted)
    while not stop():
        now = seconds(clock)
        rows = store.rows(sql("dispatch", "begin_telling"), {"now": now, "before": now - AGAIN_AFTER, "most": most})
        if not rows:
            break
        found = _tell(store, history, clock, [_logged(store, row) for row in rows])
        with store.atomic():
            for effect_id, (state, reason) in found.items():
                binds = {"effect_id": effect_id, "state": state, "reason": reason or None, "now": seconds(clock)}
                store.run(sql("dispatch", "told"), binds)
                if state != "waiting":
                    store.run(sql("dispatch", "forget_letter"), {"effect_id": effect_id})
                _count(outcomes, "later" if state == "waiting" else state, 1)
        if "later" in outcomes:
            break
    return outcomes


def _count(outcomes: dict[str, int], word: str, n: int) -> None:
    if n:
        outcomes[word] = outcomes.get(word, 0) + n


def _logged(store: Store, row: Row) -> Logged:
    kept = store.row(sql("dispatch", "letter_kept"), {"effect_id": row["effect_id"]}) or {}
    contact_id = json.loads(kept["mail"])["contact_id"] if kept else ""
    return Logged(
        row["effect_id"], contact_id, kept.get("sender", ""), row["email"], row["subject"], row["body"],
        kept.get("html", ""), row["sent_at"],
    )  # fmt: skip


def _tell(store: Store, history: History, clock: Clock, mails: list[Logged]) -> dict[str, tuple[str, str]]:
    """{effect id: (what it is now, why)}."""

    def all_are(state: str, reason: object) -> dict[str, tuple[str, str]]:
        return {one.effect_id: (state, str(reason)) for one in mails}

    try:
        results = history.log(mails)
    except Unsure as failure:
        return all_are("unsure", failure)
    except GiveUp as failure:
        return all_are("failed", failure)
    except Failure as failure:
        if isinstance(failure, Retry) and not isinstance(failure, Held) and failure.after is not None:
            outbox.rest(store, Lane.CRM, seconds(clock), failure.after, str(failure))
        return all_are("waiting", failure)
    unnamed = "the CRM gave no answer for this mail"
    reasons = {one.effect_id: results.get(one.effect_id, unnamed) for one in mails}
    return {effect_id: ("failed" if reason else "told", reason) for effect_id, reason in reasons.items()}
