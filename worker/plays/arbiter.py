"""The one arbiter: whether a mail may reach this person now. Asked when it is planned, and again when it leaves.

The checks stand in the order of `CHECKS`; the first that objects wins and its reason is recorded. A case that cannot be
read is an objection too: when in doubt, nobody is written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400
MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Rules:
    """The workspace's limits."""

    one_mail_every: int = 7 * DAY
    """Seconds between two mails to one customer, whoever sent the first."""
    quiet_from: int = 20 * 60
    quiet_until: int = 8 * 60
    """Minutes of the customer's local day between which nothing is sent; equal ones mean no quiet hours."""
    urgent_labels: tuple[str, ...] = ("urgent",)
    """Priorities of open tickets during which a customer gets no mail."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is so at the moment of asking."""

    now: int
    mode: str
    paused: bool
    expires_at: int
    customer_here: bool
    """False once the customer has left or was merged away."""
    statuses: tuple[tuple[str, bool], ...]
    """(opt-in status, whether it allows mail) of every CRM contact with this address."""
    suppressed: str
    """Why this address wants no mail, "" where it has not said so."""
    last_mail_at: int | None
    """The last mail to this customer or address, the CRM's own counted."""
    open_urgent_tickets: int
    open_disputes: int
    minute_of_day: int
    """Of the customer's local day."""
    not_coming_in: tuple[str, ...] = ()
    """The kinds of fact it rests on whose source is down."""
    over: str = ""
    """Why what it is about is over, "" while it is not."""


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
class Refuse:
    """It must not be sent."""

    rule: str
    reason: str


Verdict = Go | Wait | Refuse
Check = Callable[[Case, Rules], Wait | Refuse | None]


def switch(case: Case, rules: Rules) -> Wait | Refuse | None:
    """Nothing leaves in `watch` or while paused."""
    if case.mode != "live":
        return Refuse("switch", f"the workspace is in {case.mode}")
    return Wait("switch", "everything outward is paused", case.now + 5 * MINUTE) if case.paused else None


def expiry(case: Case, rules: Rules) -> Wait | Refuse | None:
    """What has waited too long is no longer news."""
    return Refuse("expiry", "it waited until it was no longer worth sending") if case.now >= case.expires_at else None


def customer(case: Case, rules: Rules) -> Wait | Refuse | None:
    """Only people of present customers are written to."""
    return None if case.customer_here else Refuse("customer", "no longer a customer")


def unsubscribed(case: Case, rules: Rules) -> Wait | Refuse | None:
    """An address that asked for no more mail gets none (RFC 8058)."""
    return Refuse("unsubscribed", case.suppressed) if case.suppressed else None


def consent(case: Case, rules: Rules) -> Wait | Refuse | None:
    """Every CRM contact with this address must allow mail, and there must be one: the recorded basis."""
    if not case.statuses:
        return Refuse("consent", "no opt-in is recorded for this address")
    against = [status or "none" for status, allowed in case.statuses if not allowed]
    return Refuse("consent", f"the opt-in status is {against[0]}") if against else None


def over(case: Case, rules: Rules) -> Wait | Refuse | None:
    """What is past is not acted on: the payment that failed has been made."""
    return Refuse("over", case.over) if case.over else None


def trouble(case: Case, rules: Rules) -> Wait | Refuse | None:
    """No automatic mail while somebody has to help first."""
    if case.open_urgent_tickets > 0:
        return Refuse("trouble", "an urgent ticket is open")
    return Refuse("trouble", "a charge is disputed") if case.open_disputes > 0 else None


def source_down(case: Case, rules: Rules) -> Wait | Refuse | None:
    """Nobody is written to about what we cannot know now; it is asked again until the source is back."""
    if not case.not_coming_in:
        return None
    return Wait("source down", source_down_in_words(case.not_coming_in), case.now + 15 * MINUTE)


def source_down_in_words(kinds: Iterable[str]) -> str:
    """`usage is not coming in`."""
    return f"{', '.join(sorted(kinds)).replace('_', ' ')} is not coming in"


def frequency(case: Case, rules: Rules) -> Wait | Refuse | None:
    """One mail in so many days, the CRM's own counted."""
    if case.last_mail_at is None or case.now - case.last_mail_at >= rules.one_mail_every:
        return None
    until = case.last_mail_at + rules.one_mail_every
    days = (case.now - case.last_mail_at) // DAY
    reason = f"the last mail went {days} days ago; the limit is one in {rules.one_mail_every // DAY}"
    return Refuse("frequency", reason) if until >= case.expires_at else Wait("frequency", reason, until)


def quiet_hours(case: Case, rules: Rules) -> Wait | Refuse | None:
    """Hold to the end of the customer's night."""
    start, end, minute = rules.quiet_from, rules.quiet_until, case.minute_of_day
    quiet = start <= minute < end if start <= end else minute >= start or minute < end
    if not quiet:
        return None
    return Wait("quiet hours", "it is night at the customer's", case.now + (end - minute) % 1440 * MINUTE)


CHECKS: Final[tuple[Check, ...]] = (
    switch, expiry, customer, unsubscribed, consent, over, trouble, source_down, frequency, quiet_hours,
)  # fmt: skip


def ask(case: Case, rules: Rules) -> Verdict:
    """Go, wait or refuse: the first objection wins."""
    for check in CHECKS:
        objection = check(case, rules)
        if objection is not None:
            return objection
    return Go("; ".join(sorted({f"CRM opt-in status {status}" for status, _ in case.statuses})))
