"""From readings to an assessment: points, dimensions, scores, rules, band, drivers, signals. Pure.

The order: each measure's points; the dimensions, innermost first; the score; its bonus; its range; rounding; the rules
(adds together, then the worst `set`, then the highest `at_least`, then the lowest `at_most`, so that the most severe
has the last word); the band; the signals. How parts become one number, and what coverage is: `mixing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final

from worker.lib.rounding import CONTEXT, nine
from worker.scoring.alike import edges_of, look_at_scores, part
from worker.scoring.assessment import Assessment, Driver, Judged, Override
from worker.scoring.card import GREY, HEALTH, Card, Measure, Rule
from worker.scoring.expressions import Known, Value, truth
from worker.scoring.measures import Reading
from worker.scoring.mixing import Frame, dimensions_of, frame
from worker.scoring.points import Table

__all__ = ["Assessment", "Driver", "Judged", "Override", "assess", "effective_points", "known_shares"]

_NONE: Final = Decimal(0)


def assess(
    card: Card, readings: Mapping[str, Reading], *, last_good: Mapping[str, Reading] | None = None
) -> Assessment:
    """Judge one customer.

    A measure whose source is down stays at its reading in `last_good` (an earlier assessment's `readings`), so that
    data which we failed to get turns nobody worse; without one it is not known.
    """
    with localcontext(CONTEXT):
        last_good = last_good or {}
        found: dict[str, Reading] = {}
        values: dict[str, Value] = {}
        for name, _ in card.by_name:
            reading = readings[name]
            if reading.state == "source_down":
                reading = _frozen(reading, last_good.get(name))
            found[name] = reading
            if reading.value is not None:
                values[name] = reading.value
        return _judged(card, found, Known(values, GREY, card.order))


def known_shares(card: Card, known: Iterable[str], seen: Known | None = None) -> dict[str, Decimal]:
    """How much of the score each known measure decides; together 1, or nothing where nothing is known.

    By the shares alone, as if every number were a weighted mean; only where it is (`Card.is_mean`), a driver's points
    are its share. `seen` tells which shares hold, where the card has others for some.
    """
    seen = seen or Known({}, GREY, card.order)
    with localcontext(CONTEXT):
        return dict(frame(card, tuple(sorted(known)), seen).shares)


def effective_points(card: Card) -> dict[str, Decimal]:
    """What each measure can cost the score, in points, while all others are known and at their best.

    By the usual tables and shares, before the range of the score cuts anything off; of a bonus, what it can add.
    Largest first, then by name.
    """
    with localcontext(CONTEXT):
        best = dict(card.full_marks)
        framed = frame(card, tuple(best), Known({}, GREY, card.order))
        found = {}
        for name in best if framed.score.is_known else ():
            without = _at(card, framed, {**best, name: card.bounds[name].low})
            found[name] = nine(_at(card, framed, best) - without)
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


# -- measures ---------------------------------------------------------------------------------------------------------


def _frozen(reading: Reading, last: Reading | None) -> Reading:
    if last is None:
        return reading
    state = last.frozen if last.state == "source_down" else last.state
    return Reading("source_down", last.value, last.current, last.normal, last.day, state)


def _points(measure: Measure, reading: Reading, seen: Known) -> Decimal | None:
    """What a reading is worth; None where it is left out."""
    state = reading.frozen or reading.state
    if state == "value":
        return None if reading.value is None else _awarded(measure, reading.value, seen)
    if state == "never":
        return measure.if_never if reading.current is None else measure.if_no_normal
    if state == "expired":
        return measure.if_expired
    return measure.if_not_applicable if state == "not_applicable" else None


def _awarded(measure: Measure, value: Value, seen: Known) -> Decimal | None:
    for other in measure.instead:
        if truth(other.when, seen):
            return _by(measure, other.points, value)
    if measure.points is None:
        return None
    known = measure.worth
    if value not in known:
        if len(known) >= _MOST:
            known.clear()
        known[value] = _by(measure, measure.points, value)
    return known[value]


def _by(measure: Measure, table: Table, value: Value) -> Decimal | None:
    given = table.awarded(value)
    return None if given is None else measure.shaped(given)


_MOST: Final = 8_192
"""Values whose points a measure keeps, and combinations of them of which a card keeps what its conditions came to."""


# -- the scores -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ruled:
    """What the rules leave of a score, and the bands that they allow ("" for any)."""

    score: Decimal | None
    at_most: str = ""
    at_least: str = ""


def _judged(card: Card, found: Mapping[str, Reading], seen: Known) -> Assessment:
    judged, points, told = _worth(card, found, seen)
    framed = frame(card, tuple(points), seen)
    values = dimensions_of(card, framed, points)
    raw = None
    if framed.score.is_known:
        raw = _in_range(card, _before_range(card, framed, points, values))
    # Rounded only here, at the end, and summed in one order, so that the order of the card decides no digit.
    base, coverage = None if raw is None else nine(raw), framed.coverage
    dimensions = {name: None if value is None else nine(value) for name, value in values.items()}
    bases = {HEALTH: base, **_others(card, framed, points, values)}
    is_known = base is not None and coverage >= card.least_known
    scores = {name: _rounded(card, name, value) for name, value in bases.items()}
    band = _band(card, base if card.cut_raw else scores[HEALTH]) if is_known else GREY
    rules: Mapping[str, Rule] = _asked(card, _fired, told, Known(seen.values, band, card.order, scores, dimensions))
    ruled = {name: _limited(card, name, value, rules) for name, value in bases.items()}
    health = ruled.pop(HEALTH)
    raw_score = _limited(card, HEALTH, base, rules, rounded=False).score if card.cut_raw else None
    if is_known:
        band = card.within(_band(card, raw_score if card.cut_raw else health.score), health.at_most, health.at_least)
    else:
        band = card.only(health.at_most, health.at_least) or GREY
    others = {name: one.score for name, one in ruled.items()}
    after = Known(seen.values, band, card.order, {HEALTH: health.score, **others}, dimensions)
    return Assessment(
        score=health.score,
        band=band,
        coverage=coverage,
        dimensions=dimensions,
        measures=judged,
        drivers=() if raw is None else _drivers(card, framed, points, raw),
        rules=tuple(rules),
        signals=_asked(card, _signals, told, after),
        at_most=health.at_most,
        at_least=health.at_least,
        scores=others,
        raw=raw_score,
    )


def _worth(
    card: Card, found: Mapping[str, Reading], seen: Known
) -> tuple[dict[str, Judged], dict[str, Decimal], tuple[object, ...]]:
    """Every measure with its points; the points, not rounded, of those that are known and may move something; and what
    the conditions can tell of each.
    """
    judged: dict[str, Judged] = {}
    points: dict[str, Decimal] = {}
    told = []
    kept: Mapping[str, Mapping[int, _Worth]] = card.judged
    for name, measure in card.by_name:
        reading = found[name]
        worth = kept[name].get(id(reading)) or _judged_alone(card, measure, reading, seen)
        judged[name] = worth.judged
        told.append(worth.told)
        if worth.counts is not None:
            points[name] = worth.counts
    return judged, points, tuple(told)


@dataclass(frozen=True, slots=True)
class _Worth:
    """One reading of one measure."""

    judged: Judged
    """It holds the reading, so that nothing else can have its id while this is kept."""
    counts: Decimal | None
    """Its points, not rounded; None where it is not known or may not move anything."""
    told: object
    """What conditions can tell of its value."""


def _judged_alone(card: Card, measure: Measure, reading: Reading, seen: Known) -> _Worth:
    """What a reading is worth; kept, where the readings of other measures cannot change it."""
    if "edges" not in card.kept:
        card.kept["edges"] = edges_of(card)
    told = part(card.kept["edges"], measure.name, reading.value)
    given = None if measure.points is None else _points(measure, reading, seen)
    counts = None if measure.watch_only else given
    worth = _Worth(Judged(reading, None if given is None else nine(given)), counts, told)
    if not measure.instead:
        kept = card.judged[measure.name]
        if len(kept) >= _MOST:
            kept.clear()
        kept[id(reading)] = worth
    return worth


def _in_range(card: Card, number: Decimal) -> Decimal:
    return min(max(number, card.lowest), card.highest)


def _band(card: Card, score: Decimal | None) -> str:
    return GREY if score is None else card.band_of(score)


def _rounded(card: Card, name: str, number: Decimal | None) -> Decimal | None:
    mix = card.score if name == HEALTH else card.scores[name]
    return None if number is None else mix.rounded(number)


def _bonus(card: Card, points: Mapping[str, Decimal]) -> Decimal:
    """What the bonus measures add: all of it for full marks, nothing for the fewest points or what is not known."""
    return sum(
        (
            most * (_in_range(card, points[name]) - card.lowest) / (card.highest - card.lowest)
            for name, most in sorted(card.bonus.items())
            if name in points
        ),
        _NONE,
    )


def _others(
    card: Card, framed: Frame, points: Mapping[str, Decimal], dimensions: Mapping[str, Decimal | None]
) -> dict[str, Decimal | None]:
    """The scores beside health, before their rules, not rounded but to nine."""
    return {
        blend.name: nine(_in_range(card, blend.value(card, points, dimensions))) if blend.is_known else None
        for blend in framed.others
    }


# -- rules ------------------------------------------------------------------------------------------------------------


def _asked(card: Card, how: Callable[[Card, Known], Any], told: tuple[object, ...], seen: Known) -> Any:
    """What the rules or the signals come to; asked once for all of whom the conditions can tell the same."""
    if "looks_at_scores" not in card.kept:
        card.kept["looks_at_scores"] = look_at_scores(card)
    if card.kept["looks_at_scores"]:
        return how(card, seen)
    known = card.kept.setdefault(how.__name__, {})
    key = (told, seen.band)
    if key not in known:
        if len(known) >= _MOST:
            known.clear()
        known[key] = how(card, seen)
    return known[key]


def _signals(card: Card, seen: Known) -> tuple[str, ...]:
    return tuple(name for name, signal in card.signals.items() if truth(signal.when, seen))


def _fired(card: Card, seen: Known) -> dict[str, Rule]:
    """The rules that hold, in the order of the card; with `first_rule_only` the first of each score."""
    fired: dict[str, Rule] = {}
    for name, rule in card.rules.items():
        if card.first_rule_only and any(rule.score == other.score for other in fired.values()):
            continue
        if truth(rule.when, seen):
            fired[name] = rule
    return fired


def _limited(card: Card, name: str, base: Decimal | None, fired: Mapping[str, Rule], *, rounded: bool = True) -> _Ruled:
    """One score and the bands that the rules leave it. Where two contradict, the most severe has the last word."""
    said = _said(card, name, fired)
    score = base
    if score is not None:
        score = nine(_in_range(card, score + said.add)) if said.speak else score
        score = _rounded(card, name, score) if rounded else score
    if score is not None:
        score = score if said.set is None else said.set
        score = score if said.floor is None else max(score, said.floor)
        score = score if said.cap is None else min(score, said.cap)
    return _Ruled(score, said.at_most, said.at_least)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the rules that fired say of one score together."""

    speak: bool
    """Whether there are any."""
    add: Decimal
    set: Decimal | None
    floor: Decimal | None
    cap: Decimal | None
    at_most: str
    at_least: str


def _said(card: Card, name: str, fired: Mapping[str, Rule]) -> _Said:
    """Worked out once for all of whom the same rules fired."""
    known: dict[tuple[str, ...], _Said] = card.kept.setdefault("said", {})
    key = (name, *fired)
    if key in known:
        return known[key]
    rules = [rule for rule in fired.values() if rule.score == name]
    fixed, floors, caps = ([one for rule in rules if (one := getattr(rule, how)) is not None] for how in _HOWS)
    at_most = at_least = ""
    if name == HEALTH:
        at_most = card.worst(*bands) if (bands := _bands(card, caps)) else ""
        at_least = card.best(*bands) if (bands := _bands(card, floors)) else ""
        if fixed:
            at_most = at_least = card.within(card.worst(*_bands(card, fixed)), at_most, at_least)
    known[key] = _Said(
        bool(rules),
        sum((rule.add for rule in rules), _NONE),
        min((one for one in fixed if isinstance(one, Decimal)), default=None),
        max((one for one in floors if isinstance(one, Decimal)), default=None),
        min((one for one in caps if isinstance(one, Decimal)), default=None),
        at_most,
        at_least,
    )
    return known[key]


_HOWS: Final = ("set", "at_least", "at_most")


def _bands(card: Card, limits: Iterable[str | Decimal]) -> list[str]:
    """The bands that limits hold to; a number holds to the band it lies in."""
    return [card.band_of(limit) if isinstance(limit, Decimal) else limit for limit in limits]


# -- what a measure costs ---------------------------------------------------------------------------------------------


def _drivers(card: Card, framed: Frame, points: Mapping[str, Decimal], raw: Decimal) -> tuple[Driver, ...]:
    """What each measure costs the score before the rules, against its best."""
    lost: dict[str, Decimal] = {}
    if card.is_mean:
        costs = []
        for name, share in framed.shares.items():
            key = (name, points[name])
            cost = framed.costs.get(key)
            if cost is None:
                if len(framed.costs) >= _MOST:
                    framed.costs.clear()
                driver = Driver(name, nine(share * (card.highest - points[name])))
                cost = framed.costs[key] = (-driver.points_lost, name, driver)
            if cost[0] < 0:
                costs.append(cost)
        costs.sort()
        return tuple([driver for _, _, driver in costs])
    for name, best in card.full_marks.items():
        if name in points and best > points[name]:
            better = _at(card, framed, {**points, name: best})
            lost[name] = nine(_in_range(card, better) - raw)
    found = [Driver(name, cost) for name, cost in lost.items() if cost > 0]
    found.sort(key=lambda one: (-one.points_lost, one.measure))
    return tuple(found)


def _at(card: Card, framed: Frame, points: Mapping[str, Decimal]) -> Decimal:
    """What the score would be before its range, by these points. Only where it is known."""
    return _before_range(card, framed, points, dimensions_of(card, framed, points))


def _before_range(
    card: Card, framed: Frame, points: Mapping[str, Decimal], dimensions: Mapping[str, Decimal | None]
) -> Decimal:
    """The score with its bonus, before its range cuts anything off."""
    value = framed.score.value(card, points, dimensions)
    return value + _bonus(card, points) if card.bonus else value
