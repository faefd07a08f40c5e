"""Signed links and buttons: one deed each, without a login, for a week, once. For the morning message to the team.

A token names its deed, what it is about and whom it was made for, and is signed for that deed alone. To look changes
nothing; to do it uses the token up, in the same transaction as the deed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData

from worker import approvals, opinions
from worker.approvals import Approval
from worker.lib.clock import DAY, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Row, Store, sql
from worker.report import find_customer
from worker.review.disagreement import Disagreement
from worker.review.opinions import disagreement
from worker.workspace import Workspace

SEND, REFUSE, SNOOZE, ANSWER = "send", "refuse", "snooze", "answer"
DEEDS: Final = (SEND, REFUSE, SNOOZE, ANSWER)
"""send or refuse a message that waits for a yes (an effect's id), keep a customer out of the morning message for a week
(a customer's id), answer a disagreement (its id)."""
LASTS: Final = 7 * DAY
"""For how long a link works."""
SNOOZES_FOR: Final = 7 * DAY
LONGEST: Final = 1000
"""Characters of a token that are looked at."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What a token asks to be done."""

    name: str
    subject: str
    made_for: str
    """The person who was given it, "" where nobody knows."""
    token_hash: str


@dataclass(frozen=True, slots=True)
class Used:
    """What a token was used for, by whom and when."""

    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person must see to do it, and nothing else; one of the three."""

    approval: Approval | None = None
    customer: str = ""
    disagreement: Disagreement | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it."""

    done: bool
    words: str


# -- making and reading them ------------------------------------------------------------------------------------------


def token(workspace: Workspace, deed: str, subject: str, *, made_for: str = "") -> str:
    """The token of one deed; `made_for` is the person who is given it, by name. Raises ValueError for no deed of ours."""
    if deed not in DEEDS:
        raise ValueError(f"{deed!r} is no deed; they are {', '.join(DEEDS)}")
    words = workspace.signer(f"deed:{deed}").dumps([subject, seconds(workspace.clock) + LASTS, made_for])
    return words if isinstance(words, str) else words.decode()


def link(workspace: Workspace, deed: str, subject: str, *, made_for: str = "") -> str:
    """The address of a page that shows what it is about and has a button that does it."""
    public_url = workspace.config.workspace.public_url
    return f"{public_url}/deeds/{deed}/{token(workspace, deed, subject, made_for=made_for)}"


def button(workspace: Workspace, deed: str, subject: str, *, made_for: str = "") -> str:
    """What the `value` of a button in Slack must hold for that."""
    return f"{deed}/{token(workspace, deed, subject, made_for=made_for)}"


def read(workspace: Workspace, deed: str, given: str) -> Deed | None:
    """What a token asks for; None for one that is forged, made for another deed, or too old."""
    if deed not in DEEDS or len(given) > LONGEST:
        return None
    try:
        subject, until, made_for = workspace.signer(f"deed:{deed}").loads(given)
    except (BadData, ValueError, TypeError):
        return None
    if not (isinstance(subject, str) and isinstance(until, int) and isinstance(made_for, str)):
        return None
    if seconds(workspace.clock) >= until:
        return None
    return Deed(deed, subject, made_for, hashlib.sha256(given.encode()).hexdigest())


def used(workspace: Workspace, deed: Deed) -> Used | None:
    """Whether it was used."""
    row = workspace.store.row(sql("desk", "used_link"), {"token_hash": deed.token_hash})
    return Used(row["by"], row["at"]) if row else None


def shown(workspace: Workspace, deed: Deed) -> Shown | None:
    """What it is about, None where that is not there any more."""
    try:
        if deed.name in (SEND, REFUSE):
            return Shown(approval=approvals.find(workspace, deed.subject))
        if deed.name == SNOOZE:
            customer_id = find_customer(workspace.store, deed.subject, by_beginning=False)
            row = workspace.store.row(sql("house", "customer"), {"id": customer_id})
            return Shown(customer=(row["name"] if row else "") or customer_id)
    except Problems:
        return None
    found = disagreement(workspace.store, deed.subject)
    return Shown(disagreement=found) if found else None


# -- doing them -------------------------------------------------------------------------------------------------------


def do(workspace: Workspace, deed: Deed, by: str, *, note: str = "", right: str = "") -> Done:
    """Do it, once. `note` is the reason of a refusal or the text of an answer, `right` who was right in a disagreement.

    Raises Problems for what is missing, which leaves the token unused, and for what is not there any more.
    """
    by = " ".join("".join(sign if sign.isprintable() else " " for sign in by).split())[: approvals.LONGEST_NAME]
    if not by:
        raise Problems([Problem("by", 0, "", "is missing", "say who does it")])
    binds = {
        "token_hash": deed.token_hash, "deed": deed.name, "subject": deed.subject, "by": by,
        "now": seconds(workspace.clock),
    }  # fmt: skip
    with workspace.store.atomic():
        if not workspace.store.run(sql("desk", "use_link"), binds):
            return Done(False, "This link was used before; it works once.")
        return _do(workspace, deed, by, note, right)


def _do(workspace: Workspace, deed: Deed, by: str, note: str, right: str) -> Done:
    if deed.name == SEND:
        sent = approvals.send(workspace, deed.subject, by)
        return Done(sent.done, sent.words)
    if deed.name == REFUSE:
        refused = approvals.refuse(workspace, deed.subject, by, note)
        return Done(refused.done, refused.words)
    if deed.name == SNOOZE:
        customer_id = find_customer(workspace.store, deed.subject, by_beginning=False)
        snooze(workspace, customer_id, by)
        return Done(True, "Kept out of the morning message for 7 days.")
    opinions.answer(workspace, deed.subject, note, by=by, right=right)
    return Done(True, "The disagreement is closed.")


def snooze(workspace: Workspace, customer_id: str, by: str) -> int:
    """Keep a customer out of the morning message for a week from now; gives until when."""
    now = seconds(workspace.clock)
    binds = {"customer_id": customer_id, "until": now + SNOOZES_FOR, "by": by, "now": now}
    workspace.store.run(sql("desk", "snooze"), binds)
    return now + SNOOZES_FOR


def snoozed(store: Store, now: int) -> dict[str, int]:
    """{customer: until when} of all who are kept out of the morning message; one who was merged stands for the other."""
    found: dict[str, int] = {}
    for customer_id, row in _snoozes(store, now):
        found[customer_id] = max(row["until"], found.get(customer_id, 0))
    return found


def snooze_of(store: Store, customer_id: str, now: int) -> tuple[int, str] | None:
    """Until when a customer is kept out of the morning message, and who wished it; None where that is not so."""
    mine = [(row["until"], row["by"]) for whose, row in _snoozes(store, now) if whose == customer_id]
    return max(mine, default=None)


def end_snooze(store: Store, customer_id: str, now: int) -> None:
    """Let the morning message tell of a customer again."""
    with store.atomic():
        for whose, row in _snoozes(store, now):
            if whose == customer_id:
                store.run(sql("desk", "end_snooze"), {"customer_id": row["customer_id"]})


def _snoozes(store: Store, now: int) -> list[tuple[str, Row]]:
    """(the customer who stands for it now, row) of all that hold."""
    found = []
    for row in store.rows(sql("desk", "snoozed"), {"now": now}):
        customer_id = row["customer_id"]
        while into := store.value(sql("opinions", "merged_into"), {"customer_id": customer_id}):
            customer_id = into
        found.append((customer_id, row))
    return found
