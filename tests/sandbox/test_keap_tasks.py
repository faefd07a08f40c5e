"""The pretend Keap's tasks behave as its specification says: shown over HTTP on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import START
from tests.sandbox.keap_contract import Client, Contract
from worker.lib.clock import DAY, VirtualClock, iso
from worker.sandbox.servers.keap import PretendKeap
from worker.sandbox.servers.keap_tasks import MASKS, PRIORITIES, REMINDERS, WRITABLE


@pytest.fixture
def ada(keap: PretendKeap) -> str:
    return keap.add_contact("Ada", "Lovelace", "ada@engines.example")


def task(contact_id: str, /, **more: Any) -> dict[str, Any]:
    return {"assigned_to_user_id": "1", "contact_id": contact_id, "title": "Call Ada", **more}


def titles(client: Client, conditions: str, **more: str) -> list[str]:
    return [one["title"] for one in client.get("/v2/tasks", filter=conditions, **more)["tasks"]]


def test_a_task_is_made_shown_done_and_deleted(client: Client, ada: str, clock: VirtualClock) -> None:
    made = client.post("/v2/tasks", task(ada, priority="CRITICAL", due_time=iso(START + DAY), description="Why"))
    clock.sleep(60)

    assert (made["completed"], made["due_time"]) == (False, iso(START + DAY))
    done = client.patch(f"/v2/tasks/{made['id']}", {"completed": True}, update_mask="completed")
    assert (done["completed"], done["completion_time"], done["modification_time"]) == (
        True,
        iso(START + 60),
        iso(START + 60),
    )
    assert (done["title"], done["description"]) == ("Call Ada", "Why")
    assert client.get(f"/v2/tasks/{made['id']}") == done
    assert client.call("DELETE", f"/v2/tasks/{made['id']}").status_code == 204
    assert client.call("GET", f"/v2/tasks/{made['id']}").status_code == 404


def test_tasks_are_filtered_and_ordered_as_the_specification_says(
    keap: PretendKeap, client: Client, ada: str, clock: VirtualClock
) -> None:
    bob = keap.add_contact("Bob", "B", "bob@b.example")
    first = keap.add_task(ada, "Call Ada", "1")
    clock.sleep(DAY)
    keap.add_task(bob, "Write to Bob")
    clock.sleep(DAY)
    keap.do_task(first)

    assert titles(client, f"contact_id=={ada}") == ["Call Ada"]
    assert titles(client, "is_completed==false") == ["Write to Bob"]
    assert titles(client, "user_id==UNASSIGNED") == ["Write to Bob"]
    assert titles(client, "title==Write*") == ["Write to Bob"]
    assert titles(client, "", order_by="update_time desc") == ["Call Ada", "Write to Bob"]
    assert titles(client, f"since_time=={iso(START + DAY)}") == ["Write to Bob"], "what was done since does not show"


def test_a_task_that_is_taken_up_again_is_open(keap: PretendKeap, client: Client, ada: str) -> None:
    task_id = keap.add_task(ada, "Call Ada")
    keap.do_task(task_id)
    keap.do_task(task_id, done=False)

    shown = client.get(f"/v2/tasks/{task_id}")
    assert (shown["completed"], "completion_time" in shown) == (False, False)


@pytest.mark.parametrize(
    "change",
    [
        {"assigned_to_user_id": None}, {"assigned_to_user_id": "77"}, {"contact_id": "999"}, {"priority": "HIGH"},
        {"remind_time_mins": 7}, {"due_time": "tomorrow"}, {"owner": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_task_that_cannot_be_is_refused(keap: PretendKeap, client: Client, ada: str, change: dict[str, Any]) -> None:
    assert client.call("POST", "/v2/tasks", task(ada, **change)).status_code == 400
    assert keap.tasks == {}


def test_nobody_is_given_a_task_who_has_left(keap: PretendKeap, client: Client, ada: str) -> None:
    keap.users[keap.add_user("Cleo", "C", "cleo@business.example")].active = False

    assert client.call("POST", "/v2/tasks", task(ada, assigned_to_user_id="2")).status_code == 400
    assert [user["id"] for user in client.get("/v2/users")["users"]] == ["1"]
    everyone = client.get("/v2/users", filter="include_inactive==true")["users"]
    assert [user["status"] for user in everyone] == ["ACTIVE", "INACTIVE"]


def test_the_words_are_those_of_the_specification(shared: Path, contract: Contract) -> None:
    patch = contract.paths["/rest/v2/tasks/{task_id}"]["patch"]
    mask = next(each for each in patch["parameters"] if each["name"] == "update_mask")
    written = contract.schemas["CreateTaskRequest"]["properties"]

    assert set(mask["schema"]["items"]["enum"]) == MASKS
    assert set(written) == set(contract.schemas["CreateUpdateTaskRequest"]["properties"]) == WRITABLE
    assert tuple(written["priority"]["enum"]) == PRIORITIES
    assert [int(minutes) for minutes in written["remind_time_mins"]["enum"]] == list(REMINDERS)
