"""Messages that wait for a person's yes: listed, shown in full, sent (edited or not), or refused with a reason.

The arbiter says which ones wait and why (table `approvals`). A yes sends the effect back to the outbox, where everything
is asked again before it leaves; only the question of approval is settled. Each is decided once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from worker.acts import Act, act_of, editable, written
from worker.lib.clock import iso, seconds
from worker.lib.http import GiveUp
from worker.lib.problems import Problem, Problems
from worker.lib.store import Row, sql
from worker.plays.records import keep_refusal
from worker.plays.rules import Refusal
from worker.workspace import Workspace

RULE: Final = "approval"
"""By which a refusal of a person is recorded."""
EXPIRED: Final = "it waited until it was no longer worth sending"
LONGEST_SUBJECT, LONGEST_BODY, LONGEST_NAME, LONGEST_NOTE = 200, 20_000, 100, 500
"""Characters."""
MOST: Final = 500
"""How many are listed; there is more to mend then than a longer list would."""
_EDITABLE: Final = frozenset({"mail", "sms"})


@dataclass(frozen=True, slots=True)
class Approval:
    """One message that waits, or what became of it."""

    act: Act
    why: str
    """Why a person is asked."""
    asked_at: int
    decided_at: int | None = None
    decision: str = ""
    """send, refuse or expire; "" while it waits."""
    by: str = ""
    note: str = ""
    edited: tuple[str, str] | None = None
    """Subject and text as the person wrote them."""
    draft: tuple[str, str] | None = None
    """Subject and text as Markdown to begin with, None where there is nothing to change."""
    outcome: str = ""
    """What the outbox says of it: the reason it was refused, let go …"""

    def is_over(self, now: int) -> bool:
        """Whether it is no longer worth sending."""
        return self.act.expires_at is not None and now >= self.act.expires_at

    @property
    def waits(self) -> bool:
        """Whether it can still be decided."""
        return self.decided_at is None and self.act.state == "asked"

    @property
    def editable(self) -> bool:
        """Whether its text can be changed."""
        return self.draft is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a yes or a no has come to."""

    effect_id: str
    customer_id: str
    done: bool
    """False where it had been decided, or had gone, before."""
    words: str


def waiting(workspace: Workspace) -> list[Approval]:
    """All that wait, the newest first, at most `MOST`; those no longer worth sending are left out."""
    now = seconds(workspace.clock)
    rows = workspace.store.rows(sql("desk", "waiting_approvals"), {"most": MOST})
    found = [Approval(act_of(workspace, row), row["why"], row["asked_at"]) for row in rows]
    return [one for one in found if not one.is_over(now)]


def how_many(workspace: Workspace) -> int:
    """How many wait."""
    return int(workspace.store.value(sql("desk", "how_many_wait")))


def find(workspace: Workspace, effect_id: str) -> Approval:
    """One, whether it waits or not. Raises Problems for what nobody was asked about."""
    row = workspace.store.row(sql("desk", "approval"), {"effect_id": effect_id})
    if row is None:
        unknown = f"nobody is asked about {effect_id[:50]!r}"
        raise Problems([Problem("effect", 0, "", unknown, "list what waits with: keepwell approvals")])
    return _approval(workspace, row)


def _approval(workspace: Workspace, row: Row) -> Approval:
    edited = (row["subject"] or "", row["body"] or "") if row["body"] is not None else None
    draft = None
    if row["kind"] in _EDITABLE:
        with suppress(GiveUp, LookupError, TypeError, ValueError):  # its act says what is wrong with it
            draft = editable(workspace, row)
    return Approval(
        act_of(workspace, row), row["why"], row["asked_at"], row["decided_at"], row["decision"] or "", row["by"] or "",
        row["note"] or "", edited, draft, row["reason"] or "",
    )  # fmt: skip


def shown(workspace: Workspace, one: Approval) -> dict[str, Any]:
    """As a machine reads it: flat, every key always there."""
    act = one.act
    subject, text = one.edited or (act.subject, act.text)
    return {
        "effect_id": act.id,
        "customer_id": act.customer_id,
        "customer": act.customer,
        "kind": act.kind,
        "play": act.play,
        "what": act.what,
        "why": one.why,
        "because": act.because,
        "subject": subject,
        "text": text,
        "trouble": act.trouble,
        "asked_at": iso(one.asked_at),
        "expires_at": None if act.expires_at is None else iso(act.expires_at),
        "url": f"{workspace.config.workspace.public_url}/approvals/{act.id}",
    }


# -- deciding ---------------------------------------------------------------------------------------------------------


def send(
    workspace: Workspace, effect_id: str, by: str, subject: str | None = None, body: str | None = None
) -> Decision:
    """Say yes: it waits for its turn now, with the person's text where that differs from the template's.

    Once it is decided nothing changes any more. Raises Problems for what is missing, and where nobody was asked.
    """
    problems: list[Problem] = []
    by = _line("by", by, LONGEST_NAME, "say who decides", problems)
    one = find(workspace, effect_id)
    edited = _edited(one, subject, body, problems)
    if edited is not None and not problems:
        _hold(workspace, effect_id, edited, problems)
    if problems:
        raise Problems(problems)
    now = seconds(workspace.clock)
    if one.waits and one.is_over(now):
        let_go(workspace)
        one = find(workspace, effect_id)
    with workspace.store.atomic():
        if not one.waits or not _decide(workspace, effect_id, "send", by, edited=edited):
            return _too_late(workspace, effect_id)
        workspace.store.run(sql("desk", "let_leave"), {"effect_id": effect_id, "now": now})
    held_up = " Everything outward is stopped just now; it waits until that goes on." if workspace.paused else ""
    words = f"It leaves with the next turn, if nothing else stands in its way.{held_up}"
    return Decision(effect_id, one.act.customer_id, True, words)


