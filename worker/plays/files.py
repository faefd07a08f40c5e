"""Play files: what a marketer writes in `plays/*.toml`, held against its model, every mistake told at once.

A play says when (a band is entered or left, a driver, a signal, a fact, days to renewal, silence, a product nobody there
uses), for whom, what (mails, text messages, a task for a person, a message to the team; at once or some days later), who
does it, how often at most, and until when. docs/plays.md has an example of everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from string import Formatter
from typing import Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from worker.facts import KINDS, kind_named
from worker.lib.problems import Problem, Problems
from worker.lib.shape import shaped, spell, written
from worker.lib.toml import parse

_TEAM_WORDS: Final = frozenset({"name", "old_band", "band", "label"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Part):
    """What sets a play off: all that is given must hold, and something of it must have just come about."""

    band_turns: tuple[str, ...] = Field((), description="The customer has just entered one of these bands.")
    band_left: tuple[str, ...] = Field((), description="The customer has just left one of these bands.")
    signal: str = Field("", description="This signal of the scorecard has just come up.")
    fact: str = Field("", description="A fact of this kind has just become known.")
    fact_label: tuple[str, ...] = Field((), description="And its label is one of these.")
    days_to_renewal: int | None = Field(
        None, ge=0, le=400, description="So many days or fewer to the renewal, once each."
    )
    no_usage_for_days: int | None = Field(None, ge=1, le=400, description="For so long nobody there has used it.")
    product: Literal["", "never used", "gone silent"] = Field(
        "", description="What many others use: this customer never has, or no longer does."
    )
    band: tuple[str, ...] = Field((), description="And the customer stands in one of these bands.")
    main_driver: bool = Field(
        default=False, description="And the measure that costs most points names this play as its answer (`do`)."
    )


class Whom(_Part):
    """For which customers: all that is given must hold."""

    segment: tuple[str, ...] = Field((), description="Only these segments.")
    not_segment: tuple[str, ...] = Field((), description="None of these segments.")
    worth_from: Decimal | None = Field(None, ge=0, description="Worth at least so much a month.")
    worth_below: Decimal | None = Field(None, gt=0, description="Worth less than that a month.")
    lifecycle: Literal["", "new", "settled"] = Field("", description="new in the first weeks, settled after.")


class Unless(_Part):
    """When what set a play off is over: all that is given must hold. Asked when it is planned, and when a mail leaves."""

    later: str = Field("", description="A fact of this kind came after the one that set it off.")
    none_open: str = Field("", description="No thing of this kind is open any more.")


class Until(_Part):
    """The goal: what of the play still waits is let go as soon as one of these is so."""

    fact: str = Field("", description="A fact of this kind came since it was set off.")
    band: tuple[str, ...] = Field((), description="The customer stands in one of these bands.")


class Variant(_Part):
    """One message of a play; the first variant that fits and has what it names is taken."""

    template: str = Field(description="A file in templates/email, without its ending.")
    band: tuple[str, ...] = Field((), description="Only for customers in these bands now.")
    segment: tuple[str, ...] = Field((), description="Only for these segments.")
    driver: tuple[str, ...] = Field((), description="Only where one of these measures costs most points.")


class TeamAlert(_Part):
    """A message to the team."""

    title: str = Field(description="With {name}, {old_band}, {band} and {label}.")


class TeamTask(_Part):
    """Something for a person to do."""

    title: str = Field(description="With {name}, {old_band}, {band} and {label}.")
    say: str = Field(description="What to say, or to find out.")
    due_in_days: int = Field(2, ge=0, le=90, description="Days until it should be done.")
    urgent: bool = False


class Collect(_Part):
    """Nothing leaves: what customers lack is put together for the product team once a week."""

    title: str
    kinds: tuple[str, ...] = Field(description="The facts that tell what is lacking.", min_length=1)
    at_least: int = Field(3, ge=1, description="Customers who must lack the same for it to be told.")


class Step(_Part):
    """What is done, by what means."""

    mail: tuple[Variant, ...] = ()
    sms: tuple[Variant, ...] = ()
    task: TeamTask | None = None
    alert: TeamAlert | None = None


class Later(Step):
    """A step some days after the play was set off, unless it is over by then."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    after_days: int = Field(ge=1, le=365)


