"""Where a person's pulse and the band part by two steps: somebody is asked once, and answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.scoring.card import GREY, Card

PARTED: Final = 2
"""Steps from which on it is a disagreement."""
AGREED_AGAIN: Final = "agreed again"
TOO_OLD: Final = "the pulse is too old to speak"
RIGHT: Final = {"score": "the score", "pulse": "the pulse"}
"""Who was right, as it is written and as it is kept."""

_PLACES: Final = {5: 0, 4: 0, 3: 1, 2: 2, 1: 2}
"""A pulse on the way from best (0) to worst (2)."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a person thinks of a customer."""

    value: int
    """1 (worst) to 5."""
    at: int
    """Epoch seconds."""
    source: str
    source_id: str
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One, open or closed."""

    id: str
    customer_id: str
    name: str
    """The customer's."""
    owner: str
    """Who is asked; "" for the team."""
    band: str
    pulse: int
    pulse_at: int
    pulse_source: str
    pulse_source_id: str
    pulse_author: str
    opened_at: int
    asked_at: int | None = None
    closed_at: int | None = None
    answer: str | None = None
    was_right: str | None = None
    author: str | None = None

    def is_about(self, band: str, pulse: Pulse) -> bool:
        """Whether it is this pulse that parted from this band."""
        return (self.band, self.pulse_source, self.pulse_source_id, self.pulse, self.pulse_at, self.pulse_author) == (
            band, pulse.source, pulse.source_id, pulse.value, pulse.at, pulse.author,
        )  # fmt: skip


def parted(card: Card, band: str, pulse: int) -> int:
    """How many whole steps of three (best, middle, worst) band and pulse are apart, whatever the number of bands.

    5 and 4 are best, 3 is the middle, 2 and 1 are worst. Grey parts from nothing, nor does a band the card lacks.
    """
    if band == GREY or band not in card.order or len(card.order) < 2:
        return 0
    last = len(card.order) - 1
    return abs(2 * card.order.index(band) - _PLACES[pulse] * last) // last


def closes(card: Card, band: str, pulse: Pulse | None) -> str:
    """The answer with which an open disagreement closes by itself; "" while it stands. Under grey it waits."""
    if pulse is None:
        return TOO_OLD
    return AGREED_AGAIN if band != GREY and parted(card, band, pulse.value) < PARTED else ""


def question(one: Disagreement, score: str, why: str, note: str) -> tuple[str, str]:
    """Title and text of what the owner is asked. `score` is as people see it, "" while unknown."""
    who = one.owner or "Team"
    author = one.pulse_author or "the pulse"
    said = f": “{note}”" if note else ""
    standing = f"{one.band}, {score}" if score else one.band
    text = f"{author} says {one.pulse} of 5{said}. The score says {standing} ({why}). Who is right?"
    return f"{who}: score and pulse part over {one.name or one.customer_id}", text
