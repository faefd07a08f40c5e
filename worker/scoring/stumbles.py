"""Sentences that are not understood: how far they were, and what to write instead.

What people write first is known (`rewrites.py`); where the sentence is understood once it is put in our words, the
cure is that whole sentence. Otherwise it is what could come next.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate, chain
from typing import Final

from lark import Lark, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from worker.facts import KINDS, Shape
from worker.lib.shape import spell
from worker.scoring.rewrites import rewrites
from worker.scoring.wording import PhraseError, kind_words, normal

_SHOWN: Final = {
    "KIND": "a kind of fact (`keepwell facts` lists them)",
    "TEXT": "a text in quotes",
    "WORD": "a word, or a text in quotes",
    "UNIT": "days, weeks, months or years",
    "UNITS": "children or people",
    "CALENDAR": "week, month, quarter or year",
    "PERIOD": "day, week or month",
    "MIDDLE": "average or median",
    "WHOLE": "a whole number",
    "NUMBER": "a number",
    "PERCENT": "%",
    "NAME": "the name of a measure",
    "SIGN": "one of >= <= > < = !=",
    "REACH": "or worse, or better",
    "DAYS": "days",
    "POINT": "points",
    "OUTSIDE": ", outside leave out",
    "FILE": "the file of a card: starter.toml",
    "SPREAD": "average, median, lowest or highest",
    "KIND_PER": "a kind of fact “per week”",
    "FUNCTION": "min(…), max(…), abs(…), round(…), if(…)",
    "PLUS": "+",
    "MINUS": "-",
    "TIMES": "* or /",
    "UP": "“up”",
    "_OR_KIND": "“or” and another kind",
    "_OR_LABEL": "“or” and another label",
    "_OR_NUMBER": "“or” and another number",
    "_OR_OPTION": "“or” and another text",
    "_NOT_LABELLED": "“not labelled”",
    "_IN_UNITS": "“in days”",
    "_FADES": "“, halving every 30 days”, “, losing 10% per week”",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "$END": "the end",
    "_DAYS": "“days with …”, “days since …”",
    "_WEEKS": "“weeks with …”",
    "_MONTHS": "“months with …”",
    "_NUMBER": "“number of …”",
    "_TOTAL": "“total …”",
    "_LATEST": "“latest …”",
    "_FIRST": "“first …”",
    "_LABEL": "“label of the latest …”",
    "_SLOPE": "“slope of …”",
    "_ATTRIBUTE": "“attribute …”",
}

_OPERANDS: Final = frozenset(
    {
        "NAME", "NUMBER", "TEXT", "LPAR", "MINUS", "FUNCTION", "SCORE", "AGE", "DIMENSION", "BAND", "NOT", "SPREAD",
        "KIND_PER", "_DAYS", "_WEEKS", "_MONTHS", "_NUMBER", "_TOTAL", "_LATEST", "_FIRST", "_LABEL", "_SLOPE",
        "_ATTRIBUTE",
    }
)  # fmt: skip
"""What an expression may begin with, told as one."""

_OPERAND: Final = (
    "a measure, a number, “attribute …”, “age”, “score”, “band is …”, or a sentence like “number of … now”"
)

_ARITHMETIC: Final = frozenset({"PLUS", "MINUS", "TIMES"})


def not_understood(
    parser: Lark, start: str, text: str, error: UnexpectedInput, is_understood: Callable[[str], bool]
) -> PhraseError:
    """Say how far the sentence was understood, and what to write; `is_understood` tries another sentence."""
    place, expected = _stumble(text, error)
    understood, rest = " ".join(text[:place].split()), " ".join(text[place:].split())
    if place and understood and text[place - 1].isalnum() and rest[:1].isalnum():  # inside a word: give it back whole
        understood, _, begun = understood.rpartition(" ")
        rest = begun + rest
    message = f"“{rest}” is not understood" if rest else "the sentence breaks off"
    if understood:
        message += f" after “{understood}”"
    ours = in_our_words(start, text, is_understood)
    cure = f"write “{ours}”" if ours else _advice(start, normal(text)) or _cure(parser, rest, expected)
    return PhraseError(message, cure, understood)


def in_our_words(start: str, text: str, is_understood: Callable[[str], bool]) -> str:
    """The sentence as we would write it, "" where no rewriting makes it understood.

    Its texts are in the quotes that the sentence itself is not in, so that it can be put in the place of the old one.
    """
    said = normal(text)
    known = rewrites(start)
    together = accumulate(known, lambda sentence, rewrite: rewrite(sentence), initial=said)
    tried = chain((rewrite(said) for rewrite in known), together)
    ours = next((sentence for sentence in tried if sentence != said and is_understood(sentence)), "")
    return ours if '"' in text or "'" in ours else ours.replace('"', "'")


_NO_WEEKDAYS: Final = "days of the week are not told apart: let fewer days be full marks, or count weeks: “weeks with usage in the last 12 weeks”"

_ADVICE: Final = {
    "read": (
        (
            r"\busers\b|\b(?:people|persons) (?:with|who)",
            "make a measure of what each of them does, and count: “number of people with active_days >= 1”",
        ),
        (r" per (?:day|week|month)$", "say over how long: “… per week in the last 8 weeks”"),
        (r"\bhours\b", "days are the smallest unit: “days since the last login”"),
        (
            r"\bdeviation\b|\bvariance\b",
            "hold it against their own normal: against = “usage per week from 12 to 4 weeks ago”",
        ),
        (r" / | vs | divided by ", "two readings make a formula: name each as a measure, and formula = “one / other”"),
        (r"\bweek-?ends?\b|\bweekdays?\b|\b(?:working|business) days?\b", _NO_WEEKDAYS),
    ),
    "span": (
        (r"^(?:forever|always|ever|unlimited|never)$", "take the line out: without it an answer does not grow old"),
    ),
    "expression": (
        (
            r"\b(?:any|one|two|three|all|every) (?:of the )?(?:measures?|dimensions?)\b",
            'let the worst speak: combine = "worst colour" in the dimension or below [score]',
        ),
        (r"^(?:always|true|everybody|everyone|all)$", "what always holds needs no condition"),
        (r"[<>]=? ?\"\d{4}-", "ask how long ago a date is: “days since attribute started_on < 90”"),
        (r"\bthen\b", 'write only the condition here; what follows is a line of its own: at_most = "yellow"'),
        (
            r"\b(?:children|people)\b|^(?:percentile|z-score) of",
            "make a measure of it, [measures.…] with this as its read, and compare that measure here",
        ),
        (r"\bweek-?ends?\b|\bweekdays?\b|\b(?:working|business) days?\b", _NO_WEEKDAYS),
        (
            r"^(?:no |not |only |without )?(\w+) (?:customers|accounts|clients|users)$",
            "say by what you know them: “attribute plan is gold”",
        ),
        (r"\bband is (?:better|worse|above|below)\b", "name the first band that counts: “band is yellow or worse”"),
    ),
    "sliding": (
        (r"^[^,]*->[^,]*$", "a line has two ends at least: “0 -> 0, 12 -> 100”"),
        (r"-> ?[a-z]", "a line goes between numbers of points: “0 -> 0, 12 -> 100”"),
    ),
}
"""For what no rewriting can mend."""


def _advice(start: str, said: str) -> str:
    found = next((cure for pattern, cure in _ADVICE.get(start, ()) if re.search(pattern, said)), "")
    if found or start not in ("read", "against"):
        return found
    for word, kinds in kind_words().items():
        if re.match(rf"{re.escape(word)}(?!\w)", said):
            return {
                Shape.OPEN: f"begin with “number of {word} now”",
                Shape.READING: f"begin with “latest {word}” or “average {word}”",
                Shape.EVENT: f"begin with “days with {word}”, “number of {word}” or “total {word}”",
            }[KINDS[kinds[0]].shape]
    own = re.match(r"(latest|first|average|median|lowest|highest|total) (\w+)( in the last .+| ever)?$", said)
    if own:
        return f"is it a kind of your own? write “{own[1]} custom.{own[2]}{own[3] or ''}”"
    return f"is it one of the customer's attributes? write “attribute {said}”" if re.fullmatch(r"\w+", said) else ""


def _stumble(text: str, error: UnexpectedInput) -> tuple[int, set[str]]:
    if isinstance(error, UnexpectedToken):
        at_end = error.token.type == "$END"
        return (len(text) if at_end else error.token.start_pos or 0), set(error.accepts or error.expected)
    assert isinstance(error, UnexpectedCharacters)
    return error.pos_in_stream or 0, set(error.allowed or ())


def _cure(parser: Lark, rest: str, expected: set[str]) -> str:
    if "KIND" in expected and rest and not _kind_begins(rest):
        guess = re.split(r"\s(?:in|now|per|from|ever|this|labelled|not|of)\b|\s*[<>=!(),]", rest)[0]
        if guess:
            return f"{guess!r} is no kind of fact; {_nearest_kind(guess)}"
    if rest[:1] in "=<>" and rest and expected & {"NUMBER", "SIGN"} and "WORD" not in expected:
        return f"write {_SHOWN['SIGN']}"
    return "what can come next: " + ", ".join(sorted(_shown(parser, expected)))


def _kind_begins(rest: str) -> bool:
    return any(rest == word or rest.startswith(f"{word} ") for word in kind_words())


def _nearest_kind(guess: str) -> str:
    known = sorted(kind_words())
    begins = [word for word in known if word.startswith(guess)]
    stem = guess.removesuffix("s")
    near = [word for word in known if stem and re.search(rf"\b{re.escape(stem)}{'s' * guess.endswith('s')}\b", word)]
    if len(near) > 1:
        return "did you mean one of: " + ", ".join(near) + "?"
    if begins or near:
        return f"did you mean {(begins or near)[0]!r}?"
    cure = spell(guess, known)
    own = re.sub(r"\W+", "_", guess).strip("_")
    if cure.startswith("did"):
        return f"{cure} One of your own is written custom.{own}"
    return f"`keepwell facts` lists them; one of your own is written custom.{own}"


def _shown(parser: Lark, expected: set[str]) -> set[str]:
    if {"NAME", "LPAR"} <= expected:
        return {_OPERAND} | _shown(parser, expected - _OPERANDS)
    if expected >= _ARITHMETIC and len(expected) > len(_ARITHMETIC):
        return {"+ - * /"} | _shown(parser, expected - _ARITHMETIC)
    patterns = {one.name: one.pattern.value for one in parser.terminals}
    return {_SHOWN.get(name) or f"“{patterns.get(name, name)}”" for name in expected}
