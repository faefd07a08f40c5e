"""Stations 2 and 3 for the customers that need it: decide, purely; then commit score, change and effects as one."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Final

from worker.dispatch import outbox
from worker.effects import Alert, Mail, Standing, Task
from worker.lib.clock import DAY, end_of_day, local_day
from worker.lib.ids import new_id
from worker.lib.rounding import half_up, plain
from worker.lib.store import Row, Store, sql
from worker.plays import arbiter, cases, modes, rules, trials
from worker.plays import records as plays
from worker.plays.files import Play, Template
from worker.plays.people import People
from worker.plays.worth import Worth
from worker.review import disagreement, opinions
from worker.scoring import bands, explain, ledger, measures, overrides, population, records
from worker.scoring.card import Card
from worker.scoring.choice import Deck
from worker.scoring.dealing import dealt
from worker.scoring.rests import below, names_in
from worker.scoring.score import Assessment, Override, assess

_HELD_OUT: Final = ("holdout", "kept apart, to see what this play does")

BATCH = 500
"""Customers that are read, judged and kept together: a transaction. Only so many are in memory."""

JUDGED_BY = "judged_by"
"""The switch that names the deck under which everybody was last looked at; under another all are due."""


USE: Final = frozenset({"usage", "login"})
"""The kinds of fact that show somebody in the product."""


@dataclass(frozen=True)
class Terms:
    """What the workspace says that an assessment must know."""

    deck: Deck
    plays: Mapping[str, Play]
    templates: Mapping[str, Template]
    limits: arbiter.Rules
    sources: measures.Sources
    time_zone: str
    crm: str
    write_when_moved: int
    public_url: str
    mode: str
    silent: bool
    """The first pass: everyone is newly something, and that is no news."""
    pulse_valid_for: int
    """Seconds for which a pulse is held against the band."""
    worth: Worth = field(default_factory=Worth)
    people: People = field(default_factory=lambda: People({}, 8))
    new_for: int = 60 * DAY
    """Seconds after joining for which a customer is new."""
    hold_outs: Mapping[str, trials.HoldOut] = field(default_factory=dict)
    """play -> its hold-out, of those that are on."""
    popular: tuple[str, ...] = ()
    """What many customers use, the commonest first; read only where a play looks at it."""
    not_coming_in: frozenset[str] = frozenset()
    """The kinds of fact that an outage of their source keeps from us: plays that rest on them wait."""
    unsure: Mapping[str, int] = field(default_factory=dict)
    """kind -> until when it is known, where its pull has just missed: it freezes for whose day has turned since."""
    returned: tuple[Returned, ...] = ()
    """The sources that have just come back."""
    released: frozenset[str] = frozenset()
    """The kinds of act that may leave in `approve`."""
    only_contacts: frozenset[str] = frozenset()
    """In a trial, the CRM contacts that may be touched; empty for all."""
    untagged: frozenset[str] = frozenset()
    """The customers whose tag waits for the backfill: it is written when their band changes."""

    @cached_property
    def triggers(self) -> Triggers:
        """What the plays look at."""
        return triggers_of(self.plays)


@dataclass(frozen=True, slots=True)
class Triggers:
    """What some play looks at, so that nothing else needs to be read."""

    facts: frozenset[str]
    silence: bool
    products: bool
    renewals: bool

    @property
    def calendar(self) -> bool:
        """Whether something may be set off although nothing has come in."""
        return self.silence or self.products or self.renewals


def triggers_of(plays: Mapping[str, Play]) -> Triggers:
    """What these plays look at."""
    whens = [one.when for one in plays.values()]
    return Triggers(
        frozenset(one.fact for one in whens if one.fact),
        silence=any(one.no_usage_for_days is not None for one in whens),
        products=any(one.product for one in whens),
        renewals=any(one.days_to_renewal is not None for one in whens),
    )


@dataclass(frozen=True, slots=True)
class Returned:
    """A source was down and is back: everybody is looked at anew, and what it brings late is still news."""

    kinds: frozenset[str]
    began_at: int
    ended_at: int
    heard: str
    """Tells apart the facts that had been taken in before it went down."""


@dataclass
class Assessed:
    """What came of an assessment."""

    customers: int = 0
    changes: int = 0
    effects: int = 0
    refused: int = 0
    bands: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Customer:
    id: str
    name: str
    owner: str
    time_zone: str
    assessed_at: int
    heard: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """What people have said of these customers, by customer."""

    overrides: Mapping[str, Override]
    """Nobody has ended them; the time of some may be over."""
    pulses: Mapping[str, disagreement.Pulse]
    disagreements: Mapping[str, disagreement.Disagreement]
    """The open ones."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided about one customer, before anything is kept."""

    customer: _Customer
    card: Card
    moment: measures.Moment
    last: records.Score | None
    assessment: Assessment
    previous: bands.Standing | None
    standing: bands.Standing
    expired: Override | None = None
    """An override whose time is over, and nobody has noted it yet."""

    @property
    def moved(self) -> bool:
        """Whether there is anything to keep: a score that says the same again is not a new one."""
        return (
            self.last is None
            or self.last.version != self.card.version
            or self.last.detail != self.assessment.to_json()
            or self.previous != self.standing
        )

    def scored(self, why: str) -> records.Scored:
        """As the records keep it."""
        return records.Scored(
            self.customer.id, self.moment.at, self.card.version, self.assessment, self.previous, self.standing, why
        )


