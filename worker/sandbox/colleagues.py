"""Cleo and Bo, who do the tasks that Keepwell gives them: most within three days, some never."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from worker.lib.clock import DAY
from worker.sandbox.servers.keap import PretendKeap

DONE: Final = 0.8
"""How many of their tasks they do."""
SOONEST: Final = 1 * DAY
LATEST: Final = 3 * DAY
"""How long after it was given a task is done."""

At = Callable[[int, Callable[[int], None]], None]
"""(moment, what happens then) -> it will."""


class Colleagues:
    """The people who work with the pretend Keap. Each task has dice of its own, so nothing else falls otherwise."""

    def __init__(self, keap: PretendKeap, seed: int) -> None:
        """They have seen no task yet."""
        self._keap, self._seed = keap, seed
        self._seen: set[str] = set()

    def take_up(self, day_start: int, at: At) -> None:
        """Look at the tasks that are new since yesterday, and plan those that will be done."""
        for task_id in self._keap.open_tasks():
            if task_id in self._seen:
                continue
            self._seen.add(task_id)
            dice = random.Random(f"{self._seed}:{task_id}")  # noqa: S311  a made-up world, no secret
            if dice.random() < DONE:
                done_at = self._keap.tasks[task_id].created_at + dice.randint(SOONEST, LATEST)
                at(max(done_at, day_start), partial(self._do, task_id))

    def _do(self, task_id: str, _at: int) -> None:
        if task_id in self._keap.tasks:  # else somebody deleted it
            self._keap.do_task(task_id)
