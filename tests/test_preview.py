"""A preview lives real history again: exactly, however it is read, and without a trace."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from tests.intake.worlds import seen, take
from tests.web.house import House, Page
from worker import replay
from worker.facts import Attribute, CrmContact, Fact
from worker.lib.clock import DAY, VirtualClock
from worker.lib.problems import Problems
from worker.lib.store import Row, Store
from worker.preview import as_json, as_page, preview
from worker.review.preview import Preview, patience, per_100
from worker.scoring import measures
from worker.scoring.choice import deck_of
from worker.scoring.measures import Sources
from worker.scoring.scorecard import load
from worker.scoring.sliding import Sliding

NOW = 1_767_225_600 + 100 * DAY + 43_200
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles")

SENTENCES = (
    "days with usage in the last 30 days",
    "days with signs of use in the last 2 weeks",
    "weeks with usage in the last 60 days",
    "months with usage or login ever",
    'number of usage labelled "a" or "b" in the last 20 days',
    'number of usage not labelled "a" in the last 20 days',
    "number of usage or login from 30 to 10 days ago",
    "number of logins per week in the last 4 weeks",
    "total usage per week in the last 25 days",
    "median number of usage per week in the last 4 weeks",
    "highest total usage per week in the last 4 weeks without empty weeks",
    "number of open tickets now",
    "latest nps answer",
    "first nps answer",
    "average nps answer in the last 60 days",
    "median nps answer in the last 60 days",
    "lowest nps answer ever",
    "highest nps answer in the last 40 days",
    "days since the last login",
    "days since the first usage",
    "label of the latest usage",
    "number of different labels of usage in the last 30 days",
    "slope of total usage per week in the last 5 weeks",
    "number of logins in the last 60 days, halving every 10 days",
    "total usage in the last 60 days, losing 10% per week",
    "number of usage this calendar week",
    "total usage in the previous calendar month",
    "number of logins this calendar quarter",
    "age in weeks",
    "attribute seats",
    "attribute plan",
    "days until attribute renewal",
)


def everything() -> str:
    """A card that reads everything a customer alone can be read for; some of it counts, and rules look at some."""
    watched = "".join(
        f"[measures.w{place}]\nread = '{sentence}'\nwatch_only = true\n" for place, sentence in enumerate(SENTENCES)
    )
    return f"""
