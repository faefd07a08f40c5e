"""Text ids that sort by time: `cus_0k3f…`, twenty characters behind the prefix."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_lock = threading.Lock()
_last = 0


_PAIRS: Final = [one + other for one in _DIGITS for other in _DIGITS]


def _base32(number: int, pairs: int) -> str:
    """So many pairs of digits; a number that needs more is cut off on the left."""
    return "".join([_PAIRS[number >> 10 * place & 1023] for place in range(pairs - 1, -1, -1)])


def new_id(prefix: str) -> str:
    """Make an id. Two made one after the other in one process sort in that order."""
    global _last  # noqa: PLW0603  one counter for the process, behind a lock
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        return f"{prefix}_{_base32(_last << 45 | secrets.randbits(45), 10)}"
