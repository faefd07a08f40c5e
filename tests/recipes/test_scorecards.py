"""The scorecards that ship: each says what it says, is free of faults, argues itself, and works with Keap and Stripe alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.scoring.cards import customer, fact, moment
from worker import evaluate, registry
from worker.facts import KINDS
from worker.grounds import answers
from worker.lib.assets import folder
from worker.lib.store import Store
from worker.plays import files
from worker.scoring import lint, measures
from worker.scoring.card import GREY, Measure
from worker.scoring.score import assess
from worker.scoring.scorecard import load

RECIPES = folder("recipes") / "scorecards"
CARDS = sorted(path.stem for path in RECIPES.glob("*.toml"))


def _text(name: str) -> str:
    return (RECIPES / f"{name}.toml").read_text("utf-8")


def test_the_recipes_are_those_that_the_readme_names() -> None:
    assert CARDS == ["agency", "coaching", "ecommerce-subscription", "membership", "saas", "starter"]


@pytest.mark.parametrize("name", CARDS)
def test_every_case_beside_a_recipe_comes_out_as_written(name: str) -> None:
    lines: list[str] = []

    code = evaluate.run(RECIPES / f"{name}.toml", RECIPES / f"{name}.cases.jsonl", lines.append)

    assert [line for line in map(json.loads, lines) if "differences" in line or "error" in line] == []
    assert code == 0


@pytest.mark.parametrize("name", CARDS)
def test_the_cases_reach_every_band_rule_and_signal(name: str) -> None:
    card = load(_text(name), name)
    expected = [
        json.loads(line)["expect"] for line in (RECIPES / f"{name}.cases.jsonl").read_text("utf-8").splitlines()
    ]

    assert {one["band"] for one in expected if "band" in one} >= set(card.order)
    assert {rule for one in expected for rule in one.get("rules", ())} == set(card.rules)
    assert {signal for one in expected for signal in one.get("signals", ())} == set(card.signals)


@pytest.mark.parametrize("name", CARDS)
def test_a_recipe_has_no_fault_and_every_play_it_names(name: str) -> None:
    plays = files.load((folder("recipes") / "plays").glob("*.toml"))
    grounds = lint.Grounds(answers=answers(plays), connected=frozenset(KINDS))

    assert lint.lint(_text(name), f"{name}.toml", grounds).findings == ()


@pytest.mark.parametrize("name", CARDS)
def test_the_page_argues_every_measure(name: str) -> None:
    page = (RECIPES / f"{name}.md").read_text("utf-8")

    assert [one.name for one in _named(name) if f"`{one.name}`" not in page] == []


def _named(name: str) -> Iterator[Measure]:
    return (one for one in load(_text(name), name).measures.values() if not one.spoken)


@pytest.mark.parametrize("name", CARDS)
def test_with_keap_and_stripe_alone_the_rest_is_unknown_without_harm(name: str, sqlite_store: Store) -> None:
    """Who pays and reads our mails is not turned red by what nobody could have told us."""
    card = load(_text(name), name)
    paid = [fact("payment", days, 30, "usd") for days in range(5, 365, 30)]
    read = [fact("mail_clicked", days) for days in (3, 9, 20)] + [fact("mail_opened", days) for days in (3, 9, 20)]
    one = customer(sqlite_store, [*paid, *read, fact("subscription", 400)])

    found = measures.read(sqlite_store, card, [moment(one)], measures.Sources(connected=_keap_and_stripe()))
    assessment = assess(card, found[one])

    told = {measure.name for measure in _named(name) if measure.kinds <= _keap_and_stripe()}
    assert {key for key, judged in assessment.measures.items() if judged.points is not None} <= told
    assert assessment.coverage < 1
    assert assessment.band in {"green", GREY}
    assert (assessment.band == "green") == (name not in {"saas", "starter"}), "as its page says"


def _keap_and_stripe() -> frozenset[str]:
    found = registry.find()
    both = [found["keap"], found["stripe"]]
    pulled = {kind for one in both for pull in one.pulls for kind in pull.feeds}
    return frozenset(pulled.union(*(one.feeds for one in both)))
