"""What people say against, or beside, the score, as every door takes it: checked, kept, listed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from worker.intake import pulses
from worker.lib.clock import DAY, day_number, end_of_day, iso, seconds
from worker.lib.ids import new_id
from worker.lib.problems import Problem, Problems
from worker.lib.rounding import half_up
from worker.lib.store import sql
from worker.review import disagreement, opinions
from worker.review.disagreement import Disagreement, Pulse
from worker.scoring import overrides, records
from worker.scoring.score import Override
from worker.workspace import Workspace

LONGEST: Final = 366 * DAY
"""For so long an override may be set: one without an end is forgotten, and then nobody trusts the score."""
LONGEST_NAME, LONGEST_TEXT = 100, 500
"""Characters of an author's name, and of a reason or an answer."""


# -- overrides --------------------------------------------------------------------------------------------------------


def set_override(
    workspace: Workspace, customer_id: str, *, how: str, limit: str, until: str, reason: str, by: str
) -> dict[str, Any]:
    """Set one until the end of a local day, in place of the one there is; gives it as the doors show it.

    The same again changes nothing. Raises Problems with every mistake.
    """
    now = seconds(workspace.clock)
    problems: list[Problem] = []
    if how not in overrides.HOWS:
        problems.append(_problem("how", f"{how[:50]!r} is none", f"write one of {', '.join(overrides.HOWS)}"))
    bound: str | Decimal = ""
    try:
        bound = overrides.limit_of(limit, workspace.card)
    except ValueError as error:
        problems.append(_problem("limit", *str(error).split("; ", 1)))
    last = _last_second(workspace, until, now, problems)
    reason = _text("reason", reason, LONGEST_TEXT, "say why, for those who ask later", problems)
    by = _text("by", by, LONGEST_NAME, "say who says so", problems)
    if problems:
        raise Problems(problems)
    wanted = Override(new_id("ovr"), how, bound, by, reason, now, last + 1)
    there = records.open_overrides(workspace.store).get(customer_id)
    if there is None or _says(there) != _says(wanted):
        records.set_override(workspace.store, customer_id, wanted)
        there = wanted
    return shown_override(workspace, customer_id, there)


def end_override(workspace: Workspace, customer_id: str, by: str) -> Override:
    """End the one that is in force. Raises Problems where there is none."""
    problems: list[Problem] = []
    by = _text("by", by, LONGEST_NAME, "say who ends it", problems)
    if problems:
        raise Problems(problems)
    now = seconds(workspace.clock)
    there = in_force(workspace, customer_id)
    if there is None or not records.end_override(workspace.store, customer_id, there.id, f"ended by {by}", now):
        raise Problems([_problem("customer", "no override is in force here", "list those that are: keepwell override")])
    return there


def in_force(workspace: Workspace, customer_id: str) -> Override | None:
    """The customer's override now."""
    return records.overrides_at(workspace.store, seconds(workspace.clock)).get(customer_id)


def overrides_in_force(workspace: Workspace) -> list[dict[str, Any]]:
    """Every override in force now, the newest first, flat."""
    found = records.overrides_at(workspace.store, seconds(workspace.clock))
    return [
        shown_override(workspace, customer_id, one)
        for customer_id, one in sorted(found.items(), key=lambda item: (-item[1].since, item[1].id))
    ]


def shown_override(workspace: Workspace, customer_id: str, override: Override) -> dict[str, Any]:
    """As the API shows it. The computed score and band are those of the last assessment."""
    score = records.latest_scores(workspace.store, [customer_id]).get(customer_id)
    told = score.assessment if score else None
    heeded = told is not None and told.override is not None and told.override.id == override.id
    computed = (told.computed_score if heeded else told.score) if told else None
    return {
        "id": override.id,
        "customer_id": customer_id,
        "name": _name(workspace, customer_id),
        "how": override.how,
        "limit": overrides.limit_in_words(override),
        "author": override.author,
        "reason": override.reason,
        "since": iso(override.since),
        "until": iso(override.until),
        "last_day": overrides.last_day(override, workspace.time_zone),
        "computed_score": None if computed is None else int(half_up(computed)),
        "computed_band": (told.computed_band if heeded else told.band) if told else "",
        "url": _url(workspace, customer_id),
    }


def _says(override: Override) -> tuple[Any, ...]:
    return override.how, override.limit, override.author, override.reason, override.until


def _last_second(workspace: Workspace, until: str, now: int, problems: list[Problem]) -> int:
    try:
        last = end_of_day(day_number(until.strip()), workspace.time_zone)
    except (ValueError, OverflowError):
        problems.append(_problem("until", f"{until[:50]!r} is no day", "write its last day, as in 2026-03-01"))
        return 0
    if last < now:
        problems.append(_problem("until", f"{until} is over", "write a day that is still to come"))
    elif last > now + LONGEST:
        problems.append(
            _problem("until", f"{until} is more than a year away", "write an earlier day; it can be set anew")
        )
    return last


