"""Apprise, against real receivers on loopback: what the team reads, what is known of a failure, and what nobody sees."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask, Response, request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrations import apprise as ours
from integrations.apprise import LOCAL, AppriseChannel, AppriseSettings, check, said
from worker import config
from worker.effects import Alert, Button, Line
from worker.lib.clock import VirtualClock
from worker.lib.http import Failure, GiveUp, Http, Reconnect, Retry, Unsure
from worker.sandbox.servers.loopback import Loopback
from worker.sandbox.servers.mailbox import Mailbox

SECRET = "tell-nobody"
ALERT = Alert("cus_1", "Engines Ltd turned red", "2 invoices unpaid", "https://keepwell.example/customers/cus_1")


@dataclass
class Place:
    """A place that takes what is posted there, or answers with the statuses that are planned."""

    answers: list[int] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    def url(self, scheme: str = "json") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{SECRET}"


@pytest.fixture
def places() -> Iterator[list[Place]]:
    found, servers = [Place(), Place()], []
    for place in found:
        app = Flask("place")

        @app.post("/<path:_path>")
        def take(_path: str, place: Place = place) -> Response:
            status = place.answers.pop(0) if place.answers else 200
            if status == 200:
                place.posted.append(request.get_json(silent=True) or dict(request.form) or {"": request.get_data(True)})
            return Response("", status, {"Location": "http://127.0.0.1:9/"} if status == 302 else {})

        servers.append(Loopback(app, "place"))
        place.port = int(servers[-1].url.rpartition(":")[2])
    yield found
    for server in servers:
        server.stop()


def settings(*urls: str) -> AppriseSettings:
    return AppriseSettings.model_validate({"urls": urls})


def channel(*urls: str) -> AppriseChannel:
    return AppriseChannel(cast("Http", None), settings(*urls))


def test_the_team_reads_who_why_and_where_to_look(places: list[Place]) -> None:
    assert channel(places[0].url()).send(ALERT) is None

    (read,) = places[0].posted
    assert read["title"] == "Engines Ltd turned red"
    assert read["message"] == "2 invoices unpaid\nhttps://keepwell.example/customers/cus_1"


def test_each_line_comes_with_what_can_be_done_about_it(places: list[Place]) -> None:
    buttons = (
        Button("Send", "https://k.example/deeds/send/t", "send/t", "Sure?"),
        Button("Refuse", "https://k.example/r"),
    )
    channel(places[0].url()).send(Alert("", "Good morning", "", "", (Line("A mail\nwaits", "", buttons), Line("Done"))))

    assert places[0].posted[0]["message"].splitlines() == [
        "A mail waits · Send: https://k.example/deeds/send/t · Refuse: https://k.example/r",
        "Done",
    ]


@pytest.mark.parametrize("scheme", ["json", "xml", "form"])
def test_several_places_are_each_told_once(places: list[Place], scheme: str) -> None:
    channel(places[0].url(scheme), places[1].url()).send(ALERT)

    assert [len(place.posted) for place in places] == [1, 1]


@pytest.mark.parametrize("broken", [0, 1])
def test_where_one_of_two_places_fails_it_has_arrived_and_the_other_is_named(places: list[Place], broken: int) -> None:
    places[broken].answers = [404]
    remark = channel(places[0].url(), places[1].url()).send(ALERT)

    assert [len(place.posted) for place in places] == [int(broken != 0), int(broken != 1)]
    assert remark == f"not everywhere: JSON (place {broken + 1}) answered 404; is its address still the right one?"


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([404, 404], Reconnect),
        ([401, 403], Reconnect),
        ([400, 400], GiveUp),
        ([429, 400], Retry),
        ([302, 302], Unsure),
        ([500, 404], Unsure),
        ([503, 429], Unsure),
    ],
)
def test_where_nobody_has_taken_it_the_failure_says_what_is_known(
    places: list[Place], answers: list[int], kind: type[Failure]
) -> None:
    for place, answer in zip(places, answers, strict=True):
        place.answers = [answer]

    with pytest.raises(kind) as caught:
        channel(*(place.url() for place in places)).send(ALERT)
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    assert [place.posted for place in places] == [[], []]


def test_of_what_cannot_be_reached_nobody_knows() -> None:
    with pytest.raises(Unsure, match=r"JSON \(place 1\)"):
        channel("json://127.0.0.1:9/").send(ALERT)


class Listener(logging.Handler):
    """Hears what reaches the log of whoever runs Keepwell."""

    def __init__(self) -> None:
        super().__init__(1)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


def test_no_address_shows_in_a_log_or_a_failure(places: list[Place]) -> None:
    places[0].answers = [500]
    listener, log = Listener(), logging.getLogger()
    before = log.level
    log.addHandler(listener)
    log.setLevel(1)
    try:
        for url in (places[0].url(), places[1].url(), f"json://user:{SECRET}@127.0.0.1:9/", f"discord://{SECRET}"):
            try:
                channel(url).send(ALERT)
            except Failure as failure:
                listener.heard.append(str(failure))
    finally:
        log.removeHandler(listener)
        log.setLevel(before)

    assert len(listener.heard) >= 3
    assert [line for line in listener.heard if SECRET in line] == []


def test_a_mail_goes_to_the_team(clock: VirtualClock) -> None:
    mailbox = Mailbox(clock)
    mailbox.start()
    try:
        to = f"mailto://127.0.0.1:{mailbox.port}?from=keepwell@business.example&to=team@business.example&mode=insecure"
        told = Alert("cus_1", "<Engines> Ltd turned red", "2 < 3 & more", "https://k.example/?a=1&b=2")
        channel(to).send(told)
    finally:
        mailbox.stop()

    (mail,) = mailbox.messages
    assert mail.recipients == ("team@business.example",)
    assert "<\u200bEngines> Ltd turned red" in mail.subject
    assert "2 < 3 & more" in mail.text
    assert "https://k.example/?a=1&b=2" in mail.text


def test_one_address_needs_no_list() -> None:
    text = '[workspace]\nname = "Acme"\n[outreach]\nalerts = "apprise"\n[integrations.apprise]\nurls_env = %s'
    for written in ('"TEAMS_URL"', '["TEAMS_URL"]'):
        read = config.read(text % written, "config.toml", Path(), {"TEAMS_URL": f"json://{SECRET}.example"})
        (url,) = cast("AppriseSettings", read.integrations["apprise"]).urls
        assert url.get_secret_value() == f"json://{SECRET}.example"
        assert SECRET not in repr(read)


# -- what is not taken ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", SECRET, "discord", f"syslog://{SECRET}", f"DBus://{SECRET}", f"macosx://{SECRET}", f"json://a {SECRET}"]
)
def test_what_leads_nowhere_or_to_this_machine_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(settings(f"json://{SECRET}.example"))


def test_no_service_that_speaks_to_this_machine_alone_is_let_in() -> None:
    ours._loaded()
    with ours._old_imports():
        manager = importlib.import_module("apprise.manager_plugins").NotificationManager()
        schemas = sorted(manager.schemas())
    silent = {schema for schema in schemas if not any(map(_speaks, manager[schema].__mro__[:-1]))}

    assert silent - {"guilded"} == LOCAL  # that one is no more, and says so


def _speaks(kind: type) -> bool:
    """Whether the module that holds a class of a service reaches for the network by itself."""
    if kind.__name__ in {"NotifyBase", "URLBase"}:
        return False
    module = sys.modules[kind.__module__]
    lies_in = Path(str(module.__file__))
    texts = [lies_in.read_text()]
    if lies_in.parent.name != "plugins":
        texts += [path.read_text() for path in lies_in.parent.glob("*.py")]
    network = r"^\s*(import|from) .*\b(requests|socket|smtplib|gntp|paho|slixmpp|smpplib|asyncio|amqp|proton)\b"
    return any(re.search(network, text, re.MULTILINE) for text in texts)


def test_an_address_that_apprise_does_not_know_is_named_by_its_place(places: list[Place]) -> None:
    unknown = f"nosuchservice://{SECRET}"

    with pytest.raises(Reconnect, match=r"place 1 \(nosuchservice://…\)") as caught:
        list(check(cast("Http", None), settings(unknown)))
    assert SECRET not in str(caught.value)
    remark = channel(unknown, places[1].url()).send(ALERT)
    assert remark is not None
    assert "place 1 (nosuchservice://…)" in remark
    assert len(places[1].posted) == 1


def test_a_check_says_what_each_place_is(places: list[Place]) -> None:
    lines = list(
        check(cast("Http", None), settings(places[0].url(), "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"))
    )

    assert [line.partition(" is ")[0] for line in lines] == ["JSON (place 1)", "Discord (place 2)"]
    assert places[0].posted == []


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = channel("json://127.0.0.1:9/")
    monkeypatch.setitem(sys.modules, "apprise", cast("Any", None))

    with pytest.raises(ValidationError, match=r"pip install 'keepwell\[alerts\]'"):
        settings("json://127.0.0.1:9/")
    with pytest.raises(Reconnect, match=r"pip install 'keepwell\[alerts\]'"):
        there.send(ALERT)


@given(st.text())
def test_what_customers_wrote_calls_nobody_and_hides_no_link(text: str) -> None:
    safe = said(f"@everyone <!channel> [here](https://evil.example) {text}")

    for sign in ("@everyone", "<!channel", "]("):
        assert sign not in safe
    assert all(sign.isprintable() or sign in "\n\u200b" for sign in safe)
