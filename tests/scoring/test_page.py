"""docs/scorecard.md is true: every example on it runs, and nothing the language knows is missing from it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lark import Tree

from worker.evaluate import evaluate
from worker.facts import KINDS
from worker.lib.assets import folder
from worker.scoring import phrases
from worker.scoring.choice import KEYS as CHOICE
from worker.scoring.reads import Read
from worker.scoring.scorecard import KEYS, Card, load

PAGE = (Path(__file__).parents[2] / "docs" / "scorecard.md").read_text("utf-8")

STARTER = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")

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
[measures.usage_slope]
read = "slope of usage per week in the last 8 weeks"
watch_only = true
"""
DIMENSIONS = """
[dimensions.all]
share = 100
measures = { active_days = 20, usage_trend = 20, last_nps = 20, unpaid_invoices = 20, open_tickets = 20 }
"""
OTHERS = "measures = { last_nps = 40, unpaid_invoices = 30, open_tickets = 30 }"
BANDS = '[bands]\ngreen = "70 and up"\nyellow = "40 and up"\n'


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def examples(heading: str) -> list[str]:
    """The first cell of every row of the tables below a heading."""
    return re.findall(r"^\| `(.+?)` \|", section(heading), re.MULTILINE)


def blocks(heading: str) -> list[str]:
    """The pieces of a card below a heading."""
    return re.findall(r"```toml\n(.+?)```", section(heading), re.DOTALL)


def with_line(table: str, line: str) -> str:
    """A table with one more line; another with the same key gives way."""
    key = line.split(" = ")[0]
    return "\n".join([*(old for old in table.splitlines() if old.split(" = ")[0] != key), line, ""])


# -- sentences --------------------------------------------------------------------------------------------------------


def sentences() -> Iterator[tuple[str, str]]:
    """Every sentence in a table of the page, with the start of the grammar that takes it."""
    yield from (("read", text) for text in examples("What a measure reads"))
    yield from (("against", text) for text in examples("What it is held against"))
    yield from (("expression", text) for text in examples("Reckoning"))
    yield from (("expression", text) for text in examples("Conditions"))
    for text in examples("What it is worth"):
        yield ("sliding" if text.count("->") > 1 else "step"), text
    for text in examples("Bands"):
        ((key, said),) = tomllib.loads(text).items()
        if key != "on":
            yield {"unknown_if_known_less_than": "share"}.get(key, "hold" if key in KEYS["bands"] else "edge"), said
    for heading in ("The lines of a measure", "The score"):
        for text in examples(heading):
            ((key, said),) = tomllib.loads(text).items()
            if key in {"not_in_first", "answer_valid_for", "range"}:
                yield ("extent" if key == "range" else "span"), said
    for text in tomllib.loads(blocks("Several cards")[0])["cards"]:
        yield "choice", text


def test_no_construct_of_the_grammar_is_missing_from_the_page() -> None:
    grammar = (Path(phrases.__file__).parent / "phrases.lark").read_text("utf-8")
    shown = {
        tree.data
        for start, text in sentences()
        for tree in phrases.parser().parse(phrases.lowered(text), start=start).iter_subtrees()
        if isinstance(tree, Tree)
    }

    assert set(re.findall(r"-> (\w+)$", grammar, re.MULTILINE)) - shown == set()


@pytest.mark.parametrize("text", examples("What a measure reads"))
def test_a_measure_can_read_so(text: str) -> None:
    measure = f"[measures.example]\nread = '{text}'\nwatch_only = true\n"

    assert load(CARD + measure + DIMENSIONS + BANDS).measures["example"].read == phrases.read(text)


@pytest.mark.parametrize("text", examples("What it is held against"))
def test_a_measure_can_be_held_against_it(text: str) -> None:
    card = load(CARD.replace("usage per week from 12 to 4 weeks ago", text) + DIMENSIONS + BANDS)
    trend = card.measures["usage_trend"]

    assert isinstance(trend.read, Read)
    assert trend.against == phrases.against(text, trend.read)


@pytest.mark.parametrize("text", examples("Reckoning"))
def test_a_formula_can_reckon_so(text: str) -> None:
    measure = f"[measures.example]\nformula = '{text}'\nwatch_only = true\n"

    assert load(CARD + measure + DIMENSIONS + BANDS).measures["example"]


