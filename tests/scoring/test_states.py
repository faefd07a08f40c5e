"""The five states of a measure, each from real facts on both databases; and whose silence does what.

A customer who goes silent gets worse. A source that goes silent makes nobody worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import pytest

from tests.scoring.cards import BANDS, NOW, customer, fact, moment
from worker.lib.clock import DAY
from worker.lib.store import Store
from worker.scoring.bands import Standing, frozen_of, settle
from worker.scoring.card import GREY, Card, Hold
from worker.scoring.measures import Reading, Sources, read
from worker.scoring.score import Assessment, assess
from worker.scoring.scorecard import load

CARD = load(f"""
name = "States"

[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 10 -> 100"

[measures.last_nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
answer_valid_for = "60 days"

[measures.open_tickets]
read = "number of open tickets now"
points = ["0 -> 100", "otherwise -> 0"]
not_in_first = "14 days"

[measures.unpaid_invoices]
read = "number of unpaid invoices now"
points = ["0 -> 100", "otherwise -> 0"]

[dimensions.all]
share = 100
measures = {{ active_days = 60, last_nps = 10, open_tickets = 20, unpaid_invoices = 10 }}

[rules.unpaid]
when = "unpaid_invoices > 0"
at_most = "yellow"
because = "an invoice is unpaid"
{BANDS}
""")
KINDS = frozenset({"usage", "nps_answer", "open_ticket", "unpaid_invoice"})
WELL = Sources(connected=KINDS)
BUSY = [*(fact("usage", days_ago) for days_ago in range(15)), fact("nps_answer", 5, 9)]


def down(*kinds: str) -> Sources:
    return Sources(connected=KINDS, down=frozenset(kinds))


@dataclass
class Life:
    """One customer, looked at day after day as the worker does: the last good readings are kept."""

    store: Store
    customer_id: str
    card: Card = CARD
    standing: Standing | None = None
    last: Assessment | None = None
    day: int = 0

    def look(self, days_later: int, sources: Sources = WELL) -> Assessment:
        now = moment(self.customer_id, NOW + days_later * DAY)
        readings = read(self.store, self.card, [now], sources)[self.customer_id]
        judge = partial(assess, last_good=self.last.readings if self.last else None)
        found = judge(self.card, readings)
        frozen = frozen_of(self.card, found.readings, judge, self.day or now.today)
        self.standing = settle(self.card, self.standing, found, now.at, now.today, frozen)
        self.last, self.day = found, now.today
        return found

    @property
    def band(self) -> str:
        assert self.standing is not None
        return self.standing.band


def readings(store: Store, sources: Sources = WELL, *, days: float = 1000) -> dict[str, Reading]:
    """What each measure of the card is for the busy customer now."""
    one = customer(store, BUSY, days=days)
    return read(store, CARD, [moment(one)], sources)[one]


# -- the five ---------------------------------------------------------------------------------------------------------


def test_a_count_over_a_working_source_is_a_value_even_where_it_is_none(store: Store) -> None:
    found = readings(store)

    assert found["active_days"] == Reading("value", Decimal(15))
    assert found["open_tickets"] == Reading("value", Decimal(0))


def test_what_was_never_seen_over_a_working_source_is_never_and_not_0(store: Store) -> None:
    one = customer(store, BUSY[:15])

    assert read(store, CARD, [moment(one)], WELL)[one]["last_nps"] == Reading("never")


@pytest.mark.parametrize(("if_never", "points"), [(None, None), (Decimal(0), Decimal(0)), (Decimal(100), Decimal(100))])
def test_never_is_worth_what_the_card_says(store: Store, if_never: Decimal | None, points: Decimal | None) -> None:
    one = customer(store, BUSY[:15])
    card = replace(CARD, measures={**CARD.measures, "last_nps": replace(CARD.measures["last_nps"], if_never=if_never)})

    found = assess(card, read(store, card, [moment(one)], WELL)[one])

    assert found.measures["last_nps"].points == points
    assert found.coverage == (Decimal("0.9") if points is None else 1)


def test_an_answer_that_is_too_old_has_expired_and_moves_nothing(store: Store) -> None:
    life = Life(store, customer(store, BUSY))
    assert life.look(54).measures["last_nps"].reading.state == "value"

    found = life.look(55)

    assert found.measures["last_nps"].reading.state == "expired"
    assert found.measures["last_nps"].points is None


def test_a_newcomers_measure_does_not_apply_and_one_whose_source_is_not_connected_neither(store: Store) -> None:
    assert readings(store, days=13)["open_tickets"] == Reading("not_applicable")
    assert readings(store, days=15)["open_tickets"].state == "value"
    unconnected = Sources(connected=KINDS - {"open_ticket"}, down=frozenset({"open_ticket"}))
    assert readings(store, unconnected)["open_tickets"] == Reading("not_applicable")


def test_while_its_source_is_down_a_measure_stays_in_the_state_and_value_it_had(store: Store) -> None:
    life = Life(store, customer(store, BUSY))
    before = life.look(0)
    for day in (1, 40, 80):  # long after the days with usage have left the window, and the answer its validity
        found = life.look(day, down(*KINDS))

        assert found.score == before.score
        for name, judged in found.measures.items():
            was = before.measures[name]
            assert (judged.reading.state, judged.reading.frozen) == ("source_down", was.reading.state)
            assert (judged.reading.value, judged.points) == (was.reading.value, was.points)


def test_a_measure_whose_source_was_down_from_the_beginning_is_not_known(store: Store) -> None:
    found = Life(store, customer(store, BUSY)).look(0, down("usage"))

    assert found.measures["active_days"].reading == Reading("source_down")
    assert found.measures["active_days"].points is None
    assert found.coverage == Decimal("0.4")


# -- whose silence does what ------------------------------------------------------------------------------------------


def test_a_customer_who_goes_silent_gets_worse(store: Store) -> None:
    life = Life(store, customer(store, BUSY))
    scores, bands = [], []
    for day in range(0, 46, 5):
        scores.append(life.look(day).score)
        bands.append(life.band)

    assert scores == sorted(scores, reverse=True, key=lambda score: score or 0)
    assert (bands[0], bands[-1]) == ("green", "red")


@pytest.mark.parametrize("kinds", [("usage",), tuple(KINDS)])
def test_a_source_that_goes_silent_makes_nobody_worse_and_it_shows_when_it_is_back(
    store: Store, kinds: tuple[str, ...]
) -> None:
    life = Life(store, customer(store, BUSY))
    life.look(0)
    for day in range(1, 46):
        life.look(day, down(*kinds))
        assert life.band == "green"
        assert life.standing is not None
        assert life.standing.waiting is None

    life.look(46)

    assert life.band == "red"


def test_someone_of_whom_only_the_source_that_is_down_knows_does_not_turn_grey(store: Store) -> None:
    life = Life(store, customer(store, BUSY))
    life.look(0)
    life.last = None  # as under a new card: there is no last good reading

    life.look(1, down("usage"))

    assert life.last is not None
    assert life.last.band == GREY
    assert life.band == "green"


def test_what_a_healthy_source_says_still_speaks_at_once(store: Store) -> None:
    life = Life(store, customer(store, [*BUSY, fact("unpaid_invoice", -2)]))
    life.look(0)
    assert life.band == "green"

    life.look(3, down("usage", "open_ticket"))

    assert life.band == "yellow"


def test_a_rule_over_a_source_that_is_down_keeps_holding_what_it_held(store: Store) -> None:
    life = Life(store, customer(store, [*BUSY, fact("unpaid_invoice", 1)]))
    life.look(0)
    assert life.band == "yellow"

    life.look(1, down("unpaid_invoice"))

    assert life.band == "yellow"


def test_the_days_of_waiting_do_not_pass_while_the_source_is_down(store: Store) -> None:
    patient = replace(CARD, worse=Hold(days=6))
    life = Life(store, customer(store, [fact("usage", days_ago) for days_ago in range(24, 28)]), patient)
    life.standing = Standing("green", 0)
    life.look(0)
    assert life.standing == Standing("green", 0, "yellow", NOW // DAY)
    for day in range(1, 10):
        life.look(day, down("usage"))
    assert life.standing == Standing("green", 0, "yellow", NOW // DAY + 9)

    bands = []
    for day in range(10, 17):
        life.look(day)
        bands.append(life.band)

    assert bands[:5] == ["green"] * 5
    assert bands[5] != "green"
