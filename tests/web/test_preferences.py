"""What an address wants to read: topics, a pause, nothing; and the way back, for whoever holds the link."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.house import House, Page
from worker import preferences
from worker.lib.clock import DAY
from worker.lib.store import sql
from worker.plays.records import address_hash, suppress


@pytest.fixture
def path(any_house: House) -> str:
    """The link that a mail to Ann holds."""
    any_house.used("ann@example.com", 2, name="Ann's Garden")
    any_house.turn()
    effect_id = any_house.mail(any_house.customer_id("ann@example.com"), "ann@example.com")
    return f"/unsubscribe/{any_house.workspace.sign(effect_id)}"


def against(
    house: House, purpose: str, topic: str = "", email: str = "ann@example.com"
) -> tuple[str, int | None] | None:
    """What stands against a mail, as the arbiter asks for it."""
    binds = {"address_hash": address_hash(house.store, email), "purpose": purpose, "topic": topic, "now": house.now}
    row = house.store.row(sql("desk", "preference"), binds)
    return (row["topic"], row["until"]) if row else None


def stopped(house: House, email: str = "ann@example.com") -> str:
    binds = {"address_hash": address_hash(house.store, email)}
    return str(house.store.value(sql("plays", "suppressed"), binds) or "")


def kept(house: House) -> list[object]:
    return [house.store.rows(f"select * from {table}") for table in ("preferences", "suppressions")]


def test_looking_changes_nothing(any_house: House, path: str) -> None:
    before = kept(any_house)

    for method in ("GET", "HEAD", "OPTIONS"):
        for query in ("", "?wish=stop", "?List-Unsubscribe=One-Click", "?wish=pause&topic="):
            headers = {"Sec-Purpose": "prefetch", "Purpose": "prefetch"}
            assert any_house.browser().open(path + query, method=method, headers=headers).status_code == 200

    assert kept(any_house) == before == [[], []]


def test_the_page_offers_the_purposes_that_there_are(any_house: House, path: str) -> None:
    page = Page(any_house.browser().get(path).text)

    purposes = {template.purpose for template in any_house.workspace.templates.by_name.values()}
    offered = [topic.name for topic in preferences.topics(any_house.workspace)]
    assert offered == [one for one in ("service", "marketing") if one in purposes]
    assert [value for tag, name, value in page.attributes if name == "value" and value in offered] == offered
    assert "transactional" not in offered


def test_a_choice_of_topics_holds_from_then_on_and_can_be_changed(any_house: House, path: str) -> None:
    browser = any_house.browser()

    answer = browser.post(path, data={"wish": "topics", "topic": ["service"]})

    assert "It holds from now on" in answer.text
    assert against(any_house, "marketing") == ("marketing", None)
    assert against(any_house, "service") is None
    assert against(any_house, "transactional") is None
    assert against(any_house, "marketing", email="bob@example.com") is None
    checked = re.findall(r'value="(\w+)" checked', browser.get(path).text)
    assert checked == ["service"]
    browser.post(path, data={"wish": "topics", "topic": ["service", "marketing"]})
    assert against(any_house, "marketing") is None


def test_a_pause_holds_thirty_days_and_lets_through_what_is_transactional(any_house: House, path: str) -> None:
    answer = any_house.browser().post(path, data={"wish": "pause"})

    assert "Until 31 January" in answer.text
    until = any_house.now + 30 * DAY
    assert against(any_house, "service") == against(any_house, "marketing", "product-news") == ("", until)
    assert against(any_house, "transactional") is None
    any_house.clock.sleep(30 * DAY - 1)
    assert against(any_house, "service") == ("", until)
    any_house.clock.sleep(1)
    assert against(any_house, "service") is None
    assert "Pause for 30 days" in any_house.browser().get(path).text


@pytest.mark.parametrize(
    "form",
    [
        {"List-Unsubscribe": "One-Click"}, {}, {"wish": "stop"}, {"wish": "nonsense"},
        {"List-Unsubscribe": "One-Click", "wish": "again"},
    ],
)  # fmt: skip
def test_one_click_stops_all_mail_whatever_else_the_mail_program_sends(
    any_house: House, path: str, form: dict[str, str]
) -> None:
    for _ in range(2):
        answer = any_house.browser().post(path, data=form)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers

    assert stopped(any_house) == preferences.STOPPED
    assert stopped(any_house, "bob@example.com") == ""


def test_one_click_comes_as_either_kind_of_form(any_house: House, path: str) -> None:
    # RFC 8058 section 3.1: multipart/form-data, and urlencoded as a fallback.
    any_house.browser().post(path, data={"List-Unsubscribe": "One-Click"}, content_type="multipart/form-data")

    assert stopped(any_house) == preferences.STOPPED


def test_only_whoever_holds_the_link_can_let_mails_come_again(any_house: House, path: str) -> None:
    browser = any_house.browser()
    browser.post(path, data={"wish": "topics", "topic": ["service"]})
    browser.post(path, data={"wish": "stop"})
    forged = path[:-4] + ("AAAA" if not path.endswith("AAAA") else "BBBB")

    assert browser.post(forged, data={"wish": "again"}).status_code == 404
    assert stopped(any_house)
    assert "Send me mails again" in browser.get(path).text
    assert stopped(any_house)
    answer = browser.post(path, data={"wish": "again"})

    assert "Mails will come again" in answer.text
    assert stopped(any_house) == ""
    assert against(any_house, "marketing") == ("marketing", None)


def test_a_pause_can_be_ended_by_the_same_link(any_house: House, path: str) -> None:
    browser = any_house.browser()
    browser.post(path, data={"wish": "pause"})

    browser.post(path, data={"wish": "again"})

    assert against(any_house, "service") is None


@pytest.mark.parametrize("reason", ["the mails bounced", "complained of a mail"])
def test_what_others_have_said_against_an_address_its_link_does_not_take_back(
    any_house: House, path: str, reason: str
) -> None:
    suppress(any_house.store, "ann@example.com", reason, any_house.now)
    browser = any_house.browser()

    page = browser.get(path).text
    browser.post(path, data={"wish": "again"})

    assert "Send me mails again" not in page
    assert "please write to us" in page
    assert stopped(any_house) == reason


@pytest.mark.parametrize(("word", "final"), [("complained", 0), ("bounced", 1), ("unsubscribed", 0)])
def test_a_complaint_after_the_stop_stands(any_house: House, path: str, word: str, final: int) -> None:
    any_house.browser().post(path)
    any_house.clock.sleep(60)
    event = {"word": word, "final": final, "now": any_house.now}
    any_house.store.run(
        "insert into mail_events (source, source_id, word, at, address, final) "
        "values ('postmark', '1', :word, :now, 'ann@example.com', :final)",
        event,
    )

    answer = any_house.browser().post(path, data={"wish": "again"})

    assert stopped(any_house) == preferences.STOPPED
    assert "Mails will come again" not in answer.text


def test_a_wish_outlives_the_person_and_names_nobody(any_house: House, path: str) -> None:
    any_house.browser().post(path, data={"wish": "pause"})
    any_house.browser().post(path, data={"wish": "topics"})
    any_house.browser().post(path, data={"wish": "stop"})

    rows = str(kept(any_house))
    any_house.store.run("delete from people")

    assert "ann" not in rows.replace("transactional", "")
    assert stopped(any_house, "  ANN@Example.com ") == preferences.STOPPED
    assert against(any_house, "service", email="Ann@example.com") is not None


def test_the_pages_tell_nothing_of_how_the_customer_stands(any_house: House, path: str) -> None:
    browser = any_house.browser()
    told = browser.get(path).text
    for wish in ("topics", "pause", "again", "stop", "again"):
        told += browser.post(path, data={"wish": wish}).text

    for word in ("score", "red", "yellow", "risk", "health", "attention", "Ann's Garden", "ann@example.com"):
        assert word not in Page(told).text


def test_a_topic_that_templates_name_is_offered(house: House) -> None:
    front = SimpleNamespace(purpose="marketing", topic="product-news")
    templates = SimpleNamespace(by_name={"news": SimpleNamespace(front=front)})
    workspace = replace(house.workspace, templates=templates)  # type: ignore[arg-type]  # only what is read of them

    offered = preferences.topics(workspace)
    preferences.choose(house.store, "ann@example.com", offered, ["marketing"], house.now)

    assert [(one.name, one.label) for one in offered] == [
        ("marketing", "News and offers"),
        ("product-news", "Product news"),
    ]
    assert against(house, "marketing", "product-news") == ("product-news", None)
    assert against(house, "marketing") is None


WISHES = st.sampled_from(["topics", "pause", "stop", "again"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WISHES, max_size=8), st.sets(st.sampled_from(["marketing", "service"])))
def test_the_last_word_counts_in_any_order(house: House, said: list[str], wanted: set[str]) -> None:
    store, now, topics = house.store, house.now, preferences.topics(house.workspace)
    for table in ("preferences", "suppressions"):
        store.run(f"delete from {table}")
    is_stopped = is_paused = False
    unwanted: set[str] = set()
    for one in said:
        if one == "topics":
            preferences.choose(store, "a@example.com", topics, wanted, now)
            unwanted = {topic.name for topic in topics} - wanted
        elif one == "pause":
            preferences.pause(store, "a@example.com", now)
            is_paused = True
        elif one == "stop":
            preferences.stop(store, "a@example.com", now)
            is_stopped = True
        else:
            preferences.start_again(store, "a@example.com")
            is_stopped = is_paused = False

    found = preferences.wishes(store, "A@example.com", now)

    assert (bool(found.stopped), found.paused_until is not None, set(found.unwanted)) == (
        is_stopped,
        is_paused,
        unwanted,
    )
