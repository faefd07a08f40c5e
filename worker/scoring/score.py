"""From readings to an assessment: points, dimensions, score, rules, band, drivers, signals. Pure.

A dimension is the mean of its known measures weighted by their shares; the score is the mean of the known dimensions
weighted by theirs. Coverage is the share of importance that was known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Any

from worker.lib.rounding import CONTEXT, nine, plain
from worker.scoring.card import GREY, HEALTH, Card, Measure, Rule
from worker.scoring.expressions import Known, truth
from worker.scoring.measures import Reading
from worker.scoring.points import FULL


@dataclass(frozen=True, slots=True)
class Judged:
    """A measure's reading, and the points it was given; None is left out: it counts as not known."""

    reading: Reading
    points: Decimal | None


@dataclass(frozen=True, slots=True)
class Driver:
    """What a measure costs the score, in points out of 100, over what is known."""

    measure: str
    points_lost: Decimal


@dataclass(frozen=True, slots=True)
class Override:
    """What a person said against the score or the band, with an end; `overrides.applied` puts it to an assessment."""

    id: str
    how: str
    """set, at_most or at_least."""
    limit: str | Decimal
    """A band's name, or a score from 0 to 100."""
    author: str
    reason: str
    since: int
    """Epoch seconds: it speaks from here on …"""
    until: int
    """… to just before here."""


