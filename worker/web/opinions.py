"""Doors for what people say: overrides, pulses and answers, from the customer's page and by the API. For the team only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worker import opinions
from worker.intake import pulses
from worker.intake.receive import NotStored, Receiver
from worker.lib.clock import DAY, day_text, local_day, seconds
from worker.lib.ids import new_id
from worker.lib.problems import Problem, Problems
from worker.lib.strict_json import read_json
from worker.report import find_customer
from worker.review.disagreement import RIGHT
from worker.scoring import overrides
from worker.web.answers import answer, problem
from worker.workspace import Workspace

_T = TypeVar("_T")

SHOWN: Final = 5
"""Of a customer's pulses and closed disagreements, the newest."""
MOST_BYTES: Final = 20_000


def opinion_pages(workspace: Workspace, receiver: Receiver, wake: Callable[[], None]) -> Blueprint:
    """The routes of the pages. Whoever gets here has logged in (worker/web/guard.py)."""
    blueprint = Blueprint("opinions", __name__)

    def back(customer_id: str, said: str) -> AnyResponse:
        wake()
        return redirect(url_for("pages.customer", customer_id=customer_id, said=said, _anchor="opinions"), 303)

    @blueprint.get("/disagreements")
    def disagreements() -> str:
        return render_template("disagreements.html", found=opinions.open_disagreements(workspace), right=RIGHT)

    @blueprint.post("/disagreements/<disagreement_id>/answer")
    def answered(disagreement_id: str) -> AnyResponse:
        form = request.form
        closed = _checked(
            lambda: opinions.answer(
                workspace, disagreement_id, form.get("answer", ""), by=form.get("by", ""), right=form.get("right", "")
            )
        )
        return back(closed.customer_id, "answer")

    @blueprint.post("/customers/<customer_id>/override")
    def override(customer_id: str) -> AnyResponse:
        whose, form = _whose(workspace, customer_id), request.form
        given = {name: form.get(name, "") for name in ("how", "limit", "until", "reason", "by")}
        _checked(lambda: opinions.set_override(workspace, whose, **given))
        return back(whose, "override")

    @blueprint.post("/customers/<customer_id>/override/end")
    def end_override(customer_id: str) -> AnyResponse:
        whose = _whose(workspace, customer_id)
        _checked(lambda: opinions.end_override(workspace, whose, request.form.get("by", "")))
        return back(whose, "end")

    @blueprint.post("/customers/<customer_id>/pulse")
    def pulse(customer_id: str) -> AnyResponse:
        whose, form = _whose(workspace, customer_id), request.form
        given = _checked(
            lambda: opinions.pulse_given(
                workspace, whose, value=form.get("value", ""), by=form.get("by", ""), note=form.get("note", ""),
                pulse_id=form.get("pulse_id", ""),
            )
        )  # fmt: skip
        try:
            receiver.receive(pulses.SOURCE, "page", given.receipt())
        except NotStored:
            abort(503, "The pulse could not be stored just now; send it again.")
        return back(whose, "pulse")

    return blueprint


