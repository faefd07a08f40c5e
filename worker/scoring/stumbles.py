"""Sentences that are not understood: how far they were, and what to write instead."""

from __future__ import annotations

from lark import Lark, UnexpectedCharacters, UnexpectedInput, UnexpectedToken


class PhraseError(ValueError):
    """A sentence that is not understood."""

    def __init__(self, message: str, cure: str = "", understood: str = "") -> None:
        """`understood` is the part before the trouble."""
        super().__init__(message)
        self.message, self.cure, self.understood = message, cure, understood


def not_understood(parser: Lark, start: str, text: str, error: UnexpectedInput) -> PhraseError:
    """Say how far the sentence was understood, and what could come next."""
    place, expected = _stumble(text, error)
    understood, rest = " ".join(text[:place].split()), " ".join(text[place:].split())
    return PhraseError(f"“{rest}” is not understood after “{understood}”", str(expected), understood)


def _stumble(text: str, error: UnexpectedInput) -> tuple[int, set[str]]:
    if isinstance(error, UnexpectedToken):
        at_end = error.token.type == "$END"
        return (len(text) if at_end else error.token.start_pos or 0), set(error.accepts or error.expected)
    assert isinstance(error, UnexpectedCharacters)
    return error.pos_in_stream or 0, set(error.allowed or ())
