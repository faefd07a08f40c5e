"""A business with pretend vendors on loopback, and Keepwell's own commands as processes over it. All in real time."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from tests.conftest import POSTGRES
from worker import controls, setup
from worker.app import create_app
from worker.lib.clock import DAY, SystemClock, VirtualClock, iso
from worker.lib.store import PostgresStore, Store
from worker.plays.records import set_switch
from worker.river import turn
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.web import auth
from worker.workspace import Workspace, open_workspace

PROMISED: Final = 60
"""Seconds within which the effects of an urgent event have left. The only time that is asserted anywhere here."""

_CONFIG: Final = """\
[workspace]
name = "Process Software"
sender_name = "Cleo"
sender_address = "cleo@process.example"
postal_address = "1 Process Lane, London"
quiet_from = "00:00"
quiet_until = "00:00"
database_schema = "{schema}"

[schedule]
pull_every = "1 day"

[server]
threads = 8

[outreach]
check_sender = false
mailer = "smtp"
alerts = "slack"

[integrations.keap]
base_url = "{keap}"
key_env = "KEAP_KEY"

[integrations.stripe]
base_url = "{stripe}"
key_env = "STRIPE_KEY"
webhook_secret_env = "STRIPE_WEBHOOK_SECRET"

[integrations.slack]
url_env = "SLACK_URL"

[integrations.smtp]
host = "127.0.0.1"
port = {smtp}
tls = "none"
"""


@dataclass
class Process:
    """One command of ours, running."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    """What it has said, on either stream."""

    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def url(self) -> str:
        """Where it listens; waits until it says so."""
        found: list[str] = []

        def listens() -> bool:
            found.extend(re.findall(r"listens on (http://\S+)", self.said()))
            return bool(found)

        wait(listens, "the server to listen", tell=self.said)
        return found[0]

    def kill(self) -> None:
        """Without warning, by its own id."""
        os.kill(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def told(self, what: signal.Signals) -> int:
        """Ask it to end, as the system would; gives its exit code."""
        self.popen.send_signal(what)
        code = self.popen.wait(PROMISED)
        self._reader.join()
        return code

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as stream:
            self.lines.extend(line.rstrip() for line in stream)


@dataclass
class Stage:
    """The business and its vendors; processes are started on it and killed at the end if they still run."""

    folder: Path
    environ: dict[str, str]
    keap: PretendKeap
    stripe: PretendStripe
    slack: PretendSlack
    mailbox: Mailbox
    workspace: Workspace
    key: str
    processes: list[Process] = field(default_factory=list)
    stripe_answers: threading.Event = field(default_factory=threading.Event)
    """While it is not set, Stripe takes calls and does not answer."""

    @property
    def store(self) -> Store:
        return self.workspace.store

    def start(self, *words: str, **environ: str) -> Process:
        """Run `keepwell …` on the workspace."""
        return run("-w", str(self.folder), *words, environ={**self.environ, **environ}, among=self.processes)

    def customers(self, n: int) -> list[str]:
        """So many customers of both vendors, who use the product daily; gives their subscriptions."""
        subscriptions, events = [], []
        now = int(time.time())
        self.keap.clock = VirtualClock(now - 200 * DAY)  # they were entered long ago
        self.keap.ensure_field("Account notes", "TEXT")
        for number in range(n):
            email = f"ann{number}@acme{number}.example"
            contact = self.keap.add_contact(
                "Ann",
                "Berger",
                email,
                company=f"Acme {number}",
                custom_fields={"Account notes": "Likes tea"},
                tags=["VIP"],
            )
            customer = self.stripe.add_customer(f"Acme {number}", email, {"keap_id": contact}, now - 200 * DAY)
            subscriptions.append(self.stripe.subscribe(customer, "Team", 4900, at=now - 90 * DAY))
            events += [
                {"event_id": f"{number}-{ago}", "kind": "usage", "at": iso(now - ago * DAY), "email": email}
                for ago in range(1, 60)
            ]
        self.keap.clock = self.workspace.clock
        for start in range(0, len(events), 1000):
            app = create_app(self.workspace)
            told = app.test_client().post(
                "/api/v1/events", json=events[start : start + 1000], headers={"X-API-Key": self.key}
            )
            app.extensions["receiver"].close()
            assert told.status_code == 202, told.text
        return subscriptions

    def go_live(self) -> None:
        """Read and score everybody, try one contact, and let things leave: as an operator does on the first day."""
        turn(self.workspace)
        set_switch(self.store, "canary:keap", "replaces", int(time.time()))  # what `keepwell check --canary` found out
        controls.set_mode(self.workspace, "live")
        controls.release_backfill(self.workspace)
        turn(self.workspace, pulls=False, everyone=True)

    def value(self, question: str) -> Any:
        """Ask the database one thing."""
        return self.store.value(question)


def run(*words: str, environ: dict[str, str], among: list[Process]) -> Process:
    """Run the console script in its own process."""
    script = Path(sysconfig.get_path("scripts")) / "keepwell"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "worker"]
    popen = subprocess.Popen(
        [*command, *words], env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        bufsize=1,
    )  # fmt: skip
    process = Process(popen)
    among.append(process)
    return process


def wait(is_so: Callable[[], object], what: str, *, most: float = PROMISED, tell: Callable[[], str] = str) -> float:
    """Wait until something is so; gives the seconds that took. The bound is the promise's."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < most, f"waited {most:g} seconds for {what}\n{tell()}"
        time.sleep(0.1)
    return time.monotonic() - began


