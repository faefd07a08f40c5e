"""The pretend Twilio: messages out, status callbacks, and messages in, signed as Twilio signs them.

https://www.twilio.com/docs/messaging/api/message-resource, /docs/usage/webhooks/messaging-webhooks and
/docs/usage/security#validating-requests. Like the real one it heeds STOP by itself: nothing more gets through (21610).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, request

from worker.lib.clock import Clock
from worker.sandbox.servers.base import Faults, Hook, PretendVendor, json_response

STOPS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
STARTS: Final = frozenset({"START", "UNSTOP", "YES"})


@dataclass
class Message:
    """A message as Twilio keeps it."""

    sid: str
    at: int
    to: str
    sender: str
    service: str
    body: str
    direction: str = "outbound-api"
    status: str = "queued"
    status_callback: str = ""


class PretendTwilio(PretendVendor):
    """Twilio on loopback. `inbound_url` is where its number's incoming messages go.

    Webhooks are signed for the address that Twilio was given; `tunnels` says where such an address really is.
    """

    name = "twilio"

    def __init__(self, clock: Clock, faults: Faults | None = None, *, number: str = "+15005550006") -> None:
        """One account with one number."""
        super().__init__(clock, faults)
        self.account_sid, self.auth_token = "AC" + "5" * 32, "twilio-sandbox-token"
        self.number, self.service = number, "MG" + "7" * 32
        self.messages: list[Message] = []
        self.landlines: set[str] = set()
        self.stopped: set[str] = set()
        self.inbound_url = ""
        self.tunnels: dict[str, str] = {}
        self.lose = 0
        """How many of the next messages are taken, and the answer is lost on its way."""
        base = f"/2010-04-01/Accounts/{self.account_sid}"
        self.app.add_url_rule(f"{base}.json", "account", self._account)
        self.app.add_url_rule(f"{base}/Messages.json", "create", self._create, methods=["POST"])
        self.app.add_url_rule(f"{base}/Messages.json", "list", self._list, methods=["GET"])

    def gate(self) -> Response | None:
        """Basic authentication by the account's SID and token."""
        given = request.authorization
        token = ((given.password if given else "") or "").encode()
        if given and given.username == self.account_sid and secrets.compare_digest(token, self.auth_token.encode()):
            return None
        return _error(20003, "Authenticate", 401)

    def throttled(self, fault: str) -> Response:
        """Twilio's 429."""
        return _error(20429, "Too Many Requests", 429)

    def _account(self) -> Response:
        return json_response({"sid": self.account_sid, "friendly_name": "Sandbox", "status": "active", "type": "Full"})

    def _create(self) -> Response:
        form = request.form
        with self.lock:
            if wrong := self._wrong(form):
                return wrong
            message = Message(
                f"SM{secrets.token_hex(16)}", self.now, form["To"], form.get("From", self.number),
                form.get("MessagingServiceSid", ""), form["Body"], status_callback=form.get("StatusCallback", ""),
            )  # fmt: skip
            self.messages.append(message)
            if self.lose:
                self.lose -= 1
                self.faults.count("answer_lost")
                return Response('{"sid": "SM', 201, content_type="application/json")
            return json_response(self._shown(message), 201)

    def _wrong(self, form: Any) -> Response | None:
        if not re.fullmatch(r"\+[1-9]\d{6,14}", form.get("To", "")):
            return _error(21211, f"Invalid 'To' Phone Number: {form.get('To', '')}", 400)
        if not form.get("Body"):
            return _error(21602, "Message body is required.", 400)
        if len(form["Body"]) > 1600:
            return _error(21617, "The concatenated message body exceeds the 1600 character limit.", 400)
        if (
            form.get("From", self.number) != self.number
            or form.get("MessagingServiceSid", self.service) != self.service
        ):
            return _error(21606, "The 'From' phone number provided is not a valid, message-capable number.", 400)
        if form["To"] in self.landlines:
            return _error(21614, "'To' number is not a valid mobile number", 400)
        if form["To"] in self.stopped:
            return _error(21610, "Attempt to send to unsubscribed recipient", 400)
        return None

    def _list(self) -> Response:
        size, page = int(request.args.get("PageSize", 50)), int(request.args.get("Page", 0))
        with self.lock:
            found = [
                one for one in reversed(self.messages)
                if request.args.get("To", one.to) == one.to and request.args.get("From", one.sender) == one.sender
            ]  # fmt: skip
            shown = [self._shown(one) for one in found[page * size : (page + 1) * size]]
        more = f"{request.path}?PageSize={size}&Page={page + 1}" if len(found) > (page + 1) * size else None
        return json_response({"messages": shown, "page": page, "page_size": size, "next_page_uri": more})

    def _shown(self, one: Message) -> dict[str, Any]:
        created = format_datetime(datetime.fromtimestamp(one.at, UTC))
        return {
            "sid": one.sid, "account_sid": self.account_sid, "body": one.body, "to": one.to, "from": one.sender,
            "messaging_service_sid": one.service or None, "direction": one.direction, "status": one.status,
            "date_created": created, "date_updated": created, "error_code": None, "error_message": None,
            "date_sent": None if one.status == "queued" else created, "num_segments": "1",
        }  # fmt: skip

    # -- the office ---------------------------------------------------------------------------------------------------

    def sent_twice(self) -> list[str]:
        """The addresses for callbacks of which more than one message was taken."""
        seen: dict[str, int] = {}
        for one in self.messages:
            seen[one.status_callback] = seen.get(one.status_callback, 0) + 1
        return sorted(value for value, times in seen.items() if value and times > 1)

    def becomes(self, message: Message, status: str, error: int = 0) -> None:
        """A message moves on, and its callback is called."""
        message.status = status
        if message.status_callback:
            told = {**self._about(message), "MessageStatus": status, "SmsStatus": status}
            if error:
                told["ErrorCode"] = str(error)
            self._call(message.status_callback, told)

    def arrives(self, sender: str, words: str, *, opt_out_type: str = "") -> Message:
        """Somebody writes to the number."""
        message = Message(f"SM{secrets.token_hex(16)}", self.now, self.number, sender, "", words, "inbound", "received")
        self.messages.append(message)
        word = words.strip().upper()
        if word in STOPS or opt_out_type == "STOP":
            self.stopped.add(sender)
        elif word in STARTS:
            self.stopped.discard(sender)
        told = {**self._about(message), "SmsStatus": "received", "Body": words, "NumMedia": "0", "FromCountry": "US"}
        self._call(self.inbound_url, {**told, "OptOutType": opt_out_type} if opt_out_type else told)
        return message

    def _about(self, one: Message) -> dict[str, str]:
        return {
            "MessageSid": one.sid, "SmsSid": one.sid, "AccountSid": self.account_sid, "From": one.sender, "To": one.to,
            "ApiVersion": "2010-04-01",
        }  # fmt: skip

    def _call(self, url: str, fields: dict[str, str]) -> None:
        signature = self.signature(url, fields)
        body = urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        for public, here in self.tunnels.items():
            if url.startswith(public):
                url = here + url.removeprefix(public)
        self.queue_hook(Hook(url, lambda _now: (body, headers)))

    def signature(self, url: str, fields: dict[str, str]) -> str:
        """Over the address and the fields, each name with its value, in the order of the names."""
        text = url + "".join(name + fields[name] for name in sorted(fields))
        return base64.b64encode(hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _error(code: int, message: str, status: int) -> Response:
    told = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return json_response(told, status)
