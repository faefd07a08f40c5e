"""`/colours`: the colours that the business gives its customers itself, beside ours. For the team only."""

from __future__ import annotations

from flask import Blueprint, render_template

from worker.colours import side_by_side
from worker.workspace import Workspace


def colours(workspace: Workspace) -> Blueprint:
    """The route. Whoever gets here has logged in (worker/web/guard.py)."""
    blueprint = Blueprint("colours", __name__)

    @blueprint.get("/colours")
    def show() -> str:
        return render_template("colours.html", found=side_by_side(workspace))

    return blueprint
