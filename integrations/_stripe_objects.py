"""What one Stripe object proves: from a snapshot to facts. Pure, and the same for a webhook, a list and the feed.

Snapshots come in any order, twice, or not at all, so no fact says "this just happened". Each says what the object
itself proves, under a `source_id` of object and transition, dated by a moment the object carries. Two sorts result:

- **Grow-only.** What cannot be undone has one content for ever: a charge went through, a dispute was opened. A thing
  that has ended always gives its beginning as well, so a -1 never comes without its +1.
- **Newest wins.** What can flip back and leaves no trace (a planned cancellation, an unpaid subscription) has one fact
  that every snapshot states: 1 or -1 while it holds, 0 while it does not. The store keeps the word of the newest
  sighting, so the sum is that of the newest snapshot in whatever order they came. A 0 of an open kind says nothing
  about history and only stands in the way of older news. Where an event tells the former value, the stretch that is
  over is kept as a pair of its own (+1, -1), which no later snapshot touches and which adds nothing to "now".

One owner for each kind, so that nothing counts twice: since 2025-03-31 a charge no longer names its invoice. Charges
own money that moved (`payment`) and every refused try (`payment_failed`: its moment and the bank's reason, which an
invoice does not carry). Invoices own `unpaid_invoice`. Refunds, disputes, subscriptions and customers own theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from worker.facts import MILLION, Fact
from worker.lib.clock import DAY, HOUR, MINUTE

Object = Mapping[str, Any]
"""One object of Stripe's API, as JSON."""

SOURCE: Final = "stripe"

_PLACES: Final = 6
"""Decimals of a fact's value."""

COUNTED: Final = frozenset({"active", "trialing", "past_due"})
"""States in which a subscription is one; `unpaid` and `paused` are suspensions, from which it may come back."""
NEVER_BEGAN: Final = frozenset({"incomplete", "incomplete_expired"})
CLOSED: Final = frozenset({"won", "lost", "warning_closed", "prevented", "charge_refunded"})
"""States in which a dispute is decided."""
GIVEN_BACK_NOT: Final = frozenset({"failed", "canceled"})
"""States in which a refund did not reach the customer."""

SLOWEST_DEBIT: Final = 15 * DAY
"""A bank debit (SEPA, ACH) stays "open, one try" until the bank has answered; no scheme takes longer than this."""
SWITCH_WITHIN: Final = 7 * DAY
"""How soon after one subscription ended another must begin to be its replacement."""

_NO_DECIMALS: Final = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
_THREE_DECIMALS: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
"""docs.stripe.com/currencies. ISK and UGX are written with two decimals although they have none."""


# -- reading ----------------------------------------------------------------------------------------------------------


def reference(value: Any) -> str:
    """The id of an object that is named by its id or expanded in place; "" for none."""
    found = value.get("id") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else ""


def moment(about: Object, name: str) -> int | None:
    """A moment of an object, None where it has none. Raises ValueError for what is no whole number of seconds."""
    value = about.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**40:
        raise ValueError(f"{name} is {value!r:.40}, not epoch seconds")
    return value


def created(about: Object) -> int:
    """When an object was made. Raises ValueError without it."""
    at = moment(about, "created")
    if at is None:
        raise ValueError("it does not say when it was created")
    return at


def currency(about: Object) -> str:
    """The ISO 4217 code as people write it: `EUR`; "" for none."""
    return str(about.get("currency") or "").upper()


def digits(code: str) -> int:
    """How many decimals Stripe's whole-number amounts have in this currency."""
    return 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2


def whole_units(about: Object, name: str) -> int:
    """An amount as a fact's value: millionths of whole units of the currency. Raises ValueError for no amount."""
    minor = about.get(name)
    if not isinstance(minor, int) or isinstance(minor, bool):
        raise ValueError(f"{name} is {minor!r:.40}, not an amount")
    return minor * int(10 ** (_PLACES - digits(currency(about))))


def items(subscription: Object) -> Sequence[Object]:
    """The subscription's items."""
    found = (subscription.get("items") or {}).get("data") or []
    return [item for item in found if isinstance(item, Mapping)]


def _fact(
    kind: str, about: Object, transition: str, at: int, value: int = MILLION, label: str = "", *, more: str = ""
) -> Fact:
    suffix = f":{more}" if more else ""
    return Fact(kind, at, SOURCE, f"{about['id']}:{transition}{suffix}", value, label)


