"""What every test may ask for: a fresh store on either database, a virtual clock, the shared material."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.lib.clock import VirtualClock
from worker.lib.store import PostgresStore, SqliteStore, Store, StoreError

START = 1_767_225_600
"""2026-01-01T00:00:00Z: where virtual time begins unless a test says otherwise."""

POSTGRES = os.environ.get("KEEPWELL_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


def _postgres() -> PostgresStore:
    try:
        return PostgresStore(POSTGRES, f"test_{secrets.token_hex(8)}")
    except StoreError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL at {POSTGRES.split('@')[-1]}: {error}")


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "keepwell.db")
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def postgres_store() -> Iterator[Store]:
    store = _postgres()
    store.migrate()
    yield store
    store.drop()
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """A fresh, migrated store; the test runs once on each database."""
    found: Store = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    return found


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data sets and vendors' descriptions beside the checkout."""
    folder = Path(os.environ.get("KEEPWELL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the shared material is not at {folder}; set KEEPWELL_SHARED")
    return folder
