"""What each list of the pretend Keap can be filtered and ordered by, as its v2 specification words it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worker.sandbox.servers.keap_office import KeapOffice
from worker.sandbox.servers.keap_query import (
    Condition,
    Listing,
    MakeTest,
    Test,
    compared,
    flag,
    member,
    not_pretended,
    since,
    text,
    until,
)
from worker.sandbox.servers.keap_records import (
    NUMBER_TYPES,
    Address,
    Category,
    Contact,
    Field,
    SentMail,
    Tag,
    User,
    last_times,
)

NOT_PRETENDED: Final = (
    "phone_number", "phone_fields", "city", "state", "website", "lead_source_name",
    *(
        f"{kind}_address_{part}"
        for kind in ("billing", "shipping", "other")
        for part in ("line1", "locality", "region", "postal_code", "country_code")
    ),
)  # fmt: skip
"""Filters of contacts that Keap has and this double has not."""

Applied = tuple[Contact, Tag]
"""A tag on a contact."""


def contacts(office: KeapOffice, lag: int) -> Listing[Contact]:
    """Contacts. A change shows in a filter by update time only after `lag` seconds."""

    def updated(contact: Contact) -> int | None:
        return contact.updated_at(office.now - lag)

    standard: dict[str, MakeTest[Contact]] = {
        "email": text(lambda contact: [email["email"] for email in contact.emails]),
        "given_name": _plain("given_name"),
        "family_name": _plain("family_name"),
        "middle_name": _plain("middle_name"),
        "company_id": text(lambda contact: [contact.properties.get("company", {}).get("id", "")]),
        "contact_ids": member(lambda contact: contact.id),
        "ids": member(lambda contact: contact.id),
        "contact_id": compared(lambda contact: int(contact.id)),
        "start_update_time": since(updated),
        "end_update_time": until(updated),
    }
    return Listing(
        "contacts",
        {custom.name.lower(): _custom(custom) for custom in office.fields.values()}
        | dict.fromkeys(NOT_PRETENDED, not_pretended)
        | standard,
        {
            "id": lambda contact: int(contact.id),
            "create_time": lambda contact: contact.created_at,
            "email": lambda contact: contact.email.lower(),
            "update_time": lambda contact: contact.updated_at() or 0,
        },
        lambda contact: int(contact.id),
    )


def tags() -> Listing[Tag]:
    """Tags."""
    return Listing(
        "tags",
        {
            **_named(),
            "category_id": text(lambda tag: [tag.category_id], none=True),
            "tag_ids": member(lambda tag: tag.id),
        },
        _ORDER_OF_NAMED,
        lambda tag: int(tag.id),
    )


def categories() -> Listing[Category]:
    """Tag categories."""
    return Listing("tag_categories", _named(), _ORDER_OF_NAMED, lambda category: int(category.id))


def contacts_with_tag() -> Listing[Applied]:
    """The contacts that have one tag."""
    return Listing(
        "contacts",
        {
            "given_name": text(lambda row: [row[0].properties.get("given_name", "")], none=True),
            "family_name": text(lambda row: [row[0].properties.get("family_name", "")], none=True),
            "email": text(lambda row: [row[0].email], none=True),
            **_APPLIED,
        },
        {
            "given_name": lambda row: row[0].properties.get("given_name", ""),
            "family_name": lambda row: row[0].properties.get("family_name", ""),
            "email": lambda row: row[0].email.lower(),
            "applied_time": _applied_at,
        },
        lambda row: int(row[0].id),
    )


def contacts_with_tags() -> Listing[Applied]:
    """Every pair of contact and tag, for at most 100 tags (SDK 2.0.26)."""
    return Listing(
        "contacts",
        {"tag_ids": member(lambda row: row[1].id, most=100), **_APPLIED},
        {"applied_time": _applied_at},
        lambda row: (int(row[1].id), int(row[0].id)),
        required=("tag_ids",),
    )


def mails() -> Listing[SentMail]:
    """Mails that Keap sent, or was told of."""
    return Listing(
        "emails",
        {
            "contact_id": text(lambda mail: [mail.contact_id]),
            "email": text(lambda mail: [mail.to]),
            "start_created_time": since(lambda mail: mail.made_at),
            "end_created_time": until(lambda mail: mail.made_at),
        },
        {"created_time": lambda mail: mail.made_at},
        lambda mail: int(mail.id),
    )


def addresses(mails_to: Mapping[str, list[SentMail]], now: int) -> Listing[Address]:
    """E-mail addresses; `mails_to` holds the mails by address in lower case."""

    def last(name: str) -> Any:
        return lambda address: last_times(mails_to.get(address.email.lower(), []), now)[name]

    return Listing(
        "email_addresses",
        {
            "emails": member(lambda address: address.email),
            "statuses": member(lambda address: address.status),
            "opted_in": flag(lambda address: address.opted_in),
        },
        {
            "email": lambda address: address.email.lower(),
            "status": lambda address: address.status,
            "create_time": lambda address: address.created_at,
            "last_click_time": last("last_click_time"),
            "last_open_time": last("last_open_time"),
            "last_sent_time": last("last_sent_time"),
        },
        lambda address: address.email.lower(),
    )


def users() -> Listing[User]:
    """Users; pages are smaller here."""
    return Listing(
        "users",
        {
            "email": text(lambda user: [user.email]),
            "given_name": text(lambda user: [user.given_name]),
            "user_ids": member(lambda user: user.id),
            "include_inactive": _everyone,
            "include_partners": _everyone,
        },
        {
            "create_time": lambda user: user.created_at,
            "email": lambda user: user.email.lower(),
            "name": lambda user: user.family_name.lower(),
        },
        lambda user: int(user.id),
        largest_page=100,
        smallest_page=1,
    )


def _everyone(_condition: Condition) -> Test[User]:
    """Who is listed at all is decided before; of those these two leave the list as it is."""
    return lambda _user: True


def _plain(name: str) -> MakeTest[Contact]:
    return text(lambda contact: [contact.properties.get(name, "")])


def _custom(custom: Field) -> MakeTest[Contact]:
    """A custom field is filtered by its own name; how depends on its type."""
    if custom.type in NUMBER_TYPES:
        return compared(lambda contact: contact.fields.get(custom.id))
    if custom.type in {"DATE", "DATE_TIME"}:
        return not_pretended
    if custom.type == "YES_NO":
        return flag(lambda contact: bool(contact.fields.get(custom.id)))
    return text(lambda contact: _texts(contact.fields.get(custom.id)))


def _texts(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value or ""]


def _named() -> dict[str, MakeTest[Any]]:
    return {
        "name": text(lambda row: [row.name], none=True),
        "description": text(lambda row: [row.description], none=True),
        "since_create_time": since(lambda row: row.created_at),
        "until_create_time": until(lambda row: row.created_at),
        "since_update_time": since(lambda row: row.updated_at),
        "until_update_time": until(lambda row: row.updated_at),
    }


_ORDER_OF_NAMED: Final[dict[str, Any]] = {
    "name": lambda row: row.name.lower(),
    "create_time": lambda row: row.created_at,
    "update_time": lambda row: row.updated_at,
}


def _applied_at(row: Applied) -> int:
    contact, tag = row
    return contact.tags[tag.id]


_APPLIED: Final[dict[str, MakeTest[Applied]]] = {
    "since_applied_time": since(_applied_at),
    "until_applied_time": until(_applied_at),
}
