"""Time, handed in: the system's, or a virtual one that only moves when told or when somebody sleeps.

Everything stored is whole epoch seconds, UTC. Everything shown to a machine is `YYYY-MM-DDTHH:mm:ss.sssZ`.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

DAY: Final = 86_400
HOUR: Final = 3_600
MINUTE: Final = 60


class Clock(Protocol):
    """Where the time comes from. `sleep` returns at least that many of *this* clock's seconds later."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait for real."""
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock for tests and the demo: sleeping moves it on, for everybody who reads it."""

    def __init__(self, start: float) -> None:
        """Start at `start`, epoch seconds."""
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Epoch seconds."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the clock on instead of waiting."""
        with self._lock:
            self._now += max(0.0, seconds)

    def move_to(self, moment: float) -> None:
        """Go to `moment` unless that is past already."""
        with self._lock:
            self._now = max(self._now, float(moment))


def seconds(clock: Clock) -> int:
    """The clock's time as it is stored: whole epoch seconds."""
    return int(clock.now())


def iso(moment: float) -> str:
    """Write a moment as `2026-01-31T09:30:00.000Z`."""
    # From whole milliseconds, since floats would round 0.9996 into a fourth digit.
    whole = round(moment * 1000)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{whole % 1000:03d}Z"


def from_iso(text: str) -> int:
    """Read an ISO 8601 moment with a zone as epoch seconds. Raises ValueError without one, or for no moment at all."""
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write 2026-01-31T09:30:00Z")
    return int(moment.timestamp())


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises ZoneInfoNotFoundError or ValueError."""
    return ZoneInfo(name)


_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=65_536)
def _day_of_quarter(quarter: int, zone_name: str) -> int:
    return (datetime.fromtimestamp(quarter * 900, zone(zone_name)).date() - _EPOCH).days


def local_day(moment: int, zone_name: str = "UTC") -> int:
    """The number of the local calendar day (days since 1970-01-01) in which a moment falls.

    Since 1972 every zone's offset is a whole number of quarter hours, so the quarter decides and can be remembered.
    """
    if zone_name == "UTC":
        return moment // DAY
    return _day_of_quarter(moment // 900, zone_name)


def day_text(day: int) -> str:
    """Write a day number as `2026-01-31`."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(text: str) -> int:
    """Read `2026-01-31` as a day number. Raises ValueError."""
    return (date.fromisoformat(text) - _EPOCH).days


def end_of_day(day: int, zone_name: str = "UTC") -> int:
    """The last second of a local day, epoch seconds: what a DATE means as a moment."""
    tomorrow = _EPOCH + timedelta(days=day + 1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone(zone_name))
    return int(midnight.timestamp()) - 1
