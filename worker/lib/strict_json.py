"""JSON from strangers: read as RFC 8259 has it, and refused where two readers could read two things."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final

DEEPEST: Final = 64
"""Levels of nesting. Vendors' events have about ten; whoever walks the value recurses once a level."""


def read_json(text: str | bytes) -> Any:
    """Read a JSON text, bytes as UTF-8.

    Raises ValueError for what is no JSON, and for what Python alone would let pass: NaN and Infinity, numbers too large
    to be one, a key twice in an object, nesting deeper than 64.
    """
    try:
        value = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {DEEPEST}") from None
    _hold_depth(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _hold_depth(value: Any) -> None:
    """Go down level by level, without recursion."""
    level = _containers([value])
    for _ in range(DEEPEST):
        if not level:
            return
        level = _containers(child for one in level for child in (one.values() if isinstance(one, dict) else one))
    if level:
        raise ValueError(f"nested deeper than {DEEPEST}")


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]
