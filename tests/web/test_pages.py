"""What the operator sees."""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

import pytest

from tests.web.house import House, Page
from worker.dispatch import outbox
from worker.effects import Alert, Effect, Mail, Standing
from worker.facts import MILLION, CrmContact, Fact, Identity, Person, Sighting
from worker.intake.inbox import take_in
from worker.lib.clock import DAY, iso
from worker.lib.store import sql
from worker.plays.records import keep_refusal
from worker.plays.rules import Refusal
from worker.scoring.records import history
from worker.web.charts import score_chart


def fill(house: House, word: str) -> str:
    """A customer who has this word everywhere a stranger can write one; gives their id."""
    store, now = house.store, house.now
    contact = CrmContact(f"1{word}", f"{word}@example.com", word, True, (word,), (("1", word),), now)
    facts = (
        Fact("usage", now, "keap", "f1", MILLION, word),
        Fact("nps_answer", now, "keap", "f2", 7 * MILLION, word),
        Fact("open_ticket", now, "keap", "f3", MILLION, word),
    )
    people = (Person(f"{word}@example.com", word, "main"),)
    who = (Identity("keap", f"1{word}"), Identity("stripe", f"cus_{word}"))
    take_in(store, "keap", [Sighting(now, who, word, people, crm=contact, facts=facts, owner=word)], now)
    house.turn()
    customer_id = str(store.value("select id from customers"))
    effects: list[Effect] = [
        Mail(customer_id, f"{word}@example.com", word, "low-nps", "low-nps", "service"),
        Alert(customer_id, word, word, f"http://localhost/{word}"),
        Standing(customer_id, f"1{word}", "green", "70", word, now),
    ]
    for n, effect in enumerate(effects):
        effect_id = outbox.put(store, effect, f"key {n}", now, play=word)
        outbox.claim(store, effect.lane, now)
        outbox.finish(store, effect_id, "done", now, reason=word)
        if isinstance(effect, Mail):
            binds = {
                "id": "msg_1", "effect_id": effect_id, "customer_id": customer_id, "email": effect.to, "play": word,
                "purpose": "service", "template": "low-nps", "subject": word, "body": word, "basis": word, "sent_at": now,
            }  # fmt: skip
            store.run(sql("dispatch", "keep_message"), binds)
    unsure = outbox.put(store, Alert(customer_id, word, word), "unsure", now, play=word)
    outbox.claim(store, Alert.lane, now)
    outbox.finish(store, unsure, "unknown", now, reason=word)
    keep_refusal(store, Refusal(customer_id, word, word, word), now)
    score_id = store.value("select id from scores order by id limit 1")
    change = {
        "id": "chg_1", "customer_id": customer_id, "at": now, "old_band": "green", "new_band": word,
        "score_id": score_id, "version": "1", "why": word,
    }  # fmt: skip
    store.run(sql("scoring", "add_change"), change)
    store.run(
        "insert into deliveries (id, source, stream, external_id, body_hash, body, received_at, attempts, error) "
        "values ('dlv_1', :word, :word, :word, '', :word, 1, 3, :word)",
        {"word": word},
    )
    store.run("insert into cursors (source, stream, failed_at, reason) values (:word, :word, 1, :word)", {"word": word})
    return customer_id


HOSTILE = [
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)' x='",
    "</pre></details></title><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)//&lt;b&gt;",
]


def seen(house: House, word: str) -> list[Page]:
    customer_id = fill(house, word)
    operator = house.operator()
    paths = ["/", "/customers", f"/customers/{customer_id}"]
    return [Page(operator.get(path).text) for path in paths]


@pytest.mark.parametrize("word", HOSTILE)
def test_what_strangers_write_stays_text(house: House, word: str) -> None:
    """The pages have the same tags and attributes, whatever the words are; and the words are there, as they are."""
    pages = seen(house, word)

    shapes = [page.shape for page in pages]
    links = [value for page in pages for _, name, value in page.attributes if name in {"href", "src", "action"}]
    assert shapes == _shapes_of_a_harmless_word(house)
    assert [link for link in links if not link.startswith("/") and link != "#main"] == []
    assert all(word in page.text for page in pages)


