from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.intake.receive import NotStored, Received, Receiver
from worker.integration import Receipt
from worker.lib.clock import VirtualClock
from worker.lib.store import SqliteStore, Store


@pytest.fixture
def receiver(store: Store, clock: VirtualClock) -> Iterator[Receiver]:
    opened = Receiver(store, clock)
    yield opened
    opened.close()


def _receive(receiver: Receiver, external_id: str, body: str = "{}", source: str = "stripe") -> Received:
    return receiver.receive(source, "webhook", Receipt(external_id, body))


def _together(receiver: Receiver, receipts: list[Receipt]) -> list[Received | NotStored]:
    """Receive many at once, each in a thread of its own."""

    def one(receipt: Receipt) -> Received | NotStored:
        try:
            return receiver.receive("stripe", "webhook", receipt)
        except NotStored as error:
            return error

    with ThreadPoolExecutor(len(receipts)) as pool:
        return list(pool.map(one, receipts))


def test_a_delivery_is_in_the_store_when_it_is_acknowledged(receiver: Receiver, store: Store) -> None:
    received = _receive(receiver, "evt_1", '{"id":"evt_1"}')

    assert received.duplicate is False
    assert store.rows("select id, source, stream, external_id, body, received_at, parsed_at from deliveries") == [
        {
            "id": received.id, "source": "stripe", "stream": "webhook", "external_id": "evt_1",
            "body": '{"id":"evt_1"}', "received_at": 1_767_225_600, "parsed_at": None,
        }
    ]  # fmt: skip


def test_the_same_delivery_again_is_the_first_one(receiver: Receiver, store: Store) -> None:
    first = _receive(receiver, "evt_1")

    assert _receive(receiver, "evt_1") == Received(first.id, duplicate=True)
    assert store.value("select count(*) from deliveries") == 1


@pytest.mark.parametrize(
    ("source", "stream", "external_id", "body"),
    [
        ("zendesk", "webhook", "evt_1", "{}"),
        ("stripe", "api", "evt_1", "{}"),
        ("stripe", "webhook", "evt_2", "{}"),
        ("stripe", "webhook", "evt_1", '{"more":1}'),
    ],
)
def test_a_delivery_that_differs_in_anything_is_another(
    receiver: Receiver, source: str, stream: str, external_id: str, body: str
) -> None:
    first = _receive(receiver, "evt_1")
    other = receiver.receive(source, stream, Receipt(external_id, body))

    assert other.duplicate is False
    assert other.id != first.id


def test_the_same_delivery_many_times_at_once_is_stored_once(receiver: Receiver, store: Store) -> None:
    receipts = [Receipt(f"evt_{number % 5}", "{}") for number in range(40)]
    found = _together(receiver, receipts)

    assert all(isinstance(one, Received) for one in found)
    assert sum(isinstance(one, Received) and not one.duplicate for one in found) == 5
    assert store.value("select count(*) from deliveries") == 5
    stored = {row["external_id"]: row["id"] for row in store.rows("select id, external_id from deliveries")}
    assert [one.id for one in found if isinstance(one, Received)] == [stored[one.external_id] for one in receipts]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=1, max_size=24), st.integers(1, 8))
def test_whatever_arrives_in_whatever_order_each_different_delivery_is_stored_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[str, str]], threads: int
) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("store") / "keepwell.db")
    store.migrate()
    receiver = Receiver(store, VirtualClock(0))
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda one: _receive(receiver, *one), arrivals))
    receiver.close()

    assert store.value("select count(*) from deliveries") == len(set(arrivals))
    assert sum(not one.duplicate for one in found) == len(set(arrivals))
    assert len({(one.id, *arrival) for one, arrival in zip(found, arrivals, strict=True)}) == len(set(arrivals))
    store.close()


@contextmanager
def _poisoned(store: Store) -> Iterator[None]:
    """The database takes no row whose body says poison: the fault nobody thought of."""
    if store.dialect == "sqlite":
        store.run(
            "create trigger refuses before insert on deliveries when new.body = 'poison'"
            " begin select raise(abort, 'no'); end"
        )
        yield
        return
    store.run(
        "create function refuse() returns trigger language plpgsql as"
        " $$begin if new.body = 'poison' then raise exception 'no'; end if; return new; end$$"
    )
    store.run("create trigger refuses before insert on deliveries for each row execute function refuse()")
    yield


def test_a_row_that_no_database_takes_fails_only_itself(receiver: Receiver, store: Store) -> None:
    receipts = [Receipt(f"evt_{number}", "poison" if number in {3, 17} else "{}") for number in range(24)]
    with _poisoned(store):
        found = _together(receiver, receipts)

    assert [place for place, one in enumerate(found) if isinstance(one, NotStored)] == [3, 17]
    assert store.value("select count(*) from deliveries") == 22


