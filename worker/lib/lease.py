"""One lease in the database, so that two schedulers do the work once; and slots that can be taken once ever.

A table lease rather than an advisory lock: a lost connection drops the lock unseen, while a lease simply runs out.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from worker.lib.clock import Clock, seconds
from worker.lib.store import Store

log = logging.getLogger(__name__)

LASTS: Final = 30
"""Seconds a lease holds without being renewed."""
RENEWED_EVERY: Final = 5.0
"""Seconds, of the machine's own clock."""

_TAKE: Final = """
insert into leases (name, owner, until) values (:name, :owner, :until)
on conflict (name) do update set owner = excluded.owner, until = excluded.until
where leases.until < :now or leases.owner = excluded.owner
returning owner
"""
_HELD: Final = "select owner from leases where name = :name and until >= :now"
_SLOT: Final = """
insert into slots (job, slot, owner, at) values (:job, :slot, :owner, :now)
on conflict (job, slot) do nothing
"""
_TAKEN: Final = "select owner from slots where job = :job and slot = :slot"


class Lease:
    """A named lease, seen from one owner."""

    def __init__(self, store: Store, clock: Clock, name: str) -> None:
        """Nothing is taken yet. The owner is this object, not the process: two in one process exclude each other."""
        self._store, self._clock, self._name = store, clock, name
        self.owner = f"{os.getpid()}-{secrets.token_hex(8)}"  # the process id is for people who look
        self._until = 0

    def take(self) -> bool:
        """Take or renew it; False while somebody else holds it."""
        now = seconds(self._clock)
        binds = {"name": self._name, "owner": self.owner, "until": now + LASTS, "now": now}
        mine = self._store.row(_TAKE, binds) is not None
        self._until = now + LASTS if mine else 0
        return mine

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it by now: it was taken from us, or could not be renewed in time."""
        return seconds(self._clock) > self._until

    def is_held(self) -> bool:
        """Whether anybody holds it, we or others."""
        return self._store.row(_HELD, {"name": self._name, "now": seconds(self._clock)}) is not None

    def release(self) -> None:
        """Give it back at once."""
        self._store.run(
            "delete from leases where name = :name and owner = :owner", {"name": self._name, "owner": self.owner}
        )

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold it over a block, renewed by a thread; yields False where somebody else holds it."""
        if not self.take():
            yield False
            return
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(over,), name=f"lease-{self._name}", daemon=True)
        keeper.start()
        try:
            yield True
        finally:
            over.set()
            keeper.join()
            self.release()

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(RENEWED_EVERY):
            try:
                if not self.take():
                    log.error("the lease %s was lost: somebody else goes on from what is stored", self._name)
                    break
            except Exception:
                log.exception("the lease %s could not be renewed; tried again in %g seconds", self._name, RENEWED_EVERY)
        self._store.let_go()

    def take_slot(self, job: str, slot: str) -> bool:
        """Take one tick of a job; False where it was taken, by whomever, ever.

        Taken under the lease when its work is done: whoever dies before that leaves it to the next.
        """
        binds = {"job": job, "slot": slot, "owner": self.owner, "now": seconds(self._clock)}
        return self._store.run(_SLOT, binds) > 0

    def slot_is_taken(self, job: str, slot: str) -> bool:
        """Whether the work of this tick has been done, by whomever."""
        return self._store.row(_TAKEN, {"job": job, "slot": slot}) is not None
