"""A mailbox on loopback: takes mail by SMTP, keeps it, and fails as mail servers do when told to.

Needs the `demo` extra (aiosmtpd). It knows nothing of who sends: anybody on this machine may.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from worker.lib.clock import Clock, seconds
from worker.sandbox.servers.base import Faults

OK = "250 2.0.0 OK"
NO_SUCH_USER = "550 5.1.1 No such user here"
TRY_LATER = "451 4.3.0 Try again later"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it was received."""

    at: int
    """When it arrived, by the mailbox's clock, epoch seconds."""
    sender: str
    """Of the envelope."""
    recipients: tuple[str, ...]
    """Of the envelope."""
    headers: Mapping[str, str]
    """Names in lower case; of a header that repeats, the last."""
    text: str
    html: str

    @property
    def to(self) -> str:
        """The first recipient."""
        return self.recipients[0]

    @property
    def subject(self) -> str:
        """The subject, "" where there is none."""
        return self.headers.get("subject", "")

    @property
    def message_id(self) -> str:
        """The Message-ID, "" where there is none."""
        return self.headers.get("message-id", "")


class Mailbox:
    """An SMTP server on a free loopback port that keeps whatever arrives."""

    host = "127.0.0.1"

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        """`clock` dates what arrives; what was refused or dropped is counted in `faults`."""
        self.clock = clock
        self.faults = faults or Faults()
        self.messages: list[Mail] = []
        self.port = 0
        self._replies: dict[str, deque[str]] = {}
        self._gone: dict[str, str] = {}
        self._drops = 0
        self._controller: _Controller | None = None

    def start(self) -> int:
        """Listen; gives the port."""
        self._controller = _Controller(self, self.host)
        self._controller.start()
        self.port = self._controller.port
        return self.port

    def stop(self) -> None:
        """Stop listening."""
        if self._controller is not None:
            self._controller.stop()
        self._controller = None

    # -- planned faults ---------------------------------------------------------------------------------------------

    def refuse(self, recipient: str, reply: str = NO_SUCH_USER) -> None:
        """Answer that recipient so, always."""
        self._gone[recipient.lower()] = reply

    def refuse_next(self, recipient: str, *replies: str) -> None:
        """Answer that recipient so the next times, once each; then take the mail."""
        self._replies.setdefault(recipient.lower(), deque()).extend(replies or (TRY_LATER,))

    def drop_next(self, mails: int = 1) -> None:
        """Break the connection where the next mails would be acknowledged: they have arrived, and nobody is told."""
        self._drops += mails

    # -- what the demo and the tests read ---------------------------------------------------------------------------

    def duplicates(self) -> int:
        """How many mails came beyond the first with one Message-ID, or with one recipient, subject and text."""
        ids: set[str] = set()
        contents: set[tuple[str, str, str]] = set()
        repeated = 0
        for mail in list(self.messages):
            same = {(to, mail.subject, mail.text) for to in mail.recipients}
            repeated += mail.message_id in ids or not contents.isdisjoint(same)
            contents |= same
            ids |= {mail.message_id} - {""}
        return repeated

    def per_recipient(self) -> Counter[str]:
        """How many mails each recipient got."""
        return Counter(to for mail in list(self.messages) for to in mail.recipients)

    # -- the SMTP conversation; these names are aiosmtpd's -----------------------------------------------------------

    async def handle_RCPT(  # noqa: N802  aiosmtpd looks for this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse one recipient."""
        waiting = self._replies.get(address.lower())
        reply = waiting.popleft() if waiting else self._gone.get(address.lower(), OK)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        else:
            self.faults.count(f"mail_refused_{reply[:1]}xx")
        return reply

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  likewise
        """Keep one mail."""
        self.messages.append(_parsed(envelope, seconds(self.clock)))
        if self._drops:
            self._drops -= 1
            self.faults.count("mail_connection_dropped")
            if isinstance(server.transport, asyncio.Transport):
                server.transport.abort()
        return OK


class _Controller(Controller):
    """The server in its thread, on a port that the system chooses."""

    def __init__(self, mailbox: Mailbox, host: str) -> None:
        self._socket = socket.create_server((host, 0))
        super().__init__(
            mailbox,
            hostname=host,
            port=self._socket.getsockname()[1],
            server_hostname="mailbox.example",
            ident="mailbox",
        )

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._socket)


def _parsed(envelope: Envelope, now: int) -> Mail:
    content = envelope.content or b""
    message = message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=policy.default)
    return Mail(
        at=now,
        sender=envelope.mail_from or "",
        recipients=tuple(str(to) for to in envelope.rcpt_tos),
        headers={name.lower(): str(value) for name, value in message.items()},
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: Any, kind: str) -> str:
    part: EmailMessage | None = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""
