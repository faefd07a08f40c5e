"""`keepwell eval CARD CASES.jsonl`: a scorecard tested like code, one JSON line in, one JSON line out.

It needs no set-up, and is no second implementation: facts go into a store in memory by the same door, and are read,
judged and settled by the same code and the same SQL as any customer's. Cases live in UTC; a DATE means its last second.
All cases together, children among them, are the portfolio.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from worker.facts import KINDS, Attribute, Fact, Identity, kind_named, millionths
from worker.intake.records import add_customer, add_facts, add_identity, put_attributes
from worker.lib.clock import day_number, day_text, end_of_day, local_day
from worker.lib.problems import Problem, Problems
from worker.lib.rounding import nine, plain
from worker.lib.shape import spell, written
from worker.lib.store import Store, open_store
from worker.lib.strict_json import read_json
from worker.scoring import measures, population
from worker.scoring.bands import Standing, settle
from worker.scoring.card import GREY, HEALTH, Card, Measure
from worker.scoring.choice import Choice, Deck, load_deck
from worker.scoring.dealing import dealt
from worker.scoring.expressions import Value
from worker.scoring.measures import Moment, Reading
from worker.scoring.population import PARENT
from worker.scoring.reads import Read
from worker.scoring.rests import reads_of
from worker.scoring.score import Assessment, assess

Number = StrictInt | StrictFloat

_AGE: Final = "age"
"""What `values` may name besides measures: for how many days the case has been a customer."""

_OLDEST: Final = 100_000
"""Days; more is no age."""

_LARGEST: Final = 10**24
"""What nothing of nine places can be larger than by far."""

_YEARS: Final = range(1900, 9000)
"""Those that the calendar can reckon with, a year back and a quarter on."""

_SOURCE: Final = "eval"


class _FactIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: StrictStr
    at: StrictStr
    value: Number = 1
    label: StrictStr = ""


class _PreviousIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    band: StrictStr
    since: StrictStr | None = None


class _ChildIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: StrictStr | StrictInt = ""
    as_of: StrictStr | None = None
    attributes: dict[str, StrictBool | Number | StrictStr | None] = {}
    values: dict[str, Number | StrictStr | None] = {}
    facts: list[_FactIn] = []
    children: list[_ChildIn] = []
    previous: _PreviousIn | None = None
    expect: dict[str, Any] = {}


class _CaseIn(_ChildIn):
    id: StrictStr | StrictInt


class _Bad(ValueError):
    """A case that cannot be read; its text is the error line's."""


@dataclass
class _Case:
    """A case that was read."""

    id: str | int
    line: int
    as_of: int | None
    attributes: dict[str, str]
    values: dict[str, Decimal | str | None]
    facts: list[Fact]
    previous: tuple[str, int | None] | None
    """The band, and the day since which the score is taken to have been past the line."""
    expect: dict[str, Any]
    is_child: bool
    children: list[_Case] = field(default_factory=list)
    moment: Moment = field(init=False)
    """As of when it is read; of a case without `as_of`, to which no day means anything, the first day of all."""
    card: Card | None = None
    """The card it is judged by; None for a case that is not scored."""
    readings: Mapping[str, Reading] = field(default_factory=dict)

    def family(self) -> Iterator[_Case]:
        """Itself and all below it."""
        yield self
        for child in self.children:
            yield from child.family()


def run(card_path: Path, cases_path: Path, out: Callable[[str], object]) -> int:
    """Judge every case of the file by a card, or by the one that a folder of cards chooses for it.

    `out` gets one JSON line for each, in order. Gives the exit code: 0, 1 where a case differs from its `expect`, 2
    where a line could not be read. Raises lib.problems.Problems for a card with mistakes, or a file that is not there.
    """
    for path in (card_path, cases_path):
        if not path.exists():
            raise Problems([Problem(path.name, 0, "", "is not there", "check the name")])
    results = evaluate(load_deck(card_path), written(cases_path).splitlines())
    for result in results:
        out(json.dumps(result, ensure_ascii=False))
    if any("error" in result for result in results):
        return 2
    return int(any("differences" in result for result in results))


