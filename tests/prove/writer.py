"""The CRM lane as a process of its own, to be killed: `python -m tests.prove.writer DATABASE KEAP_URL MUTANT POINT`.

It writes what waits and ends. POINT is where it kills itself, "" for nowhere: `before` or `after` the first call of
`fields`, `add` or `remove`, as in `after add`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from integrations._keap_writes import KeapCrm
from integrations.keap import KeapSettings, connect
from worker.assess import new_run
from worker.dispatch import outbox
from worker.dispatch.writeback import write_waiting
from worker.effects import Lane
from worker.integration import CrmNames, FieldResult
from worker.lib.clock import VirtualClock
from worker.lib.http import Http
from worker.lib.store import SqliteStore, Store

NOON: Final = 1_767_268_800
POINTS: Final = tuple(f"{when} {call}" for call in ("fields", "add", "remove") for when in ("before", "after"))
NAMES: Final = CrmNames(
    tags={"green": "Health: green", "yellow": "Health: yellow", "red": "Health: red"},
    fields={"score": "Health score", "band": "Health band", "reason": "Health reason", "as_of": "Health as of"},
)
AT_ONCE: Final = 10
"""Contacts a batch, so that there are several to be interrupted."""


class Killed(KeapCrm):
    """A CRM around which the process dies."""

    def __init__(self, http: Http, clock: VirtualClock, point: str) -> None:
        super().__init__(http, None, clock)
        self._point, self._calls = point, dict[str, int]()

    def _around(self, name: str, call: Callable[[], Any]) -> Any:
        self._calls[name] = self._calls.get(name, 0) + 1
        due = self._calls[name] == 1
        if due and self._point == f"before {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        found = call()
        if due and self._point == f"after {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def write_fields(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, FieldResult]:
        done: dict[str, FieldResult] = self._around("fields", lambda: super(Killed, self).write_fields(wanted))
        return done

    def add_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        done: dict[str, str] = self._around("add", lambda: super(Killed, self).add_tag(tag_id, contact_ids))
        return done

    def remove_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        done: dict[str, str] = self._around("remove", lambda: super(Killed, self).remove_tag(tag_id, contact_ids))
        return done


class Careless(Killed):
    """A mutant: sends our own fields only, as if Keap kept the others."""

    def _patch(self, contact_id: str, entries: Sequence[Mapping[str, Any]]) -> None:
        ours = set(self._field_types(()))  # every field there is; ours are the four that were made last
        newest = sorted(ours, key=int)[-len(NAMES.fields) :]
        super()._patch(contact_id, [entry for entry in entries if entry["id"] in newest])


def recovers(store: Store, now: int) -> None:
    """The real one. Nobody else is at work here, so nothing in `sending` is anybody's."""
    outbox.recover(store, Lane.CRM, now, older_than=0)


def believes(store: Store, now: int) -> None:
    """A mutant: what was begun counts as written."""
    store.run("update effects set state = 'done' where state = 'sending'")


MUTANTS: Final[Mapping[str, tuple[Callable[[Store, int], None], type[Killed]]]] = {
    "real": (recovers, Killed),
    "believes what was begun": (believes, Killed),
    "writes from memory": (recovers, Careless),
}


def main(database: str, url: str, mutant: str, point: str) -> None:
    """Write what waits."""
    store = SqliteStore(Path(database))
    # Time goes on from one life to the next: waiting for Keap's limits has moved the clock of the last one.
    now = int(store.value("select coalesce(max(sending_since), :noon) as last from effects", {"noon": NOON}))
    clock = VirtualClock(now)
    recover, crm_class = MUTANTS[mutant]
    recover(store, now)
    settings = KeapSettings.model_validate(
        {"key": "KeapAK-sandbox", "hook_secret": "0123456789abcdef", "base_url": url}
    )
    http = connect(settings, clock)
    crm = crm_class(http, clock, point)
    ids = crm.find_or_create(NAMES, adopt=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    run_id = new_run(store, "crash", now)
    write_waiting(store, crm, "keap", ids, run_id, clock, stop=lambda: False, most=AT_ONCE)
    http.close()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
