"""Tasks in Keap: those that we give to people, and every task that is made or done there as facts.

What `since_time` goes by is nowhere written, and a task that is done must show. So tasks are read by their last change,
latest first, until one is older than the bookmark. A task that was deleted shows nowhere: for us it stays open.
Titles and descriptions are not stored; of a description only our mark is kept, by which a task is known to be ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from integrations._keap_calls import API, identifier, is_number, main_address, pages
from worker.effects import Task
from worker.facts import MILLION, Fact, Identity, Sighting
from worker.integration import Colleague, Page
from worker.lib.clock import DAY, MINUTE, Clock, from_iso, iso
from worker.lib.http import GiveUp, Http, Unsure

NAME: Final = "keap"

USERS_PAGE: Final = 100
"""The most users that Keap gives at once."""
TASKS_PAGE: Final = 100
"""Of the tasks mostly the first few are new."""

OVERLAP: Final = 10 * MINUTE
"""How far a pull looks back behind its bookmark, and how far Keap's clock may be behind ours."""
HISTORY: Final = 90 * DAY
"""How far the first pull goes back for tasks that are done; open ones all come."""

LONGEST_TITLE: Final = 250
PRIORITIES: Final[Mapping[str, str]] = {"high": "CRITICAL", "normal": "ESSENTIAL"}

KEPT: Final = ("id", "contact_id", "completed", "create_time", "modification_time", "completion_time")
"""Of each task; nothing else is stored but the effect that our mark names."""

_MARK: Final = re.compile(r"\[keepwell:([\w-]{1,80})\]")


def mark(effect_id: str) -> str:
    """What stands in the description of a task of ours, so that it is known again."""
    return f"[keepwell:{effect_id}]"


# -- giving tasks -----------------------------------------------------------------------------------------------------


class DeskSettings(Protocol):
    """What giving tasks needs to be told."""

    @property
    def task_user_id(self) -> str:
        """The Keap user for tasks that nobody owns, "" for none."""


class KeapDesk:
    """Keap as the place where our people find their tasks: the role `worker.integration.Desk`."""

    def __init__(self, http: Http, settings: DeskSettings, clock: Clock) -> None:
        """No call is made yet."""
        self._http, self._settings = http, settings

    def colleagues(self) -> list[Colleague]:
        """Keap's users, as they are listed there."""
        listed = pages(self._http, "/users", "users", page_size=USERS_PAGE)
        return [_colleague(record) for _, records in listed for record in records]

    def add(self, task: Task, effect_id: str) -> str:
        """Make one task and give its id. Raises GiveUp where it is for nobody, Unsure where the answer got lost."""
        body = {
            "assigned_to_user_id": self._owner(task),
            "contact_id": task.contact_id if is_number(task.contact_id) else "",
            "title": " ".join(task.title.split())[:LONGEST_TITLE],
            "description": "\n\n".join(part for part in (task.text.strip(), task.link, mark(effect_id)) if part),
            "priority": PRIORITIES.get(task.priority, PRIORITIES["normal"]),
            "due_time": iso(task.due_at) if task.due_at else "",
        }
        made = self._http.post(f"{API}/tasks", json={name: value for name, value in body.items() if value}).data
        if not isinstance(made, dict) or not made.get("id"):
            raise Unsure("Keap made a task and does not say which")
        return identifier(made)

    def find(self, task: Task, effect_id: str, tried_at: int) -> str:
        """The id of the task whose description bears this effect's mark, of those made since; "" where there is none."""
        whose = f"contact_id=={task.contact_id}" if is_number(task.contact_id) else f"user_id=={self._owner(task)}"
        for _, records in pages(
            self._http, "/tasks", "tasks", page_size=TASKS_PAGE, filter=whose, order_by="create_time desc"
        ):
            for record in records:
                if mark(effect_id) in str(record.get("description") or ""):
                    return identifier(record)
            if records and not _since(records[-1].get("create_time"), tried_at - OVERLAP):
                break
        return ""

    def _owner(self, task: Task) -> str:
        owner = task.owner or self._settings.task_user_id
        if not is_number(owner):
            raise GiveUp(
                "Keap's tasks are for somebody, and this customer has no owner; name a user as task_user_id in"
                " [integrations.keap]"
            )
        return owner


def _colleague(record: Mapping[str, Any]) -> Colleague:
    name = " ".join(str(record.get(part) or "").strip() for part in ("given_name", "family_name")).strip()
    email = str(main_address(record).get("email") or "")
    return Colleague(identifier(record), name, email, active=record.get("status") == "ACTIVE")


# -- hearing of tasks -------------------------------------------------------------------------------------------------


def fetch_tasks(http: Http, settings: object, cursor: str | None, now: int) -> Iterator[Page]:
    """Tasks that changed since the bookmark, latest change first; the first time all that are open before them."""
    if cursor is None:
        still_open = pages(http, "/tasks", "tasks", filter="is_completed==false", order_by="id asc")
        for number, (_, records) in enumerate(still_open, 1):
            yield Page(f"tasks:open:{now}:{number}", _body(records))
    since = int(cursor) - OVERLAP if cursor else now - HISTORY
    changed = pages(http, "/tasks", "tasks", page_size=TASKS_PAGE, order_by="update_time desc")
    for number, (reply, records) in enumerate(changed, 1):
        fresh = [record for record in records if _since(_changed(record), since)]
        last = len(fresh) < len(records) or not reply.data.get("next_page_token")
        bookmark = str(max(now, int(cursor or 0))) if last else None
        yield Page(f"tasks:{since}:{now}:{number}", _body(fresh), bookmark)
        if last:
            return


def _body(records: list[dict[str, Any]]) -> str:
    return json.dumps({"tasks": [_kept(record) for record in records]}, ensure_ascii=False)


def _kept(record: Mapping[str, Any]) -> dict[str, Any]:
    marks = _MARK.findall(str(record.get("description") or ""))
    return {name: record[name] for name in KEPT if name in record} | {"effect_id": marks[-1] if marks else ""}


def _changed(record: Mapping[str, Any]) -> Any:
    return record.get("modification_time") or record.get("create_time")


def _since(time: Any, moment: int) -> bool:
    """Whether a time is not before the moment; one that cannot be read is taken along, and refused where it is read."""
    try:
        return from_iso(str(time or "")) >= moment
    except ValueError:
        return True


def sighting(record: Mapping[str, Any]) -> Sighting | None:
    """What a task says of its contact, None for one without. Raises ValueError for one without id or creation.

    `open_task` is two facts, dated by the task's own last change: +1 from when it was made, and -1 from when it was
    done; the latter is 0 while it is open, since a tick can be taken away again.
    """
    contact_id, number = str(record.get("contact_id") or ""), identifier(record)
    if not contact_id:
        return None
    made_at, changed_at = from_iso(str(record.get("create_time") or "")), from_iso(str(_changed(record) or ""))
    done = record.get("completed") is True
    done_at = max(made_at, from_iso(str(record["completion_time"])) if record.get("completion_time") else changed_at)
    label = "keepwell" if record.get("effect_id") else "crm"

    def fact(kind: str, at: int, transition: str, value: int = MILLION) -> Fact:
        return Fact(kind, at, NAME, f"task:{number}:{transition}", value, label)

    facts = [
        fact("open_task", made_at, "opened"),
        fact("open_task", done_at if done else made_at, "ended", -MILLION if done else 0),
    ]
    if done:
        facts.append(fact("task_done", done_at, "done"))
    return Sighting(at=changed_at, identities=(Identity(NAME, contact_id),), facts=tuple(facts), since=made_at)
