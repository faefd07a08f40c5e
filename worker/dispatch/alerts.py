"""The lane that tells the team: one message for one cause.

What one play, or one kind of question, has to say of many customers at the same time is one message about all of them.
Each of their effects is an effect of its own all the same: claimed, tried, and done, with the same reference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from worker.dispatch import outbox
from worker.effects import Alert, Lane, Line
from worker.integration import Alerter
from worker.lib.clock import Clock, seconds
from worker.lib.http import Failure, GiveUp, Held, Retry
from worker.lib.store import Store

log = logging.getLogger(__name__)

MOST_SINGLY: Final = 5
"""Of more customers than this there is one message for all; so many of them are named in it."""
MOST_TOGETHER: Final = 500
LONGEST_WHY: Final = 200
"""Characters of what is said of each."""

OVER: Final = ("later", "waiting")
"""Outcomes after which the next alert would fare the same."""

_CAUSES: Final[Mapping[str, str]] = {
    "disagreement": "Pulse and band part; who is right?",
    "override": "Overrides have ended",
}
"""What is asked or told without a play, by how its keys begin."""


def send_waiting(
    store: Store, alerter: Alerter, clock: Clock, *, stop: Callable[[], bool], titles: Mapping[str, str] | None = None,
    link: str = "",
) -> dict[str, int]:  # fmt: skip
    """Empty the alert lane; gives counts of effects by outcome. One that may have been posted already says so.

    `stop` is asked before each: whether everything outward has been paused meanwhile. One that the place cannot take now
    lets the lane rest: the next would wait for the same. `titles` says of each play how it is called, `link` where all
    customers are seen.
    """
    outcomes: dict[str, int] = {}
    while not any(map(outcomes.get, OVER)) and not stop():
        queued = outbox.claim(store, Lane.ALERT, seconds(clock))
        if queued is None:
            break
        alike = _alike(store, clock, queued)
        outcome = _send(store, alerter, clock, alike, told([one.effect for one in alike], cause(queued, titles), link))
        outcomes[outcome] = outcomes.get(outcome, 0) + len(alike)
    return outcomes


def _alike(store: Store, clock: Clock, queued: outbox.Queued) -> list[outbox.Queued]:
    """It and, where they are many, all others of the same cause that could leave now."""
    now = seconds(clock)
    if outbox.how_many_alike(store, queued, now) <= MOST_SINGLY:
        return [queued]
    return [queued, *outbox.claim_alike(store, queued, now, MOST_TOGETHER - 1)]


def cause(queued: outbox.Queued, titles: Mapping[str, str] | None = None) -> str:
    """What many alerts like this one are about, in a few words."""
    if queued.play:
        return (titles or {}).get(queued.play) or queued.play
    return _CAUSES.get(outbox.cause_of(queued), "The same of several customers")


def told(effects: Sequence[object], about: str, link: str) -> Alert:
    """The one message: itself where it is alone; else the first few by name, and how many more."""
    found = [one for one in effects if isinstance(one, Alert)]
    if len(found) == 1:
        return found[0]
    lines = [Line(f"{one.title}: {why}" if (why := _short(one.text)) else one.title, one.link) for one in found]
    more = len(found) - MOST_SINGLY
    rest = [Line(f"And {more} more.", link)] if more > 0 else []
    customers = len({one.customer_id for one in found})
    return Alert("", f"{about}: {customers} customers", "", "", (*lines[:MOST_SINGLY], *rest))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LONGEST_WHY else words[: LONGEST_WHY - 1].rstrip() + "…"


def _send(store: Store, alerter: Alerter, clock: Clock, alike: Sequence[outbox.Queued], alert: Alert) -> str:
    if any(one.attempts > 1 for one in alike):
        alert = replace(alert, title=f"(perhaps a repeat) {alert.title}")
    try:
        remark = alerter.send(alert) or ""
    except GiveUp as failure:
        return _ended(store, clock, alike, "failed", str(failure))
    except Held as failure:  # nothing may leave at the moment, and nothing was tried
        for one in alike:
            outbox.hold(store, one.id, seconds(clock), str(failure))
        return "waiting"
    except Failure as failure:
        after = failure.after if isinstance(failure, Retry) else None
        outbox.rest(store, Lane.ALERT, seconds(clock), after, str(failure))
        # all at the moment at which the first is tried again, so that they stay together
        became = {
            outbox.try_later(store, replace(alike[0], id=one.id), seconds(clock), str(failure), after) for one in alike
        }
        return became.pop()
    except Exception as error:  # noqa: BLE001  a fault of ours in one alert stops no other
        reason = f"Keepwell met a fault of its own: {type(error).__name__}: {error}"[:500]
        return _ended(store, clock, alike, "failed", reason)
    if remark:
        log.warning("an alert arrived, but %s", remark)
    _ended(store, clock, alike, "done", remark)
    return "sent"


def _ended(store: Store, clock: Clock, alike: Sequence[outbox.Queued], state: str, reason: str) -> str:
    reference = alike[0].id if len(alike) > 1 else ""
    with store.atomic():
        for one in alike:
            outbox.finish(store, one.id, state, seconds(clock), reason, reference)
    return state
