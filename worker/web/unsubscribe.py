"""`/unsubscribe/<token>`: no more mail to this address, with one click and no login.

Looking changes nothing, because mail scanners look at every link; a POST does it, from the page's button or from the
mail program itself (RFC 8058: no cookie, no token, `List-Unsubscribe=One-Click`). It tells nobody how a customer stands.
"""

from __future__ import annotations

from flask import Blueprint, abort, render_template

from worker.lib.clock import seconds
from worker.lib.store import sql
from worker.plays.records import suppress
from worker.workspace import Workspace

REASON = "unsubscribed by the link in a mail"


def unsubscribe(workspace: Workspace) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("unsubscribe", __name__)
    business = workspace.config.workspace.name

    @blueprint.get("/unsubscribe/<token>")
    def show(token: str) -> str:
        return render_template("unsubscribe.html", done=False, address=_masked(_address(token)), business=business)

    @blueprint.post("/unsubscribe/<token>")
    def stop(token: str) -> str:
        address = _address(token)
        suppress(workspace.store, address, REASON, seconds(workspace.clock))
        return render_template("unsubscribe.html", done=True, address=_masked(address), business=business)

    def _address(token: str) -> str:
        """The address of the mail that the token names; 404 for a token that we did not make."""
        effect_id = workspace.signed(token)
        found = effect_id and workspace.store.value(sql("web", "mailed_to"), {"id": effect_id})
        if not found:
            abort(404)
        return str(found)

    return blueprint


def _masked(address: str) -> str:
    """`a…@example.com`: enough for its owner, too little for whom the mail was forwarded to."""
    name, _, host = address.rpartition("@")
    return f"{name[:1]}…@{host}"
