"""What is wrong with a scorecard although it can be read. Pure: what must be known of a business is handed in.

The loader's own mistakes come first; then every fault is a function of one name in `_CHECKS`, from values to findings.
What cannot be checked for want of a workspace is named, never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import combinations
from typing import Final, Literal

from worker.facts import KINDS
from worker.lib.problems import Problem, Problems
from worker.lib.rounding import half_up, plain
from worker.lib.shape import spell
from worker.lib.toml import Document, parse
from worker.scoring import reach
from worker.scoring.card import HEALTH, Card, Measure, Rule
from worker.scoring.points import Steps, Table
from worker.scoring.reads import Read, Selection, Stretch, Window
from worker.scoring.scorecard import partly

Severity = Literal["error", "warning"]
Place = tuple[str | int, ...]

MOST_MEASURES: Final = 10
"""More at once, and none of them can be judged."""

LEAST_POINTS: Final = Decimal(1)
"""A measure that can move the score by less than this cannot matter."""

LEAST_CASES: Final = 10
"""So many customers on either side, or no word about a measure's direction."""

_UNREADABLE: Final = "everything else: the card cannot be read before these are mended"

CHANCE: Final = 0.01
"""A direction disagrees with the past only where chance alone would do so less often than this."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault."""

    file: str
    line: int
    """From 1; 0 where no line can be named."""
    severity: Severity
    fault: str
    """Which kind: gap, overlap, two-sided, idle …, the same word for every one of its kind."""
    key: str
    """The dotted place inside the file."""
    message: str
    cure: str = ""

    def __str__(self) -> str:
        """One line for a terminal."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        cure = f" → {self.cure}" if self.cure else ""
        return f"{place}: {self.severity}:{key} {self.message}{cure}"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the workspace's plays answer."""

    plays: frozenset[str]
    """Their names: a measure's or signal's `do` is one of them."""
    bands: frozenset[str]
    """The bands whose entry sets some play off."""
    signals: frozenset[str]
    """The signals that some play waits for."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Which way a measure's points pointed in the past, held against what came of it or what people said."""

    against: str
    """Those who left and those who stayed; nps answer; pulse."""
    cases: tuple[int, int]
    """How many customers on either side: (left, stayed), or (with both, with both)."""
    points_for_good: bool
    """Whether more points went with the good side."""
    chance: float
    """How often chance alone would show so much: the p-value of the test, two-sided."""
    test: str
    """The name of the test."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is known of the business; None for what cannot be known here."""

    answers: Answers | None = None
    connected: Collection[str] | None = None
    """Kinds of fact that some connected source can give."""
    past: Mapping[str, tuple[Direction, ...]] | None = None
    """By measure."""
    active: Card | None = None
    """The active version, to tell what is new; None as well where there is none yet."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a look at one file."""

    file: str
    findings: tuple[Finding, ...]
    """In the order of their lines."""
    not_checked: tuple[str, ...]
    """What could not be looked at, and why not."""

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(one.severity == "error" for one in self.findings)


def lint(text: str, file: str, grounds: Grounds | None = None) -> Report:
    """Look at a card's text; `file` is its name for people. Raises nothing: a card that cannot be read is a finding."""
    grounds = grounds or Grounds()
    try:
        card, problems = partly(text, file)
    except Problems as found:
        return Report(file, mistakes(found.problems), (_UNREADABLE,))
    document = parse(text, file)
    if problems and not _is_whole(card, document):
        return Report(file, mistakes(problems), (_UNREADABLE,))
    case = _Case(card, grounds, document, file)
    findings = {*mistakes(problems), *(finding for check in _CHECKS for finding in check(case))}
    return Report(file, tuple(sorted(findings)), tuple(_not_checked(grounds)))


def _is_whole(card: Card, document: Document) -> bool:
    """Whether all that the file names was read, though something about it is wrong: shares, or a gap between steps."""
    parts = {"measures": card.measures, "dimensions": card.dimensions, "rules": card.rules, "signals": card.signals}
    named = all(set(document.data.get(key, {})) <= set(read) for key, read in parts.items())
    mixes = (card.score, *card.scores.values(), *card.dimensions.values())
    counted = {name for mix in mixes for name in mix.parts()} | set(card.bonus)
    return (
        named
        and counted <= set(card.measures)
        and {name for mix in mixes for name in mix.inner()} <= set(card.dimensions)
    )


def mistakes(problems: Iterable[Problem]) -> tuple[Finding, ...]:
    """What the loader refuses, as findings."""
    return tuple(Finding(one.file, one.line, "error", "mistake", one.key, one.message, one.cure) for one in problems)


