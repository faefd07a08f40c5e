"""`keepwell preview NEW.toml`: real history lived again under the present card and under another. Writes nothing.

What comes of it is told by `worker/review/preview.py`; that it was done, `worker/cards.py` remembers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from worker import cards, replay
from worker.assess import shown_score
from worker.lib.clock import DAY, day_text, local_day, seconds
from worker.lib.problems import Problems
from worker.lib.rounding import half_up, plain
from worker.plays import files, rules
from worker.plays import records as plays_records
from worker.replay import Customer, Day, Life
from worker.review import preview as tally
from worker.review import words
from worker.review.preview import Farewell, Preview, Side, Turned, Watched, Writes
from worker.scoring.card import GREY, Card
from worker.scoring.choice import Deck, deck_of
from worker.scoring.flaps import Turns, turns
from worker.scoring.measures import Sources
from worker.scoring.score import Assessment, assess
from worker.web.reports import page
from worker.web.words import look as band_look
from worker.web.words import upper_first
from worker.workspace import Workspace, unfit

READ_TOGETHER: Final = 200
"""Contacts a call: reading and tagging many, as Keap has it; fields are read by tens and written one by one."""
FIELDS_TOGETHER: Final = 10
TENTH: Final = Decimal(9)
"""A measure of weight 1 beside others of weight 9 is a tenth."""
SHOWN: Final = 200
"""Customers on the page; JSON has them all."""

Progress = Callable[[int], None]
"""Told how many customers are done."""


def _quietly(done: int) -> None:
    """Tell nobody."""


def preview(workspace: Workspace, files: cards.Files, days: int = 90, progress: Progress = _quietly) -> Preview:
    """Live the last `days` days of everybody again, today included, under the card that counts and under this one.

    Nothing is written but that exactly these texts were previewed. Raises Problems for a card that cannot be read, or
    that does not go with the plays.
    """
    deck = deck_of(files)
    faults = [
        fault for file, card in deck.cards.items() for fault in unfit(card, workspace.plays, workspace.config, file)
    ]
    if faults:
        raise Problems(faults)
    found = _Previewing(workspace, deck, ", ".join(files), days, progress).tell()
    summary = json.dumps({"bands": found.after.bands, "turned": len(found.turned)}, sort_keys=True)
    cards.keep_preview(workspace.store, files, seconds(workspace.clock), days, summary)
    return found


def count(workspace: Workspace, days: int) -> int:
    """How many customers there are to look at."""
    return len(replay.customers(workspace.store, seconds(workspace.clock), days, workspace.time_zone))


def as_json(found: Preview) -> dict[str, Any]:
    """Ready for JSON."""
    return {**asdict(found), "days_of_warning_won": found.days_won}


def as_page(found: Preview) -> str:
    """All of it as one HTML page that needs no other file, host or script."""
    filters = {"band": band_look, "customers": words.customers, "day": words.day, "first_up": upper_first}
    return page("report_preview.html", filters, found=found, rows=tally.band_table(found), most=SHOWN, words=tally)


# -- living both ------------------------------------------------------------------------------------------------------


@dataclass
class _Tally:
    """What is counted under one deck."""

    deck: Deck
    bands: Counter[str] = field(default_factory=Counter)
    turns: Turns = field(default_factory=Turns)
    at_once: Turns = field(default_factory=Turns)
    """The turns there would have been without patience."""
    plays: Counter[str] = field(default_factory=Counter)

    def count(self, life: Life, plays: Mapping[str, files.Play]) -> None:
        """Count one customer's days."""
        card = self.deck.main
        self.turns += turns(card, list(zip(life.days, life.bands, strict=True)))
        self.at_once += turns(card, list(zip(life.days, life.at_once, strict=True)))
        self.plays.update(_set_off(life, plays))

    def side(self, customers: int) -> Side:
        """As the preview tells it."""
        bands = {name: self.bands[name] for name in (*self.deck.main.order, GREY)}
        return Side(
            self.deck.main.name, self.deck.version, bands, self.turns.changes, self.turns.flaps,
            tally.per_100(self.turns.flaps, customers), self.turns.alerts, self.at_once.alerts,
            dict(sorted(self.plays.items())),
        )  # fmt: skip