# -- money ------------------------------------------------------------------------------------------------------------


def charge_facts(charge: Object) -> list[Fact]:
    """A payment that arrived, or a try that was refused; a charge that is pending or not captured is neither yet."""
    at, status = created(charge), charge.get("status")
    if status == "failed":
        reason = charge.get("failure_code") or (charge.get("outcome") or {}).get("reason") or ""
        return [_fact("payment_failed", charge, "payment_failed", at, label=str(reason))]
    if status == "succeeded" and charge.get("captured", True):
        amount = "amount_captured" if charge.get("amount_captured") is not None else "amount"
        return [_fact("payment", charge, "payment", at, whole_units(charge, amount), currency(charge))]
    return []


def refund_facts(refund: Object) -> list[Fact]:
    """Money given back; a refund that failed afterwards is taken out again, under the same date."""
    at, value = created(refund), whole_units(refund, "amount")
    given = [_fact("refund", refund, "refund", at, value, currency(refund))]
    if refund.get("status") in GIVEN_BACK_NOT:
        given.append(_fact("refund", refund, "refund", at, -value, currency(refund), more="returned"))
    return given


def dispute_facts(dispute: Object) -> list[Fact]:
    """An open dispute, and its end.

    Stripe does not say when a dispute was decided. The last movement of money over it is the best there is; where none
    came after its opening, the end bears the opening's date (and becomes known when it becomes known).
    """
    at = created(dispute)
    found = [_fact("open_dispute", dispute, "open_dispute", at, more="opened")]
    if dispute.get("status") in CLOSED:
        moved = [created(one) for one in dispute.get("balance_transactions") or [] if isinstance(one, Mapping)]
        found.append(_fact("open_dispute", dispute, "open_dispute", max([at, *moved]), -MILLION, more="closed"))
    return found


def invoice_facts(invoice: Object, as_of: int, event: str = "") -> list[Fact]:
    """An unpaid invoice, and its end. `event` is the type of the event that carried the snapshot, "" for none.

    One that is charged is unpaid from its finalisation on (the first try follows at once) if a try failed; one that is
    sent, from its due date on. Whether an invoice that was tried once had failed cannot be told once it is settled (it
    may have been paid by hand after a refusal, or a bank debit took its days), and an earlier snapshot may have said
    so. So a settled invoice that was ever tried gives both, beginning and end: nothing to "now", and the same facts
    whether or not somebody looked in between.
    """
    if invoice.get("status") in {"draft", "deleted", None}:
        return []
    moments = invoice.get("status_transitions") or {}
    settled = [
        at for name in ("paid_at", "voided_at", "marked_uncollectible_at") if (at := moment(moments, name)) is not None
    ]
    if invoice["status"] != "open" and not settled:
        settled = [moment(moments, "finalized_at") or created(invoice)]
    end = min(settled, default=None)
    begin = _unpaid_since(invoice, moments, end, as_of, event)
    if begin is None:
        return []
    found = [_fact("unpaid_invoice", invoice, "unpaid_invoice", begin, more="opened")]
    if end is not None:
        found.append(_fact("unpaid_invoice", invoice, "unpaid_invoice", max(begin, end), -MILLION, more="settled"))
    return found


def _unpaid_since(invoice: Object, moments: Object, end: int | None, as_of: int, event: str) -> int | None:
    if invoice.get("collection_method") == "send_invoice":
        due = moment(invoice, "due_date")
        return due if due is not None and due < (as_of if end is None else end) else None
    finalized = moment(moments, "finalized_at") or created(invoice)
    tries = invoice.get("attempt_count") or 0
    if end is not None:
        return finalized if tries else None
    refused = tries > 1 or (tries == 1 and invoice.get("next_payment_attempt") is not None)
    overlong = tries == 1 and as_of > finalized + SLOWEST_DEBIT
    return finalized if refused or overlong or event == "invoice.payment_failed" else None


# -- subscriptions ----------------------------------------------------------------------------------------------------


def started(subscription: Object) -> int:
    """When a subscription began; one that was moved here from elsewhere may have begun before it was created."""
    at = moment(subscription, "start_date")
    return created(subscription) if at is None else at


def ended(subscription: Object) -> int | None:
    """When it ended; None while it has not."""
    if subscription.get("status") != "canceled":
        return None
    found = moment(subscription, "ended_at") or moment(subscription, "canceled_at")
    return started(subscription) if found is None else found


