"""The console prints every effect and behaves like the services it stands in for."""

from __future__ import annotations

import io
from typing import cast

import pytest

from integrations.console import (
    INTEGRATION,
    ConsoleAlerter,
    ConsoleCrm,
    ConsoleDesk,
    ConsoleHistory,
    ConsoleMailer,
    ConsoleSettings,
    Paper,
)
from worker.effects import Alert, Button, Line, Task
from worker.facts import CrmContact
from worker.integration import Alerter, Colleague, Crm, CrmNames, Desk, History, Letter, Logged, Mailer
from worker.lib.clock import VirtualClock
from worker.lib.http import GiveUp, Http

ADA = CrmContact("1", "ada@x.example", "SINGLE_OPT_IN", True, ("vip",), (("plan", "Pro"),), 0)
NAMES = CrmNames(tags={"red": "Health: red"}, fields={"band": "Health band"})


def letter(message_id: str = "eff_1", subject: str = "Hello") -> Letter:
    return Letter(message_id, "us@x.example", "", "ada@x.example", "Ada", subject, "text", "<p>html</p>", "")


def test_every_role_prints_to_the_same_paper() -> None:
    paper = Paper(io.StringIO())
    crm: Crm = ConsoleCrm(paper, [ADA])
    mailer: Mailer = ConsoleMailer(paper)
    alerter: Alerter = ConsoleAlerter(paper)

    ids = crm.find_or_create(NAMES, adopt=False)
    crm.add_tag(ids.tags["red"], ["1"])
    crm.write_fields({"1": {ids.fields["band"]: "red"}})
    mailer.send(letter())
    alerter.send(Alert("cus_1", "Ada turned red", "2 invoices unpaid"))

    assert [str(line) for line in paper.lines] == [
        "make Keepwell: Health: red, Health band",
        "tag 1: tag:red",
        "field 1: field:band = 'red'",
        "mail ada@x.example: Hello",
        "alert team: Ada turned red: 2 invoices unpaid",
    ]


def test_what_it_is_told_it_shows_when_read() -> None:
    crm = ConsoleCrm(Paper(io.StringIO()), [ADA])

    first = crm.write_fields({"1": {"band": "red"}, "2": {"band": "red"}})
    crm.add_tag("red", ["1"])
    crm.remove_tag("vip", ["1"])

    (contact,) = crm.read(["1", "2"]).values()
    assert (contact.tags, contact.fields) == (("red",), (("plan", "Pro"), ("band", "red")))
    assert (first["1"].ok, dict(first["1"].before), first["2"].ok) == (True, {"band": ""}, False)
    assert crm.add_tag("red", ["2"]) == {"2": "there is no such contact"}

    crm.write_fields({"1": first["1"].before})
    assert crm.read(["1"])["1"].fields == ADA.fields


def test_what_stands_already_is_not_printed_again() -> None:
    paper = Paper(io.StringIO())
    crm, mailer = ConsoleCrm(paper, [ADA]), ConsoleMailer(paper)

    for _ in range(2):
        crm.find_or_create(NAMES, adopt=False)
        crm.add_tag("vip", ["1"])
        crm.write_fields({"1": {"plan": "Pro"}})
        assert mailer.send(letter()) == "eff_1"

    assert [line.what for line in paper.lines] == ["make", "mail"]


def test_a_text_cannot_play_with_the_terminal() -> None:
    stream = io.StringIO()
    ConsoleMailer(Paper(stream)).send(letter(subject="\x1b[2J\nsurprise\x9b\u202e"))

    assert stream.getvalue() == "mail ada@x.example: \\x1b[2J\\nsurprise\\x9b\\u202e\n"


def test_it_merges_and_knows_only_its_own_contacts() -> None:
    crm = ConsoleCrm(Paper(io.StringIO()), [ADA])

    assert crm.canary("1", NAMES) == "merges"
    with pytest.raises(GiveUp, match="no contact '2'"):
        crm.canary("2", NAMES)


def test_as_an_integration_it_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert INTEGRATION.mailer is not None
    INTEGRATION.mailer(cast("Http", None), ConsoleSettings(), VirtualClock(0)).send(letter())

    assert capsys.readouterr().out == "mail ada@x.example: Hello\n"


def test_tasks_and_mails_of_others_are_printed_and_found_again() -> None:
    paper = Paper(io.StringIO())
    desk: Desk = ConsoleDesk(paper, [Colleague("7", "Cleo", "cleo@us.example")])
    history: History = ConsoleHistory(paper)
    task = Task("cus_1", "1", "7", "Call Ada", "She stopped exporting.", 0, "usage-drop")

    assert desk.find(task, "eff_2", 0) == ""
    assert desk.find(task, desk.add(task, "eff_2"), 0) == "eff_2"
    mail = Logged("eff_1", "1", "us@x.example", "ada@x.example", "Hello", "text", "", 0)
    assert (history.log([mail]), history.log([mail])) == ({"eff_1": ""}, {"eff_1": ""})

    assert [str(line) for line in paper.lines] == [
        "task 7: Call Ada: She stopped exporting.", "note 1: was written to: Hello"
    ]  # fmt: skip
    assert [one.name for one in desk.colleagues()] == ["Cleo"]


def test_of_the_buttons_of_a_message_it_prints_what_they_do_and_not_how() -> None:
    paper = Paper(io.StringIO())
    send = Button("Send", "https://k.example/deeds/send/secret", "send/secret")
    ConsoleAlerter(paper).send(
        Alert("", "Good morning", "", "", (Line("A mail waits", "", (send,)), Line("And 2 tasks.")))
    )

    assert [str(line) for line in paper.lines] == ["alert team: Good morning: A mail waits [Send] / And 2 tasks."]
