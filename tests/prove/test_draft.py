"""A small world lives through weeks in `draft`: everything is decided and shown, and by the vendors' records nothing came."""

from __future__ import annotations

import pytest
import requests

from worker import controls
from worker.lib.clock import DAY
from worker.river import turn
from worker.sandbox.demo import MORNING, START, Demo
from worker.workspace import Workspace


class Drafted(Demo):
    """The demo's world under a workspace that only shows what it would do."""

    def _live(self, workspace: Workspace, session: requests.Session, *, quiet: bool) -> None:
        self._live_until(session, START + MORNING)
        turn(workspace)
        controls.set_mode(workspace, "draft")
        for day in range(self._weeks * 7):
            self._live_until(session, START + (day + 1) * DAY + MORNING)
            turn(workspace)


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_in_draft_no_vendor_gets_a_writing_call_in_weeks() -> None:
    demo = Drafted(weeks=6, customers=60, port=0)
    with demo.lived() as workspace:
        calls = [call for vendor in demo._vendors for call in vendor.calls]
        writing = [call for call in calls if call.writes]
        kinds = {
            row["kind"]: row["n"]
            for row in workspace.store.rows("select kind, count(*) as n from effects group by kind order by kind")
        }
        states = {row["state"] for row in workspace.store.rows("select distinct state from effects")}
        told = controls.mode_would(workspace, "live")

    assert len(calls) > 500
    assert writing == []
    assert (demo._mailbox.messages, demo._slack.messages) == ([], [])
    assert {"standing", "mail", "alert"} <= kinds.keys()
    assert states <= {"draft", "replaced", "refused"}
    assert any("drafts of play:" in line for line in told)
