"""Postmark: mail by HTTP, out; deliveries, bounces, complaints, opens, clicks, opt-outs and replies, in.

Documentation: https://postmarkapp.com/developer/api/email-api and /developer/webhooks/webhooks-overview

Oddities
- One token belongs to one server; a server has message streams, and transactional and broadcast mail must not share one.
- No idempotency key: a mail that is posted twice leaves twice. But mails can be searched by one field of metadata, and
  every webhook gives the metadata back; ours is `keepwell`, the effect's id.
- An error is a 422 with an ErrorCode of its own; a 200 is done. Of a 500 the vendor says that the mail is lost "in most
  cases", so nobody can know.
- A broadcast stream adds an unsubscribe link of Postmark's own, unless Postmark has allowed the stream to do without.
  Who follows it is told by SubscriptionChange and is heard here like anybody else.
- Webhooks are not signed. Their path holds a secret: `/hooks/postmark/<secret>`, the same for every stream, and for
  incoming mail (which is a reply). A 403 would make Postmark give up at once; anything else is tried again for ten hours.
- What people wrote, where they are and what they read with is cut out of a webhook before it is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import Field

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
from worker.lib.clock import DAY, MINUTE, Clock, from_iso, seconds
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Retry, Unsure
from worker.lib.signing import secret_matches
from worker.lib.strict_json import read_json

NAME: Final = "postmark"
OURS: Final = "keepwell"
"""The field of metadata that holds our own name of a mail. Names have at most 20 characters, values 80."""

LISTED_AFTER: Final = 2 * MINUTE
"""How long Postmark may take to list a mail is nowhere written; before this, that it is not listed says nothing."""
LISTED_FOR: Final = 7 * DAY
"""The shortest time for which a server can be set to keep mails."""


# -- settings ---------------------------------------------------------------------------------------------------------


class PostmarkSettings(Settings):
    """How one Postmark server is reached."""

    token: SecretStr = Field(description="The server's API token, from its tab API Tokens.")
    hook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The last part of the address given to Postmark's webhooks: 16 or more random characters.",
    )
    stream: str = Field(default="outbound", description="The message stream for service and transactional mail.")
    marketing_stream: str = Field(default="broadcast", description="The message stream for marketing mail.")
    track_opens: bool = Field(
        default=False, description="Whether Postmark puts a picture into mails that tells of opening."
    )
    track_links: bool = Field(
        default=False, description="Whether Postmark leads links through itself to tell of clicks."
    )
    base_url: str = Field(default="https://api.postmarkapp.com", description="Where Postmark's API is.")


def connect(settings: PostmarkSettings, clock: Clock) -> Http:
    """Postmark's connection. No limit is published; a 429 is heeded."""
    return Http(
        "Postmark",
        settings.base_url,
        clock,
        headers={"X-Postmark-Server-Token": settings.token.get_secret_value()},
        per_second=20.0,
        burst=20,
        judge=judge,
    )


# -- what Postmark answers --------------------------------------------------------------------------------------------

CURES: Final[Mapping[int, str]] = {
    400: "the sender is no sender signature of this server; add sender_address or its domain in Postmark",
    401: "the sender signature is not confirmed; follow the link in Postmark's mail to it",
    405: "the account has run out of mails; see its billing",
    412: "the account waits for Postmark's approval and may only write to its own domain until then",
    413: "Postmark does not let this account send; ask its support",
    1235: "there is no such message stream; are stream and marketing_stream right?",
}
"""ErrorCode -> what a person has to do; the mail can leave afterwards. https://postmarkapp.com/developer/api/overview"""


