"""A pretend Zendesk Support: the incremental exports over the records of `zendesk_office`.

Sources: developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api,
developer.zendesk.com/api-reference/introduction/rate-limits.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final

from flask import Response, request
from werkzeug.exceptions import HTTPException

from worker.lib.clock import MINUTE, Clock
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.limits import Window
from worker.sandbox.servers.zendesk_office import (
    AGENT_ID,
    BRAND_ID,
    GROUP_ID,
    Object,
    Organization,
    Ticket,
    User,
    ZendeskOffice,
    stamp,
)

PER_MINUTE: Final = 400
"""What the Professional plan allows in all."""
EXPORTS_PER_MINUTE: Final = 10
MOST_PER_PAGE: Final = 1000
YOUNGEST: Final = MINUTE
"""Seconds. What changed later than that is not exported yet."""

_WAITING_FOR_AGENT: Final = {"new", "open"}


class Problem(Exception):
    """A refusal."""

    def __init__(self, status: int, body: Object) -> None:
        """`body` is Zendesk's JSON."""
        super().__init__(str(body))
        self.status = status
        self.body = body


class PretendZendesk(ZendeskOffice):
    """Zendesk Support on loopback, for one account and one admin's API token."""

    def __init__(
        self,
        clock: Clock,
        faults: Faults | None = None,
        *,
        email: str = "sam@sandbox.example",
        token: str = "zendesk_sandbox_token",  # noqa: S107  a made-up secret
    ) -> None:
        """The caller signs in as `email`/token with `token` (HTTP Basic)."""
        super().__init__(clock, faults)
        self.email = email
        self.token = token
        self.admin.email = email
        self.empty_pages = 0
        """How many of the next exports answer with an empty page though more follows, as the real one may."""
        self._limit = Window(PER_MINUTE, MINUTE)
        self._exports = Window(EXPORTS_PER_MINUTE, MINUTE)
        self.app.after_request(self._label)
        self.app.register_error_handler(Problem, _refuse)
        self.app.register_error_handler(HTTPException, _no_such_address)
        for ending in ("", ".json"):
            self.app.get(f"/api/v2/users/me{ending}", endpoint=f"me{ending[1:]}")(self._me)
            self.app.get(f"/api/v2/incremental/tickets/cursor{ending}", endpoint=f"tickets{ending[1:]}")(
                self._export_tickets
            )
            self.app.get(f"/api/v2/incremental/users/cursor{ending}", endpoint=f"users{ending[1:]}")(self._export_users)

    # -- manners ----------------------------------------------------------------------------------------------------

    def throttled(self, fault: str) -> Response:
        """Zendesk's 429."""
        return self._too_many(2.0 if fault == "429_with_retry_after" else None)

    def gate(self) -> Response | None:
        """The credentials, then the limits."""
        given = request.authorization
        known = (f"{self.email}/token", self.token)
        if given is None or given.type != "basic" or (given.username, given.password) != known:
            return json_response({"error": "Couldn't authenticate you"}, 401)
        with self.lock:
            now = self.clock.now()
            wait = self._limit.wait(now)
            if not wait and "/incremental/" in request.path:
                wait = self._exports.wait(now)
            if not wait:
                return None
            self.faults.count("429_over_limit")
            return self._too_many(wait)

    def _too_many(self, wait: float | None) -> Response:
        headers = {} if wait is None else {"Retry-After": str(math.ceil(wait))}
        body = {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"}
        return json_response(body, 429, headers)

    def _label(self, response: Response) -> Response:
        with self.lock:
            now = self.clock.now()
            shown = self._headers(self._limit, now)
            exports = self._exports
            if "/incremental/" in request.path:
                shown["zendesk-ratelimit-incremental-exports"] = (
                    f"total={exports.most}; remaining={exports.left()}; resets={math.ceil(exports.reset(now))}"
                )
        response.headers.update(shown)
        return response

    @staticmethod
    def _headers(limit: Window, now: float) -> dict[str, str]:
        return {
            "X-Rate-Limit": str(limit.most),
            "X-Rate-Limit-Remaining": str(limit.left()),
            "ratelimit-limit": str(limit.most),
            "ratelimit-remaining": str(limit.left()),
            "ratelimit-reset": str(math.ceil(limit.reset(now))),
        }

    # -- reading ----------------------------------------------------------------------------------------------------

    def _me(self) -> Response:
        with self.lock:
            return json_response({"user": self._user(self.admin)})

    def _export_tickets(self) -> Response:
        include = set(filter(None, request.args.get("include", "").split(",")))
        with self.lock:
            found = [(ticket.updated, ticket.id) for ticket in self.tickets.values()]
            page, answer = self._stretch("tickets", found)
            tickets = [self.tickets[id_] for id_ in page]
            answer["tickets"] = [self._ticket(one, with_metrics="metric_sets" in include) for one in tickets]
            if "users" in include:
                people = {one.requester.id: one.requester for one in tickets} | {self.admin.id: self.admin}
                answer["users"] = [self._user(people[id_]) for id_ in sorted(people)] if tickets else []
            if "organizations" in include:
                named = sorted({one.requester.organization_id or 0 for one in tickets} - {0})
                answer["organizations"] = [self._organization(self.organizations[id_]) for id_ in named]
            return json_response(answer)

    def _export_users(self) -> Response:
        with self.lock:
            page, answer = self._stretch("users", [(user.updated, user.id) for user in self.users.values()])
            answer["users"] = [self._user(self.users[id_]) for id_ in page]
            return json_response(answer)

    def _stretch(self, kind: str, records: list[tuple[int, int]]) -> tuple[list[int], Object]:
        """Which records (generated at, id) this request is to get, and the answer's frame without them."""
        size = self._page_size()
        position = self._position()
        waiting = sorted(one for one in records if one > position and one[0] < self.now - YOUNGEST)
        page = waiting[:size]
        if self.empty_pages and page:
            self.empty_pages -= 1
            page = []
        last = page[-1] if page else position
        cursor = _cursor(last)
        return [id_ for _, id_ in page], {
            "after_cursor": cursor,
            "after_url": f"{self.base_url}/api/v2/incremental/{kind}/cursor.json?cursor={cursor}&per_page={size}",
            "before_cursor": None,
            "before_url": None,
            "end_of_stream": len(page) == len(waiting),
        }

    def _page_size(self) -> int:
        size = _whole("per_page", request.args.get("per_page", str(MOST_PER_PAGE)))
        if not 1 <= size <= MOST_PER_PAGE:
            raise _invalid("per_page", f"per_page must be between 1 and {MOST_PER_PAGE}, not {size}")
        return size

    def _position(self) -> tuple[int, int]:
        """Where in the stream the request wants to go on: after this (generated at, id)."""
        if "cursor" in request.args:
            return _read_cursor(request.args["cursor"])
        if "start_time" not in request.args:
            raise _invalid("start_time", "start_time or cursor is required")
        start = _whole("start_time", request.args["start_time"])
        if start >= self.now - YOUNGEST:
            raise _invalid("start_time", "Too recent start_time. Use a start_time older than 1 minute")
        return (start, 0)

    # -- shapes -----------------------------------------------------------------------------------------------------

    def _ticket(self, ticket: Ticket, *, with_metrics: bool) -> Object:
        untouched = ticket.status == "new"
        shown: Object = {
            "url": f"{self.base_url}/api/v2/tickets/{ticket.id}.json",
            "id": ticket.id,
            "external_id": None,
            "via": {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}},
            "created_at": stamp(ticket.created),
            "updated_at": stamp(ticket.updated),
            "generated_timestamp": ticket.updated,
            "type": None,
            "subject": ticket.subject,
            "raw_subject": ticket.subject,
            "description": ticket.subject,
            "priority": ticket.priority,
            "status": ticket.status,
            "recipient": None,
            "requester_id": ticket.requester.id,
            "submitter_id": ticket.requester.id,
            "assignee_id": None if untouched else AGENT_ID,
            "organization_id": ticket.requester.organization_id,
            "group_id": GROUP_ID,
            "collaborator_ids": [],
            "follower_ids": [],
            "email_cc_ids": [],
            "forum_topic_id": None,
            "problem_id": None,
            "has_incidents": False,
            "is_public": True,
            "due_at": None,
            "tags": [],
            "custom_fields": [],
            "satisfaction_rating": _rating(ticket),
            "sharing_agreement_ids": [],
            "fields": [],
            "followup_ids": [],
            "ticket_form_id": None,
            "brand_id": BRAND_ID,
            "allow_channelback": False,
            "allow_attachments": True,
        }
        if with_metrics and ticket.status != "deleted":
            shown["metric_set"] = self._metrics(ticket)
        return shown

    def _metrics(self, ticket: Ticket) -> Object:
        solved = [at for at, status in ticket.steps if status == "solved"]
        assigned = next((at for at, status in ticket.steps if status != "new"), None)
        id_ = 500_000_000 + ticket.id
        return {
            "url": f"{self.base_url}/api/v2/ticket_metrics/{id_}.json",
            "id": id_,
            "ticket_id": ticket.id,
            "created_at": stamp(ticket.created),
            "updated_at": stamp(ticket.updated),
            "group_stations": 1,
            "assignee_stations": int(assigned is not None),
            "reopens": ticket.reopens,
            "replies": ticket.replies,
            "assignee_updated_at": stamp(assigned),
            "requester_updated_at": stamp(ticket.created),
            "status_updated_at": stamp(ticket.steps[-1][0]),
            "initially_assigned_at": stamp(assigned),
            "assigned_at": stamp(assigned),
            "solved_at": stamp(solved[-1]) if ticket.status == "solved" else None,
            "latest_comment_added_at": stamp(ticket.last_comment),
            "reply_time_in_minutes": _minutes(ticket.created, ticket.first_reply),
            "first_resolution_time_in_minutes": _minutes(ticket.created, solved[0] if solved else None),
            "full_resolution_time_in_minutes": _minutes(
                ticket.created, solved[-1] if ticket.status == "solved" else None
            ),
            "requester_wait_time_in_minutes": self._spent(ticket, _WAITING_FOR_AGENT),
            "agent_wait_time_in_minutes": self._spent(ticket, {"pending"}),
            "on_hold_time_in_minutes": self._spent(ticket, {"hold"}),
        }

    def _spent(self, ticket: Ticket, statuses: set[str]) -> Object:
        ends = [at for at, _ in ticket.steps[1:]] + [self.now]
        spent = sum(end - at for (at, status), end in zip(ticket.steps, ends, strict=True) if status in statuses)
        return {"calendar": spent // MINUTE, "business": spent // MINUTE}

    def _user(self, user: User) -> Object:
        staff = user.role != "end-user"
        return {
            "id": user.id,
            "url": f"{self.base_url}/api/v2/users/{user.id}.json",
            "name": user.name,
            "email": user.email,
            "created_at": stamp(user.created),
            "updated_at": stamp(user.updated),
            "time_zone": "UTC",
            "iana_time_zone": "Etc/UTC",
            "phone": None,
            "shared_phone_number": None,
            "photo": None,
            "locale_id": 1,
            "locale": "en-US",
            "organization_id": user.organization_id,
            "role": user.role,
            "verified": True,
            "external_id": user.external_id,
            "tags": [],
            "alias": None,
            "active": True,
            "shared": False,
            "shared_agent": False,
            "last_login_at": None,
            "two_factor_auth_enabled": None,
            "signature": None,
            "details": None,
            "notes": None,
            "role_type": None,
            "custom_role_id": None,
            "moderator": staff,
            "ticket_restriction": None if staff else "requested",
            "only_private_comments": False,
            "restricted_agent": not staff,
            "suspended": False,
            "default_group_id": GROUP_ID if staff else None,
            "report_csv": False,
            "user_fields": {},
        }

    def _organization(self, organization: Organization) -> Object:
        return {
            "url": f"{self.base_url}/api/v2/organizations/{organization.id}.json",
            "id": organization.id,
            "name": organization.name,
            "shared_tickets": False,
            "shared_comments": False,
            "external_id": organization.external_id,
            "created_at": stamp(organization.created),
            "updated_at": stamp(organization.created),
            "domain_names": [],
            "details": None,
            "notes": None,
            "group_id": None,
            "tags": [],
            "organization_fields": {},
        }


def _rating(ticket: Ticket) -> Object:
    if ticket.rating is not None:
        return {"id": ticket.rating.id, "score": ticket.rating.score, "comment": ticket.rating.comment}
    return {"score": "offered" if ticket.status in {"solved", "closed"} else "unoffered"}


def _minutes(start: int, end: int | None) -> Object:
    """Between two moments; the account has no business hours, so both counts are the same."""
    spent = None if end is None else (end - start) // MINUTE
    return {"calendar": spent, "business": spent}


def _cursor(position: tuple[int, int]) -> str:
    generated, id_ = position
    return base64.b64encode(f"{generated}.0||{id_}|".encode()).decode()


def _read_cursor(text: str) -> tuple[int, int]:
    try:
        moment, _, id_, _ = base64.b64decode(text, validate=True).decode().split("|")
        return int(float(moment)), int(id_)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _invalid("cursor", "cursor is invalid") from None


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise _invalid(name, f"{name} must be a whole number")
    return int(text)


def _invalid(name: str, message: str) -> Problem:
    return Problem(400, {"error": {"title": f"Invalid attribute: {name}", "message": message}})


def _refuse(problem: Problem) -> Response:
    return json_response(problem.body, problem.status)


def _no_such_address(_: HTTPException) -> Response:
    body: dict[str, Any] = {"error": {"title": "Invalid parameter", "message": "No such address"}}
    return json_response(body, 404)
