"""Proofs are slow: PROVE_SECONDS says after how many seconds no further one is begun."""

from __future__ import annotations

import os
import time

import pytest

BEGAN = time.monotonic()


@pytest.fixture(autouse=True)
def _within_the_time() -> None:
    bound = float(os.environ.get("PROVE_SECONDS", "inf"))
    if time.monotonic() - BEGAN > bound:
        pytest.skip(f"left out: the {bound:g} seconds of PROVE_SECONDS are over")
