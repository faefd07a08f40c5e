"""Addresses that want no more of us, e-mail addresses and telephone numbers alike: the one place where they are kept.

As salted hashes: they outlive a person's erasure and a re-import, and name nobody. A number is an address of its own, so
who stops text messages still gets mail, and the other way round.
"""

from __future__ import annotations

import hashlib
import secrets

from worker.lib.store import Store, sql

_SALT = "suppression_salt"
"""The switch that holds it, made once."""


def address_hash(store: Store, address: str) -> str:
    """An address as suppressions keep it; small and capital letters are one."""
    salt = _salt(store)
    if not salt:
        store.run(sql("house", "set_once"), {"name": _SALT, "value": secrets.token_hex(16)})
        salt = _salt(store)
    return hashlib.sha256(f"{salt}:{address.strip().casefold()}".encode()).hexdigest()


def _salt(store: Store) -> str:
    return str(store.value("select value from switches where name = :name", {"name": _SALT}) or "")


def suppress(store: Store, address: str, reason: str, now: int) -> None:
    """Nothing more goes to this address. Effective with the commit; never taken back by an import."""
    store.run(sql("plays", "suppress"), {"address_hash": address_hash(store, address), "reason": reason, "at": now})
