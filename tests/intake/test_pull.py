"""Reading a vendor's stream: what is stored stays, the bookmark moves with it, and the next turn goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import START
from worker.intake.pull import pull
from worker.integration import Page, Pull
from worker.lib.clock import VirtualClock
from worker.lib.http import Failure, GiveUp, Http
from worker.lib.store import Row, Store

PLACE = {"source": "app", "stream": "things"}


class Vendor:
    """Pages 1 … 5 behind a bookmark; breaks off where it is told."""

    def __init__(self) -> None:
        self.breaks_at = 0
        self.failure: Exception = GiveUp("the vendor answers HTML")
        self.asked: list[str | None] = []

    def fetch(self, _: Http, __: Any, cursor: str | None, now: int) -> Iterator[Page]:
        self.asked.append(cursor)
        for number in range(int(cursor or 0) + 1, 6):
            if number == self.breaks_at:
                raise self.failure
            yield Page(f"page {number}", f'{{"number": {number}}}', str(number))


@pytest.fixture
def http(clock: VirtualClock) -> Iterator[Http]:
    connection = Http("app", "http://127.0.0.1:1", clock)
    yield connection
    connection.close()


def _pages(store: Store) -> list[str]:
    return [row["external_id"] for row in store.rows("select external_id from deliveries order by id")]


def _cursor(store: Store) -> Row | None:
    return store.row("select value, succeeded_at, failed_at, reason from cursors where source = 'app'")


def _pull(store: Store, vendor: Vendor, http: Http) -> str:
    return pull(store, "app", Pull("things", vendor.fetch), http, None)


def test_a_whole_pull_stores_every_page_and_stands_at_the_last(store: Store, http: Http) -> None:
    assert _pull(store, Vendor(), http) == ""
    assert _pages(store) == [f"page {number}" for number in range(1, 6)]
    assert _cursor(store) == {"value": "5", "succeeded_at": START, "failed_at": None, "reason": None}


def test_a_failure_in_the_middle_keeps_what_came_and_the_next_turn_goes_on_from_there(store: Store, http: Http) -> None:
    vendor = Vendor()
    vendor.breaks_at = 3
    assert _pull(store, vendor, http) == "the vendor answers HTML"
    assert _pages(store) == ["page 1", "page 2"]
    assert _cursor(store) == {
        "value": "2", "succeeded_at": None, "failed_at": START, "reason": "the vendor answers HTML",
    }  # fmt: skip

    vendor.breaks_at = 0
    assert _pull(store, vendor, http) == ""
    assert _pages(store) == [f"page {number}" for number in range(1, 6)]
    assert vendor.asked == [None, "2"]
    assert _cursor(store) == {"value": "5", "succeeded_at": START, "failed_at": None, "reason": None}


def test_the_bookmark_never_stands_behind_a_page_that_is_not_stored(store: Store, http: Http) -> None:
    vendor = Vendor()
    vendor.breaks_at, vendor.failure = 4, KeyboardInterrupt()  # type: ignore[assignment]  # the process is stopped
    with pytest.raises(KeyboardInterrupt):
        _pull(store, vendor, http)

    assert _pages(store) == ["page 1", "page 2", "page 3"]
    assert store.value("select value from cursors") == "3"


def test_the_same_page_twice_is_one_delivery(store: Store, http: Http) -> None:
    for _ in range(2):
        _pull(store, Vendor(), http)
        store.run("update cursors set value = null")

    assert len(_pages(store)) == 5


def test_a_page_that_says_something_else_is_another_delivery(store: Store, http: Http) -> None:
    def changed(_: Http, __: Any, cursor: str | None, now: int) -> Iterator[Page]:
        yield Page("page 1", f'{{"as of": {now}}}')

    for _ in range(2):
        pull(store, "app", Pull("things", changed), http, None)
        http.clock.sleep(60)

    assert _pages(store) == ["page 1", "page 1"]


def test_all_is_history_until_a_first_pull_has_gone_through(store: Store, http: Http) -> None:
    vendor = Vendor()
    vendor.breaks_at = 3
    _pull(store, vendor, http)
    vendor.breaks_at = 0
    _pull(store, vendor, http)
    store.run("update cursors set value = '4'")
    store.run("delete from deliveries where external_id = 'page 5'")
    _pull(store, vendor, http)

    rows = store.rows("select external_id, history from deliveries order by external_id")
    assert [row["history"] for row in rows] == [1, 1, 1, 1, 0]


def test_a_page_without_a_bookmark_leaves_it_where_it_is(store: Store, http: Http) -> None:
    def bare(_: Http, __: Any, cursor: str | None, now: int) -> Iterator[Page]:
        yield Page("page", "{}", None)

    _pull(store, Vendor(), http)
    assert pull(store, "app", Pull("things", bare), http, None) == ""
    assert store.value("select value from cursors") == "5"


def test_a_mistake_of_ours_is_no_failure_of_the_vendor(store: Store, http: Http) -> None:
    vendor = Vendor()
    vendor.breaks_at, vendor.failure = 2, ZeroDivisionError("ours")
    assert not isinstance(vendor.failure, Failure)
    with pytest.raises(ZeroDivisionError):
        _pull(store, vendor, http)
