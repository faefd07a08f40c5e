"""How long a pass of the scores takes: `python -m bench.score [--customers 100000] [--rounds 3]`.

A store is filled with customers, a hundred day rows for each, and a first pass is made over all of them, with
`recipes/scorecards/saas.toml`, in the mode `watch`, on SQLite as it is used: in a file, every commit on the disk. Then, in
every round, one after the other and each in a process of its own:

- `bare` one SQLite statement that computes the same sums over the same table, and reads its rows: the floor
- `full` a pass over everybody on the next day: measures, points, drivers, bands, all of it stored
- `some` a pass in which the facts of one customer in a hundred have changed

and in the end `preview`: 90 days of a tenth of the customers lived again under another card, over `full` for as many. The
ratios are taken within a round, so that a machine that slows down slows all of them; what is printed is the median over
the rounds, with the lowest and the highest beside it, and the most memory that a process took: beside it that of a
quarter of the customers, since memory must not grow with them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from worker.assess import Terms, assess_due
from worker.lib.assets import folder
from worker.lib.clock import DAY, local_day
from worker.lib.store import SqliteStore
from worker.plays import arbiter
from worker.replay import customers as customers_of
from worker.replay import lives
from worker.scoring.choice import Deck, deck_of
from worker.scoring.measures import Sources

BEGAN: Final = 1_767_225_600 + DAY // 2
"""2026-01-01T12:00:00Z, the moment of the first pass."""

TODAY: Final = local_day(BEGAN)

CARD: Final = folder("recipes") / "scorecards" / "saas.toml"

ROWS: Final = 100
"""Day rows of a customer."""

KINDS: Final = (
    # kind, label, rows, a row every so many days, value
    ("usage", "reports", 34, 3, 3),
    ("usage", "export", 20, 5, 1),
    ("usage", "search", 20, 4, 2),
    ("error_met", "", 6, 11, 1),
    ("empty_search", "", 4, 17, 1),
    ("ticket_rating", "", 4, 20, 1),
    ("open_ticket", "normal", 4, 13, 1),
    ("unpaid_invoice", "", 2, 30, 0),
    ("payment_failed", "", 2, 31, 1),
    ("nps_answer", "", 2, 60, 8),
    ("subscription", "", 2, 90, 1),
)

BARE: Final = """
select customer_id,
    count(distinct case when kind = 'usage' and day between :today - 29 and :today then day end),
    sum(case when kind = 'usage' and day between :today - 20 and :today then total end),
    sum(case when kind = 'usage' and day between :today - 83 and :today - 28 then total end),
    count(distinct case when kind = 'usage' and label <> '' and day between :today - 29 and :today then label end),
    count(distinct case when kind = 'usage' and day between :today - 83 and :today - 28 then day end),
    sum(case when kind in ('empty_search', 'error_met', 'help_asked_again') and day between :today - 29 and :today
        then n end),
    sum(case when kind = 'open_ticket' and day <= :today then total end),
    sum(case when kind = 'ticket_rating' and day between :today - 89 and :today then total end),
    sum(case when kind = 'ticket_rating' and day between :today - 89 and :today then n end),
    sum(case when kind = 'unpaid_invoice' and day <= :today then total end),
    sum(case when kind = 'payment_failed' and day between :today - 89 and :today then n end),
    sum(case when kind = 'cancellation_planned' and day <= :today then total end),
    max(case when kind = 'nps_answer' and day <= :today then last_at end)