def assess_due(store: Store, terms: Terms, now: int, run_id: str, *, everyone: bool = False) -> Assessed:
    """Assess those whose facts or scorecard have changed, or whose local day has turned; with `everyone`, all.

    Customers who have left are not assessed any more: their last score stands.
    """
    said = _Said(
        records.open_overrides(store),
        opinions.latest_pulses(store, now, terms.pulse_valid_for),
        {one.customer_id: one for one in opinions.open_disagreements(store)},
    )
    over = [{"customer_id": whose, "now": now} for whose, one in said.overrides.items() if one.until <= now]
    store.many(sql("opinions", "soil"), over)  # their time is over, so the customer must be looked at
    done = Assessed()
    for due, portfolio in _due(store, terms, now, everyone=everyone):
        unscored = set(due)
        for card, moments, sources in _hands(store, terms, due, now):
            at = {one.customer_id: one for one in moments}
            for found in population.read_in_batches(store, card, moments, sources, everyone=portfolio, size=BATCH):
                unscored -= found.keys()
                customers = [due[customer_id] for customer_id in found]
                with _no_collecting():
                    decided = _decide(store, card, customers, at, found, said)
                    with store.atomic():
                        _commit(store, terms, decided, said, run_id, done)
        with store.atomic():
            _looked_at(store, [due[customer_id] for customer_id in sorted(unscored)], now)
    if plays.switch(store, JUDGED_BY) != terms.deck.version:  # nobody is due any more because of the deck
        plays.set_switch(store, JUDGED_BY, terms.deck.version, now)
    return done


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Leave Python's search for circles of objects until a batch is over.

    A batch makes many objects and no circles, and all of them are let go of with it; to go through them meanwhile takes
    a tenth of the pass.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _due(
    store: Store, terms: Terms, now: int, *, everyone: bool
) -> Iterator[tuple[dict[str, _Customer], list[measures.Moment]]]:
    """Whoever is due, so many at a time, and the portfolio that they are held against.

    Where a card holds a customer against everybody, everybody is listed, and all who are due come at once.
    """
    gone = plays.departed(store, now)
    versions = {card.version for card in terms.deck.cards.values()}
    looks_at_all = any(map(population.needs_everyone, terms.deck.cards.values()))
    lists_all = everyone or looks_at_all or plays.switch(store, JUDGED_BY) != terms.deck.version
    binds = {"now": now, "turned": _turned(store, terms, now), "everyone": int(lists_all), "most": BATCH}
    all_due: dict[str, _Customer] = {}
    everybody: list[measures.Moment] = []
    after = ""
    while rows := store.rows(sql("assess", "due"), {**binds, "after": after}):
        after = rows[-1]["id"]
        here = [row for row in rows if row["id"] not in gone]
        due = {
            row["id"]: _Customer(
                row["id"], row["name"], row["owner"], row["time_zone"] or terms.time_zone, row["assessed_at"] or 0,
                row["heard"] or "", bool(row["dirty"]),
            )
            for row in here
            if everyone or _is_due(row, terms, versions, now)
        }  # fmt: skip
        if looks_at_all:
            all_due.update(due)
            everybody += (
                measures.Moment(row["id"], now, local_day(now, row["time_zone"] or terms.time_zone)) for row in here
            )
        elif due:
            yield due, []
    if all_due:
        # Only who is scored is in the portfolio.
        yield all_due, [one for _, hand in dealt(store, terms.deck, everybody, terms.sources) for one in hand]


