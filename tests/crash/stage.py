"""The stage of the crash test: vendors that live here and outlive every kill, a day that begins again as often as wanted,
and lives of the worker that are ended at a point or at a moment."""

from __future__ import annotations

import copy
import json
import os
import random
import secrets
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import requests

from tests.conftest import POSTGRES
from tests.crash import business
from tests.crash.channels import DEDUPLICATES, PretendPost
from tests.crash.page import Page
from tests.crash.worker import Order
from worker import controls, setup
from worker.app import create_app
from worker.dispatch.outbox import SETTLED_AFTER
from worker.lib.clock import DAY, HOUR
from worker.lib.store import PostgresStore, Store, open_store
from worker.plays.records import set_switch
from worker.river import turn
from worker.sandbox.servers.base import Hook, PretendVendor
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.mailbox import Mailbox
from worker.sandbox.servers.slack import PretendSlack
from worker.sandbox.servers.stripe import PretendStripe
from worker.web import auth
from worker.workspace import open_workspace

ROOT: Final = Path(__file__).resolve().parents[2]
AWAY: Final = SETTLED_AFTER + 10
"""Seconds between a kill and the next life: more than a lease holds, and more than the longest time-out of a call."""
PATIENCE: Final = 90.0
"""Seconds, of the machine's own clock, for anything to come about."""