def _not_checked(grounds: Grounds) -> Iterator[str]:
    if grounds.answers is None:
        yield "whether a play answers each measure, band and signal: no workspace"
    if grounds.connected is None:
        yield "whether a source is connected for each measure: no workspace"
    if grounds.past is None:
        yield "whether each measure points the way its own past did: no workspace"


@dataclass(frozen=True)
class _Case:
    """One card under one look."""

    card: Card
    grounds: Grounds
    document: Document
    file: str
    notes: dict[str, object] = field(default_factory=dict)

    @cached_property
    def counted(self) -> list[Measure]:
        """The measures that give points to some score."""
        counted = set(self.card.in_dimensions())
        return [one for one in self.named if one.name in counted and not one.watch_only]

    @property
    def named(self) -> list[Measure]:
        """The measures that the file names itself."""
        return [one for one in self.card.measures.values() if not one.spoken]

    def find(self, severity: Severity, fault: str, place: Place, message: str, cure: str = "") -> Finding:
        key = ".".join(str(part) for part in place if not isinstance(part, int))
        return Finding(self.file, self.document.line(*place), severity, fault, key, message, cure)


# -- tables -----------------------------------------------------------------------------------------------------------


def _tables(case: _Case) -> Iterator[tuple[Measure, Place, Table]]:
    """Every table of every measure, with its place."""
    for one in case.named:
        if one.points is not None:
            yield one, ("measures", one.name, _key(case, "measures", one.name)), one.points
        for other in one.instead:
            place = ("measures", one.name, "instead", other.name)
            yield one, (*place, _key(case, *place)), other.points


def _key(case: _Case, *place: str) -> str:
    return next((key for key in ("points", "sliding", "each") if (*place, key) in case.document.lines), "points")


def _overlaps(case: _Case) -> Iterator[Finding]:
    """Two steps that both take a value, where neither lies inside the other: whoever reads it must guess."""
    for _, place, table in _tables(case):
        if not isinstance(table, Steps):
            continue
        for (_, first), (index, second) in combinations(enumerate(table.steps), 2):
            shared = reach.shared(table, first, second)
            if shared is None:
                continue
            value, alone = shared
            both = f"“{first}” and “{second}”"
            if alone:
                yield case.find(
                    "warning", "two-sided", (*place, index), f"{value} belongs to both {both}; the first speaks",
                    "let one of them begin above it, or end below it",
                )  # fmt: skip
            else:
                yield case.find(
                    "warning", "overlap", (*place, index), f"{both} both take {value}; the first speaks",
                    "let one begin where the other ends",
                )  # fmt: skip


def _never_reached(case: _Case) -> Iterator[Finding]:
    """Steps for values that the measure cannot have."""
    for one, place, table in _tables(case):
        extent = reach.extent(case.card, one)
        if not isinstance(table, Steps):
            continue
        for index, step in enumerate(table.steps):
            if not reach.possible(table, step, extent):
                yield case.find(
                    "warning", "never-reached", (*place, index),
                    f"“{step}” is never reached: the value lies {extent}", "take it out, or check the window of the read",
                )  # fmt: skip


def _idle(case: _Case) -> Iterator[Finding]:
    """Measures that cannot matter."""
    span = case.card.highest - case.card.lowest
    weights = reach.weights(case.card)
    for one in case.counted:
        place: Place = ("measures", one.name)
        low, high = reach.points(case.card, one)
        if low == high:
            yield case.find(
                "error", "idle", place, f"whatever its value, it gives {plain(low)} points",
                "let its steps differ, or take the measure out",
            )  # fmt: skip
            continue
        moves = weights[one.name] * (high - low)
        if moves * 100 < LEAST_POINTS * span:
            yield case.find(
                "warning", "idle", place,
                f"it can move the score by {plain(half_up(moves, 2))} of {plain(span)} points at most",
                "give it a larger share, or write watch_only = true",
            )  # fmt: skip


# -- bands and rules --------------------------------------------------------------------------------------------------


