"""`/mails`: the mails that there are, and each as a customer would get it. For the team only; nothing is sent from here."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, abort, render_template, request

from worker import mails
from worker.lib.problems import Problem, Problems
from worker.workspace import Workspace

MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""A mail brings its own styles, and a page of ours may frame it. It runs nothing, loads nothing and sends nothing."""


def mail_pages(workspace: Workspace) -> Blueprint:
    """The routes. Whoever gets here has logged in (worker/web/guard.py)."""
    blueprint = Blueprint("mails", __name__)

    @blueprint.get("/mails")
    def listed() -> str:
        templates = [workspace.templates.by_name[name] for name in sorted(workspace.templates.by_name)]
        found: dict[str, int] = {}
        for one in mails.lint(workspace):
            found[one.file] = found.get(one.file, 0) + 1
        return render_template("mails.html", templates=templates, findings=found)

    @blueprint.get("/mails/<name>")
    def show(name: str) -> str:
        _known(name)
        customer, language = _asked()
        shown: mails.Preview | None = None
        problems: tuple[Problem, ...] = ()
        try:
            shown = mails.preview(workspace, name, customer, language)
        except Problems as found:
            problems = found.problems
        return render_template(
            "mail.html", name=name, shown=shown, problems=problems, customer=customer, language=language,
            findings=mails.lint(workspace, shown.template.name if shown else name),
        )  # fmt: skip

    @blueprint.get("/mails/<name>/html")
    def as_html(name: str) -> Response:
        _known(name)
        try:
            shown = mails.preview(workspace, name, *_asked())
        except Problems:
            abort(404)
        response = Response(shown.rendered.html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    def _known(name: str) -> None:
        if name not in workspace.templates.by_name:
            abort(404)

    return blueprint


def _asked() -> tuple[str, str]:
    return request.args.get("customer", "")[:200].strip(), request.args.get("language", "")[:35].strip()
