"""Plays: files that say what to do about a change, and the pure plan of what that means for one customer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from worker.effects import Alert, Effect, Mail
from worker.facts import KINDS
from worker.lib.problems import Problem, Problems
from worker.lib.shape import shaped, spell, written
from worker.lib.toml import parse
from worker.plays.arbiter import source_down_in_words

DAY = 86_400

_ALERT_WORDS: Final = frozenset({"name", "old_band", "band"})


class When(BaseModel):
    """What sets a play off: all that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    band_turns: tuple[str, ...] = Field((), description="The customer has just entered one of these bands.")
    main_driver: bool = Field(
        default=False, description="The measure that costs most points names this play as its answer (`do`)."
    )
    signal: str = Field("", description="This signal of the scorecard has just come up.")
    fact: str = Field("", description="A fact of this kind has just become known.")


class Unless(BaseModel):
    """When what set a play off is over: all that is given must hold. Asked when it is planned, and when a mail leaves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    later: str = Field("", description="A fact of this kind came after the one that set it off.")
    none_open: str = Field("", description="No thing of this kind is open any more.")


class Variant(BaseModel):
    """One mail of a play; the first variant that fits band, segment and what there is to say is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(description="A file in templates/email, without its ending.")
    band: tuple[str, ...] = Field((), description="Only for customers in these bands now.")
    segment: tuple[str, ...] = Field((), description="Only for these segments.")


