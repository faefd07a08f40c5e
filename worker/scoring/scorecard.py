"""The scorecard: from the text of the file to the Card, or to every mistake in it at once.

What each table may say is read in `loading`; here the parts are put together and held against each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from worker.lib.problems import Problem, Problems
from worker.lib.rounding import plain
from worker.lib.shape import spell
from worker.scoring.card import GREY, Band, Card, Measure, Mix, Rule, Signal
from worker.scoring.derived import Formula, RollUp
from worker.scoring.expressions import Name, leaves
from worker.scoring.loading import bands, conditions, measures, mixes
from worker.scoring.loading.bands import Range
from worker.scoring.loading.conditions import Asking
from worker.scoring.loading.measures import Draft
from worker.scoring.loading.page import Page
from worker.scoring.reads import Rank

__all__ = ["GREY", "KEYS", "Band", "Card", "Measure", "Mix", "Rule", "Signal", "load"]

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": (
        "name", "goal", "leaving", "who", "measures", "dimensions", "score", "bonus", "scores", "rules", "signals",
        "bands",
    ),
    "measures": measures.KEYS,
    "measures.instead": measures.INSTEAD,
    "dimensions": mixes.DIMENSION,
    "dimensions.instead": mixes.INSTEAD,
    "score": mixes.SCORE,
    "scores": mixes.OTHER,
    "rules": conditions.RULE,
    "signals": conditions.SIGNAL,
    "bands": bands.KEYS,
}  # fmt: skip
"""What may be written in each table; `[bands]` has its colours besides, `[bonus]` measures."""


def load(text: str, file: str = "scorecard.toml") -> Card:
    """Read a card. Raises lib.problems.Problems with every mistake: file, line, key, value, cure."""
    card, mistakes = partly(text, file)
    if mistakes:
        raise Problems(mistakes)
    return card


def partly(text: str, file: str) -> tuple[Card, tuple[Problem, ...]]:
    """As much of a card as can be read beside its mistakes, for lint. Raises Problems for what is no TOML."""
    page = Page(text, file)
    data = page.data
    page.only(data, (), KEYS[""])
    extent = bands.read_range(page)
    colours = bands.read_bands(page, extent)
    asking = Asking(page)
    drafts = measures.read_measures(page, colours, extent, asking.before)
    _formulas(drafts, asking)
    dimensions, score, scores, bonus = mixes.Mixes(page, drafts, asking, extent).read()
    rules = conditions.read_rules(page, asking, colours.order, scores, extent)
    signals = conditions.read_signals(page, asking)
    who = asking.who()
    asking.check(drafts, colours.order, dimensions, scores)
    first = page.choice(("score",), page.table(("score",)), "rules", ("most severe", "first match")) == "first match"
    named = {name: draft.measure for name, draft in drafts.items() if draft.measure}
    card = Card(
        name=page.text((), data, "name", needed=True),
        goal=page.text((), data, "goal"),
        version=_version(data),
        measures={**named, **_spoken(asking)},
        dimensions=dimensions,
        rules=rules,
        signals=signals,
        bands=colours.bands,
        worse=colours.worse,
        better=colours.better,
        least_known=colours.least_known,
        leaving=tuple(page.texts("leaving", '["left by choice"]')),
        score=score,
        scores=scores,
        bonus=bonus,
        first_rule_only=first,
        cut_raw=colours.cut_raw,
        lowest=extent.lowest,
        highest=extent.highest,
        who=who,
    )
    _rests(page, named, drafts)
    _idle(page, card, drafts, asking)
    if page.is_sound:
        _limits(page, card, extent)
    return card, page.problems


def _formulas(drafts: Mapping[str, Draft], asking: Asking) -> None:
    """What formulas and roll-ups look at is checked with the conditions."""
    for name, draft in drafts.items():
        match draft.measure.read if draft.measure else None:
            case Formula(expression):
                asking.early.append((("measures", name, "formula"), expression))
            case RollUp(where=condition) if condition is not None:  # of others, whose scores are there
                asking.late.append((("measures", name, "read"), condition))


def _spoken(asking: Asking) -> dict[str, Measure]:
    """What conditions speak themselves, as measures by their sentences."""
    return {text: Measure(name=text, read=read, spoken=True) for text, read in asking.spoken().items()}


def _needs(measure: Measure) -> Iterator[str]:
    """The measures that a measure is made of."""
    match measure.read:
        case Formula(expression):
            yield from (leaf.name for leaf in leaves(expression) if isinstance(leaf, Name))
        case Rank(_, other):
            yield other
        case RollUp(_, of) if of not in ("", "score"):
            yield of


def _rests(page: Page, named: Mapping[str, Measure], drafts: Mapping[str, Draft]) -> None:
    """Note measures that rest on what is not there, or on themselves."""
    for name, measure in named.items():
        if isinstance(measure.read, Rank | RollUp):
            for other in _needs(measure):
                if other not in drafts:
                    page.note(("measures", name, "read"), f"there is no measure {other!r}", spell(other, drafts))
    graph = {
        name: [other for other in _needs(measure) if other in named]
        for name, measure in named.items()
        if not isinstance(measure.read, RollUp)  # that is about others
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        key = "formula" if isinstance(named[circle[0]].read, Formula) else "read"
        path = " → ".join(circle)
        page.note(("measures", circle[0], key), f"{circle[0]!r} rests on itself ({path})", "break the circle")


def _idle(page: Page, card: Card, drafts: Mapping[str, Draft], asking: Asking) -> None:
    """Note measures that move nothing. While a condition cannot be read, what it looks at is not known."""
    if page.is_misnamed or not asking.is_whole or any(draft.measure is None for draft in drafts.values()):
        return
    used = set(card.in_dimensions()) | asking.measures()
    for measure in card.measures.values():
        used.update(_needs(measure))
        if isinstance(measure.read, RollUp):
            used.add(measure.read.weighted_by)
    for name, draft in drafts.items():
        if not draft.is_watched and name not in used:
            cure = "give it a share in a dimension, use it in a rule, or write watch_only = true"
            page.note(("measures", name), f"{name!r} moves nothing", cure)


def _limits(page: Page, card: Card, extent: Range) -> None:
    """Note points and dimensions that leave the range of the score, but for those that are parts of a sum."""
    summed, summed_dimensions = card.beyond_range
    for name in card.in_dimensions():
        measure = card.measures[name]
        beyond = None if name in summed else measures.out_of_range(measure, extent)
        if beyond:
            key, points = beyond
            cure = f"points go from {extent}; only in a sum may they go beyond"
            page.note(("measures", name, key), f"{measures.in_words(points)} are beyond the range of the score", cure)
    for name, mix in card.dimensions.items():
        bounds = card.inner_bounds[name]
        if mix.combine == "sum" and name not in summed_dimensions:
            for key, end, is_beyond in (
                ("floor", bounds.low, bounds.low < extent.lowest),
                ("cap", bounds.high, bounds.high > extent.highest),
            ):
                if is_beyond:
                    limit = plain(extent.lowest if key == "floor" else extent.highest)
                    said = f"its sum can come to {plain(end)}, beyond {extent}"
                    page.note(("dimensions", name), said, f"add {key} = {limit}")


def _version(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
