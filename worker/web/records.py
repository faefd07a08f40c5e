"""What pages and API read: customers, changes, and what was done. Nothing here writes but a mark to assess somebody."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from worker.assess import shown_score
from worker.lib.clock import iso, seconds
from worker.lib.rounding import half_up
from worker.lib.store import Row, Store, sql
from worker.plays.records import departed
from worker.scoring import records
from worker.web import words
from worker.workspace import Workspace

BY_CHANGE, BY_NAME = "changed", "name"
ORDERS: Final = (BY_CHANGE, BY_NAME)


class BadCursor(ValueError):
    """A cursor that none of our answers has given."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list."""

    rows: list[dict[str, Any]]
    cursor: str
    """Where the next page begins; "" on the last."""


# -- customers --------------------------------------------------------------------------------------------------------


def customer(workspace: Workspace, customer_id: str, gone: bool) -> dict[str, Any]:
    """One customer as the API shows them: flat, every key always there."""
    row = workspace.store.row(sql("web", "customer"), {"id": customer_id})
    assert row is not None, f"{customer_id} was found a moment ago"
    score = _score(row)
    band = row["band"]
    return {
        "customer_id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "owner": row["owner"],
        "score": int(shown_score(score.assessment)) if score and score.score is not None else None,
        "band": band,
        "band_label": words.look(band).label,
        "since": None if row["since"] is None else iso(row["since"]),
        "turning": row["waiting"],
        "reason": words.reason(workspace.card_of(score.version), score) if score else "",
        "main_driver": score.assessment.drivers[0].measure if score and score.assessment.drivers else "",
        "main_driver_text": words.main_driver(workspace.card_of(score.version), score) if score else "",
        "keap_contact_id": row["keap_contact_id"],
        "stripe_customer_id": row["stripe_customer_id"],
        "coverage_percent": int(half_up(score.coverage * 100)) if score else None,
        "has_left": gone,
        "as_of": None if score is None else iso(max(score.at, row["assessed_at"] or 0)),
        "url": f"{workspace.config.workspace.public_url}/customers/{row['id']}",
    }


def score_of(workspace: Workspace, customer_id: str) -> records.Score | None:
    """The score that the customer's standing rests on."""
    return records.latest_scores(workspace.store, [customer_id]).get(customer_id)


def _score(row: Row) -> records.Score | None:
    if row["score_id"] is None:
        return None
    score = None if row["score"] is None else Decimal(row["score"])
    return records.Score(
        row["score_id"], row["id"], row["at"], row["version"], score, row["cut"], Decimal(row["coverage"]),
        row["detail"], row["run_id"],
    )  # fmt: skip


def customers(
    workspace: Workspace, *, order: str = BY_CHANGE, band: str = "", q: str = "", limit: int, cursor: str = ""
) -> Listed:
    """A page of customers, those whose band turned last first or by name. Raises BadCursor."""
    after = _read_cursor(cursor, {"place": int if order == BY_CHANGE else str, "id": str})
    pattern = "%" + "".join(f"!{sign}" if sign in "!%_" else sign for sign in q.strip()) + "%"
    binds = {
        "band": band, "q": q.strip(), "pattern": pattern, "lowered": pattern.casefold(), "most": limit + 1,
        "first": int(not after), "id": after.get("id", ""),
        "since" if order == BY_CHANGE else "name": after.get("place", 0 if order == BY_CHANGE else ""),
    }  # fmt: skip
    rows = workspace.store.rows(sql("web", "listed_by_change" if order == BY_CHANGE else "listed_by_name"), binds)
    gone = departed(workspace.store, seconds(workspace.clock))
    page, onward = _page(rows, limit, "place")
    return Listed([customer(workspace, row["id"], row["id"] in gone) for row in page], onward)


def mark(store: Store, customer_id: str, now: int) -> None:
    """Have this customer assessed at the next turn."""
    store.run(sql("web", "soil"), {"id": customer_id, "now": now})


# -- changes ----------------------------------------------------------------------------------------------------------


def changes(workspace: Workspace, *, limit: int, cursor: str = "") -> Listed:
    """A page of changes of band, newest first. Raises BadCursor."""
    after = _read_cursor(cursor, {"place": int, "id": str})
    binds = {"first": int(not after), "at": after.get("place", 0), "id": after.get("id", ""), "most": limit + 1}
    page, onward = _page(workspace.store.rows(sql("web", "listed_changes"), binds), limit, "at")
    return Listed([_change(workspace, row) for row in page], onward)


def _change(workspace: Workspace, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "customer_id": row["customer_id"],
        "name": row["name"],
        "email": row["email"],
        "old_band": row["old_band"],
        "old_band_label": words.look(row["old_band"]).label,
        "new_band": row["new_band"],
        "new_band_label": words.look(row["new_band"]).label,
        "score": None if row["score"] is None else int(half_up(Decimal(row["score"]))),
        "reason": row["why"],
        "at": iso(row["at"]),
        "url": f"{workspace.config.workspace.public_url}/customers/{row['customer_id']}",
    }


# -- the whole --------------------------------------------------------------------------------------------------------


def band_counts(workspace: Workspace, now: int) -> tuple[dict[str, int], int]:
    """How many customers stand in each band, best first and grey last; and how many have left, who are not counted."""
    gone = departed(workspace.store, now)
    rows = workspace.store.rows(sql("web", "bands"))
    counts = Counter(row["band"] for row in rows if row["customer_id"] not in gone)
    return {band: counts[band] for band in _bands(workspace, counts)}, len(gone)


def in_band(workspace: Workspace, band: str, now: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """The customers in a band who have not left, the lowest score first; and how many more there are."""
    gone = departed(workspace.store, now)
    rows = workspace.store.rows(sql("web", "bands"))
    ids = [row["customer_id"] for row in rows if row["band"] == band and row["customer_id"] not in gone]
    scores = records.latest_scores(workspace.store, ids)
    ids.sort(key=lambda one: (scores[one].score if scores[one].score is not None else Decimal(-1), one))
    return [customer(workspace, one, gone=False) for one in ids[:most]], max(0, len(ids) - most)


def _bands(workspace: Workspace, counts: Mapping[str, int]) -> list[str]:
    known = [*workspace.card.order, "grey"]
    return [*known, *sorted(counts.keys() - set(known))]  # of an earlier card, until everybody has been assessed


# -- pages of a list --------------------------------------------------------------------------------------------------


def _page(rows: list[Row], limit: int, place: str) -> tuple[list[Row], str]:
    """The rows of this page, and the cursor of the next: one row more was read than is shown."""
    shown = rows[:limit]
    if len(rows) <= limit:
        return shown, ""
    text = json.dumps({"place": shown[-1][place], "id": shown[-1]["id"]})
    return shown, base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, shape: Mapping[str, type]) -> dict[str, Any]:
    if not cursor:
        return {}
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found: Any = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise BadCursor("the cursor is not one of ours") from None
    if not isinstance(found, dict) or found.keys() != shape.keys():
        raise BadCursor("the cursor belongs to another list")
    if any(type(found[key]) is not kind for key, kind in shape.items()):
        raise BadCursor("the cursor belongs to another list")
    if isinstance(found["place"], int) and abs(found["place"]) >= 2**62:
        raise BadCursor("the cursor is not one of ours")
    return found
