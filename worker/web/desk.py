"""`/approvals`: what waits for a person's yes, read, edited, sent or refused. `/drafts`: what would be done.
`/releases`: which kinds of act may leave, with the first three cases of each in full. `/refusals`: what was not done, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worker import acts, approvals, controls
from worker.lib.problems import Problems
from worker.lib.store import sql
from worker.web import records, words
from worker.web.pages import drivers_of
from worker.workspace import Workspace

A_PAGE: Final = 50
"""Acts on one page of drafts."""


def desk(workspace: Workspace, wake: Callable[[], None]) -> Blueprint:
    """The routes. Whoever gets here has logged in (worker/web/guard.py)."""
    blueprint = Blueprint("desk", __name__)

    def found(effect_id: str) -> approvals.Approval:
        try:
            return approvals.find(workspace, effect_id)
        except Problems:
            abort(404)

    def page(effect_id: str, **more: Any) -> str:
        one = found(effect_id)
        subject, body = one.edited or (one.draft if one.waits else None) or (one.act.subject, one.act.text)
        values = {
            "one": one, "subject": subject, "body": body, "became": approvals.became(one),
            "drivers": drivers_of(workspace, records.score_of(workspace, one.act.customer_id)), **_limits(),
        }  # fmt: skip
        return render_template("approval.html", **{**values, **more})

    def after(decision: approvals.Decision) -> AnyResponse:
        if not decision.done:  # its page says what has become of it
            return redirect(url_for("desk.approval", effect_id=decision.effect_id), 303)
        wake()
        return redirect(url_for("desk.approvals_page", said=request.endpoint), 303)

    @blueprint.get("/approvals")
    def approvals_page() -> str:
        said = _SAID.get(request.args.get("said", ""), "")
        return render_template("approvals.html", found=approvals.waiting(workspace), said=said)

    @blueprint.get("/approvals/<effect_id>")
    def approval(effect_id: str) -> str:
        return page(effect_id)

    @blueprint.post("/approvals/<effect_id>/send")
    def send(effect_id: str) -> AnyResponse | tuple[str, int]:
        form = request.form
        found(effect_id)
        try:
            return after(
                approvals.send(workspace, effect_id, form.get("by", ""), form.get("subject"), form.get("body"))
            )
        except Problems as wrong:
            kept = {name: form[name] for name in ("subject", "body") if name in form}
            return page(effect_id, trouble=_told(wrong), **kept), 422

    @blueprint.post("/approvals/<effect_id>/refuse")
    def refuse(effect_id: str) -> AnyResponse | tuple[str, int]:
        found(effect_id)
        try:
            return after(
                approvals.refuse(workspace, effect_id, request.form.get("by", ""), request.form.get("note", ""))
            )
        except Problems as wrong:
            return page(effect_id, trouble=_told(wrong)), 422

    @blueprint.get("/drafts")
    def drafts() -> str:
        pool = acts.pool(workspace, "draft", most=A_PAGE, behind=request.args.get("behind", "")[:40])
        return render_template("drafts.html", pool=pool, mode=workspace.mode, cost=acts.cost_in_calls)

    @blueprint.get("/refusals")
    def refusals() -> str:
        rule, behind = request.args.get("rule", "")[:40], request.args.get("behind", "")[:40]
        binds = {"rule": rule, "first": int(not behind), "id": behind, "most": A_PAGE + 1}
        rows = workspace.store.rows(sql("desk", "refusals"), binds)
        return render_template(
            "refusals.html", found=rows[:A_PAGE], onward=rows[A_PAGE - 1]["id"] if len(rows) > A_PAGE else "", rule=rule,
            rules=workspace.store.rows(sql("desk", "rules")), words=words.RULES,
        )  # fmt: skip

    @blueprint.get("/releases")
    def releases() -> str:
        kinds = controls.kinds(workspace)
        said = request.args.get("said", "")
        known = said if said in {one.name for one in kinds} else ""
        return render_template(
            "releases.html", mode=workspace.mode, said=known, done=[one for one in kinds if one.released_at is not None],
            waiting=[(one, _in_full(workspace, one)) for one in kinds if one.released_at is None],
            longest_name=approvals.LONGEST_NAME,
        )  # fmt: skip

    @blueprint.post("/releases")
    def release() -> AnyResponse:
        kind, by = request.form.get("kind", ""), " ".join(request.form.get("by", "").split())
        if not by or len(by) > approvals.LONGEST_NAME:
            abort(422, "Say who releases it.")
        try:
            controls.release(workspace, kind, by)
        except Problems as wrong:
            abort(422, _told(wrong))
        wake()
        return redirect(url_for("desk.releases", said=kind), 303)

    return blueprint


def _in_full(workspace: Workspace, kind: controls.Kind) -> list[acts.Act]:
    """The first cases of what a play or the team's alerts would do; a place in the CRM is told in words already."""
    if kind.name in workspace.places:
        return []
    return acts.held(workspace, kind.name.partition(":")[2], controls.CASES)


_SAID: Final = {
    "desk.send": "It leaves with the next turn, if nothing else stands in its way.",
    "desk.refuse": "It does not leave. Your reason is kept with the customer.",
}


def _told(wrong: Problems) -> str:
    return " ".join(f"{one}." for one in wrong.problems)


def _limits() -> dict[str, int]:
    return {
        "longest_subject": approvals.LONGEST_SUBJECT, "longest_body": approvals.LONGEST_BODY,
        "longest_name": approvals.LONGEST_NAME, "longest_note": approvals.LONGEST_NOTE,
    }  # fmt: skip
