"""What each mode of a workspace lets out: which acts leave, which wait to be released, which are only shown.

watch    nothing is decided but scores
draft    every act is decided, and kept to be looked at; none ever leaves
approve  an act leaves once a person has released its kind
live     every act leaves

The first pass is silent in each of them. A *kind* of act is `play:<name>` for what a play does, `alert` for what the
team is told without one, and a place in the CRM: `tag:<band>`, `field:<score|band|reason|as_of>`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

WATCH, DRAFT, APPROVE, LIVE = "watch", "draft", "approve", "live"

MODES: Final = (WATCH, DRAFT, APPROVE, LIVE)
"""In the order in which a workspace goes up."""

ALERT: Final = "alert"
"""The kind of what the team is told without a play."""


def decides(mode: str) -> bool:
    """Whether acts are decided at all."""
    return mode in (DRAFT, APPROVE, LIVE)


def lets_out(mode: str) -> bool:
    """Whether anything may leave in this mode."""
    return mode in (APPROVE, LIVE)


def may_leave(mode: str, released: Collection[str], kind: str) -> bool:
    """Whether an act of this kind may leave."""
    return mode == LIVE or (mode == APPROVE and kind in released)


def pool(mode: str, released: Collection[str], kind: str) -> str:
    """Where an act of this kind is put: waiting (it leaves), held or draft. Raises ValueError where none is decided."""
    if not decides(mode):
        raise ValueError(f"nothing is decided in {mode!r}")
    if mode == DRAFT:
        return "draft"
    return "waiting" if may_leave(mode, released, kind) else "held"


def standing_pool(mode: str) -> str:
    """The same for what the CRM shall show: it goes through to the write-back, which writes the released places only."""
    return "draft" if mode == DRAFT else "waiting"


def kind_of(play: str) -> str:
    """The kind of an act that is no place in the CRM; `play` is "" where no play did it."""
    return f"play:{play}" if play else ALERT


def places(bands: Collection[str], fields: Collection[str]) -> list[str]:
    """The kinds of act that are places in the CRM."""
    return [*(f"tag:{band}" for band in bands), *(f"field:{name}" for name in fields)]
