"""How Twilio signs: https://www.twilio.com/docs/usage/security#validating-requests, written out from there."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from integrations.twilio import TwilioSettings
from tests.promises import HookCase
from worker.integration import Incoming

SECRET, OLD_SECRET = "twilio-token-now-in-use", "twilio-token-being-replaced"
ACCOUNT: Final = "AC" + "5" * 32
URL: Final = "https://keepwell.example/hooks/twilio"
SETTINGS: Final = TwilioSettings.model_validate(
    {"account_sid": ACCOUNT, "auth_token": SECRET, "auth_token_old": OLD_SECRET, "sender": "+15005550006", "hook_url": URL}
)  # fmt: skip


def form(**more: str) -> bytes:
    """A webhook about one message: a status callback with MessageStatus, an incoming message with Body."""
    told = {
        "MessageSid": "SM" + "a" * 32, "SmsSid": "SM" + "a" * 32, "AccountSid": ACCOUNT, "From": "+15005550006",
        "To": "+4915112345678", "ApiVersion": "2010-04-01",
    }  # fmt: skip
    return urlencode({**told, **more}).encode()


def reads(body: bytes) -> object:
    """`%2b` and `%2B` are one sign."""
    return sorted(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


def sign(body: bytes, now: int = 0, secret: str = SECRET, *, url: str = URL, name: str = "") -> Incoming:
    fields = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    text = url + (f"/{name}" if name else "") + "".join(key + fields[key] for key in sorted(fields))
    digest = hmac.new(secret.encode(), text.encode("utf-8", "replace"), hashlib.sha1).digest()
    headers = {
        "x-twilio-signature": base64.b64encode(digest).decode(),
        "content-type": "application/x-www-form-urlencoded",
    }
    return Incoming(headers, body, name)


def _malformed(known: bytes) -> Sequence[bytes]:
    return (
        b"", b"no form", b"\xff\xfe" + known, known + b"&To=%2B4915112345679", known + b"&x=%ff", known + b"&x=%00",
        known + b"&" + b"&".join(b"x%d=1" % number for number in range(500)), known + b"&&", known + b"&MessageSid=",
        known.replace(b"AccountSid=AC5", b"AccountSid=AC4"), known.replace(b"MessageSid", b"MessageSit"),
        known.replace(b"delivered", b"Delivered%0a"), known.replace(b"SM" + b"a" * 32, b"SM" + b"g" * 32),
    )  # fmt: skip


CASE = HookCase(
    settings=SETTINGS,
    secrets=(SECRET, OLD_SECRET),
    sign=sign,
    proof=("x-twilio-signature",),
    known=form(MessageStatus="delivered"),
    same_id=form(MessageStatus="delivered", ErrorCode="0"),
    unknown=form(MessageStatus="teleported"),
    stale_after=None,
    malformed=_malformed,
    reads=reads,
)
