"""What a changed card would have done: what a preview tells, how it is counted, and its words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from worker.lib.rounding import half_up, plain
from worker.review.words import customers
from worker.scoring import explain
from worker.scoring.card import Card
from worker.scoring.flaps import BACK_WITHIN
from worker.scoring.score import Assessment


@dataclass(frozen=True, slots=True)
class Side:
    """How everybody would have fared under one card."""

    card: str
    version: str
    bands: dict[str, int]
    """band -> customers at the end, best first, grey last."""
    changes: int
    """How often a band turned in these days."""
    flaps: int
    """Turns that were taken back within 14 days."""
    flaps_per_100: str
    """Customers."""
    alerts: int
    """Turns for the worse."""
    alerts_at_once: int
    """Those there would have been without the card's patience, its points and days past the line."""
    plays: dict[str, int]
    """play -> how often it would have been set off by a band or a signal, before consent, quiet hours and caps."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the difference between two scores of the same facts."""

    measure: str
    """"" for rules, limits, a bonus and rounding together."""
    points: str
    """What it adds to the score, to the last decimal."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A customer who would stand in another band."""

    customer_id: str
    name: str
    before: str
    after: str
    score_before: str
    """Whole points; "" while unknown."""
    score_after: str
    why: tuple[str, ...]
    """What each card makes of the same facts, the largest difference first."""
    ledger: tuple[Part, ...]
    """The difference of the scores, split exactly, the largest part first; none where a score is unknown."""
    plays: tuple[str, ...]
    """What the turn would set off."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """A customer who left: for how many days in a row, up to the last, they had been in the worst band."""

    customer_id: str
    name: str
    on: str
    """The local day they left: 2026-01-31."""
    before: int
    after: int
    at_once: int
    """Under the new card, were it without patience."""


@dataclass(frozen=True, slots=True)
class Writes:
    """What showing the changed standings in the CRM would take."""

    contacts: int
    tags: int
    """Contacts whose tag changes: one is put on, one taken off."""
    fields: int
    """Fields that are written."""
    calls: int
    """About how many calls to the CRM."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch_only measure of the new card, and what it would have changed had it counted for a tenth of the score."""

    measure: str
    bands: int
    """Customers who would be in another band."""
    points: str
    """By how many points a score would have moved, on average."""


@dataclass(frozen=True, slots=True)
class Preview:
    """All of it, ready for a terminal, a page and JSON."""

    business: str
    file: str
    since: str
    until: str
    """Local days, both included."""
    days: int
    customers: int
    before: Side
    after: Side
    turned: tuple[Turned, ...]
    farewells: tuple[Farewell, ...]
    writes: Writes
    watched: tuple[Watched, ...]
    remarks: tuple[str, ...] = ()
    """What makes all this less sure."""

    @property
    def days_won(self) -> int:
        """Days of warning before known departures: won, or lost where it is below 0."""
        return sum(one.after - one.before for one in self.farewells)


# -- counting ---------------------------------------------------------------------------------------------------------


def in_a_row(bands: Sequence[str], band: str) -> int:
    """For how many days, up to the last, that was the band."""
    found = 0
    for one in reversed(bands):
        if one != band:
            break
        found += 1
    return found


def per_100(count: int, of: int) -> str:
    """For each 100 customers, one decimal."""
    return plain(half_up(Decimal(count * 100) / of, 1)) if of else "0"


def ledger(was: Assessment, now: Assessment) -> tuple[Part, ...]:
    """What each measure costs less, or more, under another card; what is left is not any one measure's."""
    if was.score is None or now.score is None:
        return ()
    moved = {name: -difference for name, difference in _costs(was, now).items()}
    rest = now.score - was.score - sum(moved.values(), Decimal(0))
    parts = [("", rest), *moved.items()]
    return tuple(
        Part(name, plain(points)) for name, points in sorted(parts, key=lambda one: (-abs(one[1]), one[0])) if points
    )


def _costs(was: Assessment, now: Assessment) -> dict[str, Decimal]:
    """By how much each measure costs more."""
    old = {one.measure: one.points_lost for one in was.drivers}
    new = {one.measure: one.points_lost for one in now.drivers}
    return {name: new.get(name, Decimal(0)) - old.get(name, Decimal(0)) for name in sorted(old.keys() | new.keys())}


