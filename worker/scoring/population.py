"""What measures read from others: ranks, the portfolio's normal, and roll-ups of children and people.

`read` is what every pass calls. Whoever looks at nobody else is read as `measures` reads them, a batch at a time. For a
card that looks at others, everyone is first read for what those measures are made of, children before their parents;
then each batch is completed from that. Nothing here depends on the order of customers.

* The portfolio is everyone at their moment whom `who` does not leave out; those without a value are not in it.
* A customer's children are those whose attribute `parent` names it, as `source:external_id` or by a name that only one
  customer bears. In a circle of parents nobody is anybody's child.
* A child is judged by its parent's card, with what rolls up to it from its own children.
* A customer's people are its identities that name a person. They are judged by the same card, by what is known of that
  one person; what looks at others is `never` for them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Final

from worker.lib.rounding import CONTEXT
from worker.lib.store import Store, sql
from worker.scoring import measures
from worker.scoring.card import GREY, HEALTH, Card, Measure
from worker.scoring.derived import Formula, RollUp
from worker.scoring.expressions import Known, truth
from worker.scoring.measures import BATCH, NOTHING, Given, Moment, Reading, Readings, Sources, formula, number, share
from worker.scoring.reads import Portfolio, Rank, Read
from worker.scoring.rests import below, in_order, names_in, needs_others, needs_score, resting_on, rests_on, rolls_up
from worker.scoring.score import assess

PARENT: Final = "parent"
"""The attribute that names the customer this one belongs to."""

_NINTHS: Final = 10**9


def read(
    store: Store,
    card: Card,
    moments: Sequence[Moment],
    sources: Sources | None = None,
    *,
    known: bool = False,
    given: Given = NOTHING,
    everyone: Sequence[Moment] = (),
) -> dict[str, Readings]:
    """Read every measure of the card for these customers: {customer: {measure: reading}}.

    As `measures.read`, and what looks at others as well. `everyone` is the portfolio, where these are not all of it;
    only a card that `needs_everyone` looks at it.
    """
    found: dict[str, Readings] = {}
    for batch in read_in_batches(store, card, moments, sources, known=known, given=given, everyone=everyone):
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
    everyone: Sequence[Moment] = (),
    size: int = BATCH,
) -> Iterator[dict[str, Readings]]:
    """As `read`, so many customers at a time."""
    others = None
    if any(map(needs_others, card.measures.values())):
        others = _Others(store, card, sources or Sources(), known, given)
        others.look_at({one.customer_id: one for one in (*everyone, *moments)})
    wide = card if others is None else others.card
    at = {one.customer_id: one for one in moments}
    for batch in measures.read_in_batches(store, wide, moments, sources, known=known, given=given, size=size):
        yield batch if others is None else others.completed(batch, at)


def needs_everyone(card: Card) -> bool:
    """Whether the card can only be read with the whole portfolio at hand; people come with their customer."""
    return any(needs_others(one) and not _of_people(one) for one in card.measures.values())


@dataclass(frozen=True, slots=True)
class _Unit:
    """A child, or a person, as a roll-up sees it."""

    readings: Readings
    known: Known


@dataclass
class _Table:
    """The values that a customer is held against, as whole billionths, so that sums are exact in any order."""

    values: list[int] = field(default_factory=list)

    @cached_property
    def ranked(self) -> list[int]:
        return sorted(self.values)

    @cached_property
    def total(self) -> int:
        return sum(self.values)

    @cached_property
    def spread(self) -> Decimal:
        """The population's standard deviation, in billionths."""
        n = len(self.values)
        squares = n * sum(value * value for value in self.values) - self.total * self.total
        return CONTEXT.divide(CONTEXT.sqrt(Decimal(squares)), Decimal(n))

    def middle(self, how: str) -> Decimal | None:
        """The average or the median; None of nothing."""
        n = len(self.values)
        if not n:
            return None
        if how == "average":
            return CONTEXT.divide(Decimal(self.total), Decimal(n * _NINTHS))
        return CONTEXT.divide(Decimal(self.ranked[(n - 1) // 2] + self.ranked[n // 2]), Decimal(2 * _NINTHS))

    def percentile(self, value: int, *, among: bool) -> Decimal | None:
        """The share of the others that lie below, ties counting half; None where there are no others."""
        under = bisect_left(self.ranked, value)
        same = bisect_right(self.ranked, value) - under - among
        others = len(self.ranked) - among
        return CONTEXT.divide(Decimal(50 * (2 * under + same)), Decimal(others)) if others else None

    def z_score(self, value: int) -> Decimal | None:
        """How many standard deviations from the mean; None where all are equal."""
        if not self.values or not self.spread:
            return None
        n = len(self.values)
        return CONTEXT.divide(CONTEXT.divide(Decimal(value * n - self.total), Decimal(n)), self.spread)


class _Others:
    """Everyone, as far as the card's measures look at others."""

    def __init__(self, store: Store, card: Card, sources: Sources, known: bool, given: Given) -> None:
        self._store, self._sources, self._known, self._given = store, sources, known, given
        self._own_card = card
        self._helpers = _helpers(card)
        self.card = replace(card, measures={**card.measures, **self._helpers})
        every = self.card.measures
        self._looking = frozenset(name for name, one in every.items() if needs_others(one))
        open_ones = resting_on(every, self._looking)
        self._order = [name for name in in_order(every) if name in open_ones]
        self._late = resting_on(every, frozenset(name for name, one in every.items() if _of_children(one)))
        self._meets = any(_of_people(one) for one in every.values())
        self._judges = any(_of_children(one) and needs_score(one) for one in every.values())
        self._all: dict[str, Readings] = {}
        self._portfolio: frozenset[str] = frozenset()
        self._children: dict[str, list[str]] = {}
        self._child: dict[str, _Unit] = {}
        self._people: dict[str, list[_Unit]] = {}
        self._tables: dict[str, dict[str, _Table]] = {}
        self._ready: set[str] = set()

    # -- everyone -----------------------------------------------------------------------------------------------------

    def look_at(self, moments: Mapping[str, Moment]) -> None:
        """Read everyone for what the card's measures are made of."""
        if not needs_everyone(self._own_card):
            return
        every, who = self.card.measures, self.card.who
        wanted = self._looking | self._helpers.keys() | (frozenset(names_in(who)) if who is not None else frozenset())
        narrow = replace(self.card, measures={name: every[name] for name in sorted(below(every, wanted))})
        self._all = self._read(narrow, list(moments.values()))
        self._portfolio = frozenset(one for one, readings in self._all.items() if self._is_scored(readings))
        self._children = self._families()
        if self._meets:
            self._meet(self._all, moments)
        inside = [name for name in self._order if name in narrow.measures]
        self._fill(name for name in inside if name not in self._late)
        self._raise(moments)
        self._fill(name for name in inside if name in self._late)

    def _read(self, card: Card, moments: Sequence[Moment]) -> dict[str, Readings]:
        return measures.read(self._store, card, moments, self._sources, known=self._known, given=self._given)

    def _is_scored(self, readings: Readings) -> bool:
        return self.card.who is None or truth(self.card.who, self._seen(readings)) is True

    def _fill(self, names: Iterable[str]) -> None:
        """Complete these measures for everyone, each before those that are made of it."""
        for name in names:
            for one, readings in self._all.items():
                readings[name] = self._read_one(name, one, readings)
            against = self.card.measures[name].against
            if isinstance(against, Portfolio):
                self._tables[_against(name)] = self._table(name, against.peers, against=True)
                for one, readings in self._all.items():
                    readings[name] = self._held(name, one, readings[name], readings)
            self._ready.add(name)

    def _raise(self, moments: Mapping[str, Moment]) -> None:
        """Read, and where their scores are asked for judge, whoever is a child; the youngest generation first."""
        parents = {child: parent for parent, children in self._children.items() for child in children}
        found, names = self._all, [name for name in self._order if name in self._late]
        if self._judges:
            found, names = self._read(self.card, [moments[child] for child in sorted(parents)]), self._order

        def depth(child: str) -> int:
            steps = 0
            while child in parents:
                child, steps = parents[child], steps + 1
            return steps

        for child in sorted(parents, key=depth, reverse=True):
            readings = dict(found[child])
            self._complete(child, readings, names)
            self._child[child] = self._unit(readings) if self._judges else _Unit(readings, self._seen(readings))

    # -- the customers of a batch -------------------------------------------------------------------------------------

    def completed(self, batch: dict[str, Readings], moments: Mapping[str, Moment]) -> dict[str, Readings]:
        """Fill in what looks at others."""
        if self._meets:
            self._meet(batch, moments)
        for one, readings in batch.items():
            self._complete(one, readings, self._order)
            for helper in self._helpers:
                del readings[helper]
        return batch

    def _complete(self, one: str, readings: Readings, names: Iterable[str]) -> None:
        for name in names:
            if name in readings:
                readings[name] = self._held(name, one, self._read_one(name, one, readings), readings)

    # -- one measure --------------------------------------------------------------------------------------------------

    def _read_one(self, name: str, one: str, readings: Readings) -> Reading:
        """What a measure is, before it is held against the portfolio."""
        measure = self.card.measures[name]
        if self._is_given(one, name) or readings[name].state in ("not_applicable", "source_down"):
            return readings[name]
        match measure.read:
            case Rank() as rank:
                return self._ranked(rank, one, readings)
            case RollUp() as roll:
                units = self._people.get(one, [])
                if roll.units == "children":
                    units = [self._child[child] for child in self._children.get(one, [])]
                return self._rolled(measure, roll, units)
            case Formula():
                return formula(measure, readings) if rests_on(measure) & set(self._order) else readings[name]
            case _:
                return readings[name]

    def _is_given(self, one: str, name: str) -> bool:
        return name in self._given.get(one, ())

    def _held(self, name: str, one: str, reading: Reading, readings: Readings) -> Reading:
        """A value held against the portfolio's normal, where it is to be."""
        against = self.card.measures[name].against
        if not isinstance(against, Portfolio) or reading.state != "value" or self._is_given(one, name):
            return reading
        table = self._tables.get(_against(name), {}).get(_group(readings, against.peers))
        return share(reading.value, table.middle(against.how) if table else None, reading.day)

    def _ranked(self, rank: Rank, one: str, readings: Readings) -> Reading:
        base = readings[rank.measure]
        if base.state != "value" or not isinstance(base.value, Decimal):
            return Reading("never" if base.state == "value" else base.state)
        if rank.measure not in self._ready and rank.measure in self._order:
            return Reading("never")  # it rests on scores that are only being made
        key = f"{rank.measure} among {rank.peers}"
        if key not in self._tables:
            self._tables[key] = self._table(rank.measure, rank.peers)
        table = self._tables[key].get(_group(readings, rank.peers))
        if table is None:
            return Reading("never")
        value = _billionths(base.value)
        among = one in self._portfolio
        found = table.percentile(value, among=among) if rank.how == "percentile" else table.z_score(value)
        return Reading("never") if found is None else number(found)

    def _table(self, name: str, peers: str, *, against: bool = False) -> dict[str, _Table]:
        """The portfolio's values of a measure, by the peers' attribute."""
        tables: dict[str, _Table] = defaultdict(_Table)
        for one in self._portfolio:
            readings = self._all[one]
            if against and self._is_given(one, name):
                continue  # what was given is a share already
            if readings[name].state == "value" and isinstance(value := readings[name].value, Decimal):
                tables[_group(readings, peers)].values.append(_billionths(value))
        tables.pop(_NOBODY, None)
        return dict(tables)

    # -- roll-ups -----------------------------------------------------------------------------------------------------

    def _rolled(self, measure: Measure, roll: RollUp, units: Sequence[_Unit]) -> Reading:
        names = rolls_up(measure) | (frozenset(self.card.in_health) if needs_score(measure) else frozenset())
        states = {unit.readings[name].state for unit in units for name in names if name in unit.readings}
        if "source_down" in states:
            return Reading("source_down")
        said = [(unit, True if roll.where is None else truth(roll.where, unit.known)) for unit in units]
        chosen = [unit for unit, holds in said if holds]
        with localcontext(CONTEXT):
            value = _number(roll, chosen, len([holds for _, holds in said if holds is not None]))
        if value is not None:
            return number(value)
        of = {unit.readings[roll.of].state for unit in units if roll.of in unit.readings}
        return Reading("not_applicable" if of == {"not_applicable"} else "never")

    def _seen(self, readings: Readings) -> Known:
        values = {name: one.value for name, one in readings.items() if one.value is not None}
        return Known(values, GREY, self.card.order)

    def _unit(self, readings: Readings) -> _Unit:
        """Somebody who was judged."""
        found = assess(self.card, readings)
        seen = replace(
            self._seen(readings),
            band=found.band,
            scores={HEALTH: found.score, **found.scores},
            dimensions=found.dimensions,
        )
        return _Unit(readings, seen)

    def _families(self) -> dict[str, list[str]]:
        """{parent: children}, of everyone."""
        if not any(map(_of_children, self.card.measures.values())):
            return {}
        said = {
            one: str(value) for one, readings in self._all.items()
            if (value := readings[_helper(PARENT)].value) is not None
        }  # fmt: skip
        names = self._named() if said else {}
        found = {text: self._identity(text) or names.get(text) for text in set(said.values())}
        parents = {
            child: parent for child, text in said.items() if (parent := found[text]) is not None and parent in self._all
        }
        straight: dict[str, list[str]] = defaultdict(list)
        for child, parent in sorted(parents.items()):
            if not _in_circle(child, parents):
                straight[parent].append(child)
        return dict(straight)

    def _identity(self, text: str) -> str | None:
        source, colon, external_id = text.partition(":")
        if not colon:
            return None
        found = self._store.value(
            sql("scoring", "customer_by_identity"), {"source": source, "external_id": external_id}
        )
        return None if found is None else str(found)

    def _named(self) -> dict[str, str]:
        """Customers by name; a name that several bear names none of them."""
        rows = [row for row in self._store.rows(sql("scoring", "names")) if row["id"] in self._all]
        often = Counter(row["name"] for row in rows)
        return {row["name"]: row["id"] for row in rows if often[row["name"]] == 1}

    def _meet(self, customers: Iterable[str], moments: Mapping[str, Moment]) -> None:
        """Read and judge the people of these customers."""
        whose: dict[str, str] = {}
        at: list[Moment] = []
        for customer in [one for one in customers if one not in self._people]:
            moment = moments[customer]
            self._people[customer] = []
            binds = {"customer_id": customer, "at": moment.at}
            for row in self._store.rows(sql("scoring", "people_of"), binds):
                whose[row["id"]] = customer
                at.append(replace(moment, customer_id=row["id"]))
        for batch in measures.read_in_batches(
            self._store, self.card, at, self._sources, known=self._known, people=True
        ):
            for person, readings in sorted(batch.items()):
                for name in self._order:
                    if isinstance(self.card.measures[name].read, Formula):
                        readings[name] = formula(self.card.measures[name], readings)
                self._people[whose[person]].append(self._unit(readings))


_NOBODY: Final = "\0"
"""The group of those who lack the attribute by which peers are told: no group at all."""


def _group(readings: Readings, peers: str) -> str:
    if not peers:
        return ""
    value = readings[_helper(peers)].value
    return _NOBODY if value is None else str(value).casefold()


def _helper(attribute: str) -> str:
    """The name under which an attribute is read for a pass; no measure of a card can have it."""
    return f" attribute {attribute}"


def _against(name: str) -> str:
    return f"the normal of {name}"


def _helpers(card: Card) -> dict[str, Measure]:
    """Measures for the attributes that ranks and roll-ups look at."""
    wanted = set()
    for one in card.measures.values():
        if isinstance(one.read, Rank) and one.read.peers:
            wanted.add(one.read.peers)
        if isinstance(one.against, Portfolio) and one.against.peers:
            wanted.add(one.against.peers)
        if isinstance(one.read, RollUp):
            wanted |= {PARENT} if one.read.units == "children" else set()
            wanted |= {one.read.weighted_by} - {"", *card.measures}
    names = {_helper(attribute): attribute for attribute in sorted(wanted)}
    return {
        name: Measure(name, Read("attribute", attribute=attribute), spoken=True) for name, attribute in names.items()
    }


def _of_children(measure: Measure) -> bool:
    return isinstance(measure.read, RollUp) and measure.read.units == "children"


def _of_people(measure: Measure) -> bool:
    return isinstance(measure.read, RollUp) and measure.read.units == "people"


def _in_circle(child: str, parents: Mapping[str, str]) -> bool:
    """Whether somebody is their own ancestor."""
    seen, one = {child}, parents.get(child)
    while one is not None and one not in seen:
        seen.add(one)
        one = parents.get(one)
    return one == child


def _billionths(value: Decimal) -> int:
    return int(value.scaleb(9, CONTEXT))


def _number(roll: RollUp, chosen: Sequence[_Unit], asked: int) -> Decimal | None:
    """What the chosen ones come to; of a share, out of as many as could be asked."""
    if roll.how == "number":
        return Decimal(len(chosen))
    if roll.how == "share":
        return Decimal(len(chosen)) / asked if asked else None
    pairs = [(value, weight) for unit in chosen if (value := _of(roll, unit)) is not None
             and (weight := _weight(roll, unit)) is not None]  # fmt: skip
    match roll.how:
        case "total":
            return sum((value * weight for value, weight in pairs), Decimal(0))
        case "lowest":
            return min((value for value, _ in pairs), default=None)
        case "highest":
            return max((value for value, _ in pairs), default=None)
        case _:
            whole = sum((weight for _, weight in pairs), Decimal(0))
            return sum((value * weight for value, weight in pairs), Decimal(0)) / whole if whole > 0 else None


def _of(roll: RollUp, unit: _Unit) -> Decimal | None:
    value = unit.known.scores.get(HEALTH) if roll.of == "score" else unit.known.values.get(roll.of)
    return value if isinstance(value, Decimal) else None


def _weight(roll: RollUp, unit: _Unit) -> Decimal | None:
    """What a unit weighs; None for one that lacks it, or weighs less than nothing: it is left out."""
    if not roll.weighted_by:
        return Decimal(1)
    values = unit.known.values
    weight = values.get(roll.weighted_by, values.get(_helper(roll.weighted_by)))
    return weight if isinstance(weight, Decimal) and weight >= 0 else None
