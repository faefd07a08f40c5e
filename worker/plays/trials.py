"""Hold-outs as they are stored: which are on, who is in which arm, and what a play's past tells.

The station's door to the store for `plays.holdout`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Final

from worker.lib.clock import DAY
from worker.lib.store import Store, sql
from worker.plays import holdout
from worker.plays.records import set_switch, switch

FAMILY: Final = "hold_out:"
"""Their switches: `hold_out:<play>`."""
SALT: Final = "hold_out_salt"
HELD, ACTED = "held", "acted"
PACE_WEEKS: Final = 12
"""How far back the pace of a play is measured."""
GOAL_DAYS: Final = 90
"""A customer counts as kept who has not left so many days after the play was set off."""


@dataclass(frozen=True, slots=True)
class HoldOut:
    """One that is on."""

    play: str
    percent: int
    base_rate: float
    lift: float
    customers: int
    """How many an answer takes, as the person was told."""
    at: int
    """Since when."""


@dataclass(frozen=True, slots=True)
class Arms:
    """Who has been drawn."""

    acted: int
    held: int
    merged: int
    """Drawn, and since made one with another customer: in neither arm."""
    earlier: int
    """Drawn in a hold-out of the same play that was ended or changed: in neither arm, since they were treated as both."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a play's past tells of how long an answer takes."""

    per_week: float
    """Customers for whom it was set off for the first time, done or refused, a week."""
    weeks: float
    """How many weeks that was measured over."""
    seen: int
    """For how many it was set off at least 90 days ago …"""
    stayed: int
    """… and how many of them had not left 90 days later."""


def switch_on(store: Store, one: HoldOut) -> None:
    """Begin it. One that was on before ends with this."""
    kept = {key: value for key, value in asdict(one).items() if key not in ("play", "at")}
    set_switch(store, f"{FAMILY}{one.play}", json.dumps(kept), one.at)


def switch_off(store: Store, play: str, now: int) -> None:
    """End it. Who was drawn stays on record."""
    set_switch(store, f"{FAMILY}{play}", "", now)


def switched_on(store: Store) -> dict[str, HoldOut]:
    """play -> its hold-out, of those that are on."""
    rows = store.rows(sql("holdout", "switched_on"), {"from": FAMILY, "after": f"{FAMILY[:-1]};"})
    found = [HoldOut(row["name"].removeprefix(FAMILY), **json.loads(row["value"]), at=row["at"]) for row in rows]
    return {one.play: one for one in found}


def assign(store: Store, one: HoldOut, customer_id: str, now: int, occasion: str) -> bool:
    """Draw an arm for a customer for whom a play has just been set off: True where nothing must be done for them.

    To be asked before anything is queued, whatever would have become of it. The first draw is kept, for both arms, and
    holds for as long as the hold-out is on. Who was drawn in an earlier one is not drawn again: the play acts.
    """
    binds = {"play": one.play, "customer_id": customer_id}
    row = store.row(sql("holdout", "arm"), binds)
    if row is None:
        drawn = HELD if holdout.is_held_out(_salt(store), one.play, customer_id, one.percent) else ACTED
        store.run(sql("holdout", "assign"), {**binds, "arm": drawn, "at": now, "occasion": occasion})
        row = store.row(sql("holdout", "arm"), binds)
    return row is not None and row["arm"] == HELD and row["at"] >= one.at


def holds_back(store: Store, play: str, customer_id: str, since: int) -> bool:
    """Whether this customer has been drawn to be left alone by this play, as far as what was set off at `since` goes."""
    one = switched_on(store).get(play)
    row = store.row(sql("holdout", "arm"), {"play": play, "customer_id": customer_id}) if one else None
    return one is not None and row is not None and row["arm"] == HELD and one.at <= row["at"] <= since


def _salt(store: Store) -> str:
    """What makes the draws of this workspace its own."""
    if not switch(store, SALT):
        store.run(sql("house", "set_once"), {"name": SALT, "value": secrets.token_hex(16)})
    return switch(store, SALT)


def arms(store: Store, play: str, since: int) -> Arms:
    """Who has been drawn since a hold-out is on."""
    rows = store.rows(sql("holdout", "arms"), {"play": play, "since": since})
    n = {row["arm"]: row["n"] for row in rows}
    return Arms(n.get(ACTED, 0), n.get(HELD, 0), n.get("merged", 0), n.get("earlier", 0))


def past(store: Store, play: str, now: int) -> Past:
    """The pace of a play over the last twelve weeks, or since the first pass; and how many stayed."""
    began = store.value(sql("holdout", "first_pass"))
    weeks = min(float(PACE_WEEKS), max(1.0, (now - began) / (7 * DAY))) if began is not None else float(PACE_WEEKS)
    n = int(store.value(sql("holdout", "set_off"), {"play": play, "since": now - PACE_WEEKS * 7 * DAY}))
    row = store.row(sql("holdout", "stayed"), {"play": play, "days": GOAL_DAYS, "until": now - GOAL_DAYS * DAY})
    assert row is not None
    return Past(n / weeks, weeks, row["n"], row["stayed"])
