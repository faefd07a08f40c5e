"""Lint: a fault of every kind is planted into a sound card, and found where it was planted."""

from __future__ import annotations

import pytest

from worker.scoring.lint import Answers, Direction, Finding, Grounds, Report, lint
from worker.scoring.scorecard import load

SOUND = """\
name = "Sound"
leaving = ["left by choice"]

[measures.active_days]
read = "days with usage in the last 30 days"
sliding = "0 -> 0, 12 -> 100"
do = "usage-drop"

[measures.unpaid]
read = "number of unpaid invoices now"
points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]
do = "failed-payment"

[measures.last_nps]
read = "latest nps answer"
sliding = "0 -> 0, 10 -> 100"
do = "low-nps"

[dimensions.adoption]
share = 50
measures = { active_days = 100 }

[dimensions.rest]
share = 50
measures = { unpaid = 60, last_nps = 40 }

[rules.unpaid]
when = "unpaid >= 1"
at_most = "yellow"
because = "an invoice is unpaid"

[signals.loved]
when = "last_nps >= 9"
do = "thriving"

[bands]
green = "70 and up"
yellow = "40 and up"
"""

ANSWERS = Answers(
    frozenset({"usage-drop", "failed-payment", "low-nps", "thriving"}), frozenset({"yellow", "red"}), frozenset()
)
EVERYTHING = Grounds(ANSWERS, {"usage", "unpaid_invoice", "nps_answer", "open_ticket", "login"}, {})


def planted(*changes: tuple[str, str], grounds: Grounds = EVERYTHING) -> list[Finding]:
    """What is found in the sound card after these lines were changed."""
    text = SOUND
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    found = list(lint(text, "card.toml", grounds).findings)
    lines = text.splitlines()
    for one in found:
        assert any(part in lines[one.line - 1] for part in one.key.split(".")[-2:]), f"{one} names another line"
    return found


def told(*changes: tuple[str, str], grounds: Grounds = EVERYTHING) -> list[str]:
    return [f"{one.severity} {one.fault} {one.key}" for one in planted(*changes, grounds=grounds)]


def test_nothing_is_wrong_with_a_sound_card() -> None:
    assert planted() == []


def test_without_a_workspace_it_says_what_it_could_not_check() -> None:
    report = lint(SOUND, "card.toml")

    assert report.findings == ()
    assert [one.rsplit(": ", 1)[1] for one in report.not_checked] == ["no workspace"] * 3
    assert lint(SOUND, "card.toml", EVERYTHING).not_checked == ()


# -- what the loader refuses is told in the same way ------------------------------------------------------------------


def test_a_gap_between_steps_is_an_error_in_its_line() -> None:
    (found,) = planted(('"otherwise -> 0"]', '"3 and up -> 0"]'))

    assert (found.severity, found.key) == ("error", "measures.unpaid.points")


def test_shares_that_do_not_total_are_found_together_with_all_other_mistakes() -> None:
    found = planted(("unpaid = 60", "unpaid = 70"), ("share = 50", "share = 60"), ("latest nps", "latest np"))

    assert {one.severity for one in found} == {"error"}
    assert [one.key for one in found if "total" in one.message] == ["dimensions", "dimensions.rest.measures"]
    assert "measures.last_nps.read" in [one.key for one in found]


def test_what_the_loader_refuses_hides_nothing_else_where_the_card_is_whole() -> None:
    assert told(("unpaid = 60", "unpaid = 70"), ("unpaid >= 1", "unpaid >= 0")) == [
        "error mistake dimensions.rest.measures", "warning always-holds rules.unpaid.when",
        "error unreachable bands.green",
    ]  # fmt: skip


# -- tables -----------------------------------------------------------------------------------------------------------


def test_two_steps_that_take_the_same_edge() -> None:
    steps = 'points = ["up to 2 -> 100", "2 and up -> 0"]'
    found = planted(('points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]', steps))

    assert [(one.fault, one.key) for one in found] == [("two-sided", "measures.unpaid.points")]
    assert found[0].message == "2 belongs to both “up to 2” and “2 and up”; the first speaks"


def test_two_steps_that_overlap() -> None:
    steps = 'points = ["up to 4 -> 100", "2 and up -> 0"]'

    assert told(('points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]', steps)) == [
        "warning overlap measures.unpaid.points"
    ]


@pytest.mark.parametrize(
    ("steps", "faults"),
    [
        ('["from 0 to 3 -> 100", "from 3 to 7 -> 50", "otherwise -> 0"]', ["two-sided"]),
        ('["from 0 to below 3 -> 100", "from 3 to 7 -> 50", "otherwise -> 0"]', []),
        ('["from 0 to 5 -> 100", "from 3 to 7 -> 50", "otherwise -> 0"]', ["overlap"]),
        ('["3 -> 100", "from 0 to 7 -> 50", "otherwise -> 0"]', []),
    ],
)
def test_stretches_with_two_edges(steps: str, faults: list[str]) -> None:
    found = planted(('points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]', f"points = {steps}"))

    assert [one.fault for one in found] == faults