def _turned(store: Store, terms: Terms, now: int) -> int:
    """Who was assessed after this is due only for what came in: the last of all midnights, or returns of a source."""
    zones = {row["time_zone"] or terms.time_zone for row in store.rows(sql("assess", "zones"))}
    midnights = [end_of_day(local_day(now, zone) - 1, zone) + 1 for zone in zones]
    return max([*midnights, *(one.ended_at for one in terms.returned)], default=now)


def _is_due(row: Row, terms: Terms, versions: Collection[str], now: int) -> bool:
    if row["dirty"] or row["assessed_at"] is None or row["version"] not in versions:
        return True
    if any(row["assessed_at"] < one.ended_at for one in terms.returned):
        return True
    zone = row["time_zone"] or terms.time_zone
    return local_day(row["assessed_at"], zone) < local_day(now, zone)


def _hands(
    store: Store, terms: Terms, due: Mapping[str, _Customer], now: int
) -> Iterator[tuple[Card, list[measures.Moment], measures.Sources]]:
    """Whom each card is for, with what can be known of them.

    What a pull has just missed is not known for whose day has turned since it was heard. Before that, no reading is
    lower than it was when the day began: what did not come in is today's alone.
    """
    moments = [measures.Moment(one.id, now, local_day(now, one.time_zone)) for one in due.values()]
    for card, hand in dealt(store, terms.deck, moments, terms.sources):
        alike: dict[frozenset[str], list[measures.Moment]] = {}
        for one in hand:
            zone = due[one.customer_id].time_zone
            missed = frozenset(kind for kind, until in terms.unsure.items() if local_day(until, zone) < one.today)
            alike.setdefault(missed, []).append(one)
        for missed, some in alike.items():
            yield card, some, replace(terms.sources, down=missed.union(terms.sources.down))


def _decide(
    store: Store,
    card: Card,
    customers: Sequence[_Customer],
    moments: Mapping[str, measures.Moment],
    readings: Mapping[str, Mapping[str, measures.Reading]],
    said: _Said,
) -> list[_Decided]:
    """Score and band for each, from what is known; writes nothing."""
    ids = [one.id for one in customers]
    scores, standings = records.latest_scores(store, ids), records.standings(store, ids)
    decided = []
    for customer in customers:
        moment, last = moments[customer.id], scores.get(customer.id)
        # To take the last assessment apart takes longer than to make one, and most customers do not need it.
        is_down = any(one.state == "source_down" for one in readings[customer.id].values())
        before = last.assessment if last and (is_down or last.tells_of_override) else None
        last_good = before.readings if before else None
        assessment = assess(card, readings[customer.id], last_good=last_good)
        override = said.overrides.get(customer.id)
        expired = override if override and override.until <= moment.at else None
        override = None if expired else override
        ended = overrides.ended(before, override) or expired
        if before and last and last.at == moment.at:
            ended = ended or before.ended  # the same moment again says the same again
        assessment = overrides.weighed(card, assessment, override, ended)
        previous = standings.get(customer.id)
        here = overrides.released(previous, before, assessment, moment.at)
        frozen = None
        if is_down:
            frozen = bands.frozen_of(
                card, assessment.readings,
                partial(_judged, last_good=last_good, override=override, ended=ended),
                local_day(customer.assessed_at, customer.time_zone),
            )  # fmt: skip
        standing = bands.settle(card, here, assessment, moment.at, moment.today, frozen)
        decided.append(_Decided(customer, card, moment, last, assessment, previous, standing, expired))
    return decided


def _judged(
    card: Card, readings: Mapping[str, measures.Reading], *, last_good: Mapping[str, measures.Reading] | None,
    override: Override | None, ended: Override | None,
) -> Assessment:  # fmt: skip
    return overrides.weighed(card, assess(card, readings, last_good=last_good), override, ended)


