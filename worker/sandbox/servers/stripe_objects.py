"""Stripe's objects as the API shows them since the release of 2025-03-31 (basil): plain values, made from plain values.

The keys are those of the public fixtures of August 2026 (github.com/stripe/openapi). What that release removed is not
there: a subscription has no period (its items do), an invoice names its subscription in `parent` and has no charge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from worker.lib.clock import DAY

Object = dict[str, Any]
"""One object of the API, as JSON."""

_PERIODS: Final = {"month": 30 * DAY, "year": 365 * DAY}
"""How long an interval lasts here: calendar months would bring nothing but leap days."""

NO_ADDRESS: Final[Object] = {
    "city": None,
    "country": None,
    "line1": None,
    "line2": None,
    "postal_code": None,
    "state": None,
}


@dataclass(frozen=True, slots=True)
class Price:
    """What a plan costs: `amount` in minor units of `currency`, per `interval` (month or year)."""

    nickname: str
    amount: int
    currency: str
    interval: str

    @property
    def seconds(self) -> int:
        """How long one period lasts."""
        return _PERIODS[self.interval]


def customer(id_: str, name: str, email: str, metadata: dict[str, str], created: int, live: bool) -> Object:
    """A customer; `created` in epoch seconds."""
    return {
        "id": id_,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email or None,
        "invoice_prefix": id_[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": f"pm_{id_[4:]}",
            "footer": None,
            "rendering_options": None,
        },
        "livemode": live,
        "metadata": dict(metadata),
        "name": name,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def price(id_: str, of: Price, created: int, live: bool) -> Object:
    """A recurring price per unit."""
    return {
        "id": id_,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": created,
        "currency": of.currency,
        "custom_unit_amount": None,
        "livemode": live,
        "lookup_key": None,
        "metadata": {},
        "nickname": of.nickname,
        "product": f"prod_{id_[6:20]}",
        "recurring": {
            "interval": of.interval,
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": of.amount,
        "unit_amount_decimal": str(of.amount),
    }


def plan(of: Object) -> Object:
    """The older view of a price that items still carry beside it."""
    return {
        "id": of["id"],
        "object": "plan",
        "active": True,
        "amount": of["unit_amount"],
        "amount_decimal": of["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": of["created"],
        "currency": of["currency"],
        "interval": of["recurring"]["interval"],
        "interval_count": 1,
        "livemode": of["livemode"],
        "metadata": {},
        "meter": None,
        "nickname": of["nickname"],
        "product": of["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def subscription_item(id_: str, subscription_id: str, of: Object, start: int, end: int) -> Object:
    """The item that carries price and period."""
    return {
        "id": id_,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": start,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "plan": plan(of),
        "price": of,
        "quantity": 1,
        "subscription": subscription_id,
        "tax_rates": [],
    }


def subscription(id_: str, customer_id: str, item: Object, created: int, ends_at: int | None) -> Object:
    """An active subscription; one with `ends_at` was asked to end then when it was made."""
    return {
        "id": id_,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": created,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"type": "classic"},
        "billing_thresholds": None,
        "cancel_at": ends_at,
        "cancel_at_period_end": False,
        "canceled_at": created if ends_at else None,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "reason": "cancellation_requested" if ends_at else None,
        },
        "collection_method": "charge_automatically",
        "created": created,
        "currency": item["price"]["currency"],
        "customer": customer_id,
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": [item],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={id_}",
        },
        "latest_invoice": None,
        "livemode": item["price"]["livemode"],
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": created,
        "status": "active",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
    }


def invoice_line(id_: str, invoice_id: str, item: Object) -> Object:
    """The one line of an invoice: the period of the subscription's item."""
    of = item["price"]
    return {
        "id": id_,
        "object": "line_item",
        "amount": of["unit_amount"],
        "currency": of["currency"],
        "description": f"1 × {of['nickname']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": of["livemode"],
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": item["current_period_end"], "start": item["current_period_start"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": of["id"], "product": of["product"]},
            "type": "price_details",
            "unit_amount_decimal": of["unit_amount_decimal"],
        },
        "quantity": 1,
        "subtotal": of["unit_amount"],
        "taxes": [],
    }


