"""One business, put together: its config, store and clock, the vendors it is connected to, its card, plays and mails."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar, cast

from itsdangerous import BadSignature, URLSafeSerializer

from integrations import csv
from worker import cards, registry
from worker.config import Config
from worker.config import load as load_config
from worker.dispatch.letters import ALWAYS, Sender, Templates
from worker.dispatch.links import Tracking
from worker.facts import Delivery, Parsed
from worker.intake import events, followed, imports, pulses
from worker.integration import Alerter, Crm, CrmIds, CrmNames, Desk, History, Mailer
from worker.lib import assets
from worker.lib.clock import DAY, HOUR, Clock, SystemClock, VirtualClock, day_number
from worker.lib.http import Http
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell
from worker.lib.store import Store, open_store, sql
from worker.plays import cases, modes, rules
from worker.plays import files as play_files
from worker.plays import records as switches
from worker.plays.arbiter import Rules
from worker.plays.people import Colleague, People
from worker.plays.records import switch
from worker.plays.worth import Worth
from worker.registry import Connected
from worker.scoring.card import GREY, Card
from worker.scoring.choice import Deck, deck_of
from worker.scoring.measures import Sources

_T = TypeVar("_T")

CLOCK_STANDS: Final = "clock_stands_at"
"""The switch of a demo that was kept: the moment at which its time stands still, so that its days stay the last ones."""

_BY_HAND: Final[ContextVar[bool]] = ContextVar("by_hand", default=False)
"""Whether a person has just asked, in this thread, for the very writing that is about to happen."""

QUIET_AFTER = 6 * HOUR
"""A pull that has not succeeded for so long, or for four of its turns, makes its source count as down."""


@dataclass(frozen=True, slots=True)
class Stream:
    """How one pull stands."""

    source: str
    name: str
    feeds: tuple[str, ...]
    """The kinds of fact that it brings."""
    succeeded_at: int | None
    """None before the first success."""
    failed_at: int | None
    """The last try, if that failed."""
    reason: str
    quiet: bool
    """It has not succeeded for so long that its source counts as down."""
    missed: bool
    """Its last try failed, or it is overdue."""


@dataclass
class Workspace:
    """Everything that the joiners hand to the stations."""

    config: Config
    store: Store
    clock: Clock
    connected: Mapping[str, Connected]
    deck: Deck
    """The scorecards: one, or several and whom each is for."""
    plays: Mapping[str, play_files.Play]
    templates: Templates
    files: cards.Files = field(default_factory=dict)
    """The scorecards as they were read."""

    def __post_init__(self) -> None:
        """Close the one seam to the outside for as long as nothing may leave, whoever calls it, and be it by mistake."""
        for one in self.connected.values():
            if one.http is not None:
                one.http.hold = self.holds

    # -- what may leave -----------------------------------------------------------------------------------------------

    def holds(self) -> str:
        """Why no call that changes something may begin now, "" where it may. Asked before every one: one small query."""
        if _BY_HAND.get():
            return ""
        found = {row["name"]: row["value"] for row in self.store.rows(sql("house", "gate"))}
        if found.get("paused") == "yes":
            return "everything outward is paused"
        mode = found.get("mode", modes.WATCH)
        return "" if modes.lets_out(mode) else f"the workspace is in {mode}"

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Let this thread write whatever the mode, paused or not: a person asks for just this."""
        token = _BY_HAND.set(True)
        try:
            yield
        finally:
            _BY_HAND.reset(token)

    # -- what the config says, in the stations' words -----------------------------------------------------------------

    @property
    def mode(self) -> str:
        """watch, draft, approve or live; a new workspace watches."""
        return switch(self.store, "mode", "watch")

    @property
    def released(self) -> frozenset[str]:
        """The kinds of act that a person has released, for `approve`."""
        return frozenset(row["kind"] for row in self.store.rows(sql("dispatch", "releases")))

    def may_leave(self, kind: str) -> bool:
        """Whether an act of this kind may leave in this mode, as things are released."""
        return modes.may_leave(self.mode, self.released, kind)

    @property
    def places(self) -> list[str]:
        """The places in the CRM that are ours, as kinds of act: `tag:green`, `field:score` …"""
        return modes.places(list(self.config.crm.tags), list(self.config.crm.fields))

    @property
    def paused(self) -> bool:
        """Whether everything outward waits."""
        return switch(self.store, "paused") == "yes"

    @property
    def time_zone(self) -> str:
        """Where days begin and end for customers who have no zone of their own."""
        return self.config.workspace.time_zone

    @property
    def limits(self) -> Rules:
        """The arbiter's limits."""
        workspace, outreach, approval = self.config.workspace, self.config.outreach, self.config.approval
        return Rules(
            one_mail_every=outreach.one_mail_every, most_in_30_days=outreach.most_in_30_days,
            quiet_from=workspace.quiet_from, quiet_until=workspace.quiet_until, urgent_labels=outreach.urgent_labels,
            closed_days=workspace.closed_days, only_to=outreach.only_to, internal=outreach.internal, stop_tags=outreach.stop_tags,
            after_person=outreach.after_person, after_refund=outreach.after_refund,
            known_at_least=outreach.known_at_least, service_needs_opt_in=outreach.service_needs_opt_in,
            ranks={name: rules.rank(play) for name, play in self.plays.items()},
            approve_first=approval.first, approve_bands=approval.bands, approve_worth_from=approval.worth_from,
            approve_all=approval.all, check_sender=outreach.check_sender and outreach.mailer != "console",
            worth=self.worth,
            alarm=cases.fleet_alarm(self.store, outreach.hold_when_turned, int(self.clock.now())),
        )  # fmt: skip

    @property
    def worth(self) -> Worth:
        """How worth is counted."""
        one = self.config.worth
        rates = sorted(
            (day_number(day) * DAY, {currency.lower(): rate for currency, rate in told.items()})
            for day, told in one.rates.items()
        )  # fmt: skip
        return Worth(one.currency.lower(), tuple(rates), one.person_from, one.person_from_by_segment)

    @property
    def people(self) -> People:
        """Our people: who stands in for whom, and how much a day holds."""
        team = self.config.team
        found = {
            user_id: Colleague(
                one.name, one.email, one.deputy,
                tuple((day_number(first), day_number(last)) for first, last in (away.split(" to ") for away in one.away)),
                one.tasks_a_day,
            )
            for user_id, one in team.people.items()
        }  # fmt: skip
        return People(found, team.tasks_a_day, team.fallback)

    @property
    def sender(self) -> Sender:
        """Who writes the mails."""
        one = self.config.workspace
        return Sender(
            one.name, one.sender_name or one.name, one.sender_address or "keepwell@localhost.invalid",
            one.reply_to or one.sender_address, one.postal_address, one.public_url,
        )  # fmt: skip

    # -- roles --------------------------------------------------------------------------------------------------------

    @property
    def crm_source(self) -> str:
        """The name of the integration that is the CRM."""
        return self.config.crm.source

    @property
    def crm(self) -> Crm | None:
        """The CRM, where one is set up."""
        found = self.connected.get(self.crm_source)
        if found is None or found.integration.crm is None:
            return None
        return found.integration.crm(cast("Http", found.http), found.settings, self.clock)

    @property
    def crm_names(self) -> CrmNames:
        """What our things in the CRM are called."""
        return CrmNames(tags=self.config.crm.tags, fields=self.config.crm.fields)

    def crm_ids(self, crm: Crm) -> CrmIds:
        """Our things in the CRM by its ids: found or created the first time, remembered afterwards."""
        making = switch(self.store, self._crm_making, "[]")
        known = replace(self.known_crm_ids or CrmIds({}, {}), making=json.loads(making))
        ids = crm.find_or_create(self.crm_names, adopt=self.config.crm.adopt, known=known, begin=self._begin_crm_ids)
        if ids != known:
            said = {"tags": dict(ids.tags), "fields": dict(ids.fields), "made": ids.made}
            text = json.dumps(said, sort_keys=True)
            with self.store.atomic():
                switches.set_switch(self.store, self._crm_ids, text, int(self.clock.now()))
                self._begin_crm_ids(())
        return ids

    def _begin_crm_ids(self, making: Collection[str]) -> None:
        """Remember what is about to be made in the CRM: a crash in the midst must not make it somebody else's."""
        switches.set_switch(self.store, self._crm_making, json.dumps([*making]), int(self.clock.now()))

    @property
    def _crm_making(self) -> str:
        return f"crm_making:{self.crm_source}"

    @property
    def _crm_ids(self) -> str:
        return f"crm_ids:{self.crm_source}"

    @property
    def known_crm_ids(self) -> CrmIds | None:
        """Our things in the CRM as we remember them; None before the first were found or made. Asks nobody."""
        kept = switch(self.store, self._crm_ids)
        return CrmIds(**json.loads(kept)) if kept else None

    @property
    def pulse_field(self) -> str:
        """The switch that holds the CRM's id of the field in which pulses are noted, once it has been found."""
        return f"pulse_field:{self.crm_source}:{self.config.crm.pulse_field}"

    def find_pulse_field(self) -> str:
        """Ask the CRM for the field that the config names, unless it is known; gives what is wrong, "" for nothing.

        Raises lib.http's Failure kinds.
        """
        label, crm = self.config.crm.pulse_field, self.crm
        if not label or crm is None or switch(self.store, self.pulse_field):
            return ""
        field_id = crm.field_called(label)
        if not field_id:
            return f"the contacts have no custom field {label!r}, or several; see pulse_field in [crm] of config.toml"
        switches.set_switch(self.store, self.pulse_field, field_id, int(self.clock.now()))
        return ""

    @property
    def mailer(self) -> Mailer | None:
        """The channel for mail."""
        found = self.connected.get(self.config.outreach.mailer)
        if found is None or found.integration.mailer is None:
            return None
        return found.integration.mailer(cast("Http", found.http), found.settings, self.clock)

    @property
    def texter(self) -> Mailer | None:
        """The channel for text messages, where one is set up."""
        found = self.connected.get(self.config.outreach.texter)
        if found is None or found.integration.texter is None:
            return None
        return found.integration.texter(cast("Http", found.http), found.settings, self.clock)

    @property
    def history(self) -> History | None:
        """The CRM's own history, for mails that left by another way; None where there are none such, or it keeps none."""
        found = self.connected.get(self.crm_source)
        elsewhere = self.config.outreach.mailer not in {self.crm_source, "console"}  # which only shows them
        if found is None or found.integration.history is None or not elsewhere:
            return None
        return found.integration.history(cast("Http", found.http), found.settings, self.clock)

    @property
    def tells_crm(self) -> bool:
        """Whether the CRM's own history is to be told of what has left."""
        return self.config.crm.log_mails and self.history is not None

    @property
    def desk(self) -> Desk | None:
        """Where our people find their tasks: the CRM, unless the config names another."""
        found = self.connected.get(self.config.outreach.desk or self.crm_source)
        if found is None or found.integration.desk is None:
            return None
        return found.integration.desk(cast("Http", found.http), found.settings, self.clock)

    @property
    def alerter(self) -> Alerter | None:
        """Where the team reads."""
        found = self.connected.get(self.config.outreach.alerts)
        if found is None or found.integration.alerter is None:
            return None
        return found.integration.alerter(
            cast("Http", found.http), found.settings
        )  # one without a connection wants none

    # -- parsing and sources ------------------------------------------------------------------------------------------

    def parse(self, delivery: Delivery) -> Parsed:
        """What a delivery says, by the one who knows its source. Raises ValueError where nobody does."""
        if delivery.stream == imports.STREAM:  # by its mapping, whatever that calls itself
            return csv.parse(delivery)
        if delivery.source == events.SOURCE:
            return events.parse(delivery)
        if delivery.source == pulses.SOURCE:
            return pulses.parse(delivery)
        if delivery.source == followed.SOURCE:
            return followed.parse(delivery)
        found = self.connected.get(delivery.source)
        if found is None or found.integration.parse is None:
            raise ValueError(f"no integration {delivery.source!r} is set up that could read this")
        parsed = found.integration.parse(delivery, found.settings)
        field_id = switch(self.store, self.pulse_field) if delivery.source == self.crm_source else ""
        if not field_id:
            return parsed
        return pulses.seen_in_crm(self.store, delivery.source, found.integration.title, field_id, parsed)

    def sources(self, now: int, as_of: int | None = None) -> Sources:
        """Which kinds of fact can be known at all, and which not at the moment because their source is quiet.

        Of what is heard from no pull, nothing was known before its first fact: `as_of` says when, nothing means now.
        """
        binds = {"as_of": now if as_of is None else as_of}
        connected: set[str] = {row["kind"] for row in self.store.rows(sql("house", "kinds_heard"), binds)}
        well: set[str] = set()
        quiet: set[str] = set()
        for one in self.connected.values():
            connected |= {*one.integration.feeds}
        for stream in self.streams(now):
            connected |= {*stream.feeds}
            if stream.succeeded_at is not None:
                (quiet if stream.quiet else well).update(stream.feeds)
        return Sources(connected=frozenset(connected), down=frozenset(quiet - well) | self.not_coming_in)

    @property
    def not_coming_in(self) -> frozenset[str]:
        """The kinds of fact that an outage of their source keeps from us (worker/guard.py)."""
        rows = self.store.rows(sql("guard", "open_outages"))
        return frozenset(kind for row in rows for kind in json.loads(row["kinds"]))

    def unsure(self, now: int) -> dict[str, int]:
        """The kinds whose pulls have just missed, and until when they are known: not for a day that begins later."""
        found: dict[str, int] = {}
        for stream in self.streams(now):
            if stream.succeeded_at is not None and stream.missed:
                for kind in stream.feeds:
                    found[kind] = min(stream.succeeded_at, found.get(kind, stream.succeeded_at))
        return found

    def streams(self, now: int) -> list[Stream]:
        """How every pull stands."""
        every = self.config.schedule.pull_every
        found = []
        for name, one in self.connected.items():
            for pull in one.integration.pulls:
                stands = self.store.row(sql("intake", "cursor"), {"source": name, "stream": pull.stream}) or {}
                last, failed_at = stands.get("succeeded_at"), stands.get("failed_at")
                waited = now - last if last is not None else 0
                found.append(
                    Stream(
                        name, pull.stream, pull.feeds, last, failed_at, stands.get("reason") or "",
                        quiet=waited > max(QUIET_AFTER, 4 * every),
                        missed=(waited > 0 and failed_at is not None) or waited > 2 * every,
                    )
                )  # fmt: skip
        return found

    # -- signing ------------------------------------------------------------------------------------------------------

    def sign(self, effect_id: str) -> str:
        """The token of an unsubscribe address: it names one mail, and nobody can make another."""
        token = self.signer("unsubscribe").dumps(effect_id)
        return token if isinstance(token, str) else token.decode()

    def signed(self, token: str) -> str | None:
        """The effect that a token names, None for a forged one."""
        try:
            return str(self.signer("unsubscribe").loads(token))
        except BadSignature:
            return None

    def tracked(self, token: str) -> str | None:
        """The link, or the mail whose picture it is, that a token names; None for a forged one."""
        try:
            return str(self.signer("links").loads(token))
        except BadSignature:
            return None

    @property
    def tracking(self) -> Tracking | None:
        """What is to be known of mails that have left; None for nothing, as it is unless somebody wants it."""
        settings = self.config.outreach
        if not settings.track_clicks and not settings.track_opens:
            return None
        signer = self.signer("links")
        return Tracking(
            settings.track_clicks, settings.track_opens, self.config.workspace.public_url,
            lambda named: str(signer.dumps(named)),
        )  # fmt: skip

    def signer(self, purpose: str) -> URLSafeSerializer:
        """Signs for one purpose: what it has signed is worth nothing for another."""
        key = switch(self.store, "signing_key")
        if not key:
            self.store.run(sql("house", "set_once"), {"name": "signing_key", "value": secrets.token_hex(32)})
            key = switch(self.store, "signing_key")
        return URLSafeSerializer(key, salt=purpose)

    def take_up(self) -> None:
        """Let another version of the scorecard count, where one was activated since it was read."""
        counts = cards.active(self.store)
        if counts is not None and counts.version != self.deck.version:
            self.deck, self.files = deck_of(counts.files), counts.files

    @property
    def card(self) -> Card:
        """The scorecard for whoever no other is for; where there is one, the one. All share the bands' names."""
        return self.deck.main

    def card_of(self, version: str) -> Card:
        """The scorecard that made a score, the present main one where it is of another time."""
        return self.deck.card_of(version) or self.card

    def close(self) -> None:
        """Let go of the vendors' connections and of this thread's database connection."""
        for one in self.connected.values():
            if one.http is not None:
                one.http.close()
        self.store.close()


