"""Tasks in Keap: given to people with all they need, found again, and heard of when they are done."""

from __future__ import annotations

from typing import Any

import pytest

from integrations._keap_desk import KeapDesk, mark
from integrations.keap import INTEGRATION, KeapSettings
from tests.conftest import START
from worker.effects import Task
from worker.facts import MILLION, Delivery, Fact, Identity, Parsed
from worker.intake.inbox import take_in
from worker.integration import Page
from worker.lib.clock import DAY, HOUR, VirtualClock, iso
from worker.lib.http import GiveUp, Http, Unsure
from worker.lib.store import Store
from worker.sandbox.servers.keap import PretendKeap


def options(**more: Any) -> KeapSettings:
    return KeapSettings.model_validate({"key": "KeapAK-sandbox", **more})


def task(contact_id: str, owner: str = "1", **more: Any) -> Task:
    return Task(
        "cus_1", contact_id, owner, "Call Ada about her exports", "She exported every week until May.\n\nAsk what broke.",
        START + DAY, "usage-drop", link="https://us.example/customers/cus_1", **more,
    )  # fmt: skip


@pytest.fixture
def desk(http: Http, clock: VirtualClock) -> KeapDesk:
    return KeapDesk(http, options(), clock)


# -- giving -----------------------------------------------------------------------------------------------------------


def test_every_user_can_be_given_tasks_and_who_cannot_is_told_apart(keap: PretendKeap, desk: KeapDesk) -> None:
    for number in range(120):
        keap.add_user(f"U{number}", "Ser", f"u{number}@us.example")

    found = desk.colleagues()

    assert len({one.user_id for one in found}) == 121
    assert (found[0].user_id, found[0].name, found[0].email, found[0].active) == (
        "1", "Olga Office", "olga@business.example", True
    )  # fmt: skip


def test_a_task_carries_why_what_to_say_and_a_link(keap: PretendKeap, desk: KeapDesk, ada: str) -> None:
    task_id = desk.add(task(ada, priority="high"), "eff_1")

    made = keap.tasks[task_id].view()
    assert made["description"] == (
        "She exported every week until May.\n\nAsk what broke.\n\nhttps://us.example/customers/cus_1\n\n[keepwell:eff_1]"
    )
    assert (made["title"], made["priority"], made["due_time"]) == (
        "Call Ada about her exports", "CRITICAL", iso(START + DAY)
    )  # fmt: skip
    assert (made["assigned_to_user_id"], made["contact_id"]) == ("1", ada)


def test_a_task_for_nobody_goes_to_whom_the_settings_name(
    keap: PretendKeap, http: Http, desk: KeapDesk, ada: str, clock: VirtualClock
) -> None:
    with pytest.raises(GiveUp, match="task_user_id"):
        desk.add(task(ada, owner=""), "eff_1")
    cleo = keap.add_user("Cleo", "C", "cleo@us.example")

    task_id = KeapDesk(http, options(task_user_id=cleo), clock).add(task(ada, owner=""), "eff_1")

    assert keap.tasks[task_id].user_id == cleo


def test_a_task_for_somebody_who_left_is_given_up(keap: PretendKeap, desk: KeapDesk, ada: str) -> None:
    with pytest.raises(GiveUp, match="assigned_to_user_id"):
        desk.add(task(ada, owner="77"), "eff_1")


@pytest.mark.parametrize("with_contact", [True, False])
def test_a_task_that_was_made_though_the_answer_got_lost_is_found(
    keap: PretendKeap, desk: KeapDesk, ada: str, clock: VirtualClock, with_contact: bool
) -> None:
    wanted = task(ada if with_contact else "")
    keap.lose_next_answers = 1
    with pytest.raises(Unsure):
        desk.add(wanted, "eff_1")
    (task_id,) = keap.tasks
    clock.sleep(HOUR)
    keap.do_task(task_id)

    assert desk.find(wanted, "eff_1", START) == task_id
    assert desk.find(wanted, "eff_11", START) == "", "another's mark is not taken for it"


def test_a_task_that_never_arrived_is_not_looked_for_through_all_the_years(
    keap: PretendKeap, desk: KeapDesk, ada: str, clock: VirtualClock
) -> None:
    for number in range(250):
        keap.add_task(ada, f"Old {number}")
    clock.sleep(DAY)
    keap.faults.planned = ["500"]
    with pytest.raises(Unsure):
        desk.add(task(ada), "eff_1")

    before = len(keap.calls)
    assert desk.find(task(ada), "eff_1", START + DAY) == ""
    assert len(keap.calls) == before + 1


def test_check_says_whose_name_the_settings_mean(http: Http) -> None:
    assert INTEGRATION.check is not None

    lines = list(INTEGRATION.check(http, options(mail_user_id="1", task_user_id="77")))

    assert lines[-2:] == ["mail_user_id is Olga Office", "task_user_id is no active user of Keap"]


# -- hearing ----------------------------------------------------------------------------------------------------------


def pulled(http: Http, cursor: str | None, clock: VirtualClock) -> tuple[list[Page], str | None]:
    pull = next(one for one in INTEGRATION.pulls if one.stream == "tasks")
    pages = list(pull.fetch(http, options(), cursor, int(clock.now())))
    return pages, pages[-1].cursor


