"""The worker is killed without warning, again and again, and every day ends as it would have ended in peace.

Three mail channels: one that deduplicates and one that can be asked, on which no mail is lost or sent twice; and plain
SMTP, on which a mail that was interrupted is *unknown* afterwards, at most one for each kill and connection, and is never
sent again by itself.

KEEPWELL_CRASH_KILLS is the number of kills in all: 200 in CI, else 1,200, which is every named point on both databases and
more than 200 at random.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash import traps
from tests.crash.business import CONNECTIONS
from tests.crash.campaign import Campaign, Figures
from tests.crash.channels import CAN_BE_ASKED, DEDUPLICATES, PLAIN_SMTP
from tests.crash.mutants import MUTANTS
from tests.crash.stage import Nursery, set_up
from worker.lib.store import Store

HURRIES: Final = bool(os.environ.get("CI") or os.environ.get("PROVE_SECONDS"))
KILLS: Final = int(os.environ.get("KEEPWELL_CRASH_KILLS", "200" if HURRIES else "1200"))
FIRST_DAYS: Final = KILLS // 20
"""Of them on each database: those of the first day, on which our tags and fields are made in the CRM."""
OTHER_DAYS: Final = (KILLS - 2 * FIRST_DAYS) // 4
"""Of them on each database and with each mail channel."""
CHANNELS: Final = (DEDUPLICATES, PLAIN_SMTP)
CAUGHT_WITHIN: Final = 12
"""Kills after which a wrong design must have been found out."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


def share_of(points: list[str], channel: str) -> list[str]:
    """The named points that a campaign begins with: each channel has half, and SMTP all around mails, these first.

    On the first day, with the third channel: those around mails, and around calls that change something, of which some
    make our tags and fields.
    """
    shuffled = random.Random(7).sample(points, len(points))
    if channel == CAN_BE_ASKED:
        return sorted(shuffled, key=lambda point: point.split()[1] not in {"mail", "write"})
    if channel == DEDUPLICATES:
        return shuffled[::2]
    return [*traps.mails(shuffled), *(point for point in shuffled[1::2] if point not in traps.mails(points))]


def test_both_channels_together_begin_with_every_named_point() -> None:
    points = traps.named({"receipt": 3, "commit": 9, "read": 2, "write": 4, "mail": 2})

    first, second = (share_of(points, channel) for channel in CHANNELS)

    assert len(points) == 40
    assert {*first, *second} == {*points}
    assert set(second[:4]) == {"before mail 1", "after mail 1", "before mail 2", "after mail 2"}


def test_the_three_usual_wrong_designs_are_among_the_mutants() -> None:
    assert {"send then mark", "mark then send", "cursor before send"} < MUTANTS.keys()


@pytest.mark.prove
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("channel", CHANNELS)
def test_days_on_sqlite_end_as_they_would_have_without_a_kill(
    channel: str, nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _prove("sqlite", channel, nursery, tmp_path, record_property)


@pytest.mark.prove
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("channel", CHANNELS)
def test_days_on_postgresql_end_as_they_would_have_without_a_kill(
    channel: str, nursery: Nursery, tmp_path: Path, postgres_store: Store,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    _prove("postgresql", channel, nursery, tmp_path, record_property)


@pytest.mark.prove
@pytest.mark.timeout(3_600)
def test_the_first_day_on_sqlite_ends_as_it_would_have_without_a_kill(
    nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _prove("sqlite", CAN_BE_ASKED, nursery, tmp_path, record_property)


@pytest.mark.prove
@pytest.mark.timeout(3_600)
def test_the_first_day_on_postgresql_ends_as_it_would_have_without_a_kill(
    nursery: Nursery, tmp_path: Path, postgres_store: Store, record_property: Callable[[str, object], None]
) -> None:
    _prove("postgresql", CAN_BE_ASKED, nursery, tmp_path, record_property)


def _prove(
    database: str, channel: str, nursery: Nursery, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    first = channel == CAN_BE_ASKED
    kills = FIRST_DAYS if first else OTHER_DAYS
    with set_up(folder, database, nursery, channel=channel, first=first) as stage:
        campaign = Campaign(stage, seed=len(database + channel))
        figures = campaign.run(kills, share_of(campaign.points, channel))
    day = "the first day, " if first else ""
    record_property("figures", f"crash, {database}, {day}{channel}: {figures}")

    assert figures.faults == []
    assert figures.kills >= kills
    assert figures.letters > figures.days, "or nothing was proved"
    assert figures.unknown <= (CONNECTIONS * figures.kills if channel == PLAIN_SMTP else 0)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_the_proof_finds_a_worker_that_would(
    mutant: str, nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with set_up(tmp_path, "sqlite", nursery, channel=PLAIN_SMTP) as stage:
        campaign = Campaign(stage, seed=3)
        points = [point for point in campaign.points if point.split()[1] in _BITES[mutant]]
        figures = campaign.run(CAUGHT_WITHIN, points, mutant=mutant, until_caught=True)
    record_property("figures", f"crash, mutant {mutant!r}: caught with {_caught(figures)}")

    assert getattr(figures, _SHOWN_BY[mutant])


_BITES: Final = {
    "send then mark": {"mail"}, "mark then send": {"mail"}, "cursor before send": {"mail"},
    "believe what was begun": {"write"}, "acknowledge before the commit": {"receipt"},
}  # fmt: skip
"""Around what a wrong design shows."""
_SHOWN_BY: Final = {
    "send then mark": "doubled", "mark then send": "lost", "cursor before send": "lost",
    "believe what was begun": "faults", "acknowledge before the commit": "lost",
}  # fmt: skip


def _caught(figures: Figures) -> str:
    return f"kill {figures.kills}: {figures.lost} lost, {figures.doubled} doubled, {len(figures.faults)} faults"
