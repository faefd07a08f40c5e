"""A card in sentences, with what each measure can cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from click.testing import CliRunner

from worker.cli import main
from worker.lib.assets import folder
from worker.scoring.scorecard import load
from worker.scoring.showing import card_as_data, card_in_words

RECIPES = sorted((folder("recipes") / "scorecards").glob("*.toml"))


def test_the_starter_reads_in_one_screen() -> None:
    lines = card_in_words(load((folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")))

    assert lines[1:9] == [
        "Keep paying customers",
        "Checked against who left by choice",
        "",
        "What each measure can cost, of 100 points:",
        "    30  unpaid invoices: number of unpaid invoices now",
        "        0 -> 100; 1 -> 40; otherwise -> 0",
        "    25  active days: days with usage in the last 30 days",
        "        0 -> 0, 12 -> 100",
    ]
    assert "  adoption, 50%: active days 50%, usage trend 50%" in lines
    assert "  at most yellow when unpaid_invoices >= 1: an invoice is unpaid" in lines
    assert lines[-13:-6] == [
        "Bands:", "  green: 70 and up", "  yellow: 40 and up", "  red: below 40",
        "  grey: where less than 50% of what counts is known", "  A band turns 3 points past the line for 3 days.", "",
    ]  # fmt: skip
    assert "  usage-drop: active days, usage trend" in lines
    assert len(lines) < 50


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_the_measures_of_a_recipe_can_cost_totals_the_score(path: object) -> None:
    (found,) = [card_as_data(load(one.read_text("utf-8"))) for one in RECIPES if one == path]
    costs = [Decimal(one["costs_up_to"]) for one in found["measures"] if one["costs_up_to"] is not None]

    assert 85 <= sum(costs) <= 100  # a table need not go down to 0


CARD = """
name = "All"
who = "number of active subscriptions now >= 1"

[measures.calm]
read = "number of open tickets now"
each = -5

[measures.tried]
read = "number of logins in the last 30 days"
sliding = "0 -> 0, 10 -> 20"
watch_only = true

[measures.mood]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"

[score]
combine = "sum"
base = 80
measures = ["calm"]

[scores.onboarding]
combine = "lowest"
measures = ["mood"]

[rules.angry]
when = "calm >= 9"
add = -10
at_most = "red"
because = "drowns in tickets"

[rules.fresh]
when = "age < 30 days"
score = "onboarding"
at_least = 50
because = "is new"

[bands]
green = "above 70"
worse_when = "for 1 day"
better_when = "1 point past the line"
"""


def test_all_that_a_card_can_say_is_said() -> None:
    found = "\n".join(card_in_words(load(CARD)))

    for said in (
        "Scored: number of active subscriptions now >= 1",
        "tried (only watched): number of logins in the last 30 days",
        "-5 for each one",
        "the score: the sum of its parts: calm",
        "onboarding: the lowest of its parts: mood",
        "10 points less, at most red when calm >= 9: drowns in tickets",
        "at least 50 (score onboarding) when age < 30 days: is new",
        "green: above 70",
        "red: up to 70",
        "A band turns for the worse for 1 day, for the better 1 point past the line.",
        "no play answers: calm, mood",
    ):
        assert said in found, found


def test_show_prints_a_card_without_a_workspace() -> None:
    told = CliRunner().invoke(main, ["show", str(RECIPES[0])])
    data = CliRunner().invoke(main, ["show", str(RECIPES[0]), "--json"])

    assert (told.exit_code, data.exit_code) == (0, 0)
    assert told.output.splitlines() == card_in_words(load(RECIPES[0].read_text("utf-8")))
    assert data.output.startswith("[\n")
