"""Plays and checks as a page tells them: what sets a play off, for whom it is, what it does, when it worked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from worker.facts import kind_named
from worker.plays.arbiter import CHECKS
from worker.plays.files import Play, Step, Variant

_WORKED: Final = re.compile(r"It\s+worked\s+if\s+(?P<what>.+?)\.\s*$", re.DOTALL)


def set_off(play: Play) -> str:
    """`turns yellow or red, and what it answers costs most points`."""
    return ", and ".join(_set_off(play))


def _set_off(play: Play) -> Iterator[str]:
    when = play.when
    if when.band_turns:
        yield f"turns {' or '.join(when.band_turns)}"
    if when.band_left:
        yield f"leaves {' or '.join(when.band_left)}"
    if when.signal:
        yield f"the signal `{when.signal}` comes up"
    if when.fact:
        labelled = f" ({' or '.join(when.fact_label)})" if when.fact_label else ""
        yield f"{_fact(when.fact)}{labelled}"
    if when.days_to_renewal is not None:
        yield f"{when.days_to_renewal} days to the renewal"
    if when.no_usage_for_days is not None:
        yield f"{when.no_usage_for_days} days without use"
    if when.product:
        yield f"a product {when.product}"
    if when.main_driver:
        yield "what it answers costs most points"


def _fact(kind: str) -> str:
    if kind.startswith("custom."):
        return f"the event `{kind}`"
    name = kind_named(kind).singular
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def for_whom(play: Play) -> str:
    """`settled customers, green`."""
    whom = play.whom
    told = [f"{whom.lifecycle} customers"] if whom.lifecycle else []
    told += [", ".join(whom.segment)] if whom.segment else []
    told += [f"not {', '.join(whom.not_segment)}"] if whom.not_segment else []
    told += [f"worth {whom.worth_from} or more"] if whom.worth_from is not None else []
    told += [f"worth less than {whom.worth_below}"] if whom.worth_below is not None else []
    told += [" or ".join(play.when.band)] if play.when.band else []
    return ", ".join(told) or "all"


def does(play: Play) -> str:
    """`a task above your line of worth, below it a mail: low-nps`; what comes later after a semicolon."""
    told = []
    for name, days, step in play.steps:
        words = _by_worth(step) if play.touch == "by worth" else ", ".join(_deeds(play, step))
        if words:
            told.append(f"after {days} days {words}" if name else words)
    if play.collect is not None:
        told.append("once a week a list for the product team")
    return "; ".join(told)


def _by_worth(step: Step) -> str:
    told = ["an alert to the team"] if step.alert else []
    told += ["a task above your line of worth"] if step.task else []
    told += [f"below it {one}" for one in _messages(step)]
    return ", ".join(told)


def _deeds(play: Play, step: Step) -> Iterator[str]:
    if step.alert:
        yield "an alert to the team"
    if step.task and play.touch in ("both", "owner"):
        yield "a task"
    if play.touch in ("both", "tech"):
        yield from _messages(step)


def _messages(step: Step) -> Iterator[str]:
    for what, variants in (("a mail", step.mail), ("a text message", step.sms)):
        if variants:
            yield f"{what}: {' or '.join(_templates(variants))}"


def _templates(variants: Sequence[Variant]) -> list[str]:
    return [f"`{one}`" for one in dict.fromkeys(variant.template for variant in variants)]


def worked_if(play: Play) -> str:
    """How its success is measured: what `about` says after "It worked if"; "" where it does not say so."""
    found = _WORKED.search(play.about)
    return " ".join(found["what"].split()) if found else ""


def checks() -> list[tuple[str, str]]:
    """(name, what it says) of each of the arbiter's checks, in their order."""
    told: list[tuple[str, str]] = []
    for check in CHECKS:
        number, _, words = (check.__doc__ or "").partition(". ")
        if number.strip() != str(len(told) + 1):
            raise ValueError(f"{check.__name__} says that it is number {number.strip()}, and stands {len(told) + 1}th")
        told.append((check.__name__, " ".join(words.split())))
    return told
