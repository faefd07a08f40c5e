"""Which card counts for whom, and what its writer is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.scoring.cards import customer, fact, moment
from worker.lib.problems import Problems
from worker.lib.store import Store
from worker.scoring.choice import Deck, deck_of, load_deck
from worker.scoring.measures import read

CARD = """
name = "{name}"
{more}
[measures.a]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 12 -> 100"
[score]
measures = {{ a = 100 }}
[bands]
green = "70 and up"
"""


def card(name: str, more: str = "") -> str:
    return CARD.format(name=name, more=more)


FILES = {
    "cards.toml": (
        'cards = ["newcomers.toml when age < 90 days", "pro.toml when attribute plan is pro", "starter.toml otherwise"]\n'
        'who = "number of active subscriptions now >= 1"'
    ),
    "newcomers.toml": card("Newcomers"),
    "pro.toml": card("Pro", "who = 'attribute test_account is missing'"),
    "starter.toml": card("Starter"),
}


def mistakes(files: dict[str, str]) -> list[str]:
    with pytest.raises(Problems) as caught:
        deck_of(files)
    return [str(problem) for problem in caught.value.problems]


def chosen(deck: Deck, **known: float | str) -> str | None:
    words = {
        "subscriptions": "number of active subscriptions now", "plan": "attribute plan", "test": "attribute test_account",
    }  # fmt: skip
    found = deck.choose(
        {words.get(name, name): one if isinstance(one, str) else Decimal(str(one)) for name, one in known.items()}
    )
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({"age": 10, "plan": "pro", "subscriptions": 1}, "Newcomers"),
        ({"age": 90, "plan": "Pro", "subscriptions": 1}, "Pro"),
        ({"age": 90, "plan": "pro", "subscriptions": 1, "test": "yes"}, None),
        ({"age": 90, "plan": "basic", "subscriptions": 2}, "Starter"),
        ({"age": 90, "subscriptions": 1}, "Starter"),
        ({"age": 90, "plan": "pro", "subscriptions": 0}, None),
        ({"age": 90, "plan": "pro"}, None),
    ],
)
def test_the_first_card_that_fits_counts(known: dict[str, float | str], name: str | None) -> None:
    assert chosen(deck_of(FILES), **known) == name


def test_without_an_otherwise_the_rest_is_not_scored() -> None:
    deck = deck_of(
        {
            **FILES,
            "cards.toml": 'cards = ["pro.toml when age > 5", "starter.toml when age > 3", "newcomers.toml when age > 1"]',
        }
    )

    assert [chosen(deck, age=age) for age in (6, 4, 2, 1)] == ["Pro", "Starter", "Newcomers", None]


def test_what_the_choice_asks_can_be_read_like_any_measure(store: Store) -> None:
    deck = deck_of(FILES)
    new = customer(store, [fact("subscription", 5)], days=5)
    old = customer(store, [fact("subscription", 200)], days=200)
    gone = customer(store, [], days=200)
    assert deck.chooser is not None
    found = read(store, deck.chooser, [moment(one) for one in (new, old, gone)])
    values = {
        one: {name: reading.value for name, reading in readings.items() if reading.value is not None}
        for one, readings in found.items()
    }

    assert [deck.chosen(values[one]) for one in (new, old, gone)] == ["newcomers.toml", "starter.toml", None]


def test_a_single_file_is_a_deck_of_one(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(card("Mine"), "utf-8")
    deck = load_deck(tmp_path / "mine.toml")

    assert list(deck.cards) == ["mine.toml"]
    assert deck.chooser is None
    assert chosen(deck) == "Mine"


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "pro.cases.jsonl").write_text("", "utf-8")

    assert list(load_deck(tmp_path).cards) == ["newcomers.toml", "pro.toml", "starter.toml"]


def test_a_folder_without_a_choice_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(card("Mine"), "utf-8")
    with pytest.raises(Problems, match="the folder has no such file"):
        load_deck(tmp_path)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ('cards = ["starter.toml otherwise", "pro.toml when age > 1"]', "cards.toml:1: cards: “pro.toml when age > 1” is never reached → “otherwise” stands last"),
        ('cards = ["stater.toml otherwise"]', "there is no file 'stater.toml' beside cards.toml → did you mean 'starter.toml'?"),
        ('cards = ["starter.toml when a > 3"]', "'a' is not read yet when this is asked → write what is to be read"),
        ('cards = ["starter.toml when score > 3"]', "the score is not there yet when this is asked"),
        ('cards = ["starter.toml if age > 3"]', "“if age > 3” is not understood after “starter.toml”"),
        ('cards = ["starter.toml otherwise"]', "'newcomers.toml' is never chosen"),
        ("cards = []", "there is no card to choose"),
        ('card = ["starter.toml otherwise"]', "'card' means nothing here → did you mean 'cards'?"),
        ('cards = "starter.toml otherwise"', "is no list of texts"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_choice_is_told(choice: str, told: str) -> None:
    found = mistakes({**FILES, "cards.toml": choice})

    assert any(told in one for one in found), found


def test_the_mistakes_of_all_files_are_told_at_once() -> None:
    broken = FILES["pro.toml"].replace("30 days", "30 dais")
    found = mistakes({**FILES, "pro.toml": broken, "cards.toml": FILES["cards.toml"].replace("now >= 1", "now >= ")})

    assert [one.split(":")[0] for one in found] == ["cards.toml", "pro.toml"]
