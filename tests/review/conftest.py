"""A workspace over a store of either kind, or of SQLite alone, 300 days after START."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import START
from tests.review.pasts import DAYS
from worker import setup
from worker.lib.clock import DAY, VirtualClock
from worker.lib.store import Store
from worker.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path, store: Store, clock: VirtualClock) -> Workspace:
    return _over(store, tmp_path / "acme", clock)


@pytest.fixture
def sqlite_workspace(tmp_path: Path, sqlite_store: Store, clock: VirtualClock) -> Workspace:
    return _over(sqlite_store, tmp_path / "acme", clock)


def _over(store: Store, folder: Path, clock: VirtualClock) -> Workspace:
    environ = {"STRIPE_KEY": "rk_test_1"}
    setup.from_environment(folder, environ)
    clock.move_to(START + DAYS * DAY)
    made = open_workspace(folder, environ, clock)
    made.store.close()
    return replace(made, store=store)
