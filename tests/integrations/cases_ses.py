"""How Amazon SNS sends what Amazon SES publishes: to an address whose last part is a secret.

https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html
"""

from __future__ import annotations

import json
from typing import Any, Final

from integrations.ses import SesSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET: Final = "ses-hooks-know-this-word"
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:keepwell"
SETTINGS: Final = SesSettings.model_validate(
    {
        "region": "eu-west-1", "access_key_id": "AKIACASE", "secret_access_key": "ses-case", "hook_secret": SECRET,
        "topic_arn": TOPIC,
    }
)  # fmt: skip


def envelope(message: object, **more: Any) -> bytes:
    told = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2025-12-31T23:59:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEw6JRN==",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    }
    return json.dumps({**told, **more}).encode()


def event(kind: str, **part: Any) -> dict[str, Any]:
    mail = {
        "timestamp": "2025-12-31T23:58:00.000Z",
        "messageId": "EXAMPLE7c191be45-000000",
        "destination": ["recipient@example.com"],
        "headers": [{"name": "Subject", "value": "Message sent from Amazon SES"}],
        "tags": {"keepwell": ["eff_1"], "ses:configuration-set": ["plain"]},
    }
    return {"eventType": kind, "mail": mail, kind.lower(): {"timestamp": "2025-12-31T23:59:00.000Z", **part}}


def _sign(body: bytes, now: int, secret: str) -> Incoming:
    return Incoming({"content-type": "text/plain; charset=UTF-8"}, body, secret)


CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET,),
    sign=_sign,
    known=envelope(event("Delivery", recipients=["recipient@example.com"])),
    same_id=envelope(event("Delivery", recipients=["other@example.com"])),
    unknown=envelope(event("Rendering Failure"), MessageId="other"),
    signs_body=False,
    stale_after=None,
)
