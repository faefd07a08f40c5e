"""When the wheel turns by itself: on the schedule, and at once when something that matters has come in.

Any number of processes may run this over one database. Each turn is made under one lease, and each tick of the schedule
is a slot that can be taken once; so two schedulers do the work once, and when one dies the other goes on.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from worker.lib.clock import seconds, zone
from worker.lib.lease import Lease
from worker.lib.store import sql
from worker.river import Turn, turn
from worker.workspace import Workspace

log = logging.getLogger(__name__)

LISTENS_EVERY: Final = 2.0
"""Seconds between two looks for deliveries that came in through another process."""


class Wheel:
    """Turns the wheel of one workspace, from as many threads as like to; one turn at a time."""

    def __init__(self, workspace: Workspace) -> None:
        """Nothing runs yet."""
        self._workspace = workspace
        self._lease = Lease(workspace.store, workspace.clock, "wheel")
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._over = threading.Event()
        self._scheduler: BackgroundScheduler | None = None
        self._listener: threading.Thread | None = None

    def turn(self, *, kind: str, pulls: bool = False, everyone: bool = False, slot: str = "") -> Turn | None:
        """Make one turn; None where another process is at it, or the slot was taken already."""
        with self._one_at_a_time, self._lease.held() as mine:
            if not mine or (slot and not self._lease.take_slot(kind, slot)):
                return None
            return turn(self._workspace, kind=kind, pulls=pulls, everyone=everyone)

    def wake(self) -> None:
        """Something that matters has come in: look at once. Returns immediately."""
        self._wake.set()

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """The regular tick: ask the vendors, then everything else."""
        every = self._workspace.config.schedule.pull_every
        tick = seconds(self._workspace.clock) // every * every
        self._safely("pull", pulls=True, slot=str(tick))

    def daily(self) -> None:
        """Once a local day: look at everybody. Keyed by the date, since the autumn hour comes twice."""
        today = datetime.fromtimestamp(self._workspace.clock.now(), zone(self._workspace.time_zone)).date()
        self._safely("daily", everyone=True, slot=today.isoformat())

    def listen(self) -> None:
        """Take in what came by webhook or API. Runs until `stop`."""
        while not self._over.is_set():
            self._wake.wait(LISTENS_EVERY)
            self._wake.clear()
            if not self._over.is_set():
                try:
                    waiting = self._workspace.store.value(sql("house", "work_waits"))
                except Exception:
                    log.exception("the database could not be asked for what waits")
                    continue
                if waiting:
                    self._safely("urgent")
        self._workspace.store.let_go()

    def _safely(self, kind: str, *, pulls: bool = False, everyone: bool = False, slot: str = "") -> None:
        try:
            done = self.turn(kind=kind, pulls=pulls, everyone=everyone, slot=slot)
        except Exception:
            log.exception("a turn broke off; the next one goes on from what is stored")
            return
        if done is not None:
            log.info(
                "turn %s (%s): %d deliveries, %d assessed, %d changes, %d troubles", done.run_id, kind,
                done.taken.deliveries, done.assessed.customers, done.assessed.changes, len(done.troubles),
            )  # fmt: skip

    # -- running ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to turn by the schedule, in threads of this process."""
        schedule = self._workspace.config.schedule
        hour, minute = divmod(schedule.assess_daily_at, 60)
        scheduler = BackgroundScheduler(timezone=zone(self._workspace.time_zone))
        often = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 3600}
        now = datetime.now(zone(self._workspace.time_zone))
        scheduler.add_job(self.pull, "interval", seconds=schedule.pull_every, next_run_time=now, **often)
        scheduler.add_job(self.daily, "cron", hour=hour, minute=minute, **often)
        scheduler.start()
        self._scheduler = scheduler
        self._listener = threading.Thread(target=self.listen, name="listener", daemon=True)
        self._listener.start()

    def stop(self) -> None:
        """Finish the turn that is being made, and make no more."""
        self._over.set()
        self._wake.set()
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
        if self._listener is not None:
            self._listener.join()
