"""Where effects wait, and what becomes of them. An intent is committed before anything is tried.

waiting ──claim──► sending ──► done | refused | failed
   ▲                  │ ├────► unknown    (interrupted in mid-send, and the channel cannot deduplicate: a person decides)
   └──── postpone ────┘ └────► replaced   (a newer state of the same contact went instead)

Beside the river lie three pools, out of which nothing is claimed: `draft` (the workspace only shows what it would do),
`held` (this kind of act has not been released), and `asked` (a person is to see this very message first).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from worker.effects import Alert, Effect, Lane, Mail, Sms, Standing, Task
from worker.lib.ids import new_id
from worker.lib.lease import LASTS
from worker.lib.store import Row, Store, sql

MOST_ATTEMPTS: Final = 8
LONGEST_WAIT: Final = 7 * 86_400
"""Seconds; a vendor that asks to be left alone for longer is asked again after that."""
STRANDED_AFTER: Final = LASTS
"""Seconds after which a row found in `sending` belongs to nobody any more: who sends holds the lease, and who has not
renewed that for so long has lost it, and sends no more."""

_KINDS: Final[Mapping[str, type[Effect]]] = {
    "standing": Standing,
    "mail": Mail,
    "sms": Sms,
    "task": Task,
    "alert": Alert,
}


@dataclass(frozen=True, slots=True)
class Queued:
    """One claimed effect."""

    id: str
    key: str
    customer_id: str
    play: str
    attempts: int
    created_at: int
    effect: Effect


def put(
    store: Store, effect: Effect, key: str, now: int, *, play: str = "", change_id: str | None = None, due_at: int = 0,
    state: str = "waiting",
) -> str:  # fmt: skip
    """Queue an effect under its idempotency key; gives its id, "" where that intent is there already.

    `state` may be one of the pools instead: draft, held or asked. Runs inside the transaction that stores the score and the change that caused it.
    """
    effect_id = new_id("eff")
    added = store.run(
        sql("dispatch", "put_effect"),
        {
            "id": effect_id, "key": key, "lane": effect.lane.value, "kind": type(effect).__name__.lower(),
            "customer_id": effect.customer_id, "target": _target(effect), "change_id": change_id, "play": play,
            "payload": json.dumps(asdict(effect), sort_keys=True), "now": now, "due_at": due_at or now,
            "state": state, "step": effect.step if isinstance(effect, Mail | Task) else "",
        },
    )  # fmt: skip
    return effect_id if added else ""


def _target(effect: Effect) -> str:
    if isinstance(effect, Standing):
        return effect.contact_id
    if isinstance(effect, Task):
        return effect.owner
    return effect.to if isinstance(effect, Mail) else ""


def shown(store: Store, contact_id: str) -> Standing | None:
    """The standing that this contact shows, or will once the lane is empty; None where we show nothing there."""
    row = store.row(sql("dispatch", "shown"), {"contact_id": contact_id})
    return Standing(**json.loads(row["payload"])) if row and row["state"] != "undone" else None


def drop_older_drafts(store: Store, contact_id: str, effect_id: str, now: int) -> None:
    """Of what a contact would be shown, only the newest draft is worth looking at."""
    store.run(sql("dispatch", "drop_older_drafts"), {"contact_id": contact_id, "id": effect_id, "now": now})


def claim(store: Store, lane: Lane, now: int) -> Queued | None:
    """Take the next effect of a lane; committed before it is tried, so that a crash cannot try it twice unseen."""
    while (row := store.row(sql("dispatch", "claim"), {"lane": lane.value, "now": now})) is not None:
        queued = _queued(store, row, now)
        if queued is not None:
            return queued
    return None


def claim_this(store: Store, effect_id: str, now: int) -> Queued | None:
    """Take one effect; None where somebody else has taken it, or it is not due any more."""
    row = store.row(sql("dispatch", "claim_this"), {"id": effect_id, "now": now})
    return _queued(store, row, now) if row else None


def claim_all(store: Store, lane: Lane, now: int, most: int) -> list[Queued]:
    """Take up to `most` effects of a lane at once, in the order in which they were put."""
    while rows := store.rows(sql("dispatch", "claim_all"), {"lane": lane.value, "now": now, "most": most}):
        read = [_queued(store, row, now) for row in sorted(rows, key=lambda row: str(row["id"]))]
        if found := [queued for queued in read if queued is not None]:
            return found
    return []


def cause_of(queued: Queued) -> str:
    """What an alert is about, as all that are about the same call it: the play, else how their keys begin."""
    return queued.play or queued.key.partition(":")[0]


def how_many_alike(store: Store, queued: Queued, now: int) -> int:
    """Of how many customers the team could be told the same now, the claimed one's among them."""
    binds = {"id": queued.id, "now": now, "play": queued.play, "prefix": f"{cause_of(queued)}:"}
    return int(store.value(sql("dispatch", "alerts_alike"), binds))


