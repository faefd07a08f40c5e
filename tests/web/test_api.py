"""The API as Make and Zapier see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.house import House
from worker.lib.clock import DAY, iso
from worker.lib.lease import Lease

EVENT: dict[str, Any] = {"event_id": "e1", "kind": "usage", "email": "ann@example.com"}


def stored(house: House) -> list[dict[str, Any]]:
    return house.store.rows("select source, stream, external_id, body from deliveries order by id")


# -- events -----------------------------------------------------------------------------------------------------------


def test_an_event_is_on_disk_before_it_is_accepted_and_becomes_a_fact_at_the_next_turn(any_house: House) -> None:
    answer = any_house.call("POST", "/events", json={**EVENT, "value": 2.5, "label": "export"})

    (delivery,) = stored(any_house)
    told = answer.get_json()
    assert (answer.status_code, told) == (
        202,
        {"id": told["id"], "accepted": 1, "duplicate": False, "status": "stored"},
    )
    assert (delivery["source"], delivery["stream"]) == ("api", "event")
    any_house.turn()
    fact = any_house.store.row("select kind, label, value, at, source, source_id from facts")
    assert fact == {
        "kind": "usage", "label": "export", "value": 2_500_000, "at": any_house.now, "source": "api", "source_id": "e1",
    }  # fmt: skip


def test_the_same_events_again_are_no_second_ones_however_they_are_spelled(any_house: House) -> None:
    first = any_house.call("POST", "/events", json=EVENT).get_json()

    again = any_house.call("POST", "/events", json=[EVENT]).get_json()
    spelled = any_house.call("POST", "/events", data=json.dumps([EVENT], indent=3)).get_json()

    assert again == spelled == {**first, "duplicate": True}
    assert len(stored(any_house)) == 1


def test_an_idempotency_key_names_the_request(any_house: House) -> None:
    keyed = {"Idempotency-Key": "order-17"}
    first = any_house.call("POST", "/events", json=EVENT, headers=keyed).get_json()

    again = any_house.call("POST", "/events", json=EVENT, headers=keyed).get_json()
    other = any_house.call("POST", "/events", json={**EVENT, "label": "x"}, headers=keyed)

    assert again == {**first, "duplicate": True}
    assert (other.status_code, other.get_json()["code"], other.get_json()["field"]) == (
        422,
        "key_reused",
        "Idempotency-Key",
    )
    assert [row["external_id"] for row in stored(any_house)] == ["order-17"]


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"kind": "usages"}, "1.kind", "is no kind of fact"),
        ({"at": "2026-01-01T00:00:00"}, "1.at", "has no time zone"),
        ({"at": "yesterday"}, "1.at", "yesterday"),
        ({"email": "nobody"}, "1.email", "is no address"),
        ({"email": ""}, "1", "say whose it is"),
        ({"customer": "4711"}, "1", "write its source before it"),
        ({"value": "much"}, "1.value", "should be a valid"),
        ({"value": 1e300}, "1.value", "not a number between"),
        ({"event_id": ""}, "1.event_id", "at least 1 character"),
        ({"colour": "red"}, "1.colour", "not permitted"),
    ],
)
def test_one_bad_event_of_a_list_is_named_and_nothing_is_stored(
    house: House, wrong: dict[str, Any], field: str, says: str
) -> None:
    refused = house.post(EVENT, {**EVENT, "event_id": "e2", **wrong})

    told = refused.get_json()
    assert (refused.status_code, refused.content_type, told["code"], told["field"]) == (
        422, "application/json", "bad_event", field,
    )  # fmt: skip
    assert told["detail"].startswith("Event 1: ")
    assert says in told["detail"]
    assert told.keys() == {"type", "title", "status", "detail", "code", "field", "hint"}
    assert stored(house) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"3", b"{", b'"\xff"', b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"[[]]",
        b"[" + b"1" * 5000 + b"]", json.dumps([EVENT] * 1001).encode(),
        json.dumps({**EVENT, "label": "\0"}).encode(), json.dumps({**EVENT, "label": "\ud800"}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_with_a_sentence(house: House, body: bytes) -> None:
    refused = house.call("POST", "/events", data=body)

    assert refused.status_code == 422
    assert refused.get_json()["detail"].endswith(".")
    assert stored(house) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENT, "at", "value"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_no_json_breaks_the_door(house: House, data: Any) -> None:
    assert house.call("POST", "/events", data=json.dumps(data)).status_code in {202, 422}


def test_while_the_database_is_away_the_sender_is_asked_to_come_again(house: House) -> None:
    house.store.run("alter table deliveries rename to gone")

    answer = house.call("POST", "/events", json=EVENT)

    assert answer.status_code in {500, 503}
    assert "gone" not in answer.text


def test_a_thousand_events_are_one_request_and_one_delivery(house: House) -> None:
    answer = house.post(*({**EVENT, "event_id": str(n)} for n in range(1000)))

    assert answer.get_json()["accepted"] == 1000
    assert len(stored(house)) == 1


# -- customers --------------------------------------------------------------------------------------------------------


def test_a_customer_is_a_flat_object_with_every_key_always_there(any_house: House) -> None:
    any_house.used("ann@example.com", 6, name="Ann's Garden")
    any_house.used("new@example.com", 1)
    any_house.turn()
    any_house.store.run(
        "delete from standings where customer_id <> :id", {"id": any_house.customer_id("ann@example.com")}
    )

    ann = any_house.call("GET", "/customers/email:Ann@Example.com").get_json()
    new = any_house.call("GET", "/customers/email:new@example.com").get_json()

    assert ann == {
        "customer_id": ann["customer_id"],
        "name": "Ann's Garden",
        "email": "ann@example.com",
        "owner": "",
        "score": 60,
        "band": "yellow",
        "band_label": "Needs attention",
        "since": iso(any_house.now),
        "turning": None,
        "reason": "active on 6 of the last 30 days (-40)",
        "main_driver": "active_days",
        "main_driver_text": "active on 6 of the last 30 days",
        "keap_contact_id": None,
        "stripe_customer_id": None,
        "coverage_percent": 60,
        "has_left": False,
        "as_of": iso(any_house.now),
        "url": f"http://localhost/customers/{ann['customer_id']}",
    }
    assert new.keys() == ann.keys()
    assert (new["score"], new["band"], new["band_label"], new["as_of"]) == (None, None, "Not scored yet", None)
    assert all(value is None or isinstance(value, str | int) for value in (*ann.values(), *new.values()))


def test_a_customer_is_found_by_id_address_or_a_vendors_id_and_never_by_a_guess(any_house: House) -> None:
    any_house.post(
        {**EVENT, "customer": "keap:123", "name": "Ann's Garden"},
        {**EVENT, "event_id": "e2", "email": "annabel@example.com"},
    )
    any_house.turn()
    ann = any_house.call("GET", "/customers/keap:123").get_json()

    for word in (ann["customer_id"], "email:ann@example.com", "ann@example.com", "keap:123"):
        assert any_house.call("GET", f"/customers/{word}").get_json()["customer_id"] == ann["customer_id"]
    assert ann["keap_contact_id"] == "123"
    for word in ("Ann's Garden", "email:ann", "ann@example.co", "keap:12", "cus_", "email:", "keap:", "%25", "nobody"):
        unknown = any_house.call("GET", f"/customers/{word}")
        assert (unknown.status_code, unknown.get_json()["code"]) == (404, "unknown_customer")
        assert any_house.call("POST", f"/customers/{word}/score").status_code == 404


def test_lists_are_bare_arrays_and_their_pages_hold_everybody_once(any_house: House) -> None:
    names = {f"c{n}@example.com": f"Customer {n % 3}" for n in range(7)}
    for email, name in names.items():
        any_house.used(email, 1, name=name)
    any_house.turn()

    for order in ("name", "changed"):
        path, seen = f"/customers?limit=3&order={order}", []
        while path:
            page = any_house.call("GET", path)
            seen += page.get_json()
            link = page.headers.get("Link", "")
            path = link.partition("/api/v1")[2].partition(">")[0]
        assert sorted(one["email"] for one in seen) == sorted(names)
        if order == "name":
            assert [one["name"] for one in seen] == sorted(names.values())


def test_the_list_shows_whose_band_turned_last_first_and_can_be_narrowed(any_house: House) -> None:
    any_house.used("busy@example.com", 14, name="Busy 100%")
    any_house.turn()
    any_house.clock.sleep(DAY)
    any_house.used("idle@example.com", 1, name="Idle_One")
    any_house.turn()

    def names(query: str) -> list[str]:
        return [one["name"] for one in any_house.call("GET", f"/customers?{query}").get_json()]

    assert names("") == ["Idle_One", "Busy 100%"]
    assert names("band=green") == ["Busy 100%"]
    assert names("band=nothing") == []
    assert names("q=BUSY") == ["Busy 100%"]
    assert names("q=100%25") == ["Busy 100%"]
    assert names("q=%25") == ["Busy 100%"]
    assert names("q=_") == ["Idle_One"]
    assert names("q=' or 1=1 --") == []


@pytest.mark.parametrize("path", ["/customers", "/changes"])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=", "cursor=x", "cursor=e30", "cursor=%F0", "cursor=bnVsbA"],
)
def test_a_bad_word_in_an_address_is_named(house: House, path: str, query: str) -> None:
    refused = house.call("GET", f"{path}?{query}")

    assert (refused.status_code, refused.get_json()["field"]) == (422, query.split("=")[0])


def test_a_cursor_of_one_list_does_not_fit_another(house: House) -> None:
    for email in ("a@example.com", "b@example.com"):
        house.used(email, 1)
    house.turn()
    by_name = house.call("GET", "/customers?limit=1&order=name").headers["X-Next-Cursor"]

    assert house.call("GET", f"/changes?cursor={by_name}").status_code == 422
    assert house.call("GET", f"/customers?cursor={by_name}").status_code == 422
    assert house.call("GET", "/customers?order=size").get_json()["field"] == "order"


# -- assessing now ----------------------------------------------------------------------------------------------------


def test_an_event_and_a_call_for_a_score_give_the_fresh_standing_at_once(any_house: House) -> None:
    any_house.used("ann@example.com", 14)
    any_house.turn()
    before = any_house.call("GET", "/customers/ann@example.com").get_json()
    any_house.post({**EVENT, "event_id": "n", "kind": "nps_answer", "value": 1})

    after = any_house.call("POST", "/customers/ann@example.com/score")

    assert (before["band"], before["main_driver"]) == ("green", "")
    assert after.status_code == 200
    assert (after.get_json()["main_driver"], after.get_json()["main_driver_text"]) == (
        "last_nps", "answered 1 of 10",
    )  # fmt: skip
    assert after.get_json() == any_house.call("GET", "/customers/ann@example.com").get_json()


def test_while_another_process_scores_the_caller_is_asked_to_come_again(any_house: House) -> None:
    any_house.used("ann@example.com", 1)
    any_house.turn()

    with Lease(any_house.store, any_house.clock, "wheel").held():
        busy = any_house.call("POST", "/customers/ann@example.com/score")

    assert (busy.status_code, busy.get_json()["code"], busy.headers["Retry-After"]) == (409, "busy", "30")
    assert any_house.call("POST", "/customers/ann@example.com/score").status_code == 200


# -- changes ----------------------------------------------------------------------------------------------------------


def test_changes_come_newest_first_under_ids_that_stay(any_house: House) -> None:
    any_house.used("ann@example.com", 14, name="Ann's Garden")
    any_house.turn()
    for _ in range(12):
        any_house.clock.sleep(4 * DAY)
        any_house.turn()

    listed = any_house.call("GET", "/changes").get_json()
    paged: list[dict[str, Any]] = []
    path = "/changes?limit=1"
    while path:
        page = any_house.call("GET", path)
        paged += page.get_json()
        path = page.headers.get("Link", "").partition("/api/v1")[2].partition(">")[0]

    assert len(listed) >= 1
    assert paged == listed
    assert [one["at"] for one in listed] == sorted((one["at"] for one in listed), reverse=True)
    assert listed[-1]["old_band"] == "green"
    assert listed[-1]["name"] == "Ann's Garden"
    assert len({one["id"] for one in listed}) == len(listed)
    assert listed[0].keys() == {
        "id", "customer_id", "name", "email", "old_band", "old_band_label", "new_band", "new_band_label", "score",
        "reason", "at", "url",
    }  # fmt: skip
