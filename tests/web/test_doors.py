"""Who may come in by which door, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from flask import Flask

from tests.web.house import House, Page
from worker.lib.clock import HOUR
from worker.plays.records import switch
from worker.sandbox.servers.loopback import Loopback
from worker.web import auth
from worker.web.guard import OPEN

OPEN_TO_ALL = {
    "/healthz", "/hooks/<integration>", "/hooks/<integration>/<secret>", "/login", "/login/<token>",
    "/unsubscribe/<token>", "/deeds/<name>/<token>", "/slack/actions",
    "/l/<token>", "/o/<token>", "/static/<path:filename>", "/bootstrap/static/<path:filename>",
}  # fmt: skip
"""Written out a second time on purpose: whoever opens a door changes it here too."""


def doors(app: Flask) -> list[tuple[str, str, str]]:
    """Every (method, rule, endpoint) there is."""
    return [
        (method, rule.rule, rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]


def address(rule: str) -> str:
    return rule.replace("<", "").replace(">", "").replace("path:", "")


def test_every_door_but_the_open_ones_wants_a_key_or_a_login(house: House) -> None:
    closed = [door for door in doors(house.app) if door[1] not in OPEN_TO_ALL]

    answers = {(method, rule): house.browser().open(address(rule), method=method) for method, rule, _ in closed}

    assert len(closed) >= 10
    for (_, rule), answer in answers.items():
        if rule.startswith("/api/"):
            assert (answer.status_code, answer.get_json()["code"]) == (401, "bad_key")
        else:
            assert (answer.status_code, answer.location.split("?")[0]) == (303, "/login")


def test_a_door_that_is_built_later_is_closed(house: House) -> None:
    house.app.add_url_rule("/new", "new", lambda: "secret")

    assert house.browser().get("/new").location == "/login?next=/new"


def test_the_list_of_open_doors_names_only_doors_that_there_are(house: House) -> None:
    assert {endpoint for _, _, endpoint in doors(house.app)} >= OPEN


def test_no_page_changes_anything_without_the_sessions_token(house: House) -> None:
    operator = house.operator()
    changing = [
        address(rule) for method, rule, endpoint in doors(house.app)
        if method != "GET" and endpoint not in OPEN and not rule.startswith("/api/")
    ]  # fmt: skip

    for path in changing:
        assert operator.post(path).status_code == 403
        assert operator.post(path, data={"csrf": "é"}).status_code == 403

    assert {"/pause", "/logout"} <= set(changing)
    assert operator.get("/").status_code == 200
    assert not house.workspace.paused


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_no_page_changes_anything_for_another_site(house: House, origin: str) -> None:
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")

    refused = operator.post("/pause", data={"csrf": csrf, "paused": "yes"}, headers={"Origin": origin})

    assert (refused.status_code, house.workspace.paused) == (403, False)


def test_the_operator_pauses_and_resumes(house: House) -> None:
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")
    ours = {"Origin": "http://localhost"}

    operator.post("/pause", data={"csrf": csrf, "paused": "yes"}, headers=ours)

    assert house.workspace.paused
    assert "Nothing leaves" in operator.get("/").text
    operator.post("/pause", data={"csrf": csrf, "paused": "no"}, headers=ours)
    assert not house.workspace.paused


def test_every_answer_says_what_a_browser_may_do_with_it(house: House) -> None:
    operator = house.operator()
    house.used("ann@example.com", 5)

    for path in ("/", "/customers", "/login", "/nothing", "/healthz", "/api/v1/me", "/static/keepwell.css"):
        with operator.get(path) as answer:
            headers = answer.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert operator.get("/").headers["Cache-Control"] == "no-store"


def test_no_page_loads_anything_from_another_host_or_holds_scripts_or_styles_of_its_own(house: House) -> None:
    operator = house.operator()
    house.used("ann@example.com", 5, name="Ann's")
    house.turn()

    for path in ("/", "/customers", f"/customers/{house.customer_id('ann@example.com')}", "/login", "/nothing"):
        page = Page(operator.get(path).text)
        assert {tag for tag, _ in page.shape} & {"script", "style", "iframe", "object"} == set()
        assert [
            value
            for _, name, value in page.attributes
            if name in {"src", "href"} and not value.startswith("/") and value != "#main"
        ] == []
        assert [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"] == []


def test_what_is_not_there_is_said_in_the_callers_language(house: House) -> None:
    assert "There is nothing here." in house.browser().get("/nothing").text
    machine = house.browser().get("/api/v1/nothing")
    assert (machine.status_code, machine.get_json()["status"], machine.content_type) == (404, 404, "application/json")
    assert set(house.browser().put("/healthz").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_fault_of_ours_shows_nothing_of_itself(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str:
        raise RuntimeError("the secret is hunter2")

    house.app.add_url_rule("/api/v1/broken", "api.broken", broken)
    house.app.add_url_rule("/broken", "broken", broken)

    machine, page = house.call("GET", "/broken"), house.operator().get("/broken")

    assert (machine.status_code, machine.get_json()["code"]) == (500, "our_fault")
    assert page.status_code == 500
    assert "hunter2" not in machine.text + page.text + caplog.text
    assert "RuntimeError at " in caplog.text


def test_a_caller_cannot_choose_an_address_for_itself_unless_a_proxy_of_ours_says_it(
    house_at: Callable[..., House],
) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "10.0.0.9"}
    alone, proxied = house_at(), house_at(settings="[server]\nforwarded_hops = 1\n")
    for house in (alone, proxied):
        house.used("ann@example.com", 1)
        house.used("bob@example.com", 1)
        house.turn()

    assert "evil.example" not in alone.call("GET", "/customers?limit=1", headers=forged).headers["Link"]
    assert "evil.example" in proxied.call("GET", "/customers?limit=1", headers=forged).headers["Link"]


# -- health -----------------------------------------------------------------------------------------------------------


def test_it_is_well_before_the_first_turn_and_ill_once_the_wheel_stands_still(any_house: House) -> None:
    ask = any_house.browser().get

    assert ask("/healthz").get_json() == {"status": "well", "database": True, "turning": True}
    any_house.turn()
    any_house.clock.sleep(HOUR)
    assert ask("/healthz").status_code == 200
    any_house.clock.sleep(1)
    late = ask("/healthz")
    assert (late.status_code, late.get_json()) == (503, {"status": "ill", "database": True, "turning": False})


def test_it_is_ill_without_its_database(house: House) -> None:
    house.store.run("alter table runs rename to gone")

    answer = house.browser().get("/healthz")

    assert (answer.status_code, answer.get_json()["database"]) == (503, False)


# -- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_opens_the_api_by_either_header_and_never_from_the_address(house: House) -> None:
    ask = house.browser().get

    assert ask("/api/v1/me", headers={"X-API-Key": house.key}).get_json()["account_name"] == "Acme"
    assert ask("/api/v1/me", headers={"Authorization": f"Bearer {house.key}"}).status_code == 200
    assert ask(f"/api/v1/me?key={house.key}&api_key={house.key}").status_code == 401
    for wrong in ("", "kw_", house.key[:-1], house.key.upper(), house.key + "x", "é", f"Basic {house.key}"):
        assert ask("/api/v1/me", headers={"X-API-Key": wrong}).status_code == 401
        assert ask("/api/v1/me", headers={"Authorization": wrong}).status_code == 401


def test_a_key_does_not_open_the_pages_nor_a_login_the_api(house: House) -> None:
    assert house.browser().get("/", headers={"X-API-Key": house.key}).status_code == 303
    assert house.operator().get("/api/v1/customers").status_code == 401


def test_a_revoked_key_opens_nothing_and_only_hashes_are_stored(any_house: House) -> None:
    store, key = any_house.store, any_house.key
    (listed,) = auth.keys(store)

    assert listed == {"id": listed["id"], "name": "make", "created": "2026-01-01T00:00:00.000Z", "revoked": ""}
    assert auth.revoke_key(store, listed["id"], any_house.now)
    assert not auth.revoke_key(store, listed["id"], any_house.now)
    assert any_house.call("GET", "/me").status_code == 401
    assert auth.keys(store)[0]["revoked"] == "2026-01-01T00:00:00.000Z"
    assert len(key) > 30
    assert key not in str(store.rows("select * from api_keys"))
    assert switch(store, auth.PASSWORD).startswith("scrypt:")


def test_a_key_that_calls_too_often_is_asked_to_wait_and_others_are_not(house: House) -> None:
    answers = [house.call("GET", "/me").status_code for _ in range(601)]

    assert answers == [200] * 600 + [429]
    assert house.call("GET", "/me").headers["Retry-After"] == "1"
    other = {"X-API-Key": auth.create_key(house.store, "zapier", house.now)}
    assert house.browser().get("/api/v1/me", headers=other).status_code == 200
    house.clock.sleep(1)
    assert house.call("GET", "/me").status_code == 200


# -- through a real server --------------------------------------------------------------------------------------------


def test_the_doors_work_through_a_real_server(house: House) -> None:
    server = Loopback(house.app, "doors")
    base = server.url
    event: dict[str, Any] = {"event_id": "1", "kind": "usage", "email": "ann@example.com"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Connection"] = "close"  # so that the server's end has nobody to wait for
            assert session.get(f"{base}/", timeout=10).url == f"{base}/login?next=/"
            posted = session.post(f"{base}/api/v1/events", json=event, headers={"X-API-Key": house.key}, timeout=10)
            assert posted.json()["accepted"] == 1
            too_much = session.post(
                f"{base}/api/v1/events", data=b" " * 2_000_001, headers={"X-API-Key": house.key}, timeout=10
            )
            assert (too_much.status_code, too_much.json()["code"]) == (413, "too_large")
    finally:
        server.stop()
