"""Amazon SES: mail by HTTP, out; deliveries, bounces, complaints, opens and clicks, in, by way of Amazon SNS.

Documentation: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and
/ses/latest/dg/event-publishing-retrieving-sns-contents.html

Oddities
- Every request is signed with its own moment (Signature Version 4), so one that has to wait is signed anew: there are no
  retries within a call.
- No idempotency key and no search for mails: whether one left, only its events can tell.
- Our own name of a mail goes along as the tag `keepwell`. Tags come back in events of a configuration set only; without
  one, bounces and complaints are recognised by SES's own name of the mail.
- What is told depends on the configuration set: it needs an event destination that publishes to an SNS topic.
- SNS signs with a key whose certificate has to be fetched. Nothing is fetched here to believe a request: the path holds a
  secret (`/hooks/ses/<secret>`), and what another topic than `topic_arn` says is refused. So whoever knows the path is
  believed; keep it as a password.
- SNS sends nothing before its question has been answered; `keepwell check` shows the address to open. Raw message
  delivery must be off.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from worker.facts import Delivery, MailEvent, MailWord, Parsed
from worker.integration import Incoming, Integration, Letter, Receipt, Refused, SecretStr, Settings, Sought
from worker.lib.addresses import (
    LONGEST_NAME,
    LONGEST_SUBJECT,
    Mailbox,
    address,
    mailbox,
    one_click,
    one_line,
    shown,
    with_bytes,
)
from worker.lib.clock import Clock, from_iso, seconds
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Unsure
from worker.lib.signing import secret_matches
from worker.lib.strict_json import read_json

NAME: Final = "ses"
OURS: Final = "keepwell"
"""The tag that holds our own name of a mail. Names and values: letters, digits, `_` and `-`, at most 256."""
SEND: Final = "/v2/email/outbound-emails"


# -- settings ---------------------------------------------------------------------------------------------------------


class SesSettings(Settings):
    """How Amazon SES is reached, in one region."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["eu-west-1"], description="The AWS region.")
    access_key_id: SecretStr = Field(description="The access key's id of a user that may do ses:SendEmail.")
    secret_access_key: SecretStr = Field(description="That access key's secret.")
    configuration_set: str = Field(default="", description="The configuration set for service and transactional mail.")
    marketing_configuration_set: str = Field(default="", description="The configuration set for marketing mail.")
    per_second: float = Field(
        default=10.0, gt=0, le=1000, description="Mails a second; see the account's sending rate."
    )
    hook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The last part of the address given to the SNS subscription: 16 or more random characters.",
    )
    topic_arn: str = Field(default="", description="The SNS topic that the events come from; others are refused.")
    base_url: str = Field(default="", description="Where the API is, if not at the region's usual address.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.hook_secret is not None and not self.topic_arn.startswith("arn:"):
            raise ValueError('hook_secret and topic_arn go together; write topic_arn = "arn:aws:sns:…"')
        return self


def connect(settings: SesSettings, clock: Clock) -> Http:
    """SES's connection, at the account's sending rate."""
    return Http(
        "Amazon SES",
        settings.base_url or f"https://email.{settings.region}.amazonaws.com",
        clock,
        per_second=settings.per_second,
        burst=max(1.0, settings.per_second),
        judge=judge,
    )


# -- what SES answers -------------------------------------------------------------------------------------------------

CURES: Final[Mapping[str, str]] = {
    "AccountSuspendedException": "Amazon has closed this account for sending; ask its support",
    "SendingPausedException": "sending is paused, for the account or the configuration set",
    "MailFromDomainNotVerifiedException": "the MAIL FROM domain is not verified; see the identity in SES",
    "NotFoundException": "something it names is not there; are the configuration sets right?",
    "LimitExceededException": "a quota is used up; ask Amazon for a higher one, or wait",
}
"""The error's type -> what a person has to do; the mail can leave afterwards."""


def judge(reply: Reply) -> Failure | None:
    """Read the error's type; what has none that is known here is judged by its status.

    MessageRejected is for good, except where the sender is not verified (or, in SES's sandbox, the recipient).
    """
    if reply.status < 400 or reply.status >= 500 or reply.status == 429:
        return None
    kind = reply.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    try:
        told = json.loads(reply.text)
        kind = kind or str(told.get("__type") or "").rpartition("#")[2]
        words = one_line(str(told.get("message") or told.get("Message") or ""), 200)
    except (ValueError, AttributeError):
        words = ""
    sentence = f"Amazon SES answered {kind or reply.status} {words}".strip()
    if kind in CURES:
        return Reconnect(f"{sentence}: {CURES[kind]}")
    if kind == "MessageRejected" and "not verified" in words:
        return Reconnect(f"{sentence}: verify it in SES, or ask Amazon for production access")
    return GiveUp(sentence) if reply.status not in {401, 403} else Reconnect(sentence)


# -- signing ----------------------------------------------------------------------------------------------------------


def signed(settings: SesSettings, method: str, url: str, body: str, now: int) -> dict[str, str]:
    """The headers of a request, signed. `url` has no query."""
    parts = urlsplit(url)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/json", "host": parts.netloc, "x-amz-date": stamp}
    scope = f"{stamp[:8]}/{settings.region}/ses/aws4_request"
    found = signature(settings.secret_access_key.get_secret_value(), scope, method, parts.path, headers, body)
    credential, names = f"{settings.access_key_id.get_secret_value()}/{scope}", ";".join(sorted(headers))
    return {
        "Content-Type": headers["content-type"],
        "X-Amz-Date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={found}",
    }


def signature(secret: str, scope: str, method: str, path: str, headers: Mapping[str, str], body: str) -> str:
    """AWS Signature Version 4 in hex, of a request without a query whose path needs no escapes.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html. `scope` is
    `date/region/service/aws4_request`; `headers` are those that are signed, `x-amz-date` among them, by their small names.
    """
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    canonical = "\n".join([method, path or "/", "", *lines, "", ";".join(sorted(headers)), _sha256(body)])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    message = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{_sha256(canonical)}"
    return hmac.digest(key, message.encode(), "sha256").hex()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _call(http: Http, settings: SesSettings, method: str, path: str, body: str = "") -> Reply:
    headers = signed(settings, method, http.base_url + path, body, seconds(http.clock))
    return http.call(method, path, data=body or None, headers=headers, attempts=1)


# -- what SES's events mean -------------------------------------------------------------------------------------------

WORDS: Final[Mapping[str, MailWord | None]] = {
    "Delivery": MailWord.DELIVERED,
    "Open": MailWord.OPENED,
    "Click": MailWord.CLICKED,
    "Bounce": MailWord.BOUNCED,
    "Reject": MailWord.BOUNCED,  # SES took it and found a virus
    "Complaint": MailWord.COMPLAINED,
    "Subscription": MailWord.UNSUBSCRIBED,
    "Send": None,  # taken, and on its way
    "DeliveryDelay": None,
}
"""eventType -> our word, None for what says nothing yet."""

KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "mail": ("messageId", "destination", "timestamp"),
    "bounce": ("bounceType", "bounceSubType", "timestamp", "feedbackId"),
    "complaint": ("complaintFeedbackType", "complaintSubType", "timestamp", "feedbackId"),
    "delivery": ("timestamp", "recipients"),
    "open": ("timestamp",),
    "click": ("timestamp",),
    "subscription": ("timestamp",),
}
"""What is stored of an event, part by part: no subject, link, address of a device, or word of a mail server's."""

