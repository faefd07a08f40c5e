"""The demo as a newcomer runs it: the real command, whole, and what the vendors' own records say of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.plays.arbiter import CHECKS

pytestmark = pytest.mark.prove

SHAPE: dict[str, Any] = {
    "weeks": int, "customers": int, "facts": int, "changes": int, "alerts": int, "seconds": float, "faults_met": dict,
    "bands": {"green": int, "yellow": int, "red": int, "grey": int},
    "crm": {
        "contacts_tagged": int, "contacts_with_score": int, "disagreeing_contacts": int, "foreign_values_lost": int,
        "calls": int,
    },
    "mails": {"sent": int, "duplicates": int, "distinct_texts": int},
    "webhooks": {"sent": int, "accepted": int},
    "plays": dict, "refusals": dict, "reds": int, "reds_with_act": int, "reds_without_act": int,
}  # fmt: skip


def shape(data: Any) -> Any:
    return {key: shape(value) for key, value in data.items()} if isinstance(data, dict) else type(data)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    command = ["demo", "--once", "--json", "--weeks", "5", "--customers", "90", "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "worker", *command], capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, "")
    [line] = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.timeout(300)
def test_the_demo_prints_one_object_of_the_promised_shape(result: dict[str, Any]) -> None:
    assert {**shape(result), "faults_met": dict, "plays": dict, "refusals": dict} == SHAPE


@pytest.mark.timeout(300)
def test_keap_and_our_store_agree_and_nothing_of_others_is_lost(result: dict[str, Any]) -> None:
    assert (result["crm"]["disagreeing_contacts"], result["crm"]["foreign_values_lost"]) == (0, 0)
    assert result["crm"]["contacts_tagged"] == result["crm"]["contacts_with_score"] == sum(result["bands"].values())
    assert result["crm"]["contacts_tagged"] > 75


@pytest.mark.timeout(300)
def test_mails_of_several_wordings_go_out_once_and_the_team_hears(result: dict[str, Any]) -> None:
    assert result["mails"]["duplicates"] == 0
    assert result["mails"]["distinct_texts"] >= 5
    assert result["alerts"] > 0
    assert result["changes"] > 0


@pytest.mark.timeout(300)
def test_every_red_customer_has_an_act_or_a_reason(result: dict[str, Any]) -> None:
    assert result["reds"] > 0
    assert 0 < result["reds_with_act"] <= result["reds"]
    assert result["reds_without_act"] == 0


@pytest.mark.timeout(600)
def test_in_twelve_weeks_every_play_is_set_off_and_every_check_of_the_arbiter_speaks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo", "--once", "--json", "--port", "0"],
        capture_output=True, text=True, check=True, timeout=580,
    )  # fmt: skip
    told = json.loads(done.stdout)

    assert [name for name, counts in told["plays"].items() if not counts["set_off"]] == []
    assert [check.__name__ for check in CHECKS if not told["refusals"].get(check.__name__)] == []
    assert (told["reds_without_act"], told["mails"]["duplicates"], told["crm"]["disagreeing_contacts"]) == (0, 0, 0)


@pytest.mark.timeout(300)
def test_every_webhook_is_accepted_and_every_kind_of_fault_is_met(result: dict[str, Any]) -> None:
    assert result["webhooks"]["sent"] == result["webhooks"]["accepted"] > 100
    assert {
        "429_bare", "429_with_retry_after", "500", "duplicate_webhook", "reordered_webhook", "failed_item"
    } <= result["faults_met"].keys()  # fmt: skip


@pytest.mark.timeout(300)
def test_a_demo_that_was_kept_can_be_looked_at_when_its_vendors_are_gone(tmp_path: Path) -> None:
    kept = tmp_path / "the demo"
    command = [sys.executable, "-m", "worker"]
    made = subprocess.run(
        [*command, "demo", "--once", "--weeks", "2", "--customers", "20", "--port", "0", "--keep", str(kept)],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    offered = [shlex.split(line)[1:] for line in made.stdout.splitlines() if line.startswith("  keepwell -w ")]

    assert {words[2] for words in offered} == {
        "lookback",
        "explain",
        "plays",
        "score",
        "show",
        "lint",
        "preview",
        "facts",
    }
    for words in [*offered, ["-w", str(kept), "run"]]:
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert "  LOOK  keap" not in done.stdout
    [scored] = [words for words in offered if words[2] == "score"]
    now = subprocess.run([*command, *scored[:3]], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "as of 2026-01-19" in now
    assert re.search(r"^green +[1-9]", now, re.MULTILINE)
