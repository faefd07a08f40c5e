"""The file as its writer meets it: what it says, and what it is told about mistakes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from worker.lib.assets import folder
from worker.lib.problems import Problem, Problems
from worker.scoring.card import Card, Hold
from worker.scoring.scorecard import load

STARTER = (folder("recipes") / "scorecards" / "starter.toml").read_text("utf-8")


def mistakes(text: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        load(text, "card.toml")
    return [str(problem) for problem in caught.value.problems]


def told(text: str) -> tuple[Problem, ...]:
    """The problems of a card, () where it has none; nothing else may be raised."""
    try:
        load(text)
    except Problems as problems:
        return problems.problems
    return ()


def starter_with(old: str, new: str) -> str:
    assert old in STARTER
    return STARTER.replace(old, new)


@pytest.fixture(scope="module")
def starter() -> Card:
    return load(STARTER)


def test_the_starter_fits_on_a_screen_of_a_founder() -> None:
    assert len(STARTER.splitlines()) < 90
    assert max(map(len, STARTER.splitlines())) <= 110


def test_the_starter_says_what_it_reads_and_does(starter: Card) -> None:
    assert starter.kinds() == {"usage", "unpaid_invoice", "nps_answer", "open_ticket", "cancellation_planned"}
    assert [measure.do for measure in starter.measures.values()] == [
        "usage-drop", "usage-drop", "failed-payment", "low-nps", "open-tickets", "", "",
    ]  # fmt: skip
    assert {name: signal.do for name, signal in starter.signals.items()} == {"expansion": "thriving"}


def test_bands_run_from_best_to_worst_with_their_lower_edges(starter: Card) -> None:
    assert [(band.name, int(band.edge)) for band in starter.bands] == [("green", 70), ("yellow", 40), ("red", 0)]
    assert (starter.worse, starter.better) == (Hold(Decimal(3), 3), Hold(Decimal(3), 3))
    assert starter.least_known == Decimal("0.5")


@pytest.mark.parametrize(
    ("score", "band"), [("100", "green"), ("70", "green"), ("69.999999999", "yellow"), ("0", "red")]
)
def test_an_edge_belongs_to_the_band_above_it(starter: Card, score: str, band: str) -> None:
    assert starter.band_of(Decimal(score)) == band


def test_the_version_is_of_what_is_said_not_of_how_it_is_laid_out(starter: Card) -> None:
    assert load("# a remark\n" + STARTER.replace(" = ", "=")).version == starter.version
    assert load(starter_with("12 -> 100", "14 -> 100")).version != starter.version


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"0 -> 0, 12 -> 100"', '"0 -> 0, 12 > 100"', "card.toml:7: measures.active_days.sliding: “> 100” is not understood after “0 -> 0, 12”"),
        ('"0 -> 0, 12 -> 100"', '"12 -> 0, 0 -> 100"', "the values must rise"),
        ('"0 -> 0, 12 -> 100"', '"0 -> 0, 12 -> 120"', "measures.active_days.sliding: 120 points are beyond the range of the score → points go from 0 to 100"),
        ("below 50% -> 0", "below 50 -> 0", "measures.usage_trend.points: measured against a normal, the value is a share of it → write percents: 50%"),
        ('"below 85% -> 50", "otherwise -> 100"', '"below 85% -> 50"', "nothing is said about 85% and up → end with “otherwise"),
        ('"0 -> 100", "1 -> 40"', '"below 5 -> 100", "1 -> 40"', "“1” is never reached"),
        ('if_never = "leave out"', 'if_never = "worse"', "measures.last_nps.if_never: 'worse' will not do"),
        ("{value:percent}", "{amount}", "measures.usage_trend.says: {amount} is not known here"),
        ("active on {value}", "active on {value!r}", "{value:!r} is not known here"),
        ("active on {value}", "active on {value", "has a brace that is not closed"),
        ("active on {value}", "active on {value} until {day}", "{day} is not known here"),
        ("share = 50\nmeasures", "share = 60\nmeasures", "dimensions: the shares total 110, not 100 (60 + 30 + 20)"),
        ("active_days = 50, usage_trend = 50", "active_days = 50, usage_trend = 40", "dimensions.adoption.measures: the shares total 90, not 100 (50 + 40)"),
        ("active_days = 50, usage", "active_dais = 50, usage", "there is no measure 'active_dais' → did you mean 'active_days'?"),
        ("unpaid_invoices = 100", "unpaid_invoices = 50, active_days = 50", "'active_days' counts in 'adoption' already"),
        ("last_nps = 50, open_tickets = 50", "last_nps = 100", "measures.open_tickets: 'open_tickets' moves nothing"),
        ('do = "low-nps"', 'do = "low-nps"\nwatch_only = true', "'last_nps' is watch_only and moves nothing"),
        ('do = "low-nps"', 'do = "low-nps"\nwatch_only = "yes"', "'yes' will not do → write true or false"),
        ('do = "low-nps"', 'do = "low-nps"\nformula = "1"', "measures.last_nps.formula: there is a read already → keep one of the two"),
        ('do = "low-nps"', 'do = "low-nps"\nsay = "x"', "'say' means nothing here → did you mean 'says'?"),
        ("last_nps <= 6", "last_mps <= 6", "rules.busy-but-struggling.when: there is no measure 'last_mps' → did you mean 'last_nps'?"),
        ("last_nps <= 6", "last_nps =< 6", "“< 6” is not understood after “active_days >= 15 and last_nps =” → write “active_days >= 15 and last_nps <= 6”"),
        ("usage_trend >= 130%", "usage_trend >= 130", "usage_trend is a share of their own normal → write 130%"),
        ("band is green", "band is gren", "there is no band 'gren' → did you mean 'green'?"),
        ('at_most = "yellow"\nbecause = "uses', 'at_most = "amber"\nbecause = "uses', "'amber' is no band of this card → use one of: green, yellow, red"),
        ('at_most = "yellow"\nbecause = "uses', 'because = "uses', "rules.busy-but-struggling: the rule does nothing"),
        ("40 and up", "70 and up", "two bands begin at 70"),
        ("40 and up", "140 and up", "140 divides nothing"),
        ("40 and up", "fourty and up", "bands.yellow: “fourty and up” is not understood"),
        ("for 3 days", "for 3 weeks", "bands.change_when: “weeks” is not understood after “3 points past the line for 3”"),
        ('known_less_than = "50%"', 'known_less_than = "0.5"', "the sentence breaks off after “0.5” → write “50%”"),
        ('name = "Starter"', "", "name: is missing"),
        ("open_tickets = 50 }", "open_tickets = 50, active_days = 20 }", "the shares total 120, not 100 (50 + 50 + 20) → take 20 away, so that they total 100"),
        ("last_nps = 50, open_tickets = 50", "last_nps = 50, open_tickets = 30", "the shares total 80, not 100 (50 + 30) → give them 20 more"),
        ("last_nps = 50, open_tickets = 50", 'last_nps = "50%", open_tickets = 50', "dimensions.voice.measures.last_nps: '50%' is no share → write it without quotes and %: 50"),
        ("last_nps = 50, open_tickets = 50", 'last_nps = "high", open_tickets = 50', "dimensions.voice.measures.open_tickets: 50 is a share, and 'last_nps' has an importance"),
        ("last_nps = 50, open_tickets = 50", 'last_nps = "high", open_tickets = "much"', "'much' is no importance → write \"high\", \"normal\" or \"low\""),
        ("{ last_nps = 50, open_tickets = 50 }", '["last_nps", "open_tickets", "last_nps"]', "'last_nps' stands there twice"),
        ("active_days = 50, usage_trend = 50", "active_days = 0.5, usage_trend = 0.5", "shares are percents: write 50, 50"),
        ('green = "70 and up"', 'Green = "70 and up"', 'write it in small letters: green = "70 and up"'),
        ("[measures.last_nps]", "[measures.Last-NPS]", "'Last-NPS' is no name → use small letters, digits and _: last_nps"),
        ("share = 20", 'importance = "high"', "dimensions.adoption.share: 'voice' has an importance instead"),
        ("share = 20\n", "", "dimensions.voice.share: is missing"),
        ("share = 20", 'share = 20\ncombine = "average"', "'average' will not do → write one of: \"weighted mean\", \"mean\""),
        ("share = 20", 'share = 20\ncombine = "mean"', 'in a mean every part counts alike, so none has a share → write ["last_nps", "open_tickets"]'),
        ("share = 20", "share = 20\nbase = 50", "only a sum begins somewhere"),
        ("share = 20", "share = 20\nfloor = 50\ncap = 20", "50 is not below the cap"),
        ("share = 20", "share = 20\nknown_at_least = 0.5", 'dimensions.voice.known_at_least: 0.5 is no sentence → write it in quotes: "50%"'),
        ("share = 20", 'share = 20\ndimensions = { money = 50 }', "dimensions.money.share: 'money' has its share where it is in → take it out here"),
        ("share = 20", 'share = 20\ndimensions = { voice = 50 }', "'voice' is inside itself"),
        ("share = 20", 'share = 20\ndimensions = { mony = 50 }', "there is no dimension 'mony' → did you mean 'money'?"),
        ("[bands]", '[score]\ncombine = "sum"\n[bands]', "dimensions.adoption.share: in a sum every dimension counts alike → take it out"),
        ("[bands]", "[score]\ndimensions = { adoption = 100 }\n[bands]", "dimensions.money.share: [score] says the share of 'money' → take it out here"),
        ("[bands]", '[score]\nrange = "0 to 10"\n[bands]', "70 divides nothing → an edge lies between 0 and 10"),
        ("[bands]", '[score]\nrange = "10 to 0"\n[bands]', "10 to 0 is no range → the lower number first"),
        ("[bands]", '[score]\ndecimals = 1.5\n[bands]', "1.5 will not do → write how many decimals"),
        ("[bands]", "[bonus]\nlast_nps = 10\n[bands]", "'last_nps' counts in 'voice' already"),
        ("[bands]", '[bonus]\nseen = 10\n[measures.seen]\nread = "number of logins ever"\n[bands]', "'seen' gives no points"),
        ("[bands]", '[scores.growth]\nmeasures = ["active"]\n[bands]', "scores.growth.measures: there is no measure 'active' → did you mean 'active_days'?"),
        ("[bands]", '[scores.health]\nmeasures = ["last_nps"]\n[bands]', "health is the score itself"),
        ('green = "70 and up"\nyellow = "40', 'green = "40 and up"\nyellow = "70', "green begins at 40, below yellow at 70"),
        ("[bands]", '[bands]\non = "score"', "'score' will not do → write one of: \"rounded score\", \"raw score\""),
        ('at_most = "yellow"\nbecause = "uses', 'at_most = "orange"\nbecause = "uses', "'orange' is no band of this card → use one of: green, yellow, red, or a score from 0 to 100"),
        ('at_most = "yellow"\nbecause = "uses', 'score = "growth"\nat_most = 20\nbecause = "uses', "'growth' will not do → write one of: \"health\""),
        ("last_nps <= 6", "dimension vioce < 50", "there is no dimension 'vioce' → did you mean 'voice'?"),
        ("last_nps <= 6", "score growth < 50", "there is no score 'growth'"),
        ('do = "low-nps"', 'do = "low-nps"\nif_expired = "bad"', "'bad' will not do"),
        ('do = "open-tickets"', 'do = "open-tickets"\nif_expired = 20', "nothing grows old here without answer_valid_for"),
        ('do = "open-tickets"', 'do = "open-tickets"\nfloor = "20"', "'20' is no number → write a number without quotes"),
        ('do = "open-tickets"', 'do = "open-tickets"\neach = -5', "there is points already → keep one of the two"),
        ('points = ["0 -> 100", "1 -> 70", "2 -> 30", "otherwise -> 0"]', "each = -5", "measures.open_tickets.each: points without end are beyond the range"),
        ('points = ["0 -> 100", "1 -> 70", "2 -> 30", "otherwise -> 0"]', 'each = 5\nif_never = "best"', "there is no best, for the points know no end → add cap"),
        ('"otherwise -> 0"]\nsays = "support', '"otherwise -> gren"]\nsays = "support', "there is no band 'gren' → did you mean 'green'?"),
        ('points = ["0 -> 100", "1 -> 70"', 'points = ["gold -> 100", "1 -> 70"', "what is read is a number, and never “gold”"),
        ('goal = "', 'who = "active_days > 1"\ngoal = "', "who: 'active_days' is not read yet when this is asked → write what is to be read"),
        ('goal = "', 'who = "band is green"\ngoal = "', "who: the band is not there yet when this is asked"),
        ('read = "latest nps answer"', 'formula = "last_nps + 1"', "measures.last_nps.formula: 'last_nps' rests on itself"),
        ('read = "latest nps answer"', 'formula = "score + 1"', "measures.last_nps.formula: the score is not there yet"),
        ('read = "latest nps answer"', 'read = "percentile of last_mps"', "measures.last_nps.read: there is no measure 'last_mps' → did you mean 'last_nps'?"),
        ("[measures.unpaid", "[measures.usage_trend.instead.young]\nwhen = \"age < 30 days\"\n[measures.unpaid", "measures.usage_trend.instead.young: it gives no points"),
        ("[measures.unpaid", "[measures.usage_trend.instead.young]\npoints = [\"otherwise -> 50\"]\n[measures.unpaid", "measures.usage_trend.instead.young.when: is missing"),
        ("[dimensions.money]", "[dimensions.adoption.instead.young]\nwhen = \"age < 30 days\"\nmeasures = { active_days = 90 }\n[dimensions.money]", "dimensions.adoption.instead.young.measures: the shares total 90"),
        ("180 days", "180 dogs", "measures.last_nps.answer_valid_for: “dogs” is not understood after “180”"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_cure(old: str, new: str, told: str) -> None:
    found = mistakes(starter_with(old, new))

    assert any(told in one for one in found), found


def test_one_slip_is_one_mistake() -> None:
    assert len(mistakes(starter_with("in the last 30 days", "in the last 30 dais"))) == 1
    assert len(mistakes(starter_with('"0 -> 0, 12 -> 100"', '"0 -> 0"'))) == 1
    assert len(mistakes(starter_with("last_nps <= 6", "last_mps <= 6"))) == 1
    assert len(mistakes(starter_with("{ last_nps = 50", "{ last_mps = 50"))) == 1
    assert len(mistakes(STARTER.replace("last_nps", "last-nps"))) == 1
    assert len(mistakes(starter_with('green = "70 and up"', 'Green = "70 and up"'))) == 1
    assert len(mistakes(starter_with('green = "70 and up"', "green = 70"))) == 1


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = STARTER.replace("30 days", "30 dais").replace("share = 30", "share = 31").replace('"band', '"bend')
    found = mistakes(text.replace("band is green", "bend is green"))

    assert [one.split(": ")[0] for one in found] == ["card.toml:6", "card.toml:40", "card.toml:73"]


def test_a_file_that_is_no_toml_is_told_so() -> None:
    assert mistakes('name = "x\n')[0].startswith("card.toml:1:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "measures = 3",
        "measures.a = 3\nbands = 1",
        "[measures.a]\nread = 3\npoints = 1\n[rules.b]\n[signals.c]\n[bands]\ngreen = 1",
    ],
)
def test_no_shape_of_file_breaks_the_reader(text: str) -> None:
    assert all("card.toml" in one for one in mistakes(text))


JUNK = ("3", "[1]", "{}", "{ a = [1] }", "true", '""', '"%"', '"-> and 50% (x"', "1979-05-27", "nan", "-1e9", '["{"]')


@pytest.mark.parametrize("junk", JUNK)
def test_whatever_stands_in_a_line_is_told_at_a_line_or_taken(junk: str) -> None:
    lines = STARTER.splitlines()
    for place, line in enumerate(lines):
        if " = " in line:
            changed = [*lines[:place], f"{line.split(' = ')[0]} = {junk}", *lines[place + 1 :]]
            assert all(problem.line and problem.message for problem in told("\n".join(changed))), line


def test_the_lowest_band_may_have_another_name() -> None:
    text = starter_with('yellow = "40 and up"', 'yellow = "40 and up"\ncritical = "below 40"')
    card = load(text.replace('at_most = "red"', 'at_most = "critical"'))

    assert card.order == ("green", "yellow", "critical")


def test_the_two_directions_may_differ() -> None:
    setting = 'worse_when = "for 1 day"\nbetter_when = "5 points past the line for 7 days"'
    card = load(starter_with('change_when = "3 points past the line for 3 days"', setting))

    assert (card.worse, card.better) == (Hold(days=1), Hold(Decimal(5), 7))