def _commit(store: Store, terms: Terms, decided: Sequence[_Decided], said: _Said, run_id: str, done: Assessed) -> None:
    """Scores, changes and the effects they cause, in the caller's one transaction."""
    moved = [one for one in decided if one.moved]
    saved = records.save(store, [one.scored(_why(store, terms, one)) for one in moved], run_id)
    changes = {change.customer_id: change for change in saved.changes}
    _note_untagged(store, terms, decided, changes)
    looked_at = []
    told: dict[str, plays.Told] = {}
    if terms.triggers.calendar and decided:
        today = max(one.moment.today for one in decided)
        told = plays.told_of(store, [one.customer.id for one in decided], decided[0].moment.at, today)
    for one in decided:
        customer_id = one.customer.id
        if customer_id in saved.overtaken:
            continue  # another pass was quicker, and has done the rest
        score_id = saved.score_ids.get(customer_id) or (one.last.id if one.last else "")
        if _may_tell(terms):
            _act(store, terms, one, changes.get(customer_id), score_id, run_id, done, told.get(customer_id))
        elif terms.triggers.calendar:
            _let_pass(store, terms, one, score_id, told.get(customer_id))
        _end_override(store, terms, one, done)
        _disagree(store, terms, one, said, done)
        looked_at.append(one.customer)
        done.customers += 1
        done.bands[one.standing.band] = done.bands.get(one.standing.band, 0) + 1
    if decided:
        _looked_at(store, looked_at, decided[0].moment.at)
    done.changes += len(changes)


def _note_untagged(
    store: Store, terms: Terms, decided: Sequence[_Decided], changes: Mapping[str, records.Change]
) -> None:
    """Who is first seen while nothing leaves has no news to tell; a change of band while it may is news."""
    if modes.lets_out(terms.mode) and not terms.silent:
        store.many(sql("assess", "no_backfill"), [{"customer_id": one} for one in changes if one in terms.untagged])
    else:
        first_seen = [{"customer_id": one.customer.id} for one in decided if one.previous is None]
        store.many(sql("assess", "wait_for_backfill"), first_seen)


def _looked_at(store: Store, customers: Sequence[_Customer], now: int) -> None:
    """Note that these were looked at, whether or not anything moved. Who was soiled meanwhile is due again."""
    heard = new_id("fct")
    store.many(sql("assess", "looked_at"), [{"customer_id": one.id, "now": now, "heard": heard} for one in customers])
    store.many(sql("assess", "clean"), [{"customer_id": one.id} for one in customers if one.dirty])


def _why(store: Store, terms: Terms, one: _Decided) -> str:
    """Why the band turned: what moved since the band before it began, 30 days back at most; "" where it did not turn."""
    before, now = one.previous, one.moment.at
    if before is None or before.band == one.standing.band:
        return ""
    old = records.told_since(store, one.customer.id, before.since, now)
    if old is None:
        return _reason(terms, one)
    moved = records.moved(
        store, old, one.assessment, card=one.card, at=now, sources=terms.sources, time_zone=terms.time_zone
    )
    return ledger.turn_in_words(one.card, one.assessment, before.band, one.standing, moved)


def _reason(terms: Terms, one: _Decided) -> str:
    return explain.reason(one.card, one.assessment, one.standing, time_zone=terms.time_zone)


def _act(
    store: Store, terms: Terms, one: _Decided, change: records.Change | None, score_id: str, run_id: str, done: Assessed,
    told: plays.Told | None,
) -> None:  # fmt: skip
    now, change_id = one.moment.at, change.id if change else None
    for effect in _standings(store, terms, one, change):
        key, state = f"standing:{effect.contact_id}:{run_id}", modes.standing_pool(terms.mode)
        effect_id = outbox.put(store, effect, key, now, change_id=change_id, state=state)
        done.effects += bool(effect_id)
        if effect_id and state == "draft":
            outbox.drop_older_drafts(store, effect.contact_id, effect_id, now)
    planned = _planned(store, terms, one, change, score_id, told)
    held_out = _held_out(store, terms, one, planned)
    for play, occasion in planned.fired.items():
        if not _waits_for_source(planned, play):  # when it is back, what is still true is acted on
            plays.keep_fired(store, one.customer.id, play, occasion, now)
    for refusal in planned.refusals:
        plays.keep_refusal(store, refusal, now)
    done.refused += len(planned.refusals)
    for intent in planned.intents:
        _put(store, terms, one, intent, change_id, done, held_out=intent.play in held_out)


