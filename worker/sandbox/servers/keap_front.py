"""The front of the pretend Keap: its gateway, its doors, and how a request is read and an answer written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any, Final

from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from worker.lib.clock import Clock
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.keap_gateway import QUOTA, THROTTLED, Account, Gateway, Limits, Refused, fault_body
from worker.sandbox.servers.keap_hooks import KeapHooks
from worker.sandbox.servers.keap_office import HUMAN
from worker.sandbox.servers.keap_query import Listing, Refusal, Row, page, parameters
from worker.sandbox.servers.keap_records import DEFAULT_PROPERTIES, PROPERTIES

V1: Final = "/crm/rest/v1"
V2: Final = "/crm/rest/v2"

Handler = Callable[..., Response]
Door = tuple[str, str, Handler]
"""Method, path, what answers there."""


class KeapFront(KeapHooks):
    """Keap with its gateway: who calls, how often, and errors in Keap's shapes."""

    def __init__(
        self, clock: Clock, faults: Faults | None, *, key: str, other_keys: Iterable[str], limits: Limits | None
    ) -> None:
        """`other_keys` belong to the business's other tools."""
        super().__init__(clock, faults, key=key)
        self.lose_next_answers = 0
        """How many of the next writes are carried out and answered 500 all the same."""
        self.gateway = Gateway((key, *other_keys), limits or Limits())
        self.app.after_request(self._measured)
        self.app.register_error_handler(Refusal, _refused)
        self.app.register_error_handler(HTTPException, _not_served)

    def open_doors(self, doors: Iterable[Door], *, locked: bool = True) -> None:
        """Answer at these doors; `locked` ones hold the lock all the while."""
        for method, path, handler in doors:
            answer = self._holding_lock(handler) if locked else handler
            self.app.add_url_rule(path, f"{method} {path}", answer, methods=[method])

    def _holding_lock(self, handler: Handler) -> Handler:
        def answer(**parts: str) -> Response:
            with self.lock:
                return handler(**parts)

        return answer

    def gate(self) -> Response | None:
        """Authentication and limits, before any route is looked at."""
        caller = self.gateway.known(request.headers.get("X-Keap-API-Key", ""), request.headers.get("Authorization", ""))
        if isinstance(caller, Refused):
            return json_response(caller.body, caller.status)
        g.account = caller
        with self.lock:
            refused = self.gateway.admit(caller, self.now)
        if refused is None:
            return None
        self.faults.count(refused.reason)
        return json_response(refused.body, refused.status)

    def throttled(self, fault: str) -> Response:
        """A 429 out of the blue, in either shape."""
        if fault == "429_with_retry_after":
            return json_response(THROTTLED, 429, {"Retry-After": "2"})
        return json_response(fault_body(QUOTA), 429)

    def _measured(self, response: Response) -> Response:
        """Write the limits on the answer; the gateway cannot tell those of a caller it does not know."""
        with self.lock:
            if self.lose_next_answers and request.method != "GET" and response.status_code < 400:
                self.lose_next_answers -= 1
                self.faults.count("lost_answer")
                response = _error(500, "Internal Server Error")
            response.headers["x-request-id"] = f"sandbox-{len(self.calls)}"
            if "account" in g:
                response.headers.update(self.gateway.headers(g.account, self.now))
        return response

    @property
    def who(self) -> str:
        """The key of the present call."""
        account: Account = g.account
        return account.key

    def user_of(self, who: str) -> str:
        """The user whose key it is."""
        return "1" if who == HUMAN else self.gateway.accounts[who].user_id


def asked_fields() -> Collection[str]:
    """The properties that `fields` asks for, comma-joined."""
    names = [name for part in _query().get("fields", ()) for name in part.split(",") if name]
    unknown = set(names) - PROPERTIES
    if unknown:
        raise Refusal(400, f"Invalid fields: {', '.join(sorted(unknown))}")
    return names or DEFAULT_PROPERTIES


def asked(name: str) -> str:
    """A parameter of the query, "" where it is not given."""
    return _query().get(name, [""])[0]


def update_mask(known: Collection[str]) -> list[str]:
    """The properties that `update_mask` names, one each time it is given."""
    mask = _query().get("update_mask", [])
    if len(set(mask)) < len(mask) or not set(mask) <= set(known):
        raise Refusal(400, f"Invalid update_mask: {', '.join(mask)}")
    return mask


def json_body(known: Collection[str], required: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON object of the request."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refusal(400, "The body must be a JSON object, sent as application/json")
    for name in body.keys() - set(known):
        raise Refusal(400, f"Unrecognized property: {name}")
    for name in required:
        if body.get(name) in (None, ""):
            raise Refusal(400, f"Missing property: {name}")
    return body


def lookup(rows: dict[str, Row], row_id: str, what: str) -> Row:
    """The row of that id, or a 404."""
    if row_id not in rows:
        raise Refusal(404, f"There is no {what} {row_id}")
    return rows[row_id]


def picked(view: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The named properties, of those it has."""
    return {name: value for name, value in view.items() if name in names}


def answer_page(listing: Listing[Row], rows: Iterable[Row], view: Callable[[Row], dict[str, Any]]) -> Response:
    """The page that the query asks for."""
    found, token = page(listing, rows, _query())
    return json_response({listing.name: [view(row) for row in found]} | ({"next_page_token": token} if token else {}))


def no_content() -> Response:
    """204."""
    return Response(status=204)


def _query() -> dict[str, list[str]]:
    return parameters(request.query_string.decode("ascii", "replace"))


def _refused(refusal: Refusal) -> Response:
    return _error(refusal.status, str(refusal))


def _not_served(error: HTTPException) -> Response:
    return _error(error.code or 500, error.description or error.name)


def _error(status: int, sentence: str) -> Response:
    """v2 and v1 word their errors differently."""
    if request.path.startswith(V1):
        return json_response({"message": sentence}, status)
    return json_response({
        "code": status,
        "message": sentence,
        "status": HTTPStatus(status).phrase.upper().replace(" ", "_"),
        "details": [{"domain": "keap", "resource": request.path}],
    }, status)  # fmt: skip
