"""What plays read of a customer: as of a moment, and no older than a mail may name."""

from __future__ import annotations

import pytest

from tests.conftest import START
from worker.facts import MILLION, Attribute, CrmContact, Fact, Identity, Person
from worker.intake import records as intake
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.plays import records


@pytest.fixture
def ann(store: Store) -> tuple[str, str]:
    """(customer, identity)."""
    customer = intake.add_customer(store, name="Ann", first_at=START - 100 * DAY)
    return customer, intake.add_identity(store, Identity("stripe", "cus_1"), customer, START - 100 * DAY)


def test_the_segment_is_what_the_customer_was_then(store: Store, ann: tuple[str, str]) -> None:
    customer, identity = ann
    intake.put_attributes(
        store, customer, identity, [Attribute("plan", "Solo", START - 50 * DAY), Attribute("plan", "Team", START)]
    )

    assert records.attributes(store, customer, START - DAY)["plan"][0] == "Solo"
    assert records.attributes(store, customer, START)["plan"][0] == "Team"
    assert records.attributes(store, customer, START - 51 * DAY) == {}


def test_a_mail_names_nothing_older_than_thirty_days_and_nothing_that_comes_later(
    store: Store, ann: tuple[str, str]
) -> None:
    customer, identity = ann
    facts = [
        Fact("usage", START - ago * DAY, "api", f"use-{ago}", 2 * MILLION, f"feature {ago}") for ago in (40, 29, 3, -5)
    ]
    intake.add_facts(store, customer, identity, facts)

    found = records.evidence(store, customer, START, "UTC")

    assert found["usage_days"] == "2"
    assert (found["usage_last_label"], found["usage_last_on"]) == ("feature 3", "29 December")
    assert records.evidence(store, customer, START + 60 * DAY, "UTC").keys() == {"as_of"}


def test_a_suppressed_address_stays_so_and_is_not_kept_in_the_open(store: Store) -> None:
    records.suppress(store, "Ann@Example.com", "unsubscribed", START)
    records.suppress(store, "ann@example.com", "again", START + DAY)

    assert [row["reason"] for row in store.rows("select reason from suppressions")] == ["unsubscribed"]
    assert "ann" not in str(store.rows("select * from suppressions")).lower()


@pytest.mark.parametrize(("runs", "gone"), [(0, True), (1, False)])
def test_who_came_and_went_in_one_second_is_here_while_a_subscription_runs(
    store: Store, ann: tuple[str, str], runs: int, gone: bool
) -> None:
    customer, identity = ann
    facts = [
        Fact("subscription", START, "stripe", "sub_2:started"), Fact("left", START, "stripe", "sub_1:departure"),
        Fact("subscription", START, "stripe", "sub_2:ended", (runs - 1) * MILLION),
    ]  # fmt: skip
    intake.add_facts(store, customer, identity, facts)

    assert (customer in records.departed(store, START)) is gone
    assert records.departed(store, START - 1) == set()


def test_the_billing_person_and_the_champion_are_written_to_where_the_crm_knows_them(
    store: Store, ann: tuple[str, str]
) -> None:
    customer, identity = ann
    for contact_id, email in (("1", "ann@b.example"), ("2", "bo@b.example"), ("3", "cy@b.example")):
        contact = intake.add_identity(store, Identity("keap", contact_id), customer, START)
        shown = CrmContact(contact_id, email, "SINGLE_OPT_IN", may_mail=True, tags=(), fields=(), updated_at=START)
        intake.put_crm_contact(store, "keap", contact, shown, START)
    people = [Person("bo@b.example", "Bo", "billing"), Person("cy@b.example", "Cy", "champion")]
    intake.put_people(store, customer, identity, [*people, Person("di@b.example", "Di", "user")], START)

    found = records.recipients(store, customer, "keap")

    assert {role: one.email for role, one in found.items()} == {
        "main": "ann@b.example", "billing": "bo@b.example", "champion": "cy@b.example",
    }  # fmt: skip
