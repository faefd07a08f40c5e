"""The layout around mails: an MJML file and a text file, compiled and inlined once for all mails of one wording.

`layout.mjml` says where body, subject, footer and the rest stand; `layout.txt` does the same for the text part. A layout
for another language is `layout.de.mjml` and `layout.de.txt`. What comes out is a `Blank`: a text with slots, into which a
mail's values are put at the end, each written as its place wants it. So a value can break nothing, whatever it holds.
"""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote

import css_inline
from markdown_it.common.normalize_url import normalizeLink
from mjml import mjml2html

from worker.dispatch import mail_language as language
from worker.lib.problems import Problem, Problems
from worker.lib.shape import spell

WORDS: Final = (
    "body", "subject", "preheader", "footer", "unsubscribe_url", "language", "business", "sender_name", "postal_address",
)  # fmt: skip
"""What a layout may put out."""

MOST: Final = 100_000
"""Characters of a layout."""

# -- slots ------------------------------------------------------------------------------------------------------------

_MARK: Final = f"kw{secrets.token_hex(6)}"
_TOKEN: Final = re.compile(rf"{_MARK}(l?)(\d+)z")


class Place(Enum):
    """Where a value stands, which decides how it is written."""

    TEXT = "text"
    LINK = "link"
    """It is a whole web address."""
    PART = "part"
    """It is a part of one, after the host."""


class NoLink(ValueError):
    """A value that stands where a link leads is no web address."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place for one value."""

    name: str
    place: Place


def token(place: int, *, of_layout: bool = False) -> str:
    """What stands in for the slot of that number while Markdown, MJML and CSS are worked on: one harmless word."""
    return f"{_MARK}{'l' if of_layout else ''}{place}z"


def tokens(text: str) -> list[int]:
    """The numbers of a mail's own slots in a text."""
    return [int(number) for layout, number in _TOKEN.findall(text) if not layout]


def split(text: str) -> Iterator[str | int]:
    """The text between the slots, and their numbers."""
    pieces = _TOKEN.split(text)
    yield pieces[0]
    for at in range(1, len(pieces), 3):
        yield int(pieces[at + 1])
        yield pieces[at + 2]


@dataclass(frozen=True, slots=True)
class Blank:
    """A text with slots, ready to be filled in many times."""

    pattern: str
    slots: tuple[Slot, ...]
    is_html: bool

    def fill(self, values: Mapping[str, str]) -> str:
        """Put the values in. Raises NoLink."""
        written = _in_html if self.is_html else _in_text
        return self.pattern % tuple([written(values[slot.name], slot.place) for slot in self.slots])


def blank(text: str, slots: Sequence[Slot], *, is_html: bool) -> Blank:
    """The text whose tokens are taken out; `slots` are the mail's own, by their numbers."""
    found: list[Slot] = []

    def take(match: re.Match[str]) -> str:
        place = int(match[2])
        found.append(Slot(WORDS[place], Place.TEXT) if match[1] else slots[place])
        return "%s"

    return Blank(_TOKEN.sub(take, text.replace("%", "%%")), tuple(found), is_html)


def _in_html(value: str, place: Place) -> str:
    return html.escape(_in_text(value, place), quote=True)


def _in_text(value: str, place: Place) -> str:
    if place is Place.TEXT:
        return value
    return quote(value, safe="") if place is Place.PART else address(value)


