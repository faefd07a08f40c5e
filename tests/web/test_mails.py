"""The pages that show mails: what a customer would get, closed to all but the team, and harmless whatever is in it."""

from __future__ import annotations

from tests.web.house import House, Page
from worker.dispatch.letters import Templates
from worker.lib import assets
from worker.lib.clock import iso


def used(house: House, name: str) -> None:
    """A customer of this name used reports just now."""
    event = {"event_id": "e1", "kind": "usage", "label": "reports", "email": "ada@customer.example", "name": name}
    assert house.post({**event, "at": iso(house.now)}).status_code == 202
    house.turn()


NASTY = '"><script>alert(1)</script>'


def test_every_mail_is_listed_and_shown(house: House) -> None:
    browser = house.operator()
    names = sorted(house.workspace.templates.by_name)

    listed = Page(browser.get("/mails").get_data(as_text=True))

    for name in names:
        assert ("a", "href", f"/mails/{name}") in listed.attributes
        page = browser.get(f"/mails/{name}")
        assert page.status_code == 200
        assert "Nothing. It was written for some customers" in page.get_data(as_text=True)
    assert browser.get("/mails/nothing").status_code == 404
    assert browser.get("/mails/nothing/html").status_code == 404


def test_a_mail_is_shown_for_a_customer_in_a_frame_that_runs_and_loads_nothing(house: House) -> None:
    used(house, "Ada")
    browser = house.operator()

    page = Page(browser.get("/mails/usage-drop?customer=ada@customer.example").get_data(as_text=True))
    source = next(value for tag, name, value in page.attributes if (tag, name) == ("iframe", "src"))
    mail = browser.get(source)

    assert "Hello Ada," in page.text
    assert ("iframe", "sandbox", "") in page.attributes
    assert "Hello Ada," in mail.get_data(as_text=True)
    policy = dict(part.strip().partition(" ")[::2] for part in mail.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'unsafe-inline'"
    assert policy["frame-ancestors"] == "'self'"
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert mail.headers["Cache-Control"] == "no-store"


def test_whom_a_mail_cannot_be_written_for_is_told_with_what_is_unknown(house: House) -> None:
    used(house, "Ada")
    browser = house.operator()

    page = browser.get("/mails/low-nps?customer=ada@customer.example").get_data(as_text=True)

    assert "nps_answer_last_on" in page
    assert "<iframe" not in page
    assert "is no customers" in browser.get("/mails/low-nps?customer=nobody").get_data(as_text=True)
    assert browser.get("/mails/low-nps/html?customer=nobody").status_code == 404


def test_nothing_that_a_customer_has_written_gets_into_the_page_or_the_mail_as_markup(house: House) -> None:
    used(house, NASTY)
    browser = house.operator()

    for address in ("/mails/usage-drop", "/mails/usage-drop/html"):
        page = browser.get(address, query_string={"customer": "ada@customer.example", "language": NASTY})
        assert page.status_code == 200
        assert "<script" not in page.get_data(as_text=True)


def test_findings_stand_beside_the_mail(house: House) -> None:
    folder = house.folder / "mails"
    folder.mkdir()
    text = (assets.folder("templates") / "email" / "usage-drop.md").read_text("utf-8")
    (folder / "usage-drop.md").write_text(
        text.replace("gone in the way", "x").replace("Has something", "Your score"), "utf-8"
    )
    house.workspace.templates = Templates([assets.folder("templates") / "email", folder])

    page = house.operator().get("/mails/usage-drop").get_data(as_text=True)

    assert "no customer may read how they are rated" in page
    assert "1 findings" in house.operator().get("/mails").get_data(as_text=True)