def _shapes_of_a_harmless_word(house: House) -> list[list[tuple[str, tuple[str, ...]]]]:
    """The same house, with every place where the word stood written anew by the same hand."""
    harmless = "harmless"
    for table, columns in {
        "customers": ("name", "owner"), "people": ("name", "email"), "effects": ("play", "reason", "target"),
        "messages": ("subject", "body", "basis"), "refusals": ("play", "rule", "reason"), "changes": ("why", "new_band"),
        "deliveries": ("source", "stream", "error"), "cursors": ("source", "stream", "reason"),
        "crm_contacts": ("opt_in",),
    }.items():  # fmt: skip
        for column in columns:
            house.store.run(f"update {table} set {column} = :word where {column} <> ''", {"word": harmless})
    customer_id = house.store.value("select id from customers")
    operator = house.operator()
    paths = ["/", "/customers", f"/customers/{customer_id}"]
    return [Page(operator.get(path).text).shape for path in paths]


def test_a_search_comes_back_as_text(house: House) -> None:
    page = Page(house.operator().get("/customers", query_string={"q": HOSTILE[0], "band": HOSTILE[1]}).text)

    assert ("input", "value", HOSTILE[0]) in page.attributes
    assert "script" not in {tag for tag, _ in page.shape}


# -- the overview -----------------------------------------------------------------------------------------------------


def test_an_empty_workspace_says_what_to_do_next(any_house: House) -> None:
    operator = any_house.operator()

    assert "keepwell run" in operator.get("/").text
    assert "They come with the first pull" in operator.get("/customers").text
    assert "Keepwell watches" in operator.get("/").text


def test_the_overview_shows_bands_changes_who_is_at_risk_and_what_needs_a_person(any_house: House) -> None:
    any_house.used("ann@example.com", 10, name="Ann's Garden")
    any_house.used("bob@example.com", 2, name="Bob's Books")
    any_house.turn()
    any_house.clock.sleep(8 * DAY)
    any_house.turn()
    any_house.store.run(
        "insert into cursors (source, stream, failed_at, reason) values ('keap', 'contacts', 1, 'Keap answered 401')"
    )

    text = " ".join(Page(any_house.operator().get("/").text).text.split())

    assert "● Healthy 1" in text
    assert "■ At risk 1" in text
    assert "At risk now Bob's Books 20 active on 2 of the last 30 days" in text
    assert "Keap contacts does not answer. Keap answered 401 (last good pull: never)" in text
    assert "mode: watch" in text


def test_those_who_have_left_are_counted_apart(any_house: House) -> None:
    any_house.used("ann@example.com", 10, name="Ann's Garden")
    any_house.used("bob@example.com", 2, name="Bob's Books")
    any_house.turn()
    any_house.post(
        {"event_id": "gone", "kind": "left", "email": "bob@example.com", "at": iso(any_house.now), "label": "by choice"}
    )
    any_house.turn()
    operator = any_house.operator()

    text = " ".join(Page(operator.get("/").text).text.split())

    assert "1 customer; 1 more has left and keeps the last band" in text
    assert "At risk now Nobody" in text
    assert "has left" in operator.get(f"/customers/{any_house.customer_id('bob@example.com')}").text
    assert any_house.call("GET", "/customers/bob@example.com").get_json()["has_left"] is True


# -- a customer -------------------------------------------------------------------------------------------------------


def test_a_customers_page_says_why_what_was_done_and_what_was_not(any_house: House) -> None:
    customer_id = fill(any_house, "Ann")

    text = " ".join(Page(any_house.operator().get(f"/customers/{customer_id}").text).text.split())

    assert "active on 1 of the last 30 days; 10 is full marks; costs 54 points → play “usage drop”" in text
    assert "answered 7 of 10 70" in text
    assert "Mail “Ann” to Ann@example.com done" in text
    assert "Told the team: Ann done" in text
    assert "In the CRM: shown as green 70 on contact 1Ann (done)" in text
    assert "Nps answers 7 (0 to 10) last on 1 January" in text
    assert "Open tickets 1 now" in text
    assert "Ann ann@example.com main" in text.replace("Ann@example", "ann@example")
    assert "stripe cus_Ann (known by" in text


def test_what_somebody_changed_in_the_crm_is_shown_and_can_be_taken_back(any_house: House) -> None:
    customer_id = fill(any_house, "ann")
    edit = {
        "source": "keap", "contact_id": "1ann", "what": "field", "name": "9", "ours": "71", "theirs": "<b>99</b>",
        "band": "green", "now": any_house.now,
    }  # fmt: skip
    any_house.store.run(sql("dispatch", "put_edit"), edit)
    browser, address = any_house.operator(), f"/customers/{customer_id}"
    page = Page(browser.get(address).get_data(as_text=True))
    assert "somebody put 9 '<b>99</b>' in the place of '71'" in page.text

    form = {"csrf": page.value("csrf"), "by": " "}
    assert browser.post(f"{address}/take-back", data=form).status_code == 400
    assert browser.post(f"{address}/take-back", data={**form, "by": "Olga"}).status_code == 303

    assert "in the place of" not in browser.get(address).get_data(as_text=True)
    assert any_house.store.value("select ended_why from edits") == "taken back by Olga"