def claim_alike(store: Store, queued: Queued, now: int, most: int) -> list[Queued]:
    """Take the other alerts of one cause, in the order in which they were put."""
    binds = {"now": now, "most": most, "play": queued.play, "prefix": f"{cause_of(queued)}:"}
    rows = store.rows(sql("dispatch", "claim_alike"), binds)
    read = [_queued(store, row, now) for row in sorted(rows, key=lambda row: str(row["id"]))]
    return [one for one in read if one is not None]


def due(store: Store, lane: Lane, now: int, most: int) -> dict[str, str]:
    """What would be taken next, in order: {effect id: contact or address}. Takes nothing."""
    rows = store.rows(sql("dispatch", "due"), {"lane": lane.value, "now": now, "most": most})
    return {row["id"]: row["target"] for row in rows}


def _queued(store: Store, row: Row, now: int) -> Queued | None:
    """The row as it was put; None, and given up, where another version wrote it: it must not stop the others."""
    try:
        effect = _KINDS[row["kind"]](**json.loads(row["payload"]))
    except (LookupError, TypeError, ValueError) as error:
        finish(store, row["id"], "failed", now, f"cannot be read: {error}")
        return None
    return Queued(row["id"], row["key"], row["customer_id"], row["play"], row["attempts"], row["created_at"], effect)


def overtaken(store: Store, queued: Queued) -> bool:
    """Whether a newer standing of the same contact waits, went, or was taken back by a person."""
    binds = {"contact_id": _target(queued.effect), "id": queued.id}
    return store.row(sql("dispatch", "newer_standing"), binds) is not None


def finish(store: Store, effect_id: str, state: str, now: int, reason: str = "", reference: str = "") -> bool:
    """End an effect as done, refused, failed, unknown or replaced; False where it was not being sent."""
    binds = {"id": effect_id, "state": state, "now": now, "reason": reason or None, "reference": reference or None}
    return store.run(sql("dispatch", "finish"), binds) > 0


def postpone(store: Store, effect_id: str, until: int, reason: str) -> None:
    """Let it wait until then."""
    store.run(sql("dispatch", "postpone"), {"id": effect_id, "until": until, "reason": reason})


def hold(store: Store, effect_id: str, until: int, reason: str) -> None:
    """Let it wait until then, as if it had not been taken: nothing was tried."""
    store.run(sql("dispatch", "hold"), {"id": effect_id, "until": until, "reason": reason})


def ask(store: Store, effect_id: str, reason: str) -> None:
    """Put it aside until a person has said yes, as if it had not been taken."""
    store.run(sql("dispatch", "ask"), {"id": effect_id, "reason": reason})


def try_later(store: Store, queued: Queued, now: int, reason: str, after: float | None) -> None:
    """After a failure that may pass: wait longer each time, give up in the end; a mail, when it is no longer news."""
    over = now >= queued.effect.expires_at if isinstance(queued.effect, Mail) else queued.attempts >= MOST_ATTEMPTS
    if over:
        finish(store, queued.id, "failed", now, f"tried {queued.attempts} times; last: {reason}")
        return
    wait = min(LONGEST_WAIT, max(after or 0, min(6 * 3600, 30 * 2**queued.attempts)))
    postpone(store, queued.id, now + int(wait) + 1, reason)


def recover(store: Store, now: int, *, mail_deduplicates: bool, older_than: int = STRANDED_AFTER) -> dict[str, int]:
    """See to what a crash left in `sending`; gives how many rows became what.

    CRM writes compare before they write, so they are simply done again. An alert is repeated rather than lost, and says
    so. A mail is repeated only where the channel deduplicates; else it becomes *unknown* and asks.
    """
    became: dict[str, int] = {}
    with store.atomic():
        for row in store.rows(sql("dispatch", "stranded"), {"before": now - older_than}):
            if row["lane"] in (Lane.MAIL, Lane.SMS, Lane.TASK) and not mail_deduplicates:
                state = "unknown"
                finish(store, row["id"], state, now, "interrupted while it was being sent; nobody can know")
            else:
                state = "waiting"
                postpone(store, row["id"], now, "interrupted; done again")
            became[state] = became.get(state, 0) + 1
    return became
