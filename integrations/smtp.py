"""SMTP: mail through any mail server that takes it.

Documentation: RFC 5321 (SMTP), RFC 8058 (one-click unsubscribe)

Oddities
- A mail server does not recognise a message that it gets twice, so a broken connection between the end of the message
  and the server's answer leaves a mail of which nobody can know: Unsure.
- Each mail goes to one recipient. Several connections are kept, each used for many mails: what a mail takes is round
  trips. One is opened anew after so many mails as servers like, after a pause, or where the server has closed it.
- Header injection: whatever stands in a name or a subject, control characters and line separators become spaces; an
  address that is not plainly one address is refused.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import format_datetime
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from worker.integration import Integration, Letter, SecretStr, Settings, Sought
from worker.lib.addresses import (
    LONGEST_NAME,
    LONGEST_SUBJECT,
    Mailbox,
    address,
    encoded,
    mailbox,
    one_click,
    one_line,
    shown,
    with_bytes,
)
from worker.lib.clock import Clock
from worker.lib.http import Bucket, Failure, GiveUp, Http, Reconnect, Retry, Unsure

TIMEOUT: Final = 60.0
"""Seconds. RFC 5321 §4.5.3.2 advises minutes; a server that is slower than this is tried again later."""

_MESSAGE_ID: Final = re.compile(r"<?([A-Za-z0-9._=+-]{1,120})(?:@([A-Za-z0-9.-]{1,120}))?>?")

MAILS_A_CONNECTION: Final = 100
"""After so many mails a connection is opened anew: servers close those that are used for longer without a word."""
FRESH_FOR: Final = 10.0
"""Seconds for which a connection is believed to stand without asking."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


# -- settings ---------------------------------------------------------------------------------------------------------