def test_the_mail_that_is_shown_does_not_hold_its_readers_way_out(house: House) -> None:
    customer_id = fill(house, "Ann")
    token = house.workspace.sign("eff_1")
    house.store.run("update messages set body = :body", {"body": f"No more: http://localhost/unsubscribe/{token}\n"})

    page = house.operator().get(f"/customers/{customer_id}").text

    assert "/unsubscribe/…" in page
    assert token not in page


def test_a_customer_who_became_part_of_another_leads_there(house: House) -> None:
    house.used("ann@example.com", 1)
    house.used("bob@example.com", 1)
    house.turn()
    ann, bob = house.customer_id("ann@example.com"), house.customer_id("bob@example.com")
    house.store.run("update customers set merged_into = :ann where id = :bob", {"ann": ann, "bob": bob})

    operator = house.operator()

    assert operator.get(f"/customers/{bob}").location == f"/customers/{ann}"
    assert operator.get("/customers/cus_nobody").status_code == 404


def test_a_score_made_under_an_earlier_card_is_still_shown(house: House) -> None:
    house.used("ann@example.com", 2)
    house.turn()
    house.store.run("update scores set version = 'earlier', detail = replace(detail, 'active_days', 'old_measure')")

    page = house.operator().get(f"/customers/{house.customer_id('ann@example.com')}").text
    told = house.call("GET", "/customers/ann@example.com").get_json()

    assert "Scored under an earlier scorecard" in page
    assert "old measure" in page
    assert (told["main_driver"], told["reason"], told["main_driver_text"]) == (
        "old_measure",
        "old measure",
        "old measure",
    )


# -- the chart --------------------------------------------------------------------------------------------------------


def test_the_chart_is_a_picture_without_scripts_and_the_same_each_time(any_house: House) -> None:
    any_house.used("ann@example.com", 10)
    for _ in range(5):
        any_house.turn()
        any_house.clock.sleep(3 * DAY)
    customer_id, operator = any_house.customer_id("ann@example.com"), any_house.operator()

    first, second = (operator.get(f"/customers/{customer_id}/score.svg") for _ in range(2))

    tags = {str(element.tag).rpartition("}")[2] for element in ElementTree.fromstring(first.text).iter()}
    assert first.content_type == "image/svg+xml"
    assert first.data == second.data
    assert "script" not in tags
    assert "path" in tags
    assert "Healthy from 70" in first.text
    assert "http://" not in first.text.replace("http://www.w3.org/2000/svg", "").replace(
        "http://www.w3.org/1999/xlink", ""
    )


def test_a_chart_of_nothing_says_so(house: House) -> None:
    card = house.workspace.card

    assert "No score yet" in score_chart(card, [], house.now, "UTC")


def test_a_single_score_and_an_unknown_one_can_be_drawn(house: House) -> None:
    house.used("ann@example.com", 10)
    house.turn()
    scores = history(house.store, house.customer_id("ann@example.com"))

    assert [score.score for score in scores] == [Decimal(100)]
    for drawn in (scores, [*scores, *scores]):
        assert "<svg" in score_chart(house.workspace.card, drawn, house.now, "Europe/Berlin")


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_page_and_no_answer_shows_a_secret(house: House) -> None:
    customer_id = fill(house, "Ann")
    operator = house.operator()
    secrets = [row["value"] for row in house.store.rows("select value from switches where name <> 'first_pass'")]
    secrets += [house.key, *(row["key_hash"] for row in house.store.rows("select key_hash from api_keys"))]
    secrets += [row["id_hash"] for row in house.store.rows("select id_hash from sessions")]

    told = "".join(
        [
            *(
                operator.get(path).text
                for path in ("/", "/customers", f"/customers/{customer_id}", "/login", "/healthz")
            ),
            *(house.call("GET", path).text for path in ("/me", "/customers", "/changes", f"/customers/{customer_id}")),
        ]
    )

    assert len(secrets) >= 4
    assert [one for one in secrets if len(one) > 8 and one in told] == []
