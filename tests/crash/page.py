"""One page of memory that several processes share and a kill does not take: the time, a word to end, and counts."""

from __future__ import annotations

import mmap
import struct
import threading
from pathlib import Path
from typing import Final

EVENTS: Final = ("receipt", "commit", "read", "write", "mail")
"""What a life is made of: a delivery that is made durable, any other commit, a call that reads, one that may change
something at a vendor, and a mail that is handed over."""

_SIZE: Final = 4096
_OVER: Final = 8
_COUNTS: Final = 16


class Page:
    """A file in memory. One process at a time moves the clock; each number is written by one instruction."""

    def __init__(self, path: Path) -> None:
        """Made where it is not there yet, all zero."""
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        self._lock = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether all has been delivered that there is for today, so that a life may end when it is through."""
        return bool(self._memory[_OVER])

    @over.setter
    def over(self, value: bool) -> None:
        self._memory[_OVER] = int(value)

    def count(self, event: str) -> int:
        """One more; gives how many of them this life has had."""
        at = _COUNTS + 4 * EVENTS.index(event)
        with self._lock:
            n = int(struct.unpack_from("I", self._memory, at)[0]) + 1
            struct.pack_into("I", self._memory, at, n)
        return n

    def counts(self) -> dict[str, int]:
        """How many of each the last life had, also where it was killed."""
        return dict(zip(EVENTS, struct.unpack_from(f"{len(EVENTS)}I", self._memory, _COUNTS), strict=True))

    def begin_life(self) -> None:
        """Count from nothing."""
        struct.pack_into(f"{len(EVENTS)}I", self._memory, _COUNTS, *[0] * len(EVENTS))

    # -- the clock: a `worker.lib.clock.Clock` that all processes read ------------------------------------------------

    def now(self) -> float:
        """Epoch seconds."""
        return float(struct.unpack_from("d", self._memory, 0)[0])

    def sleep(self, seconds: float) -> None:
        """Move the clock on instead of waiting, for everybody who reads it."""
        with self._lock:
            struct.pack_into("d", self._memory, 0, self.now() + max(0.0, seconds))

    def set(self, moment: float) -> None:
        """Go to that moment, back too: when a day begins once more."""
        struct.pack_into("d", self._memory, 0, float(moment))

    def close(self) -> None:
        self._memory.close()
