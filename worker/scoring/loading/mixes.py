"""`[dimensions.…]`, `[score]`, `[scores.…]`, `[bonus]`: how parts become one number.

Shares that weigh total 100, over the measures and dimensions of one mix together. Instead of shares there may be
importance (high, normal, low) or, for equals, a list; in a mean and in a sum all count alike, so there only a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from worker.lib.rounding import half_up, plain
from worker.lib.shape import spell
from worker.scoring import phrases
from worker.scoring.card import HEALTH, Combine, Mix, MixIf
from worker.scoring.loading.bands import Range
from worker.scoring.loading.conditions import Asking
from worker.scoring.loading.measures import Draft
from worker.scoring.loading.page import LABEL, Body, Page, Place, decimal, is_number
from worker.scoring.points import FULL

_MIX: Final = ("measures", "dimensions", "combine", "base", "floor", "cap", "decimals", "known_at_least", "instead")

DIMENSION: Final = ("share", "importance", *_MIX)
SCORE: Final = (*_MIX, "range", "rules")
OTHER: Final = _MIX
INSTEAD: Final = ("when", "measures", "dimensions")

COMBINES: Final[tuple[Combine, ...]] = (
    "weighted mean",
    "mean",
    "sum",
    "lowest",
    "highest",
    "worst colour",
    "middle colour",
)

IMPORTANCE: Final = {"high": Decimal(4), "normal": Decimal(2), "low": Decimal(1)}

_ALIKE: Final = ("mean", "sum")
"""Where every part counts as much as any other."""

_SHARES: Final = "shares"
_IMPORTANCE: Final = "importance"
_EQUAL: Final = "no shares"


@dataclass(frozen=True, slots=True)
class Weights:
    """Parts with their weights, and the manner in which the card said them."""

    weights: dict[str, Decimal]
    manner: str

    def __iter__(self) -> Iterator[Decimal]:
        """The weights alone."""
        return iter(self.weights.values())


class Mixes:
    """All mixes of a file. What they are made of is looked up in `measures`."""

    def __init__(self, page: Page, measures: Mapping[str, Draft], asking: Asking, extent: Range) -> None:
        """Reads nothing yet."""
        self._page, self._measures, self._asking, self._extent = page, measures, asking, extent
        self._bodies = dict(page.tables(("dimensions",), LABEL))
        self._homes: dict[str, str] = {}
        """{part: where it counts already}, within the score."""

    def read(self) -> tuple[dict[str, Mix], Mix, dict[str, Mix], dict[str, Decimal]]:
        """The dimensions, the score, the other scores, the bonus."""
        score = self._page.table(("score",))
        self._page.only(score, ("score",), SCORE)
        dimensions = {name: self._dimension(name, body) for name, body in self._bodies.items()}
        others = dict(self._others())
        whole = self._score(score, dimensions, others)
        bonus = self._bonus()
        self._circles(dimensions)
        return dimensions, whole, others, bonus

    # -- the four kinds -----------------------------------------------------------------------------------------------

    def _dimension(self, name: str, body: Body) -> Mix:
        place: Place = ("dimensions", name)
        self._page.only(body, place, DIMENSION)
        if not (body.keys() & {"measures", "dimensions"}):
            self._page.note((*place, "measures"), "a dimension is made of measures", "measures = { active_days = 100 }")
        return self._mix(place, body, repr(name))

    def _others(self) -> Iterable[tuple[str, Mix]]:
        for name, body in self._page.tables(("scores",), LABEL):
            place: Place = ("scores", name)
            self._page.only(body, place, OTHER)
            if name == HEALTH:
                self._page.note(place, "health is the score itself", "write its lines below [score]")
            if not (body.keys() & {"measures", "dimensions"}):
                self._page.note((*place, "measures"), "a score is made of measures", "measures = { active_days = 100 }")
            yield name, self._mix(place, body, "")

    def _score(self, body: Body, dimensions: Mapping[str, Mix], others: Mapping[str, Mix]) -> Mix:
        page = self._page
        nested = frozenset().union(*(one.inner() for one in dimensions.values()))
        for name, one in self._bodies.items():
            for key in sorted({"share", "importance"} & one.keys()):
                if name in nested:
                    page.note(("dimensions", name, key), f"{name!r} has its share where it is in", "take it out here")
                elif "dimensions" in body:
                    page.note(("dimensions", name, key), f"[score] says the share of {name!r}", "take it out here")
        if "dimensions" in body:
            return self._mix(("score",), body, "the score")
        if "dimensions" not in page.data and "measures" not in body:
            cure = "begin with [dimensions.adoption], its share and measures"
            page.note(("dimensions",), "there is no dimension", cure)
        elsewhere = frozenset().union(*(one.inner() for one in others.values()))
        names = [
            name
            for name, one in self._bodies.items()
            if name not in nested and (name not in elsewhere or one.keys() & {"share", "importance"})
        ]
        return self._mix(("score",), body, "the score", names)

    def _own_shares(self, combine: Combine, names: Sequence[str]) -> Weights:
        """What the dimensions say themselves: all a share, or all an importance; nothing where all count alike."""
        page = self._page
        bodies = {name: self._bodies[name] for name in names}
        for name, body in bodies.items():
            self._home(("dimensions", name), name, "the score", "a dimension")
            if combine in _ALIKE:
                for key in sorted({"share", "importance"} & body.keys()):
                    page.note(("dimensions", name, key), f"in a {combine} every dimension counts alike", "take it out")
            elif {"share", "importance"} <= body.keys():
                page.note(("dimensions", name, "importance"), "there is a share already", "keep one of the two")
        shared = any(body.keys() & {"share", "importance"} for body in bodies.values())
        if combine in _ALIKE or not (shared or combine == "weighted mean"):
            return Weights(dict.fromkeys(names, Decimal(1)), _EQUAL)
        words = [name for name, body in bodies.items() if "importance" in body]
        if not words:
            found = {
                name: self._share(body.get("share"), ("dimensions", name, "share")) for name, body in bodies.items()
            }
            return Weights(found, _SHARES)
        for name, body in bodies.items():
            if "importance" not in body:
                cure = 'write importance = "normal" here, or give all of them a share'
                page.note(("dimensions", name, "share"), f"{words[0]!r} has an importance instead", cure)
        parts = {
            name: self._importance(bodies[name]["importance"], ("dimensions", name, "importance")) for name in words
        }
        return Weights(parts, _IMPORTANCE)

    def _bonus(self) -> dict[str, Decimal]:
        page, found = self._page, {}
        for name, said in page.table(("bonus",)).items():
            place: Place = ("bonus", name)
            self._member(place, name, "the bonus")
            if is_number(said) and said > 0:
                found[name] = decimal(said)
            else:
                page.note(place, f"{said!r} is no bonus", f"write how many points full marks add: {name} = 10")
        return found

    # -- one mix ------------------------------------------------------------------------------------------------------

    def _mix(self, place: Place, body: Body, home: str, own: Sequence[str] = ()) -> Mix:
        """`own` are dimensions that say their share themselves."""
        page = self._page
        combine: Combine = page.choice(place, body, "combine", COMBINES) or "weighted mean"  # type: ignore[assignment]
        measures, dimensions = self._parts(place, body, combine, home, own)
        base = page.number(place, body, "base", example="50")
        if base is not None and combine != "sum":
            page.note((*place, "base"), "only a sum begins somewhere", 'add combine = "sum", or take it out')
        floor, cap = page.limits(place, body)
        return Mix(
            measures=measures,
            dimensions=dimensions,
            combine=combine,
            base=base or Decimal(0),
            floor=floor,
            cap=cap,
            decimals=page.decimals(place, body),
            known_at_least=page.percent(phrases.share, place, body, "known_at_least") or Decimal(0),
            instead=tuple(self._instead(place, body, combine, home)),
        )

    def _instead(self, place: Place, body: Body, combine: Combine, home: str) -> Iterable[MixIf]:
        if "instead" not in body:
            return
        for name, inside in self._page.tables((*place, "instead"), LABEL):
            here = (*place, "instead", name)
            self._page.only(inside, here, INSTEAD)
            if not (inside.keys() & {"measures", "dimensions"}):
                self._page.note((*here, "measures"), "other shares are shares of measures", "measures = { nps = 100 }")
            when = self._asking.before(here, inside)
            measures, dimensions = self._parts(here, inside, combine, home)
            if when is not None:
                yield MixIf(measures, dimensions, name=name, when=when)

    def _parts(
        self, place: Place, body: Body, combine: Combine, home: str, own: Sequence[str] = ()
    ) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        """`measures` and `dimensions` with their weights, the shares of both together 100."""
        page = self._page
        found = {key: self._weights(place, body, key, combine, home) for key in ("measures", "dimensions")}
        if own:
            found["dimensions"] = self._own_shares(combine, own)
        manners = {key: one.manner for key, one in found.items() if one.weights}
        if len(set(manners.values())) > 1:
            message = f"the measures have {manners['measures']}, the dimensions {manners['dimensions']}"
            page.note((*place, "measures"), message, "write both in one way")
        elif _SHARES in manners.values():
            key = "measures" if found["measures"].weights else "dimensions"
            self._total(("dimensions",) if own else (*place, key), [*found["measures"], *found["dimensions"]])
        return found["measures"].weights, found["dimensions"].weights

    def _weights(self, place: Place, body: Body, key: str, combine: Combine, home: str) -> Weights:
        """One of the two tables: shares, importance, or a list of equals."""
        page, here, inside = self._page, (*place, key), body.get(key)
        if inside is None:
            return Weights({}, _EQUAL)
        if not isinstance(inside, dict | list) or not inside:
            example = "active_days = 100" if key == "measures" else "adoption = 100"
            page.note(here, f"{inside!r} are no {key}", f"{key} = {{ {example} }}")
            return Weights({}, _EQUAL)
        if isinstance(inside, list):
            names = [name for name in inside if isinstance(name, str)]
            if len(names) < len(inside):
                page.note(here, f"{inside!r} is no list of names", 'write ["active_days", "last_nps"]')
            for name in sorted({name for name in names if names.count(name) > 1}):
                page.note(here, f"{name!r} stands there twice", "once is enough")
        else:
            names = list(inside)
        for name in dict.fromkeys(names):
            at = (*here, name) if isinstance(inside, dict) else here
            (self._member if key == "measures" else self._inner)(at, name, home)
        if isinstance(inside, dict) and combine not in _ALIKE:
            return self._shares(here, inside)
        if isinstance(inside, dict):
            shown = ", ".join(f'"{name}"' for name in names)
            page.note(here, f"in a {combine} every part counts alike, so none has a share", f"write [{shown}]")
        return Weights(dict.fromkeys(names, Decimal(1)), _EQUAL)

    def _shares(self, place: Place, inside: Mapping[str, Any]) -> Weights:
        words = [name for name, said in inside.items() if isinstance(said, str) and said in IMPORTANCE]
        if not words:
            return Weights({name: self._share(said, (*place, name)) for name, said in inside.items()}, _SHARES)
        for name, said in inside.items():
            if is_number(said):
                cure = "write high, normal or low for all of them, or a share for all"
                self._page.note((*place, name), f"{said} is a share, and {words[0]!r} has an importance", cure)
        parts = {
            name: self._importance(said, (*place, name)) for name, said in inside.items() if not is_number(said)
        }  # fmt: skip
        return Weights(parts, _IMPORTANCE)

    # -- the pieces ---------------------------------------------------------------------------------------------------

    def _member(self, place: Place, name: str, home: str) -> None:
        page, draft = self._page, self._measures.get(name)
        if draft is None:
            page.note(place, f"there is no measure {name!r}", spell(name, self._measures))
            page.is_misnamed = True
            return
        self._home(place, name, home, "a measure")
        if draft.is_watched:
            cure = "take it out here, or take watch_only out there"
            page.note(place, f"{name!r} is watch_only and moves nothing", cure)
        elif not draft.gives_points:
            cure = 'add points = […] or sliding = "0 -> 0, 12 -> 100"'
            page.note(("measures", name), f"{name!r} gives no points", cure)

    def _inner(self, place: Place, name: str, home: str) -> None:
        if name not in self._bodies:
            self._page.note(place, f"there is no dimension {name!r}", spell(name, self._bodies))
        else:
            self._home(place, name, home, "a dimension")

    def _home(self, place: Place, name: str, home: str, what: str) -> None:
        """Each counts once on its way to the score; other scores (home "") may count it again."""
        if not home:
            return
        key = f"{what} {name}"
        before = self._homes.setdefault(key, home)
        twin = (
            f"; to count it here too, give the same read another name: [measures.{name}_too]"
            if "measure" in what
            else ""
        )
        if before != home:
            self._page.note(place, f"{name!r} counts in {before} already", f"{what} counts once" + twin)

    def _circles(self, dimensions: Mapping[str, Mix]) -> None:
        """Note the dimensions that are inside themselves."""
        for name in dimensions:
            seen: set[str] = set()
            inner = set(dimensions[name].inner())
            while inner - seen:
                seen |= inner
                inner = set().union(*(dimensions[one].inner() for one in inner if one in dimensions))
            if name in seen:
                cure = "take it out of the dimension that is inside it"
                self._page.note(("dimensions", name, "dimensions"), f"{name!r} is inside itself", cure)
                return

    def _share(self, said: Any, place: Place) -> Decimal:
        if is_number(said) and 0 < said <= FULL:
            return decimal(said)
        number = str(said).removesuffix("%").strip()
        if isinstance(said, str) and number.replace(".", "", 1).isdigit():
            self._page.note(place, f"{said!r} is no share", f"write it without quotes and %: {number}")
        elif isinstance(said, str) and place[-1] != "share":
            self._page.note(place, f"{said!r} is no share", "a number above 0, up to 100; or high, normal or low")
        else:
            message = "is missing" if said is None else f"{said!r} is no share"
            self._page.note(place, message, "a number above 0, up to 100")
        return Decimal(0)

    def _importance(self, said: Any, place: Place) -> Decimal:
        if isinstance(said, str) and said in IMPORTANCE:
            return IMPORTANCE[said]
        self._page.note(place, f"{said!r} is no importance", 'write "high", "normal" or "low"')
        return Decimal(0)

    def _total(self, place: Place, shares: Sequence[Decimal]) -> None:
        total = sum(shares, Decimal(0))
        if not all(shares) or total == FULL:
            return
        parts = " + ".join(plain(share) for share in shares)
        over = plain(abs(total - FULL))
        cure = f"take {over} away" if total > FULL else f"give them {over} more"
        cure += ", so that they total 100"
        in_proportion = [half_up(share * FULL / total, 1) for share in shares]
        if sum(in_proportion) == FULL and all(in_proportion):
            cure += "; in proportion " + " + ".join(map(plain, in_proportion))
        if total == 1:
            cure = "shares are percents: write " + ", ".join(plain(share * 100) for share in shares)
        self._page.note(place, f"the shares total {plain(total)}, not 100 ({parts})", cure)