def shown(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    """What the customer's page shows of opinions (templates/pages/_opinions.html)."""
    now = seconds(workspace.clock)
    in_force = opinions.in_force(workspace, customer_id)
    disagreements = opinions.disagreements_of(workspace, customer_id)
    today = local_day(now, workspace.time_zone)
    return {
        "override": opinions.shown_override(workspace, customer_id, in_force) if in_force else None,
        "override_words": overrides.in_words(in_force, workspace.time_zone) if in_force else "",
        "pulses": opinions.pulses_of(workspace, customer_id)[:SHOWN],
        "open": [one for one in disagreements if one.closed_at is None],
        "closed": [one for one in disagreements if one.closed_at is not None][:SHOWN],
        "bands": workspace.card.order,
        "right": RIGHT,
        "today": day_text(today),
        "month": day_text(today + 30),
        "year": day_text(today + opinions.LONGEST // DAY - 1),
        "pulse_id": new_id("pls"),
        "said": _SAID.get(request.args.get("said", ""), ""),
    }


_SAID: Final = {
    "override": "Stored. The next turn shows it in the band and in the CRM.",
    "end": "Ended. The next turn gives the computed band back.",
    "pulse": "Stored. The next turn takes it in.",
    "answer": "Closed.",
}


def _whose(workspace: Workspace, customer_id: str) -> str:
    try:
        return find_customer(workspace.store, customer_id, by_beginning=False)
    except Problems:
        abort(404)


def _checked(act: Callable[[], _T]) -> _T:
    """What it gives; every mistake of the form in one refusal."""
    try:
        return act()
    except Problems as wrong:
        abort(422, " ".join(f"{one}." for one in wrong.problems))


# -- the API ----------------------------------------------------------------------------------------------------------


def add_opinions(blueprint: Blueprint, workspace: Workspace, receiver: Receiver) -> None:
    """Add the API's routes: pulses, disagreements, overrides."""

    @blueprint.post("/pulses")
    def give_pulse() -> Response:
        def act(body: dict[str, Any]) -> Response:
            whose = _named(workspace, body)
            given = opinions.pulse_given(
                workspace, whose, value=body.get("value"), by=_text(body, "author"), note=_text(body, "note"),
                at=_text(body, "at"), pulse_id=_needed(body, "pulse_id"),
            )  # fmt: skip
            received = receiver.receive(pulses.SOURCE, "api", given.receipt())
            told = {"id": received.id, "customer_id": whose, "duplicate": received.duplicate, "status": "stored"}
            return answer(told, 202)

        return _answered(act, {"pulse_id", "customer", "email", "value", "author", "note", "at"})

    @blueprint.get("/disagreements")
    def listed_disagreements() -> Response:
        return answer(opinions.open_disagreements(workspace)[::-1])

    @blueprint.get("/overrides")
    def listed_overrides() -> Response:
        return answer(opinions.overrides_in_force(workspace))

    @blueprint.post("/overrides")
    def give_override() -> Response:
        def act(body: dict[str, Any]) -> Response:
            given = {name: _text(body, name) for name in ("how", "limit", "until", "reason")}
            whose = _named(workspace, body)
            return answer(opinions.set_override(workspace, whose, by=_text(body, "author"), **given), 202)

        return _answered(act, {"customer", "email", "how", "limit", "until", "reason", "author"})


def _answered(act: Callable[[dict[str, Any]], Response], known: set[str]) -> Response:
    """Read one flat object and act; a refusal names the first thing that is wrong."""
    request.max_content_length = MOST_BYTES
    try:
        body = read_json(request.get_data(cache=False))
        if not isinstance(body, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        return problem(422, f"The body cannot be read: {error}.", code="bad_body")
    try:
        unknown = sorted(body.keys() - known)
        if unknown:
            raise Problems([Problem(unknown[0][:100], 0, "", "is no field here", f"write {', '.join(sorted(known))}")])
        return act(body)
    except Problems as wrong:
        first = wrong.problems[0]
        field = {"by": "author"}.get(first.file, first.file)
        return problem(422, f"{field}: {first.message}.", code="bad_field", field=field, hint=first.cure)
    except NotStored:
        return problem(
            503, "It could not be stored just now; send it again.", code="not_stored", headers={"Retry-After": "10"}
        )


def _named(workspace: Workspace, body: dict[str, Any]) -> str:
    """The customer by id, `source:id` or address; names are for people. Raises Problems."""
    word = _text(body, "customer") or _text(body, "email")
    if not word.startswith("cus_") and ":" not in word and "@" not in word:
        raise Problems([Problem("customer", 0, "", f"{word[:100]!r} is no id", "write cus_…, keap:123, or give email")])
    return find_customer(workspace.store, word.removeprefix("email:"), by_beginning=False)


def _text(body: dict[str, Any], name: str) -> str:
    """A text, or a number as its text; "" where there is none. Raises Problems."""
    value = body.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Problems([Problem(name, 0, "", "is no text", "write it in quotes")])
    return str(value)


def _needed(body: dict[str, Any], name: str) -> str:
    text = _text(body, name).strip()
    if not text:
        raise Problems([Problem(name, 0, "", "is missing", "give each its own: the same again is no second")])
    return text
