"""Stripe: customers, subscriptions, invoices, charges, refunds and disputes; in only.

Documentation: https://docs.stripe.com/api and, for webhooks, https://docs.stripe.com/webhooks

Oddities
- One key belongs to one account and one mode. What is live never becomes facts under a test key, nor the reverse.
- Webhooks come late, twice and in any order, and each holds a snapshot of its time. Facts are therefore drawn from what
  a snapshot proves, by the same functions for webhooks, lists and the feed: `_stripe_objects.py`, which also says how
  sums stay right in any order, and which object owns which fact.
- An event is rendered in the version of the account or the endpoint, whatever version we ask for. Both shapes of an
  invoice are read: since 2025-03-31 (basil) it names neither its charge nor its subscription as before.
- Lists know only when an object was made, not when it changed; the feed of events does: `_stripe_calls.py`.
- Whether a subscription that ended was replaced by another shows only beside the customer's others. A webhook shows
  one: it says `left`, and the next pull, which reads all of the customer's, corrects that to `plan_switched`. Worth
  (`mrr`) and plan come by pull only, for the same reason.
- Refunds and disputes name no customer. By webhook alone they cannot be given to anyone; the pull reads them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from pydantic import Field, field_validator

from integrations._stripe_calls import (
    NotAllowed,
    Reader,
    Stream,
    judge,
    lists,
    read,
    read_by_customer,
    read_with_charge,
)
from integrations._stripe_objects import (
    SOURCE,
    Object,
    charge_facts,
    created,
    currency,
    dispute_facts,
    invoice_facts,
    items,
    planned,
    reference,
    refund_facts,
    subscription_facts,
    withdrawn_facts,
)
from integrations._stripe_worth import direction, mrr, plans, prices, renews_on
from worker.facts import Attribute, Delivery, Fact, Identity, Parsed, Person, Sighting
from worker.integration import Incoming, Integration, Page, Pull, Receipt, Refused, SecretStr, Settings
from worker.lib.clock import Clock
from worker.lib.http import Http
from worker.lib.signing import fresh, signature_matches
from worker.lib.strict_json import read_json

# -- settings ---------------------------------------------------------------------------------------------------------


class StripeSettings(Settings):
    """How one Stripe account is reached."""

    key: SecretStr = Field(
        description="A restricted key (rk_live_…) that may read customers, subscriptions, invoices, charges and events; "
        "also refunds and disputes, if those are to count."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="The signing secret of the webhook endpoint (whsec_…)."
    )
    webhook_secret_old: SecretStr | None = Field(
        default=None, description="The one before, still accepted while Stripe rolls the secret (up to 24 hours)."
    )
    keap_id_in: str = Field(
        default="keap_id", description="The metadata key on Stripe's customers that holds the Keap contact's id."
    )
    base_url: str = Field(default="https://api.stripe.com", description="Where Stripe's API is.")
    version: str = Field(default="2026-06-24.dahlia", description="The version of Stripe's API that is asked for.")

    @field_validator("key")
    @classmethod
    def _has_a_mode(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().startswith(("rk_live_", "rk_test_", "sk_live_", "sk_test_")):
            raise ValueError("a secret or restricted key begins with rk_live_, rk_test_, sk_live_ or sk_test_")
        return key

    @property
    def live(self) -> bool:
        """Whether the key is one for real money."""
        return self.key.get_secret_value()[3:].startswith("live_")

    @property
    def secrets(self) -> list[str]:
        """The signing secrets that are accepted now."""
        return [one.get_secret_value() for one in (self.webhook_secret, self.webhook_secret_old) if one is not None]


def connect(settings: StripeSettings, clock: Clock) -> Http:
    """Stripe's connection: well below 100 reads a second of a live account, and 25 of a test one."""
    return Http(
        "Stripe",
        settings.base_url,
        clock,
        headers={"Authorization": f"Bearer {settings.key.get_secret_value()}", "Stripe-Version": settings.version},
        per_second=20 if settings.live else 10,
        burst=10,
        judge=lambda reply: judge(reply, clock.now()),
    )


# -- what Stripe's events mean ----------------------------------------------------------------------------------------

EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "customer": ("customer.created", "customer.updated", "customer.deleted"),
    "subscription": (
        "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted",
        "customer.subscription.paused", "customer.subscription.resumed", "customer.subscription.trial_will_end",
        "customer.subscription.pending_update_applied", "customer.subscription.pending_update_expired",
    ),
    "invoice": (
        "invoice.created", "invoice.finalized", "invoice.updated", "invoice.sent", "invoice.will_be_due",
        "invoice.overdue", "invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed",
        "invoice.payment_action_required", "invoice.marked_uncollectible", "invoice.voided", "invoice.deleted",
    ),
    "charge": (
        "charge.succeeded", "charge.failed", "charge.pending", "charge.captured", "charge.expired", "charge.updated",
        "charge.refunded",
    ),
    "refund": ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"),
    "dispute": (
        "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    ),
}  # fmt: skip
"""The object that an event holds a snapshot of -> the events that do. Every other event is kept and counted."""

OBJECT_OF: Final = {event: kind for kind, events in EVENTS.items() for event in events}

URGENT: Final = frozenset(
    {"invoice.payment_failed", "charge.failed", "customer.subscription.deleted", "charge.dispute.created"}
)
"""Assessed at once; so is an update that sets a subscription to end."""


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: StripeSettings, now: int) -> Receipt:
    """Believe an event by its Stripe-Signature: HMAC-SHA256 over `t.body`, any `v1`, five minutes either way.

    https://docs.stripe.com/webhooks/signature, "Verify webhook signatures manually".
    """
    if not settings.secrets:
        raise Refused(401, "Stripe's webhooks are not set up here; set webhook_secret first.", "unsigned")
    parts = [part.partition("=")[::2] for part in incoming.headers.get("stripe-signature", "").split(",")]
    stamp = next((value for name, value in parts if name.strip() == "t"), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        raise Refused(401, "Stripe-Signature is missing or names no moment.", "unsigned")
    offered = [value for name, value in parts if name.strip() == "v1"]
    if not signature_matches(settings.secrets, f"{stamp}.".encode() + incoming.body, offered):
        raise Refused(401, "Stripe-Signature does not match; is webhook_secret this endpoint's?", "forged")
    if not fresh(int(stamp), now):
        raise Refused(401, "Stripe-Signature is more than five minutes off; is the clock right?", "stale")
    event = read_json(incoming.body)
    if not isinstance(event, dict) or event.get("object") != "event" or not reference(event):
        raise Refused(400, "This is no event of Stripe's (the thin events of its version 2 are not read).", "no_event")
    return Receipt(event["id"], incoming.body.decode(), urgent=_is_urgent(event))


def _is_urgent(event: Mapping[str, Any]) -> bool:
    if event.get("type") != "customer.subscription.updated":
        return event.get("type") in URGENT
    data = event.get("data")
    before = data.get("previous_attributes") if isinstance(data, dict) else None
    if not isinstance(before, dict) or not before.keys() & {"cancel_at_period_end", "cancel_at", "canceled_at"}:
        return False
    try:
        return planned(data["object"]) is not None  # type: ignore[index]  # a dict, or it would have no `before`
    except (ValueError, TypeError, KeyError, AttributeError):
        return False  # the parse will say what is wrong with it


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: StripeSettings) -> Parsed:
    """What an event, a page of a list, or an object read by its id says. Raises ValueError for no known shape."""
    body = json.loads(delivery.body)
    if not isinstance(body, dict):
        raise ValueError("a delivery of Stripe's is a JSON object")
    as_of = body.get("as_of", delivery.received_at)
    records = body.get("data") if body.get("object") == "list" else [body]
    if not isinstance(records, list):
        raise ValueError("a list of Stripe's without data")
    parts = [_attempt(record, as_of, settings) for record in _one_by_one(records)]
    parts += [_attempt(theirs, as_of, settings) for theirs in _by_customer(records)]
    if body.get("not_allowed"):
        parts.append(Parsed(refused=((delivery.stream, str(body["not_allowed"])),)))
    return Parsed(
        tuple(one for part in parts for one in part.sightings),
        tuple(one for part in parts for one in part.unknown),
        tuple(one for part in parts for one in part.refused),
    )


def _is_subscription(record: Any) -> bool:
    return isinstance(record, dict) and record.get("object") == "subscription"


