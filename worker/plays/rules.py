"""Plays as decisions: which are set off at one customer's moment, and what they want to be done. Pure.

What may reach the customer, and when, the arbiter decides; whether an occasion is new, the caller knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from worker.effects import Alert, Effect, Mail, Sms, Task
from worker.facts import KINDS, kind_named
from worker.plays.arbiter import BILLING, PRIORITIES, source_down_in_words
from worker.plays.files import EVIDENCE, Play, Step, TeamTask, Template, Variant, kinds_named
from worker.plays.worth import Worth

DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message would go to."""

    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Happening:
    """All that a plan may know of one customer's moment."""

    customer_id: str
    name: str
    at: int
    score_id: str
    band: str
    old_band: str = ""
    """The band before, where this assessment changed it; "" otherwise."""
    driver: str = ""
    """The measure that costs most points among those that name a play."""
    answers: tuple[str, ...] = ()
    """The plays that the drivers name, the costliest driver first."""
    new_signals: frozenset[str] = frozenset()
    new_facts: Mapping[str, str] = field(default_factory=dict)
    """kind -> source id of the newest fact of that kind that has just become known."""
    new_labels: Mapping[str, str] = field(default_factory=dict)
    """kind -> its label."""
    renews_on: str = ""
    """The day of the next renewal, `2026-03-31`; "" where none is known."""
    days_to_renewal: int | None = None
    last_usage_day: int | None = None
    """The local day on which somebody there last used the product."""
    no_usage_for_days: int | None = None
    never_used: str = ""
    """A product that many others use and this customer never has."""
    gone_silent: str = ""
    """A product that this customer used to use."""
    segment: str = ""
    lifecycle: str = ""
    """new or settled."""
    worth: Decimal | None = None
    """A month's worth in the workspace's currency, None where it is not known."""
    language: str = ""
    owner_name: str = ""
    """Who of our people looks after this customer, "" where that is not known."""
    contact_id: str = ""
    """The customer's CRM contact."""
    mobile: str = ""
    """The telephone number for text messages, in E.164 form."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What a text may name: this customer's own facts of the last 30 days, worded."""
    recipients: Mapping[str, Recipient] = field(default_factory=dict)
    """role -> whom to write to."""
    last_acts: Mapping[str, int] = field(default_factory=dict)
    """play -> when it last did something for this customer."""
    done: frozenset[str] = frozenset()
    """`play:occasion` of what has been dealt with before."""
    over: Mapping[str, str] = field(default_factory=dict)
    """play -> why what would set it off is over."""
    rests_on: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """play -> the kinds of fact that what sets it off rests on."""
    not_coming_in: frozenset[str] = frozenset()
    """The kinds of fact whose source is down."""
    why: str = ""
    """The drivers in words, for the team only."""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """An effect with the key that makes it happen once."""

    key: str
    play: str
    effect: Effect
    after_days: int = 0
    """Days until it is due: 0 for the first step."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not done, by which rule, and why."""

    customer_id: str
    play: str
    rule: str
    reason: str


class Plan(NamedTuple):
    """What the plays want for one customer now."""

    intents: list[Intent]
    refusals: list[Refusal]
    fired: dict[str, str]
    """play -> the occasion on which it was set off, whether or not it may act."""


# -- what is set off --------------------------------------------------------------------------------------------------


def fires(play: Play, happening: Happening) -> str:
    """Why this play is set off now, as a stable key of the occasion; "" where it is not, or was before."""
    occasions = []
    for occasion in _occasions(play, happening):
        if not occasion:
            return ""
        occasions.append(occasion)
    occasion = "+".join(occasions)
    if not occasion or not _is_for(play, happening) or f"{play.name}:{occasion}" in happening.done:
        return ""
    return occasion


