"""Zendesk: tickets by export, by webhook, or by both make the same facts, and nothing that people wrote is kept."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from integrations.zendesk import INTEGRATION, ZendeskSettings, connect, parse, verify
from tests.conftest import START
from tests.integrations.cases_zendesk import EMAIL, SETTINGS, TOKEN, event, sign
from worker.facts import MILLION, Delivery, Fact, Identity, Parsed
from worker.intake.inbox import parse_waiting
from worker.intake.pull import pull, store_raw
from worker.lib.clock import DAY, HOUR, MINUTE, VirtualClock, from_iso
from worker.lib.http import Http, Reconnect
from worker.lib.store import SqliteStore, Store
from worker.sandbox.servers.base import Hook
from worker.sandbox.servers.zendesk import PretendZendesk

Object = dict[str, Any]


@pytest.fixture
def zendesk(clock: VirtualClock) -> Iterator[PretendZendesk]:
    server = PretendZendesk(clock, email=EMAIL, token=TOKEN)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(zendesk: PretendZendesk, clock: VirtualClock) -> Iterator[Http]:
    connection = connect(SETTINGS.model_copy(update={"base_url": zendesk.base_url}), clock)
    yield connection
    connection.close()


def said(body: bytes | Object, one: ZendeskSettings = SETTINGS) -> Parsed:
    text = json.dumps(body) if isinstance(body, dict) else body.decode()
    return parse(Delivery("dlv_1", "zendesk", "webhook", "x", text, START), one)


def facts(parsed: Parsed) -> list[Fact]:
    return [fact for sighting in parsed.sightings for fact in sighting.facts]


def ticket(**more: Any) -> Object:
    return {
        "id": 7, "created_at": "2025-12-01T00:00:00Z", "updated_at": "2025-12-03T00:00:00Z", "status": "open",
        "priority": "high", "requester_id": 800, "organization_id": 700, "satisfaction_rating": {"score": "unoffered"},
        "metric_set": {"reopens": 0, "reply_time_in_minutes": {"calendar": None}, "solved_at": None,
                       "status_updated_at": "2025-12-02T00:00:00Z"},
        **more,
    }  # fmt: skip


def page(*tickets: Object | None) -> Object:
    user = {"id": 800, "name": "Ada", "email": "ada@example.com", "external_id": "77", "role": "end-user"}
    company = {"id": 700, "name": "Analytical Engines"}
    return {"tickets": list(tickets), "users": [user], "organizations": [company], "end_of_stream": True}


# -- ways for news to come --------------------------------------------------------------------------------------------


def heard(zendesk: PretendZendesk) -> list[bytes]:
    """The bodies of the webhooks that wait, oldest first."""
    waiting: list[Hook] = zendesk._waiting
    zendesk._waiting = []
    return [hook.build(zendesk.now)[0] for hook in waiting]


def hear(store: Store, bodies: list[bytes], at: int) -> None:
    for body in bodies:
        receipt = verify(sign(body, at), SETTINGS, at)
        store_raw(store, "zendesk", "webhook", receipt.external_id, receipt.body, at)


def export(store: Store, http: Http) -> str:
    return pull(store, "zendesk", INTEGRATION.pulls[0], http, SETTINGS)


def take_in(store: Store, now: int) -> None:
    assert not parse_waiting(store, lambda delivery: parse(delivery, SETTINGS), now).parked
    assert not store.rows("select * from deliveries where parsed_at is null")


def known(store: Store) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in store.rows("select kind, label, at, value, source_id from facts")}


def open_by_label(store: Store, source_ids: str = "") -> dict[str, int]:
    rows = store.rows(
        "select label, cast(sum(value) as bigint) as n from facts where kind = 'open_ticket' "
        "and substr(source_id, 1, :n) = :start group by label",
        {"start": source_ids, "n": len(source_ids)},
    )
    return {row["label"]: row["n"] // MILLION for row in rows if row["n"]}


# -- one ticket -------------------------------------------------------------------------------------------------------


def test_a_ticket_of_the_export_says_who_asked_and_how_it_stands() -> None:
    [seen] = said(page(ticket())).sightings

    assert seen.identities == (Identity("zendesk", "800"), Identity("keap", "77"))
    assert [(one.email, one.name, one.role) for one in seen.people] == [("ada@example.com", "Ada", "user")]
    assert [(one.name, one.value) for one in seen.attributes] == [("organisation", "Analytical Engines")]
    created = from_iso("2025-12-01T00:00:00Z")
    assert {(one.kind, one.label, one.at, one.value) for one in seen.facts if one.value} == {
        ("ticket_raised", "high", created, MILLION),
        ("open_ticket", "high", created, MILLION),
    }
    apart = SETTINGS.model_copy(update={"external_id_is_keap": False})
    assert said(page(ticket()), apart).sightings[0].identities == (Identity("zendesk", "800"),)


def test_a_solved_ticket_tells_how_long_it_waited_how_often_it_came_back_and_how_it_was_rated() -> None:
    metrics = {
        "reopens": 2, "solved_at": "2025-12-02T12:00:00Z", "reply_time_in_minutes": {"calendar": 90, "business": 30},
        "status_updated_at": "2025-12-02T12:00:00Z",
    }  # fmt: skip
    solved = ticket(status="closed", metric_set=metrics, satisfaction_rating={"score": "bad_with_comment"})
    made = {(one.source_id.partition(":")[2], one.kind): one for one in facts(said(page(solved)))}

    assert made["first_reply", "first_reply"].value == 1_500_000
    assert made["first_reply", "first_reply"].at == from_iso("2025-12-01T01:30:00Z")
    assert made["solved", "ticket_solved"].at == from_iso("2025-12-02T12:00:00Z")
    assert made["ended", "open_ticket"].value == -MILLION
    assert Counter(kind for _, kind in made)["help_asked_again"] == 2
    assert made["rating", "ticket_rating"].value == 0
    good = ticket(status="solved", metric_set=metrics, satisfaction_rating={"score": "good"})
    assert [one.value for one in facts(said(page(good))) if one.kind == "ticket_rating"] == [MILLION]


def test_a_deleted_ticket_is_no_longer_open_and_was_not_solved() -> None:
    made = facts(said(page({**ticket(status="deleted"), "metric_set": None})))

    assert sum(one.value for one in made if one.kind == "open_ticket") == 0
    assert "ticket_solved" not in {one.kind for one in made}


def test_a_ticket_without_priority_is_labelled_none() -> None:
    assert {one.label for one in facts(said(page(ticket(priority=None)))) if one.kind == "open_ticket"} == {"none"}


def test_an_urgent_ticket_is_urgent_and_a_solved_one_is_not() -> None:
    def urgent(body: bytes) -> bool:
        return verify(sign(body, START), SETTINGS, START).urgent

    assert urgent(event(1, "ticket.created", priority="URGENT"))
    assert urgent(event(1, "ticket.priority_changed", priority="URGENT", status="OPEN"))
    assert not urgent(event(1, "ticket.created", priority="HIGH"))
    assert not urgent(event(1, "ticket.status_changed", priority="URGENT", status="SOLVED"))
    assert not urgent(event(1, "ticket.comment_added", priority="URGENT", status="OPEN"))


def test_a_webhook_that_does_not_tell_when_a_ticket_was_solved_leaves_that_to_the_export() -> None:
    late = event(1, "ticket.priority_changed", status="SOLVED", updated_at="2025-12-31T00:00:00Z")

    assert said(late).sightings
    assert facts(said(late)) == []


def test_one_ticket_that_cannot_be_read_does_not_take_its_page_with_it() -> None:
    for bad in (None, {}, ticket(requester_id=None), ticket(created_at="yesterday"), ticket(updated_at=None)):
        parsed = said(page(ticket(), bad))
        assert len(parsed.sightings) == len(parsed.refused) == 1


def test_a_signature_over_timestamp_and_body_is_believed_and_the_older_order_is_not() -> None:
    """Zendesk's documentation once signed body and timestamp; its sample of that time must not pass."""
    secret, body = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=", b'{"say": "hello"}'
    incoming = sign(body, from_iso("2021-07-25T10:00:00Z"), secret)

    assert incoming.headers["x-zendesk-webhook-signature"] == "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="


