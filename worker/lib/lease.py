"""One lease in the database, so that two schedulers do the work once; and slots that can be taken once ever.

A table lease rather than an advisory lock: a lost connection drops the lock unseen, while a lease simply runs out.
"""

from __future__ import annotations

import logging
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
_SLOT: Final = """
insert into slots (job, slot, owner, at) values (:job, :slot, :owner, :now)
on conflict (job, slot) do nothing
"""


class Lease:
    """A named lease, seen from one owner."""

    def __init__(self, store: Store, clock: Clock, name: str) -> None:
        """Nothing is taken yet. The owner is this object, not the process: two in one process exclude each other."""
        self._store, self._clock, self._name = store, clock, name
        self.owner = secrets.token_hex(8)

    def take(self) -> bool:
        """Take or renew it; False while somebody else holds it."""
        now = seconds(self._clock)
        binds = {"name": self._name, "owner": self.owner, "until": now + LASTS, "now": now}
        return self._store.row(_TAKE, binds) is not None

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
                self.take()
            except Exception:
                log.exception("the lease %s could not be renewed; tried again in %g seconds", self._name, RENEWED_EVERY)
        self._store.let_go()

    def take_slot(self, job: str, slot: str) -> bool:
        """Take one tick of a job; False where it was taken, by whomever, ever."""
        binds = {"job": job, "slot": slot, "owner": self.owner, "now": seconds(self._clock)}
        return self._store.run(_SLOT, binds) > 0
