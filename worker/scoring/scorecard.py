"""The scorecard: from the text of the file to the Card, or to every mistake in it at once."""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from worker.lib.problems import Problem, Problems
from worker.lib.rounding import plain
from worker.lib.shape import spell
from worker.lib.toml import Document, parse
from worker.scoring import phrases
from worker.scoring.card import GREY, Band, Card, Hold, Measure, Mix, Rule, Signal
from worker.scoring.expressions import BandIs, Both, Compare, Either, Expression, Literally, Name, Not, leaves
from worker.scoring.phrases import PhraseError
from worker.scoring.points import FULL, Number, Steps, Table
from worker.scoring.reads import Read

__all__ = ["GREY", "KEYS", "Band", "Card", "Measure", "Mix", "Rule", "Signal", "load"]

Value = TypeVar("Value")
Place = tuple[str | int, ...]

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": ("name", "goal", "leaving", "measures", "dimensions", "rules", "signals", "bands"),
    "measures": (
        "read", "against", "points", "sliding", "says", "do", "if_never", "if_no_normal", "not_in_first",
        "answer_valid_for", "watch_only",
    ),
    "dimensions": ("share", "measures"),
    "rules": ("when", "at_most", "at_least", "because"),
    "signals": ("when", "do"),
    "bands": ("change_when", "worse_when", "better_when", "unknown_if_known_less_than"),
}  # fmt: skip
"""What may be written in each table; `[bands]` has its colours besides."""

