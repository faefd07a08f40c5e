"""Every sentence that reads facts and attributes, by hand-computed values, on both databases, from both doors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tests.scoring.cards import NOW, customer, fact, moment, watching
from worker.facts import Attribute, Fact, Identity
from worker.intake.records import add_identity, put_attributes, sight
from worker.lib.clock import DAY, day_number, day_text
from worker.lib.store import Store
from worker.scoring import phrases
from worker.scoring.card import Card, Measure
from worker.scoring.derived import Formula
from worker.scoring.measures import Moment, Reading, Sources, read
from worker.scoring.reads import Calendar, Fade, Read, Selection, Window

TODAY = NOW // DAY
"""2026-02-16, a Monday."""


def measuring(sentences: Mapping[str, str | Measure]) -> Card:
    """A card with these measures and no others; it judges nothing."""
    made = {
        name: Measure(name, phrases.read(said)) if isinstance(said, str) else said for name, said in sentences.items()
    }
    return replace(watching("days with usage ever"), measures=made, dimensions={})


USE = [
    fact("usage", 0.1, 3, "reports"),  # Monday
    fact("usage", 1, 2, "export"),  # Sunday, the week before
    fact("usage", 1.1, 5, "reports"),
    fact("login", 1.2, 1, "admin"),
    fact("login", 3, 1, "member"),
    fact("usage", 15, 8),  # 2026-02-01
    fact("usage", 17, 4, "export"),  # 2026-01-30
    fact("usage", 48, 1),  # 2025-12-30
]
ANSWERS = [
    fact("nps_answer", 70, 3, "in app"),
    fact("nps_answer", 40, 9, "by mail"),
    fact("nps_answer", 40, 4, "by phone"),
    fact("nps_answer", 2, 6, "in app"),
]

SENTENCES = [
    ("days with usage or logins in the last 30 days", USE, "5"),
    ("days with usage in the last 30 days", USE, "4"),
    ("weeks with usage in the last 30 days", USE, "3"),
    ("weeks with usage or logins ever", USE, "4"),
    ("months with usage in the last 60 days", USE, "3"),
    ("months with usage or logins ever", USE, "3"),
    ("number of usage or logins in the last week", USE, "5"),
    ('number of usage labelled "reports" or logins labelled "admin" in the last week', USE, "3"),
    ('number of usage not labelled "reports" ever', USE, "4"),
    ("total usage or logins in the last 2 weeks", USE, "12"),
    ('number of logins labelled "admin" or logins labelled "admin" or "member" ever', USE, "2"),
    ("days since the last usage", USE, "0"),
    ("days since the last login", USE, "1"),
    ("days since the first login", USE, "3"),
    ("days since the first usage or login", USE, "48"),
    ("number of different labels of usage ever", USE, "2"),
    ("number of different labels of usage or logins in the last week", USE, "4"),
    ("first nps answer", ANSWERS, "3"),
    ("latest nps answer", ANSWERS, "6"),
    ("label of the latest nps answer", ANSWERS, "in app"),
    ('latest nps answer not labelled "in app"', ANSWERS, "9"),
    ('label of the latest nps answer not labelled "in app"', ANSWERS, "by mail"),
    ("usage per week in the last 3 weeks", USE, "7.333333333"),
    ("usage per month in the last 45 days", USE, "14.666666667"),
    ("median usage per week in the last 3 weeks", USE, "10"),
    ("highest usage per week in the last 3 weeks", USE, "12"),
    ("lowest usage per week in the last 3 weeks", USE, "0"),
    ("lowest usage per week in the last 3 weeks without empty weeks", USE, "10"),
    ("number of usage per week in the last 3 weeks without empty weeks", USE, "2.5"),
    ("median number of usage per day in the last 2 days", USE, "1.5"),
    ("slope of usage per week in the last 3 weeks", USE, "-1"),
    ("slope of number of usage per week in the last 2 weeks", USE, "3"),
    ("number of usage in the last 3 weeks, losing 50% per week", USE, "3"),
    ("total usage ever, losing 10% per day", USE, "9.3"),
    ("total usage in this calendar month", USE, "18"),
    ("total usage in the previous calendar month", USE, "4"),
    ("total usage in this calendar week", USE, "3"),
    ("total usage in the previous calendar year", USE, "1"),
    ("number of usage per day in this calendar month", USE, "0.25"),
    ("age in weeks", USE, "142"),
]


@pytest.mark.parametrize("known", [False, True])
def test_each_sentence_reads_the_value_that_it_says(store: Store, known: bool) -> None:
    """One card with all of them, one customer for each; from the roll-up, and from the facts."""
    card = measuring({sentence: sentence for sentence, _, _ in SENTENCES})
    with store.atomic():
        ids = [
            customer(store, [replace(one, source_id=f"{place}:{one.source_id}") for one in facts])
            for place, (_, facts, _) in enumerate(SENTENCES)
        ]

    found = read(store, card, [moment(one) for one in ids], known=known)

    told = [(said, shown(found[one][said])) for one, (said, _, _) in zip(ids, SENTENCES, strict=True)]
    assert told == [(said, value) for said, _, value in SENTENCES]


def shown(reading: Reading) -> str:
    value = reading.value
    return value if isinstance(value, str) else reading.state if value is None else f"{value.normalize():f}"


def one_reading(
    store: Store, read_: Read | str | Measure, facts: Iterable[Fact] = (), *, at: int = NOW, known: bool = False
) -> Reading:
    made = Measure("m", read_) if isinstance(read_, Read) else read_
    customer_id = customer(store, facts)
    return read(store, measuring({"m": made}), [moment(customer_id, at)], known=known)[customer_id]["m"]


NOTHING = [
    ("latest nps answer", "never"),
    ("first nps answer", "never"),
    ("label of the latest nps answer", "never"),
    ("days since the first usage", "never"),
    ("slope of usage per week in the last 3 weeks", "never"),
    ("usage per week in the last 3 weeks without empty weeks", "never"),
    ("attribute plan", "never"),
    ("days since attribute renewal", "never"),
    ("median usage per week in the last 3 weeks", "0"),
    ("lowest usage per week in the last 3 weeks", "0"),
    ("number of different labels of usage ever", "0"),
    ("months with usage ever", "0"),
    ("weeks with usage or logins ever", "0"),
    ("number of usage in the last week, halving every 3 days", "0"),
    ("number of open tickets now", "0"),
]


def test_of_nothing_counts_are_0_and_answers_never(store: Store) -> None:
    card = measuring({said: said for said, _ in NOTHING})
    customer_id = customer(store, [])

    found = read(store, card, [moment(customer_id)])[customer_id]

    assert [(said, shown(found[said])) for said, _ in NOTHING] == NOTHING


def test_what_happens_later_on_the_day_has_no_influence(store: Store) -> None:
    """The roll-up knows whole days; a moment in the middle of one needs the facts, for these customers alone."""
    morning, evening = NOW - 4 * 3600, NOW + 4 * 3600
    facts = [fact("usage", 0, 2, "a", at=morning), fact("usage", 3, 1), fact("nps_answer", 0, 5, "a", at=morning)]
    later = [fact("usage", 0, 9, "b", at=evening), fact("nps_answer", 0, 1, "b", at=evening)]
    card = measuring(
        {
            said: said
            for said in (
                "total usage ever", "number of different labels of usage ever", "latest nps answer",
                "days with usage in the last 30 days", "highest nps answer ever", "median nps answer ever",
                "label of the latest nps answer", "attribute plan",
            )
        }
    )  # fmt: skip
    one = customer(store, facts)
    other = customer(store, [replace(each, source_id=f"again {each.source_id}") for each in facts] + later)

    found = read(store, card, [moment(one), moment(other)])

    assert found[one] == found[other]
    assert found[other]["total usage ever"].value == 3
    assert store.value("select count(*) from worklist") == 0


def test_an_event_weighs_half_after_its_half_life(store: Store) -> None:
    events = [fact("payment_failed", 0.1), fact("payment_failed", 7), fact("payment_failed", 14)]

    found = one_reading(store, Read("count", (Selection("payment_failed"),), fade=Fade("half-life", 7)), events)
    between = one_reading(store, Read("count", (Selection("login"),), fade=Fade("half-life", 2)), [fact("login", 1)])

    assert found.value == Decimal("1.75")
    assert between.value == Decimal("0.707106781")


def test_fading_ends_at_nothing(sqlite_store: Store) -> None:
    fade = Fade("linear", 7, Decimal("0.4"))

    found = one_reading(sqlite_store, Read("count", (Selection("login"),), fade=fade), [fact("login", 30)])

    assert found.value == 0


@pytest.mark.parametrize(
    ("today", "calendar", "days"),
    [
        ("2026-03-31", Calendar("month"), ("2026-03-01", "2026-03-31")),
        ("2026-03-31", Calendar("month", 1), ("2026-02-01", "2026-02-28")),
        ("2024-03-31", Calendar("month", 1), ("2024-02-01", "2024-02-29")),
        ("2026-03-31", Calendar("month", 0, 1), ("2025-03-01", "2025-03-31")),
        ("2026-01-02", Calendar("week"), ("2025-12-29", "2026-01-02")),
        ("2026-01-02", Calendar("quarter", 1), ("2025-10-01", "2025-12-31")),
    ],
)
def test_the_calendars_stretches_end_where_they_end(
    sqlite_store: Store, today: str, calendar: Calendar, days: tuple[str, str]
) -> None:
    first, last = map(day_number, days)
    edges = [fact("login", 0, at=day * DAY + 43_200) for day in (first - 1, first, last, last + 1)]
    at = day_number(today) * DAY + DAY - 1

    found = one_reading(sqlite_store, Read("count", (Selection("login"),), calendar), edges, at=at)

    assert found.value == (2 if first < last else 1)


def test_each_customer_has_the_calendar_of_their_own_today(store: Store) -> None:
    """On the first of a month in Auckland it is still the last of another in New York."""
    at = day_number("2026-03-31") * DAY + 20 * 3600
    card = measuring({"m": "number of logins in this calendar month"})
    zones = ("Pacific/Auckland", "America/New_York")
    ids = {zone: customer(store, [fact("login", 0, at=at - 10 * DAY)], zone=zone) for zone in zones}

    found = read(store, card, [moment(one, at, zone) for zone, one in ids.items()])

    assert [found[ids[zone]]["m"].value for zone in zones] == [0, 1]


def test_weeks_and_months_are_those_of_the_calendar(sqlite_store: Store) -> None:
    """The edges of each month around the leap days of 2000 and 2024, and of the 31st of December."""
    edges = {"01", "02", "27", "28", "29", "30", "31"}
    spans = [("1999-11-25", "2000-04-02"), ("2023-12-20", "2024-04-02"), ("2025-02-20", "2026-01-12")]
    days = [
        day for first, last in spans for day in range(day_number(first), day_number(last))
        if day_text(day)[8:] in edges
    ]  # fmt: skip
    card = measuring({"months": "months with logins ever", "weeks": "weeks with logins ever"})
    customer_id = customer(sqlite_store, [fact("login", 0, at=day * DAY) for day in days])

    found = read(sqlite_store, card, [moment(customer_id)])[customer_id]

    assert found["months"].value == len({day_text(day)[:7] for day in days})
    assert found["weeks"].value == len({date.fromisoformat(day_text(day)).isocalendar()[:2] for day in days})


def test_an_attribute_is_the_newest_at_the_moment(store: Store) -> None:
    customer_id = customer(store, [])
    tell(store, customer_id, ("plan", "basic", 50), ("plan", "Pro", 10), ("seats", "12.50", 20), ("ref", "007", 3))
    tell(store, customer_id, ("plan", "enterprise", -5), ("note", "", 1), ("renewal", "2026-03-01", 9))
    tell(store, customer_id, ("started", "2026-01-31T23:30:00+02:00", 9), ("odd", "soon", 9))
    card = measuring(
        {
            said: said
            for said in (
                "attribute plan", "attribute seats", "attribute ref", "attribute note", "attribute none",
                "days until attribute renewal", "days since attribute started", "days since attribute odd",
            )
        }
    )  # fmt: skip

    now = read(store, card, [moment(customer_id)])[customer_id]
    then = read(store, card, [moment(customer_id, NOW - 30 * DAY)], known=True)[customer_id]

    assert [shown(now[name]) for name in card.measures] == ["Pro", "12.5", "007", "never", "never", "13", "16", "never"]
    assert [shown(then[name]) for name in card.measures] == ["basic", *["never"] * 7]
    assert str(now["attribute seats"].value) == "12.5"


def test_what_a_deleted_record_said_is_over(store: Store) -> None:
    customer_id = customer(store, [])
    gone = tell(store, customer_id, ("plan", "pro", 10))
    tell(store, customer_id, ("plan", "basic", 20))
    sight(store, gone, NOW - 5 * DAY, gone=True)
    card = measuring({"plan": "attribute plan"})

    values = [
        read(store, card, [moment(customer_id, NOW - days * DAY)])[customer_id]["plan"].value for days in (15, 8, 2)
    ]

    assert values == ["basic", "pro", "basic"]


def tell(store: Store, customer_id: str, *told: tuple[str, str, float]) -> str:
    """Attributes (name, value, days ago) by an identity of their own; gives its id."""
    identity = add_identity(
        store, Identity("crm", str(store.value("select count(*) from identities"))), customer_id, NOW - 900 * DAY
    )
    put_attributes(
        store, customer_id, identity, [Attribute(name, value, int(NOW - ago * DAY)) for name, value, ago in told]
    )
    return identity


def test_the_age_goes_by_the_date_that_somebody_gave(store: Store) -> None:
    young = customer(store, [], days=10.5)
    old = customer(store, [], days=10.5)
    tell(store, old, ("customer_since", "2025-02-16", 1))
    late = Measure("late", phrases.read("days with usage ever"), not_in_first=60)
    card = measuring({"age": "age", "years": "age in years", "late": late})

    found = read(store, card, [moment(young), moment(old)])

    assert {name: shown(one) for name, one in found[young].items()} == {
        "age": "10",
        "years": "0",
        "late": "not_applicable",
    }
    assert {name: shown(one) for name, one in found[old].items()} == {"age": "365", "years": "1", "late": "0"}


def test_where_nobody_knows_since_when_there_is_no_age(sqlite_store: Store) -> None:
    customer_id = customer(sqlite_store, [], days=0)
    late = Measure("late", phrases.read("days with usage ever"), not_in_first=60)
    nobody_knows = Moment(customer_id, NOW, TODAY, age_known=False)

    found = read(sqlite_store, measuring({"age": "age", "late": late}), [nobody_knows])[customer_id]

    assert (shown(found["age"]), shown(found["late"])) == ("never", "0")


# -- formulas ---------------------------------------------------------------------------------------------------------


def formula(name: str, text: str, **more: Decimal) -> Measure:
    return Measure(name, Formula(phrases.formula(text), **more))


def test_a_formula_is_made_of_measures_and_attributes(store: Store) -> None:
    customer_id = customer(store, USE)
    tell(store, customer_id, ("seats", "5", 10), ("plan", "pro", 10))
    card = measuring(
        {
            "twice": formula("twice", "share_used * 2"),
            "share_used": formula("share_used", "active / seats"),
            "active": "days with usage in the last 30 days",
            "seats": "attribute seats",
            "plan": "attribute plan",
            "none": "attribute none",
            "is_pro": formula("is_pro", "if(plan is 'pro', 1, 0)"),
            "broken": formula("broken", "active / none"),
            "nought": formula("nought", "active / (seats - 5)"),
            "policy": formula("policy", "active / (seats - 5)", by_zero=Decimal(7)),
            "copes": formula("copes", "if(none is missing, 3, none)"),
        }
    )

    found = read(store, card, [moment(customer_id)])[customer_id]

    assert {name: shown(one) for name, one in found.items()} == {
        "active": "4", "seats": "5", "plan": "pro", "none": "never", "share_used": "0.8", "twice": "1.6", "is_pro": "1",
        "broken": "never", "nought": "never", "policy": "7", "copes": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "sum_", "copes"),
    [
        (Sources(down={"login"}), "source_down", "source_down"),
        (Sources(connected={"usage"}), "not_applicable", "4"),
        (Sources(), "6", "6"),
    ],
)
def test_a_formula_is_as_known_as_what_it_rests_on(
    sqlite_store: Store, sources: Sources, sum_: str, copes: str
) -> None:
    customer_id = customer(sqlite_store, USE)
    card = measuring(
        {
            "used": "days with usage in the last 30 days",
            "logins": "number of logins ever",
            "sum_": formula("sum_", "used + logins"),
            "copes": formula("copes", "if(logins is missing, used, used + logins)"),
            "further": formula("further", "sum_ + 1"),
        }
    )

    found = read(sqlite_store, card, [moment(customer_id)], sources)[customer_id]

    assert (shown(found["sum_"]), shown(found["copes"])) == (sum_, copes)
    assert found["further"].state == found["sum_"].state


def test_a_number_too_large_to_be_rounded_is_none(sqlite_store: Store) -> None:
    customer_id = customer(sqlite_store, [])
    tell(sqlite_store, customer_id, ("big", "9" * 18, 1))
    card = measuring(
        {
            "big": "attribute big",
            "huge": formula("huge", "big * big"),
            "rounded": formula("rounded", "round(big * big) / big"),
            "fine": formula("fine", "big * big / big - big"),
        }
    )

    found = read(sqlite_store, card, [moment(customer_id)])[customer_id]

    assert [shown(found[name]) for name in ("huge", "rounded", "fine")] == ["never", "never", "0"]


def test_windows_may_be_many_in_one_card(sqlite_store: Store) -> None:
    """Parts share a scan over the longest window; each column takes no more than its own."""
    facts = [fact("login", day + 0.1) for day in range(60)]
    windows = [Window(0, 6), Window(7, 20), Window(0, None), Window(30, None), Window(59, 59)]
    card = measuring(
        {f"w{n}": Measure(f"w{n}", Read("count", (Selection("login"),), one)) for n, one in enumerate(windows)}
    )
    customer_id = customer(sqlite_store, facts)

    found = read(sqlite_store, card, [moment(customer_id)])[customer_id]

    assert [one.value for one in found.values()] == [7, 14, 60, 30, 1]
