"""`keepwell hold-out`: what it would take, switched on by a person, and how far it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.plays.post import Post
from worker import setup
from worker.cli import main
from worker.lib.clock import DAY, SystemClock, seconds
from worker.lib.store import SqliteStore
from worker.plays import trials

NOW = seconds(SystemClock())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose play was set off for 60 customers 100 days ago, and for 24 in the last weeks."""
    setup.init(tmp_path, "Acme", "a sentence of some length", {})
    store = SqliteStore(tmp_path / "keepwell.db")
    with store.atomic():
        post = Post(store, customers=100)
        for n in range(60):
            post.mailed("usage-drop", NOW - 100 * DAY, customer=f"cus_{n}")
        for n in range(60, 84):
            post.refused("usage-drop", NOW - 5 * DAY, customer=f"cus_{n}")
        store.run(
            "insert into identities (id, source, external_id, customer_id, at, via) values ('i', 's', 'e', 'cus_0', 0, 'first')"
        )
        for n in range(15):
            store.run(
                "insert into facts (id, customer_id, identity_id, kind, at, known_at, day, value, source, source_id, sighted_at)"
                f" values ('f{n}', 'cus_{n}', 'i', 'left', {NOW - 60 * DAY}, 0, 0, 1, 's', 'f{n}', 0)"
            )
    store.close()
    return tmp_path


def keepwell(folder: Path, *words: str, say: str | None = None) -> Result:
    done = CliRunner().invoke(main, ["-w", str(folder), *words], prog_name="keepwell", input=say)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def running(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(keepwell(folder, "hold-out", "--json").output)
    return found


def test_a_person_is_told_what_it_takes_from_the_workspace_s_own_numbers_and_may_say_no(folder: Path) -> None:
    done = keepwell(folder, "hold-out", "usage-drop", "20%", say="n\n")

    assert "usage-drop was set off for 24 new customers in the last 12 weeks, done or refused." in done.output
    assert "45 of 60 customers for whom it was set off had not left 90 days later (75.0%)." in done.output
    assert "To tell 80.0% from 75.0% with 20 % held out" in done.output
    assert "at the present 2.0 new customers a week that would take 32 years, too long to be an answer" in done.output
    assert done.exit_code == 1
    assert running(folder) == []


def test_it_is_switched_on_listed_with_its_arms_and_switched_off(folder: Path) -> None:
    done = keepwell(folder, "hold-out", "usage-drop", "50", "--base-rate", "40", "--lift", "40", "--yes")
    assert "50 % of the customers for whom usage-drop is set off from now on are held out." in done.output
    store = SqliteStore(folder / "keepwell.db")
    one = trials.switched_on(store)["usage-drop"]
    held = [n for n in range(84, 100) if trials.assign(store, one, f"cus_{n}", one.at, "x")]
    store.close()

    [listed] = running(folder)
    assert (listed["acted"], listed["held"], listed["percent"]) == (16 - len(held), len(held), 50)
    assert listed["customers_needed"] == one.customers == 46
    assert listed["still"] == "30 more customers; at the present 2.0 new customers a week that takes 15 weeks"
    assert "30 more customers" in keepwell(folder, "hold-out").output

    again = keepwell(folder, "hold-out", "usage-drop", "10", "--yes")
    assert "A hold-out of 50 % is on; it ends with this, and its 16 customers count no more." in again.output
    assert "acts for everybody again" in keepwell(folder, "hold-out", "usage-drop", "--off").output
    assert running(folder) == []


def test_json_without_yes_only_tells(folder: Path) -> None:
    told = json.loads(keepwell(folder, "hold-out", "usage-drop", "20", "--json").output)
    assert (told["on"], told["base_rate"], told["power"]["weeks"] > 1000) == (False, 0.75, True)
    assert running(folder) == []
    assert json.loads(keepwell(folder, "hold-out", "usage-drop", "20", "--json", "--yes").output)["on"] is True
    assert len(running(folder)) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["failed-payment", "10"], "transactional: what a customer has to be told is never held out"),
        (["usage-dorp", "10"], "is no play → did you mean 'usage-drop'?"),
        (
            ["low-nps", "10"],
            "too few to say how many stay → say what share reaches its goal without it: --base-rate 80",
        ),
        (["usage-drop", "10", "--base-rate", "98"], "a lift of +5.0% on 98.0% is none that can be"),
        (["usage-drop", "10", "--lift", "0"], "is none that can be"),
        (["usage-drop"], "say how many of a hundred: keepwell hold-out usage-drop 20"),
        (["usage-drop", "60"], "'60' is none; write a number from 1 to 50"),
        (["usage-drop", "ten"], "'ten' is none; write a number from 1 to 50"),
        (["usage-drop", "2.5"], "hold out a whole number of a hundred"),
        (["usage-drop", "--off"], "has no hold-out"),
    ],
)
def test_what_cannot_be_held_out_is_refused(folder: Path, words: list[str], told: str) -> None:
    done = keepwell(folder, "hold-out", *words, "--yes")

    assert done.exit_code == 2
    assert told in " ".join(done.output.split())
    assert running(folder) == []
