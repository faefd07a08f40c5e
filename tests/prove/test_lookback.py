"""The look-back over the demo's world: it finds exactly those who truly left, writes to nobody, and keeps nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from worker import lookback
from worker.lib.clock import seconds
from worker.sandbox.demo import Demo

pytestmark = pytest.mark.prove

KEPT = "select (select count(*) from scores) as scores, (select count(*) from effects) as effects"


@pytest.mark.timeout(300)
def test_the_look_back_over_the_demos_world_tells_who_truly_left_and_only_reads() -> None:
    demo = Demo(weeks=4, customers=80, port=0)
    with demo._running(quiet=True) as (workspace, session):
        demo._live(workspace, session, quiet=True)
        before = [vendor.writes() for vendor in demo._vendors], workspace.store.row(KEPT), len(demo._mailbox.messages)

        troubles = lookback.backfill(workspace)
        look = lookback.look_back(workspace, lookback.recipe("starter"), 365, troubles=troubles)

        assert before == (
            [vendor.writes() for vendor in demo._vendors],
            workspace.store.row(KEPT),
            len(demo._mailbox.messages),
        )
        year_ago = seconds(workspace.clock) - 365 * 86_400
        truth = Counter(one.left for one in demo._world.customers if one.left and one.left_at > year_ago)
    assert len(look.left) == truth["by choice"] > 0
    assert look.left_otherwise == {how: n for how, n in sorted(truth.items()) if how != "by choice"}
    assert look.square.left == len(look.left)