def _let_pass(store: Store, terms: Terms, one: _Decided, score_id: str, told: plays.Told | None) -> None:
    """While nobody is told, what silence, renewals and products would set off is dealt with: later it is no news."""
    happening = _happening(store, terms, one, None, score_id, {}, told)
    if happening is None:
        return
    for play in terms.plays.values():
        when = play.when
        if when.no_usage_for_days is None and when.days_to_renewal is None and not when.product:
            continue
        if occasion := rules.fires(play, happening):
            plays.keep_fired(store, one.customer.id, play.name, occasion, one.moment.at)


def _held_out(store: Store, terms: Terms, one: _Decided, planned: rules.Plan) -> frozenset[str]:
    """The plays that leave this customer alone, by lot: drawn before anything is queued, whatever would have come of it."""
    return frozenset(
        play for play, occasion in planned.fired.items()
        if (hold_out := terms.hold_outs.get(play))
        and trials.assign(store, hold_out, one.customer.id, one.moment.at, occasion)
    )  # fmt: skip


def _waits_for_source(planned: rules.Plan, play: str) -> bool:
    return any(one.play == play and one.rule == "switch" for one in planned.refusals)


def _put(
    store: Store, terms: Terms, one: _Decided, intent: rules.Intent, change_id: str | None, done: Assessed, *,
    held_out: bool,
) -> None:  # fmt: skip
    """Queue one effect; one that reaches the customer has been asked about before."""
    now, effect, verdict = one.moment.at, intent.effect, None
    state = modes.pool(terms.mode, terms.released, modes.kind_of(intent.play))
    due_at = now + intent.after_days * DAY
    if isinstance(effect, Mail):
        play = terms.plays[intent.play]
        verdict = arbiter.ask(
            cases.case(store, effect, terms.limits, now, time_zone=terms.time_zone, play=play, planned=True),
            terms.limits,
        )
        if held_out and not isinstance(verdict, arbiter.Refuse):
            verdict = arbiter.Refuse(*_HELD_OUT)  # what would have to wait is not sent later either
        if isinstance(verdict, arbiter.Refuse):
            plays.keep_refusal(
                store, rules.Refusal(one.customer.id, intent.play, verdict.rule, verdict.reason), now
            )  # fmt: skip
            done.refused += 1
            return
        if isinstance(verdict, arbiter.Wait):
            due_at = max(due_at, verdict.until)
        elif isinstance(verdict, arbiter.Ask) and state == "waiting" and not intent.after_days:
            state = "asked"  # about a later step a person is asked when it leaves, with the text of that day
    elif held_out:
        plays.keep_refusal(store, rules.Refusal(one.customer.id, intent.play, *_HELD_OUT), now)
        done.refused += 1
        return
    elif isinstance(effect, Task):
        owner, later = terms.people.assign(
            one.customer.owner, local_day(due_at, terms.time_zone),
            lambda who, day: plays.tasks_on(store, who, day, terms.time_zone),
        )  # fmt: skip
        effect = replace(effect, owner=owner, due_at=effect.due_at + later * DAY)
    effect_id = outbox.put(
        store, effect, intent.key, now, play=intent.play, change_id=change_id, due_at=due_at, state=state
    )
    if not effect_id:
        return
    done.effects += 1
    if isinstance(verdict, arbiter.Ask):
        if state != "asked":
            return
        plays.ask_person(store, effect_id, verdict.reason, now)
    if isinstance(verdict, arbiter.Wait | arbiter.Ask):
        refusal = rules.Refusal(one.customer.id, intent.play, verdict.rule, verdict.reason)
        plays.keep_refusal(store, refusal, now, effect_id, waits=True)


# -- what people said -------------------------------------------------------------------------------------------------


def _end_override(store: Store, terms: Terms, one: _Decided, done: Assessed) -> None:
    """An override whose time is over has ended, and the team hears of it."""
    expired = one.expired
    if expired is None or not records.expire_override(store, expired.id, one.moment.at):
        return
    stands = " ".join(filter(None, [one.standing.band, shown_score(one.assessment)]))
    words = overrides.in_words(expired, terms.time_zone)
    title = f"The override for {one.customer.name or one.customer.id} has ended"
    _tell(store, terms, one, title, f"It was {words}. Now: {stands}.", f"override:{expired.id}:ended", done)


