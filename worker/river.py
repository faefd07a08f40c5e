"""One turn of the wheel: pull, parse, assess, dispatch. What the schedule, `run`, urgent webhooks and the demo call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from worker import approvals, cards, guard, lanes
from worker.assess import Assessed, Terms, assess_due, new_run, triggers_of
from worker.dispatch import backfill, pools
from worker.dispatch.writeback import Written
from worker.effects import Lane
from worker.facts import Delivery, Parsed
from worker.intake import inbox
from worker.intake.pull import pull
from worker.lib.clock import local_day, seconds
from worker.lib.http import Failure
from worker.lib.store import sql
from worker.plays import modes, trials
from worker.plays.records import popular_products, set_switch, switch
from worker.workspace import Workspace


class Stopped(Exception):
    """A turn was told to stop before it was through. What it did is stored, and the next turn goes on from there."""


@dataclass
class Turn:
    """What a turn did, and what it could not do."""

    run_id: str = ""
    pulled: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)
    """"keap contacts" -> why it broke off."""
    taken: inbox.Taken = field(default_factory=inbox.Taken)
    assessed: Assessed = field(default_factory=Assessed)
    written: Written = field(default_factory=Written)
    mails: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    alerts: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    """Of mails of which the CRM's history was to be told: told, failed, unsure, later."""
    doubts: dict[str, int] = field(default_factory=dict)
    """Of letters of which nobody knew whether they arrived: arrived, again, unknown."""
    down: list[str] = field(default_factory=list)
    """The sources that are down, in words."""
    back: list[str] = field(default_factory=list)
    """Those that have come back in this turn."""
    notices: int = 0
    """How many of them the operator was told of."""
    silent: bool = False


def _never() -> bool:
    return False


def turn(
    workspace: Workspace, *, kind: str = "run", pulls: bool = True, everyone: bool = False, dispatch: bool = True,
    pulled: bool = True, stop: Callable[[], bool] = _never,
) -> Turn:  # fmt: skip
    """Turn the wheel once. The caller holds the lease.

    In `watch` and `draft` nothing leaves; the first pass in any mode is silent. Without `dispatch` what is decided waits. Without
    `pulled` only what came by itself is parsed: another thread is at the pages, and half of them would mislead. `stop`
    is asked between any two steps; raises Stopped where it says so before everything was assessed.
    """
    store, clock = workspace.store, workspace.clock
    done = take_in(workspace, kind=kind, pulls=pulls, pulled=pulled, stop=stop)
    done.silent = not switch(store, "first_pass")
    down, back = guard.look(workspace)
    done.down, done.back = [one.sentence for one in down], [one.source for one in back]
    approvals.let_go(workspace)
    workspace.take_up()
    cards.keep(store, workspace.deck, workspace.files, seconds(clock))
    cards.note(store, workspace.deck, workspace.files, seconds(clock))
    for pool in ("draft", "held"):
        pools.expire(store, pool, seconds(clock))
    may_leave = modes.lets_out(workspace.mode) and not workspace.paused and not done.silent
    if may_leave:
        backfill.take(store, seconds(clock))
    done.assessed = assess_due(store, _terms(workspace, done.silent), seconds(clock), done.run_id, everyone=everyone)
    if done.silent and done.assessed.customers:
        set_switch(store, "first_pass", done.run_id, seconds(clock))
    if dispatch and may_leave and not workspace.paused:
        _dispatch(workspace, done, stop)
    _end(workspace, done)
    return done


def _end(workspace: Workspace, done: Turn) -> None:
    summary = json.dumps(asdict(done), default=str, sort_keys=True)
    binds = {"id": done.run_id, "now": seconds(workspace.clock), "summary": summary}
    workspace.store.run(sql("house", "end_run"), binds)


def take_in(
    workspace: Workspace, *, kind: str = "pull", pulls: bool = True, pulled: bool = True,
    stop: Callable[[], bool] = _never,
) -> Turn:  # fmt: skip
    """The first half of a turn: pull and parse. Scores nothing. Raises Stopped."""
    store, clock = workspace.store, workspace.clock
    done = Turn(run_id=new_run(store, kind, seconds(clock)))
    if pulls:
        _pull(workspace, done, stop)

    def parse(delivery: Delivery) -> Parsed:
        if stop():
            raise Stopped
        return workspace.parse(delivery)

    done.taken = inbox.parse_waiting(store, parse, seconds(clock), time_zone=workspace.time_zone, pulled=pulled)
    return done


def fetch(workspace: Workspace, *, stop: Callable[[], bool] = _never) -> Turn:
    """Only pull: every vendor's news as raw pages, for a turn to parse. The caller holds the lease. Raises Stopped."""
    done = Turn(run_id=new_run(workspace.store, "pull", seconds(workspace.clock)))
    _pull(workspace, done, stop)
    _end(workspace, done)
    return done


def _pull(workspace: Workspace, done: Turn, stop: Callable[[], bool]) -> None:
    try:
        pulse_trouble = workspace.find_pulse_field()
    except Failure as failure:
        pulse_trouble = str(failure)
    if pulse_trouble:
        done.troubles[f"{workspace.crm_source} pulse field"] = pulse_trouble
    for name, one in workspace.connected.items():
        if one.http is None:
            continue
        for stream in one.integration.pulls:
            if stop():
                raise Stopped
            reason = pull(workspace.store, name, stream, one.http, one.settings)
            if reason:
                done.troubles[f"{name} {stream.stream}"] = reason
            else:
                done.pulled.append(f"{name} {stream.stream}")


def _terms(workspace: Workspace, silent: bool) -> Terms:
    return Terms(
        deck=workspace.deck,
        plays=workspace.plays,
        templates=workspace.templates.by_name,
        limits=workspace.limits,
        sources=workspace.sources(seconds(workspace.clock)),
        not_coming_in=workspace.not_coming_in,
        unsure=workspace.unsure(seconds(workspace.clock)),
        returned=guard.returned(workspace, seconds(workspace.clock)),
        time_zone=workspace.time_zone,
        crm=workspace.crm_source,
        write_when_moved=workspace.config.crm.write_when_moved,
        public_url=workspace.config.workspace.public_url,
        mode=workspace.mode,
        silent=silent,
        pulse_valid_for=workspace.config.outreach.pulse_valid_for,
        released=workspace.released,
        only_contacts=frozenset(workspace.config.crm.only_contacts),
        untagged=backfill.waiting(workspace.store),
        worth=workspace.worth,
        people=workspace.people,
        new_for=workspace.config.outreach.new_for,
        hold_outs=trials.switched_on(workspace.store),
        popular=_popular(workspace),
    )


def _popular(workspace: Workspace) -> tuple[str, ...]:
    if not triggers_of(workspace.plays).products:
        return ()
    return popular_products(workspace.store, local_day(seconds(workspace.clock), workspace.time_zone))


def _dispatch(workspace: Workspace, done: Turn, stop: Callable[[], bool]) -> None:
    for lane, emptied in lanes.empty_all(workspace, done.run_id, stop).items():
        done.troubles |= emptied.troubles
        if lane is Lane.CRM:
            done.written = emptied.written
        elif lane is Lane.ALERT:
            done.alerts, done.notices = emptied.outcomes, emptied.notices
        else:
            counts = {Lane.MAIL: done.mails, Lane.SMS: done.texts, Lane.TASK: done.tasks}[lane]
            counts.update(emptied.outcomes)
        for word, n in emptied.doubts.items():
            done.doubts[word] = done.doubts.get(word, 0) + n
        done.told.update(emptied.told)
