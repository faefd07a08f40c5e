"""Who may come in: the operator's password, keys for the API, and login links that work once.

Of keys, links and sessions only a hash is stored, so a stolen database opens nothing. They are long and random, so a
plain SHA-256 is hash enough; the password, which a person made up, gets scrypt.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from typing import TYPE_CHECKING, Final

from werkzeug.security import check_password_hash, generate_password_hash

from worker.lib.clock import MINUTE, iso, seconds
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql
from worker.plays.records import switch

if TYPE_CHECKING:
    from worker.workspace import Workspace

PASSWORD: Final = "operator_password"  # noqa: S105  the name of the switch that holds its hash
KEY_PREFIX: Final = "kw_"
LINK_LASTS: Final = 10 * MINUTE
LONGEST: Final = 1000
"""Characters of a password or token that are looked at: more is nobody's, and hashing it would be work for nothing."""


def hashed(token: str) -> str:
    """A random token as it is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


# -- the operator's password ------------------------------------------------------------------------------------------


def hash_password(password: str) -> str:
    """A password as it is stored: scrypt with its own salt, in Werkzeug's notation."""
    return generate_password_hash(password, method="scrypt")


@cache
def _nobodys() -> str:
    return hash_password(secrets.token_urlsafe())


def check(store: Store, password: str) -> bool:
    """Whether this is the operator's password. Takes as long where none is set."""
    known = switch(store, PASSWORD)
    fits = check_password_hash(known or _nobodys(), password[:LONGEST])
    return bool(known) and fits


# -- keys for the API -------------------------------------------------------------------------------------------------


def create_key(store: Store, name: str, now: int) -> str:
    """Make a key for the API, 192 random bits; this is the only time it is seen whole."""
    key = KEY_PREFIX + secrets.token_urlsafe(24)
    store.run(sql("web", "add_key"), {"id": new_id("key"), "name": name, "key_hash": hashed(key), "now": now})
    return key


def keys(store: Store) -> list[Row]:
    """Every key, oldest first: `id`, `name`, `created` and `revoked` ("" while it is in use), as moments in UTC."""
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "created": iso(row["created_at"]),
            "revoked": "" if row["revoked_at"] is None else iso(row["revoked_at"]),
        }
        for row in store.rows(sql("web", "keys"))
    ]


def revoke_key(store: Store, key_id: str, now: int) -> bool:
    """Make a key worthless from now on; False where no key of that id is in use."""
    return store.run(sql("web", "revoke_key"), {"id": key_id, "now": now}) == 1


def key_named(store: Store, key: str) -> Row | None:
    """The `id` and `name` of a key in use, None for any other text."""
    if not key.startswith(KEY_PREFIX) or len(key) > LONGEST:
        return None
    return store.row(sql("web", "key_in_use"), {"key_hash": hashed(key)})


# -- login links ------------------------------------------------------------------------------------------------------


def create_login_link(workspace: Workspace) -> str:
    """An address that lets one person in, once, within ten minutes of the workspace's clock."""
    token, now = secrets.token_urlsafe(24), seconds(workspace.clock)
    with workspace.store.atomic():
        workspace.store.run(sql("web", "drop_old_links"), {"before": now - LINK_LASTS})
        workspace.store.run(sql("web", "add_link"), {"name": _link(token), "now": now})
    return f"{workspace.config.workspace.public_url}/login/{token}"


def link_is_good(store: Store, token: str, now: int) -> bool:
    """Whether a login link would let somebody in. Looking uses nothing up."""
    return store.row(sql("web", "link"), {"name": _link(token), "oldest": now - LINK_LASTS}) is not None


def redeem_link(store: Store, token: str, now: int) -> bool:
    """Use a login link up; True for exactly one caller."""
    return store.run(sql("web", "redeem_link"), {"name": _link(token), "oldest": now - LINK_LASTS}) == 1


def _link(token: str) -> str:
    return f"login_link:{hashed(token[:LONGEST])}"
