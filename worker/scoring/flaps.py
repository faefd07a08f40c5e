"""How often the bands of a customer turned, for the worse, and to and fro. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from worker.scoring.card import GREY, Card

BACK_WITHIN: Final = 14
"""Days within which a turn that is taken back was a flap."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How often bands turned."""

    changes: int = 0
    alerts: int = 0
    """Turns for the worse; into grey is one."""
    flaps: int = 0
    """Turns that were taken back within 14 days."""

    def __add__(self, other: Turns) -> Turns:
        """Of both together."""
        return Turns(self.changes + other.changes, self.alerts + other.alerts, self.flaps + other.flaps)


def turns(card: Card, lived: Sequence[tuple[int, str]]) -> Turns:
    """Count the turns of one customer.

    `lived` is (number of the local day, band) of each day, oldest first; the cards of a folder share their bands.
    """
    changes = [(day, old, new) for (_, old), (day, new) in pairwise(lived) if old != new]
    worse = sum(
        new == GREY or (old != GREY and card.order.index(new) > card.order.index(old)) for _, old, new in changes
    )
    flaps = sum(back_on - on <= BACK_WITHIN and old == back for (on, old, _), (back_on, _, back) in pairwise(changes))
    return Turns(len(changes), worse, flaps)
