"""`[bands]`: the colours, their edges, how stubborn they are; and the range of the score that they divide."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from worker.lib.rounding import plain
from worker.scoring import phrases
from worker.scoring.card import GREY, Band, Hold
from worker.scoring.loading.page import ELSEWHERE, LABEL, Page, Place, decimal, is_number
from worker.scoring.points import FULL

KEYS: Final = ("on", "change_when", "worse_when", "better_when", "unknown_if_known_less_than")
"""What may be written besides the colours."""

_ON: Final = ("rounded score", "raw score")


@dataclass(frozen=True, slots=True)
class Bands:
    """What the table says."""

    bands: tuple[Band, ...]
    """Best first."""
    worse: Hold
    better: Hold
    least_known: Decimal
    cut_raw: bool

    @property
    def order(self) -> list[str]:
        """Their names, best first."""
        return [band.name for band in self.bands]


@dataclass(frozen=True, slots=True)
class Range:
    """From where to where a score goes."""

    lowest: Decimal = Decimal(0)
    highest: Decimal = FULL

    def __str__(self) -> str:
        """`0 to 100`."""
        return f"{plain(self.lowest)} to {plain(self.highest)}"

    def holds(self, number: Decimal) -> bool:
        """Whether a number lies in it, ends included."""
        return self.lowest <= number <= self.highest


def read_range(page: Page) -> Range:
    """`range = "0 to 10"` of `[score]`."""
    found = page.phrase(phrases.extent, ("score",), page.table(("score",)), "range")
    return Range() if found is None else Range(*found)


def read_bands(page: Page, extent: Range) -> Bands:
    """The whole table."""
    body: Any = page.data.get("bands", {})
    place: Place = ("bands",)
    if not isinstance(body, dict) or not body.keys() - set(KEYS):
        page.note(place, "there is no band", '[bands] with green = "70 and up" and yellow = "40 and up"')
        body = {}
    found, bottom = _colours(page, body, extent)
    both = page.phrase(phrases.hold, place, body, "change_when") or Hold()
    worse = page.phrase(phrases.hold, place, body, "worse_when") or both
    better = page.phrase(phrases.hold, place, body, "better_when") or both
    least = page.percent(phrases.share, place, body, "unknown_if_known_less_than")
    raw = page.choice(place, body, "on", _ON) == "raw score"
    return Bands((*found, bottom), worse, better, Decimal("0.5") if least is None else least, raw)


def _colours(page: Page, body: dict[str, Any], extent: Range) -> tuple[list[Band], Band]:
    """The bands that begin somewhere, best first, and the lowest."""
    found: list[Band] = []
    lowest: list[tuple[str, Decimal]] = []
    for name, said in body.items():
        if name in KEYS:
            continue
        place: Place = ("bands", name)
        if name == GREY or not LABEL.fullmatch(name) or not isinstance(said, str):
            cure = 'write a colour and its edge: green = "70 and up"'
            if LABEL.fullmatch(name.lower()) and name != name.lower() and isinstance(said, str):
                cure = f'write it in small letters: {name.lower()} = "{said}"'
            elif is_number(said):
                cure = f'write {name.lower()} = "{plain(decimal(said))} and up"'
            if name in ELSEWHERE:
                cure = ELSEWHERE[name]
            elif name == GREY:
                cure = 'write unknown_if_known_less_than = "50%"'
            page.note(place, f"{name} = {said!r} is no band", cure)
            if name != GREY:
                found.append(Band(name.lower(), extent.lowest - 1))  # so that conditions may name it
            continue
        if name in _NO_BANDS:
            page.note(place, f"{name!r} means nothing here", _NO_BANDS[name])
            continue
        edge = page.sentence(phrases.edge, place, said)
        if edge is None:
            found.append(Band(name, extent.lowest - 1))
        elif not extent.lowest < edge.at < extent.highest and not (edge.above and edge.at == extent.lowest):
            cure = f"an edge lies between {plain(extent.lowest)} and {plain(extent.highest)}"
            page.note(place, f"{plain(edge.at)} divides nothing", cure)
        elif edge.below:
            if lowest:
                page.note(place, f"{lowest[0][0]!r} is the lowest already", "write “… and up” for the others")
            lowest.append((name, edge.at))
        else:
            found.append(Band(name, edge.at, edge.above))
    _compare(page, [band for band in found if band.edge >= extent.lowest], lowest, len(found))
    # At the same number what begins above it lies higher than what begins at it.
    found.sort(key=lambda band: (band.edge, band.above), reverse=True)
    return found, Band(lowest[0][0] if lowest else "red", extent.lowest)


_NO_BANDS: Final = {
    "not_in_first": 'a rule keeps newcomers from a band: when = "age < 1 month", at_least = "yellow"',
    "grey_if_known_less_than": "write unknown_if_known_less_than",
    **dict.fromkeys(
        ["red_when", "yellow_when", "green_when", "down_when", "up_when", "lower_when", "higher_when"],
        "write worse_when for the way down, better_when for the way up",
    ),
}
"""Keys that are no band: their cures."""

_TRAFFIC: Final = ("green", "yellow", "orange", "red")
"""Colours whose order everybody knows."""


def _compare(page: Page, found: list[Band], lowest: list[tuple[str, Decimal]], named: int) -> None:
    """Hold the bands against each other; of those that cannot be read (`named` counts them too) nothing is said."""
    edges = [(band.edge, band.above) for band in found]
    for band in found:
        if edges.count((band.edge, band.above)) > 1:
            page.note(("bands", band.name), f"two bands begin at {plain(band.edge)}", "give each its own edge")
    known = sorted((band for band in found if band.name in _TRAFFIC), key=lambda band: _TRAFFIC.index(band.name))
    for better, worse in pairwise(known):
        if (better.edge, better.above) < (worse.edge, worse.above):
            said = f"{better.name} begins at {plain(better.edge)}, below {worse.name} at {plain(worse.edge)}"
            page.note(("bands", better.name), said, "the better colour begins higher")
    if lowest and edges and len(found) == named and lowest[0][1] != min(edges)[0]:
        name, end = lowest[0]
        begins = plain(min(edges)[0])
        page.note(
            ("bands", name),
            f"it ends at {plain(end)}, the next begins at {begins}",
            f"write “below {begins}”, or let the next begin at {plain(end)}: “{plain(end)} and up”",
        )
    if not lowest and any(band.name == "red" for band in found):
        cure = "leave it out, or give another band “below …”"
        page.note(("bands", "red"), "red is whatever lies below the others", cure)
