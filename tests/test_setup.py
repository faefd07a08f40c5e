"""A workspace is made whole or not at all, and belongs to nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from worker import setup
from worker.lib.problems import Problems
from worker.lib.store import migrations
from worker.web import auth
from worker.workspace import open_workspace

PASSWORD = "a sentence of some length"


def test_a_new_workspace_watches_and_knows_its_operator(tmp_path: Path) -> None:
    lines = setup.init(tmp_path / "deep" / "acme", 'Acme "Öl" & Söhne', PASSWORD, {})
    workspace = open_workspace(tmp_path / "deep" / "acme", {})

    assert "writes nothing anywhere" in lines[0]
    assert workspace.mode == "watch"
    assert workspace.config.workspace.name == 'Acme "Öl" & Söhne'
    assert auth.check(workspace.store, PASSWORD)
    assert not auth.check(workspace.store, PASSWORD + "!")
    workspace.close()


def test_the_folder_is_closed_and_the_password_is_nowhere_in_it(tmp_path: Path) -> None:
    setup.init(tmp_path / "acme", "Acme", PASSWORD, {})

    assert stat.S_IMODE((tmp_path / "acme").stat().st_mode) == 0o700
    for file in (tmp_path / "acme").iterdir():
        assert PASSWORD.encode() not in file.read_bytes()


def test_a_second_workspace_in_one_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    setup.init(tmp_path, "Acme", PASSWORD, {})
    before = (tmp_path / "config.toml").read_text()

    with pytest.raises(Problems, match="is there already → choose another folder"):
        setup.init(tmp_path, "Other", PASSWORD, {})
    assert (tmp_path / "config.toml").read_text() == before


def test_a_workspace_that_a_look_back_made_of_keys_gets_its_operator_and_keeps_its_config(tmp_path: Path) -> None:
    folder, keys = tmp_path / "acme", {"KEAP_KEY": "KeapAK-1"}
    setup.from_environment(folder, keys)
    before = (folder / "config.toml").read_text("utf-8")

    setup.init(folder, "Acme", "a long enough sentence", keys)

    assert (folder / "config.toml").read_text("utf-8") == before
    with pytest.raises(Problems, match="is there already"):
        setup.init(folder, "Acme", "another long sentence", keys)


def test_a_weak_password_makes_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(Problems, match="shorter than 10 characters"):
        setup.init(tmp_path / "acme", "Acme", "short", {})

    assert not (tmp_path / "acme").exists()


def test_migrating_again_applies_nothing(tmp_path: Path) -> None:
    setup.init(tmp_path, "Acme", PASSWORD, {})
    assert setup.migrate(tmp_path, {}) == []

    (tmp_path / "keepwell.db").unlink()
    assert setup.migrate(tmp_path, {}) == [name for name, _ in migrations()]
