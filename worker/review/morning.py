"""The morning message to one of our people: what changed, and what to do first, in at most seven lines. Pure.

It is for the team: bands may stand in it. Whatever does not fit is counted in the last line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, zip_longest
from typing import Final

from worker.effects import Button, Line
from worker.lib.rounding import half_up

MOST_LINES: Final = 7
"""Nobody reads on after that."""
CHANGES_AT_LEAST: Final = 2
"""So many lines are left to what changed, however much there is to do."""
LONGEST_NAME, LONGEST_WORDS = 60, 160
"""Characters of a customer's name, and of the words after it."""

APPROVAL, TASK, DISAGREEMENT = "approval", "task", "disagreement"
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    APPROVAL: ("message to approve", "messages to approve"),
    TASK: ("task", "tasks"),
    DISAGREEMENT: ("disagreement to answer", "disagreements to answer"),
}
"""What there may be to do, in the order in which it is named."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A customer whose band is another one than when the last message was written."""

    customer: str
    old_band: str
    new_band: str
    worse: bool
    why: str = ""
    worth: Decimal | None = None
    """A month's worth in the workspace's currency, None where it is not known."""
    link: str = ""
    buttons: Sequence[Button] = ()


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing that waits for this person."""

    kind: str
    """One of `KINDS`."""
    customer: str
    words: str
    due: int
    """By when, or since when: of one kind the earliest comes first. Epoch seconds."""
    link: str = ""
    buttons: Sequence[Button] = ()


def net(bands: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """(old, new) of a customer's changes in their order; None where nothing has changed in the end, or begun only now."""
    first = last = ""
    for place, (old, new) in enumerate(bands):
        first, last = (old if place == 0 else first), new
    return (first, last) if first and first != last else None


def lines(turned: Sequence[Turned], to_do: Sequence[ToDo], *, currency: str = "", more: str = "") -> tuple[Line, ...]:
    """The message; () where there is nothing to say. `more` is where the rest can be seen.

    What changed comes first, the worsened before the others and the most valuable before the rest; then what to do, of
    each kind the earliest.
    """
    changes, deeds = sorted(turned, key=_weight), _mixed(to_do)
    if len(changes) + len(deeds) <= MOST_LINES:
        shown, to_be_done = len(changes), len(deeds)
    else:
        room = MOST_LINES - 1  # the last line says what is missing
        shown = min(len(changes), max(CHANGES_AT_LEAST, room - len(deeds)))
        to_be_done = min(len(deeds), room - shown)
    found = [_change(one, currency) for one in changes[:shown]]
    found += [_deed(one) for one in deeds[:to_be_done]]
    rest = _rest(changes[shown:], deeds[to_be_done:])
    if rest:
        found.append(Line(f"And {rest}.", more))
    return tuple(found)


def gist(turned: Sequence[Turned], to_do: Sequence[ToDo]) -> str:
    """The message in half a sentence: `2 turned red, 1 turned green, 3 tasks`."""
    return _summary([f"{n} turned {band}" for n, band in _counted(turned)], _kinds(to_do))


def _weight(one: Turned) -> tuple[bool, Decimal, str, str, str, str]:
    worth = one.worth if one.worth is not None else Decimal(-1)
    return not one.worse, -worth, one.customer, one.new_band, one.old_band, one.why


def _mixed(to_do: Sequence[ToDo]) -> list[ToDo]:
    """The earliest of each kind, then the next of each: no kind hides the others."""
    by_kind = [sorted((one for one in to_do if one.kind == kind), key=_due) for kind in KINDS]
    return [one for one in chain.from_iterable(zip_longest(*by_kind)) if one is not None]


def _due(one: ToDo) -> tuple[int, str, str]:
    return one.due, one.customer, one.words


def _change(one: Turned, currency: str) -> Line:
    worth = f", worth {half_up(one.worth):,} {currency} a month" if one.worth is not None and currency else ""
    why = f": {_cut(one.why, LONGEST_WORDS)}" if one.why else ""
    words = f"{_cut(one.customer, LONGEST_NAME)} went from {one.old_band} to {one.new_band}{worth}{why}"
    return Line(words, one.link, one.buttons)


def _deed(one: ToDo) -> Line:
    words = f"To do: {_cut(one.customer, LONGEST_NAME)}: {_cut(one.words, LONGEST_WORDS)}"
    return Line(words, one.link, one.buttons)


def _rest(turned: Sequence[Turned], to_do: Sequence[ToDo]) -> str:
    """What is not shown: `4 more turned red, 2 tasks`."""
    return _summary([f"{n} more turned {band}" for n, band in _counted(turned)], _kinds(to_do))


def _counted(turned: Sequence[Turned]) -> list[tuple[int, str]]:
    """How many went to each band, the worsened first."""
    found = Counter((not one.worse, one.new_band) for one in turned)
    return [(n, band) for (_, band), n in sorted(found.items())]


def _kinds(to_do: Sequence[ToDo]) -> list[str]:
    found = Counter(one.kind for one in to_do)
    return [f"{found[kind]} {words[found[kind] != 1]}" for kind, words in KINDS.items() if found[kind]]


def _summary(*parts: Sequence[str]) -> str:
    return ", ".join(chain.from_iterable(parts))


def _cut(words: str, longest: int) -> str:
    plain = " ".join(words.split())
    return plain if len(plain) <= longest else plain[: longest - 1].rstrip() + "…"