def test_a_cascade_is_no_overlap() -> None:
    steps = 'points = ["below 1 -> 100", "below 3 -> 40", "otherwise -> 0"]'

    assert told(('points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]', steps)) == []


def test_a_step_for_values_that_the_window_cannot_give() -> None:
    steps = 'points = ["above 30 -> 100", "12 and up -> 80", "otherwise -> 0"]'
    (found,) = planted(('sliding = "0 -> 0, 12 -> 100"', steps))

    assert (found.fault, found.key) == ("never-reached", "measures.active_days.points")
    assert found.message == "“above 30” is never reached: the value lies from 0 to 30"


# -- measures that cannot matter --------------------------------------------------------------------------------------


def test_a_measure_whose_steps_are_all_equal() -> None:
    steps = 'points = ["0 -> 50", "otherwise -> 50"]'

    assert "error idle measures.unpaid" in told(('points = ["0 -> 100", "1 -> 40", "otherwise -> 0"]', steps))


def test_a_measure_that_moves_less_than_a_point() -> None:
    assert told(("unpaid = 60, last_nps = 40", "unpaid = 98.5, last_nps = 1.5")) == ["warning idle measures.last_nps"]


def test_a_measure_whose_possible_values_all_earn_the_same() -> None:
    assert "error idle measures.active_days" in told(("0 -> 0, 12 -> 100", "40 -> 0, 60 -> 100"))


WITHOUT_END = (
    ("sliding = \"0 -> 0, 12 -> 100\"", "each = 5\ncap = 100"),
    ('read = "days with usage in the last 30 days"\nsliding = "0 -> 0, 12 -> 100"',
     'read = "attribute plan"\npoints = ["gold -> 100", "silver or bronze -> 40", "otherwise -> 0"]'),
    ("unpaid = 60, last_nps = 40", 'unpaid = "high", last_nps = "low"'),
    ("share = 50\nmeasures = { unpaid = 60, last_nps = 40 }", 'share = 50\ncombine = "worst colour"\nmeasures = ["unpaid", "last_nps"]'),
)  # fmt: skip


@pytest.mark.parametrize("change", WITHOUT_END)
def test_tables_and_mixes_of_every_sort_are_sound(change: tuple[str, str]) -> None:
    assert told(change) == []


# -- bands and rules --------------------------------------------------------------------------------------------------


def test_a_band_above_the_best_that_can_be_reached() -> None:
    found = planted(("0 -> 0, 12 -> 100", "0 -> 0, 12 -> 20"))

    assert [(one.severity, one.fault, one.key) for one in found] == [("error", "unreachable", "bands.green")]
    assert "70, and the best that the measures can come to is 60" in found[0].message


def test_a_band_below_the_worst_that_can_be_reached() -> None:
    found = told(
        ("0 -> 0, 12 -> 100", "0 -> 90, 12 -> 100"), ('"1 -> 40", "otherwise -> 0"', '"otherwise -> 60"'),
        ('at_most = "yellow"', "at_most = 60"),
    )  # fmt: skip

    assert found == ["error unreachable bands.red"]


def test_a_rule_that_always_holds_shuts_the_bands_above_it() -> None:
    found = told(("unpaid >= 1", "unpaid >= 0"))

    assert found == ["warning always-holds rules.unpaid.when", "error unreachable bands.green"]


def test_a_rule_and_a_signal_that_never_hold() -> None:
    assert told(("unpaid >= 1", "active_days > 30"), ("last_nps >= 9", "last_nps > 10")) == [
        "warning never-holds rules.unpaid.when", "warning never-holds signals.loved.when"
    ]  # fmt: skip


SECOND = """
[rules.loyal]
when = "{when}"
at_least = "green"
because = "says so"
"""


def test_two_rules_that_contradict_and_can_both_hold() -> None:
    (found,) = planted(("[signals.loved]", SECOND.format(when="last_nps >= 9") + "\n[signals.loved]"))

    assert (found.fault, found.severity, found.key) == ("contradiction", "warning", "rules.loyal")


@pytest.mark.parametrize(
    "when", ["unpaid = 0", "unpaid < 1 and last_nps >= 9", "unpaid is missing", "band is red and band is green"]
)
def test_rules_that_can_never_both_hold_do_not_contradict(when: str) -> None:
    assert told(("[signals.loved]", SECOND.format(when=when) + "\n[signals.loved]")) == []


# -- measures against each other and against what is known ------------------------------------------------------------

