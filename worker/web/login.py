"""In and out: `/login` with the operator's password, `/login/<token>` with a link that works once, `/logout`."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worker.lib.clock import MINUTE, seconds
from worker.web import auth, sessions
from worker.web.guard import cookie_name, hold_origin, is_https
from worker.web.throttle import Throttle
from worker.workspace import Workspace

TRIES: Final = 10
"""Wrong passwords at once from one address; then one a minute. Everybody else can still come in."""


def login(workspace: Workspace) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("login", __name__)
    tries = Throttle(workspace.clock, burst=TRIES, period=TRIES * MINUTE)

    @blueprint.get("/login")
    def ask() -> str:
        return render_template("login.html", trouble="", next=inside(request.args.get("next", "")))

    @blueprint.post("/login")
    def enter() -> AnyResponse | tuple[str, int]:
        hold_origin(workspace)
        caller, onward = f"operator {_network(request.remote_addr)}", inside(request.form.get("next", ""))
        wait = tries.wait(caller)
        if wait:
            words = f"Too many tries from here. Try again in {wait} seconds."
            page = Response(render_template("login.html", trouble=words, next=onward), 429, content_type="text/html")
            page.headers["Retry-After"] = str(wait)
            return page
        if not auth.check(workspace.store, request.form.get("password", "")):
            return render_template("login.html", trouble="That is not the password.", next=onward), 401
        tries.forgive(caller)
        return _let_in(workspace, onward)

    @blueprint.get("/login/<token>")
    def offer(token: str) -> str | tuple[str, int]:
        """Only a button: programs that look at links before people do must not use this one up."""
        if not auth.link_is_good(workspace.store, token, seconds(workspace.clock)):
            return _used_up()
        return render_template("login_link.html", token=token)

    @blueprint.post("/login/<token>")
    def redeem(token: str) -> AnyResponse | tuple[str, int]:
        hold_origin(workspace)
        if not auth.redeem_link(workspace.store, token, seconds(workspace.clock)):
            return _used_up()
        return _let_in(workspace, "")

    @blueprint.post("/logout")
    def leave() -> AnyResponse:
        sessions.end(workspace.store, request.cookies.get(cookie_name(workspace), ""))
        out = redirect(url_for("login.ask"), 303)
        out.delete_cookie(cookie_name(workspace), path="/", secure=is_https(workspace), httponly=True, samesite="Lax")
        return out

    return blueprint


def _used_up() -> tuple[str, int]:
    words = "This link lets nobody in any more."
    hint = f"It works once, and for {auth.LINK_LASTS // MINUTE} minutes."
    return render_template("fault.html", status=404, words=words, hint=hint), 404


def _let_in(workspace: Workspace, onward: str) -> AnyResponse:
    """Begin a session under a new id; one that the browser brought along ends, whoever began it."""
    name = cookie_name(workspace)
    sessions.end(workspace.store, request.cookies.get(name, ""))
    token = sessions.begin(workspace.store, seconds(workspace.clock))
    answer = redirect(onward or url_for("pages.overview"), 303)
    answer.set_cookie(
        name, token, max_age=sessions.LONGEST, path="/", secure=is_https(workspace), httponly=True, samesite="Lax"
    )
    return answer


def inside(address: str) -> str:
    """A path of ours to go on to, "" for anything that might lead elsewhere."""
    parts = urlsplit(address) if address.isprintable() and "\\" not in address else urlsplit("")
    return address if parts.path.startswith("/") and not parts.netloc and not address.startswith("//") else ""


def _network(address: str | None) -> str:
    """Who counts as one caller: an IPv4 address, or the /64 that a household is given in IPv6."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network(f"{found}/64", strict=False)) if found.version == 6 else str(found)