_LATER: Final = frozenset(
    {
        "formula", "if_expired", "if_not_applicable", "points_by_label", "table", "decay", "importance", "combine", "floor",
        "cap", "minimum_known", "round", "inside", "base", "bonus", "add", "set", "scores", "who", "segment", "attributes",
        "people", "children", "override", "population", "closed_days",
    }
)  # fmt: skip
"""Keys that the language is going to know, and does not yet."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*")
_WORDS: Final = frozenset({"score", "band", "and", "or", "not", "is", "missing", GREY})
"""Words that mean something in a condition already."""


def load(text: str, file: str = "scorecard.toml") -> Card:
    """Read a card. Raises lib.problems.Problems with every mistake: file, line, key, value, cure."""
    return _Reader(parse(text, file), file).card()


class _Reader:
    """One reading of one file. Its methods give a value, or note a problem and give what lets the reading go on."""

    def __init__(self, document: Document, file: str) -> None:
        self._document, self._file = document, file
        self._problems: list[Problem] = []

    def card(self) -> Card:
        data = self._document.data
        self._only(data, (), KEYS[""])
        bands, worse, better, least_known = self._bands()
        order = [band.name for band in bands]
        measures = {name: self._measure(name, body) for name, body in self._tables("measures", _NAME)}
        if not data.get("measures"):
            self._note(("measures",), "there is no measure", "begin with [measures.active_days] and its read = …")
        dimensions, whole = self._dimensions(measures)
        rules = {name: self._rule(name, body, measures, order) for name, body in self._tables("rules", _LABEL)}
        signals = {name: self._signal(name, body, measures, order) for name, body in self._tables("signals", _LABEL)}
        self._idle(measures, dimensions, [*rules.values(), *signals.values()])
        card = Card(
            name=self._text((), data, "name", needed=True),
            goal=self._text((), data, "goal"),
            version=_version(data),
            measures={name: measure for name, measure in measures.items() if measure},
            dimensions=dimensions,
            rules={name: rule for name, rule in rules.items() if rule},
            signals={name: signal for name, signal in signals.items() if signal},
            bands=bands,
            worse=worse,
            better=better,
            least_known=least_known,
            leaving=tuple(self._texts("leaving")),
            score=Mix(dimensions=whole),
        )
        if self._problems:
            raise Problems(self._problems)
        return card

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _measure(self, name: str, body: dict[str, Any]) -> Measure | None:
        place: Place = ("measures", name)
        self._only(body, place, KEYS["measures"])
        if name in _WORDS:
            self._note(place, f"{name!r} means something else in a condition", "give the measure another name")
        read = self._phrase(phrases.read, place, body, "read", needed=True)
        against = self._phrase(phrases.read, place, body, "against")
        table = self._table(place, body, shares=against is not None)
        if against and read:
            self._same_unit(place, read, against)
        for key, wants, why in (
            ("if_no_normal", "against", "there is no normal to miss"),
            ("answer_valid_for", None, "only “latest …” is an answer that can grow old"),
        ):
            if key in body and read and (wants not in body if wants else read.what != "latest"):
                self._note((*place, key), why, "take it out")
        says = self._says(place, body, read)
        if read is None:
            return None
        return Measure(
            name=name,
            read=read,
            against=against,
            points=table,
            if_never=self._fallback(place, body, "if_never", table),
            if_no_normal=self._fallback(place, body, "if_no_normal", table),
            not_in_first=self._phrase(phrases.span, place, body, "not_in_first") or 0,
            answer_valid_for=self._phrase(phrases.span, place, body, "answer_valid_for") or 0,
            watch_only=self._flag(place, body, "watch_only"),
            says=says,
            do=self._text(place, body, "do"),
        )

    def _same_unit(self, place: Place, read: Read, against: Read) -> None:
        if (read.what, read.per) != (against.what, against.per):
            self._note(
                (*place, "against"),
                "the two sides count differently, so one is no share of the other",
                "begin both sentences with the same words: “usage per week …”",
            )
        if "now" in (read.what, against.what) or read.window == against.window:
            self._note(
                (*place, "against"), "a normal is another stretch of time", "“usage per week from 12 to 4 weeks ago”"
            )

    def _table(self, place: Place, body: dict[str, Any], *, shares: bool) -> Table | None:
        if "points" in body and "sliding" in body:
            self._note((*place, "sliding"), "there are points already", "keep one of the two")
        key = "points" if "points" in body else "sliding"
        table: Table | None = (
            self._steps(place, body) if key == "points" else self._phrase(phrases.sliding, place, body, key)
        )
        if table and shares and any(not number.percent and number.value != 0 for number in table.numbers()):
            self._note((*place, key), "measured against a normal, the value is a share of it", "write percents: 50%")
        return table

    def _steps(self, place: Place, body: dict[str, Any]) -> Steps | None:
        lines = body["points"]
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            self._note(
                (*place, "points"), f"{lines!r} is no list of steps", 'write ["below 5 -> 0", "otherwise -> 100"]'
            )
            return None
        found = [self._sentence(phrases.step, (*place, "points", index), line) for index, line in enumerate(lines)]
        if None in found:
            return None
        steps = Steps(tuple(step for step in found if step))
        gap = steps.silent_about()
        if gap is not None:
            percent = any(number.percent for number in steps.numbers())
            self._note((*place, "points"), f"nothing is said about {Number(gap, percent)}", "end with “otherwise -> …”")
        for step in steps.never_reached():
            self._note((*place, "points"), f"“{step}” is never reached", "put it above the step that takes its values")
        return steps

    def _fallback(self, place: Place, body: dict[str, Any], key: str, table: Table | None) -> Decimal | None:
        said = body.get(key, "leave out")
        if said == "leave out":
            return None
        if said in ("worst", "best"):
            return (table.lowest if said == "worst" else table.highest) if table else None
        if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= FULL:
            return Decimal(str(said))
        self._note((*place, key), f"{said!r} will not do", '"leave out", "worst", "best", or points from 0 to 100')
        return None

    def _says(self, place: Place, body: dict[str, Any], read: Read | None) -> str:
        says = self._text(place, body, "says")
        dated = read is None or read.what in {"latest", "since"}
        allowed = {"value": ("", "percent"), **({"day": ("",)} if dated else {})}
        try:
            fields = [
                (name, (form or "") + (f"!{conversion}" if conversion else ""))
                for _, name, form, conversion in string.Formatter().parse(says)
                if name is not None
            ]
        except ValueError:
            self._note((*place, "says"), f"{says!r} has a brace that is not closed", "write {value}")
            return says
        for name, form in fields:
            if form not in allowed.get(name, ()):
                shown = name + (f":{form}" if form else "")
                can = "{value}, {value:percent}" + (", {day}" if dated else "")
                self._note((*place, "says"), f"{{{shown}}} is not known here", f"what can be filled in: {can}")
        return says

    def _dimensions(self, measures: Mapping[str, Measure | None]) -> tuple[dict[str, Mix], dict[str, Decimal]]:
        found: dict[str, Mix] = {}
        whole: dict[str, Decimal] = {}
        at: dict[str, str] = {}
        for name, body in self._tables("dimensions", _LABEL):
            place: Place = ("dimensions", name)
            self._only(body, place, KEYS["dimensions"])
            share = self._share(body.get("share"), (*place, "share"))
            inside = body.get("measures")
            if not isinstance(inside, dict) or not inside:
                self._note((*place, "measures"), "a dimension is made of measures", "measures = { active_days = 100 }")
                continue
            shares: dict[str, Decimal] = {}
            for measure, part in inside.items():
                self._member((*place, "measures", measure), measure, name, measures, at)
                shares[measure] = self._share(part, (*place, "measures", measure))
            self._total((*place, "measures"), shares)
            found[name], whole[name] = Mix(shares), share
        if found:
            self._total(("dimensions",), whole)
        elif "dimensions" not in self._document.data:
            self._note(
                ("dimensions",), "there is no dimension", "begin with [dimensions.adoption], its share and measures"
            )
        return found, whole

    def _member(
        self, place: Place, measure: str, dimension: str, measures: Mapping[str, Measure | None], at: dict[str, str]
    ) -> None:
        if measure not in measures:
            self._note(place, f"there is no measure {measure!r}", spell(measure, measures))
            return
        if measure in at:
            self._note(place, f"{measure!r} counts in {at[measure]!r} already", "a measure counts once")
        at[measure] = dimension
        told = measures[measure]
        if told and told.watch_only:
            self._note(
                place, f"{measure!r} is watch_only and moves nothing", "take it out here, or take watch_only out there"
            )
        elif (
            told
            and told.points is None
            and not ({"points", "sliding"} & self._document.data["measures"][measure].keys())
        ):
            self._note(
                ("measures", measure),
                f"{measure!r} gives no points",
                'add points = […] or sliding = "0 -> 0, 12 -> 100"',
            )

    def _idle(
        self,
        measures: Mapping[str, Measure | None],
        dimensions: Mapping[str, Mix],
        asking: Iterable[Rule | Signal | None],
    ) -> None:
        used = {measure for dimension in dimensions.values() for measure in dimension.measures}
        for one in asking:
            if one is None:
                return  # what it looks at is not known while it cannot be read
            used |= {leaf.name for leaf in leaves(one.when) if isinstance(leaf, Name)}
        for name, measure in measures.items():
            if measure and not measure.watch_only and name not in used:
                cure = "give it a share in a dimension, use it in a rule, or write watch_only = true"
                self._note(("measures", name), f"{name!r} moves nothing", cure)

    def _rule(
        self, name: str, body: dict[str, Any], measures: Mapping[str, Measure | None], order: list[str]
    ) -> Rule | None:
        place: Place = ("rules", name)
        self._only(body, place, KEYS["rules"])
        if not {"at_most", "at_least"} & body.keys():
            self._note(place, "the rule does nothing", 'add at_most = "yellow", or at_least')
        when = self._condition(place, body, measures, order)
        limits = {key: self._limit((*place, key), body[key], order) for key in ("at_most", "at_least") if key in body}
        because = self._text(place, body, "because", needed=True)
        return Rule(when, limits.get("at_most"), limits.get("at_least"), because) if when else None

    def _limit(self, place: Place, said: Any, order: list[str]) -> str | Decimal | None:
        if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= FULL:
            return Decimal(str(said))
        if said in order:
            return str(said)
        self._note(
            place, f"{said!r} is no band of this card", "use one of: " + ", ".join(order) + ", or a score from 0 to 100"
        )
        return None

    def _signal(
        self, name: str, body: dict[str, Any], measures: Mapping[str, Measure | None], order: list[str]
    ) -> Signal | None:
        place: Place = ("signals", name)
        self._only(body, place, KEYS["signals"])
        when = self._condition(place, body, measures, order)
        do = self._text(place, body, "do")
        return Signal(when, do) if when else None

    def _condition(
        self, place: Place, body: dict[str, Any], measures: Mapping[str, Measure | None], order: list[str]
    ) -> Expression | None:
        when = self._phrase(phrases.condition, place, body, "when", needed=True)
        for leaf in leaves(when) if when else ():
            at = (*place, "when")
            if isinstance(leaf, BandIs):
                if leaf.band not in (order if leaf.reach else [*order, GREY]):
                    self._note(at, f"there is no band {leaf.band!r}", spell(leaf.band, [*order, GREY]))
            elif isinstance(leaf, Name) and leaf.name not in measures:
                self._note(at, f"there is no measure {leaf.name!r}", spell(leaf.name, [*measures, "score"]))
        for left, number in _comparisons(when) if when else ():
            measure = measures.get(left)
            if measure and measure.against and not number.percent and number.value:
                self._note(
                    (*place, "when"),
                    f"{left} is a share of their own normal",
                    f"write {plain(number.value)}% or the like",
                )
        return when

    def _bands(self) -> tuple[tuple[Band, ...], Hold, Hold, Decimal]:
        body = self._document.data.get("bands", {})
        place: Place = ("bands",)
        if not isinstance(body, dict) or not body.keys() - set(KEYS["bands"]):
            self._note(place, "there is no band", '[bands] with green = "70 and up" and yellow = "40 and up"')
            body = {}
        bands: list[Band] = []
        lowest: tuple[str, Decimal] | None = None
        for name, said in body.items():
            if name in KEYS["bands"]:
                continue
            if name == GREY or not _LABEL.fullmatch(name) or not isinstance(said, str):
                self._note(
                    (*place, name), f"{name} = {said!r} is no band", 'write a colour and its edge: green = "70 and up"'
                )
                continue
            edge = self._sentence(phrases.edge, (*place, name), said)
            if edge is None:
                bands.append(Band(name, Decimal(-1)))
            elif not 0 < edge.at < FULL:
                self._note((*place, name), f"{plain(edge.at)} divides nothing", "an edge lies between 0 and 100")
            elif edge.below:
                lowest = self._lowest(name, edge.at, lowest)
            else:
                bands.append(Band(name, edge.at))
        self._edges(bands, lowest)
        both = self._phrase(phrases.hold, place, body, "change_when") or Hold()
        worse = self._phrase(phrases.hold, place, body, "worse_when") or both
        better = self._phrase(phrases.hold, place, body, "better_when") or both
        least = self._phrase(phrases.share, place, body, "unknown_if_known_less_than")
        if least is not None and not 0 <= least <= 1:
            self._note((*place, "unknown_if_known_less_than"), "a share lies between 0% and 100%", "write 50%")
        ranked = sorted(bands, key=lambda band: -band.edge)
        bottom = Band(lowest[0] if lowest else "red", Decimal(0))
        return (*ranked, bottom), worse, better, Decimal("0.5") if least is None else least

    def _lowest(self, name: str, edge: Decimal, before: tuple[str, Decimal] | None) -> tuple[str, Decimal]:
        if before:
            self._note(("bands", name), f"{before[0]!r} is the lowest already", "write “… and up” for the others")
        return name, edge

    def _edges(self, bands: list[Band], lowest: tuple[str, Decimal] | None) -> None:
        edges = [band.edge for band in bands if band.edge > 0]
        for band in bands:
            if band.edge > 0 and edges.count(band.edge) > 1:
                self._note(("bands", band.name), f"two bands begin at {plain(band.edge)}", "give each its own edge")
        if lowest and edges and len(edges) == len(bands) and lowest[1] != min(edges):
            cure = f"write “below {plain(min(edges))}”, or leave {lowest[0]} out if it is red"
            self._note(
                ("bands", lowest[0]), f"it ends at {plain(lowest[1])}, the next begins at {plain(min(edges))}", cure
            )
        if not lowest and any(band.name == "red" for band in bands):
            self._note(
                ("bands", "red"),
                "red is whatever lies below the others",
                "leave it out, or give another band “below …”",
            )

    # -- the small pieces ---------------------------------------------------------------------------------------------

    def _note(self, place: Place, message: str, cure: str = "") -> None:
        key = ".".join(str(part) for part in place if not isinstance(part, int))
        self._problems.append(Problem(self._file, self._document.line(*place), key, message, cure))

    def _only(self, body: Mapping[str, Any], place: Place, known: Iterable[str]) -> None:
        for key in body.keys() - set(known):
            if key in _LATER:
                self._note((*place, key), f"{key!r} is not part of the language yet", "take it out")
            else:
                self._note((*place, key), f"{key!r} means nothing here", spell(key, known))

    def _tables(self, key: str, names: re.Pattern[str]) -> list[tuple[str, dict[str, Any]]]:
        body = self._document.data.get(key, {})
        if not isinstance(body, dict):
            self._note((key,), f"{key} is no table", f"write [{key}.some_name]")
            return []
        found = []
        for name, inside in body.items():
            if not isinstance(inside, dict):
                self._note((key, name), f"{name!r} is no table", f"write [{key}.{name}] with its own lines below")
                continue
            if not names.fullmatch(name):
                self._note((key, name), f"{name!r} is no name", "use small letters, digits and _")
            found.append((name, inside))
        return found

    def _phrase(
        self, sentence: Callable[[str], Value], place: Place, body: Mapping[str, Any], key: str, *, needed: bool = False
    ) -> Value | None:
        if key not in body:
            if needed:
                self._note((*place, key), "is missing", "add it; docs/scorecard.md has an example of each")
            return None
        return self._sentence(sentence, (*place, key), body[key])

    def _sentence(self, sentence: Callable[[str], Value], place: Place, text: Any) -> Value | None:
        if not isinstance(text, str):
            self._note(place, f"{text!r} is no sentence", "write it in quotes")
            return None
        try:
            return sentence(text)
        except PhraseError as error:
            self._note(place, error.message, error.cure)
            return None

    def _text(self, place: Place, body: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
        said = body.get(key, "")
        if not isinstance(said, str):
            self._note((*place, key), f"{said!r} is no text", "write it in quotes")
            return ""
        if needed and not said.strip():
            self._note((*place, key), "is missing", f'add {key} = "…"')
        return said

    def _texts(self, key: str) -> list[str]:
        said = self._document.data.get(key, [])
        if isinstance(said, list) and all(isinstance(one, str) for one in said):
            return said
        self._note((key,), f"{said!r} is no list of texts", f'write {key} = ["left by choice"]')
        return []

    def _flag(self, place: Place, body: Mapping[str, Any], key: str) -> bool:
        said = body.get(key, False)
        if not isinstance(said, bool):
            self._note((*place, key), f"{said!r} will not do", "write true or false, without quotes")
            return False
        return said

    def _share(self, said: Any, place: Place) -> Decimal:
        if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said <= FULL:
            return Decimal(str(said))
        self._note(place, f"{said!r} is no share" if said is not None else "is missing", "a number above 0, up to 100")
        return Decimal(0)

    def _total(self, place: Place, shares: Mapping[str, Decimal]) -> None:
        total = sum(shares.values())
        if all(shares.values()) and total != FULL:
            parts = " + ".join(plain(share) for share in shares.values())
            self._note(
                place,
                f"the shares total {plain(Decimal(total))}, not 100 ({parts})",
                "change them until they total 100",
            )


def _comparisons(expression: Expression) -> Iterator[tuple[str, Number]]:
    """Each measure that is compared with a number, and the number."""
    match expression:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from _comparisons(part)
        case Not(part):
            yield from _comparisons(part)
        case Compare(Name(name), _, Literally(Number() as number)):
            yield name, number


def _version(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