def test_settings_name_an_account() -> None:
    with pytest.raises(ValidationError, match="set the subdomain"):
        ZendeskSettings(email=EMAIL, token=SecretStr(TOKEN))


# -- what is not kept -------------------------------------------------------------------------------------------------


def test_nothing_that_people_wrote_is_stored(zendesk: PretendZendesk, http: Http, sqlite_store: Store) -> None:
    zendesk.hook_to("http://127.0.0.1:9/never")
    user = zendesk.add_user("Ada", "ada@example.com")
    one = zendesk.open_ticket(user, "My secret sorrow", "high")
    zendesk.solve(one)
    zendesk.rate(one, "bad", "Nobody listened")
    hear(sqlite_store, heard(zendesk), zendesk.now)
    zendesk.clock.sleep(HOUR)
    assert export(sqlite_store, http) == ""

    stored = " ".join(row["body"] for row in sqlite_store.rows("select body from deliveries"))
    assert "requester_id" in stored
    assert "sorrow" not in stored
    assert "listened" not in stored


# -- the export -------------------------------------------------------------------------------------------------------


def test_the_export_is_read_to_its_end_over_empty_pages_and_goes_on_from_its_bookmark(
    zendesk: PretendZendesk, http: Http, sqlite_store: Store
) -> None:
    user = zendesk.add_user("Ada", "ada@example.com", at=START - 9 * DAY)
    first = zendesk.open_ticket(user, "One", "high", START - 8 * DAY)
    zendesk.empty_pages = 2
    assert export(sqlite_store, http) == ""
    take_in(sqlite_store, zendesk.now)
    assert open_by_label(sqlite_store) == {"high": 1}

    zendesk.clock.sleep(HOUR)
    zendesk.solve(first)
    zendesk.open_ticket(user, "Two", "urgent")
    assert export(sqlite_store, http) == ""  # too young to be exported
    zendesk.clock.sleep(5 * MINUTE)
    assert export(sqlite_store, http) == ""
    take_in(sqlite_store, zendesk.now)
    assert open_by_label(sqlite_store) == {"urgent": 1}
    assert all(call.status == 200 for call in zendesk.calls)


