"""`keepwell lookback`: backfill, score the past as it was known, ask the plays, and tell who left and who stayed.

It only reads: pulls are the only calls that are made, and neither scores nor effects are kept.

What cannot be had as it was known then, and is taken as we know it today: who is one customer (a merge counts from the
beginning), the time zone in which their days begin, and the plays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from worker import river
from worker.assess import shown_score
from worker.lib import assets
from worker.lib.clock import DAY, day_number, day_text, end_of_day, local_day, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.store import Row
from worker.plays import files, rules
from worker.plays.records import NEWS_DAYS
from worker.review import lookback as tally
from worker.review import records, words
from worker.review.lookback import BEFORE, Act, Left, LookBack, Square, Stayed, View
from worker.review.past import Asked, Departure, Past
from worker.scoring import bands
from worker.scoring.card import GREY, Card
from worker.scoring.choice import Deck, load_deck
from worker.scoring.measures import Sources
from worker.scoring.score import Assessment
from worker.web.reports import page
from worker.web.words import look as band_look
from worker.workspace import QUIET_AFTER, Workspace

WALK: Final = 120
"""How many days before a departure the walk begins: earlier than the first day told, to see the turns that led there."""
WEEK: Final = 7
"""Everybody is looked at once in so many days."""
VALUE_DAYS: Final = 90
"""What a customer paid in so many days is what they are worth here."""
SILENT: Final = 14 * DAY
"""Where nothing was heard of anybody for so long, the data end before the period does."""
STOOD_STILL: Final = 2 * DAY
"""A source whose pulls had not gone well for so long by the end of a day could not be known on that day."""

Progress = Callable[[int], None]
"""Told how many of the `steps` are done."""


def _quietly(done: int) -> None:
    """Tell nobody."""


def steps(days: int) -> int:
    """How many passes over the customers a look-back makes."""
    return WALK + _weeks(days)


def _weeks(days: int) -> int:
    return max(1, days // WEEK)


# -- reading ----------------------------------------------------------------------------------------------------------


def backfill(workspace: Workspace) -> dict[str, str]:
    """Pull all there is to know and take it in: reading calls only. Gives "keap contacts" -> why it broke off.

    The caller holds the leases of pull and wheel.
    """
    fetched = river.fetch(workspace)
    while river.take_in(workspace, kind="lookback", pulls=False).taken.deliveries:
        pass
    return fetched.troubles


def recipe(name: str) -> Deck:
    """A card of ours by its name, or a card's file, or a folder of cards. Raises Problems."""
    path = Path(name)
    if path.is_dir():
        return load_deck(path)
    if path.suffix != ".toml":
        ours = {one.stem: one for one in (assets.folder("recipes") / "scorecards").glob("*.toml")}
        if name not in ours:
            cure = f"{spell(name, ours)}; or name a file that ends in .toml, or a folder of cards"
            raise Problems([Problem("--recipe", 0, "", f"there is no recipe {name!r}", cure)])
        path = ours[name]
    return load_deck(path)


def known_sources(workspace: Workspace) -> Callable[[int], Sources]:
    """What could be known at all at a moment: by the facts known then, the pulls that had run, and the source guard."""
    kinds, successes = records.kinds_known(workspace.store), records.successes(workspace.store)
    outages = records.outages(workspace.store)
    fed: dict[str, tuple[str, ...]] = {}
    feeds: set[str] = set()
    for name, one in workspace.connected.items():
        feeds |= {*one.integration.feeds}
        for pull in one.integration.pulls:
            feeds |= {*pull.feeds}
            fed[f"{name} {pull.stream}"] = pull.feeds
    limit = max(STOOD_STILL, QUIET_AFTER, 4 * workspace.config.schedule.pull_every)

    @cache
    def at(moment: int) -> Sources:
        well: set[str] = set()
        quiet: set[str] = set()
        for stream, kinds_fed in fed.items():
            place = bisect_right(successes.get(stream, []), moment)
            if place:  # before the first pull lies history, which that pull brought
                still = moment - successes[stream][place - 1] > limit
                (quiet if still else well).update(kinds_fed)
        heard = {kind for kind, since in kinds.items() if since <= moment}
        held_up = [held for held, begun, ended in outages if begun <= moment and (ended is None or moment < ended)]
        return Sources(frozenset(feeds | heard), frozenset(quiet - well).union(*held_up))

    return at


