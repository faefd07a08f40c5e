"""The ledger sums exactly for every customer of the demo, between any two of its weeks."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from worker import report
from worker.lib.clock import DAY
from worker.sandbox.demo import START, Demo
from worker.scoring import records
from worker.scoring.counterfactual import lift
from worker.scoring.score import assess

pytestmark = pytest.mark.prove

WEEKS = 12


@pytest.mark.timeout(600)
def test_every_move_of_every_customer_sums_to_the_last_decimal() -> None:
    with Demo(weeks=WEEKS, customers=90).lived() as workspace:
        store, card = workspace.store, workspace.card
        latest = records.latest_scores(store)
        moves, lifted = 0, 0
        for customer_id, score in latest.items():
            kept = [records.score_as_of(store, customer_id, START + week * 7 * DAY) for week in range(WEEKS + 1)]
            stood = [one for one in kept if one is not None]
            for old, new in [*pairwise(stood), (stood[0], score)]:
                if old.id == new.id:
                    continue
                found = report.moved(workspace, old, new)
                assert found is not None
                assert sum((entry.points for entry in found.entries), Decimal(0)) == found.total
                assert found.total == (new.score or 0) - (old.score or 0)
                assert not any(entry.kind == "version" for entry in found.entries)
                moves += 1
            could = lift(card, score.assessment)
            if could is not None:
                changed = {move.measure: move.new for move in could.moves}
                better = assess(card, {**score.assessment.readings, **changed})
                assert card.order.index(better.band) < card.order.index(score.assessment.band)
                lifted += 1
        assert moves > len(latest)
        assert lifted > 0