def test_an_export_that_never_ends_is_given_up_for_this_turn(
    zendesk: PretendZendesk, http: Http, sqlite_store: Store
) -> None:
    zendesk.open_ticket(zendesk.add_user("Ada", "ada@example.com", at=START - DAY), "One", at=START - DAY)
    zendesk.empty_pages = 10_000

    assert "neither goes on nor comes to its end" in export(sqlite_store, http)
    assert len(zendesk.calls) == 20


def test_we_stay_below_ten_exports_in_any_minute(zendesk: PretendZendesk, http: Http, sqlite_store: Store) -> None:
    zendesk.open_ticket(zendesk.add_user("Ada", "ada@example.com", at=START - DAY), "One", at=START - DAY)
    zendesk.empty_pages = 15
    export(sqlite_store, http)

    assert len(zendesk.calls) == 16
    assert zendesk.faults.met["429_over_limit"] == 0


@responses.activate
def test_something_that_is_no_export_is_named(clock: VirtualClock, sqlite_store: Store) -> None:
    responses.get("https://acme.zendesk.com/api/v2/incremental/tickets/cursor.json", json={"hello": "world"})

    assert "is base_url right?" in export(sqlite_store, connect(SETTINGS, clock))


def test_a_check_says_who_we_are_and_that_only_administrators_may_export(zendesk: PretendZendesk, http: Http) -> None:
    assert INTEGRATION.check is not None
    assert next(iter(INTEGRATION.check(http, SETTINGS))) == f"Connected to Zendesk as {EMAIL}, an administrator"
    zendesk.admin.role = "agent"
    with pytest.raises(Reconnect, match="for administrators"):
        list(INTEGRATION.check(http, SETTINGS))


# -- by one way, by the other, by both --------------------------------------------------------------------------------


