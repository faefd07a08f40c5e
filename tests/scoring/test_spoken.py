"""What is printed reads back as the same: the language has one spelling for each thing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.test_phrases import CONDITIONS, READS, STEPS
from worker.facts import FAMILIES, KINDS, Shape
from worker.scoring import phrases
from worker.scoring.derived import Formula, RollUp
from worker.scoring.expressions import (
    Arithmetic,
    BandIs,
    Both,
    Call,
    Compare,
    DimensionOf,
    Either,
    Expression,
    In,
    Literally,
    Missing,
    Name,
    Not,
    ScoreOf,
    Spoken,
)
from worker.scoring.points import Colour, Each, Number, Sliding, Step, Steps
from worker.scoring.reads import EVER, Calendar, Fade, Portfolio, Rank, Read, Selection, Window
from worker.scoring.spoken import (
    expression_in_words,
    normal_in_words,
    read_in_words,
    span_in_words,
    table_in_words,
)

FEW = settings(max_examples=60, deadline=None)

names = st.sampled_from(["active_days", "usage", "pulse", "latest", "number_of_logins", "in_time"])
attributes = st.sampled_from(["plan", "seats", "is", "score", "Plan Name", "plan-name"])
texts = st.sampled_from(["gold", "Silver Plus", "or", "it's", "50%", "now"])
numbers = st.builds(
    lambda value, percent: Number(Decimal(value) / 100 if percent else Decimal(value) / 4, percent),
    st.integers(-500, 500),
    st.booleans(),
)


@st.composite
def selections(draw: st.DrawFn, shapes: tuple[Shape, ...]) -> tuple[Selection, ...]:
    kinds = [kind.name for kind in KINDS.values() if kind.shape in shapes]
    if Shape.EVENT in shapes:
        kinds.append("custom.webinar_seen")
        if draw(st.booleans()):
            return tuple(Selection(kind) for kind in draw(st.sampled_from(FAMILIES)).kinds)
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    labels = st.lists(texts, max_size=2, unique=True).map(lambda found: tuple(sorted(found)))
    return tuple(Selection(kind, draw(labels), draw(labels)) for kind in chosen)


HAPPENING = selections((Shape.EVENT,))
ANSWERS = selections((Shape.READING,))
EITHER = selections((Shape.EVENT, Shape.READING))

stretches = st.one_of(
    st.just(EVER),
    st.integers(1, 800).map(lambda days: Window(0, days - 1)),
    st.tuples(st.integers(0, 400), st.integers(1, 400)).map(lambda pair: Window(pair[0], sum(pair) - 1)),
    st.builds(Calendar, st.sampled_from(["week", "month", "quarter", "year"]), st.integers(0, 1)),
    st.builds(Calendar, st.sampled_from(["month", "quarter"]), st.just(0), st.just(1)),
)

fades = st.one_of(
    st.none(),
    st.builds(Fade, st.just("half-life"), st.integers(1, 400)),
    st.builds(Fade, st.just("linear"), st.sampled_from([1, 7, 30]), st.sampled_from([Decimal("0.1"), Decimal("0.125"), Decimal(1)])),
)  # fmt: skip


@st.composite
def per_period(draw: st.DrawFn) -> Read:
    per = draw(st.sampled_from([1, 7, 30]))
    of = draw(st.sampled_from(["count", "total"]))
    periods, newest = draw(st.integers(2, 20)), draw(st.integers(0, 20))
    window = Window(newest * per, (newest + periods) * per - 1)
    kinds = draw(EITHER if of == "count" else HAPPENING)
    if draw(st.booleans()):
        return Read("slope", kinds, window, per, of)  # type: ignore[arg-type]
    spread = draw(st.sampled_from(["average", "median", "lowest", "highest"]))
    return Read(of, kinds, window, per, of, spread, draw(st.booleans()))  # type: ignore[arg-type]


reads = st.one_of(
    st.builds(Read, st.sampled_from(["days_with", "weeks_with", "months_with", "labels"]), EITHER, stretches),
    st.builds(Read, st.just("count"), EITHER, stretches, of=st.just("count"), fade=fades),
    st.builds(Read, st.just("total"), HAPPENING, stretches, fade=fades),
    st.builds(Read, st.just("now"), selections((Shape.OPEN,))),
    st.builds(Read, st.sampled_from(["latest", "first"]), ANSWERS),
    st.builds(Read, st.sampled_from(["average", "median", "lowest", "highest"]), ANSWERS, stretches),
    st.builds(Read, st.sampled_from(["since", "since_first", "latest_label"]), EITHER),
    st.builds(Read, st.just("age"), per=st.sampled_from([1, 7, 30, 365])),
    st.builds(Read, st.sampled_from(["attribute", "days_since_attribute", "days_until_attribute"]), attribute=attributes),
    per_period(),
)  # fmt: skip

spoken = reads.map(lambda read: Spoken(read_in_words(read), read))

values = st.recursive(
    st.one_of(
        numbers.map(Literally),
        names.map(Name),
        spoken,
        st.sampled_from([ScoreOf(), ScoreOf("onboarding"), DimensionOf("needs-help")]),
    ),
    lambda inner: st.one_of(
        st.builds(Arithmetic, inner, st.sampled_from("+-*/"), inner),
        st.builds(lambda a, b: Call("max", (a, b)), inner, inner),
        st.builds(lambda a: Call("round", (a, Literally(Number(Decimal(1))))), inner),
        st.builds(lambda a, b: Call("if", (Missing(a), a, b)), inner, inner),
    ),
    max_leaves=4,
)

relations = st.one_of(
    st.builds(Compare, values, st.sampled_from([">=", "<=", ">", "<", "=", "!="]), values.filter(lambda one: not isinstance(one, Name))),
    st.builds(Compare, values, st.sampled_from(["=", "!="]), texts.map(Literally)),
    st.builds(Compare, texts.map(Literally), st.just("="), names.map(Name)),
    st.builds(lambda part, found: In(part, tuple(map(Literally, found))), values, st.lists(texts, min_size=1, max_size=3)),
    st.builds(lambda part, found: In(part, tuple(map(Literally, found))), values, st.lists(numbers, min_size=1, max_size=3)),
    st.builds(Missing, values),
    st.builds(BandIs, st.sampled_from(["green", "dark-red"]), st.sampled_from(["", "better", "worse"])),
)  # fmt: skip

conditions: st.SearchStrategy[Any] = st.recursive(
    relations,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Both(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=5,
)

sources = st.one_of(
    reads,
    st.builds(Rank, st.sampled_from(["percentile", "z-score"]), names, st.one_of(st.just(""), attributes)),
    st.builds(
        RollUp,
        st.sampled_from(["average", "total"]),
        st.one_of(st.just("score"), names),
        st.sampled_from(["children", "people"]),
        st.one_of(st.none(), conditions),
        st.one_of(st.just(""), attributes),
    ),
    st.builds(RollUp, st.sampled_from(["share", "number"]), st.just(""), where=conditions),
)


@FEW
@given(sources)
def test_what_is_read_reads_back(source: Read | Rank | RollUp) -> None:
    assert phrases.read(read_in_words(source)) == source


@FEW
@given(conditions)
def test_a_condition_reads_back(condition: Expression) -> None:
    assert phrases.condition(expression_in_words(condition)) == condition


@FEW
@given(values)
def test_a_formula_reads_back(value: Expression) -> None:
    assert phrases.formula(read_in_words(Formula(value))) == value


worths = st.one_of(st.integers(-400, 400).map(lambda points: Decimal(points) / 4), st.just(Colour("green")), st.none())

steps = st.one_of(
    st.builds(Step, st.sampled_from(["below", "up to", "exactly", "and up", "above"]), numbers, worths),
    st.builds(
        lambda kind, low, gap, worth: Step(kind, Number(low), worth, Number(low + gap)),
        st.sampled_from(["from to", "from to below", "above up to", "above to below"]),
        st.integers(-9, 9).map(Decimal),
        st.integers(1, 9).map(Decimal),
        worths,
    ),
    st.builds(lambda labels, worth: Step("labels", None, worth, labels=tuple(labels)), st.lists(texts, min_size=1, max_size=3), worths),
    st.builds(Step, st.just("otherwise"), st.none(), worths),
)  # fmt: skip


@FEW
@given(st.lists(steps, min_size=1, max_size=4))
def test_steps_read_back(found: list[Step]) -> None:
    table = Steps(tuple(found))

    assert Steps(tuple(phrases.step(line) for line in table_in_words(table))) == table


@FEW
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=5, unique=True), st.booleans())
def test_a_line_reads_back(found: list[int], outside_left_out: bool) -> None:
    table = Sliding(tuple((Number(Decimal(value)), Decimal(-value)) for value in sorted(found)), outside_left_out)

    assert [phrases.sliding(line) for line in table_in_words(table)] == [table]


@pytest.mark.parametrize("text", [*READS, *CONDITIONS, *STEPS])
def test_every_sentence_of_the_language_is_printed_as_itself_or_a_shorter_spelling(text: str) -> None:
    """Printing is stable: what was printed once is printed so again."""
    if text in READS:
        printed = read_in_words(READS[text])
        assert read_in_words(phrases.read(printed)) == printed
    elif text in CONDITIONS:
        printed = expression_in_words(phrases.condition(text))
        assert expression_in_words(phrases.condition(printed)) == printed
    else:
        (printed,) = table_in_words(Steps((STEPS[text],)))
        assert table_in_words(Steps((phrases.step(printed),))) == [printed]


@pytest.mark.parametrize(
    "text",
    [
        "days with usage in the last 30 days",
        "usage per week in the last 3 weeks",
        "usage per week from 12 to 4 weeks ago",
        "number of signs of struggle in the last 3 months",
        'number of open tickets labelled "high" or "urgent" now',
        "average nps answer in the last year",
        "number of logins in the last 60 days, halving every 30 days",
        "average score of children with age >= 90 days weighted by seats",
    ],
)
def test_a_plain_sentence_is_printed_as_it_was_written(text: str) -> None:
    written = text.replace("60 days", "2 months")

    assert read_in_words(phrases.read(text)) == written


def test_each_one_says_how_much() -> None:
    assert table_in_words(Each(Decimal(-5))) == ["-5 for each one"]


def test_a_span_is_told_in_its_largest_unit() -> None:
    assert [span_in_words(days) for days in (1, 7, 14, 30, 90, 365, 730)] == [
        "1 day", "7 days", "2 weeks", "30 days", "3 months", "1 year", "2 years",
    ]  # fmt: skip


WEEKLY = phrases.read("usage per week in the last 3 weeks")


@pytest.mark.parametrize(
    "text",
    [
        "the same time last year",
        "usage per week from 12 to 4 weeks ago",
        "usage per week in the same calendar month last year",
        "the portfolio's median among customers with the same plan",
    ],
)
def test_a_normal_reads_back(text: str) -> None:
    normal = phrases.against(text, WEEKLY)

    assert normal_in_words(normal, WEEKLY) == text
    assert isinstance(normal, Read | Portfolio)


def test_last_year_of_a_month_of_the_calendar_is_told_so() -> None:
    read = phrases.read("total usage in the previous calendar month")

    assert normal_in_words(phrases.against("the same month last year", read), read) == "the same time last year"
