"""Whether mails may go on leaving, by what came back: complaints, mails that could not be delivered, records not there.

The limits are those of Gmail and Yahoo (support.google.com/mail/answer/81126): below 0.1 % complaints, and never 0.3 %.
They are rates of thousands of mails. Of few mails one complaint says little (1 of 20 is 5 %), so a rate counts only
once several people have complained: two to pause, three to stop. The one who complains gets no more mail in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

DAYS: Final = 30
"""How far back complaints and mails are counted."""
PAUSES_AT, STOPS_AT = 0.001, 0.003
"""Complaints per mail."""
PAUSES_FROM, STOPS_FROM = 2, 3
"""So many people must have complained before a rate is one."""
LAST: Final = 100
"""Of so many mails, the newest, it is counted how many could not be delivered for good."""
BOUNCES_AT, BOUNCES_FROM = 0.05, 5
"""Their share at which a play pauses, and how many there must be: five of the last hundred, or of fewer."""


@dataclass(frozen=True, slots=True)
class Reputation:
    """Whether mails may leave."""

    state: Literal["fine", "pause", "stop"]
    """`pause` ends by itself when what is told is no longer so; `stop` only when a person says so."""
    reason: str = ""


FINE: Final = Reputation("fine")


def standing(
    sent: int, complaints: int, bounced: int, findings: Sequence[str] = (), *, newest: int = LAST, stopped: str = "",
) -> Reputation:  # fmt: skip
    """How it stands.

    `sent` mails and `complaints` (people who complained) of the last 30 days; `bounced` of the `newest` mails, 100 at
    most, came back for good; `findings` are what the sender's records lack; `stopped` is why it was stopped before, ""
    where it was not, or a person has lifted it.
    """
    if stopped:
        return Reputation("stop", stopped)
    rate = complaints / sent if sent else float(complaints > 0)
    told = f"{complaints} people called one of the {sent} mails of the last {DAYS} days spam ({rate:.2%})"
    if complaints >= STOPS_FROM and rate >= STOPS_AT:
        return Reputation("stop", f"{told}; mailbox providers refuse senders from {STOPS_AT:.1%} on")
    if findings:
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        return Reputation("pause", f"the sender's records are not in order: {findings[0]}{more}")
    if complaints >= PAUSES_FROM and rate >= PAUSES_AT:
        return Reputation("pause", f"{told}; the limit is {PAUSES_AT:.1%}")
    if newest and bounced >= BOUNCES_FROM and bounced / newest >= BOUNCES_AT:
        return Reputation("pause", f"{bounced} of the last {newest} mails could not be delivered for good")
    return FINE


def worse(one: Reputation, other: Reputation) -> Reputation:
    """Of two, the one that lets less leave; the first where they are alike."""
    order = ("fine", "pause", "stop")
    return other if order.index(other.state) > order.index(one.state) else one