def _occasions(play: Play, happening: Happening) -> Iterator[str]:
    """For each thing that must have come about, its key; "" where it has not."""
    when = play.when
    if when.band_turns:
        turned = happening.old_band and happening.band in when.band_turns
        yield f"band:{happening.score_id}" if turned else ""
    if when.band_left:
        left = happening.old_band in when.band_left and happening.band not in when.band_left
        yield f"left:{happening.score_id}" if left else ""
    if when.signal:
        yield f"signal:{happening.score_id}" if when.signal in happening.new_signals else ""
    if when.fact:
        named = not when.fact_label or happening.new_labels.get(when.fact, "") in when.fact_label
        yield f"fact:{happening.new_facts[when.fact]}" if when.fact in happening.new_facts and named else ""
    if when.days_to_renewal is not None:
        left_days = happening.days_to_renewal
        near = left_days is not None and 0 <= left_days <= when.days_to_renewal
        yield f"renewal:{happening.renews_on}" if near else ""
    if when.no_usage_for_days is not None:
        quiet = happening.no_usage_for_days
        yield f"quiet:{happening.last_usage_day}" if quiet is not None and quiet >= when.no_usage_for_days else ""
    if when.product:
        name = happening.never_used if when.product == "never used" else happening.gone_silent
        yield f"{when.product.replace(' ', '-')}:{name}" if name else ""


def _is_for(play: Play, happening: Happening) -> bool:
    when, whom, worth = play.when, play.whom, happening.worth
    if (when.band and happening.band not in when.band) or (when.main_driver and happening.answers[:1] != (play.name,)):
        return False
    if (whom.segment and happening.segment not in whom.segment) or happening.segment in whom.not_segment:
        return False
    if whom.worth_from is not None and (worth is None or worth < whom.worth_from):
        return False
    if whom.worth_below is not None and worth is not None and worth >= whom.worth_below:
        return False
    return not whom.lifecycle or whom.lifecycle == happening.lifecycle


def obstacle(play: Play, happening: Happening, signals: frozenset[str] = frozenset()) -> str:
    """Why this play would not be set off for this customer even if all that is so had just come about; "" if it would.

    `signals` are those that are up.
    """
    when, band = play.when, happening.band
    if when.band_turns and band not in when.band_turns:
        return f"is for who turns {' or '.join(when.band_turns)}; this customer is {band}"
    if when.band_left and happening.old_band not in when.band_left:
        return f"is for who leaves {' or '.join(when.band_left)}"
    if when.signal and when.signal not in signals:
        return f"the signal {when.signal} is not up"
    if when.fact and when.fact not in happening.new_facts:
        return f"no {_spoken(when.fact)} has come in lately"
    if when.fact_label and happening.new_labels.get(when.fact, "") not in when.fact_label:
        return f"the {_spoken(when.fact)} is not {' or '.join(when.fact_label)}"
    left = happening.days_to_renewal
    if when.days_to_renewal is not None and (left is None or not 0 <= left <= when.days_to_renewal):
        told = f"it is {happening.days_to_renewal} days" if happening.days_to_renewal is not None else "none is known"
        return f"is for {when.days_to_renewal} days before a renewal; {told}"
    if when.no_usage_for_days is not None and (happening.no_usage_for_days or 0) < when.no_usage_for_days:
        return f"is for {when.no_usage_for_days} days without use; it is {happening.no_usage_for_days or 'not known, or less'}"
    if when.product and not (happening.never_used if when.product == "never used" else happening.gone_silent):
        return f"no product is {when.product}"
    return _not_for(play, happening)


def _spoken(kind: str) -> str:
    return kind_named(kind).singular


def _not_for(play: Play, happening: Happening) -> str:
    if _is_for(play, happening):
        return ""
    when, whom = play.when, play.whom
    if when.band and happening.band not in when.band:
        return f"is for {' or '.join(when.band)} customers; this one is {happening.band}"
    if when.main_driver and happening.answers[:1] != (play.name,):
        other = f"{happening.answers[0]} answers what does" if happening.answers else "nothing that a play answers does"
        return f"what it answers does not cost most points; {other}"
    if whom.lifecycle and whom.lifecycle != happening.lifecycle:
        return f"is for {whom.lifecycle} customers; this one is {happening.lifecycle}"
    return f"is not for this segment ({happening.segment or 'none'}) or worth ({happening.worth or 'not known'})"


