"""What pages and API call things: bands with label and shape, effects, states and days as people say them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from worker.lib.clock import zone
from worker.lib.rounding import half_up, plain
from worker.lib.store import Row
from worker.scoring import explain, ledger, records
from worker.scoring.card import Card, Mix
from worker.scoring.ledger import Ledger
from worker.scoring.score import Assessment


@dataclass(frozen=True, slots=True)
class Look:
    """How a band is shown: never by its colour alone."""

    label: str
    shape: str
    css: str


LOOKS: Final = {
    "green": Look("Healthy", "●", "green"),
    "yellow": Look("Needs attention", "▲", "yellow"),
    "red": Look("At risk", "■", "red"),
    "grey": Look("Too little known", "○", "grey"),
}


def look(band: str | None) -> Look:
    """A card may have bands of other names; those speak for themselves."""
    if not band:
        return Look("Not scored yet", "–", "none")
    return LOOKS.get(band) or Look(band.replace("_", " ").replace("-", " ").capitalize(), "◆", "other")


DONE: Final = {
    "done": "done",
    "waiting": "waits",
    "sending": "on its way",
    "refused": "refused",
    "failed": "given up",
    "unknown": "interrupted: nobody knows whether it arrived",
    "replaced": "let go for something newer",
    "undone": "taken back",
    "draft": "only shown: it would be done",
    "held": "waits for its kind to be released",
    "asked": "waits for a person to say yes",
}
"""The states of an effect."""

MODES: Final = {
    "watch": "Keepwell reads and scores, and writes nothing anywhere",
    "draft": "Keepwell shows what it would do, and does none of it",
    "approve": "Keepwell does what you have released, kind by kind",
    "live": "Keepwell writes to the CRM, mails and tells the team",
}
"""What each mode lets happen."""

RULES: Final = {
    "switch": "the workspace let nothing leave, or nobody could know",
    "identity": "no customer of ours any more",
    "consent": "no opt-in is recorded for the address, or it speaks against mail",
    "suppression": "the address wants no more mail, or a person has to help first",
    "dunning": "nothing is owed any more",
    "stability": "the score or its band could not be relied on yet",
    "frequency": "another mail had just gone there",
    "priority": "something more pressing went first",
    "hours": "it was night, or a closed day",
    "approval": "a person said no",
    "goal": "what it was about is over, or it was no longer worth sending",
    "reentry": "the play had acted there not long ago",
    "deliverability": "complaints, bounces or the sender's records spoke against it",
    "repeat": "nobody knows whether the last one arrived",
    "holdout": "kept apart, to see what outreach does",
}
"""Why something was not done, by the rule that said so; of the others, the reason itself is told."""

VIA: Final = {"first": "the first sight", "link": "a declared link", "name": "the name", "email": "the same address"}
"""How we know whose an identity is."""


def kind_in_words(kind: str) -> str:
    """A kind of act (worker/plays/modes.py) as people say it: `tag:red` is `The tag for red`."""
    what, _, name = kind.partition(":")
    if what == "play":
        return f"What the play “{name.replace('-', ' ')}” does"
    if what == "alert":
        return "Messages to the team without a play"
    return f"The {what} for {name}" if what == "tag" else f"The field {name.replace('_', ' ')}"


def waited_in_words(kind: str, n: int) -> str:
    """How many acts of a kind waited; `crm` stands for the contacts to be written."""
    what, _, name = kind.partition(":")
    if what == "crm":
        return f"{n} {'contact' if n == 1 else 'contacts'} to be written in the CRM"
    if what == "play":
        return f"{n} {'act' if n == 1 else 'acts'} of the play “{name.replace('-', ' ')}”"
    return f"{n} {'message' if n == 1 else 'messages'} to the team"


def effect_in_words(row: Row) -> str:
    """`mailed “failed-payment” to ann@example.com`, for a row of effects."""
    payload: dict[str, Any] = json.loads(row["payload"])
    if row["kind"] == "standing":
        shown = f"{payload['band']} {payload['score']}".strip()
        return f"shown as {shown} on contact {row['target']}" if shown else f"taken off contact {row['target']}"
    if row["kind"] == "task":
        return f"task “{payload['title']}”"
    if row["kind"] in ("mail", "sms"):
        return f"mail “{row['subject'] or payload['template'].replace('-', ' ')}” to {row['target']}"
    return f"told the team: {payload['title']}"


def upper_first(text: str) -> str:
    """The beginning of a sentence; the rest, names and abbreviations among it, stays."""
    return text[:1].upper() + text[1:]


def mail_text(body: str) -> str:
    """A mail's text as colleagues may read it: the address that acts for its reader is cut short."""
    return re.sub(r"(/unsubscribe/)\S+", r"\1…", body)


def score_in_words(score: Decimal | None) -> str:
    """Whole points, "" while unknown."""
    return "" if score is None else plain(half_up(score))


def reason(card: Card, score: records.Score) -> str:
    """The drivers in one line. A score made under another card is told by that card's names only."""
    if score.version == card.version:
        return explain.reason(card, score.assessment)
    return "; ".join(one.measure.replace("_", " ") for one in score.assessment.drivers)


def main_driver(card: Card, score: records.Score) -> str:
    """What the costliest measure says; "" where nothing costs points."""
    drivers = score.assessment.drivers
    if not drivers:
        return ""
    name = drivers[0].measure
    if score.version != card.version:
        return name.replace("_", " ")
    return explain.measure_in_words(card, name, score.assessment.measures[name].reading)


def measures_by_dimension(card: Card, assessment: Assessment) -> list[dict[str, Any]]:
    """The dimensions of a score made under this card, each with its measures in words and their points.

    What is nested in a dimension stands with it; what the score counts without one comes last, under no name.
    """

    def told(measures: Iterable[str]) -> list[dict[str, str]]:
        return [
            {
                "words": explain.measure_in_words(card, name, assessment.measures[name].reading),
                "points": score_in_words(assessment.measures[name].points),
            }
            for name in measures
        ]

    def inside(mix: Mix) -> list[str]:
        return [*mix.measures, *(one for name in mix.dimensions for one in inside(card.dimensions[name]))]

    found = [
        {
            "name": name.replace("_", " "),
            "points": score_in_words(assessment.dimensions.get(name)),
            "share": plain(half_up(card.score.percent(name))),
            "measures": told(inside(card.dimensions[name])),
        }
        for name in card.score.dimensions
    ]
    if card.score.measures:
        share = sum((card.score.percent(name) for name in card.score.measures), Decimal(0))
        found.append(
            {"name": "", "points": "", "share": plain(half_up(share)), "measures": told(card.score.measures)}
        )  # fmt: skip
    return found


def ledger_in_words(one: Ledger) -> dict[str, Any]:
    """A move between two scores as a page shows it; the lines sum to the total."""
    total, lines = ledger.shown(one)
    return {
        "total": total,
        "lines": lines,
        "old": ledger.score_in_words(one.old),
        "new": ledger.score_in_words(one.new),
    }


def day(moment: int, time_zone: str, now: int) -> str:
    """`3 March`, with its year unless it is this one."""
    local, today = (datetime.fromtimestamp(one, zone(time_zone)) for one in (moment, now))
    return f"{local.day} {local:%B}" + ("" if local.year == today.year else f" {local.year}")


def time_of_day(moment: int, time_zone: str, now: int) -> str:
    """`3 March, 14:05`."""
    return f"{day(moment, time_zone, now)}, {datetime.fromtimestamp(moment, zone(time_zone)):%H:%M}"
