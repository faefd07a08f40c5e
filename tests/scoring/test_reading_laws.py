"""What holds for every sentence, whatever the facts: the door, the engine, the order, the machine decide nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scoring.cards import NOW, customer
from tests.scoring.test_sentences import formula, measuring, tell
from worker.facts import Fact, millionths
from worker.lib.clock import DAY, HOUR, local_day
from worker.lib.store import Store
from worker.scoring import phrases
from worker.scoring.card import Measure
from worker.scoring.measures import Moment, Readings
from worker.scoring.population import read_in_batches
from worker.scoring.reads import Fade, Portfolio, Read, Selection

SENTENCES = (
    "days with usage in the last 30 days", 'days with usage labelled "a" in the last 30 days',
    "days with usage or logins ever", "weeks with usage or logins in the last 8 weeks", "months with usage ever",
    "number of logins in the last week", "total usage from 3 to 1 weeks ago", "number of open tickets now",
    "latest nps answer", "first nps answer", "label of the latest nps answer", "days since the last login",
    "days since the first usage or login", "number of different labels of usage or logins ever",
    "average nps answer in the last 60 days", "median nps answer ever", "lowest nps answer ever",
    "highest nps answer in the last 2 weeks", "usage per week in the last 3 weeks",
    "median usage per week in the last 4 weeks", "lowest number of logins per day in the last 5 days without empty days",
    "slope of usage per week in the last 6 weeks", "total usage in this calendar month",
    "number of logins in the previous calendar week", "number of logins ever, losing 10% per week", "age in weeks",
    "attribute plan", "days since attribute renewal",
)  # fmt: skip

CARD = measuring(
    {
        **{f"m{place}": said for place, said in enumerate(SENTENCES)},
        "trend": Measure(
            "trend", phrases.read("usage per week in the last 2 weeks"),
            against=phrases.against("usage per week from 8 to 2 weeks ago", phrases.read("usage per week in the last week")),
            not_in_first=20,
        ),
        "fading": Measure("fading", Read("total", (Selection("usage"),), fade=Fade("half-life", 7))),
        "other": Measure(
            "other", Read("count", (Selection("usage", ("a", "b")), Selection("usage", without=("a",)), Selection("login")))
        ),
        "share": Measure("share", phrases.read("number of logins ever"), against=Portfolio("average")),
        "sum": formula("sum", "m5 / (m6 - 3) + if(m8 is missing, 1, m8)"),
        "rank": Measure("rank", phrases.read("percentile of sum")),
        "peers": Measure("peers", phrases.read("z-score of m5 among customers with the same plan")),
    }
)  # fmt: skip

ZONES = ("UTC", "America/New_York", "Pacific/Auckland")

_serial = count()


@dataclass(frozen=True)
class Life:
    """What there is to know about a customer."""

    facts: tuple[Fact, ...]
    attributes: tuple[tuple[str, str, float], ...]
    zone: str


@st.composite
def lives(draw: st.DrawFn) -> Life:
    facts = []
    for place in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["usage", "usage", "login", "nps_answer", "open_ticket"]))
        # Many around midnight, around the moment and around each other.
        days = draw(st.one_of(st.sampled_from([0, 0, 3]), st.integers(-1, 70)))
        seconds = draw(st.sampled_from([0, 1, 5 * HOUR, 11 * HOUR, 12 * HOUR, DAY - 1]))
        value = draw(st.sampled_from(["1", "-1", "0.5", "7", "0.000001"]))
        label = draw(st.sampled_from(["", "a", "B", "ß"]))
        facts.append(Fact(kind, NOW - days * DAY - seconds, "test", str(place), millionths(value), label))
    said = st.sampled_from(
        [("plan", "pro"), ("plan", "Basic"), ("renewal", "2026-03-01"), ("customer_since", "2026-02-01")]
    )
    told = draw(st.lists(st.tuples(said, st.sampled_from([-1.0, 1.0, 5.0])), max_size=3))
    return Life(tuple(facts), tuple((*pair, ago) for pair, ago in told), draw(st.sampled_from(ZONES)))


def settled(store: Store, lives_: list[Life]) -> list[str]:
    """Make customers of them; gives their ids."""
    ids = []
    for life in lives_:
        run = next(_serial)
        ids.append(
            customer(
                store, [replace(one, source_id=f"{run}:{one.source_id}") for one in life.facts], days=30, zone=life.zone
            )
        )
        if life.attributes:
            tell(store, ids[-1], *life.attributes)
    return ids


def readings(store: Store, ids: list[str], lives_: list[Life], at: int, *, known: bool, size: int) -> list[Readings]:
    moments = [Moment(one, at, local_day(at, life.zone)) for one, life in zip(ids, lives_, strict=True)]
    found: dict[str, Readings] = {}
    for batch in read_in_batches(store, CARD, moments, known=known, size=size):
        found.update(batch)
    return [found[one] for one in ids]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lives(), min_size=1, max_size=4), st.sampled_from([NOW, NOW - 9 * HOUR, NOW - 3 * DAY]))
def test_doors_engines_and_orders_read_the_same(
    sqlite_store: Store, postgres_store: Store, lives_: list[Life], at: int
) -> None:
    """The roll-up as the facts, SQLite as PostgreSQL, in whatever order and batches, with the future or without it."""
    backwards = lives_[::-1]
    past = [
        replace(
            life,
            facts=tuple(one for one in life.facts if one.at <= at),
            attributes=tuple(one for one in life.attributes if NOW - one[2] * DAY <= at),
        )
        for life in lives_
    ]
    with sqlite_store.atomic(), postgres_store.atomic():
        here, there, cut = (
            settled(sqlite_store, lives_), settled(postgres_store, backwards), settled(sqlite_store, past)
        )  # fmt: skip

    by_roll_up = readings(sqlite_store, here, lives_, at, known=False, size=2000)

    assert by_roll_up == readings(sqlite_store, here, lives_, at, known=True, size=2)
    assert by_roll_up == readings(sqlite_store, cut, past, at, known=False, size=3)
    elsewhere = readings(postgres_store, there, backwards, at, known=False, size=1)[::-1]
    assert repr(by_roll_up) == repr(elsewhere)
    assert elsewhere == readings(postgres_store, there, backwards, at, known=True, size=2000)[::-1]


CARD_TEXT = """
name = "Laws"
[measures.days]
read = "days with usage or logins in this calendar month"
sliding = "0 -> 0, 7 -> 100"
[measures.fading]
read = "number of logins ever, halving every 3 days"
sliding = "0 -> 0, 3 -> 100"
[measures.since]
read = "days since attribute renewal"
sliding = "0 -> 100, 30 -> 0"
[measures.rank]
read = "percentile of days"
sliding = "0 -> 0, 100 -> 100"
[measures.group]
read = "average score of children weighted by seats"
sliding = "0 -> 0, 100 -> 100"
[dimensions.all]
share = 100
measures = ["days", "fading", "since", "rank", "group"]
[bands]
green = "70 and up"
"""


def test_the_machines_time_zone_and_hash_seed_decide_nothing(tmp_path: Path) -> None:
    card, cases = tmp_path / "card.toml", tmp_path / "cases.jsonl"
    card.write_text(CARD_TEXT, "utf-8")
    facts = [
        {"kind": kind, "at": f"2026-03-{day:02d}T{day:02d}:30:00"}
        for day in (1, 8, 20, 23)
        for kind in ("login", "usage")
    ]
    child = {"facts": facts[:3], "attributes": {"seats": 3}}
    with cases.open("w", encoding="utf-8") as file:
        for number in range(4):
            case = {"id": number, "as_of": "2026-03-29T01:30:00", "facts": facts[number:], "children": [child] * number,
                    "attributes": {"renewal": "2026-03-20"}}  # fmt: skip
            file.write(json.dumps(case) + "\n")

    outputs = {
        subprocess.run(
            [sys.executable, "-m", "worker", "eval", str(card), str(cases)],
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
        ).stdout
        for zone, seed in (("Pacific/Auckland", "1"), ("America/New_York", "2"))
    }  # fmt: skip

    assert len(outputs) == 1
    assert b"error" not in next(iter(outputs))
