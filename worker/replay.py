"""Past days lived again under any card: how everybody stood at the end of each, for previews. Keeps nothing.

Facts count from when they happened, as if every source had always answered; what people said against a score is left out.
One look at everybody's days is enough for a card whose measures look at one customer alone: their windows slide
(`scoring/sliding.py`), and who is as the day before is not judged again. Other cards are read once a day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from worker.lib.clock import end_of_day, local_day
from worker.lib.store import Row, Store, sql
from worker.review import records
from worker.review.past import Past
from worker.scoring import population
from worker.scoring.alike import edges_of, part
from worker.scoring.bands import Standing, settle
from worker.scoring.card import Card
from worker.scoring.choice import Deck
from worker.scoring.dealing import dealt
from worker.scoring.measures import Moment, Reading, Sources
from worker.scoring.score import Assessment, assess
from worker.scoring.sliding import History, Sliding, slides

TOGETHER: Final = 500
"""Customers whose days are in memory at once."""

REMEMBERED: Final = 20_000
"""Assessments that are kept for whoever comes to the same points."""

Readings = Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose days are lived again."""

    past: Past
    moments: tuple[Moment, ...]
    """The end of each local day on which they were a customer, oldest first; of today the present moment."""

    @property
    def id(self) -> str:
        """The customer's id."""
        return self.past.customer_id


def customers(store: Store, now: int, days: int, time_zone: str) -> list[Customer]:
    """Everybody who was a customer on one of the last `days` days, today included, by id."""
    found = []
    for past in records.pasts(store, now, time_zone).values():
        today = local_day(now, past.time_zone)
        moments = (
            Moment(past.customer_id, now if day == today else end_of_day(day, past.time_zone), day)
            for day in range(today - days + 1, today + 1)
        )
        here = tuple(one for one in moments if _is_here(past, one.at))
        if here:
            found.append(Customer(past, here))
    return sorted(found, key=lambda one: one.id)


def _is_here(past: Past, at: int) -> bool:
    """Whether an assessment as of then would have looked at them."""
    last = None
    for step in past.steps:
        if step.at > at:
            break
        last = step
    return at >= past.first_known and (last is None or last.kind != "left")


# -- lives ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """How a customer stood at the end of a day."""

    moment: Moment
    card: Card
    """That judged them; of a folder of cards it may be another tomorrow."""
    assessment: Assessment
    """Score, bands, drivers, rules and signals; its measures only on the last day (see `Life.last`)."""
    band: str
    turned_from: str = ""
    """The band before, where it turned on this day."""
    new_signals: frozenset[str] = frozenset()


@dataclass
class Life:
    """A customer's days under one card, or one folder of cards. On days on which no card is for them they do not live."""

    customer: Customer
    days: list[int] = field(default_factory=list)
    """The numbers of the local days, oldest first, and beside them …"""
    bands: list[str] = field(default_factory=list)
    """… the band at the end of each."""
    at_once: list[str] = field(default_factory=list)
    """… and the band that it would have been without any patience."""
    events: list[Day] = field(default_factory=list)
    """The days on which the band turned or a signal came up. On the first nothing does: all is new then."""
    last: Day | None = None
    """The last day, with everything of its assessment."""

    _standing: Standing | None = None
    _before: Assessment | None = None

    def live(self, card: Card, moment: Moment, assessment: Assessment) -> None:
        """One more day."""
        previous, before = self._standing, self._before
        if previous is None or assessment is not before or previous.waiting is not None:
            self._standing = settle(card, previous, assessment, moment.at, moment.today)
        standing = self._standing
        assert standing is not None
        self._before = assessment
        self.days.append(moment.today)
        self.bands.append(standing.band)
        self.at_once.append(assessment.band)
        if previous is None or before is None:
            self.last = Day(moment, card, assessment, standing.band)
            return
        new = frozenset(assessment.signals) - frozenset(before.signals) if assessment is not before else frozenset()
        turned = previous.band if previous.band != standing.band else ""
        self.last = Day(moment, card, assessment, standing.band, turned, new)
        if turned or new:
            self.events.append(self.last)


def lives(
    store: Store, decks: Sequence[Deck], asked: Sequence[Customer], sources: Sources
) -> Iterator[tuple[Life, ...]]:
    """Everybody's days under each of these decks, in the order of `asked` (by id)."""
    if all(slides(card) for deck in decks for card in deck.cards.values()):
        yield from slid(store, decks, asked, sources)
    else:
        yield from zip(*(day_by_day(store, deck, asked, sources) for deck in decks), strict=True)


def day_by_day(store: Store, deck: Deck, asked: Sequence[Customer], sources: Sources) -> Iterator[Life]:
    """The same by one pass over everybody a day: for any card, and slow."""
    found = {one.id: Life(one) for one in asked}
    by_day: dict[int, list[Moment]] = defaultdict(list)
    for one in asked:
        for moment in one.moments:
            by_day[moment.today].append(moment)
    for _, moments in sorted(by_day.items()):
        at = {moment.customer_id: moment for moment in moments}
        for customer_id, (card, readings) in _read(store, deck, moments, sources).items():
            found[customer_id].live(card, at[customer_id], assess(card, readings))
    yield from found.values()


def _read(store: Store, deck: Deck, moments: Sequence[Moment], sources: Sources) -> dict[str, tuple[Card, Readings]]:
    """{customer: the card that is for them, and its readings}."""
    found: dict[str, tuple[Card, Readings]] = {}
    for card, hand in dealt(store, deck, moments, sources):
        for batch in population.read_in_batches(store, card, hand, sources, everyone=moments):
            found.update((customer_id, (card, readings)) for customer_id, readings in batch.items())
    return found


