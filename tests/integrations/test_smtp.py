"""Mail over SMTP, to a sink that is a real mail server and to one that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import email.policy
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations.smtp import FRESH_FOR, MAILS_A_CONNECTION, SmtpMailer, SmtpSettings, dotted
from tests.conftest import START
from worker.integration import Letter
from worker.lib.clock import VirtualClock
from worker.lib.http import Failure, GiveUp, Reconnect, Retry, Unsure
from worker.sandbox.servers.mailbox import Mailbox

LETTER = Letter(
    message_id="eff_0k3f",
    sender="Keepwell <hello@business.example>",
    reply_to="Ann <ann@business.example>",
    to="ada@engines.example",
    to_name="Ada Lovelace",
    subject="Your week",
    text="Hello Ada\n.\n..dots\nZoë",
    html="<p>Hello <b>Ada</b></p>",
    unsubscribe_url="https://keepwell.example/unsubscribe/" + "x" * 150 + "?a=1&b=2",
)


@dataclass
class Sink:
    """What a real mail server got."""

    port: int
    envelopes: list[Any] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 Ok: queued as ABC"

    def take(self) -> tuple[Any, EmailMessage]:
        """The only mail that came since, and forget it."""
        (envelope,), self.envelopes = self.envelopes, []
        found = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        return envelope, found


def lines(part: EmailMessage) -> list[str]:
    found: str = part.get_content()
    return found.removesuffix("\r\n").split("\r\n")


def decoded(envelope: Any, name: str) -> str:
    """A header's words as RFC 2047 has them; Python's newer parser keeps the space between two encoded words of a name."""
    raw = email.message_from_bytes(envelope.original_content)[name]
    return str(make_header(decode_header(parseaddr(raw)[0] if name == "To" else raw)))


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        sink = Sink(free.getsockname()[1])
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port, loop=asyncio.new_event_loop())
    controller.start()
    yield sink
    controller.stop()


def options(port: int, **more: Any) -> SmtpSettings:
    return SmtpSettings.model_validate({"host": "127.0.0.1", "tls": "none", "port": port} | more)


@contextmanager
def mailing(port: int, **more: Any) -> Iterator[SmtpMailer]:
    mailer = SmtpMailer(options(port, **more), VirtualClock(START))
    try:
        yield mailer
    finally:
        mailer.close()


@pytest.fixture(scope="module")
def mailer(sink: Sink) -> Iterator[SmtpMailer]:
    with mailing(sink.port) as mailer:
        yield mailer


# -- what arrives -----------------------------------------------------------------------------------------------------


def test_a_mail_arrives_with_text_html_and_one_click_to_stop_it(sink: Sink, mailer: SmtpMailer) -> None:
    reference = mailer.send(LETTER)

    envelope, mail = sink.take()
    assert reference == "2.0.0 Ok: queued as ABC"
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hello@business.example", ["ada@engines.example"])
    assert {name: str(value) for name, value in mail.items() if name not in {"Content-Type", "MIME-Version"}} == {
        "From": "Keepwell <hello@business.example>",
        "To": "Ada Lovelace <ada@engines.example>",
        "Reply-To": "Ann <ann@business.example>",
        "Subject": "Your week",
        "Date": "Thu, 01 Jan 2026 00:00:00 +0000",
        "Message-ID": "<eff_0k3f@business.example>",
        "List-Unsubscribe": f"<{LETTER.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    parts = [(part.get_content_type(), lines(part)) for part in mail.walk() if not part.is_multipart()]
    assert parts == [("text/plain", LETTER.text.split("\n")), ("text/html", [LETTER.html])]


def test_the_link_to_unsubscribe_is_readable_as_it_is(sink: Sink, mailer: SmtpMailer) -> None:
    mailer.send(LETTER)

    envelope, _ = sink.take()
    assert f"List-Unsubscribe: <{LETTER.unsubscribe_url}>\r\n".encode() in envelope.original_content


def test_a_mail_without_link_html_or_reply_address_says_nothing_of_them(sink: Sink, mailer: SmtpMailer) -> None:
    mailer.send(replace(LETTER, unsubscribe_url="", html="", reply_to=""))

    _, mail = sink.take()
    assert mail.get_content_type() == "text/plain"
    assert {"List-Unsubscribe", "List-Unsubscribe-Post", "Reply-To"}.isdisjoint(mail.keys())


def test_names_of_all_scripts_arrive(sink: Sink, mailer: SmtpMailer) -> None:
    mailer.send(
        replace(
            LETTER, to_name="Zoë, «Ада» <b>", subject="Grüße 你好 " * 10, sender="Ann Ölund <ann@xn--lund-5qa.example>"
        )
    )

    _, mail = sink.take()
    assert mail["To"].addresses[0].display_name == "Zoë, «Ада» <b>"
    assert str(mail["Subject"]) == ("Grüße 你好 " * 10).strip()
    assert mail["From"].addresses[0].display_name == "Ann Ölund"


@pytest.mark.parametrize(
    "words", ["=?utf-8?q?=0ABcc:_spy?=", "Ünser Kunde " * 8, "你 好 " * 24, "a" * 100, 'Ada "the\\first" (,;)']
)
def test_a_name_and_a_subject_arrive_letter_by_letter(sink: Sink, mailer: SmtpMailer, words: str) -> None:
    words = words.strip()
    mailer.send(replace(LETTER, to_name=words, subject=words))

    envelope, _ = sink.take()
    assert decoded(envelope, "To") == words
    assert decoded(envelope, "Subject") == words
    assert max(map(len, re.findall(rb"=\?utf-8\?.*?\?=", envelope.original_content)), default=0) <= 75


NASTY = st.text(
    st.sampled_from("\r\n\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\u202e\ud800\t \"'<>(),;:@\\%=?_.ëb").map(str)
    | st.characters(),
    max_size=60,
) | st.sampled_from([
    "x\r\nBcc: spy@evil.example", "x\nBcc: spy@evil.example\n\nbody", "%0aBcc: spy@evil.example", "=?utf-8?q?=0ABcc:_x?=",
    "x\r\n.\r\nMAIL FROM:<spy@evil.example>", "\u2028Bcc: a@b", "a" * 10_000, "<spy@evil.example>", 'x" <spy@evil.example>',
])  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(subject=NASTY, name=NASTY, text=NASTY, html=NASTY)
def test_no_text_of_a_customer_s_adds_a_header_or_a_recipient(
    sink: Sink, mailer: SmtpMailer, subject: str, name: str, text: str, html: str
) -> None:
    mailer.send(replace(LETTER, subject=subject, to_name=name, text=text, html="<p>" + html))

    envelope, mail = sink.take()
    assert envelope.rcpt_tos == ["ada@engines.example"]
    assert sorted(mail.keys()) == sorted([
        "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post",
        "MIME-Version", "Content-Type",
    ])  # fmt: skip
    assert [one.addr_spec for one in mail["To"].addresses] == ["ada@engines.example"]
    assert len(str(mail["Subject"])) <= 250
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert b"\n" not in envelope.original_content.replace(b"\r\n", b"")


@settings(max_examples=40, deadline=None)
@given(NASTY)
def test_only_a_plain_address_is_written_to(sink: Sink, mailer: SmtpMailer, words: str) -> None:
    for to in (words, f"{words}@engines.example", f"ada@{words}"):
        try:
            mailer.send(replace(LETTER, to=to))
        except GiveUp:
            assert sink.envelopes == []
        else:
            envelope, mail = sink.take()
            assert len(envelope.rcpt_tos) == 1
            assert [one.addr_spec for one in mail["To"].addresses] == envelope.rcpt_tos
            assert envelope.rcpt_tos[0].isascii()


@pytest.mark.parametrize(
    "to",
    [
        "", "ada", "ada@", "@engines.example", "ada@engines.example,spy@evil.example", "Ada <ada@engines.example>",
        "ada@engines.example ", "ada@engines..example", ".ada@engines.example", '"a b"@engines.example', "a@b@c.example",
        "ada@[127.0.0.1]", "ada@-engines.example", "zoë@engines.example", "a" * 65 + "@engines.example",
        "ada@engines.example\r\nDATA", "ada@engines.example\n", "a@" + "e" * 64 + ".example",
    ],
)  # fmt: skip
def test_what_is_not_plainly_one_address_is_refused(mailer: SmtpMailer, sink: Sink, to: str) -> None:
    with pytest.raises(GiveUp, match="is no plain address"):
        mailer.send(replace(LETTER, to=to))
    assert sink.envelopes == []


def test_a_domain_of_another_script_is_written_in_ascii(mailer: SmtpMailer, sink: Sink) -> None:
    mailer.send(replace(LETTER, to="zoe@bücher.example"))

    assert sink.take()[0].rcpt_tos == ["zoe@xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("ann@business.example", ""),
        ("<ann@business.example>", ""),
        ("Ann, of Example Ltd. <ann@business.example>", "Ann, of Example Ltd."),
        ('"Ann (Example)" <ann@business.example>', "Ann (Example)"),
    ],
)
def test_the_sender_may_be_called_anything(sink: Sink, mailer: SmtpMailer, sender: str, name: str) -> None:
    mailer.send(replace(LETTER, sender=sender))

    envelope, mail = sink.take()
    (box,) = mail["From"].addresses
    assert (envelope.mail_from, box.addr_spec, box.display_name) == (
        "ann@business.example",
        "ann@business.example",
        name,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"sender": "nobody"}, {"sender": "Ann <ann@business.example>, spy@evil.example"}, {"sender": "a@b.example, c@d.example"}, {"reply_to": "Ann"}, {"message_id": "a b"}, {"message_id": ""}, {"message_id": "x>\r\nBcc: a@b"},
        {"unsubscribe_url": "javascript:alert(1)"}, {"unsubscribe_url": "https://x.example/\r\nBcc: a@b"},
        {"unsubscribe_url": "https://x.example/>, <mailto:spy@evil.example"},
    ],
)  # fmt: skip
def test_a_letter_that_can_never_be_right_is_given_up(mailer: SmtpMailer, sink: Sink, change: dict[str, str]) -> None:
    with pytest.raises(GiveUp, match="cannot be sent"):
        mailer.send(replace(LETTER, **change))
    assert sink.envelopes == []


@given(st.lists(st.sampled_from([b".", b"..", b"a", b".b", b"\r\n"])).map(b"".join))
def test_dots_come_back_as_they_were(body: bytes) -> None:
    wire = dotted(body)

    assert wire.endswith(b"\r\n.\r\n") or wire == b"\r\n.\r\n"
    lines = wire.split(b"\r\n")[:-2]
    assert b"." not in lines
    back = b"\r\n".join(line.removeprefix(b".") for line in lines)
    assert back == (body.removesuffix(b"\r\n"))


def test_the_mailbox_of_the_sandbox_gets_it_too(clock: VirtualClock) -> None:
    mailbox = Mailbox(clock)
    with mailing(mailbox.start()) as mailer:
        mailer.send(LETTER)
        mailbox.drop_next()
        with pytest.raises(Unsure):
            mailer.send(replace(LETTER, message_id="eff_2"))
        mailbox.refuse("gone@engines.example")
        with pytest.raises(GiveUp, match=r"550 5\.1\.1"):
            mailer.send(replace(LETTER, to="gone@engines.example"))
        mailbox.refuse_next("late@engines.example")
        with pytest.raises(Retry, match="451"):
            mailer.send(replace(LETTER, to="late@engines.example"))
        mailer.send(replace(LETTER, message_id="eff_3", to="late@engines.example"))
    mailbox.stop()

    assert [mail.message_id.split("@")[0] for mail in mailbox.messages] == ["<eff_0k3f", "<eff_2", "<eff_3"]


# -- what goes wrong --------------------------------------------------------------------------------------------------


class Moody(socketserver.ThreadingTCPServer):
    """A mail server that does as it is told at one step: gives another reply, or hangs up (None)."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, moods: dict[str, str | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.moods = moods
        self.counting = threading.Lock()
        self.once: dict[str, str | None] = {}
        self.connections = 0
        self.accepted = 0


