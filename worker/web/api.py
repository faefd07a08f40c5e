"""`/api/v1`: for Make, Zapier and the product itself. Flat snake_case scalars, every key always present, UTC.

Every request has shown a key before it gets here (worker/web/guard.py). 401 and 403 speak of keys only: a no-code tool
that meets one switches the scenario off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from flask import Blueprint, Response, g, request, url_for
from pydantic import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from worker import controls
from worker.intake.events import MOST_EVENTS, SOURCE, Event
from worker.intake.receive import NotStored, Receiver
from worker.integration import Receipt
from worker.lib.clock import iso, seconds
from worker.lib.lease import LASTS, Lease
from worker.lib.problems import Problem, Problems
from worker.lib.store import Store, sql
from worker.lib.strict_json import read_json
from worker.plays.records import departed
from worker.report import find_customer
from worker.river import turn
from worker.web import records
from worker.web.answers import answer, problem
from worker.web.opinions import add_opinions
from worker.workspace import Workspace

MOST_BYTES: Final = 2_000_000
"""Of one request: 1,000 events of 2 kB, which is more than an event can hold in earnest."""
STREAM: Final = "event"
LIMIT, MOST = 50, 200
"""Of a page of a list: unless asked for, and at most."""


class BadEvent(ValueError):
    """An event that cannot be taken: which, where in it, and why."""

    def __init__(self, index: int, field: str, reason: str) -> None:
        """`index` counts from 0, as the list does."""
        self.index, self.field, self.reason = index, field, reason
        super().__init__(f"Event {index}: {f'{field}: ' if field else ''}{reason}.")


def api(workspace: Workspace, receiver: Receiver) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

    @blueprint.get("/me")
    def me() -> Response:
        config = workspace.config.workspace
        return answer(
            {
                "id": g.key["id"], "key_name": g.key["name"], "account_name": config.name, "mode": workspace.mode,
                "paused": workspace.paused, "as_of": iso(workspace.clock.now()),
            }
        )  # fmt: skip

    @blueprint.post("/pause")
    def pause() -> Response:
        controls.set_paused(workspace.store, seconds(workspace.clock), paused=True)
        return answer({"paused": True, "as_of": iso(workspace.clock.now())})

    @blueprint.post("/events")
    def events() -> Response:
        request.max_content_length = MOST_BYTES
        try:
            body, n = read_events(request.get_data(cache=False))
            receipt = Receipt(_delivery_id(body), body)
            if _means_another(workspace.store, receipt):
                return problem(
                    422, "This Idempotency-Key has been used for other events.", code="key_reused",
                    field="Idempotency-Key", hint="send another key with other events",
                )  # fmt: skip
            received = receiver.receive(SOURCE, STREAM, receipt)
        except RequestEntityTooLarge:
            return problem(
                413, f"The body is over {MOST_BYTES:,} bytes.", code="too_large", hint="send the events in parts"
            )
        except BadEvent as bad:
            field = f"{bad.index}.{bad.field}" if bad.field else str(bad.index)
            return problem(422, str(bad), code="bad_event", field=field, hint="nothing of this request has been stored")
        except NotStored:
            return problem(
                503, "The events could not be stored just now; send them again.", code="not_stored",
                headers={"Retry-After": "10"},
            )  # fmt: skip
        except ValueError as error:
            return problem(422, f"The events cannot be read: {error}.", code="bad_body")
        return answer({"id": received.id, "accepted": n, "duplicate": received.duplicate, "status": "stored"}, 202)

    @blueprint.get("/customers")
    def customers() -> Response:
        band, q = request.args.get("band", ""), request.args.get("q", "")
        order = request.args.get("order", records.BY_CHANGE)
        if order not in records.ORDERS:
            return _bad_field("order", order, f"one of {', '.join(records.ORDERS)}")
        return _listed(
            lambda limit, cursor: records.customers(
                workspace, order=order, band=band, q=q, limit=limit, cursor=cursor
            )
        )  # fmt: skip

    @blueprint.get("/customers/<word>")
    def customer(word: str) -> Response:
        try:
            return answer(_customer(workspace, _found(workspace, word)))
        except Problems as unknown:
            return _unknown(unknown)

    @blueprint.post("/customers/<word>/score")
    def score(word: str) -> Response:
        """Take in what waits, assess, and give the fresh standing. What is decided leaves with the next turn."""
        with Lease(workspace.store, workspace.clock, "wheel").held() as mine:
            if not mine:
                return problem(
                    409, "Scores are being made just now; ask again in a moment.", code="busy",
                    headers={"Retry-After": str(LASTS)},
                )  # fmt: skip
            with suppress(Problems):  # one whose first event waits is known only after the turn
                records.mark(workspace.store, _found(workspace, word), seconds(workspace.clock))
            turn(workspace, kind="api", pulls=False, dispatch=False)
        return customer(word)

    @blueprint.get("/changes")
    def changes() -> Response:
        return _listed(lambda limit, cursor: records.changes(workspace, limit=limit, cursor=cursor))

    add_opinions(blueprint, workspace, receiver)
    return blueprint


# -- customers and changes --------------------------------------------------------------------------------------------


def _found(workspace: Workspace, word: str) -> str:
    """A customer's id by id, `email:…`, or `source:id`. Raises Problems: names are for people, who see what they get."""
    plain = word.removeprefix("email:").strip()
    if not plain.startswith("cus_") and ":" not in plain and "@" not in plain:
        raise Problems([Problem("customer", 0, "", f"{word[:100]!r} is no id", "write cus_…, keap:123 or email:…")])
    return find_customer(workspace.store, plain, by_beginning=False)