def open_workspace(folder: Path, environ: Mapping[str, str], clock: Clock | None = None) -> Workspace:
    """Open a business's folder. Raises Problems with every mistake of config, card, plays and templates at once.

    The tables must be up to date (`keepwell migrate`); raises StoreError otherwise.
    """
    config = load_config(folder, environ)
    problems: list[Problem] = []

    def gather(make: Callable[[], _T]) -> _T | None:
        try:
            return make()
        except Problems as found:
            problems.extend(found.problems)
            return None

    store = open_store(config.database, schema=config.workspace.database_schema)
    counts = None if store.pending_migrations() else cards.active(store)
    files = counts.files if counts else gather(lambda: cards.read_files(config.scorecard)) or {}
    deck = gather(lambda: deck_of(files)) if files else None
    plays = gather(lambda: play_files.load(config.plays.glob("*.toml")))
    own = folder / "templates" / "email"
    templates = gather(lambda: Templates([assets.folder("templates") / "email", *([own] if own.is_dir() else [])]))
    if plays is not None and templates is not None:
        problems.extend(play_files.templates_missing(plays, templates.by_name))
    if templates is not None:
        problems.extend(play_files.unknown_needs(templates.by_name, ALWAYS))
    if deck is not None and plays is not None:
        problems.extend(_other_bands(deck))
        for file, card in deck.cards.items():
            problems.extend(unfit(card, plays, config, f"{file} (version {counts.number})" if counts else file))
    if problems or deck is None or plays is None or templates is None:
        store.close()
        raise Problems(problems)
    clock = clock or _clock(store)
    return Workspace(config, store, clock, registry.connect(config, clock), deck, plays, templates, files)


