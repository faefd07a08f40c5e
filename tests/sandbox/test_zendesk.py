"""The pretend Zendesk against Zendesk's published shapes, never against our client."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import yaml

from tests.conftest import START
from tests.sandbox.receiver import listening
from worker.lib.clock import DAY, HOUR, MINUTE, VirtualClock
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.zendesk import PretendZendesk
from worker.sandbox.servers.zendesk_office import signature

LAST_YEAR = START - 365 * DAY


@pytest.fixture
def zendesk(clock: VirtualClock) -> Iterator[PretendZendesk]:
    server = PretendZendesk(clock)
    server.start()
    yield server
    server.stop()


def ask(zendesk: PretendZendesk, path: str, **params: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (f"{zendesk.email}/token", zendesk.token)
        return session.get(zendesk.base_url + path, params=params, timeout=10)


def export(zendesk: PretendZendesk, kind: str = "tickets", **params: Any) -> dict[str, Any]:
    answer = ask(zendesk, f"/api/v2/incremental/{kind}/cursor.json", **params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def a_user(zendesk: PretendZendesk, name: str = "Ada Lovelace", at: int = START - 60 * DAY) -> int:
    return zendesk.add_user(name, f"{name.split()[0].lower()}@example.com", "keap-7", at=at)


def a_ticket_with_a_history(zendesk: PretendZendesk) -> int:
    """Answered after two hours, solved after five, reopened after six, solved after nine, rated good."""
    opened = START - 2 * DAY
    ticket = zendesk.open_ticket(a_user(zendesk), "Export is empty", "high", opened)
    zendesk.reply(ticket, opened + 2 * HOUR)
    zendesk.solve(ticket, opened + 5 * HOUR)
    zendesk.reopen(ticket, opened + 6 * HOUR)
    zendesk.solve(ticket, opened + 9 * HOUR)
    zendesk.rate(ticket, "good", "Thanks!", opened + 10 * HOUR)
    return ticket


# -- shapes --------------------------------------------------------------------------------------------------------


def schema(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / f"specs/zendesk/singer-schemas/{name}.json").read_text())
    return found


def example(shared: Path, name: str) -> dict[str, Any]:
    text = (shared / "specs/zendesk/zendesk-incremental-export-api-openapi.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)["components"]["schemas"][name]["example"]
    return found


def test_tickets_metrics_and_users_have_the_published_shape(zendesk: PretendZendesk, shared: Path) -> None:
    a_ticket_with_a_history(zendesk)
    page = export(zendesk, start_time=LAST_YEAR, include="metric_sets,users")
    (ticket,) = page["tickets"]
    frame = example(shared, "CursorBasedExportIncrementalTicketsResponse")

    assert set(frame) <= set(page)
    assert set(frame["tickets"][0]) <= set(ticket)
    jsonschema.validate(ticket, schema(shared, "tickets"))
    jsonschema.validate(ticket["metric_set"], schema(shared, "ticket_metrics"))
    assert {"status", "metric", "instance_id", "time", "type"} == set(
        schema(shared, "ticket_metrics")["properties"]
    ) - set(ticket["metric_set"])
    for user in page["users"]:
        jsonschema.validate(user, schema(shared, "users"))
        assert set(example(shared, "CursorBasedExportIncrementalUsersResponse")["users"][0]) <= set(user)


def test_the_metrics_tell_how_long_people_waited(zendesk: PretendZendesk) -> None:
    a_ticket_with_a_history(zendesk)
    (ticket,) = export(zendesk, start_time=LAST_YEAR, include="metric_sets")["tickets"]
    metrics = ticket["metric_set"]

    assert metrics["reply_time_in_minutes"] == {"calendar": 120, "business": 120}
    assert metrics["first_resolution_time_in_minutes"]["calendar"] == 300
    assert metrics["full_resolution_time_in_minutes"]["calendar"] == 540
    assert metrics["requester_wait_time_in_minutes"]["calendar"] == 120 + 180
    assert metrics["agent_wait_time_in_minutes"]["calendar"] == 180
    assert (metrics["reopens"], metrics["replies"]) == (1, 1)
    assert ticket["satisfaction_rating"]["score"] == "good"
    assert ticket["created_at"] == "2025-12-30T00:00:00Z"


def test_what_is_not_asked_for_is_not_sent_along(zendesk: PretendZendesk) -> None:
    a_ticket_with_a_history(zendesk)
    page = export(zendesk, start_time=LAST_YEAR)
    assert "users" not in page
    assert "organizations" not in page
    assert "metric_set" not in page["tickets"][0]


def test_the_people_and_companies_of_a_page_come_with_it(zendesk: PretendZendesk) -> None:
    company = zendesk.add_organization("Analytical Engines", "keap-company-1", START - 9 * DAY)
    user = zendesk.add_user("Ada Lovelace", "ada@example.com", organization_id=company, at=START - 9 * DAY)
    zendesk.add_user("Charles Babbage", "charles@example.com", at=START - 9 * DAY)
    zendesk.open_ticket(user, "Hello", at=START - DAY)

    page = export(zendesk, start_time=LAST_YEAR, include="users,organizations")

    assert {one["email"] for one in page["users"]} == {"ada@example.com", zendesk.email}
    assert [one["name"] for one in page["organizations"]] == ["Analytical Engines"]
    assert page["tickets"][0]["organization_id"] == company


def test_a_deleted_ticket_is_exported_without_metrics(zendesk: PretendZendesk) -> None:
    ticket = zendesk.open_ticket(a_user(zendesk), "Never mind", at=START - DAY)
    zendesk.delete_ticket(ticket, START - DAY + HOUR)
    (shown,) = export(zendesk, start_time=LAST_YEAR, include="metric_sets")["tickets"]
    assert shown["status"] == "deleted"
    assert "metric_set" not in shown


# -- the key, the limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [None, ("sam@sandbox.example", "zendesk_sandbox_token"), ("a/token", "wrong")])
def test_a_call_without_the_right_token_is_refused(zendesk: PretendZendesk, auth: tuple[str, str] | None) -> None:
    answer = requests.get(f"{zendesk.base_url}/api/v2/users/me.json", auth=auth, timeout=10)
    assert answer.status_code == 401
    assert "error" in answer.json()


def test_the_token_names_an_admin(zendesk: PretendZendesk, shared: Path) -> None:
    user = ask(zendesk, "/api/v2/users/me.json").json()["user"]
    assert (user["role"], user["email"]) == ("admin", zendesk.email)
    jsonschema.validate(user, schema(shared, "users"))


def test_an_eleventh_export_within_a_minute_is_too_many(zendesk: PretendZendesk, clock: VirtualClock) -> None:
    export(zendesk, start_time=LAST_YEAR)
    clock.sleep(20)
    for _ in range(9):
        export(zendesk, start_time=LAST_YEAR)

    refused = ask(zendesk, "/api/v2/incremental/users/cursor.json", start_time=LAST_YEAR)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "40"
    assert refused.headers["zendesk-ratelimit-incremental-exports"] == "total=10; remaining=0; resets=40"
    assert int(refused.headers["X-Rate-Limit-Remaining"]) < int(refused.headers["X-Rate-Limit"])
    assert ask(zendesk, "/api/v2/users/me.json").status_code == 200

    clock.sleep(40)
    assert export(zendesk, start_time=LAST_YEAR)["end_of_stream"] is True
    assert zendesk.faults.met["429_over_limit"] == 1


def test_a_bare_429_names_no_time_to_wait(clock: VirtualClock) -> None:
    zendesk = PretendZendesk(clock, Faults(planned=["429_bare", "429_with_retry_after"]))
    zendesk.start()
    try:
        answers = [ask(zendesk, "/api/v2/users/me.json") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert ["Retry-After" in answer.headers for answer in answers] == [False, True, False]
    finally:
        zendesk.stop()


# -- the export ----------------------------------------------------------------------------------------------------


def test_following_the_cursor_gives_every_ticket_once_in_the_order_they_changed(zendesk: PretendZendesk) -> None:
    user = a_user(zendesk)
    for n in range(23):
        zendesk.open_ticket(user, f"Question {n}", at=START - 10 * DAY + n // 3)

    page = export(zendesk, start_time=LAST_YEAR, per_page=5)
    seen = [one["id"] for one in page["tickets"]]
    while not page["end_of_stream"]:
        page = export(zendesk, cursor=page["after_cursor"], per_page=5)
        seen += [one["id"] for one in page["tickets"]]

    assert seen == list(range(1, 24))


def test_a_cursor_at_the_end_gives_what_changes_later_and_only_that(
    zendesk: PretendZendesk, clock: VirtualClock
) -> None:
    user = a_user(zendesk)
    first = zendesk.open_ticket(user, "One", at=START - DAY)
    zendesk.open_ticket(user, "Two", at=START - DAY)
    end = export(zendesk, start_time=LAST_YEAR)["after_cursor"]
    quiet = export(zendesk, cursor=end)
    assert (quiet["tickets"], quiet["after_cursor"], quiet["end_of_stream"]) == ([], end, True)

    zendesk.solve(first)
    clock.sleep(61)
    assert [one["id"] for one in export(zendesk, cursor=end)["tickets"]] == [first]


def test_the_url_for_the_next_page_works_as_it_stands(zendesk: PretendZendesk) -> None:
    user = a_user(zendesk)
    for n in range(3):
        zendesk.open_ticket(user, f"Question {n}", at=START - DAY + n)
    page = export(zendesk, start_time=LAST_YEAR, per_page=2)
    following = requests.get(page["after_url"], auth=(f"{zendesk.email}/token", zendesk.token), timeout=10).json()
    assert [one["id"] for one in following["tickets"]] == [3]


def test_changes_of_the_last_minute_wait(zendesk: PretendZendesk, clock: VirtualClock) -> None:
    zendesk.open_ticket(a_user(zendesk), "Now", at=START)
    assert export(zendesk, start_time=LAST_YEAR)["tickets"] == []
    clock.sleep(MINUTE)
    assert export(zendesk, start_time=LAST_YEAR)["tickets"] == []
    clock.sleep(1)
    assert len(export(zendesk, start_time=LAST_YEAR)["tickets"]) == 1


def test_an_empty_page_need_not_be_the_last(zendesk: PretendZendesk) -> None:
    zendesk.open_ticket(a_user(zendesk), "Here", at=START - DAY)
    zendesk.empty_pages = 1
    page = export(zendesk, start_time=LAST_YEAR)
    assert (page["tickets"], page["end_of_stream"]) == ([], False)
    assert len(export(zendesk, cursor=page["after_cursor"])["tickets"]) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"start_time": START - 30},
        {"start_time": START + DAY},
        {"start_time": "yesterday"},
        {},
        {"cursor": "nonsense"},
        {"start_time": LAST_YEAR, "per_page": 1001},
        {"start_time": LAST_YEAR, "per_page": 0},
    ],
)
def test_what_an_export_cannot_use_is_refused(zendesk: PretendZendesk, params: dict[str, Any]) -> None:
    answer = ask(zendesk, "/api/v2/incremental/tickets/cursor.json", **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_people_are_exported_when_they_come_and_when_they_change(zendesk: PretendZendesk, clock: VirtualClock) -> None:
    ada, grace = a_user(zendesk), a_user(zendesk, "Grace Hopper", START - 50 * DAY)
    page = export(zendesk, "users", start_time=LAST_YEAR)
    assert [(one["id"], one["external_id"]) for one in page["users"]] == [(ada, "keap-7"), (grace, "keap-7")]

    zendesk.change_email(ada, "countess@example.com")
    clock.sleep(2 * MINUTE)
    changed = export(zendesk, "users", cursor=page["after_cursor"])["users"]
    assert [one["email"] for one in changed] == ["countess@example.com"]


# -- webhooks ------------------------------------------------------------------------------------------------------


def test_every_turn_of_a_ticket_is_told(zendesk: PretendZendesk) -> None:
    with listening() as receiver:
        user = a_user(zendesk)
        zendesk.hook_to(receiver.url)
        ticket = zendesk.open_ticket(user, "Export is empty")
        zendesk.set_priority(ticket, "urgent")
        zendesk.reply(ticket)
        zendesk.solve(ticket)
        zendesk.reopen(ticket)
        zendesk.solve(ticket)
        zendesk.rate(ticket, "bad", "Slow")
        zendesk.delete_ticket(ticket)
        zendesk.deliver_hooks()

    told = [(body["type"].removeprefix("zen:event-type:ticket."), body["event"]) for body in receiver.bodies()]
    assert told == [
        ("created", {}),
        ("priority_changed", {"current": "URGENT", "previous": None}),
        ("status_changed", {"current": "PENDING", "previous": "NEW"}),
        ("status_changed", {"current": "SOLVED", "previous": "PENDING"}),
        ("status_changed", {"current": "OPEN", "previous": "SOLVED"}),
        ("status_changed", {"current": "SOLVED", "previous": "OPEN"}),
        ("csat_received", {"satisfaction_score": {"score": "BAD", "comment": "Slow"}}),
        ("soft_deleted", {}),
    ]
    detail = receiver.bodies()[1]["detail"]
    assert (detail["id"], detail["requester_id"], detail["priority"]) == (str(ticket), str(user), "URGENT")
    assert receiver.bodies()[1]["subject"] == f"zen:ticket:{ticket}"


def test_a_webhook_is_signed_over_timestamp_and_body(zendesk: PretendZendesk) -> None:
    with listening() as receiver:
        zendesk.hook_to(receiver.url, "made_up_secret")
        zendesk.open_ticket(a_user(zendesk), "Hello")
        zendesk.deliver_hooks(duplicate=1.0)

    (headers, body), (again, same) = receiver.got
    timestamp = headers["x-zendesk-webhook-signature-timestamp"]
    expected = base64.b64encode(hmac.new(b"made_up_secret", timestamp.encode() + body, hashlib.sha256).digest())
    assert headers["x-zendesk-webhook-signature"] == expected.decode()
    assert timestamp == "2026-01-01T00:00:00Z"
    assert (same, again["x-zendesk-webhook-invocation-id"]) == (body, headers["x-zendesk-webhook-invocation-id"])


def test_the_signature_agrees_with_the_known_vector() -> None:
    secret = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
    assert signature(secret, "2021-07-25T10:00:00Z", b'{"say": "hello"}') == (
        "Rry/4TtIdFyawtXXp8QdI6tlAUUQ/5kL1OTp5qo/ZIk="
    )


def test_a_webhook_hears_only_what_it_asked_for_and_nothing_from_before_it_existed(zendesk: PretendZendesk) -> None:
    with listening() as receiver:
        user = a_user(zendesk)
        zendesk.open_ticket(user, "Before")
        zendesk.hook_to(receiver.url, types=("zen:event-type:ticket.created",))
        zendesk.open_ticket(user, "Yesterday", at=START - DAY)
        ticket = zendesk.open_ticket(user, "After")
        zendesk.solve(ticket)
        zendesk.deliver_hooks()
    assert [body["detail"]["subject"] for body in receiver.bodies()] == ["After"]


def test_nothing_happens_to_a_deleted_ticket(zendesk: PretendZendesk) -> None:
    ticket = zendesk.open_ticket(a_user(zendesk), "Never mind")
    zendesk.delete_ticket(ticket)
    with pytest.raises(ValueError, match="deleted"):
        zendesk.solve(ticket)
    with pytest.raises(ValueError, match="good or bad"):
        zendesk.rate(ticket, "fine")
    with pytest.raises(ValueError, match="priority"):
        zendesk.set_priority(zendesk.open_ticket(a_user(zendesk), "Hm"), "huge")