class SmtpSettings(Settings):
    """The mail server that takes our mails."""

    host: str = Field(description="The mail server's name.")
    port: int = Field(default=587, ge=1, le=65_535, description="Its port: 587 for starttls, 465 for tls.")
    tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is encrypted: `starttls`, `tls` from the start, or `none` (this machine only).",
    )
    username: str = Field(default="", description="The account; empty where the server asks for none.")
    password: SecretStr = Field(default=SecretStr(""), description="The account's password or app password.")
    connections: int = Field(default=4, ge=1, le=16, description="How many connections are used at the same time.")
    per_second: float | None = Field(
        default=None, gt=0, le=1000, description="At most so many mails a second; nothing means as many as it takes."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.tls == "none" and self.host not in LOOPBACK:
            raise ValueError('tls = "none" would send mails and password unencrypted; use "starttls" or "tls"')
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password go together; set both or neither")
        return self


# -- the message ------------------------------------------------------------------------------------------------------


class _AsWritten(UnstructuredHeader, BaseHeader):
    """A header that is ASCII already and goes out letter by letter.

    Python's own folding writes a long link as an encoded word, which no mailbox provider understands; loses spaces of
    long subjects; and decodes what looks like an encoded word, line breaks in it included.
    """

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        """Take the value as it is."""
        super().parse("", kwds)
        kwds["decoded"] = value

    def fold(self, *, policy: Policy) -> str:
        """The header, each encoded word on a line of its own."""
        return f"{self.name}: {self}".replace("?= =?", f"?={policy.linesep} =?") + policy.linesep


class _Registry(HeaderRegistry):
    """Makes the class for a header's name once: Python's own makes one for each header of each mail, half of their cost."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, type[BaseHeader]] = {}

    def __getitem__(self, name: str) -> type[BaseHeader]:
        made = self._made.get(name.lower())
        if made is None:
            made = self._made[name.lower()] = super().__getitem__(name)
        return made


def _policy() -> EmailPolicy[EmailMessage]:
    registry = _Registry()
    for name in ("from", "to", "reply-to", "subject", "list-unsubscribe"):
        registry.map_to_type(name, _AsWritten)
    return SMTP.clone(header_factory=registry)


POLICY: Final = _policy()


def message(letter: Letter, sender: Mailbox, to: Mailbox, now: float) -> EmailMessage:
    """The mail, with its text and HTML as alternatives. Raises ValueError for what can never be sent."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = str(sender)
    mail["To"] = str(to)
    if letter.reply_to:
        mail["Reply-To"] = str(mailbox(letter.reply_to))
    mail["Subject"] = encoded(one_line(letter.subject, LONGEST_SUBJECT))
    mail["Date"] = format_datetime(datetime.fromtimestamp(int(now), UTC))
    mail["Message-ID"] = _message_id(letter.message_id, sender.address.rpartition("@")[2])
    for name, value in one_click(letter.unsubscribe_url).items():
        mail[name] = value
    mail.set_content(with_bytes(letter.text), cte="quoted-printable")
    if letter.html:
        mail.add_alternative(with_bytes(letter.html), subtype="html", cte="quoted-printable")
    return mail


def _message_id(words: str, domain: str) -> str:
    match = _MESSAGE_ID.fullmatch(words)
    if match is None:
        raise ValueError(f"{shown(words)!r} is no message id")
    return f"<{match[1]}@{match[2] or domain}>"


# -- writes -----------------------------------------------------------------------------------------------------------

LOGIN_CODES: Final = frozenset({530, 534, 535, 538})
"""Replies by which a server says that the account is the trouble (RFC 4954 §6)."""


@dataclass
class _Line:
    """One connection to the server."""

    smtp: smtplib.SMTP
    used_at: float
    mails: int = 0
    clean: bool = True
    """Not in the middle of a mail."""


class SmtpMailer:
    """The mail server: the role `worker.integration.Mailer`, and ReadyMailer. Thread-safe."""

    deduplicates = False

    def __init__(self, settings: SmtpSettings, clock: Clock) -> None:
        """No connection is made yet."""
        self.connections = settings.connections
        self._settings, self._clock = settings, clock
        self._rate = Bucket(settings.per_second, 1.0, clock) if settings.per_second else None
        self._free = threading.BoundedSemaphore(settings.connections)
        self._lock = threading.Lock()
        self._idle: list[_Line] = []

    def send(self, letter: Letter) -> str:
        """Hand one letter over; gives the server's word for it. Raises Retry, GiveUp, Reconnect or Unsure."""
        _readable(letter)  # before a connection is asked for
        with self.ready() as hand_over:
            return hand_over(letter)

    @contextmanager
    def ready(self) -> Iterator[Callable[[Letter], str]]:
        """Wait for a connection and for a turn within the rate. Raises Retry or Reconnect where there is none to be had."""
        with self._free:
            if self._rate is not None:
                self._rate.take()
            line = self._line()
            try:
                yield lambda letter: self._send(line, letter)
            finally:
                self._give_back(line)

    def find(self, sought: Sought) -> str | None:
        """A mail server keeps no list that could be asked."""
        return None

    def close(self) -> None:
        """Say goodbye to the server."""
        with self._lock:
            lines, self._idle = self._idle, []
        for line in lines:
            line.smtp.close()

    def _send(self, line: _Line, letter: Letter) -> str:
        """One mail transaction. Only once the end of the message may have left can the mail be in doubt."""
        sender, to = _readable(letter)
        try:
            mail = message(letter, sender, to, self._clock.now()).as_bytes()
        except ValueError as error:
            raise _unsendable(letter, error) from None
        line.clean = False
        smtp = self._announced(line, sender.address, to.address)
        try:
            smtp.send(dotted(mail))
            code, words = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise Unsure(f"The mail server broke off after it had the mail: {_reason(error)}") from None
        _expect(250, code, words)
        line.mails, line.clean = line.mails + 1, True
        return one_line(words.decode("utf-8", "replace"), 200)

    def _announced(self, line: _Line, sender: str, to: str) -> smtplib.SMTP:
        """The connection with sender and recipient taken, so that the message can follow.

        A connection that was used before may have been closed meanwhile, which only shows now: it is opened once more.
        """
        try:
            try:
                _announce(line.smtp, sender, to)
            except (OSError, smtplib.SMTPException):
                if not line.mails:
                    raise
                line.smtp.close()
                line.smtp, line.mails = self._open(), 0
                _announce(line.smtp, sender, to)
        except (OSError, smtplib.SMTPException) as error:
            raise Retry(f"The mail server broke off: {_reason(error)}") from None
        return line.smtp

    # -- connections --------------------------------------------------------------------------------------------------

    def _line(self) -> _Line:
        """One that nobody uses: the one used last, as long as it stands; else a new one."""
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return _Line(self._open(), self._clock.now())
            if self._clock.now() - line.used_at < FRESH_FOR or _answers(line.smtp):
                return line
            line.smtp.close()

    def _give_back(self, line: _Line) -> None:
        line.used_at = self._clock.now()
        if not line.clean or line.mails >= MAILS_A_CONNECTION:
            line.smtp.close()
            return
        with self._lock:
            self._idle.append(line)

    def _open(self) -> smtplib.SMTP:
        settings, smtp = self._settings, None
        try:
            smtp = self._dial()
            if settings.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo_or_helo_if_needed()
            if settings.username:
                smtp.login(settings.username, settings.password.get_secret_value())
        except (OSError, smtplib.SMTPException) as error:
            if smtp is not None:
                smtp.close()
            raise _unconnected(settings, error) from None
        return smtp

    def _dial(self) -> smtplib.SMTP:
        host, port = self._settings.host, self._settings.port
        if self._settings.tls == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=TIMEOUT)


