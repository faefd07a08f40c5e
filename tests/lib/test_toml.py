"""Files that people write: where everything stands, and every fault at once."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lib.problems import Problem, Problems
from worker.lib.toml import MOST_FAULTS, parse


def faults(text: str) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        parse(dedent(text), "card.toml")
    return caught.value.problems


def places(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.key) for problem in faults(text)]


def test_every_key_table_and_item_knows_its_line() -> None:
    document = parse(
        dedent("""\
            name = "Starter"
            a.b = 1

            [measures.active_days]
            read = "days with usage"
            points = [
              "0 -> 0",  # a remark is no item
              "12 -> 100",
            ]
            "odd key" = { x = 1, y = [2, 3] }

            [[rules]]
            when = "first"
            [rules.then]
            at_most = "yellow"
            [[rules]]
            when = "second"
            """),
        "card.toml",
    )

    assert document.data["rules"][1] == {"when": "second"}
    assert {
        path: document.line(*path)
        for path in [
            ("name",),
            ("a",),
            ("a", "b"),
            ("measures",),
            ("measures", "active_days"),
            ("measures", "active_days", "points"),
            ("measures", "active_days", "points", 1),
            ("measures", "active_days", "odd key", "y", 1),
            ("rules",),
            ("rules", 0),
            ("rules", 0, "then", "at_most"),
            ("rules", 1),
            ("rules", 1, "when"),
        ]
    } == {
        ("name",): 1,
        ("a",): 2,
        ("a", "b"): 2,
        ("measures",): 4,
        ("measures", "active_days"): 4,
        ("measures", "active_days", "points"): 6,
        ("measures", "active_days", "points", 1): 8,
        ("measures", "active_days", "odd key", "y", 1): 10,
        ("rules",): 12,
        ("rules", 0): 12,
        ("rules", 0, "then", "at_most"): 15,
        ("rules", 1): 16,
        ("rules", 1, "when"): 17,
    }


def test_a_key_that_is_missing_has_the_line_of_its_nearest_parent() -> None:
    document = parse("\n[bands]\ngreen = 1\n", "card.toml")

    assert (document.line("bands", "yellow"), document.line("bands", "green", 3), document.line("shares")) == (2, 3, 0)


def test_a_file_from_a_windows_editor_is_read_like_any_other() -> None:
    document = parse('\ufeffname = "Köln"\r\n[bands]\r\ngreen = 1\r\n', "card.toml")

    assert (document.data, document.line("bands", "green")) == ({"name": "Köln", "bands": {"green": 1}}, 3)


def test_every_fault_is_told_at_once_with_its_line_and_cure() -> None:
    told = faults("""\
        name = Acme
        quiet = 20:00
        on = yes
        share =
        [bands
        green = "70 and up
        yellow = "40 and up"
        """)

    assert [str(problem) for problem in told] == [
        'card.toml:1: name: Acme has no quotes → text needs quotes: name = "…"',
        'card.toml:2: quiet: 20:00 is more than one value → put text in quotes: quiet = "20:00"',
        "card.toml:3: on: yes is no value → write true",
        'card.toml:4: share: share has no value → write share = "…", or take the line out',
        "card.toml:5: bands: the table name [bands is not closed → write [name], or [[name]] for one of many",
        'card.toml:6: green: the text "70 and up is not closed in this line → end it with the quote it began with',
    ]


def test_what_is_written_twice_is_told_where_it_stands_the_second_time() -> None:
    text = """\
        a = 1
        [money]
        share = 30
        share = [
          40,
        ]
        [voice]
        share = 20
        [money]
        share = 5
        [x]
        y = { z = 1, z = 2 }
        """

    assert places(text) == [(4, "money.share"), (9, "money"), (12, "x.y")]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a = 1\nlist = [\n 1,\n 2\nb = 2\n", 2, "the list that begins here is not closed"),
        ("a = 1\nlist = [\n 1,\n 2,\nb = 2\n", 2, "the list that begins here is not closed"),
        ("list = [1,\n[bands]\ngreen = 1\n", 1, "the list that begins here is not closed"),
        ("list = [1", 1, "the list that begins here is not closed"),
        ("a = { x = 1\nb = 2\n", 1, "the braces are not closed in this line"),
        ('a = """\nsome\nwords\n', 1, "the text that begins here is not closed"),
        ("a = 'some\nb = 2\n", 1, "the text that begins here is not closed"),
        ("a = 1\nlist = [\n 1,\n two,\n]\nb = 2\n", 4, "two, cannot be read"),
        ('path = "C:\\data"\n', 1, '"C:\\data" has a backslash that means nothing'),
        ("day = 2026-02-31\n", 1, "2026-02-31 is no date that exists"),
        ("= 3\n", 1, "= 3 cannot be read"),
        ("a b = 3\n", 1, "a b = 3 has no = after the key"),
        ("a = {b = 1}\n[a.c]\nd = 1\n", 2, "the table [a.c] appears a second time"),
        ("a = []\n[[a]]\nd = 1\n", 2, "[[a]] was already given as a whole above"),
        ("a = " + "[" * 5_000 + "]" * 5_000, 0, "lists are nested too deeply"),
    ],
)
def test_a_fault_is_told_where_it_begins(text: str, line: int, says: str) -> None:
    assert [(problem.line, problem.message) for problem in faults(text)] == [(line, says)]


def test_a_secret_without_quotes_is_not_repeated() -> None:
    told = str(faults("api_key = sk_live_123\npassword = hunter2 hunter3\n"))

    assert "sk_live" not in told
    assert "hunter" not in told


def test_another_kind_of_file_is_refused_within_bounds() -> None:
    assert len(faults("<p>no</p>\n" * 2_000)) == MOST_FAULTS


@given(st.lists(st.sampled_from(["fine", "bad value", "no value", "twice"]), max_size=12))
def test_as_many_faults_are_told_as_there_are_however_they_are_mixed(lines: list[str]) -> None:
    words = {"fine": "k{} = 1", "bad value": "k{} = x", "no value": "k{} =", "twice": "first = 2"}
    text = "first = 1\n" + "".join(words[line].format(at) + "\n" for at, line in enumerate(lines))
    wrong = [at + 2 for at, line in enumerate(lines) if line != "fine"]

    expected = [(line, "first" if lines[line - 2] == "twice" else f"k{line - 2}") for line in wrong]
    if expected:
        assert places(text) == expected
    else:
        parse(text, "card.toml")
