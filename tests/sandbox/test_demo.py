"""A demo that was kept: where it may be kept, and that its time stands still."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import START
from worker import setup
from worker.cli import main
from worker.lib.clock import seconds
from worker.plays.records import set_switch
from worker.workspace import CLOCK_STANDS, open_workspace


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_demo_is_kept_in_no_place_that_holds_something(tmp_path: Path, what: str) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Ann", "utf-8")

    told = CliRunner().invoke(main, ["demo", "--once", "--keep", str(tmp_path if what == "folder" else letter)])

    assert told.exit_code == 2
    assert "holds something already → name a new folder" in told.output
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


def test_the_clock_of_a_workspace_stands_where_it_was_stopped(tmp_path: Path) -> None:
    setup.init(tmp_path / "kept", "Kept", "a long enough sentence", {})
    for stands_at in ("", str(START)):
        with setup.opened_store(tmp_path / "kept", {}) as store:
            set_switch(store, CLOCK_STANDS, stands_at, 0)
        workspace = open_workspace(tmp_path / "kept", {})
        assert (seconds(workspace.clock) == START) is bool(stands_at)
        workspace.close()
