"""Wrong designs, on purpose: the proof must find each out, or it proves nothing.

The first three are the usual ways to lose or double a mail. They are built at the seam of the mail channel and of the
table, so that they stay what they are however the lane is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from worker import nightly
from worker.intake.receive import Received, Receiver
from worker.integration import Letter, Mailer, Receipt, Sought
from worker.lib.ids import new_id
from worker.lib.store import Store
from worker.workspace import Workspace


class Delayed:
    """A channel that says of a letter that it has left, and lets it leave later: what is marked has not been sent."""

    def __init__(self, channel: Mailer, most: int) -> None:
        """The letters leave when more than `most` wait, and at the end."""
        self._channel, self._most, self._lock = channel, most, threading.Lock()
        self._waiting: list[Letter] = []
        self.deduplicates, self.connections = channel.deduplicates, channel.connections

    def send(self, letter: Letter) -> str:
        with self._lock:
            if len(self._waiting) >= self._most:
                self._empty()
            self._waiting.append(letter)
        return "marked"

    def find(self, sought: Sought) -> str | None:
        return self._channel.find(sought)

    def close(self) -> None:
        with self._lock:
            self._empty()
        self._channel.close()

    def _empty(self) -> None:
        while self._waiting:
            self._channel.send(self._waiting.pop(0))


def _delay(most: int) -> None:
    plain = Workspace.mailer
    assert isinstance(plain, property)
    make = plain.fget
    assert make is not None

    def mailer(workspace: Workspace) -> Mailer | None:
        found = make(workspace)
        return Delayed(found, most) if found is not None else None

    _put(Workspace, mailer=property(mailer))


def sends_then_marks(store: Store) -> None:
    """Nothing that outlives a crash says that a mail was being sent: it is simply sent again."""
    store.run("update effects set state = 'waiting' where state = 'sending' and lane = 'mail'")


def marks_then_sends(store: Store) -> None:
    """Each mail is marked as sent, then sent."""
    _delay(1)


def moves_the_cursor_before_sending(store: Store) -> None:
    """A batch is fetched and the bookmark moved behind it; then it is sent, one after the other."""
    _delay(1000)


def believes_what_was_begun(store: Store) -> None:
    """What was begun in the CRM counts as written, and no night mends it."""
    vars(nightly).update(look=lambda workspace: nightly.Night())
    store.run("update effects set state = 'done' where state = 'sending' and lane = 'crm'")


def acknowledges_before_the_commit(store: Store) -> None:
    """A webhook is handed to a queue in memory, which is emptied soon, and acknowledged."""
    receive = Receiver.receive

    def hand_over(receiver: Receiver, source: str, stream: str, receipt: Receipt) -> Received:
        later = threading.Timer(0.01, receive, (receiver, source, stream, receipt))
        later.daemon = True
        later.start()
        return Received(new_id("dlv"), duplicate=False)

    _put(Receiver, receive=hand_over)


MUTANTS: Final[Mapping[str, Callable[[Store], None]]] = {
    "send then mark": sends_then_marks,
    "mark then send": marks_then_sends,
    "cursor before send": moves_the_cursor_before_sending,
    "believe what was begun": believes_what_was_begun,
    "acknowledge before the commit": acknowledges_before_the_commit,
}


def _put(kind: type, **methods: Any) -> None:
    for name, one in methods.items():
        setattr(kind, name, one)
