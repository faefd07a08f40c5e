"""The ledger of a move: it sums to the last decimal, and books each part where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.cards import NOW, customer, fact, moment
from worker.lib.assets import folder
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.scoring import records
from worker.scoring.bands import Standing, settle
from worker.scoring.card import Card
from worker.scoring.ledger import Ledger, Side, as_data, computed, ledger, shown, turn_in_words
from worker.scoring.measures import Reading, Sources, read
from worker.scoring.overrides import applied
from worker.scoring.score import Assessment, Override, assess
from worker.scoring.scorecard import load

TEXT = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")
STARTER = load(TEXT)
SHIFTED = load(TEXT.replace("12 -> 100", "20 -> 100").replace('green = "70', 'green = "75'))

TODAY = 20_500


def value(number: str | int, day: int | None = None) -> Reading:
    return Reading("value", Decimal(number), day=day)


WELL: dict[str, Reading] = {
    **dict.fromkeys(STARTER.measures, value(12)),
    "usage_trend": Reading("value", Decimal(1), Decimal(6), Decimal(6)),
    "days with usage from 12 to 4 weeks ago": value(30),
    "last_nps": value(10, TODAY - 100),
    **dict.fromkeys(("unpaid_invoices", "open_tickets", "number of planned cancellations now"), value(0)),
}


def side(readings: Mapping[str, Reading], card: Card = STARTER, *, day: int = TODAY, age: int = 400) -> Side:
    return Side(card, assess(card, readings), day, age)


def move(before: Mapping[str, Reading], after: Mapping[str, Reading], *, old_age: int = 370) -> Ledger:
    old = side(before, day=TODAY - 30, age=old_age)
    new = assess(STARTER, after, last_good=old.assessment.readings)
    return ledger(old, Side(STARTER, new, TODAY, 400), new.readings)


def booked(one: Ledger) -> list[tuple[str, str, str]]:
    return [(entry.kind, entry.measure, entry.words) for entry in one.entries]


def exact(one: Ledger) -> bool:
    return sum((entry.points for entry in one.entries), Decimal(0)) == one.total


def test_what_a_customer_does_is_booked_by_measure_the_largest_first() -> None:
    found = move(WELL, {**WELL, "active_days": value(2), "open_tickets": value(1)})

    assert booked(found)[0] == ("behaviour", "active_days", "active on 2 of the last 30 days (was 12)")
    assert found.entries[0].points < found.entries[-1].points < 0
    assert exact(found)
    assert found.total == (found.new or 0) - (found.old or 0) != 0


def test_an_answer_that_expired_is_time_passing() -> None:
    found = move({**WELL, "last_nps": value(2, TODAY - 179)}, {**WELL, "last_nps": Reading("expired", day=TODAY - 179)})

    assert booked(found) == [("time", "last_nps", "last nps: the answer of 21 August 2025 expired")]
    assert found.total > 0


def test_a_new_answer_after_an_expired_one_is_behaviour() -> None:
    found = move({**WELL, "last_nps": Reading("expired", day=TODAY - 400)}, {**WELL, "last_nps": value(2, TODAY)})

    assert booked(found) == [("behaviour", "last_nps", "answered 2 of 10 on 2026-02-16 (not known before)")]


@pytest.mark.parametrize(("old_age", "kind"), [(30, "time"), (300, "data")])
def test_newcomer_weeks_that_end_are_time_and_a_source_that_is_connected_is_data(old_age: int, kind: str) -> None:
    card = load(TEXT.replace('says = "active on', 'not_in_first = "60 days"\nsays = "active on'))
    before, after = {**WELL, "active_days": Reading("not_applicable")}, {**WELL, "active_days": value(1)}
    found = ledger(side(before, card, age=old_age), side(after, card), after)

    assert [entry.kind for entry in found.entries] == [kind]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (Reading("source_down"), value(2), "active on 2 of the last 30 days (its source answers again)"),
        (Reading("source_down", Decimal(12), frozen="value"), value(2), "active on 2 of the last 30 days (its source answers again)"),
        (Reading("not_applicable"), value(2), "active on 2 of the last 30 days (now connected)"),
        (value(2), Reading("not_applicable"), "active days: no longer connected"),
    ],
)  # fmt: skip
def test_what_was_not_known_or_is_no_more_is_data(before: Reading, after: Reading, words: str) -> None:
    found = move({**WELL, "active_days": before}, {**WELL, "active_days": after})

    assert booked(found) == [("data", "active_days", words)]


def test_a_source_that_falls_silent_moves_nothing() -> None:
    assert move(WELL, {**WELL, "active_days": Reading("source_down")}).entries == ()


def test_days_that_go_by_without_an_event_are_time_and_an_event_is_behaviour() -> None:
    card = load(TEXT.replace("days with usage in the last 30 days", "days since the last login", 1))
    before = {**WELL, "active_days": value(10, TODAY - 40)}
    alone = {**WELL, "active_days": value(1, TODAY - 40)}  # whichever way the table runs
    again = {**WELL, "active_days": value(1, TODAY - 1)}

    assert [ledger(side(before, card), side(now, card), now).entries[0].kind for now in (alone, again)] == [
        "time", "behaviour",
    ]  # fmt: skip


def test_what_they_are_held_against_may_slide_without_them() -> None:
    slid = Reading("value", Decimal("0.5"), Decimal(6), Decimal(12))
    less = Reading("value", Decimal("0.5"), Decimal(3), Decimal(6))
    kinds = [move(WELL, {**WELL, "usage_trend": one}).entries[0].kind for one in (slid, less)]

    assert kinds == ["time", "behaviour"]


def test_a_jump_that_two_measures_make_together_is_shared() -> None:
    card = load(TEXT.replace("[signals.", '[rules.both]\nwhen = "active_days <= 6 and open_tickets >= 1"\nat_most = 0\nbecause = "x"\n\n[signals.', 1))  # fmt: skip
    after = {**WELL, "active_days": value(6), "open_tickets": value(1)}
    found = ledger(side(WELL, card), side(after, card), after)
    alone = {
        name: assess(card, {**WELL, name: after[name]}).score for name in ("active_days", "open_tickets")
    }  # fmt: skip

    assert found.total == -100
    for entry in found.entries:
        cost = Decimal(100) - (alone[entry.measure] or 0)
        assert entry.points < -cost  # its own, and its part of the rule's
    assert exact(found)


def test_a_condition_that_reads_what_a_measure_reads_goes_with_it() -> None:
    card = load(TEXT)
    read = card.measures["unpaid_invoices"]
    spoken = replace(read, name="number of unpaid invoices now", points=None, spoken=True)
    both = replace(card, measures={**card.measures, spoken.name: spoken})
    before, after = {**WELL, spoken.name: value(0)}, {**WELL, "unpaid_invoices": value(1), spoken.name: value(1)}
    found = ledger(side(before, both), side(after, both), after)

    assert [entry.measure for entry in found.entries] == ["unpaid_invoices"]


def test_a_changed_scorecard_is_booked_apart_from_what_the_customer_did() -> None:
    after = {**WELL, "active_days": value(6)}
    found = ledger(side(WELL), side(after, SHIFTED), after)
    kinds = {entry.kind: entry.points for entry in found.entries}

    assert kinds["behaviour"] == move(WELL, after).total
    assert kinds["version"] == (assess(SHIFTED, after).score or 0) - (assess(STARTER, after).score or 0)
    assert exact(found)


def test_where_the_old_card_cannot_be_read_any_more_all_is_the_scorecard() -> None:
    after = {**WELL, "active_days": value(6)}
    found = ledger(replace(side(WELL), card=None), side(after), {})

    assert [entry.kind for entry in found.entries] == ["version"]
    assert exact(found)


def held(how: str, limit: str | Decimal) -> Override:
    return Override("ovr_1", how, limit, "Ann", "new owner", 0, (TODAY + 10) * 86_400)


def test_an_override_that_began_and_one_that_ended_are_booked_by_what_they_move() -> None:
    capped = applied(STARTER, assess(STARTER, WELL), held("at_most", Decimal(40)))
    plain, over = side(WELL), Side(STARTER, capped, TODAY, 400)

    assert [(entry.kind, entry.points, entry.words) for entry in ledger(plain, over, WELL).entries] == [
        ("override", Decimal(-60), "held at most 40 by Ann until 2026-02-25: new owner")
    ]
    assert [(entry.kind, entry.points, entry.words) for entry in ledger(over, plain, WELL).entries] == [
        ("override", Decimal(60), "the override by Ann (new owner) has ended")
    ]


def test_a_first_score_came_with_the_knowledge() -> None:
    nothing = dict.fromkeys(STARTER.measures, Reading("not_applicable"))
    found = move(nothing, {**nothing, "active_days": value(6)})

    assert (found.old, found.new, found.total) == (None, Decimal(50), Decimal(50))
    assert booked(found) == [("data", "", "now known: active days")]
    assert booked(move({**nothing, "active_days": value(6)}, nothing)) == [("data", "", "no longer known: active days")]


def test_printed_lines_sum_to_the_printed_total() -> None:
    found = move(WELL, {**WELL, "active_days": value(7), "open_tickets": value(2), "last_nps": value(7, TODAY)})
    total, lines = shown(found)

    assert sum(Decimal(line.points) for line in lines) == Decimal(total)
    assert lines[0].points.startswith("-")
    assert as_data(found)["total"] == str(found.total.normalize())


def test_why_a_band_turned_names_the_rule_then_what_moved() -> None:
    after = {**WELL, "active_days": value(2), "unpaid_invoices": value(1), "last_nps": value(10, TODAY)}
    one = side(after)
    before = {**WELL, "last_nps": value(0, TODAY - 90)}
    found = turn_in_words(STARTER, one.assessment, "green", Standing("red", 0), move(before, after))

    assert found.startswith("an invoice is unpaid; ")
    assert found.index("active on 2 of the last 30 days (was 12): -") < found.index("answered 10 of 10")
    assert found.endswith("(was 0): +10")
    assert len(found) <= 250


def test_a_band_that_turns_for_the_better_because_a_rule_holds_no_more_says_which() -> None:
    after = side({**WELL, "unpaid_invoices": value(0)})
    paid = move({**WELL, "unpaid_invoices": value(1)}, WELL)

    assert turn_in_words(STARTER, after.assessment, "yellow", Standing("green", 0), paid) == (
        "no longer: an invoice is unpaid; unpaid invoices: 0 (was 1): +18"
    )


def test_where_nothing_moved_a_turn_tells_what_costs() -> None:
    after = side({**WELL, "active_days": value(6)})
    found = turn_in_words(STARTER, after.assessment, "green", Standing("yellow", 0), Ledger(None, None, ()))

    assert found.startswith("active on 6 of the last 30 days (-")


# -- the law ----------------------------------------------------------------------------------------------------------

READINGS = st.one_of(
    st.builds(lambda n, day: Reading("value", Decimal(n) / 7, day=day), st.integers(0, 200), st.integers(20_000, TODAY)),
    st.builds(
        lambda n, normal: Reading("value", Decimal(n) / 8, Decimal(n), Decimal(normal)), st.integers(0, 40), st.integers(1, 9)
    ),
    st.sampled_from([Reading("never"), Reading("expired", day=20_100), Reading("not_applicable"), Reading("source_down")]),
)  # fmt: skip

CUSTOMERS = st.fixed_dictionaries(dict.fromkeys(STARTER.measures, READINGS))

OVERRIDES = st.none() | st.builds(
    held, st.sampled_from(["set", "at_most", "at_least"]),
    st.sampled_from(["green", "yellow", "red"]) | st.decimals(0, 100, places=3),
)  # fmt: skip


def judged(
    card: Card, readings: Mapping[str, Reading], override: Override | None, last: Assessment | None
) -> Assessment:
    found = assess(card, readings, last_good=last.readings if last else None)
    return found if override is None else applied(card, found, override)


@settings(max_examples=60, deadline=None)
@given(
    CUSTOMERS, CUSTOMERS, OVERRIDES, OVERRIDES, st.sampled_from([STARTER, SHIFTED]), st.sampled_from([STARTER, SHIFTED])
)
def test_a_ledger_sums_to_the_last_decimal(
    before: dict[str, Reading],
    after: dict[str, Reading],
    old_override: Override | None,
    new_override: Override | None,
    old_card: Card,
    new_card: Card,
) -> None:
    old = judged(old_card, before, old_override, None)
    new = judged(new_card, after, new_override, old)
    between = new.readings if old_card is new_card else after
    found = ledger(Side(old_card, old, TODAY - 30, 40), Side(new_card, new, TODAY, 70), between)
    total, lines = shown(found)

    assert exact(found)
    assert found.total == (new.score or 0) - (old.score or 0)
    assert sum((Decimal(line.points) for line in lines), Decimal(0)) == Decimal(total)
    assert all(entry.words for entry in found.entries)
    if old_card is new_card:
        assert not any(entry.kind == "version" for entry in found.entries)
    if computed(old) == computed(new) == old.score == new.score:
        assert not any(entry.kind == "override" for entry in found.entries)
    again = ledger(Side(old_card, old, TODAY - 30, 40), Side(new_card, new, TODAY, 70), dict(reversed(between.items())))
    assert again == found


# -- out of the store -------------------------------------------------------------------------------------------------


def kept(store: Store, who: str, card: Card, at: int, last: Assessment | None = None) -> Assessment:
    """Score the customer as of a moment, and keep it."""
    readings = read(store, card, [moment(who, at)])[who]
    found = assess(card, readings, last_good=last.readings if last else None)
    previous = records.standings(store, [who]).get(who)
    standing = settle(card, previous, found, at, at // DAY)
    records.save(store, [records.Scored(who, at, card.version, found, previous, standing)], "run_1")
    return found


def test_the_score_of_a_day_is_the_last_that_was_kept_by_then(store: Store) -> None:
    who = customer(store, [])
    for days in (20, 10, 0):
        kept(store, who, STARTER, NOW - days * DAY)
    found = [records.score_as_of(store, who, NOW - days * DAY - 1) for days in (-1, 0, 10, 20, 300)]

    assert [(NOW - one.at) // DAY for one in found if one] == [0, 10, 20, 20, 20]
    assert records.score_as_of(store, "cus_nobody", NOW) is None


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("12 -> 100", "20 -> 100"), TEXT.replace("last 30 days", "last 40 days")]
)
def test_a_move_between_kept_scores_is_told_exactly_under_whichever_card(store: Store, text: str) -> None:
    facts = [fact("usage", days) for days in (*range(35, 60), 3, 4)] + [fact("nps_answer", 185, 3)]
    who = customer(store, facts)
    new = load(text)
    records.save_card(store, STARTER, TEXT, NOW)
    kept(store, who, STARTER, NOW - 34 * DAY)
    after = kept(store, who, new, NOW)
    old = records.score_as_of(store, who, NOW - DAY)
    assert old is not None
    found = records.moved(store, old, after, card=new, at=NOW, sources=Sources(), time_zone="UTC")
    kinds = {entry.kind: entry.measure for entry in found.entries}

    assert exact(found)
    assert found.total == (after.score or 0) - (old.score or 0)
    assert kinds["time"] == "last_nps"
    assert ("version" in kinds) == (new.version != STARTER.version)
    did = next(entry for entry in found.entries if entry.measure == "active_days")
    assert did.words == "active on 2 of the last 30 days (was 25)"


def test_a_card_that_was_never_kept_is_no_card(store: Store) -> None:
    records.save_card(store, replace(STARTER, version="other"), "name = ", NOW)

    assert (records.card_of(store, "none"), records.card_of(store, "other")) == (None, None)
