"""What is stored of how our mails are received: the sender's records as they were last seen, what came back, and stops.

The station's door to the store for `plays.reputation`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.lib.clock import DAY
from worker.lib.store import Store, sql
from worker.plays import reputation as limits
from worker.plays.records import set_switch, switch
from worker.plays.reputation import Reputation

FINDINGS: Final = "sender_findings"
"""The switch that holds what was last seen of the sender's records, as JSON: at, asked_at, findings, advice, not_asked."""

NEVER_ASKED: Final = "nobody has looked at them yet; do it with: keepwell check --sender"


@dataclass(frozen=True, slots=True)
class Seen:
    """The sender's records, as they were last looked at."""

    at: int
    asked_at: int | None
    """The last look at which everything could be asked; None while there was none."""
    findings: tuple[str, ...] = ()
    """What mails need and do not have, as of the last answers there are."""
    advice: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    """What could not be asked at the last look."""


def keep(
    store: Store, now: int, findings: Sequence[str], advice: Sequence[str] = (), not_asked: Sequence[str] = ()
) -> Seen:
    """Keep what was seen now. What could not be asked takes nothing back: what was lacking before still counts."""
    before = seen(store)
    if not_asked and before is not None:
        findings = list(dict.fromkeys([*findings, *before.findings]))
    asked_at = now if not not_asked else (before.asked_at if before else None)
    found = Seen(now, asked_at, tuple(findings), tuple(advice), tuple(not_asked))
    kept = {
        "at": now, "asked_at": asked_at, "findings": [*findings], "advice": [*advice], "not_asked": [*not_asked],
    }  # fmt: skip
    set_switch(store, FINDINGS, json.dumps(kept, ensure_ascii=False), now)
    return found


def seen(store: Store) -> Seen | None:
    """What was last seen; None where nobody has looked yet."""
    text = switch(store, FINDINGS)
    if not text:
        return None
    kept = json.loads(text)
    return Seen(
        kept["at"], kept["asked_at"], tuple(kept["findings"]), tuple(kept["advice"]), tuple(kept["not_asked"])
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Numbers:
    """What came back of the mails of one play, or of all."""

    sent: int
    """In the last 30 days, or since a person let them leave again."""
    complaints: int
    """People who called one of them spam."""
    newest: int
    """How many of the last 100 mails there are in that time …"""
    bounced: int
    """… and how many of these could not be delivered for good; both 0 for all plays together."""


def reputation(store: Store, play: str, now: int, *, sender: bool = True) -> Reputation:
    """Whether mails of a play may leave, by its own numbers and by those of all plays, and with `sender` by its records.

    Takes two or three short queries, and may be asked for each mail. A stop is noted the first time it is seen, and
    holds from then on until `lift`.
    """
    everything = _weighed(store, "", now, _lacking(seen(store)) if sender else ())
    return limits.worse(everything, _weighed(store, play, now, ())) if play else everything


def _lacking(found: Seen | None) -> Sequence[str]:
    if found is None:
        return [NEVER_ASKED]
    return found.findings or (found.not_asked if found.asked_at is None else ())


def _weighed(store: Store, play: str, now: int, lacking: Sequence[str]) -> Reputation:
    stopped, since = _since(store, play, now)
    found = numbers(store, play, since, counted_from=limits.PAUSES_FROM)
    result = limits.standing(
        found.sent, found.complaints, found.bounced, lacking, newest=found.newest, stopped=stopped
    )  # fmt: skip
    if result.state == "stop" and not stopped:
        store.run(sql("senders", "settle"), {"name": _name(play), "value": result.reason, "at": now})
    return result


def _since(store: Store, play: str, now: int) -> tuple[str, int]:
    """Why it was stopped, "" where it is not; and the moment after which mails and complaints count."""
    row = store.row(sql("senders", "lifted"), {"name": _name(play)})
    since = now - limits.DAYS * DAY
    if row is None or row["value"]:
        return (row["value"] if row else "", since)
    return "", max(since, row["at"])


def _name(play: str) -> str:
    return f"mail_stopped:{play}" if play else "mail_stopped"


def numbers(store: Store, play: str, since: int, *, counted_from: int = 0) -> Numbers:
    """What came back since a moment. The mails themselves are only counted once so many people have complained."""
    binds = {"play": play, "since": since}
    complaints = int(store.value(sql("senders", "complained"), binds))
    sent = int(store.value(sql("senders", "mailed"), binds)) if complaints >= counted_from else 0
    last = store.row(sql("senders", "newest_mails"), {**binds, "most": limits.LAST}) if play else None
    return Numbers(sent, complaints, last["newest"] if last else 0, last["bounced"] if last else 0)


def overview(store: Store, now: int) -> list[tuple[str, Numbers, Reputation]]:
    """All plays together ("") and every play that sent mails in the last 30 days."""
    since = now - limits.DAYS * DAY
    plays = [row["play"] for row in store.rows(sql("senders", "plays_mailed"), {"since": since})]
    found = []
    for play in ["", *plays]:
        stopped, counted_since = _since(store, play, now)
        shown = numbers(store, play, counted_since)
        weighed = limits.standing(shown.sent, shown.complaints, shown.bounced, newest=shown.newest, stopped=stopped)
        found.append((play, shown, weighed))
    return found


def lift(store: Store, play: str, now: int) -> None:
    """A person has seen to it: mails of this play, of all where it is "", leave again, and are counted anew from now."""
    set_switch(store, _name(play), "", now)
