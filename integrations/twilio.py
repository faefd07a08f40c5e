"""Twilio: text messages, out; what became of them, answers, and STOP, in.

Documentation: https://www.twilio.com/docs/messaging/api/message-resource and /docs/usage/webhooks/messaging-webhooks

Oddities
- No idempotency key: a message that is posted twice leaves twice, and costs twice. A message holds no field of ours, so
  the list of what went to a number is asked, by when.
- Our own name of a message goes along as the last part of the address for its status callbacks, and so comes back.
- Webhooks are forms, signed over the address that Twilio called, which behind a proxy is not the one seen here: it is a
  setting. The auth token signs them; while it is replaced, the old one is accepted too.
- The signature joins names and values without a sign between them, so only the fields that are used are kept, and each
  must look like what it is.
- Twilio answers STOP and the like by itself and lets nothing more through (21610). It is heard here too, and stops text
  messages to that number and nothing else. START opens Twilio's door again, but not ours.
- A webhook tells no moment; it happened when it arrived.
- Our acknowledgement of an incoming message is JSON and not TwiML: Twilio notes a warning (12300) and sends no answer,
  as is meant.
- What people wrote is dropped before a message is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import Field, field_validator

from worker.facts import Delivery, MailEvent, MailWord, Parsed
from worker.integration import Incoming, Integration, Letter, Receipt, Refused, SecretStr, Settings, Sought
from worker.lib.addresses import one_line, phone, shown, with_bytes
from worker.lib.clock import MINUTE, Clock, seconds
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Reply, Retry, Unsure
from worker.lib.signing import signature_matches

NAME: Final = "twilio"

LONGEST: Final = 1600
"""Characters of a message; a longer one is refused (21617)."""
MOST_FIELDS: Final = 100
LISTED_AFTER: Final = 2 * MINUTE
"""How long Twilio may take to list a message is nowhere written; before this, that it is not listed says nothing."""
CLOCKS_DIFFER: Final = 2 * MINUTE
"""So far before our try a message may be dated and still be it …"""
TRIES_LAST: Final = 15 * MINUTE
"""… and so far after it began: while Twilio is busy, a call waits and is made again."""


# -- settings ---------------------------------------------------------------------------------------------------------


class TwilioSettings(Settings):
    """How one Twilio account is reached."""

    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", examples=["AC…"], description="The account's SID.")
    auth_token: SecretStr = Field(description="The account's auth token; it opens the API and signs the webhooks.")
    auth_token_old: SecretStr | None = Field(
        default=None, description="The one before; what it signs is accepted while the token is being replaced."
    )
    sender: str = Field(
        examples=["+15005550006"],
        description="Who sends: a number in E.164 form, a sender's name, or a messaging service (MG…).",
    )
    hook_url: str = Field(
        default="",
        description="Where Twilio finds our hook, as it is seen from outside: https://keepwell.example/hooks/twilio",
    )
    per_second: float = Field(default=1.0, gt=0, le=100, description="Messages a second; a long code takes one.")
    base_url: str = Field(default="https://api.twilio.com", description="Where Twilio's API is.")

    @field_validator("hook_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in {"https", "http"} or "?" in url or not urlsplit(url).hostname):
            raise ValueError("is no address of a hook; write https://keepwell.example/hooks/twilio")
        return url.rstrip("/")

    @property
    def tokens(self) -> list[str]:
        """Those whose signature is accepted now."""
        return [one.get_secret_value() for one in (self.auth_token, self.auth_token_old) if one is not None]


def connect(settings: TwilioSettings, clock: Clock) -> Http:
    """Twilio's connection, at the rate of the sender."""
    return Http(
        "Twilio",
        settings.base_url,
        clock,
        auth=(settings.account_sid, settings.auth_token.get_secret_value()),
        per_second=settings.per_second,
        burst=max(1.0, settings.per_second),
        judge=judge,
    )


