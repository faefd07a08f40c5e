"""The pretend Keap's tasks: made by the API or by hand, done by the people who work there.

The specification does not say what `since_time` and `until_time` go by. Here it is the creation, which is hardest on a
client: a task that was done later does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flask import Response

from worker.lib.clock import Clock, from_iso, iso
from worker.sandbox.servers.base import Faults, json_response
from worker.sandbox.servers.keap_front import V2, answer_page, json_body, lookup, no_content, update_mask
from worker.sandbox.servers.keap_gateway import Limits
from worker.sandbox.servers.keap_mails import KeapMails
from worker.sandbox.servers.keap_office import HUMAN
from worker.sandbox.servers.keap_query import (
    Condition,
    Listing,
    MakeTest,
    Refusal,
    Test,
    compared,
    flag,
    member,
    since,
    text,
    until,
)

PRIORITIES: Final = ("CRITICAL", "ESSENTIAL", "NONESSENTIAL")
REMINDERS: Final = (5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880)

WRITABLE: Final = frozenset({
    "title", "description", "type", "priority", "completed", "completion_time", "due_time", "remind_time_mins",
    "assigned_to_user_id", "contact_id", "opportunity_id", "accepted", "custom_fields",
})  # fmt: skip
MASKS: Final = WRITABLE | {"id", "last_updated_by_user_id"}

_TIMES: Final = ("completion_time", "due_time")


@dataclass
class KeapTask:
    """A task."""

    id: str
    created_at: int
    created_by: str
    """A user's id."""
    title: str = ""
    description: str = ""
    type: str = ""
    priority: str = "ESSENTIAL"
    user_id: str = ""
    contact_id: str = ""
    due_at: int | None = None
    completed_at: int | None = None
    updated_at: int = 0
    updated_by: str = ""
    by_key: str = ""
    """The key that made it, "" for a person."""

    @property
    def completed(self) -> bool:
        """Whether it is done."""
        return self.completed_at is not None

    def view(self) -> dict[str, Any]:
        """As `Task`; what has no value is left out."""
        words = {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "type": self.type,
            "priority": self.priority,
            "assigned_to_user_id": self.user_id,
            "created_by_user_id": self.created_by,
            "last_updated_by_user_id": self.updated_by,
            "contact_id": self.contact_id,
        }
        times = {
            "create_time": self.created_at,
            "modification_time": self.updated_at,
            "completion_time": self.completed_at,
            "due_time": self.due_at,
        }
        return (
            {name: word for name, word in words.items() if word}
            | {name: iso(at) for name, at in times.items() if at is not None}
            | {"completed": self.completed, "accepted": False}
        )


def tasks() -> Listing[KeapTask]:
    """Tasks."""
    return Listing(
        "tasks",
        {
            "contact_id": text(lambda task: [task.contact_id]),
            "has_due_date": flag(lambda task: task.due_at is not None),
            "is_completed": flag(lambda task: task.completed),
            "user_id": _of_user,
            "opportunity_id": text(lambda task: []),
            "task_ids": member(lambda task: task.id),
            "priority": member(lambda task: task.priority),
            "since_time": since(lambda task: task.created_at),
            "until_time": until(lambda task: task.created_at),
            "id": compared(lambda task: int(task.id)),
            "title": text(lambda task: [task.title]),
        },
        {
            "id": lambda task: int(task.id),
            "create_time": lambda task: task.created_at,
            "due_time": lambda task: task.due_at or 0,
            "update_time": lambda task: task.updated_at,
        },
        lambda task: int(task.id),
    )


_user_is: Final[MakeTest[KeapTask]] = text(lambda task: [task.user_id])


def _of_user(condition: Condition) -> Test[KeapTask]:
    if condition.value == "UNASSIGNED":
        return lambda task: not task.user_id
    return _user_is(condition)


