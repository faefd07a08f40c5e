"""Where effects wait, and what becomes of them. An intent is committed before anything is tried.

waiting ──claim──► sending ──► done | refused | failed
   ▲                  │ ├────► unknown    (it may have left, and the channel cannot deduplicate: see dispatch/doubt.py)
   └──── postpone ────┘ └────► replaced   (a newer state of the same contact went instead)

Beside the river lie three pools, out of which nothing is claimed: `draft` (the workspace only shows what it would do),
`held` (this kind of act has not been released), and `asked` (a person is to see this very message first).

In which order: a lane takes what is due first, and so one that waits holds up nobody else. Of one customer
- never are two letters under way at once, in either lane of letters, nor two to one address: a cap sees the one before;
- a letter or task of a play waits for that play's earlier ones; a later step also while a person has not released the step
  before (while nobody knows whether that arrived, the arbiter holds it);
- an alert waits for every earlier alert, since they tell one story; of CRM standings only the newest counts.
Letters of different plays may overtake each other: the arbiter decides between them, whichever comes first.
"""

from __future__ import annotations

import json
import zlib
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
SETTLED_AFTER: Final = 120
"""Seconds after which nothing is under way any more: longer than any client of ours waits for an answer (lib/http: 10 to
connect and 60 to read; SMTP: 60)."""
KEY_HOLDS: Final = 15 * 60
"""Seconds for which a channel that deduplicates is trusted to know a key again: the shortest time a vendor names."""
HELD_AT_MOST: Final = 60 * 86_400
"""Seconds after which a letter is no longer held by an earlier one of its play: by then it is out of date, and ends."""
ASKED_EVERY: Final = 15 * 60
"""Seconds, at least, between two questions to a channel about one letter; they grow with its age."""
IN_A_ROW: Final = 3
"""After so many that could not be taken now, one after the other, it is the channel and not the effect: the lane rests."""
REST_AT_LEAST: Final = 60
"""Seconds for which a lane is left alone when its vendor could not be used at all."""

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
    tried_at: int | None = None
    """When it was tried the time before, None where this is the first."""


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


def claim_letter(store: Store, effect_id: str, now: int) -> Queued | None:
    """Take one letter; None where somebody else has it, it is not due any more, or another one has to be over first."""
    row = store.row(sql("dispatch", "claim_letter"), {"id": effect_id, "now": now, "stale": now - HELD_AT_MOST})
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


def letters_due(store: Store, lane: Lane, now: int, most: int) -> dict[str, str]:
    """The same of letters that could be taken now: {effect id: address}. Takes nothing."""
    binds = {"lane": lane.value, "now": now, "most": most, "stale": now - HELD_AT_MOST}
    rows = store.rows(sql("dispatch", "letters_due"), binds)
    return {row["id"]: row["target"] for row in rows}


def waits(store: Store, lane: Lane, now: int) -> bool:
    """Whether there is anything to do in a lane: due, stranded, or in doubt for long enough to be asked about."""
    binds = {
        "lane": lane.value, "now": now, "stranded": now - STRANDED_AFTER, "settled": now - SETTLED_AFTER,
        "pause": ASKED_EVERY,
    }  # fmt: skip
    return store.value(sql("dispatch", "lane_waits"), binds) is not None


def _queued(store: Store, row: Row, now: int) -> Queued | None:
    """The row as it was put; None, and given up, where another version wrote it: it must not stop the others."""
    try:
        effect = effect_of(row)
    except (LookupError, TypeError, ValueError) as error:
        finish(store, row["id"], "failed", now, f"cannot be read: {error}")
        tell_once(store, Lane(row["lane"]), now, f"what waited cannot be read: {error}")
        return None
    return Queued(
        row["id"], row["key"], row["customer_id"], row["play"], row["attempts"], row["created_at"], effect,
        row["tried_at"],
    )  # fmt: skip


def effect_of(row: Row) -> Effect:
    """The effect of a row with its `kind` and `payload`. Raises LookupError, TypeError or ValueError for another version's."""
    return _KINDS[row["kind"]](**json.loads(row["payload"]))


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


def settle(store: Store, effect_id: str, now: int, *, reference: str = "", reason: str = "") -> bool:
    """It is known by now that it arrived; False where that was known before, or nobody had tried."""
    binds = {"id": effect_id, "now": now, "reference": reference or None, "reason": reason or None}
    return store.run(sql("dispatch", "settle"), binds) > 0


