"""From facts to the values of a card's measures, as of a moment for each customer: set-based passes of SQL.

The roll-up knows whole days. Where a customer has facts on the day of the moment that came after it, the facts are
read instead, so that any moment, past or present, is exact: what happens after it has no influence.

Here a customer is read alone. Ranks, roll-ups and the portfolio's normal, which look at others, are `population`'s.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation, localcontext
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

from worker.lib.rounding import CONTEXT, nine
from worker.lib.store import Store, sql
from worker.scoring.answers import Answer, Find, Raw, Rows, attribute_in, day_in
from worker.scoring.asking import BORN, FIRST, PLACE, WHOSE, Asked, Door, ask
from worker.scoring.card import Card, Measure
from worker.scoring.derived import Formula
from worker.scoring.expressions import Known, Value
from worker.scoring.reads import Calendar, Read
from worker.scoring.rests import in_order, needs_others, reads_of, resting_on, rests_on

State = Literal["value", "never", "source_down", "expired", "not_applicable"]

BATCH: Final = 2_000
"""Customers a statement: so many rows fit in memory however many customers there are."""

SINCE: Final = "customer_since"
"""The attribute with the date on which they became a customer, where we know it better than by what we heard."""

_DAY: Final = 86_400

_REMEMBERED: Final = 8_192
"""Readings kept for each measure: most customers have one of a few."""


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when a customer is read: epoch seconds, and the number of the customer's local day they fall in."""

    customer_id: str
    at: int
    today: int
    age_known: bool = True
    """False where only the attribute `customer_since` can say for how long they have been one."""
    since: int | None = None
    """Since when they had been a customer, as was known then; None for what we know of it today. A later delivery may
    tell of an earlier beginning, so a past that is read as it was known must say."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What we can know at all."""

    connected: Collection[str] | None = None
    """The kinds that some connected source can give, and those of your own that were ever heard; None where every kind
    is (as in `keepwell eval`)."""
    down: Collection[str] = frozenset()
    """The kinds whose source has not succeeded for too long."""

    def state(self, measure: Measure) -> State:
        """What these say about a measure, before any fact is looked at.

        Where it reads several kinds together, one that is connected is enough.
        """
        kinds = [side.kinds for side in (measure.read, measure.against) if isinstance(side, Read) and side.kinds]
        if self.connected is not None and any(not any(one in self.connected for one in side) for side in kinds):
            return "not_applicable"
        return "source_down" if any(kind in self.down for kind in measure.kinds) else "value"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a measure was for one customer at one moment."""

    state: State
    value: Value | None = None
    """A number of nine places at most, or a text (an attribute, a label); None unless the state is `value`, or
    `source_down` with a last good value."""
    current: Decimal | None = None
    """Where the value is held against a normal: what was read, before it became a share."""
    normal: Decimal | None = None
    """The normal; None where there is none."""
    day: int | None = None
    """The local day of the answer or the event that spoke; None for what is counted."""
    frozen: State | None = None
    """While the source is down: the state it stays in."""


Readings = dict[str, Reading]
"""{measure: reading}, the sentences that conditions speak among them."""

Given = Mapping[str, Mapping[str, Reading]]
"""{customer: {measure: reading}} of what is not to be read but taken as said."""

NOTHING: Final[Given] = MappingProxyType({})
"""Nothing is given: all is read."""


def read(
    store: Store,
    card: Card,
    moments: Sequence[Moment],
    sources: Sources | None = None,
    *,
    known: bool = False,
    given: Given = NOTHING,
) -> dict[str, Readings]:
    """Read every measure of the card for these customers: {customer: {measure: reading}}.

    One moment a customer. A customer who did not exist yet at the moment is left out. With `known`, only what we had
    learned by the moment counts, as the look-back wants it; that reads the facts, and takes longer. What is `given`
    is taken as it is, and not read.

    A measure that looks at other customers is `never` here; `population.read` reads those too.
    """
    found: dict[str, Readings] = {}
    for batch in read_in_batches(store, card, moments, sources, known=known, given=given):
        found.update(batch)
    return found


def read_in_batches(
    store: Store,
    card: Card,
    moments: Sequence[Moment],
    sources: Sources | None = None,
    *,
    known: bool = False,
    given: Given = NOTHING,
    people: bool = False,
    size: int = BATCH,
) -> Iterator[dict[str, Readings]]:
    """As `read`, so many customers at a time, so that memory does not grow with them.

    With `people` each moment's `customer_id` is an identity: one person, read by their own facts and attributes.
    """
    door = Door(facts=known or people, known=known, people=people)
    has_calendar = any(isinstance(one.window, Calendar) for one in reads_of(card.measures))
    days: dict[int | None, list[Moment]] = defaultdict(list)
    for moment in moments:
        days[moment.today if has_calendar else None].append(moment)
    for today, group in days.items():
        pass_ = _Pass(card, sources or Sources(), today, door, given)
        try:
            for start in range(0, len(group), size):
                yield pass_.read(store, group[start : start + size])
        finally:
            pass_.end(store)


class Wanted:
    """What a card asks of facts and attributes, where the calendar's windows are those of one day."""

    def __init__(self, card: Card, sources: Sources, today: int | None) -> None:
        """`today` may be None for a card that asks nothing of the calendar."""
        self.states = {name: sources.state(one) for name, one in card.measures.items()}
        self.measures = {name: _dated(one, today) for name, one in card.measures.items()}
        known = {name: one for name, one in self.measures.items() if self.states[name] == "value"}
        self.reads = list(reads_of(known))
        self.attributes = {one.attribute for one in self.reads if one.attribute}
        if any(one.what == "age" for one in self.reads) or any(one.not_in_first for one in card.measures.values()):
            self.attributes.add(SINCE)