class Nursery:
    """The process that forks lives."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def begin(self, order: Order) -> int:
        """Begin a life; gives its process id, which stays its own until `end`."""
        return int(self._say(json.dumps(asdict(order))))

    def end(self) -> int:
        """Wait for the end of the life; gives its exit code, below 0 where a signal ended it."""
        return int(self._say(""))

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate(timeout=30)


@dataclass(frozen=True)
class Shot:
    """How a life ends: at a named point, else after so many seconds, else by itself."""

    point: str = ""
    after: float | None = None


class Deliveries:
    """Vendors and product, who send to the doors until each thing is acknowledged, whoever is killed meanwhile."""

    def __init__(self, port: int, hooks: list[Hook], batches: list[list[dict[str, Any]]], key: str, page: Page) -> None:
        self._port, self._key, self._page = port, key, page
        self._waiting: list[Hook | list[dict[str, Any]]] = [*hooks, *batches]
        self._lock, self._left = threading.Lock(), len(self._waiting)
        self.acknowledged: list[bytes] = []
        """The bodies of what was."""
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send_on, daemon=True) for _ in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send_on(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while True:
                with self._lock:
                    if not self._waiting:
                        return
                    one = self._waiting.pop(0)
                while not self._arrives(session, one):
                    if self._ended.wait(0.003):
                        return
                with self._lock:
                    self._left -= 1
                    self._page.over = not self._left

    def _arrives(self, session: requests.Session, one: Hook | list[dict[str, Any]]) -> bool:
        if isinstance(one, Hook):
            path, (body, headers) = "/hooks/stripe", one.build(int(self._page.now()))
        else:
            path, body, headers = "/api/v1/events", json.dumps(one).encode(), {"X-API-Key": self._key}
        headers = {"Content-Type": "application/json", **headers}
        try:
            answer = session.post(f"http://127.0.0.1:{self._port}{path}", data=body, headers=headers, timeout=30)
        except requests.RequestException:
            return False  # nothing was confirmed, whatever may have happened
        if answer.status_code != 202:
            assert answer.status_code in {500, 503}, answer.text
            return False
        self.acknowledged.append(body)
        return True


@dataclass
class Stage:
    """A workspace, its vendors, and the morning of the day as it can be had again."""

    folder: Path
    environ: dict[str, str]
    page: Page
    port: int
    nursery: Nursery
    keap: PretendKeap
    stripe: PretendStripe
    slack: PretendSlack
    mailbox: Mailbox
    post: PretendPost
    channel: str
    """One of those in tests/crash/channels.py."""
    schema: str
    customers: list[business.Customer] = field(default_factory=list)
    key: str = ""
    ours: dict[str, Any] = field(default_factory=dict)
    """What the config calls our tags and fields."""
    _morning: dict[str, dict[str, Any]] = field(default_factory=dict)

    # -- the morning --------------------------------------------------------------------------------------------------

    def prepare(self, seed: int, *, first: bool) -> None:
        """Go live yesterday, let today's things happen, and keep how everything stands.

        With `first` nothing has been written to the CRM yet: it is today that our tags and fields are made there.
        """
        self.page.set(business.YESTERDAY - 300)
        self.customers = business.enter(self.keap, self.stripe, seed)
        setup.migrate(self.folder, self.environ)
        workspace = open_workspace(self.folder, self.environ, self.page)
        self.key = auth.create_key(workspace.store, "product", int(self.page.now()))
        app = create_app(workspace)
        told = app.test_client().post(
            "/api/v1/events", json=business.past(self.customers), headers={"X-API-Key": self.key}
        )
        app.extensions["receiver"].close()
        assert told.status_code == 202, told.text
        self.page.set(business.YESTERDAY)
        turn(workspace)
        set_switch(workspace.store, "canary:keap", "replaces", int(self.page.now()))
        controls.set_mode(workspace, "live")
        if not first:
            done = turn(workspace, pulls=False, everyone=True)
            assert done.written.contacts == len(self.customers), done
        self.ours = {"tags": set(workspace.config.crm.tags.values()), "fields": dict(workspace.config.crm.fields)}
        workspace.close()
        self.page.set(business.TODAY - HOUR)
        self.stripe.hook_to(f"http://127.0.0.1:{self.port}/hooks/stripe", self.environ["STRIPE_WEBHOOK_SECRET"])
        business.happen(self.customers, self.keap, self.stripe)
        self.page.set(business.TODAY)
        self._keep()

    def _vendors(self) -> dict[str, Any]:
        return {
            "keap": self.keap, "stripe": self.stripe, "slack": self.slack, "mailbox": self.mailbox, "post": self.post,
        }  # fmt: skip

    def _keep(self) -> None:
        for name, vendor in self._vendors().items():
            self._morning[name] = _state(vendor)
        if self.schema:
            self._copy(self.schema, f"{self.schema}_m", fresh=True)
        else:
            shutil.copyfile(self.folder / "keepwell.db", self.folder / "morning.db")

    def begin_again(self) -> None:
        """It is the morning of the day."""
        for name, vendor in self._vendors().items():
            _put_back(vendor, self._morning[name])
        if self.schema:
            self._copy(f"{self.schema}_m", self.schema)
        else:
            for suffix in ("-wal", "-shm"):
                Path(f"{self.folder / 'keepwell.db'}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(self.folder / "morning.db", self.folder / "keepwell.db")
        (self.folder / "life.log").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "snapshots", ignore_errors=True)
        self.page.set(business.TODAY)
        self.page.over = False

    def _copy(self, from_: str, to: str, *, fresh: bool = False) -> None:
        """All rows of one schema, in the order in which the tables were made: what is referred to comes first."""
        with self.opened() as store, store.atomic():
            tables = [row["relname"] for row in store.rows(_TABLES, {"schema": self.schema})]
            if fresh:
                store.run(f"create schema {to}")
                for table in tables:
                    store.run(f"create table {to}.{table} (like {from_}.{table})")
            emptied = [f"delete from {to}.{table}" for table in reversed(tables)]
            filled = [f"insert into {to}.{table} select * from {from_}.{table}" for table in tables]
            store.run(";".join([*emptied, *filled]))  # one word to the server instead of a hundred

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The database, as somebody who looks from outside."""
        url = self.environ.get("DATABASE_URL") or f"sqlite:///{self.folder / 'keepwell.db'}"
        store = open_store(url, schema=self.schema or "keepwell")
        try:
            yield store
        finally:
            store.close()

    # -- the day ------------------------------------------------------------------------------------------------------

    def deliveries(self) -> Deliveries:
        """What is sent to the doors today: Stripe's webhooks, and what the product tells."""
        return Deliveries(self.port, [*self.stripe._waiting], [business.today(self.customers)], self.key, self.page)

    def live(self, shot: Shot, *, mutant: str = "", patient: bool = False) -> bool:
        """One life; whether it was killed. Afterwards nothing that it began is under way any more."""
        self.page.begin_life()
        order = Order(
            str(self.folder), self.environ, self.port, shot.point, mutant,
            self.channel, self.post.base_url, patient,
        )  # fmt: skip
        pid = self.nursery.begin(order)
        if shot.after is not None:
            time.sleep(shot.after)
            os.kill(pid, signal.SIGKILL)
        code = self.nursery.end()
        if code not in {0, -signal.SIGKILL}:
            raise AssertionError(f"a life ended with {code}:\n{self.log()}")
        if code:
            self._settle()
            self.page.sleep(AWAY)
        return code != 0

    def _settle(self) -> None:
        """Wait until the vendors and the database are through with what the dead had sent: as its time-outs would."""
        for vendor in (self.keap, self.stripe, self.slack, self.post):
            _at_rest(vendor)
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", self.mailbox.port, timeout=10) as smtp:
            smtp.noop()
        if self.schema:
            with self.opened() as store:
                began = time.monotonic()
                while store.value(_SESSIONS, {"name": self.folder.name}):
                    assert time.monotonic() - began < PATIENCE, "the server still holds a session of the dead"
                    time.sleep(0.002)

    def log(self) -> str:
        """What lives of today had to say."""
        path = self.folder / "life.log"
        return path.read_text("utf-8") if path.exists() else ""


