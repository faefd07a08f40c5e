"""RavenStack: five tables that strangers wrote, taken in by the recipe. The figures were counted apart, from the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrations.csv import Reading, read
from tests.conftest import START
from worker.facts import Sighting
from worker.intake.imports import import_files
from worker.lib.assets import folder
from worker.lib.clock import from_iso
from worker.lib.problems import Problems
from worker.lib.store import Store

ROWS = {"accounts": 500, "subscriptions": 5_000, "usage": 25_000, "tickets": 2_000, "departures": 600}

FACTS = {
    "accounts": {"joined": 500},
    "subscriptions": {"subscription": 5_486, "custom.monthly_revenue": 4_630},  # 486 of 5,000 have ended
    "usage": {"usage": 24_998, "error_met": 7_731},
    "tickets": {
        "ticket_raised": 2_000, "open_ticket": 4_000, "ticket_solved": 2_000, "first_reply": 2_000,
        "ticket_rating": 1_175, "custom.ticket_escalated": 95,
    },
    "departures": {"left": 600, "custom.leaving_reason": 600, "refund": 142},
}  # fmt: skip

DOUBTED = {
    "accounts": {},
    "subscriptions": {},
    "usage": {
        "from before its subscription began": 19_142,
        "from before the account's signup": 13_198,
        "from after its subscription ended": 290,
        "usage_id that other rows have too": 42,  # 21 ids, each of two different rows
    },
    "tickets": {"from before the account's signup": 1_077, "answered for the first time after it was solved": 36},
    "departures": {"the account went on paying": 531, "a reactivated account": 61},
}


def mapping() -> Path:
    return folder("recipes") / "imports" / "ravenstack.toml"


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data" / "ravenstack"


@pytest.fixture(scope="module")
def reading(data: Path) -> Reading:
    return read(mapping(), [data])


@pytest.fixture(scope="module")
def sightings(reading: Reading) -> list[Sighting]:
    return [one for chunk in reading.chunks(START) for one in chunk.parsed.sightings]


def test_all_five_tables_are_read_and_no_row_is_refused(reading: Reading, sightings: list[Sighting]) -> None:
    assert {name: one.rows for name, one in reading.findings.items()} == ROWS
    assert [refusal for one in reading.findings.values() for refusal in one.refused] == []


def test_the_rows_become_the_facts_that_stand_in_them(reading: Reading, sightings: list[Sighting]) -> None:
    assert {name: one.facts for name, one in reading.findings.items()} == FACTS


def test_rows_that_contradict_each_other_are_kept_and_counted(reading: Reading, sightings: list[Sighting]) -> None:
    assert {
        name: {what: tally.n for what, tally in one.doubted.items()} for name, one in reading.findings.items()
    } == DOUBTED
    examples = reading.findings["usage"].doubted["usage_id that other rows have too"].examples
    assert examples[0] == "feature_usage.csv:24: U-25b56c"


def test_rows_with_the_same_usage_id_stay_different_facts(sightings: list[Sighting]) -> None:
    ids = sorted(fact.source_id for one in sightings for fact in one.facts if "/U-25b56c/" in fact.source_id)

    assert len({one.split(":")[0] for one in ids}) == 2


def test_every_fact_has_an_id_of_its_own(sightings: list[Sighting]) -> None:
    facts = [fact for one in sightings for fact in one.facts]

    assert len({fact.source_id for fact in facts}) == len(facts) == 55_957


def test_a_rating_is_known_when_the_ticket_closed(sightings: list[Sighting]) -> None:
    [raised, rated] = [
        fact for one in sightings for fact in one.facts
        if fact.source_id in {"tickets/T-d5e12f:ticket_raised", "tickets/T-d5e12f:ticket_rating"}
    ]  # fmt: skip

    assert (raised.at, raised.label) == (from_iso("2024-10-17T23:59:59Z"), "urgent")
    assert (rated.at, rated.value) == (from_iso("2024-10-17T23:59:59Z"), 750_000)  # 4 of 5 stars


@pytest.mark.parametrize(
    ("table", "column"),
    [("accounts", "churn_flag"), ("subscriptions", "churn_flag"), ("subscriptions", "upgrade_flag")],
)
def test_a_column_that_says_how_it_went_but_not_when_is_refused(
    table: str, column: str, data: Path, tmp_path: Path
) -> None:
    text = mapping().read_text("utf-8").replace('known_at = { churn_flag = "end_date" }\n', "")
    wrong = f'\n[[tables.{table}.facts]]\nkind = "left"\nwhere = "{column} is \'TRUE\'"\n'
    (tmp_path / "m.toml").write_text(text + wrong, "utf-8")

    with pytest.raises(Problems) as caught:
        read(tmp_path / "m.toml", [data])

    [problem] = caught.value.problems
    assert problem.message.startswith(f"{column} tells how it went but not when: dated ")
    assert problem.line == len((text + wrong).splitlines())


@pytest.mark.prove
def test_all_of_it_is_taken_in_once(sqlite_store: Store, reading: Reading) -> None:
    report = import_files(sqlite_store, reading, now=START)

    assert (report.rows, report.facts, report.taken.facts) == (33_100, 55_957, 55_957)
    assert sqlite_store.value("select count(*) from customers") == 500
    assert sqlite_store.value("select count(*) from facts") == 55_957
    assert sqlite_store.value("select sum(n) from rollup") == 55_957
    # A ticket from before the signup makes no account older than its signup.
    signed_up = "select count(*) from customers where first_at <= :at"
    assert sqlite_store.value(signed_up, {"at": from_iso("2024-06-30T23:59:59Z")}) == 348
    again = import_files(sqlite_store, reading, now=START + 9)
    assert (again.taken.facts, again.repeated) == (0, report.taken.deliveries)
