"""How many mails a second leave to a server that answers in 20 ms: the half of `python -m bench.mail` that sends.

The server, in a process of its own, lets 20 ms pass before each of its answers, as one does that is some 2,000 km away.
So what a mail takes is round trips, and what counts is how many connections are waited for at the same time:

- `a connection for each mail` is dialled, greeted and closed for it
- `one connection` is kept for all
- `ours` keeps eight, as `integrations.smtp` does with connections = 8, and gives each a letter when it is free
- `ours, limited` the same with per_second = 50
- `the lane` is `worker.dispatch.mail` whole over those eight: the outbox on a disk, the arbiter asked twice for each mail,
  the mail written from its template, what came of it noted

Wall time is measured, since most of it is waiting. The ratios are taken within a round, in which the variants take turns,
the order moving on by one from round to round; what is printed is the median over the rounds, with the lowest and the
highest beside it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, AnyStr, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from integrations.smtp import SmtpMailer, SmtpSettings
from worker.dispatch import mail, outbox
from worker.dispatch.hands import Hands
from worker.dispatch.letters import Sender, Templates
from worker.effects import Mail
from worker.facts import CrmContact, Identity
from worker.intake import records
from worker.integration import Letter
from worker.lib import assets
from worker.lib.clock import DAY, SystemClock, seconds
from worker.lib.store import SqliteStore
from worker.plays.arbiter import Rules
from worker.plays.records import set_switch

ANSWERS_IN: Final = 0.02
"""Seconds."""
CONNECTIONS: Final = 8
LIMIT: Final = 50.0
"""Mails a second."""
SENDER: Final = Sender("Engines Ltd", "Ann", "ann@engines.example", "", "1 Lane", "https://keepwell.example")
VALUES: Final = {"usage_days": "3", "usage_last_on": "20 December", "usage_last_label": "reports"}
PAGE: Final = "<p>" + "A mail of ten kilobytes, as they are. " * 260 + "</p>"

MAILS: Final[Mapping[str, int]] = {
    "a connection for each mail": 16, "one connection": 24, "ours": 160, "ours, limited": 60, "the lane": 160,
}  # fmt: skip
"""How many each variant sends in each round: about as long as the others take."""

RATIOS: Final = (
    ("ours / a connection for each mail", "ours", "a connection for each mail", "≥", 10.0),
    ("ours / one connection", "ours", "one connection", "≥", 0.9 * CONNECTIONS),
    ("the lane / ours", "the lane", "ours", "≥", 0.6),
)
"""What is said, mails a second of what, over those of what, and the aim."""


# -- the server -------------------------------------------------------------------------------------------------------


class _Slow(SMTP):
    """Lets 20 ms pass before each answer."""

    async def push(self, status: AnyStr) -> None:
        """One answer."""
        await asyncio.sleep(ANSWERS_IN)
        await super().push(status)


class _Taker:
    """Takes every mail and tells its number on a line of its own."""

    taken = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        """One mail."""
        self.taken += 1
        return f"250 taken as {self.taken}"


def serve() -> None:
    """Serve until the process is ended; prints the port."""
    asyncio.run(_serve())


async def _serve() -> None:
    taker = _Taker()
    server = await asyncio.get_running_loop().create_server(lambda: _Slow(taker, ident="bench"), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def _served() -> Iterator[int]:
    """The server in a process of its own: its port."""
    server = subprocess.Popen([sys.executable, "-m", "bench.mail", "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


# -- the variants -----------------------------------------------------------------------------------------------------


def _mailer(port: int, **more: Any) -> SmtpMailer:
    settings = {"host": "127.0.0.1", "port": port, "tls": "none", **more}
    return SmtpMailer(SmtpSettings.model_validate(settings), SystemClock())


def _letter(number: int) -> Letter:
    return Letter(
        f"<eff_{number}@engines.example>", "Ann <ann@engines.example>", "", f"c{number}@customer.example", "Ada",
        "Three notes", "Three notes", PAGE, "https://keepwell.example/unsubscribe/token",
    )  # fmt: skip


def _one_each(port: int, n: int) -> int:
    mailer = _mailer(port, connections=1)
    return sum(_alone(mailer, number) for number in range(n))


def _alone(mailer: SmtpMailer, number: int) -> bool:
    with closing(mailer):
        return bool(mailer.send(_letter(number)))


def _side_by_side(port: int, n: int, **more: Any) -> int:
    references: list[str] = []
    with closing(_mailer(port, **more)) as mailer:

        def send(letter: Letter) -> None:
            references.append(mailer.send(letter))

        with Hands(mailer.connections, send, lambda: None) as hands:
            for number in range(n):
                hands.give(_letter(number))
    return len(references)


def _queued(path: Path, n: int) -> SqliteStore:
    """A live workspace with a mail for each of so many customers."""
    store, now = SqliteStore(path), seconds(SystemClock())
    store.migrate()
    set_switch(store, "mode", "live", now)
    with store.atomic():
        for number in range(n):
            email = f"c{number}@customer.example"
            customer_id = records.add_customer(store, name=email, first_at=now - DAY)
            identity_id = records.add_identity(store, Identity("keap", email), customer_id, now)
            contact = CrmContact(email, email, "SINGLE_OPT_IN", True, (), (), now)
            records.put_crm_contact(store, "keap", identity_id, contact, now)
            letter = Mail(customer_id, email, "Ada", "usage-drop", "by-hand", "service", VALUES, now + DAY)
            outbox.put(store, letter, email, now, play="by-hand")
    return store


def _lane(store: SqliteStore, templates: Templates, port: int) -> int:
    rules = Rules(quiet_from=0, quiet_until=0, check_sender=False)
    with closing(_mailer(port, connections=CONNECTIONS)) as mailer:
        done = mail.send_waiting(
            store, mailer, templates, SENDER, rules, SystemClock(), time_zone="UTC", sign=str,
            reread=lambda addresses: True,
        )  # fmt: skip
    return done.get("sent", 0)


# -- rounds -----------------------------------------------------------------------------------------------------------


def measure(rounds: int) -> list[dict[str, float]]:
    """Mails a second by variant, in every round. Raises AssertionError where one did not send all of its mails."""
    templates = Templates([assets.folder("templates") / "email"])
    names, found = list(MAILS), []
    with tempfile.TemporaryDirectory() as folder, _served() as port:
        for turn in range(rounds):
            store = _queued(Path(folder) / f"{turn}.db", MAILS["the lane"])
            ways: dict[str, Callable[[], int]] = {
                "a connection for each mail": lambda: _one_each(port, MAILS["a connection for each mail"]),
                "one connection": lambda: _side_by_side(port, MAILS["one connection"], connections=1),
                "ours": lambda: _side_by_side(port, MAILS["ours"], connections=CONNECTIONS),
                "ours, limited": lambda: _side_by_side(
                    port, MAILS["ours, limited"], connections=CONNECTIONS, per_second=LIMIT
                ),
                "the lane": lambda store=store: _lane(store, templates, port),  # type: ignore[misc]  # mypy infers no lambda with defaults
            }
            order = [*names[turn % len(names) :], *names[: turn % len(names)]]
            found.append({name: _slice(name, ways[name]) for name in order})
            store.close()
    return found


def _slice(name: str, send: Callable[[], int]) -> float:
    began = time.perf_counter()
    sent = send()
    took = time.perf_counter() - began
    assert sent == MAILS[name], f"{name}: {sent} of {MAILS[name]} mails left"
    return sent / took


def report(rounds: list[dict[str, float]]) -> str:
    """The figures of each variant and the ratios beside their aims, as text."""
    lines = [f"{'':<42}{'median':>9}{'lowest':>9}{'highest':>9}"]
    lines += [_line(f"{name}, mails a second", [one[name] for one in rounds], 1) for name in MAILS]
    lines.append("")
    for words, over, under, sign, aim in RATIOS:
        found = [one[over] / one[under] for one in rounds]
        lines.append(f"{_line(words, found, 2)}   aim {sign} {aim:g}{'' if median(found) >= aim else '  missed'}")
    limited = [one["ours, limited"] / LIMIT for one in rounds]
    kept = "" if max(limited) <= 1 + 1 / MAILS["ours, limited"] else "  missed"
    lines.append(f"{_line('ours, limited / its limit', limited, 2)}   aim ≤ 1{kept}")
    return "\n".join(lines)


def _line(words: str, found: list[float], digits: int) -> str:
    return f"{words:<42}" + "".join(f"{value:>9.{digits}f}" for value in (median(found), min(found), max(found)))


def sending(rounds: int) -> str:
    """Measure, and say what was found."""
    return report(measure(rounds))
