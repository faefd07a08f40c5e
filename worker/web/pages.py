"""The pages: `/` how it stands, `/customers` who there is, `/customers/<id>` why one stands where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Flask, Response, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from worker import cards, controls, deeds, guard, report
from worker.approvals import how_many
from worker.facts import Shape, kind_named
from worker.lib.clock import DAY, iso, local_day, seconds
from worker.lib.problems import Problems
from worker.lib.store import Row, sql
from worker.plays.records import departed, number_words, open_now
from worker.report import find_customer
from worker.scoring import counterfactual, explain
from worker.scoring import records as scoring
from worker.web import opinions, records, words
from worker.web.charts import HEIGHT, WIDTH, score_chart
from worker.web.login import inside
from worker.workspace import Workspace

LATELY: Final = 7 * DAY
"""What the overview means by lately."""
RECENT_DAYS: Final = 30
SHOWN: Final = 12
"""Rows of a table on the overview."""
EFFECTS_SHOWN: Final = 50
A_PAGE: Final = 50
LONGEST_WORD: Final = 200
"""Characters of a search."""


def pages(workspace: Workspace) -> Blueprint:
    """The routes. Whoever gets here has logged in (worker/web/guard.py)."""
    blueprint = Blueprint("pages", __name__)

    @blueprint.get("/")
    def overview() -> str:
        return render_template("overview.html", **overview_of(workspace, seconds(workspace.clock)))

    @blueprint.post("/pause")
    def pause() -> str | AnyResponse:
        """The red button of every page. Letting it go on shows what has waited."""
        now = seconds(workspace.clock)
        if request.form.get("paused") == "yes":
            controls.set_paused(workspace.store, now, paused=True)
            return redirect(inside(request.form.get("next", "")) or url_for("pages.overview"), 303)
        return render_template("went_on.html", lines=went_on(controls.resume(workspace.store, now)))

    @blueprint.get("/customers")
    def customers() -> str:
        asked = {name: request.args.get(name, "")[:LONGEST_WORD] for name in ("q", "band", "cursor")}
        order = records.BY_NAME if request.args.get("order") == records.BY_NAME else records.BY_CHANGE
        try:
            found = records.customers(workspace, order=order, limit=A_PAGE, **asked)
        except records.BadCursor:
            abort(404)
        counts, _ = records.band_counts(workspace, seconds(workspace.clock))
        return render_template("customers.html", found=found, order=order, bands=list(counts), **asked)

    @blueprint.get("/customers/<customer_id>")
    def customer(customer_id: str) -> str | AnyResponse:
        kept = _kept(workspace, customer_id)
        if kept != customer_id:
            return redirect(url_for("pages.customer", customer_id=kept), 303)
        return render_template("customer.html", **customer_of(workspace, kept, seconds(workspace.clock)))

    @blueprint.post("/customers/<customer_id>/tell-again")
    def tell_again(customer_id: str) -> AnyResponse:
        kept = _kept(workspace, customer_id)
        deeds.end_snooze(workspace.store, kept, seconds(workspace.clock))
        return redirect(url_for("pages.customer", customer_id=kept), 303)

    @blueprint.post("/customers/<customer_id>/take-back")
    def take_back(customer_id: str) -> AnyResponse:
        kept, by = _kept(workspace, customer_id), request.form.get("by", "").strip()[:100]
        if not by:
            abort(400, "Say who you are.")
        controls.take_back(workspace, kept, by)
        return redirect(url_for("pages.customer", customer_id=kept), 303)

    @blueprint.get("/customers/<customer_id>/score.svg")
    def chart(customer_id: str) -> Response:
        history = scoring.history(workspace.store, _kept(workspace, customer_id))
        drawn = score_chart(
            workspace.card_of(history[-1].version) if history else workspace.card,
            history,
            seconds(workspace.clock),
            workspace.time_zone,
        )
        return Response(drawn, content_type="image/svg+xml")

    return blueprint


def went_on(done: controls.Resumed) -> list[str]:
    """What has waited while everything was stopped, and what was too old by then, in words."""
    lines = [words.waited_in_words(kind, n) for kind, n in done.waited.items()]
    lines += [f"let go, because it was no longer worth sending: {one}" for one in done.expired[:A_PAGE]]
    if more := len(done.expired) - A_PAGE:
        lines += [f"and {more} more that were no longer worth sending"] if more > 0 else []
    return lines or ["Nothing has waited."]


def furnish(app: Flask, workspace: Workspace) -> None:
    """Give the templates what all of them use: how to say days and bands, and the session's token for forms."""

    def day(moment: int) -> str:
        return words.day(moment, workspace.time_zone, seconds(workspace.clock))

    def time_of_day(moment: int) -> str:
        return words.time_of_day(moment, workspace.time_zone, seconds(workspace.clock))

    app.jinja_env.filters.update(
        day=day,
        time_of_day=time_of_day,
        iso=iso,
        look=words.look,
        upper_first=words.upper_first,
        kind_in_words=words.kind_in_words,
    )

    @app.context_processor
    def everywhere() -> dict[str, Any]:
        session = g.get("session")
        return {
            "csrf": session.csrf if session else "", "business": workspace.config.workspace.name,
            "state": lambda: State(workspace.mode, workspace.paused), "approvals_wait": lambda: how_many(workspace),
        }  # fmt: skip


