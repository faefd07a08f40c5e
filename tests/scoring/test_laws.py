"""The laws of a score, over generated cards that use the whole language; those of plain cards are in test_score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.scoring.card import Card, Mix, MixIf
from worker.scoring.measures import Reading
from worker.scoring.score import Assessment, assess, effective_points, known_shares
from worker.scoring.scorecard import load

Entry = TypeVar("Entry")
LAW = settings(max_examples=20, deadline=None)  # a card is parsed for every example
NUMBERS = st.decimals(min_value=-100, max_value=100, places=6)
READINGS = st.one_of(
    st.builds(Reading, st.just("value"), NUMBERS),
    st.sampled_from([Reading("never"), Reading("expired"), Reading("not_applicable"), Reading("source_down")]),
)
COMBINES = ("weighted mean", "mean", "sum", "lowest", "highest", "worst colour", "middle colour")


@dataclass(frozen=True)
class Case:
    """A card whose conditions look at `m0` and `m1` alone (and at the score, if they may), and what was read."""

    card: Card
    readings: Mapping[str, Reading]

    @property
    def free(self) -> list[str]:
        """Measures that no condition looks at."""
        return sorted(self.card.measures.keys() - {"m0", "m1"})

    def judged(self, **readings: Reading) -> Assessment:
        return assess(self.card, {**self.readings, **readings})


@st.composite
def cases(draw: st.DrawFn, *, asks_score: bool = False, means: bool = False) -> Case:
    """With `means` every number is a weighted mean."""
    card = draw(_cards(asks_score, means))
    return Case(card, {name: draw(READINGS) for name in card.measures})


@st.composite
def _cards(draw: st.DrawFn, asks_score: bool, means: bool) -> Card:
    names = [f"m{place}" for place in range(draw(st.integers(3, 6 if means else 7)))]
    low, high = draw(st.sampled_from([(0, 100), (0, 10), (-50, 50)]))
    bonus = [] if means else names[6:]
    nested = names[5:6]
    homes = {"x": names[:2] + names[4:5], "y": names[2:4], "z": nested}
    combines = ("weighted mean", "mean") if means else COMBINES
    whole = draw(st.sampled_from(combines))
    text = ['name = "Any"', "[score]", f'range = "{low} to {high}"', f'combine = "{whole}"']
    text += [f"base = {draw(st.integers(low, high))}"] if whole == "sum" else []
    text += [f'rules = "{draw(st.sampled_from(["first match", "most severe"]))}"']
    text += [] if means else draw(_shape(low, high))
    for name in names:
        text += draw(_measure(name, low, high))
    for home, inside in homes.items():
        if inside:
            combine = draw(st.sampled_from(combines))
            text += [f"[dimensions.{home}]", f'combine = "{combine}"']
            if home != "z" and whole not in ("mean", "sum"):
                text.append(f'importance = "{draw(st.sampled_from(["high", "normal", "low"]))}"')
            manner = "list" if combine in ("mean", "sum") else draw(st.sampled_from(["list", "importance"]))
            text.append(f"measures = {draw(_parts(inside, manner))}")
            if home == "y" and nested:
                text.append(f"dimensions = {draw(_parts(['z'], manner))}")
            text += [f"floor = {low}", f"cap = {high}"] if combine == "sum" else []
            text += [] if means or combine == "sum" else draw(_shape(low, high))
            if draw(st.booleans()):
                text += [
                    f"[dimensions.{home}.instead.other]",
                    'when = "m0 > 0"',
                    f"measures = {draw(_parts(inside, 'list'))}",
                ]
    text += ["[bonus]", *(f"{name} = {draw(st.integers(1, 10))}" for name in bonus)] if bonus else []
    text += draw(_rules(low, high, asks_score))
    text += ["[scores.other]", 'measures = ["m0", "m2"]', f'combine = "{draw(st.sampled_from(COMBINES))}"']
    middle = (low + high) // 2
    raw = draw(st.sampled_from(["raw score", "rounded score"]))
    text += ["[bands]", f'green = "{middle + 2} and up"', f'yellow = "above {middle - 2}"', f'on = "{raw}"']
    return load("\n".join([*text, 'unknown_if_known_less_than = "0%"']))


@st.composite
def _parts(draw: st.DrawFn, names: Sequence[str], manner: str) -> str:
    if manner == "list":
        return "[" + ", ".join(f'"{name}"' for name in names) + "]"
    words = (draw(st.sampled_from(["high", "normal", "low"])) for _ in names)
    return "{ " + ", ".join(f'{name} = "{word}"' for name, word in zip(names, words, strict=True)) + " }"


@st.composite
def _shape(draw: st.DrawFn, low: int, high: int) -> list[str]:
    """Floor, cap and rounding."""
    floor, cap = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True)))
    lines = [f"floor = {floor}", f"cap = {cap}", f"decimals = {draw(st.integers(0, 2))}"]
    return [line for line in lines if draw(st.booleans())]


@st.composite
def _table(draw: st.DrawFn, low: int, high: int) -> str:
    """The more the better."""
    left, right = sorted(draw(st.lists(st.integers(-50, 50), min_size=2, max_size=2, unique=True)))
    worst, best = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2)))
    lines = (
        f'sliding = "{left} -> {worst}, {right} -> {best}"',
        f'points = ["below {left} -> {worst}", "otherwise -> {best}"]',
        f'points = ["above {right} -> {best}", "from {left} to {right} -> {worst}", "otherwise -> {low}"]',
    )
    return draw(st.sampled_from(lines))


@st.composite
def _measure(draw: st.DrawFn, name: str, low: int, high: int) -> list[str]:
    text = [f"[measures.{name}]", 'read = "days with usage ever"', draw(_table(low, high)), *draw(_shape(low, high))]
    text.append("if_never = " + draw(st.sampled_from(['"leave out"', '"worst"', '"best"', str(low)])))
    if draw(st.booleans()):
        text += [f"[measures.{name}.instead.other]", 'when = "m1 > 0"', draw(_table(low, high))]
    return text


@st.composite
def _rules(draw: st.DrawFn, low: int, high: int, asks_score: bool) -> list[str]:
    text = []
    asked = ["m0 > 0", "m1 is missing", "m0 + m1 < 3"] + (
        ["band is green", f"score < {high / 2}"] if asks_score else []
    )
    for place in range(draw(st.integers(0, 3))):
        how = draw(st.sampled_from(["set", "add", "at_most", "at_least"]))
        number = draw(st.integers(low, high).filter(bool))
        limit = number if how == "add" else draw(st.sampled_from([number, '"green"', '"red"']))
        text += [f"[rules.r{place}]", f'when = "{draw(st.sampled_from(asked))}"', f"{how} = {limit}", 'because = "b"']
    return text


@LAW
@given(cases(asks_score=True))
def test_every_score_lies_in_its_range(case: Case) -> None:
    found = case.judged()

    for score in (found.score, *found.scores.values()):
        assert score is None or case.card.lowest <= score <= case.card.highest
    assert 0 <= found.coverage <= 1
    assert all(one.points_lost > 0 for one in found.drivers)


@LAW
@given(cases(asks_score=True))
def test_judging_twice_gives_the_same_bytes_and_they_come_back_equal(case: Case) -> None:
    found = case.judged()

    assert found.to_json() == case.judged().to_json()
    assert Assessment.from_json(found.to_json()) == found
    assert Assessment.from_json(found.to_json()).to_json() == found.to_json()


@LAW
@given(cases(asks_score=True))
def test_the_order_of_measures_dimensions_and_parts_changes_nothing(case: Case) -> None:
    card = case.card
    turned = replace(
        card,
        measures=_backwards(card.measures),
        dimensions={name: _turned(mix) for name, mix in _backwards(card.dimensions).items()},
        score=_turned(card.score),
        bonus=_backwards(card.bonus),
    )

    assert assess(turned, _backwards(case.readings)).to_json() == case.judged().to_json()


def _turned(mix: Mix) -> Mix:
    return replace(mix, measures=_backwards(mix.measures), dimensions=_backwards(mix.dimensions))


def _backwards(table: Mapping[str, Entry]) -> dict[str, Entry]:
    return dict(reversed(list(table.items())))


@LAW
@given(cases(), st.data())
def test_more_of_a_good_measure_never_lowers_the_score(case: Case, data: st.DataObject) -> None:
    """Where its tables rise, and no rule or condition looks at it or at the score."""
    name = data.draw(st.sampled_from(case.free))
    less, more = sorted([data.draw(NUMBERS), data.draw(NUMBERS)])
    low = case.judged(**{name: Reading("value", less)}).score
    high = case.judged(**{name: Reading("value", more)}).score

    assert low is not None
    assert high is not None
    assert high >= low


@LAW
@given(cases(), st.data())
def test_removing_a_measure_equals_leaving_it_out(case: Case, data: st.DataObject) -> None:
    card, gone = case.card, data.draw(st.sampled_from(case.free))
    smaller = replace(
        card,
        measures={name: one for name, one in card.measures.items() if name != gone},
        dimensions={name: _without(mix, gone) for name, mix in card.dimensions.items()},
        scores={name: _without(mix, gone) for name, mix in card.scores.items()},
        bonus={name: points for name, points in card.bonus.items() if name != gone},
    )
    removed, left_out = assess(smaller, case.readings), case.judged(**{gone: Reading("expired")})

    assert (removed.score, removed.band, removed.scores) == (left_out.score, left_out.band, left_out.scores)
    assert removed.drivers == left_out.drivers


def _without(mix: Mix, gone: str) -> Mix:
    def rest(shares: Mapping[str, Decimal]) -> dict[str, Decimal]:
        return {name: share for name, share in shares.items() if name != gone}

    instead = tuple(MixIf(rest(one.measures), one.dimensions, name=one.name, when=one.when) for one in mix.instead)
    return replace(mix, measures=rest(mix.measures), instead=instead)


@LAW
@given(cases())
def test_shares_over_what_is_known_sum_to_one(case: Case) -> None:
    counted = {name for mix in case.card.dimensions.values() for name in mix.measures}
    known = [name for name, one in case.judged().measures.items() if one.points is not None and name in counted]

    assert sum(known_shares(case.card, known).values()) == pytest.approx(1 if known else 0, abs=Decimal("1e-24"))


@LAW
@given(cases(means=True))
def test_what_a_measure_costs_is_its_share_where_all_is_weighted_means(case: Case) -> None:
    """The short way and the long one agree: a floor that changes nothing makes every cost be worked out anew."""
    assert case.card.is_mean
    long_way = replace(case.card, score=replace(case.card.score, floor=case.card.lowest))
    assert not long_way.is_mean
    short = {one.measure: one.points_lost for one in case.judged().drivers}
    long = {one.measure: one.points_lost for one in assess(long_way, case.readings).drivers}

    assert short.keys() == long.keys()
    assert all(abs(short[name] - long[name]) <= Decimal("2e-9") for name in short)


@LAW
@given(cases(means=True))
def test_all_together_can_cost_the_whole_range_where_tables_use_it(case: Case) -> None:
    """By what each can cost; a table that never gives the fewest points keeps some back."""
    card, points = case.card, effective_points(case.card)
    lowest = {name: card.bounds[name].low for name in points}
    shares = known_shares(card, points)

    assert all(
        points[name] == pytest.approx(shares[name] * (card.highest - lowest[name]), abs=Decimal("1e-8"))
        for name in points
    )