def _unreachable(case: _Case) -> Iterator[Finding]:
    """Bands that no score comes to, and no rule puts anybody into."""
    card = case.card
    low, high = reach.score(card)
    held = {rule.at_most for rule in _about_health(card)} | {rule.at_least for rule in _about_health(card)}
    held |= {rule.set for rule in _about_health(card)}
    ceiling = [
        (name, rule) for name, rule in card.rules.items()
        if rule.score == HEALTH and isinstance(rule.at_most, str) and reach.holds(card, rule.when) is True
    ]  # fmt: skip
    for index, band in enumerate(card.bands):
        place: Place = ("bands", band.name)
        over = next((name for name, rule in ceiling if card.order.index(str(rule.at_most)) > index), None)
        if over is not None:
            yield case.find(
                "error", "unreachable", place, f"rule {over!r} always holds, so nobody can be {band.name}",
                f"mend the condition of [rules.{over}]",
            )  # fmt: skip
        elif band.name in held:
            continue
        elif index < len(card.bands) - 1 and not band.takes(high):
            yield case.find(
                "error", "unreachable", place,
                f"{band.name} begins at {plain(band.edge)}, and the best that the measures can come to is {_shown(high)}",
                "lower the edge, or let the measures give more points",
            )  # fmt: skip
        elif index and card.bands[index - 1].takes(low):
            yield case.find(
                "error", "unreachable", place,
                f"the worst that the measures can come to is {_shown(low)}, so nobody can be {band.name}",
                f"raise the edge of {card.bands[index - 1].name}, or let the measures take away more points",
            )  # fmt: skip


def _about_health(card: Card) -> list[Rule]:
    return [rule for rule in card.rules.values() if rule.score == HEALTH]


def _settled(case: _Case) -> Iterator[Finding]:
    """Rules and signals that hold always, or never."""
    for table, conditions in (("rules", case.card.rules), ("signals", case.card.signals)):
        for name, one in conditions.items():
            holds = reach.holds(case.card, one.when)
            if holds is None:
                continue
            word = "always holds" if holds else "never holds"
            yield case.find(
                "warning", f"{'always' if holds else 'never'}-holds", (table, name, "when"),
                f"it {word}: {reach.why(case.card, one.when)}", "mend the condition, or take it out",
            )  # fmt: skip


def _contradictory(case: _Case) -> Iterator[Finding]:
    """One rule holds at most below what another holds at least, and both can hold at once."""
    card = case.card
    for (first, one), (second, other) in combinations(card.rules.items(), 2):
        for low, high, low_name, high_name in ((one, other, first, second), (other, one, second, first)):
            if low.score != high.score or low.at_most is None or high.at_least is None:
                continue
            if not _parts(card, low.at_most, high.at_least) or not reach.together(card, one.when, other.when):
                continue
            place: Place = ("rules", second)
            yield case.find(
                "warning", "contradiction", place,
                f"{low_name!r} holds at most {_limit(low.at_most)}, {high_name!r} at least {_limit(high.at_least)}, "
                "and both can hold at once; the most severe has the last word",
                f"say in one of them that it is not for the other's customers: “… and not ({_when(case, low_name)})”",
            )  # fmt: skip
    for name, rule in card.rules.items():
        if rule.at_most is not None and rule.at_least is not None and _parts(card, rule.at_most, rule.at_least):
            yield case.find(
                "error", "contradiction", ("rules", name),
                f"it holds at most {_limit(rule.at_most)} and at least {_limit(rule.at_least)}", "keep one of the two",
            )  # fmt: skip


def _when(case: _Case, rule: str) -> str:
    return str(case.document.data["rules"][rule]["when"])


def _limit(limit: str | Decimal) -> str:
    return limit if isinstance(limit, str) else plain(limit)


def _parts(card: Card, at_most: str | Decimal, at_least: str | Decimal) -> bool:
    """Whether nothing can be both."""
    if isinstance(at_most, Decimal) and isinstance(at_least, Decimal):
        return at_most < at_least
    upper = at_most if isinstance(at_most, str) else card.band_of(at_most)
    lower = at_least if isinstance(at_least, str) else card.band_of(at_least)
    return card.order.index(upper) > card.order.index(lower)


# -- measures ---------------------------------------------------------------------------------------------------------


def _counted_twice(case: _Case) -> Iterator[Finding]:
    """The same facts in two measures that both score, in the same direction.

    A level and its own trend are two questions, and so are how much and how many different: what is held against a
    normal, and what counts labels, is compared only with its like.
    """
    for one, other in combinations(case.counted, 2):
        if not isinstance(one.read, Read) or not isinstance(other.read, Read):
            continue
        if (one.against is None) != (other.against is None):
            continue
        if (one.read.what == "labels") != (other.read.what == "labels"):
            continue
        way = reach.direction(case.card, one)
        if way is None or way != reach.direction(case.card, other):
            continue
        kind = _shared_kind(one.read, other.read)
        if kind and _overlapping(one.read.window, other.read.window):
            words = KINDS[kind].plural if kind in KINDS else kind
            yield case.find(
                "warning", "counted-twice", ("measures", other.name),
                f"{words} count here and in {one.name!r}, over days that overlap",
                "keep one of the two, or let the windows part",
            )  # fmt: skip


def _shared_kind(one: Read, other: Read) -> str:
    for mine in one.selections:
        for theirs in other.selections:
            if mine.kind == theirs.kind and _labels_meet(mine, theirs):
                return mine.kind
    return ""