def said(page: Page) -> Parsed:
    assert INTEGRATION.parse is not None
    return INTEGRATION.parse(Delivery("dlv_1", "keap", "tasks", "x", page.body, START), options())


def facts(*pages: Page) -> list[Fact]:
    return [fact for page in pages for sighting in said(page).sightings for fact in sighting.facts]


def standing(found: list[Fact]) -> list[tuple[str, int, str, int, str]]:
    return [(one.kind, one.at - START, one.source_id, one.value // MILLION, one.label) for one in found]


def test_a_task_of_ours_is_open_until_it_is_done(
    keap: PretendKeap, http: Http, desk: KeapDesk, ada: str, clock: VirtualClock
) -> None:
    number = desk.add(task(ada), "eff_1")
    clock.sleep(60)
    pages, cursor = pulled(http, None, clock)
    waiting = [
        ("open_task", 0, f"task:{number}:opened", 1, "keepwell"),
        ("open_task", 0, f"task:{number}:ended", 0, "keepwell"),
    ]
    assert standing(facts(*pages))[:2] == waiting
    assert said(pages[0]).sightings[0].identities == (Identity("keap", ada),)

    clock.sleep(2 * DAY)
    keap.do_task(number)
    clock.sleep(60)
    pages, cursor = pulled(http, cursor, clock)
    assert standing(facts(*pages)) == [
        ("open_task", 0, f"task:{number}:opened", 1, "keepwell"),
        ("open_task", 2 * DAY + 60, f"task:{number}:ended", -1, "keepwell"),
        ("task_done", 2 * DAY + 60, f"task:{number}:done", 1, "keepwell"),
    ]

    keap.do_task(number, done=False)
    pages, cursor = pulled(http, cursor, clock)
    assert standing(facts(*pages)) == waiting


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1)])
def test_in_whatever_order_the_snapshots_come_the_newest_says_what_is_open(
    keap: PretendKeap, http: Http, ada: str, clock: VirtualClock, sqlite_store: Store, order: tuple[int, ...]
) -> None:
    number = keap.add_task(ada, "Call")
    snapshots = []
    for done in (None, True, False):
        clock.sleep(DAY)
        if done is not None:
            keap.do_task(number, done=done)
        snapshots.append(pulled(http, None, clock)[0][-1])

    for place in order:
        take_in(sqlite_store, "keap", said(snapshots[place]).sightings, int(clock.now()), known_at=int(clock.now()))

    rows = sqlite_store.rows("select kind, sum(value) as total from facts group by kind order by kind")
    assert {row["kind"]: row["total"] // MILLION for row in rows}["open_task"] == 1


def test_a_task_of_theirs_is_told_apart_and_its_words_are_not_stored(
    keap: PretendKeap, http: Http, desk: KeapDesk, ada: str, clock: VirtualClock
) -> None:
    keap.add_task(ada, "Ask about the divorce", description="private")
    desk.add(task(ada), "eff_1")
    pages, _ = pulled(http, None, clock)

    assert {one.label for one in facts(*pages)} == {"crm", "keepwell"}
    assert all(word not in page.body for page in pages for word in ("divorce", "private", "exports"))
    assert any("eff_1" in page.body for page in pages)


def test_the_first_pull_brings_all_that_is_open_and_then_only_what_changed(
    keap: PretendKeap, http: Http, ada: str, clock: VirtualClock
) -> None:
    for number in range(130):
        keap.add_task(ada, f"Old {number}")
    first = next(iter(keap.tasks))
    clock.sleep(200 * DAY)

    pages, cursor = pulled(http, None, clock)
    assert len({one.source_id for one in facts(*pages)}) == 2 * 130
    clock.sleep(DAY)
    keap.do_task(first)
    new = keap.add_task(ada, "New")
    before = len(keap.calls)

    pages, cursor = pulled(http, cursor, clock)

    assert {one.source_id.split(":")[1] for one in facts(*pages)} == {first, new}
    assert (len(keap.calls) - before, cursor) == (1, str(int(clock.now())))


def test_changes_on_many_pages_all_come_and_the_bookmark_moves_with_the_last(
    keap: PretendKeap, http: Http, ada: str, clock: VirtualClock
) -> None:
    _, cursor = pulled(http, None, clock)
    clock.sleep(DAY)
    for number in range(230):
        keap.add_task(ada, f"New {number}")

    pages, _ = pulled(http, cursor, clock)

    assert [page.cursor is None for page in pages] == [True, True, False]
    assert len({one.source_id for one in facts(*pages)}) == 2 * 230


def test_a_task_about_no_contact_is_left_out_and_one_that_cannot_be_read_is_refused(
    keap: PretendKeap, http: Http, ada: str, clock: VirtualClock
) -> None:
    keap.add_task("", "Water the plants")
    keap.add_task(ada, "Call")
    pages, _ = pulled(http, None, clock)
    assert {one.source_id.split(":")[1] for one in facts(*pages)} == {list(keap.tasks)[1]}

    parsed = said(Page("x", '{"tasks": [{"id": "5", "contact_id": "1", "create_time": "soon"}, {"contact_id": "1"}]}'))
    assert (parsed.sightings, [which for which, _ in parsed.refused]) == ((), ["5", "?"])


def test_a_mark_names_one_effect() -> None:
    assert mark("eff_1") not in mark("eff_11")
