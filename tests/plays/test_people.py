"""Whom a task goes to: the owner, the deputy while the owner is away, and no more than a day holds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.plays.people import Colleague, People

TODAY = 20_000
PEOPLE = People(
    {
        "1": Colleague("Cleo", deputy="2", away=((TODAY, TODAY + 2),)),
        "2": Colleague("Bo", tasks_a_day=2),
        "3": Colleague("Di", deputy="4", away=((TODAY, TODAY),)),
        "4": Colleague("Eve", deputy="3", away=((TODAY, TODAY),)),
    },
    tasks_a_day=3, fallback="2",
)  # fmt: skip


def nothing(who: str, day: int) -> int:
    return 0


@pytest.mark.parametrize(
    ("owner", "gets"), [("2", ("2", 0)), ("1", ("2", 0)), ("", ("2", 0)), ("9", ("9", 0)), ("3", ("3", 0))]
)
def test_the_owner_gets_it_or_who_stands_in(owner: str, gets: tuple[str, int]) -> None:
    assert PEOPLE.assign(owner, TODAY, nothing) == gets


def test_a_full_day_puts_it_to_the_next_with_room() -> None:
    load = Counter({("2", TODAY): 2, ("2", TODAY + 1): 1})

    assert PEOPLE.assign("2", TODAY, lambda who, day: load[who, day]) == ("2", 1)


@given(st.lists(st.sampled_from(["1", "2", "9"]), max_size=25))
def test_nobody_is_given_more_a_day_than_the_limit(owners: list[str]) -> None:
    load: Counter[tuple[str, int]] = Counter()
    for owner in owners:
        who, later = PEOPLE.assign(owner, TODAY, lambda one, day: load[one, day])
        load[who, TODAY + later] += 1

    assert all(n <= (2 if who == "2" else 3) for (who, _), n in load.items())
    assert ("1", TODAY) not in load