def refuse(workspace: Workspace, effect_id: str, by: str, note: str) -> Decision:
    """Say no, and why. Once it is decided nothing changes any more. Raises Problems as `send` does."""
    problems: list[Problem] = []
    by = _line("by", by, LONGEST_NAME, "say who decides", problems)
    note = _line("note", note, LONGEST_NOTE, "say why not, for those who ask later", problems)
    one = find(workspace, effect_id)
    if problems:
        raise Problems(problems)
    with workspace.store.atomic():
        if not one.waits or not _decide(workspace, effect_id, "refuse", by, note=note):
            return _too_late(workspace, effect_id)
        _turn_down(workspace, one, RULE, f"{by} said no: {note}")
    return Decision(effect_id, one.act.customer_id, True, "It does not leave.")


def let_go(workspace: Workspace) -> int:
    """Take from the list what has waited until it was no longer worth sending; gives how many."""
    now, n = seconds(workspace.clock), 0
    with workspace.store.atomic():
        for row in workspace.store.rows(sql("desk", "waiting_approvals"), {"most": MOST}):
            one = Approval(act_of(workspace, row), row["why"], row["asked_at"])
            if one.is_over(now) and _decide(workspace, one.act.id, "expire", "Keepwell", note=EXPIRED):
                _turn_down(workspace, one, "goal", EXPIRED)
                n += 1
    return n


def _decide(
    workspace: Workspace, effect_id: str, decision: str, by: str, *, note: str = "",
    edited: tuple[str, str] | None = None,
) -> bool:  # fmt: skip
    """Record it; False where somebody was quicker."""
    subject, body = edited or (None, None)
    binds = {
        "effect_id": effect_id, "now": seconds(workspace.clock), "decision": decision, "by": by, "note": note or None,
        "subject": subject, "body": body,
    }  # fmt: skip
    return workspace.store.run(sql("desk", "decide"), binds) == 1


def _turn_down(workspace: Workspace, one: Approval, rule: str, reason: str) -> None:
    now = seconds(workspace.clock)
    workspace.store.run(
        sql("desk", "turn_down"), {"effect_id": one.act.id, "now": now, "reason": f"{rule}: {reason}"}
    )  # fmt: skip
    keep_refusal(workspace.store, Refusal(one.act.customer_id, one.act.play, rule, reason), now, one.act.id)


def _too_late(workspace: Workspace, effect_id: str) -> Decision:
    one = find(workspace, effect_id)
    return Decision(effect_id, one.act.customer_id, False, became(one))


def became(one: Approval) -> str:
    """What has become of it, as a sentence; "" while it waits."""
    if one.waits:
        return ""
    if one.decision == "expire" or (one.decided_at is None and one.outcome == EXPIRED):
        return "It has expired: it waited until it was no longer worth sending."
    if one.decision == "send":
        return f"It was decided already: {one.by} said yes. Nothing more was changed."
    if one.decision == "refuse":
        return f"It was decided already: {one.by} said no ({one.note}). Nothing more was changed."
    return f"It no longer waits{f': {one.outcome}' if one.outcome else ''}."


# -- what people write ------------------------------------------------------------------------------------------------


def _edited(
    one: Approval, subject: str | None, body: str | None, problems: list[Problem]
) -> tuple[str, str] | None:  # fmt: skip
    """The person's text, None where it is the template's."""
    if subject is None and body is None:
        return None
    act = one.act
    old_subject, old_body = one.draft or (act.subject, act.text)
    new_subject = old_subject if subject is None else _line("subject", subject, LONGEST_SUBJECT, "give one", problems)
    new_body = old_body if body is None else _lines(body)
    if not new_body:
        problems.append(Problem("body", 0, "", "is empty", "write the text, or refuse it"))
    elif len(new_body) > LONGEST_BODY:
        problems.append(Problem("body", 0, "", f"has {len(new_body)} characters", f"say it in {LONGEST_BODY}"))
    if (new_subject, new_body) == (" ".join(old_subject.split()), _lines(old_body)):
        return None
    if not one.editable:
        problems.append(
            Problem("body", 0, "", f"a {act.kind} cannot be changed here", "send it as it is, or refuse it")
        )
    return new_subject, new_body


def _hold(workspace: Workspace, effect_id: str, edited: tuple[str, str], problems: list[Problem]) -> None:
    """Hold the person's text against what a mail may be, now, and not when it leaves and nobody looks."""
    row = workspace.store.row(sql("desk", "approval"), {"effect_id": effect_id})
    try:
        written(workspace, row or {}, *edited)
    except GiveUp as error:
        problems.append(Problem("body", 0, "", str(error), "change it, or send it as it was"))


def _lines(text: str) -> str:
    """Text as a browser sends it, with plain ends of lines and nothing that cannot be seen."""
    plain = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in plain if sign.isprintable() or sign in "\n\t").strip()


def _line(key: str, text: str, longest: int, cure: str, problems: list[Problem]) -> str:
    text = " ".join(_lines(text).split())
    if not text:
        problems.append(Problem(key, 0, "", "is missing", cure))
    elif len(text) > longest:
        problems.append(Problem(key, 0, "", f"has {len(text)} characters", f"say it in {longest}"))
    return text
