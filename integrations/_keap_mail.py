"""Mails by Keap, and Keap's history of mails that left by another way.

`emails:send` answers 202 and says nothing more: no id, no word on whether a contact may be written to at all, and no key
by which it knew a mail that it gets twice. So each mail goes to one contact, whose address is looked at just before;
and a mail whose answer got lost is looked for in the list of sent mails. Keap adds its own footer, with its own link to
opt out, which comes back as the contact's status; our `List-Unsubscribe` cannot be handed over.

Into the history we write under an id of our own (`original_provider_id`), which Keap takes once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from typing import Any, Final, Protocol

from integrations._keap_calls import API, MAILABLE, identifier, is_number, listed, query
from worker.integration import Letter, Logged, Sought
from worker.lib.clock import HOUR, MINUTE, Clock, iso
from worker.lib.http import Failure, GiveUp, Http, Unsure

SLOTS: Final[Mapping[str, str]] = {"EMAIL1": "Email", "EMAIL2": "EmailAddress2", "EMAIL3": "EmailAddress3"}
"""A contact's e-mail slot -> the `address_field` by which a mail goes to it."""

SLACK: Final = 10 * MINUTE
"""How far Keap's clock may be behind ours."""
LISTED: Final = HOUR
"""What is not among the sent mails so long after it was tried never left. How long Keap takes is nowhere written."""

LONGEST_SUBJECT: Final = 250

NOTED_AT_ONCE: Final = 1000
"""Mails in one `emails:batchAdd`, at most."""
NOTED_BYTES: Final = 4_000_000
"""Letters of content in one, at most; how much Keap takes is nowhere written."""

OURS: Final = "keepwell:"
"""How the ids begin under which we write into the history."""

_MERGE_FIELD: Final = re.compile(r"~(?=[\w.]+~)")


class SendingSettings(Protocol):
    """What sending needs to be told."""

    @property
    def mail_user_id(self) -> str:
        """The Keap user in whose name mails leave, "" for the letter's own sender."""


