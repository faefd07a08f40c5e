"""One lease: two exclude each other, a dead holder's runs out, and a slot is taken once ever."""

from __future__ import annotations

import threading

from worker.lib.clock import VirtualClock
from worker.lib.lease import LASTS, Lease
from worker.lib.store import Store


def test_two_leases_exclude_each_other_until_one_is_given_back(store: Store, clock: VirtualClock) -> None:
    one, other = Lease(store, clock, "wheel"), Lease(store, clock, "wheel")

    assert one.take()
    assert not other.take()
    other.release()  # gives back nothing that is not its own
    assert not other.take()
    one.release()
    assert other.take()


def test_a_holder_may_renew_and_other_names_are_other_leases(store: Store, clock: VirtualClock) -> None:
    one = Lease(store, clock, "wheel")

    assert one.take()
    clock.sleep(LASTS - 1)
    assert one.take()
    clock.sleep(LASTS - 1)
    assert not Lease(store, clock, "wheel").take()
    assert Lease(store, clock, "another").take()


def test_what_a_dead_holder_held_can_be_taken_when_it_has_run_out(store: Store, clock: VirtualClock) -> None:
    dead, heir = Lease(store, clock, "wheel"), Lease(store, clock, "wheel")
    dead.take()
    clock.sleep(LASTS)
    assert not heir.take()
    clock.sleep(1)

    assert heir.take()
    assert not dead.take()


def test_a_block_is_entered_by_one_and_the_lease_is_given_back_even_when_it_breaks(
    store: Store, clock: VirtualClock
) -> None:
    one, other = Lease(store, clock, "wheel"), Lease(store, clock, "wheel")
    try:
        with one.held() as mine, other.held() as theirs:
            assert (mine, theirs) == (True, False)
            raise RuntimeError("the turn broke off")
    except RuntimeError:
        pass

    with other.held() as mine:
        assert mine


def test_a_slot_is_taken_once_however_many_want_it(store: Store, clock: VirtualClock) -> None:
    taken: list[str] = []
    held: list[bool] = []
    start = threading.Barrier(6)

    def worker() -> None:
        lease = Lease(store, clock, "wheel")
        start.wait()
        taken.extend(str(slot) for slot in range(10) if lease.take_slot("pull", str(slot)))
        held.append(lease.take())
        store.let_go()

    threads = [threading.Thread(target=worker) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == [str(slot) for slot in range(10)]
    assert sum(held) == 1
    assert Lease(store, clock, "wheel").take_slot("daily", "3")  # the same tick of another job
