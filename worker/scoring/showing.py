"""A scorecard in sentences: what it looks at, what each measure can cost, and what is done about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from worker.lib.rounding import half_up, plain
from worker.scoring.card import HEALTH, Card, Hold, Measure, Mix, Rule
from worker.scoring.explain import called
from worker.scoring.score import effective_points
from worker.scoring.spoken import expression_in_words, read_in_words, table_in_words

_COMBINED: Final = {
    "weighted mean": "",
    "mean": "the mean of its parts",
    "sum": "the sum of its parts",
    "lowest": "the lowest of its parts",
    "highest": "the highest of its parts",
    "worst colour": "the worst colour among its parts",
    "middle colour": "the colour of most of its parts, or of the one in the middle",
}


def card_as_data(card: Card) -> dict[str, Any]:
    """The card for a machine; points and shares are texts of exact decimals."""
    costs = effective_points(card)
    named = [one for one in card.measures.values() if not one.spoken]
    return {
        "name": card.name,
        "goal": card.goal,
        "version": card.version,
        "leaving": list(card.leaving),
        "who": "" if card.who is None else expression_in_words(card.who),
        "range": [plain(card.lowest), plain(card.highest)],
        "measures": [_measure(one, costs.get(one.name)) for one in named],
        "dimensions": [_mix(name, mix, _share(card, name)) for name, mix in card.dimensions.items()],
        "score": _mix(HEALTH, card.score, ""),
        "scores": [_mix(name, mix, "") for name, mix in card.scores.items()],
        "bonus": {name: plain(points) for name, points in card.bonus.items()},
        "rules": [
            {"name": name, "when": expression_in_words(one.when), "then": _then(one), "because": one.because}
            for name, one in card.rules.items()
        ],
        "signals": [
            {"name": name, "when": expression_in_words(one.when), "do": one.do} for name, one in card.signals.items()
        ],
        "bands": [{"name": name, "score": words} for name, words in _edges(card)],
        "known_at_least": f"{plain(card.least_known * 100)}%",
        "worse_when": _hold(card.worse),
        "better_when": _hold(card.better),
        "plays": _plays(card),
    }


def _measure(measure: Measure, costs: Decimal | None) -> dict[str, Any]:
    return {
        "name": measure.name,
        "costs_up_to": None if costs is None else plain(costs),
        "read": read_in_words(measure.read),
        "against": "" if measure.against is None else read_in_words(measure.against),
        "points": [] if measure.points is None else table_in_words(measure.points),
        "instead": [
            {"name": one.name, "when": expression_in_words(one.when), "points": table_in_words(one.points)}
            for one in measure.instead
        ],
        "watch_only": measure.watch_only,
        "do": measure.do,
    }


def _mix(name: str, mix: Mix, share: str) -> dict[str, Any]:
    return {
        "name": name,
        "share": share,
        "combine": mix.combine,
        "parts": {one: plain(half_up(mix.percent(one), 1)) for one in (*mix.measures, *mix.dimensions)},
    }


def _share(card: Card, name: str) -> str:
    """Its share of the score, "" for what is nested in another or belongs to another score."""
    return plain(half_up(card.score.percent(name), 1)) if name in card.score.dimensions else ""


def _then(rule: Rule) -> str:
    """`at most yellow`, `10 points less`, `set to red`; of another score than health its name."""
    limits = [("set to", rule.set), ("at most", rule.at_most), ("at least", rule.at_least)]
    said = [
        f"{words} {plain(limit) if isinstance(limit, Decimal) else limit}"
        for words, limit in limits
        if limit is not None
    ]
    if rule.add:
        said.insert(0, f"{plain(abs(rule.add))} points {'more' if rule.add > 0 else 'less'}")
    return ", ".join(said) + ("" if rule.score == HEALTH else f" (score {rule.score})")


def _edges(card: Card) -> Iterator[tuple[str, str]]:
    """Each band and the scores it takes."""
    for better, band in zip([None, *card.bands], card.bands, strict=False):
        begins = f"above {plain(band.edge)}" if band.above else f"{plain(band.edge)} and up"
        if better is not None and band is card.bands[-1]:
            begins = f"{'up to' if better.above else 'below'} {plain(better.edge)}"
        yield band.name, begins


def _hold(hold: Hold) -> str:
    """`3 points past the line for 3 days`, `at once`."""
    points = f"{plain(hold.points)} point{'' if hold.points == 1 else 's'} past the line" if hold.points else ""
    days = f"for {hold.days} day{'' if hold.days == 1 else 's'}" if hold.days else ""
    return " ".join(part for part in (points, days) if part) or "at once"


def _plays(card: Card) -> dict[str, list[str]]:
    """{play: what it answers}; under "" what no play answers, as far as it counts."""
    found: dict[str, list[str]] = {}
    for name, one in card.measures.items():
        if one.do or name in set(card.in_dimensions()):
            found.setdefault(one.do, []).append(called(one))
    for name, signal in card.signals.items():
        found.setdefault(signal.do, []).append(f"signal {name.replace('-', ' ')}")
    return dict(sorted(found.items(), key=lambda pair: (not pair[0], pair[0])))


# -- for a person -----------------------------------------------------------------------------------------------------


def card_in_words(card: Card) -> list[str]:
    """The card for a founder, a line each."""
    data = card_as_data(card)
    lines = [f"{card.name} ({card.version})", *([card.goal] if card.goal else [])]
    lines += [f"Scored: {data['who']}"] if data["who"] else []
    lines += [f"Checked against who {' or '.join(card.leaving)}"] if card.leaving else []
    lines += ["", f"What each measure can cost, of {plain(card.highest)} points:"]
    costs = {one["name"]: one for one in data["measures"]}
    for name in sorted(costs, key=lambda name: (-Decimal(costs[name]["costs_up_to"] or 0), name)):
        lines += _measure_lines(costs[name])
    lines += ["", "How they become one score:", *_mix_lines(card, data)]
    for title, rows in (("Rules:", _rule_lines(data)), ("Signals:", _signal_lines(data))):
        lines += ["", title, *rows] if rows else []
    lines += ["", "Bands:", *(f"  {one['name']}: {one['score']}" for one in data["bands"])]
    lines += [f"  grey: where less than {data['known_at_least']} of what counts is known"]
    lines += _hold_lines(data)
    lines += ["", "What is done about it:"]
    lines += [f"  {play or 'no play answers'}: {', '.join(what)}" for play, what in data["plays"].items()]
    return lines


def _measure_lines(one: Mapping[str, Any]) -> list[str]:
    costs = plain(half_up(Decimal(one["costs_up_to"]), 1)) if one["costs_up_to"] is not None else "–"
    read = one["read"] + (f", against {one['against']}" if one["against"] else "")
    watched = " (only watched)" if one["watch_only"] else (" (not in the score)" if one["costs_up_to"] is None else "")
    lines = [f"{costs:>6}  {one['name'].replace('_', ' ')}{watched}: {read}"]
    if one["points"]:
        lines.append(f"{'':8}{'; '.join(one['points'])}")
    lines += [f"{'':8}when {other['when']}: {'; '.join(other['points'])}" for other in one["instead"]]
    return lines


def _mix_lines(card: Card, data: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in (*data["dimensions"], data["score"], *data["scores"]):
        if one is data["score"] and not card.score.measures and _COMBINED[one["combine"]] == "":
            continue  # the shares that stand beside the dimensions have said it
        name = "the score" if one is data["score"] else one["name"].replace("_", " ")
        share = f", {one['share']}%" if one["share"] else ""
        how = _COMBINED[one["combine"]]
        weighs = one["combine"] == "weighted mean"
        parts = (f"{part.replace('_', ' ')}{f' {share}%' if weighs else ''}" for part, share in one["parts"].items())
        lines.append(f"  {name}{share}: {f'{how}: ' if how else ''}{', '.join(parts)}")
    lines += [f"  bonus: {name.replace('_', ' ')} adds up to {points}" for name, points in data["bonus"].items()]
    return lines


def _rule_lines(data: Mapping[str, Any]) -> list[str]:
    return [
        f"  {one['then']} when {one['when']}" + (f": {one['because']}" if one["because"] else "")
        for one in data["rules"]
    ]


def _signal_lines(data: Mapping[str, Any]) -> list[str]:
    return [f"  {one['name'].replace('-', ' ')} when {one['when']}" for one in data["signals"]]


def _hold_lines(data: Mapping[str, Any]) -> list[str]:
    worse, better = data["worse_when"], data["better_when"]
    if worse == better:
        return [f"  A band turns {worse}."]
    return [f"  A band turns for the worse {worse}, for the better {better}."]
