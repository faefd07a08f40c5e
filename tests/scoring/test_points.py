"""What a value earns: steps, a line, so many for each one; and where a table is silent."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.scoring import phrases
from worker.scoring.points import Each, Steps, Table, colours, resolve, spread


def steps(*lines: str) -> Steps:
    return Steps(tuple(phrases.step(line) for line in lines))


def awarded(table: Table, values: Sequence[str | int]) -> list[str]:
    found = [table.awarded(value if isinstance(value, str) else Decimal(value)) for value in values]
    return ["-" if points is None else str(points) for points in found]


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("below 3 -> 1", {0, 1, 2}),
        ("up to 3 -> 1", {0, 1, 2, 3}),
        ("3 -> 1", {3}),
        ("3 and up -> 1", {3, 4, 5, 6, 7, 8}),
        ("above 3 -> 1", {4, 5, 6, 7, 8}),
        ("from 3 to 7 -> 1", {3, 4, 5, 6, 7}),
        ("from 3 to below 7 -> 1", {3, 4, 5, 6}),
        ("above 3 up to 7 -> 1", {4, 5, 6, 7}),
        ("above 3 to below 7 -> 1", {4, 5, 6}),
        ("otherwise -> 1", set(range(9))),
    ],
)
def test_a_step_takes_these_values(line: str, taken: set[int]) -> None:
    assert {value for value in range(9) if phrases.step(line).takes(Decimal(value))} == taken


def test_the_first_step_that_fits_speaks() -> None:
    assert awarded(steps("below 5 -> 0", "below 9 -> 50", "otherwise -> 100"), [4, 5, 8, 9]) == ["0", "50", "50", "100"]


def test_labels_meet_texts_whatever_their_capitals() -> None:
    table = steps("gold or 'Silver Plus' -> 100", "otherwise -> 0")

    assert awarded(table, ["GOLD", "silver plus", "bronze"]) == ["100", "100", "0"]


def test_a_number_may_be_a_label() -> None:
    assert awarded(steps('"2023" -> 5', "otherwise -> 0"), [2023, 2024]) == ["5", "0"]


@pytest.mark.parametrize(
    "table", [steps("below 5 -> 0", "otherwise -> 100"), phrases.sliding("0 -> 0, 5 -> 9"), Each(Decimal(3))]
)
def test_a_text_means_nothing_to_a_table_of_numbers(table: Table) -> None:
    assert table.awarded("gold") is None


def test_what_is_left_out_has_no_points() -> None:
    table = steps("0 -> leave out", "below 5 -> -10", "otherwise -> 100")

    assert awarded(table, [0, 1, 5]) == ["-", "-10", "100"]
    assert (table.lowest, table.highest) == (Decimal(-10), Decimal(100))


def test_a_line_slides_and_its_ends_speak_outside() -> None:
    assert awarded(phrases.sliding("0 -> 0, 12 -> 100"), [-5, 3, 12, 40]) == ["0", "25", "100", "100"]
    assert awarded(phrases.sliding("-10 -> 20, 10 -> -20"), [-10, 0, 5]) == ["20", "0", "-10"]


def test_a_line_may_have_no_opinion_outside() -> None:
    assert awarded(phrases.sliding("0 -> 0, 12 -> 100, outside leave out"), [-1, 0, 12, 13]) == ["-", "0", "100", "-"]


def test_each_one_counts() -> None:
    assert awarded(Each(Decimal(-5)), [0, 3]) == ["0", "-15"]
    assert (Each(Decimal(-5)).highest, Each(Decimal(-5)).lowest) == (Decimal(0), Decimal("-Infinity"))
    assert (Each(Decimal(5)).highest, Each(Decimal(5)).lowest) == (Decimal("Infinity"), Decimal(0))


def test_colours_are_spread_evenly_over_the_range() -> None:
    assert spread(["green", "yellow", "red"]) == {"green": 100, "yellow": 50, "red": 0}
    assert spread(["good", "bad"], Decimal(-1), Decimal(1)) == {"good": 1, "bad": -1}
    assert spread(["only"]) == {"only": 100}


def test_colours_become_points() -> None:
    table = steps("below 3 -> red", "otherwise -> green")

    assert colours(table) == {"red", "green"}
    assert awarded(resolve(table, spread(["green", "red"])), [0, 3]) == ["0", "100"]
    with pytest.raises(KeyError):
        resolve(table, {"green": Decimal(1)})
    with pytest.raises(TypeError, match="red"):
        table.awarded(Decimal(0))


@pytest.mark.parametrize(
    ("lines", "gaps"),
    [
        (["below 5 -> 0", "5 and up -> 1"], []),
        (["below 5 -> 0", "above 5 -> 1"], ["5"]),
        (["0 -> 100", "1 -> 40"], ["below 0", "above 0 to below 1", "above 1"]),
        (["up to 3 -> 1", "from 5 to 7 -> 2"], ["above 3 to below 5", "above 7"]),
        (["below 50% -> 0", "above 50% to below 85% -> 1"], ["50%", "85% and up"]),
        (["from 3 to below 7 -> 1", "above 9 -> 2", "below 3 -> 0"], ["from 7 to 9"]),
        (["gold -> 1"], ["any other text"]),
        (["gold -> 1", "otherwise -> 0"], []),
        (["otherwise -> 3"], []),
    ],
)
def test_the_gaps_of_a_table_are_told_in_its_own_words(lines: list[str], gaps: list[str]) -> None:
    assert list(steps(*lines).gaps()) == gaps


@pytest.mark.parametrize(
    ("lines", "never"),
    [
        (["below 5 -> 0", "below 3 -> 1", "otherwise -> 2"], ["below 3"]),
        (["below 5 -> 0", "5 and up -> 1", "otherwise -> 2"], ["otherwise"]),
        (["from 3 to 7 -> 1", "5 -> 2", "otherwise -> 0"], ["5"]),
        (["gold -> 1", "GOLD or silver -> 2", "otherwise -> 0"], []),
        (["gold -> 1", "Gold -> 2", "otherwise -> 0"], ['"Gold"']),
        (["below 5 -> 0", "below 9 -> 50", "otherwise -> 1"], []),
    ],
)
def test_a_step_that_is_never_reached_is_found(lines: list[str], never: list[str]) -> None:
    assert [str(step) for step in steps(*lines).never_reached()] == never


@pytest.mark.parametrize(
    ("lines", "best"),
    [
        (["below 50% -> 0", "below 85% -> 50", "otherwise -> 100"], "85% and up"),
        (["up to 3 -> 0", "otherwise -> 100"], "above 3"),
        (["0 -> 100", "otherwise -> 0"], "0"),
        (["5 and up -> 0", "otherwise -> 100"], "below 5"),
        (["above 5 -> 0", "otherwise -> 100"], "up to 5"),
        (["0 -> 0", "otherwise -> 100"], "anything but 0"),
        (["gold -> 0", "otherwise -> 100"], "anything but gold"),
        (["from 3 to 7 -> 100", "otherwise -> 0"], "from 3 to 7"),
        (["from 3 to 7 -> 0", "otherwise -> 100"], "anything else"),
        (["otherwise -> leave out"], "nothing"),
    ],
)
def test_what_earns_the_most_is_told_in_words(lines: list[str], best: str) -> None:
    assert steps(*lines).best() == best


LINES = st.sampled_from(
    [
        "below 2 -> 1",
        "up to 2 -> 2",
        "2 -> 3",
        "4 and up -> 4",
        "above 4 -> 5",
        "from 1 to 4 -> 6",
        "above 2 to below 4 -> 7",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINES, min_size=1, max_size=4, unique=True), st.integers(-4, 24).map(lambda quarter: Decimal(quarter) / 4)
)
def test_a_value_in_no_gap_has_points_and_one_in_a_gap_has_none(lines: list[str], value: Decimal) -> None:
    table = steps(*lines)
    in_gap = any(phrases.step(f"{gap} -> 0").takes(value) for gap in table.gaps())

    assert (table.awarded(value) is None) == in_gap


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINES, min_size=1, max_size=4, unique=True), st.integers(-4, 24).map(lambda quarter: Decimal(quarter) / 4)
)
def test_a_step_that_is_never_reached_changes_nothing(lines: list[str], value: Decimal) -> None:
    table = steps(*lines)
    kept = Steps(tuple(step for step in table.steps if step not in list(table.never_reached())))

    assert kept.awarded(value) == table.awarded(value)