def suspended(subscription: Object) -> int | None:
    """Since when it is unpaid or paused, None where it is not: the beginning of the period in which that is so."""
    if subscription.get("status") in COUNTED | NEVER_BEGAN or ended(subscription) is not None:
        return None
    begins = [moment(one, "current_period_start") for one in (subscription, *items(subscription))]
    return max([started(subscription), *(at for at in begins if at is not None)])


def of_fixed_length(subscription: Object) -> bool:
    """Whether its end was agreed when it was made: that is a term, and no cancellation."""
    asked = moment(subscription, "canceled_at")
    return (
        moment(subscription, "cancel_at") is not None
        and not subscription.get("cancel_at_period_end")
        and (asked is None or asked <= created(subscription) + HOUR)
    )


def planned(subscription: Object) -> int | None:
    """When the cancellation that stands, or stood until the end, was asked for; None where there is none.

    `canceled_at` is when it was asked for, not when it takes effect. An end on the spot overwrites it, so that a plan
    which gave way to one leaves no trace.
    """
    if of_fixed_length(subscription):
        return None
    asked, end = moment(subscription, "canceled_at"), ended(subscription)
    if end is not None:
        return asked if asked is not None and asked + MINUTE < end else None
    if subscription.get("cancel_at_period_end") or moment(subscription, "cancel_at") is not None:
        return started(subscription) if asked is None else asked
    return None


def how_it_ended(subscription: Object) -> str:
    """`failed payment`, `finished` or `by choice`. A dispute is the payer's own doing, hence a choice.

    Events of an old API version carry no `cancellation_details`; they say `by choice` until a pull knows better.
    """
    if (subscription.get("cancellation_details") or {}).get("reason") == "payment_failed":
        return "failed payment"
    term, end = moment(subscription, "cancel_at"), ended(subscription)
    if of_fixed_length(subscription) and term is not None and end is not None and end >= term - DAY:
        return "finished"
    return "by choice"


def subscription_facts(subscription: Object, siblings: Iterable[Object] = ()) -> list[Fact]:
    """An active subscription, its planned cancellation, its end.

    `siblings` are the customer's other subscriptions where they are in view (a pull shows them, a webhook does not).
    One that ended beside another, or was soon followed by one, is a plan switch and no departure.
    """
    if subscription.get("status") in NEVER_BEGAN:
        return []
    begin, end = started(subscription), ended(subscription)
    over = suspended(subscription) if end is None else end
    asked = planned(subscription)
    found = [
        _fact("subscription", subscription, "subscription", begin, more="started"),
        _fact(
            "subscription", subscription, "subscription", begin if over is None else max(begin, over),
            0 if over is None else -MILLION, more="ended",
        ),
        _fact(
            "cancellation_planned", subscription, "cancellation_planned", begin if asked is None else asked,
            0 if asked is None else MILLION,
        ),
    ]  # fmt: skip
    if end is None:
        return found
    if asked is not None:
        found.append(_fact("cancellation_planned", subscription, "cancellation_planned", end, -MILLION, more="over"))
    if any(_replaces(one, subscription, end) for one in siblings):
        found.append(_fact("plan_switched", subscription, "departure", end))
    else:
        found.append(_fact("left", subscription, "departure", end, label=how_it_ended(subscription)))
    return found


def _replaces(other: Object, gone: Object, end: int) -> bool:
    if other.get("id") == gone.get("id") or other.get("status") in NEVER_BEGAN or suspended(other) is not None:
        return False
    until = ended(other)
    return started(other) <= end + SWITCH_WITHIN and (until is None or until > end)


def withdrawn_facts(subscription: Object, before: Object, at: int) -> list[Fact]:
    """A planned cancellation that was taken back, or asked for anew, at `at`: the stretch that is over.

    `before` holds the former values that an event tells. Nothing where the plan stands, or the subscription ended.
    """
    if moment(before, "canceled_at") is None or ended(subscription) is not None:
        return []
    asked = planned({**subscription, **before})
    if asked is None or asked == planned(subscription):
        return []
    name = f"cancellation_planned:{asked}"
    return [
        _fact("cancellation_planned", subscription, name, asked, more="asked"),
        _fact("cancellation_planned", subscription, name, max(asked, at), -MILLION, more="withdrawn"),
    ]
