"""What is written from the declarations is fresh, and true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from worker.config import SECTIONS, read, secret_fields
from worker.example import BEGIN, END, example, integration_table, with_table
from worker.registry import find

TOP = Path(__file__).parents[1]


def fresh(name: str) -> str:
    if not (TOP / name).is_file():
        pytest.skip(f"{name} lies in the checkout, not in an installed wheel")
    return (TOP / name).read_text("utf-8")


def test_the_example_file_is_fresh() -> None:
    assert fresh("config.example.toml") == example(), "config.example.toml is stale: run make docs"


def test_the_table_in_the_readme_is_fresh() -> None:
    readme = fresh("README.md")

    assert readme == with_table(readme), "the README's table of integrations is stale: run make docs"


def test_a_readme_without_its_markers_is_told() -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        with_table("# Keepwell\n")


def test_the_example_is_a_config_as_it_stands(tmp_path: Path) -> None:
    assert read(example(), "config.example.toml", tmp_path, {}).workspace.name == "Acme Software"


def test_every_setting_is_in_the_example_with_its_default() -> None:
    shown = tomllib.loads(re.sub(r"^#(?=[\w\[])", "", example(), flags=re.MULTILINE))

    assert {name: set(shown[name]) for name in SECTIONS} == {
        name: set(model.model_fields) for name, model in SECTIONS.items()
    }
    for name, integration in find().items():
        fields = set(integration.settings.model_fields)
        secrets = secret_fields(integration.settings).keys()
        assert set(shown["integrations"][name]) == fields - secrets | {f"{key}_env" for key in secrets}


def test_every_setting_says_what_it_is_for() -> None:
    models = {**SECTIONS, **{name: one.settings for name, one in find().items()}}

    assert [
        f"{name}.{key}" for name, model in models.items() for key, field in model.model_fields.items()
        if not field.description
    ] == []  # fmt: skip


def test_every_integration_has_a_row_in_the_table() -> None:
    table = with_table(f"{BEGIN}\na stale row\n{END}\n")

    assert "stale row" not in table
    assert [one.title for one in find().values() if one.title not in table] == []
    assert len(integration_table().splitlines()) == 2 + len(find())
