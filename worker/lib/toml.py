"""TOML that people write: the data, the line of every key, and every syntax fault at once.

tomllib decides what is TOML and gives the data, but knows no lines and stops at the first fault. So tree-sitter-toml
says where everything stands, and after a fault the statement that holds it is blanked out and the rest is read again.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from worker.lib.problems import Problem, Problems

Path = tuple[str | int, ...]

MOST_FAULTS: Final = 100
"""Somebody who gave us another kind of file is told so a hundred times, not ten thousand."""

_LANGUAGE: Final = Language(tree_sitter_toml.language())

_KEY: Final = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[\w-]+|"[^"\n]*"|'[^'\n]*'))*"""
_PAIR: Final = re.compile(rf"\s*({_KEY})\s*=(?P<value>.*)")
_HEADER: Final = re.compile(rf"\s*\[\[?\s*({_KEY})\s*\]?\]?\s*(?:#.*)?$")
_PLACE: Final = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_STAND_IN: Final = "fault-in-line-"
_SECRET: Final = re.compile(r"key|secret|token|password|credential|_url$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read."""

    data: dict[str, Any]
    """What tomllib makes of it."""
    lines: dict[Path, int]
    """The line of every key, table and array item that is written down."""

    def line(self, *path: str | int) -> int:
        """The line, from 1, of that key, table or array item; else of its nearest parent; 0 where there is none."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 0


def parse(text: str, file: str) -> Document:
    """Read TOML; `file` is its name for people. Raises Problems with every fault of syntax, repeated keys included."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n") + "\n"  # Notepad writes the first two
    problems: list[Problem] = []
    while len(problems) < MOST_FAULTS:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            problem, text = _fault(text, file, str(error))
            problems.append(problem)
        except RecursionError:
            problems.append(Problem(file, 0, "", "lists are nested too deeply", "write them with fewer brackets"))
            break
        else:
            if not problems:
                return Document(data, _lines(_tree(text)))
            break
    raise Problems(problems)


def _tree(text: str) -> Node:
    return Parser(_LANGUAGE).parse(text.encode()).root_node


# -- lines ------------------------------------------------------------------------------------------------------------


def _lines(root: Node) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    lengths: dict[Path, int] = {}  # of arrays of tables, so far
    for node in root.named_children:
        if node.type == "pair":
            _note_pair(node, (), lines)
        elif node.type in {"table", "table_array_element"}:
            place = _note_header(node, lines, lengths)
            for pair in node.named_children[1:]:
                if pair.type == "pair":
                    _note_pair(pair, place, lines)
    return lines


def _note_header(node: Node, lines: dict[Path, int], lengths: dict[Path, int]) -> Path:
    """Note a `[table]` or `[[item]]`, and give its path: an array of tables on the way means its last item."""
    place: Path = ()
    keys = _keys(node.named_children[0])
    for depth, key in enumerate(keys, start=1):
        place = (*place, key)
        lines.setdefault(place, _row(node))
        if depth == len(keys) and node.type == "table_array_element":
            lengths[place] = lengths.get(place, 0) + 1
        if place in lengths:
            place = (*place, lengths[place] - 1)
            lines.setdefault(place, _row(node))
    return place


def _note_pair(node: Node, table: Path, lines: dict[Path, int]) -> None:
    place = table
    for key in _keys(node.named_children[0]):
        place = (*place, key)
        lines.setdefault(place, _row(node))
    _note_value(node.named_children[-1], place, lines)


def _note_value(node: Node, place: Path, lines: dict[Path, int]) -> None:
    lines.setdefault(place, _row(node))
    inside = [child for child in node.named_children if child.type != "comment"]
    if node.type == "array":
        for index, item in enumerate(inside):
            _note_value(item, (*place, index), lines)
    elif node.type == "inline_table":
        for pair in inside:
            _note_pair(pair, place, lines)


def _row(node: Node) -> int:
    return node.start_point.row + 1


def _keys(node: Node) -> tuple[str, ...]:
    return _split((node.text or b"").decode())


def _split(key: str) -> tuple[str, ...]:
    """`a."b c".d` → ("a", "b c", "d"); () for what is no key."""
    try:
        inside: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(inside, dict):
        ((part, inside),) = inside.items()
        parts.append(part)
    return tuple(parts)


# -- faults -----------------------------------------------------------------------------------------------------------


def _fault(text: str, file: str, said: str) -> tuple[Problem, str]:
    """What tomllib stumbled over, as a problem; and the text without the statement that holds it."""
    rows = text.split("\n")
    place = _PLACE.search(said)
    reason = _PLACE.sub("", said)
    row, column = (int(place[1]) - 1, int(place[2]) - 1) if place and place[1] else (len(rows) - 1, 0)
    first = next(start for start in range(row, -1, -1) if _reads("\n".join(rows[:start])))
    if reason == "Invalid value" and row > first and _begins(rows[row]):
        reason = "Unclosed array"  # noticed only where the next statement stands in for an item
    shown = row if reason.startswith(_INSIDE) else first
    what, cure = _told(rows[shown], column, reason)
    problem = Problem(file, shown + 1, _key_of(rows, first), what, cure)
    if shown > first:
        rows[shown] = ""  # one item of a list that is sound otherwise
    elif rows[first].lstrip().startswith("["):
        # A table of its own for its keys, lest they fall to the table above and repeat its keys.
        rows[first] = f"[{_STAND_IN}{first}]"
    elif not _begins(rows[first]):
        rows[first] = ""
    else:
        follows = next((at for at in range(first + 1, len(rows)) if _begins(rows[at])), len(rows))
        last = max(follows, row + 1 if reason.startswith("Cannot") else 0)
        rows[first:last] = [""] * (last - first)
    return problem, "\n".join(rows)