# -- pulses -----------------------------------------------------------------------------------------------------------


def pulse_given(
    workspace: Workspace, customer_id: str, *, value: Any, by: str, note: str = "", at: str = "", pulse_id: str = ""
) -> pulses.Given:
    """A pulse, checked, ready to be stored as a delivery. Raises Problems with every mistake."""
    problems: list[Problem] = []
    by = _text("by", by, LONGEST_NAME, "say whose pulse it is", problems)
    who = workspace.store.row(sql("opinions", "an_identity"), {"customer_id": customer_id})
    if who is None:
        problems.append(_problem("customer", "is known by no account", "import or connect the customer first"))
    if isinstance(value, str) and value.strip() in pulses.VALUES:
        value = int(value)
    try:
        given = pulses.Given(
            pulse_id=pulse_id or new_id("pls"), source=who["source"] if who else "", value=value, note=note, at=at,
            external_id=who["external_id"] if who else "", author=by or "?",
        )  # fmt: skip
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            field = str(one["loc"][0]) if one["loc"] else ""
            if field == "value":
                problems.append(_problem("value", f"{str(value)[:50]!r} is no pulse", "write 1 (worst) to 5 (best)"))
            else:
                problems.append(_problem(field, one["msg"].removeprefix("Value error, "), ""))
    if problems:
        raise Problems(problems)
    return given


def pulses_of(workspace: Workspace, customer_id: str) -> list[Pulse]:
    """What was said of a customer, newest first."""
    return opinions.pulses_of(workspace.store, customer_id, seconds(workspace.clock))


# -- disagreements ----------------------------------------------------------------------------------------------------


def open_disagreements(workspace: Workspace) -> list[dict[str, Any]]:
    """All that wait for an answer, the longest open first, flat."""
    return [shown_disagreement(workspace, one) for one in opinions.open_disagreements(workspace.store)]


def disagreements_of(workspace: Workspace, customer_id: str) -> list[Disagreement]:
    """A customer's disagreements, newest first."""
    return opinions.disagreements_of(workspace.store, customer_id)


def shown_disagreement(workspace: Workspace, one: Disagreement) -> dict[str, Any]:
    """As the API shows it."""
    return {
        "id": one.id,
        "customer_id": one.customer_id,
        "name": _name(workspace, one.customer_id),
        "owner": one.owner or workspace.config.workspace.name,
        "band": one.band,
        "pulse": one.pulse,
        "pulse_author": one.pulse_author,
        "pulse_at": iso(one.pulse_at),
        "opened_at": iso(one.opened_at),
        "asked_at": None if one.asked_at is None else iso(one.asked_at),
        "url": _url(workspace, one.customer_id),
    }


def answer(workspace: Workspace, disagreement_id: str, text: str, *, by: str, right: str = "") -> Disagreement:
    """Close a disagreement with its answer. Raises Problems where it is closed or unknown, and for what is missing."""
    problems: list[Problem] = []
    text = _text("answer", text, LONGEST_TEXT, "say what came of it", problems)
    by = _text("by", by, LONGEST_NAME, "say who answers", problems)
    if right not in ("", *disagreement.RIGHT):
        problems.append(_problem("right", f"{right[:50]!r} cannot be right", "write score, pulse, or nothing"))
    one = opinions.disagreement(workspace.store, disagreement_id)
    if one is None or one.closed_at is not None:
        what = "is not known" if one is None else f"is closed already: {one.answer}"
        problems.append(
            _problem("disagreement", f"{disagreement_id[:50]} {what}", "list the open ones: keepwell pulse")
        )
    if problems or one is None:
        raise Problems(problems)
    was_right = disagreement.RIGHT.get(right, "")
    opinions.close(workspace.store, one.id, text, seconds(workspace.clock), was_right=was_right, author=by)
    return one


# -- both -------------------------------------------------------------------------------------------------------------


def _problem(key: str, message: str, cure: str = "") -> Problem:
    return Problem(key, 0, "", message, cure)


def _text(key: str, text: str, longest: int, cure: str, problems: list[Problem]) -> str:
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    if not text:
        problems.append(_problem(key, "is missing", cure))
    elif len(text) > longest:
        problems.append(_problem(key, f"has {len(text)} characters", f"say it in {longest}"))
    elif "\0" in text:
        problems.append(_problem(key, "holds a NUL character", "leave it out"))
    return text


def _name(workspace: Workspace, customer_id: str) -> str:
    row = workspace.store.row(sql("house", "customer"), {"id": customer_id})
    return str(row["name"]) if row else ""


def _url(workspace: Workspace, customer_id: str) -> str:
    return f"{workspace.config.workspace.public_url}/customers/{customer_id}"
