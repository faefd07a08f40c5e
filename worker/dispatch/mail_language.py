"""The language that mails are written in: the little of Jinja that can neither loop, grow nor reach anything.

A mail may put out the values that it declares, `{{ first_name }}`, and say one thing or another, `{% if usage_days < 3 %}
… {% elif … %} … {% else %} … {% endif %}`, over declared values and constants. There is nothing else: no loops, calls,
attributes, filters, assignments or arithmetic. What is written so is at most as long as its file and its values are
together, and is done in one pass over it. Jinja only reads the text into a tree; none of its code for running is used,
so there is no sandbox to get out of. See docs/mail.md.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

import jinja2
from jinja2 import nodes

from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell

LONGEST: Final = 10_000
"""Characters of a template; no mail is a tenth of it."""
MOST_BRANCHES: Final = 30
"""Branches of all {% if %} of a text together; each is tried when it is read."""
DEEPEST: Final = 8
"""Levels of {% if %} in {% if %}, or of brackets in a condition."""

CURE: Final = "write {{ a_value }}, or {% if a_value == 1 %} … {% else %} … {% endif %}; see docs/mail.md"


class Unsayable(ValueError):
    """A condition has no answer for these values; its text says which."""


Test = Callable[[Mapping[str, str]], bool]
"""A condition. Raises Unsayable where a value that is compared with a number is none."""


@dataclass(frozen=True, slots=True)
class Value:
    """`{{ name }}`."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`{% if … %}` with all that belongs to it; the last branch always holds, and is empty where there is no else."""

    branches: tuple[tuple[Test, Parts], ...]


Part = str | Value | Choice
Parts = tuple[Part, ...]
Plain = tuple[str | Value, ...]
"""Parts of which every choice has been made."""


def read(source: str, file: str, line: int, key: str, known: Collection[str], *, longest: int = LONGEST) -> Parts:
    """Read a text whose first line is the file's `line` + 1. Raises Problems with every mistake of it.

    `known` are the values that it may name.
    """
    if len(source) > longest:
        longer = f"is {len(source)} characters long"
        raise Problems([Problem(file, line + 1, key, longer, f"write at most {longest}")])
    try:
        tree = _ENVIRONMENT.parse(_ALONE.sub(r"\1\n\2", source))
    except jinja2.TemplateSyntaxError as error:
        last = source.rstrip("\n").count("\n") + 1
        at = line + min(error.lineno, last)
        raise Problems([Problem(file, at, key, str(error.message), "mend the {{ … }}")]) from None
    except (RecursionError, ValueError, ArithmeticError):  # brackets in brackets, a number of thousands of digits
        raise Problems([Problem(file, line + 1, key, "cannot be read", CURE)]) from None
    reading = _Reading(file, line, key, frozenset(known))
    parts = reading.parts(tree.body, 0)
    if reading.problems:
        raise Problems(reading.problems)
    return parts


_ENVIRONMENT: Final = jinja2.Environment(keep_trailing_newline=True)  # noqa: S701  it reads; nothing is rendered by it

_ALONE: Final = re.compile(r"^[ \t]*(\{[%#](?:(?![%#]\}).)*?)([-+]?[%#]\})[ \t]*\n", re.MULTILINE)
"""A tag that has a line for itself: that line is no line of the mail. Its newline moves inside, where it only counts."""


def decided(parts: Parts, values: Mapping[str, str]) -> tuple[int, ...]:
    """Which branch each choice takes for these values, in reading order. Raises Unsayable."""
    taken: list[int] = []
    for part in parts:
        if isinstance(part, Choice):
            place = next(place for place, (test, _) in enumerate(part.branches) if test(values))
            taken.append(place)
            taken.extend(decided(part.branches[place][1], values))
    return tuple(taken)


def flat(parts: Parts, taken: Iterator[int]) -> Plain:
    """The parts with their choices made as `decided` says."""
    found: list[str | Value] = []
    for part in parts:
        if isinstance(part, Choice):
            found += flat(part.branches[next(taken)][1], taken)
        else:
            found.append(part)
    return tuple(found)


