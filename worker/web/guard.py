"""Every request is asked who it is, unless its door is named here as open. A new route is closed until somebody opens it.

The API wants a key in a header; pages want a login, and whatever they change wants the session's own token besides.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worker.lib.clock import MINUTE, seconds
from worker.web import auth, sessions
from worker.web.answers import problem
from worker.web.throttle import Throttle
from worker.workspace import Workspace

OPEN: Final = frozenset(
    {
        "hooks.receive",  # verifies each sender by its signature or secret
        "hooks.only_post",  # refuses everybody
        "health.healthz",  # says well or not, and nothing else
        "login.ask", "login.enter", "login.offer", "login.redeem",
        "unsubscribe.show", "unsubscribe.stop",  # the token in the address is signed
        "tracking.follow", "tracking.opened",  # the token in the address is signed, and where it leads is looked up
        "deeds.show", "deeds.do",  # so is this one, for one deed
        "deeds.slack_actions",  # verifies that Slack has signed it
        "static", "bootstrap.static",
    }
)  # fmt: skip
"""The doors without a lock of this kind."""

CALLS: Final = 600
"""Requests a key may make at once, and in each minute after."""

_SAFE: Final = {"GET", "HEAD", "OPTIONS"}


def guard(app: Flask, workspace: Workspace) -> None:
    """Stand before every route of the app."""
    calls = Throttle(workspace.clock, burst=CALLS, period=MINUTE)

    @app.before_request
    def ask_who() -> AnyResponse | None:
        endpoint = request.endpoint
        if endpoint is None or endpoint in OPEN:  # None: there is nothing of that name, which is no secret
            return None
        if endpoint.startswith("api."):
            return _ask_for_key(workspace, calls)
        return _ask_for_login(workspace)


def cookie_name(workspace: Workspace) -> str:
    """Where pages are served over https, a name that browsers take only with Secure, and for this host alone."""
    return "__Host-keepwell" if is_https(workspace) else "keepwell"


def is_https(workspace: Workspace) -> bool:
    """Whether people reach the pages over https."""
    return workspace.config.workspace.public_url.startswith("https://")


def hold_origin(workspace: Workspace) -> None:
    """Refuse with 403 what another site's page has sent. Browsers name the origin with every POST."""
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            abort(403, "This came from another site.")
        return
    if origin not in (_origin(request.host_url), _origin(workspace.config.workspace.public_url)):
        abort(403, "This came from another site.")


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


# -- the API ----------------------------------------------------------------------------------------------------------


def _ask_for_key(workspace: Workspace, calls: Throttle) -> Response | None:
    key = auth.key_named(workspace.store, _key())
    if key is None:
        return problem(
            401, "This needs a key of this workspace in the header X-API-Key.", code="bad_key",
            hint="make one with: keepwell keys create NAME", headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    wait = calls.wait(key["id"])
    if wait:
        return problem(
            429, f"This key has made {CALLS} requests in a short time; go on in {wait} s.", code="too_many",
            hint="send many events as one list", headers={"Retry-After": str(wait)},
        )  # fmt: skip
    g.key = key
    return None


def _key() -> str:
    """From the headers only: what stands in an address ends up in logs."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return request.headers.get("X-API-Key", "") or (token.strip() if scheme.casefold() == "bearer" else "")


# -- the pages --------------------------------------------------------------------------------------------------------


def _ask_for_login(workspace: Workspace) -> AnyResponse | None:
    token = request.cookies.get(cookie_name(workspace), "")
    session = sessions.find(workspace.store, token, seconds(workspace.clock))
    if session is None:
        return redirect(url_for("login.ask", next=request.path if request.method == "GET" else None), 303)
    if request.method not in _SAFE:
        hold_origin(workspace)
        if not hmac.compare_digest(request.form.get("csrf", "").encode(), session.csrf.encode()):
            abort(403, "The page was too old, or not ours; load it again.")
    g.session = session
    return None
