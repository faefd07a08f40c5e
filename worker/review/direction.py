"""Which way a measure's points pointed, held against who left and against what people said. Pure.

Two textbook tests on ranks, so that neither needs the points to be spread in any way: the rank-sum test of Mann and
Whitney (normal approximation, ties corrected), and Spearman's rank correlation (z = rho times the root of n - 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from math import erfc, sqrt
from statistics import correlation
from typing import Final

from worker.scoring.lint import Direction

RANK_SUM: Final = "rank-sum test"
SPEARMAN: Final = "rank correlation"


def left_and_stayed(left: Sequence[Decimal], stayed: Sequence[Decimal]) -> Direction | None:
    """Whether those who stayed had had more points than those who left; None where all had the same, or nobody any."""
    if not left or not stayed:
        return None
    ranks = _ranks([*left, *stayed])
    n, m = len(left), len(stayed)
    whole = n + m
    ties = sum(count**3 - count for count in Counter([*left, *stayed]).values())
    variance = n * m / 12 * ((whole + 1) - ties / (whole * (whole - 1)))
    if variance <= 0:
        return None
    above = sum(ranks[:n]) - n * (n + 1) / 2 - n * m / 2
    z = max(0.0, abs(above) - 0.5) / sqrt(variance)
    return Direction("those who left and those who stayed", (n, m), above <= 0, _two_sided(z), RANK_SUM)


def along_with(points: Sequence[Decimal], answers: Sequence[Decimal], what: str) -> Direction | None:
    """Whether more points went with better answers (`what`: nps answers); None where either are all the same."""
    if len(points) < 2 or len(set(points)) < 2 or len(set(answers)) < 2:
        return None
    rho = correlation(_ranks(points), _ranks(answers))
    count = len(points)
    return Direction(what, (count, count), rho >= 0, _two_sided(abs(rho) * sqrt(count - 1)), SPEARMAN)


def _ranks(values: Sequence[Decimal]) -> list[float]:
    """Each value's place from 1; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for place in order[begin : end + 1]:
            ranks[place] = (begin + end) / 2 + 1
        begin = end + 1
    return ranks


def _two_sided(z: float) -> float:
    return erfc(z / sqrt(2))
