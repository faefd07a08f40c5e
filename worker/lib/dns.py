"""Questions to the domain name system, as few kinds as we need, behind a protocol that tests can stand in for.

An empty answer means: there is none. That nobody could be asked is another matter, and raises NotAsked.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import dns.resolver

PATIENCE: Final = 3.0
"""Seconds for one question, its repetitions included."""
GIVES_UP_AFTER: Final = 2
"""So many questions in a row without an answer, and the rest is not asked: a person waits for the outcome."""


class NotAsked(Exception):
    """The name system gave no answer, neither yes nor no. `str()` is one sentence."""


class Resolver(Protocol):
    """Whoever can be asked. Every method raises NotAsked."""

    def txt(self, name: str) -> list[str]:
        """The TXT records of a name, the strings of each joined (RFC 7208 §3.3), aliases followed; [] for none."""

    def mx(self, name: str) -> list[str]:
        """The hosts that take mail for a name, without the closing dot; "" for the null MX (RFC 7505); [] for none."""

    def addresses(self, name: str) -> list[str]:
        """The IPv4 and IPv6 addresses of a name; [] for none."""


class SystemResolver:
    """The name system by dnspython: the machine's own name server, or one that is named."""

    def __init__(self, server: str = "", patience: float = PATIENCE) -> None:
        """`server` as `place_of` reads it, "" for the machine's own; `patience` in seconds."""
        self._server, self._patience = server, patience
        self._resolver: dns.resolver.Resolver | None = None
        self._unanswered = 0

    def txt(self, name: str) -> list[str]:
        """See Resolver."""
        return [b"".join(one.strings).decode("utf-8", "replace") for one in self._ask(name, "TXT")]

    def mx(self, name: str) -> list[str]:
        """See Resolver."""
        return [one.exchange.to_text(omit_final_dot=True).strip(".") for one in self._ask(name, "MX")]

    def addresses(self, name: str) -> list[str]:
        """See Resolver."""
        return [one.address for kind in ("A", "AAAA") for one in self._ask(name, kind)]

    def _ask(self, name: str, kind: str) -> list[Any]:
        # Imported here, since most commands ask nothing and it takes a tenth of a second.
        import dns.exception
        import dns.name
        import dns.resolver

        if self._unanswered >= GIVES_UP_AFTER:
            raise NotAsked(f"{name} was not asked about, since the name server had not answered before")
        try:
            answer = self._opened().resolve(
                dns.name.from_text(name), kind, lifetime=self._patience, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            answer = None
        except dns.exception.Timeout:
            self._unanswered += 1
            raise NotAsked(f"no name server answered about {name} within {self._patience:g} seconds") from None
        except (dns.exception.DNSException, UnicodeError, OSError, ValueError) as error:
            said = " ".join(str(error).split())[:160]
            raise NotAsked(f"{name} could not be asked about: {said or type(error).__name__}") from None
        self._unanswered = 0
        return [*answer] if answer is not None else []

    def _opened(self) -> dns.resolver.Resolver:
        import dns.resolver

        if self._resolver is None:
            self._resolver = dns.resolver.Resolver(configure=not self._server)
            if self._server:
                self._resolver.nameservers, self._resolver.port = [place_of(self._server)[0]], place_of(self._server)[1]
        return self._resolver


def place_of(server: str) -> tuple[str, int]:
    """IP address and port of a name server: `9.9.9.9`, `127.0.0.1:5353`, `[::1]:5353`. Raises ValueError."""
    try:
        return str(ip_address(server)), 53
    except ValueError:
        parts = urlsplit(f"//{server}")
    try:
        return str(ip_address(parts.hostname or "")), parts.port or 53
    except ValueError:
        raise ValueError('write the IP address of a name server, as in "9.9.9.9" or "127.0.0.1:5353"') from None
