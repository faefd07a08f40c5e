"""What every test of the pretend Keap asks for: one that runs, and a client that holds it against the specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.keap_contract import Client, Contract
from worker.lib.clock import VirtualClock
from worker.sandbox.servers.keap import PretendKeap

Start = Callable[..., tuple[PretendKeap, Client]]


@pytest.fixture(scope="session")
def contract(request: pytest.FixtureRequest) -> Contract | None:
    """The specification, None where the shared material is not at hand."""
    try:
        folder: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return None
    return Contract(folder / "specs")


@pytest.fixture
def start(clock: VirtualClock, contract: Contract | None) -> Iterator[Start]:
    running: list[tuple[PretendKeap, Client]] = []

    def begin(**how: Any) -> tuple[PretendKeap, Client]:
        keap = PretendKeap(clock, **how)
        client = Client(keap.start(), contract, keap.key)
        running.append((keap, client))
        return keap, client

    yield begin
    for keap, client in running:
        client.session.close()
        keap.stop()


@pytest.fixture
def keap_and_client(start: Start) -> tuple[PretendKeap, Client]:
    return start()


@pytest.fixture
def keap(keap_and_client: tuple[PretendKeap, Client]) -> PretendKeap:
    return keap_and_client[0]


@pytest.fixture
def client(keap_and_client: tuple[PretendKeap, Client]) -> Client:
    return keap_and_client[1]
