"""How a pretend vendor counts calls against a limit."""

from __future__ import annotations

from collections import deque


class Window:
    """At most so many calls in any stretch of so many seconds. The caller holds the vendor's lock."""

    def __init__(self, most: int, seconds: float) -> None:
        """`most` calls within `seconds`."""
        self.most = most
        self.seconds = seconds
        self._calls: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Count a call at `now` (epoch seconds) and give 0; over the limit, give the seconds until it would pass."""
        while self._calls and self._calls[0] <= now - self.seconds:
            self._calls.popleft()
        if len(self._calls) >= self.most:
            return self._calls[0] + self.seconds - now
        self._calls.append(now)
        return 0.0

    def left(self) -> int:
        """How many more calls would pass, as of the last one."""
        return self.most - len(self._calls)

    def reset(self, now: float) -> float:
        """Seconds until the oldest counted call is forgotten."""
        return self._calls[0] + self.seconds - now if self._calls else 0.0
