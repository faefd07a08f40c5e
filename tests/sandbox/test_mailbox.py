"""The mailbox keeps what arrives by SMTP, counts what came twice, and fails when told to."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from worker.lib.clock import VirtualClock
from worker.sandbox.servers.mailbox import Mailbox


@pytest.fixture
def mailbox(clock: VirtualClock) -> Iterator[Mailbox]:
    mailbox = Mailbox(clock)
    mailbox.start()
    yield mailbox
    mailbox.stop()


def letter(
    to: str = "ann@a.example", message_id: str = "<1@keepwell>", text: str = "Hello Ann, grüß dich"
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "team@business.example"
    message["To"] = to
    message["Subject"] = "Schöne Grüße"
    message["Message-ID"] = message_id
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    return message


def send(mailbox: Mailbox, message: EmailMessage) -> None:
    with smtplib.SMTP(mailbox.host, mailbox.port, timeout=10) as smtp:
        smtp.send_message(message)


def test_a_mail_is_kept_as_a_person_would_read_it(mailbox: Mailbox, clock: VirtualClock) -> None:
    clock.sleep(3600)

    send(mailbox, letter())

    (mail,) = mailbox.messages
    assert mail.at == int(clock.now())
    assert (mail.sender, mail.to, mail.recipients) == ("team@business.example", "ann@a.example", ("ann@a.example",))
    assert (mail.subject, mail.message_id) == ("Schöne Grüße", "<1@keepwell>")
    assert mail.headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert mail.text == "Hello Ann, grüß dich\n"
    assert mail.html == "<p>Hello Ann, grüß dich</p>\n"


@pytest.mark.parametrize(
    ("second", "duplicates"),
    [
        (letter(), 1),
        (letter(text="something else"), 1),
        (letter(message_id="<2@keepwell>"), 1),
        (letter(message_id="<2@keepwell>", text="something else"), 0),
        (letter(message_id="<2@keepwell>", to="bob@b.example"), 0),
    ],
)
def test_a_mail_comes_twice_by_its_id_or_by_what_it_says_to_whom(
    mailbox: Mailbox, second: EmailMessage, duplicates: int
) -> None:
    send(mailbox, letter())
    send(mailbox, second)

    assert mailbox.duplicates() == duplicates
    assert mailbox.per_recipient().total() == 2


def test_mails_without_an_id_are_not_twice_for_that(mailbox: Mailbox) -> None:
    for text in ("one", "two"):
        message = letter(text=text)
        del message["Message-ID"]
        send(mailbox, message)

    assert mailbox.duplicates() == 0


def test_a_recipient_who_is_gone_is_refused_for_good(mailbox: Mailbox) -> None:
    mailbox.refuse("Ann@a.example")

    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(mailbox, letter())
        assert refused.value.recipients["ann@a.example"][0] == 550

    assert mailbox.messages == []
    assert mailbox.faults.met == {"mail_refused_5xx": 2}


def test_a_recipient_may_be_refused_for_now(mailbox: Mailbox) -> None:
    mailbox.refuse_next("ann@a.example")

    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mailbox, letter())
    send(mailbox, letter())

    assert refused.value.recipients["ann@a.example"][0] == 451
    assert len(mailbox.messages) == 1


def test_a_connection_that_drops_after_the_data_leaves_the_sender_unsure_of_a_mail_that_arrived(
    mailbox: Mailbox,
) -> None:
    mailbox.drop_next()

    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        send(mailbox, letter())
    assert len(mailbox.messages) == 1

    send(mailbox, letter(message_id="<2@keepwell>", text="later"))
    assert (len(mailbox.messages), mailbox.duplicates()) == (2, 0)
