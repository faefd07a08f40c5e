"""How Postmark sends its webhooks: unsigned, to an address whose last part is a secret.

https://postmarkapp.com/developer/webhooks/bounce-webhook
"""

from __future__ import annotations

import json
from typing import Any, Final

from integrations.postmark import PostmarkSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET: Final = "postmark-hooks-know-this-word"
SETTINGS: Final = PostmarkSettings.model_validate({"token": "postmark-case", "hook_secret": SECRET})


def event(kind: str, **more: Any) -> bytes:
    told = {
        "RecordType": kind,
        "ID": 42,
        "Type": "HardBounce",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "MessageStream": "outbound",
        "Email": "john@example.com",
        "BouncedAt": "2025-04-05T16:33:54.9070259Z",
        "Inactive": True,
        "Subject": "Test subject",
        "Metadata": {"keepwell": "eff_1", "other": "43"},
    }
    return json.dumps({**told, **more}).encode()


def _sign(body: bytes, now: int, secret: str) -> Incoming:
    return Incoming({"content-type": "application/json"}, body, secret)


CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET,),
    sign=_sign,
    known=event("Bounce"),
    same_id=event("Bounce", Type="SoftBounce"),
    unknown=event("Sneeze"),
    signs_body=False,
    stale_after=None,
)