# -- looking back -----------------------------------------------------------------------------------------------------


def look_back(
    workspace: Workspace, deck: Deck, days: int, *, as_of: str = "", troubles: Mapping[str, str] | None = None,
    progress: Progress = _quietly,
) -> LookBack:  # fmt: skip
    """Who left in the last `days` days, and what the card would have said, from nothing that was not known by then.

    The days end now, or with the local day `as_of` (2026-01-31). Raises Problems for what is no day.
    """
    now = seconds(workspace.clock)
    if as_of:
        try:
            now = min(now, end_of_day(day_number(as_of), workspace.time_zone))
        except (ValueError, OverflowError):
            raise Problems([Problem("--as-of", 0, "", f"{as_of!r} is no day", "write it as 2026-01-31")]) from None
    return _LookingBack(workspace, deck, days, now, progress).tell(troubles or {})


@dataclass
class _Trail:
    """One who left by choice, on the way to the door."""

    past: Past
    departure: Departure
    day: int
    """The local day on which they left."""
    seen: dict[int, tuple[Card, Assessment]] = field(default_factory=dict)
    """Days before they left -> the card that was for them, and what it would have said."""
    standing: bands.Standing | None = None
    signals: frozenset[str] = frozenset()
    heard: int = 0
    red_for: int = 0
    """Days in a row in the worst band, up to the last that was looked at."""
    last_acts: dict[str, int] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)


@dataclass
class _Watch:
    """One customer, seen once a week."""

    seen: int = 0
    red: int = 0
    since: int = 0
    """The first day of the last time in the worst band, and its last."""
    until: int = 0
    why: tuple[str, ...] = ()
    band: str = ""


