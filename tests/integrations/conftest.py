"""A pretend Keap that runs, and the one connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.keap import KeapSettings, connect
from worker.lib.clock import VirtualClock
from worker.lib.http import Http
from worker.sandbox.servers.keap import PretendKeap


@pytest.fixture
def keap(clock: VirtualClock) -> Iterator[PretendKeap]:
    server = PretendKeap(clock)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(keap: PretendKeap, clock: VirtualClock) -> Iterator[Http]:
    http = connect(KeapSettings.model_validate({"key": keap.key, "base_url": keap.base_url}), clock)
    yield http
    http.close()


@pytest.fixture
def ada(keap: PretendKeap) -> str:
    """A contact who may be written to."""
    return keap.add_contact("Ada", "Lovelace", "ada@engines.example")