# -- what is wanted ---------------------------------------------------------------------------------------------------


def plan(
    plays: Mapping[str, Play], templates: Mapping[str, Template], happening: Happening, worth: Worth | None = None
) -> Plan:
    """What the plays want to be done for one customer now, the most pressing play first."""
    planned = Plan([], [], {})
    for play in sorted(plays.values(), key=_rank):
        occasion = fires(play, happening)
        if not occasion:
            continue
        planned.fired[play.name] = occasion
        if why := happening.over.get(play.name):
            rule = "dunning" if play.priority == BILLING else "goal"
            planned.refusals.append(_refusal(happening, play, rule, why))
            continue
        if down := happening.rests_on.get(play.name, frozenset()) & happening.not_coming_in:
            planned.refusals.append(_refusal(happening, play, "switch", source_down_in_words(down)))
            continue
        waited = happening.at - happening.last_acts.get(play.name, -(10**12))
        if waited < play.at_most_every * DAY:
            days = play.at_most_every - waited // DAY
            planned.refusals.append(
                _refusal(happening, play, "reentry", f"acted {waited // DAY} days ago; again in {days}")
            )
            continue
        for name, after_days, step in play.steps:
            key = f"{happening.customer_id}:{play.name}:{occasion}" + (f":{name}" if name else "")
            for what, wanted in _deeds(play, name, step, after_days, templates, happening, worth or Worth()):
                if isinstance(wanted, Refusal):
                    planned.refusals.append(wanted)
                else:
                    planned.intents.append(Intent(f"{key}:{what}", play.name, wanted, after_days))
    return planned


def rank(play: Play) -> int:
    """How pressing it is, 0 the most."""
    return PRIORITIES.index(play.priority)


def _rank(play: Play) -> tuple[int, str]:
    return rank(play), play.name


def _deeds(
    play: Play, step_name: str, step: Step, after_days: int, templates: Mapping[str, Template], happening: Happening,
    worth: Worth,
) -> Iterator[tuple[str, Effect | Refusal]]:  # fmt: skip
    """What one step wants, by what it is called in the effect's key."""
    person = worth.deserves_person(happening.worth, happening.segment)
    by_person = play.touch in ("both", "owner") or (play.touch == "by worth" and person)
    by_itself = play.touch in ("both", "tech") or (play.touch == "by worth" and not person)
    if step.alert is not None:
        words = _team_words(play, happening)
        yield "alert", Alert(happening.customer_id, step.alert.title.format_map(words), happening.why, happening.link)
    if step.task is not None and by_person:
        yield "task", _task(play, step_name, step.task, after_days, happening)
    if step.mail and by_itself:
        yield "mail", letter(play, step_name, templates, happening, happening.at + after_days * DAY)
    if step.sms and by_itself:
        yield "sms", letter(play, step_name, templates, happening, happening.at + after_days * DAY, sms=True)


def _team_words(play: Play, happening: Happening) -> dict[str, str]:
    label = happening.new_labels.get(play.when.fact, "") if play.when.fact else ""
    product = {"never used": happening.never_used, "gone silent": happening.gone_silent}.get(play.when.product, "")
    return {
        "name": happening.name, "old_band": happening.old_band, "band": happening.band, "label": label or product,
    }  # fmt: skip