class _Talk(socketserver.StreamRequestHandler):
    server: Moody

    def handle(self) -> None:
        with self.server.counting:
            self.server.connections += 1
        if not self.say("GREETING", "220 hello"):
            return
        while line := self.rfile.readline():
            verb = line.split()[0].decode().upper().split(":")[0]
            if verb == "DATA":
                if not self.say("DATA", "354 go on") or self.server.moods.get("DATA"):
                    continue
                while self.rfile.readline() != b".\r\n":
                    pass
                with self.server.counting:
                    self.server.accepted += 1
                verb = "END"
            if not self.say(verb, "250 ok"):
                return

    def say(self, step: str, usual: str) -> bool:
        reply = self.server.once.pop(step) if step in self.server.once else self.server.moods.get(step, usual)
        if reply is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return False
        self.wfile.write(f"{reply}\r\n".encode())
        return True


@contextmanager
def moody(**moods: str | None) -> Iterator[Moody]:
    with Moody(moods) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("moods", "kind"),
    [
        ({"GREETING": None}, Retry),
        ({"GREETING": "421 too busy"}, Retry),
        ({"EHLO": None}, Retry),
        ({"MAIL": None}, Retry),
        ({"MAIL": "451 not now"}, Retry),
        ({"MAIL": "530 5.7.0 Authentication required"}, Reconnect),
        ({"MAIL": "550 5.7.1 who are you"}, GiveUp),
        ({"RCPT": None}, Retry),
        ({"RCPT": "450 4.2.1 greylisted"}, Retry),
        ({"RCPT": "550 5.1.1 no such mailbox"}, GiveUp),
        ({"DATA": None}, Retry),
        ({"DATA": "451 not now"}, Retry),
        ({"DATA": "554 no"}, GiveUp),
        ({"END": None}, Unsure),
        ({"END": "452 disk full"}, Retry),
        ({"END": "554 5.7.1 spam"}, GiveUp),
    ],
)
def test_it_is_told_apart_what_was_surely_not_sent_will_never_be_and_nobody_can_know(
    moods: dict[str, str | None], kind: type[Failure]
) -> None:
    with moody(**moods) as server, mailing(server.server_address[1]) as mailer, pytest.raises(Failure) as caught:
        mailer.send(LETTER)

    assert type(caught.value) is kind


