"""Whose it is: declared links decide, addresses are guesses, doubts wait, and what was made one can be made two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import START
from tests.intake.worlds import fact, laws, seen, take, together, whose
from worker.facts import Sighting
from worker.intake.identity import Register
from worker.lib.store import Row, SqliteStore, Store


@pytest.fixture(autouse=True)
def _the_laws_hold_after_every_test(request: pytest.FixtureRequest) -> Iterator[None]:
    found: Store | None = request.getfixturevalue("store") if "store" in request.fixturenames else None
    yield
    if found is not None:
        laws(found)


def _doubts(store: Store) -> list[str]:
    return [row["reason"] for row in store.rows("select reason from doubts order by reason")]


# -- finding ----------------------------------------------------------------------------------------------------------


def test_the_same_id_is_the_same_customer(store: Store) -> None:
    take(store, seen("stripe:cus_1", name="Acme"), seen("stripe:cus_1", at=1, name="Acme Inc"))

    assert together(store) == [["stripe:cus_1"]]
    assert store.value("select name from customers") == "Acme Inc"


def test_the_same_id_in_another_source_is_somebody_else(store: Store) -> None:
    take(store, seen("stripe:1", name="Acme"), seen("zendesk:1", name="Acme"))

    assert together(store) == [["stripe:1"], ["zendesk:1"]]


def test_a_declared_link_joins_whichever_side_was_known_first(store: Store) -> None:
    take(store, seen("keap:7", name="Ann"), seen("stripe:cus_7", "keap:7", name="Acme"))
    take(store, seen("stripe:cus_8", "keap:8", name="Best"), seen("keap:8", name="Bob"))

    assert together(store) == [["keap:7", "stripe:cus_7"], ["keap:8", "stripe:cus_8"]]


def test_a_link_that_is_declared_later_joins_two_who_are_known_already(store: Store) -> None:
    take(store, seen("keap:7", facts=(fact("a"),)), seen("stripe:cus_7", facts=(fact("b"),)))
    take(store, seen("stripe:cus_7", "keap:7", at=1))

    assert together(store) == [["keap:7", "stripe:cus_7"]]
    assert store.value("select count(distinct customer_id) as n from facts") == 1
    assert store.value("select count(*) as n from customers where merged_into is null") == 1


def test_one_address_is_one_customer_in_two_sources(store: Store) -> None:
    take(store, seen("keap:7", name="Ann", email="ann@acme.example"), seen("zendesk:3", email=" Ann@Acme.example"))

    assert together(store) == [["keap:7", "zendesk:3"]]


def test_an_address_under_another_name_in_the_same_source_stays_apart_and_is_doubted(store: Store) -> None:
    take(store, seen("keap:1", name="Ann", email="office@acme.example"))
    take(store, seen("keap:2", name="Bob", email="office@acme.example"))

    assert together(store) == [["keap:1"], ["keap:2"]]
    assert _doubts(store) == ["keap 2 has the same address, under another name"]


def test_where_several_share_an_address_the_name_decides(store: Store) -> None:
    shared = "office@acme.example"
    take(store, seen("keap:1", name="Ann", email=shared), seen("keap:2", name="Bob", email=shared))
    take(store, seen("stripe:cus_2", name=" bob ", email=shared))

    assert together(store) == [["keap:1"], ["keap:2", "stripe:cus_2"]]


def test_where_several_share_an_address_and_no_name_decides_nobody_is_guessed(store: Store) -> None:
    shared = "office@acme.example"
    take(store, seen("keap:1", name="Ann", email=shared), seen("keap:2", name="Bob", email=shared))
    take(store, seen("stripe:cus_3", name="Cid", email=shared))

    assert together(store) == [["keap:1"], ["keap:2"], ["stripe:cus_3"]]
    assert len(_doubts(store)) == 3


def test_a_doubt_is_told_once_however_often_it_comes(store: Store) -> None:
    for at in range(3):
        take(store, seen("keap:1", at=at, name="Ann", email="a@b.example"))
        take(store, seen("keap:2", at=at, name="Bob", email="a@b.example"))

    assert len(_doubts(store)) == 1


def test_a_duplicate_in_the_crm_is_one_customer_with_two_contacts(store: Store) -> None:
    take(store, seen("keap:1", name="Ann", email="ann@acme.example"))
    take(store, seen("keap:2", name="Ann", email="ann@acme.example"))

    assert together(store) == [["keap:1", "keap:2"]]


def test_a_changed_address_changes_nobody(store: Store) -> None:
    take(store, seen("keap:1", name="Ann", email="old@acme.example"))
    take(store, seen("keap:1", at=1, name="Ann", email="new@acme.example"))
    take(store, seen("zendesk:9", at=2, email="new@acme.example"))

    assert together(store) == [["keap:1", "zendesk:9"]]
    assert store.rows("select email from people where identity_id in (select id from identities where source = 'keap')") == [
        {"email": "new@acme.example"}
    ]  # fmt: skip


def test_what_was_known_only_by_address_is_absorbed_when_the_address_becomes_known(store: Store) -> None:
    take(store, seen("email:ann@acme.example", facts=(fact("f1"),)))
    take(store, seen("keap:1", at=1, name="Ann", email="Ann@acme.example"))

    assert together(store) == [["email:ann@acme.example", "keap:1"]]
    assert store.value("select customer_id from facts") == whose(store)["keap:1"]


# -- guesses and links ------------------------------------------------------------------------------------------------


def test_a_guess_is_outranked_by_a_declared_link_and_only_that_identity_moves(store: Store) -> None:
    take(store, seen("keap:1", name="Ann", email="a@acme.example"), seen("keap:2", name="Bob", email="b@acme.example"))
    take(store, seen("zendesk:5", email="a@acme.example", facts=(fact("t1", "ticket_raised"),)))
    assert together(store) == [["keap:1", "zendesk:5"], ["keap:2"]]

    take(store, seen("zendesk:5", "keap:2", at=1, email="a@acme.example"))

    assert together(store) == [["keap:1"], ["keap:2", "zendesk:5"]]
    assert store.value("select customer_id from facts") == whose(store)["keap:2"]
    assert store.rows("select id from merges") == []


# -- merging and back -------------------------------------------------------------------------------------------------


def _all_of_it(store: Store) -> dict[str, list[Row]]:
    return {
        "identities": store.rows(
            "select id, source, external_id, customer_id, via, sighted_at from identities order by id"
        ),
        "people": store.rows("select id, customer_id, identity_id, email, name, role, at from people order by id"),
        "facts": store.rows("select id, customer_id, identity_id, kind, label, at, day, value from facts order by id"),
        "rollup": store.rows("select * from rollup order by customer_id, kind, label, day"),
        "customers": store.rows("select id, name, time_zone, first_at, merged_into from customers order by id"),
    }


def test_a_merge_that_is_undone_leaves_everything_as_it_was(store: Store) -> None:
    take(store, seen("keap:1", name="Ann", email="a@acme.example", facts=(fact("f1"), fact("f2", at=2))))
    take(store, seen("keap:2", name="Bob", email="b@acme.example", facts=(fact("f3"), fact("f4", "login"))))
    before, who = _all_of_it(store), whose(store)
    register = Register(store, START)
    register.merge(who["keap:1"], who["keap:2"], "by hand")
    assert together(store) == [["keap:1", "keap:2"]]
    laws(store)

    register.unmerge(str(store.value("select id from merges")))

    assert _all_of_it(store) == before


def test_the_one_who_stays_is_known_since_the_earlier_of_both(store: Store) -> None:
    take(store, seen("keap:1", at=5), seen("keap:2", at=2, name="Bob"))
    who = whose(store)
    Register(store, START).merge(who["keap:1"], who["keap:2"], "by hand")

    assert store.rows("select name, first_at from customers where merged_into is null") == [
        {"name": "Bob", "first_at": START + 2 * 86_400}
    ]


def test_what_came_after_a_merge_goes_back_with_its_identity(store: Store) -> None:
    take(store, seen("keap:1"), seen("keap:2"))
    who = whose(store)
    Register(store, START).merge(who["keap:1"], who["keap:2"], "by hand")
    take(store, seen("keap:2", at=1, facts=(fact("later"),)))
    Register(store, START).unmerge(str(store.value("select id from merges")))

    assert store.value("select customer_id from facts") == who["keap:2"]


def test_a_merge_is_undone_once_and_an_unknown_one_never(store: Store) -> None:
    take(store, seen("keap:1"), seen("keap:2"))
    who, register = whose(store), Register(store, START)
    register.merge(who["keap:1"], who["keap:2"], "by hand")
    merge_id = str(store.value("select id from merges"))
    register.unmerge(merge_id)

    with pytest.raises(ValueError, match="was undone already"):
        register.unmerge(merge_id)
    with pytest.raises(KeyError):
        register.unmerge("mrg_0")


# -- the order in which vendors answer --------------------------------------------------------------------------------

COMPANIES = 3


@st.composite
def linked_worlds(draw: st.DrawFn) -> tuple[list[Sighting], list[Sighting]]:
    """A world where Stripe and Zendesk declare whose they are, and two orders in which its records come."""
    world = []
    for number in range(COMPANIES):
        address = draw(st.sampled_from([f"c{number}@x.example", "office@x.example", ""]))
        world.append(seen(f"keap:{number}", name=f"Company {number}", email=address))
        if draw(st.booleans()):
            world.append(seen(f"stripe:{number}", f"keap:{number}", name=f"Company {number}", email=address))
        if draw(st.booleans()):
            other = draw(st.sampled_from([address, "office@x.example"]))
            world.append(seen(f"zendesk:{number}", f"keap:{number}", name=f"Company {number}", email=other))
    return world, draw(st.permutations(world))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders=linked_worlds())
def test_where_links_are_declared_the_order_of_arrival_does_not_change_who_is_who(
    orders: tuple[list[Sighting], list[Sighting]],
) -> None:
    outcomes = []
    for order in orders:
        store = SqliteStore(None)
        store.migrate()
        take(store, *order)
        laws(store)
        outcomes.append(together(store))
        store.close()

    assert outcomes[0] == outcomes[1]


@settings(max_examples=30, deadline=None)
@given(orders=linked_worlds())
def test_taking_the_same_world_in_again_changes_nobody(orders: tuple[list[Sighting], list[Sighting]]) -> None:
    store = SqliteStore(None)
    store.migrate()
    take(store, *orders[0])
    before = whose(store)
    take(store, *orders[1])

    assert whose(store) == before
    store.close()
