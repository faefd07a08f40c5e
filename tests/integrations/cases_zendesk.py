"""How Zendesk signs: https://developer.zendesk.com/documentation/webhooks/verifying/, written out from there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from integrations.zendesk import ZendeskSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET, OLD_SECRET = "zendesk-secret-now-in-use", "zendesk-secret-being-replaced"
EMAIL, TOKEN = "sam@sandbox.example", "zendesk_sandbox_token"

SETTINGS = ZendeskSettings(
    subdomain="acme",
    email=EMAIL,
    token=SecretStr(TOKEN),
    webhook_secret=SecretStr(SECRET),
    webhook_secret_old=SecretStr(OLD_SECRET),
)


def sign(body: bytes, now: int, secret: str = SECRET) -> Incoming:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hmac.new(secret.encode(), stamp.encode() + body, hashlib.sha256).digest()
    return Incoming(
        {
            "x-zendesk-webhook-signature": base64.b64encode(digest).decode(),
            "x-zendesk-webhook-signature-timestamp": stamp,
        },
        body,
    )


def event(number: int, kind: str, **detail: Any) -> bytes:
    ticket = {
        "id": "5158",
        "created_at": "2025-12-30T10:00:00Z",
        "updated_at": "2025-12-30T10:00:00Z",
        "priority": "HIGH",
        "requester_id": "800",
        "status": "NEW",
        "subject": "Export is empty",
        "description": "Since this morning.",
    }
    told = {"account_id": 22, "id": f"0000-{number}", "time": "2025-12-30T10:00:00Z", "event": {}}
    return json.dumps({**told, "type": f"zen:event-type:{kind}", "detail": {**ticket, **detail}}).encode()


CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET, OLD_SECRET),
    sign=sign,
    proof=("x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"),
    known=event(1, "ticket.created"),
    same_id=event(1, "ticket.created", priority="URGENT"),
    unknown=event(2, "ticket.tags_changed"),
)
