"""The file under the readers' hands: the small pieces of it, and the mistakes found so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from worker.lib.problems import Problem, Problems
from worker.lib.rounding import plain
from worker.lib.shape import spell
from worker.lib.toml import parse
from worker.scoring.phrases import PhraseError

Value = TypeVar("Value")
Place = tuple[str | int, ...]
Body = Mapping[str, Any]

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
"""What a measure may be called."""
LABEL: Final = re.compile(r"[a-z][a-z0-9_-]*")
"""What anything else may be called."""


class Page:
    """One reading of one file. Its methods give a value, or note a problem and give what lets the reading go on."""

    def __init__(self, text: str, file: str) -> None:
        """Raises Problems where the text is no TOML."""
        self.file = file
        self._document = parse(text, file)
        self._problems: list[Problem] = []
        self.is_misnamed = False
        """A name was wrong, or is not there: what else names it, or does not, is no mistake of its own."""

    @property
    def data(self) -> dict[str, Any]:
        """What the file says."""
        return self._document.data

    def note(self, place: Place, message: str, cure: str = "") -> None:
        """Keep a mistake."""
        key = ".".join(str(part) for part in place if not isinstance(part, int))
        self._problems.append(Problem(self.file, self._document.line(*place), key, message, cure))

    def end(self) -> None:
        """Raises Problems if there was any mistake."""
        if self._problems:
            raise Problems(self._problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The mistakes found so far, in the order of their places."""
        return tuple(sorted(set(self._problems)))

    @property
    def is_sound(self) -> bool:
        """No mistake was found so far."""
        return not self._problems

    def only(self, body: Body, place: Place, known: Iterable[str]) -> None:
        """Note every key that means nothing here."""
        names = list(known)
        for key in body.keys() - set(names):
            self.note((*place, key), f"{key!r} means nothing here", _meant(key, body[key], place, names))

    def table(self, place: Place) -> Body:
        """A table by its place, {} where there is none or it is something else."""
        body: Any = self.data
        for part in place:
            body = body.get(part, {}) if isinstance(body, dict) else {}
        if isinstance(body, dict):
            return body
        self.note(place, f"{place[-1]} is no table", f"write [{'.'.join(map(str, place))}] with its own lines below")
        return {}

    def tables(self, place: Place, names: re.Pattern[str]) -> list[tuple[str, Body]]:
        """The tables inside a table: `[measures.…]`, each with its name."""
        dotted = ".".join(map(str, place))
        body: Any = self.data
        for part in place:
            body = body.get(part, {}) if isinstance(body, dict) else {}
        if not isinstance(body, dict):
            self.note(place, f"{place[-1]} is no table", f"write [{dotted}.some_name]")
            return []
        found: list[tuple[str, Body]] = []
        for name, inside in body.items():
            if not isinstance(inside, dict):
                shown = "some_name" if place[-1] == "instead" else name  # what stands there is a line of such a table
                self.note((*place, name), f"{name!r} is no table", f"write [{dotted}.{shown}] with its own lines below")
                continue
            if not names.fullmatch(name):
                allowed = "use small letters, digits and _" + ("" if names is NAME else " or -")
                better = re.sub(r"\W+", "_", name.lower()).strip("_")
                shown = f": {better}" if names.fullmatch(better) else ""
                self.note((*place, name), f"{name!r} is no name", allowed + shown)
                self.is_misnamed = True
            found.append((name, inside))
        return found

    def phrase(
        self, sentence: Callable[[str], Value], place: Place, body: Body, key: str, *, needed: bool = False
    ) -> Value | None:
        """One sentence, by its reader in `phrases`; None where there is none, or it is not understood."""
        if key not in body:
            if needed:
                self.note((*place, key), "is missing", "add it; docs/scorecard.md has an example of each")
            return None
        return self.sentence(sentence, (*place, key), body[key])

    def sentence(self, sentence: Callable[[str], Value], place: Place, text: Any) -> Value | None:
        """The same for a text in hand."""
        if not isinstance(text, str):
            self.note(place, f"{text!r} is no sentence", _in_words(sentence, text))
            return None
        try:
            return sentence(text)
        except PhraseError as error:
            self.note(place, error.message, error.cure)
            return None

    def percent(self, sentence: Callable[[str], Decimal], place: Place, body: Body, key: str) -> Decimal | None:
        """A share like `"50%"`, as 0.5; None where there is none."""
        said: Any = body.get(key)
        if is_number(said):
            shown = said * 100 if 0 < said < 1 else said
            self.note((*place, key), f"{said!r} is no sentence", f'write it in quotes: "{plain(decimal(shown))}%"')
            return None
        share = self.phrase(sentence, place, body, key)
        if share is not None and not 0 <= share <= 1:
            self.note((*place, key), "a share lies between 0% and 100%", "write 50%")
        return share

    def text(self, place: Place, body: Body, key: str, *, needed: bool = False) -> str:
        """A text, "" where there is none."""
        said = body.get(key, "")
        if not isinstance(said, str):
            self.note((*place, key), f"{said!r} is no text", "write it in quotes")
            return ""
        if needed and not said.strip():
            self.note((*place, key), "is missing", f'add {key} = "…"')
        return said

    def texts(self, key: str, example: str) -> list[str]:
        """A list of texts at the top of the file."""
        said = self.data.get(key, [])
        if isinstance(said, list) and all(isinstance(one, str) for one in said):
            return said
        self.note((key,), f"{said!r} is no list of texts", f"write {key} = {example}")
        return []

    def flag(self, place: Place, body: Body, key: str) -> bool:
        """True or false, false where nothing is said."""
        said = body.get(key, False)
        if not isinstance(said, bool):
            self.note((*place, key), f"{said!r} will not do", "write true or false, without quotes")
            return False
        return said

    def choice(self, place: Place, body: Body, key: str, options: Iterable[str]) -> str | None:
        """One of a few words; None where nothing is said."""
        if key not in body:
            return None
        said, known = body[key], list(options)
        if said in known:
            return str(said)
        self.note((*place, key), f"{said!r} will not do", "write one of: " + ", ".join(f'"{one}"' for one in known))
        return None

    def number(self, place: Place, body: Body, key: str, *, example: str = "10") -> Decimal | None:
        """A number, without quotes; None where nothing is said."""
        if key not in body:
            return None
        said = body[key]
        if is_number(said):
            return decimal(said)
        self.note((*place, key), f"{said!r} is no number", f"write a number without quotes: {key} = {example}")
        return None

    def decimals(self, place: Place, body: Body) -> int | None:
        """`decimals = 1`; None where nothing is rounded."""
        said = body.get("decimals")
        if said is None or (isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= 6):
            return said
        self.note((*place, "decimals"), f"{said!r} will not do", "write how many decimals to round to, 0 to 6")
        return None

    def limits(self, place: Place, body: Body) -> tuple[Decimal | None, Decimal | None]:
        """`floor` and `cap`; None where nothing is said."""
        floor, cap = self.number(place, body, "floor"), self.number(place, body, "cap")
        if floor is not None and cap is not None and floor >= cap:
            self.note((*place, "floor"), f"{plain(floor)} is not below the cap", "write a floor below the cap")
        return floor, cap


