"""The one arbiter: whether a message may reach this person now. Asked when it is planned, and again when it leaves.

The fifteen checks stand in the order of `CHECKS`; the first that objects wins and its reason is recorded. A case that
cannot be read is an objection too: when in doubt, nobody is written to. A transactional message (a payment that failed, a
notice the customer needs) passes some of them, as each says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.plays.worth import Worth

DAY: Final = 86_400
HOUR: Final = 3_600
MINUTE: Final = 60
TRANSACTIONAL: Final = "transactional"
MARKETING: Final = "marketing"
BILLING: Final = "billing"
"""The priority of plays about money that is owed."""

PRIORITIES: Final = (
    "security", "billing", "support", "onboarding", "usage", "renewal", "training", "beta", "testimonial", "expansion",
)  # fmt: skip
"""What a play is about, the most pressing first: of two that want to write, the earlier one goes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The workspace's limits."""

    one_mail_every: int = 7 * DAY
    """Seconds between two mails to one customer, whoever sent the first."""
    most_in_30_days: int = 6
    """Mails to one customer in 30 days, whoever sent them."""
    quiet_from: int = 20 * 60
    quiet_until: int = 8 * 60
    """Minutes of the customer's local day between which nothing is sent; equal ones mean no quiet hours."""
    urgent_labels: tuple[str, ...] = ("urgent",)
    """Priorities of open tickets during which a customer gets no mail."""
    closed_days: tuple[str, ...] = ()
    """`sunday` or `2026-12-25`: nothing but transactional mail leaves."""
    only_to: tuple[str, ...] = ()
    """While a trial lasts: the addresses (`ann@acme.example`) and domains (`@acme.example`) that may be written to."""
    internal: tuple[str, ...] = ()
    """Addresses and domains of our own, which are no customers."""
    stop_tags: tuple[str, ...] = ()
    """The CRM's ids of tags on which nobody is written to: do not contact, in negotiation, a legal matter."""
    after_person: int = 3 * DAY
    """Seconds for which a person who was just in touch with the customer has the word."""
    after_refund: int = 14 * DAY
    known_at_least: int = 40
    """Percent of a score that must be known before it lets anything but a transactional message out."""
    hold_when_turned: int = 25
    """Percent of all customers: when more than so many turned within a day, something is wrong, and all waits."""
    service_needs_opt_in: bool = True
    """Whether a service mail wants the same opt-in as marketing; without, that nobody has opted out is enough."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """play -> how pressing it is, 0 the most."""
    approve_first: int = 0
    """So many sends of each template are seen by a person first."""
    approve_bands: tuple[str, ...] = ()
    approve_worth_from: int = 0
    """Worth a month from which a person sees each message first; 0 for never."""
    approve_all: bool = False
    check_sender: bool = True
    """Whether what mailbox providers miss at the sender holds mails that are not transactional."""
    worth: Worth = field(default_factory=Worth)
    alarm: str = ""
    """Why everything waits: too many customers turned within a day."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is so at the moment of asking. What is not known stays at its default."""

    now: int
    expires_at: int
    purpose: str = "service"
    """marketing, service or transactional."""
    barred: str = ""
    """Why nothing leaves at all: the mode, a kind that is not released, a trial's list; "" where it may."""
    paused: bool = False
    not_coming_in: tuple[str, ...] = ()
    """The kinds of fact it rests on whose source is down."""
    stranger: str = ""
    """Why this is no present customer: left, merged away, one of our own addresses."""
    statuses: tuple[tuple[str, bool, bool], ...] = ()
    """(opt-in status, whether it allows marketing, whether it stands against nothing) of every CRM contact with this
    address; of a telephone number, the recorded consent.
    """
    stopped: str = ""
    """Why this address wants no such message, "" where it has not said so."""
    troubles: tuple[str, ...] = ()
    """What a person has to see to first: an urgent ticket, a dispute, a planned cancellation …"""
    promotion_amiss: str = ""
    """Why nothing promotional is in place now: a ticket waits."""
    person_until: int | None = None
    """Until when a person who was in touch has the word."""
    settled: str = ""
    """Of a message about money: why nothing is owed any more."""
    unsteady: str = ""
    """Why the band cannot be relied on yet."""
    steady_at: int = 0
    """When it is worth asking again."""
    known: int = 100
    """Percent of the score that is known."""
    mails: tuple[int, ...] = ()
    """When the mails of the last 30 days went to this customer or address, the CRM's own counted; oldest first."""
    outranked_by: str = ""
    """The more pressing play that wants to write to the same person now."""
    minute_of_day: int = 12 * 60
    """Of the customer's local day."""
    day_is_closed: bool = False
    approval: str = ""
    """"" where nobody needs to see it, else wanted, given or denied."""
    approval_why: str = ""
    over: str = ""
    """Why what it is about is over, "" while it is not."""
    acted_at: int | None = None
    """When this play last did something for this customer, this occasion left out."""
    cool_down: int = 0
    """Seconds for which a play rests after it has acted."""
    reputation: str = "fine"
    """fine, pause or stop: what complaints, bounces and the sender's records say."""
    reputation_why: str = ""
    in_doubt: str = ""
    """The earlier message of this play of which nobody knows whether it left."""
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Go:
    """It may be sent, on this basis."""

    basis: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now, but it may be at `until` (epoch seconds)."""

    rule: str
    reason: str
    until: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A person is to see it first."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It must not be sent."""

    rule: str
    reason: str