def judge(reply: Reply) -> Failure | None:
    """Read Postmark's ErrorCode; what has none is judged by its status.

    406 (inactive recipient: it bounced or complained before), 300 (invalid request) and whatever is not in the table
    will not be better the next time.
    """
    if reply.status != 422:
        return None
    try:
        said = json.loads(reply.text)
        code, words = int(said["ErrorCode"]), one_line(str(said["Message"]), 200)
    except (ValueError, TypeError, KeyError):
        return None
    if code in CURES:
        return Reconnect(f"Postmark answered {code} {words}: {CURES[code]}")
    return GiveUp(f"Postmark does not take the mail: {code} {words}")


# -- what Postmark's events mean --------------------------------------------------------------------------------------

WORDS: Final[Mapping[str, MailWord]] = {
    "Delivery": MailWord.DELIVERED,
    "Open": MailWord.OPENED,
    "Click": MailWord.CLICKED,
    "Bounce": MailWord.BOUNCED,
    "SpamComplaint": MailWord.COMPLAINED,
    "SubscriptionChange": MailWord.UNSUBSCRIBED,
    "Inbound": MailWord.REPLIED,
}
"""RecordType -> our word. An incoming mail has no RecordType; `verify` gives it one."""

NEVER_AGAIN: Final = frozenset({"HardBounce", "BadEmailAddress"})
"""Types of bounce after which the address takes nothing any more; others where `Inactive` says so."""

NO_BOUNCES: Final = frozenset(
    {"AutoResponder", "Subscribe", "AddressChange", "ChallengeVerification", "OpenRelayTest", "InboundError",
     "TemplateRenderingFailed"}
)  # fmt: skip
"""Types of bounce that say nothing of whether a mail arrived. https://postmarkapp.com/developer/api/bounce-api"""

MOMENTS: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")
"""Where an event says when it happened; each has one of them."""