def _clock(store: Store) -> Clock:
    stands_at = "" if store.pending_migrations() else switch(store, CLOCK_STANDS)
    return VirtualClock(int(stands_at)) if stands_at else SystemClock()


def unfit(card: Card, plays: Mapping[str, play_files.Play], config: Config, file: str) -> list[Problem]:
    """Where card and plays wait for what the other does not have; `file` is the card's name for people."""
    found = _unanswered(card, plays, file)
    if config.workspace.plays:  # those that ship wait for what a card of one's own need not have
        found += play_files.unheard_of(plays, {*card.order, GREY}, card.signals)
    return found


def _other_bands(deck: Deck) -> list[Problem]:
    """Cards of one folder that name other bands than the main one: tags, pages and plays know only one set."""
    wanted = deck.main.order
    return [
        Problem(file, 0, "bands", f"names {', '.join(card.order)}", f"use those of the main card: {', '.join(wanted)}")
        for file, card in deck.cards.items()
        if card.order != wanted
    ]


def _unanswered(card: Card, plays: Mapping[str, play_files.Play], file: str) -> list[Problem]:
    """Measures and signals that name a play which does not exist."""
    named = [(f"measures.{name}.do", one.do) for name, one in card.measures.items()]
    named += [(f"signals.{name}.do", one.do) for name, one in card.signals.items()]
    return [
        Problem(file, 0, key, f"there is no play {play!r}", spell(play, plays))
        for key, play in named
        if play and play not in plays
    ]
