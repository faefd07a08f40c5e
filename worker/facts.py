"""The vocabulary that comes in: kinds, facts, and sightings of who they are about.

A fact's `value` is a whole number of millionths, so that sums are exact in any order on any engine. Every time is
whole epoch seconds, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MILLION: Final = 1_000_000
"""How many units of a fact's `value` make one."""


def millionths(value: float | int | str) -> int:
    """Turn a number, or the text of one, into whole millionths, half away from zero.

    Raises ValueError for what is no finite number, and for magnitudes above 10**12 (sums must fit 63 bits).
    """
    from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite() or abs(number) > 10**12:
        raise ValueError(f"{value!r} is not a number between -10^12 and 10^12")
    return int((number * MILLION).to_integral_value(ROUND_HALF_UP))


class Shape(StrEnum):
    """How the facts of a kind are to be read."""

    EVENT = "event"  # it happened; `value` is how much of it (1 where nothing else is said)
    OPEN = "open"  # +1 when it opens, -1 when it ends; their sum is how many are open now
    READING = "reading"  # an answer or a level; the latest one speaks


@dataclass(frozen=True, slots=True)
class Kind:
    """One word of the closed vocabulary of facts."""

    name: str
    """The stored name, snake_case."""
    singular: str
    plural: str
    """The words a scorecard uses: "number of unpaid invoices now"."""
    shape: Shape
    sentence: str
    """What it is, in one sentence for `keepwell facts`."""
    unit: str = ""
    """What `value` counts, where it is not simply 1: "answer 0 to 10", "minor units of the currency in the label"."""


_ALL = (
    # use
    Kind("usage", "usage", "usage", Shape.EVENT, "The customer used the product; the label is the feature."),
    Kind("login", "login", "logins", Shape.EVENT, "A person signed in."),
    # struggle
    Kind(
        "empty_search",
        "search without result",
        "searches without result",
        Shape.EVENT,
        "A search in the product found nothing.",
    ),
    Kind("error_met", "error met", "errors met", Shape.EVENT, "A person ran into an error in the product."),
    Kind(
        "help_asked_again",
        "repeated call for help",
        "repeated calls for help",
        Shape.EVENT,
        "Help was asked a second time for the same thing; reopened tickets count.",
    ),
    # support
    Kind(
        "open_ticket",
        "open ticket",
        "open tickets",
        Shape.OPEN,
        "A support ticket waits for an answer; the label is its priority (urgent, high, normal, low, none).",
    ),
    Kind(
        "ticket_raised",
        "ticket raised",
        "tickets raised",
        Shape.EVENT,
        "A support ticket was opened; the label is its priority.",
    ),
    Kind("ticket_solved", "ticket solved", "tickets solved", Shape.EVENT, "A support ticket was solved."),
    Kind(
        "first_reply",
        "first reply",
        "first replies",
        Shape.READING,
        "Support answered a ticket for the first time.",
        "hours the customer waited",
    ),
    Kind(
        "ticket_rating",
        "ticket rating",
        "ticket ratings",
        Shape.READING,
        "The customer rated how a ticket was handled.",
        "0 (bad) to 1 (good)",
    ),
    # voice
    Kind(
        "nps_answer",
        "nps answer",
        "nps answers",
        Shape.READING,
        "The customer answered how likely they are to recommend us.",
        "0 to 10",
    ),
    Kind("pulse", "pulse", "pulses", Shape.READING, "What a customer-success manager thinks.", "1 to 5"),
    # money
    Kind(
        "subscription",
        "active subscription",
        "active subscriptions",
        Shape.OPEN,
        "A subscription that is active, in trial or past due.",
    ),
    Kind(
        "cancellation_planned",
        "planned cancellation",
        "planned cancellations",
        Shape.OPEN,
        "A subscription is set to end at the close of its period.",
    ),
    Kind(
        "plan_changed",
        "plan change",
        "plan changes",
        Shape.EVENT,
        "A subscription moved to another plan; the label says up, down or across.",
    ),
    Kind(
        "payment",
        "payment",
        "payments",
        Shape.EVENT,
        "A payment arrived; the label is the currency.",
        "amount in whole units of the currency",
    ),
    Kind(
        "payment_failed",
        "failed payment",
        "failed payments",
        Shape.EVENT,
        "A payment was tried and refused; the label is the reason where one is given.",
    ),
    Kind(
        "unpaid_invoice",
        "unpaid invoice",
        "unpaid invoices",
        Shape.OPEN,
        "An invoice whose payment failed or whose due date passed.",
    ),
    Kind(
        "refund",
        "refund",
        "refunds",
        Shape.EVENT,
        "Money was given back; the label is the currency.",
        "amount in whole units of the currency",
    ),
    Kind("open_dispute", "open dispute", "open disputes", Shape.OPEN, "The customer disputes a charge."),
    # contact
    Kind(
        "mail_sent",
        "mail sent",
        "mails sent",
        Shape.EVENT,
        "A mail went to the customer, whoever sent it; the label says who (crm, keepwell).",
    ),
    Kind("mail_opened", "mail opened", "mails opened", Shape.EVENT, "A mail was opened."),
    Kind("mail_clicked", "mail clicked", "mails clicked", Shape.EVENT, "A link in a mail was followed."),
    Kind("mail_replied", "reply", "replies", Shape.EVENT, "The customer answered a mail."),
    Kind(
        "mail_bounced",
        "mail bounced",
        "mails bounced",
        Shape.EVENT,
        "A mail could not be delivered; the label says hard (the address takes none) or soft.",
    ),
    Kind("mail_complained", "complaint", "complaints", Shape.EVENT, "The customer called a mail of ours spam."),
    Kind(
        "opted_out", "opt-out", "opt-outs", Shape.EVENT, "The customer asked for no more mail; the label says of what."
    ),
    Kind(
        "open_task",
        "open task",
        "open tasks",
        Shape.OPEN,
        "A task about the customer waits for one of our people; the label says who made it (keepwell, crm).",
    ),
    Kind(
        "task_done",
        "task done",
        "tasks done",
        Shape.EVENT,
        "One of our people did a task about the customer; the label says who made it (keepwell, crm).",
    ),
    # how it went on
    Kind("joined", "joining", "joinings", Shape.EVENT, "The customer signed up, or came back."),
    Kind(
        "left",
        "departure",
        "departures",
        Shape.EVENT,
        "The customer is gone; the label says how (by choice, failed payment, finished).",
    ),
    Kind(
        "plan_switched",
        "plan switch",
        "plan switches",
        Shape.EVENT,
        "One subscription ended because another replaced it: no departure.",
    ),
)

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
"""Every kind by its stored name. `custom.<name>` is allowed beside them, as an event."""


