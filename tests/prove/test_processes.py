"""What the schedule promises, shown through the processes that an operator runs, on both databases.

Most of it is waiting, so both databases are waited for at the same time.
"""

from __future__ import annotations

import http.client
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import POSTGRES
from tests.prove.stage import Process, Proxy, Stage, answer, run, set_up, wait
from worker.lib.store import Store

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

SIGNED = "STRIPE_WEBHOOK_SECRET"


def on_both(play: Callable[[Stage], None], folder: Path) -> None:
    """Play a story on both databases."""

    def on(database: str) -> None:
        with set_up(folder, database) as stage:
            play(stage)

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(on, database) for database in ("sqlite", "postgresql")]:
            future.result()


def _ends_well(process: Process, by: signal.Signals) -> None:
    assert process.told(by) == 0, process.said()
    assert "Traceback" not in process.said(), process.said()


# -- at once ----------------------------------------------------------------------------------------------------------


def test_a_failed_payment_and_a_planned_cancellation_have_their_effects_within_a_minute(
    tmp_path: Path, postgres_store: Store
) -> None:
    on_both(_within_a_minute, tmp_path)


def _within_a_minute(stage: Stage) -> None:
    failing, leaving = stage.customers(2)
    stage.go_live()
    first, second = stage.keap.contacts
    assert stage.keap.tags_of(second) == {"VIP", "Health: green"}

    # Doors and wheel in one process; vendors are asked once a day, and just now Stripe does not answer.
    stage.stripe_answers.clear()
    both = stage.start("serve")
    stage.stripe.hook_to(f"{both.url}/hooks/stripe", stage.environ[SIGNED])
    stage.stripe.bill(failing, decline="card_declined")
    stage.stripe.deliver_hooks(duplicate=1.0)
    mail = wait(lambda: stage.mailbox.messages, "the mail about the payment", tell=both.said)
    shown = wait(lambda: "unpaid" in stage.keap.field_values(first)["Health reason"], "the field", tell=both.said)
    assert not stage.stripe_answers.is_set()
    stage.stripe_answers.set()
    wait(lambda: stage.value("select count(*) from slots where job = 'pull'"), "the pull", tell=both.said)
    _ends_well(both, signal.SIGTERM)

    # Apart: the wheel finds by itself what comes in at the doors.
    doors, wheel = stage.start("serve", "--no-scheduler"), stage.start("schedule")
    stage.stripe.hook_to(f"{doors.url}/hooks/stripe", stage.environ[SIGNED])
    stage.stripe.cancel(leaving, at_period_end=True)
    stage.stripe.deliver_hooks(attempts=1)
    alert = wait(lambda: stage.slack.messages, "the alert", tell=wheel.said)
    tag = wait(lambda: stage.keap.tags_of(second) == {"VIP", "Health: red"}, "the tag", tell=wheel.said)
    event = {"event_id": "new-1", "kind": "usage", "email": "new@new.example", "at": "2026-01-01T00:00:00Z"}
    told = requests.post(f"{doors.url}/api/v1/events", json=event, headers={"X-API-Key": stage.key}, timeout=30)
    assert told.status_code == 202
    news = wait(lambda: stage.value("select count(*) from standings") == 3, "what is not urgent", tell=wheel.said)
    assert answer(f"{doors.url}/healthz").json() == {"status": "well", "database": True, "turning": True}
    _ends_well(wheel, signal.SIGTERM)
    _ends_well(doors, signal.SIGINT)

    assert [mail.to for mail in stage.mailbox.messages] == ["ann0@acme0.example"]
    assert ["Acme 1" in message.text for message in stage.slack.messages] == [True]
    sys.stdout.write(
        f"{stage.store.dialect}: in one process mail after {mail:.1f} s, field {mail + shown:.1f} s;"
        f" apart alert {alert:.1f} s, tag {alert + tag:.1f} s, an event of the product {news:.1f} s\n"
    )


# -- two of them ------------------------------------------------------------------------------------------------------


def test_two_schedules_do_the_work_once_and_one_goes_on_where_the_other_is_killed(
    tmp_path: Path, postgres_store: Store
) -> None:
    on_both(_two_of_them, tmp_path)