def test_a_server_that_is_not_there_may_be_tried_later() -> None:
    with mailing(9) as mailer, pytest.raises(Retry, match=r"127\.0\.0\.1:9 cannot be used"):
        mailer.send(LETTER)


@pytest.mark.parametrize(
    ("moods", "kind"), [({"AUTH": "535 5.7.8 bad password"}, Reconnect), ({"AUTH": "454 try later"}, Retry)]
)
def test_an_account_that_is_refused_wants_a_person(moods: dict[str, str | None], kind: type[Failure]) -> None:
    moods = {"EHLO": "250-hi\r\n250 AUTH PLAIN", **moods}
    with (
        moody(**moods) as server,
        mailing(server.server_address[1], username="ann", password="tell-nobody") as mailer,
        pytest.raises(Failure) as caught,
    ):
        mailer.send(LETTER)

    assert type(caught.value) is kind
    assert "tell-nobody" not in str(caught.value)


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_server_that_does_not_encrypt_as_set_gets_no_mail(sink: Sink, tls: str) -> None:
    with mailing(sink.port, tls=tls) as mailer, pytest.raises(Reconnect, match="tls"):
        mailer.send(LETTER)
    assert sink.envelopes == []


def test_one_connection_serves_many_mails_and_is_opened_again_when_stale() -> None:
    clock = VirtualClock(START)
    with moody() as server:
        mailer = SmtpMailer(options(server.server_address[1]), clock)
        for _ in range(3):
            mailer.send(LETTER)
        together = server.connections
        server.moods["NOOP"] = None
        mailer.send(LETTER)  # just used: it is not asked whether it still stands
        clock.sleep(FRESH_FOR)
        mailer.send(LETTER)
        mailer.close()

        assert (together, server.connections, server.accepted) == (1, 2, 5)


