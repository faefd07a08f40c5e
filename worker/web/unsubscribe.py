"""`/unsubscribe/<token>`: what an address wants to read, without a login: topics, a pause of 30 days, or nothing.

Looking changes nothing, because mail scanners look at every link; a POST does it, from the page's buttons or from the
mail program itself (RFC 8058: no cookie, `List-Unsubscribe=One-Click`). One click stops all mail to that address, what
is transactional included: whoever presses it does not ask what we call our mails. Only whoever holds the link can take
that back. It tells nobody how a customer stands.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, abort, render_template, request

from worker import preferences
from worker.lib.clock import seconds
from worker.lib.store import sql
from worker.workspace import Workspace

ONE_CLICK: Final = "List-Unsubscribe"


def unsubscribe(workspace: Workspace) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("unsubscribe", __name__)
    store = workspace.store

    def page(address: str, **more: Any) -> str:
        return render_template(
            "unsubscribe.html", address=_masked(address), business=workspace.config.workspace.name,
            topics=preferences.topics(workspace), wishes=preferences.wishes(store, address, seconds(workspace.clock)),
            **more,
        )  # fmt: skip

    @blueprint.get("/unsubscribe/<token>")
    def show(token: str) -> str:
        return page(_address(token))

    @blueprint.post("/unsubscribe/<token>")
    def stop(token: str) -> str:
        address, now = _address(token), seconds(workspace.clock)
        wish = "stop" if ONE_CLICK in request.form else request.form.get("wish", "stop")
        if wish == "topics":
            preferences.choose(
                store, address, preferences.topics(workspace), request.form.getlist("topic"), now
            )  # fmt: skip
        elif wish == "pause":
            preferences.pause(store, address, now)
        elif wish == "again":
            preferences.start_again(store, address)
        else:  # whatever a mail program sends here, it wants no more mail
            preferences.stop(store, address, now)
        return page(address, done=wish)

    def _address(token: str) -> str:
        """The address of the mail that the token names; 404 for a token that we did not make."""
        effect_id = workspace.signed(token)
        found = effect_id and store.value(sql("web", "mailed_to"), {"id": effect_id})
        if not found:
            abort(404)
        return str(found)

    return blueprint


def _masked(address: str) -> str:
    """`a…@example.com`: enough for its owner, too little for whom the mail was forwarded to."""
    name, _, host = address.rpartition("@")
    return f"{name[:1]}…@{host}"
