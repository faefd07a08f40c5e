"""The source guard's rule: silence and floods are seen at once, and whatever is only life is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lib.clock import day_number
from worker.scoring.guard import ENOUGH, WEEKDAYS, YEAR, judge

MONDAY = day_number("2026-06-01")

World = Callable[[int], float]
"""How many facts are to be expected on a day."""


def every_day(day: int) -> float:
    return 60


def at_the_edge(day: int) -> float:
    return ENOUGH + 1


def not_many(day: int) -> float:
    return 28


def working_days(day: int) -> float:
    return 3 if weekend(day) else 80


def uneven_weeks(day: int) -> float:
    return (200, 150, 120, 90, 60, 40, 30)[(day - MONDAY) % 7]


def growing(day: int) -> float:
    return 40 * math.exp(0.05 * (day - MONDAY) / 7)


def shrinking(day: int) -> float:
    return 400 / math.exp(0.05 * (day - MONDAY) / 7)


def small(day: int) -> float:
    return 4


def large(day: int) -> float:
    return 2_000


def monthly(day: int) -> float:
    """Bills on the first of the month, and hardly any between."""
    return 900 if (day - MONDAY) % 30 == 0 else 6


def newsletter(day: int) -> float:
    """A mail to everybody on every Tuesday but the 20th."""
    return 170 if (day - MONDAY) % 7 == 1 and (day - MONDAY) // 7 != 19 else 0


def weekend(day: int) -> bool:
    return (day - MONDAY) % 7 >= 5


WORLDS = [
    every_day,
    at_the_edge,
    not_many,
    working_days,
    uneven_weeks,
    growing,
    shrinking,
    small,
    large,
    monthly,
    newsletter,
]


def poisson(dice: random.Random, mean: float) -> int:
    """A count of independent events: by waiting times where there are few, by the bell curve where there are many."""
    if mean > 400:
        return max(0, round(dice.gauss(mean, mean**0.5)))
    waited, n = dice.expovariate(1), 0
    while waited < mean:
        waited, n = waited + dice.expovariate(1), n + 1
    return n


def lived(world: World, days: int, seed: int) -> dict[int, int]:
    dice = random.Random(f"{world.__name__} {seed}")
    return {MONDAY + day: n for day in range(days) if (n := poisson(dice, world(MONDAY + day)))}


def alarms(counts: dict[int, int], days: range) -> Iterator[tuple[int, str]]:
    for day in days:
        state = judge(counts, day).state
        if state in {"low", "high"}:
            yield day, state


@pytest.mark.parametrize("world", WORLDS)
def test_a_steady_world_hardly_ever_alarms(world: World) -> None:
    """None in 240 days of each of eleven worlds, 2,640 days in all."""
    days = 56 + 240
    found = list(alarms(lived(world, days, seed=1), range(MONDAY + 56, MONDAY + days)))

    assert found == []


@pytest.mark.parametrize("world", [every_day, not_many, working_days, uneven_weeks, growing, shrinking, large])
@pytest.mark.parametrize("weekday", range(5))
def test_a_source_that_falls_silent_is_seen_on_the_first_whole_working_day(world: World, weekday: int) -> None:
    day = MONDAY + 70 + weekday
    for seed in range(20):
        counts = {one: n for one, n in lived(world, 84, seed).items() if one < day}

        verdict = judge(counts, day)

        assert (verdict.state, verdict.n) == ("low", 0), (seed, verdict)


@pytest.mark.parametrize("world", [every_day, working_days, uneven_weeks, growing, large])
def test_a_source_cut_to_a_tenth_is_seen_on_the_first_whole_working_day(world: World) -> None:
    day, seen = MONDAY + 70, 0
    for seed in range(40):
        counts = lived(world, 84, seed)
        counts[day] = poisson(random.Random(seed), world(day) / 10)

        seen += judge(counts, day).state == "low"

    assert seen >= 38


def test_a_source_that_is_silent_for_long_stays_low_since_silent_days_are_no_pattern() -> None:
    counts = {MONDAY + day: 50 for day in range(56)}
    silent = range(MONDAY + 56, MONDAY + 76)

    assert [judge(counts, day, flagged=set(range(silent[0], day))).state for day in silent] == ["low"] * len(silent)


def test_silence_that_has_lasted_longer_than_the_pattern_is_not_taken_for_health() -> None:
    counts = {MONDAY + day: 50 for day in range(56)}
    day = MONDAY + 56 + 56

    assert judge(counts, day, flagged=set(range(MONDAY + 56, day))).state == "unknown"


def test_a_flood_is_seen_before_the_day_is_over() -> None:
    counts = {MONDAY + day: 50 for day in range(56)}
    day = MONDAY + 56

    assert judge({**counts, day: 200}, day, over=False).state == "well"
    assert judge({**counts, day: 2_000}, day, over=False).state == "high"
    assert judge({**counts, day: 2_000}, day).state == "high"


def test_of_a_day_that_is_not_over_silence_says_nothing_and_half_of_the_usual_says_well() -> None:
    counts = {MONDAY + day: 50 for day in range(56)}
    day = MONDAY + 56

    assert [judge({**counts, day: n}, day, over=False).state for n in (0, 24, 25)] == ["unknown", "unknown", "well"]


def test_closed_days_are_neither_judged_nor_part_of_the_pattern() -> None:
    closed_mondays = {MONDAY + 7 * week for week in (5, 6, 7)}
    counts = {MONDAY + day: 50 for day in range(63) if MONDAY + day not in closed_mondays}
    monday = MONDAY + 63

    assert judge(counts, monday, closed=lambda day: day == monday).state == "unknown"
    assert judge(counts, monday, closed=lambda day: day in closed_mondays) == judge(
        {MONDAY + day: 50 for day in range(63)}, monday
    )


def test_a_dip_that_was_there_last_year_is_no_outage() -> None:
    christmas = range(MONDAY + 400, MONDAY + 407)
    counts = {MONDAY + day: 100 for day in range(410)}
    counts |= dict.fromkeys(christmas, 5)
    without = {day: n for day, n in counts.items() if day > MONDAY + 200}
    with_last_year = {**counts, **dict.fromkeys((day - YEAR for day in christmas), 4)}
    for day in range(MONDAY - 60, MONDAY):  # last year's own usual
        with_last_year[day] = 100

    assert {judge(without, day, flagged=set(christmas)).state for day in christmas} == {"low"}
    assert "low" not in {judge(with_last_year, day, flagged=set(christmas)).state for day in christmas}


def test_last_years_dip_excuses_none_in_another_season() -> None:
    counts = {MONDAY + day: 100 for day in range(500)}
    counts |= dict.fromkeys(range(MONDAY + 90, MONDAY + 97), 4)

    assert judge({**counts, MONDAY + 400 + 90: 0}, MONDAY + 400 + 90).state == "low"


@settings(max_examples=60)
@given(st.lists(st.integers(0, ENOUGH - 1), min_size=57, max_size=57))
def test_a_small_kind_never_alarms_low(history: list[int]) -> None:
    counts = dict(zip(count(MONDAY), history, strict=False))

    assert judge(counts, MONDAY + 56).state in {"unknown", "high"}


@settings(max_examples=60)
@given(st.lists(st.integers(0, 500), min_size=WEEKDAYS * 7, max_size=70), st.integers(0, 10_000))
def test_what_has_happened_before_is_no_alarm(history: list[int], today: int) -> None:
    """Whatever the past: a count as low as one of the compared days', and no higher than any of them, is in the pattern."""
    counts = dict(zip(count(MONDAY), history, strict=False))
    day = MONDAY + len(history)
    same = [counts.get(day - 7 * week, 0) for week in range(1, 9) if day - 7 * week >= min(counts)]

    verdict = judge({**counts, day: today}, day)

    assert verdict.state != "low" or today < min(same)
    assert verdict.state != "high" or today > 2 * max(same)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200), min_size=60, max_size=60), st.integers(0, 200), st.integers(0, 200))
def test_more_facts_never_make_a_day_lower_nor_fewer_higher(history: list[int], one: int, other: int) -> None:
    counts = dict(zip(count(MONDAY), history, strict=False))
    fewer, more = sorted((one, other))
    rank = ["low", "unknown", "well", "high"]
    states = [judge({**counts, MONDAY + 60: n}, MONDAY + 60).state for n in (fewer, more)]

    assert rank.index(states[0]) <= rank.index(states[1])
