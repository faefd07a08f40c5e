"""No mail is sent twice silently and none is lost: the sender is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.prove.sender import NOON, POINTS, RECOVERIES
from worker.dispatch import outbox
from worker.effects import Mail
from worker.facts import CrmContact, Identity
from worker.intake import records
from worker.lib.clock import DAY, VirtualClock
from worker.lib.store import SqliteStore
from worker.plays.records import set_switch
from worker.sandbox.servers.mailbox import Mailbox

MAILS: Final = 60
ROOT: Final = Path(__file__).resolve().parents[2]
VALUES: Final = {"usage_days": "3", "usage_last_on": "20 December", "usage_last_label": "reports"}


@dataclass(frozen=True)
class Verdict:
    kills: int
    doubled: list[str]
    """Addresses that got a mail twice."""
    lost: list[str]
    """Addresses whose mail is called done and never came, or came and is said to wait."""
    states: Counter[str]


def fill(store: SqliteStore) -> None:
    """A live workspace with many customers who may be written to, and a mail for each."""
    store.migrate()
    set_switch(store, "mode", "live", NOON)
    with store.atomic():
        for number in range(MAILS):
            email = f"c{number}@customer.example"
            customer_id = records.add_customer(store, name=f"C{number}", first_at=NOON - DAY)
            identity_id = records.add_identity(store, Identity("keap", str(number)), customer_id, NOON)
            contact = CrmContact(str(number), email, "SINGLE_OPT_IN", True, (), (), NOON)
            records.put_crm_contact(store, "keap", identity_id, contact, NOON)
            letter = Mail(customer_id, email, f"C{number}", "usage-drop", "usage-drop", "service", VALUES, NOON + DAY)
            assert outbox.put(store, letter, f"mail:{number}", NOON)


def crash(folder: Path, mutant: str, seed: int = 1) -> Verdict:
    """Send, kill, start again until all have gone; then hold the mailbox against the outbox."""
    database, mailbox, dice = folder / "keepwell.db", Mailbox(VirtualClock(NOON)), random.Random(seed)
    store = SqliteStore(database)
    fill(store)
    mailbox.start()
    kills = 0
    try:
        for point in (*POINTS, *["random"] * 5, ""):
            kills += _send(database, mailbox.port, mutant, point, dice) < 0
    finally:
        mailbox.stop()
    came = mailbox.per_recipient()
    states = {row["target"]: row["state"] for row in store.rows("select target, state from effects")}
    noted = {row["email"] for row in store.rows("select email from messages")}
    store.close()
    lost = [
        email for email, state in states.items()
        if (state == "done" and not (came[email] and email in noted)) or (state == "waiting" and came[email])
    ]  # fmt: skip
    return Verdict(kills, [email for email, n in came.items() if n > 1], lost, Counter(states.values()))


def _send(database: Path, port: int, mutant: str, point: str, dice: random.Random) -> int:
    """One life of the sender; gives its exit code, below 0 where it was killed."""
    at = "" if point == "random" else point
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.prove.sender", str(database), str(port), mutant, at],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    if point == "random" and process.stdout.readline():
        time.sleep(dice.uniform(0, 0.6))
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.prove
def test_no_mail_is_sent_twice_or_lost_however_often_the_sender_is_killed(tmp_path: Path) -> None:
    verdict = crash(tmp_path, "real")

    assert verdict.kills >= len(POINTS), "or nothing was proved"
    assert verdict.doubled == []
    assert verdict.lost == []
    assert set(verdict.states) <= {"done", "unknown"}
    assert 1 <= verdict.states["unknown"] <= verdict.kills
    assert verdict.states.total() == MAILS


@pytest.mark.prove
@pytest.mark.parametrize("mutant", sorted(RECOVERIES.keys() - {"real"}))
def test_the_proof_finds_a_sender_that(mutant: str, tmp_path: Path) -> None:
    verdict = crash(tmp_path, mutant)

    assert verdict.doubled or verdict.lost
