"""Who of our people a task goes to, and on which day: the owner, the deputy while the owner is away, no more than fits a day.

Pure: how much each has on which day is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

FARTHEST: Final = 14
"""Days by which a task may be put off where a person's days are full; then it is put there all the same, and seen."""


@dataclass(frozen=True, slots=True)
class Colleague:
    """What the workspace says of one of its people."""

    name: str = ""
    email: str = ""
    deputy: str = ""
    """The CRM's id of who stands in while this one is away."""
    away: tuple[tuple[int, int], ...] = ()
    """(first, last) local day of each absence."""
    tasks_a_day: int = 0
    """0 for the workspace's own limit."""

    def is_away(self, day: int) -> bool:
        """Whether this person is away on that local day."""
        return any(first <= day <= last for first, last in self.away)


@dataclass(frozen=True, slots=True)
class People:
    """All of them, by the CRM's ids."""

    by_id: Mapping[str, Colleague]
    tasks_a_day: int
    """How many tasks a person is given a day, where nothing else is said of them."""
    fallback: str = ""
    """Who gets the tasks of customers without an owner."""

    def assign(self, owner: str, today: int, load: Callable[[str, int], int]) -> tuple[str, int]:
        """Who gets a task for a customer of `owner`, and how many days later than today.

        `load` says how many tasks somebody has been given for a local day. Deputies of deputies stand in, but nobody twice.
        """
        for later in range(FARTHEST):
            who = self._present(owner or self.fallback, today + later)
            if load(who, today + later) < self._limit(who):
                return who, later
        return self._present(owner or self.fallback, today), 0

    def _present(self, who: str, day: int) -> str:
        asked: list[str] = []
        while who not in asked:
            one = self.by_id.get(who)
            if one is None or not one.is_away(day) or not one.deputy:
                return who
            asked.append(who)
            who = one.deputy
        return asked[0]

    def _limit(self, who: str) -> int:
        one = self.by_id.get(who)
        return (one.tasks_a_day if one else 0) or self.tasks_a_day
