"""How much each source says: facts by source, kind and local day of the workspace, kept up as facts come and change.

The source guard reads these few rows instead of all facts. A fact counts on the day it happened, so a backfill brings
its own past with it. The door of the guard's counts to the database.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from worker.lib.clock import local_day
from worker.lib.store import Store, sql

_QUARTER: Final = 900
_ZONE: Final = "volumes_zone"
"""The switch that says by whose days the volumes were counted; without it they never were as a whole."""


class Volumes:
    """What some facts change in the volumes, gathered until `keep`."""

    def __init__(self, time_zone: str = "UTC") -> None:
        """`time_zone` is the workspace's."""
        self._time_zone = time_zone
        self._changes: Counter[tuple[str, str, int]] = Counter()

    def add(self, source: str, kind: str, at: int, n: int = 1) -> None:
        """A fact was added; with -1, taken away."""
        self._changes[source, kind, local_day(at, self._time_zone)] += n

    def keep(self, store: Store) -> None:
        """Write it, in the caller's transaction."""
        changes, self._changes = self._changes, Counter()
        binds = [
            {"source": source, "kind": kind, "day": day, "n": n}
            for (source, kind, day), n in sorted(changes.items())
            if n
        ]
        if binds:
            store.many(sql("guard", "add_volume"), binds)


def counted(store: Store, time_zone: str) -> None:
    """See that the volumes are those of this zone's days; reads all facts where they are not, once."""
    if store.value("select value from switches where name = :name", {"name": _ZONE}) != time_zone:
        recount(store, time_zone)


def recount(store: Store, time_zone: str) -> None:
    """Count all facts anew."""
    with store.atomic():
        store.run(sql("guard", "clear_volumes"))
        volumes = Volumes(time_zone)
        for row in store.rows(sql("guard", "facts_by_quarter")):
            volumes.add(row["source"], row["kind"], row["quarter"] * _QUARTER, row["n"])
        volumes.keep(store)
        store.run(sql("plays", "set_switch"), {"name": _ZONE, "value": time_zone, "at": 0})


def volumes_of(store: Store, source: str, since: int) -> dict[str, dict[int, int]]:
    """{kind: {local day: how many facts}} of a source, from the day number `since` on; days without any are left out."""
    found: dict[str, dict[int, int]] = {}
    for row in store.rows(sql("guard", "volumes_since"), {"source": source, "since": since}):
        found.setdefault(row["kind"], {})[row["day"]] = row["n"]
    return found
