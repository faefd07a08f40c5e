"""Whether a source says about as much as it usually does: one kind's daily counts against their own pattern. Pure.

A day is held against the same weekdays of the eight weeks before it, so that quiet Sundays are no news; where the kind
began to come within them, since then. Of those the median is the usual, and the usual spread is the median deviation of
all those weeks' days from their own weekday's median, but never less than chance alone gives (the root of the count, as
of independent events). Closed days, and days that were out of the pattern themselves, are no part of it.

* It needs four such weekdays, at least 20 a day as the usual, since below chance alone empties days, and that on three
  weekdays or more: a newsletter that goes out on Tuesdays may be left out once.
* Low is fewer than a quarter of the usual, fewer than on any of those days, and three spreads off. A kind that is often
  empty, or wild, can never be that, so it never alarms. At 20 a day chance alone does it once in 60,000 days.
* High is more than five times the usual, twice the most of those days, and ten spreads off: duplicates or test data, no
  good month.
* Where last year's same week is known and fell below half (or rose to twice) of its own usual, the usual is expected to
  do so again: a Christmas dip that was there last year is no outage.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Final, Literal

WEEKS: Final = 8
"""How far the pattern reaches back."""
WEEKDAYS: Final = 4
"""How many of the same weekday it needs at least."""
ENOUGH: Final = 20
"""Facts a day below which nothing is said."""
LIVELY: Final = 3
"""On how many weekdays that many must be usual."""
LOW: Final = 1 / 4
HIGH: Final = 5
YEAR: Final = 364
"""Days after which the same week of the year falls on the same weekdays."""
HISTORY: Final = YEAR + 3 + 7 * WEEKS
"""Days before the one that is judged of which the counts can matter."""
_SPREAD: Final = 1.4826
"""What makes a median absolute deviation comparable to a standard deviation."""

State = Literal["well", "low", "high", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one day's count says about the source."""

    state: State
    """`unknown` where nothing can be said: a closed day, too little history, or too few facts."""
    n: int
    usual: int = 0
    """How many were to be expected; 0 where that is unknown."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    usual: float
    spread: float
    fewest: int
    most: int


def open_always(day: int) -> bool:
    """No day is closed."""
    return False


def judge(
    counts: Mapping[int, int],
    day: int,
    *,
    closed: Callable[[int], bool] = open_always,
    flagged: Collection[int] = (),
    over: bool = True,
) -> Verdict:
    """Judge a day by the counts of a kind, {local day number: facts}; days without any may be left out.

    `flagged` are days known to be out of the pattern. Of a day that is not `over` only what is certain already is said:
    that it is high, or that half of the usual has come and the source is well.
    """
    n = counts.get(day, 0)
    pattern = None if closed(day) else _pattern(counts, day, closed, flagged)
    if pattern is None:
        return Verdict("unknown", n)
    dip, rise = _season(counts, day, closed)
    low, high = pattern.usual * dip, pattern.usual * rise
    if high >= ENOUGH and n > HIGH * high and n > 2 * pattern.most and n - high >= 10 * pattern.spread * rise:
        return Verdict("high", n, round(high))
    if low < ENOUGH:
        return Verdict("unknown", n)
    if not over:
        return Verdict("well" if 2 * n >= low else "unknown", n, round(low))
    if n < LOW * low and n < pattern.fewest and low - n >= 3 * pattern.spread * dip:
        return Verdict("low", n, round(low))
    return Verdict("well", n, round(low))


def _pattern(
    counts: Mapping[int, int], day: int, closed: Callable[[int], bool], flagged: Collection[int]
) -> _Pattern | None:
    """What is usual on that weekday; None where too little is known."""
    first = next((one for one in range(day - 7 * WEEKS, day) if counts.get(one)), day)
    if day - 7 * WEEKDAYS < first:
        return None
    weeks: dict[int, list[int]] = {}
    for before in range(1, 7 * WEEKS + 1):
        one = day - before
        if one >= first and one not in flagged and not closed(one):
            weeks.setdefault(before % 7, []).append(counts.get(one, 0))
    same = weeks.get(0, [])
    lively = [(days, middle) for days in weeks.values() if (middle := median(days)) >= ENOUGH]
    if len(same) < WEEKDAYS or len(lively) < LIVELY:
        return None
    usual = median(same)
    spread = usual * _SPREAD * median(abs(n - middle) / middle for days, middle in lively for n in days)
    return _Pattern(usual, max(spread, sqrt(usual)), min(same), max(same))


def _season(counts: Mapping[int, int], day: int, closed: Callable[[int], bool]) -> tuple[float, float]:
    """By what share last year's same week fell below, and rose above, its own usual; 1 where it did not, or is unknown.

    The week around the day counts: holidays move, and a date falls on another weekday each year.
    """
    shares = []
    for near in range(day - YEAR - 3, day - YEAR + 4):
        pattern = None if closed(near) else _pattern(counts, near, closed, ())
        if pattern is not None and pattern.usual >= ENOUGH:
            shares.append(counts.get(near, 0) / pattern.usual)
    dip, rise = min(shares, default=1.0), max(shares, default=1.0)
    return (dip if dip < 1 / 2 else 1.0), (rise if rise > 2 else 1.0)
