"""What the pretend Keap keeps, and how it shows it: the words of Keap's own v2 specification. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from worker.lib.clock import from_iso, iso
from worker.sandbox.servers.keap_query import Refusal

MARKETABLE: Final = ("UNENGAGED_MARKETABLE", "SINGLE_OPT_IN", "DOUBLE_OPT_IN", "CONFIRMED")
OPT_STATUSES: Final = (
    *MARKETABLE, "UNENGAGED_NON_MARKETABLE", "NON_MARKETABLE", "LOCKDOWN", "BOUNCE", "HARD_BOUNCE", "MANUAL", "ADMIN",
    "SYSTEM", "LIST_UNSUBSCRIBE", "FEEDBACK", "SPAM", "INVALID", "DEACTIVATED",
)  # fmt: skip
MAY_OPT_IN: Final = ("UNENGAGED_MARKETABLE", "UNENGAGED_NON_MARKETABLE", "NON_MARKETABLE", "MANUAL")
"""The statuses that an opt-in by the API moves; every other one stays as it is."""

FIELD_TYPES: Final = (
    "CURRENCY", "DATE", "DATE_TIME", "DAY_OF_WEEK", "DECIMAL_NUMBER", "DRILLDOWN", "DROPDOWN", "EMAIL", "LIST_BOX",
    "MONTH", "NAME", "PERCENT", "PHONE_NUMBER", "RADIO", "SOCIAL_SECURITY_NUMBER", "STATE", "TEXT", "TEXT_AREA", "USER",
    "USER_LIST_BOX", "WEBSITE", "WHOLE_NUMBER", "YEAR", "YES_NO",
)  # fmt: skip
WHOLE_TYPES: Final = ("WHOLE_NUMBER", "YEAR", "MONTH", "DAY_OF_WEEK")
NUMBER_TYPES: Final = (*WHOLE_TYPES, "DECIMAL_NUMBER", "CURRENCY", "PERCENT")
LIST_TYPES: Final = ("LIST_BOX", "USER_LIST_BOX")

LONGEST_TEXT: Final = 65_535

DEFAULT_PROPERTIES: Final = (
    "id", "given_name", "family_name", "middle_name", "company", "email_addresses", "phone_numbers", "addresses",
)  # fmt: skip
"""What a contact shows unless `fields` asks otherwise. The specification does not say; a client must ask."""

OPTIONAL_PROPERTIES: Final = (
    "anniversary_date", "birth_date", "contact_type", "create_time", "custom_fields", "fax_numbers", "job_title",
    "leadsource_id", "links", "notes", "origin", "owner_id", "preferred_locale", "preferred_name", "prefix",
    "referral_code", "score_value", "social_accounts", "source_type", "spouse_name", "suffix", "tag_ids", "time_zone",
    "update_time", "utm_parameters", "website", "account_id", "assistant_name", "assistant_phone",
    "billing_information", "created_by", "groups", "last_updated_by",
)  # fmt: skip
PROPERTIES: Final = frozenset((*DEFAULT_PROPERTIES, *OPTIONAL_PROPERTIES))
"""Every property that `fields` and `update_mask` may name."""

LISTS: Final = ("addresses", "custom_fields", "email_addresses", "fax_numbers", "phone_numbers", "social_accounts")
"""Properties of a body of which an item not listed is removed."""

WRITABLE: Final = frozenset((
    *LISTS, "company", "origin", "prefix", "suffix", "website", "anniversary_date", "birth_date", "contact_type",
    "family_name", "given_name", "job_title", "leadsource_id", "middle_name", "owner_id", "preferred_locale",
    "preferred_name", "referral_code", "source_type", "spouse_name", "time_zone", "utm_parameters", "assistant_name",
    "assistant_phone", "billing_information",
))  # fmt: skip
"""Every property that a body may hold; tags are not among them."""

LONGEST: Final = {
    "website": 100, "family_name": 40, "given_name": 40, "job_title": 255, "middle_name": 100, "preferred_name": 100,
    "spouse_name": 100, "assistant_name": 20, "assistant_phone": 15, "billing_information": 100,
}  # fmt: skip

EMAIL_SLOTS: Final = ("EMAIL1", "EMAIL2", "EMAIL3")


@dataclass
class Field:
    """A custom field of the contact."""

    id: str
    label: str
    type: str
    name: str
    """Keap's own name of it, made from the label: `HealthScore0`."""
    options: tuple[str, ...] = ()

    def view(self) -> dict[str, Any]:
        """As `CustomFieldMetaData`."""
        return {
            "id": self.id,
            "label": self.label,
            "options": [{"id": str(place), "label": label} for place, label in enumerate(self.options, 1)],
            "record_type": "CONTACT",
            "field_type": self.type,
            "group_id": "1",
            "group_name": "Custom Fields",
            "field_name": self.name,
        }


