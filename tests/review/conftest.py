"""A workspace over a store of either kind, 300 days after START."""

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
    folder, environ = tmp_path / "acme", {"STRIPE_KEY": "rk_test_1"}
    setup.from_environment(folder, environ)
    clock.move_to(START + DAYS * DAY)
    made = open_workspace(folder, environ, clock)
    made.store.close()
    return replace(made, store=store)
