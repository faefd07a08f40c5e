"""A folder of cards in a workspace: each customer is judged by the card that is for them, and told so everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import report, river, setup
from worker.facts import Attribute, Fact, Identity
from worker.intake.records import add_customer, add_facts, add_identity, put_attributes
from worker.lib.clock import DAY, VirtualClock
from worker.lib.problems import Problems
from worker.scoring import records
from worker.workspace import Workspace, open_workspace

NOW = 20_500 * DAY

CARD = """
name = "{name}"
[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, {full} -> 100"
[dimensions.use]
share = 100
measures = {{ active_days = 100 }}
[bands]
green = "70 and up"
yellow = "40 and up"
"""

CHOICE = """
who = "attribute staff is missing"
cards = ["newcomers.toml when age < 1 month", "pro.toml when attribute plan is pro", "others.toml otherwise"]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Four customers, each active on five of the last thirty days."""
    setup.init(tmp_path, "Acme", "a long enough sentence", {})
    (tmp_path / "config.toml").write_text('[workspace]\nname = "Acme"\nscorecard = "cards"\n', "utf-8")
    (tmp_path / "cards").mkdir()
    for name, full in (("newcomers", 5), ("pro", 20), ("others", 10)):
        (tmp_path / "cards" / f"{name}.toml").write_text(CARD.format(name=name.title(), full=full), "utf-8")
    (tmp_path / "cards" / "cards.toml").write_text(CHOICE, "utf-8")
    opened = open_workspace(tmp_path, {}, VirtualClock(NOW))
    for name, days, attributes in (
        ("New", 10, {}), ("Pro", 400, {"plan": "Pro"}), ("Other", 400, {}), ("Ours", 400, {"staff": "yes"}),
    ):  # fmt: skip
        since = NOW - days * DAY
        customer_id = add_customer(opened.store, name=name, first_at=since)
        identity = add_identity(opened.store, Identity("test", name), customer_id, since)
        add_facts(
            opened.store, customer_id, identity,
            [Fact("usage", NOW - day * DAY, "test", f"{name}{day}") for day in range(1, 6)],
        )  # fmt: skip
        put_attributes(
            opened.store, customer_id, identity, [Attribute(key, one, since) for key, one in attributes.items()]
        )
    yield opened
    opened.close()


def test_each_is_judged_by_the_card_that_is_for_them_and_some_by_none(workspace: Workspace) -> None:
    river.turn(workspace, pulls=False)

    told = {score.customer_id: score for score in records.latest_scores(workspace.store).values()}
    names = {row["id"]: row["name"] for row in workspace.store.rows("select id, name from customers")}
    found = {names[one]: (workspace.card_of(score.version).name, int(score.score or 0)) for one, score in told.items()}
    assert found == {"New": ("Newcomers", 100), "Pro": ("Pro", 25), "Other": ("Others", 50)}


def test_commands_tell_by_the_same_cards(workspace: Workspace) -> None:
    river.turn(workspace, pulls=False)

    assert {one["name"]: one["score"] for one in report.scores(workspace)["customers"]} == {
        "New": "100", "Pro": "25", "Other": "50",
    }  # fmt: skip
    assert any("20 is full marks" in line for line in report.explain(workspace, "Pro")["lines"])


def test_whoever_grows_out_of_a_card_is_judged_by_the_next(workspace: Workspace) -> None:
    river.turn(workspace, pulls=False)
    workspace.clock.move_to(NOW + 21 * DAY)  # type: ignore[attr-defined]  # it is virtual
    river.turn(workspace, pulls=False)

    found = report.explain(workspace, "New")
    assert workspace.card_of(found["version"]).name == "Others"
    assert found["score"] == "50"


def test_a_second_turn_has_nobody_to_look_at(workspace: Workspace) -> None:
    river.turn(workspace, pulls=False)
    n = workspace.store.value("select count(*) from scores")

    assert river.turn(workspace, pulls=False).assessed.customers == 0
    assert workspace.store.value("select count(*) from scores") == n


def test_cards_that_name_other_bands_are_a_mistake(workspace: Workspace) -> None:
    folder = workspace.config.folder
    (folder / "cards" / "pro.toml").write_text(CARD.format(name="Pro", full=20).replace("yellow", "amber"), "utf-8")

    with pytest.raises(Problems, match="names green, amber, red → use those of the main card: green, yellow, red"):
        open_workspace(folder, {})
