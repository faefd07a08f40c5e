"""Many days, each with a kill or two: at every named point in turn, and at random moments.

The second kill of a day hits those who are clearing up behind the first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.crash import traps
from tests.crash.stage import Shot, Stage
from tests.crash.verdict import Judgement, Picture, judge, look, sound_after_kill

NAMED: Final = 0.9
"""Of all kills, how many are at the named points in turn where all of these can have their turn …"""
SPREAD: Final = 0.7
"""… and where only some of them can."""


@dataclass
class Figures:
    """What a campaign came to."""

    kills: int = 0
    lives: int = 0
    days: int = 0
    letters: int = 0
    unknown: int = 0
    lost: int = 0
    doubled: int = 0
    points: int = 0
    """Named points at which the day's first life was killed."""
    points_there: int = 0
    at_random: int = 0
    """Kills at a random moment."""
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.kills} kills ({self.points} of {self.points_there} named points, {self.at_random} at random moments)"
            f" in {self.days} days and {self.lives} lives, {self.letters} mails: {self.lost} lost, {self.doubled} doubled,"
            f" {self.unknown} unknown, {len(self.faults)} faults, {self.seconds:.0f} s"
        )

    def add(self, told: Judgement) -> None:
        """Count a day."""
        self.days += 1
        self.letters += told.letters
        self.unknown += told.unknown
        self.lost += len(told.lost)
        self.doubled += len(told.doubled)
        self.faults += told.faults


class Campaign:
    """Kills on one stage."""

    def __init__(self, stage: Stage, seed: int) -> None:
        """Live the day in peace by hand: what it shows is what every other must, and its events are the named points.

        Once more in peace, by itself and in all its threads: that must come out the same too.
        """
        self._stage, self._dice = stage, random.Random(seed)
        self.figures = Figures()
        began = time.monotonic()
        self.peace, _, _ = self._day((), "")
        self.points = traps.named(stage.page.counts())
        again, killed, acknowledged = self._day((), "", patient=False)
        faults = judge(stage, self.peace, again, killed, acknowledged).faults
        assert not faults, f"two days in peace differ: {faults}"
        assert again.noted, "or Keap's history is not looked at"
        assert again.tasks, "or tasks are not"
        assert not again.tables["open"], f"the day is not through: {again.tables['open']}\n{stage.log()}"
        self._lasts = self._last_life
        self.figures = Figures(points_there=len(self.points), seconds=time.monotonic() - began)

    def run(self, kills: int, points: list[str], *, mutant: str = "", until_caught: bool = False) -> Figures:
        """Kill so often, beginning with these named points; with `until_caught`, stop where something is wrong."""
        began = time.monotonic()
        waiting = points[: int(kills * (NAMED if kills >= len(points) else SPREAD))]
        while self.figures.kills < kills:
            seen, killed, acknowledged = self._day(self._shots(waiting, kills), mutant)
            told = judge(self._stage, self.peace, seen, killed, acknowledged)
            told.unsound += self._unsound
            self.figures.add(told)
            if told.faults and until_caught:
                break
        self.figures.seconds += time.monotonic() - began
        return self.figures

    def _shots(self, waiting: list[str], kills: int) -> Iterator[Shot]:
        """One of the named points while there are some, and a second one while all of them can still have their day."""
        if waiting:
            yield Shot(waiting.pop(0))
        else:
            yield self._any()
        if kills - self.figures.kills > len(waiting):
            yield self._any()

    def _any(self) -> Shot:
        """A moment or a point, as the dice fall."""
        if self._dice.random() < 0.8:
            return Shot(after=self._dice.uniform(0, self._lasts))
        return Shot(self._dice.choice(self.points))

    def _day(
        self, shots: Iterator[Shot] | tuple[()], mutant: str, *, patient: bool = True
    ) -> tuple[Picture, int, list[bytes]]:
        """One day with these kills; gives how it ended, how many there were, and what was acknowledged."""
        stage, kills, self._unsound = self._stage, 0, list[str]()
        stage.begin_again()
        deliveries = stage.deliveries()
        deliveries.start()
        try:
            left = iter(shots)
            while True:
                shot = next(left, Shot())
                began = time.monotonic()
                # By hand, so that the numbers of the points are those of the day in peace.
                first_at_point = not kills and shot.after is None and patient
                killed = stage.live(shot, mutant=mutant, patient=first_at_point)
                self._last_life = time.monotonic() - began
                self.figures.lives += 1
                if not killed:
                    break
                kills += 1
                self.figures.kills += 1
                self.figures.at_random += shot.after is not None
                self.figures.points += first_at_point
                self._unsound += sound_after_kill(stage)
        finally:
            deliveries.stop()
        return look(stage), kills, deliveries.acknowledged
