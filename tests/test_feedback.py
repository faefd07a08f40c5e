"""What customers lack, for the product team: put together once a week, from what several of them lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.dispatch.business import Business, business
from worker import controls, feedback
from worker.cli import main
from worker.lib.clock import DAY, HOUR
from worker.lib.store import Store
from worker.plays.records import keep_fired, set_switch
from worker.schedule import Wheel

PLAY = "product-feedback"


@pytest.fixture
def here(tmp_path: Path, sqlite_store: Store) -> Iterator[Business]:
    with business(tmp_path / "workspace", sqlite_store) as opened:
        set_switch(sqlite_store, "first_pass", "run_1", opened.now)
        controls.set_mode(opened.workspace, "live")
        yield opened


def enter(here: Business, number: int) -> list[str]:
    """So many customers; gives their contacts."""
    contacts = [here.enter(f"C{place}") for place in range(number)]
    here.clock.sleep(300)
    here.turn(dispatch=False)
    return contacts


def lack(here: Business, contact: str, kind: str, label: str, times: int = 1, *, days_ago: int = 1) -> None:
    """This customer met that, and the play was set off for it."""
    for _ in range(times):
        here.happens(contact, kind, at=here.now - days_ago * DAY, label=label)
    keep_fired(here.store, here.customer(contact), PLAY, "band:1", here.now)


def told(here: Business) -> list[tuple[str, str]]:
    rows = here.store.rows("select title, text from notices where key like 'feedback:%' order by key")
    return [(row["title"], row["text"]) for row in rows]


def monday(here: Business, hour: int = 9) -> None:
    """The next Monday at that hour."""
    days = (7 - (here.now // DAY + 3) % 7) % 7 or 7
    here.clock.move_to((here.now // DAY + days) * DAY + hour * HOUR)


def test_what_three_customers_lack_is_told_the_commonest_first(here: Business) -> None:
    contacts = enter(here, 4)
    for contact in contacts:
        lack(here, contact, "error_met", "export", 2)
    for contact in contacts[:3]:
        lack(here, contact, "empty_search", "invoices")
    for contact in contacts[:2]:
        lack(here, contact, "error_met", "login", 9)

    (digest,) = feedback.digests(here.workspace)
    assert digest.customers == 4
    assert digest.text.splitlines() == [
        "Of 4 customers, within 30 days:",
        "4 customers: errors met (export), 8 times",
        "3 customers: searches without result (invoices), 3 times",
    ]


def test_what_two_lack_what_is_old_and_what_others_lack_is_not_told(here: Business) -> None:
    contacts = enter(here, 5)
    for contact in contacts[:2]:
        lack(here, contact, "error_met", "export")
    lack(here, contacts[2], "error_met", "export", days_ago=31)
    here.happens(contacts[3], "error_met", label="export")  # has not turned red

    assert feedback.digests(here.workspace) == []


def test_each_week_is_told_once_by_whichever_schedule_and_then_only_what_is_new(here: Business) -> None:
    contacts = enter(here, 6)
    for contact in contacts[:3]:
        lack(here, contact, "error_met", "export")
    monday(here)
    for _ in range(2):
        for wheel in (Wheel(here.workspace), Wheel(here.workspace)):
            wheel.weekly()
    assert told(here) == [
        (
            "What customers who turned red lack",
            "Of 3 customers, within 30 days:\n3 customers: errors met (export), 3 times",
        )
    ]

    monday(here)
    Wheel(here.workspace).weekly()
    assert len(told(here)) == 1

    for contact in contacts[3:]:
        lack(here, contact, "help_asked_again", "import")
    monday(here)
    Wheel(here.workspace).weekly()
    assert told(here)[-1][1].endswith("3 customers: repeated calls for help (import), 3 times")


def test_it_reaches_the_team(here: Business) -> None:
    for contact in enter(here, 3):
        lack(here, contact, "error_met", "<export>")
    monday(here)
    Wheel(here.workspace).weekly()
    here.turn(pulls=False)

    assert [message.text for message in here.slack.messages if "lack" in message.text] == [
        "What customers who turned red lack: Of 3 customers, within 30 days:\n3 customers: errors met (&lt;export&gt;), 3 times"
    ]


@pytest.mark.parametrize("mode", ["watch", "draft", "approve"])
def test_where_alerts_may_not_leave_nothing_is_put_aside_either(here: Business, mode: str) -> None:
    for contact in enter(here, 3):
        lack(here, contact, "error_met", "export")
    set_switch(here.store, "mode", mode, here.now)
    monday(here)
    Wheel(here.workspace).weekly()
    assert told(here) == []

    set_switch(here.store, "mode", "live", here.now)
    monday(here)
    Wheel(here.workspace).weekly()
    assert len(told(here)) == 1


def test_before_monday_s_morning_the_week_has_not_begun(here: Business) -> None:
    monday(here, hour=0)
    began = here.now
    for hours, week in ((7, ""), (8, "2026-W02"), (23, "2026-W02"), (24 * 6, "2026-W02"), (24 * 7, "")):
        here.clock.move_to(began + hours * HOUR)
        assert feedback.is_time(here.workspace) == week


def test_a_command_shows_it_and_changes_nothing(tmp_path: Path) -> None:
    with business(tmp_path / "workspace") as here:
        for contact in enter(here, 3):
            lack(here, contact, "error_met", "export", 2)
        keys = {"KEAP_KEY": here.keap.key, "KEAP_HOOK_SECRET": "0123456789abcdef", "SLACK_URL": here.slack.webhook_url}
        set_switch(here.store, "clock_stands_at", str(here.now), here.now)
        for words in ([], ["--json"]):
            done = CliRunner().invoke(main, ["-w", str(tmp_path / "workspace"), "feedback", *words], env=keys)
            assert done.exit_code == 0, done.output
        (shown,) = json.loads(done.output)
        assert shown["lacks"] == [{"kind": "error_met", "label": "export", "customers": 3, "times": 6}]
        assert told(here) == []
