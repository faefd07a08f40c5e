"""What lint asks of a workspace: how measures pointed before people left, and beside what they said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.intake.worlds import seen, take
from tests.web.house import House
from worker import cards
from worker.facts import Fact
from worker.grounds import lint_files
from worker.lib.clock import DAY, VirtualClock
from worker.lib.store import Store
from worker.scoring.choice import deck_of
from worker.scoring.lint import Finding

NOW = 1_767_225_600 + 200 * DAY

CARD = """\
name = "Past"
leaving = ["left by choice"]
[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "{active}"
do = "usage-drop"
[measures.nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
do = "low-nps"
[dimensions.all]
share = 100
measures = {{ active_days = 60, nps = 40 }}
[bands]
green = "70 and up"
yellow = "40 and up"
"""
RIGHT, WRONG = "0 -> 0, 20 -> 100", "0 -> 100, 20 -> 0"


@pytest.fixture
def house(sqlite_store: Store, tmp_path: Path) -> House:
    """Twelve used it less and less and left a hundred days ago; twenty use it a lot, stay, and answer as much as they use."""
    house = House(sqlite_store, VirtualClock(NOW), tmp_path)
    for number in range(32):
        leaves = number < 12
        days = range(130, 132 + number % 3) if leaves else range(0, 200, 1 + number % 4)
        facts = [Fact("usage", NOW - day * DAY, "app", f"u{number}:{day}") for day in days]
        facts.append(Fact("joined", NOW - 199 * DAY, "app", f"j{number}"))
        if leaves:
            facts.append(Fact("left", NOW - 100 * DAY, "app", f"l{number}", label="by choice"))
        else:
            facts.append(Fact("nps_answer", NOW - DAY, "app", f"n{number}", (9 - 2 * (number % 4)) * 1_000_000))
        take(sqlite_store, seen(f"app:{number}", name=f"C{number}", facts=tuple(facts)), now=NOW)
    return house


def directions(house: House, sliding: str) -> list[Finding]:
    (report,) = lint_files({"card.toml": CARD.format(active=sliding)}, house.workspace)
    assert report.not_checked == ()
    return [one for one in report.findings if one.fault == "direction"]


def test_a_measure_that_pays_for_what_leavers_did_is_found_by_both_tests(house: House) -> None:
    found = directions(house, WRONG)

    assert [one.key for one in found] == ["measures.active_days.sliding"] * 2
    assert {one.message.split(" (")[0] for one in found} == {
        "it points the other way than those who left and those who stayed", "it points the other way than nps answers"
    }  # fmt: skip
    assert "12 and 20 customers" in "".join(one.message for one in found)


def test_a_measure_that_points_the_right_way_is_left_alone(house: House) -> None:
    assert directions(house, RIGHT) == []


def test_new_measures_are_those_that_the_counting_version_does_not_have(house: House) -> None:
    before = CARD.format(active=RIGHT)
    one_less = before.replace("active_days = 60, nps = 40", "active_days = 100").replace(
        '[measures.nps]\nread = "latest nps answer"\nsliding = "0 -> 0, 10 -> 100"\ndo = "low-nps"\n', ""
    )
    third = before.replace("[dimensions", '[measures.l]\nread = "days with logins in the last 9 days"\nsliding = "0 -> 0, 9 -> 100"\ndo = "low-nps"\n[dimensions').replace(
        "nps = 40", "nps = 30, l = 10"
    )  # fmt: skip
    cards.note(house.store, deck_of({"card.toml": one_less}), {"card.toml": one_less}, NOW)

    assert not [one for report in lint_files({"card.toml": before}, house.workspace) for one in report.findings]
    (report,) = lint_files({"card.toml": third}, house.workspace)
    assert [one.key for one in report.findings if one.fault == "too-many-new"] == ["measures.l"]
