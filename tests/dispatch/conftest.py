"""A business on either database, and one on SQLite for what has nothing to do with databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dispatch.business import Business, business
from worker.lib.store import Store


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture
def anywhere(tmp_path: Path, store: Store) -> Iterator[Business]:
    """The same, once on each database."""
    with business(tmp_path / "workspace", store) as opened:
        yield opened
