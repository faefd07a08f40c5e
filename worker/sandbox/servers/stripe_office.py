"""Stripe's back office: the records, and what can happen to them. Every act emits the events Stripe would emit."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Final

from worker.lib.clock import DAY, Clock
from worker.sandbox.servers import stripe_objects as objects
from worker.sandbox.servers.base import Faults, Hook, PretendVendor
from worker.sandbox.servers.stripe_objects import Object, Price

API_VERSION: Final = "2026-06-24.dahlia"
"""The version of the pretend account: how its events are rendered."""

RETRY_AFTER_DAYS: Final = (3, 5, 7)
"""When a failed payment is tried again; after the fourth try nothing more comes."""

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint as the account has it; it gets what happens from `created` on."""

    url: str
    secret: str
    types: tuple[str, ...]
    """Event types, or `*`."""
    created: int


def signature(secret: str, body: bytes, at: int) -> str:
    """The value of the Stripe-Signature header: HMAC-SHA256 over `t.body` with the whole secret as key, in hex.

    Source: docs.stripe.com/webhooks/signature, "Verifying signatures manually".
    """
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def wanted(kind: str, types: tuple[str, ...]) -> bool:
    """Whether an event type is among `types`, each a type, a prefix ending in `.*`, or `*`."""
    return any(kind == one or (one.endswith("*") and kind.startswith(one[:-1])) for one in types)


