"""Hold-out: who is left out of a play, so that its worth can be told; and how many that takes. Pure.

Who is left out follows from a salted hash of the customer and the play, before anything is planned: it depends neither
on when it is asked nor on how the customer is doing, and is another draw for each play.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

ALPHA, POWER = 0.05, 0.8
"""The usual risks: 5 % to see an effect that is none (two-sided), 20 % to miss one that is there."""
_PARTS: Final = 1_000_000
TOO_LONG: Final = 104
"""Weeks after which an answer is told to be out of reach: the business will have changed before it comes."""


def is_held_out(salt: str, play: str, customer_id: str, percent: int) -> bool:
    """Whether this customer is left out of this play, for a share of 0 to 100 percent.

    A larger share holds out all of a smaller one, and more.
    """
    drawn = hashlib.sha256(f"{salt}\n{play}\n{customer_id}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % _PARTS < percent * (_PARTS // 100)


@dataclass(frozen=True, slots=True)
class Power:
    """What an answer would take."""

    customers: int
    """Of both arms together; each counts once, the first time that the play is set off for them."""
    held: int
    """How many of them would be left out."""
    weeks: float | None
    """Until so many have been set off, at the present pace; None where nobody is."""
    words: str


def sizes(base: float, other: float, ratio: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """How many the first arm needs to tell two shares apart, where the second arm is `ratio` times as large.

    Two-sided, normal approximation without continuity correction: Fleiss, Levin and Paik, Statistical Methods for Rates
    and Proportions, 3rd ed. (2003), section 4.4, for unequal sample sizes. Raises ValueError for what is no share.
    """
    if not (0 <= base <= 1 and 0 <= other <= 1 and ratio > 0) or base == other:
        raise ValueError("two different shares between 0 and 1 are compared")
    pooled = (base + ratio * other) / (1 + ratio)
    by_chance = NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt((1 + ratio) * pooled * (1 - pooled))
    by_effect = NormalDist().inv_cdf(power) * math.sqrt(ratio * base * (1 - base) + other * (1 - other))
    return (by_chance + by_effect) ** 2 / (ratio * (base - other) ** 2)


def power(
    base_rate: float, lift: float, percent: int, per_week: float, alpha: float = ALPHA, power: float = POWER
) -> Power:
    """How many customers and weeks it takes to see a lift.

    `base_rate` is the share that reaches the play's goal without it (0 to 1), `lift` what the play would add to it (0.05
    for five points of a hundred), `percent` the share that is held out, `per_week` how many customers the play is set
    off for, for the first time, each week. Raises ValueError for shares that cannot be.
    """
    if not 0 < percent < 100:
        raise ValueError("hold out more than 0 and less than 100 percent")
    if not 0 <= base_rate <= 1 or not 0 <= base_rate + lift <= 1 or lift == 0:
        raise ValueError(
            f"a lift of {lift:+.1%} on {base_rate:.1%} is none that can be: both shares lie between 0 and 100 %"
        )
    held = math.ceil(sizes(base_rate, base_rate + lift, (100 - percent) / percent, alpha, power) - 1e-9)
    customers = math.ceil(held * 100 / percent - 1e-9)
    weeks = customers / per_week if per_week > 0 else None
    words = (
        f"To tell {base_rate + lift:.1%} from {base_rate:.1%} with {percent} % held out, the play must be set off for"
        f" {customers:,} customers, {held:,} of them held out ({1 - alpha:.0%} sure, and {power:.0%} likely to see it)"
    )
    return Power(customers, held, weeks, f"{words}: {duration(weeks, per_week)}.")


def duration(weeks: float | None, per_week: float) -> str:
    """How long that takes at this pace, and that it is too long where it is."""
    if weeks is None:
        return "at present it is set off for nobody, so there would never be an answer"
    pace = f"at the present {per_week:.1f} new customers a week"
    if weeks > TOO_LONG:
        years = weeks * 7 / 365.25
        return f"{pace} that would take {years:,.0f} years, too long to be an answer"
    return f"{pace} that takes {max(1, math.ceil(weeks))} weeks"
