"""A scorecard counts only after a preview of exactly that file; versions are kept, and going back is one command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.intake.worlds import seen, take
from worker import cards, changing, preview, setup
from worker.check import check
from worker.cli import main
from worker.facts import Fact
from worker.lib.clock import DAY, VirtualClock, seconds
from worker.lib.problems import Problems
from worker.lib.store import Store
from worker.river import turn
from worker.scoring.records import latest_scores
from worker.workspace import Workspace, open_workspace

CARD = """\
name = "First"
[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 10 -> 100"
says = "active on {value} of the last 30 days"
do = "usage-drop"
[dimensions.adoption]
share = 100
measures = { active_days = 100 }
[bands]
green = "70 and up"
yellow = "40 and up"
"""
STRICTER = CARD.replace("First", "Second").replace("10 -> 100", "20 -> 100")

Opened = Callable[[], Workspace]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "acme"
    setup.init(made, "Acme", "a long enough sentence", {})
    (made / "config.toml").write_text('[workspace]\nname = "Acme"\nscorecard = "scorecard.toml"\n', "utf-8")
    (made / "scorecard.toml").write_text(CARD, "utf-8")
    return made


@pytest.fixture
def workspace(folder: Path, store: Store, clock: VirtualClock) -> Workspace:
    """Ann used it on the last ten days; under the stricter card that is half of it."""
    clock.sleep(200 * DAY)
    used = tuple(Fact("usage", seconds(clock) - n * DAY, "app", f"u{n}") for n in range(10))
    take(store, seen("app:1", name="Ann", facts=used), now=seconds(clock))
    opened = open_workspace(folder, {}, clock)
    opened.store.close()
    return replace(opened, store=store)


def files(text: str, name: str = "new.toml") -> dict[str, str]:
    return {name: text}


def activated(workspace: Workspace, text: str) -> cards.Version:
    preview.preview(workspace, files(text), 5)
    return changing.activate(workspace, files(text), "Ann")


def test_nothing_is_activated_unpreviewed(workspace: Workspace) -> None:
    with pytest.raises(Problems, match="exactly this was never previewed → see first: keepwell preview"):
        changing.activate(workspace, files(STRICTER), "Ann")

    preview.preview(workspace, files(STRICTER), 5)
    with pytest.raises(Problems, match="exactly this was never previewed"):
        changing.activate(workspace, files(STRICTER + "# another word\n"), "Ann")
    assert cards.active(workspace.store) is None


def test_a_preview_is_good_for_a_week_and_for_the_file_under_any_name(
    workspace: Workspace, clock: VirtualClock
) -> None:
    preview.preview(workspace, files(STRICTER), 5)
    clock.sleep(7 * DAY)
    assert changing.activate(workspace, files(STRICTER, "renamed.toml"), "Ann").number == 2

    preview.preview(workspace, files(CARD + "# older\n"), 5)
    clock.sleep(8 * DAY)
    with pytest.raises(Problems, match="its preview is 8 days old"):
        changing.activate(workspace, files(CARD + "# older\n"), "Ann")


def test_errors_refuse(workspace: Workspace) -> None:
    faulty = STRICTER.replace('do = "usage-drop"\n', "")
    preview.preview(workspace, files(faulty), 5)

    with pytest.raises(changing.Faulty) as refused:
        changing.activate(workspace, files(faulty), "Ann")
    assert [one.fault for one in refused.value.reports[0].findings] == ["no-play"]


def test_what_is_activated_counts_from_the_next_run_on_and_every_score_names_its_version(workspace: Workspace) -> None:
    store = workspace.store
    turn(workspace, pulls=False)
    first = next(iter(latest_scores(store).values()))
    activated(workspace, STRICTER)
    turn(workspace, pulls=False)
    second = next(iter(latest_scores(store).values()))

    numbers = cards.numbers(store)
    assert [(numbers[one.version], f"{one.score:f}") for one in (first, second)] == [(1, "100"), (2, "50")]


def test_a_file_that_is_edited_changes_nothing_once_a_version_was_activated(workspace: Workspace, folder: Path) -> None:
    (folder / "scorecard.toml").write_text(CARD.replace("First", "Edited"), "utf-8")
    edited = open_workspace(folder, {})
    assert edited.card.name == "Edited", "until then the file speaks as it stands"
    edited.close()

    store = workspace.store
    version = activated(workspace, STRICTER)
    assert (
        changing.write_back(workspace, version)
        == "scorecard.toml was left as it is: it holds what no version has, or is a folder."
    )
    workspace.take_up()
    assert workspace.card.name == "Second"
    (told,) = [one for one in check(workspace).findings if "scorecard" in one]
    assert told.startswith("scorecard.toml differs from version 2 of the scorecard, which counts: keepwell preview")
    assert [one["counts"] for one in changing.listed(workspace)] == [False, True]
    assert cards.unlike(store, folder / "scorecard.toml") == told


def test_the_file_is_made_to_say_what_counts_where_nothing_is_lost_by_it(workspace: Workspace, folder: Path) -> None:
    turn(workspace, pulls=False)
    version = activated(workspace, STRICTER)

    assert changing.write_back(workspace, version) == ""
    assert (folder / "scorecard.toml").read_text("utf-8") == STRICTER
    back = cards.go_back(workspace.store, version.version, 1)
    assert changing.write_back(workspace, back) == ""
    assert (folder / "scorecard.toml").read_text("utf-8") == CARD


def test_going_back_goes_to_what_counted_before_and_stops_at_the_first(workspace: Workspace) -> None:
    store = workspace.store
    turn(workspace, pulls=False)
    for text in (STRICTER, CARD.replace("First", "Third")):
        activated(workspace, text)
        workspace.take_up()

    assert cards.go_back(store, workspace.deck.version, 1, 1).name == "First"
    workspace.take_up()
    assert activated(workspace, CARD.replace("First", "Fourth")).replaced == 1
    workspace.take_up()
    assert cards.go_back(store, workspace.deck.version, 1).number == 1
    workspace.take_up()
    with pytest.raises(Problems, match="no version counted before this one"):
        cards.go_back(store, workspace.deck.version, 1)
    with pytest.raises(Problems, match=r"there is no version 9 → use one of: 1, 2, 3, 4"):
        cards.go_back(store, workspace.deck.version, 1, 9)


def test_comments_make_no_new_version(workspace: Workspace) -> None:
    activated(workspace, STRICTER)
    again = activated(workspace, STRICTER + "# why\n")

    assert again.number == 2
    assert again.text.endswith("# why\n")


def test_a_run_without_any_activation_numbers_what_the_file_says(workspace: Workspace) -> None:
    turn(workspace, pulls=False)
    turn(workspace, pulls=False)

    assert [(one.number, one.name, one.author) for one in cards.versions(workspace.store)] == [(1, "First", "the file")]
    assert cards.active(workspace.store) is None


# -- as a person types it ---------------------------------------------------------------------------------------------


def keepwell(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["-w", str(folder), *words], env={**os.environ})


def test_the_whole_way_at_the_terminal(folder: Path) -> None:
    new = folder / "new.toml"
    new.write_text(STRICTER, "utf-8")

    assert keepwell(folder, "activate").output == "none\n"
    refused = keepwell(folder, "activate", str(new))
    assert (refused.exit_code, "never previewed" in refused.output) == (2, True)
    shown = keepwell(folder, "preview", str(new), "--days", "3", "--html", str(folder / "new.html"))
    assert shown.exit_code == 0, shown.output
    assert "Make it count with: keepwell activate" in shown.output
    assert "<title>What new.toml would change" in (folder / "new.html").read_text("utf-8")
    done = keepwell(folder, "activate", str(new))
    assert "Version 2 of the scorecard, “Second”, counts from the next run on." in done.output
    assert (folder / "scorecard.toml").read_text("utf-8") == STRICTER
    listed = json.loads(keepwell(folder, "activate", "--json").output)
    assert [(one["number"], one["name"], one["counts"]) for one in listed] == [(1, "First", False), (2, "Second", True)]
    assert "Version 1 of the scorecard, “First”" in keepwell(folder, "activate", "--back").output


def test_lint_at_the_terminal_knows_the_workspace_and_does_without_one(folder: Path, tmp_path: Path) -> None:
    found = keepwell(folder, "lint")
    assert found.exit_code == 0, found.output
    assert "0 errors" in found.output
    assert "no workspace" not in found.output

    alone = tmp_path / "alone.toml"
    alone.write_text(CARD.replace('do = "usage-drop"\n', ""), "utf-8")
    found = keepwell(tmp_path / "nowhere", "lint", str(alone))
    assert found.exit_code == 1
    assert "alone.toml:2: error: measures.active_days: no play answers 'active_days'" in found.output
    assert "not checked: whether a source is connected for each measure: no workspace" in found.output
    (report,) = json.loads(keepwell(tmp_path / "nowhere", "lint", str(alone), "--json").output)
    assert report["findings"][0]["fault"] == "no-play"
