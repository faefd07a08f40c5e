"""Files taken in: kept as deliveries, made facts once, and what is odd about them told."""

from __future__ import annotations

import csv
import json
from itertools import permutations
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.csv import parse, read
from tests.conftest import START
from worker.facts import Delivery
from worker.intake.imports import Report, import_files
from worker.intake.inbox import parse_waiting
from worker.lib.store import SqliteStore, Store

MAPPING = """\
    name = "shop"

    [tables.clients]
    file = "clients.csv"
    id = "id"
    customer = "id"
    name = "name"
    at = "since"
    attributes = [{ columns = { country = "country" } }]
    facts = [{ kind = "joined" }]

    [tables.visits]
    file = "visits.csv"
    id = ["client", "n"]
    customer = "client"
    at = "day"
    since = "client.since"
    joins.client = { table = "clients", on = { client = "id" } }
    doubts = { "from before they were a client" = "day before client.since" }
    facts = [{ kind = "usage", value = "minutes / 60", label = "what" }]

    [tables.tickets]
    file = "tickets.csv"
    id = "n"
    customer = "client"
    at = "raised"
    since = "client.since"
    joins.client = { table = "clients", on = { client = "id" } }
    facts = [{ kind = "open_ticket", opens = "raised", closes = "solved", label = { is = "high" } }]
    """

CLIENTS = "id,name,country,since\nc1,Ada Ltd,GB,2024-01-10\nc2,Bo GmbH,DE,2024-02-20\n"
VISITS = "client,n,day,minutes,what\nc1,1,2024-01-05,30,search\nc1,2,2024-01-15,90,search\nc2,1,2024-03-01,6,=cmd\n"
TICKETS = "n,client,raised,solved\n1,c1,2024-01-20,2024-01-22\n2,c2,2024-03-02,\n3,c2,yesterday,\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.toml").write_text(dedent(MAPPING), "utf-8")
    for name, text in (("clients.csv", CLIENTS), ("visits.csv", VISITS), ("tickets.csv", TICKETS)):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def take(store: Store, folder: Path, *names: str, now: int = START) -> Report:
    return import_files(store, read(folder / "m.toml", [folder / name for name in names] or [folder]), now=now)


def contents(store: Store) -> list[Any]:
    """All that was made of the files, without the ids that we give."""
    return [
        store.rows(
            "select i.external_id as whose, f.kind, f.label, f.at, f.known_at, f.day, f.value, f.source_id"
            " from facts f join identities i on i.id = f.identity_id order by f.source_id"
        ),
        store.rows("select kind, label, day, n, total from rollup order by kind, label, day, n, total"),
        store.rows("select name, value, at from attributes order by name, value, at"),
        store.rows("select name, first_at from customers order by name"),
    ]


def test_rows_become_customers_attributes_and_facts(store: Store, folder: Path) -> None:
    report = take(store, folder)

    customers = store.rows("select name, first_at from customers order by name")
    assert [one["name"] for one in customers] == ["Ada Ltd", "Bo GmbH"]
    assert customers[0]["first_at"] == 1704931199  # 2024-01-10T23:59:59Z: the visit from before makes nobody older
    assert store.rows("select label, value from facts where kind = 'usage' order by at") == [
        {"label": "search", "value": 500_000}, {"label": "search", "value": 1_500_000}, {"label": "=cmd", "value": 100_000},
    ]  # fmt: skip
    assert (report.rows, report.facts, report.taken.facts, len(report.refused)) == (8, 8, 8, 1)


def test_where_nobody_says_since_when_a_customer_is_as_old_as_the_earliest_row(store: Store, folder: Path) -> None:
    (folder / "m.toml").write_text(
        'name = "v"\n[tables.visits]\nfile = "visits.csv"\nid = ["client", "n"]\ncustomer = "client"\nat = "day"\n'
        'facts = [{ kind = "login" }]\n',
        "utf-8",
    )
    (folder / "visits.csv").write_text("client,n,day\nc1,1,2024-03-01\nc1,2,2024-01-05\nc1,3,2024-02-01\n", "utf-8")

    take(store, folder)

    assert store.value("select first_at from customers") == 1704499199  # 2024-01-05T23:59:59Z