from rollup
group by customer_id
"""
"""What the card asks of the roll-up, as anybody would write it down."""


# -- the store --------------------------------------------------------------------------------------------------------


def fill(path: Path, customers: int) -> None:
    """A store with so many customers and their day rows; no two customers are the same."""
    store = SqliteStore(path)
    store.migrate()
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("pragma synchronous=off")
    connection.execute(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < :customers)"
        " insert into customers (id, name, first_at)"
        " select printf('cus_%08d', i), printf('Customer %d', i), :began from n",
        {"customers": customers, "began": BEGAN - 700 * DAY},
    )
    # The look back asks the facts how customers came and went; nothing else here looks at them.
    connection.execute(
        "insert into identities (id, source, external_id, customer_id, at, via)"
        " select 'idn' || id, 'bench', id, id, first_at, 'first' from customers"
    )
    connection.execute(
        "insert into facts"
        " (id, customer_id, identity_id, kind, at, known_at, day, value, source, source_id, sighted_at)"
        " select 'fct' || id, id, 'idn' || id, 'joined', first_at, first_at, first_at / 86400, 1000000, 'bench', id,"
        " first_at from customers"
    )
    for kind, label, rows, every, value in sorted(KINDS):
        connection.execute(
            "with recursive n(i) as (select 0 union all select i + 1 from n where i < :rows - 1)"
            " insert into rollup (customer_id, kind, label, day, n, total, lowest, highest,"
            "   first_at, first_value, last_at, last_value)"
            " select id, :kind, :label, day, 1 + seed % 3, (1 + seed % 3) * value, value, value,"
            "   day * 86400 + 36000, value, day * 86400 + 36000, value"
            " from (select c.id, :today - 1 - n.i * :every - (c.rowid * 7 + n.i) % :every as day,"
            "   (c.rowid * 2654435761 + n.i * 40503) % 97 as seed,"
            "   (:value + (c.rowid + n.i) % 3 - 1) * 1000000 as value from customers c cross join n)",
            {"kind": kind, "label": label, "rows": rows, "every": every, "today": TODAY, "value": value},
        )
    connection.commit()
    connection.execute("analyze")
    connection.close()


# -- what is measured, each in a process of its own -------------------------------------------------------------------


Doing = Callable[[], int]
"""What is measured; gives the number of customers. The card is read before: a worker does that when it starts."""


def _deck() -> Deck:
    return deck_of({CARD.name: CARD.read_text("utf-8")})


def _terms() -> Terms:
    return Terms(
        deck=_deck(), plays={}, templates={}, limits=arbiter.Rules(), sources=Sources(), time_zone="UTC", crm="keap",
        write_when_moved=1, public_url="", mode="watch", silent=False, pulse_valid_for=90 * DAY,
    )  # fmt: skip


def _bare(path: Path, now: int) -> Doing:
    connection = sqlite3.connect(path)
    return lambda: sum(1 for _ in connection.execute(BARE, {"today": local_day(now)}))


def _full(path: Path, now: int) -> Doing:
    store, terms = SqliteStore(path), _terms()
    return lambda: assess_due(store, terms, now, "run_bench", everyone=True).customers


def _some(path: Path, now: int) -> Doing:
    store, terms = SqliteStore(path), _terms()
    return lambda: assess_due(store, terms, now, "run_bench").customers


def _preview(path: Path, now: int) -> Doing:
    store, decks = SqliteStore(path), [_deck(), _deck()]
    return lambda: sum(1 for _ in lives(store, decks, customers_of(store, now, 90, "UTC"), Sources()))


_WHAT: Final[Mapping[str, Callable[[Path, int], Doing]]] = {
    "bare": _bare, "full": _full, "some": _some, "preview": _preview,
}  # fmt: skip


def measure_here(what: str, path: Path, now: int) -> None:
    """Do one of them in this process; prints how many seconds it took and the most memory, in MB."""
    doing = _WHAT[what](path, now)
    began = time.perf_counter()
    assert doing(), "there is nobody to look at"
    took = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    sys.stdout.write(json.dumps([took, memory]) + "\n")


def _measured(what: str, path: Path, now: int) -> tuple[float, float]:
    """Seconds, and the most memory, of a process of its own."""
    asked = [sys.executable, "-m", "bench.score", "--measure", what, str(path), str(now)]
    took, memory = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return took, memory


# -- rounds -----------------------------------------------------------------------------------------------------------


def measure(path: Path, rounds: int) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The seconds of each in every round, and the most memory of each."""
    seconds: list[dict[str, float]] = []
    memory: dict[str, float] = {}
    now = BEGAN
    _measured("full", path, now)
    store = SqliteStore(path)
    for _ in range(rounds):
        taken = {}
        for name in ("bare", "full", "some"):
            if name == "full":
                now += DAY
            elif name == "some":
                now += 60
                store.run(
                    "insert into dirty (customer_id, since) select id, :now from customers where rowid % 100 = 0",
                    {"now": now},
                )
            taken[name], most = _measured(name, path, now)
            memory[name] = max(memory.get(name, 0), most)
        seconds.append(taken)
    store.close()
    return seconds, memory


