"""From one assessment to where a customer stands: a band turns only when it is meant.

A turn needs the score to be some points past the line (hold), and to stay there for some days (dwell), each with its
own setting for the worse and for the better. Points are asked first, then the days are counted.

* Rules speak at once: an unpaid invoice is a fact and no wobble, so the band a rule allows at most, or at least, is
  taken without hold.
* Into grey: too little known is no opinion, and an opinion is not taken back for one day's gap, so grey waits the
  days of a turn for the worse. It has no line to be past.
* Out of grey: there is no opinion to hold on to, so the first one is taken at once, by the edges alone.
* While a source is down, a band turns only as far as what is known carries: for the worse, as if every frozen measure
  gave the most it can; for the better, as if each gave the least; out of grey, where both agree. Otherwise it stands still,
  and the days of waiting do not pass. So an unpaid invoice still speaks at once while the usage is not coming in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from worker.scoring.card import GREY, Band, Card, Measure, Rule
from worker.scoring.measures import Reading
from worker.scoring.points import FULL, Step, Steps
from worker.scoring.rests import names_in
from worker.scoring.score import Assessment


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a customer stands."""

    band: str
    since: int
    """Epoch seconds: the moment whose assessment turned the band."""
    waiting: str | None = None
    """The band that waits for its days to pass."""
    waiting_since: int | None = None
    """The number of the customer's local day on which it began to wait."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a customer's assessment could be at best and at worst, while measures are frozen."""

    best: Assessment
    worst: Assessment
    looked: int
    """The number of the customer's local day on which they were last assessed."""


def settle(
    card: Card, previous: Standing | None, assessment: Assessment, at: int, day: int, frozen: Frozen | None = None
) -> Standing:
    """Where the customer stands after this assessment of moment `at`, on the customer's local day `day`.

    `frozen` is None where every source is well. Running it again for the same moment changes nothing.
    """
    if previous is None or (previous.band != GREY and previous.band not in card.order):
        return Standing(assessment.band, at)  # the first opinion, or the first under a card with other bands
    if frozen is None:
        return _settled(card, previous, assessment, at, day)
    if previous.band == GREY:
        agreed = {assessment.band, frozen.best.band, frozen.worst.band}
        return previous if len(agreed) > 1 else _settled(card, previous, assessment, at, day)
    at_best = _settled(card, previous, frozen.best, at, day)
    if _leans(card, previous.band, at_best, worse=True):
        return at_best
    at_worst = _settled(card, previous, frozen.worst, at, day)
    if _leans(card, previous.band, at_worst, worse=False):
        return at_worst
    if previous.waiting_since is None:
        return previous
    return replace(previous, waiting_since=min(day, previous.waiting_since + max(0, day - frozen.looked)))


def _leans(card: Card, band: str, standing: Standing, *, worse: bool) -> bool:
    """Whether it has turned from the band to that side, or waits to."""
    return any(
        one != band and (one == GREY or (card.worst(band, one) == one)) is worse
        for one in (standing.band, standing.waiting or standing.band)
    )


def frozen_of(
    card: Card,
    readings: Mapping[str, Reading],
    judge: Callable[[Card, Mapping[str, Reading]], Assessment],
    looked: int,
) -> Frozen | None:
    """What the customer could be at best and at worst; None where no source of what counts is down.

    `judge` gives the assessment under a card and readings. At best no rule that reads a frozen measure limits; at worst
    none of them lifts.
    """
    down = {name for name, reading in readings.items() if reading.state == "source_down"}
    if not down:
        return None
    counts = {*card.in_dimensions(), *(name for rule in card.rules.values() for name in _named(rule))}
    if not any(name in counts and not card.measures[name].watch_only for name in down):
        return None
    best, worst = (judge(*_given(card, readings, down, best=best)) for best in (True, False))
    return Frozen(best, worst, looked)


def _given(
    card: Card, readings: Mapping[str, Reading], down: set[str], *, best: bool
) -> tuple[Card, dict[str, Reading]]:
    """The card and readings as if every measure that is down gave the most it can give, or the least."""
    measures = {name: _worth(one, best=best) if name in down else one for name, one in card.measures.items()}
    rules = {name: _one_sided(rule, best=best) if _named(rule) & down else rule for name, rule in card.rules.items()}
    unknown = {name for name in down if readings[name].value is None}
    given = {name: Reading("never") if name in unknown else one for name, one in readings.items()}
    return replace(card, measures=measures, rules=rules), given