class _LookingBack:
    """One look-back: the walk before each departure, and the weeks of everybody."""

    def __init__(self, workspace: Workspace, deck: Deck, days: int, now: int, progress: Progress) -> None:
        self._workspace, self._days, self._progress = workspace, days, progress
        self._deck, self._order = deck, deck.main.order
        self._store = workspace.store
        self._now = now
        self._since = self._now - days * DAY
        self._sources = known_sources(workspace)
        self._pasts = records.pasts(self._store, self._now, workspace.time_zone)
        self._trails, self._otherwise = self._departures()
        listened = {play.when.fact for play in workspace.plays.values() if play.when.fact}
        self._news = records.news(self._store, listened, self._since - (WALK + NEWS_DAYS) * DAY, self._now)
        self._payments = records.payments(self._store, self._since - VALUE_DAYS * DAY, self._now)
        self._watches: dict[str, _Watch] = {}
        self._bands: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        """measure -> on how many of the days that were looked at a card asked it, and on how many it was known."""
        self._known: Counter[str] = Counter()
        self._weeks = _weeks(days)

    def tell(self, troubles: Mapping[str, str]) -> LookBack:
        """All of it."""
        for days in range(WALK, 0, -1):
            self._walk(days)
            self._progress(WALK - days + 1)
        for week in range(self._weeks - 1, -1, -1):
            self._look_at_everybody(week)
            self._progress(WALK + self._weeks - week)
        return self._told(troubles)

    def _departures(self) -> tuple[dict[str, _Trail], dict[str, str]]:
        """Who left by choice in the period (the last time they did); and who left otherwise, and how."""
        trails: dict[str, _Trail] = {}
        otherwise: dict[str, str] = {}
        by_choice = {outcome.removeprefix("left ") for outcome in self._deck.main.leaving} or {"by choice"}
        for past in self._pasts.values():
            gone = [one for one in past.departures() if one.at > self._since]
            chosen = [one for one in gone if one.how in by_choice]
            if chosen:
                day = local_day(chosen[-1].at, past.time_zone)
                trails[past.customer_id] = _Trail(past, chosen[-1], day)
            elif gone:
                otherwise[past.customer_id] = gone[-1].how or "it is not said how"
        return trails, otherwise

    # -- before each departure

    def _walk(self, days: int) -> None:
        """Look at everybody who left as they were at the end of the day so many days before."""
        asked = []
        for trail in self._trails.values():
            today = trail.day - days
            at = end_of_day(today, trail.past.time_zone)
            since = trail.past.since(at)
            if since is not None:
                asked.append(Asked(trail.past.customer_id, at, today, since))
        found = records.judged_by(self._store, self._deck, asked, self._sources)
        for one in asked:
            if one.customer_id in found:
                self._step(self._trails[one.customer_id], one, *found[one.customer_id], days)

    def _step(self, trail: _Trail, one: Asked, card: Card, assessment: Assessment, days: int) -> None:
        if days in BEFORE:
            trail.seen[days] = card, assessment
        trail.red_for = trail.red_for + 1 if assessment.band == self._order[-1] else 0
        previous = trail.standing
        trail.standing = bands.settle(card, previous, assessment, one.at, one.today)
        new_signals = frozenset(assessment.signals) - trail.signals
        new_facts = {
            row["kind"]: str(row["at"])
            for row in self._news.get(one.customer_id, ())
            if trail.heard < row["known_at"] <= one.at and row["at"] > one.at - NEWS_DAYS * DAY
        }
        trail.signals, trail.heard = frozenset(assessment.signals), one.at
        if days == WALK:
            return  # the first look is silent: everyone is newly something then
        turned = previous is not None and previous.band != trail.standing.band
        happening = rules.Happening(
            one.customer_id, trail.past.name, one.at, str(one.today), trail.standing.band,
            previous.band if previous and turned else "",
            answers=tuple(dict.fromkeys(do for driver in assessment.drivers if (do := _answer(card, driver.measure)))),
            new_signals=new_signals, new_facts=new_facts,
        )  # fmt: skip
        for play in self._workspace.plays.values():
            if rules.fires(play, happening) and _may_again(play, trail.last_acts.get(play.name), one.at):
                trail.last_acts[play.name] = one.at
                if days <= BEFORE[0]:
                    trail.acts.append(Act(day_text(one.today), days, play.name, play.title, _does(play)))

    # -- everybody, once a week

    def _look_at_everybody(self, weeks_ago: int) -> None:
        asked = []
        for past in self._pasts.values():
            today = local_day(self._now, past.time_zone) - 1 - weeks_ago * WEEK
            at = end_of_day(today, past.time_zone)
            trail = self._trails.get(past.customer_id)
            since = past.since(at)
            if since is not None and (trail is None or at < trail.departure.at):
                asked.append(Asked(past.customer_id, at, today, since))
        found = records.judged_by(self._store, self._deck, asked, self._sources)
        for one in asked:
            if one.customer_id in found:
                self._note(self._watches.setdefault(one.customer_id, _Watch()), one.today, *found[one.customer_id])

    def _note(self, watch: _Watch, today: int, card: Card, assessment: Assessment) -> None:
        self._bands[assessment.band] += 1
        self._asked.update([*card.measures])
        self._known.update(name for name, judged in assessment.measures.items() if judged.points is not None)
        worst = self._order[-1]
        watch.seen += 1
        if assessment.band == worst:
            if watch.band != worst:
                watch.since, watch.why = today, tally.why(card, assessment)
            watch.red += 1
            watch.until = today
        watch.band = assessment.band

    # -- telling

    def _told(self, troubles: Mapping[str, str]) -> LookBack:
        deck, card = self._deck, self._deck.main
        paid_before = {
            customer_id: self._paid(customer_id, trail.departure.at) for customer_id, trail in self._trails.items()
        }
        left = sorted(
            (self._left(trail, paid_before[trail.past.customer_id]) for trail in self._trails.values()),
            key=lambda one: (one.on, one.name, one.customer_id), reverse=True,
        )  # fmt: skip
        here = {
            customer_id: watch
            for customer_id, watch in self._watches.items()
            if customer_id not in self._trails and customer_id not in self._otherwise
        }
        red = {customer_id: watch for customer_id, watch in here.items() if watch.red}
        stayed = sorted(
            (self._stayed(customer_id, watch) for customer_id, watch in red.items()),
            key=lambda one: (-one.weeks, one.name, one.customer_id),
        )
        red_left = sum(one.ever_red for one in left)
        seen = sum(self._bands.values())
        today = local_day(self._now, self._workspace.time_zone)
        return LookBack(
            business=self._workspace.config.workspace.name,
            card=", ".join(one.name for one in deck.cards.values()), version=deck.version,
            since=day_text(today - self._days), until=day_text(today), days=self._days,
            best=card.order[0], worst=card.order[-1],
            left=tuple(left), left_otherwise=dict(sorted(Counter(self._otherwise.values()).items())),
            stayed=tuple(stayed), horizons=tally.horizons(card, left, paid_before),
            square=Square(red_left, len(red), len(left) - red_left, len(here) - len(red)),
            shares={band: words.percent(self._bands[band], seen) for band in tally.bands_of(card)},
            last_heard=self._last_heard(),
            mostly_grey=self._bands[GREY] * 2 >= seen > 0, average=round(seen / self._weeks),
            unseen={
                name.replace("_", " "): words.percent(self._known[name], self._asked[name])
                for each in deck.cards.values() for name, one in each.measures.items()
                if one.points is not None and not one.watch_only and self._known[name] * 2 < self._asked[name]
            },
            paid_left=tally.money(tally.total(paid_before.values())),
            paid_stayed=tally.money(tally.total(self._paid(customer_id, self._now) for customer_id in red)),
            troubles=dict(troubles),
        )  # fmt: skip

    def _last_heard(self) -> str:
        last = records.last_heard(self._store, self._now)
        if last is None or self._now - last <= SILENT:
            return ""
        return day_text(local_day(last, self._workspace.time_zone))

    def _left(self, trail: _Trail, paid: Mapping[str, int]) -> Left:
        watch, back_at = self._watches.get(trail.past.customer_id), trail.departure.back_at
        return Left(
            trail.past.customer_id, trail.past.name or trail.past.customer_id, day_text(trail.day),
            "" if back_at is None else day_text(local_day(back_at, trail.past.time_zone)), tally.money(paid),
            tuple(self._view(trail, days) for days in BEFORE), tuple(trail.acts), trail.red_for,
            watch is not None and watch.red > 0,
        )  # fmt: skip

    def _view(self, trail: _Trail, days: int) -> View:
        on = day_text(trail.day - days)
        if days not in trail.seen:
            return View(days, on, "", "", ())
        card, assessment = trail.seen[days]
        return View(days, on, assessment.band, shown_score(assessment), tally.why(card, assessment))

    def _stayed(self, customer_id: str, watch: _Watch) -> Stayed:
        still = watch.band == self._order[-1]
        return Stayed(
            customer_id, self._pasts[customer_id].name or customer_id, day_text(watch.since),
            "" if still else day_text(watch.until), watch.red, watch.why, tally.money(self._paid(customer_id, self._now)),
        )  # fmt: skip

    def _paid(self, customer_id: str, until: int) -> dict[str, int]:
        """currency -> millionths of what they paid in the 90 days before."""
        rows: Sequence[Row] = self._payments.get(customer_id, ())
        found: Counter[str] = Counter()
        for row in rows:
            if until - VALUE_DAYS * DAY < row["at"] <= until:
                found[row["label"]] += row["value"]
        return dict(found)


def _answer(card: Card, measure: str) -> str:
    return card.measures[measure].do if measure in card.measures else ""


def _may_again(play: files.Play, last: int | None, at: int) -> bool:
    return last is None or at - last >= play.at_most_every * DAY


def _does(play: files.Play) -> str:
    """`a mail to the customer and an alert to the team`."""
    parts = ["a mail to the customer"] if play.mail else []
    return " and ".join([*parts, *(["an alert to the team"] if play.alert else [])])


# -- telling ----------------------------------------------------------------------------------------------------------


def as_json(look: LookBack) -> dict[str, Any]:
    """All of it for a machine."""
    return {**asdict(look), "bearing": list(words.bearing(look)), "warnings": words.warnings(look)}


SHOWN: Final = 100
"""Of each side, on the page; JSON has all."""


def as_page(look: LookBack) -> str:
    """All of it as one HTML page that needs no other file, host or script."""
    filters = {
        "band": band_look, "money": words.money, "stood": words.stood, "customers": words.customers, "day": words.day,
    }  # fmt: skip
    return page(
        "report_lookback.html", filters, look=look, bearing=words.bearing(look), warnings=words.warnings(look),
        most=SHOWN, grey=GREY, before=BEFORE,
    )  # fmt: skip
