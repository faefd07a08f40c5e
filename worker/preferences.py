"""What an address wants to read: nothing of a purpose or topic, nothing for a month, nothing at all.

Kept as salted hashes, so that a wish outlives a re-import and the person's erasure. The arbiter asks for it before each
mail (query `preference` in sql/desk.sql, and the suppressions), so it holds from the commit on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from worker.lib.clock import DAY
from worker.lib.store import Store, sql
from worker.plays.records import address_hash, suppress
from worker.workspace import Workspace

STOPPED: Final = "unsubscribed by the link in a mail"
"""Why an address gets nothing that has said so itself; such a word its owner may take back."""
PAUSE: Final = 30 * DAY
_EVERYTHING: Final = ""
"""The topic under which a pause is kept."""

_PURPOSES: Final = {
    "service": ("Help and tips", "About what you use, and where you seem to be stuck."),
    "marketing": ("News and offers", "What is new, and what else there is."),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of mail that can be turned off."""

    name: str
    label: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an address has said."""

    unwanted: frozenset[str] = frozenset()
    """The topics it wants nothing of."""
    paused_until: int | None = None
    stopped: str = ""
    """Why it gets nothing at all, "" where it gets mail."""

    @property
    def stopped_by_owner(self) -> bool:
        """Whether it was the owner's own word, by our link."""
        return self.stopped == STOPPED


def topics(workspace: Workspace) -> list[Topic]:
    """What there is to choose from: the purposes and topics that the workspace's templates have."""
    fronts = [template.front for template in workspace.templates.by_name.values()]
    purposes = {front.purpose for front in fronts}
    named = sorted({topic for front in fronts if (topic := getattr(front, "topic", ""))} - _PURPOSES.keys())
    return [
        *(Topic(name, label, about) for name, (label, about) in _PURPOSES.items() if name in purposes),
        *(Topic(name, name.replace("-", " ").replace("_", " ").capitalize()) for name in named),
    ]


def wishes(store: Store, address: str, now: int) -> Wishes:
    """What an address has said, as of now."""
    hashed = address_hash(store, address)
    rows = store.rows(sql("desk", "preferences_of"), {"address_hash": hashed, "now": now})
    stopped = store.row(sql("desk", "stopped"), {"address_hash": hashed})
    return Wishes(
        unwanted=frozenset(row["topic"] for row in rows if row["topic"] != _EVERYTHING),
        paused_until=next((row["until"] for row in rows if row["topic"] == _EVERYTHING), None),
        stopped=stopped["reason"] if stopped else "",
    )


def choose(store: Store, address: str, offered: Collection[Topic], wanted: Collection[str], now: int) -> None:
    """Of what was offered the address wants this; what was not offered stays as it was."""
    hashed = address_hash(store, address)
    with store.atomic():
        for topic in offered:
            binds = {"address_hash": hashed, "topic": topic.name}
            if topic.name in wanted:
                store.run(sql("desk", "want_again"), binds)
            else:
                store.run(sql("desk", "prefer"), {**binds, "until": None, "now": now})


def pause(store: Store, address: str, now: int) -> int:
    """Nothing for 30 days but what is transactional; gives until when."""
    binds = {"address_hash": address_hash(store, address), "topic": _EVERYTHING, "until": now + PAUSE, "now": now}
    store.run(sql("desk", "prefer"), binds)
    return now + PAUSE


def stop(store: Store, address: str, now: int) -> None:
    """No mail at all any more, transactional ones among them: what one click stops (RFC 8058)."""
    suppress(store, address, STOPPED, now)


def start_again(store: Store, address: str) -> bool:
    """Take back a pause, and a stop that was the owner's own word; False where another word stands against mail.

    Topics that were turned off stay so.
    """
    hashed = address_hash(store, address)
    with store.atomic():
        store.run(sql("desk", "want_again"), {"address_hash": hashed, "topic": _EVERYTHING})
        binds = {"address_hash": hashed, "reason": STOPPED, "address": address.strip().casefold()}
        store.run(sql("desk", "start_again"), binds)
        return store.row(sql("desk", "stopped"), {"address_hash": hashed}) is None
