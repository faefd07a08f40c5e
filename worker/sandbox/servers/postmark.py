"""The pretend Postmark: one server with its streams, sender signatures, suppressions, message search and webhooks.

https://postmarkapp.com/developer/api/email-api, /api/messages-api, /api/server-api, /webhooks/webhooks-overview. An
inactive recipient is refused with 406, as after a hard bounce or a complaint on that stream.
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any, Final

from flask import Response, request

from worker.lib.clock import Clock, iso
from worker.sandbox.servers.base import Faults, Hook, PretendVendor, json_response

STREAMS: Final = ("outbound", "broadcast")
MOST_AT_ONCE: Final = 500
_PLAIN: Final = re.compile(r"[a-zA-Z0-9.!#$%&'`*+/=?^_{|}~-]+@([a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+")


@dataclass
class Message:
    """A mail as the vendor keeps it."""

    message_id: str
    stream: str
    at: int
    to: str
    body: dict[str, Any]
    """As it was posted."""
    metadata: dict[str, str] = field(default_factory=dict)


class PretendPostmark(PretendVendor):
    """Postmark on loopback; `token` is the server's API token, `hooks` are the addresses of its webhooks."""

    name = "postmark"

    def __init__(
        self, clock: Clock, faults: Faults | None = None, *, token: str = "postmark-sandbox-token",  # noqa: S107  opens nothing real
        senders: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """`senders` are the confirmed sender signatures, addresses or whole domains; none means any."""
        super().__init__(clock, faults)
        self.token, self.senders = token, senders
        self.messages: list[Message] = []
        self.inactive: dict[tuple[str, str], str] = {}
        """(stream, address) -> why."""
        self.hooks: list[str] = []
        self.lose = 0
        """How many of the next mails are taken, and the answer is lost on its way."""
        self._bounces = 0
        self.app.add_url_rule("/email", "email", self._email, methods=["POST"])
        self.app.add_url_rule("/email/batch", "batch", self._batch, methods=["POST"])
        self.app.add_url_rule("/messages/outbound", "search", self._search)
        self.app.add_url_rule("/server", "server", self._described)

    def gate(self) -> Response | None:
        """Without the server's token nothing is answered."""
        if secrets.compare_digest(request.headers.get("X-Postmark-Server-Token", "").encode(), self.token.encode()):
            return None
        return _error(
            10, "The Server Token you provided in the X-Postmark-Server-Token request header was invalid.", 401
        )

    def throttled(self, fault: str) -> Response:
        """Postmark's 429."""
        return _error(429, "Rate limit exceeded.", 429, {"Retry-After": "1"} if fault == "429_with_retry_after" else {})

    # -- what is sent -------------------------------------------------------------------------------------------------

    def _email(self) -> Response:
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            return _error(402, "Invalid JSON", 422)
        with self.lock:
            answer = self._take(body)
            if answer["ErrorCode"]:
                return json_response(answer, 422)
            if self.lose:
                self.lose -= 1
                self.faults.count("answer_lost")
                return Response('{"To": "', 200, content_type="application/json")
        return json_response(answer)

    def _batch(self) -> Response:
        bodies = request.get_json(silent=True)
        if not isinstance(bodies, list) or not all(isinstance(one, dict) for one in bodies):
            return _error(403, "Incompatible JSON", 422)
        if len(bodies) > MOST_AT_ONCE:
            return _error(410, "Too many batch messages", 422)
        with self.lock:
            return json_response([self._take(one) for one in bodies])

    def _take(self, body: dict[str, Any]) -> dict[str, Any]:
        to, stream = parseaddr(str(body.get("To") or ""))[1], str(body.get("MessageStream") or "outbound")
        if fault := self._wrong(body, to, stream):
            return {"ErrorCode": fault[0], "Message": fault[1]}
        metadata = dict(body.get("Metadata") or {})
        message = Message(str(uuid.uuid4()), stream, self.now, to, body, metadata)
        self.messages.append(message)
        return {
            "To": body["To"], "SubmittedAt": iso(self.now), "MessageID": message.message_id, "ErrorCode": 0,
            "Message": "OK",
        }  # fmt: skip

    def _wrong(self, body: dict[str, Any], to: str, stream: str) -> tuple[int, str] | None:
        sender = parseaddr(str(body.get("From") or ""))[1]
        if not _PLAIN.fullmatch(sender) or not _PLAIN.fullmatch(to):
            return 300, f"Error parsing 'To': Illegal email address '{to}'."
        if self.senders and sender not in self.senders and sender.rpartition("@")[2] not in self.senders:
            return 400, f"The 'From' address you supplied ({sender}) is not a Sender Signature on your account."
        if not body.get("TextBody") and not body.get("HtmlBody"):
            return 300, "Provide either email TextBody or HtmlBody or both."
        if stream not in STREAMS:
            return 1235, f"The message stream for the provided 'ID' ({stream}) was not found."
        metadata = body.get("Metadata") or {}
        if len(metadata) > 10 or any(len(key) > 20 or len(str(value)) > 80 for key, value in metadata.items()):
            return 300, "Metadata is too large."
        if any("\n" in str(one.get("Value")) or "\r" in str(one.get("Value")) for one in body.get("Headers") or ()):
            return 300, "Header values cannot contain line breaks."
        if (stream, to.lower()) in self.inactive:
            return 406, f"You tried to send to recipient(s) that have been marked as inactive. Found: {to}."
        return None

    # -- what is asked ------------------------------------------------------------------------------------------------

    def _search(self) -> Response:
        args = request.args
        if not args.get("count", "").isdigit() or not args.get("offset", "").isdigit():
            return _error(700, "The 'count' and 'offset' parameters are required.", 422)
        wanted = [(key[9:], value) for key, value in args.items() if key.startswith("metadata_")]
        if len(wanted) > 1:
            return _error(700, "Only one metadata field can be searched for.", 422)
        stream = args.get("messagestream", "outbound")
        with self.lock:
            found = [
                one for one in reversed(self.messages)
                if one.stream == stream
                and args.get("recipient", one.to).lower() == one.to.lower()
                and all(one.metadata.get(key) == value for key, value in wanted)
            ]  # fmt: skip
        start = int(args["offset"])
        page = [
            {
                "MessageID": one.message_id, "MessageStream": one.stream, "Recipients": [one.to], "Status": "Sent",
                "To": [{"Email": one.to, "Name": ""}], "From": one.body["From"], "Subject": one.body.get("Subject"),
                "ReceivedAt": iso(one.at), "Tag": one.body.get("Tag", ""), "Metadata": one.metadata,
            }
            for one in found[start : start + int(args["count"])]
        ]  # fmt: skip
        return json_response({"TotalCount": len(found), "Messages": page})

    def _described(self) -> Response:
        return json_response({"ID": 23, "Name": "Sandbox", "DeliveryType": "Live", "Color": "blue"})

    # -- the office ---------------------------------------------------------------------------------------------------

    def sent_twice(self) -> list[str]:
        """The values of metadata of which more than one mail was taken."""
        seen: dict[str, int] = {}
        for one in self.messages:
            for value in one.metadata.values():
                seen[value] = seen.get(value, 0) + 1
        return sorted(value for value, times in seen.items() if times > 1)

    def delivered(self, message: Message) -> None:
        """The recipient's server took it."""
        self._tell(
            message,
            {"RecordType": "Delivery", "Recipient": message.to, "DeliveredAt": self._moment(), "Details": "250 ok"},
        )

    def bounced(self, message: Message, kind: str = "HardBounce", *, inactive: bool | None = None) -> None:
        """It came back. A hard bounce makes the recipient inactive, which is told a second time."""
        self._bounces += 1
        off = kind in {"HardBounce", "BadEmailAddress", "SpamComplaint"} if inactive is None else inactive
        told = {"ID": self._bounces, "Type": kind, "Email": message.to, "From": message.body["From"],
                "BouncedAt": self._moment(), "Subject": message.body.get("Subject"), "Details": "550 5.1.1"}  # fmt: skip
        if kind == "SpamComplaint":
            self._tell(message, {"RecordType": "SpamComplaint", "TypeCode": 512, **told})
        else:
            self._tell(message, {"RecordType": "Bounce", "Inactive": off, "CanActivate": True, **told})
        if off:
            self._stop(message, "SpamComplaint" if kind == "SpamComplaint" else "HardBounce", "Recipient")

    def opened(self, message: Message) -> None:
        """It was opened, in a place and with a program that are told too."""
        self._tell(
            message,
            {"RecordType": "Open", "FirstOpen": True, "Recipient": message.to, "ReceivedAt": self._moment(), **_READER},
        )

    def clicked(self, message: Message, link: str) -> None:
        """A link was followed."""
        told = {"RecordType": "Click", "ClickLocation": "HTML", "Recipient": message.to, "OriginalLink": link}
        self._tell(message, {**told, "ReceivedAt": self._moment(), **_READER})

    def unsubscribed(self, message: Message) -> None:
        """The recipient followed Postmark's own link."""
        self._stop(message, "ManualSuppression", "Recipient")

    def reactivated(self, message: Message) -> None:
        """Somebody at the business has taken the recipient off Postmark's list again."""
        self.inactive.pop((message.stream, message.to.lower()), None)
        told = {"RecordType": "SubscriptionChange", "Recipient": message.to, "ChangedAt": self._moment()}
        self._tell(message, {**told, "Origin": "Customer", "SuppressSending": False, "SuppressionReason": None})

    def answered(self, message: Message, words: str = "Thank you!", **headers: str) -> None:
        """The recipient writes back, to an address whose mail comes in here."""
        listed = {"In_Reply_To": f"<{message.message_id}@mtasv.net>", "Message_ID": "<1@mail.example>", **headers}
        self._post_to_hooks(
            {
                "FromName": "", "MessageStream": "inbound", "From": message.to,
                "FromFull": {"Email": message.to, "Name": "", "MailboxHash": ""}, "Subject": "Re: yours",
                "MessageID": str(uuid.uuid4()), "Date": "Thu, 01 Jan 2026 10:00:00 +0000", "TextBody": words,
                "HtmlBody": f"<p>{words}</p>", "StrippedTextReply": words,
                "Headers": [{"Name": name.replace("_", "-"), "Value": value} for name, value in listed.items()],
            }
        )  # fmt: skip

    def _stop(self, message: Message, reason: str, origin: str) -> None:
        self.inactive[message.stream, message.to.lower()] = reason
        told = {"RecordType": "SubscriptionChange", "Recipient": message.to, "ChangedAt": self._moment()}
        self._tell(message, {**told, "Origin": origin, "SuppressSending": True, "SuppressionReason": reason})

    def _tell(self, message: Message, event: dict[str, Any]) -> None:
        about = {"ServerID": 23, "MessageStream": message.stream, "MessageID": message.message_id,
                 "Tag": message.body.get("Tag", ""), "Metadata": message.metadata}  # fmt: skip
        self._post_to_hooks({**event, **about})

    def _post_to_hooks(self, event: dict[str, Any]) -> None:
        body = json_response(event).get_data()
        for url in self.hooks:
            self.queue_hook(Hook(url, lambda _now: (body, {"Content-Type": "application/json"})))

    def _moment(self) -> str:
        """As Postmark writes it: seven digits after the point."""
        return iso(self.now).replace("Z", "0259Z")

    def hook_unwanted(self, answer: Any) -> bool:
        """A 403 ends it."""
        return bool(answer.status_code == 403)


_READER: Final = {
    "Platform": "WebMail", "UserAgent": "Mozilla/5.0", "Client": {"Name": "Gmail"}, "OS": {"Name": "Windows 10"},
    "Geo": {"Country": "United States", "City": "San Francisco", "IP": "203.0.113.1"},
}  # fmt: skip


def _error(code: int, message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return json_response({"ErrorCode": code, "Message": message}, status, headers)
