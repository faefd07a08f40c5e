"""Keap (once Infusionsoft): contacts with their tags, fields and opt-in, the mails it sent, and tasks; in and out.

Documentation: https://developer.infusionsoft.com/docs/restv2/ and, for REST hooks, /docs/rest/

Oddities
- One key belongs to one Keap account; the account is told by the key alone.
- 240 calls a minute and 30,000 a day; anything lasting above one a second is frowned upon. Both, and the account's
  own limits, are told apart by headers (`x-keap-…`); a day's quota returns at 00:00 UTC.
- Unknown query parameters are ignored without a word, so a misspelt filter gives the whole table.
- Applying a tag may leave `update_time` as it was, and so does an opt-out: before a write or a mail, read contacts by id.
- Our own writes bump `update_time`, so what we wrote comes back with the next pull.
- REST hooks are not signed and name ids only. Each is a hint; the `contacts` pull, which the next turn makes anyway,
  reads what changed. Their path holds a secret: `/hooks/keap/<secret>`.
- The writing half is in `_keap_writes.py`; mails that Keap sends, and its history of those that left by another way, in
  `_keap_mail.py`; tasks in `_keap_desk.py`; taking all of ours out again in `_keap_removal.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from pydantic import Field

from integrations._keap_calls import (
    API,
    CONTACT_FIELDS,
    crm_contact,
    identifier,
    judge,
    pages,
    text,
    updated_at,
)
from integrations._keap_desk import KeapDesk, fetch_tasks
from integrations._keap_desk import sighting as task_sighting
from integrations._keap_mail import KeapHistory, KeapMailer, is_ours
from integrations._keap_removal import remove
from integrations._keap_writes import KeapCrm
from worker.facts import Attribute, Delivery, Fact, Identity, Parsed, Person, Sighting
from worker.integration import Incoming, Integration, Page, Pull, Receipt, Refused, SecretStr, Settings
from worker.lib.clock import DAY, MINUTE, Clock, from_iso, iso
from worker.lib.http import Http
from worker.lib.signing import secret_matches

NAME: Final = "keap"

OVERLAP: Final = 10 * MINUTE
"""How far a pull of contacts looks back behind its bookmark; how late Keap's lists may be is nowhere written."""
SETTLED: Final = MINUTE
"""What is younger may still be on its way into the lists."""
OPENINGS: Final = 7 * DAY
"""Mails are listed by when they were made; for so long one is read again, once a day, to hear that it was opened."""
HISTORY: Final = 90 * DAY
"""How far the first pull of mails goes back: the longest window of a starter card."""


# -- settings ---------------------------------------------------------------------------------------------------------


class KeapSettings(Settings):
    """How one Keap account is reached."""

    key: SecretStr = Field(description="A service account key (KeapAK-…), made in Keap by an administrator.")
    hook_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The last part of the address given to Keap's REST hooks: 16 or more random characters.",
    )
    base_url: str = Field(default="https://api.infusionsoft.com", description="Where Keap's API is.")
    mail_user_id: str = Field(
        default="",
        pattern=r"[0-9]*",
        description="The Keap user in whose name mails leave; nothing means sender_address, which Keap must know as yours.",
    )
    task_user_id: str = Field(
        default="", pattern=r"[0-9]*", description="The Keap user who gets tasks about customers that nobody owns."
    )


def connect(settings: KeapSettings, clock: Clock) -> Http:
    """Keap's connection: below 240 calls a minute, and patient, since large lists and bulk tags take a minute."""
    return Http(
        "Keap",
        settings.base_url,
        clock,
        headers={"X-Keap-API-Key": settings.key.get_secret_value()},
        per_second=3.5,
        burst=5,
        timeout=90.0,
        judge=lambda reply: judge(reply, clock.now()),
    )


# -- what Keap's events mean ------------------------------------------------------------------------------------------


class Meaning(Enum):
    """What a hook tells us."""

    CHANGED = "read it again with the next pull"
    GONE = "the contact is no more"


EVENTS: Final[Mapping[str, Meaning]] = {
    "contact.add": Meaning.CHANGED,
    "contact.edit": Meaning.CHANGED,
    "contact.delete": Meaning.GONE,  # also the one that a merge swallowed
    "contact.redact": Meaning.GONE,  # its personal data was erased
    "contactGroup.applied": Meaning.CHANGED,  # a tag was put on; five to ten minutes late
    "contactGroup.removed": Meaning.CHANGED,
}

