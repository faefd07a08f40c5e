"""What commands tell: scores as of a day know nothing of what came later; people find whom they mean."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import START
from tests.intake.worlds import DAY, fact, seen, take, whose
from worker import report, setup
from worker.facts import Attribute, Fact
from worker.intake.identity import Register
from worker.intake.pull import store_raw
from worker.lib.clock import VirtualClock, iso
from worker.lib.problems import Problems
from worker.lib.store import Store
from worker.plays.records import attributes
from worker.river import turn
from worker.workspace import Workspace, open_workspace

ENVIRON: dict[str, str] = {}


@pytest.fixture
def workspace(tmp_path: Path, store: Store, clock: VirtualClock) -> Workspace:
    """A workspace in UTC+9 over a store of either kind, where it is the 100th day after START."""
    folder = tmp_path / "acme"
    setup.init(folder, "Acme", "a sentence of some length", ENVIRON)
    with (folder / "config.toml").open("a") as config:
        config.write('\n[schedule]\npull_every = "10 minutes"\n')
    text = (folder / "config.toml").read_text().replace('time_zone = "UTC"', 'time_zone = "Asia/Tokyo"')
    (folder / "config.toml").write_text(text)
    clock.move_to(START + 100 * DAY)
    made = open_workspace(folder, ENVIRON, clock)
    made.store.close()
    return replace(made, store=store)


def _history(store: Store) -> None:
    take(
        store,
        seen("keap:1", name="Ann", attributes=(Attribute("plan", "basic", START),)),
        seen("keap:2", name="Bob", at=1),
        *(seen("keap:1", at=n, facts=(fact(f"a{n}", at=n),)) for n in range(1, 30)),
        *(seen("keap:2", at=n, facts=(fact(f"b{n}", "unpaid_invoice", at=n),)) for n in range(5, 7)),
        time_zone="Asia/Tokyo",
    )


def _future(store: Store) -> None:
    take(
        store,
        *(seen("keap:1", at=n, facts=(fact(f"late{n}", at=n), fact(f"lost{n}", "unpaid_invoice", at=n))) for n in range(40, 60)),
        seen("keap:1", at=50, attributes=(Attribute("plan", "pro", START + 50 * DAY),)),
        seen("keap:3", at=45, name="Cid", facts=(fact("c1", at=45),)),
        seen("keap:2", at=48, facts=(fact("gone", "left", at=48), fact("first", "open_ticket", at=47))),
        time_zone="Asia/Tokyo",
    )  # fmt: skip


def test_a_score_as_of_a_day_is_the_same_to_the_byte_whatever_came_after(workspace: Workspace) -> None:
    _history(workspace.store)
    before = json.dumps(report.scores(workspace, "2026-02-05"))
    _future(workspace.store)

    assert json.dumps(report.scores(workspace, "2026-02-05")) == before
    now = report.scores(workspace)["customers"]
    assert [(one["name"], one["left"]) for one in now] == [("Ann", False), ("Bob", True), ("Cid", False)]
    assert report.scores(workspace)["left"] == 1


def test_who_was_no_customer_yet_is_not_scored(workspace: Workspace) -> None:
    _history(workspace.store)

    assert report.scores(workspace, "2025-12-31")["customers"] == []
    assert [one["name"] for one in report.scores(workspace, "2026-01-01")["customers"]] == ["Ann"]


def test_a_day_as_a_moment_is_its_end_where_the_business_is(workspace: Workspace) -> None:
    assert report.scores(workspace, "2026-02-05")["as_of"] == "2026-02-05T14:59:59.000Z"


def test_a_fact_counts_on_the_local_day_on_which_it_happened(workspace: Workspace) -> None:
    midnight = START + 20 * DAY - 9 * 3600  # where 2026-01-21 begins in Tokyo
    take(workspace.store, seen("keap:1", name="Ann"), time_zone="Asia/Tokyo")
    owed = [Fact("unpaid_invoice", midnight + n, "app", f"i{n}") for n in (-1, 0)]
    take(workspace.store, seen("keap:1", at=30, facts=tuple(owed)), time_zone="Asia/Tokyo")
    unpaid = [report.scores(workspace, day)["customers"][0]["reason"] for day in ("2026-01-20", "2026-01-21")]

    assert ["unpaid invoices: 1" in unpaid[0], "unpaid invoices: 2" in unpaid[1]] == [True, True]


def test_an_attribute_is_read_as_it_was(store: Store) -> None:
    plans = [Attribute("plan", plan, START + at * DAY) for at, plan in ((0, "basic"), (50, "pro"))]
    take(store, seen("keap:1", at=60, attributes=tuple(plans)))
    customer_id = whose(store)["keap:1"]

    assert [attributes(store, customer_id, START + at * DAY)["plan"][0] for at in (0, 49, 50, 99)] == [
        "basic", "basic", "pro", "pro",
    ]  # fmt: skip


def test_scoring_keeps_nothing(workspace: Workspace) -> None:
    _history(workspace.store)
    report.scores(workspace)

    for table in ("scores", "standings", "changes", "effects", "worklist"):
        assert workspace.store.value(f"select count(*) as n from {table}") == 0


@pytest.mark.parametrize("day", ["soon", "2026-02-30", "2026-1-1", "9999-12-31", "-1"])
def test_what_is_no_day_is_told(workspace: Workspace, day: str) -> None:
    with pytest.raises(Problems, match="is no day"):
        report.scores(workspace, day)


@pytest.mark.parametrize("word", ["keap:1", "Ann", "ann@acme.example", " ANN@acme.example ", "An"])
def test_a_customer_is_found_by_what_a_person_knows_of_them(store: Store, word: str) -> None:
    take(store, seen("keap:1", name="Ann", email="ann@acme.example"), seen("keap:2", name="Bob"))

    assert report.find_customer(store, word) == whose(store)["keap:1"]
    assert report.find_customer(store, whose(store)["keap:2"]) == whose(store)["keap:2"]


def test_where_a_word_means_several_they_are_named(store: Store) -> None:
    take(store, seen("keap:1", name="Ann"), seen("keap:2", name="Anton"))

    with pytest.raises(Problems, match=r"'An' is 2 customers → say which by its id: cus_\w+, cus_\w+"):
        report.find_customer(store, "An")
    with pytest.raises(Problems, match="'An' is no customers"):
        report.find_customer(store, "An", by_beginning=False)


def test_one_who_was_merged_is_found_as_the_one_who_stayed(store: Store) -> None:
    take(store, seen("keap:1", name="Ann"), seen("keap:2", name="Bob"))
    who = whose(store)
    Register(store, START).merge(who["keap:1"], who["keap:2"], "by hand")

    assert {report.find_customer(store, word) for word in (who["keap:2"], "keap:2", "Bob")} == {who["keap:1"]}


def test_facts_are_listed_by_kind_with_their_commonest_labels_first(store: Store) -> None:
    labels = ["export"] * 3 + ["login page"] + ["api"] * 2
    facts = tuple(fact(f"f{n}", label=label, at=n) for n, label in enumerate(labels))
    take(store, seen("keap:1", facts=facts), seen("keap:2", facts=(fact("own", "custom.sneezed"), fact("plain"))))
    listed = {one["kind"]: one for one in report.facts(store)}

    assert (listed["usage"]["facts"], listed["usage"]["customers"]) == (7, 2)
    assert listed["usage"]["labels"] == "export, api, login page"
    assert listed["custom.sneezed"]["facts"] == 1
    assert (listed["login"]["facts"], listed["login"]["customers"]) == (0, 0)


def test_families_and_attributes_are_listed_beside_the_kinds(store: Store) -> None:
    facts = (fact("one", "usage"), fact("two", "login"))
    for who, plan in (("keap:1", "pro"), ("keap:2", "team"), ("keap:3", "pro")):
        take(store, seen(who, facts=facts if who == "keap:1" else (), attributes=(Attribute("plan", plan, START),)))
    listed = {one["plural"]: one for one in report.facts(store)}

    assert (listed["signs of use"]["kind"], listed["signs of use"]["facts"]) == ("usage or login", 2)
    assert (listed["attribute plan"]["customers"], listed["attribute plan"]["labels"]) == (3, "pro, team")


def test_a_source_that_is_read_again_tells_what_was_new(workspace: Workspace) -> None:
    body = json.dumps([{"event_id": "e1", "kind": "usage", "at": iso(START), "customer": "keap:1"}])
    store_raw(workspace.store, "api", "events", "req_1", body, START)

    assert [report.replay(workspace, "api", 0).facts for _ in range(2)] == [1, 0]


def test_what_has_moved_a_customer_since_a_day_is_told_and_sums_exactly(
    workspace: Workspace, clock: VirtualClock
) -> None:
    _history(workspace.store)
    turn(workspace, kind="test")
    clock.move_to(START + 130 * DAY)
    facts = tuple(fact(f"again{n}", at=n) for n in range(120, 126))
    take(workspace.store, seen("keap:1", at=126, facts=facts), time_zone="Asia/Tokyo")
    turn(workspace, kind="test")
    found = report.explain(workspace, "Ann", since="2026-04-11")
    told = found["ledger"]

    assert report.explain(workspace, "Ann")["ledger"] is None
    assert (told["from"], told["to"]) == (iso(START + 100 * DAY), iso(START + 130 * DAY))
    assert sum(Decimal(one["points"]) for one in told["entries"]) == Decimal(told["total"]) != 0
    assert Decimal(told["total"]) == Decimal(told["new_score"]) - Decimal(told["old_score"])
    assert ["behaviour", "active on 6 of the last 30 days (was 0)"] in [line[1:] for line in told["lines"]]
    total, _, when = told["head"].partition(" ")
    assert when.startswith("since 2026-04-11: from ")
    assert sum(Decimal(line[0]) for line in told["lines"]) == Decimal(total)
    with pytest.raises(Problems, match="--since: 'soon' is no day"):
        report.explain(workspace, "Ann", since="soon")
