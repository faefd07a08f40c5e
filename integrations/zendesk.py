"""Zendesk Support: tickets, how long they waited, how often they came back, how they were rated; in only.

Documentation: https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api/
and, for webhooks, https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/

Oddities
- The incremental export gives every ticket that changed, oldest change first, so a bookmark is safe page by page. It
  goes by when Zendesk touched a ticket, system changes included, so one may come again unchanged. A page may be empty
  and yet not the last; what changed within the last minute is held back; once there is a cursor, `start_time` is never
  sent again, or tickets get lost. 10 calls a minute, administrators only. Deleted tickets come without their metrics.
- Event webhooks show ids as texts and choices in capitals; metrics and addresses they do not show. A trigger's webhook
  has a body that somebody wrote by hand; only event webhooks are read.
- What people wrote in tickets is not kept: it is cut out before anything is stored.

How facts come out of snapshots
- A ticket shows how it is now, and of its past a few dates. So each fact is a function of the newest snapshot of its
  ticket, under a `source_id` of ticket and transition, and sightings are dated by the ticket's own last change: the
  store keeps the newest word, in whatever order the snapshots came.
- `open_ticket` is two such facts, both with the present priority as their label: +1 from when it was opened, and -1
  from when it was solved; the latter is 0 while the ticket is open, since a solved ticket can come back. The sum by
  label is that of the newest snapshot. When a priority changed no snapshot tells, so the whole time bears the present
  one.
- Zendesk counts reopenings and does not date them: all bear the date of the last change that can have been one.
- `ticket_solved` bears the date of the latest solution; while a ticket is open again, the one before stays.
- A webhook makes a fact only where it proves the date that the export will show; else it waits for the export. So
  webhooks bring `open_ticket`, `ticket_raised` and `ticket_solved` early, and the export the same and the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from pydantic import Field, model_validator

from worker.facts import MILLION, Attribute, Delivery, Fact, Identity, Parsed, Person, Sighting, millionths
from worker.integration import Incoming, Integration, Page, Pull, Receipt, Refused, SecretStr, Settings
from worker.lib.clock import Clock, from_iso
from worker.lib.http import GiveUp, Http, Reconnect, Retry
from worker.lib.signing import fresh, signature_matches
from worker.lib.strict_json import read_json

NAME: Final = "zendesk"

DONE: Final = frozenset({"solved", "closed", "deleted"})

NOT_KEPT: Final = frozenset(
    {
        "subject", "raw_subject", "description", "comment", "body", "html_body", "plain_body", "fields",
        "custom_fields", "notes", "details", "phone", "photo", "signature",
    }
)  # fmt: skip
"""Fields that are dropped, at any depth, before a delivery is stored: what people wrote, and what nobody needs."""

MOST_EMPTY_PAGES: Final = 20
"""So many empty pages in a row that are not the last, and something is wrong."""


# -- settings ---------------------------------------------------------------------------------------------------------


class ZendeskSettings(Settings):
    """How one Zendesk account is reached."""

    subdomain: str = Field(
        default="",
        pattern=r"^[a-z0-9-]*$",
        description="The account's name in its address: `acme` for https://acme.zendesk.com.",
    )
    email: str = Field(description="The e-mail of the administrator whose token it is.")
    token: SecretStr = Field(description="An API token, made in the admin centre under Apps and integrations.")
    webhook_secret: SecretStr | None = Field(default=None, description="The signing secret of the event webhook.")
    webhook_secret_old: SecretStr | None = Field(
        default=None, description="The one before, still accepted while the secret is being replaced."
    )
    external_id_is_keap: bool = Field(
        default=True, description="Whether the external_id of Zendesk's users is the Keap contact's id."
    )
    base_url: str = Field(default="", description="Where Zendesk's API is, if not at the subdomain.")

    @model_validator(mode="after")
    def _has_an_address(self) -> ZendeskSettings:
        if not (self.subdomain or self.base_url):
            raise ValueError("set the subdomain: `acme` for https://acme.zendesk.com")
        return self

    @property
    def secrets(self) -> list[str]:
        """The signing secrets that are accepted now."""
        return [one.get_secret_value() for one in (self.webhook_secret, self.webhook_secret_old) if one is not None]


def connect(settings: ZendeskSettings, clock: Clock) -> Http:
    """Zendesk's connection. Two at once and eight a minute are never more than ten in any minute."""
    return Http(
        "Zendesk",
        settings.base_url or f"https://{settings.subdomain}.zendesk.com",
        clock,
        auth=(f"{settings.email}/token", settings.token.get_secret_value()),
        per_second=8 / 60,
        burst=2,
        timeout=90.0,
    )