def _two_of_them(stage: Stage) -> None:
    subscriptions = stage.customers(5)
    stage.go_live()
    contacts = list(stage.keap.contacts)
    asked_before = _times_asked(stage)
    wheels = [stage.start("schedule"), stage.start("schedule")]
    doors = stage.start("serve", "--no-scheduler")
    stage.stripe.hook_to(f"{doors.url}/hooks/stripe", stage.environ[SIGNED])

    def tell() -> str:
        return "\n--\n".join(process.said() for process in stage.processes)

    wait(lambda: stage.value("select count(*) from slots where job = 'pull'"), "the pull", tell=tell)
    killed: list[Process] = []

    def kill_who_writes() -> None:
        """In the middle of a write: the vendor has the request, and will carry it out."""
        owner = str(stage.value("select owner from leases where name = 'lane:crm'"))
        (writing,) = [process for process in wheels if owner.startswith(f"{process.popen.pid}-")]
        writing.kill()
        killed.append(writing)
        stage.store.let_go()

    for subscription in subscriptions:
        stage.stripe.bill(subscription, decline="card_declined")
    stage.stripe.deliver_hooks(duplicate=0.5, reorder=0.3)
    wait(lambda: len(stage.mailbox.messages) == len(contacts), "the mails", tell=tell)
    stage.keap.before_next_patch = kill_who_writes
    for subscription in subscriptions:
        stage.stripe.cancel(subscription, at_period_end=True)
    stage.stripe.deliver_hooks(duplicate=0.5, reorder=0.3)
    wait(lambda: killed, "somebody to be killed", tell=tell)
    after = wait(
        lambda: all(stage.keap.tags_of(one) == {"VIP", "Health: red"} for one in contacts), "the tags", tell=tell
    )
    on_its_way = "select count(*) from effects where state = 'sending' or (state = 'waiting' and due_at = created_at)"
    wait(lambda: not stage.value(on_its_way), "an end")  # the later steps of plays wait for days
    (left,) = [process for process in wheels if process not in killed]
    for process in (left, doors):
        _ends_well(process, signal.SIGTERM)

    assert stage.mailbox.duplicates() == 0
    assert stage.mailbox.per_recipient() == {f"ann{n}@acme{n}.example": 1 for n in range(len(contacts))}
    assert Counter(_whose(message.text) for message in stage.slack.messages) == dict.fromkeys(range(len(contacts)), 1)
    assert _times_tagged_red(stage) == dict.fromkeys(contacts, 1)
    assert stage.keap.foreign_losses("Keepwell", set(stage.workspace.config.crm.fields.values())) == 0
    assert _times_asked(stage) - asked_before == 1
    assert _overlapping(stage) == []
    sys.stdout.write(f"{stage.store.dialect}: the other was through {after:.1f} s after the kill\n")


def _times_asked(stage: Stage) -> int:
    """How often vendors were asked for news: of a pull's calls, the one that nothing else makes."""
    return sum(call.path == "/crm/rest/v2/emails" for call in stage.keap.calls)


def _whose(text: str) -> int:
    """The number of the customer that an alert names."""
    return next(n for n in range(99) if f"Acme {n} " in text)


def _times_tagged_red(stage: Stage) -> dict[str, int]:
    """By Keap's own record of changes."""
    red = [one for one in stage.keap.audit if one.kind == "tag" and one.name == "Health: red" and one.after]
    return dict(Counter(one.contact_id for one in red))