def _reads(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _begins(line: str) -> bool:
    return bool(_PAIR.match(line) or _HEADER.match(line))


def _key_of(rows: list[str], row: int) -> str:
    """The dotted key that the statement in that row sets, as far as it can be read."""
    header = _HEADER.match(rows[row])
    if header:
        return ".".join(_split(header[1]))
    pair = _PAIR.match(rows[row])
    above = next((found for line in reversed(rows[:row]) if (found := _HEADER.match(line))), None)
    table = _split(above[1]) if above and not above[1].startswith(_STAND_IN) else ()
    return ".".join((*table, *_split(pair[1]))) if pair else ".".join(table)


_INSIDE: Final = ("Invalid", "Unescaped", "Found", "Illegal")
"""What is wrong in the very row that tomllib names; the rest is wrong with the statement that the row belongs to."""

_CURES: Final = (
    # how tomllib begins its sentence, what we say, the cure
    ("Cannot overwrite a value", "{key} is set a second time", "keep one of the two"),
    ("Duplicate inline table key", "a key is set twice between the same braces", "keep one of the two"),
    ("Cannot declare", "the table {line} appears a second time", "give it another name, or put its keys under the first one"),
    ("Cannot ", "{key} was already given as a whole above", "put all of it in one place"),
    ("Unclosed array", "the list that begins here is not closed", "end it with ]"),
    ("Unclosed inline table", "the braces are not closed in this line", "end it with }"),
    ("Illegal character '\\n'", "the text {value} is not closed in this line", 'end it with the quote it began with'),
    ("Unterminated string", "the text that begins here is not closed", "end it with the quotes it began with"),
    ("Expected \"'", "the text that begins here is not closed", "end it with the quotes it began with"),
    ("Unescaped", "{value} has a backslash that means nothing", "write it in 'single quotes', or write \\\\ for \\"),
    ("Invalid date", "{value} is no date that exists", "write 2026-01-31"),
    ("Expected '='", "{line} has no = after the key", "write key = value"),
    ("Expected ']'", "the table name {line} is not closed", "write [name], or [[name]] for one of many"),
    ("Expected newline", "{value} is more than one value", 'put text in quotes, as in "20:00" or "50%"'),
    ("Found invalid character", "there is a character that no text file holds", "save the file as plain UTF-8 text"),
    ("Invalid", "{line} cannot be read", "write key = value, or [table]"),
)  # fmt: skip


_COMMENT: Final = re.compile(r"\s#[^\"']*$")


def _told(line: str, column: int, reason: str) -> tuple[str, str]:
    """tomllib's reason as a sentence with what is there, and its cure."""
    pair = _PAIR.match(line)
    value = pair["value"].strip() if pair else ""
    shown, whole = value, line.strip()
    if pair and _SECRET.search(pair[1]):  # what is meant to be secret is not repeated on a screen or in a log
        shown, whole = "the value", f"{pair[1]} = …"
    better = "" if shown != value else _better(line, pair[1] if pair else "", value, reason)
    if reason == "Invalid value" and pair and not better:
        return _told_value(pair[1], value, shown, line[column : column + 1])
    for beginning, sentence, cure in _CURES:
        if reason.startswith(beginning):
            key = pair[1] if pair else whole
            return sentence.format(key=key, line=whole, value=shown), better or cure
    return (f"{shown} is no value", better) if better else (f"{whole} cannot be read", reason)


def _better(line: str, key: str, value: str, reason: str) -> str:
    """What to write instead, where the line shows what was meant; "" where it does not."""
    said = _COMMENT.sub("", value).strip()
    if reason.startswith("Expected ']'"):
        name = line.strip().strip("[]").strip()
        is_spaced = re.fullmatch(r"[\w.-]+( [\w-]+)+", name)
        return f"write it in one word: [{'-'.join(name.split())}]" if is_spaced else ""
    if reason.startswith("Expected '='"):
        words = re.match(r"\s*(\w+(?: \w+)*)\s*[=:]", line)
        return f"write {words[1].replace(' ', '_')} = …" if words else ""
    if reason.startswith("Unclosed inline") and "}" in line:
        return "put a comma between its parts, and a plain number or a text in quotes behind each ="
    if reason.startswith("Unclosed array") and "]" in line:
        return "put each of its parts in quotes, and a comma between them"
    if said[:1] in "“”„‘’" and said:
        return f'use straight quotes: {key} = "{said.strip("“”„‘’")}"'
    if not reason.startswith("Expected newline") or len(said) < 2:
        return ""
    for mine, other in ("\"'", "'\""):
        if said[0] == said[-1] == mine and other not in said:
            return f"a text that holds {mine} stands in {other}: {key} = {other}{said[1:-1]}{other}"
    return f'put text in quotes: {key} = "{said}"' if not set(said) & set("\"'[]{}") else ""


def _told_value(key: str, value: str, shown: str, there: str) -> tuple[str, str]:
    if not value or value.startswith("#"):
        return f"{key} has no value", f'write {key} = "…", or take the line out'
    if value.lower() in {"true", "false", "yes", "no", "on", "off"}:
        return f"{shown} is no value", f"write {'true' if value.lower() in {'true', 'yes', 'on'} else 'false'}"
    if there.isalpha():
        return f"{shown} has no quotes", f'text needs quotes: {key} = "…"'
    return f"{shown} is no value", "write text in quotes, a number, true or false, or a [list]"