Touch = Literal["both", "tech", "owner", "by worth"]


class Play(Step):
    """A file `plays/*.toml`."""

    name: str = Field("", exclude=True)
    title: str
    about: str = Field(description="What it is for, what it must not do, and how its success is measured.")
    priority: Literal[
        "security",
        "billing",
        "support",
        "onboarding",
        "usage",
        "renewal",
        "training",
        "beta",
        "testimonial",
        "expansion",
    ] = "usage"
    when: When
    whom: Whom = Whom()
    unless: Unless | None = None
    until: Until | None = None
    touch: Touch = Field(
        "both",
        description="tech: only what reaches the customer; owner: only what is for a person; by worth: the one above the "
        "line of [worth], the other below it.",
    )
    collect: Collect | None = None
    then: tuple[Later, ...] = ()
    to: Literal["main", "billing", "champion"] = "main"
    at_most_every: int = Field(14, ge=1, le=365, description="Days between two acts of this play for one customer.")
    worth_sending_for: int = Field(5, ge=1, le=60, description="Days after which a mail that still waits is dropped.")

    @property
    def steps(self) -> tuple[tuple[str, int, Step], ...]:
        """(name, days after it was set off, what is done); the first has no name."""
        return (("", 0, self), *((one.name, one.after_days, one) for one in self.then))

    @property
    def variants(self) -> Iterator[tuple[str, Variant]]:
        """Every message of every step with its place in the file."""
        for name, _, step in self.steps:
            under = f"then.{name}." if name else ""
            yield from ((f"{under}mail[{place}]", one) for place, one in enumerate(step.mail))
            yield from ((f"{under}sms[{place}]", one) for place, one in enumerate(step.sms))


# -- reading ----------------------------------------------------------------------------------------------------------


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
    if not _sets_off(when):
        cure = "give band_turns, band_left, signal, fact, days_to_renewal, no_usage_for_days or product"
        found.append(Problem(file, line, "when", "nothing sets this play off", cure))
    if when.fact_label and not when.fact:
        found.append(Problem(file, line, "when.fact_label", "is the label of no fact", "give when.fact"))
    kinds = [("when.fact", when.fact), ("until.fact", play.until.fact if play.until else "")]
    kinds += [("collect.kinds", kind) for kind in (play.collect.kinds if play.collect else ())]
    if play.unless is not None:
        kinds += [("unless.later", play.unless.later), ("unless.none_open", play.unless.none_open)]
        found += _unless_faults(play.unless, when, file)
    found += [
        Problem(file, line if key == "when.fact" else 0, key, f"{kind!r} is no kind of fact", spell(kind, KINDS))
        for key, kind in kinds if kind and not _is_kind(kind)
    ]  # fmt: skip
    if play.until is not None and not (play.until.fact or play.until.band):
        found.append(Problem(file, 0, "until", "says nothing", "give fact or band"))
    return [*found, *_deeds_faults(play, file)]


def _sets_off(when: When) -> bool:
    return bool(
        when.band_turns or when.band_left or when.signal or when.fact or when.product
        or when.days_to_renewal is not None or when.no_usage_for_days is not None
    )  # fmt: skip


def _is_kind(name: str) -> bool:
    try:
        kind_named(name)
    except KeyError:
        return False
    return True


def _unless_faults(unless: Unless, when: When, file: str) -> list[Problem]:
    found = []
    if not (unless.later or unless.none_open):
        found.append(Problem(file, 0, "unless", "says nothing", "give later or none_open"))
    if unless.later and not when.fact:
        found.append(Problem(file, 0, "unless.later", "is later than no fact", "give when.fact, or none_open instead"))
    return found


