"""What was found about a customer at one moment, and the text it is kept as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Final

from worker.lib.rounding import plain
from worker.scoring.measures import Reading


@dataclass(frozen=True)
class Judged:
    """A measure's reading, and the points it was given; None is left out: it counts as not known."""

    reading: Reading
    points: Decimal | None

    @cached_property
    def text(self) -> str:
        """As it is kept; written once for all customers who share it."""
        return _judged(self)


@dataclass(frozen=True)
class Driver:
    """What a measure costs the score against its best, in points, over what is known."""

    measure: str
    points_lost: Decimal

    @cached_property
    def text(self) -> str:
        """As it is kept; written once for all customers who share it."""
        return f"[{_quoted(self.measure)},{_number(self.points_lost)}]"


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
    """In the card's range (0 to 100), rounded as the card says, after the rules; None where too little is known."""
    band: str
    """As the score and the rules cut it, before any hold; grey below the least coverage."""
    coverage: Decimal
    """0 to 1."""
    dimensions: Mapping[str, Decimal | None]
    measures: Mapping[str, Judged]
    """Those that only a condition speaks are among them, by their sentences."""
    drivers: tuple[Driver, ...]
    """The largest first, then by name; what costs nothing is no driver."""
    rules: tuple[str, ...]
    """Those that fired, in the order of the card."""
    signals: tuple[str, ...]
    at_most: str = ""
    """The band that the rules which fired allow at most; "" for any. They speak at once, without hold."""
    at_least: str = ""
    scores: Mapping[str, Decimal | None] = field(default_factory=dict)
    """The card's other scores, after the rules."""
    raw: Decimal | None = None
    """The score before it was rounded, where the card cuts its bands on that; None everywhere else."""
    override: Override | None = None
    """The one in force, where it speaks of this card's bands; it wins over the rules."""
    computed_score: Decimal | None = None
    """What the score would be without the override; None as well where there is none."""
    computed_band: str = ""
    """What the band would be without the override; "" where there is none."""
    ended: Override | None = None
    """The one that spoke until the assessment before this, and does no more."""

    @property
    def readings(self) -> dict[str, Reading]:
        """What to hand in as `last_good` next time."""
        return {name: judged.reading for name, judged in self.measures.items()}

    @property
    def cut(self) -> Decimal | None:
        """The number that bands are cut on: the score, or what it was before rounding; a person's word is the score."""
        return self.score if self.raw is None or self.override is not None else self.raw

    def to_json(self) -> str:
        """Stable text for `scores.detail`: equal assessments give equal bytes."""
        return self._text

    @cached_property
    def _text(self) -> str:
        # Asked for twice of everyone: whether it says the same as before, and to be kept. Written out by hand, keys
        # sorted and without spaces, because json.dumps over a tree of dicts takes longer than all of the judging.
        return _object(_shown(self))

    @classmethod
    def from_json(cls, text: str) -> Assessment:
        """Read what `to_json` wrote."""
        return _told(json.loads(text))


# -- to text ----------------------------------------------------------------------------------------------------------

_NULL: Final = "null"


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    """A JSON string; the same few names come again for every customer."""
    return json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=16384)
def _number(number: Decimal | None) -> str:
    """As short as it goes, in quotes; equal numbers are written alike, and small counts and whole points come often."""
    return _NULL if number is None else f'"{plain(number)}"'


def _object(shown: Mapping[str, str]) -> str:
    return "{" + ",".join([f"{_key(name)}{shown[name]}" for name in sorted(shown)]) + "}"


@lru_cache(maxsize=4096)
def _key(name: str) -> str:
    return f"{_quoted(name)}:"


def _list(shown: tuple[str, ...]) -> str:
    return "[" + ",".join([_quoted(one) for one in shown]) + "]"


