"""The real worker as a process, to be killed: `python -m tests.crash.worker`, doors, wheel and dispatch together.

To import it all takes most of a second, so one warmed process forks one child for each life. It forks before any thread
has started, and whatever is open (database, vendors, doors) is opened by the child. On each line of its input stands an
order for a life; it answers with the child's process id, and when told to (an empty line) with how the child ended.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import logging
import os
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.crash import business
from tests.crash.channels import DEDUPLICATES, PLAIN_SMTP, use_post
from tests.crash.mutants import MUTANTS
from tests.crash.page import Page
from tests.crash.traps import Trap
from worker import schedule
from worker.app import create_app
from worker.lib.clock import VirtualClock
from worker.schedule import Wheel
from worker.web.server import WebServer
from worker.workspace import Workspace, open_workspace

LONGEST_LIFE: Final = 40.0
"""Seconds after which a life that does not end says what it waits for, and ends."""


@dataclass(frozen=True)
class Order:
    """One life."""

    folder: str
    """The workspace. The page of memory and the log lie beside its config.toml."""
    environ: dict[str, str]
    port: int
    """Where the doors are."""
    point: str = ""
    """Where it ends itself, "" for nowhere."""
    mutant: str = ""
    channel: str = PLAIN_SMTP
    post: str = ""
    """The address of any other mail channel than plain SMTP."""
    patient: bool = False
    """Whether the wheel is turned by hand when all has been delivered: then the points have the same numbers each time."""


def live(order: Order) -> None:
    """Open the doors and turn the wheel, as `keepwell serve` does, until all has come and the day's work is done."""
    folder = Path(order.folder)
    page = Page(folder / "page")
    if order.channel != PLAIN_SMTP:
        use_post(order.post, deduplicates=order.channel == DEDUPLICATES)
    Trap(page, order.point).install()
    # The same loops with shorter rests: a life lasts half a second.
    vars(schedule).update(LISTENS_EVERY=0.02, LOOKS_AT_CALENDAR_EVERY=0.05)
    workspace = open_workspace(folder, order.environ, page)
    if order.mutant:
        MUTANTS[order.mutant](workspace.store)
    wheel = Wheel(workspace)
    app = create_app(workspace, wake=wheel.wake)
    server = WebServer(app, workspace.config.server, "127.0.0.1", order.port)
    threading.Thread(target=server.run, args=(lambda: False,), daemon=True).start()
    if order.patient:
        _turn_by_hand(wheel, page)
    else:
        _turn_by_itself(wheel, workspace, page)


def _turn_by_hand(wheel: Wheel, page: Page) -> None:
    """What the schedule does, one after the other and when all has been delivered: a life that can be repeated."""
    while not page.over:
        time.sleep(0.001)
    for _ in range(2):
        for name in (*_JOBS, "look"):
            getattr(wheel, name)()


def _turn_by_itself(wheel: Wheel, workspace: Workspace, page: Page) -> None:
    """The schedule as it runs, in all its threads, until the work of the day is done."""
    wheel.start()
    store, until = workspace.store, time.monotonic() + LONGEST_LIFE
    while (waiting := store.rows(_WAITS, {"now": int(page.now())})) or not page.over:
        if time.monotonic() > until:
            raise TimeoutError(f"the day's work does not come to an end: {waiting or 'something is not delivered'}")
        time.sleep(0.005)


_JOBS: Final = ("pull", "daily", "nightly")
"""What the schedule does every day."""
_WAITS: Final = " union all ".join(
    [
        (
            "select 'effect ' || lane || ' ' || state as what, id, due_at from effects"
            " where state = 'sending' or (state = 'waiting' and due_at <= :now)"
        ),
        "select 'delivery of ' || source, external_id, attempts from deliveries where parsed_at is null",
        "select 'customer', customer_id, urgent from dirty",
        "select 'untold mail', effect_id, sent_at from messages where log_state in ('waiting', 'telling')",
        *(
            f"select 'job', '{job}', 0 where not exists"
            f" (select 1 from slots where job = '{job}' and at >= {business.TODAY})"
            for job in _JOBS
        ),
    ]
)
"""What the day's work is."""


def _child(order: Order) -> None:
    log = os.open(Path(order.folder) / "life.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a job still runs is no news at this pace
    faulthandler.dump_traceback_later(LONGEST_LIFE + 10, exit=True)
    code = 1
    try:
        os.environ["PGAPPNAME"] = Path(order.folder).name
        live(order)
        code = 0
    except BaseException:  # noqa: BLE001  a fork must never go on as its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # nothing is tidied up: what is stored must do


def _warm() -> None:
    """Import, compile and read once what every life would import, compile and read; nothing stays open."""
    with suppress(ImportError):
        importlib.import_module("psycopg")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nowhere = "http://127.0.0.1:9"
        text = business.CONFIG.format(schema="keepwell", keap=nowhere, stripe=nowhere, smtp=9)
        (folder / "config.toml").write_text(text, "utf-8")
        (folder / "card.toml").write_text(business.CARD, "utf-8")
        environ = {"KEAP_KEY": "none", "STRIPE_KEY": "rk_test_none", "STRIPE_WEBHOOK_SECRET": "whsec_none"}
        workspace = open_workspace(folder, {**environ, "SLACK_URL": f"{nowhere}/services/T/B/none"}, VirtualClock(0))
        create_app(workspace)
        workspace.close()
    assert threading.active_count() == 1, "a process with threads must not fork"


def main() -> None:
    """Fork a child for each order."""
    _warm()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        pid = os.fork()
        if not pid:
            _child(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdin.readline()  # until then the child's id belongs to nobody else
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
