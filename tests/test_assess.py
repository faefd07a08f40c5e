"""Scores, changes and their effects: one moment, one transaction, and nothing anew when nothing is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.dispatch.business import Business, business
from worker import controls
from worker.assess import BATCH, Assessed, assess_due, new_run
from worker.facts import Fact, Identity
from worker.intake import records
from worker.lib.clock import DAY, HOUR
from worker.lib.store import Binds, Row, SqliteStore, Store
from worker.river import _terms


@pytest.fixture
def anywhere(tmp_path: Path, store: Store) -> Iterator[Business]:
    with business(tmp_path / "workspace", store) as opened:
        yield opened


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


def counts(store: Store) -> dict[str, int]:
    tables = ("scores", "changes", "effects", "refusals", "standings")
    return {table: int(store.value(f"select count(*) as n from {table}")) for table in tables}


def assess(here: Business, *, everyone: bool = False) -> Assessed:
    """Stations 2 and 3 alone, at this moment."""
    run_id = new_run(here.store, "t", here.now)
    return assess_due(here.store, _terms(here.workspace, silent=False), here.now, run_id, everyone=everyone)


def live(here: Business, *names: str) -> list[str]:
    """Customers who use the product well, after the silent pass, in a live workspace."""
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.clock.sleep(300)
    here.turn(dispatch=False)
    for contact_id in contacts:
        prosper(here, contact_id)
    here.go_live(contacts[0])
    return contacts


def prosper(here: Business, contact_id: str) -> None:
    """A customer for half a year who pays, answers, and uses the product every day."""
    binds = {"id": here.customer(contact_id), "at": here.now - 180 * DAY}
    here.store.run("update customers set first_at = :at where id = :id", binds)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 90 * DAY)
    here.happens(contact_id, "unpaid_invoice", at=here.now - 89 * DAY, value=-1)
    here.happens(contact_id, "nps_answer", at=here.now - 10 * DAY, value=9)
    here.uses(contact_id, 90)


def band(here: Business, contact_id: str) -> str:
    return str(
        here.store.value("select band from standings where customer_id = :id", {"id": here.customer(contact_id)})
    )


class Counting(SqliteStore):
    """Counts the statements it is asked to run."""

    asked = 0

    def _rows(self, text: str, binds: Binds) -> list[Row]:
        self.asked += 1
        return super()._rows(text, binds)

    def _tuples(self, text: str, binds: Binds) -> list[tuple[Any, ...]]:
        self.asked += 1
        return super()._tuples(text, binds)

    def _run(self, text: str, binds: Binds) -> int:
        self.asked += 1
        return super()._run(text, binds)

    def _many(self, text: str, binds: Sequence[Binds]) -> int:
        self.asked += 1
        return super()._many(text, binds)


def statements(here: Business, store: Counting, customers: int) -> int:
    """How many a pass takes over so many customers in `watch`, when the day has turned."""
    rows = [{"id": f"cus_{place:04}", "at": here.now - 90 * DAY} for place in range(customers)]
    store.many("insert into customers (id, first_at) values (:id, :at) on conflict (id) do nothing", rows)
    assess(here, everyone=True)
    here.clock.sleep(DAY)
    before = store.asked
    assert assess(here).customers == customers
    return store.asked - before


def test_a_pass_asks_by_batches_and_not_by_customers(tmp_path: Path) -> None:
    store = Counting(tmp_path / "counting.db")
    store.migrate()
    with business(tmp_path / "workspace", store) as here:
        few, many, twice = (statements(here, store, n) for n in (2, BATCH, 2 * BATCH))

    assert many == few
    assert few < twice < 2 * few


def test_the_same_moment_again_adds_no_row(anywhere: Business) -> None:
    live(anywhere, "Ada", "Bob")
    assess(anywhere, everyone=True)
    before = counts(anywhere.store)

    again = assess(anywhere, everyone=True)

    assert counts(anywhere.store) == before
    assert (again.customers, again.changes, again.effects) == (2, 0, 0)


def test_a_customer_of_whom_nothing_is_new_is_left_alone_until_the_local_day_has_turned(here: Business) -> None:
    live(here)
    here.store.run("update customers set time_zone = 'Pacific/Auckland'")  # noon in London is one in the morning there
    assess(here, everyone=True)

    here.clock.sleep(HOUR)
    assert assess(here).customers == 0
    here.clock.move_to(here.now + 21 * HOUR)
    assert assess(here).customers == 0
    here.clock.sleep(HOUR)
    assert assess(here).customers == 1


def test_a_customer_whose_usage_stops_turns_red_is_written_to_and_the_team_is_told(here: Business) -> None:
    (ada,) = live(here)
    assert band(here, ada) == "green"
    for _ in range(45):
        here.clock.sleep(DAY)
        here.turn(pulls=False)

    assert band(here, ada) == "red"
    assert here.shown(ada)[0] == {"Health: red"}
    assert ["turned red" in message.text for message in here.slack.messages] == [True]
    assert {mail.to for mail in here.mailbox.messages} == {"ada@customer.example"}
    assert here.mailbox.duplicates() == 0


def test_score_change_and_effects_are_there_together_or_not_at_all(anywhere: Business) -> None:
    live(anywhere, "Ada", "Bob", "Cyd")
    anywhere.clock.sleep(20 * DAY)
    before = counts(anywhere.store)
    anywhere.store.run("alter table effects rename to effects_away")  # scores are saved before effects are put

    with pytest.raises(Exception, match="effects"):
        assess(anywhere, everyone=True)

    anywhere.store.run("alter table effects_away rename to effects")
    assert counts(anywhere.store) == before
    assert assess(anywhere, everyone=True).effects > 0


def test_a_customer_who_has_left_is_not_assessed_any_more_and_keeps_the_last_score(here: Business) -> None:
    ada, _ = live(here, "Ada", "Bob")
    here.clock.sleep(DAY)
    here.happens(ada, "left", label="by choice")

    done = assess(here, everyone=True)

    assert done.customers == 1
    assert band(here, ada) == "green"
    here.clock.sleep(DAY)
    here.happens(ada, "joined")
    assert assess(here, everyone=True).customers == 2


def test_what_is_said_of_the_future_decides_nothing_yet(here: Business) -> None:
    (ada,) = live(here)
    here.clock.sleep(60)
    here.happens(ada, "left", at=here.now + DAY, label="by choice")
    here.happens(ada, "unpaid_invoice", at=here.now + DAY)

    assert assess(here).customers == 1
    assert band(here, ada) == "green"
    here.clock.sleep(DAY + 60)
    assert assess(here, everyone=True).customers == 0


def test_the_main_contact_carries_the_standing_and_a_contact_that_was_main_before_is_cleared(here: Business) -> None:
    old, new = live(here, "Ada", "Bob")
    here.turn(pulls=False, everyone=True)
    assert here.shown(new)[0] == {"Health: green"}
    keeps, moves = here.customer(old), here.customer(new)
    here.store.run(
        "update identities set customer_id = :keeps where customer_id = :moves", {"keeps": keeps, "moves": moves}
    )
    here.store.run("update customers set merged_into = :keeps where id = :moves", {"keeps": keeps, "moves": moves})
    here.clock.sleep(DAY)

    here.turn(pulls=False, everyone=True)

    assert here.shown(old)[0] == {"Health: green"}  # the older contact stands for the customer
    assert here.shown(new) == (set(), "", "")
    assert here.lost() == 0


def test_a_fact_that_is_read_after_a_look_in_the_same_second_is_news_all_the_same(anywhere: Business) -> None:
    (ada,) = live(anywhere)
    anywhere.clock.sleep(60)
    anywhere.happens(ada, "payment")
    assess(anywhere)
    anywhere.happens(ada, "payment_failed")  # came in the same second, and was read only now

    done = assess(anywhere)

    assert done.effects == len(anywhere.workspace.plays["failed-payment"].steps)
    row = anywhere.store.row("select play, key from effects where lane = 'mail' and step = ''")
    assert row is not None
    assert row["play"] == "failed-payment"
    assert assess(anywhere, everyone=True).effects == 0


def test_an_import_of_what_happened_days_ago_is_no_news(here: Business) -> None:
    (ada,) = live(here)
    found = records.identity(here.store, Identity("keap", ada))
    assert found is not None
    here.happens(ada, "usage")
    here.clock.sleep(DAY)
    old = Fact("payment_failed", here.now - 2 * DAY, "csv", "old")
    records.add_facts(here.store, found.customer_id, found.id, [old])

    assess(here)

    assert here.store.rows("select play from effects where lane = 'mail'") == []


def test_the_first_pass_is_silent_in_live_too(here: Business) -> None:
    ada = here.enter()
    here.clock.sleep(300)
    here.turn(dispatch=False, pulls=False)  # nobody is known yet, so this was no pass
    controls.set_mode(here.workspace, "live")

    first = here.turn()

    assert first.silent
    assert first.assessed.customers == 1
    assert (len(here.mailbox.messages), len(here.slack.messages)) == (0, 0)
    assert counts(here.store)["effects"] == 0
    assert here.shown(ada) == (set(), "", "")
    assert not here.turn().silent