def _disagree(store: Store, terms: Terms, one: _Decided, said: _Said, done: Assessed) -> None:
    """Open a disagreement, ask about it once, or close it where it is over."""
    customer, now, band = one.customer, one.moment.at, one.standing.band
    pulse, stands = said.pulses.get(customer.id), said.disagreements.get(customer.id)
    if stands is not None and (answer := disagreement.closes(one.card, band, pulse)):
        opinions.close(store, stands.id, answer, now)
        return
    if pulse is None or disagreement.parted(one.card, band, pulse.value) < disagreement.PARTED:
        return
    if stands is None:
        stands = opinions.open_disagreement(store, customer.id, customer.owner, band, pulse, now)
    else:
        stands = opinions.keep_up(store, stands, band, pulse)
    if stands is None or not _may_tell(terms) or not opinions.asked(store, stands.id, now):
        return
    why = _reason(terms, one)
    title, text = disagreement.question(stands, shown_score(one.assessment), why, pulse.note)
    _tell(store, terms, one, title, text, f"disagreement:{stands.id}", done)


def _may_tell(terms: Terms) -> bool:
    return modes.decides(terms.mode) and not terms.silent


def _tell(store: Store, terms: Terms, one: _Decided, title: str, text: str, key: str, done: Assessed) -> None:
    """One alert to the team, with a link to the customer's page."""
    if _may_tell(terms):
        customer_id = one.customer.id
        alert = Alert(customer_id, title, text, f"{terms.public_url}/customers/{customer_id}")
        state = modes.pool(terms.mode, terms.released, modes.ALERT)
        done.effects += bool(outbox.put(store, alert, key, one.moment.at, state=state))


# -- effects ----------------------------------------------------------------------------------------------------------


def _standings(store: Store, terms: Terms, one: _Decided, change: records.Change | None) -> list[Standing]:
    """What the CRM shall show: the standing on the one contact, and nothing on any other contact of the customer."""
    customer_id, now = one.customer.id, one.moment.at
    contact = plays.main_contact(store, customer_id, terms.crm)
    if contact is None:
        return []
    main: str = contact["contact_id"]
    words = change.why if change else _reason(terms, one)
    tag = change is not None or customer_id not in terms.untagged
    wanted = Standing(customer_id, main, one.standing.band, shown_score(one.assessment), words, now, tag)
    effects = []
    shown = outbox.shown(store, main)
    if shown is None or _differs(shown, wanted, terms.write_when_moved):
        effects.append(wanted)
    for other in plays.other_contacts(store, customer_id, terms.crm, main):
        shown = outbox.shown(store, other)
        if shown is not None and shown.band:
            effects.append(Standing(customer_id, other, "", "", "", now))
    return [one for one in effects if not terms.only_contacts or one.contact_id in terms.only_contacts]


def shown_score(assessment: Assessment) -> str:
    """A score as people see it: whole points, "" while it is unknown."""
    return "" if assessment.score is None else plain(half_up(assessment.score))


def _differs(shown: Standing, wanted: Standing, write_when_moved: int) -> bool:
    if shown.band != wanted.band or bool(shown.score) != bool(wanted.score) or (wanted.tag and not shown.tag):
        return True
    if not wanted.score:
        return False
    return abs(int(shown.score) - int(wanted.score)) >= max(1, write_when_moved)


def _planned(
    store: Store, terms: Terms, one: _Decided, change: records.Change | None, score_id: str, told: plays.Told | None
) -> rules.Plan:
    """What the plays want now. Most customers set nothing off, so what messages would name is read last."""
    known = _newly_known(store, terms, one.customer, one.moment.at)
    happening = _happening(store, terms, one, change, score_id, known, told)
    if happening is None or not any(rules.fires(play, happening) for play in terms.plays.values()):
        return rules.Plan([], [], {})
    now, customer = one.moment.at, one.customer
    whole = replace(
        plays.with_evidence(store, happening, time_zone=customer.time_zone, crm=terms.crm, people=terms.people),
        over={
            name: why for name, play in terms.plays.items()
            if (why := plays.over(store, customer.id, play, now, since=now, band=one.standing.band))
        },
        rests_on=rests_on(one.card, terms.plays),
        not_coming_in=terms.not_coming_in,
        why=change.why if change else _reason(terms, one),
        link=f"{terms.public_url}/customers/{customer.id}",
    )  # fmt: skip
    return rules.plan(terms.plays, terms.templates, whole, terms.worth)


