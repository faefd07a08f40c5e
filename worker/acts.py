"""What an act looks like before it happens: in words, in full, and about what it costs in calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.dispatch import outbox
from worker.effects import Alert, Effect, Mail, Sms, Standing, Task
from worker.lib.http import GiveUp
from worker.lib.store import Row, sql
from worker.workspace import Workspace

FOOT: Final = "\n\n-- \n"
"""Where the foot of a mail begins: who writes, from where, and the way out of it (RFC 3676, 4.3)."""
_PLAIN_LINE: Final = re.compile(r"(?!\d{1,9}[.)](\s|$))[^\s>#*+\-=`~|_].*(?<!\\)(?<! )$|\Z")
"""A line of a paragraph that could as well follow the one before it on the same line (CommonMark 0.31, 4 and 6.7)."""
STOP_HERE: Final = "https://keepwell.invalid/"
"""Stands for the way out of the mails where nobody is to press it."""


@dataclass(frozen=True, slots=True)
class Act:
    """One effect as people see it before it happens."""

    id: str
    customer_id: str
    customer: str
    kind: str
    """standing, mail, sms, task or alert."""
    play: str
    state: str
    what: str
    """`mail to ann@example.com`, in a few words."""
    subject: str
    text: str
    """What its reader would read, whole; "" where nobody reads it."""
    because: str
    """Why it would be done."""
    created_at: int
    due_at: int
    expires_at: int | None
    """From this moment on it is no longer worth sending; None where it never grows old."""
    trouble: str = ""
    """Why it cannot be shown as it would be."""


def act_of(workspace: Workspace, row: Row) -> Act:
    """An effect's row, joined with its customer's name and the why of its change (sql/desk.sql), as an act."""
    try:
        effect = outbox.effect_of(row)
    except (LookupError, TypeError, ValueError) as error:
        return _act(workspace, row, None, row["kind"], trouble=f"another version wrote it: {error}")
    if isinstance(effect, Mail):
        what = f"{'text message' if isinstance(effect, Sms) else 'mail'} to {effect.to}"
        try:
            subject, text = letter(workspace, effect)
        except GiveUp as error:
            return _act(workspace, row, effect, what, trouble=str(error))
        return _act(workspace, row, effect, what, subject, text)
    if isinstance(effect, Task):
        what = f"task for {effect.owner}" if effect.owner else "task for nobody yet"
        return _act(workspace, row, effect, what, effect.title, effect.text)
    if isinstance(effect, Alert):
        return _act(workspace, row, effect, "message to the team", effect.title, effect.text)
    return _act(workspace, row, effect, _standing_in_words(workspace, effect), text=_fields_in_words(workspace, effect))


def _act(
    workspace: Workspace, row: Row, effect: Effect | None, what: str, subject: str = "", text: str = "",
    trouble: str = "",
) -> Act:  # fmt: skip
    return Act(
        id=row["id"], customer_id=row["customer_id"], customer=row["name"], kind=row["kind"], play=row["play"],
        state=row["state"], what=what, subject=subject, text=text, because=_because(workspace, row, effect),
        created_at=row["created_at"], due_at=row["due_at"],
        expires_at=(effect.expires_at or None) if isinstance(effect, Mail) else None, trouble=trouble,
    )  # fmt: skip


def _because(workspace: Workspace, row: Row, effect: Effect | None) -> str:
    """Why the band turned; else what the CRM would show as reason; else what the play is for."""
    if row["because"]:
        return str(row["because"])
    if isinstance(effect, Standing):
        return effect.reason
    play = workspace.plays.get(row["play"])
    return play.title if play else ""


def letter(workspace: Workspace, mail: Mail) -> tuple[str, str]:
    """Subject and text of a message as they would leave now, without the foot that every mail has. Raises GiveUp."""
    rendered = workspace.templates.render(mail.template, _values(workspace, mail), workspace.sender, STOP_HERE)
    return _shown(mail, rendered.subject, rendered.text)


def editable(workspace: Workspace, row: Row) -> tuple[str, str]:
    """Subject and text of a message as Markdown for a person to change, what strangers wrote in it escaped.

    Raises GiveUp where it cannot be written, LookupError where the effect is no message.
    """
    mail = outbox.effect_of(row)
    if not isinstance(mail, Mail):
        raise LookupError(f"a {row['kind']} is no message to a customer")
    subject, body = workspace.templates.editable(mail.template, _values(workspace, mail))
    return subject, reflowed(body).strip()


def reflowed(markdown: str) -> str:
    """The same Markdown with plain paragraphs on one line each: where a template breaks its lines is no reader's matter.

    Lists, headings, quotes and code keep their lines, and so do paragraphs with a break that is meant.
    """
    return "\n\n".join(
        block.replace("\n", " ") if all(_PLAIN_LINE.match(line) for line in block.split("\n")) else block
        for block in markdown.split("\n\n")
    )  # fmt: skip


def written(workspace: Workspace, row: Row, subject: str, body: str) -> tuple[str, str]:
    """Subject and text of a message as a person has changed it, without the foot. Raises GiveUp with what is wrong."""
    mail = outbox.effect_of(row)
    assert isinstance(mail, Mail)
    signer = workspace.templates.signed_by(mail.template, mail.values, workspace.sender)
    rendered = workspace.templates.write(mail.template, subject, body, workspace.sender, STOP_HERE, signer=signer)
    return _shown(mail, rendered.subject, rendered.text)


def _values(workspace: Workspace, mail: Mail) -> dict[str, str]:
    return {
        **mail.values, "first_name": "".join(mail.name.split()[:1]), "business": workspace.sender.business,
        "sender_name": workspace.templates.signed_by(mail.template, mail.values, workspace.sender),
    }  # fmt: skip


def _shown(mail: Mail, subject: str, text: str) -> tuple[str, str]:
    """A text message has no subject, and no foot."""
    return ("", text.strip()) if isinstance(mail, Sms) else (subject, text.rpartition(FOOT)[0])


def _standing_in_words(workspace: Workspace, standing: Standing) -> str:
    if not standing.band:
        return f"take what is ours off contact {standing.contact_id}"
    return f"show {' '.join(filter(None, [standing.band, standing.score]))} on contact {standing.contact_id}"


def _fields_in_words(workspace: Workspace, standing: Standing) -> str:
    """The tag and the fields by the names they have in the CRM, a line each."""
    names = workspace.crm_names
    if not standing.band:
        return ""
    shown: Mapping[str, Any] = {"score": standing.score, "band": standing.band, "reason": standing.reason}
    lines = [f"Tag: {names.tags.get(standing.band, standing.band)}"]
    lines += [f"{names.fields[key]}: {value}" for key, value in shown.items() if value and key in names.fields]
    return "\n".join(lines)


# -- what it costs ----------------------------------------------------------------------------------------------------

READ_TOGETHER: Final = 200
"""Contacts that one call of a CRM reads."""


@dataclass(frozen=True, slots=True)
class Cost:
    """About how many calls some acts take, by whom they go to."""

    crm: int = 0
    mail: int = 0
    text: int = 0
    tasks: int = 0
    team: int = 0

    @property
    def in_words(self) -> str:
        """`about 12 calls to the CRM and 3 mails`."""
        parts = [
            f"{n} {one if n == 1 else many}"
            for n, one, many in (
                (self.crm, "call to the CRM", "calls to the CRM"), (self.mail, "mail", "mails"),
                (self.text, "text message", "text messages"), (self.tasks, "task", "tasks"),
                (self.team, "message to the team", "messages to the team"),
            )
            if n
        ]  # fmt: skip
        if not parts:
            return "no calls"
        return "about " + (f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0])


def cost_in_calls(kinds: Mapping[str, int]) -> Cost:
    """About what so many acts of each kind take.

    A standing is one write of the contact's fields and, where the band turned, a tag on and a tag off; the contacts are
    read by the page before, and looked at again after. Tags go by the hundred, so that for many this is the most it
    can be. A mail, a text message, a task, a message to the team is one call each.
    """
    standings = kinds.get("standing", 0)
    reads = 2 * -(-standings // READ_TOGETHER)
    return Cost(
        crm=reads + 3 * standings, mail=kinds.get("mail", 0), text=kinds.get("sms", 0), tasks=kinds.get("task", 0),
        team=kinds.get("alert", 0),
    )  # fmt: skip


# -- pools ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pool:
    """What lies in one pool: how much of which kind, and the acts of one page."""

    kinds: Mapping[str, int]
    acts: list[Act]
    onward: str
    """Behind which id the next page begins; "" on the last."""

    @property
    def total(self) -> int:
        """How many acts there are on all pages."""
        return sum(self.kinds.values())

    @property
    def cost(self) -> Cost:
        """Of all pages together."""
        return cost_in_calls(self.kinds)


def pool(workspace: Workspace, state: str, *, most: int, behind: str = "") -> Pool:
    """A page of what lies in a pool (draft, held, asked), the newest first."""
    kinds: dict[str, int] = {}
    for row in workspace.store.rows(sql("desk", "pool"), {"state": state}):
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["n"]
    binds = {"state": state, "first": int(not behind), "id": behind, "most": most + 1}
    rows = workspace.store.rows(sql("desk", "in_pool"), binds)
    acts = [act_of(workspace, row) for row in rows[:most]]
    return Pool(kinds, acts, acts[-1].id if len(rows) > most else "")


def held(workspace: Workspace, play: str, most: int) -> list[Act]:
    """The first acts of a play ("" for none) that wait for their kind to be released, the oldest first."""
    rows = workspace.store.rows(sql("desk", "held"), {"play": play, "most": most})
    return [act_of(workspace, row) for row in rows]
