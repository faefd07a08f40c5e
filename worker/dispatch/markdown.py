"""Markdown as mails have it: CommonMark without HTML, its links checked; as HTML, as a text to read, as a text to edit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from worker.dispatch.layout import Place, address, split, tokens
from worker.dispatch.mail_language import Plain, Value

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False})
_MARKDOWN.validateLink = lambda url: True  # type: ignore[method-assign]  # else a link of a bad kind stays in the text, unseen; we say so

_HOST_THEN: Final = re.compile(r"https?://[^/?#\s@]+[/?#]", re.IGNORECASE)
_PLAIN_ADDRESS: Final = re.compile(
    r"https?://[^/?#\s@]+([/?#]\S*)?|mailto:[^\s?]+@[^\s?]+(\?\S*)?|tel:\+?[\d-]+", re.IGNORECASE
)


class Faulty(ValueError):
    """This Markdown is no mail; its text says why, `quoted` is the place."""

    def __init__(self, message: str, quoted: str) -> None:
        super().__init__(message)
        self.quoted = quoted


def read(source: str, slots: int) -> tuple[list[Token], list[Place]]:
    """Markdown with tokens → its blocks, and where each of the so many slots stands. Raises Faulty."""
    found = _MARKDOWN.parse(source)
    places = [Place.TEXT] * slots
    for one in _all(found):
        if one.type in ("code_inline", "code_block", "fence") and tokens(one.content):
            raise Faulty("has a value in code, where nothing could keep it apart", one.content)
        link = (
            one.attrs.get("href") if one.type == "link_open" else one.attrs.get("src") if one.type == "image" else None
        )
        if link is not None:
            for number, place in _linked(str(link), image=one.type == "image"):
                places[number] = place
    return found, places


def _all(found: list[Token]) -> Iterator[Token]:
    for one in found:
        yield one
        yield from _all(one.children or [])


def _linked(link: str, *, image: bool) -> list[tuple[int, Place]]:
    """The slots inside a link and what they are there. Raises Faulty for what mails must not lead to."""
    pieces = list(split(link))
    literal = "".join("…" if isinstance(one, int) else one for one in pieces)
    inside = [one for one in pieces if isinstance(one, int)]
    if not inside:
        if not _PLAIN_ADDRESS.fullmatch(link) or (image and not link.lower().startswith("http")):
            raise Faulty(f"has a link to {literal[:60]!r}, which is no web address", literal)
        return []
    if literal == "…":
        return [(inside[0], Place.LINK)]
    if not _HOST_THEN.match(str(pieces[0])):
        raise Faulty(f"has a value in the host of the link {literal[:60]!r}", literal)
    return [(number, Place.PART) for number in inside]


def as_html(found: list[Token]) -> str:
    """The blocks as HTML."""
    return str(_MARKDOWN.renderer.render(found, _MARKDOWN.options, {}))


# -- as a text --------------------------------------------------------------------------------------------------------


def as_text(found: list[Token]) -> str:
    """The blocks as people read them: paragraphs on one line each, a link as `words: address`."""
    return _blocks(SyntaxTreeNode(found), "\n\n")


def _blocks(node: SyntaxTreeNode, gap: str) -> str:
    return gap.join(_block(child) for child in node.children)


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "heading":
            return f"{node.markup if node.markup.startswith('#') else '##'} {_blocks(node, '')}"
        case "blockquote":
            return _indented(_blocks(node, "\n\n"), "> ", "> ")
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "fence" | "code_block":
            return node.content.rstrip("\n")
        case "hr":
            return "---"
        case "inline":
            return "".join(_inline(child) for child in node.children)
        case _:
            return _blocks(node, "\n\n")


def _list(node: SyntaxTreeNode) -> str:
    first = int(str(node.attrs.get("start", 1)))
    close = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    items = []
    for number, item in enumerate(node.children, start=first):
        bullet = f"{number}. " if node.type == "ordered_list" else "- "
        items.append(_indented(_blocks(item, "\n" if close else "\n\n"), bullet, " " * len(bullet)))
    return ("\n" if close else "\n\n").join(items)


def _indented(text: str, first: str, others: str) -> str:
    return first + "\n".join([(others if at else "") + line for at, line in enumerate(text.split("\n"))]).replace(
        f"\n{others}\n", f"\n{others.rstrip()}\n"
    )


def _inline(node: SyntaxTreeNode) -> str:
    match node.type:
        case "softbreak":
            return " "
        case "hardbreak":
            return "\n"
        case "code_inline":
            return f"`{node.content}`"
        case "em" | "strong":
            return f"{node.markup}{_words(node)}{node.markup}"
        case "link":
            words, link = _words(node), str(node.attrs["href"])
            return link if words == link else f"{words}: {link}"
        case _:
            return _words(node) if node.children else node.content


def _words(node: SyntaxTreeNode) -> str:
    return "".join(_inline(child) for child in node.children)


# -- to be edited -----------------------------------------------------------------------------------------------------

_MEANS: Final = re.compile(r"[\\`*_{}\[\]<>&]|^[!-/:-@~]|^\d{1,9}(?=[.)])")


def editable(plain: Plain, places: list[Place], values: Mapping[str, str]) -> str:
    """The Markdown with its values in place, so escaped that reading it again gives the same mail."""
    made: list[str] = []
    numbers = iter(places)
    for part in plain:
        if isinstance(part, Value):
            made.append(_escaped(values[part.name], next(numbers)))
        elif made and part[:1] in (".", ")") and re.search(r"(^|\n)[ ]*\d{1,9}$", "".join(made)[-20:]):
            made.append(f"\\{part}")  # a number that begins a line would begin a list
        else:
            made.append(part)
    return "".join(made)


def _escaped(value: str, place: Place) -> str:
    if place is Place.PART:
        return quote(value, safe="")
    if place is Place.LINK:
        return re.sub(r"[\\()&*_\[\]<>]", r"\\\g<0>", address(value))
    return _MEANS.sub(lambda match: match[0] + "\\" if match[0][0].isdigit() else f"\\{match[0]}", value)