def _happening(
    store: Store, terms: Terms, one: _Decided, change: records.Change | None, score_id: str,
    known: Mapping[str, plays.News], told: plays.Told | None,
) -> rules.Happening | None:  # fmt: skip
    """What has come about for this customer; None where nothing has that any play could look at.

    `told` is what was read of the whole batch, None where nothing was.
    """
    customer, now, today, triggers = one.customer, one.moment.at, one.moment.today, terms.triggers
    before = one.last.assessment.signals if one.last else ()
    new_signals = frozenset(one.assessment.signals) - frozenset(before)
    new_facts = {kind: news for kind, news in known.items() if kind in triggers.facts}
    if change is None and not new_signals and not new_facts and not triggers.calendar:
        return None
    told = told or plays.told_of(store, [customer.id], now, today)[customer.id]
    present = plays.present(
        told, customer.id, customer.name, one.standing.band, now, time_zone=customer.time_zone, worth=terms.worth,
        new_for=terms.new_for,
    )  # fmt: skip
    used_on = told.used_on
    if used_on is None and present.lifecycle == "new":
        used_on = local_day(told.joined_at, customer.time_zone)  # whoever has just come is silent since then
    connected = terms.sources.connected
    if connected is not None and USE.isdisjoint(connected):
        used_on = None
    products = plays.products(told, today, terms.popular) if triggers.products else plays.Products()
    return replace(
        present, score_id=score_id, old_band=change.old_band if change else "",
        driver=driver_of(one.card, one.assessment),
        answers=answers_of(one.card, one.assessment),
        new_signals=new_signals,
        new_facts={kind: news.source_id for kind, news in new_facts.items()},
        new_labels={kind: news.label for kind, news in new_facts.items()},
        last_usage_day=used_on,
        no_usage_for_days=None if used_on is None else today - used_on,
        never_used=products.never_used, gone_silent=products.gone_silent,
    )  # fmt: skip


def _newly_known(store: Store, terms: Terms, customer: _Customer, now: int) -> dict[str, plays.News]:
    """kind -> the newest fact of that kind that is news; of a source that was down, what it could not tell in time."""
    known = plays.newly_known(store, customer.id, customer.assessed_at, customer.heard, now)
    for one in terms.returned:
        first_look = customer.assessed_at < one.ended_at
        since, heard = (one.began_at, one.heard) if first_look else (customer.assessed_at, customer.heard)
        late = plays.newly_known(store, customer.id, since, heard, now, news_since=one.began_at - DAY)
        known |= {kind: news for kind, news in late.items() if kind in one.kinds}
    return known


def rests_on(card: Card, plays: Mapping[str, Play]) -> dict[str, frozenset[str]]:
    """play -> the kinds of fact that what sets it off rests on: its fact, its signal, the measures that it answers."""
    found = {}
    for name, play in plays.items():
        kinds = {play.when.fact} if play.when.fact else set()
        if play.when.no_usage_for_days is not None or play.when.product:
            kinds |= USE
        if play.when.signal in card.signals:
            when = card.signals[play.when.signal].when
            kinds |= kinds_of(card, names_in(when))
        if play.when.main_driver:
            kinds |= kinds_of(card, (measure for measure, one in card.measures.items() if one.do == name))
        found[name] = frozenset(kinds)
    return found


def kinds_of(card: Card, names: Iterable[str]) -> frozenset[str]:
    """The kinds of fact that these measures rest on, whatever they are made of."""
    return frozenset().union(*(card.measures[name].kinds for name in below(card.measures, frozenset(names))))


def driver_of(card: Card, assessment: Assessment) -> str:
    """The measure that costs most points among those to which some play is the answer."""
    return next((one.measure for one in assessment.drivers if card.measures[one.measure].do), "")


def answers_of(card: Card, assessment: Assessment) -> tuple[str, ...]:
    """The plays that the drivers name, the costliest driver first, each once."""
    named = (card.measures[driver.measure].do for driver in assessment.drivers)
    return tuple(dict.fromkeys(play for play in named if play))


def new_run(store: Store, kind: str, now: int) -> str:
    """Begin a run: what an undo takes back is named by it."""
    run_id = new_id("run")
    store.run(sql("house", "begin_run"), {"id": run_id, "kind": kind, "now": now})
    return run_id
