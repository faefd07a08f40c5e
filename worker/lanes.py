"""What waits leaves: every lane is emptied to its own vendor, side by side, so that one slow vendor starves none.

A lane is emptied by one at a time, under a lease of its own. By the schedule each lane has a thread (worker/schedule.py),
woken after each turn; a turn that is made by hand empties all of them and waits for them.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final

from worker.assess import new_run
from worker.dispatch import alerts, doubt, mail, notices, outbox, tasks, telling
from worker.dispatch.writeback import Written, write_waiting
from worker.effects import Lane, Mail, Task
from worker.intake import mirror
from worker.integration import Mailer
from worker.lib.clock import VirtualClock, seconds
from worker.lib.http import Failure
from worker.lib.lease import Lease
from worker.lib.store import sql
from worker.plays import modes
from worker.plays.records import over_now, refreshed, switch
from worker.plays.rules import Refusal
from worker.workspace import Workspace

log = logging.getLogger(__name__)

ORDER: Final = (Lane.ALERT, Lane.TASK, Lane.CRM, Lane.MAIL, Lane.SMS)
"""In which the lanes are emptied where they are emptied one after another: first what lets a person act meanwhile."""
RUN: Final = "write-back"
"""The kind of run that a lane begins where it writes without a turn; what an undo takes back is named by it."""


@dataclass
class Emptied:
    """What left by one lane, and what could not."""

    outcomes: dict[str, int] = field(default_factory=dict)
    """How many effects became what: sent, added, found, waiting, later, refused, failed, unknown."""
    written: Written = field(default_factory=Written)
    """The same of the CRM lane."""
    notices: int = 0
    """How many notices the operator was sent."""
    told: dict[str, int] = field(default_factory=dict)
    """Of mails of which the CRM's history was to be told: told, failed, unsure, later."""
    doubts: dict[str, int] = field(default_factory=dict)
    """Of letters of which nobody knew: arrived, again, unknown."""
    troubles: dict[str, str] = field(default_factory=dict)

    @property
    def moved(self) -> bool:
        """Whether anything became of anything: else the same would come of looking again at once."""
        return bool(
            self.outcomes or self.notices or self.doubts or self.told or asdict(self.written) != asdict(Written())
        )


def lease(workspace: Workspace, lane: Lane) -> Lease:
    """Who holds it empties the lane."""
    return Lease(workspace.store, workspace.clock, f"lane:{lane}")


def may_leave(workspace: Workspace) -> bool:
    """Whether anything may leave at all: not before the silent first pass, nor while everything outward is paused."""
    return modes.lets_out(workspace.mode) and not workspace.paused and bool(switch(workspace.store, "first_pass"))


def waits(workspace: Workspace, lane: Lane) -> bool:
    """Whether there is anything to do in a lane that may be done."""
    store, now = workspace.store, seconds(workspace.clock)
    if outbox.resting(store, lane, now):
        return False
    if lane is Lane.ALERT and store.value(sql("dispatch", "notices_wait")) is not None:
        return may_leave(workspace)
    if lane is Lane.CRM and workspace.tells_crm and telling.waits(store, now):
        return may_leave(workspace)
    return outbox.waits(store, lane, now) and may_leave(workspace)


