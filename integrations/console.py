"""The console: prints every effect instead of carrying it out, and keeps a list. Dry run and test double in one.

It plays every role at once: a CRM that behaves like one over the contacts it was given and keeps a history, a channel
for mail, a desk for tasks, and a place where the team reads. What it prints is one line each, with control characters shown as escapes, so that no text of a
customer's can play with the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from worker.effects import Alert, Task
from worker.facts import CrmContact
from worker.integration import (
    Alerter,
    Begin,
    Colleague,
    Crm,
    CrmIds,
    CrmNames,
    Desk,
    FieldResult,
    History,
    Integration,
    Letter,
    Logged,
    Mailer,
    Settings,
    Sought,
)
from worker.lib.clock import Clock
from worker.lib.http import GiveUp, Http


class ConsoleSettings(Settings):
    """Nothing needs to be set."""


@dataclass(frozen=True, slots=True)
class Line:
    """One effect that would have been."""

    what: str
    """`mail`, `note`, `task`, `alert`, `tag`, `untag`, `field` or `make`."""
    whom: str
    """A contact's id, an address, a colleague's id, or "team"."""
    words: str

    def __str__(self) -> str:
        """As it is printed."""
        return _shown(f"{self.what} {self.whom}: {self.words}")


class Paper:
    """Where the lines go: a stream, and a list."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream` None means standard output as it is when a line is printed."""
        self._stream = stream
        self.lines: list[Line] = []

    def put(self, what: str, whom: str, words: str) -> None:
        """Print one effect, and keep it."""
        line = Line(what, whom, words)
        self.lines.append(line)
        print(line, file=self._stream or sys.stdout, flush=True)


def _shown(words: str) -> str:
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in words)


# -- writes -----------------------------------------------------------------------------------------------------------


class ConsoleCrm:
    """A CRM made of the contacts it is given: the role `worker.integration.Crm`."""

    def __init__(self, paper: Paper, contacts: Iterable[CrmContact] = ()) -> None:
        """Nothing is printed yet."""
        self.paper = paper
        self.contacts = {contact.contact_id: contact for contact in contacts}
        self._made = CrmIds({}, {})

    def find_or_create(
        self, names: CrmNames, *, adopt: bool, known: CrmIds | None = None, begin: Begin = lambda making: None
    ) -> CrmIds:
        """Nothing here can belong to others, so nothing is refused; an id says what it is the id of."""
        ids = CrmIds({band: f"tag:{band}" for band in names.tags}, {key: f"field:{key}" for key in names.fields})
        if ids not in (known, self._made):
            self.paper.put("make", names.category, ", ".join([*names.tags.values(), *names.fields.values()]))
        self._made = ids
        return ids

    def read(self, contact_ids: Sequence[str]) -> dict[str, CrmContact]:
        """The contacts as they are now; one that is unknown is left out."""
        return {contact_id: self.contacts[contact_id] for contact_id in contact_ids if contact_id in self.contacts}

    def field_called(self, label: str) -> str:
        """An id says what it is the id of."""
        return f"field:{label}"

    def write_fields(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, FieldResult]:
        """Set the fields and print those that change; "" clears one."""
        return {contact_id: self._write(contact_id, values) for contact_id, values in wanted.items()}

    def _write(self, contact_id: str, values: Mapping[str, str]) -> FieldResult:
        contact = self.contacts.get(contact_id)
        if contact is None:
            return FieldResult(ok=False, reason="there is no such contact")
        there = dict(contact.fields)
        for field_id, value in values.items():
            if there.get(field_id, "") != value:
                self.paper.put("field", contact_id, f"{field_id} = {value!r}")
        fields = {field_id: value for field_id, value in {**there, **values}.items() if value}
        self.contacts[contact_id] = replace(contact, fields=tuple(fields.items()))
        return FieldResult(ok=True, before={field_id: there.get(field_id, "") for field_id in values})

    def add_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Put a tag on many."""
        return {contact_id: self._tag(contact_id, tag_id, on=True) for contact_id in contact_ids}

    def remove_tag(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, str]:
        """Take a tag off many."""
        return {contact_id: self._tag(contact_id, tag_id, on=False) for contact_id in contact_ids}

    def _tag(self, contact_id: str, tag_id: str, *, on: bool) -> str:
        contact = self.contacts.get(contact_id)
        if contact is None:
            return "there is no such contact"
        if (tag_id in contact.tags) != on:
            self.paper.put("tag" if on else "untag", contact_id, tag_id)
            tags = (*contact.tags, tag_id) if on else tuple(tag for tag in contact.tags if tag != tag_id)
            self.contacts[contact_id] = replace(contact, tags=tags)
        return ""

    def canary(self, contact_id: str, names: CrmNames) -> str:
        """It merges: what is not named stays."""
        if contact_id not in self.contacts:
            raise GiveUp(f"there is no contact {contact_id!r}")
        return "merges"


class ConsoleMailer:
    """A channel for mail: the role `worker.integration.Mailer`. The same message twice is printed once."""

    deduplicates = True
    connections = 1

    def __init__(self, paper: Paper) -> None:
        """Nothing is printed yet."""
        self.paper = paper
        self.letters: dict[str, Letter] = {}
        """By message id."""

    def send(self, letter: Letter) -> str:
        """Print a mail's recipient and subject; its id is the reference."""
        if letter.message_id not in self.letters:
            self.letters[letter.message_id] = letter
            self.paper.put("mail", letter.to, letter.subject)
        return letter.message_id

    def find(self, sought: Sought) -> str | None:
        """What was printed is known."""
        return sought.message_id if sought.message_id in self.letters else ""

    def close(self) -> None:
        """There is nothing to let go of."""