def _shown(assessment: Assessment) -> dict[str, str]:
    """Every key with its value as JSON. What most cards do not have is left out, so that stored texts stay short."""
    shown = {
        "score": _number(assessment.score),
        "band": _quoted(assessment.band),
        "coverage": _number(assessment.coverage),
        "dimensions": _object({name: _number(value) for name, value in assessment.dimensions.items()}),
        "measures": _object({name: one.text for name, one in assessment.measures.items()}),
        "drivers": f"[{','.join([one.text for one in assessment.drivers])}]",
        "rules": _list(assessment.rules),
        "signals": _list(assessment.signals),
        "at_most": _quoted(assessment.at_most),
        "at_least": _quoted(assessment.at_least),
    }
    if assessment.scores:
        shown["scores"] = _object({name: _number(value) for name, value in assessment.scores.items()})
    if assessment.raw is not None:
        shown["raw"] = _number(assessment.raw)
    if assessment.override is not None:
        shown["override"] = _said(assessment.override)
        shown["computed_score"] = _number(assessment.computed_score)
        shown["computed_band"] = _quoted(assessment.computed_band)
    if assessment.ended is not None:
        shown["ended"] = _said(assessment.ended)
    return shown


def _judged(one: Judged) -> str:
    """A measure, without what is None; a value that is a text stands under `text` instead of `value`."""
    reading = one.reading
    numbers = {"current": reading.current, "normal": reading.normal, "points": one.points}
    shown = {name: _number(number) for name, number in numbers.items() if number is not None}
    shown["state"] = _quoted(reading.state)
    if reading.value is not None:
        is_text = isinstance(reading.value, str)
        shown["text" if is_text else "value"] = _quoted(reading.value) if is_text else _number(reading.value)
    if reading.day is not None:
        shown["day"] = str(reading.day)
    if reading.frozen is not None:
        shown["frozen"] = _quoted(reading.frozen)
    return _object(shown)


def _said(override: Override) -> str:
    limit = override.limit
    return _object(
        {
            "id": _quoted(override.id),
            "how": _quoted(override.how),
            "band": _quoted(limit) if isinstance(limit, str) else _NULL,
            "score": _number(limit) if isinstance(limit, Decimal) else _NULL,
            "author": _quoted(override.author),
            "reason": _quoted(override.reason),
            "since": str(override.since),
            "until": str(override.until),
        }
    )


# -- from text --------------------------------------------------------------------------------------------------------


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _told(data: Mapping[str, Any]) -> Assessment:
    return Assessment(
        score=_decimal(data["score"]),
        band=data["band"],
        coverage=Decimal(data["coverage"]),
        dimensions={name: _decimal(value) for name, value in data["dimensions"].items()},
        measures={name: _told_measure(one) for name, one in data["measures"].items()},
        drivers=tuple(Driver(name, Decimal(lost)) for name, lost in data["drivers"]),
        rules=tuple(data["rules"]),
        signals=tuple(data["signals"]),
        at_most=data["at_most"],
        at_least=data["at_least"],
        scores={name: _decimal(value) for name, value in data.get("scores", {}).items()},
        raw=_decimal(data.get("raw")),
        override=_override(data.get("override")),
        computed_score=_decimal(data.get("computed_score")),
        computed_band=data.get("computed_band", ""),
        ended=_override(data.get("ended")),
    )


def _told_measure(one: Mapping[str, Any]) -> Judged:
    value = one["text"] if "text" in one else _decimal(one.get("value"))
    current, normal = _decimal(one.get("current")), _decimal(one.get("normal"))
    reading = Reading(one["state"], value, current, normal, one.get("day"), one.get("frozen"))
    return Judged(reading, _decimal(one.get("points")))


def _override(data: Mapping[str, Any] | None) -> Override | None:
    if data is None:
        return None
    limit: str | Decimal = data["band"] if data["band"] is not None else Decimal(data["score"])
    return Override(data["id"], data["how"], limit, data["author"], data["reason"], data["since"], data["until"])