def test_when_the_database_is_gone_everyone_hears_and_nothing_is_acknowledged(receiver: Receiver, store: Store) -> None:
    store.run("alter table deliveries rename to elsewhere")
    found = _together(receiver, [Receipt(f"evt_{number}", "{}") for number in range(8)])
    store.run("alter table elsewhere rename to deliveries")

    assert all(isinstance(one, NotStored) for one in found)
    assert store.value("select count(*) from deliveries") == 0
    assert _receive(receiver, "evt_0").duplicate is False, "and it goes on when the database is back"


@pytest.mark.parametrize(
    "receipt",
    [Receipt("x" * 501, "{}"), Receipt("evt\0", "{}"), Receipt("evt", "\0"), Receipt("\ud800", "{}"), Receipt("evt", "\ud800")],
    ids=["long id", "NUL in id", "NUL in body", "half a character in id", "half a character in body"],
)  # fmt: skip
def test_what_no_database_can_hold_is_refused_before_it_meets_its_neighbours(
    receiver: Receiver, store: Store, receipt: Receipt
) -> None:
    with pytest.raises(ValueError, match="the delivery"):
        receiver.receive("stripe", "webhook", receipt)

    assert store.value("select count(*) from deliveries") == 0


def test_many_that_wait_share_one_commit(tmp_path: Path, clock: VirtualClock) -> None:
    store = _Counting(tmp_path / "keepwell.db")
    store.migrate()
    receiver = Receiver(store, clock)
    _receive(receiver, "warm")
    store.commits = 0
    store.gate.clear()
    with ThreadPoolExecutor(33) as pool:
        first = pool.submit(_receive, receiver, "first")
        assert store.arrived.wait(5)
        others = [pool.submit(_receive, receiver, f"evt_{number}") for number in range(32)]
        while len(receiver._filling.rows) < 32:
            os.sched_yield()
        assert not first.done()
        store.gate.set()
        assert {one.result().duplicate for one in [first, *others]} == {False}

    assert store.commits == 2
    assert store.synchronous == {2}, "FULL: a commit is on the disk when it returns"
    receiver.close()
    store.close()


class _Counting(SqliteStore):
    """A disk that can be held up just before a commit, and that counts them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = 0
        self.synchronous: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()

    def _commit(self, depth: int) -> None:
        if depth == 0 and threading.current_thread().name == "receiver":
            self.commits += 1
            self.synchronous.add(self.value("pragma synchronous"))
            if not self.gate.is_set():
                self.arrived.set()
                self.gate.wait(5)
        super()._commit(depth)


def test_counts_are_written_and_closing_loses_none(receiver: Receiver, store: Store) -> None:
    for _ in range(50):
        receiver.count("refused:stripe:forged")
    receiver.count("refused:stripe:stale")
    receiver.close()

    assert store.rows("select name, n from counters order by name") == [
        {"name": "refused:stripe:forged", "n": 50},
        {"name": "refused:stripe:stale", "n": 1},
    ]


def test_counts_survive_a_commit_that_failed(receiver: Receiver, store: Store) -> None:
    with _poisoned(store):
        receiver.count("refused:stripe:forged")
        with pytest.raises(NotStored):
            _receive(receiver, "evt_1", "poison")
    _receive(receiver, "evt_2")
    receiver.close()

    assert store.rows("select name, n from counters") == [{"name": "refused:stripe:forged", "n": 1}]


def test_after_closing_nothing_is_acknowledged(receiver: Receiver, store: Store) -> None:
    receiver.close()
    receiver.count("refused:stripe:forged")
    with pytest.raises(NotStored):
        _receive(receiver, "evt_1")

    assert store.value("select count(*) from deliveries") == 0


def test_no_thread_starts_before_the_first_delivery(store: Store, clock: VirtualClock) -> None:
    before = threading.active_count()
    receiver = Receiver(store, clock)

    assert threading.active_count() == before
    receiver.close()


def test_a_server_that_forks_after_a_delivery_receives_in_the_child_too(tmp_path: Path, clock: VirtualClock) -> None:
    target = tmp_path / "keepwell.db"
    store = SqliteStore(target)
    store.migrate()
    receiver = Receiver(store, clock)
    _receive(receiver, "before")
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads running, which is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if not _receive(receiver, "in the child").duplicate else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert _names(store) == ["before", "in the child"]
    receiver.close()
    store.close()


def _names(store: Store) -> list[Any]:
    return [row["external_id"] for row in store.rows("select external_id from deliveries order by id")]


def test_the_log_does_not_quote_a_delivery_that_failed(
    receiver: Receiver, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with _poisoned(store), pytest.raises(NotStored) as told:
        _receive(receiver, "evt_1", "poison")

    assert "stored" in caplog.text
    assert "poison" not in caplog.text + str(told.value)