def _one_by_one(records: list[Any]) -> list[Any]:
    return [record for record in records if not _is_subscription(record)]


def _by_customer(records: list[Any]) -> Iterable[list[Any]]:
    """A page's subscriptions, all of a customer's together."""
    found: dict[str, list[Any]] = {}
    for record in records:
        if _is_subscription(record):
            found.setdefault(reference(record.get("customer")), []).append(record)
    return found.values()


def _attempt(record: Any, as_of: int, settings: StripeSettings) -> Parsed:
    """Read one record, so that one that cannot be read does not take its neighbours with it."""
    named = record[0] if isinstance(record, list) else record
    try:
        if isinstance(record, list):
            return _their_subscriptions(record, as_of, settings)
        return _event(record, settings) if record.get("object") == "event" else _object(record, as_of, settings)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ZeroDivisionError) as error:
        why = str(error) if isinstance(error, ValueError) else f"is not as Stripe documents it ({error!r:.80})"
        return Parsed(refused=((reference(named) or "?", why),))


def _event(event: Object, settings: StripeSettings) -> Parsed:
    kind, about = str(event.get("type")), (event.get("data") or {}).get("object") or {}
    if refusal := _of_the_other_mode(event, settings):
        return refusal
    if kind not in OBJECT_OF:
        return Parsed(unknown=(kind,))
    if refusal := _of_the_other_mode(about, settings):
        return refusal
    before = event["data"].get("previous_attributes") or {}
    return _said(about, OBJECT_OF[kind], created(event), settings, kind, before)


def _object(record: Object, as_of: int, settings: StripeSettings) -> Parsed:
    kind = str(record.get("object"))
    if refusal := _of_the_other_mode(record, settings):
        return refusal
    return _said(record, kind, as_of, settings) if kind in EVENTS else Parsed(unknown=(kind,))


def _of_the_other_mode(record: Object, settings: StripeSettings) -> Parsed | None:
    """The refusal of what is live under a test key, or the reverse. Some objects do not tell their mode."""
    if record.get("livemode", settings.live) in {settings.live, None}:
        return None
    mine, theirs = ("live", "test") if settings.live else ("test", "live")
    return Parsed(refused=((reference(record), f"is {theirs} data under a {mine} key, and makes no facts"),))


def _said(
    about: Object, kind: str, at: int, settings: StripeSettings, event: str = "", before: Object | None = None
) -> Parsed:
    """What a snapshot of one object says, as of `at`; `event` and `before` are what an event adds to it."""
    if kind == "customer":
        return Parsed((_customer(about, at, settings, gone=event == "customer.deleted"),))
    charge = about.get("charge")
    owner = reference(about.get("customer")) or (reference(charge.get("customer")) if isinstance(charge, dict) else "")
    if not owner:
        return Parsed(refused=((reference(about), f"this {kind} names no customer"),))
    facts = _facts(about, kind, at, event, before or {})
    return Parsed((Sighting(at, (Identity(SOURCE, owner),), facts=tuple(facts)),))


def _facts(about: Object, kind: str, at: int, event: str, before: Object) -> list[Fact]:
    if kind == "charge":
        inside = (about.get("refunds") or {}).get("data") or []  # versions before 2022-11-15 list them there
        return charge_facts(about) + [fact for refund in inside for fact in refund_facts(refund)]
    if kind == "invoice":
        return invoice_facts(about, at, event)
    if kind == "refund":
        return refund_facts(about)
    if kind == "dispute":
        return dispute_facts(about)
    return subscription_facts(about) + withdrawn_facts(about, before, at) + _plan_change(about, before, at)


def _plan_change(subscription: Object, before: Object, at: int) -> list[Fact]:
    """Another price on the same subscription; seats and periods alone are no change of plan."""
    former = items({"items": before["items"]}) if before.get("items") else []
    if not former and before.get("plan"):
        former = [{"plan": before["plan"], "quantity": before.get("quantity", subscription.get("quantity"))}]
    present = items(subscription)
    if not former or prices(former) == prices(present):
        return []
    name = f"{subscription['id']}:plan_changed:{at}"
    return [Fact("plan_changed", at, SOURCE, name, label=direction(former, present))]


