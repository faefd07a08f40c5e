"""`/healthz`: whether this Keepwell is well, for whoever restarts it. No key, and nothing in it that needs one."""

from __future__ import annotations

import logging

from flask import Blueprint, Response

from worker.lib.clock import DAY, seconds
from worker.lib.store import sql
from worker.web.answers import answer
from worker.workspace import Workspace

log = logging.getLogger(__name__)


def health(workspace: Workspace) -> Blueprint:
    """The route."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        """200 while the database answers and turns come to their end; 503 otherwise. Before the first none is late."""
        try:
            last = workspace.store.value(sql("web", "last_turn"))
        except Exception as error:  # noqa: BLE001  whatever it is, the answer is that the database does not answer
            log.error("the database does not answer: %s", type(error).__name__)
            return answer({"status": "ill", "database": False, "turning": False}, 503)
        turning = last is None or seconds(workspace.clock) - last <= _allowed(workspace)
        return answer(
            {"status": "well" if turning else "ill", "database": True, "turning": turning}, 200 if turning else 503
        )

    return blueprint


def _allowed(workspace: Workspace) -> int:
    """Seconds since the last turn: four of its ticks, and no more than two days, for there is a turn every day."""
    return min(4 * workspace.config.schedule.pull_every, 2 * DAY)