class Told:
    """How the rows of a customer become readings, whoever brought them: the statement, or windows that slide."""

    def __init__(self, wanted: Wanted, asked: Asked, given: Given = NOTHING) -> None:
        """`asked` says where in the rows each read finds its numbers."""
        self._asked, self._given = asked, given
        own = wanted.measures
        others = resting_on(own, frozenset(name for name, one in own.items() if needs_others(one)))
        alone = [_Alone(own[name], wanted.states[name], asked, later=name in others) for name in in_order(own)]
        self._plain = [(one.name, one.raw, one.of_raw) for one in alone if one.is_plain]
        self._others = [one for one in alone if not one.is_plain]

    def readings(self, moment: Moment, rows: Rows) -> Readings:
        """What every measure is for a customer of whom these rows tell."""
        age = self._age(moment, rows)
        given = self._given.get(moment.customer_id, {})
        # Most measures of most cards: this line is what a pass spends its time on, beside the database.
        found = {name: of_raw(raw(rows, moment.today, age), None) for name, raw, of_raw in self._plain}
        found.update((name, given[name]) for name in given if name in found)
        for one in self._others:
            found[one.name] = given.get(one.name) or one.reading(moment, rows, age, found)
        return found

    def renewed(self, moment: Moment, rows: Rows, kept: Readings) -> Readings:
        """The same, where these readings are known already."""
        age = self._age(moment, rows)
        found = dict(kept)
        for name, raw, of_raw in self._plain:
            if name not in kept:
                found[name] = of_raw(raw(rows, moment.today, age), None)
        for one in self._others:
            if one.name not in kept:
                found[one.name] = one.reading(moment, rows, age, found)
        return found

    def _age(self, moment: Moment, rows: Rows) -> int | None:
        """In whole days; None where nobody knows."""
        since = attribute_in(rows, self._asked.attributes.get(SINCE, -1))
        day = None if since is None else day_in(since)
        if day is not None:
            return max(moment.today - day, 0)
        begun: int = rows[BORN][0][FIRST]
        return (moment.at - begun) // _DAY if moment.age_known else None


class _Pass:
    """The statement for a card, and what its rows tell."""

    def __init__(self, card: Card, sources: Sources, today: int | None, door: Door, given: Given) -> None:
        wanted = Wanted(card, sources, today)
        self._door = door
        self._asking = (wanted.reads, wanted.attributes)
        self._asked = ask(*self._asking, door)
        self._told = Told(wanted, self._asked, given)
        self._open: tuple[str, ...] = ()

    def read(self, store: Store, moments: Sequence[Moment]) -> dict[str, Readings]:
        rows = self._rows(store, moments)
        found: dict[str, Readings] = {}
        for moment in moments:
            got = rows.get(moment.customer_id)
            if got is not None and BORN in got:
                found[moment.customer_id] = self._told.readings(moment, got)
        return found

    def _rows(self, store: Store, moments: Sequence[Moment]) -> dict[str, dict[int, list[tuple[Any, ...]]]]:
        this, cut = secrets.token_hex(8), secrets.token_hex(8)
        # The long look is no part of the transaction: while it lasts another process may write, or read its own.
        with store.atomic():
            self.end(store)
            store.many(
                sql("scoring", "add_moment"),
                [
                    {"pass": this, "customer_id": m.customer_id, "at": m.at, "today": m.today, "since": m.since}
                    for m in moments
                ],
            )
            is_cut = self._door.is_rollup and store.run(sql("scoring", "cut_days"), {"pass": this, "cut": cut})
        self._open = (this, cut)
        days = {one.today for one in moments}
        rows: dict[str, dict[int, list[tuple[Any, ...]]]] = defaultdict(dict)
        for name, asked in ((cut, self._of_facts), (this, self._asked)) if is_cut else ((this, self._asked),):
            text, binds = asked.on(days)
            for row in store.tuples(text, {**binds, "pass": name}):
                rows[row[WHOSE]].setdefault(row[PLACE], []).append(row)
        return rows

    def end(self, store: Store) -> None:
        """Take the last batch off the worklist."""
        if not self._open:
            return
        with store.atomic():
            for one in self._open:
                store.run(sql("scoring", "end_pass"), {"pass": one})
        self._open = ()

    @cached_property
    def _of_facts(self) -> Asked:
        """The same statement over facts: its parts have the same places."""
        return ask(*self._asking, replace(self._door, facts=True))