class KeapTasks(KeapMails):
    """Keap with the doors to its tasks."""

    def __init__(
        self, clock: Clock, faults: Faults | None, *, key: str, other_keys: Iterable[str], limits: Limits | None
    ) -> None:
        """Open the doors."""
        super().__init__(clock, faults, key=key, other_keys=other_keys, limits=limits)
        self.tasks: dict[str, KeapTask] = {}
        self.open_doors((
            ("GET", f"{V2}/tasks", self.list_tasks),
            ("POST", f"{V2}/tasks", self.create_task),
            ("GET", f"{V2}/tasks/<task_id>", self.get_task),
            ("PATCH", f"{V2}/tasks/<task_id>", self.patch_task),
            ("DELETE", f"{V2}/tasks/<task_id>", self.remove_task),
        ))  # fmt: skip

    # -- what people do, and what the demo and the tests read ---------------------------------------------------------

    def add_task(self, contact_id: str, title: str, user_id: str = "", description: str = "") -> str:
        """Somebody writes a task down; gives its id."""
        with self.lock:
            task = KeapTask(self.new_id(), self.now, "1", title, description, user_id=user_id, contact_id=contact_id)
            self.tasks[task.id] = task
            self._changed(task, HUMAN)
            return task.id

    def do_task(self, task_id: str, *, done: bool = True) -> None:
        """Somebody ticks a task off, or takes the tick away."""
        with self.lock:
            task = self.tasks[task_id]
            task.completed_at = self.now if done else None
            self._changed(task, HUMAN)

    def open_tasks(self, key: str | None = None) -> list[str]:
        """The ids of the tasks that our key made, or that key, and that nobody has done."""
        with self.lock:
            made_by = key or self.key
            return [task.id for task in self.tasks.values() if task.by_key == made_by and not task.completed]

    # -- the API ------------------------------------------------------------------------------------------------------

    def list_tasks(self) -> Response:
        """A page of tasks."""
        return answer_page(tasks(), self.tasks.values(), KeapTask.view)

    def get_task(self, task_id: str) -> Response:
        """One task."""
        return json_response(lookup(self.tasks, task_id, "task").view())

    def create_task(self) -> Response:
        """Make a task. Not idempotent: the same twice makes two."""
        body = self._task_body(json_body(WRITABLE, required=("assigned_to_user_id",)))
        task = KeapTask(self.new_id(), self.now, self.user_of(self.who), by_key=self.who)
        self._write_task(task, body, WRITABLE)
        self.tasks[task.id] = task
        return json_response(task.view(), 201)

    def patch_task(self, task_id: str) -> Response:
        """Update a task with only what is given."""
        task = lookup(self.tasks, task_id, "task")
        mask, body = update_mask(MASKS), self._task_body(json_body(WRITABLE))
        self._write_task(task, body, mask or WRITABLE)
        return json_response(task.view())

    def remove_task(self, task_id: str) -> Response:
        """Delete a task."""
        del self.tasks[lookup(self.tasks, task_id, "task").id]
        return no_content()

    # -- how ----------------------------------------------------------------------------------------------------------

    def _task_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body, checked whole before anything is written."""
        if "custom_fields" in body or body.get("opportunity_id"):
            raise Refusal(501, "the pretend Keap's tasks have no custom fields and no opportunities")
        if body.get("priority", "ESSENTIAL") not in PRIORITIES:
            raise Refusal(400, f"Invalid priority: {body['priority']}")
        if body.get("remind_time_mins", 5) not in REMINDERS:
            raise Refusal(400, f"Invalid remind_time_mins: {body['remind_time_mins']}")
        user = self.users.get(str(body.get("assigned_to_user_id", "1")))
        if user is None or not user.active:
            raise Refusal(400, f"Invalid assigned_to_user_id: {body['assigned_to_user_id']}")
        if body.get("contact_id") and str(body["contact_id"]) not in self.contacts:
            raise Refusal(400, f"Invalid contact_id: {body['contact_id']}")
        for name in _TIMES:
            if body.get(name):
                try:
                    body[name] = from_iso(str(body[name]))
                except ValueError:
                    raise Refusal(400, f"Invalid {name}: {body[name]}") from None
        return body

    def _write_task(self, task: KeapTask, body: Mapping[str, Any], names: Iterable[str]) -> None:
        given = {name: body[name] for name in names if name in body}
        for name in ("title", "description", "type", "priority", "contact_id"):
            setattr(task, name, str(given.get(name, getattr(task, name))))
        task.user_id = str(given.get("assigned_to_user_id", task.user_id))
        task.due_at = given.get("due_time", task.due_at)
        if "completed" in given or "completion_time" in given:
            done = given.get("completed", given.get("completion_time") is not None)
            task.completed_at = given.get("completion_time") or self.now if done else None
        self._changed(task, self.who)

    def _changed(self, task: KeapTask, who: str) -> None:
        task.updated_at, task.updated_by = self.now, self.user_of(who)