def _kept(workspace: Workspace, customer_id: str) -> str:
    """The customer of that id, or whom they were merged into; 404 for nobody."""
    try:
        return find_customer(workspace.store, customer_id, by_beginning=False)
    except Problems:
        abort(404)


# -- how it stands ----------------------------------------------------------------------------------------------------


def overview_of(workspace: Workspace, now: int) -> dict[str, Any]:
    """What the overview shows."""
    store, since = workspace.store, now - LATELY
    counts, left = records.band_counts(workspace, now)
    worst = workspace.card.order[-1]
    at_risk, more = records.in_band(workspace, worst, now, SHOWN)
    return {
        "mode": workspace.mode,
        "paused": workspace.paused,
        "counts": counts,
        "total": sum(counts.values()),
        "left": left,
        "not_scored": store.value(sql("web", "not_scored")),
        "changes": _changes(workspace),
        "worst": worst,
        "at_risk": at_risk,
        "more": more,
        "deeds": _deeds(store.rows(sql("web", "done_since"), {"since": since})),
        "refusals": [
            {**row, "words": words.RULES.get(row["rule"], row["reason"])}
            for row in store.rows(sql("web", "refused_since"), {"since": since})
        ],
        "waiting": store.value(sql("web", "waiting_effects")),
        "asked": how_many(workspace),
        "troubles": _troubles(workspace, now),
        "last_turn": store.value(sql("web", "last_turn")),
    }


def _changes(workspace: Workspace) -> list[Row]:
    binds = {"first": 1, "at": 0, "id": "", "most": SHOWN}
    return workspace.store.rows(sql("web", "listed_changes"), binds)


_DEEDS: Final = {
    "mail": "mails sent", "sms": "text messages sent", "task": "tasks given", "alert": "alerts to the team",
    "standing": "standings shown in the CRM",
}  # fmt: skip


def _deeds(rows: list[Row]) -> list[dict[str, Any]]:
    """What was done, by kind; what was given up or interrupted stands beside it."""
    return [
        {
            "what": label,
            "n": sum(row["n"] for row in rows if row["kind"] == kind and row["state"] == "done"),
            "plays": [
                (row["play"].replace("-", " "), row["n"])
                for row in rows
                if row["kind"] == kind and row["state"] == "done" and row["play"]
            ],
            "failed": sum(row["n"] for row in rows if row["kind"] == kind and row["state"] != "done"),
        }
        for kind, label in _DEEDS.items()
    ]


@dataclass(frozen=True, slots=True)
class State:
    """What a workspace may do just now, as every page shows it."""

    mode: str
    paused: bool

    @property
    def in_words(self) -> str:
        """A sentence without its full stop."""
        return "Everything outward is stopped: nothing leaves" if self.paused else words.MODES.get(self.mode, "")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a person."""

    what: str
    why: str
    cure: str
    """The command that tells more, or mends it."""


def _troubles(workspace: Workspace, now: int) -> list[Trouble]:
    """Sources that are quiet, deliveries that nobody can read, mails that were interrupted."""
    store = workspace.store

    def pulled(row: Row) -> str:
        return words.time_of_day(row["succeeded_at"], workspace.time_zone, now) if row["succeeded_at"] else "never"

    outages = [one for one in guard.open_outages(workspace) if one.noticed_at is not None]
    told = frozenset().union(*(one.kinds for one in outages))
    quiet = ", ".join(kind_named(kind).plural for kind in sorted(frozenset(workspace.sources(now).down) - told))
    return [
        *(
            Trouble(one.sentence, "What rests on it is frozen, and turns nobody worse.", "keepwell check")
            for one in outages
        ),
        *([Trouble("A source is quiet", f"What rests on it is frozen: {quiet}.", "keepwell check")] if quiet else []),
        *(
            Trouble(
                f"{row['source']} {row['stream']} does not answer",
                f"{row['reason']} (last good pull: {pulled(row)})",
                "keepwell check",
            )
            for row in store.rows(sql("web", "broken_pulls"))
        ),
        *(
            Trouble(
                f"{row['n']} deliveries of {row['source']} {row['stream']} cannot be read",
                row["error"] or "",
                f"keepwell replay {row['source']}",
            )
            for row in store.rows(sql("web", "parked"))
        ),
        *(
            Trouble(
                f"A mail to {row['target']} was interrupted",
                "Nobody knows whether it arrived; it is not sent again by itself.",
                "keepwell check",
            )
            for row in store.rows(sql("web", "interrupted"))
        ),
    ]


# -- one customer -----------------------------------------------------------------------------------------------------


def customer_of(workspace: Workspace, customer_id: str, now: int) -> dict[str, Any]:
    """What a customer's page shows."""
    store = workspace.store
    shown = records.customer(workspace, customer_id, customer_id in departed(store, now))
    score = records.score_of(workspace, customer_id)
    standing = scoring.standings(store, [customer_id]).get(customer_id)
    card = workspace.card_of(score.version) if score else workspace.card
    current = score is not None and score.version == card.version
    binds = {"id": customer_id, "most": EFFECTS_SHOWN}
    effects = [
        {
            **row,
            "words": words.effect_in_words(row),
            "done": words.DONE[row["state"]],
            "body": words.mail_text(row["body"] or ""),
        }
        for row in store.rows(sql("web", "effects"), binds)
    ]
    return {
        "customer": shown,
        "score": score,
        "under": cards.named(store, score.version) if score else "",
        "standing": standing,
        "drivers": drivers_of(workspace, score),
        "because": explain.rules_in_words(card, score.assessment) if score and current else [],
        "could": counterfactual.in_words(card, score.assessment, standing) if score and current else "",
        "moves": _moves(workspace, customer_id, score, now) if score else [],
        "signals": [name.replace("-", " ") for name in score.assessment.signals] if score else [],
        "dimensions": words.measures_by_dimension(card, score.assessment) if score and current else [],
        "people": _people(workspace, customer_id),
        "identities": [
            {**row, "via": words.VIA.get(row["via"], row["via"])}
            for row in store.rows(sql("web", "identities"), {"id": customer_id})
        ],
        "changes": list(reversed(scoring.changes_of(store, customer_id))),
        "effects": [row for row in effects if row["kind"] != "standing" and row["state"] != "refused"],
        "shown": [row for row in effects if row["kind"] == "standing"],
        "refusals": store.rows(sql("web", "refusals"), binds),
        "opinions": opinions.shown(workspace, customer_id),
        "snooze": deeds.snooze_of(store, customer_id, now),
        "taken": controls.taken(workspace, customer_id),
        "facts": _facts(workspace, customer_id, now),
        "recent_days": RECENT_DAYS,
        "chart_width": WIDTH,
        "chart_height": HEIGHT,
    }