def invoice(id_: str, line: Object, to: Object, number: int, reason: str, created: int) -> Object:
    """A draft invoice over one line for the customer `to`; `reason` is its billing_reason."""
    amount = line["amount"]
    details = line["parent"]["subscription_item_details"]
    return {
        "id": id_,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "account_tax_ids": None,
        "amount_due": amount,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": amount,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": created,
        "currency": line["currency"],
        "custom_fields": None,
        "customer": to["id"],
        "customer_account": None,
        "customer_address": None,
        "customer_email": to["email"],
        "customer_name": to["name"],
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {"object": "list", "data": [line], "has_more": False, "url": f"/v1/invoices/{id_}/lines"},
        "livemode": line["livemode"],
        "metadata": {},
        "next_payment_attempt": created + 3600,
        "number": f"{to['invoice_prefix']}-{number:04d}",
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": details["subscription"]},
            "type": "subscription_details",
        },
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": created,
        "period_start": created,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "test_clock": None,
        "total": amount,
        "total_discount_amounts": [],
        "total_excluding_tax": amount,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": created,
    }


def charge(id_: str, bill: Object, to: Object, decline: str, created: int) -> Object:
    """A try at an invoice's money; `decline` is the failure code, "" for a payment that went through."""
    paid = not decline
    amount = bill["amount_due"]
    return {
        "id": id_,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": f"txn_{id_[3:]}" if paid else None,
        "billing_details": {
            "address": dict(NO_ADDRESS),
            "email": to["email"],
            "name": to["name"],
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid,
        "created": created,
        "currency": bill["currency"],
        "customer": to["id"],
        "description": "Subscription creation" if bill["billing_reason"] == "subscription_create" else None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline or None,
        "failure_message": None if paid else "Your card was declined.",
        "fraud_details": {},
        "livemode": bill["livemode"],
        "metadata": {},
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None if paid else "try_again_later",
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network" if paid else "declined_by_network",
            "reason": None if paid else decline,
            "seller_message": "Payment complete." if paid else "The bank did not say why it declined.",
            "type": "authorized" if paid else "issuer_declined",
        },
        "paid": paid,
        "payment_intent": f"pi_{bill['id'][3:]}",
        "payment_method": to["invoice_settings"]["default_payment_method"],
        "payment_method_details": {
            "card": {
                "brand": "visa",
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": "US",
                "exp_month": 8,
                "exp_year": 2030,
                "funding": "credit",
                "last4": "4242",
                "network": "visa",
            },
            "type": "card",
        },
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def refund(id_: str, of: Object, amount: int, reason: str, created: int) -> Object:
    """Money given back on a charge."""
    return {
        "id": id_,
        "object": "refund",
        "amount": amount,
        "balance_transaction": f"txn_{id_[3:]}",
        "charge": of["id"],
        "created": created,
        "currency": of["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": of["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def dispute(id_: str, of: Object, reason: str, created: int) -> Object:
    """A charge that its payer disputes; it names the charge and not the customer."""
    return {
        "id": id_,
        "object": "dispute",
        "amount": of["amount"],
        "balance_transactions": [],
        "charge": of["id"],
        "created": created,
        "currency": of["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"customer_communication": None, "uncategorized_text": None},
        "evidence_details": {
            "due_by": created + 14 * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": of["livemode"],
        "metadata": {},
        "payment_intent": of["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def account(id_: str) -> Object:
    """The account the key belongs to."""
    return {
        "id": id_,
        "object": "account",
        "business_profile": {"mcc": None, "name": "Sandbox", "support_email": None, "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": 1_700_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@sandbox.example",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }
