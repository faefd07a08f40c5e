"""Questions to a name server on loopback, by the real resolver."""

from __future__ import annotations

import socket

import pytest

from tests.names import name_server
from worker.lib.dns import NotAsked, SystemResolver, place_of

RECORDS = {
    ("acme.example", "TXT"): ['"v=spf1 include:" "mail.example ~all"', '"something else"'],
    ("acme.example", "MX"): ["10 mx1.acme.example.", "20 mx2.acme.example."],
    ("acme.example", "A"): ["192.0.2.1"],
    ("acme.example", "AAAA"): ["2001:db8::1"],
    ("mute.example", "MX"): ["0 ."],
    ("broken.example", "SERVFAIL"): [],
}


def test_what_is_there_is_told_and_what_is_not_there_is_empty() -> None:
    with name_server(RECORDS) as server:
        resolver = SystemResolver(server)

        assert sorted(resolver.txt("acme.example")) == ["something else", "v=spf1 include:mail.example ~all"]
        assert sorted(resolver.mx("acme.example")) == ["mx1.acme.example", "mx2.acme.example"]
        assert resolver.mx("mute.example") == [""], "the null MX"
        assert resolver.addresses("acme.example") == ["192.0.2.1", "2001:db8::1"]
        assert resolver.txt("mute.example") == []
        assert resolver.txt("nobody.example") == []


def test_a_name_server_that_fails_or_cannot_understand_the_name_says_neither_yes_nor_no() -> None:
    with name_server(RECORDS) as server:
        resolver = SystemResolver(server)
        for name in ("broken.example", "a..b", "x" * 64 + ".example"):
            with pytest.raises(NotAsked):
                resolver.txt(name)
        assert resolver.mx("mute.example") == [""], "one broken name does not hinder the others"


def test_a_name_server_that_does_not_answer_is_left_alone_after_two_questions() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        resolver = SystemResolver(f"127.0.0.1:{deaf.getsockname()[1]}", patience=0.05)
        for _ in range(2):
            with pytest.raises(NotAsked, match=r"within 0\.05 seconds"):
                resolver.txt("acme.example")
        with pytest.raises(NotAsked, match="had not answered before"):
            resolver.txt("acme.example")


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("[::1]:54", ("::1", 54)),
        ("::1", ("::1", 53)),
    ],
)
def test_a_name_server_is_written_as_an_address_with_or_without_a_port(written: str, place: tuple[str, int]) -> None:
    assert place_of(written) == place


@pytest.mark.parametrize("written", ["dns.example", "9.9.9.9:99999", "9.9.9", "", "9.9.9.9:x"])
def test_what_is_no_address_of_a_name_server_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="write the IP address of a name server"):
        place_of(written)