@dataclass
class Category:
    """A tag category."""

    id: str
    name: str
    description: str
    created_at: int
    updated_at: int

    def view(self) -> dict[str, Any]:
        """As `TagCategory`."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "create_time": iso(self.created_at),
            "update_time": iso(self.updated_at),
        }


@dataclass
class Tag(Category):
    """A tag; `category_id` is "" where it has no category."""

    category_id: str = ""

    def view(self) -> dict[str, Any]:
        """As `Tag`."""
        return super().view() | ({"category": {"id": self.category_id}} if self.category_id else {})


@dataclass
class Address:
    """What Keap knows of an e-mail address, whoever's it is."""

    email: str
    status: str
    created_at: int

    @property
    def opted_in(self) -> bool:
        """Whether it may get marketing mail."""
        return self.status in MARKETABLE


@dataclass
class SentMail:
    """A mail that Keap sent, or was told of."""

    id: str
    contact_id: str
    to: str
    subject: str
    sent_at: int | None
    """None where whoever told Keap of it did not say."""
    opened_at: int | None
    clicked_at: int | None
    created_at: int = 0
    """When the record was made; 0 means when it was sent."""
    sent_from: str = "hello@business.example"
    provider: str = "INFUSIONSOFT"
    provider_id: str = ""
    plain: str = ""
    html: str = ""

    @property
    def made_at(self) -> int:
        """What the lists' filters by time go by."""
        return self.created_at or self.sent_at or 0

    def view(self, now: int) -> dict[str, Any]:
        """As `EmailSent`; what has not happened yet is not shown."""
        times = {
            "sent_time": self.sent_at,
            "received_time": self.sent_at,
            "opened_time": self.opened_at,
            "clicked_time": self.clicked_at,
        }
        words = {
            "id": self.id,
            "subject": self.subject,
            "contact_id": self.contact_id,
            "sent_to_address": self.to,
            "sent_from_address": self.sent_from,
            "original_provider": self.provider,
            "original_provider_id": self.provider_id,
        }
        return {name: word for name, word in words.items() if word} | {
            name: iso(at) for name, at in times.items() if at is not None and at <= now
        }


@dataclass
class User:
    """A person who works with this Keap."""

    id: str
    given_name: str
    family_name: str
    email: str
    created_at: int
    active: bool = True

    def view(self) -> dict[str, Any]:
        """As `User`."""
        return {
            "id": self.id,
            "given_name": self.given_name,
            "family_name": self.family_name,
            "email_addresses": [{"email": self.email, "field": "EMAIL1"}],
            "status": "ACTIVE" if self.active else "INACTIVE",
            "admin": self.id == "1",
            "partner": False,
            "create_time": iso(self.created_at),
        }


