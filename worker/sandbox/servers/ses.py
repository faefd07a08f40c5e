"""The pretend Amazon SES, version 2 of its API, with the SNS topic through which it tells what became of mails.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, Signature Version 4 as in
https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html, events as in
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any, Final

from flask import Response, request

from worker.lib.clock import Clock, iso
from worker.sandbox.servers.base import Faults, Hook, PretendVendor, json_response

SKEW: Final = 300
"""Seconds by which the moment of a signature may be off."""
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/ses/aws4_request, SignedHeaders=([a-z0-9;-]+), "
    r"Signature=([0-9a-f]{64})"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass
class Message:
    """A mail as SES took it."""

    message_id: str
    at: int
    to: str
    body: dict[str, Any]
    """As it was posted."""
    tags: dict[str, list[str]] = field(default_factory=dict)


class PretendSes(PretendVendor):
    """SES on loopback, in one region; `hooks` are the addresses that are subscribed to its topic."""

    name = "ses"

    def __init__(
        self, clock: Clock, faults: Faults | None = None, *, access_key_id: str = "AKIASANDBOX", secret: str = "sandbox-secret",  # noqa: S107  opens nothing real
        region: str = "eu-west-1", identities: tuple[str, ...] = (), configuration_sets: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """`identities` are the verified senders, addresses or domains; none means any."""
        super().__init__(clock, faults)
        self.access_key_id, self.secret, self.region = access_key_id, secret, region
        self.identities, self.configuration_sets = identities, configuration_sets
        self.topic_arn = f"arn:aws:sns:{region}:123456789012:keepwell"
        self.messages: list[Message] = []
        self.hooks: list[str] = []
        self.paused = False
        self.lose = 0
        """How many of the next mails are taken, and the answer is lost on its way."""
        self.app.add_url_rule("/v2/email/outbound-emails", "send", self._send, methods=["POST"])
        self.app.add_url_rule("/v2/email/account", "account", self._account)

    def gate(self) -> Response | None:
        """Hold the signature against the request as it came."""
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        stamp = request.headers.get("X-Amz-Date", "")
        if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or stamp[:8] != found[2]:
            return _error("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if found[1] != self.access_key_id or found[3] != self.region:
            return _error("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(signed_at - self.now) > SKEW:
            return _error("InvalidSignatureException", "Signature expired: it is not within 5 minutes.", 403)
        names = found[4].split(";")
        if "host" not in names or names != sorted(names):
            return _error("InvalidSignatureException", "Host must be signed.", 403)
        canonical = "\n".join(
            [
                request.method, request.path, request.query_string.decode(),
                *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names), "", found[4],
                hashlib.sha256(request.get_data()).hexdigest(),
            ]
        )  # fmt: skip
        scope = f"{found[2]}/{self.region}/ses/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if not secrets.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), found[5]):
            return _error("InvalidSignatureException", "The request signature we calculated does not match.", 403)
        return None

    def throttled(self, fault: str) -> Response:
        """SES names no time to wait."""
        return _error("TooManyRequestsException", "Maximum sending rate exceeded.", 429)

    def _send(self) -> Response:
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            return _error("BadRequestException", "Could not parse request body into json", 400)
        with self.lock:
            if wrong := self._wrong(body):
                return wrong
            tags = {one["Name"]: [one["Value"]] for one in body.get("EmailTags") or ()}
            to = parseaddr(body["Destination"]["ToAddresses"][0])[1]
            message = Message(f"0102{uuid.uuid4().hex}-000000", self.now, to, body, tags)
            self.messages.append(message)
            if self.lose:
                self.lose -= 1
                self.faults.count("answer_lost")
                return Response('{"Message', 200, content_type="application/json")
        return json_response({"MessageId": message.message_id})

    def _wrong(self, body: dict[str, Any]) -> Response | None:
        sender = parseaddr(str(body.get("FromEmailAddress") or ""))[1]
        to = (body.get("Destination") or {}).get("ToAddresses") or []
        simple = (body.get("Content") or {}).get("Simple") or {}
        if len(to) != 1 or "@" not in parseaddr(str(to[0]))[1] or not (simple.get("Subject") or {}).get("Data"):
            return _error("BadRequestException", "Illegal address, or no subject.", 400)
        if not str(to[0]).isascii() or not str(body["FromEmailAddress"]).isascii():
            return _error("BadRequestException", "Local address contains control or whitespace", 400)
        if any(
            not _TAG.fullmatch(str(one.get(key))) for one in body.get("EmailTags") or () for key in ("Name", "Value")
        ):
            return _error("BadRequestException", "Invalid tag value.", 400)
        if any(re.search(r"[\r\n]", str(one.get("Value"))) for one in simple.get("Headers") or ()):
            return _error("BadRequestException", "Header value contains a line break.", 400)
        chosen = body.get("ConfigurationSetName")
        if chosen and chosen not in self.configuration_sets:
            return _error("NotFoundException", f"Configuration set <{chosen}> does not exist.", 404)
        if self.paused:
            return _error("SendingPausedException", "Sending is paused.", 400)
        if self.identities and sender not in self.identities and sender.rpartition("@")[2] not in self.identities:
            text = f"Email address is not verified. The following identities failed the check in region: {sender}"
            return _error("MessageRejected", text, 400)
        return None

    def _account(self) -> Response:
        quota = {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": float(len(self.messages))}
        return json_response({"SendingEnabled": not self.paused, "ProductionAccessEnabled": True, "SendQuota": quota})

    # -- the office ---------------------------------------------------------------------------------------------------

    def sent_twice(self) -> list[str]:
        """The values of tags of which more than one mail was taken."""
        seen: dict[str, int] = {}
        for one in self.messages:
            for values in one.tags.values():
                seen[values[0]] = seen.get(values[0], 0) + 1
        return sorted(value for value, times in seen.items() if times > 1)

    def asks_to_confirm(self) -> None:
        """Somebody has subscribed our hooks to the topic."""
        url = f"https://sns.{self.region}.amazonaws.com/?Action=ConfirmSubscription&TopicArn={self.topic_arn}&Token=2336412f37"
        self._publish("SubscriptionConfirmation", "You have chosen to subscribe …", SubscribeURL=url)

    def tries_the_topic(self) -> None:
        """What SES publishes when an event destination is made."""
        self._publish("Notification", "Successfully validated SNS topic for Amazon SES event publishing.")

    def delivered(self, message: Message) -> None:
        """The recipient's server took it."""
        self._tell(
            message, "Delivery", {"recipients": [message.to], "smtpResponse": "250 ok", "processingTimeMillis": 8}
        )

    def bounced(self, message: Message, kind: str = "Permanent", subtype: str = "General") -> None:
        """It came back: Permanent, Transient or Undetermined."""
        whom = {"emailAddress": message.to, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550"}
        told = {"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": [whom]}
        self._tell(message, "Bounce", {**told, "feedbackId": f"0102{uuid.uuid4()}-000000", "reportingMTA": "dsn; mta"})

    def complained(self, message: Message, kind: str = "abuse") -> None:
        """The recipient called it spam, or took that back (`not-spam`)."""
        told = {"complainedRecipients": [{"emailAddress": message.to}], "complaintFeedbackType": kind}
        self._tell(message, "Complaint", {**told, "feedbackId": f"0102{uuid.uuid4()}-000000", "userAgent": "Yahoo"})

    def opened(self, message: Message) -> None:
        """It was opened."""
        self._tell(message, "Open", {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0"})

    def clicked(self, message: Message, link: str) -> None:
        """A link was followed."""
        self._tell(
            message, "Click", {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0", "link": link, "linkTags": None}
        )

    def said(self, message: Message, kind: str) -> None:
        """An event without a part of its own: Send, Rendering Failure …"""
        self._tell(message, kind, {})

    def _tell(self, message: Message, kind: str, part: dict[str, Any]) -> None:
        subject = message.body["Content"]["Simple"]["Subject"]["Data"]
        configured = bool(message.body.get("ConfigurationSetName"))
        mail = {
            "timestamp": iso(message.at), "source": message.body["FromEmailAddress"], "messageId": message.message_id,
            "sendingAccountId": "123456789012", "destination": list(message.body["Destination"]["ToAddresses"]),
            "headersTruncated": False, "headers": [{"name": "Subject", "value": subject}],
            "commonHeaders": {"subject": subject, "to": [message.to]},
        }  # fmt: skip
        if configured:
            mail["tags"] = {**message.tags, "ses:configuration-set": [message.body["ConfigurationSetName"]]}
        event = {"eventType" if configured else "notificationType": kind, "mail": mail}
        self._publish("Notification", json.dumps({**event, kind.lower(): {"timestamp": iso(self.now), **part}}))

    def _publish(self, kind: str, message: str, **more: str) -> None:
        envelope = {
            "Type": kind, "MessageId": str(uuid.uuid4()), "TopicArn": self.topic_arn, "Message": message,
            "Timestamp": iso(self.now), "SignatureVersion": "1", "Signature": "EXAMPLEpH+DcEwjAPg8O9mY8dReBSwksf=",
            "SigningCertURL": f"https://sns.{self.region}.amazonaws.com/SimpleNotificationService-example.pem", **more,
        }  # fmt: skip
        body = json.dumps(envelope).encode()
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": kind,
                   "x-amz-sns-topic-arn": self.topic_arn}  # fmt: skip
        for url in self.hooks:
            self.queue_hook(Hook(url, lambda _now: (body, headers)))


def _error(kind: str, message: str, status: int) -> Response:
    return json_response({"message": message}, status, {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/"})