_HOST: Final = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: SesSettings, now: int) -> Receipt:
    """Believe SNS by the secret part of the path, and only what comes from our topic; see the oddities above."""
    if settings.hook_secret is None:
        raise Refused(401, "The events of Amazon SES are not set up here; set hook_secret first.", "unsigned")
    if not secret_matches([settings.hook_secret.get_secret_value()], incoming.secret):
        raise Refused(401, "The address of this hook is not the one set up; is hook_secret its last part?", "forged")
    envelope = read_json(incoming.body)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("MessageId"), str):
        raise Refused(400, "This is nothing of Amazon SNS's; is raw message delivery off?", "no_event")
    if envelope.get("TopicArn") != settings.topic_arn:
        raise Refused(401, "This comes from another topic than topic_arn.", "foreign")
    kept = {name: str(envelope.get(name) or "") for name in ("Type", "MessageId", "Timestamp")}
    body: dict[str, Any] = dict(kept)
    if kept["Type"] == "Notification":
        body["event"] = _kept(envelope.get("Message"))
    elif kept["Type"] == "SubscriptionConfirmation":
        body["SubscribeURL"] = _amazons(envelope.get("SubscribeURL"))
    return Receipt(kept["MessageId"], json.dumps(body, sort_keys=True))


def _kept(message: object) -> dict[str, Any]:
    """The event without what is not kept; `{}` for the plain words by which SES tries a topic out."""
    try:
        event = read_json(message) if isinstance(message, str) else None
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return {}
    kept: dict[str, Any] = {"eventType": str(event.get("eventType") or event.get("notificationType") or "")}
    for part, names in KEPT.items():
        if isinstance(event.get(part), dict):
            kept[part] = {name: event[part][name] for name in names if name in event[part]}
    tags = _part(event, "mail").get("tags")
    if isinstance(tags, dict) and isinstance(tags.get(OURS), list) and tags[OURS]:
        kept["mail"][OURS] = str(tags[OURS][0])
    for part, people in (("bounce", "bouncedRecipients"), ("complaint", "complainedRecipients")):
        listed = _part(event, part).get(people)
        if isinstance(listed, list):
            kept[part]["addresses"] = [str(one.get("emailAddress") or "") for one in listed if isinstance(one, dict)]
    wanted = _part(event, "subscription").get("newTopicPreferences")
    if isinstance(wanted, dict):
        kept["subscription"]["stops"] = wanted.get("unsubscribeAll") is True
    return kept


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _amazons(url: object) -> str:
    """The address if it is one of Amazon's own, else ""."""
    try:
        parts = urlsplit(url) if isinstance(url, str) and len(url) < 2000 and url.isascii() else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme != "https" or not _HOST.fullmatch(parts.netloc) or re.search(r"\s", parts.query):
        return ""
    return parts.geturl()


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: SesSettings) -> Parsed:
    """What a notification says. Raises ValueError for a body of no known shape."""
    body = json.loads(delivery.body)
    if not isinstance(body, dict) or not body.get("Type"):
        raise ValueError("this is nothing of Amazon SNS's")
    if body["Type"] == "SubscriptionConfirmation":
        where = body.get("SubscribeURL") or "the subscription in the SNS console"
        return Parsed(refused=(("SNS", f"asks whether it may write here; to say yes, open {where}"),))
    if body["Type"] != "Notification":
        return Parsed(unknown=(str(body["Type"])[:80],))
    event = body.get("event") or {}
    kind = str(event.get("eventType") or "no event")
    if kind not in WORDS:
        return Parsed(unknown=(kind[:80],))
    word = WORDS[kind]
    return Parsed(mail_events=tuple(_events(event, kind, word)) if word else ())


