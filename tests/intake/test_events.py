"""Events by the API: every field that is wrong gets a sentence; the same event again is no second."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.conftest import START
from tests.intake.worlds import together
from worker.facts import Delivery, Identity, Parsed, Person
from worker.intake.events import SOURCE, Event, parse
from worker.intake.inbox import parse_waiting
from worker.intake.pull import store_raw
from worker.lib.store import Store

GOOD: dict[str, Any] = {"event_id": "e1", "kind": "usage", "email": "ann@acme.example"}


def _parsed(*events: dict[str, Any]) -> Parsed:
    return parse(Delivery("dlv_1", SOURCE, "events", "req_1", json.dumps([GOOD | event for event in events]), START))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"event_id": ""}, "at least 1 character"),
        ({"event_id": "e" * 201}, "at most 200 characters"),
        ({"kind": "sneezed"}, "'sneezed' is no kind of fact; use one of usage, login, .*, or custom.<name>"),
        ({"kind": "custom."}, "'custom.' is no kind of fact"),
        ({"kind": "custom.drop table"}, "is no kind of fact"),
        ({"at": "yesterday"}, "yesterday"),
        ({"at": "2026-01-31T09:30:00"}, "has no time zone; write 2026-01-31T09:30:00Z"),
        ({"email": "ann"}, "'ann' is no address"),
        ({"email": "a nn@acme.example"}, "is no address"),
        ({"email": ""}, "say whose it is: give email or customer"),
        ({"customer": "4711"}, "customer '4711' is no id; write its source before it, as in keap:123"),
        ({"customer": ":4711"}, "is no id"),
        ({"customer": "keap:"}, "is no id"),
        ({"value": "much"}, "number"),
        ({"value": 1e13}, "is not a number between"),
        ({"value": float("nan")}, "is not a number"),
        ({"value": float("inf")}, "is not a number"),
        ({"valeu": 3}, "Extra inputs are not permitted"),
        ({"label": "l" * 201}, "at most 200 characters"),
    ],
    ids=lambda one: json.dumps(one)[:40] if isinstance(one, dict) else "",
)
def test_a_wrong_field_gets_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Event.model_validate(GOOD | wrong)


def test_an_event_by_address_is_about_whoever_has_it() -> None:
    [sighting] = _parsed({"email": " Ann@Acme.example "}).sightings

    assert sighting.identities == (Identity("email", "ann@acme.example"),)


def test_an_event_by_id_is_about_that_customer_and_may_bring_an_address() -> None:
    [sighting] = _parsed({"customer": "keap:123:4", "email": "ann@acme.example"}).sightings

    assert sighting.identities == (Identity("keap", "123:4"),)
    assert sighting.people == (Person("ann@acme.example"),)


def test_nothing_said_means_one_and_now() -> None:
    [sighting] = _parsed({}).sightings
    [one] = sighting.facts

    assert (one.kind, one.value, one.at, one.label, one.source) == ("usage", 1_000_000, START, "", SOURCE)


@pytest.mark.parametrize(("value", "kept"), [(0.1, 100_000), (-3, -3_000_000), (10**12, 10**18), (0, 0)])
def test_a_value_is_kept_exactly(value: float, kept: int) -> None:
    assert _parsed({"value": value}).sightings[0].facts[0].value == kept


def test_the_same_event_in_two_requests_is_one_fact(store: Store) -> None:
    for number, events in enumerate([[GOOD], [GOOD, GOOD | {"event_id": "e2"}]]):
        store_raw(store, SOURCE, "events", f"req_{number}", json.dumps(events), START)
    taken = parse_waiting(store, parse, START)

    assert (taken.facts, taken.sightings, taken.parked) == (2, 3, 0)
    assert together(store) == [["email:ann@acme.example"]]
