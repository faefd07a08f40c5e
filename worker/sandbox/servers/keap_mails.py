"""The pretend Keap's mails: those it sends, from words or from a template, and those it is told of.

Where the specification is silent, it does what is hardest on a client: a send is accepted (202) whatever becomes of it,
contacts that may not be written to get nothing and nobody is told, content that is no Base64 is sent garbled, and what
looks like a merge field is merged, whoever wrote it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Response

from worker.lib.clock import Clock, from_iso
from worker.sandbox.servers import keap_listings as listings
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.keap_front import V2, answer_page, json_body
from worker.sandbox.servers.keap_gateway import Limits
from worker.sandbox.servers.keap_query import Listing, Refusal
from worker.sandbox.servers.keap_records import Contact, SentMail
from worker.sandbox.servers.keap_tags import KeapTags

LARGEST_BATCH: Final = 1000
PROVIDERS: Final = ("UNKNOWN", "INFUSIONSOFT", "MICROSOFT", "GOOGLE")
SLOTS: Final = {"Email": "EMAIL1", "EmailAddress2": "EMAIL2", "EmailAddress3": "EMAIL3"}
"""`address_field` -> the contact's e-mail slot."""

_SENT: Final = frozenset({
    "contacts", "subject", "attachments", "user_id", "from_address", "html_content", "plain_content", "address_field",
})  # fmt: skip
_TOLD: Final = frozenset({
    "subject", "headers", "contact_id", "sent_to_address", "sent_to_cc_address_list", "sent_to_bcc_address_list",
    "sent_from_address", "sent_from_reply_address", "sent_time", "received_time", "opened_time", "clicked_time",
    "plain_content", "html_content", "original_provider", "original_provider_id", "provider_source_id",
})  # fmt: skip
_MERGE: Final = re.compile(r"~([A-Za-z]+)\.([A-Za-z0-9_]+)~")
_MERGED: Final = {"FirstName": "given_name", "LastName": "family_name"}


@dataclass(frozen=True, slots=True)
class Template:
    """A mail that somebody wrote in Keap."""

    id: str
    title: str
    subject: str
    html: str

    def view(self) -> dict[str, Any]:
        """As `EmailTemplateSummary`; its id is a number."""
        return {
            "id": int(self.id),
            "piece_title": self.title,
            "categories": [],
            "from_address": "~Owner.Email~",
            "to_address": "~Contact.Email~",
            "subject": self.subject,
            "content_type": "HTML",
            "merge_context": "Contact",
        }


