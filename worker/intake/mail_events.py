"""What channels tell of messages: whose it is, the fact it makes, the address it ends, and the doubt it settles.

An event is about a message of ours by our own name of it, else by the channel's. Where it tells neither (an opt-out by
text message), and where it is an answer, whatever it answers, it is about the newest message to that address. Any other
that names a message which is not ours came from what somebody else sends through the same account: nothing is kept of it,
but it may end the address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.facts import Fact, MailEvent, MailWord
from worker.intake import records
from worker.intake.volumes import Volumes
from worker.lib.ids import new_id
from worker.lib.store import Store, sql
from worker.lib.suppressions import suppress

KINDS: Final = {
    MailWord.OPENED: "mail_opened",
    MailWord.CLICKED: "mail_clicked",
    MailWord.REPLIED: "mail_replied",
    MailWord.BOUNCED: "mail_bounced",
    MailWord.COMPLAINED: "mail_complained",
    MailWord.UNSUBSCRIBED: "opted_out",
}
"""What a word becomes for the customer; that a message was delivered is no fact."""

BY_US: Final = "keepwell"
"""The label by which facts say whose message it was."""
LONGEST_DETAIL: Final = 200
BASIS: Final = "asked when it was sent; the channel's answer was lost"
"""Of a message that is known to have left by what the channel told later."""


@dataclass
class Told:
    """What came of some events."""

    events: int = 0
    """Those that were new."""
    facts: int = 0
    suppressed: int = 0
    """Addresses to which nothing more goes, each as often as it was said."""


@dataclass(frozen=True, slots=True)
class _Message:
    effect_id: str
    customer_id: str


def take_in(
    store: Store, source: str, events: Iterable[MailEvent], now: int, *, time_zone: str = "UTC", known_at: int = 0
) -> Told:
    """Keep what a channel tells, inside the caller's transaction or one of its own. The same again changes nothing.

    `known_at` is when we learned it, 0 for history.
    """
    told, volumes = Told(), Volumes(time_zone)
    with store.atomic():
        for event in events:
            _take_one(store, source, event, now, time_zone, known_at, told, volumes)
        volumes.keep(store)
    return told


def settle(store: Store, now: int) -> int:
    """Note as sent what nobody could know of and a channel has told of since; gives how many.

    That a message bounced or was opened proves that it left. It is asked for all that is in doubt, since the news may
    have come before the doubt; and for what was tried and waits to be tried again.
    """
    rows = store.rows(sql("intake", "proven"))
    for row in rows:
        with store.atomic():
            reason = f"it left: {row['source']} told that it was {row['word']}"
            if not store.run(sql("intake", "prove"), {"effect_id": row["id"], "now": now, "reason": reason}):
                continue
            intended = json.loads(row["payload"])
            store.run(
                sql("intake", "keep_proven"),
                {
                    "id": new_id("msg"), "effect_id": row["id"], "customer_id": row["customer_id"],
                    "address": row["target"], "play": row["play"], "purpose": intended["purpose"],
                    "template": intended["template"], "basis": BASIS, "at": row["sending_since"] or now,
                },
            )  # fmt: skip
    return len(rows)


def _take_one(
    store: Store, source: str, event: MailEvent, now: int, time_zone: str, known_at: int, told: Told, volumes: Volumes
) -> None:
    address = records.normal_email(event.address)
    message = _about(store, event, address)
    if address and (why := _ends(event)):
        suppress(store, address, why, now)
        told.suppressed += 1
    if message is None:
        return
    which = {"source": source, "source_id": event.source_id}
    kept = {"word": event.word.value, "at": event.at, "address": address, "effect_id": message.effect_id,
            "final": int(event.final), "detail": event.detail[:LONGEST_DETAIL]}  # fmt: skip
    new = store.run(sql("intake", "put_mail_event"), {**which, **kept}) > 0
    told.events += new
    if event.reference:
        store.run(sql("intake", "learn_reference"), {"effect_id": message.effect_id, "reference": event.reference})
    if kind := KINDS.get(event.word):
        # Some channels do not date what they tell: told again, it happened when it was told first.
        at = event.at if new else int(store.value(sql("intake", "mail_event_at"), which))
        fact = Fact(kind, at, source, event.source_id, label=_label(event, address))
        told.facts += _put_fact(store, message.customer_id, address, fact, time_zone, known_at, volumes)


def _about(store: Store, event: MailEvent, address: str) -> _Message | None:
    row = store.row(sql("intake", "message_named"), {"effect_id": event.effect_id}) if event.effect_id else None
    if row is None and event.reference:
        row = store.row(sql("intake", "message_under"), {"reference": event.reference})
    nameless = not event.effect_id and not event.reference
    if row is None and address and (nameless or event.word is MailWord.REPLIED):
        row = store.row(sql("intake", "message_to"), {"address": address, "at": event.at})
    return _Message(row["id"], row["customer_id"]) if row else None


def _ends(event: MailEvent) -> str:
    """Why nothing more may go to this address, "" where it may."""
    if event.word is MailWord.BOUNCED and event.final:
        return "it takes no messages any more"
    if event.word is MailWord.COMPLAINED:
        return "its owner called a mail of ours spam"
    return "its owner asked for no more" if event.word is MailWord.UNSUBSCRIBED else ""


def _label(event: MailEvent, address: str) -> str:
    if event.word is MailWord.BOUNCED:
        return "hard" if event.final else "soft"
    if event.word is MailWord.UNSUBSCRIBED:
        return "text messages" if address.startswith("+") else "mail"
    return BY_US if event.word in {MailWord.OPENED, MailWord.CLICKED} else ""


def _put_fact(
    store: Store, customer_id: str, address: str, fact: Fact, time_zone: str, known_at: int, volumes: Volumes
) -> int:
    """The fact, with the customer as they are now: the outbox does not follow a merge. Gives how many were new."""
    while merged_into := store.value(sql("intake", "goes_as"), {"customer_id": customer_id}):
        customer_id = str(merged_into)
    identity_id = store.value(sql("intake", "identity_at"), {"customer_id": customer_id, "address": address})
    if identity_id is None:
        return 0
    zone = str(store.value(sql("intake", "zone_of"), {"customer_id": customer_id}) or time_zone)
    return records.add_facts(
        store, customer_id, str(identity_id), [fact], zone, sighted_at=fact.at, known_at=known_at, volumes=volumes
    )
