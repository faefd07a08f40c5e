"""The vocabulary that goes out: what the plays intend, before anything has happened.

An effect is a value. It becomes a row of the outbox with its own idempotency key, and dispatch makes it happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Lane(StrEnum):
    """Where an effect waits; one slow vendor must not starve another."""

    CRM = "crm"
    MAIL = "mail"
    SMS = "sms"
    TASK = "task"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Standing:
    """The CRM contact of this customer shall show this score, band and reason (one tag, four fields)."""

    lane: ClassVar[Lane] = Lane.CRM
    customer_id: str
    contact_id: str
    band: str
    score: str
    """Rounded for people, "" while it is unknown."""
    reason: str
    """The drivers in words; never sent to the customer."""
    as_of: int
    """When it was computed, epoch seconds UTC."""
    tag: bool = True
    """False while the colour waits for a backfill to be released: then tags are left as they are."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person, rendered only when it is sent."""

    lane: ClassVar[Lane] = Lane.MAIL
    customer_id: str
    to: str
    name: str
    template: str
    """The name of a file in `templates/email/`, without its ending."""
    play: str
    purpose: str
    """marketing, service or transactional."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the template may say: texts, already worded, each with its period; never the score or the band."""
    expires_at: int = 0
    """Past this moment it is no longer worth sending."""
    rests_on: Sequence[str] = ()
    """The kinds of fact that set it off or that it names; while the source of one is down, it waits."""
    step: str = ""
    """Which step of the play it is: "" for the first, else the name of a later one."""
    contact_id: str = ""
    """The CRM contact that the address stands on, "" where there is none."""
    language: str = ""
    """The person's, as BCP 47 has it (`de`), "" where it is not known."""
    driver: str = ""
    """The measure that it answers, where it answers one."""
    topic: str = ""
    """What the template says it is about, "" for nothing: some people want one topic and not another."""

    def __post_init__(self) -> None:
        """JSON, in which effects wait, knows no tuples."""
        object.__setattr__(self, "rests_on", tuple(self.rests_on))


@dataclass(frozen=True, slots=True)
class Sms(Mail):
    """The same as a text message: `to` is a telephone number in E.164 form, and consent is its own."""

    lane: ClassVar[Lane] = Lane.SMS


@dataclass(frozen=True, slots=True)
class Task:
    """One thing for one of our people to do, where a person is worth it."""

    lane: ClassVar[Lane] = Lane.TASK
    customer_id: str
    contact_id: str
    """The CRM contact it is about."""
    owner: str
    """The CRM user it is for, by the CRM's id; "" for nobody yet."""
    title: str
    text: str
    """Why, what to say, the facts, and a link: for the person alone."""
    due_at: int
    play: str
    priority: str = "normal"
    """high or normal."""
    link: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Button:
    """Something that a person can do from within a message."""

    label: str
    link: str
    """A page that shows what it is about, and does it."""
    value: str = ""
    """What a button of the place itself sends back when it is pressed, "" for what can only be done on the page."""
    sure: str = ""
    """What such a button asks before it does it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a message to the team."""

    text: str
    link: str = ""
    buttons: Sequence[Button] = ()

    def __post_init__(self) -> None:
        """JSON, in which effects wait, knows neither tuples nor our classes."""
        found = (Button(**one) if isinstance(one, dict) else one for one in self.buttons)
        object.__setattr__(self, "buttons", tuple(found))

    def in_words(self, said: Callable[[str], str] = str) -> str:
        """For a place that shows text only: one line, with its links. `said` makes what it says harmless there."""
        links = [self.link, *(f"{one.label}: {one.link}" for one in self.buttons)]
        return " · ".join([said(" ".join(self.text.split())), *filter(None, links)])


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to the team."""

    lane: ClassVar[Lane] = Lane.ALERT
    customer_id: str
    title: str
    text: str
    link: str = ""
    lines: Sequence[Line] = ()
    """What it says beside the text, each with what can be done about it."""

    def __post_init__(self) -> None:
        """The same."""
        found = (Line(**one) if isinstance(one, dict) else one for one in self.lines)
        object.__setattr__(self, "lines", tuple(found))


Effect = Standing | Mail | Task | Alert