def _labels_meet(one: Selection, other: Selection) -> bool:
    if one.labels and other.labels:
        return bool(set(one.labels) & set(other.labels))
    named, shut = (one.labels, other.without) if one.labels else (other.labels, one.without)
    return not named or bool(set(named) - set(shut))


def _overlapping(one: Stretch, other: Stretch) -> bool:
    if not isinstance(one, Window) or not isinstance(other, Window):
        return one == other
    for first, second in ((one, other), (other, one)):
        if first.oldest is not None and first.oldest < second.newest:
            return False
    return True


def _too_many(case: _Case) -> Iterator[Finding]:
    if len(case.counted) > MOST_MEASURES:
        yield case.find(
            "warning", "too-many", ("measures", case.counted[MOST_MEASURES].name),
            f"{len(case.counted)} measures give points; beyond {MOST_MEASURES} nobody can judge any of them",
            "keep those that tell leavers from stayers, and write watch_only = true for the others",
        )  # fmt: skip


def _too_many_new(case: _Case) -> Iterator[Finding]:
    """More than one measure at once that the active version does not know: which of them moved the bands?"""
    if case.grounds.active is None:
        return
    known = case.grounds.active.measures
    new = [one.name for one in case.counted if one.name not in known]
    for name in new[1:]:
        yield case.find(
            "warning", "too-many-new", ("measures", name),
            f"{name!r} is new beside {new[0]!r}; of two at once nobody can tell which moved what",
            "write watch_only = true, take it out of its dimension, and see later what it would have changed",
        )  # fmt: skip


def _unconnected(case: _Case) -> Iterator[Finding]:
    connected = case.grounds.connected
    if connected is None:
        return
    for one in case.named:
        for kind in sorted(reach.kinds(case.card, one)):
            if kind not in connected and not kind.startswith("custom."):
                yield case.find(
                    "warning", "no-source", ("measures", one.name, "read"),
                    f"no source is connected that tells of {KINDS[kind].plural}, so it stays unknown",
                    "connect one in config.toml, or take the measure out",
                )  # fmt: skip


def _disagreeing(case: _Case) -> Iterator[Finding]:
    """Measures whose points went the other way in the past."""
    for one in case.named:
        for past in (case.grounds.past or {}).get(one.name, ()):
            if past.points_for_good or past.chance >= CHANCE or min(past.cases) < LEAST_CASES:
                continue
            cases = " and ".join(str(n) for n in dict.fromkeys(past.cases))
            yield case.find(
                "warning", "direction", ("measures", one.name, _key(case, "measures", one.name)),
                f"it points the other way than {past.against} ({past.test}, {cases} customers, chance {past.chance:.2g})",
                "turn its points round, or write watch_only = true until you know why",
            )  # fmt: skip


# -- plays ------------------------------------------------------------------------------------------------------------


def _unanswered(case: _Case) -> Iterator[Finding]:
    """Measures, bands and signals that no play answers."""
    answers = case.grounds.answers
    for one in case.counted:
        place: Place = ("measures", one.name, "do")
        if not one.do:
            yield case.find(
                "error", "no-play", place[:2], f"no play answers {one.name!r}", f'name one: do = "{_some(answers)}"'
            )
        elif answers is not None and one.do not in answers.plays:
            yield case.find("error", "no-play", place, f"there is no play {one.do!r}", spell(one.do, answers.plays))
    for name, signal in case.card.signals.items():
        if not signal.do and (answers is None or name not in answers.signals):
            yield case.find(
                "error", "no-play", ("signals", name), f"no play answers {name!r}", f'name one: do = "{_some(answers)}"'
            )
        elif signal.do and answers is not None and signal.do not in answers.plays:
            yield case.find(
                "error", "no-play", ("signals", name, "do"), f"there is no play {signal.do!r}",
                spell(signal.do, answers.plays),
            )  # fmt: skip
    if answers is None:
        return
    for band in case.card.order[1:]:
        if band not in answers.bands:
            yield case.find(
                "error", "no-play", ("bands", band), f"no play answers a customer who turns {band}",
                f'give a play [when] band_turns = ["{band}"]',
            )  # fmt: skip


def _some(answers: Answers | None) -> str:
    return min(answers.plays) if answers and answers.plays else "…"


def _shown(number: Decimal) -> str:
    return plain(half_up(number, 2))


_CHECKS: Final[tuple[Callable[[_Case], Iterable[Finding]], ...]] = (
    _overlaps,
    _never_reached,
    _idle,
    _unreachable,
    _settled,
    _contradictory,
    _counted_twice,
    _too_many,
    _too_many_new,
    _unconnected,
    _disagreeing,
    _unanswered,
)