name = "Everything"
[measures.active]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 12 -> 100"
[measures.trend]
read = "usage per week in the last 2 weeks"
against = "usage per week from 8 to 2 weeks ago"
points = ["below 50% -> 0", "below 110% -> 50", "otherwise -> 100"]
not_in_first = "20 days"
[measures.nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
answer_valid_for = "15 days"
if_expired = 40
[measures.tickets]
read = "number of open tickets now"
points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]
[measures.per_seat]
formula = "active / attribute seats"
sliding = "0 -> 0, 5 -> 100"
[measures.per_seat.instead.small]
when = "attribute seats < 3"
points = ["above 0 -> 100", "otherwise -> 0"]
[measures.last_year]
read = "number of usage in the last 10 days"
against = "the same time last year"
watch_only = true
{watched}
[dimensions.all]
share = 100
measures = {{ active = 30, trend = 20, nps = 20, tickets = 20, per_seat = 10 }}
[rules.waits]
when = "number of open tickets now >= 2"
at_most = "yellow"
because = "waits"
[signals.keen]
when = "w0 >= 5 and attribute plan is 'pro'"
do = "thriving"
[bands]
green = "70 and up"
yellow = "40 and up"
change_when = "3 points past the line for 3 days"
"""


def world(store: Store, seed: int, customers: int = 4) -> str:
    """Some customers with a past of a hundred days; now is the 100th. Gives the time zone they live in."""
    random, zone = Random(seed), ZONES[seed % len(ZONES)]
    for number in range(customers):
        facts = []
        for n in range(random.randrange(5, 60)):
            kind, labels, values = random.choice(
                [("usage", "abc", (1, 3)), ("login", [""], (1,)), ("nps_answer", [""], (0, 5, 9, 10)),
                 ("open_ticket", ["high", "low"], (1, 1, -1)), ("payment", ["EUR"], (40, 60))]
            )  # fmt: skip
            at = NOW - random.randrange(0, 100 * DAY) + (DAY if n % 17 == 0 else 0)
            facts.append(
                Fact(kind, at, "app", f"{number}:{n}", random.choice(values) * 1_000_000, random.choice(labels))
            )
        dated = tuple(
            Attribute(name, random.choice(values), NOW - random.randrange(0, 90) * DAY)
            for name, values in (
                ("seats", ("2", "5", "0")), ("seats", ("3", "4")), ("plan", ("pro", "team")),
                ("renewal", ("2026-05-01", "soon")), ("customer_since", ("2025-12-01",)),
            ) if random.random() < 0.8
        )  # fmt: skip
        take(
            store, seen(f"app:{number}", name=f"C{number}", facts=tuple(facts), attributes=dated, at=0), now=NOW, time_zone=zone
        )  # fmt: skip
    return zone


@pytest.mark.parametrize("seed", range(6))
def test_windows_that_slide_read_what_a_pass_a_day_reads(sqlite_store: Store, seed: int) -> None:
    zone = world(sqlite_store, seed)
    card = load(everything())
    sliding = Sliding([card], Sources())
    asked = replay.customers(sqlite_store, NOW, 25, zone)
    histories = replay.histories(sqlite_store, sliding, asked[0].id, asked[-1].id)
    slid = {one.id: list(sliding.readings(histories[one.id], one.moments[:-1])) for one in asked}

    for place in range(24):
        moments = [one.moments[place] for one in asked if len(one.moments) == 25]
        expected = measures.read(sqlite_store, card, moments)
        for moment in moments:
            readings = expected.get(moment.customer_id)
            assert slid[moment.customer_id][place] == (None if readings is None else (readings,)), f"day {moment.today}"


@pytest.mark.parametrize("seed", range(1))
def test_whoever_is_judged_once_for_many_days_lives_the_same_days(store: Store, seed: int) -> None:
    zone = world(store, seed)
    card = deck_of({"one.toml": everything()})
    other = deck_of(
        {
            "young.toml": everything().replace("12 -> 100", "20 -> 100"),
            "old.toml": everything().replace("nps = 20", "nps = 25").replace("tickets = 20", "tickets = 15"),
            "cards.toml": 'cards = ["young.toml when age < 40 days", "old.toml when attribute plan is \'pro\'"]',
        }
    )
    asked = replay.customers(store, NOW, 40, zone)
    exact = [life for one in (card, other) for life in replay.day_by_day(store, one, asked, Sources())]
    both = list(replay.lives(store, [card, other], asked, Sources()))
    slid = [pair[number] for number in (0, 1) for pair in both]

    assert [(one.days, one.bands, one.last) for one in slid] == [(one.days, one.bands, one.last) for one in exact]
    for mine, theirs in zip(slid, exact, strict=True):
        assert list(map(_told, mine.events)) == list(map(_told, theirs.events))


def _told(day: replay.Day) -> tuple[object, ...]:
    """All that is asked of a day that is not the last."""
    found = day.assessment
    return (
        day.moment,
        day.band,
        day.turned_from,
        day.new_signals,
        found.score,
        found.drivers,
        found.rules,
        found.signals,
    )


# -- what it tells ----------------------------------------------------------------------------------------------------

CARD = """\
name = "Present"
leaving = ["left by choice"]
[measures.active_days]
read = "days with usage in the last 10 days"
sliding = "0 -> 0, 10 -> 100"
says = "active on {value} of the last 10 days"
do = "usage-drop"
[measures.logins]
read = "days with logins in the last 10 days"
sliding = "0 -> 0, 10 -> 100"
watch_only = true
[dimensions.adoption]
share = 100
measures = { active_days = 100 }
[bands]
green = "70 and up"
yellow = "40 and up"
"""
STRICTER = CARD.replace("Present", "Stricter").replace("0 -> 0, 10 -> 100", "0 -> 0, 20 -> 100", 1)


@pytest.fixture
def house(sqlite_store: Store, tmp_path: Path) -> House:
    """Steady uses it every day; Gone did so until 20 days ago and left on the 8th day before now; Quiet never did."""
    clock = VirtualClock(NOW)
    house = House(sqlite_store, clock, tmp_path)
    house.workspace.deck = deck_of({"scorecard.toml": CARD})
    house.workspace.files = {"scorecard.toml": CARD}
    used = {"Steady": range(60), "Gone": range(20, 60), "Quiet": range(0)}
    for name, days in used.items():
        facts = [Fact("usage", NOW - n * DAY, "app", f"{name}{n}") for n in days]
        facts.append(Fact("joined", NOW - 80 * DAY, "app", f"{name} joined"))
        if name == "Steady":
            facts.append(Fact("login", NOW - DAY, "app", "in"))
        if name == "Gone":
            facts.append(Fact("left", NOW - 8 * DAY, "app", "gone", label="by choice"))
        contact = CrmContact(name, f"{name}@example.com", "", may_mail=True, tags=(), fields=(), updated_at=1)
        take(sqlite_store, seen(f"app:{name}", f"keap:{name}", name=name, facts=tuple(facts)), now=NOW)
        take(sqlite_store, seen(f"keap:{name}", f"app:{name}", name=name, crm=contact), now=NOW)
    return house


def previewed(house: House, text: str) -> Preview:
    return preview(house.workspace, {"new.toml": text}, 30)


def test_it_tells_who_would_stand_elsewhere_and_why(house: House) -> None:
    found = previewed(house, STRICTER)

    assert found.before.bands == {"green": 1, "yellow": 0, "red": 1, "grey": 0}
    assert found.after.bands == {"green": 0, "yellow": 1, "red": 1, "grey": 0}
    (one,) = found.turned
    assert (one.name, one.before, one.score_before, one.after, one.score_after) == (
        "Steady",
        "green",
        "100",
        "yellow",
        "50",
    )
    assert one.why == ("active on 10 of the last 10 days; costs 50, under the present card 0",)
    assert one.plays == ("usage-drop",)
    assert [(part.measure, part.points) for part in one.ledger] == [("active_days", "-50")]


def test_the_ledger_sums_to_the_last_decimal_whatever_rules_and_limits_do(house: House) -> None:
    text = STRICTER.replace("0 -> 0, 20 -> 100", "0 -> 0, 23 -> 100", 1).replace(
        "[bands]", '[rules.cap]\nwhen = "active_days >= 1"\nat_most = 12.5\nbecause = "is capped"\n[bands]'
    )
    (one,) = previewed(house, text).turned

    assert one.after == "red"
    assert one.why[0] == "rule: is capped"
    assert sum(Decimal(part.points) for part in one.ledger) == Decimal("12.5") - 100


def test_it_tells_the_days_of_warning_before_a_departure(house: House) -> None:
    """Gone fell below 40 of 100 six days after the last use and left six days later; half the points are red at once."""
    (farewell,) = previewed(house, STRICTER).farewells

    assert (farewell.name, farewell.before) == ("Gone", 5)
    assert farewell.after > farewell.before


def test_it_tells_what_would_be_written_and_set_off(house: House) -> None:
    found = previewed(house, STRICTER)

    assert (found.writes.contacts, found.writes.tags) == (1, 1)
    assert found.writes.calls >= found.writes.contacts
    assert found.before.plays["turned-red"] == 1


def test_it_tells_what_a_watched_measure_would_have_changed(house: House) -> None:
    """For Steady 10 points instead of 100 in a tenth of the score, for Quiet nothing instead of nothing."""
    (watched,) = previewed(house, CARD).watched

    assert (watched.measure, watched.bands, watched.points) == ("logins", 0, "4.5")


def test_flaps_are_counted_for_each_hundred_customers(house: House) -> None:
    """Whoever uses it every other week goes down and up again."""
    facts = tuple(Fact("usage", NOW - n * DAY, "app", f"flap{n}") for n in range(60) if n // 7 % 2)
    take(house.store, seen("app:Flap", name="Flap", facts=facts), now=NOW)
    calm = previewed(house, CARD.replace("[bands]", '[bands]\nchange_when = "for 10 days"'))

    assert calm.before.flaps > calm.after.flaps
    assert calm.before.flaps_per_100 == per_100(calm.before.flaps, 4)


def test_what_patience_spares_and_costs_is_told_beside_the_same_card_at_once(house: House) -> None:
    facts = tuple(Fact("usage", NOW - n * DAY, "app", f"flap{n}") for n in range(60) if n // 7 % 2)
    take(house.store, seen("app:Flap", name="Flap", facts=facts), now=NOW)
    hasty = previewed(house, CARD)
    calm = previewed(house, CARD.replace("[bands]", '[bands]\nchange_when = "for 3 days"'))

    assert hasty.after.alerts == hasty.after.alerts_at_once == calm.after.alerts_at_once
    assert calm.after.alerts < calm.after.alerts_at_once
    (farewell,) = calm.farewells
    assert (farewell.at_once, farewell.after) == (farewell.before, farewell.before - 3)
    spared = calm.after.alerts_at_once - calm.after.alerts
    assert patience(calm) == (
        f"its patience spares {spared} of {calm.after.alerts_at_once} turns for the worse, and costs 3 days of warning"
        " before 1 departure"
    )


def test_nothing_is_written_but_that_it_was_previewed(house: House) -> None:
    tables = ("scores", "standings", "changes", "effects", "refusals", "dirty", "switches", "card_versions", "worklist")

    def state() -> list[Row]:
        return [row for name in tables for row in house.store.rows(f"select count(*) as n from {name}")]

    before = state()
    previewed(house, STRICTER)

    assert state() == before
    assert house.store.value("select count(*) as n from previews") == 1


def test_the_page_needs_no_other_host_and_escapes_what_customers_are_called(house: House) -> None:
    take(
        house.store,
        seen("app:Evil", name="<script>alert(1)</script>", facts=(Fact("usage", NOW, "app", "e"),)),
        now=NOW,
    )
    html = as_page(previewed(house, STRICTER.replace("0 -> 0, 20 -> 100", "0 -> 100, 20 -> 0")))
    page = Page(html)

    assert "What new.toml would change" in page.text
    assert not [value for _, name, value in page.attributes if name in {"src", "href"}]
    assert "<script" not in html
    assert "<script>alert(1)</script>" in page.text
    assert as_json(previewed(house, STRICTER))["turned"][0]["name"] == "Steady"


def test_a_card_that_cannot_be_read_is_told_and_not_remembered(house: House) -> None:
    with pytest.raises(Problems, match="shares total 90"):
        previewed(house, CARD.replace("active_days = 100 }", "active_days = 90 }"))
    with pytest.raises(Problems, match="there is no play 'usage-dropp'"):
        previewed(house, CARD.replace("usage-drop", "usage-dropp"))
    assert house.store.value("select count(*) as n from previews") == 0