_TABLES: Final = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and c.relkind = 'r' and c.relname <> 'migrations' order by c.oid
"""
_SESSIONS: Final = "select count(*) as n from pg_stat_activity where application_name = :name"


def _state(vendor: Any) -> dict[str, Any]:
    """All that a vendor remembers; what it is made of (doors, locks, connections) is left."""
    kept = {}
    for name, value in vars(vendor).items():
        if name not in {"app", "lock", "clock", "_server", "_session", "_controller", "base_url", "port"}:
            with suppress(TypeError):  # a lock, a thread
                kept[name] = copy.deepcopy(value)
    return kept


def _put_back(vendor: Any, state: Mapping[str, Any]) -> None:
    vars(vendor).update(copy.deepcopy(dict(state)))


def _at_rest(vendor: PretendVendor) -> None:
    """Until every request that had reached the vendor is answered: its queue is one, and ours is the last in it."""
    with suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        session.get(f"{vendor.base_url}/at-rest", timeout=10)
    began = time.monotonic()
    while vendor.app.extensions["under way"]:
        assert time.monotonic() - began < PATIENCE, f"{vendor.name} is not through"
        time.sleep(0.001)


def _watch(vendor: PretendVendor) -> None:
    """Count the requests that are under way."""
    under_way: set[int] = set()
    vendor.app.extensions["under way"] = under_way
    inner = vendor.app.wsgi_app

    def serve(environ: Any, start: Any) -> Any:
        mark = id(environ)
        under_way.add(mark)
        try:
            return inner(environ, start)
        finally:
            under_way.discard(mark)

    vendor.app.wsgi_app = serve  # type: ignore[method-assign, assignment]  # as Flask's own page does it


def _free_port() -> int:
    """A port below those that the system hands out by itself, so that it is still free at the next life."""
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(15_000, 30_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


@contextmanager
def set_up(
    folder: Path, database: str, nursery: Nursery, *, channel: str, seed: int = 1, first: bool = False
) -> Iterator[Stage]:
    """A stage on `sqlite` or `postgresql`, with a mail channel, on the morning of the day."""
    schema = f"crash_{secrets.token_hex(8)}" if database == "postgresql" else ""
    folder = folder / f"crash-{secrets.token_hex(6)}"
    folder.mkdir(mode=0o700, parents=True)
    page = Page(folder / "page")
    page.set(business.TODAY - 200 * DAY)
    keap, stripe, slack, post = (
        PretendKeap(page),
        PretendStripe(page),
        PretendSlack(page),
        PretendPost(page, deduplicates=channel == DEDUPLICATES),
    )
    mailbox = Mailbox(page)
    for vendor in (keap, stripe, slack, post):
        vendor.start()
        _watch(vendor)
    mailbox.start()
    environ = {
        "KEAP_KEY": keap.key, "STRIPE_KEY": stripe.key, "STRIPE_WEBHOOK_SECRET": "whsec_crash",
        "SLACK_URL": slack.webhook_url, **({"DATABASE_URL": POSTGRES} if schema else {}),
    }  # fmt: skip
    text = business.CONFIG.format(
        schema=schema or "keepwell", keap=keap.base_url, stripe=stripe.base_url, smtp=mailbox.port
    )
    (folder / "config.toml").write_text(text, "utf-8")
    (folder / "card.toml").write_text(business.CARD, "utf-8")
    stage = Stage(folder, environ, page, _free_port(), nursery, keap, stripe, slack, mailbox, post, channel, schema)
    try:
        stage.prepare(seed, first=first)
        yield stage
    finally:
        if schema:
            with stage.opened() as store:
                assert isinstance(store, PostgresStore)
                store.run(f"drop schema if exists {schema}_m cascade")
                store.drop()
        for vendor in (keap, stripe, slack, post):
            vendor.stop()
        mailbox.stop()
