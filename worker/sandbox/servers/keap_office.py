"""The back office of the pretend Keap: its records, and what the people who work with it do to them.

The world and the tests use it; the API is in `keap.py`. Everything that changes a contact, whoever does it, goes
through here, so the audit log is whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from worker.lib.clock import Clock, iso
from worker.sandbox.servers.base import Faults, PretendVendor
from worker.sandbox.servers.keap_records import (
    FIELD_TYPES,
    OPT_STATUSES,
    Address,
    Category,
    Change,
    Contact,
    Field,
    SentMail,
    Tag,
    User,
    content_of,
    email_view,
    field_name,
    losses,
)

HUMAN: Final = "human"
"""Who a change was made by when it was not the API."""


class KeapOffice(PretendVendor):
    """Keap's records and the people who work with them. Ids are texts; every method holds the lock."""

    name = "keap"

    def __init__(self, clock: Clock, faults: Faults | None = None, *, key: str = "KeapAK-sandbox") -> None:
        """`key` is Keepwell's; its owner made none of the records that are there before."""
        super().__init__(clock, faults)
        self.key = key
        self.contacts: dict[str, Contact] = {}
        self.fields: dict[str, Field] = {}
        self.tags: dict[str, Tag] = {}
        self.categories: dict[str, Category] = {}
        self.companies: dict[str, str] = {}
        """Company id -> name."""
        self.addresses: dict[str, Address] = {}
        """By the address in lower case."""
        self.mails: dict[str, SentMail] = {}
        self.users: dict[str, User] = {}
        self.audit: list[Change] = []
        self._ids = 100
        self._ids_lock = threading.Lock()
        self.add_user("Olga", "Office", "olga@business.example")

    # -- what people do ---------------------------------------------------------------------------------------------

    def add_user(self, given_name: str, family_name: str, email: str) -> str:
        """Somebody joins the business; gives the id of the user."""
        with self.lock:
            user = User(str(len(self.users) + 1), given_name, family_name, email, self.now)
            self.users[user.id] = user
            return user.id

    def add_contact(
        self,
        given_name: str,
        family_name: str,
        email: str,
        company: str = "",
        opt_status: str = "SINGLE_OPT_IN",
        custom_fields: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        owner_id: str | None = None,
    ) -> str:
        """Enter a contact by hand; fields (by label) and tags (by name) that are missing are made. Gives its id."""
        with self.lock:
            contact = self.enter(HUMAN)
            contact.properties |= {"given_name": given_name, "family_name": family_name, "source_type": "MANUAL"}
            if company:
                contact.properties["company"] = {"id": self._company(company), "company_name": company}
            if owner_id:
                contact.properties["owner_id"] = owner_id
            if email:
                contact.emails = [{"email": email, "field": "EMAIL1"}]
                self.address(email, opt_status)
            for label, value in (custom_fields or {}).items():
                self._set_by_hand(contact, label, value)
            for name in tags:
                self.apply(contact, self.tags[self.ensure_tag(name)], HUMAN)
            self.changed("contact.add", contact.id)
            return contact.id

    def change_email(self, contact_id: str, email: str, opt_status: str = "SINGLE_OPT_IN") -> None:
        """Somebody corrects a contact's first address."""
        with self.lock:
            contact = self.contacts[contact_id]
            self.note(contact, HUMAN, "property", "email_addresses", contact.email, email)
            contact.emails = [{"email": email, "field": "EMAIL1"}, *contact.emails[1:]]
            self.address(email, opt_status)
            self.touch(contact, HUMAN)

    def set_opt_status(self, contact_id: str, opt_status: str) -> None:
        """A contact's first address opts in or out; as with a link in a mail, the contact itself does not change."""
        with self.lock:
            contact = self.contacts[contact_id]
            self.set_status(self.address(contact.email), opt_status, HUMAN)

    def edit_field(self, contact_id: str, label: str, value: Any) -> None:
        """Somebody edits a custom field; None clears it."""
        with self.lock:
            contact = self.contacts[contact_id]
            self._set_by_hand(contact, label, value)
            self.touch(contact, HUMAN)

    def human_tag(self, contact_id: str, name: str) -> None:
        """Somebody applies a tag."""
        with self.lock:
            self.apply(self.contacts[contact_id], self.tags[self.ensure_tag(name)], HUMAN)

    def human_untag(self, contact_id: str, name: str) -> None:
        """Somebody takes a tag off."""
        with self.lock:
            self.unapply(self.contacts[contact_id], self.tags[self.ensure_tag(name)], HUMAN)

    def delete_contact(self, contact_id: str, who: str = HUMAN) -> None:
        """A contact is deleted, with all that it had."""
        with self.lock:
            contact = self.contacts[contact_id]
            for field_id in list(contact.fields):
                self.put(contact, self.fields[field_id], None, who)
            for tag_id in list(contact.tags):
                self.unapply(contact, self.tags[tag_id], who)
            self.note(contact, who, "contact", contact_id, "here", "deleted")
            del self.contacts[contact_id]
            self.changed("contact.delete", contact_id)

    def log_email(
        self,
        contact_id: str,
        subject: str,
        sent_at: int,
        opened_at: int | None = None,
        clicked_at: int | None = None,
    ) -> str:
        """Keap sent a mail; moments that are still to come show when they have come. Gives its id."""
        with self.lock:
            to = self.contacts[contact_id].email
            mail = SentMail(self.new_id(), contact_id, to, subject, sent_at, opened_at, clicked_at)
            self.mails[mail.id] = mail
            return mail.id

    def ensure_field(self, label: str, type_: str = "TEXT", options: Sequence[str] = ()) -> str:
        """The id of the custom field of that label, made where it is missing."""
        with self.lock:
            found = next((custom for custom in self.fields.values() if custom.label == label), None)
            return (found or self.make_field(label, type_, options)).id

    def ensure_tag(self, name: str, category: str = "") -> str:
        """The id of the tag of that name, made where it is missing, in that category."""
        with self.lock:
            found = next((tag for tag in self.tags.values() if tag.name == name), None)
            return (found or self.make_tag(name, "", self._category(category) if category else "")).id

    # -- what the demo and the tests read ---------------------------------------------------------------------------

    def contact(self, contact_id: str) -> dict[str, Any]:
        """A contact with every property it has, as the API would show it. Raises KeyError where it is gone."""
        with self.lock:
            return self.contact_view(self.contacts[contact_id])

    def tags_of(self, contact_id: str) -> set[str]:
        """The names of a contact's tags."""
        with self.lock:
            return {self.tags[tag_id].name for tag_id in self.contacts[contact_id].tags}

    def field_values(self, contact_id: str) -> dict[str, Any]:
        """Label -> value of every custom field of a contact that has one."""
        with self.lock:
            return {self.fields[field_id].label: value for field_id, value in self.contacts[contact_id].fields.items()}

    def foreign_losses(self, our_tag_category: str, our_field_labels: set[str], key: str | None = None) -> int:
        """How many field values and tags that are not ours differ, by our key's hand, from what others last set."""

        def ours(change: Change) -> bool:
            return change.name in our_field_labels if change.kind == "field" else change.group == our_tag_category

        with self.lock:
            return losses(self.audit, key or self.key, ours)

    def contact_view(self, contact: Contact) -> dict[str, Any]:
        """As `Contact`, with every property it has; a custom field without a value shows null."""
        return contact.properties | {
            "id": contact.id,
            "email_addresses": [email_view(email, self.address(email["email"])) for email in contact.emails],
            "custom_fields": [{"id": field_id, "content": contact.fields.get(field_id)} for field_id in self.fields],
            "tag_ids": list(contact.tags),
            "create_time": iso(contact.created_at),
            "update_time": iso(contact.updated_at() or contact.created_at),
            "created_by": contact.created_by,
            "last_updated_by": contact.updated_by,
        }

    # -- what the API and the office both do; the caller holds the lock --------------------------------------------------

    def new_id(self) -> str:
        """The next id; Keap's are numbers, written as text."""
        with self._ids_lock:
            self._ids += 1
            return str(self._ids)

    def user_of(self, who: str) -> str:
        """The id of the user behind a change; for a key the API says whose it is."""
        return "1" if who == HUMAN else who

    def enter(self, who: str) -> Contact:
        """Make an empty contact."""
        user = self.user_of(who)
        contact = Contact(self.new_id(), self.now, user, updated_by=user, updates=[self.now])
        self.contacts[contact.id] = contact
        self.note(contact, who, "contact", contact.id, "", "here")
        return contact

    def touch(self, contact: Contact, who: str) -> None:
        """Bump a contact's update time."""
        contact.updated_by = self.user_of(who)
        contact.updates.append(self.now)
        self.changed("contact.edit", contact.id)

    def put(self, contact: Contact, custom: Field, value: Any, who: str) -> None:
        """Set a custom field of a contact, or clear it with None."""
        before, after = contact.fields.get(custom.id), content_of(custom, value)
        if before == after:
            return
        self.note(contact, who, "field", custom.id, before, after, name=custom.label)
        contact.fields[custom.id] = after
        if after is None:
            del contact.fields[custom.id]

    def apply(self, contact: Contact, tag: Tag, who: str) -> bool:
        """Put a tag on a contact; False where it was on it already."""
        if tag.id in contact.tags:
            return False
        contact.tags[tag.id] = self.now
        self.note(contact, who, "tag", tag.id, None, True, name=tag.name, group=self._category_name(tag))
        self.changed("contactGroup.applied", tag.id)
        return True

    def unapply(self, contact: Contact, tag: Tag, who: str) -> None:
        """Take a tag off a contact that has it."""
        if contact.tags.pop(tag.id, None) is None:
            return
        self.note(contact, who, "tag", tag.id, True, None, name=tag.name, group=self._category_name(tag))
        self.changed("contactGroup.removed", tag.id)

    def set_status(self, address: Address, status: str, who: str) -> None:
        """Give an address another opt status."""
        if status not in OPT_STATUSES:
            raise ValueError(f"{status!r} is no opt status; one of {', '.join(OPT_STATUSES)}")
        at, before = self.now, address.status
        address.status = status
        self.audit.append(Change(at, who, "opt_status", "", address.email, "", "", before, status))

    def address(self, email: str, status: str = "NON_MARKETABLE") -> Address:
        """What is known of an address; a new one starts with that status."""
        known = self.addresses.get(email.lower())
        if known is None:
            known = self.addresses[email.lower()] = Address(email, status, self.now)
        return known

    def make_field(self, label: str, type_: str, options: Sequence[str]) -> Field:
        """Make a custom field; another of the same label is no obstacle, as in reality."""
        if type_ not in FIELD_TYPES:
            raise ValueError(f"{type_!r} is no type of a custom field; one of {', '.join(FIELD_TYPES)}")
        name = field_name(label, (custom.name for custom in self.fields.values()))
        custom = Field(self.new_id(), label, type_, name, tuple(options))
        self.fields[custom.id] = custom
        return custom

    def make_tag(self, name: str, description: str, category_id: str) -> Tag:
        """Make a tag."""
        tag = Tag(self.new_id(), name, description, self.now, self.now, category_id)
        self.tags[tag.id] = tag
        self.changed("contactGroup.add", tag.id)
        return tag

    def make_category(self, name: str, description: str) -> Category:
        """Make a tag category."""
        category = Category(self.new_id(), name, description, self.now, self.now)
        self.categories[category.id] = category
        return category

    def note(
        self,
        contact: Contact,
        who: str,
        kind: str,
        thing: str,
        before: Any,
        after: Any,
        *,
        name: str = "",
        group: str = "",
    ) -> None:
        """Write a line of the audit log."""
        self.audit.append(Change(self.now, who, kind, contact.id, thing, name or thing, group, before, after))

    def changed(self, event_key: str, object_id: str) -> None:
        """Something changed that a hook may want to know; the hooks override this."""

    def _set_by_hand(self, contact: Contact, label: str, value: Any) -> None:
        self.put(contact, self.fields[self.ensure_field(label)], value, HUMAN)

    def _company(self, name: str) -> str:
        found = next((company_id for company_id, known in self.companies.items() if known == name), None)
        if found is None:
            found = self.new_id()
            self.companies[found] = name
        return found

    def _category(self, name: str) -> str:
        found = next((category for category in self.categories.values() if category.name == name), None)
        return (found or self.make_category(name, "")).id

    def _category_name(self, tag: Tag) -> str:
        category = self.categories.get(tag.category_id)
        return category.name if category else ""
