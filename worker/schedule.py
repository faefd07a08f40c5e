"""When the wheel turns by itself: on the schedule, and at once when something that matters has come in.

Any number of processes may run this over one database. Each turn is made under one lease, and each tick of the schedule
is a slot whose work is done once; so two schedulers do the work once, and when one dies the other does what is left.
Vendors are asked, and written to, under leases of their own, each lane in a thread of its own: a slow one must hold up
neither what has come in meanwhile nor what goes to others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from worker import deliverability, feedback, lanes, morning, nightly, river
from worker.effects import Lane
from worker.lib.clock import seconds, zone
from worker.lib.dns import Resolver
from worker.lib.lease import Lease
from worker.lib.store import StoreError, sql
from worker.plays.records import switch
from worker.workspace import Workspace

log = logging.getLogger(__name__)

LISTENS_EVERY: Final = 2.0
"""Seconds between two looks for what came in through another process, or has become due."""
LISTENS_AT_LEAST_EVERY: Final = 30.0
"""The same while looking fails, as when the database is away."""
LOOKS_AT_CALENDAR_EVERY: Final = 5
"""Seconds between two looks whether a slot of the schedule has come and its work is not done."""
RESTS_AT_MOST: Final = 900
"""Seconds between two tries of a slot whose work broke off."""
ENDS_WITHIN: Final = 10.0
"""Seconds that a turn is given to come to a place where it can stop."""


class LaneRunner:
    """Empties one lane of one workspace whenever something waits in it."""

    def __init__(self, workspace: Workspace, lane: Lane, over: threading.Event) -> None:
        """Nothing runs yet; it ends when `over` is set."""
        self.lane = lane
        self.lease = lanes.lease(workspace, lane)
        self._workspace, self._over = workspace, over
        self._wake = threading.Event()
        self._told: dict[str, str] = {}  # troubles that have been told, so that each is told once

    def wake(self) -> None:
        """Something may wait by now: look at once. Returns immediately."""
        self._wake.set()

    def listen(self) -> None:
        """Empty the lane again and again until `over`; where nothing comes of it, less and less often."""
        wait = LISTENS_EVERY
        while not self._over.is_set():
            woken = self._wake.wait(wait)
            self._wake.clear()
            if self._over.is_set():
                break
            wait = LISTENS_EVERY if self.look() or woken else min(2 * wait, LISTENS_AT_LEAST_EVERY)
        self._workspace.store.let_go()

    def look(self) -> bool:
        """Empty it once where something waits; False where something waits, and nothing came of it."""
        try:
            if not lanes.waits(self._workspace, self.lane):
                return True
            with self.lease.held() as mine:
                if not mine:
                    return True
                done = lanes.empty(self._workspace, self.lane, lambda: self._over.is_set() or self.lease.lost)
        except StoreError as error:
            self._tell({f"{self.lane} lane": f"the database cannot be used: {error}"})
            return False
        except Exception:
            log.exception("the lane %s broke off; it goes on from what is stored", self.lane)
            return False
        self._tell(done.troubles)
        return done.moved

    def _tell(self, troubles: dict[str, str]) -> None:
        for where, why in troubles.items():
            if self._told.get(where) != why:
                log.warning("%s: %s", where, why)
        self._told = troubles


class Wheel:
    """Turns the wheel of one workspace, from as many threads as like to; one turn at a time."""

    def __init__(self, workspace: Workspace, resolver: Resolver | None = None) -> None:
        """Nothing runs yet. With a resolver, the records of the sender are looked at once a day."""
        self._workspace, self._resolver = workspace, resolver
        self._lease = Lease(workspace.store, workspace.clock, "wheel")
        self._pull_lease = Lease(workspace.store, workspace.clock, "pull")
        self._team_lease = Lease(workspace.store, workspace.clock, "team")
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._over = threading.Event()
        self._since = 0  # when the last turn of ours began: what was there then has been looked at
        self._done: dict[str, str] = {}  # job -> the last slot of which we know that its work is done
        self._failures: dict[str, int] = {}
        self._rests_until: dict[str, int] = {}
        self._scheduler: BackgroundScheduler | None = None
        self._lanes = [LaneRunner(workspace, lane, self._over) for lane in lanes.ORDER]
        self._threads: list[threading.Thread] = []

    def turn(self, *, kind: str, everyone: bool = False, slot: str = "") -> river.Turn | None:
        """Make one turn over what is there; asks no vendor for news. What is decided leaves by the lanes, right after it.

        None where another process is at it, where the work of the slot was done already, and before the first whole pass
        while vendors are being asked: that pass is the silent one, and must see everybody. Raises river.Stopped.
        """
        with self._one_at_a_time, self._lease.held() as mine:
            if not mine or (slot and self._lease.slot_is_taken(kind, slot)):
                return None
            pulled = not self._pull_lease.is_held()
            if not pulled and not switch(self._workspace.store, "first_pass"):
                return None
            began = seconds(self._workspace.clock)
            done = river.turn(
                self._workspace, kind=kind, pulls=False, everyone=everyone, pulled=pulled, dispatch=False,
                stop=lambda: self._over.is_set() or self._lease.lost,
            )  # fmt: skip
            self._since = began
            if slot:
                self._lease.take_slot(kind, slot)
        _tell(done, kind)
        self._empty_lanes()
        return done

    def _empty_lanes(self) -> None:
        """Wake the lanes; where nothing was started, empty them here, one after another."""
        for lane in self._lanes:
            if self._threads:
                lane.wake()
            else:
                lane.look()

    def wake(self) -> None:
        """Something that matters has come in: look at once. Returns immediately."""
        self._wake.set()

    # -- by the calendar ----------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Ask the vendors, once in `pull_every`, whoever gets to it first; then turn."""
        every = self._workspace.config.schedule.pull_every
        slot = str(seconds(self._workspace.clock) // every * every)
        self._see_to("pull", slot, lambda: self._pull(slot))

    def daily(self) -> None:
        """Look at everybody, once a local day from `assess_daily_at` on.

        The slot is the date: in autumn an hour comes twice, and in spring the very minute may be missing.
        """
        local = datetime.fromtimestamp(self._workspace.clock.now(), zone(self._workspace.time_zone))
        if local.hour * 60 + local.minute >= self._workspace.config.schedule.assess_daily_at:
            slot = local.date().isoformat()
            self._see_to("daily", slot, lambda: self._daily(slot))

    def nightly(self) -> None:
        """Keep a snapshot of the CRM and put right what differs there, once a local day, after everybody was looked at."""
        local = datetime.fromtimestamp(self._workspace.clock.now(), zone(self._workspace.time_zone))
        slot = local.date().isoformat()
        if self._done.get("daily") == slot or self._lease.slot_is_taken("daily", slot):
            self._see_to("nightly", slot, lambda: self._nightly(slot))

    def morning(self) -> None:
        """Tell our people what to do first, once a local day, in its morning."""
        if day := morning.is_time(self._workspace):
            self._see_to("morning", day, lambda: self._morning(day))

    def weekly(self) -> None:
        """Put together what customers lack, once a week."""
        if week := feedback.is_time(self._workspace):
            self._see_to("weekly", week, lambda: self._weekly(week))

    def _pull(self, slot: str) -> bool:
        with self._pull_lease.held() as mine:
            if not mine:
                return False
            if self._pull_lease.slot_is_taken("pull", slot):
                return True
            done = river.fetch(self._workspace, stop=lambda: self._over.is_set() or self._pull_lease.lost)
            self._pull_lease.take_slot("pull", slot)
        for where, why in done.troubles.items():
            log.warning("%s: %s", where, why)
        self.turn(kind="regular")  # where another process is turning, the listener finds the pages
        return True

    def _daily(self, slot: str) -> bool:
        if self._resolver is not None and deliverability.leaves(self._workspace):
            for one in deliverability.look(self._workspace, self._resolver).missing:
                log.warning("mails wait until this is mended: %s", one)
        return self.turn(kind="daily", everyone=True, slot=slot) is not None or self._lease.slot_is_taken("daily", slot)

    def _nightly(self, slot: str) -> bool:
        with self._pull_lease.held() as mine:
            if not mine:
                return False
            if self._lease.slot_is_taken("nightly", slot):
                return True
            night = nightly.look(self._workspace)
        # Nor may the CRM be written to meanwhile: what we write ourselves would look as if somebody had changed it.
        writing = lanes.lease(self._workspace, Lane.CRM)
        with self._one_at_a_time, self._lease.held() as mine, writing.held() as idle:
            if not (mine and idle):
                return False
            nightly.mend(self._workspace, night)
            self._lease.take_slot("nightly", slot)
        for line in night.told:
            log.info("nightly: %s", line)
        return True

    def _morning(self, day: str) -> bool:
        if morning.why_not(self._workspace):
            return False
        with self._team_lease.held() as mine:
            if not mine or self._team_lease.slot_is_taken("morning", day):
                return mine
            told = morning.send(self._workspace)
            if told.waiting:
                self._rests_until["morning"] = seconds(self._workspace.clock) + morning.RESTS
                return False
            self._team_lease.take_slot("morning", day)
        log.info("told %d of our people what to do first", len(told.sent))
        for name, why in told.failed.items():
            log.warning("the morning message to %s: %s", name, why)
        return True

    def _weekly(self, week: str) -> bool:
        with self._team_lease.held() as mine:
            if mine and not self._team_lease.slot_is_taken("weekly", week):
                feedback.tell(self._workspace, week)
                self._team_lease.take_slot("weekly", week)
            return mine

    def _see_to(self, job: str, slot: str, work: Callable[[], bool]) -> None:
        """Do the work of a slot unless it is done; what could not be done is tried again at a later look."""
        now = seconds(self._workspace.clock)
        if self._done.get(job) == slot or now < self._rests_until.get(job, 0):
            return
        try:
            if work():
                self._done[job] = slot
                self._failures.pop(job, None)
        except river.Stopped:
            log.info("%s was told to stop; the next one goes on from what is stored", job)
        except Exception:
            failures = self._failures[job] = self._failures.get(job, 0) + 1
            rest = min(RESTS_AT_MOST, 15 * 2 ** min(failures, 10))
            self._rests_until[job] = now + rest
            log.exception("%s broke off and is tried again in %d seconds, from what is stored", job, rest)

    # -- at once ------------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Turn for what came by webhook or API. Runs until `stop`."""
        wait = LISTENS_EVERY
        while not self._over.is_set():
            self._wake.wait(wait)
            self._wake.clear()
            if self._over.is_set():
                break
            well = self.look()
            if well and wait > LISTENS_EVERY:
                log.info("the wheel turns again")
            wait = LISTENS_EVERY if well else min(2 * wait, LISTENS_AT_LEAST_EVERY)
        self._workspace.store.let_go()

    def look(self) -> bool:
        """Look once, and turn where something waits; False where that broke off, and should rest for longer."""
        try:
            if self._workspace.store.value(sql("house", "work_waits"), self._unseen()) is not None:
                self.turn(kind="urgent")
            elif not self._threads:
                self._empty_lanes()
        except river.Stopped:
            log.info("a turn was told to stop; the next one goes on from what is stored")
        except StoreError as error:
            log.error("the database cannot be used, and is asked again: %s", error)
            return False
        except Exception:
            log.exception("a turn broke off; the next one goes on from what is stored")
            return False
        return True

    def _unseen(self) -> dict[str, int]:
        now = seconds(self._workspace.clock)
        return {"pulled": int(not self._pull_lease.is_held()), "since": self._since, "now": now}

    # -- running ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to turn by the schedule, in threads of this process."""
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(2)}, timezone=zone(self._workspace.time_zone),
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )  # fmt: skip
        for job in (self.pull, self.daily, self.nightly, self.morning, self.weekly):
            now = datetime.now(zone(self._workspace.time_zone))
            scheduler.add_job(job, "interval", seconds=LOOKS_AT_CALENDAR_EVERY, next_run_time=now)
        scheduler.start()
        self._scheduler = scheduler
        self._threads = [threading.Thread(target=self.listen, name="listener", daemon=True)]
        self._threads += [
            threading.Thread(target=lane.listen, name=f"lane-{lane.lane}", daemon=True) for lane in self._lanes
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> bool:
        """End the turn that is being made where it can be ended, and make no more; False where one does not end."""
        self._over.set()
        self._wake.set()
        for lane in self._lanes:
            lane.wake()
        ending = threading.Thread(target=self._end, name="ending", daemon=True)
        ending.start()
        ending.join(ENDS_WITHIN)
        if ending.is_alive():
            log.warning("a turn does not come to an end and is left; the next one goes on from what is stored")
        return not ending.is_alive()

    def abandon(self) -> None:
        """Give the leases back although a turn is still being made; the caller ends the process with the next line."""
        for lease in (self._lease, self._pull_lease, self._team_lease, *(lane.lease for lane in self._lanes)):
            lease.release()

    def _end(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
        for thread in self._threads:
            thread.join()


def _tell(done: river.Turn, kind: str) -> None:
    log.info(
        "turn %s (%s): %d deliveries, %d assessed, %d changes, %d troubles", done.run_id, kind,
        done.taken.deliveries, done.assessed.customers, done.assessed.changes, len(done.troubles),
    )  # fmt: skip
    for where, why in done.troubles.items():
        log.warning("%s: %s", where, why)
