"""A score in words: what each measure says, what good looks like, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from worker.lib.rounding import half_up, plain
from worker.scoring import counterfactual, overrides
from worker.scoring.bands import Standing
from worker.scoring.card import GREY, HEALTH, Card, Measure, Rule
from worker.scoring.derived import Formula
from worker.scoring.expressions import Known, Value, truth
from worker.scoring.measures import Reading
from worker.scoring.points import Each, Table
from worker.scoring.reads import Read
from worker.scoring.score import Assessment, Driver
from worker.scoring.spoken import read_in_words

_EPOCH: Final = date(1970, 1, 1)

_LONGEST: Final = 250
"""What a text field of a CRM takes."""

_STATES: Final = {
    "never": "never seen",
    "source_down": "its source is down",
    "expired": "the answer is too old to speak",
    "not_applicable": "does not apply here",
}


@dataclass(frozen=True, slots=True)
class _Value:
    """A value inside `says`: `{value}` has one decimal at most, `{value:percent}` none; a text is told as it is."""

    value: Value

    def __format__(self, form: str) -> str:
        if isinstance(self.value, str):
            return self.value
        return _percent(self.value) if form == "percent" else plain(half_up(self.value, 1))


def value_in_words(card: Card, name: str, value: Value) -> str:
    """`12`, or `42%` where the measure is told in percent."""
    return format(_Value(value), "percent" if _in_percent(card.measures[name]) else "")


def _in_percent(measure: Measure) -> bool:
    if measure.says:
        return "{value:percent}" in measure.says
    return measure.against is not None or any(
        number.percent for table in measure.tables() for number in table.numbers()
    )


def called(measure: Measure) -> str:
    """`active days`; what a condition speaks itself is called by its sentence."""
    return measure.name if measure.spoken else measure.name.replace("_", " ")


def _says(measure: Measure) -> str:
    """How it is told: as the card says, else by its own sentence, so that the period is named."""
    if measure.says:
        return measure.says
    words = called(measure) if isinstance(measure.read, Formula) else read_in_words(measure.read)
    form = "{value:percent}" if _in_percent(measure) else "{value}"
    told = f"{words.replace('{', '{{').replace('}', '}}')}: {form}"
    if measure.against is None:
        return told
    return f"{told} of {'their own normal' if isinstance(measure.against, Read) else read_in_words(measure.against)}"


def day_in_words(day: int, today: int) -> str:
    """`3 May`, with its year unless it is today's."""
    then, now = (_EPOCH + timedelta(days=one) for one in (day, today))
    return f"{then.day} {then:%B}" + ("" if then.year == now.year else f" {then.year}")


def measure_in_words(card: Card, name: str, reading: Reading) -> str:
    """`active on 2 of the last 30 days`; for what has no value, why not."""
    words, measure = called(card.measures[name]), card.measures[name]
    state = reading.frozen or reading.state
    if reading.value is None:
        return f"{words}: {'no normal to compare with yet' if reading.current is not None else _STATES[state]}"
    day = "" if reading.day is None else (_EPOCH + timedelta(days=reading.day)).isoformat()
    told = _says(measure).format(value=_Value(reading.value), day=day)
    return f"{told} (as last known; its source is down)" if reading.state == "source_down" else told


def driver_in_words(card: Card, assessment: Assessment, driver: Driver) -> str:
    """`active on 2 of the last 30 days; 12 is full marks; costs 14 points`."""
    parts = [measure_in_words(card, driver.measure, assessment.measures[driver.measure].reading)]
    table = _table(card, assessment, driver.measure)
    if table and assessment.measures[driver.measure].reading.value is not None:
        parts.append(_good(card, table))
    return "; ".join([*parts, f"costs {_points(driver.points_lost)}"])


def _table(card: Card, assessment: Assessment, name: str) -> Table | None:
    """The table that gave the points: the usual one, or the first in its place whose condition holds."""
    measure = card.measures[name]
    values = {one: found for one, reading in assessment.readings.items() if (found := reading.value) is not None}
    seen = Known(values, GREY, card.order)
    return next((other.points for other in measure.instead if truth(other.when, seen)), measure.points)


def _good(card: Card, table: Table) -> str:
    """`12 is full marks`; where the table does not go so far, what its best is worth."""
    if isinstance(table, Each):
        return f"{table.best()} is the best" if table.points <= 0 else table.best()
    if table.highest >= card.highest:
        return f"{table.best()} is full marks"
    return f"{table.best()} is worth {plain(table.highest)} of {plain(card.highest)} points"


