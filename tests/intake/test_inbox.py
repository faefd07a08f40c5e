"""The inbox: what cannot be read does not stop the rest, nothing is taken in by halves, and all can be read again."""

from __future__ import annotations

import json

import pytest

from tests.conftest import START
from tests.intake.worlds import fact, laws, seen
from worker.facts import Attribute, Delivery, Fact, Parsed, Sighting
from worker.intake.inbox import ATTEMPTS, Taken, parse_waiting, take_in
from worker.intake.pull import store_raw
from worker.lib.store import Row, Store, sql

NOW = START + 100


def _arrive(store: Store, *bodies: object, history: int = 0) -> None:
    for number, body in enumerate(bodies):
        store_raw(store, "app", "webhook", f"evt_{number}", json.dumps(body), NOW, history=history)


def _parse(delivery: Delivery) -> Parsed:
    """`{"who": …, "is": …}` makes a fact; a list says what else a vendor may send."""
    body = json.loads(delivery.body)
    if body == "poison":
        raise ValueError("no letter I know begins like this")
    if body == "sneeze":
        return Parsed(unknown=("sneezed", "coughed"))
    if body == "mixed":
        return Parsed((seen("app:1", facts=(fact("good"),)),), refused=(("row 2", "has no date"),))
    if body == "halfway":
        return Parsed((seen("app:9", facts=(fact("kept?"),)), seen("app:9", facts=(fact("bad", "no_such_kind"),))))
    return Parsed((seen(f"app:{body['who']}", facts=(fact(f"f{body['who']}", body.get("is", "usage")),)),))


def _waiting(store: Store) -> list[Row]:
    return store.rows(
        "select external_id, attempts, error from deliveries where parsed_at is null order by external_id"
    )


def _everything(store: Store) -> list[list[Row]]:
    tables = ("customers", "identities", "people", "attributes", "facts")
    return [store.rows(f"select * from {table} order by 1, 2, 3, 4") for table in tables]


def test_a_delivery_that_cannot_be_read_is_tried_a_few_times_then_parked_and_the_rest_goes_on(store: Store) -> None:
    _arrive(store, "poison", {"who": 1}, {"who": 2})
    turns = [parse_waiting(store, _parse, NOW) for _ in range(ATTEMPTS + 2)]

    assert [one.facts for one in turns] == [2, 0, 0, 0, 0]
    assert [one.deliveries for one in turns] == [3, 1, 1, 0, 0]
    assert [one.parked for one in turns] == [0, 0, 1, 0, 0]
    assert _waiting(store) == [
        {"external_id": "evt_0", "attempts": ATTEMPTS, "error": "ValueError: no letter I know begins like this"}
    ]


@pytest.mark.parametrize(
    "odd",
    [
        Fact("usage", START, "app", "huge", 2**70),
        Fact("usage", 2**70, "app", "far"),
        Fact("usage", START, "app", "lone", label="\ud800"),
    ],
    ids=["a number too large", "a day too far", "half a letter"],
)
def test_what_no_column_can_hold_is_parked_and_the_rest_goes_on(store: Store, odd: Fact) -> None:
    _arrive(store, "odd", {"who": 1})
    for _ in range(ATTEMPTS):
        parse_waiting(
            store, lambda one: _parse(one) if "who" in one.body else Parsed((seen("app:9", facts=(odd,)),)), NOW
        )

    assert [row["attempts"] for row in _waiting(store)] == [ATTEMPTS]
    assert store.rows("select source_id from facts") == [{"source_id": "f1"}]


def test_a_nul_in_a_name_stops_nobody_else(store: Store) -> None:
    _arrive(store, "odd", {"who": 1})
    parse_waiting(store, lambda one: _parse(one) if "who" in one.body else Parsed((seen("app:9", name="A\0B"),)), NOW)

    assert store.rows("select source_id from facts") == [{"source_id": "f1"}]


def test_unknown_events_are_kept_and_counted_once_for_each_delivery(store: Store) -> None:
    _arrive(store, "sneeze")
    taken = [parse_waiting(store, _parse, NOW) for _ in range(2)]

    assert [one.unknown for one in taken] == [2, 0]
    assert store.rows("select name, n from counters order by name") == [
        {"name": "unknown:app:coughed", "n": 1},
        {"name": "unknown:app:sneezed", "n": 1},
    ]
    assert store.value("select count(*) as n from deliveries") == 1


def test_records_that_cannot_be_used_are_noted_beside_what_could(store: Store) -> None:
    _arrive(store, "mixed")
    taken = parse_waiting(store, _parse, NOW)

    assert (taken.facts, taken.refused, taken.reasons) == (1, 1, {"has no date": 1})
    assert store.value("select error from deliveries") == "row 2: has no date"