class TeamAlert(BaseModel):
    """A message to the team."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="With {name}, {old_band} and {band}.")


class Play(BaseModel):
    """A file `plays/*.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", exclude=True)
    title: str
    about: str = Field(description="What it is for, what it must not do, and how its success is measured.")
    when: When
    unless: Unless | None = None
    mail: tuple[Variant, ...] = ()
    alert: TeamAlert | None = None
    to: Literal["main", "billing"] = "main"
    at_most_every: int = Field(14, ge=1, le=365, description="Days between two acts of this play for one customer.")
    worth_sending_for: int = Field(5, ge=1, le=60, description="Days after which a mail that still waits is dropped.")


def load(paths: Iterable[Path]) -> dict[str, Play]:
    """Read play files; the file's name is the play's. Raises Problems with every mistake of all files."""
    plays: dict[str, Play] = {}
    problems: list[Problem] = []
    for path in sorted(paths):
        try:
            document = parse(written(path), path.name)
            play = shaped(Play, document, path.name)
        except Problems as found:
            problems += found.problems
            continue
        problems += _faults(play, path.name, document.line("when"))
        plays[path.stem] = play.model_copy(update={"name": path.stem})
    if problems:
        raise Problems(problems)
    return plays


def _faults(play: Play, file: str, line: int) -> list[Problem]:
    when, found = play.when, []
    if not (when.band_turns or when.signal or when.fact):
        found.append(Problem(file, line, "when", "nothing sets this play off", "give band_turns, signal or fact"))
    if when.fact and when.fact not in KINDS:
        found.append(Problem(file, line, "when.fact", f"{when.fact!r} is no kind of fact", spell(when.fact, KINDS)))
    if play.unless is not None:
        found += _unless_faults(play.unless, when, file)
    if not play.mail and play.alert is None:
        found.append(Problem(file, 0, "", "this play does nothing", "give it [[mail]] or [alert]"))
    if play.alert is not None and (odd := _odd_places(play.alert.title)):
        found.append(
            Problem(file, 0, "alert.title", f"cannot be filled in: {odd}", "use {name}, {old_band} and {band}")
        )
    return found


def _unless_faults(unless: Unless, when: When, file: str) -> list[Problem]:
    found = [
        Problem(file, 0, f"unless.{key}", f"{kind!r} is no kind of fact", spell(kind, KINDS))
        for key, kind in (("later", unless.later), ("none_open", unless.none_open)) if kind and kind not in KINDS
    ]  # fmt: skip
    if not (unless.later or unless.none_open):
        found.append(Problem(file, 0, "unless", "says nothing", "give later or none_open"))
    if unless.later and not when.fact:
        found.append(Problem(file, 0, "unless.later", "is later than no fact", "give when.fact, or none_open instead"))
    return found


def _odd_places(title: str) -> str:
    """What stands in braces and is none of the words that an alert knows; "" where all is well."""
    try:
        places = [place for _, place, _, _ in Formatter().parse(title) if place is not None]
    except ValueError as error:
        return str(error)
    return ", ".join(f"{{{place}}}" for place in places if place not in _ALERT_WORDS)


class Template(Protocol):
    """What a plan must know of a mail template."""

    @property
    def purpose(self) -> str:
        """marketing, service or transactional."""

    @property
    def needs(self) -> frozenset[str]:
        """The values it cannot be written without."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail would go to."""

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
    answers: tuple[str, ...] = ()
    """The plays that the drivers name, the costliest driver first."""
    new_signals: frozenset[str] = frozenset()
    new_facts: Mapping[str, str] = field(default_factory=dict)
    """kind -> source id of the newest fact of that kind that has just become known."""
    segment: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What a text may name: this customer's own facts of the last 30 days, worded."""
    recipients: Mapping[str, Recipient] = field(default_factory=dict)
    """role -> whom to write to."""
    last_acts: Mapping[str, int] = field(default_factory=dict)
    """play -> when it last did something for this customer."""
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not done, by which rule, and why."""

    customer_id: str
    play: str
    rule: str
    reason: str


def fires(play: Play, happening: Happening) -> str:
    """Why this play is set off now, as a stable key of the occasion; "" where it is not."""
    when = play.when
    occasion = []
    if when.band_turns:
        if not happening.old_band or happening.band not in when.band_turns:
            return ""
        occasion.append(f"band:{happening.score_id}")
    if when.main_driver and happening.answers[:1] != (play.name,):
        return ""
    if when.signal:
        if when.signal not in happening.new_signals:
            return ""
        occasion.append(f"signal:{happening.score_id}")
    if when.fact:
        if when.fact not in happening.new_facts:
            return ""
        occasion.append(f"fact:{happening.new_facts[when.fact]}")
    return "+".join(occasion)


def plan(
    plays: Mapping[str, Play], templates: Mapping[str, Template], happening: Happening
) -> tuple[list[Intent], list[Refusal]]:
    """What the plays want to be done for one customer now. Pure; what may reach the customer the arbiter decides."""
    intents: list[Intent] = []
    refusals: list[Refusal] = []
    for name in sorted(plays):
        play = plays[name]
        occasion = fires(play, happening)
        if not occasion:
            continue
        if name in happening.over:
            refusals.append(_refusal(happening, play, "over", happening.over[name]))
            continue
        if down := happening.rests_on.get(name, frozenset()) & happening.not_coming_in:
            refusals.append(_refusal(happening, play, "source down", source_down_in_words(down)))
            continue
        waited = happening.at - happening.last_acts.get(name, -(10**12))
        if waited < play.at_most_every * DAY:
            days = play.at_most_every - waited // DAY
            refusals.append(_refusal(happening, play, "cool-down", f"acted {waited // DAY} days ago; again in {days}"))
            continue
        key = f"{happening.customer_id}:{name}:{occasion}"
        if play.alert is not None:
            intents.append(Intent(f"{key}:alert", name, _alert(play.alert, happening)))
        if play.mail:
            chosen = _mail(play, templates, happening)
            if isinstance(chosen, Refusal):
                refusals.append(chosen)
            else:
                intents.append(Intent(f"{key}:mail", name, chosen))
    return intents, refusals


def _alert(alert: TeamAlert, happening: Happening) -> Alert:
    words = {"name": happening.name, "old_band": happening.old_band, "band": happening.band}
    return Alert(happening.customer_id, alert.title.format_map(words), happening.why, happening.link)


def _mail(play: Play, templates: Mapping[str, Template], happening: Happening) -> Mail | Refusal:
    recipient = happening.recipients.get(play.to) or happening.recipients.get("main")
    if recipient is None:
        return _refusal(happening, play, "recipient", "no address is known")
    fitting = [variant for variant in play.mail if _fits(variant, happening)]
    if not fitting:
        return _refusal(happening, play, "variant", f"no mail for segment {happening.segment!r} in {happening.band}")
    lacking: set[str] = set()
    for variant in fitting:
        template = templates[variant.template]
        missing = template.needs - happening.evidence.keys()
        if not missing:
            rests_on = happening.rests_on.get(play.name, frozenset()) | kinds_named(template.needs)
            if down := rests_on & happening.not_coming_in:
                return _refusal(happening, play, "source down", source_down_in_words(down))
            return Mail(
                happening.customer_id, recipient.email, recipient.name, variant.template, play.name, template.purpose,
                dict(happening.evidence), happening.at + play.worth_sending_for * DAY, sorted(rests_on),
            )  # fmt: skip
        lacking |= missing
    return _refusal(happening, play, "evidence", f"nothing to name: {', '.join(sorted(lacking))} unknown for 30 days")


def _fits(variant: Variant, happening: Happening) -> bool:
    return (not variant.band or happening.band in variant.band) and (
        not variant.segment or happening.segment in variant.segment
    )


def _refusal(happening: Happening, play: Play, rule: str, reason: str) -> Refusal:
    return Refusal(happening.customer_id, play.name, rule, reason)


def templates_missing(plays: Mapping[str, Play], templates: Mapping[str, Template]) -> Sequence[Problem]:
    """The plays that name a template that does not exist."""
    return [
        Problem(f"{play.name}.toml", 0, f"mail[{place}].template", f"there is no template {variant.template!r}",
                spell(variant.template, templates))
        for play in plays.values() for place, variant in enumerate(play.mail) if variant.template not in templates
    ]  # fmt: skip


def unheard_of(plays: Mapping[str, Play], bands: Collection[str], signals: Collection[str]) -> list[Problem]:
    """The bands and signals that plays wait for and the scorecard does not have: those plays would never act."""
    found = []
    for play in plays.values():
        named = [("when.band_turns", band) for band in play.when.band_turns]
        named += [(f"mail[{place}].band", band) for place, one in enumerate(play.mail) for band in one.band]
        found += [
            Problem(f"{play.name}.toml", 0, key, f"{band!r} is no band of the scorecard", spell(band, bands))
            for key, band in named if band not in bands
        ]  # fmt: skip
        signal = play.when.signal
        if signal and signal not in signals:
            what = f"{signal!r} is no signal of the scorecard"
            cure = spell(signal, signals) or "give the scorecard that signal, or take this play out"
            found.append(Problem(f"{play.name}.toml", 0, "when.signal", what, cure))
    return found


EVIDENCE: Final = ("count", "days", "last_on", "last_label", "last_value", "now")
"""What a mail may name of each kind of fact: `usage_days`."""


def kinds_named(needs: Collection[str]) -> frozenset[str]:
    """The kinds of fact that these values of a mail are about: `usage_days` is about usage."""
    return frozenset(kind for kind in KINDS for part in EVIDENCE if f"{kind}_{part}" in needs)


def unknown_needs(templates: Mapping[str, Template], always: Collection[str]) -> list[Problem]:
    """The values that templates need and nobody ever has: those mails would never leave."""
    known = {"as_of", *always, *(f"{kind.replace('.', '_')}_{part}" for kind in KINDS for part in EVIDENCE)}
    return [
        Problem(f"{name}.md", 0, "needs", f"{need!r} is nothing that is known of a customer", spell(need, known))
        for name, template in templates.items() for need in sorted(template.needs - known)
        if not need.startswith("custom_")
    ]  # fmt: skip
