"""The source guard: which sources are late or say far too little or too much, and what is kept and told of it.

It looks once in every turn, after what has arrived was read and before anybody is assessed. An outage freezes its kinds
as soon as it is suspected; it is noticed, and told once, when there is no doubt left: a source that is late at once, a day
that was too quiet six hours after its end, since some vendors tell of a day only in the following night.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from worker.assess import Returned, kinds_of, rests_on
from worker.facts import kind_named
from worker.intake import events
from worker.intake.volumes import counted, volumes_of
from worker.lib.clock import DAY, HOUR, day_text, end_of_day, local_day, seconds
from worker.lib.ids import new_id
from worker.lib.store import Row, sql
from worker.scoring.guard import HISTORY, judge
from worker.workspace import Stream, Workspace

NIGHT: Final = 6 * HOUR
"""How long a day must be over before its silence is told."""
ACCEPTED_AFTER: Final = 28
"""Days of an outage after which its days that had facts count as part of the pattern again: a lasting new level."""
LOOKS_BACK: Final = 14
"""Days that are looked back for the beginning of an outage."""
BOOKMARKS_KEPT: Final = 60
"""Days for which it is known where the pulls stood."""
REMEMBERED: Final = DAY
"""How long what a source has brought late is still news after its return."""

WHY: Final = {"late": "does not answer", "low": "says far less than usual", "high": "says far more than usual"}


@dataclass(frozen=True, slots=True)
class Outage:
    """A source that cannot be trusted at the moment, or could not."""

    id: str
    source: str
    kinds: frozenset[str]
    """The kinds of fact that stand still meanwhile."""
    why: str
    """late, low or high."""
    seen: str
    """What was seen, in words."""
    began_at: int
    noticed_at: int | None
    """None while it is a suspicion."""
    ended_at: int | None
    heard: str

    @property
    def sentence(self) -> str:
        """`stripe does not answer since 2026-03-01: …`."""
        return f"{self.source} {WHY[self.why]}: {self.seen}"


@dataclass(frozen=True, slots=True)
class _Ill:
    """What ails a source in this look."""

    why: str
    seen: str
    since: int
    kinds: frozenset[str]
    certain: bool
    """Whether it may be told."""


def open_outages(workspace: Workspace) -> list[Outage]:
    """Those that have not ended, suspicions included, by source."""
    return [_outage(row) for row in workspace.store.rows(sql("guard", "open_outages"))]


def ended_since(workspace: Workspace, since: int) -> list[Outage]:
    """Those that were noticed and have ended since, the oldest first."""
    return [_outage(row) for row in workspace.store.rows(sql("guard", "ended_since"), {"since": since})]


def returned(workspace: Workspace, now: int) -> tuple[Returned, ...]:
    """The sources that have just come back, as an assessment must know them."""
    rows = workspace.store.rows(sql("guard", "returned_since"), {"since": now - REMEMBERED})
    found = map(_outage, rows)
    return tuple(Returned(one.kinds, one.began_at, one.ended_at or now, one.heard) for one in found)


def look(workspace: Workspace) -> tuple[list[Outage], list[Outage]]:
    """Look at every source; gives the outages that are open and have been noticed, and those that ended just now."""
    store, now = workspace.store, seconds(workspace.clock)
    before = {one.source: one for one in open_outages(workspace)}
    streams = workspace.streams(now)
    today = local_day(now, workspace.time_zone)
    ended = []
    with store.atomic():
        counted(store, workspace.time_zone)
        store.run(sql("guard", "forget_bookmarks"), {"before": today - BOOKMARKS_KEPT})
        for source in [*workspace.connected, events.SOURCE]:
            theirs = [stream for stream in streams if stream.source == source]
            outage = before.get(source)
            ill = _ill(workspace, source, theirs, outage, now)
            if theirs:
                store.run(sql("guard", "bookmark"), {"source": source, "day": today})
            if ill is not None:
                _follow(workspace, source, outage, ill, now)
                if theirs and ill.why == "low":
                    # It answered and said too little: with every pull it is asked again from before that on.
                    began = local_day(ill.since, workspace.time_zone)
                    store.run(sql("guard", "rewind"), {"source": source, "day": began})
            elif outage is not None:
                _end(workspace, outage, now)
                if outage.noticed_at is not None:
                    ended.append(outage)
    return [one for one in open_outages(workspace) if one.noticed_at is not None], ended


# -- what ails a source -----------------------------------------------------------------------------------------------


def _ill(workspace: Workspace, source: str, streams: list[Stream], outage: Outage | None, now: int) -> _Ill | None:
    unread = workspace.store.row(sql("guard", "unread"), {"source": source}) is not None
    found = [*_late(streams, outage, unread), *_out_of_pattern(workspace, source, streams, outage, unread, now)]
    if not found:
        return None
    first = found[0]
    kinds = frozenset().union(*(one.kinds for one in found))
    return _Ill(first.why, first.seen, first.since, kinds, any(one.certain for one in found))


def _late(streams: list[Stream], outage: Outage | None, unread: bool) -> Iterator[_Ill]:
    """One that was asked and did not answer for too long. Where nobody asked, it was us who were down."""
    late = [one for one in streams if one.quiet and one.failed_at is not None]
    well = {kind for one in streams if one.succeeded_at is not None and not one.quiet for kind in one.feeds}
    if late:
        since = min(one.succeeded_at or 0 for one in late)
        names = ", ".join(one.name for one in late)
        kinds = frozenset(kind for one in late for kind in one.feeds) - well
        yield _Ill("late", f"no answer for {names} ({late[0].reason})", since, kinds, certain=True)
    elif outage is not None and outage.why == "late" and unread:
        # It answers again, and what it has said waits to be read: nothing is known before that.
        yield _Ill(outage.why, outage.seen, outage.began_at, outage.kinds, certain=True)


def _out_of_pattern(
    workspace: Workspace, source: str, streams: list[Stream], outage: Outage | None, unread: bool, now: int
) -> Iterator[_Ill]:
    """The kinds that came far too seldom yesterday, or far too often yesterday or today."""
    zone = workspace.time_zone
    today = local_day(now, zone)
    volumes = volumes_of(workspace.store, source, today - HISTORY - LOOKS_BACK)
    flagged = _flagged(workspace, source, today)
    closed = _closed(workspace.config.workspace.closed_days)
    midnight = end_of_day(today - 1, zone) + 1
    low: list[tuple[str, int]] = []
    for kind, counts in volumes.items():
        feeding = [one for one in streams if kind in one.feeds]
        out = flagged.get(kind, frozenset())
        was_out = outage is not None and _was_out(outage, kind, counts, closed, out, zone)
        so_far = judge(counts, today, closed=closed, flagged=out, over=False)
        if so_far.state == "high":
            seen = f"{so_far.n} {kind_named(kind).plural} today, where {so_far.usual} a day are usual"
            yield _Ill("high", seen, midnight, _together(kind, streams), certain=True)
            continue
        # Before a pull has brought the end of the day, its silence is a suspicion and no more.
        heard = not unread and all((one.succeeded_at or 0) >= midnight for one in feeding)
        verdict = judge(counts, today - 1, closed=closed, flagged=out)
        if verdict.state == "high":
            seen = f"{verdict.n} {kind_named(kind).plural} on {day_text(today - 1)}, where {verdict.usual} are usual"
            yield _Ill("high", seen, midnight - DAY, _together(kind, streams), certain=True)
        elif verdict.state == "low" and so_far.state != "well":
            first = _first_low(counts, today - 1, closed, out)
            low.append((kind, first))
            seen = f"{verdict.n} {kind_named(kind).plural} on {day_text(today - 1)}, where {verdict.usual} are usual"
            since = end_of_day(first - 1, zone) + 1
            yield _Ill("low", seen, since, _together(kind, streams), certain=heard and now >= midnight + NIGHT)
        elif verdict.state == "unknown" and so_far.state != "well" and was_out and outage is not None:
            yield _Ill(outage.why, outage.seen, outage.began_at, _together(kind, streams), certain=True)
    if low and not any(counts.get(today - 1, 0) for counts in volumes.values()):
        # It said nothing at all: then what it usually says seldom is not known either.
        every = frozenset(volumes) | {kind for one in streams for kind in one.feeds}
        yield _Ill("low", "", end_of_day(min(first for _, first in low) - 1, zone) + 1, every, certain=False)


def _was_out(
    outage: Outage,
    kind: str,
    counts: dict[int, int],
    closed: Callable[[int], bool],
    flagged: Collection[int],
    zone: str,
) -> bool:
    """Whether this kind's own volume was far out of its pattern when the outage began, and nothing has mended it since."""
    if outage.why == "late" or kind not in outage.kinds:
        return False
    return judge(counts, local_day(outage.began_at, zone), closed=closed, flagged=flagged).state in {"low", "high"}