class StripeOffice(PretendVendor):
    """The records of a Stripe account. `at` is when an act happens, epoch seconds; the clock's present if None."""

    name = "stripe"

    def __init__(self, clock: Clock, faults: Faults | None = None, *, key: str = "rk_test_sandbox") -> None:
        """A `key` that begins with rk_live_ makes it a live account; any other a test one."""
        super().__init__(clock, faults)
        self.key = key
        self.live = key.startswith("rk_live_")
        self.records: dict[str, dict[str, Object]] = {
            kind: {}
            for kind in ("customers", "subscriptions", "invoices", "charges", "refunds", "disputes", "events", "prices")
        }
        """By the last part of the list's URL, then by id, in the order they were made."""
        self.charge_of: dict[str, str] = {}
        """Invoice id → id of its latest charge, which the invoice itself no longer tells."""
        self._made = 0
        self._endpoints: list[Endpoint] = []

    # -- webhooks ---------------------------------------------------------------------------------------------------

    def hook_to(self, url: str, secret: str = "whsec_sandbox", types: tuple[str, ...] = ("*",)) -> None:  # noqa: S107  a made-up secret
        """Register a webhook endpoint. It hears of what happens from now on."""
        with self.lock:
            self._endpoints.append(Endpoint(url, secret, types, self.now))

    def _emit(self, kind: str, about: Object, at: int, previous: Object | None = None) -> None:
        listeners = [one for one in self._endpoints if at >= one.created and wanted(kind, one.types)]
        data: Object = {"object": _copy(about)}
        if previous:
            data["previous_attributes"] = _copy(previous)
        event: Object = {
            "id": self._id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": at,
            "data": data,
            "livemode": self.live,
            "pending_webhooks": len(listeners),
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.records["events"][event["id"]] = event
        for endpoint in listeners:
            self.queue_hook(_hook(endpoint, event))

    def _change(self, about: Object, kind: str, at: int, **changes: Any) -> None:
        """Set fields of an object and emit the event that tells their former values."""
        previous = {name: about[name] for name, value in changes.items() if about[name] != value}
        if previous:
            about.update(changes)
            self._emit(kind, about, at, previous)

    def _id(self, prefix: str) -> str:
        """The next id: looks drawn, and is the same in every run."""
        self._made += 1
        number = int.from_bytes(hashlib.sha256(f"{prefix}{self._made}".encode()).digest()[:16], "big")
        text = ""
        for _ in range(14 if prefix == "cus_" else 23):
            number, letter = divmod(number, len(_LETTERS))
            text += _LETTERS[letter]
        return prefix + text if prefix == "cus_" else f"{prefix}1{text}"

    def _at(self, at: int | None) -> int:
        return self.now if at is None else at

    # -- customers --------------------------------------------------------------------------------------------------

    def add_customer(
        self, name: str, email: str, metadata: dict[str, str] | None = None, created: int | None = None
    ) -> str:
        """Take on a customer; gives its id."""
        with self.lock:
            at = self._at(created)
            customer = objects.customer(self._id("cus_"), name, email, metadata or {}, at, self.live)
            self.records["customers"][customer["id"]] = customer
            self._emit("customer.created", customer, at)
            return str(customer["id"])

    def change_email(self, customer_id: str, email: str, at: int | None = None) -> None:
        """Write another address on a customer."""
        with self.lock:
            self._change(self.records["customers"][customer_id], "customer.updated", self._at(at), email=email)

    # -- subscriptions ----------------------------------------------------------------------------------------------

    def subscribe(
        self,
        customer_id: str,
        plan: str,
        amount_minor: int,
        currency: str = "usd",
        interval: str = "month",
        *,
        at: int | None = None,
        ends_at: int | None = None,
    ) -> str:
        """Start a subscription and bill its first period, which is paid; gives its id.

        `interval` is month or year. With `ends_at` it is a plan of fixed length: `finish` it when that moment comes.
        """
        with self.lock:
            at = self._at(at)
            customer = self.records["customers"][customer_id]
            price = self._price(Price(plan, amount_minor, currency, interval), at)
            id_ = self._id("sub_")
            item = objects.subscription_item(self._id("si_"), id_, price, at, at + _length(price))
            subscription = objects.subscription(id_, customer_id, item, at, ends_at)
            self.records["subscriptions"][id_] = subscription
            if customer["currency"] is None:
                customer["currency"] = currency
            self._emit("customer.subscription.created", subscription, at)
            self._invoice(subscription, "subscription_create", "", at)
            return id_

    def bill(self, subscription_id: str, *, decline: str = "", at: int | None = None) -> str:
        """Begin the next period and ask for its money; gives the invoice's id.

        `decline` is the reason the bank refuses (`card_declined`, `insufficient_funds`, `expired_card`), "" for paid.
        """
        with self.lock:
            at = self._at(at)
            subscription = self.records["subscriptions"][subscription_id]
            item = subscription["items"]["data"][0]
            start = item["current_period_end"]
            renewed = {**item, "current_period_start": start, "current_period_end": start + _length(item["price"])}
            self._change(
                subscription, "customer.subscription.updated", at, items={**subscription["items"], "data": [renewed]}
            )
            return self._invoice(subscription, "subscription_cycle", decline, at)

    def change_plan(self, subscription_id: str, plan: str, amount_minor: int, at: int | None = None) -> None:
        """Move a subscription to another price, from its next period on."""
        with self.lock:
            at = self._at(at)
            subscription = self.records["subscriptions"][subscription_id]
            item = subscription["items"]["data"][0]
            recurring = item["price"]["recurring"]["interval"]
            price = self._price(Price(plan, amount_minor, subscription["currency"], recurring), at)
            moved = {**item, "price": price, "plan": objects.plan(price)}
            self._change(
                subscription, "customer.subscription.updated", at, items={**subscription["items"], "data": [moved]}
            )

    def cancel(
        self,
        subscription_id: str,
        reason: str = "cancellation_requested",
        *,
        at_period_end: bool = False,
        feedback: str | None = None,
        comment: str | None = None,
        at: int | None = None,
    ) -> None:
        """End a subscription: now, or at the close of its period (then `finish` it when that comes).

        `reason` is cancellation_requested, or payment_failed (then what it owes becomes uncollectible).
        """
        with self.lock:
            at = self._at(at)
            subscription = self.records["subscriptions"][subscription_id]
            details = {"comment": comment, "feedback": feedback, "reason": reason}
            if at_period_end:
                self._change(
                    subscription,
                    "customer.subscription.updated",
                    at,
                    cancel_at_period_end=True,
                    cancel_at=subscription["items"]["data"][0]["current_period_end"],
                    canceled_at=at,
                    cancellation_details=details,
                )
                return
            subscription["cancellation_details"] = details
            subscription["canceled_at"] = at
            self._end(subscription, at)
            if reason == "payment_failed":
                self._write_off(subscription_id, at)

    def keep(self, subscription_id: str, at: int | None = None) -> None:
        """Take a planned cancellation back."""
        with self.lock:
            self._change(
                self.records["subscriptions"][subscription_id],
                "customer.subscription.updated",
                self._at(at),
                cancel_at_period_end=False,
                cancel_at=None,
                canceled_at=None,
                cancellation_details={"comment": None, "feedback": None, "reason": None},
            )

    def finish(self, subscription_id: str, at: int | None = None) -> None:
        """Let the moment come that a subscription's `cancel_at` names; `canceled_at` stays when it was asked for."""
        with self.lock:
            subscription = self.records["subscriptions"][subscription_id]
            if subscription["cancel_at"] is None:
                raise ValueError(f"{subscription_id} is not set to end; cancel it instead")
            self._end(subscription, self._at(at))

    def _end(self, subscription: Object, at: int) -> None:
        """End it. Stripe stops asking for what is still owed, and leaves the invoice open."""
        subscription.update(status="canceled", ended_at=at)
        self._emit("customer.subscription.deleted", subscription, at)
        for invoice in self._owed(subscription["id"]):
            self._change(invoice, "invoice.updated", at, auto_advance=False, next_payment_attempt=None)

    def _price(self, of: Price, at: int) -> Object:
        for known in self.records["prices"].values():
            terms = (known["nickname"], known["unit_amount"], known["currency"], known["recurring"]["interval"])
            if terms == (of.nickname, of.amount, of.currency, of.interval):
                return known
        price = objects.price(self._id("price_"), of, at, self.live)
        self.records["prices"][price["id"]] = price
        return price

    # -- invoices and charges ---------------------------------------------------------------------------------------

    def _invoice(self, subscription: Object, reason: str, decline: str, at: int) -> str:
        customer = self.records["customers"][subscription["customer"]]
        id_ = self._id("in_")
        line = objects.invoice_line(self._id("il_"), id_, subscription["items"]["data"][0])
        invoice = objects.invoice(id_, line, customer, customer["next_invoice_sequence"], reason, at)
        customer["next_invoice_sequence"] += 1
        self.records["invoices"][id_] = invoice
        subscription["latest_invoice"] = id_
        self._emit("invoice.created", invoice, at)
        invoice.update(status="open", auto_advance=True, effective_at=at)
        invoice["status_transitions"] = {**invoice["status_transitions"], "finalized_at": at}
        invoice["hosted_invoice_url"] = f"https://invoice.stripe.com/i/{id_}"
        self._emit("invoice.finalized", invoice, at)
        self._collect(invoice, decline, at)
        return id_

    def retry_payment(self, invoice_id: str, *, decline: str = "", at: int | None = None) -> None:
        """Try an unpaid invoice again; `decline` as for `bill`. After the fourth refusal no further try is planned."""
        with self.lock:
            invoice = self.records["invoices"][invoice_id]
            if invoice["status"] != "open":
                raise ValueError(f"{invoice_id} is {invoice['status']}; only an open invoice can be tried again")
            self._collect(invoice, decline, self._at(at))

    def _collect(self, invoice: Object, decline: str, at: int) -> None:
        customer = self.records["customers"][invoice["customer"]]
        charge = objects.charge(self._id("ch_"), invoice, customer, decline, at)
        self.records["charges"][charge["id"]] = charge
        self.charge_of[invoice["id"]] = charge["id"]
        tries = invoice["attempt_count"] + 1
        invoice.update(attempt_count=tries, attempted=True)
        self._emit("charge.failed" if decline else "charge.succeeded", charge, at)
        if decline:
            waits = RETRY_AFTER_DAYS[tries - 1 : tries]
            invoice["next_payment_attempt"] = at + waits[0] * DAY if waits else None
            self._emit("invoice.payment_failed", invoice, at)
        else:
            amount = invoice["amount_due"]
            invoice.update(
                status="paid", amount_paid=amount, amount_remaining=0, auto_advance=False, next_payment_attempt=None
            )
            invoice["status_transitions"] = {**invoice["status_transitions"], "paid_at": at}
            self._emit("invoice.paid", invoice, at)
        self._standing(invoice, owing=bool(decline), at=at)

    def _standing(self, invoice: Object, *, owing: bool, at: int) -> None:
        """Bring subscription and customer in line with how the latest payment went."""
        id_ = invoice["parent"]["subscription_details"]["subscription"]
        subscription = self.records["subscriptions"][id_]
        if subscription["status"] != "canceled":
            self._change(subscription, "customer.subscription.updated", at, status="past_due" if owing else "active")
        self._change(self.records["customers"][invoice["customer"]], "customer.updated", at, delinquent=owing)

    def _write_off(self, subscription_id: str, at: int) -> None:
        for invoice in self._owed(subscription_id):
            invoice["status"] = "uncollectible"
            invoice["status_transitions"] = {**invoice["status_transitions"], "marked_uncollectible_at": at}
            self._emit("invoice.marked_uncollectible", invoice, at)

    def _owed(self, subscription_id: str) -> list[Object]:
        return [
            invoice
            for invoice in self.records["invoices"].values()
            if invoice["status"] == "open"
            and invoice["parent"]["subscription_details"]["subscription"] == subscription_id
        ]

    def refund(self, charge_id: str, amount: int | None = None, at: int | None = None) -> str:
        """Give money back, all that is left of the charge if `amount` (minor units) is None; gives the refund's id."""
        with self.lock:
            at = self._at(at)
            charge = self.records["charges"][charge_id]
            left = charge["amount_captured"] - charge["amount_refunded"]
            amount = left if amount is None else amount
            if not 0 < amount <= left:
                raise ValueError(f"{charge_id} has {left} left to refund, not {amount}")
            refund = objects.refund(self._id("re_"), charge, amount, "requested_by_customer", at)
            self.records["refunds"][refund["id"]] = refund
            self._emit("refund.created", refund, at)
            self._change(
                charge,
                "charge.refunded",
                at,
                amount_refunded=charge["amount_refunded"] + amount,
                refunded=amount == left,
            )
            return str(refund["id"])

    def dispute_open(self, charge_id: str, reason: str = "fraudulent", at: int | None = None) -> str:
        """Have the payer dispute a charge; gives the dispute's id."""
        with self.lock:
            at = self._at(at)
            charge = self.records["charges"][charge_id]
            charge["disputed"] = True
            dispute = objects.dispute(self._id("dp_"), charge, reason, at)
            self.records["disputes"][dispute["id"]] = dispute
            self._emit("charge.dispute.created", dispute, at)
            return str(dispute["id"])

    def dispute_close(self, dispute_id: str, *, won: bool, at: int | None = None) -> None:
        """Have the bank decide a dispute."""
        with self.lock:
            dispute = self.records["disputes"][dispute_id]
            self._change(dispute, "charge.dispute.closed", self._at(at), status="won" if won else "lost")


def _length(price: Object) -> int:
    recurring = price["recurring"]["interval"]
    return Price(price["nickname"], price["unit_amount"], price["currency"], recurring).seconds


def _copy(about: Object) -> Object:
    """A deep copy; JSON values only, for which this is several times faster than copy.deepcopy."""
    copied: Object = json.loads(json.dumps(about))
    return copied


def _hook(endpoint: Endpoint, event: Object) -> Hook:
    body = json.dumps(event).encode()

    def build(now: int) -> tuple[bytes, dict[str, str]]:
        signed = signature(endpoint.secret, body, now)
        return body, {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed}

    return Hook(endpoint.url, build)
