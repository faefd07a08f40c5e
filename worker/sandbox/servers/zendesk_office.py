"""Zendesk's back office: users, tickets, and what can happen to them, with the event webhooks that follow."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from worker.lib.clock import Clock, iso
from worker.sandbox.servers.base import Faults, Hook, PretendVendor

Object = dict[str, Any]
"""One object of the API, as JSON."""

ACCOUNT_ID: Final = 22_000_001
AGENT_ID: Final = 900_000_001
GROUP_ID: Final = 910_000_001
BRAND_ID: Final = 920_000_001
PRIORITIES: Final = ("urgent", "high", "normal", "low", None)

_NAMES: Final = uuid.UUID("3f0f5a7c-5d5b-4c56-9c3c-6d6a4b0b9a11")
"""Where the ids of events are derived from, so that they are the same in every run."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of X-Zendesk-Webhook-Signature: base64 of HMAC-SHA256 over timestamp and body, the secret as it stands.

    Source: developer.zendesk.com/documentation/webhooks/verifying.
    """
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def stamp(moment: int | None) -> str | None:
    """A moment as Zendesk writes it: whole seconds, `2026-01-31T09:30:00Z`."""
    return None if moment is None else f"{iso(moment)[:19]}Z"


@dataclass(frozen=True, slots=True)
class Organization:
    """A company."""

    id: int
    name: str
    external_id: str | None
    created: int


@dataclass(slots=True)
class User:
    """A person: an end user, or the one agent and admin."""

    id: int
    name: str
    email: str | None
    external_id: str | None
    organization_id: int | None
    created: int
    updated: int
    role: str = "end-user"


@dataclass(frozen=True, slots=True)
class Rating:
    """What the requester said about how a ticket was handled."""

    id: int
    score: str
    comment: str | None


@dataclass(slots=True)
class Ticket:
    """A ticket; times in epoch seconds."""

    id: int
    subject: str
    priority: str | None
    requester: User
    created: int
    updated: int
    status: str = "new"
    steps: list[tuple[int, str]] = field(default_factory=list)
    """Every status it came into, and when."""
    first_reply: int | None = None
    last_comment: int = 0
    replies: int = 0
    reopens: int = 0
    rating: Rating | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """An event webhook as the account has it; it gets what happens from `created` on."""

    id: str
    url: str
    secret: str
    types: tuple[str, ...]
    created: int


class ZendeskOffice(PretendVendor):
    """The records of a Zendesk account. `at` is when an act happens, epoch seconds; the clock's present if None."""

    name = "zendesk"

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        """An account with one admin, who answers every ticket."""
        super().__init__(clock, faults)
        self.users: dict[int, User] = {}
        self.tickets: dict[int, Ticket] = {}
        self.organizations: dict[int, Organization] = {}
        self._webhooks: list[Webhook] = []
        self._events = 0
        self.admin = User(AGENT_ID, "Sam Agent", "sam@sandbox.example", None, None, 0, 0, role="admin")

    # -- webhooks ---------------------------------------------------------------------------------------------------

    def hook_to(self, url: str, secret: str = "zendesk_sandbox", types: tuple[str, ...] = ("*",)) -> None:  # noqa: S107  a made-up secret
        """Register an event webhook; `types` are event types, or `*`. It hears of what happens from now on."""
        with self.lock:
            id_ = str(uuid.uuid5(_NAMES, f"webhook {len(self._webhooks)}"))
            self._webhooks.append(Webhook(id_, url, secret, types, self.now))

    def _emit(self, kind: str, ticket: Ticket, event: Object, at: int) -> None:
        self._events += 1
        about = {
            "account_id": ACCOUNT_ID,
            "detail": ticket_detail(ticket),
            "event": event,
            "id": str(uuid.uuid5(_NAMES, f"event {self._events}")),
            "subject": f"zen:ticket:{ticket.id}",
            "time": stamp(at),
            "type": f"zen:event-type:{kind}",
            "zendesk_event_version": "2022-11-06",
        }
        for webhook in self._webhooks:
            if at >= webhook.created and (about["type"] in webhook.types or "*" in webhook.types):
                self.queue_hook(_hook(webhook, about))

    # -- people -----------------------------------------------------------------------------------------------------

    def add_organization(self, name: str, external_id: str | None = None, at: int | None = None) -> int:
        """Take on a company; gives its id."""
        with self.lock:
            id_ = 700_000_001 + len(self.organizations)
            self.organizations[id_] = Organization(id_, name, external_id, self._at(at))
            return id_

    def add_user(
        self,
        name: str,
        email: str,
        external_id: str | None = None,
        organization_id: int | None = None,
        at: int | None = None,
    ) -> int:
        """Take on an end user; gives the id."""
        with self.lock:
            at = self._at(at)
            id_ = 800_000_001 + len(self.users)
            self.users[id_] = User(id_, name, email or None, external_id, organization_id, at, at)
            return id_

    def change_email(self, user_id: int, email: str, at: int | None = None) -> None:
        """Write another address on a user."""
        with self.lock:
            user = self.users[user_id]
            user.email = email
            user.updated = self._at(at)

    # -- tickets ----------------------------------------------------------------------------------------------------

    def open_ticket(self, user_id: int, subject: str, priority: str | None = None, at: int | None = None) -> int:
        """Have a user ask for help; gives the ticket's id. `priority` is urgent, high, normal, low or None."""
        with self.lock:
            at = self._at(at)
            id_ = 1 + len(self.tickets)
            ticket = Ticket(id_, subject, _priority(priority), self.users[user_id], at, at, last_comment=at)
            ticket.steps.append((at, "new"))
            self.tickets[id_] = ticket
            self._emit("ticket.created", ticket, {}, at)
            return id_

    def reply(self, ticket_id: int, at: int | None = None) -> None:
        """Have the agent answer in public and wait for the requester."""
        with self.lock:
            at = self._at(at)
            ticket = self._living(ticket_id)
            ticket.replies += 1
            ticket.last_comment = at
            if ticket.first_reply is None:
                ticket.first_reply = at
            self._move(ticket, "pending", at)

    def solve(self, ticket_id: int, at: int | None = None) -> None:
        """Have the agent call it solved."""
        with self.lock:
            self._move(self._living(ticket_id), "solved", self._at(at))

    def reopen(self, ticket_id: int, at: int | None = None) -> None:
        """Have the requester come back: after a solution that is a reopening, after a reply just a further word."""
        with self.lock:
            at = self._at(at)
            ticket = self._living(ticket_id)
            ticket.last_comment = at
            if ticket.status == "solved":
                ticket.reopens += 1
            self._move(ticket, "open", at)

    def rate(self, ticket_id: int, score: str, comment: str | None = None, at: int | None = None) -> None:
        """Have the requester rate a ticket: good or bad."""
        if score not in {"good", "bad"}:
            raise ValueError(f"a rating is good or bad, not {score!r}")
        with self.lock:
            at = self._at(at)
            ticket = self._living(ticket_id)
            ticket.rating = Rating(600_000_000 + ticket_id, score, comment)
            ticket.updated = at
            rated = {"score": score.upper(), "comment": comment}
            self._emit("ticket.csat_received", ticket, {"satisfaction_score": rated}, at)

    def set_priority(self, ticket_id: int, priority: str | None, at: int | None = None) -> None:
        """Have the agent judge a ticket anew."""
        with self.lock:
            at = self._at(at)
            ticket = self._living(ticket_id)
            before, ticket.priority = ticket.priority, _priority(priority)
            ticket.updated = at
            change = {"current": _upper(ticket.priority), "previous": _upper(before)}
            self._emit("ticket.priority_changed", ticket, change, at)

    def delete_ticket(self, ticket_id: int, at: int | None = None) -> None:
        """Have an agent throw a ticket away; the export goes on naming it, as deleted."""
        with self.lock:
            at = self._at(at)
            ticket = self._living(ticket_id)
            ticket.status = "deleted"
            ticket.updated = at
            self._emit("ticket.soft_deleted", ticket, {}, at)

    def _living(self, ticket_id: int) -> Ticket:
        ticket = self.tickets[ticket_id]
        if ticket.status == "deleted":
            raise ValueError(f"ticket {ticket_id} is deleted")
        return ticket

    def _move(self, ticket: Ticket, status: str, at: int) -> None:
        ticket.updated = at
        if ticket.status != status:
            before, ticket.status = ticket.status, status
            ticket.steps.append((at, status))
            change = {"current": status.upper(), "previous": before.upper()}
            self._emit("ticket.status_changed", ticket, change, at)

    def _at(self, at: int | None) -> int:
        return self.now if at is None else at


