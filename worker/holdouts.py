"""Leaving some customers out of a play, so that its worth can be told: what it would take, switched on by a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from worker.lib.clock import iso, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.plays import holdout, trials
from worker.plays.trials import GOAL_DAYS, HoldOut
from worker.workspace import Workspace

LEAST_SEEN: Final = 30
"""Of fewer customers, how many stayed says too little to plan with."""


@dataclass(frozen=True)
class Plan:
    """What a hold-out would take."""

    play: str
    percent: int
    base_rate: float
    lift: float
    power: holdout.Power
    lines: tuple[str, ...]
    """What a person should know before saying yes."""


def plan(workspace: Workspace, play: str, percent: int, base_rate: float | None, lift: float) -> Plan:
    """What it would take to learn whether a play helps, from this workspace's own numbers.

    `base_rate` None takes what the past tells: the share of customers who stayed for 90 days. Raises Problems for a play
    that there is not, or that must never be held out, and where nothing is known to plan with.
    """
    _may_be_held_out(workspace, play)
    now = seconds(workspace.clock)
    past = trials.past(workspace.store, play, now)
    lines = [
        f"{play} was set off for {past.per_week * past.weeks:.0f} new customers in the last {past.weeks:.0f} weeks, done or refused."
    ]
    if base_rate is None:
        if past.seen < LEAST_SEEN:
            why = f"it was set off for {past.seen} customers {GOAL_DAYS} days ago or earlier, too few to say how many stay"
            raise Problems([Problem(play, 0, "", why, "say what share reaches its goal without it: --base-rate 80")])
        base_rate = past.stayed / past.seen
        lines.append(
            f"{past.stayed} of {past.seen} customers for whom it was set off had not left {GOAL_DAYS} days later"
            f" ({base_rate:.1%})."
        )
    try:
        needed = holdout.power(base_rate, lift, percent, past.per_week)
    except ValueError as error:
        raise Problems([Problem(play, 0, "", str(error), "choose another --base-rate or --lift")]) from None
    lines += [
        needed.words,
        f"Whether the last of them stays is known {GOAL_DAYS} days later.",
        f"For those who are held out, nothing of {play} is done: no mail, no task, no alert.",
    ]
    running = trials.switched_on(workspace.store).get(play)
    if running is not None:
        drawn = trials.arms(workspace.store, play, running.at)
        lines.append(
            f"A hold-out of {running.percent} % is on; it ends with this, and its {drawn.acted + drawn.held} customers count"
            " no more."
        )
    return Plan(play, percent, base_rate, lift, needed, tuple(lines))


def _may_be_held_out(workspace: Workspace, name: str) -> None:
    play = workspace.plays.get(name)
    if play is None:
        raise Problems([Problem(name, 0, "", "is no play", spell(name, workspace.plays))])
    templates = workspace.templates.by_name
    named = {variant.template for _, variant in play.variants} & templates.keys()
    due = sorted(one for one in named if templates[one].purpose == "transactional")
    if due:
        why = f"sends {', '.join(due)}, which is transactional: what a customer has to be told is never held out"
        raise Problems([Problem(name, 0, "", why)])


def switch_on(workspace: Workspace, planned: Plan) -> None:
    """Begin it: from the next time on that the play is set off."""
    trials.switch_on(
        workspace.store,
        HoldOut(
            planned.play, planned.percent, planned.base_rate, planned.lift, planned.power.customers,
            seconds(workspace.clock),
        ),
    )  # fmt: skip


def switch_off(workspace: Workspace, play: str) -> None:
    """End it: the play acts for everybody again. Raises Problems where none is on."""
    running = trials.switched_on(workspace.store)
    if play not in running:
        raise Problems([Problem(play, 0, "", "has no hold-out", "see those that are on: keepwell hold-out")])
    trials.switch_off(workspace.store, play, seconds(workspace.clock))


def running(workspace: Workspace) -> list[dict[str, Any]]:
    """Those that are on, with who has been drawn and how long an answer still takes."""
    now = seconds(workspace.clock)
    return [_told(workspace, one, now) for one in trials.switched_on(workspace.store).values()]


def _told(workspace: Workspace, one: HoldOut, now: int) -> dict[str, Any]:
    drawn, pace = trials.arms(workspace.store, one.play, one.at), trials.past(workspace.store, one.play, now).per_week
    lacking = max(0, one.customers - drawn.acted - drawn.held)
    weeks = (lacking / pace if pace else None) if lacking else 0.0
    if not lacking:
        still = f"all are drawn; the last of them is known {GOAL_DAYS} days after the draw"
    else:
        still = f"{lacking} more customers; {holdout.duration(weeks, pace)}"
    return {
        "play": one.play, "percent": one.percent, "since": iso(one.at), "base_rate": one.base_rate, "lift": one.lift,
        "acted": drawn.acted, "held": drawn.held, "merged": drawn.merged, "earlier": drawn.earlier,
        "customers_needed": one.customers, "weeks_left": weeks, "still": still,
    }  # fmt: skip