@pytest.mark.parametrize("text", examples("Conditions"))
def test_a_rule_can_ask_so(text: str) -> None:
    rule = f'[rules.example]\nwhen = \'{text}\'\nat_most = "yellow"\nbecause = "so"\n'

    assert load(CARD + DIMENSIONS + rule + BANDS).rules["example"].when == phrases.condition(text)


@pytest.mark.parametrize("text", examples("What it is worth"))
def test_points_can_be_given_so(text: str) -> None:
    table = f"sliding = '{text}'" if text.count("->") > 1 else f"points = ['{text}', \"otherwise -> 1\"]"
    if text.startswith("otherwise"):
        table = f"points = [\"0 -> 100\", '{text}']"
    is_text = not re.match(r"[-\d]|below|above|up to|from|otherwise", text)
    read = "attribute plan" if is_text else "days with logins ever"
    measure = f"[measures.example]\nread = '{read}'\n{table}\n"
    dimensions = DIMENSIONS.replace("open_tickets = 20", "open_tickets = 10, example = 10")

    assert load(CARD + measure + dimensions + BANDS).measures["example"].points


def test_every_kind_of_fact_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (.+) \|$", section("Kinds of fact"), re.MULTILINE)
    told = [(kind.plural, kind.name, f"{kind.sentence} Its value: {kind.unit}.") for kind in KINDS.values()]

    assert rows == [(many, name, text.removesuffix(" Its value: .")) for many, name, text in told]


# -- lines ------------------------------------------------------------------------------------------------------------

BESIDE: Mapping[str, str] = {
    "divided_by_zero_is": 'formula = "active_days / attribute seats"',
    "if_expired": 'answer_valid_for = "180 days"',
    "if_not_applicable": 'not_in_first = "60 days"',
}
"""What a line of a measure needs beside it."""

INSTEAD_OF: Mapping[str, tuple[str, ...]] = {
    "points": ("sliding",),
    "sliding": ("points",),
    "each": ("points", "sliding"),
    "formula": ("read",),
    "divided_by_zero_is": ("read",),
}


def with_measure_line(line: str) -> str:
    """The base card with a line of the page in the measure it fits; lines that it excludes give way."""
    key = line.split(" = ")[0]
    name = {"against": "usage_trend", "if_no_normal": "usage_trend", "not_in_first": "usage_trend"}.get(key, "last_nps")
    head, tail = CARD.split(f"[measures.{name}]\n")
    body, rest = re.split(r"(?=^\[)", tail, maxsplit=1, flags=re.MULTILINE)
    gone = (key, *INSTEAD_OF.get(key, ()))
    kept = [old for old in body.splitlines() if old.split(" = ")[0] not in gone]
    if key == "each":
        kept.append("cap = 100")
    dimensions = DIMENSIONS
    if key == "watch_only":
        dimensions = dimensions.replace("last_nps = 20, ", "").replace("open_tickets = 20", "open_tickets = 40")
    return "\n".join([head, f"[measures.{name}]", *kept, line, BESIDE.get(key, ""), rest, dimensions, BANDS])


@pytest.mark.parametrize("line", examples("The lines of a measure"))
def test_a_line_of_a_measure_can_be_written_so(line: str) -> None:
    assert load(with_measure_line(line)).measures


@pytest.mark.parametrize("line", examples("Rules and signals"))
def test_a_line_of_a_rule_or_signal_can_be_written_so(line: str) -> None:
    key = line.split(" = ")[0]
    when = 'when = "active_days > 1"\n'
    if key == "do":
        text = f"[signals.x]\n{when}{line}\n"
    else:
        move = "" if key in {"at_most", "at_least", "set", "add"} else "at_most = 40\n"
        text = with_line(f'[rules.x]\n{when}{move}because = "so"\n', line)
    onboarding = "[scores.onboarding]\nmeasures = { active_days = 100 }\n"

    assert load(CARD + DIMENSIONS + onboarding + text + BANDS)


@pytest.mark.parametrize("line", examples("Bands"))
def test_a_line_of_the_bands_can_be_written_so(line: str) -> None:
    assert load(CARD + DIMENSIONS + with_line(BANDS, line))


@pytest.mark.parametrize("line", examples("At the top of the file"))
def test_a_line_of_the_top_can_be_written_so(line: str) -> None:
    head, tail = CARD.split("[measures.active_days]")

    assert load(f"{with_line(head, line)}[measures.active_days]{tail}{DIMENSIONS}{BANDS}")


