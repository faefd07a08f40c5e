"""The named points: around every commit, call and mail, where a life ends itself. Installed from outside.

A point is named `before commit 17` or `after mail 3`: the number counts from the beginning of the life. Nothing in the
product knows of them: they hang on the seams under it, the store's statements, the adapter of `requests`, and the mail
channel.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from requests.adapters import HTTPAdapter

from tests.crash.page import EVENTS, Page
from worker.integration import Letter, Mailer, ReadyMailer, Sought
from worker.lib.store import Binds, PostgresStore, SqliteStore, Store
from worker.workspace import Workspace

_CHANGES: Final = re.compile(r"\s*(--[^\n]*\n\s*)*(insert|update|delete)\b", re.IGNORECASE)


def named(counts: dict[str, int]) -> list[str]:
    """Every point of a life that had so many of each."""
    return [
        f"{when} {event} {n}" for event in EVENTS for n in range(1, counts[event] + 1) for when in ("before", "after")
    ]


class Trap:
    """Counts what happens, and ends the process at its point, at once and with nothing tidied up."""

    def __init__(self, page: Page, point: str) -> None:
        """`point` "" is nowhere."""
        self._page, self._point = page, point

    @contextmanager
    def around(self, event: str) -> Iterator[None]:
        """What is done in here is one event."""
        n = self._page.count(event)
        self._spring(f"before {event} {n}")
        yield
        self._spring(f"after {event} {n}")

    def _spring(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Hang it on the seams of this process."""
        self._on_store(SqliteStore)
        self._on_store(PostgresStore)
        self._on_calls()
        self._on_mails()

    def _on_store(self, kind: type[Store]) -> None:
        commit, run, rows = kind._commit, kind._run, kind._rows

        def event() -> str:
            return "receipt" if threading.current_thread().name == "receiver" else "commit"

        def committing(store: Any, depth: int) -> None:
            if depth:
                return commit(store, depth)
            with self.around(event()):
                return commit(store, depth)

        def running(store: Any, text: str, binds: Binds) -> Any:
            if store.in_transaction:
                return run(store, text, binds)
            with self.around(event()):
                return run(store, text, binds)

        def reading(store: Any, text: str, binds: Binds) -> Any:
            if store.in_transaction or not _CHANGES.match(text):
                return rows(store, text, binds)
            with self.around(event()):
                return rows(store, text, binds)

        _replace(kind, _commit=committing, _run=running, _rows=reading)

    def _on_calls(self) -> None:
        send = HTTPAdapter.send

        def sending(adapter: Any, request: Any, *args: Any, **more: Any) -> Any:
            with self.around("read" if request.method in {"GET", "HEAD"} else "write"):
                response = send(adapter, request, *args, **more)
                _ = response.content  # the whole answer is here before what comes after it
                return response

        _replace(HTTPAdapter, send=sending)

    def _on_mails(self) -> None:
        plain = Workspace.mailer
        assert isinstance(plain, property)
        make = plain.fget
        assert make is not None

        def mailer(workspace: Workspace) -> Mailer | None:
            found = make(workspace)
            return TrappedMailer(found, self) if found is not None else None

        _replace(Workspace, mailer=property(mailer))


class TrappedMailer:
    """A mail channel around which the process may end."""

    def __init__(self, channel: Mailer, trap: Trap) -> None:
        self._channel, self._trap = channel, trap
        self.deduplicates, self.connections = channel.deduplicates, channel.connections

    def send(self, letter: Letter) -> str:
        with self._trap.around("mail"):
            return self._channel.send(letter)

    @contextmanager
    def ready(self) -> Iterator[Callable[[Letter], str]]:
        """Where the channel can get ready before it is given its letter, the point is at the handing over alone."""
        if not isinstance(self._channel, ReadyMailer):
            yield self.send
            return
        with self._channel.ready() as hand_over:

            def send(letter: Letter) -> str:
                with self._trap.around("mail"):
                    return hand_over(letter)

            yield send

    def find(self, sought: Sought) -> str | None:
        return self._channel.find(sought)

    def close(self) -> None:
        self._channel.close()


def _replace(kind: type, **methods: Any) -> None:
    for name, one in methods.items():
        setattr(kind, name, one)


def mails(points: Sequence[str]) -> list[str]:
    """Those around mails."""
    return [point for point in points if point.split()[1] == "mail"]
