"""The pretend Keap's mails behave as its specification and the field notes say: shown over HTTP on loopback."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import START
from tests.sandbox.keap_contract import Client, Contract
from worker.lib.clock import VirtualClock, iso
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.keap_mails import PROVIDERS


def encoded(words: str) -> str:
    return base64.b64encode(words.encode()).decode()


def mail(*contact_ids: str, **more: Any) -> dict[str, Any]:
    return {
        "contacts": list(contact_ids),
        "subject": "Hello",
        "user_id": "1",
        "plain_content": encoded("Dear ~Contact.FirstName~"),
        **more,
    }


@pytest.fixture
def ada(keap: PretendKeap) -> str:
    return keap.add_contact("Ada", "Lovelace", "ada@engines.example")


def test_a_mail_is_accepted_without_a_word_and_shows_in_the_list(
    keap: PretendKeap, client: Client, ada: str, clock: VirtualClock
) -> None:
    answer = client.call("POST", "/v2/emails:send", mail(ada))

    assert (answer.status_code, answer.content) == (202, b"")
    window = f"contact_id=={ada};start_created_time=={iso(START)};end_created_time=={iso(START)}"
    (shown,) = client.get("/v2/emails", filter=window)["emails"]
    assert (shown["subject"], shown["sent_to_address"], shown["sent_time"]) == (
        "Hello",
        "ada@engines.example",
        iso(START),
    )
    assert shown["sent_from_address"] == "olga@business.example"
    assert [one.plain for one in keap.mails_to(ada, "Hello")] == ["Dear Ada"]


def test_the_same_mail_twice_is_two(keap: PretendKeap, client: Client, ada: str) -> None:
    for _ in range(2):
        client.call("POST", "/v2/emails:send", mail(ada))

    assert len(keap.mails_to(ada, "Hello")) == 2


def test_who_may_not_be_written_to_gets_nothing_and_nobody_is_told(keap: PretendKeap, client: Client, ada: str) -> None:
    bob = keap.add_contact("Bob", "B", "bob@b.example", opt_status="MANUAL")

    assert client.call("POST", "/v2/emails:send", mail(ada, bob)).status_code == 202
    assert (len(keap.mails_to(ada)), keap.mails_to(bob), keap.unwanted) == (1, [], 1)


def test_content_that_is_no_base64_is_sent_garbled(keap: PretendKeap, client: Client, ada: str) -> None:
    client.call("POST", "/v2/emails:send", mail(ada, plain_content="Dear Ada!"))

    (sent,) = keap.mails_to(ada)
    assert sent.plain != "Dear Ada!"


def test_a_mail_goes_to_the_address_that_is_named(keap: PretendKeap, client: Client, ada: str) -> None:
    keap.contacts[ada].emails.append({"email": "ada@home.example", "field": "EMAIL2"})
    keap.address("ada@home.example", "SINGLE_OPT_IN")

    client.call("POST", "/v2/emails:send", mail(ada, address_field="EmailAddress2"))

    assert [one.to for one in keap.mails_to(ada)] == ["ada@home.example"]


@pytest.mark.parametrize(
    "change",
    [
        {"contacts": []}, {"contacts": ["999"]}, {"contacts": [101]}, {"subject": ""}, {"user_id": None},
        {"from_address": "hello@business.example"}, {"user_id": "77"}, {"user_id": 1},
        {"user_id": None, "from_address": "me@elsewhere.example"}, {"address_field": "Email4"}, {"html": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_a_mail_that_cannot_be_is_refused(keap: PretendKeap, client: Client, ada: str, change: dict[str, Any]) -> None:
    body = {name: value for name, value in mail(ada, **change).items() if value is not None}

    assert client.call("POST", "/v2/emails:send", body).status_code == 400
    assert keap.mails_to(ada) == []


def test_an_authenticated_address_may_send(keap: PretendKeap, client: Client, ada: str) -> None:
    body = mail(ada, from_address="hello@business.example")
    del body["user_id"]

    assert client.call("POST", "/v2/emails:send", body).status_code == 202
    assert keap.mails_to(ada)[0].sent_from == "hello@business.example"


def test_a_template_is_listed_with_a_number_and_sent_by_it(keap: PretendKeap, client: Client, ada: str) -> None:
    template_id = keap.write_template("Welcome", "Hello ~Contact.FirstName~", "<p>~Contact.Email~</p>")

    (listed,) = client.get("/v2/emails/templates")["email_templates"]
    assert (listed["id"], listed["piece_title"]) == (int(template_id), "Welcome")
    body = {"template_id": template_id, "contact_ids": [ada], "user_id": "1"}
    assert client.call("POST", "/v2/emails/templates:send", body).status_code == 202
    assert client.call("POST", "/v2/emails/templates:send", {**body, "template_id": "1"}).status_code == 404
    assert [(one.subject, one.html) for one in keap.mails_to(ada)] == [("Hello Ada", "<p>ada@engines.example</p>")]


# -- mails of others ---------------------------------------------------------------------------------------------------


def told(contact_id: str, number: int = 1, /, **more: Any) -> dict[str, Any]:
    return {
        "contact_id": contact_id, "sent_to_address": "ada@engines.example", "subject": f"News {number}",
        "sent_time": iso(START - 60), "original_provider_id": f"id-{number}", "html_content": encoded("<p>Hi</p>"),
        **more,
    }  # fmt: skip


def test_mails_of_others_are_noted_item_by_item(keap: PretendKeap, client: Client, ada: str) -> None:
    answer = client.call("POST", "/v2/emails:batchAdd", {"emails": [told(ada), told("999", 2)]})

    assert answer.status_code == 201
    (noted,), (refused,) = answer.json()["emails"], answer.json()["errors"]
    assert (noted["original_provider"], noted["original_provider_id"]) == ("UNKNOWN", "id-1")
    assert (refused["error_message"], refused["email"]["original_provider_id"]) == ("Contact not found", "id-2")
    (shown,) = client.get("/v2/emails", filter=f"contact_id=={ada}")["emails"]
    assert (shown["subject"], shown["sent_time"]) == ("News 1", iso(START - 60))


def test_they_are_listed_by_when_keap_was_told(client: Client, ada: str) -> None:
    client.call("POST", "/v2/emails:batchAdd", {"emails": [told(ada)]})

    def found(start: int) -> int:
        return len(client.get("/v2/emails", filter=f"contact_id=={ada};start_created_time=={iso(start)}")["emails"])

    assert (found(START), found(START + 1)) == (1, 0)


def test_a_provider_s_id_is_taken_once(keap: PretendKeap, client: Client, ada: str) -> None:
    for _ in range(2):
        answer = client.call("POST", "/v2/emails:batchAdd", {"emails": [told(ada)]})

    assert (len(answer.json()["errors"]), len(keap.mails_to(ada))) == (1, 1)


def test_more_than_a_thousand_at_once_are_refused(keap: PretendKeap, client: Client, ada: str) -> None:
    answer = client.call("POST", "/v2/emails:batchAdd", {"emails": [told(ada, number) for number in range(1001)]})

    assert (answer.status_code, keap.mails_to(ada)) == (400, [])


def test_a_lost_answer_is_one_of_a_write_that_was_carried_out(keap: PretendKeap, client: Client, ada: str) -> None:
    keap.lose_next_answers = 1

    assert client.call("POST", "/v2/emails:send", mail(ada)).status_code == 500
    assert len(keap.mails_to(ada)) == 1


def test_providers_are_those_of_the_specification(shared: Path, contract: Contract) -> None:
    written = contract.schemas["CreateEmailSentRequest"]["properties"]

    assert tuple(written["original_provider"]["enum"]) == PROVIDERS