class ConsoleHistory:
    """A CRM's history of mails: the role `worker.integration.History`. The same mail twice is printed once."""

    def __init__(self, paper: Paper) -> None:
        """Nothing is printed yet."""
        self.paper = paper
        self.logged: dict[str, Logged] = {}
        """By effect id."""

    def log(self, mails: Sequence[Logged]) -> dict[str, str]:
        """Note many; none fails."""
        for mail in mails:
            if mail.effect_id not in self.logged:
                self.logged[mail.effect_id] = mail
                self.paper.put("note", mail.contact_id or mail.to, f"was written to: {mail.subject}")
        return dict.fromkeys((mail.effect_id for mail in mails), "")


class ConsoleDesk:
    """A desk for tasks: the role `worker.integration.Desk`."""

    def __init__(self, paper: Paper, colleagues: Iterable[Colleague] = ()) -> None:
        """Nothing is printed yet."""
        self.paper = paper
        self.tasks: dict[str, Task] = {}
        """By effect id."""
        self._colleagues = list(colleagues)

    def colleagues(self) -> list[Colleague]:
        """Those it was given."""
        return list(self._colleagues)

    def add(self, task: Task, effect_id: str) -> str:
        """Print a task; its id is that of the effect."""
        self.tasks[effect_id] = task
        self.paper.put("task", task.owner or "nobody yet", f"{task.title}: {task.text}")
        return effect_id

    def find(self, task: Task, effect_id: str, tried_at: int) -> str:
        """What was printed is known."""
        return effect_id if effect_id in self.tasks else ""


class ConsoleAlerter:
    """Where the team reads: the role `worker.integration.Alerter`."""

    def __init__(self, paper: Paper) -> None:
        """Nothing is printed yet."""
        self.paper = paper
        self.alerts: list[Alert] = []

    def send(self, alert: Alert) -> None:
        """Print an alert: of its buttons what they do, not the links by which anybody could do it."""
        self.alerts.append(alert)
        lines = [" ".join([one.text, *(f"[{button.label}]" for button in one.buttons)]) for one in alert.lines]
        self.paper.put("alert", "team", f"{alert.title}: {' / '.join(filter(None, [alert.text, *lines]))}")


def _crm(http: Http, settings: ConsoleSettings, clock: Clock) -> Crm:
    return ConsoleCrm(Paper())


def _mailer(http: Http, settings: ConsoleSettings, clock: Clock) -> Mailer:
    return ConsoleMailer(Paper())


def _history(http: Http, settings: ConsoleSettings, clock: Clock) -> History:
    return ConsoleHistory(Paper())


def _desk(http: Http, settings: ConsoleSettings, clock: Clock) -> Desk:
    return ConsoleDesk(Paper())


def _alerter(http: Http, settings: ConsoleSettings) -> Alerter:
    return ConsoleAlerter(Paper())


INTEGRATION = Integration(
    name="console",
    title="Console",
    does="prints what would be written, mailed, given to people and told; for trying out",
    settings=ConsoleSettings,
    crm=_crm,
    mailer=_mailer,
    history=_history,
    desk=_desk,
    alerter=_alerter,
)