def _deeds_faults(play: Play, file: str) -> Iterator[Problem]:
    if not any(_does(step) for _, _, step in play.steps) and play.collect is None:
        yield Problem(file, 0, "", "this play does nothing", "give it [[mail]], [task] or [alert]")
    names = [one.name for one in play.then]
    for name in sorted({one for one in names if names.count(one) > 1}):
        yield Problem(file, 0, "then.name", f"{name!r} is there twice", "give each step a name of its own")
    for name, _, step in play.steps:
        under = f"then.{name}." if name else ""
        if name and not _does(step):
            yield Problem(file, 0, f"then.{name}", "this step does nothing", "give it [[then.mail]] or [then.task]")
        if play.touch == "by worth" and step.task is None and (step.mail or step.sms):
            yield Problem(file, 0, f"{under}touch", "there is no task for those who are worth one", "give it [task]")
        for key, words in (
            ("alert.title", step.alert and step.alert.title),
            ("task.title", step.task and step.task.title),
        ):
            if words and (odd := _odd_places(words)):
                cure = "use {name}, {old_band}, {band} and {label}"
                yield Problem(file, 0, f"{under}{key}", f"cannot be filled in: {odd}", cure)


def _does(step: Step) -> bool:
    return bool(step.mail or step.sms or step.task or step.alert)


def _odd_places(title: str) -> str:
    """What stands in braces and is none of the words that the team is told; "" where all is well."""
    try:
        places = [place for _, place, _, _ in Formatter().parse(title) if place is not None]
    except ValueError as error:
        return str(error)
    return ", ".join(f"{{{place}}}" for place in places if place not in _TEAM_WORDS)


# -- held against the rest --------------------------------------------------------------------------------------------


class Template(Protocol):
    """What a plan must know of a message's template."""

    @property
    def purpose(self) -> str:
        """marketing, service or transactional."""

    @property
    def topic(self) -> str:
        """What it is about, "" for nothing."""

    @property
    def needs(self) -> frozenset[str]:
        """The values it cannot be written without."""


def templates_missing(plays: Mapping[str, Play], templates: Mapping[str, Template]) -> Sequence[Problem]:
    """The plays that name a template that does not exist."""
    return [
        Problem(f"{play.name}.toml", 0, f"{place}.template", f"there is no template {variant.template!r}",
                spell(variant.template, templates))
        for play in plays.values() for place, variant in play.variants if variant.template not in templates
    ]  # fmt: skip


def unheard_of(plays: Mapping[str, Play], bands: Collection[str], signals: Collection[str]) -> list[Problem]:
    """The bands and signals that plays wait for and the scorecard does not have: those plays would never act."""
    found = []
    for play in plays.values():
        when = play.when
        named = [("when.band_turns", band) for band in when.band_turns]
        named += [("when.band_left", band) for band in when.band_left] + [("when.band", band) for band in when.band]
        named += [("until.band", band) for band in (play.until.band if play.until else ())]
        named += [(f"{place}.band", band) for place, one in play.variants for band in one.band]
        found += [
            Problem(f"{play.name}.toml", 0, key, f"{band!r} is no band of the scorecard", spell(band, bands))
            for key, band in named if band not in bands
        ]  # fmt: skip
        if when.signal and when.signal not in signals:
            what = f"{when.signal!r} is no signal of the scorecard"
            cure = spell(when.signal, signals) or "give the scorecard that signal, or take this play out"
            found.append(Problem(f"{play.name}.toml", 0, "when.signal", what, cure))
    return found


EVIDENCE: Final = ("count", "days", "last_on", "last_label", "last_value", "now")
"""What a message may name of each kind of fact: `usage_days`."""

RENEWAL: Final = ("renews_on", "days_to_renewal")
PRODUCT: Final = ("unused_product", "silent_product")
"""What plays that look at renewals and products bring with them."""


def kinds_named(needs: Collection[str]) -> frozenset[str]:
    """The kinds of fact that these values of a message are about: `usage_days` is about usage."""
    return frozenset(kind for kind in KINDS for part in EVIDENCE if f"{kind}_{part}" in needs)


def unknown_needs(templates: Mapping[str, Template], always: Collection[str]) -> list[Problem]:
    """The values that templates need and nobody ever has: those mails would never leave."""
    known = {
        "as_of", *always, *RENEWAL, *PRODUCT, *(f"{kind.replace('.', '_')}_{part}" for kind in KINDS for part in EVIDENCE)
    }  # fmt: skip
    return [
        Problem(f"{name}.md", 0, "needs", f"{need!r} is nothing that is known of a customer", spell(need, known))
        for name, template in templates.items() for need in sorted(template.needs - known)
        if not need.startswith("custom_")
    ]  # fmt: skip