def differences(old: Card, was: Assessment, new: Card, now: Assessment) -> Iterator[str]:
    """Why two cards say different things of the same facts: rules first, then what each measure costs."""
    for name in now.rules:
        if name not in was.rules:
            yield f"rule: {new.rules[name].because or name}"
    for name in was.rules:
        if name not in now.rules:
            yield f"no longer a rule: {old.rules[name].because or name}"
    cost_old = {one.measure: one.points_lost for one in was.drivers}
    cost_new = {one.measure: one.points_lost for one in now.drivers}
    zero = Decimal(0)
    for name, difference in sorted(_costs(was, now).items(), key=lambda one: (-abs(one[1]), one[0])):
        if abs(half_up(difference)) >= 1:
            card, found = (new, now) if name in now.measures else (old, was)
            words = explain.measure_in_words(card, name, found.measures[name].reading)
            yield (
                f"{words}; costs {plain(half_up(cost_new.get(name, zero)))}, "
                f"under the present card {plain(half_up(cost_old.get(name, zero)))}"
            )


# -- words ------------------------------------------------------------------------------------------------------------


def headline(found: Preview) -> list[str]:
    """The first lines."""
    return [
        f"{found.file} against the present card “{found.before.card}”, lived through {found.since} to {found.until}",
        f"{customers(found.customers)}; {len(found.turned)} would stand in another band. Nothing was written.",
    ]


BAND_HEADERS = ("band", "present", "new", "difference")


def band_table(found: Preview) -> list[tuple[str, int, int, str]]:
    """The distribution at the end, under either card."""
    names = dict.fromkeys([*found.after.bands, *found.before.bands])
    rows = []
    for name in names:
        now, then = found.before.bands.get(name, 0), found.after.bands.get(name, 0)
        rows.append((name, now, then, f"{then - now:+d}" if then != now else ""))
    return rows


TURNED_HEADERS = ("customer", "present", "new", "why")


def turned_table(found: Preview, most: int) -> list[tuple[str, str, str, str]]:
    """Who would stand in another band."""
    return [
        (one.name or one.customer_id, f"{one.before} {one.score_before}".strip(), f"{one.after} {one.score_after}".strip(),
         one.why[0] if one.why else "")
        for one in found.turned[:most]
    ]  # fmt: skip


def the_rest(found: Preview) -> list[str]:
    """The other lines."""
    before, after = found.before, found.after
    lines = [
        turned(found),
        flapped(found),
        patience(found),
        warned(found),
        *played(before.plays, after.plays),
        written(found.writes),
    ]
    lines += [
        f"watched: {one.measure} as a tenth of the score would put {customers(one.bands)} into another band and move a "
        f"score by {one.points} points on average"
        for one in found.watched
    ]
    return [*lines, *found.remarks]


def turned(found: Preview) -> str:
    """How often bands turned."""
    return (
        f"bands turned {found.before.changes} times under the present card, {found.after.changes} times under the new"
    )


def flapped(found: Preview) -> str:
    """How often they turned back."""
    return (
        f"turns taken back within {BACK_WITHIN} days, for each 100 customers: {found.before.flaps_per_100} under the "
        f"present card, {found.after.flaps_per_100} under the new"
    )


def patience(found: Preview) -> str:
    """What the new card's points and days past the line spare, and what they cost."""
    side = found.after
    lost = sum(max(0, one.at_once - one.after) for one in found.farewells)
    left = len(found.farewells)
    return (
        f"its patience spares {max(0, side.alerts_at_once - side.alerts)} of {side.alerts_at_once} turns for the worse, "
        f"and costs {lost} {'day' if lost == 1 else 'days'} of warning before {left} {'departure' if left == 1 else 'departures'}"
    )


def warned(found: Preview) -> str:
    """Days of warning, in one sentence."""
    count = len(found.farewells)
    if not count:
        return "nobody is known to have left in these days, so nothing can be said about warning"
    won = found.days_won
    word = (
        f"{won} days of warning won" if won > 0 else (f"{-won} days of warning lost" if won else "no day won or lost")
    )
    return f"{customers(count)} left in these days: {word} in all, counted as days in the worst band up to the last"


def played(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """What would have been sent, play by play."""
    names = sorted(before.keys() | after.keys())
    if not names:
        return ["no play would have been set off by a band or a signal, under either card"]
    return [
        f"play {name}: set off {before.get(name, 0)} times under the present card, {after.get(name, 0)} times under the new"
        for name in names
    ]


def written(writes: Writes) -> str:
    """What the CRM would have to take."""
    if not writes.contacts:
        return "nothing would have to be written to the CRM"
    return (
        f"to be written to the CRM: {writes.contacts} contacts, {writes.tags} tags turned, {writes.fields} fields; "
        f"about {writes.calls} calls"
    )