@contextmanager
def set_up(folder: Path, database: str) -> Iterator[Stage]:
    """A stage on `sqlite` or `postgresql`, in a folder of its own below `folder`."""
    folder = folder / database
    folder.mkdir(mode=0o700)
    clock = SystemClock()
    keap, stripe, slack, mailbox = PretendKeap(clock), PretendStripe(clock), PretendSlack(clock), Mailbox(clock)
    answers = threading.Event()
    answers.set()

    def hang() -> None:
        answers.wait(2 * PROMISED)

    stripe.app.before_request(hang)
    for vendor in (keap, stripe, slack):
        vendor.start()
    mailbox.start()
    environ = {
        "KEAP_KEY": keap.key, "STRIPE_KEY": stripe.key, "STRIPE_WEBHOOK_SECRET": "whsec_process",
        "SLACK_URL": slack.webhook_url, "PORT": "0",
    }  # fmt: skip
    if database == "postgresql":
        environ["DATABASE_URL"] = POSTGRES
    text = _CONFIG.format(
        schema=f"test_{secrets.token_hex(8)}", keap=keap.base_url, stripe=stripe.base_url, smtp=mailbox.port
    )
    (folder / "config.toml").write_text(text, "utf-8")
    setup.migrate(folder, environ)
    workspace = open_workspace(folder, environ, clock)
    key = auth.create_key(workspace.store, "product", int(clock.now()))
    stage = Stage(folder, environ, keap, stripe, slack, mailbox, workspace, key, stripe_answers=answers)
    try:
        yield stage
    finally:
        answers.set()
        for process in stage.processes:
            if process.popen.poll() is None:
                process.kill()
        if isinstance(workspace.store, PostgresStore):
            workspace.store.drop()
        workspace.close()
        for vendor in (keap, stripe, slack):
            vendor.stop()
        mailbox.stop()


class Proxy:
    """Stands between Keepwell and PostgreSQL, and can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._pairs: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones until it is mended."""
        self._cut = True
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                if self._cut:
                    here.close()
                    continue
                there = socket.create_connection(self._to)
                self._pairs += [here, there]
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def answer(url: str, **more: Any) -> requests.Response:
    """Ask a door."""
    return requests.get(url, timeout=30, **more)
