"""The CRM mirror between two pulls: what the CRM says now of those who are about to be written to.

An opt-out moves no date in the CRM (Keap's `update_time` stays), so no pull of what changed since brings it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from worker.facts import CrmContact
from worker.intake.records import normal_email
from worker.lib.store import Store, sql

GONE = "gone from the CRM"
"""Stands for the opt-in status of a contact that the CRM no longer shows."""


def contacts_at(store: Store, source: str, emails: Collection[str]) -> list[str]:
    """The contacts of a CRM that have one of these addresses, as far as we know."""
    found = (
        row["contact_id"]
        for email in sorted(emails)
        for row in store.rows(sql("intake", "contacts_at"), {"source": source, "email": normal_email(email)})
    )
    return list(dict.fromkeys(found))


def take_consent(
    store: Store, source: str, asked: Collection[str], contacts: Mapping[str, CrmContact], now: int
) -> None:
    """Keep address and opt-in of the contacts `asked` for, just read; one that was not found allows nothing.

    The contact's own date decides nothing here: what was read last holds, and the next pull may say more.
    """
    binds = []
    for contact_id in asked:
        contact = contacts.get(contact_id)
        binds.append({
            "source": source, "contact_id": contact_id, "now": now,
            "email": normal_email(contact.email) if contact else None,
            "opt_in": contact.opt_in if contact else GONE, "may_mail": int(contact is not None and contact.may_mail),
            "may_serve": int(contact is not None and (contact.may_mail or contact.may_serve)),
        })  # fmt: skip
    store.many(sql("intake", "take_consent"), binds)