def try_later(store: Store, queued: Queued, now: int, reason: str, after: float | None) -> str:
    """After a failure that may pass: wait longer each time, give up in the end; a letter, when it is no longer news.

    Never earlier than `after`, the seconds for which the vendor asked to be left alone, and spread out behind that.
    Gives `later` or `failed`.
    """
    over = now >= queued.effect.expires_at if isinstance(queued.effect, Mail) else queued.attempts >= MOST_ATTEMPTS
    if over:
        finish(store, queued.id, "failed", now, f"tried {queued.attempts} times; last: {reason}")
        tell_once(store, queued.effect.lane, now, reason)
        return "failed"
    wait = min(LONGEST_WAIT, max(after or 0, min(6 * 3600, 30 * 2**queued.attempts)))
    postpone(store, queued.id, now + int(wait * (1 + 0.25 * _chance(queued))) + 1, reason)
    return "later"


def tell_once(store: Store, lane: Lane, now: int, reason: str) -> None:
    """Let the operator know, once a day and lane, that something was given up; `keepwell check` lists all of it."""
    if lane is Lane.ALERT:  # it would go the same way
        return
    binds = {
        "key": f"given up:{lane}:{now // 86_400}", "title": f"Something to {_PLACES[lane]} was given up", "now": now,
        "text": f"{reason}\nAll that was given up is listed by: keepwell check",
    }  # fmt: skip
    store.run(sql("guard", "put_notice"), binds)


_PLACES: Final[Mapping[Lane, str]] = {
    Lane.CRM: "the CRM", Lane.MAIL: "customers by mail", Lane.SMS: "customers by text message", Lane.TASK: "your people",
}  # fmt: skip
"""What leaves by a lane, in words."""


def _chance(queued: Queued) -> float:
    """0 to 1, another for each effect and attempt, and the same whenever it is asked for: a run can be repeated."""
    return zlib.crc32(f"{queued.key}:{queued.attempts}".encode()) / 2**32


# -- a lane that is left alone ----------------------------------------------------------------------------------------


def rest(store: Store, lane: Lane, now: int, after: float | None, reason: str) -> None:
    """Leave a lane alone for so many seconds: its vendor cannot be used, so the next effect would fare the same."""
    wait = min(LONGEST_WAIT, max(REST_AT_LEAST, after or 0))
    store.run(sql("dispatch", "rest"), {"lane": lane.value, "until": now + int(wait) + 1, "reason": reason})


def resting(store: Store, lane: Lane, now: int) -> str:
    """Why a lane is left alone, "" where it is not."""
    row = store.row(sql("dispatch", "rests"), {"lane": lane.value, "now": now})
    return str(row["reason"]) if row else ""


# -- what was interrupted ---------------------------------------------------------------------------------------------


def recover(
    store: Store, lane: Lane, now: int, *, deduplicates: bool = False, older_than: int = STRANDED_AFTER
) -> dict[str, int]:
    """See to what a crash left in `sending` in one lane; gives how many rows became what. The caller holds its lease.

    CRM writes compare before they write, so they are simply done again. An alert is repeated rather than lost, and says
    so. A task is looked for before it is made again, once no request can be under way any more. A letter that nobody had
    begun to hand over waits again; one that may have left does so only where the channel deduplicates, as long as it is
    sure to know the key; else it becomes *unknown*.
    """
    became: dict[str, int] = {}
    with store.atomic():
        for row in store.rows(sql("dispatch", "stranded"), {"lane": lane.value, "before": now - older_than}):
            state = _after_a_crash(row, lane, now, deduplicates=deduplicates)
            if state == "unknown":
                finish(store, row["id"], state, now, "interrupted while it was being sent; nobody can know")
            else:
                due_at = row["sending_since"] + SETTLED_AFTER if lane is Lane.TASK else now
                postpone(store, row["id"], max(now, due_at), "interrupted; done again")
            became[state] = became.get(state, 0) + 1
    return became


def _after_a_crash(row: Row, lane: Lane, now: int, *, deduplicates: bool) -> str:
    if lane not in (Lane.MAIL, Lane.SMS) or row["attempt"] != row["attempts"]:
        return "waiting"
    return "waiting" if deduplicates and now - row["first_at"] < KEY_HOLDS else "unknown"