def test_taking_the_same_files_in_twice_changes_nothing(store: Store, folder: Path) -> None:
    take(store, folder)
    before = contents(store), store.rows("select id, body, parsed_at from deliveries order by id")

    report = take(store, folder, now=START + 9)

    assert (contents(store), store.rows("select id, body, parsed_at from deliveries order by id")) == before
    assert (report.facts, report.taken.facts, report.repeated) == (8, 0, 3)


def test_the_order_in_which_files_are_named_or_taken_in_does_not_matter(folder: Path) -> None:
    names = ("clients.csv", "visits.csv", "tickets.csv")
    found = []
    for order in permutations(names):
        store = SqliteStore(None)
        store.migrate()
        take(store, folder, *order)
        found.append(contents(store))
    for first, second in (("visits.csv", "tickets.csv"), ("tickets.csv", "visits.csv")):
        store = SqliteStore(None)
        store.migrate()
        take(store, folder, "clients.csv", first)
        take(store, folder, "clients.csv", second)
        found.append(contents(store))

    assert all(one == found[0] for one in found)


def test_a_file_that_has_grown_brings_what_is_new(sqlite_store: Store, folder: Path) -> None:
    take(sqlite_store, folder)
    with (folder / "tickets.csv").open("a", encoding="utf-8") as file:
        file.write("4,c1,2024-04-01,\n")

    report = take(sqlite_store, folder)

    assert (report.taken.facts, report.repeated, report.taken.deliveries) == (1, 2, 1)


def test_a_later_export_mends_what_has_changed_and_the_older_one_again_does_not(store: Store, folder: Path) -> None:
    take(store, folder)
    (folder / "visits.csv").write_text(VISITS.replace("2024-01-15,90", "2024-01-16,60"), "utf-8")
    (folder / "clients.csv").write_text(CLIENTS.replace("Ada Ltd", "Ada & Co"), "utf-8")

    report = take(store, folder, now=START + 9)
    (folder / "visits.csv").write_text(VISITS, "utf-8")
    take(store, folder, now=START + 10)

    assert report.taken.facts == 1
    assert store.row("select at, value from facts where source_id = 'visits/c1/2:usage'") == {
        "at": 1705449599, "value": 1_000_000,
    }  # fmt: skip
    assert store.value("select name from customers where name like 'Ada%'") == "Ada & Co"


def test_deliveries_replayed_without_the_files_give_the_same_facts(store: Store, folder: Path) -> None:
    take(store, folder)
    before = contents(store)
    store.run("delete from rollup")
    store.run("delete from facts")
    store.run("delete from attributes")
    store.run("update deliveries set parsed_at = null")

    parse_waiting(store, parse, START + 9)

    assert contents(store) == before


def test_history_was_known_when_it_happened(sqlite_store: Store, folder: Path) -> None:
    take(sqlite_store, folder)

    assert sqlite_store.value("select count(*) from facts where known_at <> at") == 0


def test_a_row_that_cannot_be_read_goes_into_a_file_beside_the_report(sqlite_store: Store, folder: Path) -> None:
    report = take(sqlite_store, folder)

    written = report.write(folder / "report.txt")

    assert [path.name for path in written] == ["report.txt", "report.txt.refused.csv"]
    with written[1].open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "line", "reason", "row"],
            [
                "tickets.csv", "4", "raised is 'yesterday', which is no date; write 2026-01-31 or 2026-01-31T09:30:00",
                "3,c2,yesterday,",
            ],
        ]  # fmt: skip


def test_where_nothing_is_refused_there_is_no_file_of_refused_rows(sqlite_store: Store, folder: Path) -> None:
    report = take(sqlite_store, folder, "clients.csv")

    assert report.write(folder / "report.json") == [folder / "report.json"]
    assert json.loads((folder / "report.json").read_text("utf-8"))["facts"] == 2


