"""How many webhooks a second the front door takes in durably: `python -m bench.hooks [--seconds 1] [--rounds 15]`.

Waitress with 32 threads serves the same application with three receivers, each in a process of its own, while this
process keeps 32 connections busy with signed bodies of 1.3 kB. All variants run one after the other in every round, each
round in another order, and the ratios are taken within a round, so that a machine that slows down slows all of them; what
is printed is the median over the rounds, with the lowest and the highest beside it.

Every server has one core to itself, and the clients another. Python runs one thread at a time, and 32 threads that are
all awake on two cores spend more time handing that right over than working: not pinned, `nothing` came down from 2,100 to
750 requests a second, at 1.6 instead of 0.46 ms of processor time each. `ours` hardly suffers, since its threads sleep
until their batch is on the disk, and so looked faster than storing nothing at all. A peer is measured at its best.

`core` is the share of its core that a server got: where `nothing` has much less than 1, others were using the machine.

- `nothing` verifies and answers without storing: what the web server can do at most
- `plain` stores with one commit a request, behind one lock: what is left to gain
- `ours` is `worker.intake.receive.Receiver`

`+4 ms` makes every commit take 4 ms more, as on the disks that clouds rent out.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import logging
import math
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from flask import Flask
from pydantic import Field, SecretStr
from waitress.server import create_server

from worker.intake.receive import Received, Receiver
from worker.integration import Incoming, Integration, Receipt, Refused, Settings
from worker.lib.clock import Clock, SystemClock, seconds
from worker.lib.ids import new_id
from worker.lib.signing import fresh, signature_matches
from worker.lib.store import SqliteStore, Store
from worker.registry import Connected
from worker.web.hooks import hooks

THREADS: Final = 32
CLIENTS: Final = 32
SLOWER_BY: Final = 0.004
SECRET: Final = "whsec_bench"
FILLING: Final = "x" * 1_200


# -- the application under test ---------------------------------------------------------------------------------------


class BenchSettings(Settings):
    secret: SecretStr = Field(description="Signs.")


def verify(incoming: Incoming, settings: Any, now: int) -> Receipt:
    """What Stripe's verify has to do: a timestamp, an HMAC, and the event's id out of the JSON."""
    stamp, _, digest = incoming.headers.get("x-signature", "").partition(",")
    secret = settings.secret.get_secret_value()
    if not (
        stamp.isdigit()
        and signature_matches([secret], f"{stamp}.".encode() + incoming.body, [digest])
        and fresh(int(stamp), now)
    ):
        raise Refused(401, "The signature does not match.", "forged")
    return Receipt(json.loads(incoming.body)["id"], incoming.body.decode())


class SlowDisk(SqliteStore):
    """A disk on which every commit takes 4 ms more."""

    def _commit(self, depth: int) -> None:
        if depth == 0:
            time.sleep(SLOWER_BY)
        super()._commit(depth)


class Nothing(Receiver):
    """Stores nothing."""

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        return Received(new_id("dlv"), duplicate=False)


class Plain(Receiver):
    """One commit a request. The lock spares the writers SQLite's sleeping wait for each other, which is slower."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        self._lock = threading.Lock()

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        delivery_id, now = new_id("dlv"), seconds(self._clock)
        binds = {
            "id": delivery_id, "source": source, "stream": stream, "external_id": receipt.external_id,
            "body_hash": hashlib.sha256(receipt.body.encode()).hexdigest(), "body": receipt.body, "received_at": now,
        }  # fmt: skip
        with self._lock, self._store.atomic():
            stored = self._store.run(
                "insert into deliveries (id, source, stream, external_id, body_hash, body, received_at)"
                " values (:id, :source, :stream, :external_id, :body_hash, :body, :received_at)"
                " on conflict (source, stream, external_id, body_hash) do nothing",
                binds,
            )
            return Received(delivery_id, duplicate=not stored)