MAIL_FACTS: Final[Mapping[str, str]] = {
    "sent_time": "mail_sent",
    "opened_time": "mail_opened",
    "clicked_time": "mail_clicked",
}
"""A time on a sent mail -> the kind of fact it makes."""


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: KeapSettings, now: int) -> Receipt:
    """Believe a REST hook by the secret part of its path, and echo the handshake's X-Hook-Secret."""
    if settings.hook_secret is None:
        raise Refused(401, "Keap's hooks are not set up here; set hook_secret first", "unsigned")
    if not secret_matches([settings.hook_secret.get_secret_value()], incoming.secret):
        raise Refused(401, "The address of this hook is not the one set up; is hook_secret its last part?", "forged")
    echo = _handshake(incoming.headers.get("x-hook-secret", ""))
    if echo and not incoming.body.strip():
        return Receipt("handshake", "{}", answer_headers=echo, keep=False)
    hook = _hook(incoming.body)
    news = bool(hook.get("object_keys"))
    return Receipt(_fingerprint(hook), incoming.body.decode(), answer_headers=echo, keep=news or not echo)


def _handshake(secret: str) -> dict[str, str]:
    if not secret:
        return {}
    if not re.fullmatch(r"[\x21-\x7e]{1,256}", secret):
        raise Refused(400, "X-Hook-Secret is no plain word", "malformed")
    return {"X-Hook-Secret": secret}


def _hook(body: bytes) -> dict[str, Any]:
    try:
        hook = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Refused(400, "A hook of Keap's is JSON in UTF-8", "not_json") from None
    if not isinstance(hook, dict):
        raise Refused(400, "A hook of Keap's is a JSON object", "not_json")
    return hook


def _fingerprint(hook: Mapping[str, Any]) -> str:
    """Keap's hooks have no id: what it says about what, and when, must do."""
    told = [hook.get("event_key"), hook.get("object_type"), hook.get("object_keys")]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: KeapSettings) -> Parsed:
    """What a page or a hook says. Raises ValueError for a body of no known shape."""
    data = json.loads(delivery.body)
    if not isinstance(data, dict):
        raise ValueError("a delivery of Keap's is a JSON object")
    return _PARSERS[delivery.stream](data, delivery.received_at)


def _contacts(data: Mapping[str, Any], received_at: int) -> Parsed:
    return _each(data, "contacts", _contact)


def _contact(record: Mapping[str, Any]) -> Sighting:
    crm, at = crm_contact(record), updated_at(record)
    person = " ".join(str(record.get(part) or "").strip() for part in ("given_name", "family_name")).strip()
    company = str((record.get("company") or {}).get("company_name") or "").strip()
    described = {"company": company, "lead_score": text(record.get("score_value"))}
    return Sighting(
        at=at,
        identities=(Identity(NAME, crm.contact_id),),
        name=company or person or crm.email,
        people=(Person(crm.email, person, "main"),),
        attributes=tuple(Attribute(name, value, at) for name, value in described.items() if value),
        crm=crm,
        owner=str(record.get("owner_id") or ""),
    )


def _emails(data: Mapping[str, Any], received_at: int) -> Parsed:
    return _each(data, "emails", _email)


def _email(record: Mapping[str, Any]) -> Sighting | None:
    if is_ours(record):
        return None
    contact_id, number = str(record.get("contact_id") or ""), identifier(record)
    if not contact_id:
        raise ValueError("a mail to no contact")
    facts = tuple(
        Fact(kind, from_iso(str(record[time])), NAME, f"email:{number}:{kind.removeprefix('mail_')}", label="crm")
        for time, kind in MAIL_FACTS.items()
        if record.get(time)
    )
    if not facts:
        raise ValueError("a mail that was never sent")
    # Dated by its sending, the earliest of its moments: a mail says nothing newer about who the contact is.
    return Sighting(at=min(fact.at for fact in facts), identities=(Identity(NAME, contact_id),), facts=facts)


def _tasks(data: Mapping[str, Any], received_at: int) -> Parsed:
    return _each(data, "tasks", task_sighting)


def _each(data: Mapping[str, Any], plural: str, read: Callable[[Mapping[str, Any]], Sighting | None]) -> Parsed:
    """What the records say; `read` gives None for one that says nothing."""
    records = data.get(plural)
    if not isinstance(records, list):
        raise ValueError(f"a page of Keap's without {plural}")
    sightings: list[Sighting] = []
    refused: list[tuple[str, str]] = []
    for record in records:
        try:
            sighting = read(record)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            refused.append((str(record.get("id", "?")) if isinstance(record, dict) else "?", str(error)))
            continue
        if sighting is not None:
            sightings.append(sighting)
    return Parsed(tuple(sightings), refused=tuple(refused))


