"""What each phrase reads from facts, by hand-computed values, on both databases."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.scoring.cards import NOW, card_reading, customer, fact, moment, reading, watching
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.scoring.measures import Sources, read

USAGE = [
    fact("usage", 0.1, 3),
    fact("usage", 0.2, 2, "export"),
    fact("usage", 5, 4),
    fact("usage", 13, 1),
    fact("usage", 14, 6),
    fact("usage", 29, 10),
    fact("usage", 30, 100),
]
RATINGS = [fact("ticket_rating", days, value) for days, value in ((1, 1), (1.1, 0), (2, 1), (40, "0.25"))]

VALUES = [
    ("days with usage in the last 30 days", USAGE, "5"),
    ("days with usage in the last day", USAGE, "1"),
    ("days with usage ever", USAGE, "6"),
    ('days with usage labelled "export" in the last 30 days', USAGE, "1"),
    ('days with usage labelled "export" or "" in the last 30 days', USAGE, "5"),
    ("number of usage in the last 2 weeks", USAGE, "4"),
    ("total usage in the last 2 weeks", USAGE, "10"),
    ("total usage ever", USAGE, "126"),
    ("total usage from 4 to 2 weeks ago", USAGE, "6"),
    ("usage per week in the last 3 weeks", USAGE, "5.333333333"),
    ("usage per week from 5 to 2 weeks ago", USAGE, "38.666666667"),
    ("usage per day in the last 4 days", USAGE, "1.25"),
    ("usage per month in the last 2 months", USAGE, "63"),
    ("number of usage per week in the last 2 weeks", USAGE, "2"),
    ("total payments per month in the last 2 months", [fact("payment", 3, "9.99", "usd")], "4.995"),
    ("number of payments in the last month", [fact("payment", 3, "9.99", "usd")], "1"),
    ("number of unpaid invoices now", [], "0"),
    (
        "number of unpaid invoices now",
        [fact("unpaid_invoice", 90), fact("unpaid_invoice", 30), fact("unpaid_invoice", 0.1, -1)],
        "1",
    ),
    ("number of open tickets now", [fact("open_ticket", 1, -1, "low")], "0"),
    (
        'number of open tickets labelled "urgent" now',
        [fact("open_ticket", 1, 1, "urgent"), fact("open_ticket", 2, 1, "low")],
        "1",
    ),
    ("latest nps answer", [fact("nps_answer", 200, 9), fact("nps_answer", 3, 4), fact("nps_answer", 30, 7)], "4"),
    ("latest nps answer", [fact("nps_answer", 1, 4, "a", at=NOW - 5), fact("nps_answer", 1, 6, "b", at=NOW - 5)], "6"),
    ("average ticket rating in the last 30 days", RATINGS, "0.666666667"),
    ("median ticket rating in the last 30 days", RATINGS, "0.75"),
    ("lowest ticket rating in the last 30 days", RATINGS, "0"),
    ("highest ticket rating from 10 to 4 weeks ago", RATINGS, "0.25"),
    ("days since the last login", [fact("login", 12), fact("login", 3.2)], "3"),
    ("number of custom.webinar_seen in the last 30 days", [fact("custom.webinar_seen", 2)], "1"),
]


def test_each_phrase_reads_the_number_that_it_says(store: Store) -> None:
    """One card with all of them, one customer for each, one pass."""
    card = watching(*(phrase for phrase, _, _ in VALUES))
    with store.atomic():
        ids = [
            customer(store, [replace(one, source_id=f"{place}:{one.source_id}") for one in facts])
            for place, (_, facts, _) in enumerate(VALUES)
        ]

    found = read(store, card, [moment(one) for one in ids])

    told = [
        (phrase, found[one][f"m{place}"]) for place, (one, (phrase, _, _)) in enumerate(zip(ids, VALUES, strict=True))
    ]
    assert [(phrase, one.state, one.value) for phrase, one in told] == [
        (phrase, "value", Decimal(value)) for phrase, _, value in VALUES
    ]


def test_what_was_never_seen_has_no_value(store: Store) -> None:
    card = watching(
        "latest nps answer",
        "days since the last login",
        "average nps answer in the last 30 days",
        "median nps answer in the last 30 days",
        "lowest nps answer in the last 30 days",
    )
    customer_id = customer(store, [])

    found = read(store, card, [moment(customer_id)])[customer_id]

    assert {name: one.state for name, one in found.items() if name != "other"} == dict.fromkeys(
        ("m0", "m1", "m2", "m3", "m4"), "never"
    )


TREND = """
read = "usage per week in the last 3 weeks"
against = "usage per week from 12 to 4 weeks ago"
"""


def test_against_gives_the_share_of_their_own_normal(sqlite_store: Store) -> None:
    found = reading(sqlite_store, TREND, [fact("usage", 2, 3), fact("usage", 40, 16)])

    assert (found.value, found.current, found.normal) == (Decimal("0.5"), Decimal(1), Decimal(2))


def test_a_share_of_odd_numbers_is_exact(sqlite_store: Store) -> None:
    """0.85 of the normal is not below 85%, though neither side has an end in decimals."""
    body = TREND.replace("12 to 4", "10 to 4") + 'points = ["below 85% -> 0", "otherwise -> 100"]'
    found = reading(sqlite_store, body, [fact("usage", 2, "0.000017"), fact("usage", 40, "0.00004")])

    assert found.value == Decimal("0.85")


def test_without_a_normal_there_is_no_share(sqlite_store: Store) -> None:
    found = reading(sqlite_store, TREND, [fact("usage", 2, 3)])

    assert (found.state, found.current, found.normal) == ("never", Decimal(1), None)


@pytest.mark.parametrize(("days", "state"), [(59.9, "not_applicable"), (60, "never")])
def test_a_measure_leaves_newcomers_alone(sqlite_store: Store, days: float, state: str) -> None:
    assert reading(sqlite_store, TREND + 'not_in_first = "60 days"', [], days=days).state == state


@pytest.mark.parametrize(("days_ago", "state"), [(29, "value"), (30, "expired")])
def test_an_answer_speaks_only_while_it_is_valid(sqlite_store: Store, days_ago: int, state: str) -> None:
    found = reading(
        sqlite_store, 'read = "latest nps answer"\nanswer_valid_for = "30 days"', [fact("nps_answer", days_ago, 5)]
    )

    assert found.state == state


def test_an_answer_names_its_day(sqlite_store: Store) -> None:
    found = reading(sqlite_store, 'read = "latest nps answer"', [fact("nps_answer", 30, 5)])

    assert found.day == 20_470


@pytest.mark.parametrize(
    ("sources", "state"),
    [
        (Sources(connected={"login"}), "not_applicable"),
        (Sources(connected={"usage"}), "value"),
        (Sources(down={"usage"}), "source_down"),
        (Sources(down={"login"}), "value"),
    ],
)
def test_a_measure_says_why_it_cannot_be_known(sqlite_store: Store, sources: Sources, state: str) -> None:
    found = reading(sqlite_store, 'read = "days with usage in the last 30 days"', [fact("usage", 1)], sources=sources)

    assert found.state == state


def test_kinds_of_your_own_do_not_apply_before_the_first_was_heard(sqlite_store: Store) -> None:
    body = 'read = "number of custom.seen ever"'

    assert reading(sqlite_store, body, [], sources=Sources(connected=set())).state == "not_applicable"
    assert reading(sqlite_store, body, [], sources=Sources(connected={"custom.seen"})).value == 0


def test_of_several_kinds_together_one_that_is_connected_is_enough(sqlite_store: Store) -> None:
    body = 'read = "days with mails opened or mails clicked ever"'

    assert reading(sqlite_store, body, [], sources=Sources(connected={"mail_clicked"})).value == 0
    assert reading(sqlite_store, body, [], sources=Sources(connected={"login"})).state == "not_applicable"


def test_what_happens_after_the_moment_has_no_influence(store: Store) -> None:
    card = card_reading('read = "total usage in the last 30 days"')
    past = [fact("usage", 12, 1), fact("usage", 10.1, 2)]
    one = customer(store, past)
    other = customer(
        store, [*[fact("usage", 12, 1), fact("usage", 10.1, 2)], fact("usage", 9.9, 50), fact("usage", 1, 7)]
    )
    then = NOW - 10 * DAY

    found = read(store, card, [moment(one, then), moment(other, then)])

    assert found[one] == found[other]
    assert found[one]["m"].value == 3


def test_the_day_is_the_customers_own(store: Store) -> None:
    """Tuesday 04:00 UTC is Monday evening in New York: two uses around it are one day there, two in UTC."""
    card = card_reading('read = "days with usage in the last 30 days"')
    midnight = 20_499 * DAY
    at_night = [midnight - 7200, midnight + 7200]
    here = customer(store, [fact("usage", 0, at=at) for at in at_night])
    there = customer(store, [fact("usage", 0, at=at) for at in at_night], zone="America/New_York")

    found = read(store, card, [moment(here), moment(there, zone="America/New_York")])

    assert (found[here]["m"].value, found[there]["m"].value) == (Decimal(2), Decimal(1))


def test_where_nothing_is_connected_nothing_applies(store: Store) -> None:
    card = card_reading('read = "days with usage in the last 30 days"')
    customer_id = customer(store, [fact("usage", 1)])

    found = read(store, card, [moment(customer_id)], Sources(connected=()))

    assert {one.state for one in found[customer_id].values()} == {"not_applicable"}


def test_whoever_did_not_exist_yet_is_left_out(sqlite_store: Store) -> None:
    card = card_reading('read = "days with usage in the last 30 days"')
    customer_id = customer(sqlite_store, [], days=10)

    assert read(sqlite_store, card, [moment(customer_id, NOW - 11 * DAY)]) == {}


def test_a_pass_leaves_nothing_behind(sqlite_store: Store) -> None:
    reading(sqlite_store, 'read = "latest nps answer"', [fact("nps_answer", 1, 5)])

    assert sqlite_store.value("select count(*) from worklist") == 0


def test_customers_do_not_mix(store: Store) -> None:
    card = card_reading('read = "latest nps answer"')
    ids = [customer(store, [fact("nps_answer", 1, value)]) for value in range(5)]

    found = read(store, card, [moment(one) for one in reversed(ids)])

    assert [found[one]["m"].value for one in ids] == [0, 1, 2, 3, 4]
