"""`/healthz`: whether this Keepwell is well, for whoever restarts it. No key, and nothing in it that needs one."""

from __future__ import annotations

import logging

from flask import Blueprint, Response

from worker.lib.clock import seconds
from worker.lib.store import sql
from worker.web.answers import answer
from worker.workspace import Workspace

log = logging.getLogger(__name__)


def health(workspace: Workspace) -> Blueprint:
    """The route."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        """200 while the database answers and the wheel turns; 503 otherwise. Before the first turn it is not late."""
        try:
            last = workspace.store.value(sql("web", "last_turn"))
        except Exception as error:  # noqa: BLE001  whatever it is, the answer is that the database does not answer
            log.error("the database does not answer: %s", type(error).__name__)
            return answer({"status": "ill", "database": False, "turning": False}, 503)
        now, allowed = seconds(workspace.clock), 4 * workspace.config.schedule.pull_every
        turning = last is None or now - last <= allowed
        return answer(
            {"status": "well" if turning else "ill", "database": True, "turning": turning}, 200 if turning else 503
        )

    return blueprint
