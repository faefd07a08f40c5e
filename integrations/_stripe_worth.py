"""What a customer's Stripe subscriptions are worth a month, as Stripe itself counts it, and which plans they are.

Stripe's definition of monthly recurring revenue (its glossary): subscriptions that are active or past due, without
tax, trials, metered and free prices, after discounts that last for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

from integrations._stripe_objects import COUNTED, Object, currency, digits, items, reference
from worker.lib.clock import DAY, day_text
from worker.lib.rounding import CONTEXT, half_up, plain

EARNING: Final = frozenset({"active", "past_due"})

_MONTHS: Final = {"day": Fraction(12, 365), "week": Fraction(12, 52), "month": Fraction(1), "year": Fraction(12)}


def price_of(item: Object) -> Object:
    """The item's price; `plan` is how older versions call it. Raises ValueError without either."""
    found = item.get("price") or item.get("plan")
    if not isinstance(found, Mapping):
        raise ValueError("an item has no price")
    return found


def prices(of: Iterable[Object]) -> frozenset[str]:
    """The ids of the items' prices."""
    return frozenset(reference(price_of(item)) for item in of)


def plans(subscriptions: Iterable[Object]) -> str:
    """The plans of what is running, by the names the business gave them, in alphabetical order."""
    running = [one for one in subscriptions if one.get("status") in COUNTED]
    return ", ".join(sorted({_plan_name(price_of(item)) for one in running for item in items(one)}))


def _plan_name(price: Object) -> str:
    product = price.get("product")
    title = product.get("name") if isinstance(product, Mapping) else ""
    return str(price.get("nickname") or title or price.get("lookup_key") or reference(product) or price.get("id"))


def monthly(of: Iterable[Object]) -> Fraction | None:
    """What items bring in a month in minor units, before discounts; None where a price does not say (tiers)."""
    total = Fraction(0)
    for item in of:
        price = price_of(item)
        recurring = price.get("recurring") or price
        if recurring.get("usage_type") == "metered":
            continue
        amount = _amount(price)
        if amount is None:
            return None
        months = _MONTHS[recurring["interval"]] * int(recurring.get("interval_count") or 1)
        total += amount * _quantity(item, price) / months
    return total


def _amount(price: Object) -> Fraction | None:
    for name in ("unit_amount_decimal", "unit_amount", "amount_decimal", "amount"):
        if price.get(name) is not None:
            return Fraction(str(price[name]))
    return None


def _quantity(item: Object, price: Object) -> int:
    quantity = 1 if item.get("quantity") is None else int(item["quantity"])
    pack = price.get("transform_quantity") or price.get("transform_usage")
    if not pack:
        return quantity
    packs = Fraction(quantity, int(pack["divide_by"]))
    return ceil(packs) if pack.get("round") == "up" else floor(packs)


RENEWAL_FROM: Final = Fraction(6)
"""Months a period must have for its end to be a renewal that anybody looks ahead to; a month's is an ordinary bill."""


def renews_on(subscriptions: Iterable[Object]) -> str:
    """The next day (UTC, `2026-03-31`) on which a long period of a running subscription begins anew; "" for none.

    Since 2025-03-31 the end of a period stands on the items, before that on the subscription. What is set to end does
    not renew.
    """
    ends = [
        int(end)
        for one in subscriptions
        if one.get("status") in EARNING and not one.get("cancel_at_period_end") and one.get("cancel_at") is None
        for item in items(one)
        if _period(price_of(item)) >= RENEWAL_FROM
        and (end := item.get("current_period_end") or one.get("current_period_end"))
    ]
    return day_text(min(ends) // DAY) if ends else ""


def _period(price: Object) -> Fraction:
    """Months between two bills; 0 where the price is no recurring one."""
    recurring = price.get("recurring") or price
    return _MONTHS.get(str(recurring.get("interval")), Fraction(0)) * int(recurring.get("interval_count") or 1)


def mrr(subscriptions: Iterable[Object]) -> dict[str, str] | None:
    """Monthly revenue by currency, in whole units as text: `{"EUR": "49"}`; {} where nothing is running.

    None where it cannot be told from what is in view: tiered prices, more items than the first page of them, a discount
    that is only named. An amount that is not known is left out rather than guessed.
    """
    totals: dict[str, Fraction] = {}
    for one in subscriptions:
        if one.get("status") not in EARNING:
            continue
        before = None if (one.get("items") or {}).get("has_more") else monthly(items(one))
        after = None if before is None else _discounted(before, one)
        if after is None:
            return None
        totals[currency(one)] = totals.get(currency(one), Fraction(0)) + after
    return {code: _text(total / 10 ** digits(code)) for code, total in sorted(totals.items()) if code}


def _discounted(amount: Fraction, subscription: Object) -> Fraction | None:
    single = subscription.get("discount")
    for discount in subscription.get("discounts") or ([single] if single else []):
        coupon = _coupon(discount)
        if coupon is None:
            return None
        if coupon.get("duration") != "forever":
            continue
        if coupon.get("percent_off") is not None:
            amount -= amount * Fraction(str(coupon["percent_off"])) / 100
        elif coupon.get("amount_off") is not None:
            amount -= Fraction(str(coupon["amount_off"])) / _months(subscription)
    return max(amount, Fraction(0))


def _coupon(discount: Any) -> Object | None:
    """Since 2025-09-30 the coupon is the discount's source."""
    if not isinstance(discount, Mapping):
        return None
    found = discount.get("coupon") or (discount.get("source") or {}).get("coupon")
    return found if isinstance(found, Mapping) else None


def _months(subscription: Object) -> Fraction:
    """How many months one bill of a subscription is for."""
    return _period(price_of(items(subscription)[0]))


def _text(amount: Fraction) -> str:
    return plain(half_up(CONTEXT.divide(Decimal(amount.numerator), Decimal(amount.denominator)), 2))


def direction(before: Iterable[Object], after: Iterable[Object]) -> str:
    """Whether a change of prices went `up`, `down` or `across` (the same a month, or it cannot be told)."""
    old, new = monthly(before), monthly(after)
    if old is None or new is None or old == new:
        return "across"
    return "up" if new > old else "down"