Objection = Wait | Ask | Refuse
Verdict = Go | Objection
Check = Callable[[Case, Rules], Objection | None]


def switch(case: Case, rules: Rules) -> Objection | None:
    """1. Nothing leaves that the workspace does not let out, while paused, on an alarm, or about what nobody can know."""
    if case.barred:
        return Refuse("switch", case.barred)
    if case.paused:
        return Wait("switch", "everything outward is paused", case.now + 5 * MINUTE)
    if rules.alarm and case.purpose != TRANSACTIONAL:
        return Wait("switch", rules.alarm, case.now + HOUR)
    if case.not_coming_in:
        return Wait("switch", source_down_in_words(case.not_coming_in), case.now + 15 * MINUTE)
    return None


def identity(case: Case, rules: Rules) -> Objection | None:
    """2. Only people of present customers are written to."""
    return Refuse("identity", case.stranger) if case.stranger else None


def consent(case: Case, rules: Rules) -> Objection | None:
    """3. Every CRM contact with this address must allow this class of mail, and there must be one: the recorded basis.

    Transactional mail wants that nobody has opted out; marketing wants an opt-in, and so does service unless told otherwise.
    """
    if not case.statuses:
        return Refuse("consent", "no opt-in is recorded for this address")
    lenient = case.purpose == TRANSACTIONAL or (case.purpose != MARKETING and not rules.service_needs_opt_in)
    against = [
        status or "none"
        for status, may_market, may_serve in case.statuses
        if not (may_market or (lenient and may_serve))
    ]
    return Refuse("consent", f"the opt-in status is {against[0]}") if against else None


def suppression(case: Case, rules: Rules) -> Objection | None:
    """4. Who asked for no more gets none (RFC 8058); and no automatic mail while a person has to help, or has the word."""
    if case.stopped:
        return Refuse("suppression", case.stopped)
    if case.troubles:
        return Refuse("suppression", case.troubles[0])
    if case.purpose == MARKETING and case.promotion_amiss:
        return Refuse("suppression", case.promotion_amiss)
    if case.person_until is not None and case.purpose != TRANSACTIONAL and case.now < case.person_until:
        return Wait("suppression", "a person was just in touch, and has the word", case.person_until)
    return None


def dunning(case: Case, rules: Rules) -> Objection | None:
    """5. Nobody is reminded of what is paid, credited or disputed."""
    return Refuse("dunning", case.settled) if case.settled else None


def stability(case: Case, rules: Rules) -> Objection | None:
    """6. A band that is about to turn back, is made of too little, or comes of a card changed today, moves nobody."""
    if case.purpose == TRANSACTIONAL:
        return None
    if case.known < rules.known_at_least:
        return Refuse("stability", f"{case.known}% of the score is known, and {rules.known_at_least}% is the least")
    if case.unsteady:
        return Wait("stability", case.unsteady, max(case.steady_at, case.now + HOUR))
    return None