def covering(parts: Parts) -> list[Plain]:
    """A few of the texts that this can become, in which every branch is there at least once."""
    rows: list[list[Plain]] = [
        [text for _, inside in part.branches for text in covering(inside)] if isinstance(part, Choice) else [(part,)]
        for part in parts
    ]
    most = max((len(row) for row in rows), default=1)
    return [tuple(one for row in rows for one in row[min(turn, len(row) - 1)]) for turn in range(most)]


def say(plain: Plain, values: Mapping[str, str]) -> str:
    """The text with its values in place."""
    return "".join(values[part.name] if isinstance(part, Value) else part for part in plain)


# -- from Jinja's tree to ours ----------------------------------------------------------------------------------------


class _Refused(Exception):
    """This is not in the language."""

    def __init__(self, line: int, message: str, cure: str = CURE) -> None:
        super().__init__(message)
        self.line, self.message, self.cure = line, message, cure


def _refuse(node: nodes.Node, message: str, cure: str = CURE) -> NoReturn:
    placed = (
        one.lineno for one in (node, *node.iter_child_nodes()) if one.lineno
    )  # what Jinja adds itself has no line
    raise _Refused(next(placed, 1), message, cure)


class _Reading:
    """One reading of one text: collects problems until the end."""

    def __init__(self, file: str, line: int, key: str, known: frozenset[str]) -> None:
        self._file, self._line, self._key, self._known = file, line, key, known
        self._branches = 0
        self.problems: list[Problem] = []

    def parts(self, body: Sequence[nodes.Node], depth: int) -> Parts:
        found: list[Part] = []
        for node in body:
            try:
                if isinstance(node, nodes.Output):
                    found += [part for one in node.nodes if (part := self._put_out(one)) is not None]
                elif isinstance(node, nodes.If):
                    found.append(self._choice(node, depth + 1))
                else:
                    _refuse(node, f"uses {_what(node)}, which mails do not know")
            except _Refused as refused:
                self._note(refused)
        return tuple(found)

    def _note(self, refused: _Refused) -> None:
        self.problems.append(
            Problem(self._file, self._line + refused.line, self._key, refused.message, refused.cure)
        )  # fmt: skip

    def _put_out(self, node: nodes.Expr) -> Part | None:
        """Text as it stands, or a value; None after a mistake."""
        if isinstance(node, nodes.TemplateData):
            return node.data
        try:
            return Value(self._name(node))
        except _Refused as refused:
            self._note(refused)
            return None

    def _name(self, node: nodes.Node) -> str:
        if not isinstance(node, nodes.Name):
            _refuse(node, f"uses {_what(node)}, which mails do not know")
        if node.name not in self._known:
            near = spell(node.name, self._known)
            add = f"add it to needs{'; ' + near if near.startswith('did') else ''}"  # a layout has no needs
            _refuse(node, f"names {node.name!r}, which it does not declare", add if self._key else near)
        return node.name

    def _choice(self, node: nodes.If, depth: int) -> Choice:
        if depth > DEEPEST:
            _refuse(node, f"has more than {DEEPEST} {{% if %}} in each other", "write two templates")
        self._branches += 1 + len(node.elif_)
        if self._branches > MOST_BRANCHES:
            _refuse(node, f"has more than {MOST_BRANCHES} branches", "write two templates")
        branches = [(self._tested(one.test), self.parts(one.body, depth)) for one in [node, *node.elif_]]
        return Choice((*branches, (_always, self.parts(node.else_, depth))))

    def _tested(self, node: nodes.Node) -> Test:
        """The condition; one that was refused has been noted and never holds."""
        try:
            return self._test(node, 0)
        except _Refused as refused:
            self._note(refused)
            return lambda values: False

    def _test(self, node: nodes.Node, depth: int) -> Test:
        if depth > DEEPEST:
            _refuse(node, "has a condition that is too long", "write it as several {% if %}")
        if isinstance(node, nodes.Not):
            inner = self._test(node.node, depth + 1)
            return lambda values: not inner(values)
        if isinstance(node, nodes.And | nodes.Or):
            left, right = self._test(node.left, depth + 1), self._test(node.right, depth + 1)
            if isinstance(node, nodes.And):
                return lambda values: left(values) and right(values)
            return lambda values: left(values) or right(values)
        if isinstance(node, nodes.Compare):
            return self._comparison(node)
        name = self._name(node)
        return lambda values: bool(values[name])

    def _comparison(self, node: nodes.Compare) -> Test:
        if len(node.ops) > 1:
            _refuse(node, "compares three things at once", "join two comparisons by and")
        ((sign, other),) = ((one.op, one.expr) for one in node.ops)
        if sign in ("in", "notin"):
            return self._among(node.expr, other, wanted=sign == "in")
        left, right = self._operand(node.expr), self._operand(other)
        if sign not in ("eq", "ne"):
            compare = _SIGNS[sign]
            return lambda values: compare(_number(left, values), _number(right, values))
        same = _alike if isinstance(left, Decimal) or isinstance(right, Decimal) else _equal
        return lambda values: same(_text(left, values), _text(right, values)) == (sign == "eq")

    def _among(self, item: nodes.Expr, place: nodes.Expr, *, wanted: bool) -> Test:
        """`label in ["a", "b"]`, or `"a" in label`."""
        one = self._operand(item)
        if isinstance(place, nodes.List | nodes.Tuple):
            listed = [self._operand(other) for other in place.items]
            return lambda values: (_text(one, values) in [_text(other, values) for other in listed]) == wanted
        inside = self._operand(place)
        return lambda values: (_text(one, values) in _text(inside, values)) == wanted

    def _operand(self, node: nodes.Expr) -> _Operand:
        if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const):
            number = self._operand(node.node)
            return -number if isinstance(number, Decimal) else _refuse(node, "puts a minus before what is no number")
        if isinstance(node, nodes.Const):
            if isinstance(node.value, str):
                return _Text(node.value)
            if isinstance(node.value, int | float) and not isinstance(node.value, bool) and abs(node.value) < 10**15:
                return Decimal(str(node.value))
            _refuse(node, f"compares with {node.value!r}", "compare with a text or a number")
        return Value(self._name(node))


