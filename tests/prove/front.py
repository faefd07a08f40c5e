"""The front door as a process of its own, to be killed: `python -m tests.prove.front DATABASE RECEIVER`.

Prints the port it listens on. RECEIVER is one of RECEIVERS: the real one, or a mutant that a proof must find out.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flask import Flask
from waitress.server import create_server

from tests import pretend
from worker.intake.receive import Received, Receiver
from worker.integration import Receipt
from worker.lib.clock import SystemClock
from worker.lib.ids import new_id
from worker.lib.store import SqliteStore
from worker.registry import Connected
from worker.web.hooks import hooks

COMMIT_TAKES: Final = 0.003
"""Seconds more than on this disk: a slow disk is where waiting for it matters."""


class SlowDisk(SqliteStore):
    """A database on a disk that takes its time."""

    def _commit(self, depth: int) -> None:
        if depth == 0:
            time.sleep(COMMIT_TAKES)
        super()._commit(depth)


class AcknowledgesBeforeTheCommit(Receiver):
    """Hands the delivery over and does not wait: as with a queue in memory."""

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        threading.Thread(target=super().receive, args=(source, stream, receipt), daemon=True).start()
        return Received(new_id("dlv"), duplicate=False)


class CommitsNowAndThen(Receiver):
    """Gathers a few deliveries before it writes them, and acknowledges each at once."""

    def __init__(self, store: SqliteStore, clock: SystemClock) -> None:
        super().__init__(store, clock)
        self._gathered: list[tuple[str, str, Receipt]] = []
        self._gathering = threading.Lock()

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        with self._gathering:
            self._gathered.append((source, stream, receipt))
            full, self._gathered = (self._gathered, []) if len(self._gathered) >= 10 else ([], self._gathered)
        for one in full:
            super().receive(*one)
        return Received(new_id("dlv"), duplicate=False)


RECEIVERS: Final[Mapping[str, type[Receiver]]] = {
    "real": Receiver,
    "acknowledges before the commit": AcknowledgesBeforeTheCommit,
    "commits now and then": CommitsNowAndThen,
}


def main(database: str, receiver: str) -> None:
    """Serve until killed."""
    store, clock = SlowDisk(Path(database)), SystemClock()
    store.migrate()
    app = Flask("front")
    connected = {"posthorn": Connected(pretend.INTEGRATION, pretend.SETTINGS, None)}
    app.register_blueprint(hooks(RECEIVERS[receiver](store, clock), connected, clock, lambda: None))
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    sys.stdout.write(f"{server.effective_port}\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