# -- what Zendesk's events mean ---------------------------------------------------------------------------------------


class Meaning(Enum):
    """What an event says about the ticket that it shows."""

    STANDS = "the ticket is as shown; whether it was solved just now, the event does not tell"
    MOVED = "its status changed just now"
    ENDED = "it is gone just now, whatever status is shown"


EVENTS: Final[Mapping[str, Meaning]] = {
    "zen:event-type:ticket.created": Meaning.STANDS,
    "zen:event-type:ticket.priority_changed": Meaning.STANDS,
    "zen:event-type:ticket.requester_changed": Meaning.STANDS,
    "zen:event-type:ticket.undeleted": Meaning.STANDS,
    "zen:event-type:ticket.status_changed": Meaning.MOVED,
    "zen:event-type:ticket.soft_deleted": Meaning.ENDED,
    "zen:event-type:ticket.permanently_deleted": Meaning.ENDED,
    "zen:event-type:ticket.marked_as_spam": Meaning.ENDED,
}
"""Every other event is kept and counted."""


# -- verify -----------------------------------------------------------------------------------------------------------


def verify(incoming: Incoming, settings: ZendeskSettings, now: int) -> Receipt:
    """Believe an event by its signature: base64 of HMAC-SHA256 over timestamp and body, five minutes either way.

    https://developer.zendesk.com/documentation/webhooks/verifying/. What people wrote is cut out of what is stored.
    """
    if not settings.secrets:
        raise Refused(401, "Zendesk's webhooks are not set up here; set webhook_secret first.", "unsigned")
    stamp = incoming.headers.get("x-zendesk-webhook-signature-timestamp", "")
    offered = incoming.headers.get("x-zendesk-webhook-signature", "")
    if not stamp or not offered:
        raise Refused(401, "X-Zendesk-Webhook-Signature or its timestamp is missing.", "unsigned")
    message = stamp.encode("utf-8", "replace") + incoming.body
    if not signature_matches(settings.secrets, message, [offered], encoding="base64"):
        raise Refused(401, "X-Zendesk-Webhook-Signature does not match; is webhook_secret this webhook's?", "forged")
    try:
        signed_at = from_iso(stamp)
    except ValueError:
        raise Refused(401, "X-Zendesk-Webhook-Signature-Timestamp is no moment.", "unsigned") from None
    if not fresh(signed_at, now):
        raise Refused(401, "The signature is more than five minutes off; is the clock right?", "stale")
    event = read_json(incoming.body)
    if not isinstance(event, dict) or not isinstance(event.get("id"), str) or not isinstance(event.get("type"), str):
        raise Refused(400, "This is no event of Zendesk's; set up an event webhook, not a trigger's.", "no_event")
    return Receipt(event["id"], json.dumps(without_words(event)), urgent=_is_urgent(event))


def without_words(value: Any) -> Any:
    """The value without the fields that are not kept."""
    if isinstance(value, dict):
        return {key: without_words(inner) for key, inner in value.items() if key not in NOT_KEPT}
    return [without_words(inner) for inner in value] if isinstance(value, list) else value


def _is_urgent(event: Mapping[str, Any]) -> bool:
    ticket = event.get("detail")
    if EVENTS.get(event["type"]) in {None, Meaning.ENDED} or not isinstance(ticket, dict):
        return False
    return _word(ticket, "priority") == "urgent" and _word(ticket, "status") not in DONE


# -- parse ------------------------------------------------------------------------------------------------------------


def parse(delivery: Delivery, settings: ZendeskSettings) -> Parsed:
    """What an event or a page of the export says. Raises ValueError for a body of no known shape."""
    body = json.loads(delivery.body)
    if not isinstance(body, dict):
        raise ValueError("a delivery of Zendesk's is a JSON object")
    if isinstance(body.get("tickets"), list):
        return _page(body, settings)
    if isinstance(body.get("type"), str):
        return _event(body)
    raise ValueError("this is neither an event of Zendesk's nor a page of tickets")


