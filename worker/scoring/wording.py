"""What sentences are made of before any grammar: the words for kinds of fact, quotes and capitals, and the one error."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from worker.facts import FAMILIES, KINDS


class PhraseError(ValueError):
    """A sentence that is not understood."""

    def __init__(self, message: str, cure: str = "", understood: str = "") -> None:
        """`understood` is the part before the trouble."""
        super().__init__(message)
        self.message, self.cure, self.understood = message, cure, understood


@cache
def kind_words() -> dict[str, tuple[str, ...]]:
    """What kinds and families are called in sentences, with the kinds that each means."""
    words = {word: (kind.name,) for kind in KINDS.values() for word in (kind.singular, kind.plural)}
    return words | {word: one.kinds for one in FAMILIES for word in (one.singular, one.plural)}


def normal(text: str) -> str:
    """A sentence in its plainest writing: small letters outside quotes, single spaces, texts in double quotes."""
    parts = re.split(_QUOTED, lowered(text))
    return " ".join(
        "".join(f'"{part[1:-1]}"' if _is_quoted(part) else re.sub(r"\s+", " ", part) for part in parts).split()
    )


def lowered(text: str) -> str:
    """Small letters outside quotes; every character keeps its place."""
    parts = re.split(_QUOTED, text)
    return "".join(part if _is_quoted(part) else "".join(map(_small, part)) for part in parts)


_QUOTED: Final = re.compile(r"""("[^"]*"|(?<!\w)'[^']*')""")


def _is_quoted(part: str) -> bool:
    return len(part) > 1 and part[0] in "\"'" and part[0] == part[-1]


def _small(letter: str) -> str:
    return letter.lower() if len(letter.lower()) == 1 else letter
