"""The pretend Keap: API v2 for contacts, fields, tags, mails, tasks and users, and v1 for hooks, on loopback.

Held against Keap's published v2 specification (2.0.21) and v1 specification (1.70). Where those are silent, it does
what is hardest on a client: PATCH replaces the whole list of custom fields, tags and opt-outs do not touch the
contact's update time, a contact shows hardly anything unless `fields` asks, a 429 of its own brings no Retry-After.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal

from flask import Response, request

from worker.lib.clock import Clock
from worker.sandbox.servers import keap_listings as listings
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.keap_front import (
    V1,
    V2,
    answer_page,
    asked,
    asked_fields,
    json_body,
    lookup,
    no_content,
    picked,
    update_mask,
)
from worker.sandbox.servers.keap_gateway import Limits
from worker.sandbox.servers.keap_hooks import EVENT_KEYS, Subscription
from worker.sandbox.servers.keap_query import Refusal
from worker.sandbox.servers.keap_records import (
    EMAIL_SLOTS,
    FIELD_TYPES,
    LISTS,
    LONGEST,
    MAY_OPT_IN,
    OPTIONAL_PROPERTIES,
    PROPERTIES,
    WRITABLE,
    Address,
    Contact,
    SentMail,
    content_of,
    status_view,
)
from worker.sandbox.servers.keap_tasks import KeapTasks


class PretendKeap(KeapTasks):
    """Keap on loopback; `base_url` + `/crm/rest/v2/…` and `/crm/rest/v1/hooks…`."""

    def __init__(
        self,
        clock: Clock,
        faults: Faults | None = None,
        *,
        key: str = "KeapAK-sandbox",
        other_keys: Iterable[str] = (),
        patch_custom_fields: Literal["replaces", "merges"] = "replaces",
        lag: int = 0,
        limits: Limits | None = None,
    ) -> None:
        """`lag`: seconds by which lists filtered by update time trail the writes; `other_keys`: the business's other tools."""
        super().__init__(clock, faults, key=key, other_keys=other_keys, limits=limits)
        self.patch_custom_fields = patch_custom_fields
        self.lag = lag
        self.before_next_patch: Callable[[], None] | None = None
        """Called once, when the next PATCH of a contact has arrived and before it is carried out."""
        self.open_doors((
            ("GET", f"{V2}/oauth/connect/userinfo", self.user_info),
            ("GET", f"{V2}/contacts", self.list_contacts),
            ("POST", f"{V2}/contacts", self.create_contact),
            ("GET", f"{V2}/contacts/<contact_id>", self.get_contact),
            ("DELETE", f"{V2}/contacts/<contact_id>", self.remove_contact),
            ("GET", f"{V2}/contacts/model", self.get_model),
            ("POST", f"{V2}/contacts/model/customFields", self.create_field),
            ("DELETE", f"{V2}/contacts/model/customFields/<field_id>", self.remove_field),
            ("GET", f"{V2}/emailAddresses", self.list_addresses),
            ("GET", f"{V2}/emailAddresses/<email>/status", self.get_status),
            ("PATCH", f"{V2}/emailAddresses/<email>/status", self.patch_status),
            ("GET", f"{V2}/users", self.list_users),
            ("GET", f"{V1}/hooks/event_keys", self.list_event_keys),
            ("GET", f"{V1}/hooks", self.list_hooks),
            ("GET", f"{V1}/hooks/<key>", self.get_hook),
            ("DELETE", f"{V1}/hooks/<key>", self.remove_hook),
            ("POST", f"{V1}/hooks/<key>/delayedVerify", self.verify_hook_later),
        ))  # fmt: skip
        # These leave the lock open while others act: the receiver of a handshake, the rival of a PATCH.
        self.open_doors((
            ("PATCH", f"{V2}/contacts/<contact_id>", self.patch_contact),
            ("POST", f"{V1}/hooks", self.create_hook),
            ("POST", f"{V1}/hooks/<key>/verify", self.verify_hook),
        ), locked=False)  # fmt: skip

    def user_info(self) -> Response:
        """Who the key belongs to."""
        user_id = self.user_of(self.who)
        return json_response({
            "email": "service@business.example",
            "sub": user_id,
            "id": user_id,
            "keap_id": "service@business.example",
            "given_name": "Service",
            "family_name": "Account",
            "is_admin": True,
            "tenant_id": self.gateway.tenant_id,
        })  # fmt: skip

    # -- contacts ---------------------------------------------------------------------------------------------------

    def list_contacts(self) -> Response:
        """A page of contacts, with the properties asked for."""
        names = asked_fields()
        found = listings.contacts(self, self.lag)
        return answer_page(found, self.contacts.values(), lambda contact: picked(self.contact_view(contact), names))

    def get_contact(self, contact_id: str) -> Response:
        """One contact, as it is now."""
        names = asked_fields()
        return json_response(picked(self.contact_view(self._contact(contact_id)), names))

    def create_contact(self) -> Response:
        """Make a contact, or with `duplicate_option` update the one that matches."""
        names, body = asked_fields(), self._contact_body()
        if not any(body.get(name) for name in ("email_addresses", "phone_numbers", "addresses")):
            raise Refusal(400, "A contact needs an email address, a phone number or an address")
        known = self._duplicate(body, asked("duplicate_option"))
        contact = known or self.enter(self.who)
        self._write(contact, body, body)
        if known:
            self.touch(contact, self.who)
        else:
            contact.properties["source_type"] = "API"
            self.changed("contact.add", contact.id)
        return json_response(picked(self.contact_view(contact), names), 200 if known else 201)

    def patch_contact(self, contact_id: str) -> Response:
        """Update a contact. A list in the body is the whole list: what it leaves out is removed."""
        race, self.before_next_patch = self.before_next_patch, None
        if race is not None:
            race()
        with self.lock:
            contact = self._contact(contact_id)
            names, mask = asked_fields(), update_mask(PROPERTIES)
            body = self._contact_body()
            self._write(contact, body, mask or body)
            self.touch(contact, self.who)
            return json_response(picked(self.contact_view(contact), names))

    def remove_contact(self, contact_id: str) -> Response:
        """Delete a contact."""
        self.delete_contact(self._contact(contact_id).id, self.who)
        return no_content()

    def _contact(self, contact_id: str) -> Contact:
        return lookup(self.contacts, contact_id, "contact")

    def _duplicate(self, body: dict[str, Any], option: str) -> Contact | None:
        if not option:
            return None
        if option not in {"Email", "EmailAndName", "EmailAndNameAndCompany"}:
            raise Refusal(400, f"Invalid duplicate_option: {option}")
        email = next((item["email"].lower() for item in body.get("email_addresses", ())), "")
        wanted = {name: body.get(name) for name in ("given_name", "family_name") if "Name" in option}
        if "Company" in option:
            wanted["company"] = body.get("company")
        for contact in self.contacts.values():
            has = all(contact.properties.get(name) == value for name, value in wanted.items())
            if email and contact.email.lower() == email and has:
                return contact
        return None

    def _contact_body(self) -> dict[str, Any]:
        """The body, checked whole before anything is written; custom fields as {field id: content}."""
        body = json_body(WRITABLE)
        for name, value in body.items():
            if name in LISTS and not isinstance(value, list):
                raise Refusal(400, f"{name} must be a list")
            if len(str(value)) > LONGEST.get(name, len(str(value))):
                raise Refusal(400, f"{name} must not be longer than {LONGEST[name]}")
        if "email_addresses" in body:
            _check_emails(body["email_addresses"])
        if "custom_fields" in body:
            body["custom_fields"] = self._contents(body["custom_fields"])
        if "company" in body:
            body["company"] = self._company_of(body["company"])
        if body.get("owner_id") is not None and body["owner_id"] not in self.users:
            raise Refusal(500, "Internal Server Error")  # what an unknown owner was seen to cause
        return body

    def _contents(self, items: list[Any]) -> dict[str, Any]:
        contents: dict[str, Any] = {}
        for item in items:
            if not isinstance(item, dict) or not {"id"} <= item.keys() <= {"id", "content"}:
                raise Refusal(400, "an item of custom_fields is {id, content}")
            custom = self.fields.get(str(item["id"]))
            if custom is None or custom.id in contents:
                raise Refusal(400, f"Unknown or repeated custom field: {item['id']}")
            contents[custom.id] = content_of(custom, item.get("content"))
        return contents

    def _company_of(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or str(value.get("id")) not in self.companies:
            raise Refusal(400, "company must be {id} of a company that exists")
        company_id = str(value["id"])
        return {"id": company_id, "company_name": self.companies[company_id]}

    def _write(self, contact: Contact, body: dict[str, Any], names: Collection[str]) -> None:
        """Write the named properties; one that is named and not in the body is emptied."""
        for name in sorted(WRITABLE.intersection(names)):
            if name == "custom_fields":
                self._write_fields(contact, body.get(name, {}))
            elif name == "email_addresses":
                self._write_emails(contact, body.get(name, []))
            else:
                self._write_property(contact, name, body.get(name))

    def _write_fields(self, contact: Contact, contents: dict[str, Any]) -> None:
        for field_id, content in contents.items():
            self.put(contact, self.fields[field_id], content, self.who)
        if self.patch_custom_fields == "replaces":
            for field_id in sorted(contact.fields.keys() - contents.keys()):
                self.put(contact, self.fields[field_id], None, self.who)

    def _write_emails(self, contact: Contact, emails: list[dict[str, str]]) -> None:
        self.note(contact, self.who, "property", "email_addresses", contact.emails, emails)
        contact.emails = emails
        for email in emails:
            address = self.address(email["email"])
            if email.get("opt_in_reason") and address.status in MAY_OPT_IN:
                self.set_status(address, "SINGLE_OPT_IN", self.who)

    def _write_property(self, contact: Contact, name: str, value: Any) -> None:
        self.note(contact, self.who, "property", name, contact.properties.get(name), value)
        contact.properties[name] = value
        if value is None:
            del contact.properties[name]

    # -- custom fields ----------------------------------------------------------------------------------------------

    def get_model(self) -> Response:
        """The custom fields of the contact."""
        fields = [custom.view() for custom in self.fields.values()]
        return json_response({"custom_fields": fields, "optional_properties": list(OPTIONAL_PROPERTIES)})

    def create_field(self) -> Response:
        """Make a custom field. Not idempotent: the same label twice makes two."""
        body = json_body(
            {"label", "field_type", "options", "group_id", "user_group_id"}, required=("label", "field_type")
        )
        if body["field_type"] not in FIELD_TYPES:
            raise Refusal(400, f"Invalid field_type: {body['field_type']}")
        options = [option["label"] for option in body.get("options", ())]
        return json_response(self.make_field(str(body["label"]), body["field_type"], options).view(), 201)

    def remove_field(self, field_id: str) -> Response:
        """Delete a custom field with every contact's value."""
        custom = lookup(self.fields, field_id, "custom field")
        for contact in self.contacts.values():
            self.put(contact, custom, None, self.who)
        del self.fields[field_id]
        return no_content()

    # -- addresses, users -------------------------------------------------------------------------------------------

    def list_addresses(self) -> Response:
        """A page of e-mail addresses with their opt status and last mails."""
        by_address: dict[str, list[SentMail]] = {}
        for mail in self.mails.values():
            by_address.setdefault(mail.to.lower(), []).append(mail)
        return answer_page(
            listings.addresses(by_address, self.now),
            self.addresses.values(),
            lambda address: status_view(address, by_address.get(address.email.lower(), []), self.now),
        )

    def get_status(self, email: str) -> Response:
        """The opt status of one address."""
        address = lookup(self.addresses, email.lower(), "email address")
        return json_response(self._status_view(address))

    def patch_status(self, email: str) -> Response:
        """Opt an address in, where its status allows that, or out."""
        address = lookup(self.addresses, email.lower(), "email address")
        body = json_body({"opted_in", "reason"}, required=("opted_in", "reason"))
        if not isinstance(body["opted_in"], bool):
            raise Refusal(400, "opted_in must be true or false")
        if not body["opted_in"] and address.opted_in:
            self.set_status(address, "MANUAL", self.who)
        elif body["opted_in"] and address.status in MAY_OPT_IN:
            self.set_status(address, "SINGLE_OPT_IN", self.who)
        return json_response(self._status_view(address))

    def _status_view(self, address: Address) -> dict[str, Any]:
        return status_view(
            address, [mail for mail in self.mails.values() if mail.to.lower() == address.email.lower()], self.now
        )

    def list_users(self) -> Response:
        """A page of users; those who have left only when they are asked for."""
        everyone = "include_inactive==true" in asked("filter")
        users = [user for user in self.users.values() if user.active or everyone]
        return answer_page(listings.users(), users, lambda user: user.view())

    # -- hooks (v1) -------------------------------------------------------------------------------------------------

    def list_event_keys(self) -> Response:
        """The events that can be subscribed to."""
        return json_response(list(EVENT_KEYS))

    def list_hooks(self) -> Response:
        """Every subscription."""
        return json_response([subscription.view() for subscription in self.subscriptions.values()])

    def get_hook(self, key: str) -> Response:
        """One subscription and its status."""
        return json_response(self._subscription(key).view())

    def remove_hook(self, key: str) -> Response:
        """End a subscription."""
        del self.subscriptions[self._subscription(key).key]
        return no_content()

    def create_hook(self) -> Response:
        """Subscribe, and try the handshake at once."""
        body = json_body({"eventKey", "hookUrl"}, required=("eventKey", "hookUrl"))
        if body["eventKey"] not in EVENT_KEYS:
            raise Refusal(400, f"Unknown event key: {body['eventKey']}")
        with self.lock:
            subscription = self.subscribe(body["eventKey"], body["hookUrl"])
        self.shake_hands(subscription)
        return json_response(subscription.view())

    def verify_hook(self, key: str) -> Response:
        """Try the handshake again; that also wakes a subscription that fell silent."""
        with self.lock:
            subscription = self._subscription(key)
        self.shake_hands(subscription)
        return json_response(subscription.view())

    def verify_hook_later(self, key: str) -> Response:
        """Verify by sending back the secret in the header of a call."""
        subscription = self._subscription(key)
        if not self.confirm(subscription, request.headers.get("X-Hook-Secret", "")):
            raise Refusal(403, "X-Hook-Secret does not match")
        return json_response(subscription.view())

    def _subscription(self, key: str) -> Subscription:
        return lookup(self.subscriptions, key, "hook")


def _check_emails(emails: list[Any]) -> None:
    for email in emails:
        if not isinstance(email, dict) or not email.keys() <= {"email", "field", "opt_in_reason"}:
            raise Refusal(400, "an item of email_addresses is {email, field, opt_in_reason}")
        if email.get("field") not in EMAIL_SLOTS or not re.fullmatch(r"[^@\s]+@[^@\s]+", str(email.get("email"))):
            raise Refusal(400, f"Invalid email address: {email}")