def _page(page: Mapping[str, Any], settings: ZendeskSettings) -> Parsed:
    users = {str(one["id"]): one for one in page.get("users") or ()}
    organizations = {str(one["id"]): one for one in page.get("organizations") or ()}
    sightings: list[Sighting] = []
    refused: list[tuple[str, str]] = []
    for ticket in page["tickets"]:
        try:
            sightings.append(_exported(ticket, users, organizations, settings))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            named = ticket.get("id", "?") if isinstance(ticket, dict) else "?"
            refused.append((f"ticket {named}", f"cannot be read ({error!r:.120})"))
    return Parsed(tuple(sightings), refused=tuple(refused))


def _exported(
    ticket: Mapping[str, Any],
    users: Mapping[str, Mapping[str, Any]],
    organizations: Mapping[str, Mapping[str, Any]],
    settings: ZendeskSettings,
) -> Sighting:
    requester, at = _requester(ticket), max(from_iso(ticket["updated_at"]), int(ticket.get("generated_timestamp") or 0))
    user = users.get(requester, {})
    external_id = str(user.get("external_id") or "").strip() if settings.external_id_is_keap else ""
    name, email = str(user.get("name") or ""), str(user.get("email") or "")
    company = str(organizations.get(str(ticket.get("organization_id")), {}).get("name") or "")
    metrics = ticket.get("metric_set") or {}
    solved_at = _moment(metrics, "solved_at") or from_iso(ticket["updated_at"])
    return Sighting(
        at=at,
        identities=(Identity(NAME, requester), *((Identity("keap", external_id),) if external_id else ())),
        name=name,
        people=(Person(email, name, "user"),) if email else (),
        attributes=(Attribute("organisation", company, at),) if company else (),
        facts=(
            *ticket_facts(ticket, solved_at if _word(ticket, "status") in DONE else None),
            *metric_facts(ticket, metrics, solved_at),
        ),
    )


def _event(event: Mapping[str, Any]) -> Parsed:
    meaning, ticket = EVENTS.get(event["type"]), event.get("detail")
    if meaning is None:
        return Parsed(unknown=(event["type"].removeprefix("zen:event-type:"),))
    if not isinstance(ticket, dict):
        raise ValueError("an event about a ticket, without the ticket")
    at = from_iso(ticket["updated_at"])
    facts = ticket_facts(ticket, _ended_just_now(event, meaning, at)) if _is_dated(event, meaning) else ()
    return Parsed((Sighting(at, (Identity(NAME, _requester(ticket)),), facts=tuple(facts)),))


def _is_dated(event: Mapping[str, Any], meaning: Meaning) -> bool:
    """Whether an event proves when its ticket was solved, or that it is not."""
    if meaning is Meaning.ENDED or _word(event["detail"], "status") not in DONE:
        return True
    return meaning is Meaning.MOVED and _word(event.get("event") or {}, "previous") not in {*DONE, "none", ""}


def _ended_just_now(event: Mapping[str, Any], meaning: Meaning, at: int) -> int | None:
    return at if meaning is Meaning.ENDED or _word(event["detail"], "status") in DONE else None


def ticket_facts(ticket: Mapping[str, Any], ended_at: int | None) -> list[Fact]:
    """What any snapshot of a ticket proves; `ended_at` is since when it is solved, closed or deleted, None if open."""
    opened, label = from_iso(ticket["created_at"]), _word(ticket, "priority")
    found = [
        _fact("ticket_raised", ticket, "raised", opened, label=label),
        _fact("open_ticket", ticket, "opened", opened, label=label),
        _fact(
            "open_ticket", ticket, "ended", opened if ended_at is None else max(opened, ended_at),
            0 if ended_at is None else -MILLION, label,
        ),
    ]  # fmt: skip
    if ended_at is not None and _word(ticket, "status") in {"solved", "closed"}:
        found.append(_fact("ticket_solved", ticket, "solved", ended_at))
    return found