@dataclass(frozen=True, slots=True)
class Family:
    """Kinds of one nature, by one word: whoever says it means any of them."""

    singular: str
    plural: str
    kinds: tuple[str, ...]
    sentence: str
    """What it is, in one sentence for `keepwell facts`."""


FAMILIES: Final = (
    Family("sign of use", "signs of use", ("usage", "login"), "The product was used, or a person signed in."),
    Family(
        "sign of struggle",
        "signs of struggle",
        ("empty_search", "error_met", "help_asked_again"),
        "A search found nothing, an error was met, or help was asked for twice.",
    ),
)
"""The families that a scorecard can speak of as of one kind; all of a family's kinds have one shape."""


def kind_named(name: str) -> Kind:
    """Look a kind up; `custom.<name>` is made on the spot. Raises KeyError for any other unknown name."""
    if name.startswith("custom.") and name.removeprefix("custom.").replace("_", "").isalnum():
        words = name.removeprefix("custom.").replace("_", " ")
        return Kind(name, words, words, Shape.EVENT, f"Your own kind of fact: {words}.")
    return KINDS[name]


@dataclass(frozen=True, slots=True)
class Fact:
    """One dated, normalised observation about a customer."""

    kind: str
    at: int
    """When it happened."""
    source: str
    """The integration it came from."""
    source_id: str
    """The vendor's object and its transition (`in_1:payment_failed:2`), never the envelope it came in."""
    value: int = MILLION
    """Whole millionths."""
    label: str = ""
    known_at: int = 0
    """When we learned it; 0 means the same as `at` (imported history)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who, in the words of one source: `Identity("stripe", "cus_1")`."""

    source: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person at a customer. `email` may be "" where only an id is known."""

    email: str
    name: str = ""
    role: str = "user"
    """One of main, billing, user, champion."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A dated property of a customer, as text; numbers are written plainly ("12.5")."""

    name: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class CrmContact:
    """A contact as the CRM shows it now: what the mirror keeps."""

    contact_id: str
    email: str
    opt_in: str
    """The CRM's own status word, e.g. `SINGLE_OPT_IN`; "" where it gives none."""
    may_mail: bool
    """Whether that status lets marketing mail be sent."""
    tags: tuple[str, ...]
    """The CRM's tag ids."""
    fields: tuple[tuple[str, str], ...]
    """(field id, value as text), every custom field that has a value."""
    updated_at: int
    may_serve: bool = False
    """Whether that status stands against no mail at all: nobody has opted out, nothing has bounced. Where marketing may
    be sent, this may too."""


class MailWord(StrEnum):
    """What became of a message, in one vocabulary for all channels."""

    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    REPLIED = "replied"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True)
class MailEvent:
    """What a channel tells of one message: it becomes a fact, may end the contact, and may settle what was unknown."""

    word: MailWord
    at: int
    """When it happened, epoch seconds UTC."""
    source_id: str
    """The vendor's name for this event; the same one any number of times is one."""
    address: str
    """Whose: an e-mail address, or a telephone number in E.164 form."""
    effect_id: str = ""
    """Our own name of the message, where the channel gives it back."""
    reference: str = ""
    """The channel's name of the message, as `Mailer.send` gave it; "" where it is not told."""
    final: bool = False
    """Of a bounce: the address takes no mail any more (hard). A soft one may pass."""
    detail: str = ""
    """The vendor's own word, for people."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one record of a delivery says about one customer."""

    at: int
    """As of when the source says so; an older sighting never overwrites a newer one."""
    identities: tuple[Identity, ...]
    """The record's own id first; the others are links the source itself declares (`keap_id` in metadata)."""
    name: str = ""
    people: tuple[Person, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    crm: CrmContact | None = None
    facts: tuple[Fact, ...] = ()
    owner: str = ""
    gone: bool = False
    """The source has deleted the record."""
    since: int = 0
    """Since when the customer has been one, where the source tells it apart from `at`; 0 means `at`."""
    author: str = ""
    """Who gave the pulse that is among the facts, and what they wrote beside it."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """All that a delivery said: sightings, and the events it named that we do not know (kept and counted)."""

    sightings: tuple[Sighting, ...] = ()
    unknown: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    """(which record, why) for records that cannot be used though the rest can."""
    mail_events: tuple[MailEvent, ...] = ()
    """What became of messages that we sent."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One raw thing that arrived, as stored."""

    id: str
    source: str
    stream: str
    """`webhook`, or the name of the pull, import or door it came by."""
    external_id: str
    body: str
    received_at: int
