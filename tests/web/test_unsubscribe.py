"""The way out of mails: one click, no login, and nothing told."""

from __future__ import annotations

import pytest

from tests.web.house import House, Page
from worker.plays.records import address_hash


def suppressed(house: House, email: str) -> bool:
    binds = {"hash": address_hash(house.store, email)}
    return house.store.row("select at from suppressions where address_hash = :hash", binds) is not None


@pytest.fixture
def path(any_house: House) -> str:
    """The way out that a mail to Ann holds, as the mail writes it."""
    any_house.used("ann@example.com", 2, name="Ann's Garden")
    any_house.turn()
    effect_id = any_house.mail(any_house.customer_id("ann@example.com"), "ann@example.com")
    return f"/unsubscribe/{any_house.workspace.sign(effect_id)}"


def test_looking_changes_nothing(any_house: House, path: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert any_house.browser().open(path, method=method).status_code == 200

    assert not suppressed(any_house, "ann@example.com")
    assert "Send me no more mails" in any_house.browser().get(path).text


def test_one_click_of_the_mail_program_is_enough_and_a_second_one_is_too(any_house: House, path: str) -> None:
    # RFC 8058 section 3.2: a form with this one field, and no cookie.
    clicks = [any_house.browser().post(path, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)]

    assert [click.status_code for click in clicks] == [200, 200]
    assert suppressed(any_house, "ann@example.com")
    assert not suppressed(any_house, "bob@example.com")
    assert "Set-Cookie" not in clicks[0].headers


def test_the_pages_button_sends_the_same(any_house: House, path: str) -> None:
    page = Page(any_house.browser().get(path).text)

    assert page.value("List-Unsubscribe") == "One-Click"
    assert ("form", "method", "post") in page.attributes
    assert [one for one in page.attributes if one[1] == "action"] == []


def test_the_pages_tell_nothing_of_how_the_customer_stands(any_house: House, path: str) -> None:
    told = any_house.browser().get(path).text + any_house.browser().post(path).text

    for word in ("score", "red", "yellow", "risk", "health", "attention", "Ann's Garden", "ann@example.com"):
        assert word not in Page(told).text


@pytest.mark.parametrize("token", ["x", "eff_1", "ImVmZl8xIg.forged", "..", "%00"])
def test_a_forged_token_finds_nothing(house: House, token: str) -> None:
    assert house.browser().get(f"/unsubscribe/{token}").status_code == 404
    assert house.browser().post(f"/unsubscribe/{token}").status_code == 404


def test_no_letter_of_a_token_can_be_changed(any_house: House, path: str) -> None:
    for place in range(len("/unsubscribe/"), len(path)):
        changed = path[:place] + ("A" if path[place] != "A" else "B") + path[place + 1 :]
        if any_house.browser().post(changed).status_code == 200:
            # The last letter of a base64 text has bits that mean nothing.
            assert place == len(path) - 1


def test_a_signed_name_of_something_else_is_no_way_out(house: House) -> None:
    assert house.browser().post(f"/unsubscribe/{house.workspace.sign('eff_unknown')}").status_code == 404


def test_the_way_out_of_a_text_message_stops_its_number_and_nothing_else(any_house: House, path: str) -> None:
    any_house.store.run("update effects set kind = 'sms', lane = 'sms', target = '+4930123456'")

    assert any_house.browser().post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200

    assert suppressed(any_house, "+4930123456")
    assert not suppressed(any_house, "ann@example.com")
