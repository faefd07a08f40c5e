"""Which card each customer is judged by at a moment: what the deck's conditions ask, read and answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.lib.store import Store
from worker.scoring import measures
from worker.scoring.card import Card
from worker.scoring.choice import Deck
from worker.scoring.measures import NOTHING, Given, Moment, Sources


def dealt(
    store: Store,
    deck: Deck,
    moments: Sequence[Moment],
    sources: Sources | None = None,
    *,
    known: bool = False,
    given: Given = NOTHING,
) -> Iterator[tuple[Card, list[Moment]]]:
    """Each card of the deck with the moments it is for, in the deck's order; who is not scored is with none of them.

    Arguments as for `measures.read`.
    """
    hands: dict[str, list[Moment]] = {file: [] for file in deck.cards}
    chooser = deck.chooser
    asked = {} if chooser is None else measures.read(store, chooser, moments, sources, known=known, given=given)
    for moment in moments:
        readings = asked.get(moment.customer_id, {})
        file = deck.chosen({name: one.value for name, one in readings.items() if one.value is not None})
        if file is not None:
            hands[file].append(moment)
    return ((deck.cards[file], hand) for file, hand in hands.items() if hand)
