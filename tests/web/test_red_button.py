"""The red button: on every page, and what waited while everything was stopped."""

from __future__ import annotations

from tests.web.asking import ask_about_ann, effect
from tests.web.house import House, Page
from worker.lib.clock import DAY
from worker.plays.records import set_switch


def pages(house: House) -> list[str]:
    effect_id = ask_about_ann(house)
    customer_id = house.customer_id("ann@example.com")
    return [
        "/", "/customers", f"/customers/{customer_id}", "/colours", "/disagreements", "/approvals",
        f"/approvals/{effect_id}", "/drafts", "/releases", "/refusals", "/mails", "/mails/low-nps",
    ]  # fmt: skip


def test_every_page_shows_the_state_and_can_stop_everything(house: House) -> None:
    paths = pages(house)
    operator = house.operator()
    for path in paths:
        for mode in ("watch", "draft", "approve", "live"):
            set_switch(house.store, "mode", mode, house.now)
            page = Page(operator.get(path).text)
            assert f"mode: {mode}" in page.text
            assert "Stop everything outward" in page.text
        assert ("form", "action", "/pause") in page.attributes
        csrf, onward = page.value("csrf"), page.value("next")

        stopped = operator.post("/pause", data={"csrf": csrf, "paused": page.value("paused"), "next": onward})

        assert (stopped.status_code, stopped.location) == (303, path)
        assert house.workspace.paused
        page = Page(operator.get(path).text)
        assert "Everything outward is stopped: nothing leaves" in page.text
        assert page.value("paused") == "no"
        operator.post("/pause", data={"csrf": csrf, "paused": "no"})
        assert not house.workspace.paused


def test_letting_it_go_on_says_what_has_waited(house: House) -> None:
    ask_about_ann(house)
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")
    operator.post("/pause", data={"csrf": csrf, "paused": "yes"})
    nothing = operator.post("/pause", data={"csrf": csrf, "paused": "no"})
    operator.post("/pause", data={"csrf": csrf, "paused": "yes"})
    house.mail(house.customer_id("ann@example.com"), "ann@example.com")

    went_on = operator.post("/pause", data={"csrf": csrf, "paused": "no"})

    assert "Nothing has waited." in nothing.text
    assert "1 act of the play “low nps”" in went_on.text
    assert not house.workspace.paused


def test_what_has_expired_meanwhile_is_let_go_and_told(house: House) -> None:
    ask_about_ann(house)
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")
    operator.post("/pause", data={"csrf": csrf, "paused": "yes"})
    effect_id = house.mail(house.customer_id("ann@example.com"), "ann@example.com")
    house.clock.sleep(2 * DAY)
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")

    went_on = operator.post("/pause", data={"csrf": csrf, "paused": "no"})

    assert "Let go, because it was no longer worth sending: mail low-nps to ann@example.com" in went_on.text
    assert effect(house, effect_id)["state"] == "refused"


def test_the_button_leads_to_no_other_site(house: House) -> None:
    operator = house.operator()
    csrf = Page(operator.get("/").text).value("csrf")

    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = operator.post("/pause", data={"csrf": csrf, "paused": "yes", "next": elsewhere})
        assert answer.location == "/"