_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?([/?#][^\s<>\"'\\]*)?", re.IGNORECASE)


def address(value: str) -> str:
    """A web address that a value holds, as links have it. Raises NoLink where it is none, or hides its host."""
    if not _ADDRESS.fullmatch(value):
        raise NoLink(f"a link of the mail would lead to {value[:40]!r}")
    return normalizeLink(value)


# -- the two files ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands around the mails of one language."""

    file: str
    page: str
    """HTML, with tokens."""
    frame: str
    """The text part, with tokens."""

    def around(self, body: str, slots: Sequence[Slot]) -> Blank:
        """The page with this body, its styles written into every tag that they are about."""
        page = self.page.replace(_BODY, body)
        return blank(_inliner().inline(page), slots, is_html=True)

    def around_text(self, body: str, slots: Sequence[Slot]) -> Blank:
        """The text part with this body."""
        return blank(self.frame.replace(_BODY, body), slots, is_html=False)


_BODY: Final = token(WORDS.index("body"), of_layout=True)


@cache
def _inliner() -> css_inline.CSSInliner:
    # Without keep_at_rules the @media that lets columns wrap on telephones would be lost.
    return css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@lru_cache(maxsize=16)
def compiled(file: str, page: str, text_file: str, frame: str) -> Layout:
    """Compile both files of a layout, once for all workspaces of a process. Raises Problems with every mistake."""
    problems: list[Problem] = []
    marked = _marked(page, file, problems)
    marked_frame = _marked(frame, text_file, problems)
    problems += _unknown_tags(page, file)
    for name, text in ((file, marked), (text_file, marked_frame)):
        if not problems and text.count(_BODY) != 1:
            problems.append(Problem(name, 0, "", "has no place for the mail, or several", "write {{ body }} once"))
    if problems:
        raise Problems(problems)
    try:
        made = str(mjml2html(marked))
        _inliner().inline(made)
    except (ValueError, css_inline.InlineError) as error:
        raise Problems(
            [Problem(file, 0, "", f"cannot be compiled: {error}", "close every tag that it opens")]
        ) from None
    return Layout(file, made, marked_frame.rstrip() + "\n")


def _marked(source: str, file: str, problems: list[Problem]) -> str:
    """The source with a token for each word; adds to the problems."""
    try:
        parts = language.read(source, file, 0, "", WORDS, longest=MOST)
    except Problems as found:
        problems.extend(found.problems)
        return ""
    if any(isinstance(part, language.Choice) for part in parts):
        problems.append(Problem(file, 0, "", "has an {% if %}, which layouts do not know", "write two layouts"))
        return ""
    return "".join(
        token(WORDS.index(part.name), of_layout=True) if isinstance(part, language.Value) else str(part)
        for part in parts
    )


# -- the tags of MJML -------------------------------------------------------------------------------------------------

_TAGS: Final = (
    "mjml mj-head mj-body mj-include mj-attributes mj-all mj-class mj-breakpoint mj-font mj-html-attributes mj-selector"
    " mj-html-attribute mj-preview mj-style mj-title mj-raw mj-accordion mj-accordion-element mj-accordion-title"
    " mj-accordion-text mj-button mj-carousel mj-carousel-image mj-column mj-divider mj-group mj-hero mj-image mj-navbar"
    " mj-navbar-link mj-section mj-social mj-social-element mj-spacer mj-table mj-text mj-wrapper"
)
TAGS: Final = frozenset(_TAGS.split())
"""The tags of MJML 4 (https://documentation.mjml.io)."""

_OPEN: Final = (
    "mj-accordion-title mj-accordion-text mj-button mj-navbar-link mj-preview mj-raw mj-social-element mj-style mj-table"
    " mj-text mj-title"
)
_OPEN_TO_HTML: Final = frozenset(_OPEN.split())
"""Those that hold HTML or text instead of tags of MJML."""


def _unknown_tags(page: str, file: str) -> list[Problem]:
    """The compiler hands unknown tags on as they are, and mail programs show what is inside in some way of their own."""
    reading = _Tags(file)
    reading.feed(page)
    reading.close()
    return reading.problems


class _Tags(HTMLParser):
    """Notes the tags that MJML does not know."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file
        self._inside: list[str] = []
        self.problems: list[Problem] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it, and that what follows is inside."""
        self.handle_startendtag(tag, attrs)
        if tag in TAGS:
            self._inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that holds nothing."""
        if tag in TAGS:
            return
        if tag.startswith("mj") or not (self._inside and self._inside[-1] in _OPEN_TO_HTML):
            line, _ = self.getpos()
            cure = spell(tag, TAGS) if tag.startswith("mj") else "put HTML inside <mj-text> or <mj-raw>"
            self.problems.append(Problem(self._file, line, tag, f"<{tag}> is no tag of MJML 4", cure))

    def handle_endtag(self, tag: str) -> None:
        """What follows is outside again."""
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass
