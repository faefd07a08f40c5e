"""docs/plays.md is true: every example on it loads, and nothing a play can say, and no check, is missing from it."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from worker.config import SECTIONS
from worker.example import CHECK_SETTINGS, with_play_tables
from worker.lib.assets import folder
from worker.plays import files, words
from worker.plays.arbiter import CHECKS, PRIORITIES
from worker.plays.files import Collect, Later, Play, TeamAlert, TeamTask, Unless, Until, Variant, When, Whom
from worker.workspace import Workspace

PAGE = (Path(__file__).parents[2] / "docs" / "plays.md").read_text("utf-8")
SHIPPED = {path.stem for path in (folder("templates") / "email").glob("*.md")}


def blocks() -> list[str]:
    return re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def lines(heading: str) -> list[str]:
    """The first cell of every row of the tables below a heading."""
    return re.findall(r"^\| `(.+?)` ", section(heading), re.MULTILINE)


EXAMPLES = [text for text in blocks() if text.startswith("title = ")]


def load(folder: Path, text: str) -> Play:
    (folder / "uses-it-less.toml").write_text(text, "utf-8")
    return files.load([folder / "uses-it-less.toml"])["uses-it-less"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_whole_play_can_be_written_so_and_names_only_mails_that_ship(tmp_path: Path, text: str) -> None:
    play = load(tmp_path, text)

    assert {one.template for _, one in play.variants} <= SHIPPED
    assert words.worked_if(play)


def test_every_other_piece_is_of_config_toml() -> None:
    for text in blocks():
        if text not in EXAMPLES:
            for name, settings in tomllib.loads(text).items():
                SECTIONS[name].model_validate(settings)


HEAD = 'title = "T"\nabout = "A"\n'
DOES = '\n[task]\ntitle = "x"\nsay = "y"\n[[mail]]\ntemplate = "m"\n'


@pytest.mark.parametrize("line", lines("When it is set off"))
def test_a_play_can_be_set_off_so(tmp_path: Path, line: str) -> None:
    key = line.split(" = ")[0]
    beside = {
        "fact_label": 'fact = "plan_changed"\n',
        "band": 'signal = "s"\n',
        "main_driver": 'band_turns = ["red"]\n',
    }

    assert load(tmp_path, f"{HEAD}[when]\n{beside.get(key, '')}{line}\n{DOES}")


@pytest.mark.parametrize("line", lines("For whom"))
def test_a_play_can_be_for_these(tmp_path: Path, line: str) -> None:
    assert load(tmp_path, f'{HEAD}[when]\nband_turns = ["red"]\n[whom]\n{line}\n{DOES}')


@pytest.mark.parametrize("line", [*lines("Who does it"), *lines("How often, and until when")])
def test_the_top_of_a_play_can_say_so(tmp_path: Path, line: str) -> None:
    assert load(tmp_path, f'{HEAD}{line}\n[when]\nband_turns = ["red"]\n{DOES}')


@pytest.mark.parametrize(
    "model",
    [Play, When, Whom, Unless, Until, Variant, TeamAlert, TeamTask, Collect, Later],
    ids=lambda one: one.__name__,
)
def test_no_key_of_a_play_is_missing_from_the_page(model: type[BaseModel]) -> None:
    told = set(re.findall(r"`\[*(\w+)(?:\]*`| = )", PAGE))
    for text in EXAMPLES:
        told |= set(keys(tomllib.loads(text)))

    assert {name for name, one in model.model_fields.items() if not one.exclude} - told == set()


def keys(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield key
        for inside in value if isinstance(value, list) else [value]:
            if isinstance(inside, dict):
                yield from keys(inside)


@pytest.mark.parametrize(
    ("model", "key"),
    [(When, "product"), (Whom, "lifecycle"), (Play, "touch"), (Play, "to"), (Play, "priority")],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_no_word_that_a_key_takes_is_missing_from_the_page(model: type[BaseModel], key: str) -> None:
    schema = model.model_json_schema()["properties"][key]["enum"]

    assert [word for word in schema if word and f'"{word}"' not in PAGE and f"`{word}`" not in PAGE] == []


def test_the_priorities_stand_in_their_order() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `priority = "))

    assert tuple(re.findall(r"`(\w+)`", row)) == PRIORITIES


def test_the_tables_of_plays_and_checks_are_fresh() -> None:
    assert with_play_tables(PAGE) == PAGE, "docs/plays.md is stale: run make docs"


def test_every_check_is_told_in_its_order_in_the_words_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+?) \|", section("Who is not written to"), re.MULTILINE)

    assert [name for _, name, _ in rows] == [check.__name__ for check in CHECKS]
    for (number, _, says), check in zip(rows, CHECKS, strict=True):
        assert " ".join(str(check.__doc__).split()) == f"{number}. {says}"


def test_every_setting_that_the_checks_read_stands_beside_one_of_them() -> None:
    assert isinstance(Workspace.limits, property)
    source = inspect.getsource(Workspace.limits.fget)
    read = {key for _, key in re.findall(r"\b(workspace|outreach|approval)\.(\w+)", source)} - {"mailer"}
    known = {key for one in SECTIONS.values() for key in one.model_fields}

    assert read - set(re.findall(r"`(\w+)`", " ".join(CHECK_SETTINGS.values()))) == set()
    assert read <= known
