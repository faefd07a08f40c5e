"""The command line, as a person uses it, in folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.conftest import START
from worker.cli import main
from worker.dispatch import outbox
from worker.effects import Alert
from worker.intake.pull import store_raw
from worker.lib.store import SqliteStore

PASSWORD = "a sentence of some length"
SCRIPT = Path(sysconfig.get_path("scripts")) / "keepwell"


class Terminal:
    """Types `keepwell` where nothing but the workspace may be written."""

    def __init__(self, folder: Path) -> None:
        self.cwd = folder / "cwd"
        self.cwd.mkdir()
        self.workspace = folder / "acme"
        self.environ = {"PATH": os.environ["PATH"], "KEEPWELL_PASSWORD": PASSWORD, "HOME": str(folder)}
        if here := os.environ.get("PYTHONPATH"):  # of two copies of the source, the one that is tested
            self.environ["PYTHONPATH"] = here

    def __call__(self, *words: str, code: int = 0, **environ: str) -> str:
        """`keepwell -w WORKSPACE …` in this process; gives what it printed, on either channel."""
        env = dict.fromkeys(os.environ) | self.environ | environ
        with contextlib.chdir(self.cwd):
            done = CliRunner().invoke(main, ["-w", str(self.workspace), *words], env=env, prog_name="keepwell")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code == code, done.output
        return done.output

    def script(self, *words: str | bytes, code: int = 0) -> str:
        """The same by the console script, in a process of its own: it takes a second to start."""
        done = subprocess.run(
            [SCRIPT, "-w", self.workspace, *words], cwd=self.cwd, env=self.environ, capture_output=True,
            timeout=60, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert "Traceback" not in said, said
        assert done.returncode == code, said
        return said


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    terminal = Terminal(folder)
    terminal.script("init", str(terminal.workspace), "--name", "Acme")
    return terminal.workspace


@pytest.fixture
def terminal(tmp_path: Path, _made: Path) -> Iterator[Terminal]:
    """A terminal in a folder of its own, with a workspace that was just made."""
    found = Terminal(tmp_path)
    shutil.copytree(_made, found.workspace)
    yield found
    assert list(found.cwd.iterdir()) == [], "nothing is written where a person happens to be"


def _commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*before, name))
        else:
            yield (*before, name), command


@pytest.mark.parametrize(
    ("words", "command"), list(_commands(main)), ids=lambda one: " ".join(one) if isinstance(one, tuple) else ""
)
def test_every_command_says_what_it_does_with_an_example_that_it_understands(
    words: tuple[str, ...], command: click.Command
) -> None:
    assert command.help
    assert re.match(rf"Example: keepwell (-w \w+ )?{' '.join(words)}\b", str(command.epilog))
    with command.make_context(words[-1], ["--help"], resilient_parsing=True) as context:
        assert str(command.epilog) in " ".join(command.get_help(context).split())


def test_a_day_in_the_life_of_a_workspace(terminal: Terminal) -> None:
    assert "up to date" in terminal("migrate")
    assert "Acme is in watch" in terminal("check")
    key = terminal("keys", "create", "make").strip()
    assert key.startswith("kw_")
    [listed] = json.loads(terminal("keys", "list", "--json"))
    assert listed["name"] == "make"
    assert key not in json.dumps(listed)

    events = [
        {
            "event_id": f"e{n}",
            "kind": "usage",
            "at": f"2026-01-0{n}T09:00:00Z",
            "email": "ann@acme.example",
            "name": "Ann",
        }
        for n in range(1, 6)
    ]
    store = SqliteStore(terminal.workspace / "keepwell.db")
    store_raw(store, "api", "events", "req_1", json.dumps(events), START)
    store.close()
    assert "1 deliveries read, 5 facts kept" in terminal.script("run")
    usage = next(one for one in json.loads(terminal("facts", "--json")) if one["kind"] == "usage")
    assert (usage["facts"], usage["customers"]) == (5, 1)
    assert json.loads(terminal("score", "--json"))["customers"][0]["name"] == "Ann"
    assert json.loads(terminal("explain", "ann@acme.example", "--json"))["name"] == "Ann"
    assert terminal("explain", "Ann").startswith("Ann as of ")
    assert "1 deliveries read again, 0 facts new or mended" in terminal("replay", "api")
    assert "0 customers" in terminal("score", "--as-of", "2025-12-31")

    assert terminal("keys", "revoke", listed["id"]) == f"{listed['id']} is revoked.\n"
    assert terminal("undo") == "none\n"


def test_a_workspace_goes_live_pauses_and_goes_on_when_told(terminal: Terminal) -> None:
    assert terminal("mode") == "watch\n"
    assert "The workspace is in live." in terminal("mode", "live", "--yes")
    assert "Paused" in terminal("pause")
    assert "paused" in terminal("check", code=1)
    assert "0 effects have waited" in terminal("resume")
    assert "Nothing will leave any more" in terminal("mode", "watch", "--yes")


def test_kinds_of_act_are_released_by_name_and_a_backfill_at_a_pace(terminal: Terminal) -> None:
    assert "keepwell release" in terminal("mode", "approve", "--yes")
    assert terminal("release") == ""
    assert "field:score is released" in terminal("release", "field:score", "--yes", "--by", "Olga")
    assert "field:score: released by Olga" in terminal("release")
    assert json.loads(terminal("release", "--json"))[0]["name"] == "field:score"
    assert "is no kind of act" in terminal("release", "field:shoe", "--yes", code=2)
    assert "20 an hour" in terminal("release", "backfill", "--per-hour", "20", "--yes")
    assert "for the backfill" in terminal("release", "alert", "--per-hour", "20", code=2)
    assert terminal("drafts") == "none\n"


def test_without_a_crm_nothing_of_ours_can_be_kept_put_right_or_put_back(terminal: Terminal, tmp_path: Path) -> None:
    assert "keap: is not set up" in terminal("snapshot", code=2)
    assert "take one with: keepwell snapshot" in terminal("restore", str(tmp_path / "none.json"), code=2)
    assert "0 contacts looked at, 0 differ; nothing is queued." in terminal("reconcile", "--dry-run")
    assert "no customer" in terminal("take-back", "nobody", code=2).lower()
    assert "The mode becomes watch" in terminal("uninstall", "--dry-run")
    assert json.loads(terminal("uninstall", "--yes", "--json"))["left"] == []


def test_what_waits_for_a_yes_is_decided_at_the_terminal(terminal: Terminal) -> None:
    store = SqliteStore(terminal.workspace / "keepwell.db")
    store.run("insert into customers (id, name, first_at) values ('cus_1', 'Ann', 1)")
    for n in (1, 2):
        alert = Alert("cus_1", f"Call Ann {n}", "She waits.")
        effect_id = outbox.put(store, alert, f"key {n}", START, state="asked")
        store.run("update effects set id = :new where id = :id", {"id": effect_id, "new": f"eff_{n}"})
        store.run(
            "insert into approvals (effect_id, why, asked_at) values (:id, 'all', :n)", {"id": f"eff_{n}", "n": n}
        )
    store.close()

    listed = json.loads(terminal("approvals", "--json"))
    assert [(one["effect_id"], one["subject"], one["why"]) for one in listed] == [
        ("eff_2", "Call Ann 2", "all"),
        ("eff_1", "Call Ann 1", "all"),
    ]
    assert "Call Ann 1" in terminal("approvals")
    assert "She waits." in terminal("approve", "eff_1", code=1)  # nobody is there to confirm it
    assert "It leaves with the next turn" in terminal("approve", "eff_1", "--yes", "--by", "bea")
    assert "bea said yes" in terminal("approve", "eff_1", code=1)
    assert "say why not" in terminal("refuse", "eff_2", code=2)
    assert "It does not leave." in terminal("refuse", "eff_2", "--note", "I call her")
    assert "nobody is asked about" in terminal("approve", "eff_3", code=2)
    assert terminal("approvals") == "none\n"


def test_a_change_of_mode_that_nobody_confirms_does_not_happen(terminal: Terminal) -> None:
    terminal.script("mode", "live", code=1)

    assert terminal("mode") == "watch\n"


def test_a_workspace_is_closed_to_all_others(terminal: Terminal) -> None:
    assert terminal.workspace.stat().st_mode & 0o777 == 0o700
    assert (terminal.workspace / "keepwell.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "--as-of", "2024-13-01"], "'2024-13-01' is no day"),
        (["score", "--as-of", "9999-12-31"], "'9999-12-31' is no day"),
        (["explain", "nobody"], "'nobody' is no customers"),
        (["explain", ""], "is no customers"),
        (["replay", "stripe", "--since", "soon"], "'soon' is no day; write it as 2026-01-31"),
        (["undo", "run_x"], "run_x: wrote nothing that still stands"),
        (["keys", "revoke", "key_x"], "there is no key 'key_x' in use"),
        (["mode", "asleep"], "'asleep' is not one of"),
        (["import", "nothing.toml", "rows.csv"], "'nothing.toml' does not exist"),
        (["eval", "nothing.toml", "cases.jsonl"], "'nothing.toml' does not exist"),
        (["explode"], "No such command 'explode'"),
        (["demo", "--weeks", "0"], "0 is not in the range"),
    ],
    ids=lambda one: repr(one)[:40] if isinstance(one, list) else "",
)
def test_a_slip_of_a_person_is_told_in_words(terminal: Terminal, words: list[str], said: str) -> None:
    assert said in terminal(*words, code=2)


def test_a_word_that_is_no_text_is_told_in_words(terminal: Terminal) -> None:
    assert "is no customers" in terminal.script("explain", b"a\xffb", code=2)


def test_a_folder_without_a_workspace_names_the_cure(terminal: Terminal) -> None:
    shutil.rmtree(terminal.workspace)

    assert "config.toml: is not there → make a workspace with: keepwell init" in terminal("check", code=2)


def test_a_workspace_is_not_made_twice_nor_with_a_weak_password(terminal: Terminal) -> None:
    assert "is there already" in terminal("init", str(terminal.workspace), code=2)
    weak = terminal.workspace.parent / "weak"
    assert "shorter than 10 characters" in terminal("init", str(weak), code=2, KEEPWELL_PASSWORD="short")
    assert not weak.exists()


def test_every_mistake_in_the_config_is_one_line_with_its_cure(terminal: Terminal) -> None:
    wrong = '[workspace]\nname = "Acme"\ntime_zone = "Mars"\n[schedule]\npull_every = -4\n[worksapce]\nx = 1\n'
    (terminal.workspace / "config.toml").write_text(wrong)
    lines = terminal("run", code=2).splitlines()

    assert len(lines) == 3
    for line, place in zip(lines, (":3: workspace.time_zone", ":5: schedule.pull_every", ":6: worksapce"), strict=True):
        assert place in line
        assert " → " in line


@pytest.mark.parametrize("text", [b"[workspace", b"\xff", b"name = "], ids=["cut off", "no text", "no value"])
def test_a_config_that_cannot_be_read_is_told_in_one_line(terminal: Terminal, text: bytes) -> None:
    (terminal.workspace / "config.toml").write_bytes(text)

    assert "config.toml" in terminal("migrate", code=2)


def test_a_database_that_is_gone_asks_for_the_tables(terminal: Terminal) -> None:
    for file in terminal.workspace.glob("keepwell.db*"):
        file.unlink()

    assert "run: keepwell migrate" in terminal("check", code=2)
    assert "applied: 0001_the_river" in terminal("migrate")
    assert "Acme is in watch" in terminal("check")


@pytest.mark.parametrize(
    ("address", "said"),
    [("mysql://x", "names no database"), ("postgresql://x@127.0.0.1:1/x", "PostgreSQL does not answer")],
)
def test_a_wrong_address_of_the_database_is_told(terminal: Terminal, address: str, said: str) -> None:
    assert said in terminal("check", code=2, DATABASE_URL=address)


def test_a_file_that_is_no_database_is_told(terminal: Terminal) -> None:
    (terminal.workspace / "keepwell.db").write_text("dear diary, " * 100)

    assert "keepwell.db cannot be opened" in terminal("check", code=2)


def test_while_one_turns_the_wheel_another_is_told_to_wait(terminal: Terminal) -> None:
    store = SqliteStore(terminal.workspace / "keepwell.db")
    store.run("insert into leases (name, owner, until) values ('wheel', 'other', 99999999999)")
    store.close()

    assert "another process is turning the wheel" in terminal("run", code=1)