RATIOS: Final = (
    ("full / bare", "full", "bare", 1.5),
    ("1 % changed / full", "some", "full", 0.02),
    ("preview of 90 days / full, of a tenth", "preview", "full", 35.0),
)
"""What is said, of what, over what, and the aim."""


def report(rounds: Sequence[Mapping[str, float]], memory: Mapping[str, float], quarter: Mapping[str, float]) -> str:
    """The seconds, the ratios beside their aims, and the memory beside that of a quarter of the customers."""
    lines = [f"{'':<42}{'median':>9}{'lowest':>9}{'highest':>9}"]
    lines += [_line(f"{name}, seconds", [one[name] for one in rounds], 2) for name in rounds[0]]
    lines.append("")
    for words, over, under, aim in RATIOS:
        found = [one[over] / one[under] for one in rounds if {over, under} <= one.keys()]
        if found:
            lines.append(f"{_line(words, found, 3)}   aim ≤ {aim}{'' if median(found) <= aim else '  missed'}")
    lines += ["", f"{'':<42}{'MB':>9}{'a quarter':>11}"]
    lines += [f"{name:<42}{most:>9.0f}{quarter.get(name, 0):>11.0f}" for name, most in memory.items()]
    return "\n".join(lines)


def _line(words: str, found: list[float], digits: int) -> str:
    return f"{words:<42}" + "".join(f"{value:>9.{digits}f}" for value in (median(found), min(found), max(found)))


def run(customers: int, rounds: int) -> str:
    """All of it, as text."""
    with tempfile.TemporaryDirectory() as place:
        many, few, tenth = (Path(place) / name for name in ("many.db", "few.db", "tenth.db"))
        fill(many, customers)
        found, memory = measure(many, rounds)
        many.unlink()
        fill(few, customers // 4)
        _, quarter = measure(few, 1)
        few.unlink()
        fill(tenth, customers // 10)
        lived, its_memory = _lived(tenth, rounds)
    return "\n\n".join([report(found, memory, quarter), report(lived, its_memory, {})])


def _lived(path: Path, rounds: int) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The preview, and a full pass over the same customers."""
    seconds, memory = [], {}
    _measured("full", path, BEGAN)
    for day in range(1, rounds + 1):
        taken = {}
        for name in ("full", "preview"):
            taken[name], memory[name] = _measured(name, path, BEGAN + day * DAY)
        seconds.append(taken)
    return seconds, memory


def main() -> None:
    """Read the arguments and run."""
    wants = argparse.ArgumentParser(
        prog="python -m bench.score", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    wants.add_argument("--customers", type=int, default=100_000, help="how many, with a hundred day rows each")
    wants.add_argument("--rounds", type=int, default=3, help="how often each takes its turn")
    wants.add_argument("--measure", nargs=3, metavar=("WHAT", "STORE", "NOW"), help=argparse.SUPPRESS)
    given = wants.parse_args()
    if given.measure:
        what, store, now = given.measure
        measure_here(what, Path(store), int(now))
    else:
        sys.stdout.write(run(given.customers, given.rounds) + "\n")


if __name__ == "__main__":
    main()
