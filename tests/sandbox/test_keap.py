"""The pretend Keap behaves as Keap's specification and the field notes say: shown over HTTP on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Response, request

from tests.sandbox.conftest import Start
from tests.sandbox.keap_contract import Client, Contract
from worker.lib.clock import DAY, VirtualClock, iso
from worker.sandbox.servers.base import Faults, PretendVendor
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.keap_gateway import Limits
from worker.sandbox.servers.keap_hooks import EVENT_KEYS
from worker.sandbox.servers.keap_records import FIELD_TYPES, LONGEST, OPT_STATUSES, PROPERTIES, WRITABLE

ALL = "id,given_name,email_addresses,custom_fields,tag_ids,company,owner_id,update_time,last_updated_by"


def names(page: Any) -> list[str]:
    return [contact["given_name"] for contact in page["contacts"]]


# -- the gateway -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/contacts", "/v1/hooks", "/v2/no/such/path"])
def test_a_call_without_a_key_is_refused_before_its_path_is_looked_at(client: Client, path: str) -> None:
    answer = client.call("GET", path, headers={"X-Keap-API-Key": None})

    assert answer.status_code == 401
    assert answer.json()["fault"]["detail"]["errorcode"] == "oauth.v2.InvalidAccessToken"


def test_a_rejected_key_is_told_from_a_missing_one(client: Client) -> None:
    answer = client.call("GET", "/v2/contacts", headers={"X-Keap-API-Key": "KeapAK-other"})

    assert answer.status_code == 401
    assert answer.json()["fault"]["detail"]["errorcode"] == "keymanagement.service.invalid_access_token"


def test_the_key_may_come_as_a_bearer_token(client: Client) -> None:
    headers = {"X-Keap-API-Key": None, "Authorization": "Bearer KeapAK-sandbox"}

    answer = client.call("GET", "/v2/oauth/connect/userinfo", headers=headers)

    assert answer.status_code == 200
    assert answer.json()["tenant_id"] == "sandbox1"


def test_every_answer_tells_the_limits_of_the_key_and_of_the_tenant(client: Client, clock: VirtualClock) -> None:
    client.get("/v2/users")

    headers = client.call("GET", "/v2/contacts/404").headers

    assert {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-keap-")} == {
        "x-keap-product-quota-limit": "30000",
        "x-keap-product-quota-time-unit": "day",
        "x-keap-product-quota-interval": "1",
        "x-keap-product-quota-available": "29998",
        "x-keap-product-quota-used": "2",
        "x-keap-product-quota-expiry-time": str((int(clock.now()) + DAY) * 1000),
        "x-keap-product-throttle-limit": "240",
        "x-keap-product-throttle-time-unit": "minute",
        "x-keap-product-throttle-interval": "1",
        "x-keap-product-throttle-available": "238",
        "x-keap-product-throttle-used": "2",
        "x-keap-tenant-id": "sandbox1",
        "x-keap-tenant-throttle-limit": "10000|250000",
        "x-keap-tenant-throttle-time-unit": "minute|day",
        "x-keap-tenant-throttle-interval": "1|1",
        "x-keap-tenant-throttle-available": "9998|249998",
        "x-keap-tenant-throttle-used": "2|2",
    }


def test_the_241st_call_of_a_minute_is_refused_and_the_next_minute_is_free(
    keap: PretendKeap, client: Client, clock: VirtualClock
) -> None:
    for _ in range(240):
        client.get("/v2/users")

    refused = client.call("GET", "/v2/users")
    clock.sleep(60)
    later = client.call("GET", "/v2/users")

    assert (refused.status_code, later.status_code) == (429, 200)
    assert refused.json() == {
        "code": "429", "message": "Quota Exceeded", "status": "Request Throttled", "details": None
    }  # fmt: skip
    assert refused.headers["x-keap-product-throttle-available"] == "0"
    assert "Retry-After" not in refused.headers
    assert keap.faults.met["429_minute"] == 1


def test_a_used_up_day_is_refused_in_the_other_shape_until_midnight_utc(start: Start, clock: VirtualClock) -> None:
    _, client = start(limits=Limits(per_day=2))
    clock.sleep(DAY - 100)
    statuses = [client.call("GET", "/v2/users").status_code for _ in range(2)]

    refused = client.call("GET", "/v2/users")
    clock.sleep(100)

    assert statuses == [200, 200]
    assert refused.status_code == 429
    assert refused.json()["fault"]["detail"]["errorcode"] == "policies.ratelimit.QuotaViolation"
    assert refused.headers["x-keap-product-quota-available"] == "0"
    assert client.call("GET", "/v2/users").status_code == 200


def test_a_spike_is_refused_where_that_limit_is_on(start: Start, clock: VirtualClock) -> None:
    _, client = start(limits=Limits(per_second=10))

    statuses = [client.call("GET", "/v2/users").status_code for _ in range(11)]

    assert statuses == [200] * 10 + [429]


def test_limits_are_counted_key_by_key_and_the_tenant_adds_them_up(start: Start, contract: Contract | None) -> None:
    keap, client = start(other_keys=["KeapAK-other"], limits=Limits(per_minute=2, tenant_per_minute=3))
    other = Client(keap.base_url, contract, "KeapAK-other")
    for _ in range(2):
        client.get("/v2/users")

    statuses = [each.call("GET", "/v2/users").status_code for each in (client, other, other)]
    other.session.close()

    assert statuses == [429, 200, 429]
    assert keap.faults.met["429_tenant_minute"] == 1


def test_a_429_out_of_the_blue_comes_with_and_without_retry_after(start: Start) -> None:
    _, client = start(faults=Faults(planned=["429_with_retry_after", "429_bare", "500", "html", "half_body"]))

    with_wait, bare, broken, page, half = (client.session.get(f"{client.base_url}/crm/rest/v2/users") for _ in range(5))

    assert (with_wait.status_code, with_wait.headers["Retry-After"], with_wait.json()["code"]) == (429, "2", "429")
    assert (bare.status_code, bare.headers.get("Retry-After")) == (429, None)
    assert "fault" in bare.json()
    assert broken.status_code == 500
    assert page.headers["Content-Type"].startswith("text/html")
    with pytest.raises(requests.JSONDecodeError):
        half.json()


def test_a_write_that_met_a_fault_does_not_count_as_one(start: Start) -> None:
    keap, client = start(faults=Faults(planned=["html", "500"]))
    for _ in range(2):
        client.session.post(f"{client.base_url}/crm/rest/v2/tags", json={"name": "VIP"}, timeout=10)
    assert keap.writes() == 0

    client.post("/v2/tags", {"name": "VIP"})

    assert keap.writes() == 1
    assert [tag.name for tag in keap.tags.values()] == ["VIP"]


# -- contacts ----------------------------------------------------------------------------------------------------------


def test_tags_and_custom_fields_are_shown_only_to_those_who_ask(keap: PretendKeap, client: Client) -> None:
    keap.add_contact("Ann", "Lee", "ann@a.example", custom_fields={"Plan": "Pro"}, tags=["Customer"])

    unasked = client.get("/v2/contacts")["contacts"][0]
    asked = client.get("/v2/contacts", fields=ALL)["contacts"][0]

    assert unasked.keys().isdisjoint({"custom_fields", "tag_ids", "update_time"})
    assert asked["custom_fields"] == [{"id": keap.ensure_field("Plan"), "content": "Pro"}]
    assert asked["tag_ids"] == [keap.ensure_tag("Customer")]
    assert asked["email_addresses"] == [
        {"email": "ann@a.example", "field": "EMAIL1", "is_opt_in": True, "email_opt_status": "SINGLE_OPT_IN"}
    ]


def test_a_custom_field_without_a_value_shows_null(keap: PretendKeap, client: Client) -> None:
    plan = keap.ensure_field("Plan")
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")

    shown = client.get(f"/v2/contacts/{ann}", fields="custom_fields")

    assert shown == {"custom_fields": [{"id": plan, "content": None}]}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("email==ANN@a.example", ["Ann"]),
        ("email==b*", ["Bob", "Bea"]),
        ("given_name==B*;family_name==Lee", ["Bea"]),
        ("ids==101,103", ["Ann", "Bea"]),
        ("contact_ids==102", ["Bob"]),
        ("contact_id>101", ["Bob", "Bea"]),
        ("email==ann@a.example;", ["Ann"]),
        ("Seats0>=5", ["Bob"]),
        ("seats0==3", ["Ann"]),
        ("company_id==none", []),
    ],
)
def test_contacts_are_filtered_as_documented(keap: PretendKeap, client: Client, asked: str, found: list[str]) -> None:
    people = [keap.add_contact(*who) for who in (("Ann", "Lee", "ann@a.example"), ("Bob", "Ray", "bob@b.example"))]
    people.append(keap.add_contact("Bea", "Lee", "bea@b.example"))
    assert people == ["101", "102", "103"]
    keap.ensure_field("Seats", "WHOLE_NUMBER")
    keap.edit_field("101", "Seats", 3)
    keap.edit_field("102", "Seats", 12)

    assert names(client.get("/v2/contacts", filter=asked)) == found


@pytest.mark.parametrize(
    "params",
    [
        {"filter": "tag_ids==1"},
        {"filter": "email=ann"},
        {"filter": "email>ann"},
        {"filter": "start_update_time==2026-01-01"},
        {"filter": "start_update_time==2026-01-01T00:00:00Z"},
        {"fields": "id,tags"},
        {"order_by": "given_name asc"},
        {"order_by": "update_time"},
        {"page_size": "1001"},
        {"page_size": "many"},
        {"page_token": "made-up"},
    ],
)
def test_what_keap_does_not_know_in_a_query_is_refused(client: Client, params: dict[str, Any]) -> None:
    answer = client.call("GET", "/v2/contacts", **params)

    assert answer.status_code == 400
    assert answer.json()["code"] == 400


def test_a_space_is_written_as_percent_20(client: Client) -> None:
    url = f"{client.base_url}/crm/rest/v2/contacts?order_by=update_time"

    assert client.session.get(f"{url}%20asc", timeout=10).status_code == 200
    assert client.session.get(f"{url}+asc", timeout=10).status_code == 400


def test_a_parameter_that_keap_does_not_know_is_ignored_and_everybody_returned(
    keap: PretendKeap, client: Client
) -> None:
    keap.add_contact("Ann", "Lee", "ann@a.example")
    keap.add_contact("Bob", "Ray", "bob@b.example")

    assert names(client.get("/v2/contacts", email="ann@a.example")) == ["Ann", "Bob"]


def test_a_documented_filter_that_the_double_lacks_says_so(client: Client) -> None:
    assert client.call("GET", "/v2/contacts", filter="city==Chandler").status_code == 501


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_hold_everybody_once(keap: PretendKeap, client: Client, clock: VirtualClock, direction: str) -> None:
    for number in range(7):
        keap.add_contact(f"P{number}", "Lee", f"p{number}@a.example")
        clock.sleep(number % 2)
    query = {"order_by": f"update_time {direction}", "page_size": "3"}

    seen = []
    page = client.get("/v2/contacts", **query)
    while token := page.get("next_page_token"):
        seen += names(page)
        page = client.get("/v2/contacts", **query, page_token=token)
    seen += names(page)

    everybody = [f"P{number}" for number in range(7)]
    assert seen == (everybody if direction == "asc" else everybody[::-1])


def test_a_page_token_answers_only_the_question_it_came_from(keap: PretendKeap, client: Client) -> None:
    for number in range(2):
        keap.add_contact(f"P{number}", "Lee", f"p{number}@a.example")
    token = client.get("/v2/contacts", page_size="1")["next_page_token"]

    assert client.call("GET", "/v2/contacts", page_token=token, filter="given_name==P*").status_code == 400


def test_a_window_of_update_times_holds_who_changed_in_it(
    keap: PretendKeap, client: Client, clock: VirtualClock
) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    keap.add_contact("Bob", "Ray", "bob@b.example")
    clock.sleep(100)
    since = clock.now()
    keap.edit_field(ann, "Plan", "Pro")

    assert names(client.get("/v2/contacts", filter=f"start_update_time=={iso(since)}")) == ["Ann"]
    assert names(client.get("/v2/contacts", filter=f"end_update_time=={iso(since - 1)}")) == ["Bob"]


def test_a_list_by_update_time_trails_the_writes_while_a_read_by_id_does_not(start: Start, clock: VirtualClock) -> None:
    keap, client = start(lag=30)
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    since = f"start_update_time=={iso(clock.now())}"

    at_once = names(client.get("/v2/contacts", filter=since))
    by_id = client.get(f"/v2/contacts/{ann}")["given_name"]
    clock.sleep(30)
    after = names(client.get("/v2/contacts", filter=since))

    assert (at_once, by_id, after) == ([], "Ann", ["Ann"])


def test_a_contact_needs_somewhere_to_be_reached(client: Client) -> None:
    assert client.call("POST", "/v2/contacts", {"given_name": "Ann"}).status_code == 400


def test_creating_a_contact_twice_makes_two_unless_duplicates_are_looked_for(keap: PretendKeap, client: Client) -> None:
    body = {"given_name": "Ann", "email_addresses": [{"email": "ann@a.example", "field": "EMAIL1"}]}

    statuses = [
        client.call("POST", "/v2/contacts", body).status_code,
        client.call("POST", "/v2/contacts", body).status_code,
        client.call("POST", "/v2/contacts", body, duplicate_option="Email").status_code,
    ]

    assert statuses == [201, 201, 200]
    assert len(keap.contacts) == 2


def test_a_contact_that_is_gone_is_not_found(keap: PretendKeap, client: Client) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")

    statuses = [client.call(method, f"/v2/contacts/{ann}").status_code for method in ("DELETE", "GET", "DELETE")]

    assert statuses == [204, 404, 404]


# -- changing a contact ------------------------------------------------------------------------------------------------


def two_fields(keap: PretendKeap) -> tuple[str, str, str]:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example", custom_fields={"Plan": "Pro", "City": "Bath"})
    return ann, keap.ensure_field("Plan"), keap.ensure_field("City")


@pytest.mark.parametrize(
    ("habit", "left"), [("replaces", {"Plan": "Max"}), ("merges", {"Plan": "Max", "City": "Bath"})]
)
def test_a_patch_treats_the_fields_that_it_leaves_out_as_told(start: Start, habit: str, left: dict[str, str]) -> None:
    keap, client = start(patch_custom_fields=habit)
    ann, plan, _ = two_fields(keap)

    client.patch(
        f"/v2/contacts/{ann}", {"custom_fields": [{"id": plan, "content": "Max"}]}, update_mask="custom_fields"
    )

    assert keap.field_values(ann) == left


def test_a_patch_that_sends_the_whole_list_keeps_it(keap: PretendKeap, client: Client) -> None:
    ann, plan, city = two_fields(keap)
    whole = [{"id": plan, "content": "Max"}, {"id": city, "content": "Bath"}]

    changed = client.patch(f"/v2/contacts/{ann}", {"custom_fields": whole}, fields="id,custom_fields")

    assert changed == {"id": ann, "custom_fields": whole}


def test_a_mask_leaves_other_properties_alone(keap: PretendKeap, client: Client) -> None:
    ann, _, _ = two_fields(keap)

    client.patch(f"/v2/contacts/{ann}", {"given_name": "Anna", "custom_fields": []}, update_mask=["given_name"])

    assert keap.contact(ann)["given_name"] == "Anna"
    assert keap.field_values(ann) == {"Plan": "Pro", "City": "Bath"}


def test_every_patch_moves_the_update_time_and_says_who_it_was(
    keap: PretendKeap, client: Client, clock: VirtualClock
) -> None:
    ann, _, _ = two_fields(keap)
    before = keap.contact(ann)
    clock.sleep(60)

    client.patch(f"/v2/contacts/{ann}", {}, update_mask="given_name")

    after = keap.contact(ann)
    assert (before["update_time"], after["update_time"]) == (iso(clock.now() - 60), iso(clock.now()))
    assert (before["last_updated_by"], after["last_updated_by"]) == ("1", "9001")


@pytest.mark.parametrize(
    ("body", "params", "status"),
    [
        ({"tag_ids": ["1"]}, {}, 400),
        ({"given_name": "x" * 41}, {}, 400),
        ({"custom_fields": [{"id": "999", "content": "x"}]}, {}, 400),
        ({"custom_fields": {"Plan": "Max"}}, {}, 400),
        ({"email_addresses": [{"email": "ann@a.example"}]}, {}, 400),
        ({"given_name": "Anna"}, {"update_mask": "given_name,family_name"}, 400),
        ({"given_name": "Anna"}, {"update_mask": "name"}, 400),
        (["given_name"], {}, 400),
        ({"owner_id": "77"}, {}, 500),
    ],
)
def test_a_patch_that_keap_cannot_take_changes_nothing(
    keap: PretendKeap, client: Client, body: Any, params: dict[str, Any], status: int
) -> None:
    ann, _, _ = two_fields(keap)
    before = keap.contact(ann)

    answer = client.call("PATCH", f"/v2/contacts/{ann}", body, **params)

    assert answer.status_code == status
    assert keap.contact(ann) == before


@pytest.mark.parametrize(
    ("type_", "sent", "kept"),
    [
        ("WHOLE_NUMBER", "72", 72),
        ("WHOLE_NUMBER", 72, 72),
        ("DECIMAL_NUMBER", "1.5", 1.5),
        ("DATE", "2026-01-31", "2026-01-31"),
        ("DATE_TIME", "2026-01-31T09:00:00+01:00", "2026-01-31T08:00:00.000Z"),
        ("TEXT", 72, "72"),
        ("YES_NO", True, True),
    ],
)
def test_a_field_keeps_a_value_of_its_type(keap: PretendKeap, client: Client, type_: str, sent: Any, kept: Any) -> None:
    field = keap.ensure_field("Thing", type_)
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")

    client.patch(f"/v2/contacts/{ann}", {"custom_fields": [{"id": field, "content": sent}]})

    assert keap.field_values(ann) == {"Thing": kept}


@pytest.mark.parametrize(
    ("type_", "sent"),
    [
        ("WHOLE_NUMBER", "72.5"),
        ("DATE", "31/01/2026"),
        ("DATE_TIME", "2026-01-31 09:00"),
        ("DROPDOWN", "purple"),
        ("LIST_BOX", "red"),
        ("YES_NO", "perhaps"),
        ("TEXT", "x" * 65_536),
    ],
)
def test_a_field_refuses_a_value_of_another_type(keap: PretendKeap, client: Client, type_: str, sent: Any) -> None:
    field = keap.ensure_field("Thing", type_, ["red", "green"] if type_ == "DROPDOWN" else [])
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")

    answer = client.call("PATCH", f"/v2/contacts/{ann}", {"custom_fields": [{"id": field, "content": sent}]})

    assert answer.status_code == 400


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_value_clears_a_field(start: Start, nothing: Any) -> None:
    keap, client = start(patch_custom_fields="merges")
    ann, plan, _ = two_fields(keap)

    client.patch(f"/v2/contacts/{ann}", {"custom_fields": [{"id": plan, "content": nothing}]})

    assert keap.field_values(ann) == {"City": "Bath"}


# -- the harm that was done --------------------------------------------------------------------------------------------


def test_a_field_of_others_that_our_patch_dropped_is_a_loss_until_we_put_it_back(
    keap: PretendKeap, client: Client
) -> None:
    ann, plan, city = two_fields(keap)
    score = keap.ensure_field("Health score", "WHOLE_NUMBER")
    ours = [{"id": score, "content": 70}]

    client.patch(f"/v2/contacts/{ann}", {"custom_fields": ours})
    lost = keap.foreign_losses("Keepwell", {"Health score"})
    theirs = [{"id": plan, "content": "Pro"}, {"id": city, "content": "Bath"}]
    client.patch(f"/v2/contacts/{ann}", {"custom_fields": ours + theirs})

    assert (lost, keap.foreign_losses("Keepwell", {"Health score"})) == (2, 0)


def test_an_edit_by_a_person_is_no_loss_and_does_not_hide_one(keap: PretendKeap, client: Client) -> None:
    ann, _, _ = two_fields(keap)
    keap.edit_field(ann, "Plan", "Max")
    assert keap.foreign_losses("Keepwell", set()) == 0

    client.patch(f"/v2/contacts/{ann}", {"custom_fields": []})
    keap.edit_field(ann, "Plan", "Pro")

    assert keap.foreign_losses("Keepwell", set()) == 2


def test_a_person_who_edits_between_our_read_and_our_write_loses_the_edit(keap: PretendKeap, client: Client) -> None:
    ann, _, _ = two_fields(keap)
    read = client.get(f"/v2/contacts/{ann}", fields="custom_fields")
    keap.before_next_patch = lambda: keap.edit_field(ann, "Plan", "Max")

    client.patch(f"/v2/contacts/{ann}", read, update_mask="custom_fields")

    assert keap.field_values(ann)["Plan"] == "Pro"
    assert keap.foreign_losses("Keepwell", set()) == 1
    assert keap.before_next_patch is None


def test_tags_of_ours_may_come_and_go_and_tags_of_others_may_not(keap: PretendKeap, client: Client) -> None:
    red, vip = keap.ensure_tag("Health: red", "Keepwell"), keap.ensure_tag("VIP")
    ann = keap.add_contact("Ann", "Lee", "ann@a.example", tags=["VIP", "Health: red"])

    client.post(f"/v2/tags/{red}/contacts:removeTags", {"contact_ids": [ann]})
    before = keap.foreign_losses("Keepwell", set())
    client.post(f"/v2/tags/{vip}/contacts:removeTags", {"contact_ids": [ann]})

    assert (before, keap.foreign_losses("Keepwell", set())) == (0, 1)
    assert keap.tags_of(ann) == set()


def test_what_another_tool_changes_is_not_our_loss(start: Start, contract: Contract | None) -> None:
    keap, _ = start(other_keys=["KeapAK-other"])
    ann, _, _ = two_fields(keap)
    other = Client(keap.base_url, contract, "KeapAK-other")

    other.patch(f"/v2/contacts/{ann}", {"custom_fields": []})
    other.session.close()

    assert keap.foreign_losses("Keepwell", set()) == 0
    assert keap.foreign_losses("Keepwell", set(), "KeapAK-other") == 2
    assert {change.who for change in keap.audit} == {"human", "KeapAK-other"}


# -- custom fields -----------------------------------------------------------------------------------------------------


def test_a_custom_field_is_made_again_by_the_same_label(keap: PretendKeap, client: Client) -> None:
    body = {"label": "Health score", "field_type": "WHOLE_NUMBER"}
    made = [client.post("/v2/contacts/model/customFields", body) for _ in range(2)]

    model = client.get("/v2/contacts/model")

    assert [field["field_name"] for field in made] == ["Healthscore0", "Healthscore1"]
    assert model["custom_fields"] == made
    assert "custom_fields" in model["optional_properties"]


@pytest.mark.parametrize(
    "body", [{"label": "Score"}, {"label": "Score", "field_type": "Number"}, {"field_type": "TEXT"}]
)
def test_a_custom_field_needs_a_label_and_a_type_that_exists(client: Client, body: dict[str, str]) -> None:
    assert client.call("POST", "/v2/contacts/model/customFields", body).status_code == 400


def test_a_deleted_field_takes_every_value_with_it(keap: PretendKeap, client: Client) -> None:
    ann, plan, _ = two_fields(keap)

    assert client.call("DELETE", f"/v2/contacts/model/customFields/{plan}").status_code == 204
    assert keap.field_values(ann) == {"City": "Bath"}
    assert keap.foreign_losses("Keepwell", set()) == 1


# -- tags --------------------------------------------------------------------------------------------------------------


def test_tags_and_categories_are_made_found_renamed_and_removed(client: Client) -> None:
    category = client.post("/v2/tags/categories", {"name": "Keepwell"})
    tag = client.post("/v2/tags", {"name": "Health: red", "category": {"id": category["id"]}})
    client.post("/v2/tags", {"name": "VIP"})

    assert client.get("/v2/tags", filter="name==Health: red")["tags"] == [tag]
    assert client.get("/v2/tags", filter=f"category_id=={category['id']}")["tags"] == [tag]
    assert [other["name"] for other in client.get("/v2/tags", filter="category_id==NONE")["tags"]] == ["VIP"]
    assert client.get("/v2/tags/categories", filter="name==Keepwell")["tag_categories"] == [category]
    assert client.patch(f"/v2/tags/{tag['id']}", {"name": "Health: grey"})["category"] == {"id": category["id"]}
    assert client.get(f"/v2/tags/{tag['id']}")["name"] == "Health: grey"
    assert client.patch(f"/v2/tags/categories/{category['id']}", {"name": "Health"})["name"] == "Health"
    assert client.get(f"/v2/tags/categories/{category['id']}")["name"] == "Health"
    assert client.call("DELETE", f"/v2/tags/categories/{category['id']}").status_code == 409
    assert client.call("DELETE", f"/v2/tags/{tag['id']}").status_code == 204
    assert client.call("DELETE", f"/v2/tags/categories/{category['id']}").status_code == 204
    assert client.call("GET", f"/v2/tags/{tag['id']}").status_code == 404


@pytest.mark.parametrize("path", ["/v2/tags", "/v2/tags/categories"])
def test_a_name_is_taken_once(client: Client, path: str) -> None:
    client.post(path, {"name": "Keepwell"})

    assert client.call("POST", path, {"name": "Keepwell"}).status_code == 409


def test_a_tag_wants_a_category_that_exists(client: Client) -> None:
    assert client.call("POST", "/v2/tags", {"name": "VIP", "category": {"id": "999"}}).status_code == 400


def test_a_long_tag_name_is_cut_without_a_word(client: Client) -> None:
    assert client.post("/v2/tags", {"name": "x" * 300})["name"] == "x" * 255


def test_applying_a_tag_answers_contact_by_contact(keap: PretendKeap, client: Client) -> None:
    ann, bob, cat = (keap.add_contact(name, "Lee", f"{name}@a.example") for name in ("Ann", "Bob", "Cat"))
    red = keap.ensure_tag("Health: red")
    keap.human_tag(bob, "Health: red")
    keap.fail_next_items = 1

    first = client.post(f"/v2/tags/{red}/contacts:applyTags", {"contact_ids": [ann, bob, cat, "999"]})
    again = client.post(f"/v2/tags/{red}/contacts:applyTags", {"contact_ids": [ann]})

    assert first["results"] == {ann: "FAILURE", bob: "DUPLICATE", cat: "SUCCESS", "999": "CONTACT_NOT_FOUND"}
    assert again["results"] == {ann: "SUCCESS"}
    assert keap.faults.met["failed_item"] == 1


@pytest.mark.parametrize("ids", [[], ["101", "101"], [101], "101", None])
def test_a_tag_is_applied_to_a_list_of_different_ids_in_text(keap: PretendKeap, client: Client, ids: Any) -> None:
    red = keap.ensure_tag("Health: red")

    assert client.call("POST", f"/v2/tags/{red}/contacts:applyTags", {"contact_ids": ids}).status_code == 400


def test_a_tag_that_is_gone_cannot_be_applied(client: Client) -> None:
    assert client.call("POST", "/v2/tags/999/contacts:applyTags", {"contact_ids": ["101"]}).status_code == 404


def test_a_tag_does_not_move_the_update_time(keap: PretendKeap, client: Client, clock: VirtualClock) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    before = keap.contact(ann)["update_time"]
    clock.sleep(60)

    client.post(f"/v2/tags/{keap.ensure_tag('VIP')}/contacts:applyTags", {"contact_ids": [ann]})

    assert keap.contact(ann)["update_time"] == before


def test_who_has_a_tag_is_listed_by_tag_and_for_many_tags_at_once(
    keap: PretendKeap, client: Client, clock: VirtualClock
) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example", tags=["Red"])
    bob = keap.add_contact("Bob", "Ray", "bob@b.example", tags=["Green"])
    red, green = keap.ensure_tag("Red"), keap.ensure_tag("Green")
    at = iso(clock.now())

    assert client.get(f"/v2/tags/{red}/contacts")["contacts"] == [
        {"id": ann, "email": "ann@a.example", "given_name": "Ann", "family_name": "Lee", "applied_time": at}
    ]
    first = client.get("/v2/tags/-/contacts", filter=f"tag_ids=={red},{green}", page_size="1")
    rest = client.get(
        "/v2/tags/-/contacts", filter=f"tag_ids=={red},{green}", page_size="1", page_token=first["next_page_token"]
    )
    assert first["contacts"] + rest["contacts"] == [
        {"contact_id": ann, "tag_id": red, "applied_at": at},
        {"contact_id": bob, "tag_id": green, "applied_at": at},
    ]
    assert client.call("GET", "/v2/tags/-/contacts").status_code == 400
    many = ",".join(str(number) for number in range(101))
    assert client.call("GET", "/v2/tags/-/contacts", filter=f"tag_ids=={many}").status_code == 400


# -- mails, addresses, users -------------------------------------------------------------------------------------------


def test_sent_mails_show_what_has_happened_so_far(keap: PretendKeap, client: Client, clock: VirtualClock) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    bob = keap.add_contact("Bob", "Ray", "bob@b.example")
    sent = int(clock.now())
    mail = keap.log_email(ann, "News", sent, opened_at=sent + 60, clicked_at=sent + 7200)
    keap.log_email(bob, "News", sent + 10)
    clock.sleep(3600)

    found = client.get("/v2/emails", filter=f"contact_id=={ann}")["emails"]

    assert found[0] | {"id": mail, "subject": "News", "opened_time": iso(sent + 60)} == found[0]
    assert "clicked_time" not in found[0]
    since = f"start_created_time=={iso(sent + 5)}"
    assert [one["contact_id"] for one in client.get("/v2/emails", filter=since)["emails"]] == [bob]
    page = client.get("/v2/emails", page_size="1", order_by="created_time desc")
    assert [one["contact_id"] for one in page["emails"]] == [bob]
    assert page["next_page_token"]


def test_addresses_show_their_status_and_last_mails(keap: PretendKeap, client: Client, clock: VirtualClock) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    keap.add_contact("Bob", "Ray", "bob@b.example", opt_status="LIST_UNSUBSCRIBE")
    keap.log_email(ann, "News", int(clock.now()), opened_at=int(clock.now()))

    opted_out = client.get("/v2/emailAddresses", filter="opted_in==false")["email_addresses"]
    known = client.get("/v2/emailAddresses", order_by="last_open_time desc")["email_addresses"]

    assert [(one["email"], one["status"]) for one in opted_out] == [("bob@b.example", "LIST_UNSUBSCRIBE")]
    assert [one["email"] for one in known] == ["ann@a.example", "bob@b.example"]
    assert known[0]["last_open_time"] == iso(clock.now())
    assert "last_open_time" not in known[1]


@pytest.mark.parametrize(
    ("status", "opted_in", "after"),
    [
        ("NON_MARKETABLE", True, "SINGLE_OPT_IN"),
        ("MANUAL", True, "SINGLE_OPT_IN"),
        ("LIST_UNSUBSCRIBE", True, "LIST_UNSUBSCRIBE"),
        ("SPAM", True, "SPAM"),
        ("DOUBLE_OPT_IN", False, "MANUAL"),
        ("HARD_BOUNCE", False, "HARD_BOUNCE"),
    ],
)
def test_an_opt_in_by_the_api_moves_only_those_who_did_not_refuse(
    keap: PretendKeap, client: Client, status: str, opted_in: bool, after: str
) -> None:
    keap.add_contact("Ann", "Lee", "ann@a.example", opt_status=status)

    changed = client.patch("/v2/emailAddresses/ann@a.example/status", {"opted_in": opted_in, "reason": "asked for it"})

    assert changed["status"] == after
    assert client.get("/v2/emailAddresses/ann@a.example/status")["status"] == after


def test_an_opt_status_wants_a_reason_and_an_address_that_is_known(keap: PretendKeap, client: Client) -> None:
    keap.add_contact("Ann", "Lee", "ann@a.example")

    assert client.call("PATCH", "/v2/emailAddresses/ann@a.example/status", {"opted_in": True}).status_code == 400
    assert client.call("GET", "/v2/emailAddresses/bob@b.example/status").status_code == 404


def test_somebody_who_opts_out_does_not_show_as_an_updated_contact(
    keap: PretendKeap, client: Client, clock: VirtualClock
) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    clock.sleep(60)

    keap.set_opt_status(ann, "LIST_UNSUBSCRIBE")

    assert client.get("/v2/contacts", filter=f"start_update_time=={iso(clock.now())}")["contacts"] == []
    shown = client.get(f"/v2/contacts/{ann}")["email_addresses"][0]
    assert (shown["is_opt_in"], shown["email_opt_status"]) == (False, "LIST_UNSUBSCRIBE")


def test_a_changed_address_is_found_by_the_new_one_only(keap: PretendKeap, client: Client) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example", company="Acme", owner_id="1")

    keap.change_email(ann, "ann@new.example")

    assert names(client.get("/v2/contacts", filter="email==ann@new.example")) == ["Ann"]
    assert names(client.get("/v2/contacts", filter="email==ann@a.example")) == []


def test_an_address_given_by_the_api_may_be_mailed_only_with_a_reason(keap: PretendKeap, client: Client) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    emails = [
        {"email": "x@a.example", "field": "EMAIL1"},
        {"email": "y@a.example", "field": "EMAIL2", "opt_in_reason": "asked for it"},
    ]

    changed = client.patch(f"/v2/contacts/{ann}", {"email_addresses": emails}, fields="email_addresses")

    assert [email["is_opt_in"] for email in changed["email_addresses"]] == [False, True]


def test_users_come_in_pages_of_at_most_a_hundred(keap: PretendKeap, client: Client) -> None:
    keap.add_user("Cem", "Kaya", "cem@business.example")

    assert [user["given_name"] for user in client.get("/v2/users", page_size="100")["users"]] == ["Olga", "Cem"]
    assert client.call("GET", "/v2/users", page_size="101").status_code == 400


# -- hooks -------------------------------------------------------------------------------------------------------------


class Receiver(PretendVendor):
    """Somebody who listens to hooks."""

    name = "receiver"

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.status = 200
        self.echo = True
        self.secrets: list[str] = []
        self.heard: list[Any] = []
        self.app.add_url_rule("/hook", "hook", self._hook, methods=["POST"])
        self.url = f"{self.start()}/hook"

    def _hook(self) -> Response:
        secret = request.headers.get("X-Hook-Secret")
        if secret is None:
            self.heard.append(request.get_json())
            return Response(status=self.status)
        self.secrets.append(secret)
        return Response(headers={"X-Hook-Secret": secret} if self.echo else {})


@pytest.fixture
def receiver(clock: VirtualClock) -> Iterator[Receiver]:
    receiver = Receiver(clock)
    yield receiver
    receiver.stop()


def test_a_verified_hook_hears_of_ids_that_changed_and_of_nothing_else(
    keap: PretendKeap, client: Client, clock: VirtualClock, receiver: Receiver
) -> None:
    ann, plan, _ = two_fields(keap)
    made = client.post("/v1/hooks", {"eventKey": "contact.edit", "hookUrl": receiver.url})

    client.patch(f"/v2/contacts/{ann}", {"custom_fields": [{"id": plan, "content": "Max"}]})
    keap.human_tag(ann, "VIP")
    keap.deliver_hooks()

    assert made["status"] == "Verified"
    assert receiver.heard == [
        {
            "event_key": "contact.edit",
            "object_type": "contact",
            "object_keys": [
                {
                    "id": int(ann),
                    "apiUrl": f"{keap.base_url}/crm/rest/v1/contacts/{ann}",
                    "timestamp": iso(clock.now()),
                }
            ],
        }
    ]
    assert (keap.hooks_sent, keap.hooks_accepted) == (1, 1)


def test_a_tag_that_is_applied_is_told_with_the_id_of_the_tag(
    keap: PretendKeap, client: Client, receiver: Receiver
) -> None:
    ann = keap.add_contact("Ann", "Lee", "ann@a.example")
    vip = keap.ensure_tag("VIP")
    client.post("/v1/hooks", {"eventKey": "contactGroup.applied", "hookUrl": receiver.url})

    client.post(f"/v2/tags/{vip}/contacts:applyTags", {"contact_ids": [ann]})
    keap.deliver_hooks()

    assert [(told["event_key"], told["object_keys"][0]["id"]) for told in receiver.heard] == [
        ("contactGroup.applied", int(vip))
    ]


def test_a_hook_that_does_not_echo_the_secret_hears_nothing_until_it_does(
    keap: PretendKeap, client: Client, receiver: Receiver
) -> None:
    receiver.echo = False
    made = client.post("/v1/hooks", {"eventKey": "contact.add", "hookUrl": receiver.url})
    keap.add_contact("Ann", "Lee", "ann@a.example")
    keap.deliver_hooks()
    assert (made["status"], receiver.heard) == ("Unverified", [])

    receiver.echo = True
    verified = client.post(f"/v1/hooks/{made['key']}/verify", None)
    keap.add_contact("Bob", "Ray", "bob@b.example")
    keap.deliver_hooks()

    assert verified["status"] == "Verified"
    assert len(receiver.heard) == 1


def test_a_hook_can_be_verified_later_with_the_secret_in_a_header(client: Client, receiver: Receiver) -> None:
    receiver.echo = False
    path = f"/v1/hooks/{client.post('/v1/hooks', {'eventKey': 'contact.add', 'hookUrl': receiver.url})['key']}"

    wrong = client.call("POST", f"{path}/delayedVerify", headers={"X-Hook-Secret": "guessed"})
    right = client.call("POST", f"{path}/delayedVerify", headers={"X-Hook-Secret": receiver.secrets[0]})

    assert (wrong.status_code, right.status_code) == (403, 200)
    assert client.get(path)["status"] == "Verified"


@pytest.mark.parametrize(("status", "sent"), [(410, 1), (500, 4)])
def test_a_receiver_that_is_gone_or_fails_four_times_silences_its_hook(
    keap: PretendKeap, client: Client, receiver: Receiver, status: int, sent: int
) -> None:
    key = client.post("/v1/hooks", {"eventKey": "contact.add", "hookUrl": receiver.url})["key"]
    receiver.status = status
    for name in ("Ann", "Bob"):
        keap.add_contact(name, "Lee", f"{name}@a.example")
        keap.deliver_hooks()

    assert client.get(f"/v1/hooks/{key}")["status"] == "Inactive"
    assert (len(receiver.heard), keap.hooks_given_up) == (sent, 1)


def test_hooks_are_listed_and_removed(client: Client, receiver: Receiver) -> None:
    made = client.post("/v1/hooks", {"eventKey": "contact.add", "hookUrl": receiver.url})

    assert client.get("/v1/hooks/event_keys") == list(EVENT_KEYS)
    assert client.get("/v1/hooks") == [made]
    assert client.call("DELETE", f"/v1/hooks/{made['key']}").status_code == 204
    assert client.call("GET", f"/v1/hooks/{made['key']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"eventKey": "contact.smile", "hookUrl": "http://127.0.0.1:9/"}, "Unknown event key: contact.smile"),
        ({"eventKey": "contact.add", "hookUrl": "http://127.0.0.1:9/", "foo": 1}, "Unrecognized property: foo"),
    ],
)
def test_v1_words_its_refusals_in_its_own_shape(client: Client, body: dict[str, Any], sentence: str) -> None:
    answer = client.call("POST", "/v1/hooks", body)

    assert (answer.status_code, answer.json()) == (400, {"message": sentence})


# -- the specification -------------------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_specification(shared: Path, contract: Contract) -> None:
    patch = contract.paths["/rest/v2/contacts/{contact_id}"]["patch"]
    mask = next(each for each in patch["parameters"] if each["name"] == "update_mask")
    written = contract.schemas["CreateUpdateContactRequest"]["properties"]

    assert set(mask["schema"]["items"]["enum"]) == PROPERTIES
    assert set(written) == WRITABLE
    assert {name: each["maxLength"] for name, each in written.items() if "maxLength" in each} == LONGEST
    assert set(contract.schemas["CreateCustomFieldRequest"]["properties"]["field_type"]["enum"]) == set(FIELD_TYPES)
    assert set(contract.schemas["EmailAddress"]["properties"]["email_opt_status"]["enum"]) == set(OPT_STATUSES)


def test_every_door_but_the_newest_is_in_the_specification(shared: Path, contract: Contract, keap: PretendKeap) -> None:
    doors = {
        (method, contract.template(rule.rule.replace("<", "x").replace(">", "x")))
        for rule in keap.app.url_map.iter_rules()
        if "/-/" not in rule.rule  # came with SDK 2.0.26, after the published specification
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert all(template and method.lower() in contract.paths[template] for method, template in doors)
    assert len(doors) == 43
