"""A pretend Stripe: the API's lists and objects over the records of `stripe_office`.

Sources: docs.stripe.com/api (pagination, errors, lists), docs.stripe.com/rate-limits; shapes see `stripe_objects`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from worker.lib.clock import DAY, Clock
from worker.sandbox.servers import stripe_objects as objects
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.limits import Window
from worker.sandbox.servers.stripe_objects import Object
from worker.sandbox.servers.stripe_office import API_VERSION, StripeOffice, wanted

EVENTS_KEPT: Final = 30 * DAY
PER_SECOND_TEST: Final = 25
PER_SECOND_LIVE: Final = 100
MOST_TYPES: Final = 20

_SINGULAR: Final = {
    "customers": "customer",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "events": "event",
}

_STATUSES: Final = {
    "subscriptions": [
        "active",
        "all",
        "canceled",
        "ended",
        "incomplete",
        "incomplete_expired",
        "past_due",
        "paused",
        "trialing",
        "unpaid",
    ],
    "invoices": ["draft", "open", "paid", "uncollectible", "void"],
}

_FILTERS: Final[dict[str, dict[str, Callable[[Object, str], bool]]]] = {
    "customers": {"email": lambda one, value: one["email"] == value},
    "subscriptions": {
        "customer": lambda one, value: one["customer"] == value,
        "price": lambda one, value: any(item["price"]["id"] == value for item in one["items"]["data"]),
        "status": lambda one, value: (
            value == "all" or one["status"] == value or (value == "ended" and one["status"] == "canceled")
        ),
    },
    "invoices": {
        "customer": lambda one, value: one["customer"] == value,
        "subscription": lambda one, value: one["parent"]["subscription_details"]["subscription"] == value,
        "status": lambda one, value: one["status"] == value,
        "collection_method": lambda one, value: one["collection_method"] == value,
    },
    "charges": {
        "customer": lambda one, value: one["customer"] == value,
        "payment_intent": lambda one, value: one["payment_intent"] == value,
    },
    "refunds": {"charge": lambda one, value: one["charge"] == value},
    "disputes": {"charge": lambda one, value: one["charge"] == value},
    "events": {"type": lambda one, value: wanted(one["type"], (value,))},
}
"""What each list can be narrowed by, beside `created` and, for events, `types[]`."""

_COMPARE: Final = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
_CREATED: Final = re.compile(r"^created\[(gte|gt|lte|lt)\]$")
_EXPAND: Final = re.compile(r"^expand\[\d*\]$")
_TYPES: Final = re.compile(r"^types\[\d*\]$")


class Problem(Exception):
    """A refusal in Stripe's error shape."""

    def __init__(self, status: int, message: str, *, code: str = "", param: str = "", kind: str = "") -> None:
        """`kind` is the error's type; invalid_request_error where nothing else is said."""
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind or "invalid_request_error"}
        if code:
            self.error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param:
            self.error["param"] = param


