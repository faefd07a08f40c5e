"""What `keepwell lint` must know of a workspace: its plays, its sources, its active card, and what came of the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import cycle
from typing import Final

from worker import cards
from worker.facts import KINDS, MILLION
from worker.lib.clock import end_of_day, local_day, seconds
from worker.lib.problems import Problems
from worker.lib.store import sql
from worker.lookback import known_sources
from worker.plays.files import Play
from worker.review import direction, records
from worker.review.past import Asked, Past
from worker.scoring import scorecard
from worker.scoring.card import Card, Measure
from worker.scoring.choice import FILE, deck_of
from worker.scoring.lint import Answers, Direction, Grounds, Report, lint, mistakes
from worker.scoring.reach import kinds
from worker.workspace import Workspace

BEFORE: Final = 30
"""How many days before they left customers are looked at: early enough to have done something about it."""
MOST: Final = 2000
"""Customers who stayed, to hold them against."""
OPINIONS: Final = ("nps_answer", "pulse")
"""Kinds of fact in which people say themselves how it is."""


def own(workspace: Workspace) -> tuple[cards.Files, str]:
    """The workspace's own scorecard: its file, and what to tell where another version counts; without a file of its
    own, what counts.
    """
    if not workspace.config.workspace.scorecard:
        return workspace.files, ""
    path = workspace.config.scorecard
    return cards.read_files(path), cards.unlike(workspace.store, path)


def lint_files(files: cards.Files, workspace: Workspace | None) -> list[Report]:
    """Look at a card, or at each card of a folder, with all that the workspace knows; without one, at the text alone."""
    reports = [
        lint(text, name, grounds(workspace, text, name) if workspace else None)
        for name, text in sorted(files.items()) if name != FILE
    ]  # fmt: skip
    if FILE in files:
        reports.append(_of_choice(files))
    return reports


def _of_choice(files: cards.Files) -> Report:
    """What is wrong with the choice among the cards of a folder."""
    try:
        deck_of(files)
    except Problems as found:
        mine = [one for one in found.problems if one.file == FILE]
        return Report(FILE, mistakes(mine), ())
    return Report(FILE, (), ())


def answers(plays: Mapping[str, Play]) -> Answers:
    """What these plays answer."""
    return Answers(
        frozenset(plays),
        frozenset(band for play in plays.values() for band in play.when.band_turns),
        frozenset(play.when.signal for play in plays.values() if play.when.signal),
    )


def grounds(workspace: Workspace, text: str, name: str) -> Grounds:
    """All that lint can know of this card in this workspace. A card that cannot be read has no past."""
    connected = workspace.sources(seconds(workspace.clock)).connected
    try:
        card = scorecard.load(text, name)
    except Problems:
        return Grounds(answers(workspace.plays), connected, {})
    return Grounds(answers(workspace.plays), connected, _past(workspace, card), _active(workspace, name, card))


def _active(workspace: Workspace, file: str, card: Card) -> Card | None:
    """The card of this name in the version that counts, unless it is this very card; while the file speaks, in the last
    version that a run has met.
    """
    known = cards.versions(workspace.store)
    counts = cards.active(workspace.store) or (known[-1] if known else None)
    if counts is None:
        return None
    try:
        deck = deck_of(counts.files)
    except Problems:  # the language has changed since
        return None
    before = deck.cards.get(file, deck.main)
    return None if before.version == card.version else before


# -- the past ---------------------------------------------------------------------------------------------------------


def _past(workspace: Workspace, card: Card) -> dict[str, tuple[Direction, ...]]:
    """Each measure's direction, by as many tests as there is something to test by."""
    now = seconds(workspace.clock)
    everybody = records.pasts(workspace.store, now, workspace.time_zone)
    left, stayed = _points_of_leavers(workspace, card, everybody)
    found: dict[str, list[Direction]] = {name: [] for name in card.measures}
    for name in card.measures:
        found[name] += _some(direction.left_and_stayed(left[name], stayed[name]))
    for kind in OPINIONS:
        for name, pairs in _points_and_answers(workspace, card, everybody, kind).items():
            points, said = [one for one, _ in pairs], [one for _, one in pairs]
            found[name] += _some(direction.along_with(points, said, KINDS[kind].plural))
    return {name: tuple(directions) for name, directions in found.items() if directions}


def _some(found: Direction | None) -> Iterator[Direction]:
    if found is not None:
        yield found


def _points_of_leavers(
    workspace: Workspace, card: Card, everybody: Mapping[str, Past]
) -> tuple[dict[str, list[Decimal]], dict[str, list[Decimal]]]:
    """The points each measure gave those who left by choice, a month before; and those who stayed, in the same weeks."""
    outcomes = {one.removeprefix("left ") for one in card.leaving} or {"by choice"}
    leavers: list[Asked] = []
    others: list[Past] = []
    for past in everybody.values():
        gone = past.departures()
        chosen = [one for one in gone if one.how in outcomes]
        if chosen:
            leavers += _asked(past, local_day(chosen[-1].at, past.time_zone) - BEFORE)
        elif not gone:
            others.append(past)
    stayers: list[Asked] = []
    for past, leaver in zip(others[:MOST], cycle(leavers), strict=False):
        stayers += _asked(past, leaver.today)
    return _points(workspace, card, leavers), _points(workspace, card, stayers)


def _asked(past: Past, today: int) -> Iterator[Asked]:
    at = end_of_day(today, past.time_zone)
    since = past.since(at)
    if since is not None:
        yield Asked(past.customer_id, at, today, since)


def _points(workspace: Workspace, card: Card, asked: Sequence[Asked]) -> dict[str, list[Decimal]]:
    found: dict[str, list[Decimal]] = {name: [] for name in card.measures}
    for assessment in records.judged(workspace.store, card, asked, known_sources(workspace)).values():
        for name, judged in assessment.measures.items():
            if judged.points is not None and name in found:
                found[name].append(judged.points)
    return found


def _points_and_answers(
    workspace: Workspace, card: Card, everybody: Mapping[str, Past], kind: str
) -> dict[str, list[tuple[Decimal, Decimal]]]:
    """For each measure that does not read this kind itself: the points now, beside the last answer."""
    rows = workspace.store.rows(sql("changing", "latest_answers"), {"kind": kind})
    said = {row["customer_id"]: Decimal(row["last_value"]) / MILLION for row in rows}
    now = seconds(workspace.clock)
    asked = [
        Asked(one, now, local_day(now, everybody[one].time_zone), since)
        for one in said if one in everybody and (since := everybody[one].since(now)) is not None
    ]  # fmt: skip
    found: dict[str, list[tuple[Decimal, Decimal]]] = {
        name: [] for name, one in card.measures.items() if not _reads(card, one, kind)
    }
    if not asked:
        return found
    judged = records.judged(workspace.store, card, asked, known_sources(workspace))
    for customer_id, assessment in judged.items():
        for name, one in assessment.measures.items():
            if name in found and one.points is not None:
                found[name].append((one.points, said[customer_id]))
    return found


def _reads(card: Card, measure: Measure, kind: str) -> bool:
    return kind in kinds(card, measure)
