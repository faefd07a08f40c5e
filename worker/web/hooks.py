"""`/hooks/<integration>`: webhooks in. Verified, stored, acknowledged; everything else happens afterwards.

What is refused gets its status and one sentence, and leaves a counter and nothing else. The last part of
`/hooks/<integration>/<secret>` is a password: this module logs no path, and lets no exception out to anyone who would.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from worker.intake.receive import NotStored, Received, Receiver
from worker.integration import Incoming, Receipt, Refused
from worker.lib.clock import Clock, seconds
from worker.lib.strict_json import read_json
from worker.registry import Connected
from worker.web.answers import where

log = logging.getLogger(__name__)

MOST_BYTES: Final = 1_000_000
"""A larger body is refused. Stripe's largest recorded events are below 30 kB; Standard Webhooks advises 20 kB."""


def hooks(
    receiver: Receiver, integrations: Mapping[str, Connected], clock: Clock, on_urgent: Callable[[], None]
) -> Blueprint:
    """The routes of all connected integrations, by their names.

    `on_urgent` is called after an urgent delivery is on disk; it wakes somebody else and returns at once.
    """
    blueprint = Blueprint("hooks", __name__)

    @blueprint.post("/hooks/<integration>")
    @blueprint.post("/hooks/<integration>/<secret>")
    def receive(integration: str, secret: str = "") -> Response:
        connected = integrations.get(integration)
        if connected is None or connected.integration.verify is None:
            # The name in the counter would be a stranger's choice.
            receiver.count("refused:unknown:no_such_integration")
            return _problem(404, "No integration of that name that hears webhooks is connected here.")
        try:
            receipt = _believe(connected, _incoming(secret), seconds(clock))
            received = _store(receiver, integration, receipt) if receipt.keep else None
        except Refused as refused:
            receiver.count(f"refused:{integration}:{refused.reason}")
            return _problem(refused.status, str(refused))
        except NotStored:
            return _problem(503, "The delivery could not be stored just now; send it again.", {"Retry-After": "10"})
        except Exception as error:  # noqa: BLE001  Flask would log it with the path, which holds a secret
            log.error("a webhook of %s met a fault of ours: %s", integration, where(error))
            receiver.count(f"failed:{integration}")
            return _problem(500, "Keepwell met a fault of its own; the delivery is not stored. Send it again.")
        if receipt.urgent:
            _tell(on_urgent)
        return _accepted(receipt, received)

    @blueprint.route("/hooks/<integration>", methods=["GET", "PUT", "PATCH", "DELETE"])
    @blueprint.route("/hooks/<integration>/<secret>", methods=["GET", "PUT", "PATCH", "DELETE"])
    def only_post(integration: str, secret: str = "") -> Response:
        return _problem(405, "Webhooks arrive here by POST.", {"Allow": "POST"})

    return blueprint


def _incoming(secret: str) -> Incoming:
    """The request as it came. Raises Refused for one that is too large, whether it says its length or not."""
    request.max_content_length = MOST_BYTES
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise Refused(413, f"The body is over {MOST_BYTES:,} bytes.", "too_large") from None
    except BadRequest:  # the sender hung up
        raise Refused(400, "The body did not arrive whole.", "cut_off") from None
    return Incoming({name.lower(): value for name, value in request.headers.items()}, body, secret)


def _believe(connected: Connected, incoming: Incoming, now: int) -> Receipt:
    """Have the integration verify it, and hold what it wants stored against what JSON may be. Raises Refused."""
    verify = connected.integration.verify
    assert verify is not None
    try:
        receipt = verify(incoming, connected.settings, now)
        if receipt.keep:
            read_json(receipt.body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON that can be read without doubt.", "not_json") from None
    return receipt


def _store(receiver: Receiver, integration: str, receipt: Receipt) -> Received:
    """Commit it. Raises NotStored, and Refused for what no database can hold."""
    try:
        return receiver.receive(integration, "webhook", receipt)
    except ValueError as error:
        raise Refused(400, f"The delivery cannot be kept: {error}.", "unstorable") from None


def _accepted(receipt: Receipt, received: Received | None) -> Response:
    """202; or 200 with the headers that the vendor wants to see again, which is what Keap's handshake asks for."""
    answer: dict[str, Any] = {
        "id": received.id if received else None,
        "duplicate": received.duplicate if received else False,
    }
    return _json(200 if receipt.answer_headers else 202, answer, receipt.answer_headers)


def _tell(on_urgent: Callable[[], None]) -> None:
    try:
        on_urgent()
    except Exception as error:  # noqa: BLE001  the delivery is on disk; the schedule finds it if nobody was woken
        log.error("nobody was woken for an urgent delivery: %s", where(error))


def _problem(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal with the members of RFC 9457 §3.1, as plain JSON because no-code tools read nothing else."""
    members = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
    return _json(status, members, headers or {})


def _json(status: int, members: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(json.dumps(members), status, dict(headers), content_type="application/json")