def evaluate(card: Card | Deck, lines: Iterable[str]) -> list[dict[str, Any]]:
    """Judge cases, each a JSON text; empty lines are skipped. One result each, in order, ready for JSON."""
    deck = card if isinstance(card, Deck) else Deck({card.name: card}, (Choice(card.name, None),))
    told = [_tried(deck, line, number) for number, line in enumerate(lines, start=1) if line.strip()]
    store = open_store("sqlite://")
    store.migrate()
    with store.atomic():
        cases = [case for case in told if isinstance(case, _Case)]
        _settle_in(store, cases)
        _choose(store, deck, [one for case in cases for one in case.family()])
        results = [_fitting(case) if isinstance(case, _Case) else case for case in told]
        _measure(store, [one for case in results if isinstance(case, _Case) for one in case.family()])
    store.close()
    return [_judged(case) if isinstance(case, _Case) else case for case in results]


# -- in ---------------------------------------------------------------------------------------------------------------


def _tried(deck: Deck, line: str, number: int) -> _Case | dict[str, Any]:
    found: Any = None
    try:
        found = read_json(line)
        return _case(deck, _CaseIn.model_validate(found), number, "")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except ValueError as error:
        message = str(error)
    known = found.get("id") if isinstance(found, dict) else None
    return _error(known if isinstance(known, str | int) else None, number, message)


def _error(case_id: str | int | None, number: int, message: str) -> dict[str, Any]:
    return {"id": case_id, "error": f"line {number}: {message}"}


def _case(deck: Deck, told: _ChildIn, line: int, place: str, above: int | None = None) -> _Case:
    """`above` is the parent's moment; a child without one of its own is read as of that."""
    as_of = above if told.as_of is None else _moment(told.as_of, f"{place}as_of")
    known = {_AGE}.union(
        *(card.measures for card in deck.cards.values()), deck.chooser.measures if deck.chooser else ()
    )
    for name in told.values:
        if name not in known:
            raise _Bad(f"{place}values: there is no measure {name!r}; {spell(name, known)}")
    case = _Case(
        told.id,
        line,
        as_of,
        {name: _attribute(value) for name, value in told.attributes.items() if value is not None},
        {name: _value(name, value) for name, value in told.values.items()},
        [_fact(one, f"{place}facts.{number}") for number, one in enumerate(told.facts)],
        None if told.previous is None else (told.previous.band, _since(told.previous, place)),
        told.expect,
        is_child=bool(place),
    )
    case.children = [
        _case(deck, child, line, f"{place}children.{number}.", as_of) for number, child in enumerate(told.children)
    ]
    return case


