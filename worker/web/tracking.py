"""`/l/<token>` leads on to where a link of a mail leads; `/o/<token>` is the picture that tells of a mail being opened.

The token names a link that we made, and cannot be made by anybody else. Where it leads is looked up, never read from the
address, so that this is no way to anywhere else. That it was followed is stored as a delivery, and becomes a fact.
"""

from __future__ import annotations

import base64
import logging
from typing import Final

from flask import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.intake import followed
from worker.intake.receive import NotStored, Receiver
from worker.lib.store import sql
from worker.workspace import Workspace

log = logging.getLogger(__name__)

PICTURE: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent point (GIF 89a)."""


def tracking(workspace: Workspace, receiver: Receiver) -> Blueprint:
    """The routes."""
    blueprint = Blueprint("tracking", __name__)
    settings = workspace.config.outreach

    @blueprint.get("/l/<token>")
    def follow(token: str) -> AnyResponse:
        link_id = workspace.tracked(token)
        link = workspace.store.row(sql("web", "link_target"), {"id": link_id}) if link_id else None
        if link is None or not str(link["target"]).startswith("https://"):
            abort(404)
        if settings.track_clicks and request.method == "GET":
            tell(followed.CLICKED, str(link_id), str(link["effect_id"]), str(link["address"]))
        answer = redirect(str(link["target"]), 302)
        answer.headers["Referrer-Policy"] = "no-referrer"  # the token is nobody else's business
        answer.headers["X-Robots-Tag"] = "noindex"
        return answer

    @blueprint.get("/o/<token>")
    def opened(token: str) -> Response:
        effect_id = workspace.tracked(token) if settings.track_opens else None
        address = workspace.store.value(sql("web", "mailed_to"), {"id": effect_id}) if effect_id else None
        if not effect_id or not address:
            abort(404)
        if request.method == "GET":
            tell(followed.OPENED, effect_id, effect_id, str(address))
        return Response(PICTURE, mimetype="image/gif")

    def tell(word: str, named: str, effect_id: str, address: str) -> None:
        """Keep it; whoever follows a link is led on even where we cannot."""
        try:
            receiver.receive(followed.SOURCE, followed.STREAM, followed.receipt(word, named, effect_id, address))
        except NotStored:
            log.warning("that a mail was %s could not be kept", word)

    return blueprint