# -- what Twilio answers ----------------------------------------------------------------------------------------------

CURES: Final[Mapping[int, str]] = {
    20005: "the account is not active; see Twilio's console",
    21212: "the sender is no number of Twilio's; is `sender` right?",
    21408: "messages to that country are not switched on; see the geographic permissions in Twilio's console",
    21603: "there is no sender; is `sender` right?",
    21606: "the sender cannot send text messages from this account; is `sender` right?",
    21608: "a trial account writes to verified numbers only; upgrade it",
    21659: "the sender is no number of this account; is `sender` right?",
    21660: "the sender is another account's; is `sender` right?",
    21705: "there is no such messaging service; is `sender` right?",
}
"""Error -> what a person has to do; the message can leave afterwards. https://www.twilio.com/docs/api/errors"""


def judge(reply: Reply) -> Failure | None:
    """Read Twilio's error code; what has none is judged by its status.

    21211 and 21614 (no number that takes messages), 21610 (its owner said STOP), 21617 (too long) and whatever is not in
    the table will not be better the next time.
    """
    if reply.status not in {400, 404}:
        return None
    try:
        told = json.loads(reply.text)
        code, words = int(told["code"]), one_line(str(told["message"]), 200)
    except (ValueError, TypeError, KeyError):
        return None
    if code in CURES:
        return Reconnect(f"Twilio answered {code} {words}: {CURES[code]}")
    return GiveUp(f"Twilio does not take the message: {code} {words}")


# -- what Twilio's events mean ----------------------------------------------------------------------------------------

WORDS: Final[Mapping[str, MailWord | None]] = {
    "delivered": MailWord.DELIVERED,
    "read": MailWord.OPENED,
    "undelivered": MailWord.BOUNCED,
    "failed": MailWord.BOUNCED,
    **dict.fromkeys(
        ("accepted", "scheduled", "queued", "sending", "sent", "canceled", "partially_delivered", "receiving")
    ),
}
"""MessageStatus -> our word, None for what says nothing yet."""

NEVER_AGAIN: Final = frozenset({"21211", "21614", "21635", "30005", "30006"})
"""Errors that say that no message can reach this number: it is none, unknown, or a landline."""
STOPPED: Final = "21610"
"""The number's owner has said STOP to Twilio before."""

STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
"""A message that is one of these words and nothing else. Advanced Opt-Out tells of others by OptOutType.

https://help.twilio.com/articles/223134027
"""

KEPT: Final[Mapping[str, re.Pattern[str]]] = {
    "AccountSid": re.compile(r"AC[0-9a-fA-F]{32}"),
    "MessageSid": re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}"),
    "MessageStatus": re.compile(r"[a-z_]{1,40}"),
    "From": re.compile(r"[^\x00-\x1f]{1,60}"),
    "To": re.compile(r"[^\x00-\x1f]{1,60}"),
    "ErrorCode": re.compile(r"[0-9]{0,6}"),
    "OptOutType": re.compile(r"[A-Z]{1,20}"),
}
"""What is stored of a webhook, and what it must look like."""


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: TwilioSettings, now: int) -> Receipt:
    """Believe a webhook by X-Twilio-Signature: base64 of HMAC-SHA1 over the address and the sorted fields.

    https://www.twilio.com/docs/usage/security#validating-requests. The last part of the path, where there is one, is our
    own name of the message, and is signed with the rest.
    """
    if not settings.hook_url:
        raise Refused(401, "Twilio's webhooks are not set up here; set hook_url first.", "unsigned")
    offered = incoming.headers.get("x-twilio-signature", "")
    if not offered:
        raise Refused(401, "X-Twilio-Signature is missing.", "unsigned")
    fields = _fields(incoming.body)
    url = settings.hook_url + (f"/{quote(incoming.secret, safe='')}" if incoming.secret else "")
    message = "".join(f"{name}{fields[name]}" for name in sorted(fields))
    if not any(
        signature_matches(settings.tokens, f"{one}{message}".encode(), [offered], algorithm="sha1", encoding="base64")
        for one in _spellings(url)
    ):
        raise Refused(401, "X-Twilio-Signature does not match; are auth_token and hook_url right?", "forged")
    kept = {name: fields[name] for name in KEPT if name in fields}
    if wrong := [name for name, value in kept.items() if not KEPT[name].fullmatch(value)]:
        raise Refused(400, f"{wrong[0]} is not what Twilio sends there.", "malformed")
    if kept.get("AccountSid") != settings.account_sid or "MessageSid" not in kept or "From" not in kept:
        raise Refused(400, "This is no webhook about a message of this account's.", "no_event")
    if "MessageStatus" not in kept and _says_stop(fields.get("Body", "")):
        kept["OptOutType"] = "STOP"
    if incoming.secret:
        kept["effect_id"] = incoming.secret[:100]
    return Receipt(f"{kept['MessageSid']}:{kept.get('MessageStatus', 'in')}", json.dumps(kept, sort_keys=True))