def test_a_delivery_that_breaks_off_halfway_leaves_nothing_of_itself(store: Store) -> None:
    _arrive(store, "halfway")
    parse_waiting(store, _parse, NOW)

    assert _everything(store) == [[], [], [], [], []]
    assert [row["error"] for row in _waiting(store)] == ["KeyError: 'no_such_kind'"]


def test_reading_everything_again_changes_nothing(store: Store) -> None:
    _arrive(store, {"who": 1}, {"who": 2}, "mixed")
    parse_waiting(store, _parse, NOW)
    before = _everything(store)
    store.run(sql("intake", "replay"), {"source": "app", "since": 0})
    again = parse_waiting(store, _parse, NOW + 1000)

    assert (again.deliveries, again.facts) == (3, 0)
    assert _everything(store) == before
    laws(store)


def test_a_parked_delivery_is_read_when_the_parser_has_learned_it(store: Store) -> None:
    _arrive(store, "poison")
    for _ in range(ATTEMPTS):
        parse_waiting(store, _parse, NOW)
    store.run(sql("intake", "replay"), {"source": "app", "since": 0})
    taken = parse_waiting(store, lambda _: Parsed((seen("app:1", facts=(fact("f1"),)),)), NOW)

    assert taken.facts == 1
    assert _waiting(store) == []


@pytest.mark.parametrize(("history", "known"), [(1, START), (0, NOW)], ids=["history", "live"])
def test_history_was_known_when_it_happened_and_news_when_it_came(store: Store, history: int, known: int) -> None:
    _arrive(store, {"who": 1}, history=history)
    parse_waiting(store, _parse, NOW + 500)

    assert store.value("select known_at from facts") == known


@pytest.mark.parametrize(
    ("one", "urgent"),
    [
        (fact("f", "payment_failed"), True),
        (fact("f", "left"), True),
        (fact("f", "open_ticket", label="urgent"), True),
        (fact("f", "open_ticket", label="urgent", value=-1), False),
        (fact("f", "open_ticket", label="normal"), False),
        (fact("f", "usage"), False),
    ],
    ids=lambda one: f"{one.kind} {one.label} {one.value}" if isinstance(one, Fact) else "",
)
def test_what_matters_is_not_left_to_the_schedule(store: Store, one: Fact, urgent: bool) -> None:
    taken = take_in(store, "app", [seen("app:1", facts=(one,))], START)

    assert taken.urgent is urgent
    assert store.value("select urgent from dirty") == int(urgent)


def test_a_customer_is_known_since_the_earliest_that_anything_says(store: Store) -> None:
    for one in (seen("app:1", at=5), seen("app:1", at=3), seen("app:1", at=9, facts=(fact("j", "joined", at=1),))):
        take_in(store, "app", [one], NOW)

    assert store.value("select first_at from customers") == START + 86_400


def _statements(store: Store, sightings: list[Sighting]) -> int:
    """How often the database is asked, by its own trace."""
    asked: list[str] = []
    connection = store.database.conn  # type: ignore[attr-defined]  # this test is about SQLite
    connection.set_trace_callback(asked.append)
    take_in(store, "app", sightings, NOW, known_at=NOW)
    connection.set_trace_callback(None)
    return len(asked)


def test_a_thousand_events_of_a_few_customers_are_no_thousand_look_ups(sqlite_store: Store) -> None:
    events = [seen(f"app:{n % 20}", facts=(fact(f"f{n}", at=n % 3),)) for n in range(1000)]

    assert _statements(sqlite_store, events) < 2 * len(events)
    laws(sqlite_store)


def test_one_call_sees_its_own_merges_and_changes_of_zone(store: Store) -> None:
    tokyo = (Attribute("time_zone", "Asia/Tokyo", START),)
    taken = take_in(
        store,
        "app",
        [
            seen("app:1", facts=(fact("a"),)),
            seen("app:2", facts=(fact("b"),)),
            seen("app:1", "app:2", at=1),
            seen("app:2", facts=(fact("c", at=1),)),
            seen("app:1", at=2, attributes=tokyo),
            seen("app:2", facts=(Fact("usage", START + 20 * 3600, "app", "late"),)),
        ],
        NOW,
    )

    assert isinstance(taken, Taken)
    assert store.value("select count(distinct customer_id) as n from facts") == 1
    assert store.value("select day - :today as n from facts where source_id = 'late'", {"today": START // 86_400}) == 1
    laws(store)
