"""What people said: pulses as they gave them, and disagreements. This part's door to the store."""

from __future__ import annotations

from dataclasses import replace

from worker.facts import MILLION
from worker.lib.ids import new_id
from worker.lib.store import Row, Store, sql
from worker.review.disagreement import Disagreement, Pulse


def latest_pulses(store: Store, now: int, valid_for: int) -> dict[str, Pulse]:
    """{customer: the newest pulse that is not older than `valid_for` seconds}; those without one are left out."""
    rows = store.rows(sql("opinions", "pulses"), {"since": now - valid_for, "now": now})
    return {row["customer_id"]: pulse for row in rows if (pulse := _pulse(row))}


def pulses_of(store: Store, customer_id: str, now: int) -> list[Pulse]:
    """Every pulse of a customer, newest first."""
    binds = {"customer_id": customer_id, "since": -1, "now": now}
    rows = store.rows(sql("opinions", "pulses_of"), binds)
    return [pulse for row in reversed(rows) if (pulse := _pulse(row))]


def _pulse(row: Row) -> Pulse | None:
    """None for what came as an event and is no whole number from 1 to 5."""
    value, rest = divmod(row["value"], MILLION)
    if rest or not 1 <= value <= 5:
        return None
    return Pulse(value, row["at"], row["source"], row["source_id"], row["author"], row["note"])


# -- disagreements ----------------------------------------------------------------------------------------------------


def open_disagreements(store: Store) -> list[Disagreement]:
    """All that wait for an answer, the longest open first; each under the customer who stands for it now."""
    return [_disagreement(store, row) for row in store.rows(sql("opinions", "disagreements"))]


def disagreements_of(store: Store, customer_id: str) -> list[Disagreement]:
    """Every disagreement of a customer, newest first."""
    return [
        _disagreement(store, row)
        for row in store.rows(sql("opinions", "disagreements_of"), {"customer_id": customer_id})
    ]


def disagreement(store: Store, disagreement_id: str) -> Disagreement | None:
    """One by its id."""
    row = store.row(sql("opinions", "disagreement"), {"id": disagreement_id})
    return _disagreement(store, row) if row else None


def open_disagreement(
    store: Store, customer_id: str, owner: str, band: str, pulse: Pulse, now: int
) -> Disagreement | None:
    """Open one; None where one is open, or where this pulse against this band was asked about or answered."""
    disagreement_id = new_id("dsg")
    binds = {"id": disagreement_id, "customer_id": customer_id, "owner": owner, "now": now, **_about(band, pulse)}
    added = store.run(sql("opinions", "open_disagreement"), binds)
    return disagreement(store, disagreement_id) if added else None


def keep_up(store: Store, one: Disagreement, band: str, pulse: Pulse) -> Disagreement:
    """The same one, still open, about the newest pulse and the present band."""
    if one.is_about(band, pulse):
        return one
    store.run(sql("opinions", "update_disagreement"), {"id": one.id, **_about(band, pulse)})
    return replace(one, **_about(band, pulse))


def asked(store: Store, disagreement_id: str, now: int) -> bool:
    """Note that the owner is being asked; False where that has been done."""
    return store.run(sql("opinions", "ask"), {"id": disagreement_id, "now": now}) == 1


def close(store: Store, disagreement_id: str, answer: str, now: int, *, was_right: str = "", author: str = "") -> bool:
    """Close one with its answer; False where it is closed already."""
    binds = {"id": disagreement_id, "answer": answer, "was_right": was_right, "author": author, "now": now}
    return store.run(sql("opinions", "close_disagreement"), binds) == 1


def _about(band: str, pulse: Pulse) -> Row:
    return {
        "band": band, "pulse": pulse.value, "pulse_at": pulse.at, "pulse_source": pulse.source,
        "pulse_source_id": pulse.source_id, "pulse_author": pulse.author,
    }  # fmt: skip


def _disagreement(store: Store, row: Row) -> Disagreement:
    row = dict(row)
    into = row.pop("merged_into")
    while into:
        row["customer_id"] = into
        into = store.value(sql("opinions", "merged_into"), {"customer_id": into})
    return Disagreement(**row)