def frequency(case: Case, rules: Rules) -> Objection | None:
    """7. One mail in so many days and so many in thirty, the CRM's own counted; transactional ones count and may go."""
    if case.purpose == TRANSACTIONAL or not case.mails:
        return None
    last = case.mails[-1]
    if case.now - last < rules.one_mail_every:
        days = (case.now - last) // DAY
        reason = f"the last mail went {days} days ago; the limit is one in {rules.one_mail_every // DAY}"
        return Wait("frequency", reason, last + rules.one_mail_every)
    if len(case.mails) >= rules.most_in_30_days:
        reason = f"{len(case.mails)} mails went in the last 30 days; the limit is {rules.most_in_30_days}"
        return Wait("frequency", reason, max(case.now + 1, case.mails[-rules.most_in_30_days] + 30 * DAY))
    return None


def priority(case: Case, rules: Rules) -> Objection | None:
    """8. Of several plays that want to write to one person, the most pressing goes; the others wait, or expire."""
    if not case.outranked_by:
        return None
    return Wait("priority", f"{case.outranked_by} is more pressing and goes first", case.now + HOUR)


def hours(case: Case, rules: Rules) -> Objection | None:
    """9. Hold to the end of the customer's night, and over the days on which the business is closed."""
    start, end, minute = rules.quiet_from, rules.quiet_until, case.minute_of_day
    quiet = start <= minute < end if start <= end else minute >= start or minute < end
    if quiet:
        return Wait("hours", "it is night at the customer's", case.now + (end - minute) % 1440 * MINUTE)
    if case.day_is_closed and case.purpose != TRANSACTIONAL:
        return Wait("hours", "it is a closed day", case.now + (1440 - minute) * MINUTE)
    return None


def approval(case: Case, rules: Rules) -> Objection | None:
    """10. What a person wants to see first waits for them."""
    if case.approval == "denied":
        return Refuse("approval", case.approval_why)
    return Ask("approval", case.approval_why) if case.approval == "wanted" else None


def goal(case: Case, rules: Rules) -> Objection | None:
    """11. What is past or reached is not acted on: all is asked again at the moment of sending."""
    if case.over:
        return Refuse("goal", case.over)
    return Refuse("goal", "it waited until it was no longer worth sending") if case.now >= case.expires_at else None


def reentry(case: Case, rules: Rules) -> Objection | None:
    """12. A play that has acted for a customer rests."""
    if case.acted_at is None or case.now - case.acted_at >= case.cool_down:
        return None
    waited, left = (case.now - case.acted_at) // DAY, -(-(case.acted_at + case.cool_down - case.now) // DAY)
    return Refuse("reentry", f"this play acted {waited} days ago; again in {left}")


def deliverability(case: Case, rules: Rules) -> Objection | None:
    """13. No more of what people call spam, and nothing that mailbox providers would turn away."""
    if case.reputation == "stop":
        return Refuse("deliverability", case.reputation_why)
    if case.reputation == "pause" and case.purpose != TRANSACTIONAL:
        return Wait("deliverability", case.reputation_why, case.now + DAY)
    return None


def repeat(case: Case, rules: Rules) -> Objection | None:
    """14. While nobody knows whether the last one left, there is no other."""
    return Wait("repeat", case.in_doubt, case.now + HOUR) if case.in_doubt else None


def holdout(case: Case, rules: Rules) -> Objection | None:
    """15. Who is kept apart, so that it can be seen what outreach does, is."""
    return Refuse("holdout", "kept apart, to see what this play does") if case.held_out else None


CHECKS: Final[tuple[Check, ...]] = (
    switch, identity, consent, suppression, dunning, stability, frequency, priority, hours, approval, goal, reentry,
    deliverability, repeat, holdout,
)  # fmt: skip


def ask(case: Case, rules: Rules) -> Verdict:
    """Go, wait, ask a person, or refuse: the first objection wins.

    Who would have to wait until it is no longer worth sending is refused now, but for a pause: that is no fault of its own.
    No person is asked about a message that a later check would not let leave anyway.
    """
    to_ask: Ask | None = None
    for check in CHECKS:
        objection = check(case, rules)
        if isinstance(objection, Wait) and not case.paused and objection.until >= case.expires_at:
            return Refuse(objection.rule, objection.reason)
        if isinstance(objection, Ask):
            to_ask = objection
        elif objection is not None:
            return objection
    return to_ask or Go("; ".join(sorted({f"CRM opt-in status {status}" for status, _, _ in case.statuses})))


def source_down_in_words(kinds: Iterable[str]) -> str:
    """`usage is not coming in`."""
    return f"{', '.join(sorted(kinds)).replace('_', ' ')} is not coming in"
