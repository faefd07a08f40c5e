"""The sentences of a scorecard, by the grammar in `phrases.lark`: text in, values out.

Every function raises PhraseError, which knows how far the sentence was understood and what could come next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from lark import Lark, UnexpectedInput
from lark.exceptions import VisitError

from worker.scoring.card import Hold
from worker.scoring.derived import RollUp, Source
from worker.scoring.expressions import Expression, Name
from worker.scoring.meanings import Edge, meaning
from worker.scoring.meanings_of_conditions import required_condition
from worker.scoring.points import Sliding, Step
from worker.scoring.reads import Portfolio, Rank, Read
from worker.scoring.stumbles import in_our_words, not_understood
from worker.scoring.wording import PhraseError, kind_words, lowered

__all__ = [
    "Edge", "PhraseError", "against", "choice", "condition", "edge", "extent", "formula", "hold", "lowered", "may_name",
    "parser", "read", "share", "sliding", "span", "step",
]  # fmt: skip

_STARTS: Final = (
    "read", "against", "expression", "step", "sliding", "edge", "hold", "span", "share", "extent", "choice"
)  # fmt: skip

_BEGINNINGS: Final = ("days", "weeks", "months", "number", "total", "latest", "first", "label", "slope", "attribute")
"""Words that begin a sentence, unless they are compared at once: then they are the name of a measure."""

_JOINTS: Final = frozenset({"and", "or", "not", "is", "in", "if", "missing"})


@cache
def parser() -> Lark:
    """The grammar with today's vocabulary; its starts are `_STARTS`."""
    single, several = (_either(word for word in kind_words() if (" " in word) == spaced) for spaced in (False, True))
    kind = rf"(?:(?:{several}|{single})|custom\.[a-z0-9_]+)(?![\w.])"
    label = r"""(?:"[^"]*"|'[^']*'|[^\W\d]\w*(?:-\w+)*)"""
    labelled = rf"\s+(?:not\s+)?labelled\s+{label}(?:\s+or\s+{label})*"
    kind_per = rf"{kind}(?=(?:{labelled}|\s+or\s+{kind})*\s+per(?!\w))"
    compared = r"\s*(?:[-+*\/<>=!]|is(?!\w)|(?:not\s+)?in\s*\()"
    other_kind = rf"(?:{several}|custom\.[a-z0-9_]+|{single}(?!{compared}))(?![\w.])"
    over = rf"{compared}|\s*(?:[),]|$|(?:and|or)(?!\w))"
    terminals = {
        **{f"_{word.upper()}.1": rf"{word}(?!\w)(?!{over})" for word in _BEGINNINGS},
        "SPREAD.1": rf"(average|median|lowest|highest)(?!\w)(?!{over})",
        "KIND.2": kind,
        "KIND_PER.3": kind_per,
        "_OR_KIND.4": rf"or(?=\s+{other_kind})",
    }
    grammar = Path(__file__).with_name("phrases.lark").read_text("utf-8")
    return Lark(
        "\n".join([grammar, *(f"{name}: /{pattern}/" for name, pattern in terminals.items()), ""]),
        parser="lalr",
        start=list(_STARTS),
        maybe_placeholders=True,
        propagate_positions=True,
    )


def _either(words: Iterable[str]) -> str:
    return (
        "(?:" + "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True)) + ")"
    )


def read(text: str) -> Read | Rank | RollUp:
    """`days with usage in the last 30 days`."""
    return _parse("read", text)  # type: ignore[no-any-return]  # each start of the grammar builds its own type


def against(text: str, source: Source) -> Read | Portfolio:
    """The normal that `source` is held against: a sentence, `the same time last year`, `the portfolio's median`."""
    found = _parse("against", text)
    if callable(found):
        if not isinstance(source, Read):
            raise PhraseError("only what is read from facts has a last year", "write “the portfolio's median”")
        found = found(source)
    return found  # type: ignore[no-any-return]  # as above


def formula(text: str) -> Expression:
    """`active_users / attribute seats`; a condition comes to 1 or 0."""
    return _parse("expression", text)  # type: ignore[no-any-return]  # as above


def condition(text: str) -> Expression:
    """`active_days >= 15 and last_nps <= 6`."""
    return required_condition(_parse("expression", text))


def step(text: str) -> Step:
    """`below 50% -> 0`."""
    return _parse("step", text)  # type: ignore[no-any-return]  # as above


def sliding(text: str) -> Sliding:
    """`0 -> 0, 12 -> 100`."""
    return _parse("sliding", text)  # type: ignore[no-any-return]  # as above


def edge(text: str) -> Edge:
    """`70 and up`."""
    return _parse("edge", text)  # type: ignore[no-any-return]  # as above


def hold(text: str) -> Hold:
    """`3 points past the line for 3 days`."""
    return _parse("hold", text)  # type: ignore[no-any-return]  # as above


def span(text: str) -> int:
    """`60 days`, in days."""
    return _parse("span", text)  # type: ignore[no-any-return]  # as above


def share(text: str) -> Decimal:
    """`50%`, as 0.5."""
    return _parse("share", text)  # type: ignore[no-any-return]  # as above


def extent(text: str) -> tuple[Decimal, Decimal]:
    """`0 to 10`: the range of a score."""
    return _parse("extent", text)  # type: ignore[no-any-return]  # as above


def choice(text: str) -> tuple[str, Expression | None]:
    """`newcomers.toml when age < 90 days`: the file of a card, and for whom; None is `otherwise`."""
    return _parse("choice", text)  # type: ignore[no-any-return]  # as above


def may_name(name: str) -> bool:
    """Whether a measure may be called so: whether a condition takes it for a measure and not for a word of its own."""
    try:
        return name not in _JOINTS and formula(name) == Name(name)
    except PhraseError:
        return False


def _parse(start: str, text: str) -> Any:
    try:
        return _understood(start, text)
    except UnexpectedInput as error:
        raise not_understood(parser(), start, text, error, lambda other: _is_understood(start, other)) from None
    except PhraseError as error:
        ours = in_our_words(start, text, lambda other: _is_understood(start, other))
        raise PhraseError(error.message, f"write “{ours}”" if ours else error.cure, error.understood) from None


def _is_understood(start: str, text: str) -> bool:
    try:
        _understood(start, text)
    except (UnexpectedInput, PhraseError):
        return False
    return True


@lru_cache(maxsize=4096)
def _understood(start: str, text: str) -> Any:
    tree = parser().parse(lowered(text), start=start)
    try:
        return meaning(tree, text)
    except VisitError as error:
        if isinstance(error.orig_exc, PhraseError):
            raise error.orig_exc from None
        raise