def rules_in_words(card: Card, assessment: Assessment) -> list[str]:
    """What the rules that fired say: before all else those whose limit is the band it came to."""
    fired = [(name, card.rules[name]) for name in assessment.rules if card.rules[name].score == HEALTH]
    fired.sort(key=lambda one: assessment.band not in _limits(card, one[1]))
    return [rule.because or name.replace("-", " ") for name, rule in fired]


def explain(
    card: Card, assessment: Assessment, standing: Standing | None = None, *, time_zone: str = "UTC"
) -> list[str]:
    """Why the score is what it is, one sentence a line, for the terminal and the pages. Never for the customer.

    The zone is that of the day until which an override holds.
    """
    ruled, counted = rules_in_words(card, assessment), set(card.in_dimensions())
    known = [f"{_percent(assessment.coverage)} of what counts is known"] if assessment.coverage < 1 else []
    lines = [_headline(assessment, standing), *overrides.override_in_words(assessment, time_zone)]
    lines += known + ruled if assessment.band == GREY else ruled + known
    lines += [driver_in_words(card, assessment, driver) for driver in assessment.drivers]
    could = counterfactual.in_words(card, assessment, standing)
    lines += [could] if could else []
    lines += [
        f"score {name.replace('_', ' ')}: {'not known' if number is None else plain(half_up(number, 1))}"
        for name, number in assessment.scores.items()
    ]
    lines += [f"signal: {name.replace('-', ' ')}" for name in assessment.signals]
    costly = {driver.measure for driver in assessment.drivers}
    lines += [
        f"frozen: {measure_in_words(card, name, judged.reading)}"
        for name, judged in assessment.measures.items()
        if judged.reading.state == "source_down" and judged.points is not None and name in counted - costly
    ]
    lines += [
        f"not counted: {measure_in_words(card, name, judged.reading)}"
        for name, judged in assessment.measures.items()
        if judged.points is None and name in counted
    ]
    lines += [
        f"only watched: {measure_in_words(card, name, judged.reading)}"
        for name, judged in assessment.measures.items()
        if card.measures[name].watch_only
    ]
    return lines


def reason(card: Card, assessment: Assessment, standing: Standing | None = None, *, time_zone: str = "UTC") -> str:
    """What a person said against it, rules and drivers in at most 250 characters, for the CRM's field; the weightiest first, whole ones only.

    With the standing it says as well where the band is on its way to another, which the drivers alone would belie.
    """
    parts = overrides.override_in_words(assessment, time_zone) + rules_in_words(card, assessment)
    if standing and standing.waiting:
        parts.append(_turning(standing))
    if assessment.band == GREY:
        parts.insert(0, f"only {_percent(assessment.coverage)} of what counts is known")
    for driver in assessment.drivers:
        words = measure_in_words(card, driver.measure, assessment.measures[driver.measure].reading)
        parts.append(f"{words} (-{plain(half_up(driver.points_lost))})" if driver.points_lost >= 1 else words)
    return fitted(parts or ["nothing costs points"])


def fitted(parts: Sequence[str]) -> str:
    """As many of these as fit into 250 characters, whole ones; the first is cut where it alone does not."""
    kept = ""
    for part in parts:
        longer = f"{kept}; {part}" if kept else part
        if len(longer) > _LONGEST:
            break
        kept = longer
    return kept or f"{parts[0][: _LONGEST - 1]}…"


def _limits(card: Card, rule: Rule) -> set[str]:
    """The bands that a rule holds the customer to; a limit that is a score holds to the band it lies in."""
    limits = (rule.at_most, rule.at_least, rule.set)
    return {card.band_of(limit) if isinstance(limit, Decimal) else limit for limit in limits if limit is not None}


def _headline(assessment: Assessment, standing: Standing | None) -> str:
    band = standing.band if standing else assessment.band
    score = "no score" if assessment.score is None else f"score {plain(half_up(assessment.score, 1))}"
    if standing and standing.waiting:
        return f"{band}, {score}; {_turning(standing)}"
    return f"{band}, {score}"


def _turning(standing: Standing) -> str:
    return f"turning {standing.waiting} if it stays so"


def _points(lost: Decimal) -> str:
    rounded = half_up(lost)
    if rounded < 1:
        return "less than a point"
    return f"{plain(rounded)} point" + ("" if rounded == 1 else "s")


def _percent(share: Decimal) -> str:
    return f"{plain(half_up(share * 100))}%"
