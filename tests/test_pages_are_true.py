"""What README and pages tell to type, to write and to open is there: commands with their options, settings, and links."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

import integrations
import worker
from worker.cli import main
from worker.config import SECTIONS, secret_fields
from worker.registry import find

TOP = Path(__file__).parents[1]
PAGES = sorted(
    path for where in ("*.md", "docs/*.md", "recipes/**/*.md") for path in TOP.glob(where) if path.is_file()
)  # fmt: skip
if not (TOP / "docs").is_dir():
    pytest.skip("only a checkout holds the pages", allow_module_level=True)


def name(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


TEXTS = {name(path): path.read_text("utf-8") for path in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# -- commands ---------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[str]:
    """Every `keepwell …` in code of a page: of fenced blocks the lines that begin with it, inline what does."""
    for kind, block in FENCE.findall(text):
        if kind in ("", "sh"):
            yield from (line.removeprefix("$ ") for line in block.splitlines() if re.match(r"(\$ )?keepwell\b", line))
    for code in re.findall(r"`([^`]+)`", FENCE.sub("", text)):
        if re.match(r"keepwell(\s|$)", code):
            yield " ".join(code.split())


def fault(told: str) -> str:
    """What the command line would object to; "" where it would not. Words for things, as CUSTOMER, stand for themselves."""
    plain = re.split(r"\s[>|]\s|;", told)[0].translate(str.maketrans("", "", "[]"))
    words = [word for word in shlex.split(plain, comments=True)[1:] if word != "…"]
    if words[:1] == ["-w"]:
        del words[:2]
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        if words[0] not in command.commands:
            return f"there is no {command.name} {words[0]}"
        command = command.commands[words.pop(0)]
    if isinstance(command, click.Group):
        return ""
    try:
        with command.make_context(command.name, list(words)):
            return ""
    except click.MissingParameter:  # to name a command in passing is no mistake
        return ""
    except click.ClickException as error:
        stand_for = [word for word in words if word.isupper() and f"'{word}' is none" in error.message]
        left_out = error.message.endswith(("does not exist.", "requires an argument."))
        return "" if stand_for or left_out else error.format_message()


def test_the_check_finds_a_command_and_an_option_that_do_not_exist() -> None:
    assert "there is no" in fault("keepwell fly")
    assert "there is no mail fly" in fault("keepwell mail fly")
    assert "No such option" in fault("keepwell plays --fly")
    assert "unexpected extra argument" in fault("keepwell pause now")
    assert "is not one of" in fault("keepwell mode lively")
    assert fault("keepwell -w acme mail test usage-drop --to me@example.com --dry-run   # to yourself") == ""
    assert list(commands("```sh\nkeepwell a\n$ keepwell b\n```\nand `keepwell\nc`, not `[keepwell:…]`")) == [
        "keepwell a", "keepwell b", "keepwell c",
    ]  # fmt: skip


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_on_the_page_exists_with_its_options(page: str) -> None:
    assert {told: why for told in commands(TEXTS[page]) if (why := fault(told))} == {}


def test_every_command_that_the_program_itself_names_exists() -> None:
    known = set(main.commands)
    named = {
        (name(path), word)
        for package in (worker, integrations) for path in Path(str(package.__file__)).parent.rglob("*.py")
        for word in re.findall(r"(?:`|: |run )keepwell ([a-z][a-z-]*)\b", path.read_text("utf-8"))
    }  # fmt: skip

    assert len(named) > 30
    assert {one for one in named if one[1] not in known} == set()


def test_no_command_is_left_unsaid() -> None:
    told = {
        one.split()[1]
        for text in TEXTS.values()
        for one in commands(text.replace("keepwell -w acme", "keepwell"))
        if " " in one
    }

    assert set(main.commands) - told == set()


# -- settings ---------------------------------------------------------------------------------------------------------


def pieces(text: str) -> Iterator[Mapping[str, Mapping[str, object]]]:
    """The pieces of config.toml on a page: blocks that begin with one of its sections."""
    for kind, block in FENCE.findall(text):
        first = re.search(r"^\[([\w.]+)\]", block, re.MULTILINE)
        if kind == "toml" and first and first[1].split(".")[0] in {*SECTIONS, "integrations"}:
            yield tomllib.loads(block)


@pytest.mark.parametrize("page", TEXTS)
def test_every_piece_of_config_toml_on_the_page_is_understood(page: str) -> None:
    for piece in pieces(TEXTS[page]):
        for section, settings in piece.items():
            if section == "integrations":
                for integration, own in settings.items():
                    assert isinstance(own, Mapping)
                    assert set(own) <= keys_of(integration), f"{page}: [integrations.{integration}]"
            else:
                SECTIONS[section].model_validate({"name": "Acme", **settings} if section == "workspace" else settings)


def keys_of(integration: str) -> set[str]:
    model = find()[integration].settings
    secrets = secret_fields(model).keys()
    return set(model.model_fields) - secrets | {f"{key}_env" for key in secrets}


@pytest.mark.parametrize("page", TEXTS)
def test_every_setting_that_the_page_names_with_its_section_exists(page: str) -> None:
    named = re.findall(r"`(\w+)`\s+(?:\([^)]*\)\s+)?(?:in|of|under)\s+`\[(\w+)\]`", TEXTS[page])

    assert [one for one in named if one[1] in SECTIONS and one[0] not in SECTIONS[one[1]].model_fields] == []
    assert [section for section in re.findall(r"`\[integrations\.(\w+)\]`", TEXTS[page]) if section not in find()] == []


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    }


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    lost = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", FENCE.sub("", TEXTS[page])):
        file, _, anchor = link.partition("#")
        path = (TOP / page).parent / file if file else TOP / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
            lost.append(link)

    assert lost == []
