"""The mail lane as a process of its own, to be killed: `python -m tests.prove.sender DATABASE SMTP_PORT MUTANT POINT`.

It sends what waits and ends. POINT is where it kills itself, "" for nowhere: `before` the letter leaves, `after` the
server has it and nothing is noted yet, or `noted`, when the outcome is committed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from integrations.smtp import SmtpMailer, SmtpSettings
from worker.dispatch import mail, outbox
from worker.dispatch.letters import Sender, Templates
from worker.integration import Letter, Sought
from worker.lib import assets
from worker.lib.clock import VirtualClock
from worker.lib.store import SqliteStore, Store
from worker.plays.arbiter import Rules

NOON: Final = 1_767_268_800
POINTS: Final = ("before", "after", "noted")
SENDER: Final = Sender("Engines", "Ann", "ann@engines.example", "", "1 Lane", "https://keepwell.example")


def die() -> None:
    """At once, and with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killed:
    """A mail channel around which the process dies with the third letter."""

    deduplicates = False
    connections = 1

    def __init__(self, channel: SmtpMailer, point: str) -> None:
        self._channel, self._point, self._letters = channel, point, 0

    def send(self, letter: Letter) -> str:
        self._letters += 1
        due = self._letters == 3
        if due and self._point == "before":
            die()
        reference = self._channel.send(letter)
        if due and self._point == "after":
            die()
        if self._letters == 4 and self._point == "noted":
            die()
        return reference

    def find(self, sought: Sought) -> str | None:
        return self._channel.find(sought)

    def close(self) -> None:
        self._channel.close()


def marks_after_sending(store: Store) -> None:
    """A mutant: what was interrupted is simply sent again, as if it had never been taken."""
    store.run("update effects set state = 'waiting' where state = 'sending'")


def forgets(store: Store) -> None:
    """A mutant: what was interrupted is given up without a word."""
    store.run("update effects set state = 'done' where state = 'sending'")


def recovers(store: Store) -> None:
    """The real one. Nobody else is at work here, so nothing in `sending` is anybody's."""
    outbox.recover(store, NOON, mail_deduplicates=False, older_than=0)


RECOVERIES: Final[Mapping[str, Callable[[Store], None]]] = {
    "real": recovers, "marks after sending": marks_after_sending, "forgets": forgets,
}  # fmt: skip


def main(database: str, port: str, mutant: str, point: str) -> None:
    """Send what waits."""
    store, clock = SqliteStore(Path(database)), VirtualClock(NOON)
    RECOVERIES[mutant](store)
    settings = SmtpSettings.model_validate({"host": "127.0.0.1", "port": int(port), "tls": "none"})
    channel = Killed(SmtpMailer(settings, clock), point)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    mail.send_waiting(
        store, channel, Templates([assets.folder("templates") / "email"]), SENDER, Rules(quiet_from=0, quiet_until=0),
        clock, time_zone="UTC", sign=lambda effect_id: effect_id, reread=lambda addresses: True,
    )  # fmt: skip
    channel.close()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