def _together(kind: str, streams: list[Stream]) -> frozenset[str]:
    """The kinds that come by the same pull as this one, and so are missing with it."""
    return frozenset({kind}).union(*(one.feeds for one in streams if kind in one.feeds))


def _first_low(counts: dict[int, int], day: int, closed: Callable[[int], bool], flagged: Collection[int]) -> int:
    """The first of the days in a row, closed ones passed over, that were too low; the given one is the last of them."""
    first = day
    for before in range(day - 1, day - LOOKS_BACK, -1):
        if closed(before):
            continue
        if judge(counts, before, closed=closed, flagged=flagged).state != "low":
            break
        first = before
    return first


def _flagged(workspace: Workspace, source: str, today: int) -> dict[str, frozenset[int]]:
    """{kind: the days on which it was out of its pattern}, as outages were kept."""
    zone = workspace.time_zone
    found: dict[str, frozenset[int]] = {}
    since = (today - HISTORY - LOOKS_BACK) * DAY
    for row in workspace.store.rows(sql("guard", "outages_of"), {"source": source, "since": since}):
        first = local_day(row["began_at"], zone)
        last = today - 1 if row["ended_at"] is None else min(today - 1, local_day(row["ended_at"], zone))
        days = frozenset(range(first, last + 1))
        for kind in json.loads(row["kinds"]):
            found[kind] = found.get(kind, frozenset()) | days
        if today - first > ACCEPTED_AFTER:
            volumes = volumes_of(workspace.store, source, first)
            for kind in json.loads(row["kinds"]):
                found[kind] -= volumes.get(kind, {}).keys()
    return found


