"""How Keap sends its REST hooks: unsigned, to an address whose last part is a secret.

https://developer.infusionsoft.com/docs/rest/#tag/REST-Hooks
"""

from __future__ import annotations

import json
from typing import Final

from integrations.keap import KeapSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET: Final = "keap-hooks-know-this-word"


def _body(event_key: str, number: int) -> bytes:
    changed = {
        "id": number,
        "apiUrl": f"https://api.infusionsoft.com/crm/rest/v1/contacts/{number}",
        "timestamp": "2025-12-31T23:59:00.000Z",
    }
    return json.dumps({"event_key": event_key, "object_type": "contact", "object_keys": [changed]}).encode()


def _sign(body: bytes, now: int, secret: str) -> Incoming:
    return Incoming({"content-type": "application/json"}, body, secret)


CASE = HookCase(
    settings=KeapSettings.model_validate({"key": "KeapAK-case", "hook_secret": SECRET}),
    secrets=(SECRET,),
    sign=_sign,
    known=_body("contact.edit", 7),
    unknown=_body("opportunity.stage_move", 8),
    signs_body=False,
    stale_after=None,
    hint_only=True,
)
