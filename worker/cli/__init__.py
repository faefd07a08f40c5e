"""Every command, thin: it reads its words, calls the part that does the work, and prints what came of it."""

from worker.cli import (
    changing,
    crm,
    desk,
    doubts,
    facts,
    mail,
    opinions,
    plays,
    review,
    scores,
    sending,
    setting_up,
    team,
    trials,
    wheel,
)
from worker.cli.base import main

__all__ = [
    "changing",
    "crm",
    "desk",
    "doubts",
    "facts",
    "mail",
    "main",
    "opinions",
    "plays",
    "review",
    "scores",
    "sending",
    "setting_up",
    "team",
    "trials",
    "wheel",
]
