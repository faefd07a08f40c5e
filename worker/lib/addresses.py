"""Addresses and words as the headers of a mail may hold them, for every channel that sends one; telephone numbers too.

Whatever stands in a name or a subject, control characters and line separators become spaces; an address that is not
plainly one address is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from typing import Final

LONGEST_SUBJECT: Final = 250
"""Characters; RFC 5322 allows 998 to a line, and no reader shows so many."""
LONGEST_NAME: Final = 100

_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"({_LOCAL})@((?:{_LABEL}\.)*{_LABEL})")
_NAMED: Final = re.compile(r"([^<>]*)<([^<>]*)>")
_LINK: Final = re.compile(r"https?://[!-;=?-~]{1,900}")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def address(words: str) -> str:
    """A plain address (RFC 5321 Mailbox, without quotes and comments), its domain in ASCII. Raises ValueError."""
    local, at, domain = words.rpartition("@")
    try:
        plain = f"{local}{at}{domain.encode('idna').decode() if not domain.isascii() else domain}"
    except UnicodeError:
        plain = ""
    match = _ADDRESS.fullmatch(plain)
    if match is None or len(match[1]) > 64 or len(plain) > 254:
        raise ValueError(f"{shown(words)!r} is no plain address")
    return plain


def phone(words: str) -> str:
    """A telephone number in E.164 form: `+` and 7 to 15 digits, country code first. Raises ValueError."""
    if not (words.isascii() and _PHONE.fullmatch(words)):
        raise ValueError(f"{shown(words)!r} is no telephone number in E.164 form, such as +4915112345678")
    return words


def one_line(words: str, longest: int) -> str:
    """Words for a header: on one line, without control and other unseen characters, at most so many characters."""
    seen = (" " if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else letter for letter in words)
    line = " ".join("".join(seen).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def shown(words: str) -> str:
    """Words of a stranger's, short enough for a sentence of ours."""
    return one_line(words, 80)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and a plain address."""

    name: str
    address: str

    def __str__(self) -> str:
        """As a header's value (RFC 5322 §3.4), in ASCII."""
        if _is_plain(self.name):
            return formataddr((self.name, self.address))
        return f"{encoded(self.name)} <{self.address}>"

    @property
    def in_unicode(self) -> str:
        """The same for an API that encodes by itself: the name is quoted, its letters stay as they are."""
        if not self.name:
            return self.address
        escaped = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{self.address}>'


def mailbox(words: str) -> Mailbox:
    """Read `Ann <ann@example.com>` or a bare address; a comma in the name needs no quotes. Raises ValueError."""
    named = _NAMED.fullmatch(words.strip())
    if named is None:
        return Mailbox("", address(words.strip()))
    return Mailbox(one_line(named[1].strip().strip('"'), LONGEST_NAME), address(named[2]))


def _is_plain(words: str) -> bool:
    return words.isascii() and "=?" not in words


def encoded(words: str) -> str:
    """Words as RFC 2047 has them in a header: encoded where they are not ASCII, or look as if they were encoded."""
    return words if _is_plain(words) else Header(words, "utf-8", maxlinelen=75).encode(linesep="")


def one_click(link: str) -> Mapping[str, str]:
    """The headers to unsubscribe by one click, by POST (RFC 8058): a GET by somebody's link scanner shall stop nothing.

    None where there is no link. Raises ValueError for what is no link.
    """
    if not link:
        return {}
    if not _LINK.fullmatch(link):
        raise ValueError(f"{shown(link)!r} is no link to unsubscribe by")
    return {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def with_bytes(words: str) -> str:
    """Text that has bytes: half a surrogate pair becomes a question mark."""
    return words.encode("utf-8", "replace").decode()
