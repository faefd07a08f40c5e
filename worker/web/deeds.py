"""`/deeds/<deed>/<token>`: one signed deed, confirmed on a page without a login; `/slack/actions`: the same by a button.

Looking changes nothing, because mail scanners look at every link. The page shows what must be known to do this one deed,
and leads nowhere else. Slack's route is not one of the hooks: a press is no news to be stored and parsed later, it is
done before Slack is answered, and Slack must be answered within 3 s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, render_template, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from integrations import slack
from worker import deeds
from worker.integration import Incoming, Refused
from worker.lib.clock import seconds
from worker.lib.http import Failure, Http
from worker.lib.problems import Problems
from worker.registry import Connected
from worker.review.disagreement import RIGHT
from worker.web.answers import answer, problem
from worker.web.words import mail_text
from worker.workspace import Workspace

log = logging.getLogger(__name__)

MOST_BYTES: Final = 200_000
"""Of what Slack sends: a press holds the whole message that it was under."""
_REFUSED: Final = "This link does nothing any more"
_NO_BUTTON: Final = "This button does nothing any more. It works for a week; what it was about stands in Keepwell."


def deed_pages(workspace: Workspace, wake: Callable[[], None]) -> Blueprint:
    """The routes. Nobody has logged in here: the token is all there is."""
    blueprint = Blueprint("deeds", __name__)

    def page(deed: deeds.Deed, status: int = 200, **more: str) -> tuple[str, int] | Response:
        shown = deeds.shown(workspace, deed)
        if shown is None:
            return refused()
        used = deeds.used(workspace, deed)
        text = mail_text(shown.approval.act.text) if shown.approval else ""
        return render_template("deed.html", deed=deed, shown=shown, used=used, text=text, right=RIGHT, **more), status

    def refused() -> tuple[str, int]:
        hint = "It may be older than a week, or not whole. What it was about can be found in Keepwell."
        return render_template("fault.html", status=404, words=f"{_REFUSED}.", hint=hint), 404

    @blueprint.get("/deeds/<name>/<token>")
    def show(name: str, token: str) -> tuple[str, int] | Response:
        deed = deeds.read(workspace, name, token)
        return page(deed) if deed else refused()

    @blueprint.post("/deeds/<name>/<token>")
    def do(name: str, token: str) -> tuple[str, int] | Response:
        deed = deeds.read(workspace, name, token)
        if deed is None:
            return refused()
        form = request.form
        try:
            done = deeds.do(workspace, deed, form.get("by", ""), note=form.get("note", ""), right=form.get("right", ""))
        except Problems as wrong:
            return page(deed, 422, trouble=" ".join(f"{one}." for one in wrong.problems))
        if done.done:
            wake()
        return Response(render_template("deed_done.html", done=done), content_type="text/html")

    @blueprint.post("/slack/actions")
    def slack_actions() -> Response:
        connected = workspace.connected.get("slack")
        if connected is None:
            return problem(404, "Slack is not connected here.", code="no_slack")
        try:
            press = slack.pressed(_incoming(), _settings(connected), seconds(workspace.clock))
        except Refused as wrong:
            return problem(wrong.status, str(wrong), code=wrong.reason)
        words = _pressed(workspace, press, wake)
        if connected.http is not None:
            _tell(workspace, connected.http, press, words)
        return answer({"text": words})

    return blueprint


def _pressed(workspace: Workspace, press: slack.Press, wake: Callable[[], None]) -> str:
    name, _, token = press.value.partition("/")
    deed = deeds.read(workspace, name, token)
    if deed is None:
        return _NO_BUTTON
    try:
        done = deeds.do(workspace, deed, press.by, note=press.note)
    except Problems as wrong:
        lines = " ".join(f"{one}." for one in wrong.problems)
        return f"Nothing was done. {lines} {workspace.config.workspace.public_url}/deeds/{press.value}"
    if done.done:
        wake()
    return done.words


def _incoming() -> Incoming:
    """The request as it came. Raises Refused."""
    request.max_content_length = MOST_BYTES
    try:
        # Before anybody reads the form: what is signed is the body, byte for byte.
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise Refused(413, f"The body is over {MOST_BYTES:,} bytes.", "too_large") from None
    except BadRequest:
        raise Refused(400, "The body did not arrive whole.", "cut_off") from None
    return Incoming({name.lower(): value for name, value in request.headers.items()}, body)


def _settings(connected: Connected) -> slack.SlackSettings:
    assert isinstance(connected.settings, slack.SlackSettings)
    return connected.settings


def _tell(workspace: Workspace, http: Http, press: slack.Press, words: str) -> None:
    """Answer the person in Slack by another thread: Slack's own answer must not wait for it."""

    def told() -> None:
        try:
            with workspace.by_hand():  # whatever the mode: it answers who has just asked
                slack.answer(http, press, words)
        except Failure as failure:
            log.warning("a press in Slack was done, and the answer did not get there: %s", failure)

    threading.Thread(target=told, name="slack answer", daemon=True).start()
