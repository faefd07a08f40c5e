"""A look-back in words, and how much so few customers can bear. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from math import sqrt
from typing import Final

from worker.lib.rounding import half_up, plain
from worker.review.lookback import Horizon, Left, LookBack, Stayed, View
from worker.scoring.card import GREY

FEW: Final = 10
"""With fewer departures than this a good card cannot be told from luck."""
_SURE: Final = 1.959964
"""95 of 100 intervals made so hold the true share."""
_MONTH: Final = Decimal("30.4375")
"""Days."""


def interval(count: int, of: int) -> tuple[int, int]:
    """Wilson's interval for a share, in whole percent: (40, 89) for 7 of 10. `of` is at least 1."""
    share, square = count / of, _SURE * _SURE
    middle = share + square / (2 * of)
    spread = _SURE * sqrt((share * (1 - share) + square / (4 * of)) / of)
    low, high = ((middle + sign * spread) / (1 + square / of) for sign in (-1, 1))
    return round(100 * max(0.0, low)), round(100 * min(1.0, high))


def percent(count: int, of: int) -> str:
    """A share: `23%`, `4.5%` where it is small."""
    share = Decimal(count) * 100 / of if of else Decimal(0)
    return f"{plain(half_up(share, 1 if share < 10 else 0))}%"


def customers(count: int) -> str:
    """`1 customer`, `12 customers`."""
    return f"{count:,} customer" + ("" if count == 1 else "s")


def day(text: str) -> str:
    """`3 March 2026`, for 2026-03-03."""
    found = date.fromisoformat(text)
    return f"{found.day} {found:%B} {found.year}"


def money(paid: Mapping[str, str]) -> str:
    """`1,240 USD and 90 EUR`; `nothing` where nothing was paid."""
    return " and ".join(f"{amount} {currency}".strip() for currency, amount in paid.items()) or "nothing"


def stood(horizon: Horizon) -> str:
    """`7 red, 2 yellow, 1 green`, the worst first; what is none is not told."""
    counts = [f"{count} {band}" for band, count in reversed(horizon.bands.items()) if count and band != GREY]
    if horizon.bands[GREY]:
        counts.append(f"{horizon.bands[GREY]} grey (too little known)")
    if horizon.absent:
        counts.append(f"{horizon.absent} not a customer then")
    return ", ".join(counts) or "nobody"


def ended(look: LookBack) -> str:
    """`17 red, half of them for 9 days or longer`."""
    count, days = look.red_at_the_end
    if not count:
        return f"none {look.worst}"
    spell = f"{days} day" + ("" if days == 1 else "s")
    return f"{count} {look.worst}, " + (f"for {spell}" if count == 1 else f"half of them for {spell} or longer")


def view(one: View) -> str:
    """`red 34`, `grey`, or that they were no customer yet."""
    return f"{one.band} {one.score if one.band != GREY else ''}".strip() or "not a customer then"


def red_for(look: LookBack, one: Left) -> str:
    """`red for 12 days`, or a dash."""
    return f"{look.worst} for {one.red_for} day" + ("" if one.red_for == 1 else "s") if one.red_for else "–"


def bearing(look: LookBack) -> tuple[str, ...]:
    """What the shares are, and between which the true ones may lie: one sentence or two for each."""
    square, said = look.square, []
    if square.everyone:
        said.append(
            f"{square.left:,} of {customers(square.everyone)} left by choice in {look.days} days: "
            f"{percent(square.left, square.everyone)}, or {_a_month(look)} of the customers a month. "
            "A card must do better than this to be worth listening to."
        )
    if square.left:
        last = look.horizons[-1]
        caught = look.warned(last)
        said.append(
            f"Of {square.left:,} who left, {caught:,} {_were(caught)} {' or '.join(look.alarming)} {last.days} days before. "
            f"{_true(caught, square.left)}"
        )
    if square.red:
        calm = square.other_left + square.other_stayed
        against = f", against {percent(square.other_left, calm)} of the {calm:,} who never were" if calm else ""
        said.append(
            f"Of {square.red:,} who were ever {look.worst}, {square.red_left:,} left by choice and "
            f"{square.red_stayed:,} stayed: {percent(square.red_left, square.red)} left{against}. "
            f"{_true(square.red_left, square.red)}"
        )
    return tuple(said)