def _events(event: Mapping[str, Any], kind: str, word: MailWord) -> Iterable[MailEvent]:
    """One for each address. We write to one only; others who send through the same topic may not."""
    mail, part = event["mail"], event.get(kind.lower()) or {}
    if part.get("complaintFeedbackType") == "not-spam" or (kind == "Subscription" and not part.get("stops")):
        return
    moment = str(part.get("timestamp") or mail["timestamp"])
    message_id = str(mail["messageId"])
    often = word in {MailWord.OPENED, MailWord.CLICKED}
    named = f"{message_id}:{kind.lower()}:{part.get('feedbackId') or (moment if often else '')}".rstrip(":")
    addresses = part.get("addresses") or part.get("recipients") or mail.get("destination") or ()
    for number, whose in enumerate(addresses):
        yield MailEvent(
            word,
            from_iso(moment),
            f"{named}:{number}" if number else named,
            _plain(str(whose)),
            effect_id=str(mail.get(OURS) or ""),
            reference=message_id,
            # https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
            final=part.get("bounceType") == "Permanent",
            detail=" ".join(str(part[name]) for name in ("bounceType", "bounceSubType", "complaintFeedbackType") if part.get(name)),
        )  # fmt: skip


def _plain(words: str) -> str:
    """`ada@x.example` for `Ada <ada@x.example>`: what was written to is told as it was written."""
    try:
        return mailbox(words).address
    except ValueError:
        return words


