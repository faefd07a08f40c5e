"""The morning message in words: never more than seven lines, and nothing lost without being counted."""

from __future__ import annotations

import re
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from worker.effects import Button, Line
from worker.review.morning import APPROVAL, DISAGREEMENT, KINDS, MOST_LINES, TASK, ToDo, Turned, gist, lines, net

BANDS = ("green", "yellow", "red")
NAMES = st.text(max_size=80)
CHANGES = st.builds(
    lambda name, bands, why, worth: Turned(
        name, bands[0], bands[1], BANDS.index(bands[1]) > BANDS.index(bands[0]), why, worth
    ),
    NAMES,
    st.permutations(BANDS).map(lambda order: tuple(order[:2])),
    st.text(max_size=300),
    st.none() | st.decimals(0, 10_000, places=2),
)
DEEDS = st.builds(ToDo, st.sampled_from(tuple(KINDS)), NAMES, st.text(max_size=300), st.integers(0, 10_000))


@given(st.lists(CHANGES, max_size=60), st.lists(DEEDS, max_size=60))
def test_no_message_has_more_than_seven_lines_and_what_is_missing_is_counted(
    turned: list[Turned], to_do: list[ToDo]
) -> None:
    found = lines(turned, to_do, currency="usd", more="https://k.example/")
    text = "\n".join(line.in_words() for line in found)

    assert len(found) <= MOST_LINES
    assert len(text.splitlines()) == len(found)
    assert bool(found) == bool(turned or to_do)
    whole = len(turned) + len(to_do)
    if whole > MOST_LINES:
        assert found[-1].link == "https://k.example/"
        assert len(found) - 1 + sum(map(int, re.findall(r"\d+(?= )", found[-1].text))) == whole
    else:
        assert len(found) == whole


@given(st.lists(CHANGES, min_size=1, max_size=60), st.lists(DEEDS, min_size=1, max_size=60))
def test_neither_what_changed_nor_what_to_do_hides_the_other(turned: list[Turned], to_do: list[ToDo]) -> None:
    found = [line.text for line in lines(turned, to_do)]

    shown = [text for text in found if text.startswith("To do: ")]
    assert len(shown) >= min(len(to_do), 4)
    assert sum(" went from " in text for text in found) >= min(len(turned), 2)


@given(st.lists(CHANGES, max_size=12), st.lists(DEEDS, max_size=12))
def test_the_order_in_which_it_is_read_does_not_matter(turned: list[Turned], to_do: list[ToDo]) -> None:
    assert lines(turned, to_do) == lines(turned[::-1], to_do[::-1])
    assert gist(turned, to_do) == gist(turned[::-1], to_do[::-1])


def change(name: str, worth: int | None, *, worse: bool = True, why: str = "") -> Turned:
    bands = ("green", "red") if worse else ("red", "green")
    return Turned(name, *bands, worse, why, None if worth is None else Decimal(worth))


def test_the_worsened_come_first_and_of_them_the_most_valuable() -> None:
    told = [
        change("a", 10),
        change("b", None),
        change("c", 2_000, why="2 invoices unpaid"),
        change("d", 9_000, worse=False),
    ]

    assert [line.text for line in lines(told, [], currency="usd")] == [
        "c went from green to red, worth 2,000 usd a month: 2 invoices unpaid",
        "a went from green to red, worth 10 usd a month",
        "b went from green to red",
        "d went from red to green, worth 9,000 usd a month",
    ]
    assert gist(told, []) == "3 turned red, 1 turned green"


def test_of_each_kind_of_deed_the_earliest_comes_first() -> None:
    to_do = [ToDo(TASK, "T", f"call {day}", day) for day in range(9, 0, -1)]
    to_do += [ToDo(APPROVAL, "A", f"mail {day}", day) for day in range(5, 3, -1)]
    to_do += [ToDo(DISAGREEMENT, "D", "who is right?", 99)]

    found = lines([], to_do, more="https://k.example/")

    assert [line.text for line in found] == [
        "To do: A: mail 4",
        "To do: T: call 1",
        "To do: D: who is right?",
        "To do: A: mail 5",
        "To do: T: call 2",
        "To do: T: call 3",
        "And 6 tasks.",
    ]
    assert gist([], to_do) == "2 messages to approve, 9 tasks, 1 disagreement to answer"


def test_a_line_says_what_can_be_done_about_it() -> None:
    buttons = (
        Button("Send", "https://k.example/deeds/send/t", "send/t"),
        Button("Refuse", "https://k.example/deeds/r"),
    )
    (line,) = lines([], [ToDo(APPROVAL, "Engines\nLtd", "a mail waits", 1, "", buttons)])

    assert line == Line("To do: Engines Ltd: a mail waits", "", buttons)
    assert line.in_words() == (
        "To do: Engines Ltd: a mail waits · Send: https://k.example/deeds/send/t · Refuse: https://k.example/deeds/r"
    )


def test_what_went_there_and_back_has_not_changed() -> None:
    assert net([("green", "red"), ("red", "green")]) is None
    assert net([("green", "yellow"), ("yellow", "red")]) == ("green", "red")
    assert net([("", "red")]) is None
    assert net([]) is None
