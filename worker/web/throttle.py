"""How often somebody may try. Counted in memory: a restart forgives, and several processes each count for themselves."""

from __future__ import annotations

import math
import threading
from typing import Final

from worker.lib.clock import Clock

_MOST: Final = 10_000
"""Names that are remembered; then the fullest buckets go, which say nothing any more."""


class Throttle:
    """A bucket of turns for each name: `burst` at once, refilled evenly over `period` seconds."""

    def __init__(self, clock: Clock, *, burst: int, period: int) -> None:
        """Every bucket begins full."""
        self._clock, self._burst, self._rate = clock, burst, burst / period
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, name: str) -> int:
        """Take a turn; gives 0, or the whole seconds after which there will be one."""
        with self._lock:
            left = self._left(name)
            if left < 1:
                return max(1, math.ceil((1 - left) / self._rate))
            self._keep(name, left - 1)
            return 0

    def forgive(self, name: str) -> None:
        """Fill the bucket of that name again."""
        with self._lock:
            self._buckets.pop(name, None)

    def _left(self, name: str) -> float:
        left, at = self._buckets.get(name, (float(self._burst), self._clock.now()))
        return min(float(self._burst), left + max(0.0, self._clock.now() - at) * self._rate)

    def _keep(self, name: str, left: float) -> None:
        self._buckets[name] = (left, self._clock.now())
        if len(self._buckets) > _MOST:
            fullest = sorted(self._buckets, key=self._left, reverse=True)[: _MOST // 2]
            for one in fullest:
                del self._buckets[one]
