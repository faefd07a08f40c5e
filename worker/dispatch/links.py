"""Links that tell whether they were followed: put into a finished mail, and out of the address nothing can be read.

The address of such a link holds a signed id and nothing else; where it leads stands in the table `links` alone, so that
nobody can make it lead elsewhere (worker/web/tracking.py). Left as they are: what is no https address, our own pages, and
among them the link to get no more mail.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from worker.integration import Letter
from worker.lib.ids import new_id
from worker.lib.store import Store, sql

LONGEST: Final = 2000
"""Characters of an address; a longer one stays as it is."""

_HREF: Final = re.compile(r"""(\shref\s*=\s*)("[^"]*"|'[^']*')""", re.IGNORECASE)
_AFTER: Final = r"""[\s<>()\[\]"']"""
"""What ends an address in a text."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """What is to be known of mails that have left, as the workspace's settings say."""

    clicks: bool
    opens: bool
    public_url: str
    sign: Callable[[str], str]
    """Makes the token of an address from an id, which nobody else can."""

    def address(self, link_id: str) -> str:
        """Of a link."""
        return f"{self.public_url}/l/{self.sign(link_id)}"

    def picture(self, effect_id: str) -> str:
        """Of the picture that tells of a mail being opened."""
        return f"{self.public_url}/o/{self.sign(effect_id)}"


def tracked(store: Store, letter: Letter, tracking: Tracking, now: int) -> Letter:
    """The letter with its links and its picture, each remembered before it leaves. A text message stays as it is."""
    if not letter.html:
        return letter
    page, text = letter.html, letter.text
    if tracking.clicks and (found := targets(page, tracking.public_url)):
        addresses = {target: tracking.address(one) for target, one in _ids(store, letter.effect_id, found, now).items()}
        page, text = replaced(page, text, addresses)
    if tracking.opens:
        page = with_picture(page, tracking.picture(letter.effect_id))
    return replace(letter, html=page, text=text)


def _ids(store: Store, effect_id: str, found: list[str], now: int) -> dict[str, str]:
    """target → the id of its link; those of an earlier try are used again."""
    rows = store.rows(sql("dispatch", "links_of"), {"effect_id": effect_id})
    known = {row["target"]: str(row["id"]) for row in rows}
    new = {target: new_id("lnk") for target in found if target not in known}
    store.many(
        sql("dispatch", "keep_link"),
        [{"id": one, "effect_id": effect_id, "target": target, "now": now} for target, one in new.items()],
    )
    return {target: (known | new)[target] for target in found}


# -- pure -------------------------------------------------------------------------------------------------------------


def targets(page: str, own: str) -> list[str]:
    """Where the links of a finished page lead, those that can be replaced, each once and in their order."""
    return list(dict.fromkeys(one.target for one in _links(page) if _can_be(one.target, own)))


def replaced(page: str, text: str, addresses: Mapping[str, str]) -> tuple[str, str]:
    """Page and text with other addresses in place of those: in the page as links, in the text where they stand whole."""
    pieces, done = [], 0
    for link in _links(page):
        if link.target in addresses:
            pieces += [page[done : link.start], f'"{html.escape(addresses[link.target], quote=True)}"']
            done = link.end
    page = "".join([*pieces, page[done:]])
    for target in sorted(addresses, key=len, reverse=True):  # the longest first: one may begin like another
        text = _put_whole(text, target, addresses[target])
    return page, text


def with_picture(page: str, address: str) -> str:
    """The page with a picture of one point before its end."""
    picture = (
        f'<img src="{html.escape(address, quote=True)}" width="1" height="1" alt="" style="display:block;border:0">'
    )
    end = page.lower().rfind("</body>")
    return f"{page[:end]}{picture}{page[end:]}" if end >= 0 else page + picture


def _put_whole(text: str, target: str, address: str) -> str:
    """The text with the address where it stands alone: not as part of a longer one."""
    alone = rf"(?<![\w/.&=?#%~+-]){re.escape(target)}(?=$|{_AFTER}|[.,;:!?]+(?:$|{_AFTER}))"
    return re.sub(alone, lambda _: address, text)


def _can_be(target: str, own: str) -> bool:
    if len(target) > LONGEST or not target.isprintable() or any(sign.isspace() for sign in target):
        return False
    try:
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        return False
    ours = target == own or target.startswith((f"{own}/", f"{own}?", f"{own}#"))
    return parts.scheme == "https" and target[:8] == "https://" and bool(host) and "@" not in parts.netloc and not ours


@dataclass(frozen=True, slots=True)
class _Link:
    target: str
    start: int
    """Where its value begins in the page, with the quotes."""
    end: int


def _links(page: str) -> list[_Link]:
    found = _Finder(page)
    found.feed(page)
    found.close()
    return found.links


class _Finder(HTMLParser):
    """Where the values of links stand: of `<a href="…">` outside of comments, as a mail program would find them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[_Link] = []
        self._starts = [0]
        for line in page.split("\n")[:-1]:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the first `href` of a link, where the raw text says the same as the parser does."""
        raw = self.get_starttag_text()
        target = next((value for name, value in attrs if name == "href"), None)
        if tag != "a" or raw is None or not target:
            return
        line, column = self.getpos()
        at = self._starts[line - 1] + column
        for match in _HREF.finditer(raw):
            if html.unescape(match[2][1:-1]) == target:
                self.links.append(_Link(target, at + match.start(2), at + match.end(2)))
                return
