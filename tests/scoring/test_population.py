"""What is read from others: ranks, the portfolio's normal, roll-ups of children and of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest

from tests.scoring.cards import NOW, customer, fact, moment
from tests.scoring.test_sentences import formula, measuring, shown, tell
from worker.facts import Fact, Identity, Person
from worker.intake.records import add_facts, add_identity, put_people, sight
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.scoring import phrases
from worker.scoring.card import Card, Measure
from worker.scoring.measures import Sources
from worker.scoring.population import needs_everyone, read, read_in_batches
from worker.scoring.reads import Portfolio
from worker.scoring.scorecard import load

LOGINS = "number of logins in the last 30 days"

JUDGING = """
name = "Test"
[measures.logins]
read = "number of logins in the last 30 days"
sliding = "0 -> 0, 10 -> 100"
[measures.children]
read = "{}"
[dimensions.all]
share = 100
measures = {{ logins = 100 }}
[rules.idle]
when = "children < 0"
at_most = "red"
because = "never"
[bands]
green = "70 and up"
yellow = "40 and up"
"""

_serial = count()


def logins(how_many: int) -> list[Fact]:
    return [fact("login", 1 + n / 100) for n in range(how_many)]


def people(store: Store, card: Card, ids: Iterable[str], name: str = "m", **more: object) -> list[str]:
    moments = [moment(one) for one in ids]
    found = read(store, card, moments, **more)  # type: ignore[arg-type]
    return [shown(found[one.customer_id][name]) for one in moments]


def test_a_percentile_is_the_share_of_the_others_below_with_ties_by_half(store: Store) -> None:
    ids = [customer(store, logins(n)) for n in (5, 1, 3, 3, 9)]

    assert people(store, measuring({"m": "percentile of logins", "logins": LOGINS}), ids) == [
        "75", "0", "37.5", "37.5", "100",
    ]  # fmt: skip


def test_a_z_score_is_in_standard_deviations_of_the_population(store: Store) -> None:
    ids = [customer(store, logins(n)) for n in (2, 4, 4, 4, 5, 5, 7, 9)]

    found = people(store, measuring({"m": "z-score of logins", "logins": LOGINS}), ids)

    assert found == ["-1.5", "-0.5", "-0.5", "-0.5", "0", "0", "1", "2"]


@pytest.mark.parametrize("how", ["z-score", "percentile"])
def test_whoever_is_alone_has_no_rank(sqlite_store: Store, how: str) -> None:
    ids = [customer(sqlite_store, logins(2))]

    assert people(sqlite_store, measuring({"m": f"{how} of logins", "logins": LOGINS}), ids) == ["never"]


def test_peers_are_told_by_an_attribute(store: Store) -> None:
    card = measuring({"m": "percentile of logins among customers with the same plan", "logins": LOGINS})
    ids = [customer(store, logins(n)) for n in (1, 2, 3, 4, 5)]
    for one, plan in zip(ids, ("pro", "Pro", "basic", "basic", None), strict=True):
        if plan:
            tell(store, one, ("plan", plan, 1))

    assert people(store, card, ids) == ["0", "100", "0", "100", "never"]


@pytest.mark.parametrize(("how", "shares"), [("average", ["0.2", "0.4", "2.4"]), ("median", ["0.5", "1", "6"])])
def test_the_portfolios_normal_is_that_of_all_who_have_a_value(store: Store, how: str, shares: list[str]) -> None:
    measure = Measure("m", phrases.read(LOGINS), against=Portfolio(how))  # type: ignore[arg-type]
    ids = [customer(store, logins(n)) for n in (1, 2, 12)]

    assert people(store, measuring({"m": measure}), ids) == shares


def test_the_portfolio_is_everyone_though_few_are_due(store: Store) -> None:
    card = measuring({"m": "percentile of logins", "logins": LOGINS, "twice": formula("twice", "m * 2")})
    ids = [customer(store, logins(n)) for n in (5, 1, 3)]
    everyone = [moment(one) for one in ids]

    found = read(store, card, everyone[:1], everyone=everyone)

    assert needs_everyone(card)
    assert list(found) == ids[:1]
    assert {name: shown(one) for name, one in found[ids[0]].items()} == {"logins": "5", "m": "100", "twice": "200"}


def test_whoever_is_not_scored_is_nobodys_measure(store: Store) -> None:
    card = replace(
        measuring({"m": "percentile of logins", "logins": LOGINS, "paying": "number of active subscriptions now"}),
        who=phrases.condition("paying >= 1"),
    )
    ids = [customer(store, [*logins(n), fact("subscription", 90, paying)]) for n, paying in ((2, 1), (4, 1), (0, -1))]

    assert people(store, card, ids) == ["0", "100", "0"]


def test_batches_change_nothing(store: Store) -> None:
    card = measuring({"m": "percentile of logins", "logins": LOGINS})
    moments = [moment(customer(store, logins(n))) for n in (3, 1, 2, 5, 4)]

    batches = list(read_in_batches(store, card, moments, size=2))

    assert [len(one) for one in batches] == [2, 2, 1]
    assert {name: one for batch in batches for name, one in batch.items()} == read(store, card, moments)


@pytest.mark.parametrize(
    ("sources", "state"), [(Sources(down={"login"}), "source_down"), (Sources(connected=()), "not_applicable")]
)
def test_a_rank_is_as_known_as_what_it_ranks(sqlite_store: Store, sources: Sources, state: str) -> None:
    card = measuring({"m": "percentile of logins", "logins": LOGINS, "roll": "total logins of children"})
    ids = [customer(sqlite_store, logins(n)) for n in (1, 2)]
    tell(sqlite_store, ids[1], ("parent", f"test:{external_id(sqlite_store, ids[0])}", 1))

    assert people(sqlite_store, card, ids, sources=sources) == [state, state]
    assert people(sqlite_store, card, ids[:1], "roll", sources=sources, everyone=[moment(one) for one in ids]) == [
        state if state == "source_down" else "0"
    ]


# -- children ---------------------------------------------------------------------------------------------------------


def external_id(store: Store, customer_id: str) -> str:
    rows = store.rows(
        "select external_id from identities where customer_id = :id and source = 'test'", {"id": customer_id}
    )
    return str(rows[0]["external_id"])


def family(store: Store, *sizes: int, attributes: Mapping[str, str] | None = None) -> list[str]:
    """A parent without logins and children with so many; the n-th child's attributes end with n."""
    parent, *children = (customer(store, logins(n)) for n in (0, *sizes))
    for place, child in enumerate(children):
        more = [(name, value.split()[place], 1.0) for name, value in (attributes or {}).items()]
        tell(store, child, ("parent", f"test:{external_id(store, parent)}", 1), *more)
    return [parent, *children]


ROLLED = [
    ("average logins of children", "4"),
    ("lowest logins of children", "1"),
    ("highest logins of children", "8"),
    ("total logins of children", "12"),
    ("average logins of children weighted by seats", "2.3"),
    ("number of children", "3"),
    ("number of children with logins >= 3", "2"),
    ("share of children with logins >= 3", "0.666666667"),
    ("average logins of children with logins >= 3", "5.5"),
    ("average score of children", "40"),
    ("lowest score of children with logins > 1", "30"),
    ("share of children with band is red", "0.666666667"),
    ("total score of children weighted by seats", "230"),
]


def test_a_roll_up_of_children_is_one_number(sqlite_store: Store) -> None:
    ids = family(sqlite_store, 1, 3, 8, attributes={"seats": "6 3 1"})

    told = [
        (sentence, people(sqlite_store, load(JUDGING.format(sentence)), ids, "children")[0]) for sentence, _ in ROLLED
    ]

    assert told == ROLLED


def test_whoever_has_no_children_has_none_of_their_numbers(store: Store) -> None:
    ids = [customer(store, logins(1))]
    told = {
        sentence: people(store, load(JUDGING.format(sentence)), ids, "children")[0]
        for sentence in ("number of children", "total logins of children", "average score of children",
                         "share of children with logins > 0", "lowest logins of children")
    }  # fmt: skip

    assert list(told.values()) == ["0", "0", "never", "never", "never"]


def test_scores_roll_up_through_the_generations(store: Store) -> None:
    """A branch is judged with what rolls up to it, before its own parent is."""
    points = 'sliding = "0 -> 0, 100 -> 100"'
    text = JUDGING.format("average score of children").replace("[dimensions.all]", f"{points}\n[dimensions.all]")
    text = text.replace("{ logins = 100 }", "{ logins = 50, children = 50 }")
    top, middle, leaf = (customer(store, logins(n)) for n in (0, 2, 6))
    tell(store, middle, ("parent", f"test:{external_id(store, top)}", 1))
    tell(store, leaf, ("parent", f"test:{external_id(store, middle)}", 1))

    # the leaf has 60; the branch the mean of 20 and 60
    assert people(store, load(text), [top, middle, leaf], "children") == ["40", "60", "never"]


