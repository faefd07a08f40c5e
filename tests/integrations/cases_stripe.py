"""How Stripe signs: https://docs.stripe.com/webhooks/signature, written out from there."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from pydantic import SecretStr

from integrations.stripe import StripeSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET, OLD_SECRET = "whsec_the-one-that-is-in-use", "whsec_the-one-being-rolled-away"
KEY = "rk_test_sandbox"

SETTINGS = StripeSettings(
    key=SecretStr(KEY), webhook_secret=SecretStr(SECRET), webhook_secret_old=SecretStr(OLD_SECRET)
)


def sign(body: bytes, now: int, secret: str = SECRET) -> Incoming:
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return Incoming({"stripe-signature": f"t={now},v1={digest}"}, body)


def event(number: int, kind: str, about: dict[str, Any], **more: Any) -> bytes:
    told = {"id": f"evt_{number}", "object": "event", "created": 1_767_000_000, "livemode": False, "type": kind}
    return json.dumps({**told, "data": {"object": about}, **more}).encode()


_CUSTOMER = {
    "id": "cus_1",
    "object": "customer",
    "created": 1_766_000_000,
    "email": "ada@example.com",
    "livemode": False,
    "metadata": {},
    "name": "Ada",
}

CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET, OLD_SECRET),
    sign=sign,
    proof=("stripe-signature",),
    known=event(1, "customer.created", _CUSTOMER),
    same_id=event(1, "customer.updated", {**_CUSTOMER, "name": "Ada L."}),
    unknown=event(2, "payout.paid", {"id": "po_1", "object": "payout", "livemode": False}),
)
