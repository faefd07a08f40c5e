from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.web.house import House
from worker.lib.clock import VirtualClock
from worker.lib.store import Store


def _open(store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[House]:
    house = House(store, clock, tmp_path)
    yield house
    house.receiver.close()


@pytest.fixture
def house(sqlite_store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[House]:
    """A house on SQLite, for what does not depend on the database."""
    yield from _open(sqlite_store, clock, tmp_path)


@pytest.fixture
def any_house(store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[House]:
    """A house on each database."""
    yield from _open(store, clock, tmp_path)


@pytest.fixture
def house_at(sqlite_store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Builds a house with settings of its own."""
    built: list[House] = []

    def build(url: str = "http://localhost", settings: str = "") -> House:
        built.append(House(sqlite_store, clock, tmp_path, url, settings))
        return built[-1]

    yield build
    for house in built:
        house.receiver.close()
