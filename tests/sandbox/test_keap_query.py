"""Laws of the pretend Keap's lists and of its count of losses, whatever the rows."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from worker.sandbox.servers.keap_query import Listing, page
from worker.sandbox.servers.keap_records import Change, losses

US, THEM = "KeapAK-us", "human"

LISTING: Listing[tuple[int, int]] = Listing("rows", {}, {"value": lambda row: row[1]}, lambda row: row[0])

values = some.sampled_from([None, "a", "b"])
edits = some.lists(some.tuples(some.sampled_from([US, THEM]), some.sampled_from(["1", "2"]), values))


def audit(edits: list[tuple[str, str, Any]]) -> list[Change]:
    """The log of such edits of fields; it tells only those that changed something."""
    present: dict[str, Any] = {}
    log = []
    for who, field, after in edits:
        before, present[field] = present.get(field), after
        if before != after:
            log.append(Change(0, who, "field", "101", field, field, "", before, after))
    return log


def nothing(_change: Change) -> bool:
    return False


@given(
    some.lists(some.integers(0, 3), max_size=12),
    some.integers(1, 5),
    some.sampled_from(["", "value asc", "value desc"]),
)
def test_the_pages_of_a_list_hold_every_row_once_and_in_order(numbers: list[int], size: int, order: str) -> None:
    rows = list(enumerate(numbers))
    params = {"page_size": [str(size)], "order_by": [order]}

    seen, token = page(LISTING, rows, params)
    while token:
        found, token = page(LISTING, rows, params | {"page_token": [token]})
        seen += found

    by_value = sorted(rows, key=lambda row: (row[1] if order else 0, row[0]), reverse=order.endswith("desc"))
    assert seen == by_value


@given(edits)
def test_what_others_do_is_never_our_loss(made: list[tuple[str, str, Any]]) -> None:
    assert losses([change for change in audit(made) if change.who == THEM], US, nothing) == 0


@given(edits)
def test_what_is_ours_is_never_a_loss(made: list[tuple[str, str, Any]]) -> None:
    assert losses(audit(made), US, lambda _change: True) == 0


@given(values, values)
def test_a_value_of_theirs_is_lost_by_our_change_and_saved_by_putting_it_back(theirs: Any, ours: Any) -> None:
    lost = losses(audit([(THEM, "1", theirs), (US, "1", ours)]), US, nothing)
    saved = losses(audit([(THEM, "1", theirs), (US, "1", ours), (US, "1", theirs)]), US, nothing)

    assert (lost, saved) == (int(theirs != ours), 0)