def _fields(body: bytes) -> dict[str, str]:
    """The form. Raises Refused for what is none that can be read in one way only."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict",
            max_num_fields=MOST_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise Refused(400, "A webhook of Twilio's is a form in UTF-8.", "not_a_form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in name + value for name, value in pairs):
        raise Refused(400, "A field stands twice in this form, or holds what is no text.", "not_a_form")
    return fields


def _spellings(url: str) -> list[str]:
    """The address as it is, and with the usual port: which of both is signed has varied (as Twilio's libraries know)."""
    parts = urlsplit(url)
    if parts.port is not None:
        return [url, url.replace(f":{parts.port}", "", 1)] if parts.port in {80, 443} else [url]
    usual = 443 if parts.scheme == "https" else 80
    return [url, url.replace(parts.netloc, f"{parts.netloc}:{usual}", 1)]


def _says_stop(words: str) -> bool:
    return words.strip().upper() in STOP_WORDS


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: TwilioSettings) -> Parsed:
    """What a status callback or an incoming message says. Raises ValueError for a body of no known shape."""
    told = json.loads(delivery.body)
    if not isinstance(told, dict) or "MessageSid" not in told:
        raise ValueError("this is no webhook of Twilio's")
    if "MessageStatus" in told:
        return _status(told, delivery.received_at)
    whose = str(told["From"])
    try:
        phone(whose)
    except ValueError:
        return Parsed(unknown=(f"a message from {whose.partition(':')[0][:20]}",))  # WhatsApp, a short code
    stop = told.get("OptOutType") == "STOP"
    word = MailWord.UNSUBSCRIBED if stop else MailWord.REPLIED
    event = MailEvent(word, delivery.received_at, f"{told['MessageSid']}:{word.value}", whose)
    return Parsed(mail_events=(event,))


def _status(told: Mapping[str, Any], received_at: int) -> Parsed:
    status, error = str(told["MessageStatus"]), str(told.get("ErrorCode") or "")
    if status not in WORDS:
        return Parsed(unknown=(status,))
    word = WORDS[status]
    if word is None:
        return Parsed()
    if word is MailWord.BOUNCED and error == STOPPED:
        word = MailWord.UNSUBSCRIBED
    event = MailEvent(
        word,
        received_at,
        f"{told['MessageSid']}:{word.value}",
        str(told.get("To") or ""),
        effect_id=str(told.get("effect_id") or ""),
        reference=str(told["MessageSid"]),
        final=word is MailWord.BOUNCED and error in NEVER_AGAIN,
        detail=error,
    )
    return Parsed(mail_events=(event,))


# -- writes -----------------------------------------------------------------------------------------------------------