def metric_facts(ticket: Mapping[str, Any], metrics: Mapping[str, Any], solved_at: int) -> list[Fact]:
    """What only the export tells: the first reply, reopenings, the rating."""
    found = []
    opened = from_iso(ticket["created_at"])
    minutes = (metrics.get("reply_time_in_minutes") or {}).get("calendar")
    if minutes is not None:
        hours = millionths(minutes) // 60
        found.append(_fact("first_reply", ticket, "first_reply", opened + 60 * int(minutes), hours))
    over = _word(ticket, "status") in DONE
    again_at = solved_at if over else _moment(metrics, "status_updated_at") or from_iso(ticket["updated_at"])
    times = range(1, int(metrics.get("reopens") or 0) + 1)
    found += [_fact("help_asked_again", ticket, f"asked_again:{number}", again_at) for number in times]
    score = _word(ticket.get("satisfaction_rating") or {}, "score")
    if score.startswith(("good", "bad")):
        # When it was given is not told; it is offered when the ticket is solved.
        found.append(_fact("ticket_rating", ticket, "rating", solved_at, MILLION if score.startswith("good") else 0))
    return found


def _fact(
    kind: str, ticket: Mapping[str, Any], transition: str, at: int, value: int = MILLION, label: str = ""
) -> Fact:
    return Fact(kind, at, NAME, f"ticket_{ticket['id']}:{transition}", value, label)


def _requester(ticket: Mapping[str, Any]) -> str:
    found = ticket.get("requester_id")
    if not isinstance(found, int | str) or not str(found):
        raise ValueError("it names no requester")
    return str(found)


def _word(about: Mapping[str, Any], name: str) -> str:
    """A choice in small letters; `none` where nothing is chosen."""
    return str(about.get(name) or "none").lower()


def _moment(about: Mapping[str, Any], name: str) -> int | None:
    return from_iso(about[name]) if about.get(name) else None


# -- pulls ------------------------------------------------------------------------------------------------------------


def fetch_tickets(http: Http, settings: ZendeskSettings, cursor: str | None, now: int) -> Iterator[Page]:
    """Tickets that changed since the bookmark, oldest change first; all of them the first time."""
    empty = 0
    while True:
        place = {"cursor": cursor} if cursor else {"start_time": 0}
        what = {"per_page": 1000, "include": "metric_sets,users,organizations"}
        page = http.get("/api/v2/incremental/tickets/cursor.json", {**place, **what}).data
        if not isinstance(page, dict) or not isinstance(page.get("tickets"), list) or "end_of_stream" not in page:
            raise GiveUp("Zendesk answered the export with something else; is base_url right?")
        yield Page(f"tickets:{cursor or 'start'}", json.dumps(without_words(page)), page.get("after_cursor"))
        if page["end_of_stream"]:
            return
        empty = 0 if page["tickets"] else empty + 1
        if empty >= MOST_EMPTY_PAGES or not page.get("after_cursor"):
            raise Retry("Zendesk's export neither goes on nor comes to its end")
        cursor = page["after_cursor"]


# -- check ------------------------------------------------------------------------------------------------------------


def check(http: Http, settings: ZendeskSettings) -> Iterable[str]:
    """Who we are in Zendesk. Raises Reconnect where that is no administrator."""
    user = (http.get("/api/v2/users/me.json").data or {}).get("user") or {}
    if user.get("role") != "admin":
        raise Reconnect(
            f"Zendesk knows {settings.email} as {user.get('role') or 'nobody'}; the export is for administrators, "
            "so use the e-mail and token of one"
        )
    yield f"Connected to Zendesk as {settings.email}, an administrator"
    if not settings.secrets:
        yield "No webhook_secret is set, so urgent tickets are heard of with the next pull only"


INTEGRATION = Integration(
    name=NAME,
    title="Zendesk",
    does="tickets, replies, reopenings and ratings, in",
    settings=ZendeskSettings,
    docs="https://developer.zendesk.com/api-reference/ticketing/",
    connect=connect,
    verify=verify,
    parse=parse,
    pulls=(
        Pull(
            "tickets",
            fetch_tickets,
            feeds=("open_ticket", "ticket_raised", "ticket_solved", "first_reply", "help_asked_again", "ticket_rating"),
        ),
    ),
    check=check,
)
