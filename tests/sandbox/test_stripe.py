"""The pretend Stripe against Stripe's own fixtures and specification, never against our client."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import START
from tests.sandbox.receiver import listening
from worker.lib.clock import DAY, VirtualClock
from worker.sandbox.servers.base import Faults
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.stripe_office import signature

KEY = "rk_test_sandbox"

LEFT_OUT = {
    "customer": set[str](),
    "subscription": {"billing_schedules", "managed_payments"},  # previews that an ordinary account does not see
    "invoice": {"subscription"},  # moved to `parent` by the basil release; the public fixture still carries it
    "charge": {"refunds"},  # shown only when it is asked for with `expand`
    "refund": {"customer", "customer_account", "payment_method"},  # previews
    "dispute": set[str](),
    "event": set[str](),
}
"""Keys of the public fixtures that this Stripe does not show, and why."""


@pytest.fixture
def stripe(clock: VirtualClock) -> Iterator[PretendStripe]:
    server = PretendStripe(clock, key=KEY)
    server.start()
    yield server
    server.stop()


def ask(stripe: PretendStripe, path: str, *, key: str = KEY, **params: Any) -> requests.Response:
    # A pause of the vendor's time between calls keeps well-behaved readers under the limit.
    stripe.clock.sleep(0.1)
    headers = {"Authorization": f"Bearer {key}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(stripe.base_url + path, params=params, headers=headers, timeout=10)


def ids(answer: requests.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


def a_customer(stripe: PretendStripe, name: str = "Ada Lovelace", at: int | None = None) -> str:
    return stripe.add_customer(name, f"{name.split()[0].lower()}@example.com", {"keap_id": "7"}, at)


def an_eventful_account(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    subscription = stripe.subscribe(customer, "Pro", 4900)
    unpaid = stripe.bill(subscription, decline="card_declined")
    stripe.retry_payment(unpaid)
    charge = stripe.charge_of[unpaid]
    stripe.refund(charge, 1000)
    stripe.dispute_close(stripe.dispute_open(charge), won=True)
    stripe.cancel(subscription, at_period_end=True, feedback="too_expensive", comment="Too dear for us.")


# -- shapes --------------------------------------------------------------------------------------------------------


def differing_types(ours: Any, theirs: Any, path: str) -> list[str]:
    """Where two JSON values are of different types; null agrees with everything."""
    if ours is None or theirs is None:
        return []
    if type(ours) is not type(theirs):
        return [f"{path}: {type(ours).__name__} instead of {type(theirs).__name__}"]
    if isinstance(ours, dict):
        return [
            wrong
            for key in ours.keys() & theirs.keys()
            for wrong in differing_types(ours[key], theirs[key], f"{path}.{key}")
        ]
    if isinstance(ours, list):
        return [wrong for one in ours[:1] for other in theirs[:1] for wrong in differing_types(one, other, f"{path}[]")]
    return []


@pytest.mark.parametrize("kind", sorted(LEFT_OUT))
def test_its_objects_have_the_keys_and_types_of_stripes_own_fixtures(
    stripe: PretendStripe, shared: Path, kind: str
) -> None:
    an_eventful_account(stripe)
    fixtures = json.loads((shared / "specs/stripe/fixtures3-2026-08.json").read_text())["resources"]
    params = {"status": "all"} if kind == "subscription" else {}
    data = ask(stripe, f"/v1/{kind}s", limit=100, **params).json()["data"]
    assert data

    for one in data:
        assert set(one) == set(fixtures[kind]) - LEFT_OUT[kind]
        if kind != "event":
            assert differing_types(one, fixtures[kind], kind) == []


def test_its_choices_are_words_of_stripes_specification(stripe: PretendStripe, shared: Path) -> None:
    an_eventful_account(stripe)
    specification = json.loads((shared / "specs/stripe/stripe-spec3-apisguru-prebasil.json").read_text())
    schemas = specification["components"]["schemas"]
    checked = set()
    for kind in ("subscription", "invoice", "charge", "dispute", "refund"):
        for one in stripe.records[f"{kind}s"].values():
            for name, schema in schemas[kind]["properties"].items():
                if "enum" in schema and one.get(name) is not None:
                    assert one[name] in schema["enum"], f"{kind}.{name}"
                    checked.add(f"{kind}.{name}")
    assert checked >= {"subscription.status", "invoice.status", "invoice.billing_reason", "dispute.status"}


def test_a_period_lies_on_the_item_and_an_invoice_names_its_subscription_in_its_parent(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)

    shown = ask(stripe, f"/v1/subscriptions/{subscription}").json()
    invoice = ask(stripe, f"/v1/invoices/{shown['latest_invoice']}").json()

    assert "current_period_end" not in shown
    assert shown["items"]["data"][0]["current_period_end"] == START + 30 * DAY
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription
    assert not {"charge", "paid", "payment_intent", "subscription"} & set(invoice)


# -- the key -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer rk_test_other"}, {"Authorization": f"Basic {KEY}"}])
def test_a_call_without_the_right_key_is_refused_in_stripes_words(
    stripe: PretendStripe, headers: dict[str, str]
) -> None:
    answer = requests.get(f"{stripe.base_url}/v1/customers", headers=headers, timeout=10)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "rk_test_other" not in answer.text


def test_objects_of_a_live_key_say_so(clock: VirtualClock) -> None:
    stripe = PretendStripe(clock, key="rk_live_made_up")
    stripe.start()
    try:
        customer = a_customer(stripe)
        assert ask(stripe, f"/v1/customers/{customer}", key="rk_live_made_up").json()["livemode"] is True
        events = ask(stripe, "/v1/events", key="rk_live_made_up").json()["data"]
        assert [event["livemode"] for event in events] == [True]
    finally:
        stripe.stop()


def test_it_notes_the_version_a_caller_names_and_repeats_it(stripe: PretendStripe) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Version": "2026-06-24.dahlia"}
    answer = requests.get(f"{stripe.base_url}/v1/account", headers=headers, timeout=10)

    assert answer.json()["id"].startswith("acct_")
    assert answer.headers["Stripe-Version"] == "2026-06-24.dahlia"
    assert answer.headers["Request-Id"].startswith("req_")
    assert stripe.versions == {"2026-06-24.dahlia"}


# -- lists ---------------------------------------------------------------------------------------------------------


def test_paging_gives_everything_once_newest_first(stripe: PretendStripe) -> None:
    made = [a_customer(stripe, f"Customer{n} Some", START - n // 3) for n in range(25)]

    seen: list[str] = []
    answer = ask(stripe, "/v1/customers", limit=7).json()
    seen += [one["id"] for one in answer["data"]]
    while answer["has_more"]:
        answer = ask(stripe, "/v1/customers", limit=7, starting_after=seen[-1]).json()
        seen += [one["id"] for one in answer["data"]]

    assert answer["url"] == "/v1/customers"
    assert sorted(seen) == sorted(made)
    dates = [stripe.records["customers"][id_]["created"] for id_ in seen]
    assert dates == sorted(dates, reverse=True)


def test_a_page_holds_ten_unless_asked_otherwise_and_a_hundred_at_most(stripe: PretendStripe) -> None:
    for n in range(12):
        a_customer(stripe, f"Customer{n} Some")

    assert len(ids(ask(stripe, "/v1/customers"))) == 10
    assert len(ids(ask(stripe, "/v1/customers", limit=100))) == 12
    for limit in ("101", "0", "many"):
        answer = ask(stripe, "/v1/customers", limit=limit)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


def test_ending_before_reads_towards_the_newest(stripe: PretendStripe) -> None:
    made = [a_customer(stripe, f"Customer{n} Some", START + n) for n in range(5)]
    answer = ask(stripe, "/v1/customers", limit=2, ending_before=made[1])
    assert ids(answer) == [made[3], made[2]]
    assert answer.json()["has_more"] is True


def test_an_unknown_cursor_is_a_missing_resource(stripe: PretendStripe) -> None:
    answer = ask(stripe, "/v1/customers", starting_after="cus_nobody")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "resource_missing"


def test_paging_goes_on_after_a_record_that_has_left_the_filter_meanwhile(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    older, newer = (stripe.subscribe(customer, "Pro", 4900, at=START + n) for n in (0, 1))
    stripe.cancel(newer)
    assert ids(ask(stripe, "/v1/subscriptions", starting_after=newer)) == [older]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"created[gte]": START + 2}, [3, 2]),
        ({"created[gt]": START + 2}, [3]),
        ({"created[lte]": START + 1}, [1, 0]),
        ({"created[lt]": START + 1}, [0]),
        ({"created": START + 1}, [1]),
        ({"created[gte]": START + 1, "created[lt]": START + 3}, [2, 1]),
    ],
)
def test_lists_are_narrowed_by_when_an_object_was_made(
    stripe: PretendStripe, params: dict[str, Any], expected: list[int]
) -> None:
    made = [a_customer(stripe, f"Customer{n} Some", START + n) for n in range(4)]
    assert ids(ask(stripe, "/v1/customers", **params)) == [made[n] for n in expected]


def test_cancelled_subscriptions_are_listed_only_when_asked_for(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    gone, there = stripe.subscribe(customer, "Pro", 4900), stripe.subscribe(customer, "Team", 9900)
    stripe.cancel(gone)

    assert ids(ask(stripe, "/v1/subscriptions")) == [there]
    assert ids(ask(stripe, "/v1/subscriptions", status="all")) == [there, gone]
    assert ids(ask(stripe, "/v1/subscriptions", status="canceled")) == [gone]
    assert ask(stripe, "/v1/subscriptions", status="gone").status_code == 400


def test_invoices_are_narrowed_by_customer_subscription_and_status(stripe: PretendStripe) -> None:
    one, other = a_customer(stripe), a_customer(stripe, "Grace Hopper")
    subscription = stripe.subscribe(one, "Pro", 4900)
    stripe.subscribe(other, "Pro", 4900)
    unpaid = stripe.bill(subscription, decline="expired_card")

    assert len(ids(ask(stripe, "/v1/invoices", customer=one))) == 2
    assert len(ids(ask(stripe, "/v1/invoices", subscription=subscription))) == 2
    assert ids(ask(stripe, "/v1/invoices", status="open")) == [unpaid]


def test_events_are_narrowed_by_type_and_forgotten_after_thirty_days(
    stripe: PretendStripe, clock: VirtualClock
) -> None:
    a_customer(stripe, at=START - 31 * DAY)
    stripe.subscribe(a_customer(stripe, "Grace Hopper"), "Pro", 4900)

    def kinds(**params: Any) -> list[str]:
        return [one["type"] for one in ask(stripe, "/v1/events", limit=100, **params).json()["data"]]

    assert kinds().count("customer.created") == 1
    two: dict[str, Any] = {"types[]": ["invoice.paid", "charge.succeeded"]}
    assert kinds(**two) == ["invoice.paid", "charge.succeeded"]
    assert set(kinds(type="invoice.*")) == {"invoice.created", "invoice.finalized", "invoice.paid"}
    too_many: dict[str, Any] = {"types[]": ["invoice.paid"] * 21}
    assert ask(stripe, "/v1/events", **too_many).status_code == 400


def test_a_parameter_stripe_does_not_know_is_refused_by_name(stripe: PretendStripe) -> None:
    error = ask(stripe, "/v1/invoices", updated_since="1").json()["error"]
    assert (error["code"], error["param"]) == ("parameter_unknown", "updated_since")


def test_what_an_id_names_can_be_shown_in_its_place(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    stripe.subscribe(customer, "Pro", 4900)
    known: dict[str, Any] = {"expand[]": "data.customer"}
    unknown: dict[str, Any] = {"expand[]": "data.amount_due"}
    shown = ask(stripe, "/v1/charges", **known).json()["data"][0]
    assert shown["customer"]["metadata"] == {"keap_id": "7"}
    assert ask(stripe, "/v1/charges", **unknown).status_code == 400


def test_an_unknown_id_and_an_unknown_address_are_told_apart(stripe: PretendStripe) -> None:
    missing = ask(stripe, "/v1/customers/cus_nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "resource_missing")
    unknown = ask(stripe, "/v1/nothing")
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        404,
        "Unrecognized request URL (GET: /v1/nothing).",
    )


def test_more_than_25_calls_in_a_second_are_too_many_for_a_test_key(stripe: PretendStripe, clock: VirtualClock) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with requests.Session() as session:
        answers = [session.get(f"{stripe.base_url}/v1/account", headers=headers, timeout=10) for _ in range(26)]
        clock.sleep(1)
        later = session.get(f"{stripe.base_url}/v1/account", headers=headers, timeout=10)

    assert [answer.status_code for answer in answers] == [200] * 25 + [429]
    assert answers[-1].json()["error"]["code"] == "rate_limit"
    assert "Retry-After" not in answers[-1].headers
    assert later.status_code == 200


def test_a_planned_429_comes_in_stripes_shape(clock: VirtualClock) -> None:
    stripe = PretendStripe(clock, Faults(planned=["429_with_retry_after"]))
    stripe.start()
    try:
        answer = ask(stripe, "/v1/customers")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
        assert answer.json()["error"]["code"] == "rate_limit"
    finally:
        stripe.stop()


# -- what happens, and the events that tell it -----------------------------------------------------------------------


def told(stripe: PretendStripe) -> list[str]:
    """The types of all events so far, in the order they were made; then forget them."""
    types = [event["type"] for event in stripe.records["events"].values()]
    stripe.records["events"].clear()
    return types


def test_a_new_subscription_is_billed_and_paid_at_once(stripe: PretendStripe) -> None:
    stripe.subscribe(a_customer(stripe), "Pro", 4900, "eur", "year")
    assert told(stripe) == [
        "customer.created",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "invoice.paid",
    ]
    (invoice,) = stripe.records["invoices"].values()
    assert (invoice["status"], invoice["amount_paid"], invoice["currency"]) == ("paid", 4900, "eur")
    assert invoice["status_transitions"]["paid_at"] == START


def test_a_failed_payment_is_tried_four_times_and_then_no_more(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    subscription = stripe.subscribe(customer, "Pro", 4900)
    told(stripe)

    invoice_id = stripe.bill(subscription, decline="insufficient_funds", at=START + 30 * DAY)
    invoice = stripe.records["invoices"][invoice_id]

    assert told(stripe) == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "charge.failed",
        "invoice.payment_failed",
        "customer.subscription.updated",
        "customer.updated",
    ]
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
    assert invoice["next_payment_attempt"] == START + 33 * DAY
    assert stripe.records["subscriptions"][subscription]["status"] == "past_due"
    assert stripe.records["customers"][customer]["delinquent"] is True
    assert stripe.records["charges"][stripe.charge_of[invoice_id]]["failure_code"] == "insufficient_funds"

    for tries in (2, 3, 4):
        stripe.retry_payment(invoice_id, decline="insufficient_funds")
        assert invoice["attempt_count"] == tries
    assert invoice["next_payment_attempt"] is None

    stripe.cancel(subscription, "payment_failed")
    assert told(stripe)[-3:] == [
        "customer.subscription.deleted",
        "invoice.updated",
        "invoice.marked_uncollectible",
    ]
    assert invoice["status"] == "uncollectible"


def test_what_is_owed_when_a_subscription_ends_stays_open_but_is_not_asked_for_again(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    invoice = stripe.records["invoices"][stripe.bill(subscription, decline="card_declined")]
    told(stripe)

    stripe.cancel(subscription)

    assert told(stripe) == ["customer.subscription.deleted", "invoice.updated"]
    assert (invoice["status"], invoice["next_payment_attempt"]) == ("open", None)


def test_a_payment_that_recovers_clears_the_debt(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    subscription = stripe.subscribe(customer, "Pro", 4900)
    invoice = stripe.bill(subscription, decline="card_declined")
    told(stripe)

    stripe.retry_payment(invoice)

    assert told(stripe) == [
        "charge.succeeded",
        "invoice.paid",
        "customer.subscription.updated",
        "customer.updated",
    ]
    assert stripe.records["subscriptions"][subscription]["status"] == "active"
    assert stripe.records["customers"][customer]["delinquent"] is False
    with pytest.raises(ValueError, match="is paid"):
        stripe.retry_payment(invoice)


def test_the_ways_of_ending_can_be_told_apart(stripe: PretendStripe) -> None:
    customer = a_customer(stripe)
    end = START + 365 * DAY
    chosen, planned, failed = (stripe.subscribe(customer, "Pro", 4900) for _ in range(3))
    fixed = stripe.subscribe(customer, "Course", 4900, ends_at=end)
    told(stripe)

    stripe.cancel(chosen, feedback="switched_service", comment="Moving on.", at=START + DAY)
    stripe.cancel(planned, at_period_end=True, at=START + DAY)
    stripe.cancel(failed, "payment_failed", at=START + DAY)
    assert told(stripe) == [
        "customer.subscription.deleted",
        "customer.subscription.updated",
        "customer.subscription.deleted",
    ]
    stripe.finish(planned, at=START + 30 * DAY)
    stripe.finish(fixed, at=end)
    assert told(stripe) == ["customer.subscription.deleted"] * 2

    shown = stripe.records["subscriptions"]
    assert shown[chosen]["cancellation_details"] == {
        "comment": "Moving on.",
        "feedback": "switched_service",
        "reason": "cancellation_requested",
    }
    assert shown[failed]["cancellation_details"]["reason"] == "payment_failed"
    assert (shown[planned]["canceled_at"], shown[planned]["ended_at"]) == (START + DAY, START + 30 * DAY)
    assert (shown[fixed]["canceled_at"], shown[fixed]["cancel_at"], shown[fixed]["ended_at"]) == (START, end, end)
    with pytest.raises(ValueError, match="not set to end"):
        stripe.finish(stripe.subscribe(customer, "Pro", 4900))


def test_a_planned_cancellation_can_be_taken_back(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    before = json.dumps(stripe.records["subscriptions"][subscription])
    stripe.cancel(subscription, at_period_end=True)
    stripe.keep(subscription)
    assert json.dumps(stripe.records["subscriptions"][subscription]) == before


def test_an_update_tells_what_was_there_before(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    stripe.change_plan(subscription, "Team", 9900)

    event = list(stripe.records["events"].values())[-1]
    assert event["type"] == "customer.subscription.updated"
    assert event["data"]["object"]["items"]["data"][0]["price"]["unit_amount"] == 9900
    assert event["data"]["previous_attributes"]["items"]["data"][0]["price"]["unit_amount"] == 4900


def test_an_event_keeps_the_object_as_it_was_then(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    stripe.cancel(subscription)
    created = next(e for e in stripe.records["events"].values() if e["type"] == "customer.subscription.created")
    assert created["data"]["object"]["status"] == "active"


def test_money_is_given_back_once(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    charge = stripe.charge_of[stripe.records["subscriptions"][subscription]["latest_invoice"]]
    told(stripe)

    stripe.refund(charge, 900)
    stripe.refund(charge)
    assert told(stripe) == ["refund.created", "charge.refunded"] * 2
    assert stripe.records["charges"][charge]["amount_refunded"] == 4900
    assert stripe.records["charges"][charge]["refunded"] is True
    with pytest.raises(ValueError, match="0 left"):
        stripe.refund(charge)


def test_a_dispute_opens_and_closes(stripe: PretendStripe) -> None:
    subscription = stripe.subscribe(a_customer(stripe), "Pro", 4900)
    charge = stripe.charge_of[stripe.records["subscriptions"][subscription]["latest_invoice"]]
    told(stripe)

    dispute = stripe.dispute_open(charge, "product_not_received")
    stripe.dispute_close(dispute, won=False)

    assert told(stripe) == ["charge.dispute.created", "charge.dispute.closed"]
    assert stripe.records["disputes"][dispute]["status"] == "lost"
    assert stripe.records["charges"][charge]["disputed"] is True


# -- webhooks ------------------------------------------------------------------------------------------------------


def test_webhooks_are_signed_as_stripe_says_at_the_time_of_each_attempt(
    stripe: PretendStripe, clock: VirtualClock
) -> None:
    with listening() as receiver:
        stripe.hook_to(receiver.url, "whsec_made_up")
        a_customer(stripe)
        receiver.refusals = [500]
        stripe.deliver_hooks()

    signed_at = []
    for headers, body in receiver.got:
        t, v1 = (part.split("=")[1] for part in headers["stripe-signature"].split(","))
        assert v1 == hmac.new(b"whsec_made_up", t.encode() + b"." + body, hashlib.sha256).hexdigest()
        signed_at.append(int(t))
    assert signed_at == [START, START + 1]
    assert receiver.got[0][1] == receiver.got[1][1]
    assert (stripe.hooks_sent, stripe.hooks_accepted) == (2, 1)


def test_the_signature_agrees_with_the_known_vector() -> None:
    assert signature("whsec_test", b'{"id":"evt_1","object":"event"}', 1_700_000_000) == (
        "t=1700000000,v1=4c15fb2a43f93ef61eaa3e0893866d57cad9cad4223242cfb96f362480cb4021"
    )


def test_an_endpoint_hears_only_what_it_asked_for_and_nothing_from_before_it_existed(stripe: PretendStripe) -> None:
    with listening() as receiver:
        a_customer(stripe)
        stripe.hook_to(receiver.url, types=("invoice.*", "customer.created"))
        a_customer(stripe, "Alan Turing", START - DAY)
        stripe.subscribe(a_customer(stripe, "Grace Hopper"), "Pro", 4900)
        stripe.deliver_hooks()
    assert [body["type"] for body in receiver.bodies()] == [
        "customer.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
    ]
    assert {body["pending_webhooks"] for body in receiver.bodies()} == {1}


def test_a_duplicate_has_the_same_id_and_body(stripe: PretendStripe) -> None:
    with listening() as receiver:
        stripe.hook_to(receiver.url)
        a_customer(stripe)
        stripe.deliver_hooks(duplicate=1.0)
    assert len(receiver.got) == 2
    assert receiver.got[0][1] == receiver.got[1][1]


def test_the_same_acts_give_the_same_account() -> None:
    def account() -> str:
        stripe = PretendStripe(VirtualClock(START))
        an_eventful_account(stripe)
        return json.dumps(stripe.records)

    assert account() == account()