# -- windows that slide -----------------------------------------------------------------------------------------------


def slid(
    store: Store, decks: Sequence[Deck], asked: Sequence[Customer], sources: Sources
) -> Iterator[tuple[Life, ...]]:
    """The same by one look at everybody's days, for cards that `slides`. The present day is read by a pass of its own."""
    hands: list[_Hand] = []
    cards: list[Card] = []
    for deck in decks:
        hands.append(_Hand(deck, len(cards)))
        cards += hands[-1].cards
    sliding = Sliding(cards, sources)
    for start in range(0, len(asked), TOGETHER):
        some = asked[start : start + TOGETHER]
        found = histories(store, sliding, some[0].id, some[-1].id)
        present = [_read(store, deck, [one.moments[-1] for one in some], sources) for deck in decks]
        for one in some:
            told = tuple(Life(one) for _ in decks)
            for moment, readings in zip(one.moments, sliding.readings(found[one.id], one.moments[:-1]), strict=False):
                for life, hand in zip(told, hands, strict=True):
                    judging = hand.dealt(readings) if readings else None
                    if judging is not None and readings:
                        life.live(judging.card, moment, judging.judged(readings[judging.place]))
            for life, last in zip(told, present, strict=True):
                if one.id in last:
                    card, read = last[one.id]
                    life.live(card, one.moments[-1], assess(card, read))
            yield told


class _Hand:
    """A deck among cards that slide together: its chooser first, where it has one."""

    def __init__(self, deck: Deck, begin: int) -> None:
        """`begin` is the place of its first card among all."""
        self._deck, self._chooser = deck, None if deck.chooser is None else begin
        self.cards = [*([] if deck.chooser is None else [deck.chooser]), *deck.cards.values()]
        first = begin + (deck.chooser is not None)
        self._judging = {file: _Judging(card, first + n) for n, (file, card) in enumerate(deck.cards.items())}
        self._last: tuple[Readings, str | None] | None = None

    def dealt(self, readings: Sequence[Readings]) -> _Judging | None:
        """Whoever judges on a day of these readings; None where no card is for the customer."""
        if self._chooser is None:
            file = self._deck.chosen({})
        else:
            asked = readings[self._chooser]
            if self._last is None or self._last[0] is not asked:
                known = {name: one.value for name, one in asked.items() if one.value is not None}
                self._last = asked, self._deck.chosen(known)
            file = self._last[1]
        return None if file is None else self._judging[file]


def histories(store: Store, sliding: Sliding, first: str, last: str) -> dict[str, History]:
    """What the card's measures can be made of, for everybody between two ids."""
    between = {"first_id": first, "last_id": last}
    days: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for customer_id, rows in groupby(_rolled(store, sliding, between), key=lambda row: row["customer_id"]):
        for row in rows:
            days[customer_id][row["kind"]].append(row)
    attributes: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    if sliding.attributes:
        for row in store.rows(sql("changing", "attributes_between"), between):
            attributes[row["customer_id"]][row["name"]].append(row)
    return {
        row["id"]: History(row["first_at"], days[row["id"]], attributes[row["id"]])
        for row in store.rows(sql("changing", "begun"), between)
    }


def _rolled(store: Store, sliding: Sliding, between: Mapping[str, str]) -> list[Row]:
    binds: dict[str, Any] = {f"kind{place}": kind for place, kind in enumerate(sorted(sliding.kinds))}
    if not binds:
        return []
    kinds = ", ".join(f":{name}" for name in binds)
    # S608: the kinds are binds
    text = f"""
    select customer_id, kind, label, day, n, total, lowest, highest, first_at, first_value, last_at, last_value
    from rollup
    where customer_id >= :first_id and customer_id <= :last_id and kind in ({kinds})
    order by customer_id, kind, label, day"""  # noqa: S608
    return store.rows(text, {**between, **binds})


class _Judging:
    """A card that does not judge twice what it must judge alike: equal points, and equal values where a condition looks.

    An assessment that was made for another customer has that customer's readings in it, and everything else is right.
    """

    def __init__(self, card: Card, place: int) -> None:
        self.card, self.place = card, place
        self._edges = edges_of(card)
        self._counted = frozenset(card.in_dimensions())
        self._tokens: dict[str, dict[int, tuple[Reading, object]]] = {name: {} for name in card.measures}
        self._judged: dict[tuple[object, ...], Assessment] = {}
        self._last: tuple[Readings, Assessment] | tuple[None, None] = (None, None)

    def judged(self, readings: Readings) -> Assessment:
        """As `assess`, but for the readings inside."""
        if readings is self._last[0]:
            return self._last[1]
        key = tuple([self._token(name, readings[name]) for name in self._tokens])
        found = self._judged.get(key)
        if found is None:
            if len(self._judged) >= REMEMBERED:
                self._judged.clear()
            found = self._judged[key] = assess(self.card, readings)
        self._last = readings, found
        return found

    def _token(self, name: str, reading: Reading) -> object:
        """What of a reading the assessment depends on. Found again by the very object: most readings are shared."""
        known = self._tokens[name]
        found = known.get(id(reading))
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            found = known[id(reading)] = (reading, self._told(name, reading))
        return found[1]

    def _told(self, name: str, reading: Reading) -> object:
        points = self.card.measures[name].points
        seen = part(self._edges, name, reading.value)
        if name not in self._counted:
            return seen
        if self.card.measures[name].instead:
            seen = reading.value
        if reading.state != "value" or reading.value is None or points is None:
            return seen, reading.state, reading.current is None
        return seen, points.awarded(reading.value)
