"""The morning message to each of our people: what changed among their customers, and what to do first, with its buttons.

It goes by mail to who has an address in [team] and can be reached by the mailer; to the team's channel, with the name in
front, otherwise. Who is away has it sent to who stands in. Each is written once a day at most: it is claimed before it is
sent, and one that was interrupted, or may have arrived, is *unknown* and not sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worker import approvals, deeds
from worker.dispatch.outbox import STRANDED_AFTER
from worker.effects import Alert, Button, Line, Task
from worker.integration import Letter, Mailer
from worker.lib.clock import DAY, HOUR, MINUTE, end_of_day, local_day, seconds, zone
from worker.lib.http import Failure, GiveUp, Unsure
from worker.lib.store import Row, sql
from worker.plays import modes
from worker.plays.records import attributes, switch
from worker.review import morning as words
from worker.review.morning import APPROVAL, DISAGREEMENT, TASK, ToDo, Turned
from worker.review.opinions import open_disagreements
from worker.scoring.card import Card
from worker.workspace import Workspace

LASTS: Final = 4 * HOUR
"""For so long after its time a message is still one of the morning; then it is left out."""
RESTS: Final = 10 * MINUTE
"""Seconds until a message is tried again that could not be sent."""
FIRST_LOOKS_BACK: Final = DAY
"""How far back the first message to somebody looks …"""
LOOKS_BACK: Final = 14 * DAY
"""… and any other at most."""
OVERDUE: Final = 14 * DAY
"""For so long a task that is overdue is told of: not every desk tells what has become of one."""
TASKS_SINCE: Final = 120 * DAY
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Message:
    """What one of our people is told."""

    who: str
    """The CRM's id; "" for the customers of nobody."""
    name: str
    email: str
    by: str
    """`mail`, or the integration of the team's channel."""
    gist: str
    lines: tuple[Line, ...]

    def shown(self) -> dict[str, Any]:
        """As it is shown before it is sent: what its links can do, and not the links."""
        return {
            "who": self.who,
            "name": self.name,
            "email": self.email,
            "by": self.by,
            "title": self.gist,
            "lines": [
                {"text": line.text, "url": line.link, "buttons": [one.label for one in line.buttons]}
                for line in self.lines
            ],
        }


@dataclass
class Told:
    """What became of the messages of a morning."""

    sent: list[str] = field(default_factory=list)
    """Who was told."""
    before: list[str] = field(default_factory=list)
    """Who had been told already, or may have been."""
    failed: dict[str, str] = field(default_factory=dict)
    """Who was not, and why."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Who is told later, and why."""


# -- when -------------------------------------------------------------------------------------------------------------


def is_time(workspace: Workspace) -> str:
    """The day whose message is due now, `2026-01-05`; "" outside the morning, and on days that are left out."""
    config = workspace.config
    local = datetime.fromtimestamp(workspace.clock.now(), zone(workspace.time_zone))
    weekday, date = _WEEKDAYS[local.weekday()], local.date().isoformat()
    late = local.hour * 60 + local.minute - config.team.morning_at
    closed = {weekday, date} & {*config.workspace.closed_days}
    return date if weekday in config.team.morning_days and not closed and 0 <= late < LASTS // MINUTE else ""


def why_not(workspace: Workspace) -> str:
    """Why nothing of this kind may leave now, "" where it may."""
    if reason := workspace.holds():
        return reason
    if not switch(workspace.store, "first_pass"):
        return "the first pass is silent, and has not been made yet"
    return "" if workspace.may_leave(modes.ALERT) else "the kind of act `alert` has not been released"


# -- what -------------------------------------------------------------------------------------------------------------


def messages(workspace: Workspace) -> list[Message]:
    """What each of our people would be told now, in the order of their ids; who has nothing to hear is left out."""
    morning = _Morning(workspace)
    return [message for message in map(morning.message, morning.whos()) if message.lines]


