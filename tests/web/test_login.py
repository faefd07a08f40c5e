"""The operator comes in and goes out; nobody else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.house import PASSWORD, House, Page
from worker.lib.clock import HOUR, MINUTE
from worker.web import auth


def log_in(browser: FlaskClient, password: str = PASSWORD, caller: str = "10.0.0.1", **fields: str) -> TestResponse:
    return browser.post("/login", data={"password": password, **fields}, environ_overrides={"REMOTE_ADDR": caller})


def cookie(browser: FlaskClient) -> str:
    found = browser.get_cookie("keepwell")
    return found.value if found else ""


def carrying(house: House, token: str) -> FlaskClient:
    browser = house.browser()
    browser.set_cookie("keepwell", token)
    return browser


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/").status_code == 200


# -- the password -----------------------------------------------------------------------------------------------------


def test_the_password_lets_the_operator_in_and_on_to_where_they_wanted(house: House) -> None:
    browser = house.browser()
    asked = browser.get("/customers?q=ann")

    page = Page(browser.get(asked.location).text)
    entered = log_in(browser, next=page.value("next"))

    assert (asked.status_code, entered.status_code, entered.location) == (303, 303, "/customers")
    assert is_in(browser)


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), "x" * 100_000, "\0"])
def test_a_wrong_password_lets_nobody_in(house: House, password: str) -> None:
    browser = house.browser()

    refused = log_in(browser, password)

    assert refused.status_code in {401, 413}
    assert not is_in(browser)
    assert "Set-Cookie" not in refused.headers


def test_without_a_password_that_was_set_nobody_comes_in(house: House) -> None:
    house.workspace.store.run("delete from switches where name = 'operator_password'")

    assert log_in(house.browser(), "").status_code == 401
    assert not auth.check(house.store, PASSWORD)


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "/a\nb"],
)
def test_a_login_leads_nowhere_else(house: House, onward: str) -> None:
    assert log_in(house.browser(), next=onward).location == "/"


def test_another_sites_form_cannot_log_anybody_in(house: House) -> None:
    forged = house.browser().post("/login", data={"password": PASSWORD}, headers={"Origin": "https://evil.example"})
    fetched = house.browser().post("/login", data={"password": PASSWORD}, headers={"Sec-Fetch-Site": "cross-site"})

    assert (forged.status_code, fetched.status_code) == (403, 403)


def test_guessing_is_slowed_for_the_one_who_guesses_and_for_nobody_else(house: House) -> None:
    guesses = [log_in(house.browser(), f"guess {n}") for n in range(20)]

    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 10
    assert guesses[-1].headers["Retry-After"] == "60"
    assert log_in(house.browser()).status_code == 429
    assert log_in(house.browser(), caller="10.0.0.2").status_code == 303
    house.clock.sleep(MINUTE)
    assert log_in(house.browser()).status_code == 303


def test_a_household_with_many_addresses_is_one_caller(house: House) -> None:
    guesses = [log_in(house.browser(), "no", caller=f"2001:db8::{n + 1:x}").status_code for n in range(12)]

    assert guesses == [401] * 10 + [429] * 2
    assert log_in(house.browser(), caller="2001:db8:0:1::1").status_code == 303


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_a_login_gets_a_new_id_and_ends_the_one_that_was_brought_along(house: House) -> None:
    planted = house.browser()
    planted.set_cookie("keepwell", "chosen-by-an-attacker")
    log_in(planted)
    first = cookie(planted)

    log_in(planted)

    assert len({"chosen-by-an-attacker", first, cookie(planted)}) == 3
    assert not is_in(carrying(house, "chosen-by-an-attacker"))
    assert not is_in(carrying(house, first))
    assert is_in(planted)


def test_a_logout_ends_the_session_for_a_copied_cookie_too(house: House) -> None:
    browser = house.operator()
    copied = cookie(browser)
    csrf = Page(browser.get("/").text).value("csrf")

    left = browser.post("/logout", data={"csrf": csrf})

    assert left.location == "/login"
    assert not is_in(browser)
    assert not is_in(carrying(house, copied))


def test_a_session_ends_after_half_an_hour_without_a_request(any_house: House) -> None:
    browser = any_house.operator()

    any_house.clock.sleep(30 * MINUTE - 1)
    assert is_in(browser)
    any_house.clock.sleep(30 * MINUTE - 1)
    assert is_in(browser)
    any_house.clock.sleep(30 * MINUTE)
    assert not is_in(browser)


def test_a_session_ends_after_twelve_hours_in_any_case(house: House) -> None:
    browser = house.operator()

    for _ in range(12 * 3 - 1):
        house.clock.sleep(20 * MINUTE)
        assert is_in(browser)
    house.clock.sleep(20 * MINUTE)

    assert not is_in(browser)


def test_sessions_that_are_over_do_not_pile_up(house: House) -> None:
    for _ in range(3):
        house.operator()
        house.clock.sleep(12 * HOUR)
    house.operator()

    assert house.store.value("select count(*) from sessions") == 1


def test_a_stolen_database_holds_no_session(house: House) -> None:
    token = cookie(house.operator())

    assert len(token) > 30
    assert token not in str(house.store.rows("select * from sessions"))


@pytest.mark.parametrize(
    ("url", "name", "secure"),
    [("http://localhost", "keepwell=", False), ("https://localhost", "__Host-keepwell=", True)],
)
def test_the_cookie_is_for_this_host_and_no_script(
    house_at: Callable[..., House], url: str, name: str, secure: bool
) -> None:
    house = house_at(url=url)

    made = log_in(house.browser()).headers["Set-Cookie"]

    assert made.startswith(name)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(made.split("; "))
    assert ("Secure" in made.split("; ")) == secure
    assert "Domain" not in made


def test_where_it_is_served_over_https_browsers_are_told_to_stay_there(house_at: Callable[..., House]) -> None:
    assert "Strict-Transport-Security" in house_at(url="https://localhost").browser().get("/login").headers
    assert "Strict-Transport-Security" not in house_at().browser().get("/login").headers


# -- links that work once ---------------------------------------------------------------------------------------------


def test_a_link_lets_one_person_in_once(any_house: House) -> None:
    link = auth.create_login_link(any_house.workspace).removeprefix("http://localhost")
    first, second = any_house.browser(), any_house.browser()

    assert first.post(link).location == "/"
    assert is_in(first)
    assert second.post(link).status_code == 404
    assert not is_in(second)
    assert "lets nobody in any more" in second.get(link).text


def test_looking_at_a_link_uses_nothing_up(house: House) -> None:
    link = auth.create_login_link(house.workspace).removeprefix("http://localhost")

    for _ in range(3):
        previewer = house.browser()
        assert "Open the dashboard" in previewer.get(link).text
        previewer.head(link)
        assert not is_in(previewer)

    assert house.browser().post(link).status_code == 303


def test_a_link_is_too_old_after_ten_minutes(house: House) -> None:
    link = auth.create_login_link(house.workspace).removeprefix("http://localhost")

    house.clock.sleep(10 * MINUTE - 1)
    assert house.browser().get(link).status_code == 200
    house.clock.sleep(1)

    assert (house.browser().get(link).status_code, house.browser().post(link).status_code) == (404, 404)
    auth.create_login_link(house.workspace)
    assert house.store.value("select count(*) from switches where name like 'login_link:%'") == 1


def test_a_made_up_link_lets_nobody_in(house: House) -> None:
    auth.create_login_link(house.workspace)

    for token in ("x", "operator_password", "x" * 5000, "%00"):
        assert house.browser().post(f"/login/{token}").status_code == 404