def _customer(about: Object, at: int, settings: StripeSettings, *, gone: bool) -> Sighting:
    owner, email, name = reference(about), str(about.get("email") or ""), str(about.get("name") or "")
    identity = Identity(SOURCE, owner)
    if not owner:
        raise ValueError("a customer without id")
    if gone or about.get("deleted"):
        return Sighting(at, (identity,), gone=True)
    keap_id = str((about.get("metadata") or {}).get(settings.keap_id_in) or "").strip()
    return Sighting(
        at=at,
        identities=(identity, *((Identity("keap", keap_id),) if keap_id else ())),
        name=name,
        people=(Person(email, name, "billing"),) if email else (),
        attributes=(Attribute("currency", currency(about), at),) if about.get("currency") else (),
        facts=(Fact("joined", created(about), SOURCE, f"{owner}:joined"),),
    )


def _their_subscriptions(theirs: list[Object], at: int, settings: StripeSettings) -> Parsed:
    """All subscriptions of one customer: what each proves beside the others, and what they are worth together."""
    for one in theirs:
        if refusal := _of_the_other_mode(one, settings):
            return refusal
    owner = reference(theirs[0].get("customer"))
    if not owner:
        return Parsed(refused=((reference(theirs[0]), "this subscription names no customer"),))
    facts = [fact for one in theirs for fact in subscription_facts(one, theirs)]
    described = {"plan": plans(theirs), **_worth(theirs)}
    attributes = tuple(Attribute(name, value, at) for name, value in described.items() if value)
    attributes += (Attribute("renews_on", renews_on(theirs), at),)  # "" too: a renewal may be off
    return Parsed((Sighting(at, (Identity(SOURCE, owner),), attributes=attributes, facts=tuple(facts)),))


def _worth(theirs: list[Object]) -> dict[str, str]:
    """`mrr` in the customer's one currency; with several, `mrr_eur` and so on: sums across would be nonsense."""
    worth = mrr(theirs)
    if worth is None:
        return {}
    if len(worth) <= 1:
        return {"mrr": next(iter(worth.values()), "0")}
    return {f"mrr_{code.lower()}": amount for code, amount in worth.items()}


# -- pulls ------------------------------------------------------------------------------------------------------------


def _pull(reader: Reader, name: str, kind: str, *feeds: str) -> Pull:
    stream = Stream(name, EVENTS[kind])
    return Pull(name, partial(_fetch, reader, stream), feeds)


def _fetch(
    reader: Reader, stream: Stream, http: Http, settings: StripeSettings, cursor: str | None, now: int
) -> Iterator[Page]:
    return reader(stream, http, settings.live, cursor, now)


PULLS: Final = (
    _pull(read, "customers", "customer", "joined"),
    _pull(
        read_by_customer, "subscriptions", "subscription",
        "subscription", "cancellation_planned", "plan_changed", "left", "plan_switched",
    ),
    _pull(read, "invoices", "invoice", "unpaid_invoice"),
    _pull(read, "charges", "charge", "payment", "payment_failed"),
    _pull(read_with_charge, "refunds", "refund", "refund"),
    _pull(read_with_charge, "disputes", "dispute", "open_dispute"),
)  # fmt: skip


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: StripeSettings) -> Iterable[str]:
    """What the key may read. Raises Reconnect where that is not enough."""
    yield f"Connected to Stripe with a {'live' if settings.live else 'test'} key"
    for path in ("customers", "subscriptions", "invoices", "charges", "events"):
        next(lists(http, f"/v1/{path}", settings.live, limit=1))
    yield "Customers, subscriptions, invoices, charges and events can be read"
    for path in ("refunds", "disputes"):
        try:
            next(lists(http, f"/v1/{path}", settings.live, limit=1))
        except NotAllowed:
            yield f"The key may not read {path}; they will not count"
    if not settings.secrets:
        yield "No webhook_secret is set, so failed payments are heard of with the next pull only"


INTEGRATION = Integration(
    name=SOURCE,
    title="Stripe",
    does="customers, subscriptions, payments and how it ended, in",
    settings=StripeSettings,
    docs="https://docs.stripe.com/api",
    connect=connect,
    verify=verify,
    parse=parse,
    pulls=PULLS,
    check=check,
)