def _closed(named: Collection[str]) -> Callable[[int], bool]:
    """Whether a day, by its number, is one on which the business is closed."""

    def closed(day: int) -> bool:
        one = date(1970, 1, 1) + timedelta(days=day)
        return one.isoformat() in named or f"{one:%A}".lower() in named

    return closed


# -- what is kept and told --------------------------------------------------------------------------------------------


def _follow(workspace: Workspace, source: str, outage: Outage | None, ill: _Ill, now: int) -> None:
    """Open an outage or keep it up, and put the one notice once it is certain."""
    store = workspace.store
    kinds = json.dumps(sorted(ill.kinds))
    if outage is None:
        outage_id, noticed_at = new_id("out"), now if ill.certain else None
        store.run(
            sql("guard", "open_outage"),
            {
                "id": outage_id, "source": source, "kinds": kinds, "why": ill.why, "seen": ill.seen,
                "began_at": ill.since, "now": now, "noticed_at": noticed_at, "heard": new_id("fct"),
            },
        )  # fmt: skip
        newly = noticed_at is not None
    else:
        outage_id = outage.id
        newly = outage.noticed_at is None and ill.certain
        binds = {"id": outage_id, "kinds": kinds, "noticed_at": now if newly else outage.noticed_at}
        store.run(sql("guard", "follow_outage"), binds)
    if newly:
        found = store.row(sql("guard", "outage"), {"id": outage_id})
        if found is not None:
            _tell(workspace, _outage(found), now)


def _tell(workspace: Workspace, outage: Outage, now: int) -> None:
    title = f"{workspace.connected[outage.source].integration.title if outage.source in workspace.connected else 'Your product'} {WHY[outage.why]}"
    binds = {"key": f"outage:{outage.id}", "title": title, "text": told(workspace, outage), "now": now}
    workspace.store.run(sql("guard", "put_notice"), binds)


def told(workspace: Workspace, outage: Outage) -> str:
    """What the operator must know of it: since when, what freezes, what stops, and what to do."""
    every = workspace.deck.cards.values()
    named = {(name, kinds_of(card, [name])) for card in every for name, one in card.measures.items() if not one.spoken}
    measures = sorted({name for name, kinds in named if kinds & outage.kinds})
    resting = {
        play for card in every for play, kinds in rests_on(card, workspace.plays).items() if kinds & outage.kinds
    }
    stopped = sorted(resting)
    frozen = ", ".join(name.replace("_", " ") for name in measures)
    plays = ", ".join(name.replace("-", " ") for name in stopped)
    lines = [
        f"{outage.source}: {outage.seen}. Since {day_text(local_day(outage.began_at, workspace.time_zone))}.",
        f"Frozen at what was last known: {frozen or 'nothing'}. No band turns worse because of it.",
        f"Waiting until it is back: {plays or 'nothing'}.",
        _CURES[outage.why],
    ]
    return "\n".join(lines)


_CURES: Final = {
    "late": "To do: see what keepwell check says, and whether the vendor or the key has a problem.",
    "low": "To do: see whether the product, Make or Zapier still send; if you were closed, name the day in closed_days.",
    "high": "To do: look for duplicates or test data in what was sent, and take it back there.",
}


def _end(workspace: Workspace, outage: Outage, now: int) -> None:
    """It is well again: a notice that has not left by now is no longer needed."""
    workspace.store.run(sql("guard", "end_outage"), {"id": outage.id, "now": now})
    workspace.store.run(sql("guard", "past_notice"), {"key": f"outage:{outage.id}"})


def _outage(row: Row) -> Outage:
    return Outage(
        row["id"], row["source"], frozenset(json.loads(row["kinds"])), row["why"], row["seen"], row["began_at"],
        row["noticed_at"], row["ended_at"], row["heard"],
    )  # fmt: skip