class KeapMailer:
    """Keap as a channel for mail: the role `worker.integration.Mailer`. Two calls a mail, of 3.5 a second."""

    deduplicates = False
    connections = 2

    def __init__(self, http: Http, settings: SendingSettings, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._settings, self._clock = http, settings, clock

    def send(self, letter: Letter) -> str:
        """Hand one letter over; gives its message id, since Keap gives none. Raises Retry, GiveUp, Reconnect or Unsure."""
        if not is_number(letter.contact_id):
            raise GiveUp(f"Keap sends to its contacts only, and {letter.to} stands on none")
        body = {
            "contacts": [letter.contact_id],
            "subject": subject(letter.subject),
            "plain_content": _base64(plain(letter.text)),
            "html_content": _base64(letter.html.replace("~", "&#126;")),
            "address_field": self._address_field(letter.contact_id, letter.to),
            **self._sender(letter),
        }
        self._http.post(f"{API}/emails:send", json={name: value for name, value in body.items() if value})
        return letter.message_id

    def _sender(self, letter: Letter) -> dict[str, str]:
        """Exactly one of the two that Keap knows."""
        if self._settings.mail_user_id:
            return {"user_id": self._settings.mail_user_id}
        return {"from_address": parseaddr(letter.sender)[1]}

    def _address_field(self, contact_id: str, to: str) -> str:
        """Which of the contact's addresses is meant. Raises GiveUp where it is none of them, or is not written to."""
        contact = self._http.get(f"{API}/contacts/{contact_id}?{query(fields='id,email_addresses')}").data or {}
        for entry in contact.get("email_addresses") or ():
            if entry.get("field") in SLOTS and str(entry.get("email") or "").strip().casefold() == to.casefold():
                status = str(entry.get("email_opt_status") or "")
                if entry.get("is_opt_in") is not True or status not in MAILABLE:
                    raise GiveUp(f"Keap sends nothing to {to}: its status there is {status or 'unknown'}")
                return SLOTS[str(entry["field"])]
        raise GiveUp(f"The contact {contact_id} does not have the address {to} in Keap")

    def find(self, sought: Sought) -> str | None:
        """Keap's id of the mail; "" where it is not there after an hour, None before. Raises lib.http's Failure kinds."""
        if not is_number(sought.contact_id):
            return ""  # nothing was handed over without a contact
        if not sought.subject:
            return None
        conditions = f"contact_id=={sought.contact_id};start_created_time=={iso(sought.tried_at - SLACK)}"
        for mail in listed(self._http, "/emails", "emails", filter=conditions, order_by="created_time asc"):
            if _is_it(mail, sought):
                return identifier(mail)
        return "" if self._clock.now() > sought.tried_at + LISTED else None

    def close(self) -> None:
        """The connection is everybody's and stays."""


def _is_it(mail: Mapping[str, Any], sought: Sought) -> bool:
    to = str(mail.get("sent_to_address") or sought.to)
    return (
        str(mail.get("contact_id")) == sought.contact_id  # a filter that Keap does not know gives everybody's
        and mail.get("subject") == subject(sought.subject)
        and to.casefold() == sought.to.casefold()
        and not is_ours(mail)
    )


def is_ours(mail: Mapping[str, Any]) -> bool:
    """Whether we wrote this mail into the history, so that it tells us nothing new."""
    return str(mail.get("original_provider_id") or "").startswith(OURS)


# -- words ------------------------------------------------------------------------------------------------------------


def subject(words: str) -> str:
    """A subject on one line, at most `LONGEST_SUBJECT` letters, without merge fields."""
    line = plain(" ".join(words.split()))
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"


def plain(words: str) -> str:
    """Text in which Keap finds no merge field (`~Contact.Email~`): values are data, whoever wrote them."""
    return _MERGE_FIELD.sub("\N{SMALL TILDE}", words)


def _base64(words: str) -> str:
    return base64.b64encode(words.encode("utf-8", "replace")).decode()


# -- history ----------------------------------------------------------------------------------------------------------


class KeapHistory:
    """Keap's history of mails: the role `worker.integration.History`."""

    def __init__(self, http: Http, settings: object, clock: Clock, *, at_once: int = NOTED_AT_ONCE) -> None:
        """No call is made yet."""
        self._http, self._at_once = http, at_once

    def log(self, mails: Sequence[Logged]) -> dict[str, str]:
        """Note many, each once; gives {effect id: "" or the reason it failed}.

        Raises lib.http's Failure kinds only while Keap has answered for none: Unsure where the first answer got lost.
        """
        results = {
            mail.effect_id: "Keap notes mails of its contacts only, and this one has none"
            for mail in mails
            if not is_number(mail.contact_id)
        }
        parts = list(batches([mail for mail in mails if is_number(mail.contact_id)], self._at_once))
        for place, batch in enumerate(parts):
            try:
                results |= self._note(batch)
            except Failure as failure:
                if place == 0:
                    raise
                rest = [mail.effect_id for one in parts[place:] for mail in one]
                return results | dict.fromkeys(rest, str(failure))
        return results

    def _note(self, mails: Sequence[Logged]) -> dict[str, str]:
        reply = self._http.post(f"{API}/emails:batchAdd", json={"emails": [_record(mail) for mail in mails]})
        answer = reply.data if isinstance(reply.data, dict) else {}
        noted = {_effect(one) for one in answer.get("emails") or ()}
        refused = {
            _effect(one.get("email") or {}): _refusal(str(one.get("error_message") or "Keap gives no reason"))
            for one in answer.get("errors") or ()
        }
        if not noted | refused.keys():
            raise Unsure("Keap took the mails for its history and names none of them")
        unnamed = "Keap does not say whether it noted this mail"
        return {
            one.effect_id: "" if one.effect_id in noted else refused.get(one.effect_id, unnamed) for one in mails
        }  # fmt: skip


def _record(mail: Logged) -> dict[str, str]:
    """As `CreateEmailSentRequest`."""
    record = {
        "contact_id": mail.contact_id,
        "sent_to_address": mail.to,
        "sent_from_address": parseaddr(mail.sender)[1],
        "subject": " ".join(mail.subject.split()),
        "sent_time": iso(mail.sent_at),
        "plain_content": _base64(mail.text),
        "html_content": _base64(mail.html),
        "original_provider": "UNKNOWN",
        "original_provider_id": OURS + mail.effect_id,
    }
    return {name: value for name, value in record.items() if value}


def _effect(record: Mapping[str, Any]) -> str:
    return str(record.get("original_provider_id") or "").removeprefix(OURS)


def _refusal(message: str) -> str:
    """The reason; "" where it is that the id is taken: it is ours alone, so the mail is noted."""
    return "" if re.search(r"unique|duplicate|already", message, re.IGNORECASE) else message[:200]


def batches(mails: Sequence[Logged], most: int) -> Iterator[list[Logged]]:
    """At most so many together, and at most `NOTED_BYTES` of content, but for one that is larger by itself."""
    batch: list[Logged] = []
    weight = 0
    for mail in mails:
        heavy = len(mail.text) + len(mail.html)
        if batch and (len(batch) == most or weight + heavy > NOTED_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(mail)
        weight += heavy
    if batch:
        yield batch
