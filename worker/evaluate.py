"""`keepwell eval CARD CASES.jsonl`: a scorecard tested like code, one JSON line in, one JSON line out.

It needs no set-up, and is no second implementation: facts go into a store in memory by the same door, and are read,
judged and settled by the same code and the same SQL as any customer's. Cases live in UTC; a DATE means its last second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, StrictStr, ValidationError

from worker.facts import KINDS, Fact, Identity, kind_named, millionths
from worker.intake.records import add_customer, add_facts, add_identity
from worker.lib.clock import day_number, end_of_day, local_day
from worker.lib.problems import Problem, Problems
from worker.lib.rounding import nine
from worker.lib.shape import spell
from worker.lib.store import Store, open_store
from worker.lib.strict_json import read_json
from worker.scoring.bands import Standing, settle
from worker.scoring.card import GREY, Card
from worker.scoring.measures import Moment, Reading, read
from worker.scoring.score import Assessment, assess
from worker.scoring.scorecard import load

Number = StrictInt | StrictFloat

_LATER: Final = ("attributes", "children")
"""What a case may say one day, and no card can ask for yet."""


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


class _CaseIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: StrictStr | StrictInt
    as_of: StrictStr | None = None
    attributes: dict[str, Any] | None = None
    values: dict[str, Number | StrictStr | None] = {}
    facts: list[_FactIn] = []
    children: list[Any] | None = None
    previous: _PreviousIn | None = None
    expect: dict[str, Any] = {}


class _Bad(ValueError):
    """A case that cannot be read; its text is the error line's."""


@dataclass
class _Case:
    """A case that was read."""

    id: str | int
    as_of: int | None
    given: dict[str, Reading]
    facts: list[Fact]
    previous: tuple[str, int | None] | None
    """The band, and the day since which the score is taken to have been past the line."""
    expect: dict[str, Any]
    customer_id: str = ""
    readings: dict[str, Reading] = field(default_factory=dict)


def run(card_path: Path, cases_path: Path, out: Callable[[str], object]) -> int:
    """Judge every case of the file; `out` gets one JSON line for each, in order.

    Gives the exit code: 0, 1 where a case differs from its `expect`, 2 where a line could not be read. Raises
    lib.problems.Problems for a card with mistakes, or a file that is not there.
    """
    card = load(_text(card_path), card_path.name)
    results = evaluate(card, _text(cases_path).splitlines())
    for result in results:
        out(json.dumps(result, ensure_ascii=False))
    if any("error" in result for result in results):
        return 2
    return int(any("differences" in result for result in results))


