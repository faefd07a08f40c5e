"""`/api/v1`: for Make, Zapier and the product itself. Flat snake_case scalars, every key always present, UTC.

Every request has shown a key before it gets here (worker/web/guard.py). 401 and 403 speak of keys only: a no-code tool
that meets one switches the scenario off.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from flask import Blueprint, Response, g, request
from pydantic import ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from worker.intake.events import MOST_EVENTS, SOURCE, Event
from worker.intake.receive import NotStored, Receiver
from worker.integration import Receipt
from worker.lib.clock import iso
from worker.lib.store import Store, sql
from worker.lib.strict_json import read_json
from worker.web.answers import answer, problem
from worker.workspace import Workspace

MOST_BYTES: Final = 2_000_000
"""Of one request: 1,000 events of 2 kB, which is more than an event can hold in earnest."""
STREAM: Final = "event"


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

    return blueprint


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
        return Event.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadEvent(index, field[:100], first["msg"].removeprefix("Value error, ")) from None


def _delivery_id(body: str) -> str:
    return request.headers.get("Idempotency-Key", "") or hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()


def _means_another(store: Store, receipt: Receipt) -> bool:
    """Whether the same Idempotency-Key came with other events before (draft-ietf-httpapi-idempotency-key-header, 2.7)."""
    binds = {
        "source": SOURCE, "stream": STREAM, "external_id": receipt.external_id,
        "body_hash": hashlib.sha256(receipt.body.encode("utf-8", "replace")).hexdigest(),
    }  # fmt: skip
    return store.row(sql("web", "same_id_other_body"), binds) is not None