def _task(play: Play, step: str, task: TeamTask, after_days: int, happening: Happening) -> Task | Refusal:
    """Why, what to say, the facts, and a link."""
    if not happening.contact_id:
        return _refusal(happening, play, "recipient", "no contact in the CRM, on which a task could stand")
    lines = [f"Why: {happening.why}"] if happening.why else []
    lines.append(f"Say: {' '.join(task.say.split())}")
    if facts := facts_in_words(happening.evidence):
        lines.append(f"Facts, as of {happening.evidence.get('as_of', 'today')}: {facts}")
    due_at = happening.at + (after_days + task.due_in_days) * DAY
    return Task(
        happening.customer_id, happening.contact_id, "", task.title.format_map(_team_words(play, happening)),
        "\n".join(lines), due_at, play.name, "high" if task.urgent else "normal", happening.link, step,
    )  # fmt: skip


def facts_in_words(evidence: Mapping[str, str]) -> str:
    """The customer's own facts of the last 30 days in one line, for a person: `usage on 3 days, last on 3 March (reports)`."""
    told = []
    for kind, about in KINDS.items():
        values = {part: evidence.get(f"{kind}_{part}", "") for part in EVIDENCE}
        if not values["count"]:
            continue
        times = f"on {values['days']} days" if values["days"] not in ("", "1") else "once"
        words = f"{about.plural} {times}, last on {values['last_on']}"
        if values["last_label"]:
            words += f" ({values['last_label']})"
        if values["now"]:
            words += f", {values['now']} open now"
        told.append(words)
    return "; ".join(told)


def letter(
    play: Play,
    step_name: str,
    templates: Mapping[str, Template],
    happening: Happening,
    due_at: int,
    *,
    sms: bool = False,
) -> Mail | Refusal:
    """The message that fits this customer now, or why there is none."""
    recipient = happening.recipients.get(play.to) or happening.recipients.get("main")
    to = happening.mobile if sms else recipient.email if recipient else ""
    if not to:
        return _refusal(happening, play, "recipient", "no telephone number is known" if sms else "no address is known")
    step = next(one for name, _, one in play.steps if name == step_name)
    fitting = [variant for variant in (step.sms if sms else step.mail) if _fits(variant, happening)]
    if not fitting:
        about = f" about {happening.driver.replace('_', ' ')}" if play.when.main_driver and happening.driver else ""
        reason = f"no mail{about} for segment {happening.segment!r} in {happening.band}"
        return _refusal(happening, play, "variant", reason)
    lacking: set[str] = set()
    for variant in fitting:
        name = _wording(variant.template, happening, templates)
        template = templates[name]
        missing = template.needs - happening.evidence.keys()
        if not missing:
            rests_on = happening.rests_on.get(play.name, frozenset()) | kinds_named(template.needs)
            if down := rests_on & happening.not_coming_in:
                return _refusal(happening, play, "switch", source_down_in_words(down))
            return (Sms if sms else Mail)(
                happening.customer_id, to, recipient.name if recipient else "", name, play.name,
                template.purpose, _values(happening), due_at + play.worth_sending_for * DAY, sorted(rests_on),
                step_name, happening.contact_id, happening.language, happening.driver if play.when.main_driver else "",
                template.topic,
            )  # fmt: skip
        lacking |= missing
    return _refusal(happening, play, "evidence", f"nothing to name: {', '.join(sorted(lacking))} unknown for 30 days")


def _wording(name: str, happening: Happening, templates: Mapping[str, Template]) -> str:
    """The template in the person's language, where there is one and all that it names is known."""
    other = f"{name}.{happening.language}"
    return other if other in templates and templates[other].needs <= happening.evidence.keys() else name


def _values(happening: Happening) -> dict[str, str]:
    """What the text may say; who signs it, where it is to be the customer's own person."""
    signed = {"sender_name": happening.owner_name} if happening.owner_name else {}
    return {**happening.evidence, **signed}


def _fits(variant: Variant, happening: Happening) -> bool:
    return (
        (not variant.band or happening.band in variant.band)
        and (not variant.segment or happening.segment in variant.segment)
        and (not variant.driver or happening.driver in variant.driver)
    )


def _refusal(happening: Happening, play: Play, rule: str, reason: str) -> Refusal:
    return Refusal(happening.customer_id, play.name, rule, reason)