def _attribute(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else plain(Decimal(str(value)))


def _value(name: str, value: float | str | None) -> Decimal | str | None:
    if value is None or isinstance(value, str):
        if name == _AGE and value is not None:
            raise _Bad(f"values.{name}: {value!r} is no number of days")
        return value
    number = Decimal(str(value))
    if abs(number) > _LARGEST or (name == _AGE and not 0 <= number <= _OLDEST):
        most = f"0 to {_OLDEST} days" if name == _AGE else "-10^24 to 10^24"
        raise _Bad(f"values.{name}: {value} is not within {most}")
    return nine(number)


def _fact(told: _FactIn, place: str) -> Fact:
    try:
        kind_named(told.kind)
    except KeyError:
        raise _Bad(f"{place}: {told.kind!r} is no kind of fact; {_kind_meant(told.kind)}") from None
    return Fact(told.kind, _moment(told.at, f"{place}.at"), _SOURCE, place, millionths(told.value), told.label)


def _kind_meant(said: str) -> str:
    """The cure for a kind that is none: its words in another order, the nearest, or all that one of its words is in."""
    words = said.lower().replace("_", " ")
    for kind in KINDS.values():
        ours = (kind.singular, kind.plural, kind.name.replace("_", " "))
        if words in ours or any(sorted(words.split()) == sorted(one.split()) for one in ours):
            return f"did you mean {kind.name!r}?"
    near = [name for name in KINDS if {*name.split("_")} & {*words.split()}]
    cure = spell(said, KINDS)
    if not near or cure.startswith("did"):
        return f"{cure}; one of your own is custom.{'_'.join(words.split())}"
    return f"use one of: {', '.join(near)}"


def _since(told: _PreviousIn, place: str) -> int | None:
    return None if told.since is None else local_day(_moment(told.since, f"{place}previous.since"))


def _moment(text: str, key: str) -> int:
    """`2026-01-31` is its last second, a time without a zone is UTC."""
    try:
        if int(text[:4]) not in _YEARS:
            raise ValueError(text)
        if len(text) == len("2026-01-31"):
            return end_of_day(day_number(text))
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Bad(f"{key}: {text!r} is no moment; write 2026-01-31 or 2026-01-31T09:30:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


# -- the same way as every customer -----------------------------------------------------------------------------------


def _settle_in(store: Store, cases: Sequence[_Case], parent: str = "") -> None:
    """Make customers of cases and their children; each begins with its first fact."""
    for number, case in enumerate(cases):
        as_of = case.as_of or 0
        first_at = min([as_of, *(fact.at for fact in case.facts)])
        customer_id = add_customer(store, name=str(case.id), first_at=first_at)
        external_id = f"{parent}{number}"
        identity_id = add_identity(store, Identity(_SOURCE, external_id), customer_id, first_at)
        facts = [
            Fact(one.kind, one.at, one.source, f"{external_id}:{one.source_id}", one.value, one.label)
            for one in case.facts
        ]
        add_facts(store, customer_id, identity_id, facts)
        told = {PARENT: f"{_SOURCE}:{parent.removesuffix('.')}"} if case.is_child else {}
        told |= _aged(case, local_day(as_of)) | case.attributes
        put_attributes(
            store, customer_id, identity_id, (Attribute(name, value, first_at) for name, value in told.items())
        )
        case.moment = Moment(
            customer_id, as_of, local_day(as_of), age_known=any(fact.at <= as_of for fact in case.facts)
        )
        _settle_in(store, case.children, f"{external_id}.")


def _aged(case: _Case, today: int) -> dict[str, str]:
    """The date since when it has been a customer, of a case that gives its age."""
    age = case.values.get(_AGE)
    return {measures.SINCE: day_text(today - int(age))} if isinstance(age, Decimal) else {}


def _choose(store: Store, deck: Deck, everyone: Sequence[_Case]) -> None:
    """Find the card for each."""
    chooser = deck.chooser
    given = {case.moment.customer_id: _given(chooser, case) for case in everyone} if chooser else {}
    cases = {case.moment.customer_id: case for case in everyone}
    for card, hand in dealt(store, deck, [case.moment for case in everyone], given=given):
        for moment in hand:
            cases[moment.customer_id].card = card


def _given(card: Card, case: _Case) -> dict[str, Reading]:
    """The readings that the case says; of a child without a moment also that its facts are not known."""
    given = {name: _reading(card.measures[name], value) for name, value in case.values.items() if name in card.measures}
    if case.is_child and case.as_of is None:
        asked = (name for name, one in card.measures.items() if any(side.kinds for side in reads_of({name: one})))
        given = {**{name: Reading("never") for name in asked}, **given}
    return given


def _reading(measure: Measure, value: Value | None) -> Reading:
    if value is None:
        # What is held against a normal has no value only where there is no normal.
        return Reading("never", current=Decimal(0) if measure.against else None)
    return Reading("value", value)


def _fitting(case: _Case) -> _Case | dict[str, Any]:
    """The case, or the error line of one that its card cannot be used on."""
    try:
        for one in case.family():
            if one.card is not None:
                _check(one.card, one)
    except _Bad as error:
        return _error(case.id, case.line, str(error))
    return case


def _check(card: Card, case: _Case) -> None:
    if case.as_of is None and not case.is_child:
        for name, measure in card.measures.items():
            if name not in case.values and any(_needs_moment(one, measure, case) for one in reads_of({name: measure})):
                raise _Bad(f"as_of is missing: {name} is not among the values, so it is computed as of a moment")
    if case.previous is not None and case.previous[0] not in {*card.order, GREY}:
        bands = [*card.order, GREY]
        raise _Bad(f"previous: there is no band {case.previous[0]!r}; {spell(case.previous[0], bands)}")


def _needs_moment(read: Read, measure: Measure, case: _Case) -> bool:
    """Whether the read means anything only as of a moment. What a condition speaks may rest on nothing known."""
    if read.kinds:
        return bool(case.facts) or not measure.spoken
    if read.what == "age":
        return measures.SINCE in case.attributes
    return read.what != "attribute" and read.attribute in case.attributes


def _measure(store: Store, everyone: Sequence[_Case]) -> None:
    """Fill in the readings: what is given, and for the rest what facts, attributes and the others say."""
    moments = [case.moment for case in everyone if case.card is not None]
    for card in {id(case.card): case.card for case in everyone}.values():
        if card is None:
            continue
        given = {case.moment.customer_id: _given(card, case) for case in everyone}
        mine = [case for case in everyone if case.card is card]
        found = population.read(store, card, [case.moment for case in mine], given=given, everyone=moments)
        for case in mine:
            case.readings = found[case.moment.customer_id]


def _judged(case: _Case) -> dict[str, Any]:
    got = _outcome(case)
    differences = [*_differences(case.expect, got, "")]
    for number, child in enumerate(case.children):
        inside = _judged(child)
        differences += [f"children.{number}.{one}" for one in inside.get("differences", ())]
    return {**got, "differences": differences} if differences else got


def _outcome(case: _Case) -> dict[str, Any]:
    if case.card is None:
        return {
            "id": case.id, "scores": {HEALTH: None}, "score": None, "band": None, "coverage": None, "dimensions": {},
            "measures": {}, "drivers": [], "rules": [], "signals": [],
        }  # fmt: skip
    assessment = assess(case.card, case.readings)
    return result(case.id, case.card, assessment, _band(case.card, case, assessment))


def _band(card: Card, case: _Case, assessment: Assessment) -> str:
    if case.previous is None:
        return assessment.band
    band, since = case.previous
    day = local_day(case.as_of or 0)
    waiting_since = day - max(card.worse.days, card.better.days) if since is None or case.as_of is None else since
    waiting = assessment.band if assessment.band != band else None
    previous = Standing(band, 0, waiting, waiting_since if waiting else None)
    return settle(card, previous, assessment, case.as_of or 0, day).band


# -- out --------------------------------------------------------------------------------------------------------------


def result(case_id: str | int, card: Card, assessment: Assessment, band: str) -> dict[str, Any]:
    """The line of a case, ready for JSON; what only conditions speak is not in it."""
    score = _number(assessment.score)
    named = {name: assessment.measures[name] for name, one in card.measures.items() if not one.spoken}
    return {
        "id": case_id,
        "scores": {HEALTH: score, **{name: _number(value) for name, value in assessment.scores.items()}},
        "score": score,
        "band": band,
        "coverage": _number(assessment.coverage),
        "dimensions": {name: _number(value) for name, value in assessment.dimensions.items()},
        "measures": {
            name: {"value": _number(one.reading.value), "state": one.reading.state, "points": _number(one.points)}
            for name, one in named.items()
        },
        "drivers": [{"measure": one.measure, "points_lost": _number(one.points_lost)} for one in assessment.drivers],
        "rules": list(assessment.rules),
        "signals": list(assessment.signals),
    }


def _number(number: Value | None) -> int | float | str | None:
    if number is None or isinstance(number, str):
        return number
    return int(number) if number == number.to_integral_value() else float(number)


def _differences(expected: Any, got: Any, place: str) -> Iterable[str]:
    """Where `got` is not as expected; of a table only the keys that are expected are looked at."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, inside in expected.items():
            there = f"{place}.{key}" if place else str(key)
            if key in got:
                yield from _differences(inside, got[key], there)
            else:
                yield f"{there} is not there; {spell(str(key), map(str, got))}"
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _differences(one, other, f"{place}.{index}")
    elif expected != got or isinstance(expected, bool) != isinstance(got, bool):
        yield f"{place} is {json.dumps(got, ensure_ascii=False)}, expected {json.dumps(expected, ensure_ascii=False)}"
