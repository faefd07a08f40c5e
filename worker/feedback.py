"""What customers lack, put together for the product team once a week: for each play with a section `[collect]`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from worker.facts import kind_named
from worker.lib.clock import DAY, iso, seconds, zone
from worker.lib.store import sql
from worker.plays import modes
from worker.plays.files import Collect
from worker.plays.records import set_switch, switch
from worker.workspace import Workspace

LOOKS_BACK: Final = 30 * DAY
"""How old what customers lack may be, and the play's having been set off, where there was no earlier digest."""
MOST: Final = 15
"""So many lines; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What several customers lack."""

    kind: str
    label: str
    customers: int
    times: int

    @property
    def in_words(self) -> str:
        """`4 customers: errors met (export), 17 times`."""
        what = kind_named(self.kind).plural + (f" ({self.label})" if self.label else "")
        return f"{self.customers} customers: {what}, {self.times} times"


@dataclass(frozen=True, slots=True)
class Digest:
    """One play's week."""

    play: str
    title: str
    since: int
    customers: int
    """For whom the play was set off since."""
    lacks: tuple[Lack, ...]
    """The commonest first."""

    @property
    def text(self) -> str:
        """What the team reads."""
        lines = [f"Of {self.customers} customers, within 30 days:", *(one.in_words for one in self.lacks[:MOST])]
        left = len(self.lacks) - MOST
        return "\n".join([*lines, *([f"and {left} more"] if left > 0 else [])])

    def shown(self) -> dict[str, Any]:
        """As a machine reads it."""
        lacks = [
            {"kind": one.kind, "label": one.label, "customers": one.customers, "times": one.times} for one in self.lacks
        ]
        return {
            "play": self.play, "title": self.title, "since": iso(self.since), "customers": self.customers, "lacks": lacks,
        }  # fmt: skip


def digests(workspace: Workspace) -> list[Digest]:
    """What has come together since each play's last one; those with nothing to say are left out."""
    found = [_digest(workspace, name, play.collect) for name, play in sorted(workspace.plays.items()) if play.collect]
    return [one for one in found if one.lacks]


def _digest(workspace: Workspace, play: str, collect: Collect) -> Digest:
    now = seconds(workspace.clock)
    fired = max(int(switch(workspace.store, _last(play)) or 0), now - LOOKS_BACK)
    whom = {"play": play, "fired": fired, "now": now}
    lacks = [
        Lack(row["kind"], row["label"], row["customers"], row["n"])
        for kind in collect.kinds
        for row in workspace.store.rows(
            sql("team", "lacking"), {**whom, "kind": kind, "since": now - LOOKS_BACK, "at_least": collect.at_least}
        )
    ]
    lacks.sort(key=lambda one: (-one.customers, -one.times, one.kind, one.label))
    customers = int(workspace.store.value(sql("team", "set_off"), whom) or 0)
    return Digest(play, collect.title, fired, customers, tuple(lacks))


def _last(play: str) -> str:
    return f"feedback:{play}"


def is_time(workspace: Workspace) -> str:
    """The week whose digest may be told, `2026-W02`; "" on a Monday before its morning."""
    local = datetime.fromtimestamp(workspace.clock.now(), zone(workspace.time_zone))
    if local.weekday() == 0 and local.hour * 60 + local.minute < workspace.config.team.morning_at:
        return ""
    year, week, _ = local.isocalendar()
    return f"{year}-W{week:02}"


def tell(workspace: Workspace, week: str) -> int:
    """Let the team be told, each play's digest once a week; gives how many. Nothing where alerts may not leave."""
    if not workspace.may_leave(modes.ALERT):
        return 0
    now, told = seconds(workspace.clock), 0
    for one in digests(workspace):
        binds = {"key": f"{_last(one.play)}:{week}", "title": one.title, "text": one.text, "now": now}
        with workspace.store.atomic():
            if workspace.store.run(sql("guard", "put_notice"), binds):
                set_switch(workspace.store, _last(one.play), str(now), now)
                told += 1
    return told
