"""`keepwell check`: what needs a person is told."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import START
from worker import check, river, setup
from worker.intake.pull import store_raw
from worker.lib.clock import DAY, VirtualClock
from worker.report import turn_in_words
from worker.workspace import Workspace, open_workspace


def connected(folder: Path, clock: VirtualClock) -> Workspace:
    """A workspace with a Stripe that nobody answers for."""
    setup.init(folder, "Acme", "a sentence of some length", {})
    with (folder / "config.toml").open("a") as config:
        config.write('\n[integrations.stripe]\nkey_env = "KEY"\nbase_url = "http://127.0.0.1:9"\n')
    return open_workspace(folder, {"KEY": "rk_test_1"}, clock)


def test_live_data_that_comes_under_a_test_key_makes_no_facts_and_is_told_for_a_month(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    workspace = connected(tmp_path, clock)
    event = {"id": "evt_1", "object": "event", "type": "charge.failed", "livemode": True}
    store_raw(workspace.store, "stripe", "webhook", "evt_1", json.dumps(event), START)
    river.turn(workspace, pulls=False)

    told = "1 deliveries of stripe webhook hold what makes no facts, such as evt_1: is live data under a test key"
    assert workspace.store.value("select count(*) as n from facts") == 0
    assert any(one.startswith(told) for one in check.check(workspace).fine)

    clock.move_to(START + 31 * DAY)
    assert not any(one.startswith(told) for one in check.check(workspace).fine)
    workspace.close()


def test_a_vendor_that_does_not_answer_is_told_and_not_counted_as_pulled(tmp_path: Path) -> None:
    workspace = connected(tmp_path, VirtualClock(START))

    turn = river.turn(workspace)

    assert turn_in_words(turn, workspace.mode)[0].startswith("0 streams pulled")
    findings = check.check(workspace).findings
    assert any(one.startswith("stripe: Stripe cannot be reached at") for one in findings)
    assert any(one.startswith("stripe invoices: ") and "last good pull: never" in one for one in findings)
    workspace.close()
