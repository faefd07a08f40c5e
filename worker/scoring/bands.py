"""From one assessment to where a customer stands: a band turns only when it is meant.

A turn needs the score to be some points past the line (hold), and to stay there for some days (dwell), each with its
own setting for the worse and for the better. Points are asked first, then the days are counted.

* Rules speak at once: an unpaid invoice is a fact and no wobble, so the band a rule allows at most, or at least, is
  taken without hold.
* Into grey: too little known is no opinion, and an opinion is not taken back for one day's gap, so grey waits the
  days of a turn for the worse. It has no line to be past.
* Out of grey: there is no opinion to hold on to, so the first one is taken at once, by the edges alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from worker.scoring.card import GREY, Card
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


def settle(card: Card, previous: Standing | None, assessment: Assessment, at: int, day: int) -> Standing:
    """Where the customer stands after this assessment of moment `at`, on the customer's local day `day`.

    Running it again for the same moment changes nothing.
    """
    if previous is None or (previous.band != GREY and previous.band not in card.order):
        return Standing(assessment.band, at)  # the first opinion, or the first under a card with other bands
    if previous.band == GREY:
        return previous if assessment.band == GREY else Standing(assessment.band, at)
    held = _limited(card, assessment, previous.band)
    if held != previous.band:
        previous = Standing(held, at)
    target = _limited(card, assessment, _aimed(card, held, assessment))
    if target == held:
        return replace(previous, waiting=None, waiting_since=None)
    return _waited(card, previous, target, at, day)


def _limited(card: Card, assessment: Assessment, band: str) -> str:
    if GREY in {band, assessment.band}:
        return band
    return card.within(band, assessment.at_most, assessment.at_least)


def _aimed(card: Card, band: str, assessment: Assessment) -> str:
    """The band the score is far enough past the lines for, seen from `band`."""
    score = assessment.score
    if assessment.band == GREY or score is None:
        return assessment.band  # without a score it is grey, unless a person has set it
    place = card.order.index(band)
    while place > 0 and _past(score - card.bands[place - 1].edge, card.better.points, above=True):
        place -= 1
    while place < len(card.bands) - 1 and _past(card.bands[place].edge - score, card.worse.points, above=False):
        place += 1
    return card.order[place]


def _past(distance: Decimal, hold: Decimal, *, above: bool) -> bool:
    """Whether a line is crossed by `hold` points. The line itself belongs to the band above it."""
    return distance >= hold and (distance >= 0 if above else distance > 0)


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