KEPT: Final = frozenset(
    {"RecordType", "ID", "Type", "MessageID", "MessageStream", "Recipient", "Email", "Inactive", "Origin",
     "SuppressSending", "SuppressionReason", "InReplyTo", "Automatic", *MOMENTS}
)  # fmt: skip
"""What is stored of an event, besides our own metadata."""


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: PostmarkSettings, now: int) -> Receipt:
    """Believe a webhook by the secret part of its path. Of what it says only `KEPT` is stored."""
    if settings.hook_secret is None:
        raise Refused(401, "Postmark's webhooks are not set up here; set hook_secret first.", "unsigned")
    if not secret_matches([settings.hook_secret.get_secret_value()], incoming.secret):
        raise Refused(401, "The address of this webhook is not the one set up; is hook_secret its last part?", "forged")
    event = read_json(incoming.body)
    if not isinstance(event, dict):
        raise Refused(400, "A webhook of Postmark's is a JSON object.", "not_json")
    if "RecordType" not in event and isinstance(event.get("FromFull"), dict):
        event = _incoming_mail(event)
    kind, message_id = event.get("RecordType"), event.get("MessageID")
    if not isinstance(kind, str) or not isinstance(message_id, str):
        raise Refused(400, "This is no event of Postmark's: it has no RecordType or no MessageID.", "no_event")
    kept: dict[str, Any] = {
        key: value for key, value in event.items() if key in KEPT and isinstance(value, str | int | bool)
    }
    metadata = event.get("Metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get(OURS), str):
        kept["Metadata"] = {OURS: metadata[OURS]}
    moment = next((str(event[name]) for name in MOMENTS if name in event), "")
    return Receipt(f"{kind}:{message_id}:{moment}"[:400], json.dumps(kept, sort_keys=True))


def _incoming_mail(mail: Mapping[str, Any]) -> dict[str, Any]:
    """An incoming mail as an event: who answered which mail, and whether a machine did (RFC 3834 §5)."""
    headers: dict[str, str] = {}
    for one in mail.get("Headers") or ():
        if isinstance(one, dict) and isinstance(one.get("Name"), str):
            headers.setdefault(one["Name"].lower(), str(one.get("Value") or ""))
    sender = mail["FromFull"].get("Email")
    automatic = headers.get("auto-submitted", "no").strip().lower() != "no" or "x-autoreply" in headers
    return {
        "RecordType": "Inbound",
        "MessageID": mail.get("MessageID"),
        "MessageStream": mail.get("MessageStream"),
        "Email": sender if isinstance(sender, str) else "",
        "InReplyTo": headers.get("in-reply-to", "")[:300],
        "Automatic": automatic,
    }


# -- parse ------------------------------------------------------------------------------------------------------------

_ANSWERED: Final = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@[^<>@]+>")
"""Postmark writes the Message-ID of what it sends from its own name of the mail, at mtasv.net or a domain of the sender's."""


def parse(delivery: Delivery, settings: PostmarkSettings) -> Parsed:
    """What an event says. Raises ValueError for a body of no known shape."""
    event = json.loads(delivery.body)
    if not isinstance(event, dict) or "RecordType" not in event:
        raise ValueError("this is no event of Postmark's")
    kind = str(event["RecordType"])
    word = WORDS.get(kind)
    if word is None:
        return Parsed(unknown=(kind,))
    found = _reply(event, delivery) if word is MailWord.REPLIED else _event(event, word)
    return Parsed(mail_events=(found,) if found else ())


def _event(event: Mapping[str, Any], word: MailWord) -> MailEvent | None:
    """The event in our words, None where it says nothing of a mail."""
    detail = str(event.get("Type") or "")
    final = detail in NEVER_AGAIN or event.get("Inactive") is True
    if word is MailWord.BOUNCED:
        if detail in NO_BOUNCES:
            return None
        word = {"SpamComplaint": MailWord.COMPLAINED, "Unsubscribe": MailWord.UNSUBSCRIBED}.get(detail, word)
    elif word is MailWord.UNSUBSCRIBED:
        if event.get("SuppressSending") is not True:
            return None  # Postmark may write again; whether we may, only the address's owner can say, to us
        detail = str(event.get("SuppressionReason") or "")
        final = detail == "HardBounce"
        word = {"HardBounce": MailWord.BOUNCED, "SpamComplaint": MailWord.COMPLAINED}.get(detail, word)
    moment = next((str(event[name]) for name in MOMENTS if event.get(name)), "")
    message_id = str(event["MessageID"])
    return MailEvent(
        word,
        from_iso(moment),
        _name(word, message_id, event, moment, final=final),
        str(event.get("Recipient") or event.get("Email") or ""),
        effect_id=str((event.get("Metadata") or {}).get(OURS) or ""),
        reference=message_id,
        final=final and word is MailWord.BOUNCED,
        detail=detail,
    )


def _name(word: MailWord, message_id: str, event: Mapping[str, Any], moment: str, *, final: bool) -> str:
    """A name for what happened, not for who told it: a hard bounce is told twice, once as a change of subscription."""
    once = word in {MailWord.DELIVERED, MailWord.COMPLAINED, MailWord.UNSUBSCRIBED} or (
        word is MailWord.BOUNCED and final
    )
    return f"{message_id}:{word.value}" + ("" if once else f":{event.get('ID') or moment}")


def _reply(event: Mapping[str, Any], delivery: Delivery) -> MailEvent | None:
    """An answer, unless a machine gave it. Dated by when it arrived here: its own date is the sender's clock's."""
    if event.get("Automatic") is True:
        return None
    answered = _ANSWERED.search(str(event.get("InReplyTo") or "").lower())
    return MailEvent(
        MailWord.REPLIED,
        delivery.received_at,
        f"{event['MessageID']}:replied",
        str(event.get("Email") or ""),
        reference=answered[1] if answered else "",
    )


# -- writes -----------------------------------------------------------------------------------------------------------


class PostmarkMailer:
    """One server of Postmark's: the role `worker.integration.Mailer`."""

    deduplicates = False
    connections = 8

    def __init__(self, http: Http, settings: PostmarkSettings, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._settings, self._clock = http, settings, clock

    def send(self, letter: Letter) -> str:
        """Hand one letter over; gives Postmark's MessageID. Raises Retry, GiveUp, Reconnect or Unsure."""
        try:
            body = mail(letter, self._settings)
        except ValueError as error:
            raise GiveUp(f"The mail to {shown(letter.to)} cannot be sent: {error}") from None
        reply = self._http.post("/email", json=body)
        told = reply.data if isinstance(reply.data, dict) else {}
        if told.get("ErrorCode") != 0 or not told.get("MessageID"):
            raise Unsure(f"Postmark answered {one_line(reply.text, 80)!r}, which names no mail")
        return str(told["MessageID"])

    def find(self, sought: Sought) -> str | None:
        """Ask the message search, by our own name of the mail, in both streams.

        Raises Retry while it is too early to say that a mail never left.
        """
        listed_all = True
        for stream in dict.fromkeys((self._settings.stream, self._settings.marketing_stream)):
            # A search takes one field of metadata; without a stream it looks into the default one only.
            wanted = {"count": 50, "offset": 0, f"metadata_{OURS}": sought.effect_id, "messagestream": stream}
            told = self._http.get("/messages/outbound", wanted).data
            messages = told.get("Messages") if isinstance(told, dict) else None
            if not isinstance(messages, list):
                raise GiveUp("Postmark answered the search with something else; is base_url right?")
            for one in messages:
                if isinstance(one, dict) and (one.get("Metadata") or {}).get(OURS) == sought.effect_id:
                    return str(one.get("MessageID"))
            listed_all &= not messages  # others came: the filter was not understood, and says nothing
        age = seconds(self._clock) - sought.tried_at
        if age < LISTED_AFTER:
            raise Retry("Postmark may not have listed the mail yet", LISTED_AFTER - age)
        return "" if listed_all and age < LISTED_FOR else None

    def close(self) -> None:
        """The connection is the workspace's."""


def mail(letter: Letter, settings: PostmarkSettings) -> dict[str, Any]:
    """The body of POST /email. Raises ValueError for what can never be sent."""
    body: dict[str, Any] = {
        "From": mailbox(letter.sender).in_unicode,
        "To": Mailbox(one_line(letter.to_name, LONGEST_NAME), address(letter.to)).in_unicode,
        "Subject": one_line(letter.subject, LONGEST_SUBJECT),
        "TextBody": with_bytes(letter.text),
        "MessageStream": settings.marketing_stream if letter.purpose == "marketing" else settings.stream,
        "Headers": [{"Name": name, "Value": value} for name, value in one_click(letter.unsubscribe_url).items()],
        "TrackOpens": settings.track_opens,
        "TrackLinks": "HtmlAndText" if settings.track_links else "None",
    }
    if letter.reply_to:
        body["ReplyTo"] = mailbox(letter.reply_to).in_unicode
    if letter.html:
        body["HtmlBody"] = with_bytes(letter.html)
    if letter.effect_id:
        body["Metadata"] = {OURS: letter.effect_id}
    if letter.play:
        body["Tag"] = one_line(letter.play, 100)
    return body


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: PostmarkSettings) -> Iterable[str]:
    """Which server the token opens."""
    server = http.get("/server").data or {}
    yield f"Connected to the Postmark server {one_line(str(server.get('Name') or '?'), 80)}"
    if server.get("DeliveryType") == "Sandbox":
        yield "It is a sandbox: Postmark takes mails and delivers none"
    if settings.hook_secret is None:
        yield "No hook_secret is set, so nothing is heard of bounces, complaints and opt-outs"


INTEGRATION = Integration(
    name=NAME,
    title="Postmark",
    does="mail, out; deliveries, bounces, complaints, opens, clicks, opt-outs and replies, in",
    settings=PostmarkSettings,
    docs="https://postmarkapp.com/developer",
    connect=connect,
    verify=verify,
    parse=parse,
    mailer=PostmarkMailer,
    check=check,
)