def test_a_refused_row_is_no_formula_in_a_spreadsheet_and_keeps_its_strange_bytes(
    sqlite_store: Store, folder: Path
) -> None:
    (folder / "tickets.csv").write_bytes(b"n,client,raised,solved\n=1+1,c1,\xe9,\n@x\n")

    [_, beside] = take(sqlite_store, folder).write(folder / "report.txt")

    rows = list(csv.reader(beside.read_text("utf-8").splitlines()))[1:]
    assert [row[3] for row in rows] == ["'=1+1,c1,\\udce9,", "'@x"]


def test_the_report_says_what_was_read_made_refused_and_doubted(sqlite_store: Store, folder: Path) -> None:
    assert take(sqlite_store, folder).as_text() == dedent("""\
        shop: 8 rows read, 8 facts (8 new), 1 row refused, 1 doubt

        clients (clients.csv): 2 rows
                  2  joined

        visits (visits.csv): 3 rows
                  3  usage
          doubted, and kept:
                  1  from before they were a client
                     visits.csv:2: visits/c1/1

        tickets (tickets.csv): 3 rows
                  3  open_ticket
          refused: 1
                     tickets.csv:4: raised is 'yesterday', which is no date; write 2026-01-31 or 2026-01-31T09:30:00
        """)


def test_the_report_is_one_json_object_for_programs(sqlite_store: Store, folder: Path) -> None:
    found = json.loads(take(sqlite_store, folder).as_json())

    assert {key: found[key] for key in ("source", "rows", "facts", "new_facts", "refused", "doubted")} == {
        "source": "shop", "rows": 8, "facts": 8, "new_facts": 8, "refused": 1, "doubted": 1,
    }  # fmt: skip
    assert found["tables"]["visits"]["doubted"] == {
        "from before they were a client": {"rows": 1, "examples": ["visits.csv:2: visits/c1/1"]}
    }
    assert found["tables"]["tickets"]["refused"][0]["line"] == 4


def test_progress_is_told_in_rows(sqlite_store: Store, folder: Path) -> None:
    heard: list[tuple[int, int]] = []

    import_files(sqlite_store, read(folder / "m.toml", [folder]), now=START, progress=lambda *at: heard.append(at))

    assert heard == [(2, 8), (5, 8), (8, 8)]


def test_what_is_stored_is_a_delivery_of_the_mapping(store: Store, folder: Path) -> None:
    take(store, folder)

    rows = store.rows("select * from deliveries order by id")
    assert [(row["source"], row["stream"], row["external_id"], row["parsed_at"]) for row in rows] == [
        ("shop", "import", "clients/clients.csv:2", START),
        ("shop", "import", "visits/visits.csv:2", START),
        ("shop", "import", "tickets/tickets.csv:2", START),
    ]
    stored = Delivery(rows[1]["id"], "shop", "import", "", rows[1]["body"], START)
    assert [fact.source_id for one in parse(stored).sightings for fact in one.facts] == [
        "visits/c1/1:usage", "visits/c1/2:usage", "visits/c2/1:usage",
    ]  # fmt: skip


ROWS = st.lists(
    st.tuples(
        st.sampled_from("12"), st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(["2024-01-01", "2024-02-02", "x"])
    )
)


@settings(max_examples=25)
@given(rows=ROWS, junk=st.text(alphabet='c1,"\n\0-é', max_size=30))
def test_whatever_the_files_hold_taking_them_in_again_changes_nothing(
    rows: list[tuple[str, str, str]], junk: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "m.toml").write_text(dedent(MAPPING), "utf-8")
    (folder / "clients.csv").write_text(CLIENTS, "utf-8")
    (folder / "visits.csv").write_text(f"{VISITS}{junk}", "utf-8")
    lines = "".join(f"{n},{client},{day},2024-03-03\n" for n, client, day in rows)
    (folder / "tickets.csv").write_text(f"n,client,raised,solved\n{lines}", "utf-8")
    store = SqliteStore(None)
    store.migrate()

    report = take(store, folder)
    before = contents(store)
    again = take(store, folder)

    assert contents(store) == before
    assert again.taken.facts == 0
    assert store.value("select count(*) from facts") == report.facts == again.facts