# -- writes -----------------------------------------------------------------------------------------------------------


class SesMailer:
    """SES in one region: the role `worker.integration.Mailer`."""

    deduplicates = False
    connections = 8

    def __init__(self, http: Http, settings: SesSettings, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._settings = http, settings

    def send(self, letter: Letter) -> str:
        """Hand one letter over; gives SES's MessageId. Raises Retry, GiveUp, Reconnect or Unsure."""
        try:
            body = json.dumps(mail(letter, self._settings))
        except ValueError as error:
            raise GiveUp(f"The mail to {shown(letter.to)} cannot be sent: {error}") from None
        reply = _call(self._http, self._settings, "POST", SEND, body)
        told = reply.data if isinstance(reply.data, dict) else {}
        if not told.get("MessageId"):
            raise Unsure(f"Amazon SES answered {one_line(reply.text, 80)!r}, which names no mail")
        return str(told["MessageId"])

    def find(self, sought: Sought) -> str | None:
        """SES keeps no list that could be asked."""
        return None

    def close(self) -> None:
        """The connection is the workspace's."""


def mail(letter: Letter, settings: SesSettings) -> dict[str, Any]:
    """The body of SendEmail. Names are encoded by us, since SES takes ASCII there. Raises ValueError."""
    content: dict[str, Any] = {"Text": {"Data": with_bytes(letter.text), "Charset": "UTF-8"}}
    if letter.html:
        content["Html"] = {"Data": with_bytes(letter.html), "Charset": "UTF-8"}
    body: dict[str, Any] = {
        "FromEmailAddress": str(mailbox(letter.sender)),
        "Destination": {"ToAddresses": [str(Mailbox(one_line(letter.to_name, LONGEST_NAME), address(letter.to)))]},
        "Content": {
            "Simple": {
                "Subject": {"Data": one_line(letter.subject, LONGEST_SUBJECT), "Charset": "UTF-8"},
                "Body": content,
                "Headers": [
                    {"Name": name, "Value": value} for name, value in one_click(letter.unsubscribe_url).items()
                ],
            }
        },
    }
    if letter.reply_to:
        body["ReplyToAddresses"] = [str(mailbox(letter.reply_to))]
    if letter.effect_id:
        body["EmailTags"] = [{"Name": OURS, "Value": letter.effect_id}]
    marketing = letter.purpose == "marketing"
    if chosen := settings.marketing_configuration_set if marketing else settings.configuration_set:
        body["ConfigurationSetName"] = chosen
    return body


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: SesSettings) -> Iterable[str]:
    """What the account may send."""
    account = _call(http, settings, "GET", "/v2/email/account").data or {}
    quota = account.get("SendQuota") or {}
    yield (
        f"Connected to Amazon SES in {settings.region}: {quota.get('SentLast24Hours', 0):,.0f} of"
        f" {quota.get('Max24HourSend', 0):,.0f} mails sent in 24 hours"
    )
    rate = float(quota.get("MaxSendRate") or 0)
    if 0 < rate < settings.per_second:
        yield f"It lets {rate:g} mails a second through; set per_second to that"
    if account.get("SendingEnabled") is False:
        yield "Sending is switched off for this account"
    if account.get("ProductionAccessEnabled") is False:
        yield "It is in Amazon's sandbox: only verified addresses get mail"
    if settings.hook_secret is None:
        yield "No hook_secret is set, so nothing is heard of bounces and complaints"


INTEGRATION = Integration(
    name=NAME,
    title="Amazon SES",
    does="mail, out; deliveries, bounces, complaints, opens and clicks, in",
    settings=SesSettings,
    docs="https://docs.aws.amazon.com/ses/latest/APIReference-V2/",
    connect=connect,
    verify=verify,
    parse=parse,
    mailer=SesMailer,
    check=check,
)