@dataclass(frozen=True)
class Assessment:
    """A customer at one moment, under one card. Numbers have nine decimals at most."""

    score: Decimal | None
    """0 to 100, after the rules; None where nothing is known."""
    band: str
    """As the score and the rules cut it, before any hold; grey below the least coverage."""
    coverage: Decimal
    """0 to 1."""
    dimensions: Mapping[str, Decimal | None]
    measures: Mapping[str, Judged]
    drivers: tuple[Driver, ...]
    """The largest first, then by name; what costs nothing is no driver."""
    rules: tuple[str, ...]
    """Those that fired, in the order of the card."""
    signals: tuple[str, ...]
    at_most: str = ""
    """The band that the rules which fired allow at most; "" for any. They speak at once, without hold."""
    at_least: str = ""
    override: Override | None = None
    """The one in force; it wins over the rules."""
    computed_score: Decimal | None = None
    """What the score would be without the override; None as well where there is none."""
    computed_band: str = ""
    """What the band would be without the override; "" where there is none, or it speaks of a band the card lacks."""
    ended: Override | None = None
    """The one that spoke until the assessment before this, and does no more."""

    @property
    def readings(self) -> dict[str, Reading]:
        """What to hand in as `last_good` next time."""
        return {name: judged.reading for name, judged in self.measures.items()}

    def to_json(self) -> str:
        """Stable text for `scores.detail`: equal assessments give equal bytes."""
        return self._text

    @cached_property
    def _text(self) -> str:
        # Asked for twice of everyone: whether it says the same as before, and to be kept.
        return json.dumps(_shown(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Assessment:
        """Read what `to_json` wrote."""
        return _told(json.loads(text))


def assess(
    card: Card, readings: Mapping[str, Reading], *, last_good: Mapping[str, Reading] | None = None
) -> Assessment:
    """Judge one customer.

    A measure whose source is down stays at its reading in `last_good` (an earlier assessment's `readings`), so that
    data which we failed to get turns nobody worse; without one it is not known.
    """
    with localcontext(CONTEXT):
        found = {name: _frozen(readings[name], (last_good or {}).get(name)) for name in sorted(card.measures)}
        given = {name: _points(card.measures[name], reading) for name, reading in found.items()}
        judged = {
            name: Judged(reading, None if (points := given[name]) is None else nine(points))
            for name, reading in found.items()
        }
        known = {name: one for name, one in given.items() if one is not None and not card.measures[name].watch_only}
        return _ruled(card, judged, known)


def known_shares(card: Card, known: Iterable[str]) -> dict[str, Decimal]:
    """How much of the score each known measure decides; together 1, or nothing where nothing is known."""
    names = set(known)
    with localcontext(CONTEXT):
        inside = {
            name: sum((share for measure, share in dimension.measures.items() if measure in names), Decimal(0))
            for name, dimension in card.dimensions.items()
        }
        whole = sum(card.score.dimensions[name] for name, total in inside.items() if total)
        return {
            measure: card.score.dimensions[name] / whole * (share / inside[name])
            for name, dimension in card.dimensions.items()
            for measure, share in dimension.measures.items()
            if measure in names
        }


def _frozen(reading: Reading, last: Reading | None) -> Reading:
    if reading.state != "source_down" or last is None:
        return reading
    state = last.frozen if last.state == "source_down" else last.state
    return Reading("source_down", last.value, last.current, last.normal, last.day, state)


def _points(measure: Measure, reading: Reading) -> Decimal | None:
    state = reading.frozen or reading.state
    if state == "never":
        return measure.if_never if reading.current is None else measure.if_no_normal
    if state != "value" or reading.value is None or measure.points is None:
        return None
    return measure.points.awarded(reading.value)


def _mean(parts: Iterable[tuple[Decimal, Decimal]]) -> Decimal | None:
    """The weighted mean of (share, value); None of nothing."""
    weighed = list(parts)
    whole = sum(share for share, _ in weighed)
    return sum((share * value for share, value in weighed), Decimal(0)) / whole if whole else None


def _coverage(card: Card, points: Mapping[str, Decimal]) -> Decimal:
    known = sum(
        (
            card.score.dimensions[name] * share
            for name, dimension in card.dimensions.items()
            for measure, share in dimension.measures.items()
            if measure in points
        ),
        Decimal(0),
    )
    return nine(known / (FULL * FULL))


def _drivers(card: Card, points: Mapping[str, Decimal]) -> tuple[Driver, ...]:
    lost = [Driver(name, nine(share * (FULL - points[name]))) for name, share in known_shares(card, points).items()]
    return tuple(sorted((one for one in lost if one.points_lost), key=lambda one: (-one.points_lost, one.measure)))


def _ruled(
    card: Card,
    judged: Mapping[str, Judged],
    points: Mapping[str, Decimal],
) -> Assessment:
    # Rounded only here, at the end, and summed in one order, so that the order of the card decides no digit.
    dimensions = {
        name: _mean(
            (share, points[measure]) for measure, share in sorted(dimension.measures.items()) if measure in points
        )
        for name, dimension in sorted(card.dimensions.items())
    }
    mean = _mean((card.score.dimensions[name], value) for name, value in dimensions.items() if value is not None)
    base = None if mean is None else nine(mean)
    values = {name: one.reading.value for name, one in judged.items() if one.reading.value is not None}
    coverage = _coverage(card, points)
    known = base is not None and coverage >= card.least_known
    band = card.band_of(base) if base is not None and known else GREY
    seen = Known(values, band, card.order, {HEALTH: base}, dimensions)
    rules = {name: rule for name, rule in card.rules.items() if truth(rule.when, seen)}
    score, at_most, at_least = _limited(card, base, rules.values())
    if known and score is not None:
        band = card.within(card.band_of(score), at_most, at_least)
    ruled = Known(values, band, card.order, {HEALTH: score}, dimensions)
    return Assessment(
        score=score,
        band=band,
        coverage=coverage,
        dimensions={name: None if value is None else nine(value) for name, value in dimensions.items()},
        measures=judged,
        drivers=_drivers(card, points),
        rules=tuple(rules),
        signals=tuple(name for name, signal in card.signals.items() if truth(signal.when, ruled)),
        at_most=at_most,
        at_least=at_least,
    )


def _limited(card: Card, base: Decimal | None, rules: Iterable[Rule]) -> tuple[Decimal | None, str, str]:
    """The score and the bands that the rules leave. Where two contradict, the most severe has the last word."""
    at_most, at_least = [], []
    floor, cap = Decimal(0), FULL
    for rule in rules:
        if isinstance(rule.at_most, Decimal):
            cap = min(cap, rule.at_most)
        elif rule.at_most:
            at_most.append(rule.at_most)
        if isinstance(rule.at_least, Decimal):
            floor = max(floor, rule.at_least)
        elif rule.at_least:
            at_least.append(rule.at_least)
    if cap < FULL:
        at_most.append(card.band_of(cap))
    if floor > 0:
        at_least.append(card.band_of(floor))
    score = None if base is None else min(max(base, floor), cap)
    return score, card.worst(*at_most) if at_most else "", card.best(*at_least) if at_least else ""


# -- as text ----------------------------------------------------------------------------------------------------------


def _number(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _shown(assessment: Assessment) -> dict[str, Any]:
    return {
        "score": _number(assessment.score),
        "band": assessment.band,
        "coverage": _number(assessment.coverage),
        "dimensions": {name: _number(value) for name, value in assessment.dimensions.items()},
        "measures": {
            name: {
                "state": one.reading.state,
                "value": _number(one.reading.value),
                "current": _number(one.reading.current),
                "normal": _number(one.reading.normal),
                "day": one.reading.day,
                "frozen": one.reading.frozen,
                "points": _number(one.points),
            }
            for name, one in assessment.measures.items()
        },
        "drivers": [[one.measure, _number(one.points_lost)] for one in assessment.drivers],
        "rules": list(assessment.rules),
        "signals": list(assessment.signals),
        "at_most": assessment.at_most,
        "at_least": assessment.at_least,
        **_override_shown(assessment),
    }


def _override_shown(assessment: Assessment) -> dict[str, Any]:
    """Nothing where there is no override, so that the text of all others is as short as it was."""
    shown: dict[str, Any] = {}
    if assessment.override is not None:
        shown["override"] = _said(assessment.override)
        shown["computed_score"] = _number(assessment.computed_score)
        shown["computed_band"] = assessment.computed_band
    if assessment.ended is not None:
        shown["ended"] = _said(assessment.ended)
    return shown


def _said(override: Override) -> dict[str, Any]:
    limit = override.limit
    return {
        "id": override.id,
        "how": override.how,
        "band": limit if isinstance(limit, str) else None,
        "score": _number(limit) if isinstance(limit, Decimal) else None,
        "author": override.author,
        "reason": override.reason,
        "since": override.since,
        "until": override.until,
    }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _told(data: Mapping[str, Any]) -> Assessment:
    return Assessment(
        score=_decimal(data["score"]),
        band=data["band"],
        coverage=Decimal(data["coverage"]),
        dimensions={name: _decimal(value) for name, value in data["dimensions"].items()},
        measures={
            name: Judged(
                Reading(
                    one["state"],
                    _decimal(one["value"]),
                    _decimal(one["current"]),
                    _decimal(one["normal"]),
                    one["day"],
                    one["frozen"],
                ),
                _decimal(one["points"]),
            )
            for name, one in data["measures"].items()
        },
        drivers=tuple(Driver(name, Decimal(lost)) for name, lost in data["drivers"]),
        rules=tuple(data["rules"]),
        signals=tuple(data["signals"]),
        at_most=data["at_most"],
        at_least=data["at_least"],
        override=_override(data.get("override")),
        computed_score=_decimal(data.get("computed_score")),
        computed_band=data.get("computed_band", ""),
        ended=_override(data.get("ended")),
    )


def _override(data: Mapping[str, Any] | None) -> Override | None:
    if data is None:
        return None
    limit: str | Decimal = data["band"] if data["band"] is not None else Decimal(data["score"])
    return Override(data["id"], data["how"], limit, data["author"], data["reason"], data["since"], data["until"])