def empty_all(workspace: Workspace, run_id: str, stop: Callable[[], bool]) -> dict[Lane, Emptied]:
    """Empty every lane, and wait for it: side by side; in virtual time one after another, so that a run can be repeated.

    What somebody else is emptying is left to them. Raises what no lane may raise, once all have come to their end.
    """
    done: dict[Lane, Emptied] = {}
    if isinstance(workspace.clock, VirtualClock):
        for lane in ORDER:
            done[lane] = empty(workspace, lane, stop, run_id=run_id)
        return done
    errors: list[BaseException] = []

    def work(lane: Lane) -> None:
        try:
            with lease(workspace, lane).held() as mine:
                if mine:
                    done[lane] = empty(workspace, lane, stop, run_id=run_id)
        except BaseException as error:  # noqa: BLE001  it is raised below
            errors.append(error)
        finally:
            workspace.store.let_go()

    threads = [
        threading.Thread(target=work, args=(lane,), name=f"lane-{lane}") for lane in ORDER if waits(workspace, lane)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return {lane: done[lane] for lane in ORDER if lane in done}


def empty(workspace: Workspace, lane: Lane, stop: Callable[[], bool], *, run_id: str = "") -> Emptied:
    """Empty one lane as far as it may be. The caller holds its lease, and has asked `may_leave`.

    `stop` is asked before each effect: whether this process is to end. What is written to the CRM is written by the run
    of that id, "" for one that is begun where it is needed.
    """
    done = Emptied()

    def held_up() -> bool:
        return stop() or workspace.paused

    store, now = workspace.store, seconds(workspace.clock)
    rests = bool(outbox.resting(store, lane, now))
    if lane is Lane.ALERT:
        _alerts(workspace, done, held_up, rests=rests)
    elif lane is Lane.CRM:
        outbox.recover(store, lane, now)
        if not rests:
            _write_back(workspace, done, held_up, run_id)
            _tell(workspace, done, held_up)
    elif lane is Lane.TASK:
        _tasks(workspace, done, held_up, rests=rests)
    else:
        _letters(workspace, lane, done, held_up, rests=rests)
    if not rests and (reason := outbox.resting(store, lane, seconds(workspace.clock))):
        done.troubles[f"{lane} lane"] = f"{reason}; it is left alone for a while"
    return done


def _alerts(workspace: Workspace, done: Emptied, held_up: Callable[[], bool], *, rests: bool) -> None:
    store, clock, alerter = workspace.store, workspace.clock, workspace.alerter
    outbox.recover(store, Lane.ALERT, seconds(clock))
    if alerter is None or rests:
        return
    if workspace.may_leave(modes.ALERT):
        done.notices = notices.send_waiting(store, alerter, clock, stop=held_up)
    titles = {name: play.title for name, play in workspace.plays.items()}
    link = f"{workspace.config.workspace.public_url}/"
    done.outcomes = alerts.send_waiting(store, alerter, clock, stop=held_up, titles=titles, link=link)


def _tasks(workspace: Workspace, done: Emptied, held_up: Callable[[], bool], *, rests: bool) -> None:
    store, clock, desk = workspace.store, workspace.clock, workspace.desk
    outbox.recover(store, Lane.TASK, seconds(clock))
    if desk is not None and not rests:
        done.outcomes = tasks.send_waiting(store, desk, clock, stop=held_up, over=partial(_over, workspace))


def _over(workspace: Workspace, task: Task, set_off_at: int) -> Refusal | None:
    play = workspace.plays.get(task.play)
    if play is None:
        return None
    return over_now(workspace.store, task.customer_id, play, set_off_at, seconds(workspace.clock))


# -- letters ----------------------------------------------------------------------------------------------------------


def _letters(workspace: Workspace, lane: Lane, done: Emptied, held_up: Callable[[], bool], *, rests: bool) -> None:
    store, clock = workspace.store, workspace.clock
    mailer = workspace.mailer if lane is Lane.MAIL else workspace.texter
    deduplicates = mailer is not None and mailer.deduplicates
    outbox.recover(store, lane, seconds(clock), deduplicates=deduplicates)
    if mailer is None or rests:
        return
    with closing(mailer):
        try:
            done.doubts = doubt.ask_channel(store, lane, mailer, clock)
        except Failure as failure:
            done.troubles[f"{lane} in doubt"] = str(failure)
        _send_letters(workspace, lane, mailer, done, held_up)


def _send_letters(workspace: Workspace, lane: Lane, mailer: Mailer, done: Emptied, held_up: Callable[[], bool]) -> None:
    def reread(addresses: Collection[str]) -> bool:
        # Consent to text messages is no mail opt-in, and the arbiter has its own word for it.
        return lane is Lane.SMS or _reread(workspace, addresses, done)

    done.outcomes = mail.send_waiting(
        workspace.store, mailer, workspace.templates, workspace.sender, workspace.limits, workspace.clock,
        time_zone=workspace.time_zone, sign=workspace.sign, plays_by_name=workspace.plays,
        not_coming_in=workspace.not_coming_in, reread=reread, stop=held_up, lane=lane,
        refresh=partial(_as_it_is_now, workspace), tell_crm=lane is Lane.MAIL and workspace.tells_crm,
        tracking=workspace.tracking if lane is Lane.MAIL else None,
        at_once=1 if isinstance(workspace.clock, VirtualClock) else None,
    )  # fmt: skip


def _as_it_is_now(workspace: Workspace, letter: Mail) -> Mail | Refusal:
    return refreshed(
        workspace.store, letter, workspace.plays.get(letter.play), workspace.templates.by_name,
        seconds(workspace.clock), time_zone=workspace.time_zone, crm=workspace.crm_source, worth=workspace.worth,
        new_for=workspace.config.outreach.new_for, people=workspace.people,
    )  # fmt: skip


def _reread(workspace: Workspace, addresses: Collection[str], done: Emptied) -> bool:
    """Take in what the CRM says of these addresses now; False where it cannot be asked, and so nobody knows."""
    crm, source = workspace.crm, workspace.crm_source
    if crm is None:
        done.troubles[f"{source} opt-in"] = "the CRM is not set up, so nobody can know who wants mail; the mails wait"
        return False
    asked = mirror.contacts_at(workspace.store, source, addresses)
    try:
        contacts = crm.read(asked)
    except Failure as failure:
        done.troubles[f"{source} opt-in"] = f"{failure}; the mails wait"
        return False
    mirror.take_consent(workspace.store, source, asked, contacts, seconds(workspace.clock))
    return True


# -- the CRM ----------------------------------------------------------------------------------------------------------


def _write_back(workspace: Workspace, done: Emptied, held_up: Callable[[], bool], run_id: str) -> None:
    store, clock = workspace.store, workspace.clock
    crm, source = workspace.crm, workspace.crm_source
    if crm is None or not outbox.due(store, Lane.CRM, seconds(clock), 1):
        return
    if not any(map(workspace.may_leave, workspace.places)):
        return  # not even our tags and fields are made before a person has released one of them
    if not switch(store, f"canary:{source}"):
        done.troubles[f"{source} write-back"] = (
            f"nothing is written before one contact has been tried: keepwell check --canary CONTACT ({source})"
        )
        return
    own = run_id or new_run(store, RUN, seconds(clock))
    try:
        ids = workspace.crm_ids(crm)
        done.written = write_waiting(
            store, crm, source, ids, own, clock, stop=held_up, may=workspace.may_leave,
            only=workspace.config.crm.only_contacts, keep_edits=workspace.config.crm.when_edited == "keep",
        )  # fmt: skip
        if done.written.reasons:
            done.troubles[f"{source} write-back"] = done.written.reasons[0]
    except Failure as failure:
        done.troubles[f"{source} write-back"] = str(failure)
    finally:
        if not run_id:
            summary = json.dumps({"written": asdict(done.written)}, sort_keys=True)
            store.run(sql("house", "end_run"), {"id": own, "now": seconds(clock), "summary": summary})


def _tell(workspace: Workspace, done: Emptied, held_up: Callable[[], bool]) -> None:
    """Tell the CRM's history of mails that left by another way."""
    store, clock = workspace.store, workspace.clock
    if not workspace.tells_crm or not telling.waits(store, seconds(clock)):
        return
    history = workspace.history
    assert history is not None
    done.told = telling.tell_waiting(store, history, clock, stop=held_up)
    if "later" in done.told:
        done.troubles[f"{workspace.crm_source} history"] = "the CRM cannot be told of mails just now; it is tried again"
