"""What a person said against the score: set, at most, at least; with author, reason and end. Pure.

A number limits the score and so the band; a band limits the band at once, without hold, and leaves the number. A person
wins over the rules. The readings stay those of the measures, and what it would be without is computed beside it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

from worker.lib.rounding import half_up, nine, plain
from worker.scoring.bands import Standing
from worker.scoring.card import GREY, HEALTH, Card
from worker.scoring.expressions import BandIs, Known, ScoreOf, leaves, truth
from worker.scoring.score import Assessment, Override

HOWS: Final = ("set", "at_most", "at_least")

_WORDS: Final = {"set": "set to", "at_most": "held at most", "at_least": "held at least"}


def limit_of(text: str, card: Card) -> str | Decimal:
    """Read a limit as people write it: `red`, or `40`. Raises ValueError with what can be written."""
    word = text.strip().casefold()
    if word in card.order:
        return word
    could = f"write {', '.join(card.order)}, or a number from {plain(card.lowest)} to {plain(card.highest)}"
    try:
        score = Decimal(word)
    except InvalidOperation:
        raise ValueError(f"{text[:50]!r} is neither a band of this scorecard nor a score; {could}") from None
    if not score.is_finite() or not card.lowest <= score <= card.highest:
        raise ValueError(f"no score is {text[:50]!r}; {could}")
    return nine(score)


def applied(card: Card, assessment: Assessment, override: Override) -> Assessment:
    """The assessment with the override in force. Where the card has no such band, only its name is kept: it is ignored.

    Of whom too little is known, only `set` says something; a limit leaves them grey.
    """
    limit, how = override.limit, override.how
    if isinstance(limit, str) and limit not in card.order:
        return replace(assessment, override=override)
    score, band = assessment.score, assessment.band
    bound = card.band_of(limit) if isinstance(limit, Decimal) else limit
    at_most, at_least = _limits(card, assessment, how, bound)
    if isinstance(limit, Decimal) and (score is not None or how == "set"):
        score = _limited(score, how, limit)
        if band != GREY:
            band = card.band_of(score)
    if how == "set":
        band = bound
    elif band != GREY:
        band = card.within(band, at_most, at_least)
    return replace(
        assessment, score=score, band=band, at_most=at_most, at_least=at_least,
        signals=_signals(card, assessment, score, band),
        override=override, computed_score=assessment.score, computed_band=assessment.band,
    )  # fmt: skip


def _limited(score: Decimal | None, how: str, limit: Decimal) -> Decimal:
    if score is None or how == "set":
        return limit
    return min(score, limit) if how == "at_most" else max(score, limit)


def _limits(card: Card, assessment: Assessment, how: str, bound: str) -> tuple[str, str]:
    """What the rules allow, with the person's limit: theirs gives way where the two contradict."""
    at_most, at_least = assessment.at_most, assessment.at_least
    if how == "set":
        return bound, bound
    if how == "at_most":
        return card.worst(at_most or bound, bound), card.worst(at_least, bound) if at_least else ""
    return card.best(at_most, bound) if at_most else "", card.best(at_least or bound, bound)


def _signals(card: Card, assessment: Assessment, score: Decimal | None, band: str) -> tuple[str, ...]:
    """Those that look at score or band are asked again; the others cannot have changed."""
    values = {name: value for name, one in assessment.readings.items() if (value := one.value) is not None}
    seen = Known(values, band, card.order, {HEALTH: score}, assessment.dimensions)
    return tuple(
        name
        for name, signal in card.signals.items()
        if (
            truth(signal.when, seen)
            if any(isinstance(leaf, BandIs | ScoreOf) for leaf in leaves(signal.when))
            else name in assessment.signals
        )
    )


def weighed(card: Card, assessment: Assessment, override: Override | None, ended: Override | None) -> Assessment:
    """The assessment with what a person says now, and with what has just ended."""
    said = assessment if override is None else applied(card, assessment, override)
    return said if ended is None else replace(said, ended=ended)


def ended(last: Assessment | None, override: Override | None) -> Override | None:
    """The override that spoke in the last assessment and does no more."""
    before = last.override if last else None
    return before if before and (override is None or override.id != before.id) else None


def released(previous: Standing | None, last: Assessment | None, now: Assessment, at: int) -> Standing | None:
    """Where a customer stands before settling, when an override no longer speaks.

    A band that only the override held is given back at once, by the edges: hold and days are for what the score does by
    itself, and it did nothing. A band that the score had anyway is left to them.
    """
    if previous is None or last is None or last.override is None or last.override == now.override:
        return previous
    if not last.computed_band or last.band == last.computed_band or previous.band == now.band:
        return previous
    return Standing(now.band, at)


# -- in words ---------------------------------------------------------------------------------------------------------


def override_in_words(assessment: Assessment, time_zone: str = "UTC") -> list[str]:
    """`held at most yellow by Ann until 2026-03-01: new owner; without it: green, 85`; and the one that has just ended."""
    lines = []
    if assessment.override is not None:
        words = in_words(assessment.override, time_zone)
        if not assessment.computed_band:
            lines.append(f"{words}; this scorecard has no such band, so it changes nothing")
        else:
            lines.append(f"{words}; without it: {_computed(assessment)}")
    if assessment.ended is not None:
        lines.append(ended_in_words(assessment.ended))
    return lines


def in_words(override: Override, time_zone: str = "UTC") -> str:
    """`held at most yellow by Ann until 2026-03-01: new owner`; the last day on which it speaks, in that zone."""
    said = f"{_WORDS[override.how]} {limit_in_words(override)} by {override.author}"
    return f"{said} until {last_day(override, time_zone)}: {override.reason}"


def limit_in_words(override: Override) -> str:
    """`yellow`, `40`."""
    return plain(override.limit) if isinstance(override.limit, Decimal) else override.limit


def ended_in_words(override: Override) -> str:
    """`the override by Ann (new owner) has ended`."""
    return f"the override by {override.author} ({override.reason}) has ended"


def last_day(override: Override, time_zone: str) -> str:
    """`2026-03-01`."""
    zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
    return datetime.fromtimestamp(override.until - 1, zone).date().isoformat()


def _computed(assessment: Assessment) -> str:
    score = assessment.computed_score
    return assessment.computed_band + ("" if score is None else f", {plain(half_up(score))}")
