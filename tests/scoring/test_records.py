"""Scores, standings and changes as they are kept, on both databases."""

from __future__ import annotations

from decimal import Decimal

from tests.scoring.cards import NOW, customer
from worker.lib.assets import folder
from worker.lib.store import Store
from worker.scoring import records
from worker.scoring.bands import Standing
from worker.scoring.measures import Reading
from worker.scoring.records import Scored
from worker.scoring.score import Assessment, assess
from worker.scoring.scorecard import load

TEXT = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")
STARTER = load(TEXT)


def assessed(active_days: int) -> Assessment:
    rest = dict.fromkeys(STARTER.measures, Reading("not_applicable"))
    return assess(STARTER, {**rest, "active_days": Reading("value", Decimal(active_days))})


def scored(customer_id: str, band: str, previous: Standing | None, *, at: int = NOW) -> Scored:
    since = previous.since if previous and previous.band == band else at
    return Scored(
        customer_id, at, STARTER.version, assessed(6), previous, Standing(band, since, "red", 20_500), "less use"
    )


def test_the_first_standing_is_no_change(store: Store) -> None:
    one = customer(store, [])

    saved = records.save(store, [scored(one, "yellow", None)], "run_1")

    assert saved.changes == ()
    assert records.standings(store) == {one: Standing("yellow", NOW, "red", 20_500)}


def test_a_score_comes_back_as_it_was_saved(store: Store) -> None:
    one = customer(store, [])
    saved = records.save(store, [scored(one, "yellow", None)], "run_1")

    (found,) = records.history(store, one)

    assert found == records.latest_scores(store, [one])[one] == records.latest_scores(store)[one]
    assert (found.id, found.at, found.version, found.run_id) == (saved.score_ids[one], NOW, STARTER.version, "run_1")
    assert (found.score, found.band, found.coverage) == (Decimal(50), "grey", Decimal("0.25"))
    assert found.assessment == assessed(6)


def test_a_turn_is_a_row_with_its_reason(store: Store) -> None:
    one, other = customer(store, []), customer(store, [])
    records.save(store, [scored(one, "green", None), scored(other, "green", None)], "run_1")
    before = records.standings(store, [one, other])

    saved = records.save(
        store,
        [scored(one, "red", before[one], at=NOW + 60), scored(other, "green", before[other], at=NOW + 60)],
        "run_2",
    )

    (change,) = records.changes_of(store, one)
    assert saved.changes == (change,)
    assert (change.old_band, change.new_band, change.at, change.why) == ("green", "red", NOW + 60, "less use")
    assert change.score_id == records.latest_scores(store)[one].id
    assert records.changes_of(store, other) == []
    assert [one.at for one in records.history(store, other)] == [NOW, NOW + 60]


def test_two_passes_that_meet_make_one_change(store: Store) -> None:
    one = customer(store, [])
    records.save(store, [scored(one, "green", None)], "run_1")
    before = records.standings(store)[one]

    first = records.save(store, [scored(one, "red", before, at=NOW + 60)], "run_2")
    second = records.save(store, [scored(one, "red", before, at=NOW + 61)], "run_3")
    late = records.save(store, [scored(one, "green", None)], "run_4")

    assert (len(first.changes), first.overtaken) == (1, ())
    assert (second.changes, second.overtaken) == ((), (one,))
    assert (late.changes, late.overtaken) == ((), (one,))
    assert len(records.changes_of(store, one)) == 1
    assert records.standings(store)[one].since == NOW + 60


def test_only_those_asked_for_are_given(store: Store) -> None:
    one, other, third = (customer(store, []) for _ in range(3))
    records.save(store, [scored(one, "green", None), scored(other, "red", None)], "run_1")
    many = [f"cus_{place}" for place in range(1000)]

    assert set(records.standings(store, [one, third])) == {one}
    assert set(records.standings(store, [other, third, *many])) == {other}
    assert records.latest_scores(store, []) == {}


def test_a_version_of_the_card_is_kept_once(store: Store) -> None:
    records.save_card(store, STARTER, TEXT, NOW)
    records.save_card(store, STARTER, TEXT + "# again", NOW + 1)

    assert store.rows("select version, name, body, since from scorecards") == [
        {"version": STARTER.version, "name": "Starter", "body": TEXT, "since": NOW}
    ]