def drivers_of(workspace: Workspace, score: scoring.Score | None) -> list[dict[str, Any]]:
    """What costs points, in words; of a score made under another card, the names only."""
    if score is None:
        return []
    card, assessment = workspace.card_of(score.version), score.assessment
    if score.version != card.version:
        return [{"words": one.measure.replace("_", " "), "play": ""} for one in assessment.drivers]
    return [
        {
            "words": explain.driver_in_words(card, assessment, one),
            "play": card.measures[one.measure].do.replace("-", " "),
        }
        for one in assessment.drivers
    ]


def _moves(workspace: Workspace, customer_id: str, score: scoring.Score, now: int) -> list[dict[str, Any]]:
    """What moved the score when the band last changed, and in the last 30 days."""
    store, ends = workspace.store, []
    changes = scoring.changes_of(store, customer_id)
    if changes:
        began = changes[-2].at if len(changes) > 1 else 0
        turned = scoring.score_as_of(store, customer_id, changes[-1].at)
        ends.append(
            ("To the last change of band", scoring.told_since(store, customer_id, began, changes[-1].at), turned)
        )
    ends.append(("Lately", scoring.score_as_of(store, customer_id, now - RECENT_DAYS * DAY), score))
    found = []
    for what, old, new in ends:
        moved = report.moved(workspace, old, new) if old and new and old.at < new.at else None
        if moved is not None and old and new:
            found.append({"what": what, "from": old.at, "to": new.at, **words.ledger_in_words(moved)})
    return found


def _people(workspace: Workspace, customer_id: str) -> list[dict[str, Any]]:
    opt_ins = {row["email"]: row for row in workspace.store.rows(sql("web", "opt_ins"), {"id": customer_id})}
    people = []
    for row in workspace.store.rows(sql("web", "people"), {"id": customer_id}):
        known = opt_ins.get(row["email"])
        basis = (known["opt_in"] or "no status").replace("_", " ").lower() if known else "not in the CRM"
        people.append({**row, "may_mail": bool(known and known["may_mail"]), "basis": basis})
    return people


def _facts(workspace: Workspace, customer_id: str, now: int) -> list[dict[str, Any]]:
    """The kinds of fact that were seen in the last 30 days, the newest first, each with what counts about it."""
    store = workspace.store
    today = local_day(now, workspace.time_zone)
    binds = {"id": customer_id, "since": today - RECENT_DAYS, "today": today}
    found = []
    for row in store.rows(sql("web", "recent_facts"), binds):
        kind = kind_named(row["kind"])
        if kind.shape is Shape.OPEN:
            value = f"{open_now(store, customer_id, kind.name, now)} now"
        elif kind.shape is Shape.READING:
            last = store.row(sql("web", "last_reading"), {"id": customer_id, "kind": kind.name, "today": today})
            value = f"{number_words(last['last_value'])} ({kind.unit})" if last else ""
        else:
            value = "once" if row["n"] == 1 else f"{row['n']} times"
        found.append({"kind": kind.plural, "sentence": kind.sentence, "value": value, "last_at": row["last_at"]})
    return found
