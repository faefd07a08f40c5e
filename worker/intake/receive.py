"""The durable front door: a delivery is acknowledged once it is on disk, and many share one trip there.

One writer thread commits all that waits in one transaction. It never waits for more to come: while one commit is on its
way to the disk, the next batch fills by itself. The slower the disk, the larger the batches.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from worker.integration import Receipt
from worker.lib.clock import Clock, seconds
from worker.lib.ids import new_id
from worker.lib.store import Binds, Store, StoreError, sql

log = logging.getLogger(__name__)

LONGEST_ID: Final = 500
"""Characters of a vendor's id. PostgreSQL's index takes no entry above 2,704 bytes; no vendor comes near either."""

COUNTS_REST: Final = 1.0
"""Seconds that counts may lie in memory: refused requests, however many, cost one commit in that time."""


class NotStored(Exception):
    """The delivery is not on disk and must not be acknowledged; the sender may try again."""


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery that is on disk."""

    id: str
    """Of the row that holds it: the first one's where this repeats it."""
    duplicate: bool


@dataclass
class _Batch:
    """What is committed together, and how it went for each by its id."""

    rows: list[Mapping[str, str | int]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    outcomes: dict[str, Received | Exception] = field(default_factory=dict)


class Receiver:
    """Stores deliveries durably. Any number of threads may call it; one thread of its own writes.

    That thread starts with the first delivery, so that a server may fork before it.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        """`store` must be a file or a server: closing the writer's connection ends a store in memory."""
        self._store, self._clock = store, clock
        self._wake = threading.Condition()
        self._filling = _Batch()
        self._counts: Counter[str] = Counter()
        self._writer: threading.Thread | None = None
        self._closed = False

    def receive(self, source: str, stream: str, receipt: Receipt) -> Received:
        """Store a delivery and return once it is committed; one that equals an earlier one gives the earlier id.

        Raises NotStored where the database did not take it, ValueError for an id or a body that no database can hold.
        """
        row = _row(source, stream, receipt, seconds(self._clock))
        with self._wake:
            if self._closed:
                raise NotStored("Keepwell is shutting down")
            self._wake_writer()
            batch = self._filling
            batch.rows.append(row)
        batch.done.wait()
        outcome = batch.outcomes.get(str(row["id"]))
        if isinstance(outcome, Received):
            return outcome
        # A new error for each waiter: one shared among threads would mix up their tracebacks.
        raise NotStored("the database did not take the delivery") from outcome

    def count(self, name: str) -> None:
        """Count something that leaves no row, such as a refused request. Written within about a second; never raises.

        `name` must be one of a bounded set: nothing a stranger can choose.
        """
        with self._wake:
            if not self._closed:
                self._counts[name] += 1
                with suppress(RuntimeError):  # no thread to be had: the next delivery will start it, or say so
                    self._wake_writer()

    def close(self) -> None:
        """Commit what waits and stop. Nothing is accepted afterwards."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join()

    def _wake_writer(self) -> None:
        # After a fork the child holds the parent's thread object, and that thread is not alive in it.
        if self._writer is None or not self._writer.is_alive():
            self._writer = threading.Thread(target=self._write, name="receiver", daemon=True)
            self._writer.start()
        self._wake.notify()

    # -- the writer's thread ------------------------------------------------------------------------------------------

    def _write(self) -> None:
        closing = False
        while not closing:
            batch, counts, closing = self._next()
            try:
                self._settle(batch, counts)
            finally:
                batch.done.set()
        with suppress(StoreError):  # a server that is gone has closed the connection for us
            self._store.let_go()

    def _next(self) -> tuple[_Batch, Counter[str], bool]:
        """All that waits now, and whether it is the last."""
        with self._wake:
            self._wake.wait_for(lambda: self._filling.rows or self._counts or self._closed)
            self._wake.wait_for(lambda: self._filling.rows or self._closed, timeout=COUNTS_REST)
            batch, self._filling = self._filling, _Batch()
            counts, self._counts = self._counts, Counter()
            return batch, counts, self._closed

    def _settle(self, batch: _Batch, counts: Counter[str]) -> None:
        """Bring a batch to disk, together if that works, and note how it went for each row."""
        try:
            batch.outcomes = self._commit(batch.rows, counts)
        except Exception as error:  # noqa: BLE001  whatever it is, it goes to those who wait, and the writer lives on
            log.error("%d deliveries were not stored together: %s", len(batch.rows), _named(error))
            with self._wake:
                self._counts.update(counts)
            down = _is_about_the_database(error)
            batch.outcomes = {str(row["id"]): error if down else self._alone(row) for row in batch.rows}

    def _alone(self, row: Binds) -> Received | Exception:
        """Store one row of a batch that failed, so that a row no database takes fails only itself."""
        try:
            return self._commit([row], Counter())[row["id"]]
        except Exception as error:  # noqa: BLE001  goes to the one who waits
            log.error("delivery %s from %s was not stored: %s", row["id"], row["source"], _named(error))
            return error

    def _commit(self, rows: list[Binds], counts: Counter[str]) -> dict[str, Received | Exception]:
        """One transaction for all; gives what became of each."""
        with self._store.atomic():
            if counts:
                self._store.many(sql("intake", "count"), [{"name": name, "n": n} for name, n in counts.items()])
            if not rows:
                return {}
            self._store.many(sql("receive", "add_delivery"), rows)
            ids = [row["id"] for row in rows]
            span = {"lowest": min(ids), "highest": max(ids)}
            stored = {found["id"] for found in self._store.rows(sql("receive", "stored_between"), span)}
            return {row["id"]: self._received(row, stored) for row in rows}

    def _received(self, row: Binds, stored: set[str]) -> Received:
        if row["id"] in stored:
            return Received(row["id"], duplicate=False)
        key = {name: row[name] for name in ("source", "stream", "external_id", "body_hash")}
        return Received(str(self._store.value(sql("receive", "first_of"), key)), duplicate=True)


def _row(source: str, stream: str, receipt: Receipt, now: int) -> Mapping[str, str | int]:
    """A delivery as a row. Raises ValueError for what would fail in the database, and there fail its neighbours."""
    if len(receipt.external_id) > LONGEST_ID:
        raise ValueError(f"the delivery's id has {len(receipt.external_id)} characters; {LONGEST_ID} is the most")
    if "\0" in receipt.external_id or "\0" in receipt.body:
        raise ValueError("the delivery holds a NUL character, which text must not")
    try:
        receipt.external_id.encode("utf-8")
        body = receipt.body.encode("utf-8")
    except UnicodeEncodeError:  # as from the JSON text "\ud800"
        raise ValueError("the delivery holds half a character, which is no text") from None
    return {
        "id": new_id("dlv"),
        "source": source,
        "stream": stream,
        "external_id": receipt.external_id,
        "body_hash": hashlib.sha256(body).hexdigest(),
        "body": receipt.body,
        "received_at": now,
    }


def _is_about_the_database(error: Exception) -> bool:
    """Whether the database itself is at fault (locked, full, gone) rather than a row: then no row need be tried alone.

    PEP 249 has every driver call that OperationalError.
    """
    return isinstance(error, StoreError) or any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)


def _named(error: Exception) -> str:
    """What goes into the log: the message only where it speaks of the database, since others may quote the delivery."""
    if _is_about_the_database(error):
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return type(error).__name__