@pytest.mark.parametrize("line", examples("Dimensions"))
def test_a_line_of_a_dimension_can_be_written_so(line: str) -> None:
    weight = 'importance = "normal"' if line.startswith("importance") else "share = 40"
    own = "" if line.startswith("importance") else "share = 60\n"
    one = f"[dimensions.one]\n{own}measures = {{ active_days = 50, usage_trend = 50 }}\n"

    assert load(f"{CARD}{with_line(one, line)}[dimensions.other]\n{weight}\n{OTHERS}\n{BANDS}")


@pytest.mark.parametrize("line", examples("The score"))
def test_a_line_of_the_score_can_be_written_so(line: str) -> None:
    key = line.split(" = ")[0]
    text = CARD + DIMENSIONS
    if key in {"combine", "base"}:
        text = text.replace("share = 100\n", "")
        line += '\ncombine = "sum"' if key == "base" else ""
    bands = BANDS
    if key == "range":
        text = text.replace("-> 100", "-> 10")
        bands = '[bands]\ngreen = "7 and up"\nyellow = "4 and up"\n'

    assert load(f"{text}[score]\n{line}\n{bands}")


def test_the_pieces_of_the_page_make_a_card() -> None:
    (newcomers,) = blocks("The lines of a measure")
    (nested,) = blocks("Dimensions")
    (more,) = blocks("The score")
    card = re.sub(r"\[measures\.unpaid_invoices\].*?(?=\[)", "", CARD, flags=re.DOTALL)  # it is in none of them

    assert load(card + newcomers + nested + more + BANDS).scores


def test_no_key_is_missing_from_the_page() -> None:
    shown: set[str] = set()
    for heading in re.findall(r"^## (.+)$", PAGE, re.MULTILINE):
        for text in (*blocks(heading), *examples(heading)):
            if " = " in text and "->" not in text.split(" = ")[0] and heading not in {"Conditions", "Reckoning"}:
                shown |= set(keys(tomllib.loads(re.sub(r"^.*# before$", "", text, flags=re.MULTILINE))))
    tables = {part for table in KEYS for part in table.split(".")}

    assert {key for known in (*KEYS.values(), CHOICE) for key in known} - shown - tables == set()


def keys(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield key
        if isinstance(value, dict):
            yield from keys(value)


# -- the first screen, and ordinary changes ---------------------------------------------------------------------------


def first_card() -> Card:
    return load(PAGE.split("```toml\n")[1].split("```")[0])


def test_the_first_card_of_the_page_does_what_its_case_says() -> None:
    (found,) = evaluate(first_card(), [PAGE.split("```json\n")[1].split("```")[0].strip()])

    assert "error" not in found
    assert "differences" not in found


def test_the_case_of_the_page_comes_out_as_it_says() -> None:
    case = section("Cases").split("```json\n")[1].split("```")[0]
    (found,) = evaluate(load(STARTER), [case.strip()])

    assert "error" not in found
    assert "differences" not in found


def test_the_first_card_fits_on_a_screen() -> None:
    assert len(PAGE.split("```toml\n")[1].split("```")[0].splitlines()) <= 30


def changed(card: str, block: str) -> str:
    """The card after a change as the page tells it: lines marked before give way to those marked after."""
    lines = [re.sub(r"\s+#.*", "", line) for line in card.splitlines()]
    told = [(re.sub(r"\s+# (?:before|after)$", "", line), line.rpartition("# ")[2]) for line in block.splitlines()]
    place = len(lines)
    new = []
    for line, mark in told:
        if mark == "before":
            place = lines.index(line)
            del lines[place]
        elif mark == "after":
            lines.insert(place, line)
            place += 1
        else:
            new.append(line)
    bands = lines.index("[bands]")
    return "\n".join([*lines[:bands], *new, *lines[bands:], ""])


@pytest.mark.parametrize("block", blocks("Ten ordinary changes"))
def test_an_ordinary_change_can_be_made_so(block: str) -> None:
    card = load(changed(STARTER, block))

    assert card.version != load(STARTER).version


def test_there_are_ten_ordinary_changes_at_least() -> None:
    assert len(blocks("Ten ordinary changes")) >= 10


def test_all_ordinary_changes_that_do_not_meet_can_be_made_at_once() -> None:
    told = blocks("Ten ordinary changes")
    card = STARTER
    for block in told:
        if "14 days" not in block:  # its line is changed by the next one too
            card = changed(card, block)

    assert {"urgent-ticket", "newcomers", "payments-failing"} <= load(card).rules.keys()