def _customer(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    gone = departed(workspace.store, seconds(workspace.clock))
    return records.customer(workspace, customer_id, customer_id in gone)


def _unknown(problems: Problems) -> Response:
    first = problems.problems[0]
    return problem(404, f"{first.message}.", code="unknown_customer", field="customer_id", hint=first.cure)


def _listed(read: Callable[[int, str], records.Listed]) -> Response:
    """A bare array; the next page's address is in the Link header (RFC 8288), its cursor in X-Next-Cursor."""
    text = request.args.get("limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        return _bad_field("limit", text, f"a number from 1 to {MOST}")
    try:
        found = read(int(text), request.args.get("cursor", ""))
    except records.BadCursor as bad:
        return _bad_field("cursor", request.args.get("cursor", ""), f"what a Link header gave, for {bad}")
    if not found.cursor:
        return answer(found.rows)
    onward = url_for(str(request.endpoint), _external=True, **{**request.args.to_dict(), "cursor": found.cursor})
    return answer(found.rows, headers={"Link": f'<{onward}>; rel="next"', "X-Next-Cursor": found.cursor})


def _bad_field(field: str, value: str, expected: str) -> Response:
    return problem(422, f"{field} is {value[:100]!r}; write {expected}.", code="bad_field", field=field)


# -- events -----------------------------------------------------------------------------------------------------------


def read_events(body: bytes) -> tuple[str, int]:
    """The events of a request in one spelling (a JSON list), and how many. Raises BadEvent, or ValueError for no JSON."""
    given = read_json(body)
    listed = given if isinstance(given, list) else [given]
    if not 1 <= len(listed) <= MOST_EVENTS:
        raise ValueError(f"a list holds 1 to {MOST_EVENTS} events, and this one {len(listed)}")
    events = [_event(index, one).model_dump() for index, one in enumerate(listed)]
    return json.dumps(events, ensure_ascii=False, sort_keys=True, separators=(",", ":")), len(events)


def _event(index: int, given: Any) -> Event:
    try:
        event = Event.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""  # an event is flat; what follows is pydantic's own
        raise BadEvent(index, field[:100], first["msg"].removeprefix("Value error, ")) from None
    for name, value in event:
        if isinstance(value, str) and "\0" in value:  # PostgreSQL keeps none, and the turn would break off over it
            raise BadEvent(index, name, "holds a NUL character, which text must not")
    return event


def _delivery_id(body: str) -> str:
    return request.headers.get("Idempotency-Key", "") or hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()


def _means_another(store: Store, receipt: Receipt) -> bool:
    """Whether the same Idempotency-Key came with other events before (draft-ietf-httpapi-idempotency-key-header, 2.7)."""
    binds = {
        "source": SOURCE, "stream": STREAM, "external_id": receipt.external_id,
        "body_hash": hashlib.sha256(receipt.body.encode("utf-8", "replace")).hexdigest(),
    }  # fmt: skip
    return store.row(sql("web", "same_id_other_body"), binds) is not None