def _overlapping(stage: Stage) -> list[str]:
    """Turns that began before the one before had come to its end."""
    runs = stage.store.rows(
        "select id, started_at, finished_at from runs"
        " where kind not in ('pull', 'write-back') and finished_at is not null order by id"
    )
    return [later["id"] for earlier, later in pairwise(runs) if later["started_at"] < earlier["finished_at"]]


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_database_that_goes_away_is_told_and_waited_for_and_nothing_is_lost(
    tmp_path: Path, postgres_store: Store
) -> None:
    address = urlsplit(POSTGRES)
    proxy = Proxy(address.hostname or "127.0.0.1", address.port or 5432)
    url = POSTGRES.replace(address.netloc, f"{address.netloc.rpartition('@')[0] or 'postgres'}@127.0.0.1:{proxy.port}")
    with set_up(tmp_path, "postgresql") as stage:
        (failing,) = stage.customers(1)
        stage.go_live()
        doors = stage.start("serve", "--no-scheduler", DATABASE_URL=url)
        wheel = stage.start("schedule", DATABASE_URL=url)
        wait(lambda: stage.value("select count(*) from slots where job = 'pull'"), "the pull", tell=wheel.said)
        assert answer(f"{doors.url}/healthz").status_code == 200

        proxy.cut()
        ill = answer(f"{doors.url}/healthz")
        assert (ill.status_code, ill.json()["database"]) == (503, False)
        stage.stripe.hook_to(f"{doors.url}/hooks/stripe", stage.environ[SIGNED])
        stage.stripe.bill(failing, decline="card_declined")
        already = len(wheel.lines)
        wait(lambda: len(wheel.lines) > already, "a word about it", tell=wheel.said)
        stage.stripe.deliver_hooks(attempts=1)  # refused, and counted by Stripe as to be sent again
        assert stage.stripe.hooks_accepted == 0
        assert len(wheel.lines) - already < 80, wheel.said()  # each of two jobs may break off, and says where

        proxy.mend()
        wait(lambda: answer(f"{doors.url}/healthz").status_code == 200, "the doors", tell=doors.said)
        stage.stripe.retry_payment(stage.stripe.records["subscriptions"][failing]["latest_invoice"], decline="expired")
        stage.stripe.deliver_hooks()
        wait(lambda: stage.mailbox.messages, "the mail", tell=wheel.said)

        # Alive and useless is told too.
        assert wheel.told(signal.SIGTERM) == 0
        stage.store.run("update runs set started_at = started_at - 200000, finished_at = finished_at - 200000")
        late = answer(f"{doors.url}/healthz")
        assert (late.status_code, late.json()) == (503, {"status": "ill", "database": True, "turning": False})
        assert doors.told(signal.SIGTERM) == 0
    proxy.close()


def test_what_cannot_run_says_so_in_a_sentence_and_what_is_told_to_end_ends(tmp_path: Path) -> None:
    with set_up(tmp_path, "sqlite") as stage:
        stage.customers(1)
        # A vendor that does not answer keeps nobody from ending; and what was begun is done by the next.
        stage.stripe_answers.clear()
        stuck = stage.start("schedule")
        wait(
            lambda: stage.value("select count(*) from cursors where source = 'keap'") == 3, "the pull", tell=stuck.said
        )
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            refused = {
                "cannot be listened on": stage.start("serve", "--port", port),
                "'--port'": stage.start("serve", PORT="many"),
                "--host": stage.start("serve", "--host", "no such host"),
            }
            bad = tmp_path / "bad"
            bad.mkdir()
            (bad / "config.toml").write_text("[workspace]\nname = 3\n[serverr]\n", "utf-8")
            refused["did you mean 'server'?"] = run("-w", str(bad), "schedule", environ={}, among=stage.processes)
            for words, process in refused.items():
                assert process.popen.wait(60) == 2, process.said()
                wait(lambda process=process, words=words: words in process.said(), words, tell=process.said)  # type: ignore[misc]  # mypy infers no lambda with defaults
                assert "Traceback" not in process.said()
        _ends_well(stuck, signal.SIGTERM)
        stage.stripe_answers.set()

        doors = stage.start("serve")
        pulled = "select count(*) from cursors where source = 'stripe' and succeeded_at is not null"
        wait(lambda: stage.value(pulled) == 6, "what the first had begun", tell=doors.said)
        address = urlsplit(doors.url)
        assert address.hostname == "127.0.0.1"
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        connection.putrequest("POST", "/hooks/stripe")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        sent = 0
        try:
            for _ in range(200):
                connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
            status = connection.getresponse().status
        except OSError:
            status = 413  # the server hung up on us in the middle, which is as good
        assert status == 413
        connection.close()
        idle = http.client.HTTPConnection(address.netloc, timeout=30)
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        _ends_well(doors, signal.SIGINT)  # with a connection still open
        idle.close()
