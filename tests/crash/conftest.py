"""Proofs are slow: PROVE_SECONDS says after how many seconds no further one is begun."""

from __future__ import annotations

import pytest

from tests.prove.conftest import _within_the_time

__all__ = ["_within_the_time"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers of pytest-xdist begin with an eighth of all tests each: each shall begin with one half of the kills."""
    moved = [one for one in items if one.path.parent.name == "crash" and "on_postgresql" in one.name]
    rest = [one for one in items if one not in moved]
    place = (len(items) + 7) // 8 + 1
    items[:] = [*rest[:place], *moved, *rest[place:]]
