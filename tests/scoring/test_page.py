"""docs/scorecard.md is true: every example on it runs, and nothing the language knows is missing from it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from lark import Tree

from worker.evaluate import evaluate
from worker.scoring import phrases
from worker.scoring.scorecard import KEYS, Card, load

PAGE = (Path(__file__).parents[2] / "docs" / "scorecard.md").read_text("utf-8")

CARD = """
name = "Base"
[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 12 -> 100"
[measures.usage_trend]
read = "usage per week in the last 3 weeks"
against = "usage per week from 12 to 4 weeks ago"
points = ["below 50% -> 0", "otherwise -> 100"]
[measures.last_nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
[measures.unpaid_invoices]
read = "number of unpaid invoices now"
sliding = "0 -> 100, 1 -> 0"
[measures.open_tickets]
read = "number of open tickets now"
sliding = "0 -> 100, 1 -> 0"
[dimensions.all]
share = 100
measures = { active_days = 20, usage_trend = 20, last_nps = 20, unpaid_invoices = 20, open_tickets = 20 }
"""
BANDS = '[bands]\ngreen = "70 and up"\nyellow = "40 and up"\n'


def examples(heading: str) -> list[str]:
    """The first cell of every row of the tables below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)


def sentences() -> Iterator[tuple[str, str]]:
    """Every sentence on the page, with the start of the grammar that takes it."""
    yield from (("read", text) for text in examples("What a measure reads"))
    for text in examples("What it is worth"):
        yield ("sliding" if text.count("->") > 1 else "step"), text
    for text in examples("Rules and signals"):
        if text.startswith("when"):
            yield "condition", tomllib.loads(text)["when"]
    for text in examples("Bands"):
        ((key, said),) = tomllib.loads(text).items()
        yield {"unknown_if_known_less_than": "share"}.get(key, "hold" if key in KEYS["bands"] else "edge"), said
    for text in examples("The lines of a measure"):
        ((key, said),) = tomllib.loads(text).items()
        if key in {"not_in_first", "answer_valid_for"}:
            yield "span", said


@pytest.mark.parametrize(("start", "text"), list(sentences()))
def test_a_sentence_of_the_page_is_understood(start: str, text: str) -> None:
    getattr(phrases, start)(text)


def test_no_construct_of_the_grammar_is_missing_from_the_page() -> None:
    grammar = (Path(phrases.__file__).parent / "phrases.lark").read_text("utf-8")
    shown = {
        tree.data
        for start, text in sentences()
        for tree in phrases.parser().parse(phrases.lowered(text), start={"condition": "expression"}.get(start, start)).iter_subtrees()
        if isinstance(tree, Tree)
    }

    assert set(re.findall(r"-> (\w+)$", grammar, re.MULTILINE)) - shown == set()


def test_no_key_is_missing_from_the_page() -> None:
    shown = {key for heading in ("The lines of a measure", "Rules and signals", "Bands", "At the top of the file", "Dimensions")
             for text in examples(heading) for key in tomllib.loads(text)}  # fmt: skip
    tables = set(KEYS)  # they head the sections

    assert {key for keys in KEYS.values() for key in keys} - shown - tables == set()


def with_measure_line(line: str) -> str:
    """The base card with a line of the page in the measure it fits; a line that is there already gives way."""
    key = line.split(" = ")[0]
    name = {"against": "usage_trend", "if_no_normal": "usage_trend", "not_in_first": "usage_trend"}.get(key, "last_nps")
    head, tail = CARD.split(f"[measures.{name}]\n")
    body, rest = re.split(r"(?=^\[)", tail, maxsplit=1, flags=re.MULTILINE)
    gone = {"points": ("points", "sliding"), "sliding": ("points", "sliding")}.get(key, (key,))
    kept = [old for old in body.splitlines() if old.split(" = ")[0] not in gone]
    if key == "watch_only":
        rest = rest.replace("last_nps = 20", "").replace(", ,", ",").replace("open_tickets = 20", "open_tickets = 40")
    return "\n".join([head, f"[measures.{name}]", *kept, line, rest, BANDS])


@pytest.mark.parametrize("line", examples("The lines of a measure"))
def test_a_line_of_a_measure_can_be_written_so(line: str) -> None:
    assert load(with_measure_line(line)).measures


@pytest.mark.parametrize("line", examples("Rules and signals"))
def test_a_line_of_a_rule_or_signal_can_be_written_so(line: str) -> None:
    rule = {"when": 'when = "active_days > 1"', "at_most": 'at_most = "yellow"', "because": 'because = "so"'}
    key = line.split(" = ")[0]
    if key == "do":
        text = f"[signals.x]\n{rule['when']}\n{line}\n"
    else:
        text = "\n".join(["[rules.x]", *{**rule, key: line}.values(), ""])

    assert load(CARD + text + BANDS)


@pytest.mark.parametrize("line", examples("Bands"))
def test_a_line_of_the_bands_can_be_written_so(line: str) -> None:
    assert load(CARD + with_line(BANDS, line))


@pytest.mark.parametrize("line", examples("At the top of the file"))
def test_a_line_of_the_top_can_be_written_so(line: str) -> None:
    head, tail = CARD.split("[measures.active_days]")

    assert load(f"{with_line(head, line)}[measures.active_days]{tail}{BANDS}")


@pytest.mark.parametrize("line", examples("Dimensions"))
def test_a_line_of_a_dimension_can_be_written_so(line: str) -> None:
    one = "[dimensions.one]\nshare = 60\nmeasures = { active_days = 50, usage_trend = 50 }\n"
    other = "[dimensions.other]\nshare = 40\nmeasures = { last_nps = 40, unpaid_invoices = 30, open_tickets = 30 }\n"

    assert load(CARD.split("[dimensions.all]")[0] + with_line(one, line) + other + BANDS)


def with_line(table: str, line: str) -> str:
    """A table with one more line; another with the same key gives way."""
    key = line.split(" = ")[0]
    return "\n".join([*(old for old in table.splitlines() if old.split(" = ")[0] != key), line, ""])


def first_card() -> Card:
    return load(PAGE.split("```toml\n")[1].split("```")[0])


def test_the_first_card_of_the_page_does_what_its_case_says() -> None:
    (found,) = evaluate(first_card(), [PAGE.split("```json\n")[1].split("```")[0].strip()])

    assert "error" not in found
    assert "differences" not in found


def test_the_first_card_fits_on_a_screen() -> None:
    assert len(PAGE.split("```toml\n")[1].split("```")[0].splitlines()) <= 30