LOGINS = """
[measures.busy]
read = "{read}"
sliding = "0 -> 0, 20 -> 100"
do = "usage-drop"

[dimensions.adoption]
share = 50
measures = {{ active_days = 50, busy = 50 }}
"""

ADOPTION = "[dimensions.adoption]\nshare = 50\nmeasures = { active_days = 100 }\n"


def test_the_same_facts_in_two_measures_that_score_the_same_way() -> None:
    (found,) = planted((ADOPTION, LOGINS.format(read="total usage in the last 60 days")))

    assert (found.fault, found.key) == ("counted-twice", "measures.busy")


@pytest.mark.parametrize("read", ["total usage from 12 to 6 weeks ago", "number of logins in the last 30 days"])
def test_other_days_or_other_facts_are_not_counted_twice(read: str) -> None:
    assert told((ADOPTION, LOGINS.format(read=read))) == []


def test_a_measure_for_which_no_source_is_connected() -> None:
    found = told(grounds=Grounds(ANSWERS, {"usage", "unpaid_invoice"}, {}))

    assert found == ["warning no-source measures.last_nps.read"]


def direction(chance: float = 0.001, cases: tuple[int, int] = (14, 120), *, good: bool = False) -> Direction:
    return Direction("those who left and those who stayed", cases, good, chance, "rank-sum test")


def test_a_measure_that_points_the_other_way_than_its_past() -> None:
    (found,) = planted(grounds=Grounds(ANSWERS, EVERYTHING.connected, {"last_nps": (direction(),)}))

    assert (found.fault, found.key) == ("direction", "measures.last_nps.sliding")
    assert "(rank-sum test, 14 and 120 customers, chance 0.001)" in found.message


@pytest.mark.parametrize("past", [direction(good=True), direction(chance=0.2), direction(cases=(9, 500))])
def test_no_word_about_a_direction_that_agrees_or_may_be_chance_or_rests_on_few(past: Direction) -> None:
    assert planted(grounds=Grounds(ANSWERS, EVERYTHING.connected, {"last_nps": (past,)})) == []


# -- plays ------------------------------------------------------------------------------------------------------------


def test_measures_signals_and_bands_that_no_play_answers() -> None:
    grounds = Grounds(Answers(ANSWERS.plays, frozenset({"red"}), frozenset()), EVERYTHING.connected, {})
    found = told(('do = "low-nps"\n', ""), ('do = "thriving"', 'do = "thrivin"'), grounds=grounds)

    assert found == [
        "error no-play measures.last_nps",
        "error no-play signals.loved.do",
        "error no-play bands.yellow",
    ]


def test_a_measure_that_nobody_is_to_answer_needs_no_play() -> None:
    watched = '\n[measures.tickets]\nread = "number of open tickets now"\nwatch_only = true\n'

    assert told((ADOPTION, watched + ADOPTION)) == []


# -- too many at once -------------------------------------------------------------------------------------------------


def with_measures(count: int) -> tuple[tuple[str, str], ...]:
    names = [f"m{n}" for n in range(count)]
    more = "".join(
        f'\n[measures.{name}]\nread = "number of custom.{name} in the last 30 days"\nsliding = "0 -> 0, 5 -> 100"\n'
        'do = "usage-drop"\n'
        for name in names
    )
    inside = ", ".join(f"{name} = {100 // count}" for name in names)
    rest = f"measures = {{ {inside} }}"
    return (
        (ADOPTION, more + ADOPTION),
        ("measures = { unpaid = 60, last_nps = 40 }", rest),
        ("[rules.unpaid]", "[rules.other]"),
    )


def test_more_than_ten_measures() -> None:
    assert [one.fault for one in planted(*with_measures(10)) if one.fault == "too-many"] == ["too-many"]
    assert [one for one in planted(*with_measures(5)) if one.fault == "too-many"] == []


def test_more_than_one_measure_that_the_active_version_does_not_know() -> None:
    active = load(SOUND)
    grounds = Grounds(ANSWERS, EVERYTHING.connected, {}, active)
    found = [one for one in planted(*with_measures(4), grounds=grounds) if one.fault == "too-many-new"]

    assert [one.key for one in found] == ["measures.m1", "measures.m2", "measures.m3"]
    assert all("watch_only = true" in one.cure for one in found)


def test_every_finding_says_its_file_line_severity_and_cure() -> None:
    report: Report = lint(SOUND.replace("unpaid >= 1", "unpaid >= 0"), "mine.toml", EVERYTHING)

    assert report.errors == 1
    assert str(report.findings[0]) == (
        "mine.toml:28: warning: rules.unpaid.when: it always holds: unpaid lies at 0 or above "
        "→ mend the condition, or take it out"
    )
    assert all(one.cure and one.line for one in report.findings)
