"""Which card a customer is judged by: a folder of cards with `cards.toml`, or a single file.

    cards = ["newcomers.toml when age < 90 days", "pro.toml when attribute plan is 'pro'", "starter.toml otherwise"]
    who = "number of active subscriptions now >= 1"

The first that fits counts; without an `otherwise` the rest is not scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Final

from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell, written
from worker.scoring import phrases, scorecard
from worker.scoring.card import GREY, Band, Card, Hold, Measure, Mix
from worker.scoring.expressions import Expression, Known, Spoken, Value, leaves, truth
from worker.scoring.loading.conditions import Asking
from worker.scoring.loading.page import Page, Place

FILE: Final = "cards.toml"
"""What the file of the choice is called."""

KEYS: Final = ("cards", "who")


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of `cards`."""

    file: str
    when: Expression | None
    """None for `otherwise`."""


@dataclass(frozen=True)
class Deck:
    """The cards of a business. A single file is a deck of one."""

    cards: Mapping[str, Card]
    """By file name, in the order of the choice."""
    choices: tuple[Choice, ...]
    who: Expression | None = None
    """Who is scored at all, by the folder; each card may say so for its own as well."""

    @property
    def main(self) -> Card:
        """The last of the choice: the card for whoever is left, and of a deck of one the only one."""
        return self.cards[self.choices[-1].file]

    @cached_property
    def version(self) -> str:
        """A short hash of what all of it says; of a single card the card's own."""
        if len(self.cards) == 1 and self.choices[-1].when is None and self.who is None:
            return self.main.version
        said = [(one.file, self.cards[one.file].version, repr(one.when)) for one in self.choices]
        return hashlib.sha256(repr((said, repr(self.who))).encode()).hexdigest()[:12]

    def card_of(self, version: str) -> Card | None:
        """The card that made a score; None where it is of another deck."""
        return next((card for card in self.cards.values() if card.version == version), None)

    @cached_property
    def chooser(self) -> Card | None:
        """A little card of what the conditions speak, to be read by `measures.read`; None where nothing is asked."""
        asked = [self.who, *(choice.when for choice in self.choices), *(card.who for card in self.cards.values())]
        spoken = [leaf for one in asked if one is not None for leaf in leaves(one) if isinstance(leaf, Spoken)]
        if not spoken:
            return None
        return Card(
            name="who is judged by which card",
            goal="",
            version="",
            measures={leaf.text: Measure(name=leaf.text, read=leaf.read, spoken=True) for leaf in spoken},
            dimensions={},
            rules={},
            signals={},
            bands=(Band("red", Decimal(0)),),
            worse=Hold(),
            better=Hold(),
            least_known=Decimal(0),
            leaving=(),
            score=Mix(),
        )

    def choose(self, known: Mapping[str, Value]) -> Card | None:
        """The card for a customer of whom this is known, by the names of `chooser`; None who is not scored."""
        chosen = self.chosen(known)
        return None if chosen is None else self.cards[chosen]

    def chosen(self, known: Mapping[str, Value]) -> str | None:
        """The same, as the file's name."""
        seen = Known(known, GREY, ())
        if self.who is not None and not truth(self.who, seen):
            return None
        for choice in self.choices:
            if choice.when is None or truth(choice.when, seen):
                who = self.cards[choice.file].who
                return choice.file if who is None or truth(who, seen) else None
        return None


def load_deck(path: Path) -> Deck:
    """Read a card's file, or a folder of cards. Raises Problems with every mistake of all its files at once."""
    if not path.is_dir():
        return deck_of({path.name: written(path)})
    problems: list[Problem] = []
    texts = {}
    for one in sorted(path.glob("*.toml")):
        try:
            texts[one.name] = written(one)
        except Problems as found:
            problems.extend(found.problems)
    if FILE not in texts and not problems:
        cure = f'write one with cards = ["starter.toml otherwise"], or name a single file of {path.name}'
        raise Problems([Problem(f"{path.name}/{FILE}", 0, "", "the folder has no such file", cure)])
    if problems:
        raise Problems(problems)
    return deck_of(texts)


def deck_of(texts: Mapping[str, str]) -> Deck:
    """The same from texts by file name; without `cards.toml` it is one card alone. Raises Problems likewise."""
    if FILE not in texts:
        ((file, text),) = texts.items()
        return Deck({file: scorecard.load(text, file)}, (Choice(file, None),))
    problems: list[Problem] = []
    found: dict[str, Card] = {}
    for file, text in texts.items():
        if file == FILE:
            continue
        try:
            found[file] = scorecard.load(text, file)
        except Problems as mistakes:
            problems.extend(mistakes.problems)
    choices: tuple[Choice, ...] = ()
    who = None
    try:
        choices, who = _choices(texts)
    except Problems as mistakes:
        problems.extend(mistakes.problems)
    if problems:
        raise Problems(problems)
    return Deck({choice.file: found[choice.file] for choice in choices}, choices, who)


def _choices(texts: Mapping[str, str]) -> tuple[tuple[Choice, ...], Expression | None]:
    """What `cards.toml` says. Raises Problems."""
    page = Page(texts[FILE], FILE)
    page.only(page.data, (), KEYS)
    example = '["newcomers.toml when age < 90 days", "starter.toml otherwise"]'
    lines = page.texts("cards", example)
    if not lines and not isinstance(page.data.get("cards"), str):
        page.note(("cards",), "there is no card to choose", f"write cards = {example}")
    asking = Asking(page)
    files = [file for file in texts if file != FILE]
    choices: list[Choice] = []
    for index, line in enumerate(lines):
        place: Place = ("cards", index)
        if choices and choices[-1].when is None:
            page.note(place, f"“{line}” is never reached", "“otherwise” stands last")
        choice = page.sentence(phrases.choice, place, line)
        if choice is None:
            continue
        file, when = choice
        if file not in files:
            page.note(place, f"there is no file {file!r} beside {FILE}", spell(file, files))
        if when is not None:
            asking.choosing(place, when)
        choices.append(Choice(file, when))
    who = asking.who()
    for file in sorted(set(files) - {choice.file for choice in choices}) if page.is_sound else ():
        page.note(("cards",), f"{file!r} is never chosen", f'add "{file} when …" to cards, or move the file elsewhere')
    page.end()
    return tuple(choices), who