def warnings(look: LookBack) -> list[str]:
    """What must be known before any of it is believed: too few who left, too little that was known."""
    found = []
    if not look.left:
        found.append("Nobody left by choice in this time, so there is nothing to hold the card against.")
    elif len(look.left) < FEW:
        found.append(
            f"Only {len(look.left)} left by choice: too few to tell a good card from luck. Read the stories, not the shares."
        )
    if look.last_heard:
        found.append(
            f"The last that was heard of anybody is from {look.last_heard}: since then all are silent, and look worse "
            f"for it. Look back from there with --as-of {look.last_heard}."
        )
    if look.mostly_grey:
        asked = f" It asks for {', '.join(look.unseen)}." if look.unseen else ""
        found.append(
            f"On {look.shares[GREY]} of the days this card knew too little to give a colour.{asked} "
            "Bring in what it asks for, by the API or from a file, or take a card that asks for less."
        )
    return found


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _true(count: int, of: int) -> str:
    low, high = interval(count, of)
    return f"With {count:,} of {of:,} the true share lies between {low}% and {high}%."


def _a_month(look: LookBack) -> str:
    share = Decimal(look.square.left) * 100 / look.average / look.days * _MONTH if look.average else Decimal(0)
    return f"{plain(half_up(share, 1))}%"


# -- for a terminal ---------------------------------------------------------------------------------------------------

STORIES: Final = 25
"""So many of each side are told one by one; the page and JSON have more."""


def headline(look: LookBack) -> list[str]:
    """What was looked at, and how those who left had stood."""
    whom = f"{customers(look.square.everyone)}, {look.average:,} on an average day"
    lines = [
        f"{look.business}, {look.since} to {look.until}, under the card {look.card}: {whom}.",
        f"{len(look.left)} left by choice, who had paid {money(look.paid_left)} in their last 90 days:",
        *(f"  {one.days} days before: {stood(one)}" for one in look.horizons if look.left),
        *(f"  the day before: {ended(look)}" for _ in look.left[:1]),
    ]
    if look.left_otherwise:
        others = ", ".join(f"{count} {how}" for how, count in look.left_otherwise.items())
        lines.append(f"Left otherwise, and counted apart: {others}.")
    return [*lines, *(f"  LOOK  {one}" for one in warnings(look)), ""]


HEADERS: Final = ("left by choice", "on", "90 days before", "60 days", "30 days", "at the end", "paid in 90 days")


def table(look: LookBack) -> list[list[str]]:
    """One row for each who left by choice, under HEADERS."""
    return [
        [one.name, one.on, *(view(then) for then in one.before), red_for(look, one), money(one.paid)]
        for one in look.left
    ]


def the_rest(look: LookBack) -> list[str]:
    """Why, what would have been done, the other side, and what it can bear."""
    lines = [""]
    for one in look.left[:STORIES]:
        lines += _story(look, one)
    if len(look.left) > STORIES:
        lines.append(f"… and {len(look.left) - STORIES} more: --html or --json has them.")
    lines += [
        f"{look.square.red:,} were {look.worst} on at least one of the days that were looked at, one a week;",
        f"on an average day {look.shares[look.worst]} of all were.",
        f"{len(look.stayed):,} of them stayed, and paid {money(look.paid_stayed)} in the last 90 days:",
        *(f"  {_stay(one)}" for one in look.stayed[:STORIES]),
    ]
    if len(look.stayed) > STORIES:
        lines.append(f"  … and {len(look.stayed) - STORIES} more: --html or --json has them.")
    lines += ["", "What this can bear", *(f"  {one}" for one in bearing(look)), *(f"  {one}" for one in blind(look))]
    return lines


def blind(look: LookBack) -> list[str]:
    """What the card asks and mostly could not know."""
    return [f"“{name}” was known on {share} of the days only." for name, share in look.unseen.items()]


def _story(look: LookBack, one: Left) -> list[str]:
    back = f", came back {one.back_on}" if one.back_on else ""
    lines = [f"{one.name}, left {one.on}{back}"]
    lines += [f"  {then.days} days before, {view(then)}: {'; '.join(then.why)}" for then in one.before if then.band]
    acts = [f"{act.on} {act.title} ({act.does})" for act in one.acts]
    return [*lines, f"  would have been done: {'; '.join(acts) or 'nothing'}", ""]


def _stay(one: Stayed) -> str:
    times = f"{one.weeks} time" + ("" if one.weeks == 1 else "s")
    return f"{one.name}: {_spell(one)}, found so {times}; {'; '.join(one.why)}"


def _spell(one: Stayed) -> str:
    if one.until == one.since:
        return f"on {one.since}"
    return f"{one.since} to {one.until}" if one.until else f"since {one.since}"