class TwilioTexter:
    """One sender of Twilio's: the role `worker.integration.Mailer`, for text messages."""

    deduplicates = False
    connections = 4

    def __init__(self, http: Http, settings: TwilioSettings, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._settings, self._clock = http, settings, clock
        self._path = f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json"

    def send(self, letter: Letter) -> str:
        """Hand one message over; gives its SID. Raises Retry, GiveUp, Reconnect or Unsure."""
        try:
            form = message(letter, self._settings)
        except ValueError as error:
            raise GiveUp(f"The message to {shown(letter.to)} cannot be sent: {error}") from None
        reply = self._http.post(self._path, data=form)
        told = reply.data if isinstance(reply.data, dict) else {}
        if not told.get("sid"):
            raise Unsure(f"Twilio answered {one_line(reply.text, 80)!r}, which names no message")
        return str(told["sid"])

    def find(self, sought: Sought) -> str | None:
        """Ask what went from our sender to that number at about that time; the newest are listed first.

        Not by DateSent, which a message has only once it has left Twilio. Raises Retry while it is too early to say that
        a message never left.
        """
        told = self._http.get(self._path, {"To": sought.to, "PageSize": 100}).data
        listed = told.get("messages") if isinstance(told, dict) else None
        if not isinstance(listed, list):
            raise GiveUp("Twilio answered the list of messages with something else; is base_url right?")
        moments = []
        for one in listed:
            created = int(parsedate_to_datetime(one["date_created"]).timestamp())
            moments.append(created)
            if self._is_ours(one) and -CLOCKS_DIFFER <= created - sought.tried_at <= TRIES_LAST:
                return str(one["sid"])
        age = seconds(self._clock) - sought.tried_at
        if age < LISTED_AFTER:
            raise Retry("Twilio may not have listed the message yet", LISTED_AFTER - age)
        further = bool(told.get("next_page_uri")) and min(moments, default=0) > sought.tried_at - CLOCKS_DIFFER
        return None if further else ""

    def _is_ours(self, one: Mapping[str, Any]) -> bool:
        sender = one.get("messaging_service_sid" if _is_service(self._settings.sender) else "from")
        return bool(sender == self._settings.sender and str(one.get("direction", "")).startswith("outbound"))

    def close(self) -> None:
        """The connection is the workspace's."""


def _is_service(sender: str) -> bool:
    return re.fullmatch(r"MG[0-9a-fA-F]{32}", sender) is not None


def message(letter: Letter, settings: TwilioSettings) -> dict[str, str]:
    """The form of a new message. Raises ValueError for what can never be sent."""
    text = with_bytes(letter.text).replace("\0", "").strip()
    if not text or len(text) > LONGEST:
        raise ValueError(f"the text has {len(text)} characters; 1 to {LONGEST} can be sent")
    sender = "MessagingServiceSid" if _is_service(settings.sender) else "From"
    form = {"To": phone(letter.to), "Body": text, sender: settings.sender}
    if settings.hook_url:
        form["StatusCallback"] = "/".join(
            [settings.hook_url, *([quote(letter.effect_id, safe="")] * bool(letter.effect_id))]
        )
    return form


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: TwilioSettings) -> Iterable[str]:
    """Whose account it is."""
    account = http.get(f"/2010-04-01/Accounts/{settings.account_sid}.json").data or {}
    if account.get("status") != "active":
        raise Reconnect(f"The Twilio account is {account.get('status') or 'unknown'}, not active; see Twilio's console")
    yield f"Connected to the Twilio account {one_line(str(account.get('friendly_name') or '?'), 80)}"
    if account.get("type") == "Trial":
        yield "It is a trial: only verified numbers get messages"
    if not settings.hook_url:
        yield "No hook_url is set, so nothing is heard of answers and of STOP"


INTEGRATION = Integration(
    name=NAME,
    title="Twilio",
    does="text messages, out; what became of them, answers and STOP, in",
    settings=TwilioSettings,
    docs="https://www.twilio.com/docs/messaging",
    connect=connect,
    verify=verify,
    parse=parse,
    texter=TwilioTexter,
    check=check,
)