class _Previewing:
    """One preview."""

    def __init__(self, workspace: Workspace, deck: Deck, file: str, days: int, progress: Progress) -> None:
        self._workspace, self._file, self._days, self._progress = workspace, file, days, progress
        self._store, self._now = workspace.store, seconds(workspace.clock)
        sources = workspace.sources(self._now)
        self._down = sources.down
        self._sources = Sources(sources.connected)  # as if every source had always answered
        self._old, self._new = _Tally(workspace.deck), _Tally(deck)
        self._turned: list[Turned] = []
        self._farewells: list[Farewell] = []
        self._contacts = self._tags = self._fields = 0
        self._watched = {
            (file, name): (_counting(card, name), _Shift())
            for file, card in deck.cards.items()
            for name in _watched(card)
        }

    def tell(self) -> Preview:
        """All of it."""
        everybody = replay.customers(self._store, self._now, self._days, self._workspace.time_zone)
        both = replay.lives(self._store, (self._old.deck, self._new.deck), everybody, self._sources)
        for done, (old, new) in enumerate(both, start=1):
            self._look_at(old, new)
            self._progress(done)
        zone = self._workspace.time_zone
        today = local_day(self._now, zone)
        count = len(everybody)
        order = {name: place for place, name in enumerate((*self._new.deck.main.order, GREY))}
        self._turned.sort(key=lambda one: (-order.get(one.after, 0), one.name, one.customer_id))
        return Preview(
            business=self._workspace.config.workspace.name, file=self._file,
            since=day_text(today - self._days + 1), until=day_text(today), days=self._days, customers=count,
            before=self._old.side(count), after=self._new.side(count), turned=tuple(self._turned),
            farewells=tuple(sorted(self._farewells, key=lambda one: (one.on, one.name, one.customer_id))),
            writes=Writes(self._contacts, self._tags, self._fields, self._calls()),
            watched=tuple(shift.told(name) for (_, name), (_, shift) in self._watched.items()),
            remarks=tuple(self._remarks()),
        )  # fmt: skip

    def _look_at(self, was: Life, would: Life) -> None:
        plays = self._workspace.plays
        self._old.count(was, plays)
        self._new.count(would, plays)
        before, after = was.last, would.last
        if before is None or after is None:
            return
        self._farewell(was, would)
        if before.moment.at < self._now:
            return  # gone by now: nobody is shown anywhere
        self._old.bands[before.band] += 1
        self._new.bands[after.band] += 1
        self._written(before, after)
        if before.band != after.band:
            self._turned.append(self._turn(before, after, was.customer))
        for (file, _), (card, shift) in self._watched.items():
            if self._new.deck.cards[file] is after.card:
                shift.add(after.assessment, assess(card, after.assessment.readings))

    def _farewell(self, was: Life, would: Life) -> None:
        """A departure by choice in these days, and how long either card had warned."""
        past = was.customer.past
        outcomes = {one.removeprefix("left ") for one in self._new.deck.main.leaving} or {"by choice"}
        since = self._now - self._days * DAY
        for departure in past.departures():
            if departure.how not in outcomes or not since < departure.at <= self._now:
                continue
            on = local_day(departure.at, past.time_zone)
            self._farewells.append(
                Farewell(
                    past.customer_id, past.name, day_text(on),
                    _warned(self._old.deck, was.days, was.bands, on), _warned(self._new.deck, would.days, would.bands, on),
                    _warned(self._new.deck, would.days, would.at_once, on),
                )
            )  # fmt: skip

    def _turn(self, before: Day, after: Day, customer: Customer) -> Turned:
        happening = _happening(customer, after, before.band, frozenset())
        return Turned(
            customer.id, customer.past.name, before.band, after.band,
            shown_score(before.assessment), shown_score(after.assessment),
            tuple(tally.differences(before.card, before.assessment, after.card, after.assessment)),
            tally.ledger(before.assessment, after.assessment),
            tuple(name for name, play in sorted(self._workspace.plays.items()) if rules.fires(play, happening)),
        )  # fmt: skip

    def _written(self, before: Day, after: Day) -> None:
        """What the CRM would have to show otherwise."""
        old, new = shown_score(before.assessment), shown_score(after.assessment)
        least = max(1, self._workspace.config.crm.write_when_moved)
        moved = bool(old) != bool(new) or (bool(old) and abs(int(old) - int(new)) >= least)
        if before.band == after.band and not moved:
            return
        store, crm = self._store, self._workspace.crm_source
        if plays_records.main_contact(store, after.moment.customer_id, crm) is None:
            return
        self._contacts += 1
        self._tags += before.band != after.band
        fields = 2 + (before.band != after.band) + (old != new)  # the reason and its date with them
        self._fields += fields

    def _calls(self) -> int:
        """About how many calls: one write a contact, read and looked at again by tens, tags on and off by the hundred."""
        reads = -(-self._contacts // READ_TOGETHER) + 2 * -(-self._contacts // FIELDS_TOGETHER)
        bands = len(self._new.deck.main.bands)
        tags = 2 * min(self._tags, max(-(-self._tags // READ_TOGETHER), bands)) if self._tags else 0
        return reads + self._contacts + tags

    def _remarks(self) -> Iterator[str]:
        if self._down:
            names = ", ".join(sorted(self._down))
            yield f"a source is down ({names}): the last days look emptier here than they may have been"
        read = frozenset().union(*(card.kinds() for card in self._new.deck.cards.values()))
        kinds = sorted(read - set(self._sources.connected or ()))
        silent = [kind for kind in kinds if not kind.startswith("custom.")]
        if silent:
            yield f"nothing is known of {', '.join(silent)}: what the new card reads of it stays out"


def _warned(deck: Deck, days: Sequence[int], bands: Sequence[str], on: int) -> int:
    before = [band for day, band in zip(days, bands, strict=True) if day < on]
    return tally.in_a_row(before, deck.main.order[-1])


# -- plays ------------------------------------------------------------------------------------------------------------


def _set_off(life: Life, plays: Mapping[str, files.Play]) -> Iterator[str]:
    """The plays that bands and signals would have set off, each no more often than it may."""
    last_acts: dict[str, int] = {}
    for day in life.events:
        happening = _happening(life.customer, day, day.turned_from, day.new_signals)
        for name, play in plays.items():
            waited = day.moment.at - last_acts.get(name, -(10**12))
            if rules.fires(play, happening) and waited >= play.at_most_every * DAY:
                last_acts[name] = day.moment.at
                yield name


def _happening(customer: Customer, day: Day, old_band: str, signals: frozenset[str]) -> rules.Happening:
    answers = (day.card.measures[one.measure].do for one in day.assessment.drivers)
    return rules.Happening(
        customer.id, customer.past.name, day.moment.at, str(day.moment.today), day.band, old_band,
        answers=tuple(dict.fromkeys(play for play in answers if play)), new_signals=signals,
    )  # fmt: skip


# -- what is only watched ---------------------------------------------------------------------------------------------


@dataclass
class _Shift:
    """How far scores and bands would have moved."""

    customers: int = 0
    bands: int = 0
    points: Decimal = Decimal(0)

    def add(self, before: Assessment, after: Assessment) -> None:
        """Count one customer."""
        self.customers += 1
        self.bands += before.band != after.band
        if before.score is not None and after.score is not None:
            self.points += abs(before.score - after.score)

    def told(self, measure: str) -> Watched:
        """As the preview tells it."""
        mean = self.points / self.customers if self.customers else Decimal(0)
        return Watched(measure, self.bands, plain(half_up(mean, 1)))


def _watched(card: Card) -> list[str]:
    """The measures that are only watched and could count: their points go into a mean."""
    return [
        name for name, one in card.measures.items()
        if one.watch_only and one.points is not None and card.score.combine in ("weighted mean", "mean")
    ]  # fmt: skip


def _counting(card: Card, name: str) -> Card:
    """The card as if this measure counted for a tenth of the score."""
    shares = sum((*card.score.measures.values(), *card.score.dimensions.values()), Decimal(0))
    score = replace(card.score, measures={**card.score.measures, name: shares / TENTH})
    measures = {**card.measures, name: replace(card.measures[name], watch_only=False)}
    return replace(card, measures=measures, score=score)
