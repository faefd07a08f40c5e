"""However often the writer is killed, the contacts end as an uninterrupted run leaves them, with all of others on them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.prove.writer import MUTANTS, NAMES, NOON, POINTS
from worker.dispatch import outbox
from worker.effects import Standing
from worker.intake import records
from worker.lib.clock import VirtualClock
from worker.lib.store import SqliteStore
from worker.sandbox.servers.keap import PretendKeap

CONTACTS: Final = 30
ROOT: Final = Path(__file__).resolve().parents[2]
Picture = list[tuple[set[str], dict[str, Any]]]


@dataclass(frozen=True)
class Verdict:
    kills: int
    picture: Picture
    """Tags and fields of every contact at the end."""
    lost: int
    """Values and tags of others that were lost by our hand."""
    unkept: list[str]
    """Contacts that were written to without a snapshot of how they were."""
    open: int
    """Standings that are not done."""


def fill(store: SqliteStore, keap: PretendKeap) -> None:
    """Contacts with a past of their own, which show yesterday's colours, and what they shall show today."""
    store.migrate()
    dice = random.Random(5)
    for number in range(CONTACTS):
        contact_id = keap.add_contact(
            f"C{number}", "Customer", f"c{number}@customer.example",
            custom_fields={"Plan": f"Plan {number}", "Note": "mind the dog"}, tags=["VIP"],
        )  # fmt: skip
        customer_id = records.add_customer(store, name=f"C{number}", first_at=NOON)
        old, new = dice.sample(sorted(NAMES.tags), 2)
        for place, band in enumerate((old, new)):
            standing = Standing(customer_id, contact_id, band, str(dice.randrange(100)), f"because {number}", NOON)
            outbox.put(store, standing, f"{place}:{number}", NOON)


def crash(folder: Path, mutant: str, points: tuple[str, ...], seed: int = 1) -> Verdict:
    """Write yesterday's standings in peace; then today's, killed at each point; then look at Keap."""
    folder.mkdir()
    database, keap, dice = folder / "keepwell.db", PretendKeap(VirtualClock(NOON)), random.Random(seed)
    store = SqliteStore(database)
    keap.start()
    try:
        fill(store, keap)
        store.run("update effects set state = 'later' where key >= '1:'")
        assert _write(database, keap.base_url, "real", "", dice) == 0
        store.run("update effects set state = 'waiting' where state = 'later'")
        kills = sum(_write(database, keap.base_url, mutant, point, dice) < 0 for point in points)
        assert _write(database, keap.base_url, mutant, "", dice) == 0
        picture = [(keap.tags_of(one), keap.field_values(one)) for one in sorted(keap.contacts)]
        lost = keap.foreign_losses("Keepwell", set(NAMES.fields.values()))
        kept = {row["contact_id"] for row in store.rows("select contact_id from snapshots")}
        left = int(store.value("select count(*) as n from effects where state <> 'done'"))
    finally:
        keap.stop()
        store.close()
    return Verdict(kills, picture, lost, sorted(keap.contacts.keys() - kept), left)


def _write(database: Path, url: str, mutant: str, point: str, dice: random.Random) -> int:
    """One life of the writer; gives its exit code, below 0 where it was killed."""
    at = "" if point == "random" else point
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.prove.writer", str(database), url, mutant, at],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    if point == "random" and process.stdout.readline():
        time.sleep(dice.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.prove
def test_a_write_back_that_is_killed_again_and_again_ends_as_one_that_was_left_in_peace(tmp_path: Path) -> None:
    peace = crash(tmp_path / "peace", "real", ())

    killed = crash(tmp_path / "killed", "real", (*POINTS, *["random"] * 3))

    assert killed.kills >= len(POINTS), "or nothing was proved"
    assert killed.picture == peace.picture
    assert all(len(tags & set(NAMES.tags.values())) == 1 for tags, _ in killed.picture)
    assert (killed.lost, killed.unkept, killed.open) == (0, [], 0)


@pytest.mark.prove
@pytest.mark.parametrize("mutant", sorted(MUTANTS.keys() - {"real"}))
def test_the_proof_finds_a_writer_that(mutant: str, tmp_path: Path) -> None:
    peace = crash(tmp_path / "peace", "real", ())

    killed = crash(tmp_path / "killed", mutant, POINTS[:3])

    assert killed.picture != peace.picture or killed.lost
