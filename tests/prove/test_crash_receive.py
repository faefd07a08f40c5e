"""An acknowledged webhook is never lost: the server is killed again and again while vendors send."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests import pretend
from tests.prove.front import RECEIVERS

KILLS: Final = 20
SENDERS: Final = 6
ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass
class Vendor:
    """Sends webhooks from several threads to wherever the server is, each again until it is acknowledged."""

    port: int = 0
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    """External id -> body, as the server has confirmed it."""
    sent: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def sending(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._send_on) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _send_on(self) -> None:
        connection, port = None, 0
        while not self._ended.is_set():
            with self._lock:
                number = next(self._numbers)
            body = pretend.event(number)
            while not self._ended.is_set():
                if connection is None or port != self.port:
                    port = self.port
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                if self._post(connection, body):
                    self.acknowledged[f"evt_{number}"] = body
                    break
                connection.close()
                self._ended.wait(0.01)
        if connection is not None:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        signed = pretend.sign(body, int(time.time()))
        with self._lock:
            self.sent += 1
        try:
            connection.request("POST", "/hooks/posthorn", body, dict(signed.headers))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False  # nothing was confirmed, whatever may have happened
        return answer.status == 202


@dataclass(frozen=True)
class Verdict:
    acknowledged: int
    sent: int
    lost: list[str]
    """What was acknowledged and is not there as it was sent."""
    doubled: int
    integrity: list[str]
    """What `pragma integrity_check` said after each kill."""


@contextmanager
def _server(database: Path, receiver: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server, killed without warning at the end, by its own process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.prove.front", str(database), receiver],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def crash(folder: Path, receiver: str, kills: int = KILLS, seed: int = 1) -> Verdict:
    """Serve, kill at a random moment, start again; then hold what was acknowledged against what is stored."""
    dice, vendor, integrity = random.Random(seed), Vendor(), []
    database = folder / "keepwell.db"
    with vendor.sending():
        for _ in range(kills):
            with _server(database, receiver) as (_, port):
                already = len(vendor.acknowledged)
                vendor.port = port
                deadline = time.monotonic() + 10
                while len(vendor.acknowledged) == already and time.monotonic() < deadline:
                    time.sleep(0.001)
                time.sleep(dice.uniform(0, 0.15))
            integrity.append(_asked(database, "pragma integrity_check")[0][0])
    stored = _asked(database, "select external_id, body from deliveries")
    found = {external_id: body.encode() for external_id, body in stored}
    lost = sorted(name for name, body in vendor.acknowledged.items() if found.get(name) != body)
    return Verdict(len(vendor.acknowledged), vendor.sent, lost, len(stored) - len(found), integrity)


def _asked(database: Path, question: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


@pytest.mark.prove
def test_every_acknowledged_webhook_is_stored_once_however_often_the_server_is_killed(tmp_path: Path) -> None:
    verdict = crash(tmp_path, "real")

    assert verdict.acknowledged > 10 * KILLS, "or nothing was proved"
    assert verdict.lost == []
    assert verdict.doubled == 0
    assert verdict.integrity == ["ok"] * KILLS


@pytest.mark.prove
@pytest.mark.parametrize("mutant", sorted(RECEIVERS.keys() - {"real"}))
def test_the_proof_finds_a_receiver_that(mutant: str, tmp_path: Path) -> None:
    verdict = crash(tmp_path, mutant, kills=6)

    assert verdict.lost
