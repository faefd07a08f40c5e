"""`keepwell activate`: what it takes for a scorecard to count in a workspace, and what the file beside it says then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker import cards, grounds
from worker.lib.clock import iso, seconds
from worker.lib.problems import Problems
from worker.scoring.choice import deck_of
from worker.scoring.lint import Report
from worker.workspace import Workspace, unfit


class Faulty(Exception):
    """Lint has found errors; nothing was activated."""

    def __init__(self, reports: Sequence[Report]) -> None:
        """Of every file."""
        super().__init__("the scorecard has errors")
        self.reports = tuple(reports)


def activate(workspace: Workspace, files: cards.Files, author: str) -> cards.Version:
    """Make this scorecard count from the next run on.

    Raises Faulty where lint finds errors, and Problems where it was not previewed as it is, or does not go with the plays.
    """
    reports = grounds.lint_files(files, workspace)
    if any(report.errors for report in reports):
        raise Faulty(reports)
    deck = deck_of(files)
    problems = [
        problem for file, card in deck.cards.items() for problem in unfit(card, workspace.plays, workspace.config, file)
    ]
    if problems:
        raise Problems(problems)
    store, now = workspace.store, seconds(workspace.clock)
    with store.atomic():
        replaced = cards.note(store, workspace.deck, workspace.files, now)
        return cards.activate(store, deck, files, now, author, replaced)


def write_back(workspace: Workspace, version: cards.Version) -> str:
    """Let the configured file say what counts; where it cannot, why not."""
    path = workspace.config.scorecard
    if not workspace.config.workspace.scorecard or cards.write_back(workspace.store, path, version):
        return ""
    return f"{path.name} was left as it is: it holds what no version has, or is a folder."


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """Every version, by number, ready for JSON."""
    counting = cards.counting(workspace.store, workspace.deck.version)
    return [
        {
            "number": one.number, "name": one.name, "version": one.version, "since": iso(one.since),
            "author": one.author, "counts": one.number == counting,
        }
        for one in cards.versions(workspace.store)
    ]  # fmt: skip