def evaluate(card: Card, lines: Iterable[str]) -> list[dict[str, Any]]:
    """Judge cases, each a JSON text; empty lines are skipped. One result each, in order, ready for JSON."""
    read_so_far: list[_Case | dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            read_so_far.append(_tried(card, line, number))
    _measure(card, [case for case in read_so_far if isinstance(case, _Case)])
    return [_judged(card, case) if isinstance(case, _Case) else case for case in read_so_far]


# -- in ---------------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    if path.is_dir():
        cure = "name one file of it; the choice among several cards is not part of the language yet"
        raise Problems([Problem(str(path), 0, "", "this is a folder", cure)])
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problems([Problem(str(path), 0, "", f"cannot be read: {error}", "check the name")]) from None


def _tried(card: Card, line: str, number: int) -> _Case | dict[str, Any]:
    found: Any = None
    try:
        found = read_json(line)
        return _case(card, found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except ValueError as error:
        message = str(error)
    known = found.get("id") if isinstance(found, dict) else None
    return {"id": known if isinstance(known, str | int) else None, "error": f"line {number}: {message}"}


def _case(card: Card, found: Any) -> _Case:
    told = _CaseIn.model_validate(found)
    for key in _LATER:
        if getattr(told, key):
            raise _Bad(f"{key} are not part of the language yet")
    as_of = None if told.as_of is None else _moment(told.as_of, "as_of")
    given = {name: _given(card, name, value) for name, value in told.values.items()}
    missing = [name for name in card.measures if name not in given]
    if missing and as_of is None:
        raise _Bad(f"as_of is missing: {missing[0]} is not among the values, so it is computed as of a moment")
    facts = [_fact(one, f"{place}") for place, one in enumerate(told.facts)]
    return _Case(told.id, as_of, given, facts, _previous(card, told.previous), told.expect)


def _given(card: Card, name: str, value: float | str | None) -> Reading:
    if name not in card.measures:
        raise _Bad(f"values: there is no measure {name!r}; {spell(name, card.measures)}")
    if isinstance(value, str):
        raise _Bad(f"values.{name}: {value!r} is text, and points for labels are not part of the language yet")
    if value is None:
        # What is held against a normal has no value only where there is no normal.
        return Reading("never", current=Decimal(0) if card.measures[name].against else None)
    return Reading("value", nine(Decimal(str(value))))


def _fact(told: _FactIn, place: str) -> Fact:
    try:
        kind_named(told.kind)
    except KeyError:
        raise _Bad(f"facts.{place}: {told.kind!r} is no kind of fact; {spell(told.kind, KINDS)}") from None
    return Fact(told.kind, _moment(told.at, f"facts.{place}.at"), "eval", place, millionths(told.value), told.label)


def _previous(card: Card, told: _PreviousIn | None) -> tuple[str, int | None] | None:
    if told is None:
        return None
    if told.band not in {*card.order, GREY}:
        raise _Bad(f"previous: there is no band {told.band!r}; {spell(told.band, [*card.order, GREY])}")
    return told.band, None if told.since is None else local_day(_moment(told.since, "previous.since"))


def _moment(text: str, key: str) -> int:
    """`2026-01-31` is its last second, a time without a zone is UTC."""
    try:
        if len(text) == len("2026-01-31"):
            return end_of_day(day_number(text))
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Bad(f"{key}: {text!r} is no moment; write 2026-01-31 or 2026-01-31T09:30:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


# -- the same way as every customer -----------------------------------------------------------------------------------


def _measure(card: Card, cases: Sequence[_Case]) -> None:
    """Fill in the readings: what is given, and for the rest what the facts say."""
    store = open_store("sqlite://")
    store.migrate()
    moments = []
    with store.atomic():
        for place, case in enumerate(cases):
            if case.as_of is not None:
                _settle_in(store, case, place, case.as_of)
                moments.append(Moment(case.customer_id, case.as_of, local_day(case.as_of)))
        found = read(store, card, moments)
    store.close()
    for case in cases:
        case.readings = {**found.get(case.customer_id, {}), **case.given}


def _settle_in(store: Store, case: _Case, place: int, as_of: int) -> None:
    """Make a customer of a case; it begins with its first fact."""
    first_at = min([as_of, *(fact.at for fact in case.facts)])
    case.customer_id = add_customer(store, name=str(case.id), first_at=first_at)
    identity_id = add_identity(store, Identity("eval", str(place)), case.customer_id, first_at)
    named = [Fact(one.kind, one.at, one.source, f"{place}:{one.source_id}", one.value, one.label) for one in case.facts]
    add_facts(store, case.customer_id, identity_id, named)


def _judged(card: Card, case: _Case) -> dict[str, Any]:
    assessment = assess(card, case.readings)
    got = result(case.id, assessment, _band(card, case, assessment))
    differences = list(_differences(case.expect, got, ""))
    return {**got, "differences": differences} if differences else got


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


def result(case_id: str | int, assessment: Assessment, band: str) -> dict[str, Any]:
    """The line of a case, ready for JSON."""
    score = _number(assessment.score)
    return {
        "id": case_id,
        "scores": {"health": score},
        "score": score,
        "band": band,
        "coverage": _number(assessment.coverage),
        "dimensions": {name: _number(value) for name, value in assessment.dimensions.items()},
        "measures": {
            name: {"value": _number(one.reading.value), "state": one.reading.state, "points": _number(one.points)}
            for name, one in assessment.measures.items()
        },
        "drivers": [{"measure": one.measure, "points_lost": _number(one.points_lost)} for one in assessment.drivers],
        "rules": list(assessment.rules),
        "signals": list(assessment.signals),
    }


def _number(number: Decimal | None) -> int | float | None:
    if number is None:
        return None
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