VARIANTS: Final[Mapping[str, tuple[type[Receiver], type[SqliteStore]]]] = {
    "nothing": (Nothing, SqliteStore),
    "plain": (Plain, SqliteStore),
    "ours": (Receiver, SqliteStore),
    "plain +4 ms": (Plain, SlowDisk),
    "ours +4 ms": (Receiver, SlowDisk),
}


def serve(variant: str, database: Path) -> None:
    """Serve one variant until the process is ended; prints the port."""
    _keep_to_core(0)
    # With as many clients as threads a request waits now and then; a line about each would be measured too.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    receives, stores = VARIANTS[variant]
    store, clock = stores(database), SystemClock()
    store.migrate()
    integration = Integration("bench", "Bench", "events in", BenchSettings, verify=verify)
    connected = {"bench": Connected(integration, BenchSettings(secret=SecretStr(SECRET)), None)}
    app = Flask("bench")
    app.register_blueprint(hooks(receives(store, clock), connected, clock, lambda: None))
    server = create_server(app, host="127.0.0.1", port=0, threads=THREADS)
    sys.stdout.write(f"{server.effective_port}\n")
    sys.stdout.flush()
    server.run()


# -- the vendors ------------------------------------------------------------------------------------------------------


@dataclass
class Client:
    """One connection that is kept, with one request under way at a time."""

    connection: socket.socket
    sent_at: float = 0.0
    answer: bytes = b""


@dataclass
class Load:
    """What the clients met."""

    accepted: int = 0
    others: int = 0
    took: list[float] = field(default_factory=list)
    """Seconds from request to answer."""