def ticket_detail(ticket: Ticket) -> Object:
    """A ticket as event webhooks show it: ids are texts, choices in capitals, no address of anybody.

    Source: developer.zendesk.com/api-reference/webhooks/event-types/ticket-events.
    """
    requester = str(ticket.requester.id)
    organization = ticket.requester.organization_id
    return {
        "actor_id": requester if ticket.status == "new" else str(AGENT_ID),
        "assignee_id": None if ticket.status == "new" else str(AGENT_ID),
        "brand_id": str(BRAND_ID),
        "created_at": stamp(ticket.created),
        "custom_status": None,
        "description": ticket.subject,
        "external_id": None,
        "form_id": None,
        "group_id": str(GROUP_ID),
        "id": str(ticket.id),
        "is_public": True,
        "organization_id": None if organization is None else str(organization),
        "priority": _upper(ticket.priority),
        "requester_id": requester,
        "status": ticket.status.upper(),
        "subject": ticket.subject,
        "submitter_id": requester,
        "tags": [],
        "type": None,
        "updated_at": stamp(ticket.updated),
        "via": {"channel": "web_service"},
    }


def _upper(priority: str | None) -> str | None:
    return None if priority is None else priority.upper()


def _priority(priority: str | None) -> str | None:
    if priority not in PRIORITIES:
        raise ValueError(f"a priority is one of {PRIORITIES}, not {priority!r}")
    return priority


def _hook(webhook: Webhook, about: Object) -> Hook:
    body = json.dumps(about).encode()

    def build(now: int) -> tuple[bytes, dict[str, str]]:
        timestamp = str(stamp(now))
        return body, {
            "Content-Type": "application/json; charset=utf-8",
            "X-Zendesk-Account-Id": str(ACCOUNT_ID),
            "X-Zendesk-Webhook-Id": webhook.id,
            "X-Zendesk-Webhook-Invocation-Id": about["id"],
            "X-Zendesk-Webhook-Signature": signature(webhook.secret, timestamp, body),
            "X-Zendesk-Webhook-Signature-Timestamp": timestamp,
        }

    return Hook(webhook.url, build)