def _hooked(data: Mapping[str, Any], received_at: int) -> Parsed:
    event = str(data.get("event_key") or "")
    meaning = EVENTS.get(event)
    if meaning is None:
        return Parsed(unknown=(event or "no event_key",))
    if meaning is Meaning.CHANGED:
        return Parsed()
    objects = [one for one in data.get("object_keys") or () if isinstance(one, dict) and one.get("id")]
    return Parsed(
        tuple(Sighting(_told_at(one, received_at), (Identity(NAME, str(one["id"])),), gone=True) for one in objects)
    )


def _told_at(one: Mapping[str, Any], received_at: int) -> int:
    try:
        return from_iso(str(one.get("timestamp") or ""))
    except ValueError:
        return received_at


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, Any], int], Parsed]]] = {
    "contacts": _contacts,
    "emails": _emails,
    "tasks": _tasks,
    "webhook": _hooked,
}


# -- pulls ------------------------------------------------------------------------------------------------------------


def fetch_contacts(http: Http, settings: KeapSettings, cursor: str | None, now: int) -> Iterator[Page]:
    """Contacts that changed since the bookmark, oldest change first; all of them the first time."""
    end = now - SETTLED
    start = int(cursor) - OVERLAP if cursor else None
    window = {"start_update_time": start, "end_update_time": end}
    yield from _window(http, "contacts", window, cursor, order_by="update_time asc", fields=",".join(CONTACT_FIELDS))


def fetch_emails(http: Http, settings: KeapSettings, cursor: str | None, now: int) -> Iterator[Page]:
    """Mails that Keap sent since the bookmark; the first pull of a day (UTC) reads the week before it again."""
    end = now - SETTLED
    start = _mails_since(int(cursor), end) if cursor else end - HISTORY
    yield from _window(
        http, "emails", {"start_created_time": start, "end_created_time": end}, cursor, order_by="created_time asc"
    )


def _mails_since(bookmark: int, end: int) -> int:
    return bookmark - (OVERLAP if bookmark // DAY == end // DAY else OPENINGS)


def _window(
    http: Http, plural: str, window: Mapping[str, int | None], cursor: str | None, **params: str
) -> Iterator[Page]:
    """The pages of a window of time. The bookmark moves with the last one, to the window's end, and never back."""
    start, end = window.values()
    assert end is not None
    if start is not None and end <= start:
        return
    conditions = ";".join(f"{name}=={iso(at)}" for name, at in window.items() if at is not None)
    for number, (reply, _) in enumerate(pages(http, f"/{plural}", plural, filter=conditions, **params), 1):
        last = not reply.data.get("next_page_token")
        bookmark = str(max(end, int(cursor or 0))) if last else None
        yield Page(f"{plural}:{start or 0}:{end}:{number}", reply.text, bookmark)


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: KeapSettings) -> Iterable[str]:
    """Who we are in Keap and what we see there."""
    who = http.get(f"{API}/oauth/connect/userinfo").data or {}
    yield f"Connected to the Keap account {who.get('tenant_id') or '?'} as {who.get('email') or '?'}"
    if who.get("is_admin") is False:
        yield "This key is not an administrator's, so Keap may show it some of the contacts only"
    model = http.get(f"{API}/contacts/model").data or {}
    yield f"{len(model.get('custom_fields') or ())} custom fields of contacts can be read"
    if settings.hook_secret is None:
        yield "No hook_secret is set, so Keap cannot tell us of deleted contacts"
    named = {"mail_user_id": settings.mail_user_id, "task_user_id": settings.task_user_id}
    if any(named.values()):
        users = {one.user_id: one.name for one in KeapDesk(http, settings, http.clock).colleagues() if one.active}
        for setting, user_id in named.items():
            if user_id:
                yield f"{setting} is {users[user_id]}" if user_id in users else f"{setting} is no active user of Keap"


INTEGRATION = Integration(
    name=NAME,
    title="Keap",
    does="contacts, tags, fields, mails and tasks, in and out; the history of mails sent elsewhere, out",
    settings=KeapSettings,
    docs="https://developer.infusionsoft.com/docs/restv2/",
    connect=connect,
    verify=verify,
    parse=parse,
    pulls=(
        Pull("contacts", fetch_contacts),
        Pull("emails", fetch_emails, feeds=tuple(MAIL_FACTS.values())),
        Pull("tasks", fetch_tasks, feeds=("open_task", "task_done")),
    ),
    crm=KeapCrm,
    mailer=KeapMailer,
    history=KeapHistory,
    desk=KeapDesk,
    remove=remove,
    check=check,
)
