"""Logins that are under way: kept on our side, so that a logout ends them and a copied cookie is worth nothing after.

Over after 30 minutes without a request, and 12 hours after the login in any case (OWASP ASVS 5.0, 7.3.1 and 7.3.2).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from worker.lib.clock import HOUR, MINUTE
from worker.lib.store import Store, sql
from worker.web.auth import hashed

IDLE: Final = 30 * MINUTE
LONGEST: Final = 12 * HOUR
_SEEN_EVERY: Final = MINUTE
"""How exactly it is noted when a session was last seen; a write for every picture on a page would be one too many."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login that is under way."""

    id_hash: str
    csrf: str
    """What every form of its pages must send back."""


def begin(store: Store, now: int) -> str:
    """Begin a session under a new id; gives what the cookie holds."""
    token = secrets.token_urlsafe(32)
    with store.atomic():
        store.run(sql("web", "drop_old_sessions"), _limits(now))
        binds = {"id_hash": hashed(token), "csrf": secrets.token_urlsafe(24), "now": now}
        store.run(sql("web", "begin_session"), binds)
    return token


def find(store: Store, token: str, now: int) -> Session | None:
    """The session of a cookie, None where it is over or never was; a session that is found has been seen."""
    if not token:
        return None
    row = store.row(sql("web", "session"), {"id_hash": hashed(token), **_limits(now)})
    if row is None:
        return None
    if now - row["seen_at"] >= _SEEN_EVERY:
        store.run(sql("web", "touch_session"), {"id_hash": row["id_hash"], "now": now})
    return Session(row["id_hash"], row["csrf"])


def end(store: Store, token: str) -> None:
    """End a session, if there is one."""
    if token:
        store.run(sql("web", "end_session"), {"id_hash": hashed(token)})


def _limits(now: int) -> dict[str, int]:
    return {"idle_since": now - IDLE, "begun_since": now - LONGEST}