def _readable(letter: Letter) -> tuple[Mailbox, Mailbox]:
    """Whom it is from and to. Raises GiveUp for what is no address."""
    try:
        return mailbox(letter.sender), Mailbox(one_line(letter.to_name, LONGEST_NAME), address(letter.to))
    except ValueError as error:
        raise _unsendable(letter, error) from None


def _unsendable(letter: Letter, error: ValueError) -> GiveUp:
    return GiveUp(f"The mail to {shown(letter.to)} cannot be sent: {error}")


def _announce(smtp: smtplib.SMTP, sender: str, to: str) -> None:
    code, words = smtp.mail(sender)
    if code == 421:  # it closes the connection (RFC 5321 §3.8)
        raise smtplib.SMTPServerDisconnected(f"{code} {words.decode('utf-8', 'replace')}")
    _expect(250, code, words)
    _expect(250, *smtp.rcpt(to))
    _expect(354, *smtp.docmd("DATA"))


def dotted(mail: bytes) -> bytes:
    """The message as it goes over the wire (RFC 5321 §4.5.2): dots doubled at line starts, a lone dot at the end."""
    body = re.sub(rb"(?m)^\.", b"..", mail)
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _answers(smtp: smtplib.SMTP) -> bool:
    try:
        return smtp.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _expect(wanted: int, code: int, words: bytes) -> None:
    """Raise what a reply means: 4xx not now, 5xx never, an account that is refused wants a person (RFC 5321 §4.2.1)."""
    if code == wanted or (wanted == 250 and code == 251):  # 251: will forward
        return
    sentence = f"The mail server answered {code} {one_line(words.decode('utf-8', 'replace'), 200)}"
    if code in LOGIN_CODES:
        raise Reconnect(f"{sentence}; are username and password right?")
    raise GiveUp(sentence) if 500 <= code < 600 else Retry(sentence)


def _unconnected(settings: SmtpSettings, error: Exception) -> Failure:
    """What it means that there is no connection; no mail has left."""
    sentence = f"The mail server {settings.host}:{settings.port} cannot be used: {_reason(error)}"
    if isinstance(error, ssl.SSLError):
        return Reconnect(f"{sentence}; are host, port and tls right?")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Reconnect(f"{sentence}; is tls = {settings.tls!r} what this server offers?")
    if isinstance(error, smtplib.SMTPResponseException) and 500 <= error.smtp_code < 600:
        return Reconnect(f"{sentence}; are host, username and password right?")
    return Retry(sentence)


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error
        return one_line(
            f"{error.smtp_code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}", 200
        )
    return one_line(str(error), 200) or type(error).__name__


def mailer(http: Http, settings: SmtpSettings, clock: Clock) -> SmtpMailer:
    """The channel; it speaks no HTTP and has a connection of its own."""
    return SmtpMailer(settings, clock)


INTEGRATION = Integration(
    name="smtp",
    title="SMTP",
    does="mail, out, through any mail server",
    settings=SmtpSettings,
    docs="https://www.rfc-editor.org/rfc/rfc5321",
    mailer=mailer,
)
