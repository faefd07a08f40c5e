"""The morning message: each of our people hears once a day what changed and what to do first, and can do it from there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.dispatch.business import Business, business
from worker import config, controls, deeds, morning
from worker.app import create_app
from worker.cli import main
from worker.dispatch import outbox
from worker.dispatch.outbox import STRANDED_AFTER
from worker.effects import Task
from worker.lib.clock import DAY, HOUR, MINUTE, day_number
from worker.lib.ids import new_id
from worker.lib.store import Store, sql
from worker.plays.records import ask_person, set_switch
from worker.review.disagreement import Pulse
from worker.review.opinions import open_disagreement
from worker.schedule import Wheel

MONDAY = day_number("2026-01-05")
PEOPLE = {"7": {"name": "Cleo", "email": "cleo@engines.example"}, "8": {"name": "Dan", "deputy": "7"}}


def team(here: Business, people: object = PEOPLE, **more: object) -> None:
    """These are our people."""
    made = config.Team.model_validate({"people": people, **more})
    here.workspace.config = replace(here.workspace.config, team=made)


@pytest.fixture
def here(tmp_path: Path, sqlite_store: Store) -> Iterator[Business]:
    with business(tmp_path / "workspace", sqlite_store) as opened:
        set_switch(sqlite_store, "first_pass", "run_1", opened.now)
        controls.set_mode(opened.workspace, "live")
        team(opened)
        yield opened


def enter(here: Business, name: str = "Ada", *, owner: str = "7", worth: int | None = None) -> str:
    """A customer of this owner, scored once; gives its id."""
    contact = here.enter(name)
    here.clock.sleep(300)
    here.turn(dispatch=False)
    customer = here.customer(contact)
    here.store.run(
        "update customers set owner = :owner, name = :name where id = :id",
        {"owner": owner, "name": name, "id": customer},
    )
    if worth is not None:
        here.store.run(
            "insert into attributes (customer_id, identity_id, name, value, at) select :id, i.id, 'mrr', :value, :now"
            " from identities i where i.customer_id = :id", {"id": customer, "value": str(worth), "now": here.now},
        )  # fmt: skip
    return customer


def turned(
    here: Business, customer: str, old: str = "green", new: str = "red", *, ago: int = HOUR, why: str = ""
) -> None:
    score = here.store.value("select id from scores where customer_id = :id", {"id": customer})
    binds = {
        "id": new_id("chg"),
        "customer": customer,
        "at": here.now - ago,
        "old": old,
        "new": new,
        "score": score,
        "why": why,
    }
    here.store.run(
        "insert into changes (id, customer_id, at, old_band, new_band, score_id, version, why)"
        " values (:id, :customer, :at, :old, :new, :score, '', :why)", binds,
    )  # fmt: skip


def at(here: Business, day: int, hour: int, minute: int = 0) -> None:
    here.clock.move_to(day * DAY + hour * HOUR + minute * MINUTE)


def mailed(here: Business) -> list[tuple[str, str, list[str]]]:
    return [(mail.to, mail.subject, mail.text.splitlines()) for mail in here.mailbox.messages]


# -- what it says -----------------------------------------------------------------------------------------------------


def test_a_person_with_an_address_hears_it_by_mail_and_can_act_from_there(here: Business) -> None:
    ada = enter(here, worth=1_200)
    at(here, MONDAY, 8)
    turned(here, ada, why="2 invoices unpaid")
    Wheel(here.workspace).morning()

    ((to, subject, lines),) = mailed(here)
    assert (to, subject) == ("cleo@engines.example", "Your customers this morning: 1 turned red")
    (line,) = lines
    words, page, snooze = line.split(" · ")
    assert words == "Ada went from green to red, worth 1,200 usd a month: 2 invoices unpaid"
    assert page == f"https://keepwell.example/customers/{ada}"
    deed = deeds.read(here.workspace, deeds.SNOOZE, snooze.rpartition("/")[2])
    assert deed is not None
    assert (deed.subject, deed.made_for) == (ada, "Cleo")
    assert here.slack.messages == []


def test_a_person_without_an_address_hears_it_in_the_channel_with_the_name_in_front(here: Business) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here, "Zoe", owner="8"), "red", "green")
    turned(here, enter(here, "Max", owner=""), "green", "yellow")
    at(here, MONDAY, 8)
    Wheel(here.workspace).morning()

    assert sorted(message.text.partition(":")[0] for message in here.slack.messages) == [
        "Good morning, Dan", "Good morning; of customers without an owner",
    ]  # fmt: skip
    assert mailed(here) == []


def test_who_is_away_has_it_sent_to_the_deputy(here: Business) -> None:
    team(here, {**PEOPLE, "8": {"name": "Dan", "deputy": "7", "away": ["2026-01-05 to 2026-01-06"]}})
    turned_by_dan, turned_by_cleo = enter(here, "Zoe", owner="8"), enter(here, "Ada", owner="7")
    at(here, MONDAY, 8)
    turned(here, turned_by_dan)
    turned(here, turned_by_cleo)
    Wheel(here.workspace).morning()

    ((to, subject, lines),) = mailed(here)
    assert (to, subject) == ("cleo@engines.example", "Your customers this morning: 2 turned red")
    assert [line.split()[0] for line in lines] == ["Ada", "Zoe"]
    assert here.slack.messages == []


def test_it_names_what_waits_for_the_person(here: Business) -> None:
    ada = enter(here)
    at(here, MONDAY, 8)
    contact = here.store.value(
        "select external_id from identities where customer_id = :id and source = 'keap'", {"id": ada}
    )
    mail = here.queue_mail(contact)
    here.store.run("update effects set state = 'asked' where id = :id", {"id": mail})
    ask_person(here.store, mail, "the first sends of usage-drop", here.now)
    for day, title in ((-1, "Call about invoices"), (0, "Ask about the export"), (1, "Not yet")):
        task = Task(ada, contact, "7", title, "", here.now + day * DAY, "usage-drop")
        effect = outbox.put(here.store, task, title, here.now - 2 * DAY)
        here.store.run(
            "update effects set state = 'done', reference = :ref where id = :id", {"ref": title, "id": effect}
        )
    open_disagreement(here.store, ada, "7", "red", Pulse(5, here.now, "keap", "p:1", "Dan", ""), here.now)

    (message,) = morning.messages(here.workspace)
    assert message.gist == "1 message to approve, 2 tasks, 1 disagreement to answer"
    assert [line.text for line in message.lines] == [
        "To do: Ada: mail to ada@customer.example “Is reports still doing its job?” waits for your yes (the first sends of usage-drop)",
        "To do: Ada: Call about invoices (overdue)",
        "To do: Ada: Dan says 5 of 5, and the score says red; who is right?",
        "To do: Ada: Ask about the export (due today)",
    ]
    send, refuse = message.lines[0].buttons
    assert (send.label, send.value.partition("/")[0], refuse.label, refuse.value) == ("Send", "send", "Refuse", "")
    assert send.sure.startswith("Send the mail to ada@customer.example “")
    read = deeds.read(here.workspace, deeds.SEND, send.value.partition("/")[2])
    assert read is not None
    assert read.subject == mail

    here.happens(contact, "task_done", label="keepwell")  # of another one
    here.store.run(
        "update facts set source = 'keap', source_id = 'task:Call about invoices:done' where kind = 'task_done'"
    )
    assert morning.messages(here.workspace)[0].gist == "1 message to approve, 1 task, 1 disagreement to answer"


def test_a_link_opens_a_page_without_a_login_and_the_page_does_it(here: Business) -> None:
    ada = enter(here)
    at(here, MONDAY, 8)
    turned(here, ada)
    Wheel(here.workspace).morning()
    link = mailed(here)[0][2][0].rpartition(" ")[2]
    app = create_app(here.workspace)
    try:
        page = app.test_client().get(urlsplit(link).path)
        assert (page.status_code, deeds.snoozed(here.store, here.now)) == (200, {})
        assert app.test_client().post(urlsplit(link).path, data={"by": "Cleo"}).status_code == 200
    finally:
        app.extensions["receiver"].close()

    assert list(deeds.snoozed(here.store, here.now)) == [ada]


def test_in_slack_the_same_is_a_button_where_its_press_would_be_heard(here: Business) -> None:
    slack = here.workspace.connected["slack"]
    heard = slack.settings.model_copy(update={"signing_secret": SecretStr("s" * 32)})
    at(here, MONDAY, 7)
    ada = enter(here, owner="8")
    turned(here, ada)
    for settings in (slack.settings, heard):
        here.workspace.connected = {**here.workspace.connected, "slack": replace(slack, settings=settings)}
        here.store.run("delete from mornings")
        assert morning.send(here.workspace).sent == ["Dan"]

    links, buttons = here.slack.messages
    assert "|Snooze>" in links.blocks[1]["text"]["text"]
    assert [block["type"] for block in buttons.blocks] == ["section", "section", "actions"]
    name, _, token = buttons.blocks[2]["elements"][0]["value"].partition("/")
    deed = deeds.read(here.workspace, name, token)
    assert deed is not None
    assert deeds.do(here.workspace, deed, "dan (Slack U1)").done
    assert list(deeds.snoozed(here.store, here.now)) == [ada]


def test_who_was_put_off_for_a_week_is_not_named(here: Business) -> None:
    ada = enter(here)
    at(here, MONDAY, 8)
    turned(here, ada)
    deeds.snooze(here.workspace, ada, "Cleo")
    assert morning.messages(here.workspace) == []

    at(here, MONDAY + 7, 9)
    turned(here, ada)
    assert len(morning.messages(here.workspace)) == 1


def test_it_tells_what_changed_since_the_last_one_and_nothing_where_nothing_did(here: Business) -> None:
    ada, zoe, max_ = (enter(here, name) for name in ("Ada", "Zoe", "Max"))
    wheel = Wheel(here.workspace)
    at(here, MONDAY, 8)
    turned(here, ada)
    wheel.morning()
    at(here, MONDAY + 1, 8)
    wheel.morning()
    assert len(mailed(here)) == 1

    turned(here, zoe, ago=20 * HOUR)
    turned(here, max_, "green", "red", ago=6 * HOUR)
    turned(here, max_, "red", "green", ago=5 * HOUR)  # and back
    at(here, MONDAY + 2, 8)
    wheel.morning()
    assert [line.split()[0] for line in mailed(here)[-1][2]] == ["Zoe"]


@given(
    st.lists(st.tuples(st.text(max_size=60), st.sampled_from(["red", "yellow"]), st.text(max_size=200)), max_size=25),
    st.integers(0, 12),
)
def test_however_much_there_is_to_say_a_message_has_at_most_seven_lines(
    many: Business, changes: list[tuple[str, str, str]], tasks: int
) -> None:
    for table in ("changes", "effects"):
        many.store.run(f"delete from {table}")
    customer = many.store.row("select id from customers")
    assert customer is not None
    for place, (name, band, why) in enumerate(changes):
        clean = name.replace("\0", "").encode("utf-8", "replace").decode()
        whose = {"id": f"cus_x{place}", "name": clean, "at": many.now}
        many.store.run(
            "insert into customers (id, name, owner, first_at) values (:id, :name, '7', :at)"
            " on conflict (id) do update set name = excluded.name", whose,
        )  # fmt: skip
        score = many.store.value("select id from scores")
        why = why.replace("\0", "").encode("utf-8", "replace").decode()
        binds = {
            "id": new_id("chg"),
            "customer": f"cus_x{place}",
            "at": many.now - 60,
            "new": band,
            "score": score,
            "why": why,
        }
        many.store.run(
            "insert into changes (id, customer_id, at, old_band, new_band, score_id, version, why)"
            " values (:id, :customer, :at, 'green', :new, :score, '', :why)", binds,
        )  # fmt: skip
    for place in range(tasks):
        effect = outbox.put(
            many.store, Task(customer["id"], "1", "7", f"T{place}", "", many.now, "x"), f"t:{place}", many.now
        )
        many.store.run("update effects set state = 'done' where id = :id", {"id": effect})

    found = morning.messages(many.workspace)
    assert len(found) == bool(changes or tasks)
    for message in found:
        assert len(message.lines) <= 7
        assert len(morning.letter(many.workspace, message, MONDAY).text.splitlines()) == len(message.lines)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Business]:
    with business(tmp_path_factory.mktemp("many") / "workspace") as opened:
        set_switch(opened.store, "first_pass", "run_1", opened.now)
        controls.set_mode(opened.workspace, "live")
        team(opened)
        enter(opened)
        yield opened


# -- when, and how often ----------------------------------------------------------------------------------------------


def test_it_comes_in_the_morning_of_working_days_and_on_no_other(here: Business) -> None:
    closed = here.workspace.config.workspace.model_copy(update={"closed_days": ("2026-01-06", "friday")})
    here.workspace.config = replace(here.workspace.config, workspace=closed)
    heard = []
    for hour in range(7 * 24):
        here.clock.move_to(MONDAY * DAY + hour * HOUR)
        if day := morning.is_time(here.workspace):
            heard.append((day, hour % 24))

    days = ("2026-01-05", "2026-01-07", "2026-01-08")
    assert heard == [(day, hour) for day in days for hour in (8, 9, 10, 11)]


def test_two_schedules_and_a_person_send_one(here: Business) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here))
    at(here, MONDAY, 8)
    for wheel in (Wheel(here.workspace), Wheel(here.workspace)):
        for _ in range(2):
            wheel.morning()
    told = morning.send(here.workspace)

    assert len(mailed(here)) == 1
    assert (told.sent, told.before) == ([], ["Cleo"])


@pytest.mark.parametrize("mode", ["watch", "draft", "approve", "paused"])
def test_where_nothing_of_the_kind_may_leave_nothing_does(here: Business, mode: str) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here))
    at(here, MONDAY, 8)
    if mode == "paused":
        controls.set_paused(here.store, here.now, paused=True)
    else:
        set_switch(here.store, "mode", mode, here.now)
    wheel = Wheel(here.workspace)
    wheel.morning()
    assert (mailed(here), here.slack.messages, here.store.rows("select * from mornings")) == ([], [], [])
    assert len(morning.messages(here.workspace)) == 1  # it can be looked at

    if mode == "approve":
        here.store.run(sql("dispatch", "release"), {"kind": "alert", "now": here.now, "by": "ann"})
    else:
        controls.set_paused(here.store, here.now, paused=False)
        set_switch(here.store, "mode", "live", here.now)
    wheel.morning()
    assert len(mailed(here)) == 1


def test_a_server_that_is_down_has_it_sent_later_once_but_not_in_the_afternoon(here: Business) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here))
    at(here, MONDAY, 8)
    here.mailbox.refuse_next("cleo@engines.example")
    wheel = Wheel(here.workspace)
    for minute in range(0, 60, 5):
        at(here, MONDAY, 8, minute)
        wheel.morning()
    assert len(mailed(here)) == 1

    at(here, MONDAY + 1, 7)
    turned(here, enter(here, "Zoe"))
    here.mailbox.refuse("cleo@engines.example", "451 4.3.0 Try again later")
    for hour in range(8, 20):
        at(here, MONDAY + 1, hour)
        wheel.morning()
    assert len(mailed(here)) == 1
    states = [row["state"] for row in here.store.rows("select state from mornings order by day")]
    assert states == ["done", "waiting"]


def test_one_that_may_have_arrived_is_unknown_and_stands_in_the_check(here: Business) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here))
    at(here, MONDAY, 8)
    here.mailbox.drop_next()
    for _ in range(2):
        told = morning.send(here.workspace)
        here.clock.sleep(HOUR)

    assert len(mailed(here)) == 1
    assert list(told.failed) == ["Cleo"]
    doubts = here.store.rows(sql("team", "mornings_in_doubt"), {"day": MONDAY, "today": MONDAY})
    assert [(row["who"], row["state"]) for row in doubts] == [("7", "unknown")]


def test_one_that_a_crash_interrupted_is_not_sent_again(here: Business) -> None:
    at(here, MONDAY, 7)
    turned(here, enter(here))
    at(here, MONDAY, 8)
    assert here.store.run(sql("team", "claim_morning"), {"who": "7", "day": MONDAY, "now": here.now})  # and it dies
    here.clock.sleep(STRANDED_AFTER + 1)

    told = morning.send(here.workspace)
    assert mailed(here) == []
    assert "interrupted" in told.failed["Cleo"]


def test_a_mailer_that_writes_to_contacts_only_leaves_it_to_the_channel(here: Business) -> None:
    outreach = here.workspace.config.outreach.model_copy(update={"mailer": "keap"})
    here.workspace.config = replace(here.workspace.config, outreach=outreach)
    at(here, MONDAY, 8)
    turned(here, enter(here))

    (message,) = morning.messages(here.workspace)
    assert message.by == "slack"


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_by_hand_it_is_shown_before_it_is_sent_and_sent_once(tmp_path: Path) -> None:
    with business(tmp_path / "workspace") as here:
        text = (tmp_path / "workspace" / "config.toml").read_text("utf-8")
        people = '[team]\npeople = { "7" = { name = "Cleo", email = "cleo@engines.example" } }\n'
        (tmp_path / "workspace" / "config.toml").write_text(text.replace("[outreach]", f"{people}[outreach]"), "utf-8")
        set_switch(here.store, "first_pass", "run_1", here.now)
        turned(here, enter(here))
        set_switch(here.store, "clock_stands_at", str(here.now), here.now)
        keys = {"KEAP_KEY": here.keap.key, "KEAP_HOOK_SECRET": "0123456789abcdef", "SLACK_URL": here.slack.webhook_url}

        def keepwell(*words: str, code: int = 0) -> str:
            done = CliRunner().invoke(main, ["-w", str(tmp_path / "workspace"), "morning", *words], env=keys)
            assert done.exit_code == code, done.output
            return done.output

        assert "the workspace is in watch; see what would be sent with --dry-run" in keepwell(code=1)
        assert keepwell("--dry-run").splitlines() == [
            "Cleo (mail to cleo@engines.example): 1 turned red", "  Ada went from green to red [Snooze]",
        ]  # fmt: skip
        (shown,) = json.loads(keepwell("--dry-run", "--json"))
        assert shown["lines"][0]["buttons"] == ["Snooze"]
        assert not re.search("deeds", json.dumps(shown))
        assert mailed(here) == []

        set_switch(here.store, "mode", "live", here.now)
        assert keepwell("--owner", "8") == "Nobody has anything to hear.\n"
        assert keepwell("--owner", "7") == "Told: Cleo.\n"
        assert keepwell() == "Told before: Cleo.\n"
        assert len(mailed(here)) == 1