class _Morning:
    """All that is told on one morning, by who is told."""

    def __init__(self, workspace: Workspace) -> None:
        """Reads everything once."""
        self._workspace, self._store = workspace, workspace.store
        self._now = seconds(workspace.clock)
        self._today = local_day(self._now, workspace.time_zone)
        self._people = workspace.people
        self._by_mail = _post(workspace) is not None
        self._snoozed = deeds.snoozed(self._store, self._now)
        self._changes = self._turned()
        self._to_do: dict[str, list[ToDo]] = defaultdict(list)
        for who, one in (*self._approvals(), *self._tasks(), *self._disagreements()):
            self._to_do[who].append(one)

    def whos(self) -> list[str]:
        """Whoever has something to hear."""
        return sorted(self._changes.keys() | self._to_do.keys())

    def _for(self, owner: str) -> str:
        """Who hears today of what this owner should: who stands in, where the owner is away."""
        return self._people.assign(owner, self._today, lambda who, day: 0)[0]

    def message(self, who: str) -> Message:
        """What this person is told; without a line where there is nothing."""
        workspace, one = self._workspace, self._people.by_id.get(who)
        since = self._since(who)
        turned = [
            found
            for changes in self._changes.get(who, {}).values()
            if (found := self._net(who, [row for row in changes if row["at"] > since]))
        ]
        to_do = self._to_do.get(who, [])
        lines = words.lines(
            turned, to_do, currency=workspace.worth.currency, more=f"{workspace.config.workspace.public_url}/"
        )
        email = one.email if one else ""
        by = "mail" if email and self._by_mail else workspace.config.outreach.alerts
        return Message(who, self._name(who), email, by, words.gist(turned, to_do), lines)

    def _name(self, who: str) -> str:
        one = self._people.by_id.get(who)
        return (one.name if one else "") or who

    def _since(self, who: str) -> int:
        last = self._store.value(sql("team", "last_told"), {"who": who})
        return self._now - FIRST_LOOKS_BACK if last is None else max(int(last), self._now - LOOKS_BACK)

    # -- what changed

    def _turned(self) -> dict[str, dict[str, list[Row]]]:
        """who -> customer -> the changes of the last two weeks, in their order."""
        found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in self._store.rows(sql("team", "turned"), {"since": self._now - LOOKS_BACK, "now": self._now}):
            if row["customer_id"] not in self._snoozed:
                found[self._for(row["owner"])][row["customer_id"]].append(row)
        return found

    def _net(self, who: str, changes: list[Row]) -> Turned | None:
        bands = words.net((row["old_band"], row["new_band"]) for row in changes)
        if bands is None:
            return None
        row = changes[-1]
        customer_id = row["customer_id"]
        return Turned(
            row["name"] or customer_id, *bands, _is_worse(self._workspace.card, *bands), row["why"],
            self._workspace.worth.of(attributes(self._store, customer_id, self._now), self._now),
            self._page(customer_id), (self._button("Snooze", deeds.SNOOZE, customer_id, who),),
        )  # fmt: skip

    # -- what to do

    def _approvals(self) -> Iterator[tuple[str, ToDo]]:
        for one in approvals.waiting(self._workspace):
            act = one.act
            if act.customer_id in self._snoozed:
                continue
            who = self._whose(act.customer_id)
            subject = f" “{act.subject}”" if act.subject else ""
            buttons = (
                self._button("Send", deeds.SEND, act.id, who, sure=f"Send the {act.what}{subject}?"),
                self._button("Refuse", deeds.REFUSE, act.id, who, pressed=False),
            )
            yield who, ToDo(
                APPROVAL, act.customer or act.customer_id, f"{act.what}{subject} waits for your yes ({one.why})",
                act.expires_at or one.asked_at, "", buttons,
            )  # fmt: skip

    def _tasks(self) -> Iterator[tuple[str, ToDo]]:
        """Those due today, or overdue for no longer than two weeks."""
        zone_name = self._workspace.time_zone
        tonight = end_of_day(local_day(self._now, zone_name), zone_name)
        binds = {"since": self._now - TASKS_SINCE, "source": self._workspace.crm_source}
        for row in self._store.rows(sql("team", "tasks"), binds):
            task = Task(**json.loads(row["payload"]))
            if row["customer_id"] in self._snoozed or not self._now - OVERDUE < task.due_at <= tonight:
                continue
            due = "due today" if local_day(task.due_at, zone_name) == local_day(self._now, zone_name) else "overdue"
            yield self._for(row["target"]), ToDo(
                TASK, row["name"] or row["customer_id"], f"{task.title} ({due})", task.due_at,
                self._page(row["customer_id"]),
            )  # fmt: skip

    def _disagreements(self) -> Iterator[tuple[str, ToDo]]:
        for one in open_disagreements(self._store):
            if one.customer_id not in self._snoozed:
                who = self._whose(one.customer_id)
                said = f"{one.pulse_author or 'somebody'} says {one.pulse} of 5, and the score says {one.band}; who is right?"
                yield who, ToDo(
                    DISAGREEMENT, one.name or one.customer_id, said, one.opened_at, self._page(one.customer_id),
                    (self._button("Answer", deeds.ANSWER, one.id, who, pressed=False),),
                )  # fmt: skip

    # -- whose, and where

    def _whose(self, customer_id: str) -> str:
        row = self._store.row(sql("team", "customer"), {"id": customer_id})
        return self._for(row["owner"] if row else "")

    def _page(self, customer_id: str) -> str:
        return f"{self._workspace.config.workspace.public_url}/customers/{customer_id}"

    def _button(self, label: str, deed: str, subject: str, who: str, *, sure: str = "", pressed: bool = True) -> Button:
        """A deed that can be done on its page; and by a button of the place itself, where nothing needs to be written."""
        name = self._name(who)
        link = deeds.link(self._workspace, deed, subject, made_for=name)
        return Button(
            label, link, deeds.button(self._workspace, deed, subject, made_for=name) if pressed else "", sure
        )  # fmt: skip


