"""The web app put together: hooks, API and pages over one workspace.

`gunicorn 'worker.app:create_app()'` opens the workspace that KEEPWELL_WORKSPACE names. Servers answer from a fixed set of
threads, and each keeps its own database connection for as long as it lives.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flask import Flask, Response, render_template, request
from flask_bootstrap import Bootstrap5
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from worker.intake.receive import Receiver
from worker.lib import assets
from worker.lib.store import StoreError
from worker.web.answers import problem, where
from worker.web.api import MOST_BYTES, api
from worker.web.colours import colours
from worker.web.deeds import deed_pages
from worker.web.desk import desk
from worker.web.guard import guard, is_https
from worker.web.health import health
from worker.web.hooks import hooks
from worker.web.login import login
from worker.web.mails import mail_pages
from worker.web.opinions import opinion_pages
from worker.web.pages import furnish, pages
from worker.web.tracking import tracking
from worker.web.unsubscribe import unsubscribe
from worker.workspace import Workspace, open_workspace

log = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would have browsers send `Origin: null` with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(workspace: Workspace | None = None, wake: Callable[[], None] = lambda: None) -> Flask:
    """The app over a workspace; `wake` is called when something urgent is on disk, and returns at once.

    The caller closes `app.extensions["receiver"]` when it stops serving. Raises Problems for a faulty workspace,
    StoreError where its tables are not up to date.
    """
    workspace = workspace or _from_environment()
    templates = assets.folder("templates")
    app = Flask(__name__, template_folder=templates / "pages", static_folder=templates / "static")
    app.config.update(
        MAX_CONTENT_LENGTH=MOST_BYTES, MAX_FORM_MEMORY_SIZE=100_000, MAX_FORM_PARTS=100,
        BOOTSTRAP_SERVE_LOCAL=True, SEND_FILE_MAX_AGE_DEFAULT=3600,
    )  # fmt: skip
    receiver = Receiver(workspace.store, workspace.clock)
    app.extensions["receiver"] = receiver
    Bootstrap5(app)
    guard(app, workspace)
    app.register_blueprint(hooks(receiver, workspace.connected, workspace.clock, wake))
    app.register_blueprint(api(workspace, receiver))
    app.register_blueprint(health(workspace))
    app.register_blueprint(login(workspace))
    app.register_blueprint(unsubscribe(workspace))
    app.register_blueprint(tracking(workspace, receiver))
    app.register_blueprint(pages(workspace))
    app.register_blueprint(desk(workspace, wake))
    app.register_blueprint(deed_pages(workspace, wake))
    app.register_blueprint(colours(workspace))
    app.register_blueprint(mail_pages(workspace))
    app.register_blueprint(opinion_pages(workspace, receiver, wake))
    furnish(app, workspace)
    _answer_faults(app)
    _send_headers(app, https=is_https(workspace))
    hops = workspace.config.server.forwarded_hops
    if hops:  # whoever is not behind a proxy of ours could write these headers as they like
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]  # as Werkzeug's own page does it
    return app


def _from_environment() -> Workspace:
    workspace = open_workspace(Path(os.environ.get("KEEPWELL_WORKSPACE", ".")), os.environ)
    missing = workspace.store.pending_migrations()
    if missing:
        raise StoreError(f"{len(missing)} changes of the tables wait; run: keepwell migrate")
    return workspace


def _answer_faults(app: Flask) -> None:
    """Refusals as the caller reads them; of a fault of ours, only that there was one."""

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response | tuple[str, int]:
        return _fault(error.code or 500, error.description or "", error)

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response | tuple[str, int]:
        # The message may quote a customer's data, and the path may hold a secret: the log gets kind and place.
        log.error("a request of %s met a fault of ours: %s", request.endpoint, where(error))
        return _fault(500, "", None)


_WORDS: Final = {
    400: "That could not be read.",
    404: "There is nothing here.",
    405: "That is not how this address is used.",
    413: "That is too large.",
    500: "Keepwell met a fault of its own. It is in the log.",
}


def _fault(status: int, description: str, error: HTTPException | None) -> Response | tuple[str, int]:
    words = _WORDS.get(status) or description or "That did not work."
    if request.path.startswith(("/api/", "/hooks/", "/slack/")):
        made = problem(status, words, code="refused" if status < 500 else "our_fault")
    else:
        made = Response(render_template("fault.html", status=status, words=words), status, content_type="text/html")
    for name, value in error.get_headers() if error is not None else ():
        if name in ("Allow", "Retry-After"):
            made.headers[name] = value
    return made


def _send_headers(app: Flask, *, https: bool) -> None:
    @app.after_request
    def add(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if request.endpoint not in ("static", "bootstrap.static"):
            response.headers["Cache-Control"] = "no-store"
        return response
