"""The sentences of the language: what each means, and what is answered to those that are not of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.facts import FAMILIES, KINDS
from worker.scoring import phrases
from worker.scoring.card import Hold
from worker.scoring.derived import RollUp
from worker.scoring.expressions import (
    Arithmetic,
    BandIs,
    Both,
    Call,
    Compare,
    DimensionOf,
    Either,
    In,
    Literally,
    Missing,
    Name,
    Not,
    ScoreOf,
    Spoken,
)
from worker.scoring.phrases import Edge, PhraseError
from worker.scoring.points import Colour, Number, Sliding, Step
from worker.scoring.reads import Calendar, Fade, Portfolio, Rank, Read, Selection, Window

USAGE = (Selection("usage"),)
LOGIN = (Selection("login"),)
NPS = (Selection("nps_answer"),)
MONTH = Window(0, 29)
AGE = Spoken("age", Read("age", per=1))
PLAN = Spoken("attribute plan", Read("attribute", attribute="plan"))
A, B = Name("a"), Name("b")


def number(value: str | int, *, percent: bool = False) -> Number:
    return Number(Decimal(value), percent)


def literally(value: str | int) -> Literally:
    return Literally(number(value))


def count(selections: tuple[Selection, ...] = LOGIN, window: Any = MONTH, **more: Any) -> Read:
    return Read("count", selections, window, of="count", **more)


READS: dict[str, Read | Rank | RollUp] = {
    "days with usage in the last 30 days": Read("days_with", USAGE, MONTH),
    "weeks with usage in the last 12 weeks": Read("weeks_with", USAGE, Window(0, 83)),
    "months with usage in the last year": Read("months_with", USAGE, Window(0, 364)),
    "number of logins in the last 30 days": count(),
    "number of logins in the last month": count(),
    "number of unpaid invoices now": Read("now", (Selection("unpaid_invoice"),)),
    "total refunds ever": Read("total", (Selection("refund"),)),
    "number of logins per week in the last 4 weeks": count(window=Window(0, 27), per=7),
    "median number of logins per week in the last 4 weeks": count(window=Window(0, 27), per=7, spread="median"),
    "number of logins per week in the last 4 weeks without empty weeks": count(window=Window(0, 27), per=7, skip_empty=True),
    "usage per week in the last 10 days": Read("total", USAGE, Window(0, 9), per=7),
    "total payments per month in the last 3 months": Read("total", (Selection("payment"),), Window(0, 89), per=30),
    "highest usage per day in the last 30 days": Read("total", USAGE, MONTH, per=1, spread="highest"),
    "usage or logins per week in the last 2 weeks": Read("total", USAGE + LOGIN, Window(0, 13), per=7),
    "latest nps answer": Read("latest", NPS),
    "first nps answer": Read("first", NPS),
    "average nps answer ever": Read("average", NPS),
    "lowest nps answer in the last 30 days": Read("lowest", NPS, MONTH),
    "days since the last login": Read("since", LOGIN),
    "days since the first login or usage": Read("since_first", LOGIN + USAGE),
    "label of the latest plan change": Read("latest_label", (Selection("plan_changed"),)),
    "number of different labels of usage in the last 30 days": Read("labels", USAGE, MONTH),
    "slope of usage per week in the last 8 weeks": Read("slope", USAGE, Window(0, 55), per=7),
    "slope of number of logins per month in the last 60 days": Read("slope", LOGIN, Window(0, 59), per=30, of="count"),
    "number of logins in the last 30 days, halving every 2 weeks": count(fade=Fade("half-life", 14)),
    "total usage in the last 30 days, losing 10% per week": Read("total", USAGE, MONTH, fade=Fade("linear", 7, Decimal("0.1"))),
    "age in days": Read("age", per=1),
    "age in years": Read("age", per=365),
    "attribute seats": Read("attribute", attribute="seats"),
    'attribute "Plan Name"': Read("attribute", attribute="Plan Name"),
    "days since attribute renewed_on": Read("days_since_attribute", attribute="renewed_on"),
    "days until attribute renewal": Read("days_until_attribute", attribute="renewal"),
    "number of logins from 12 to 4 weeks ago": count(window=Window(28, 83)),
    "number of logins this calendar month": count(window=Calendar("month")),
    "number of logins in this calendar quarter": count(window=Calendar("quarter")),
    "number of logins in the previous calendar week": count(window=Calendar("week", 1)),
    "number of logins in the same calendar month last year": count(window=Calendar("month", 0, 1)),
    "number of logins in the same quarter last year": count(window=Calendar("quarter", 0, 1)),
    'number of logins labelled "Admin" in the last 30 days': count((Selection("login", ("Admin",)),)),
    "number of logins labelled Admin or 'Team Lead' in the last 30 days": count((Selection("login", ("Admin", "Team Lead")),)),
    "number of logins not labelled robot in the last 30 days": count((Selection("login", (), ("robot",)),)),
    "number of logins labelled a not labelled b or usage in the last 30 days": count((Selection("login", ("a",), ("b",)), *USAGE)),
    "number of signs of use in the last 30 days": count(USAGE + LOGIN),
    "number of custom.webinar_seen in the last 30 days": count((Selection("custom.webinar_seen"),)),
    "percentile of active_days": Rank("percentile", "active_days"),
    "z-score of pulse among customers with the same plan": Rank("z-score", "pulse", "plan"),
    "average score of children": RollUp("average"),
    "total score of people": RollUp("total", units="people"),
    "lowest active_days of people with age > 3": RollUp("lowest", "active_days", "people", Compare(AGE, ">", literally(3))),
    "total usage of children weighted by seats": RollUp("total", "usage", weighted_by="seats"),
    "share of children with score >= 70": RollUp("share", "", where=Compare(ScoreOf(), ">=", literally(70))),
    "number of people": RollUp("number", "", "people"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "read"), READS.items())
def test_a_measure_reads_what_its_sentence_says(text: str, read: Read | Rank | RollUp) -> None:
    assert phrases.read(text) == read


CONDITIONS = {
    "a >= 15 and b <= 6": Both((Compare(A, ">=", literally(15)), Compare(B, "<=", literally(6)))),
    "a > 1 or b > 2 and not a = 3": Either((Compare(A, ">", literally(1)), Both((Compare(B, ">", literally(2)), Not(Compare(A, "=", literally(3))))))),
    "not (a > 1 or b != 2)": Not(Either((Compare(A, ">", literally(1)), Compare(B, "!=", literally(2))))),
    "a > 50%": Compare(A, ">", Literally(number("0.5", percent=True))),
    "a < -5": Compare(A, "<", literally(-5)),
    "age < 3 months": Compare(AGE, "<", literally(90)),
    "a - b * 2 > (a + 1) / b": Compare(
        Arithmetic(A, "-", Arithmetic(B, "*", literally(2))), ">", Arithmetic(Arithmetic(A, "+", literally(1)), "/", B)
    ),
    "a-b > 0": Compare(Arithmetic(A, "-", B), ">", literally(0)),
    "-a < 0": Compare(Arithmetic(literally(0), "-", A), "<", literally(0)),
    "attribute plan is gold": Compare(PLAN, "=", Literally("gold")),
    "attribute plan = Gold": Compare(PLAN, "=", Literally("gold")),
    'attribute plan is not "Gold"': Compare(PLAN, "!=", Literally("Gold")),
    "attribute plan is gold or silver and a > 1": Both((In(PLAN, (Literally("gold"), Literally("silver"))), Compare(A, ">", literally(1)))),
    'attribute plan is gold or "silver plus" or a > 1': Either((In(PLAN, (Literally("gold"), Literally("silver plus"))), Compare(A, ">", literally(1)))),
    "attribute plan is gold or a in (1, 2)": Either((Compare(PLAN, "=", Literally("gold")), In(A, (literally(1), literally(2))))),
    "attribute plan is not gold or silver": Not(In(PLAN, (Literally("gold"), Literally("silver")))),
    'attribute plan in ("gold", silver)': In(PLAN, (Literally("gold"), Literally("silver"))),
    "a is missing": Missing(A),
    "score onboarding is not missing": Not(Missing(ScoreOf("onboarding"))),
    "score < 40 and dimension adoption < 30": Both((Compare(ScoreOf(), "<", literally(40)), Compare(DimensionOf("adoption"), "<", literally(30)))),
    "band is green": BandIs("green"),
    "band is not green": Not(BandIs("green")),
    "band is yellow or worse or a > 1": Either((BandIs("yellow", "worse"), Compare(A, ">", literally(1)))),
    "band is green or yellow and a > 1": Both((Either((BandIs("green"), BandIs("yellow"))), Compare(A, ">", literally(1)))),
    "if(a > 1, a, b) > max(a, 2)": Compare(Call("if", (Compare(A, ">", literally(1)), A, B)), ">", Call("max", (A, literally(2)))),
    "number of open tickets labelled 'critical'   NOW >= 1": Compare(
        Spoken('number of open tickets labelled "critical" now', Read("now", (Selection("open_ticket", ("critical",)),))), ">=", literally(1)
    ),
    "max(number of logins in the last 30 days, 3) > 1": Compare(
        Call("max", (Spoken("number of logins in the last 30 days", count()), literally(3))), ">", literally(1)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "condition"), CONDITIONS.items())
def test_a_condition_is_what_its_sentence_says(text: str, condition: Any) -> None:
    assert phrases.condition(text) == condition


STEPS = {
    "below 50% -> 0": Step("below", number("0.5", percent=True), Decimal(0)),
    "up to 3 -> 20": Step("up to", number(3), Decimal(20)),
    "0 -> 100": Step("exactly", number(0), Decimal(100)),
    "-3 -> -7.5": Step("exactly", number(-3), Decimal("-7.5")),
    "10 and up -> green": Step("and up", number(10), Colour("green")),
    "above 10 -> leave out": Step("above", number(10), None),
    "from 3 to 7 -> 50": Step("from to", number(3), Decimal(50), number(7)),
    "from 3 to below 7 -> 50": Step("from to below", number(3), Decimal(50), number(7)),
    "above 3 up to 7 -> 50": Step("above up to", number(3), Decimal(50), number(7)),
    "above 3 to below 7 -> 50": Step("above to below", number(3), Decimal(50), number(7)),
    "gold or 'Silver Plus' -> 100": Step("labels", None, Decimal(100), labels=("gold", "Silver Plus")),
    "up or down -> 5": Step("labels", None, Decimal(5), labels=("up", "down")),
    "pay-as-you-go -> 5": Step("labels", None, Decimal(5), labels=("pay-as-you-go",)),
    "otherwise -> 50": Step("otherwise", None, Decimal(50)),
}


@pytest.mark.parametrize(("text", "step"), STEPS.items())
def test_a_step_takes_what_its_sentence_says(text: str, step: Step) -> None:
    assert phrases.step(text) == step


def test_a_line_slides_between_its_pairs() -> None:
    pairs = ((number(-1), Decimal(100)), (number(12), Decimal(-5)))

    assert phrases.sliding("-1 -> 100, 12 -> -5") == Sliding(pairs)
    assert phrases.sliding("-1 -> 100, 12 -> -5, outside leave out") == Sliding(pairs, outside_left_out=True)


@pytest.mark.parametrize(
    ("start", "text", "value"),
    [
        ("edge", "70 and up", Edge(Decimal(70))),
        ("edge", "above 70.5", Edge(Decimal("70.5"), above=True)),
        ("edge", "below 40", Edge(Decimal(40), below=True)),
        ("hold", "3 points past the line for 3 days", Hold(Decimal(3), 3)),
        ("hold", "1 point past the line", Hold(Decimal(1))),
        ("hold", "for 1 day", Hold(days=1)),
        ("hold", "at once", Hold()),
        ("span", "2 years", 730),
        ("share", "12.5%", Decimal("0.125")),
        ("extent", "-10 to 10", (Decimal(-10), Decimal(10))),
        ("choice", "New.toml when age < 90 days", ("New.toml", Compare(AGE, "<", literally(90)))),
        ("choice", "starter.toml otherwise", ("starter.toml", None)),
    ],
)
def test_the_small_sentences(start: str, text: str, value: object) -> None:
    assert getattr(phrases, start)(text) == value


WEEKLY = Read("total", USAGE, Window(0, 20), per=7)
PREVIOUS = Read("total", USAGE, Calendar("month", 1))


@pytest.mark.parametrize(
    ("text", "read", "normal"),
    [
        ("usage per week from 12 to 4 weeks ago", WEEKLY, Read("total", USAGE, Window(28, 83), per=7)),
        ("the same time last year", WEEKLY, Read("total", USAGE, Window(364, 384), per=7)),
        ("the same time last year", PREVIOUS, Read("total", USAGE, Calendar("month", 1, 1))),
        ("the same month last year", WEEKLY, Read("total", USAGE, Calendar("month", 0, 1), per=7)),
        ("the same calendar month last year", PREVIOUS, Read("total", USAGE, Calendar("month", 1, 1))),
        ("the portfolio's median", WEEKLY, Portfolio("median")),
        ("the portfolio's average among customers with the same plan", WEEKLY, Portfolio("average", "plan")),
    ],
)
def test_a_normal_is_a_sentence_or_last_year_or_the_portfolio(text: str, read: Read, normal: Read | Portfolio) -> None:
    assert phrases.against(text, read) == normal


def test_a_weekday_meets_its_like_a_year_before() -> None:
    found = phrases.against("the same time last year", WEEKLY)

    assert isinstance(found, Read)
    assert isinstance(found.window, Window)
    assert found.window.newest % 7 == 0


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_of_the_vocabulary_can_be_spoken(kind: Any) -> None:
    for word in (kind.singular, kind.plural):
        text = {"open": f"number of {word} now", "reading": f"latest {word}"}.get(
            kind.shape, f"number of {word} in the last 30 days"
        )
        found = phrases.read(text)
        assert isinstance(found, Read)
        assert found.kinds == {kind.name}


def test_the_kinds_of_a_family_have_one_shape() -> None:
    for family in FAMILIES:
        assert len({KINDS[kind].shape for kind in family.kinds}) == 1


def test_words_may_be_capital_and_labels_keep_theirs() -> None:
    found = phrases.read('Number of Logins labelled "Admin" in the last 2 weeks')

    assert found == count((Selection("login", ("Admin",)),), Window(0, 13))


@pytest.mark.parametrize(
    "name",
    [
        "number_of_logins",
        "days_used",
        "usage",
        "pulse",
        "payment",
        "latest",
        "first",
        "label",
        "total",
        "number",
        "days",
        "attribute_x",
        "average_rating",
        "min",
        "in_time",
        "is_ok",
        "not_used",
        "or_else",
        "percentile",
        "share",
        "band_width",
        "scored",
    ],
)
def test_a_measure_may_be_called_almost_anything(name: str) -> None:
    assert phrases.may_name(name)
    assert phrases.condition(f"{name} > 3 or {name} is missing and usage_trend < {name}") == Either(
        (
            Compare(Name(name), ">", literally(3)),
            Both((Missing(Name(name)), Compare(Name("usage_trend"), "<", Name(name)))),
        )
    )


@pytest.mark.parametrize("name", ["age", "score", "band", "not", "and", "Upper", "with space", "number of logins"])
def test_a_word_of_the_conditions_is_no_name(name: str) -> None:
    assert not phrases.may_name(name)


# -- what is not understood -------------------------------------------------------------------------------------------


def stumble(start: str, text: str, *more: Any) -> PhraseError:
    with pytest.raises(PhraseError) as caught:
        getattr(phrases, start)(text, *more)
    return caught.value


@pytest.mark.parametrize(
    ("start", "text", "message", "cure"),
    [
        ("read", "days with usage in the last 30 dais", "“dais” is not understood after “days with usage in the last 30”", "days, weeks, months or years"),
        ("read", "number of unpayed invoices now", "“unpayed invoices now” is not understood after “number of”", "did you mean 'unpaid invoices'?"),
        ("read", "number of different labels of logins", "the sentence breaks off after “number of different labels of logins”", "“in”"),
        ("read", "number of logins now", "“login” happens", "number of logins in the last 30 days"),
        ("read", "days with open tickets in the last 3 days", "“open ticket” opens and closes", "number of open tickets now"),
        ("read", "total nps answers ever", "“nps answer” is an answer", "latest nps answer"),
        ("read", "payments per week in the last 2 weeks", "could mean how many or how much", "total payments per week"),
        ("read", "usage per week ever", "over how long", "in the last 8 weeks"),
        ("read", "median usage per week in the last 10 days", "10 days are not a whole number of weeks", "in weeks"),
        ("read", "usage per week this calendar month without empty weeks", "not a whole number of weeks", "in weeks"),
        ("read", "usage per week in the last 4 weeks without empty days", "not days", "without empty weeks"),
        ("read", "slope of usage per week in the last 7 days", "two weeks at least", "longer span"),
        ("read", "usage per week from 4 to 12 weeks ago", "runs backwards", "from 12 to 4 weeks ago"),
        ("read", "days with usage in the last 0 days", "no span of time", "1 day"),
        ("read", "usage in the last 30 days", "is not understood", "begin with “days with usage”, “number of usage” or “total usage”"),
        ("read", "plan", "is not understood", "write “attribute plan”"),
        ("read", "lowest score of children weighted by seats", "whatever the others weigh", "take “weighted by …” out"),
        ("read", "share of children with score", "“score” alone is no condition", "compare it"),
        ("read", "total usage ever, losing 120% per week", "120% cannot be lost", "between 0% and 100%"),
        ("read", "", "the sentence breaks off", "“latest …”"),
        ("condition", "active_days", "“active_days” alone is no condition", "“active_days >= 1”"),
        ("condition", "a > 1 and", "the sentence breaks off after “a > 1 and”", "a sentence like “number of … now”"),
        ("condition", "attribute plan > 'gold'", "neither more nor less", "is \"gold\""),
        ("condition", "if(a > 1, 2) > 1", "does not take 2", "if(active_days > 3, a, b)"),
        ("condition", "round(a, b) > 1", "whole number of decimals", "round(a, 1)"),
        ("condition", "(a > 1) + 1 > 1", "true or false", "makes a number"),
        ("condition", "if a > 5 then red", "is not understood", "at_most = "),
        ("condition", "band is worse than green", "is not understood", "band is yellow or worse"),
        ("formula", "a +", "breaks off after “a +”", "a measure"),
        ("step", "missing -> 50", "is no label here", "if_never"),
        ("step", "from 7 to 3 -> 50", "runs backwards", "from 3 to 7"),
        ("sliding", "12 -> 0, 0 -> 100", "must rise", "0 -> 0, 12 -> 100"),
        ("sliding", "0 -> 0", "breaks off", "two ends"),
        ("extent", "10 to 0", "is no range", "0 to 10"),
    ],
)  # fmt: skip
def test_an_odd_sentence_is_answered_with_what_was_understood_and_what_could_come(
    start: str, text: str, message: str, cure: str
) -> None:
    found = stumble(start, text)

    assert message in found.message
    assert cure in found.cure


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        ("the same time last year", Read("latest", NPS), "no stretch of time"),
        ("the same time last year", Rank("percentile", "a"), "only what is read from facts"),
        ("the same month last year", Read("total", USAGE, Calendar("month")), "not over yet"),
        ("the same quarter last year", PREVIOUS, "a month is read"),
        ("the same month last year", Read("total", USAGE, Window(0, 27), per=7, spread="median"), "whole number of periods"),
        ("the same week last year", WEEKLY, "no same week last year"),
    ],
)  # fmt: skip
def test_what_has_no_last_year_is_told_why(text: str, read: Any, message: str) -> None:
    assert message in stumble("against", text, read).message


NEAR = {
    "read": {
        "sum of usage ever": "total usage ever",
        "total number of logins in the last 30 days": "number of logins in the last 30 days",
        "mean nps answer ever": "average nps answer ever",
        "latest nps": "latest nps answer",
        "last nps answer": "latest nps answer",
        "days since last login": "days since the last login",
        "days with usage in the past 30 days": "days with usage in the last 30 days",
        "days with usage in the last two weeks": "days with usage in the last 2 weeks",
        "days with usage this month": "days with usage this calendar month",
        "number of unpaid invoices": "number of unpaid invoices now",
        "number of admin logins in the last 30 days": "number of logins labelled 'admin' in the last 30 days",
        "number of logins by admins in the last 30 days": "number of logins labelled 'admin' in the last 30 days",
        "number of critical open tickets now": "number of open tickets labelled 'critical' now",
        "number of open critical tickets now": "number of open tickets labelled 'critical' now",
        "number of open tickets, ignoring low now": "number of open tickets not labelled low now",
        "number of tickets now": "number of open tickets now",
        "number of logins with label admin in the last 30 days": "number of logins labelled admin in the last 30 days",
        "number of logins a week in the last 4 weeks": "number of logins per week in the last 4 weeks",
        "number of logins between 12 and 4 weeks ago": "number of logins from 12 to 4 weeks ago",
        "number of distinct features in the last 30 days": "number of different labels of usage in the last 30 days",
        "customer age": "age in days",
    },
    "condition": {
        "a is at least 15 and b at most 6": "a >= 15 and b <= 6",
        "a is greater than 5": "a > 5",
        "a more than 5": "a > 5",
        "a between 3 and 7": "a >= 3 and a <= 7",
        "a is 5 or more": "a >= 5",
        "a > 5 and < 10": "a > 5 and a < 10",
        "a == 5 && b <> 6": "a = 5 and b != 6",
        "a =< 5": "a <= 5",
        "a > 5 percent": "a > 5%",
        "a is null": "a is missing",
        "no last_nps": "last_nps is missing",
        "in the first month": "age < 1 month",
        "customer is younger than 30 days": "age < 30 days",
        "age is less than three months": "age < 3 months",
        "attribute plan is one of gold, silver": "attribute plan is gold or silver",
        "attribute plan = gold or silver": "attribute plan is gold or silver",
        "an open critical ticket": "number of open tickets labelled 'critical' now >= 1",
        "open tickets > 0": "number of open tickets now > 0",
        'number of open tickets labelled "critical" >= 1': 'number of open tickets labelled "critical" now >= 1',
        "band = red": "band is red",
        "colour is red": "band is red",
        "score is below 35": "score < 35",
    },
    "step": {
        "< 5 -> 0": "below 5 -> 0",
        "<= 5 -> 0": "up to 5 -> 0",
        "5+ -> 100": "5 and up -> 100",
        "at least 5 -> 100": "5 and up -> 100",
        "more than 5 -> 100": "above 5 -> 100",
        "3-7 -> 50": "from 3 to 7 -> 50",
        "between 3 and 7: 50": "from 3 to 7 -> 50",
        "else -> 0": "otherwise -> 0",
        "5 => 0": "5 -> 0",
        "5 -> 50 points": "5 -> 50",
        "5 -> skip": "5 -> leave out",
        "gold, silver -> 100": "gold or silver -> 100",
        "below 7 days -> 100": "below 7 -> 100",
    },
    "sliding": {"0 = 0; 12 = 100": "0 -> 0, 12 -> 100", "0 -> 0, 12 > 100": "0 -> 0, 12 -> 100"},
    "edge": {"70+": "70 and up", ">= 70": "70 and up", "under 35": "below 35", "70": "70 and up"},
    "hold": {"3 days": "for 3 days", "immediately": "at once", "for 2 weeks": "for 14 days"},
    "span": {"one month": "1 month", "30": "30 days"},
    "share": {"0.5": "50%", "50": "50%"},
    "extent": {"0-10": "0 to 10"},
    "choice": {
        "pro.toml if attribute plan is pro": "pro.toml when attribute plan is pro",
        "otherwise starter.toml": "starter.toml otherwise",
    },
}


@pytest.mark.parametrize(
    ("start", "text", "ours"), [(start, text, ours) for start, said in NEAR.items() for text, ours in said.items()]
)
def test_what_people_write_first_is_answered_with_our_sentence(start: str, text: str, ours: str) -> None:
    assert stumble(start, text).cure == f"write “{ours}”"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("last year", "the same time last year"),
        ("last year's same month", "the same month last year"),
        ("same month last year", "the same month last year"),
        ("portfolio average", "the portfolio's average"),
    ],
)
def test_a_normal_in_other_words_is_answered_with_ours(text: str, ours: str) -> None:
    assert stumble("against", text, WEEKLY).cure == f"write “{ours}”"


@given(
    st.lists(
        st.sampled_from(["number", "of", "logins", "in", "the", "last", "30", "days", "now", "or", "and", "not", "is", "a", ">", "5", "%", "(", ")", "->", '"x"', "'", ",", "per", "week", "band", "score"]),
        max_size=9,
    )
)  # fmt: skip
def test_any_row_of_words_is_understood_or_answered(words: list[str]) -> None:
    for start in ("read", "condition", "step", "sliding", "edge"):
        error = refusal(start, " ".join(words))
        assert error is None or (error.message and error.cure)


def refusal(start: str, text: str) -> PhraseError | None:
    try:
        getattr(phrases, start)(text)
    except PhraseError as error:
        return error
    return None