def _is_worse(card: Card, old: str, new: str) -> bool:
    """Whether the new band asks for more care; grey, of which too little is known, stands before the best."""
    order = card.order
    return (order.index(new) if new in order else -1) > (order.index(old) if old in order else -1)


# -- sending ----------------------------------------------------------------------------------------------------------


def send(workspace: Workspace, *, only: str | None = None) -> Told:
    """Send what has not been sent today. The caller has asked `why_not`, and holds the lease `team`."""
    store, told = workspace.store, Told()
    now = seconds(workspace.clock)
    day = local_day(now, workspace.time_zone)
    store.run(sql("team", "stranded_mornings"), {"before": now - STRANDED_AFTER})
    for message in messages(workspace):
        if only not in (None, message.who):
            continue
        if reason := workspace.holds():
            told.waiting[_called(workspace, message.who)] = reason
        elif _claimed(workspace, message, day):
            state, reason = _sent(workspace, message, day)
            ended = {"who": message.who, "day": day, "state": state, "reason": reason or None}
            store.run(sql("team", "finish_morning"), {**ended, "due_at": seconds(workspace.clock) + RESTS})
            if state == "done":
                told.sent.append(_called(workspace, message.who))
    for row in store.rows(sql("team", "mornings_of"), {"day": day}):
        if only in (None, row["who"]):
            _note(told, _called(workspace, row["who"]), row)
    return told


def _claimed(workspace: Workspace, message: Message, day: int) -> bool:
    """Whether it is ours to send: nobody has sent it today, or tried to a moment ago."""
    binds = {"who": message.who, "day": day, "now": seconds(workspace.clock)}
    return workspace.store.run(sql("team", "claim_morning"), binds) > 0


def _note(told: Told, name: str, row: Row) -> None:
    if row["state"] in ("waiting", "sending"):
        told.waiting[name] = row["reason"] or "it is being sent"
    elif row["state"] in ("failed", "unknown"):
        told.failed[name] = row["reason"] or ""
    elif name not in told.sent:
        told.before.append(name)


def _called(workspace: Workspace, who: str) -> str:
    one = workspace.people.by_id.get(who)
    return (one.name if one else "") or who or "the team, of customers without an owner"


def _sent(workspace: Workspace, message: Message, day: int) -> tuple[str, str]:
    """(the state it is in now, why)."""
    try:
        if message.by == "mail":
            mailer = _post(workspace)
            assert mailer is not None
            with closing(mailer):
                mailer.send(letter(workspace, message, day))
            return "done", ""
        alerter = workspace.alerter
        if alerter is None:
            return "failed", "no place is set up where the team reads"
        return "done", alerter.send(alert(message)) or ""
    except Unsure as failure:
        return "unknown", str(failure)
    except GiveUp as failure:
        return "failed", str(failure)
    except Failure as failure:
        return "waiting", str(failure)


def _post(workspace: Workspace) -> Mailer | None:
    """The mailer, where it reaches our own people: a CRM writes to its contacts only."""
    return None if workspace.config.outreach.mailer == workspace.crm_source else workspace.mailer


def alert(message: Message) -> Alert:
    """The message as the team's channel gets it."""
    greeting = f"Good morning, {message.name}" if message.name else "Good morning; of customers without an owner"
    return Alert("", f"{greeting}: {message.gist}", "", "", message.lines)


def letter(workspace: Workspace, message: Message, day: int) -> Letter:
    """The message as a mail: its lines and nothing else."""
    sender = workspace.sender
    domain = sender.address.rpartition("@")[2]
    name = hashlib.sha256(f"{message.who}:{day}".encode()).hexdigest()[:24]
    return Letter(
        message_id=f"<morning-{name}@{domain}>", sender=f"{sender.name} <{sender.address}>", reply_to="",
        to=message.email, to_name=message.name, subject=f"Your customers this morning: {message.gist}",
        text="\n".join(line.in_words() for line in message.lines), html="", unsubscribe_url="", purpose="transactional",
    )  # fmt: skip
