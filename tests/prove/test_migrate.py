"""A migration that is killed leaves the old tables or the new ones, never some of each."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import POSTGRES
from worker.lib.store import Store, open_store

KILLS: Final = 12
ROOT: Final = Path(__file__).resolve().parents[2]

MIGRATE: Final = """
import sys
from worker.lib.store import open_store
store = open_store(sys.argv[1], schema=sys.argv[2])
print("ready", flush=True)
store.migrate()
print("done", flush=True)
"""


def _tables(store: Store) -> set[str]:
    if store.dialect == "sqlite":
        rows = store.rows("select name from sqlite_master where type = 'table'")
    else:
        rows = store.rows("select tablename as name from pg_tables where schemaname = current_schema()")
    return {row["name"] for row in rows} - {"migrations"}


def _all_tables() -> set[str]:
    """What all migrations make, from a database that nobody killed."""
    store = open_store("sqlite://")
    store.migrate()
    names = _tables(store)
    store.close()
    return names


def _empty(store: Store) -> None:
    with store.atomic():
        if store.dialect == "sqlite":
            store.run("pragma defer_foreign_keys = on")
        for table in [*sorted(_tables(store)), "migrations"]:
            store.run(f"drop table if exists {table}" + ("" if store.dialect == "sqlite" else " cascade"))


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_migration_that_is_killed_leaves_the_old_tables_or_the_new_ones(store: Store, tmp_path: Path) -> None:
    if store.dialect == "sqlite":
        url, schema = f"sqlite:///{tmp_path / 'killed.db'}", "keepwell"
        store = open_store(url)
    else:
        url, schema = POSTGRES, str(store.value("select current_schema() as name"))
    dice, whole, halted = random.Random(7), _all_tables(), 0
    for _ in range(KILLS):
        _empty(store)
        process = subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url, schema], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0, 0.03))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        pending = store.pending_migrations()
        assert _tables(store) == (set() if pending else whole)
        halted += bool(pending)
        assert store.migrate() == pending
        assert _tables(store) == whole
    store.close()

    assert halted > 0, "or nothing was proved"