def _dated(measure: Measure, today: int | None) -> Measure:
    """With the stretches of days that the calendar's windows are today."""

    def on(side: Read) -> Read:
        if isinstance(side.window, Calendar):
            assert today is not None
            return replace(side, window=side.window.on(today))
        return side

    source = on(measure.read) if isinstance(measure.read, Read) else measure.read
    against = on(measure.against) if isinstance(measure.against, Read) else measure.against
    return replace(measure, read=source, against=against)


class _Alone:
    """How one measure is found for a customer. Equal numbers give the same reading, made once."""

    def __init__(self, measure: Measure, state: State, asked: Asked, *, later: bool) -> None:
        self.name = measure.name
        self._measure, self._state, self._later = measure, state, later
        self._read = Answer(measure.read, asked) if isinstance(measure.read, Read) else None
        self._against = Answer(measure.against, asked) if isinstance(measure.against, Read) else None
        self.raw: Find = self._read.raw if self._read else lambda rows, today, age: ()
        self.of_raw = lru_cache(maxsize=_REMEMBERED)(self._made)
        self.is_plain = bool(
            state == "value" and self._read and not (self._against or measure.not_in_first or measure.answer_valid_for)
        )
        """Its numbers alone say what it is."""

    def reading(self, moment: Moment, rows: Rows, age: int | None, found: Mapping[str, Reading]) -> Reading:
        if self._state == "not_applicable" or (age is not None and age < self._measure.not_in_first):
            return _NOT_APPLICABLE
        if self._state == "source_down":
            return _SOURCE_DOWN
        if self._read is None:
            if self._later or not isinstance(self._measure.read, Formula):
                return _NEVER
            return self._shared(formula(self._measure, found), moment, rows, age)
        normal = self._against.raw(rows, moment.today, age) if self._against else None
        reading = self.of_raw(self.raw(rows, moment.today, age), normal)
        valid = self._measure.answer_valid_for
        if valid and reading.day is not None and moment.today - reading.day >= valid:
            return Reading("expired", day=reading.day)
        return reading

    def _made(self, raw: Raw, against: Raw | None) -> Reading:
        assert self._read is not None
        value, day = self._read.told(raw)
        if self._against is None or against is None:
            if isinstance(value, Decimal) and self._read.read.what != "attribute":
                value = nine(value)
            return _NEVER if value is None else Reading("value", value, day=day)
        return share(value, self._against.told(against)[0], day)

    def _shared(self, reading: Reading, moment: Moment, rows: Rows, age: int | None) -> Reading:
        """A formula's value as a share of its normal, where it has one."""
        if self._against is None or reading.state != "value":
            return reading
        return share(reading.value, self._against.told(self._against.raw(rows, moment.today, age))[0])


_NEVER: Final = Reading("never")
_NOT_APPLICABLE: Final = Reading("not_applicable")
_SOURCE_DOWN: Final = Reading("source_down")


def share(value: Value | None, normal: Value | None, day: int | None = None) -> Reading:
    """A value held against a normal: its share of it; never, where there is nothing to hold it against."""
    if not isinstance(value, Decimal):
        return _NEVER
    if not isinstance(normal, Decimal) or normal <= 0:
        return Reading("never", current=nine(value), day=day)
    return Reading("value", nine(CONTEXT.divide(value, normal)), nine(value), nine(normal), day)


def number(value: Decimal) -> Reading:
    """A number that was computed, to nine places; never, where it is too large to have them."""
    try:
        return Reading("value", nine(value))
    except InvalidOperation:
        return _NEVER


def formula(measure: Measure, found: Mapping[str, Reading]) -> Reading:
    """What a formula comes to, from the readings of what it is made of.

    Where one of those is frozen, so is this. Where it has no value, it is as little applicable, or as expired, as
    what it misses; otherwise never.
    """
    assert isinstance(measure.read, Formula)
    states = {found[name].state for name in rests_on(measure) if name in found}
    if "source_down" in states:
        return _SOURCE_DOWN
    values = {name: one.value for name, one in found.items() if one.value is not None}
    with localcontext(CONTEXT):
        try:
            value = measure.read.expression.found(Known(values, "", (), by_zero=measure.read.by_zero))
        except InvalidOperation:
            return _NEVER  # a number too large to be rounded
    if value is not None:
        return Reading("value", value) if isinstance(value, str) else number(Decimal(value))
    if "not_applicable" in states:
        return _NOT_APPLICABLE
    return Reading("expired") if "expired" in states else _NEVER
