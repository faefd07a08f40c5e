"""Stripe: whatever way the news of a month comes, and in whatever order, it makes the same facts."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from integrations._stripe_worth import mrr, renews_on
from integrations.stripe import INTEGRATION, StripeSettings, connect, parse, verify
from tests.conftest import START
from tests.integrations.cases_stripe import KEY, SETTINGS, sign
from worker.facts import KINDS, MILLION, Delivery, Fact, Identity, Parsed, Shape
from worker.intake.inbox import parse_waiting
from worker.intake.pull import pull, store_raw
from worker.integration import Incoming, Refused
from worker.lib.clock import DAY, HOUR, VirtualClock
from worker.lib.http import GiveUp, Http, Reconnect
from worker.lib.store import Row, SqliteStore, Store, sql
from worker.plays.records import departed, has_left
from worker.sandbox.servers.base import json_response
from worker.sandbox.servers.stripe import PretendStripe

Object = dict[str, Any]
LIVE = SETTINGS.model_copy(update={"key": SecretStr("rk_live_sandbox")})


@pytest.fixture
def stripe(clock: VirtualClock) -> Iterator[PretendStripe]:
    server = PretendStripe(clock, key=KEY)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(stripe: PretendStripe, clock: VirtualClock) -> Iterator[Http]:
    connection = connect(SETTINGS.model_copy(update={"base_url": stripe.base_url}), clock)
    yield connection
    connection.close()


def said(body: Object, stream: str = "webhook", at: int = START) -> Parsed:
    return parse(Delivery("dlv_1", "stripe", stream, "x", json.dumps(body), at), SETTINGS)


def event(kind: str, about: Object, at: int = START, before: Object | None = None) -> Object:
    data = {"object": about, **({"previous_attributes": before} if before else {})}
    return {"id": "evt_1", "object": "event", "created": at, "livemode": False, "type": kind, "data": data}


def facts(parsed: Parsed) -> list[Fact]:
    return [fact for sighting in parsed.sightings for fact in sighting.facts]


def told(parsed: Parsed) -> list[tuple[str, str, int, int]]:
    """(kind, label, at, value in whole units) of what counts."""
    return [(one.kind, one.label, one.at, one.value // MILLION) for one in facts(parsed) if one.value]


# -- ways for news to come --------------------------------------------------------------------------------------------


def hear(store: Store, events: list[Object], at: int) -> None:
    """Every event as a webhook: signed, believed, stored."""
    for one in events:
        receipt = verify(sign(json.dumps(one).encode(), at), SETTINGS, at)
        store_raw(store, "stripe", "webhook", receipt.external_id, receipt.body, at)


def pull_all(store: Store, http: Http) -> list[str]:
    """One turn of every stream; gives the reasons of those that broke off."""
    return [reason for one in INTEGRATION.pulls if (reason := pull(store, "stripe", one, http, SETTINGS))]


def take_in(store: Store, now: int) -> None:
    taken = parse_waiting(store, lambda delivery: parse(delivery, SETTINGS), now)
    assert not taken.parked
    assert not store.rows("select * from deliveries where parsed_at is null")


def known(store: Store) -> set[tuple[Any, ...]]:
    rows = store.rows("select kind, label, at, value, source_id from facts")
    return {tuple(row.values()) for row in rows}


def now_open(store: Store, about: str) -> dict[str, int]:
    """What is open now, for objects whose id begins so."""
    rows: list[Row] = store.rows(
        "select kind, cast(sum(value) as bigint) as n from facts where substr(source_id, 1, :n) = :about group by kind",
        {"about": about, "n": len(about)},
    )
    return {row["kind"]: row["n"] // MILLION for row in rows if KINDS[row["kind"]].shape is Shape.OPEN}


# -- one event --------------------------------------------------------------------------------------------------------

BEFORE_BASIL: Object = {
    "id": "in_1", "object": "invoice", "customer": "cus_1", "subscription": "sub_1", "charge": "ch_1",
    "payment_intent": "pi_1", "paid": False, "status": "open", "attempt_count": 1, "attempted": True,
    "collection_method": "charge_automatically", "created": START, "currency": "eur", "amount_due": 4900,
    "next_payment_attempt": START + 3 * DAY, "livemode": False,
    "status_transitions": {"finalized_at": START + HOUR, "paid_at": None, "voided_at": None,
                           "marked_uncollectible_at": None},
}  # fmt: skip

SINCE_BASIL: Object = {
    **{key: value for key, value in BEFORE_BASIL.items() if key not in {"subscription", "charge", "payment_intent", "paid"}},
    "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {}}},
}  # fmt: skip


@pytest.mark.parametrize("shape", [BEFORE_BASIL, SINCE_BASIL], ids=["before basil", "since basil"])
def test_a_failed_payment_leaves_an_unpaid_invoice_until_it_is_paid(shape: Object) -> None:
    failed = event("invoice.payment_failed", shape)
    transitions = {**shape["status_transitions"], "paid_at": START + 3 * DAY}
    paid = event("invoice.paid", {**shape, "status": "paid", "attempt_count": 2, "status_transitions": transitions})

    opened = ("unpaid_invoice", "", START + HOUR, 1)
    assert told(said(failed)) == [opened]
    assert told(said(paid)) == [opened, ("unpaid_invoice", "", START + 3 * DAY, -1)]
    assert said(failed).sightings[0].identities == (Identity("stripe", "cus_1"),)
    assert verify(sign(json.dumps(failed).encode(), START), SETTINGS, START).urgent


def test_a_bank_debit_under_way_is_no_unpaid_invoice() -> None:
    under_way = {**SINCE_BASIL, "next_payment_attempt": None}

    assert told(said(event("invoice.updated", under_way, at=START + 5 * DAY))) == []
    assert told(said(event("invoice.updated", under_way, at=START + 20 * DAY))) != []
    assert told(said(event("invoice.payment_failed", under_way, at=START + 5 * DAY))) != []


def test_a_sent_invoice_is_unpaid_from_its_due_date_on() -> None:
    sent = {**SINCE_BASIL, "collection_method": "send_invoice", "due_date": START + 30 * DAY, "attempt_count": 0}
    late = {**sent["status_transitions"], "paid_at": START + 40 * DAY}
    early = {**sent["status_transitions"], "paid_at": START + 20 * DAY}

    assert told(said(event("invoice.sent", sent))) == []
    due = ("unpaid_invoice", "", START + 30 * DAY, 1)
    assert told(said(event("invoice.overdue", sent, at=START + 31 * DAY))) == [due]
    over = event("invoice.paid", {**sent, "status": "paid", "status_transitions": late})
    assert told(said(over)) == [due, ("unpaid_invoice", "", START + 40 * DAY, -1)]
    assert told(said(event("invoice.paid", {**sent, "status": "paid", "status_transitions": early}))) == []


@pytest.mark.parametrize(("currency", "amount"), [("eur", 4900), ("jpy", 49), ("kwd", 49_000), ("isk", 4900)])
def test_amounts_are_whole_units_whatever_the_currency_calls_its_minor_unit(currency: str, amount: int) -> None:
    charge = {
        "id": "ch_1", "object": "charge", "customer": "cus_1", "created": START, "currency": currency,
        "status": "succeeded", "captured": True, "amount": 10 * amount, "amount_captured": amount,
    }  # fmt: skip

    assert told(said(event("charge.succeeded", charge))) == [("payment", currency.upper(), START, 49)]


def test_a_refused_try_says_why_the_bank_refused() -> None:
    charge = {
        "id": "ch_1", "object": "charge", "customer": "cus_1", "created": START, "currency": "eur", "amount": 4900,
        "status": "failed", "failure_code": "card_declined", "outcome": {"reason": "insufficient_funds"},
    }  # fmt: skip

    assert told(said(event("charge.failed", charge))) == [("payment_failed", "card_declined", START, 1)]
    assert told(said(event("charge.failed", {**charge, "failure_code": None})))[0][1] == "insufficient_funds"


def test_a_refund_that_failed_is_taken_out_again() -> None:
    refund = {
        "id": "re_1", "object": "refund", "created": START, "currency": "eur", "amount": 4900, "status": "succeeded",
        "charge": {"id": "ch_1", "object": "charge", "customer": "cus_1"},
    }  # fmt: skip

    assert told(said(refund)) == [("refund", "EUR", START, 49)]
    assert sum(fact.value for fact in facts(said({**refund, "status": "failed"}))) == 0


def test_what_names_no_customer_is_refused_and_says_so() -> None:
    dispute = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "created": START, "status": "needs_response"}

    assert said(event("charge.dispute.created", dispute)).refused == (("dp_1", "this dispute names no customer"),)


def test_a_customer_is_linked_to_keap_by_its_metadata_and_gone_when_deleted() -> None:
    customer = {
        "id": "cus_1", "object": "customer", "created": START, "email": "ada@example.com", "name": "Ada",
        "currency": "eur", "metadata": {"keap_id": " 77 ", "crm": "99"}, "livemode": False,
    }  # fmt: skip

    [seen] = said(event("customer.updated", customer, at=START + DAY)).sightings
    assert seen.identities == (Identity("stripe", "cus_1"), Identity("keap", "77"))
    assert [(person.email, person.role) for person in seen.people] == [("ada@example.com", "billing")]
    assert [(fact.kind, fact.at) for fact in seen.facts] == [("joined", START)]
    other = SETTINGS.model_copy(update={"keap_id_in": "crm"})
    delivery = Delivery("dlv_1", "stripe", "webhook", "x", json.dumps(event("customer.updated", customer)), START)
    assert parse(delivery, other).sightings[0].identities[1] == Identity("keap", "99")
    [gone] = said(event("customer.deleted", customer)).sightings
    assert gone.gone
    assert not gone.people


# -- how it ended -----------------------------------------------------------------------------------------------------


def subscription(id_: str = "sub_1", **more: Any) -> Object:
    price = {
        "id": "price_1", "nickname": "Pro", "unit_amount": 4900, "unit_amount_decimal": "4900", "currency": "eur",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    }  # fmt: skip
    item = {
        "id": "si_1",
        "price": price,
        "quantity": 1,
        "current_period_start": START,
        "current_period_end": START + 30 * DAY,
    }
    return {
        "id": id_, "object": "subscription", "customer": "cus_1", "created": START, "start_date": START,
        "currency": "eur", "status": "active", "cancel_at_period_end": False, "cancel_at": None, "canceled_at": None,
        "ended_at": None, "cancellation_details": {"reason": None, "feedback": None, "comment": None},
        "items": {"object": "list", "data": [item], "has_more": False}, "discounts": [], "livemode": False, **more,
    }  # fmt: skip


def gone(**more: Any) -> Object:
    end = {"status": "canceled", "canceled_at": START + 9 * DAY, "ended_at": START + 9 * DAY}
    return subscription(**{**end, **more})


@pytest.mark.parametrize(
    ("about", "how"),
    [
        (gone(cancellation_details={"reason": "cancellation_requested"}), "by choice"),
        (gone(cancellation_details={"reason": "payment_failed"}), "failed payment"),
        (gone(cancellation_details={"reason": "payment_disputed"}), "by choice"),
        (gone(cancellation_details=None), "by choice"),
        (gone(cancel_at=START + 9 * DAY, canceled_at=START), "finished"),
        (gone(cancel_at=START + 90 * DAY, canceled_at=START + 9 * DAY), "by choice"),
        (gone(cancel_at=START + 9 * DAY, canceled_at=START + 2 * DAY, cancel_at_period_end=True), "by choice"),
    ],
)
def test_departures_are_told_apart(about: Object, how: str) -> None:
    left = [one for one in told(said(event("customer.subscription.deleted", about))) if one[0] == "left"]

    assert left == [("left", how, START + 9 * DAY, 1)]


def test_a_subscription_that_another_replaced_is_a_plan_switch_and_no_departure() -> None:
    old, new = gone(), subscription("sub_2", created=START + 9 * DAY, start_date=START + 9 * DAY)
    page = {"object": "list", "data": [new, old], "as_of": START + 10 * DAY}

    assert [one for one in told(said(page)) if one[0] in {"left", "plan_switched"}] == [
        ("plan_switched", "", START + 9 * DAY, 1)
    ]
    late = {**new, "start_date": START + 30 * DAY}
    assert "left" in {one[0] for one in told(said({**page, "data": [late, old]}))}
    stranger = {**new, "customer": "cus_2"}
    assert "left" in {one[0] for one in told(said({**page, "data": [stranger, old]}))}


def test_a_subscription_that_never_began_is_nothing() -> None:
    for status in ("incomplete", "incomplete_expired"):
        assert told(said(event("customer.subscription.updated", subscription(status=status)))) == []


@pytest.mark.parametrize("status", ["unpaid", "paused"])
def test_a_suspended_subscription_counts_again_when_it_comes_back(status: str, sqlite_store: Store) -> None:
    for number, state in enumerate(["active", status]):
        hear(sqlite_store, [event("customer.subscription.updated", subscription(status=state), START + number)], START)
    take_in(sqlite_store, START)
    assert now_open(sqlite_store, "sub_1")["subscription"] == 0

    hear(sqlite_store, [event("customer.subscription.resumed", subscription(), START + 5)], START)
    take_in(sqlite_store, START)
    assert now_open(sqlite_store, "sub_1")["subscription"] == 1


@pytest.mark.parametrize(("amount", "way"), [(9900, "up"), (900, "down"), (4900, "across")])
def test_another_price_on_a_subscription_is_a_change_of_plan(amount: int, way: str) -> None:
    after = subscription()
    old = after["items"]["data"][0]
    price = {**old["price"], "id": "price_2", "unit_amount": amount, "unit_amount_decimal": str(amount)}
    after["items"] = {"data": [{**old, "price": price}]}

    changed = event("customer.subscription.updated", after, at=START + DAY, before={"items": {"data": [old]}})
    assert ("plan_changed", way, START + DAY, 1) in told(said(changed))
    more_seats = {"items": {"data": [{**price_of, "quantity": 9} for price_of in after["items"]["data"]]}}
    seats = event("customer.subscription.updated", after, before=more_seats)
    assert "plan_changed" not in {one[0] for one in told(said(seats))}


def test_a_cancellation_is_urgent_when_it_is_planned_and_when_it_happens_and_not_when_it_is_taken_back() -> None:
    def urgent(about: Object, before: Object) -> bool:
        body = json.dumps(event("customer.subscription.updated", about, before=before)).encode()
        return verify(sign(body, START), SETTINGS, START).urgent

    leaving = subscription(cancel_at_period_end=True, canceled_at=START + DAY, cancel_at=START + 30 * DAY)
    assert urgent(leaving, {"cancel_at_period_end": False, "canceled_at": None})
    assert not urgent(subscription(), {"cancel_at_period_end": True, "canceled_at": START + DAY})
    assert not urgent(leaving, {"latest_invoice": "in_0"})
    deleted = json.dumps(event("customer.subscription.deleted", gone())).encode()
    assert verify(sign(deleted, START), SETTINGS, START).urgent


# -- worth ------------------------------------------------------------------------------------------------------------


def priced(interval: str = "month", amount: str = "4900", quantity: int = 1, count: int = 1, **more: Any) -> Object:
    one = subscription(**more)
    price = {"id": "p", "unit_amount_decimal": amount, "recurring": {"interval": interval, "interval_count": count}}
    one["items"]["data"] = [{"price": price, "quantity": quantity}]
    return one


@pytest.mark.parametrize(
    ("running", "worth"),
    [
        ([], {}),
        ([subscription()], {"EUR": "49"}),
        ([priced("year", "12000", 3)], {"EUR": "30"}),
        ([priced("week", "1200")], {"EUR": "52"}),
        ([priced(count=3)], {"EUR": "16.33"}),
        ([priced(currency="jpy")], {"JPY": "4900"}),
        ([subscription(status="past_due"), subscription(status="trialing")], {"EUR": "49"}),
        ([subscription(status="unpaid"), gone()], {}),
        ([subscription(), priced(currency="usd")], {"EUR": "49", "USD": "49"}),
        ([subscription(discounts=[{"coupon": {"duration": "forever", "percent_off": 50}}])], {"EUR": "24.5"}),
        ([subscription(discount={"coupon": {"duration": "once", "percent_off": 50}})], {"EUR": "49"}),
        ([priced("year", discounts=[{"source": {"coupon": {"duration": "forever", "amount_off": 2500}}}])], {"EUR": "2"}),
        ([subscription(discounts=["di_1"])], None),
        ([priced(), {**subscription(), "items": {"data": [{"price": {"recurring": {"interval": "month"}}}]}}], None),
    ],
)  # fmt: skip
def test_worth_is_stripes_own_monthly_recurring_revenue(running: list[Object], worth: dict[str, str] | None) -> None:
    assert mrr(running) == worth


def test_metered_prices_are_no_recurring_revenue_and_packs_are_rounded_as_the_price_says() -> None:
    metered, packed = subscription(), priced(amount="1000", quantity=25)
    metered["items"]["data"][0]["price"]["recurring"]["usage_type"] = "metered"
    packed["items"]["data"][0]["price"]["transform_quantity"] = {"divide_by": 10, "round": "up"}

    assert mrr([metered]) == {"EUR": "0"}
    assert mrr([packed]) == {"EUR": "30"}


def test_a_pull_says_plan_and_worth_of_all_a_customer_has() -> None:
    other = subscription("sub_2")
    other["items"] = {
        "data": [{**other["items"]["data"][0], "price": {**other["items"]["data"][0]["price"], "nickname": "Extra"}}]
    }
    [seen] = said({"object": "list", "data": [subscription(), other], "as_of": START + DAY}, "subscriptions").sightings

    assert {(one.name, one.value, one.at) for one in seen.attributes} == {
        ("plan", "Extra, Pro", START + DAY),
        ("mrr", "98", START + DAY),
        ("renews_on", "", START + DAY),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "day"),
    [
        ({}, "2026-12-24"),
        ({"cancel_at_period_end": True}, ""),
        ({"cancel_at": 1_790_000_000}, ""),
        ({"status": "trialing"}, ""),
    ],
)
def test_a_renewal_is_the_end_of_a_long_period_that_goes_on(changes: dict[str, Any], day: str) -> None:
    item = subscription()["items"]["data"][0]
    price = {**item["price"], "recurring": {"interval": "year", "interval_count": 1}}
    yearly = {**subscription(), "items": {"data": [{**item, "price": price, "current_period_end": 1_798_070_400}]}}

    assert renews_on([{**yearly, **changes}, subscription("sub_2")]) == day


# -- signatures -------------------------------------------------------------------------------------------------------


def test_a_signature_made_by_hand_after_stripes_documentation_is_believed() -> None:
    at, body = 1_700_000_000, b'{"id":"evt_1","object":"event"}'
    known_good = "4c15fb2a43f93ef61eaa3e0893866d57cad9cad4223242cfb96f362480cb4021"
    one = StripeSettings(key=SecretStr(KEY), webhook_secret=SecretStr("whsec_test"))

    header = f"t={at},v1={'0' * 64},v1={known_good},v0=anything"
    assert verify(Incoming({"stripe-signature": header}, body), one, at).external_id == "evt_1"
    with pytest.raises(Refused, match="does not match"):
        verify(Incoming({"stripe-signature": f"t={at},v0={known_good}"}, body), one, at)


def test_a_key_that_is_no_key_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(ValidationError, match="begins with rk_live_"):
        StripeSettings(key=SecretStr("pk_test_publishable"))


# -- recorded by others -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[Object]:
    return [json.loads(path.read_text()) for path in sorted((shared / "specs/stripe/webhook-samples").glob("*.json"))]


def test_all_71_recorded_events_are_accepted_and_what_is_live_makes_no_facts(recorded: list[Object]) -> None:
    assert len(recorded) == 71
    assert len({one["id"] for one in recorded}) == 17
    became: dict[str, set[str]] = {"sightings": set(), "unknown": set(), "refused": set()}
    for one in recorded:
        body = json.dumps(one).encode()
        receipt = verify(sign(body, START), SETTINGS, START)
        parsed = parse(Delivery("dlv_1", "stripe", "webhook", receipt.external_id, receipt.body, START), SETTINGS)
        [what] = [name for name in became if getattr(parsed, name)]
        became[what].add(one["type"])
        if one["livemode"] or (one["data"]["object"].get("livemode") and one["type"].startswith("charge.")):
            assert "live data under a test key" in parsed.refused[0][1]
    assert [one["type"] for one in recorded if one["livemode"]] == ["checkout.session.completed"]
    assert {"charge.succeeded", "customer.subscription.deleted", "invoice.paid"} < became["sightings"]
    assert {"checkout.session.completed", "charge.failed", "charge.dispute.created"} < became["refused"]
    assert {"payment_intent.payment_failed", "payment_method.updated", "price.created"} < became["unknown"]


def test_all_71_recorded_events_make_the_same_facts_in_any_order(recorded: list[Object], sqlite_store: Store) -> None:
    seen = set()
    for seed in range(6):
        shuffled = random.Random(seed).sample(recorded, len(recorded)) + recorded[:seed]
        hear(sqlite_store, shuffled, START)
        take_in(sqlite_store, START)
        assert sqlite_store.value("select count(*) from deliveries") == 71
        seen.add(frozenset(known(sqlite_store)))
        for table in (
            "rollup",
            "facts",
            "attributes",
            "people",
            "doubts",
            "dirty",
            "identities",
            "customers",
            "deliveries",
        ):
            sqlite_store.run(f"delete from {table}")

    [facts_of_all] = seen
    assert Counter(row[0] for row in facts_of_all if row[3]) == {
        "joined": 1, "subscription": 3, "left": 1, "payment": 1,
    }  # fmt: skip


# -- a month ----------------------------------------------------------------------------------------------------------


def a_month(stripe: PretendStripe, each_day: Callable[[int], None]) -> None:
    """Customers who pay, fail, recover, change plan, plan to leave, stay, leave and are written off."""
    ids = [stripe.add_customer(f"Customer {n}", f"c{n}@example.com", {"keap_id": str(n)}) for n in range(8)]
    subs = [stripe.subscribe(one, "Basic", 1900 + 100 * n, "eur") for n, one in enumerate(ids[:7])]
    subs.append(stripe.subscribe(ids[7], "Project", 9900, "usd", ends_at=START + 20 * DAY))
    invoices: dict[int, str] = {}
    plan: dict[int, list[Callable[[], Any]]] = {
        2: [lambda: stripe.cancel(subs[1], at_period_end=True), lambda: stripe.change_plan(subs[2], "Pro", 4900)],
        3: [lambda: invoices.update({3: stripe.bill(subs[3], decline="card_declined")})],
        4: [lambda: stripe.keep(subs[1]), lambda: invoices.update({4: stripe.bill(subs[4], decline="expired_card")})],
        6: [lambda: stripe.retry_payment(invoices[3], decline="card_declined"), lambda: stripe.retry_payment(invoices[4])],
        9: [lambda: stripe.cancel(subs[5]), lambda: stripe.change_email(ids[0], "new@example.com")],
        11: [lambda: stripe.cancel(subs[6], at_period_end=True)],
        14: [lambda: stripe.cancel(subs[3], "payment_failed"), lambda: stripe.change_plan(subs[2], "Basic", 2100)],
        20: [lambda: stripe.finish(subs[7])],
        25: [lambda: stripe.finish(subs[6])],
    }  # fmt: skip
    for day in range(27):
        for act in plan.get(day, []):
            act()
            stripe.clock.sleep(60)
        each_day(day)
        stripe.clock.sleep(START + (day + 1) * DAY - stripe.now)


def test_the_same_month_by_webhook_by_pull_or_by_both_makes_equal_facts(
    stripe: PretendStripe, http: Http, clock: VirtualClock, tmp_path: Path
) -> None:
    stores = {name: SqliteStore(tmp_path / f"{name}.db") for name in ("hooks", "daily", "once", "both")}
    for one in stores.values():
        one.migrate()
    heard = 0

    def each_day(day: int) -> None:
        nonlocal heard
        events = list(stripe.records["events"].values())
        fresh_ones, heard = events[heard:], len(events)
        for name in ("hooks", "both"):
            hear(stores[name], fresh_ones[::-1] + fresh_ones[:3], stripe.now)
        for name in ("daily", "both"):
            assert pull_all(stores[name], http) == []
        for one in stores.values():
            take_in(one, stripe.now)

    a_month(stripe, each_day)
    assert pull_all(stores["once"], http) == []
    take_in(stores["once"], stripe.now)

    made = {name: known(one) for name, one in stores.items()}
    for one in stores.values():
        one.close()
    assert made["hooks"] == made["daily"]
    assert made["both"] == made["daily"]
    assert made["once"] == made["daily"]
    counted = Counter((row[0], row[1]) for row in made["daily"] if row[3] > 0)
    assert counted["left", "by choice"] == 2
    assert counted["left", "failed payment"] == counted["left", "finished"] == 1
    assert counted["payment_failed", "card_declined"] == 2
    assert counted["plan_changed", "up"] == counted["plan_changed", "down"] == 1


def test_who_pays_by_the_year_from_now_on_has_not_left_neither_before_the_pull_corrects_it_nor_after(
    stripe: PretendStripe, http: Http, clock: VirtualClock, sqlite_store: Store
) -> None:
    ada, bob = (stripe.add_customer(name, f"{name}@example.com") for name in ("Ada", "Bob"))
    monthly, ended = (stripe.subscribe(one, "Basic", 1900, "eur") for one in (ada, bob))
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)
    clock.sleep(DAY)
    stripe.subscribe(ada, "Basic", 19000, "eur", "year")
    for one in (monthly, ended):
        stripe.cancel(one)
    hear(sqlite_store, list(stripe.records["events"].values()), stripe.now)
    take_in(sqlite_store, stripe.now)

    def gone() -> list[bool]:
        names = "select c.id from customers c order by c.name"
        ids = [row["id"] for row in sqlite_store.rows(names)]
        here = [sqlite_store.row(sql("plays", "here"), {"customer_id": one, "now": stripe.now}) for one in ids]
        assert [has_left(one) for one in here if one] == [one in departed(sqlite_store, stripe.now) for one in ids]
        return [one in departed(sqlite_store, stripe.now) for one in ids]

    assert {row[0] for row in known(sqlite_store)} >= {"left"}
    assert gone() == [False, True]
    clock.sleep(HOUR)
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)
    assert (monthly, "plan_switched") in {(row[4].split(":")[0], row[0]) for row in known(sqlite_store)}
    assert gone() == [False, True]


def test_what_a_webhook_cannot_know_a_pull_corrects(
    stripe: PretendStripe, http: Http, clock: VirtualClock, sqlite_store: Store
) -> None:
    customer = stripe.add_customer("Ada", "ada@example.com")
    old = stripe.subscribe(customer, "Basic", 1900, "eur")
    assert pull_all(sqlite_store, http) == []
    clock.sleep(DAY)
    stripe.cancel(old)
    clock.sleep(60)
    stripe.subscribe(customer, "Pro", 4900, "eur")
    charge = next(iter(stripe.records["charges"]))
    stripe.refund(charge, 900)
    dispute = stripe.dispute_open(charge)
    hear(sqlite_store, list(stripe.records["events"].values()), stripe.now)
    take_in(sqlite_store, stripe.now)
    kinds = {row[0] for row in known(sqlite_store) if row[3]}
    assert "left" in kinds
    assert not kinds & {"refund", "open_dispute", "plan_switched"}

    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)
    kinds = {row[0] for row in known(sqlite_store) if row[3]}
    assert kinds >= {"refund", "open_dispute", "plan_switched"}
    assert "left" not in kinds
    assert sqlite_store.value("select count(*) from customers") == 1

    clock.sleep(DAY)
    stripe.dispute_close(dispute, won=True)
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)
    assert now_open(sqlite_store, dispute) == {"open_dispute": 0}


def test_an_invoice_that_fails_days_later_is_found_by_pull_alone(
    stripe: PretendStripe, http: Http, clock: VirtualClock, sqlite_store: Store
) -> None:
    sub = stripe.subscribe(stripe.add_customer("Ada", "ada@example.com"), "Basic", 1900, "eur")
    invoice = stripe.bill(sub, decline="card_declined")
    pull_all(sqlite_store, http)
    for _ in range(3):
        clock.sleep(DAY)
        pull_all(sqlite_store, http)
    stripe.retry_payment(invoice)
    clock.sleep(HOUR)
    before = len(stripe.calls)
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)

    assert now_open(sqlite_store, invoice) == {"unpaid_invoice": 0}
    assert ("unpaid_invoice", stripe.now - HOUR, -MILLION) in {(r[0], r[2], r[3]) for r in known(sqlite_store)}
    assert len(stripe.calls) - before <= 8


def test_a_stream_that_slept_longer_than_the_feed_remembers_lists_everything_anew(
    stripe: PretendStripe, http: Http, clock: VirtualClock, sqlite_store: Store
) -> None:
    sub = stripe.subscribe(stripe.add_customer("Ada", "ada@example.com"), "Basic", 1900, "eur")
    pull_all(sqlite_store, http)
    clock.sleep(DAY)
    stripe.cancel(sub)
    clock.sleep(40 * DAY)
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)

    assert now_open(sqlite_store, sub)["subscription"] == 0


def test_a_list_of_many_pages_is_read_whole_and_no_customer_is_cut_in_two(
    stripe: PretendStripe, http: Http, sqlite_store: Store
) -> None:
    for n in range(70):
        customer = stripe.add_customer(f"C{n}", f"c{n}@example.com")
        for plan in ("Basic", "Extra"):
            stripe.subscribe(customer, plan, 1900, "eur")
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)

    worths = sqlite_store.rows("select value from attributes where name = 'mrr'")
    assert [row["value"] for row in worths] == ["38"] * 70
    assert sqlite_store.value("select count(*) from customers") == 70


@pytest.mark.parametrize("readable", [True, False], ids=["terms can be read", "terms cannot be read"])
def test_worth_counts_a_discount_whose_terms_can_be_read_and_is_left_out_otherwise(
    readable: bool, stripe: PretendStripe, http: Http, sqlite_store: Store
) -> None:
    id_ = stripe.subscribe(stripe.add_customer("Ada", "ada@example.com"), "Basic", 1900, "eur")
    stripe.records["subscriptions"][id_]["discounts"] = ["di_1"]
    coupon = {"id": "half", "object": "coupon", "duration": "forever", "percent_off": 50}

    def one_subscription() -> Response | None:
        if request.path != f"/v1/subscriptions/{id_}":
            return None
        shown = {**stripe.records["subscriptions"][id_], "discounts": [{"id": "di_1", "source": {"coupon": coupon}}]}
        error = {"error": {"message": "This property cannot be expanded.", "type": "invalid_request_error"}}
        return json_response(shown) if readable else json_response(error, 400)

    stripe.app.before_request(one_subscription)
    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)

    worths = [row["value"] for row in sqlite_store.rows("select value from attributes where name = 'mrr'")]
    assert worths == (["9.5"] if readable else [])
    assert now_open(sqlite_store, id_)["subscription"] == 1


def test_a_check_says_what_the_key_may_read(stripe: PretendStripe, http: Http) -> None:
    assert INTEGRATION.check is not None
    assert list(INTEGRATION.check(http, SETTINGS)) == [
        "Connected to Stripe with a test key",
        "Customers, subscriptions, invoices, charges and events can be read",
    ]
    stripe.key = "rk_test_another"
    with pytest.raises(Reconnect, match="401"):
        list(INTEGRATION.check(http, SETTINGS))


# -- what must not happen ---------------------------------------------------------------------------------------------


def test_a_test_key_that_meets_live_data_reads_nothing_of_it(clock: VirtualClock, sqlite_store: Store) -> None:
    server = PretendStripe(clock, key="rk_live_sandbox")
    server.start()
    server.key = KEY  # as if the vendor had mixed them up
    server.add_customer("Ada", "ada@example.com")
    connection = connect(SETTINGS.model_copy(update={"base_url": server.base_url}), clock)
    try:
        [reason, *_] = pull_all(sqlite_store, connection)
        assert reason.startswith("Stripe answers a test key with live data (cus_")
        assert sqlite_store.value("select count(*) from deliveries where stream = 'customers'") == 0
        with pytest.raises(GiveUp, match="live data"):
            list(INTEGRATION.check(connection, SETTINGS) if INTEGRATION.check else [])
    finally:
        connection.close()
        server.stop()


@pytest.mark.parametrize(("mode", "key"), [(True, SETTINGS), (False, LIVE)], ids=["live under test", "test under live"])
def test_an_event_of_the_other_mode_is_accepted_and_makes_no_facts(mode: bool, key: StripeSettings) -> None:
    one = {**event("customer.subscription.deleted", gone(livemode=mode)), "livemode": mode}
    body = json.dumps(one).encode()

    assert verify(sign(body, START), key, START).external_id == "evt_1"
    parsed = parse(Delivery("dlv_1", "stripe", "webhook", "evt_1", body.decode(), START), key)
    assert not parsed.sightings
    assert "makes no facts" in parsed.refused[0][1]
    for only in ({**one, "data": {"object": gone()}}, {**one, "livemode": not mode}):
        half = parse(Delivery("dlv_1", "stripe", "webhook", "evt_1", json.dumps(only), START), key)
        assert not half.sightings


def test_one_record_that_cannot_be_read_does_not_take_its_page_with_it() -> None:
    good = {"id": "ch_1", "object": "charge", "customer": "cus_1", "created": START, "status": "failed"}
    for bad in (
        None,
        7,
        {"object": "charge"},
        {**good, "created": "yesterday"},
        {**good, "customer": None},
        {**good, "created": None},
    ):
        parsed = said({"object": "list", "data": [bad, good]}, "charges")
        assert [fact.kind for fact in facts(parsed)] == ["payment_failed"]
        assert len(parsed.refused) + len(parsed.unknown) == 1


def test_what_the_key_may_not_read_is_left_out_where_it_can_be_and_named_where_it_cannot(
    stripe: PretendStripe, http: Http, sqlite_store: Store
) -> None:
    forbidden = {"/v1/refunds", "/v1/disputes", "/v1/charges"}

    def not_allowed() -> Response | None:
        if request.path not in forbidden:
            return None
        body = {"error": {"message": "Having the 'rak_charge_read' permission would allow this.", "type": "x"}}
        return json_response(body, 403)

    stripe.app.before_request(not_allowed)
    stripe.add_customer("Ada", "ada@example.com")
    [reason] = pull_all(sqlite_store, http)
    take_in(sqlite_store, stripe.now)

    assert "rak_charge_read" in reason
    assert "give it Read there" in reason
    left_out = sqlite_store.rows("select stream, error from deliveries where error is not null order by stream")
    assert [row["stream"] for row in left_out] == ["disputes", "refunds"]
    assert "rak_charge_read" in left_out[0]["error"]


@pytest.mark.parametrize("fault", ["429_with_retry_after", "429_bare", "500", "html", "half_body"])
def test_a_vendor_that_stumbles_is_asked_again(
    fault: str, stripe: PretendStripe, http: Http, sqlite_store: Store
) -> None:
    stripe.add_customer("Ada", "ada@example.com")
    stripe.faults.planned += [fault] * 2

    assert pull_all(sqlite_store, http) == []
    take_in(sqlite_store, stripe.now)
    assert sqlite_store.value("select count(*) from customers") == 1


# -- laws -------------------------------------------------------------------------------------------------------------

EXAMPLES = itertools.count(1)

ACTS = st.lists(
    st.tuples(st.sampled_from(["bill", "refuse", "retry", "refuse again", "plan to leave", "stay", "finish", "leave",
                               "write off", "change plan"]), st.integers(61, 5 * DAY)),
    min_size=1, max_size=12,
)  # fmt: skip


def live_through(stripe: PretendStripe, acts: list[tuple[str, int]]) -> str:
    """One subscription's story; what is impossible at that point is left out. Gives the subscription's id."""
    stripe._made = next(EXAMPLES) * 1000  # ids that no other example has
    customer = stripe.add_customer("Ada", f"ada{stripe._made}@example.com")
    sub = stripe.subscribe(customer, "Basic", 1900, "eur")
    does: dict[str, Callable[[str], Any]] = {
        "bill": lambda _: stripe.bill(sub),
        "refuse": lambda _: stripe.bill(sub, decline="card_declined"),
        "retry": stripe.retry_payment,
        "refuse again": lambda invoice: stripe.retry_payment(invoice, decline="card_declined"),
        "plan to leave": lambda _: stripe.cancel(sub, at_period_end=True),
        "stay": lambda _: stripe.keep(sub),
        "finish": lambda _: stripe.finish(sub),
        "leave": lambda _: stripe.cancel(sub),
        "write off": lambda _: stripe.cancel(sub, "payment_failed"),
        "change plan": lambda _: stripe.change_plan(sub, f"Plan {stripe.now}", stripe.now % 7000),
    }
    for act, wait in acts:
        stripe.clock.sleep(wait)
        unpaid = [one["id"] for one in stripe.records["invoices"].values() if one["status"] == "open"]
        present = stripe.records["subscriptions"][sub]
        over = present["status"] == "canceled"
        if (
            (act in {"retry", "refuse again"} and not unpaid)
            or (act not in {"retry", "refuse again"} and over)
            or (act == "finish" and present["cancel_at"] is None)
        ):
            continue
        does[act](unpaid[-1] if unpaid else "")
    return sub


def _tells_no_refusal(about: Object, final: dict[str, Object]) -> bool:
    last = final[about["id"]]["data"]["object"]
    return bool(last["status"] == "open" and last["attempt_count"] == 1 and last["next_payment_attempt"] is None)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, seed=st.integers(0, 10**6))
def test_what_is_open_now_is_right_in_any_order_with_repeats_and_gaps(
    acts: list[tuple[str, int]], seed: int, sqlite_store: Store
) -> None:
    stripe, dice = PretendStripe(VirtualClock(START), key=KEY), random.Random(seed)
    sub = live_through(stripe, acts)
    events = list(stripe.records["events"].values())
    final = {one["data"]["object"]["id"]: one for one in events}
    # Tried once, and no further try planned: the invoice looks like a bank debit under way, so the refusal must be heard.
    final |= {
        f"refusal of {about['id']}": one
        for one in events
        if one["type"] == "invoice.payment_failed" and _tells_no_refusal(about := one["data"]["object"], final)
    }
    some = [one for one in events if dice.random() < 0.5]
    deliveries = [*final.values(), *some, *dice.sample(some, len(some) // 2)]
    dice.shuffle(deliveries)
    hear(sqlite_store, deliveries, stripe.now)
    take_in(sqlite_store, stripe.now)

    about = stripe.records["subscriptions"][sub]
    over = about["status"] == "canceled"
    assert now_open(sqlite_store, sub) == {
        "subscription": 0 if over else 1,
        "cancellation_planned": 1 if about["cancel_at_period_end"] and not over else 0,
    }
    for invoice in stripe.records["invoices"].values():
        owed = invoice["status"] == "open" and invoice["attempt_count"] > 0
        assert now_open(sqlite_store, invoice["id"]).get("unpaid_invoice", 0) == int(owed)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS, seed=st.integers(0, 10**6))
def test_how_often_a_customer_planned_to_leave_is_remembered_after_it_was_taken_back(
    acts: list[tuple[str, int]], seed: int, sqlite_store: Store
) -> None:
    stripe, dice = PretendStripe(VirtualClock(START), key=KEY), random.Random(seed)
    # A plan that gives way to an end on the spot is dated by that end alone: Stripe overwrites when it was asked for.
    sub = live_through(stripe, [one for one in acts if one[0] not in {"leave", "write off"}])
    events = list(stripe.records["events"].values())
    hear(sqlite_store, dice.sample(events, len(events)), stripe.now)
    take_in(sqlite_store, stripe.now)

    steps: dict[int, int] = {}
    standing = False
    for one in events:
        about = one["data"]["object"]
        if about["id"] != sub:
            continue
        stands = bool(about["cancel_at_period_end"]) and about["status"] != "canceled"
        if stands is not standing:
            steps[one["created"]] = steps.get(one["created"], 0) + (1 if stands else -1)
            standing = stands
    made: dict[int, int] = {}
    for kind, _, at, value, source_id in known(sqlite_store):
        if kind == "cancellation_planned" and source_id.startswith(sub) and value:
            made[at] = made.get(at, 0) + value // MILLION
    assert {at: n for at, n in made.items() if n} == {at: n for at, n in steps.items() if n}