def _worth(measure: Measure, *, best: bool) -> Measure:
    """The same measure, always worth the most (or least) of its tables and of what it gives without a value."""
    tables = [measure.points, *(other.points for other in measure.instead)]
    marks = [(table.highest if best else table.lowest) for table in tables if table is not None] or [FULL]
    marks += [one for one in (measure.if_never, measure.if_no_normal, measure.if_expired) if one is not None]
    worth = max(marks) if best else min(marks)
    always = Steps((Step("otherwise", None, worth),))
    return replace(
        measure, points=always, instead=(), if_never=worth, if_no_normal=worth, if_expired=worth,
        if_not_applicable=worth,
    )  # fmt: skip


def _one_sided(rule: Rule, *, best: bool) -> Rule:
    if best:
        return replace(rule, at_most=None, set=None, add=max(rule.add, Decimal(0)))
    return replace(rule, at_least=None, set=None, add=min(rule.add, Decimal(0)))


def _named(rule: Rule) -> set[str]:
    """The measures, and the sentences, that a rule reads."""
    return set(names_in(rule.when))


def _settled(card: Card, previous: Standing, assessment: Assessment, at: int, day: int) -> Standing:
    if previous.band == GREY:
        return previous if assessment.band == GREY else Standing(assessment.band, at)
    held = _limited(card, assessment, previous.band)
    if held != previous.band:
        previous = Standing(held, at)
    target = _limited(card, assessment, _aimed(card, held, assessment))
    if target == held:
        return previous if previous.waiting is None else replace(previous, waiting=None, waiting_since=None)
    return _waited(card, previous, target, at, day)


def _limited(card: Card, assessment: Assessment, band: str) -> str:
    if GREY in {band, assessment.band}:
        return band
    return card.within(band, assessment.at_most, assessment.at_least)


def _aimed(card: Card, band: str, assessment: Assessment) -> str:
    """The band the score is far enough past the lines for, seen from `band`."""
    cut = assessment.cut
    if assessment.band == GREY or cut is None:
        return assessment.band  # without a score it is grey, unless a person or a rule leaves only one band
    place = card.order.index(band)
    while place > 0 and _up(card.bands[place - 1], cut, card.better.points):
        place -= 1
    while place < len(card.bands) - 1 and _down(card.bands[place], cut, card.worse.points):
        place += 1
    return card.order[place]


def _up(band: Band, cut: Decimal, hold: Decimal) -> bool:
    """Whether the line into a better band is crossed by `hold` points."""
    return band.takes(cut) and cut - band.edge >= hold


def _down(band: Band, cut: Decimal, hold: Decimal) -> bool:
    """Whether the line out of a band is crossed by `hold` points."""
    return not band.takes(cut) and band.edge - cut >= hold


def _waited(card: Card, previous: Standing, target: str, at: int, day: int) -> Standing:
    worse = target == GREY or card.worst(previous.band, target) == target
    dwell = (card.worse if worse else card.better).days
    waiting, since = target, day
    if previous.waiting_since is not None and _same_way(card, previous, target):
        waiting, since = _milder(card, previous, target), previous.waiting_since
    if day - since < dwell:
        return replace(previous, waiting=waiting, waiting_since=since)
    turned = Standing(waiting, at)
    return turned if waiting == target else replace(turned, waiting=target, waiting_since=day)


def _same_way(card: Card, previous: Standing, target: str) -> bool:
    """Whether what waits and the new target lie on the same side of the band; grey is a side of its own."""
    waiting = previous.waiting
    if waiting == GREY or target == GREY or waiting not in card.order:
        return waiting == target
    here = card.order.index(previous.band)
    return (card.order.index(waiting) > here) == (card.order.index(target) > here)


def _milder(card: Card, previous: Standing, target: str) -> str:
    """Of what waits and the target, the one nearer to the band: what has been true for all of the days."""
    waiting = previous.waiting or target
    if GREY in {waiting, target}:
        return target
    here = card.order.index(previous.band)
    return min(waiting, target, key=lambda band: abs(card.order.index(band) - here))