def test_a_measure_may_add_up_a_whole_tree(store: Store) -> None:
    card = measuring({"own": LOGINS, "below": "total tree of children", "tree": formula("tree", "own + below")})
    top, middle, leaf, other = (customer(store, logins(n)) for n in (1, 2, 4, 8))
    for child, parent in ((middle, top), (leaf, middle), (other, top)):
        tell(store, child, ("parent", f"test:{external_id(store, parent)}", 1))

    assert people(store, card, [leaf, top, other, middle], "tree") == ["4", "15", "8", "6"]


def test_a_parent_may_be_named_as_far_as_the_name_is_its_own(store: Store) -> None:
    acme, twin, other_twin, child, orphan = (customer(store, logins(1)) for _ in range(5))
    for one, name in ((acme, "Acme"), (twin, "Twin"), (other_twin, "Twin")):
        store.run("update customers set name = :name where id = :id", {"name": name, "id": one})
    tell(store, child, ("parent", "Acme", 1), ("parent", "Twin", 30))
    tell(store, orphan, ("parent", "Twin", 1))
    ids = [acme, twin, other_twin, child, orphan]

    assert people(store, measuring({"m": "number of children"}), ids) == ["1", "0", "0", "0", "0"]


def test_in_a_circle_nobody_is_anybodys_child(store: Store) -> None:
    one, other, self_made, child = (customer(store, logins(1)) for _ in range(4))
    for child_, parent in ((one, other), (other, one), (self_made, self_made), (child, one)):
        tell(store, child_, ("parent", f"test:{external_id(store, parent)}", 1))

    found = people(
        store, load(JUDGING.format("number of children with score >= 0")), [one, other, self_made, child], "children"
    )

    assert found == ["1", "0", "0", "0"]


# -- people -----------------------------------------------------------------------------------------------------------


def person(store: Store, customer_id: str, facts: Iterable[Fact], *, role: str = "user", at: int | None = None) -> str:
    since = NOW - 50 * DAY if at is None else at
    identity = add_identity(store, Identity("app", f"u{next(_serial)}"), customer_id, since)
    put_people(store, customer_id, identity, [Person("", role=role)], since)
    add_facts(store, customer_id, identity, facts)
    return identity


def test_people_are_read_by_their_own_facts(store: Store) -> None:
    company = customer(store, logins(3))
    for n in (1, 8):
        person(store, company, logins(n))
    leaver = person(store, company, logins(10))
    sight(store, leaver, NOW - DAY, gone=True)
    person(store, company, logins(10), at=NOW + DAY)
    told = {
        sentence: people(store, load(JUDGING.format(sentence)), [company], "children")[0]
        for sentence in ("number of people", "highest logins of people", "share of people with logins >= 5",
                         "average score of people")
    }  # fmt: skip

    assert list(told.values()) == ["2", "8", "0.5", "45"]


def test_people_are_known_only_by_what_was_known(store: Store) -> None:
    company = customer(store, [])
    heard_late = [replace(one, known_at=NOW + 5) for one in logins(4)]
    person(store, company, [*logins(2), *heard_late])
    card = load(JUDGING.format("total logins of people"))

    assert not needs_everyone(card)
    assert people(store, card, [company], "children") == ["6"]
    assert people(store, card, [company], "children", known=True) == ["2"]


def test_what_is_given_is_not_read(sqlite_store: Store) -> None:
    card = measuring({"m": "percentile of logins", "logins": LOGINS, "sum": formula("sum", "logins + m")})
    ids = [customer(sqlite_store, logins(n)) for n in (1, 2)]
    one = read(sqlite_store, card, [moment(ids[1])])[ids[1]]["logins"]
    given = {ids[0]: {"logins": replace(one, value=Decimal(7))}}

    found = read(sqlite_store, card, [moment(one) for one in ids], given=given)

    assert [shown(found[ids[0]][name]) for name in ("logins", "m", "sum")] == ["7", "100", "107"]