def load(port: int, duration: float) -> Load:
    """Keep 32 connections busy for so many seconds, from one thread."""
    met, numbers = Load(), iter(range(10**9))
    chosen = selectors.DefaultSelector()
    for _ in range(CLIENTS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chosen.register(connection, selectors.EVENT_READ, client := Client(connection))
        _send(client, next(numbers))
    end = time.perf_counter() + duration
    while (now := time.perf_counter()) < end:
        for key, _ in chosen.select(timeout=end - now):
            client = key.data
            client.answer += client.connection.recv(65_536)
            if _whole(client.answer):
                met.took.append(time.perf_counter() - client.sent_at)
                accepted = client.answer.startswith(b"HTTP/1.1 202 ")
                met.accepted += accepted
                met.others += not accepted
                _send(client, next(numbers))
    for key in list(chosen.get_map().values()):
        key.data.connection.close()
    return met


def _send(client: Client, number: int) -> None:
    body = json.dumps({"id": f"evt_{time.time_ns()}_{number}", "type": "login", "filling": FILLING}).encode()
    stamp = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    head = (
        "POST /hooks/bench HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Signature: {stamp},{digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client.answer, client.sent_at = b"", time.perf_counter()
    client.connection.sendall(head.encode() + body)


def _whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.split(b":")[1])


def _keep_to_core(place: int) -> None:
    """Run on one core only, where the system lets us choose and there are two."""
    if sys.platform == "linux" and len(cores := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, {cores[place]})


def _hold_apart(servers: list[int]) -> None:
    """Raises AssertionError where the clients may run on the core of a server though there is another."""
    if sys.platform == "linux" and (os.cpu_count() or 1) > 1:
        ours = os.sched_getaffinity(0)
        assert all(ours.isdisjoint(os.sched_getaffinity(pid)) for pid in servers), "clients and servers share a core"


def _processor_time(pid: int) -> float:
    """Seconds that a process has used; nan where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- rounds -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One variant in one round."""

    accepted: int
    per_second: float
    p99: float
    """Seconds."""
    work: float
    """Seconds of processor time for one request."""
    core: float
    """The share of its core that the server got."""


def measure(rounds: int, duration: float) -> list[dict[str, Measured]]:
    """Load every variant once a round, for so many seconds. Raises AssertionError if one lost what it acknowledged."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        databases = {name: Path(folder) / f"{place}.db" for place, name in enumerate(VARIANTS)}
        servers = {name: stack.enter_context(_served(name, database)) for name, database in databases.items()}
        _keep_to_core(-1)  # not sooner: the servers would inherit it
        _hold_apart([pid for pid, _ in servers.values()])
        accepted = {name: load(port, 0.5).accepted for name, (_, port) in servers.items()}
        found = []
        for order in turns(rounds):
            found.append(taken := {name: _slice(name, *servers[name], duration) for name in order})
            for name, one in taken.items():
                accepted[name] += one.accepted
        for name, database in databases.items():
            stored = _stored(database)
            assert name == "nothing" or stored >= accepted[name], (
                f"{name}: {accepted[name]} acknowledged, {stored} stored"
            )
    return found


def turns(rounds: int) -> list[list[str]]:
    """The order of the variants in each round: nobody always follows the same neighbour's disk writes."""
    names = list(VARIANTS)
    return [names[start % len(names) :] + names[: start % len(names)] for start in range(rounds)]


def _slice(variant: str, pid: int, port: int, duration: float) -> Measured:
    before = _processor_time(pid)
    met = load(port, duration)
    used = _processor_time(pid) - before
    assert met.others == 0, f"{variant}: {met.others} were not accepted"
    p99 = sorted(met.took)[int(len(met.took) * 0.99)]
    return Measured(met.accepted, met.accepted / duration, p99, used / met.accepted, used / duration)


def _stored(database: Path) -> int:
    store = SqliteStore(database)
    try:
        return int(store.value("select count(*) from deliveries"))
    finally:
        store.close()


@contextmanager
def _served(variant: str, database: Path) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its process id and its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.hooks", "--serve", variant, str(database)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield server.pid, int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


RATIOS: Final = (
    ("ours / nothing, requests a second", "ours", "nothing", "per_second", "≥", 0.6),
    ("ours / plain, requests a second", "ours", "plain", "per_second", "≥", 1.15),
    ("ours / plain, requests a second, +4 ms", "ours +4 ms", "plain +4 ms", "per_second", "≥", 3.0),
    ("ours / nothing, p99", "ours", "nothing", "p99", "≤", 2.0),
)
"""What is said, of what, over what, in which figure, and the aim."""

FIGURES: Final = (
    ("requests a second", "per_second", 1, 0),
    ("p99 in ms", "p99", 1_000, 1),
    ("processor time in ms", "work", 1_000, 2),
    ("core", "core", 1, 2),
)
"""What is said of each variant, in which figure, times what, with how many digits."""


def report(rounds: list[dict[str, Measured]]) -> str:
    """The figures of each variant and the ratios beside their aims, as text."""
    lines = [f"{'':<42}{'median':>9}{'lowest':>9}{'highest':>9}"]
    for variant in VARIANTS:
        for words, figure, scale, digits in FIGURES:
            found = [getattr(one[variant], figure) * scale for one in rounds]
            lines.append(_line(f"{variant}, {words}", found, digits))
    lines.append("")
    for words, over, under, figure, sign, aim in RATIOS:
        found = [getattr(one[over], figure) / getattr(one[under], figure) for one in rounds]
        met = median(found) >= aim if sign == "≥" else median(found) <= aim
        lines.append(f"{_line(words, found, 2)}   aim {sign} {aim}{'' if met else '  missed'}")
    return "\n".join(lines)


def _line(words: str, found: list[float], digits: int) -> str:
    return f"{words:<42}" + "".join(f"{value:>9.{digits}f}" for value in (median(found), min(found), max(found)))


def main() -> None:
    """Read the arguments and run."""
    wants = argparse.ArgumentParser(
        prog="python -m bench.hooks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    wants.add_argument("--seconds", type=float, default=1.0, help="how long each variant is loaded in each round")
    wants.add_argument("--rounds", type=int, default=15, help="how often every variant takes its turn")
    wants.add_argument("--serve", nargs=2, metavar=("VARIANT", "DATABASE"), help=argparse.SUPPRESS)
    given = wants.parse_args()
    if given.serve:
        serve(given.serve[0], Path(given.serve[1]))
    else:
        sys.stdout.write(report(measure(given.rounds, given.seconds)) + "\n")


if __name__ == "__main__":
    main()