@dataclass(frozen=True, slots=True)
class _Text:
    """A text between quotes."""

    text: str


_Operand = _Text | Decimal | Value

_SIGNS: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    "lt": operator.lt, "lteq": operator.le, "gt": operator.gt, "gteq": operator.ge,
}  # fmt: skip


def _always(values: Mapping[str, str]) -> bool:
    return True


def _number(operand: _Operand, values: Mapping[str, str]) -> Decimal:
    if isinstance(operand, Decimal):
        return operand
    text = _text(operand, values)
    number = _read_number(text)
    if number is None:
        raise Unsayable(f"{text[:40]!r} is compared as a number and is none")
    return number


def _read_number(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text, re.ASCII) else None


def _equal(one: str, other: str) -> bool:
    return one == other


def _alike(one: str, other: str) -> bool:
    """Whether two texts are the same number."""
    left, right = _read_number(one), _read_number(other)
    return left is not None and left == right


def _text(operand: _Operand, values: Mapping[str, str]) -> str:
    if isinstance(operand, Value):
        return values[operand.name]
    return operand.text if isinstance(operand, _Text) else f"{operand.normalize():f}"


_WHAT: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Call: "a call", nodes.Getattr: "an attribute", nodes.Getitem: "an index", nodes.Test: "a test with `is`",
    nodes.CondExpr: "an if inside {{ … }}", nodes.Const: "a constant", nodes.TemplateData: "text",
}  # fmt: skip


def _what(node: nodes.Node) -> str:
    if isinstance(node, nodes.Filter):
        return f"the filter {node.name!r}"
    if isinstance(node, nodes.BinExpr | nodes.UnaryExpr | nodes.Concat):
        return "arithmetic"
    if isinstance(node, nodes.Stmt):
        return f"{{% {type(node).__name__.lower()} %}}"
    return _WHAT.get(type(node), f"{type(node).__name__.lower()}")