_AT_THE_TOP: Final = ("name", "goal", "leaving", "who")

_OTHER_WORDS: Final = {
    "add": ("bonus", "plus", "minus", "subtract", "penalty"),
    "answer_valid_for": ("expires_after", "expires", "valid_for", "max_age"),
    "at_least": ("floor", "min", "minimum", "never_below"),
    "at_most": ("cap", "max", "maximum", "ceiling", "limit"),
    "because": ("reason", "why", "says"),
    "cap": ("max", "maximum", "at_most", "limit"),
    "decimals": ("round", "rounding", "rounded", "digits"),
    "do": ("play", "action", "then"),
    "floor": ("min", "minimum", "at_least"),
    "if_never": ("if_missing", "if_empty", "if_unknown", "if_none", "if_null", "missing", "default"),
    "points": ("steps", "score", "worth"),
    "says": ("label", "text", "message", "because"),
    "share": ("weight", "weights", "percent"),
    "unknown_if_known_less_than": ("grey", "grey_if_known_less_than", "known_at_least"),
    "when": ("if", "condition", "where"),
    "who": ("only", "filter", "customers", "scored"),
}
"""{a key of ours: what people call it}."""

ELSEWHERE: Final = {
    "decimals": "put it below [score], a table of its own above [bands]",
    **dict.fromkeys(
        ["skip", "exclude", "except", "ignore", "who_not", "not_who"],
        'say who is scored instead: who = "attribute test_account is not yes"',
    ),
    "bonus": "points on top have a table of their own: [bonus] with referrals = 5",
    "not": 'say what it may be: at_least = "yellow" means never red',
    "read": "this table only says what the value is worth; for another value make another measure",
}
"""For keys that belong elsewhere."""


def _in_words(sentence: Callable[[str], Any], said: Any) -> str:
    """The cure for what should be a sentence: what it would be with the words that a number lacks."""
    if isinstance(said, int | float) and not isinstance(said, bool):
        try:
            sentence(str(said))
        except PhraseError as error:
            if error.cure.startswith("write “"):
                return error.cure.replace("“", '"').replace("”", '"')
    return "write it in quotes"


def _meant(key: str, said: Any, place: Place, names: Iterable[str]) -> str:
    """The cure for a key that means nothing where it stands."""
    known = sorted(names)
    ours = next((one for one in known if key in _OTHER_WORDS.get(one, ())), "")
    if ours:
        return f"write {ours}"
    if isinstance(said, Mapping) and place == ("score",):
        return f"for another score write [scores.{key}]; for other shares [score.instead.{key}]"
    if isinstance(said, Mapping) and "instead" in known:
        return f"for another table write [{'.'.join(map(str, place))}.instead.{key}]"
    if place and key in _AT_THE_TOP:
        return f"put it at the very top of the file, above the first [table]: {key} = …"
    cure = spell(key, known)
    return ELSEWHERE.get(key, cure)


def is_number(said: Any) -> bool:
    """A number that TOML knows, and that is one: not true, not nan, not without end."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return False
    return decimal(said).is_finite() and abs(said) < 10**12


def decimal(said: float) -> Decimal:
    """Exactly as it was written."""
    return Decimal(str(said))