class KeapMails(KeapTags):
    """Keap with the doors to its mails."""

    def __init__(
        self, clock: Clock, faults: Faults | None, *, key: str, other_keys: Iterable[str], limits: Limits | None
    ) -> None:
        """Open the doors."""
        super().__init__(clock, faults, key=key, other_keys=other_keys, limits=limits)
        self.templates: dict[str, Template] = {}
        self.senders = {"hello@business.example"}
        """The addresses that are authenticated, so that a mail may come from them."""
        self.unwanted = 0
        """Mails that were accepted and never sent, as their contacts may not be written to."""
        self.open_doors((
            ("GET", f"{V2}/emails", self.list_mails),
            ("POST", f"{V2}/emails:send", self.send_mail),
            ("POST", f"{V2}/emails:batchAdd", self.note_mails),
            ("GET", f"{V2}/emails/templates", self.list_templates),
            ("POST", f"{V2}/emails/templates:send", self.send_template),
        ))  # fmt: skip

    # -- what people do, and what the demo and the tests read ---------------------------------------------------------

    def write_template(self, title: str, subject: str, html: str) -> str:
        """Somebody writes a template; gives its id."""
        with self.lock:
            template = Template(self.new_id(), title, subject, html)
            self.templates[template.id] = template
            return template.id

    def mails_to(self, contact_id: str, subject: str | None = None) -> list[SentMail]:
        """A contact's mails, of one subject or of all, in the order in which Keap got to know of them."""
        with self.lock:
            return [
                mail
                for mail in self.mails.values()
                if mail.contact_id == contact_id and subject in {None, mail.subject}
            ]

    # -- the API ------------------------------------------------------------------------------------------------------

    def list_mails(self) -> Response:
        """A page of the mails that Keap has sent or was told of."""
        sent = [mail for mail in self.mails.values() if mail.made_at <= self.now]
        return answer_page(listings.mails(), sent, lambda mail: mail.view(self.now))

    def send_mail(self) -> Response:
        """Accept a mail to many contacts; what becomes of it shows in the list alone."""
        body = json_body(_SENT, required=("contacts", "subject"))
        sent_from = self._sender(body)
        contacts = self._addressed(body["contacts"])
        plain, html = _decoded(body.get("plain_content")), _decoded(body.get("html_content"))
        for contact in contacts:
            self._send(contact, _slot(body), str(body["subject"]), sent_from, plain=plain, html=html)
        return Response(status=202)

    def send_template(self) -> Response:
        """Accept a template's mail to many contacts."""
        needed = ("template_id", "contact_ids", "user_id")
        body = json_body({*needed, "address_field"}, required=needed)
        template = self.templates.get(str(body["template_id"]))
        if template is None:
            raise Refusal(404, f"There is no email template {body['template_id']}")
        sent_from = self._sender({"user_id": body["user_id"]})
        for contact in self._addressed(body["contact_ids"]):
            self._send(contact, _slot(body), template.subject, sent_from, plain="", html=template.html)
        return Response(status=202)

    def list_templates(self) -> Response:
        """A page of templates."""
        listing: Listing[Template] = Listing(
            "email_templates", {}, {"id": lambda one: int(one.id)}, lambda one: int(one.id)
        )
        return answer_page(listing, self.templates.values(), Template.view)

    def note_mails(self) -> Response:
        """Note mails that others sent; 201 even where some fail, so both lists have to be looked at."""
        emails = json_body({"emails"}, required=("emails",))["emails"]
        if not isinstance(emails, list) or len(emails) > LARGEST_BATCH:
            raise Refusal(400, f"emails must be a list of at most {LARGEST_BATCH}")
        noted: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for email in emails:
            try:
                noted.append(self._note_mail(email))
            except Refusal as refusal:
                self.faults.count("failed_item")
                errors.append({"error_message": str(refusal), "email": email if isinstance(email, dict) else {}})
        return json_response({"emails": noted, "errors": errors}, 201)

    # -- how ----------------------------------------------------------------------------------------------------------

    def _sender(self, body: Mapping[str, Any]) -> str:
        """The address that a mail comes from: a user's, or an authenticated one; exactly one of the two is named."""
        user_id, address = body.get("user_id"), body.get("from_address")
        if (user_id is None) == (address is None):
            raise Refusal(400, "Exactly one of user_id or from_address is required")
        if user_id is not None:
            user = self.users.get(user_id) if isinstance(user_id, str) else None
            if user is None or not user.active:
                raise Refusal(400, f"Invalid user_id: {user_id}")
            return user.email
        if address not in self.senders:
            raise Refusal(400, f"from_address is not authenticated: {address}")
        return str(address)

    def _addressed(self, contact_ids: Any) -> list[Contact]:
        if not isinstance(contact_ids, list) or not contact_ids:
            raise Refusal(400, "The contacts must be a list of ids, as text")
        unknown = [one for one in contact_ids if not isinstance(one, str) or one not in self.contacts]
        if unknown:
            raise Refusal(400, f"Invalid contact ids: {unknown}")
        return [self.contacts[contact_id] for contact_id in contact_ids]

    def _send(self, contact: Contact, slot: str, subject: str, sent_from: str, *, plain: str, html: str) -> None:
        to = next((entry["email"] for entry in contact.emails if entry["field"] == slot), "")
        if not to or not self.address(to).opted_in:
            self.unwanted += 1
            return
        mail = SentMail(
            self.new_id(), contact.id, to, _merged(subject, contact), self.now, None, None, created_at=self.now,
            sent_from=sent_from, plain=_merged(plain, contact), html=_merged(html, contact),
        )  # fmt: skip
        self.mails[mail.id] = mail

    def _note_mail(self, email: Any) -> dict[str, Any]:
        if not isinstance(email, dict) or not email.keys() <= _TOLD:
            raise Refusal(400, "An email has a property that is none")
        if not email.get("sent_to_address"):
            raise Refusal(400, "sent_to_address is required")
        contact_id = str(email.get("contact_id") or "")
        if contact_id and contact_id not in self.contacts:
            raise Refusal(400, "Contact not found")
        provider = email.get("original_provider", "UNKNOWN")
        provider_id = str(email.get("original_provider_id") or f"sandbox{self.new_id()}")
        if provider not in PROVIDERS:
            raise Refusal(400, f"Invalid original_provider: {provider}")
        if any((mail.provider, mail.provider_id) == (provider, provider_id) for mail in self.mails.values()):
            raise Refusal(400, "original_provider_id must be unique when combined with original_provider")
        mail = SentMail(
            self.new_id(),
            contact_id,
            email["sent_to_address"],
            str(email.get("subject", "")),
            _moment(email.get("sent_time")),
            _moment(email.get("opened_time")),
            _moment(email.get("clicked_time")),
            created_at=self.now,
            sent_from=str(email.get("sent_from_address", "")),
            provider=str(provider),
            provider_id=provider_id,
            plain=_decoded(email.get("plain_content")),
            html=_decoded(email.get("html_content")),
        )
        self.mails[mail.id] = mail
        given = {name: email[name] for name in ("plain_content", "html_content") if name in email}
        return mail.view(self.now) | given


def _slot(body: Mapping[str, Any]) -> str:
    field = body.get("address_field", "Email")
    if field not in SLOTS:
        raise Refusal(400, f"Invalid address_field: {field}")
    return SLOTS[field]


def _decoded(words: Any) -> str:
    """Base64 as text; what is none comes out garbled, and nobody is told."""
    if not words:
        return ""
    letters = re.sub(r"[^A-Za-z0-9+/]", "", str(words))
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _moment(words: Any) -> int | None:
    try:
        return from_iso(str(words)) if words else None
    except ValueError:
        raise Refusal(400, f"Invalid moment: {words}") from None


def _merged(words: str, contact: Contact) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] != "Contact":
            return ""
        if match[2] == "Email":
            return contact.email
        return str(contact.properties.get(_MERGED.get(match[2], ""), ""))

    return _MERGE.sub(value, words)
