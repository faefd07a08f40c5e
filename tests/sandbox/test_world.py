"""The sandbox world: the same each time, untidy, and with a truth that shows in what the vendors know."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import pytest

from tests.conftest import START
from tests.sandbox.receiver import listening
from worker.facts import KINDS
from worker.intake.events import Event
from worker.lib.clock import DAY, HOUR, VirtualClock, from_iso, iso
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.keap_tasks import KeapTask
from worker.sandbox.servers.stripe import PretendStripe
from worker.sandbox.servers.zendesk import PretendZendesk
from worker.sandbox.world import Servers, World

WEEKS = 12


@dataclass
class Life:
    """A world that has lived, and what its product told."""

    world: World
    servers: Servers
    clock: VirtualClock
    past: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


def a_world(customers: int, seed: int) -> Life:
    clock = VirtualClock(START)
    servers = Servers(PretendKeap(clock), PretendStripe(clock), PretendZendesk(clock))
    world = World(servers, clock, customers=customers, seed=seed)
    world.populate()
    return Life(world, servers, clock, list(world.past_events()))


def live(life: Life, days: int) -> Life:
    for day in range(1, days + 1):
        life.clock.move_to(START + day * DAY)
        life.told += life.world.live_until(START + day * DAY)
    return life


@pytest.fixture(scope="module")
def beginning() -> Life:
    return a_world(200, 7)


@pytest.fixture(scope="module")
def twelve_weeks() -> Life:
    return live(a_world(200, 7), WEEKS * 7)


# -- sameness ------------------------------------------------------------------------------------------------------


def everything(life: Life) -> str:
    keap, stripe, zendesk = life.servers.keap, life.servers.stripe, life.servers.zendesk
    records = [keap.contacts, keap.mails, keap.audit, stripe.records, zendesk.users, zendesk.tickets]
    return json.dumps([life.past, life.told, *(repr(one) for one in records)])


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    one, same, other = (everything(live(a_world(24, seed), 7)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


# -- product events ------------------------------------------------------------------------------------------------


def test_product_events_are_such_as_our_door_takes(twelve_weeks: Life) -> None:
    every = twelve_weeks.past + twelve_weeks.told
    for event in every[::9]:
        Event.model_validate(event)
    assert {event["kind"] for event in every} == {
        "usage", "empty_search", "error_met", "help_asked_again", "nps_answer", "custom.champion_left",
        "custom.beta_interest",
    }  # fmt: skip
    assert {event["kind"] for event in every if not event["kind"].startswith("custom.")} <= set(KINDS)
    assert len({event["event_id"] for event in every}) == len(every)
    assert all(0 <= event["value"] <= 10 for event in every if event["kind"] == "nps_answer")


def test_usage_is_told_once_a_day_for_each_customer_and_feature(twelve_weeks: Life) -> None:
    seen = Counter(
        (event.get("email", event.get("customer")), event["label"], from_iso(event["at"]) // DAY)
        for event in twelve_weeks.told
        if event["kind"] == "usage"
    )
    assert set(seen.values()) == {1}


def test_the_past_lies_before_the_start_and_what_is_lived_after_what_was_lived_before(twelve_weeks: Life) -> None:
    past = [from_iso(event["at"]) for event in twelve_weeks.past]
    assert START - 90 * DAY <= min(past) < START - 85 * DAY
    assert max(past) < START

    life = a_world(30, 3)
    begin, stripe = START, life.servers.stripe
    for moment in (START + DAY + 10 * HOUR, START + 2 * DAY + 10 * HOUR, START + 20 * DAY):
        heard = len(stripe.records["events"])
        life.clock.move_to(moment)
        times = [from_iso(event["at"]) for event in life.world.live_until(moment)]
        assert begin <= min(times) <= max(times) < moment
        created = [event["created"] for event in list(stripe.records["events"].values())[heard:]]
        assert all(begin <= at < moment for at in created)
        begin = moment


def test_people_work_on_weekdays(twelve_weeks: Life) -> None:
    days = Counter((from_iso(event["at"]) // DAY + 3) % 7 for event in twelve_weeks.told if event["kind"] == "usage")
    assert max(days[5], days[6]) < min(days[day] for day in range(5)) / 3


# -- what the vendors know -----------------------------------------------------------------------------------------


def test_at_the_start_every_system_has_a_past(beginning: Life) -> None:
    servers = beginning.servers
    stripe, zendesk, keap = servers.stripe, servers.zendesk, servers.keap

    def days(times: Iterable[int]) -> set[int]:
        return {(START - at) // DAY for at in times if START - 90 * DAY <= at < START}

    assert len(days(one["created"] for one in stripe.records["invoices"].values())) > 60
    assert len(days(ticket.created for ticket in zendesk.tickets.values())) > 30
    assert len(days(mail.made_at for mail in keap.mails.values())) >= 3
    assert all(event["created"] <= START for event in stripe.records["events"].values())


def test_nothing_is_dated_after_the_clocks_present(twelve_weeks: Life) -> None:
    now = twelve_weeks.clock.now()
    servers = twelve_weeks.servers
    assert all(event["created"] <= now for event in servers.stripe.records["events"].values())
    assert all(ticket.updated <= now for ticket in servers.zendesk.tickets.values())
    assert all(event["at"] <= iso(now) for event in twelve_weeks.told)


def test_webhooks_tell_of_the_present_and_not_of_the_past() -> None:
    clock = VirtualClock(START)
    stripe, zendesk = PretendStripe(clock), PretendZendesk(clock)
    with listening() as receiver:
        stripe.hook_to(receiver.url)
        zendesk.hook_to(receiver.url)
        world = World(Servers(PretendKeap(clock), stripe, zendesk), clock, customers=60)
        world.populate()
        for vendor in (stripe, zendesk):
            vendor.deliver_hooks()
        assert receiver.got == []

        live(Life(world, world.servers, clock), 10)
        for vendor in (stripe, zendesk):
            vendor.deliver_hooks()
    created = [body["created"] for body in receiver.bodies() if "created" in body]
    assert len(created) > 10
    assert created == sorted(created)
    assert min(created) >= START


def test_all_that_can_happen_to_a_subscription_happens(twelve_weeks: Life) -> None:
    records = twelve_weeks.servers.stripe.records
    happened = {event["type"] for event in records["events"].values() if event["created"] >= START}
    assert happened >= {
        "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
        "invoice.paid", "invoice.payment_failed", "invoice.marked_uncollectible", "charge.refunded",
        "charge.dispute.created", "charge.dispute.closed",
    }  # fmt: skip
    recovered = [one for one in records["invoices"].values() if one["status"] == "paid" and one["attempt_count"] > 1]
    assert recovered
    assert {one["currency"] for one in records["subscriptions"].values()} == {"usd", "eur"}


def test_all_that_can_happen_to_a_ticket_happens(twelve_weeks: Life) -> None:
    tickets = list(twelve_weeks.servers.zendesk.tickets.values())
    assert {ticket.priority for ticket in tickets} == {"urgent", "high", "normal", "low", None}
    assert {ticket.rating.score for ticket in tickets if ticket.rating} == {"good", "bad"}
    assert sum(ticket.reopens for ticket in tickets) > 5
    assert any(ticket.status == "deleted" for ticket in tickets)


# -- untidiness ----------------------------------------------------------------------------------------------------


def test_some_addresses_belong_to_two_companies_and_some_people_are_in_keap_twice(beginning: Life) -> None:
    by_address = defaultdict(list)
    for contact in beginning.servers.keap.contacts.values():
        by_address[contact.email].append(contact.properties.get("company", {}).get("company_name", ""))
    several = [sorted(companies) for companies in by_address.values() if len(companies) > 1]

    shared = [companies for companies in several if all(companies)]
    twice = [companies for companies in several if not all(companies)]
    assert 2 * len(shared) == 0.04 * 200
    assert len(twice) == 0.04 * 200


def test_some_customers_are_in_one_system_only_and_the_links_between_systems_have_gaps(beginning: Life) -> None:
    servers = beginning.servers
    keap, stripe, zendesk = servers.keap, servers.stripe, servers.zendesk
    in_keap = {contact.email for contact in keap.contacts.values()}
    paying = list(stripe.records["customers"].values())
    later = {one.email for one in beginning.world.customers if one.joined > START}

    stripe_only = [one for one in paying if one["email"] not in in_keap]
    keap_only = in_keap - {one["email"] for one in paying} - later
    assert len(stripe_only) == len(keap_only) == 0.05 * 200
    linked = [one["metadata"]["keap_id"] for one in paying if "keap_id" in one["metadata"]]
    assert 0.75 < len(linked) / (len(paying) - len(stripe_only)) < 0.85
    assert set(linked) <= set(keap.contacts)

    named = [user.external_id for user in zendesk.users.values() if user.external_id]
    assert set(named) <= set(keap.contacts)
    assert len(set(named) - set(linked)) > 15
    assert 0.2 < len(named) / len(zendesk.users) < 0.8


def test_some_people_have_opted_out_and_more_do_so_on_the_way(beginning: Life, twelve_weeks: Life) -> None:
    def opted_out(life: Life) -> int:
        return sum(address.status == "LIST_UNSUBSCRIBE" for address in life.servers.keap.addresses.values())

    assert opted_out(beginning) == 0.04 * 200
    assert opted_out(twelve_weeks) == 0.08 * 200


def test_some_addresses_change_and_not_every_system_hears_of_it(twelve_weeks: Life) -> None:
    keap, stripe = twelve_weeks.servers.keap, twelve_weeks.servers.stripe
    moved = [change for change in keap.audit if change.name == "email_addresses"]
    assert len(moved) == 0.03 * 200
    new, old = {change.after for change in moved}, {change.before for change in moved}
    addresses = {one["email"] for one in stripe.records["customers"].values()}
    assert addresses & new
    assert addresses & old


def test_people_go_on_editing_what_is_theirs(twelve_weeks: Life) -> None:
    edits = Counter(
        change.name
        for change in twelve_weeks.servers.keap.audit
        if change.kind in {"field", "tag"} and change.at > START
    )
    assert edits["Account notes"] > 20
    assert edits["Seats"] > 20
    assert edits["VIP"] > 5


def test_a_few_customers_come_while_the_world_lives(twelve_weeks: Life) -> None:
    customers = twelve_weeks.servers.stripe.records["customers"].values()
    assert 1 <= sum(one["created"] > START for one in customers) <= 10


# -- the truth shows -----------------------------------------------------------------------------------------------


def test_declining_customers_use_less_struggle_more_and_leave_more_than_thriving_ones(twelve_weeks: Life) -> None:
    world = twelve_weeks.world
    last_weeks = iso(START + (WEEKS - 3) * 7 * DAY)
    use: Counter[str] = Counter()
    trouble: Counter[str] = Counter()
    for event in twelve_weeks.told:
        who = event.get("email", "")
        if event["kind"] == "usage" and event["at"] >= last_weeks:
            use[who] += event["value"]
        elif event["kind"] in {"empty_search", "error_met", "help_asked_again"}:
            trouble[who] += 1

    def those(*paths: str) -> list[Any]:
        return [one for one in world.customers if one.path.name in paths and one.uses_product]

    declining, thriving = those("declining"), those("growing")
    assert mean(one.health for one in declining) < 0.4 < mean(one.health for one in thriving)
    assert mean(use[one.email] for one in declining) < mean(use[one.email] for one in thriving) / 3
    unwell = those("declining", "unhappy", "stalled")
    well = those("growing", "steady")
    assert mean(trouble[one.email] for one in those("unhappy")) > 2 * mean(trouble[one.email] for one in well)

    def share(customers: list[Any], *how: str) -> float:
        return mean(one.left in how for one in customers)

    assert share(unwell, "by choice") > 5 * share(well, "by choice")
    assert share(unwell, "by choice", "failed payment") > 0.15
    assert share(well, "finished") > 0


def test_unhappy_customers_are_busy_and_say_so(twelve_weeks: Life) -> None:
    unhappy = [one for one in twelve_weeks.world.customers if one.path.name == "unhappy" and one.in_stripe]
    addresses = {one.email for one in unhappy if not one.left}
    late = iso(START + 40 * DAY)
    used = Counter(e.get("email") for e in twelve_weeks.told if e["kind"] == "usage" and e["at"] >= late)
    answers = [
        e["value"]
        for e in twelve_weeks.told
        if e["kind"] == "nps_answer" and e.get("email") in addresses and e["at"] >= late
    ]
    assert mean(used[address] for address in addresses) > 20
    assert mean(answers) <= 6


def test_payments_of_the_unwell_fail_more(twelve_weeks: Life) -> None:
    records = twelve_weeks.servers.stripe.records
    path = {one.stripe_id: one.path.name for one in twelve_weeks.world.customers if one.stripe_id}
    tried: Counter[bool] = Counter()
    failed: Counter[bool] = Counter()
    for charge in records["charges"].values():
        if charge["created"] >= START - 90 * DAY:
            unwell = path[charge["customer"]] in {"declining", "unhappy", "stalled"}
            tried[unwell] += 1
            failed[unwell] += charge["status"] == "failed"
    assert failed[True] / tried[True] > failed[False] / tried[False] > 0


def test_the_vendors_know_who_left_and_how(twelve_weeks: Life) -> None:
    records = twelve_weeks.servers.stripe.records
    for customer in twelve_weeks.world.customers:
        if not customer.stripe_id:
            continue
        living = [
            one
            for one in records["subscriptions"].values()
            if one["customer"] == customer.stripe_id and one["status"] != "canceled"
        ]
        assert bool(living) != bool(customer.left)
        if customer.left == "failed payment":
            reason = records["subscriptions"][customer.subscription_id]["cancellation_details"]["reason"]
            assert reason == "payment_failed"


def test_people_do_most_of_the_tasks_they_are_given_within_days_and_nothing_else_changes() -> None:
    life, without = live(a_world(24, 1), 2), live(a_world(24, 1), 12)
    keap = life.servers.keap
    for number in range(60):
        ours = KeapTask(str(90_000 + number), int(life.clock.now()), "9001", contact_id="101", by_key=keap.key)
        keap.tasks[ours.id] = ours
    theirs = keap.add_task("101", "Water the plants")

    for day in range(3, 13):
        life.clock.move_to(START + day * DAY)
        life.told += life.world.live_until(START + day * DAY)

    waited = [one.completed_at - one.created_at for one in keap.tasks.values() if one.completed_at is not None]
    assert 36 <= len(waited) < 60
    assert DAY <= min(waited) <= max(waited) <= 4 * DAY  # the world is looked at once a day
    assert not keap.tasks[theirs].completed
    assert (life.told, keap.audit) == (without.told, without.servers.keap.audit)