class PretendStripe(StripeOffice):
    """Stripe on loopback, for one account and one restricted key."""

    def __init__(self, clock: Clock, faults: Faults | None = None, *, key: str = "rk_test_sandbox") -> None:
        """See StripeOffice."""
        super().__init__(clock, faults, key=key)
        self.versions: set[str] = set()
        """Every Stripe-Version a caller named."""
        self.account = objects.account("acct_1Sandbox")
        self._limit = Window(PER_SECOND_LIVE if self.live else PER_SECOND_TEST, 1.0)
        self._answered = 0
        self.app.after_request(self._label)
        self.app.register_error_handler(Problem, self._refuse)
        self.app.register_error_handler(HTTPException, self._no_such_address)
        self.app.get("/v1/account")(lambda: json_response(self.account))
        for kind in _SINGULAR:
            self.app.get(f"/v1/{kind}", endpoint=f"list_{kind}", defaults={"kind": kind})(self._list)
            self.app.get(f"/v1/{kind}/<id_>", endpoint=f"get_{kind}", defaults={"kind": kind})(self._get)

    # -- manners ----------------------------------------------------------------------------------------------------

    def throttled(self, fault: str) -> Response:
        """Stripe's 429. It names no time to wait, except where the plan of faults wants one."""
        headers = {"Retry-After": "2"} if fault == "429_with_retry_after" else {}
        headers["Stripe-Rate-Limited-Reason"] = "global-rate"
        error = {"message": "Request rate limit exceeded.", "type": "invalid_request_error", "code": "rate_limit"}
        return json_response({"error": error}, 429, headers)

    def gate(self) -> Response | None:
        """The limit, then the key."""
        with self.lock:
            if self._limit.wait(self.clock.now()):
                self.faults.count("429_over_limit")
                return self.throttled("429_bare")
        offered = request.headers.get("Authorization", "")
        given = offered.removeprefix("Bearer ") if offered.startswith("Bearer ") else ""
        if not given:
            raise Problem(401, "No API key was given; send it as a Bearer token.")
        if given != self.key:
            raise Problem(401, f"Invalid API Key provided: {given[:8]}****{given[-4:]}")
        if version := request.headers.get("Stripe-Version"):
            self.versions.add(version)
        return None

    def _label(self, response: Response) -> Response:
        with self.lock:
            self._answered += 1
        response.headers["Request-Id"] = f"req_{self._answered:014d}"
        response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", API_VERSION)
        return response

    def _refuse(self, problem: Problem) -> Response:
        headers = {"WWW-Authenticate": 'Bearer realm="Stripe"'} if problem.status == 401 else {}
        return json_response({"error": problem.error}, problem.status, headers)

    def _no_such_address(self, _: HTTPException) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.path})."
        return self._refuse(Problem(404, message))

    # -- reading ----------------------------------------------------------------------------------------------------

    def _get(self, kind: str, id_: str) -> Response:
        with self.lock:
            found = self._known(kind).get(id_)
            if found is None:
                message = f"No such {_SINGULAR[kind]}: '{id_}'"
                raise Problem(404, message, code="resource_missing", param="id")
            unknown = [name for name in request.args if not _EXPAND.match(name)]
            if unknown:
                raise _unknown_parameter(unknown[0])
            return json_response(self._expanded(found, [path for _, path in _matching(request.args, _EXPAND)]))

    def _list(self, kind: str) -> Response:
        with self.lock:
            _check_names(kind, request.args)
            limit = _limit(request.args)
            chosen = self._chosen(kind, request.args)
            page, more = self._page(kind, chosen, limit, request.args)
            paths = []
            for param, path in _matching(request.args, _EXPAND):
                if not path.startswith("data."):
                    raise Problem(400, f"This property cannot be expanded ({path}).", param=param)
                paths.append(path.removeprefix("data."))
            data = [self._expanded(one, paths) for one in page]
            return json_response({"object": "list", "data": data, "has_more": more, "url": f"/v1/{kind}"})

    def _known(self, kind: str) -> dict[str, Object]:
        known = self.records[kind]
        if kind != "events":
            return known
        oldest = self.now - EVENTS_KEPT
        return {id_: event for id_, event in known.items() if event["created"] >= oldest}

    def _chosen(self, kind: str, args: MultiDict[str, str]) -> list[Object]:
        """Everything that passes the filters, newest first."""
        chosen: Iterable[Object] = self._known(kind).values()
        for name, passes in _FILTERS[kind].items():
            value = args.get(name)
            if value is not None:
                if name == "status" and value not in _STATUSES[kind]:
                    raise Problem(400, f"Invalid status: must be one of {', '.join(_STATUSES[kind])}", param=name)
                chosen = [one for one in chosen if passes(one, value)]
        if kind == "subscriptions" and "status" not in args:
            chosen = [one for one in chosen if one["status"] != "canceled"]
        types = tuple(value for _, value in _matching(args, _TYPES))
        if len(types) > MOST_TYPES:
            raise Problem(400, f"You can pass at most {MOST_TYPES} types.", param="types")
        if types:
            chosen = [one for one in chosen if one["type"] in types]
        if "created" in args:
            exact = _whole(args["created"], "created")
            chosen = [one for one in chosen if one["created"] == exact]
        for name, value in args.items():
            if bound := _CREATED.match(name):
                compare, moment = _COMPARE[bound[1]], _whole(value, name)
                chosen = [one for one in chosen if compare(one["created"], moment)]
        return sorted(chosen, key=self._age(kind), reverse=True)

    def _age(self, kind: str) -> Callable[[Object], tuple[int, int]]:
        """What lists are sorted by: when an object was made and, within one second, in which order."""
        order = {id_: number for number, id_ in enumerate(self.records[kind])}
        return lambda one: (int(one["created"]), order[one["id"]])

    def _page(
        self, kind: str, chosen: list[Object], limit: int, args: MultiDict[str, str]
    ) -> tuple[list[Object], bool]:
        """The stretch of the list that the cursor asks for, and whether more lies beyond it."""
        if "starting_after" in args and "ending_before" in args:
            raise Problem(400, "Only one of starting_after and ending_before can be given.", param="starting_after")
        age = self._age(kind)
        if "starting_after" in args:
            bound = age(self._cursor(kind, args["starting_after"], "starting_after"))
            chosen = [one for one in chosen if age(one) < bound]
        if "ending_before" in args:
            bound = age(self._cursor(kind, args["ending_before"], "ending_before"))
            newer = [one for one in chosen if age(one) > bound]
            return newer[-limit:], len(newer) > limit
        return chosen[:limit], len(chosen) > limit

    def _cursor(self, kind: str, id_: str, param: str) -> Object:
        found = self._known(kind).get(id_)
        if found is None:
            raise Problem(400, f"No such {_SINGULAR[kind]}: '{id_}'", code="resource_missing", param=param)
        return found

    def _expanded(self, one: Object, paths: list[str]) -> Object:
        """The object with the ids at `paths` replaced by what they name."""
        if not paths:
            return one
        shown = dict(one)
        for path in paths:
            value = shown.get(path, "")
            found = next((known[value] for known in self.records.values() if value in known), None)
            if value is not None and found is None:
                raise Problem(400, f"This property cannot be expanded ({path}).", param="expand")
            shown[path] = found
        return shown


def _matching(args: MultiDict[str, str], pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in args.items(multi=True) if pattern.match(name)]


def _check_names(kind: str, args: MultiDict[str, str]) -> None:
    paging = {"limit", "starting_after", "ending_before", "created"}
    for name in args:
        known = name in paging or name in _FILTERS[kind] or _CREATED.match(name) or _EXPAND.match(name)
        if not known and not (kind == "events" and _TYPES.match(name)):
            raise _unknown_parameter(name)


def _unknown_parameter(name: str) -> Problem:
    return Problem(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _whole(text: str, param: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise Problem(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=param)
    return int(text)


def _limit(args: MultiDict[str, Any]) -> int:
    limit = _whole(args.get("limit", "10"), "limit")
    if not 1 <= limit <= 100:
        message = f"This value must be between 1 and 100 (it currently is '{limit}')."
        raise Problem(400, message, code="parameter_invalid_integer", param="limit")
    return limit