def a_month(zendesk: PretendZendesk, each_day: Callable[[], None]) -> None:
    users = [zendesk.add_user(f"User {n}", f"u{n}@example.com", str(n)) for n in range(3)]
    made: list[int] = []
    acts: dict[int, list[Callable[[], Any]]] = {
        0: [lambda: made.append(zendesk.open_ticket(users[0], "a", "high")),
            lambda: made.append(zendesk.open_ticket(users[1], "b", None))],
        1: [lambda: zendesk.reply(made[0]), lambda: zendesk.set_priority(made[1], "urgent")],
        2: [lambda: zendesk.solve(made[0]), lambda: made.append(zendesk.open_ticket(users[2], "c", "low"))],
        4: [lambda: zendesk.reopen(made[0])],
        5: [lambda: zendesk.solve(made[0]), lambda: zendesk.delete_ticket(made[2])],
        6: [lambda: zendesk.rate(made[0], "good"), lambda: zendesk.set_priority(made[1], "normal")],
    }  # fmt: skip
    for day in range(8):
        for act in acts.get(day, []):
            act()
            zendesk.clock.sleep(10 * MINUTE)
        each_day()
        zendesk.clock.sleep(START + (day + 1) * DAY - zendesk.now)


def test_the_same_month_by_export_or_by_both_makes_equal_facts_and_webhooks_bring_the_tickets_early(
    zendesk: PretendZendesk, http: Http, tmp_path: Any
) -> None:
    zendesk.hook_to("http://127.0.0.1:9/never")
    stores = {name: SqliteStore(tmp_path / f"{name}.db") for name in ("hooks", "daily", "once", "both")}
    for one in stores.values():
        one.migrate()

    def each_day() -> None:
        bodies = heard(zendesk)
        for name in ("hooks", "both"):
            hear(stores[name], bodies[::-1] + bodies[:1], zendesk.now)
        for name in ("daily", "both"):
            assert export(stores[name], http) == ""
        for one in stores.values():
            take_in(one, zendesk.now)

    a_month(zendesk, each_day)
    assert export(stores["once"], http) == ""
    take_in(stores["once"], zendesk.now)
    made = {name: known(one) for name, one in stores.items()}
    for one in stores.values():
        one.close()

    assert made["daily"] == made["both"] == made["once"]
    by_webhook = {"open_ticket", "ticket_raised", "ticket_solved"}
    assert made["hooks"] == {one for one in made["daily"] if one[0] in by_webhook}
    assert Counter(one[0] for one in made["daily"] if one[3]) == {
        "ticket_raised": 3, "open_ticket": 5, "ticket_solved": 1, "first_reply": 1, "help_asked_again": 1,
        "ticket_rating": 1,
    }  # fmt: skip


EXAMPLES = itertools.count(1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(["reply", "solve", "reopen", "urgent", "low", "delete"]), st.integers(1, DAY)),
        max_size=10,
    ),
    seed=st.integers(0, 10**6),
)
def test_open_tickets_by_priority_are_those_of_the_newest_snapshot_in_any_order(
    acts: list[tuple[str, int]], seed: int, sqlite_store: Store
) -> None:
    server, dice = PretendZendesk(VirtualClock(START)), random.Random(seed)
    server.hook_to("http://127.0.0.1:9/never")
    about = server.tickets.pop(server.open_ticket(server.add_user("Ada", ""), "x", "high"))
    about.id = next(EXAMPLES) * 1000  # an id that no other example has
    server.tickets[about.id] = about
    exports = []
    for act, wait in acts:
        if about.status == "deleted":
            break
        server.clock.sleep(wait)
        if act in {"urgent", "low"}:
            server.set_priority(about.id, act)
        else:
            {"reply": server.reply, "solve": server.solve, "reopen": server.reopen, "delete": server.delete_ticket}[
                act
            ](about.id)
        exports.append(page_of(server, about.id))
    some = [body for body in heard(server)[1:] if dice.random() < 0.5]
    snapshots = [page_of(server, about.id), *(one for one in exports if dice.random() < 0.5)]
    for number, snapshot in enumerate(dice.sample(snapshots, len(snapshots))):
        store_raw(sqlite_store, "zendesk", "tickets", f"{about.id}:{number}", json.dumps(snapshot), server.now)
        hear(sqlite_store, dice.sample(some, len(some)), server.now)
        take_in(sqlite_store, server.now)

    waits = about.status not in {"solved", "deleted"}
    assert open_by_label(sqlite_store, f"ticket_{about.id}:") == ({about.priority: 1} if waits else {})


def page_of(server: PretendZendesk, ticket_id: int) -> Object:
    return {"tickets": [server._ticket(server.tickets[ticket_id], with_metrics=True)], "end_of_stream": True}