def test_a_connection_that_the_server_has_closed_meanwhile_costs_no_mail() -> None:
    with moody() as server, mailing(server.server_address[1]) as mailer:
        mailer.send(LETTER)
        for mood in (None, "421 4.7.0 too many mails"):
            server.once["MAIL"] = mood
            mailer.send(LETTER)

        assert (server.connections, server.accepted) == (3, 3)


def test_a_connection_is_opened_anew_after_as_many_mails_as_servers_like() -> None:
    with moody() as server, mailing(server.server_address[1]) as mailer:
        for _ in range(2 * MAILS_A_CONNECTION):
            mailer.send(LETTER)

        assert (server.connections, server.accepted) == (2, 2 * MAILS_A_CONNECTION)


def test_as_many_connections_are_used_at_the_same_time_as_are_set_and_no_more() -> None:
    together, most = threading.Barrier(3), 0
    with moody() as server, mailing(server.server_address[1], connections=3) as mailer:

        def send() -> None:
            with mailer.ready() as hand_over:
                together.wait()  # three are ready before any is used
                hand_over(LETTER)

        threads = [threading.Thread(target=send) for _ in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
            most = max(most, len(mailer._idle))

        assert (mailer.connections, server.connections, server.accepted) == (3, 3, 9)
        assert most <= 3


def test_no_more_mails_leave_in_a_second_than_are_set() -> None:
    clock = VirtualClock(START)
    with moody() as server:
        mailer = SmtpMailer(options(server.server_address[1], per_second=2, connections=4), clock)
        for _ in range(11):
            mailer.send(LETTER)
        mailer.close()

    assert clock.now() - START == pytest.approx(5)


def test_what_was_made_ready_and_not_used_is_used_by_the_next() -> None:
    with moody() as server, mailing(server.server_address[1]) as mailer:
        with mailer.ready():
            pass
        mailer.send(LETTER)

        assert (server.connections, server.accepted) == (1, 1)


def test_after_a_failure_the_next_mail_goes_over_a_fresh_connection() -> None:
    with moody(RCPT="550 no such mailbox") as server, mailing(server.server_address[1]) as mailer:
        with pytest.raises(GiveUp):
            mailer.send(LETTER)
        server.moods.clear()
        mailer.send(LETTER)

        assert (server.connections, server.accepted) == (2, 1)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"host": "mail.example"}, "unencrypted"),
        ({"username": "ann"}, "go together"),
        ({"tls": "perhaps"}, "starttls"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_cure(change: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        options(25, **change)


def test_the_password_shows_nowhere() -> None:
    assert "tell-nobody" not in repr(options(25, username="ann", password="tell-nobody"))
    with pytest.raises(ValidationError) as caught:
        options(25, password="tell-nobody")
    assert "tell-nobody" not in str(caught.value)