@dataclass
class Contact:
    """A contact."""

    id: str
    created_at: int
    created_by: str
    properties: dict[str, Any] = field(default_factory=dict)
    """The plain properties, named and shaped as the specification does; without e-mails, fields and tags."""
    emails: list[dict[str, str]] = field(default_factory=list)
    """As `EmailAddressRequest`."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Field id -> content, of those that have one."""
    tags: dict[str, int] = field(default_factory=dict)
    """Tag id -> when it was applied."""
    updated_by: str = ""
    updates: list[int] = field(default_factory=list)
    """Every moment of a change, oldest first."""

    @property
    def email(self) -> str:
        """The first address, "" where there is none."""
        return self.emails[0]["email"] if self.emails else ""

    def updated_at(self, as_of: int | None = None) -> int | None:
        """When it last changed, as known at `as_of`; None where it was not there yet."""
        return next((at for at in reversed(self.updates) if as_of is None or at <= as_of), None)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that somebody changed on a contact: the audit log."""

    at: int
    who: str
    """The API key, or `human`."""
    kind: str
    """`field`, `tag`, `property`, `opt_status` or `contact`."""
    contact_id: str
    thing: str
    """The id of the field or tag, or the name of the property."""
    name: str
    """The label of the field, the name of the tag."""
    group: str
    """The name of the tag's category."""
    before: Any
    after: Any


def losses(changes: Iterable[Change], who: str, ours: Callable[[Change], bool]) -> int:
    """How many field values and tags of others differ by `who`'s hand from what the others last set.

    What `who` put back is no loss. What somebody else had to set again stays one.
    """
    theirs: dict[tuple[str, str, str], Any] = {}
    present: dict[tuple[str, str, str], Any] = {}
    lost = 0
    for change in changes:
        if change.kind not in {"field", "tag"} or ours(change):
            continue
        place = (change.kind, change.contact_id, change.thing)
        if change.who != who:
            lost += bool(present.get(place) != theirs.get(place))
            theirs[place] = change.after
        present[place] = change.after
    return lost + sum(bool(present[place] != theirs.get(place)) for place in present)


def content_of(custom: Field, value: Any) -> Any:
    """The value as Keap keeps it in that field, None to clear it. Raises Refusal(400)."""
    if value is None or value == "":
        return None
    try:
        return _read(custom, value)
    except (TypeError, ValueError):
        raise Refusal(400, f"Invalid value for custom field {custom.id} ({custom.type}): {value!r}") from None


def _read(custom: Field, value: Any) -> Any:
    if custom.type in NUMBER_TYPES:
        if isinstance(value, bool):
            raise TypeError
        return int(str(value)) if custom.type in WHOLE_TYPES else float(str(value))
    if custom.type in LIST_TYPES:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise TypeError
        return [_choice(custom, part) for part in value]
    if custom.type == "YES_NO":
        if not isinstance(value, bool):
            raise TypeError
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > LONGEST_TEXT:
        raise TypeError
    if custom.type == "DATE":
        return date.fromisoformat(str(value)).isoformat()
    if custom.type == "DATE_TIME":
        return iso(from_iso(str(value)))
    return _choice(custom, str(value))


def _choice(custom: Field, value: str) -> str:
    if custom.options and value not in custom.options:
        raise ValueError
    return value


def field_name(label: str, taken: Iterable[str]) -> str:
    """Keap's name for a new field: the label's letters and digits and the first free number."""
    stem = re.sub(r"[^A-Za-z0-9]", "", label) or "Field"
    names = set(taken)
    number = 0
    while f"{stem}{number}" in names:
        number += 1
    return f"{stem}{number}"


def email_view(email: dict[str, str], address: Address) -> dict[str, Any]:
    """As `EmailAddress`."""
    return email | {"is_opt_in": address.opted_in, "email_opt_status": address.status}


def status_view(address: Address, mails: Sequence[SentMail], now: int) -> dict[str, Any]:
    """As `RestEmailAddressStatus`."""
    return {
        "email": address.email,
        "opted_in": address.opted_in,
        "status": address.status,
        "create_time": iso(address.created_at),
    } | {name: iso(at) for name, at in last_times(mails, now).items() if at}


def last_times(mails: Sequence[SentMail], now: int) -> dict[str, int]:
    """When mails were last sent, opened, clicked; 0 for never."""
    times: dict[str, list[int | None]] = {
        "last_sent_time": [mail.sent_at for mail in mails],
        "last_open_time": [mail.opened_at for mail in mails],
        "last_click_time": [mail.clicked_at for mail in mails],
    }
    return {name: max((at for at in found if at is not None and at <= now), default=0) for name, found in times.items()}
