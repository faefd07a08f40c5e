"""The law of looking back: what became known after the day in question has no influence. Proven by deleting it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import START
from tests.review.pasts import DAYS, News, by_what_was_heard, drawn, tell, verdicts
from worker.intake.records import roll_up_customer
from worker.lib import assets
from worker.lib.clock import DAY, end_of_day, local_day
from worker.lib.store import SqliteStore, Store
from worker.lookback import known_sources
from worker.review import records
from worker.review.past import Asked
from worker.scoring.card import Card
from worker.scoring.choice import FILE, deck_of
from worker.scoring.scorecard import load
from worker.workspace import Workspace

QUESTIONED = range(DAYS - 5, 20, -25)
"""The days in question, the latest first: the future is deleted day by day."""


def starter() -> Card:
    return load((assets.folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8"))


def delete_the_future(store: Store, moment: int) -> None:
    """Everything that happened or became known after the moment, and all that only tells of the present."""
    take_back_mends(store, moment)
    for text in (
        "delete from facts where at > :moment or known_at > :moment",
        "delete from attributes where at > :moment",
        "delete from people where at > :moment",
        "delete from deliveries where received_at > :moment",
        "delete from runs where finished_at > :moment",
        "delete from outages where opened_at > :moment",
        "update outages set ended_at = null where ended_at > :moment",
    ):
        store.run(text, {"moment": moment})
    store.run("delete from cursors")
    for row in store.rows("select id from customers"):
        roll_up_customer(store, row["id"])


def take_back_mends(store: Store, moment: int) -> None:
    """Let each fact that was mended after the moment say again what it said then."""
    then = "from former_facts o join facts f on f.id = o.fact_id where o.known_at <= :moment and o.until > :moment"
    for row in store.rows(f"select o.*, f.known_at as first_known_at {then}", {"moment": moment}):
        row["mended_at"] = row["known_at"] if row["known_at"] > row["first_known_at"] else 0
        store.run(
            "update facts set kind = :kind, label = :label, at = :at, day = :day, value = :value, mended_at = :mended_at"
            " where id = :fact_id", row,
        )  # fmt: skip
    store.run("delete from former_facts where until > :moment", {"moment": moment})


def test_deleting_the_future_changes_no_byte_of_what_is_said_of_the_past(workspace: Workspace) -> None:
    store, card = workspace.store, starter()
    with store.atomic():
        for number, news in enumerate(drawn(seed=3, count=500)):
            tell(store, news, number)
    for day, pulled in ((100, '["stripe invoices"]'), (250, '["stripe invoices", "stripe subscriptions"]')):
        run = {"id": f"run_{day}", "at": START + day * DAY, "summary": f'{{"pulled": {pulled}}}'}
        store.run("insert into runs values (:id, 'pull', :at, :at, :summary)", run)
    held_up = {"from": START + 120 * DAY, "until": START + 200 * DAY}
    store.run(
        "insert into outages (id, source, kinds, why, seen, began_at, opened_at, ended_at, heard)"
        ' values (\'out_1\', \'app\', \'["usage"]\', \'low\', \'\', :from, :from, :until, \'\')', held_up,
    )  # fmt: skip
    whole = {day: verdicts(store, card, day, known_sources(workspace)) for day in QUESTIONED}
    assert store.value("select count(*) from former_facts") > 30

    for day in QUESTIONED:
        delete_the_future(store, START + (day + 1) * DAY - 1)
        assert verdicts(store, card, day, known_sources(workspace)) == whole[day], f"day {day}"
    assert min(len(said) for said in whole.values()) >= 3  # there was somebody to be wrong about
    assert len({text for said in whole.values() for text in said.values()}) > 20


def test_what_is_said_on_the_day_is_what_the_look_back_says_of_it(store: Store) -> None:
    _said_and_said_again(store, drawn(seed=4, count=150))


def _said_and_said_again(store: Store, told: list[News]) -> None:
    """Tell the news in the order in which it became known, and ask on the way; then ask once more of the same days."""
    card, said, waiting = starter(), {}, list(enumerate(told))
    for day in range(65, DAYS, 47):
        while waiting and waiting[0][1].known_at < (day + 1) * DAY:
            tell(store, waiting[0][1], waiting.pop(0)[0])
        said[day] = verdicts(store, card, day, by_what_was_heard(store))
    with store.atomic():
        for number, news in waiting:
            tell(store, news, number)

    assert {day: verdicts(store, card, day, by_what_was_heard(store)) for day in said} == said


@st.composite
def _news(draw: st.DrawFn) -> News:
    at = draw(st.integers(0, DAYS * DAY))
    late = draw(st.sampled_from((0, 1, DAY, 30 * DAY, 100 * DAY)))
    since = draw(st.sampled_from((0, 10 * DAY, 100 * DAY)))
    kind = draw(st.sampled_from(("usage", "nps_answer", "unpaid_invoice", "joined", "left", "subscription")))
    same = draw(st.sampled_from((None, 0, 1)))
    return News(draw(st.integers(0, 2)), kind, at, at + late, draw(st.integers(1, 10)), since=since, same=same)


@settings(max_examples=20, deadline=None)
@given(st.lists(_news(), max_size=14))
def test_no_order_of_learning_lets_the_future_in(told: list[News]) -> None:
    store = SqliteStore(None)
    store.migrate()
    _said_and_said_again(store, sorted(told, key=lambda one: one.known_at))
    store.close()


def test_what_a_fact_says_since_it_was_mended_is_not_known_before(store: Store) -> None:
    card = starter()
    for day in range(60):
        tell(store, News(0, "usage", day * DAY, day * DAY), day)
        tell(store, News(1, "usage", day * DAY, day * DAY), 100 + day)
    tell(store, News(0, "left", 61 * DAY, 61 * DAY, same=1), 0)
    tell(store, News(1, "unpaid_invoice", 50 * DAY, 50 * DAY, same=1), 0)
    before = {day: verdicts(store, card, day, by_what_was_heard(store)) for day in (55, 63)}
    tell(store, News(0, "plan_switched", 61 * DAY, 65 * DAY, same=1), 0)
    tell(store, News(1, "unpaid_invoice", 50 * DAY, 65 * DAY, 0, same=1), 0)

    assert {day: verdicts(store, card, day, by_what_was_heard(store)) for day in (55, 63)} == before
    assert set(before[63]) == {"Customer 1"}
    after = verdicts(store, card, 66, by_what_was_heard(store))
    assert set(after) == {"Customer 0", "Customer 1"}
    owes = [json.loads(said["Customer 1"])["measures"]["unpaid_invoices"]["value"] for said in (before[63], after)]
    assert owes == ["1", "0"]


def test_a_beginning_that_became_known_later_makes_nobody_older_then(store: Store) -> None:
    """Their own normal is asked 60 days after they began; on day 90 they were known for 40 days only."""
    card = starter()
    early = [News(0, "usage", day * DAY, day * DAY) for day in range(50, 90)]
    for number, news in enumerate([*early, News(0, "joined", 5 * DAY, 200 * DAY)]):
        tell(store, news, number)

    then, later = (verdicts(store, card, day, by_what_was_heard(store))["Customer 0"] for day in (90, 201))
    assert '"usage_trend":{"state":"not_applicable"' in then
    assert '"state":"not_applicable"' not in later.split('"usage_trend":')[1].split("}")[0]


BY_AGE = """
name = "{name}"
[measures.how_old]
read = "age in days"
sliding = "0 -> 0, 400 -> 100"
[dimensions.age]
share = 100
measures = {{ how_old = 100 }}
[bands]
green = "70 and up"
"""
CHOICE = """
who = "age >= 5 days"
cards = ["new.toml when age < 60 days", "old.toml otherwise"]
"""


def test_a_beginning_that_became_known_later_chooses_no_other_card_then_and_no_other_age(store: Store) -> None:
    cards = {f"{name.lower()}.toml": BY_AGE.format(name=name) for name in ("New", "Old")}
    deck = deck_of({**cards, FILE: CHOICE})
    for day in range(50, 140):
        tell(store, News(0, "usage", day * DAY, day * DAY), day)

    def said(day: int) -> list[tuple[str, int]]:
        [past] = records.pasts(store, START + DAYS * DAY, "UTC").values()
        today = local_day(START) + day
        since = past.since(end_of_day(today))
        asked = [Asked(past.customer_id, end_of_day(today), today, since)] if since is not None else []
        found = records.judged_by(store, deck, asked, by_what_was_heard(store)).values()
        return [(card.name, int(one.readings["how_old"].value or 0)) for card, one in found]

    before = [said(day) for day in (49, 52, 70, 120)]
    assert before == [[], [], [("New", 20)], [("Old", 70)]]
    tell(store, News(0, "joined", 5 * DAY, 200 * DAY), 900)

    assert [said(day) for day in (49, 52, 70, 120)] == before
    assert said(200) == [("Old", 195)]


def test_a_departure_does_not_tell_of_itself_before_it_happened(store: Store) -> None:
    card = starter()
    for customer in (0, 1):
        for day in range(30, 130):
            tell(store, News(customer, "usage", day * DAY, day * DAY), 1000 * customer + day)
    before = verdicts(store, card, 130, by_what_was_heard(store))
    tell(store, News(1, "left", 131 * DAY, 131 * DAY), 9000)

    assert verdicts(store, card, 130, by_what_was_heard(store)) == before
    assert set(verdicts(store, card, 132, by_what_was_heard(store))) == {"Customer 0"}


def test_history_counts_as_known_when_it_happened_and_what_came_late_does_not(store: Store) -> None:
    card = starter()
    for day in range(60):
        tell(store, News(0, "usage", day * DAY, 250 * DAY, history=True, since=250 * DAY), day)
        tell(store, News(1, "usage", day * DAY, 250 * DAY, since=250 * DAY), 100 + day)

    assert set(verdicts(store, card, 59, by_what_was_heard(store))) == {"Customer 0"}
    assert set(verdicts(store, card, 251, by_what_was_heard(store))) == {"Customer 0", "Customer 1"}
