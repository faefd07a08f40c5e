"""Posthorn, a vendor that does not exist: the smallest integration that signs, for tests of what is not a vendor's."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from pydantic import Field, SecretStr

from tests.promises import HookCase
from worker.facts import Delivery, Fact, Identity, Parsed, Sighting
from worker.integration import Incoming, Integration, Receipt, Refused, Settings
from worker.lib.signing import fresh, signature_matches
from worker.lib.strict_json import read_json

SECRET, OLD_SECRET = "posthorn-secret-now-in-use", "posthorn-secret-being-replaced"


class PosthornSettings(Settings):
    """What Posthorn needs."""

    secret: SecretStr = Field(description="Signs the webhooks.")
    old_secret: SecretStr = Field(description="Still accepted while it is being replaced.")

    @property
    def active(self) -> list[str]:
        return [self.secret.get_secret_value(), self.old_secret.get_secret_value()]


SETTINGS = PosthornSettings(secret=SecretStr(SECRET), old_secret=SecretStr(OLD_SECRET))


def verify(incoming: Incoming, settings: Any, now: int) -> Receipt:
    parts = dict(part.partition("=")[::2] for part in incoming.headers.get("posthorn-signature", "").split(","))
    stamp = parts.get("t", "")
    if not (stamp.isascii() and stamp.isdigit()):
        raise Refused(401, "Posthorn-Signature is missing or names no moment.", "unsigned")
    if not signature_matches(settings.active, f"{stamp}.".encode() + incoming.body, [parts.get("s", "")]):
        raise Refused(401, "Posthorn-Signature does not match; is the secret this endpoint's?", "forged")
    if not fresh(int(stamp), now):
        raise Refused(401, "The signature is more than five minutes off.", "stale")
    event = read_json(incoming.body)
    if not isinstance(event, dict) or not isinstance(event.get("id"), str):
        raise Refused(400, "The event has no id.", "no_id")
    return Receipt(event["id"], incoming.body.decode(), urgent=event.get("type") == "payment_failed")


def parse(delivery: Delivery, settings: Any) -> Parsed:
    event = json.loads(delivery.body)
    if event.get("type") not in {"login", "payment_failed"}:
        return Parsed(unknown=(str(event.get("type")),))
    who = Identity("posthorn", str(event["who"]))
    fact = Fact(event["type"], event["at"], "posthorn", f"{event['id']}:{event['type']}")
    return Parsed((Sighting(event["at"], (who,), facts=(fact,)),))


INTEGRATION = Integration(
    name="posthorn",
    title="Posthorn",
    does="events in",
    settings=PosthornSettings,
    docs="https://posthorn.example/docs",
    verify=verify,
    parse=parse,
    feeds=("login", "payment_failed"),
)


def event(number: int | str, kind: str = "login", **more: Any) -> bytes:
    return json.dumps({"id": f"evt_{number}", "type": kind, "who": "w_1", "at": 1_767_000_000, **more}).encode()


def sign(body: bytes, now: int, secret: str = SECRET) -> Incoming:
    """As Posthorn would, written out without our helper."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return Incoming({"posthorn-signature": f"t={now},s={digest}", "content-type": "application/json"}, body)


CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET, OLD_SECRET),
    sign=sign,
    proof=("posthorn-signature",),
    known=event(1),
    same_id=event(1, feature="export"),
    unknown=event(2, "sneezed"),
)
