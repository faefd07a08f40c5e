"""The arbiter: the order of its fifteen checks, the edges of each, and silence when in doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.plays.arbiter import CHECKS, DAY, HOUR, Ask, Case, Go, Refuse, Rules, Wait, ask

NOW = 1_767_268_800
RULES = Rules()
FINE = Case(now=NOW, expires_at=NOW + 5 * DAY, statuses=(("SINGLE_OPT_IN", True, True),), minute_of_day=12 * 60)

OBJECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("switch", {"barred": "the workspace is in watch"}),
    ("identity", {"stranger": "no longer a customer"}),
    ("consent", {"statuses": (("MANUAL", False, False),)}),
    ("suppression", {"stopped": "asked for no more mail"}),
    ("dunning", {"settled": "payment came later"}),
    ("stability", {"unsteady": "the band is about to turn to green", "steady_at": NOW + DAY}),
    ("frequency", {"mails": (NOW - DAY,)}),
    ("priority", {"outranked_by": "failed-payment"}),
    ("hours", {"minute_of_day": 3 * 60}),
    ("approval", {"approval": "denied", "approval_why": "a person said no: too soon"}),
    ("goal", {"over": "usage came since"}),
    ("reentry", {"acted_at": NOW - DAY, "cool_down": 14 * DAY}),
    ("deliverability", {"reputation": "stop", "reputation_why": "3 of 900 called it spam"}),
    ("repeat", {"in_doubt": "nobody knows whether the last one arrived"}),
    ("holdout", {"held_out": True}),
]
"""Each check with what makes it object, in the order in which they speak."""


def against(*rules: str, case: Case = FINE) -> Case:
    """The case with what makes these checks object."""
    made: dict[str, Any] = {}
    for rule, changes in OBJECTIONS:
        made |= changes if rule in rules else {}
    return replace(case, **made)


def test_a_mail_that_nothing_speaks_against_goes_on_the_basis_that_the_crm_records() -> None:
    assert ask(FINE, RULES) == Go("CRM opt-in status SINGLE_OPT_IN")


def test_the_fifteen_checks_speak_in_their_order() -> None:
    assert [check.__name__ for check in CHECKS] == [rule for rule, _ in OBJECTIONS]
    assert [(check.__doc__ or "").split(".")[0] for check in CHECKS] == [str(n) for n in range(1, 16)]


@pytest.mark.parametrize("place", range(len(OBJECTIONS)))
def test_of_several_objections_the_first_is_recorded(place: int) -> None:
    verdict = ask(against(*(rule for rule, _ in OBJECTIONS[place:])), RULES)

    assert isinstance(verdict, Wait | Refuse)
    assert verdict.rule == OBJECTIONS[place][0]
    assert verdict.reason


def test_a_paused_mail_waits_even_past_its_time() -> None:
    assert isinstance(ask(replace(FINE, paused=True, expires_at=NOW - DAY), RULES), Wait)


def test_a_source_that_is_down_holds_what_rests_on_it() -> None:
    verdict = ask(replace(FINE, not_coming_in=("usage",)), RULES)

    assert (isinstance(verdict, Wait), getattr(verdict, "reason", "")) == (True, "usage is not coming in")


def test_when_too_many_turn_at_once_all_but_what_is_owed_waits() -> None:
    alarmed = Rules(alarm="90 of 200 customers turned within a day")

    assert isinstance(ask(FINE, alarmed), Wait)
    assert isinstance(ask(replace(FINE, purpose="transactional"), alarmed), Go)


@pytest.mark.parametrize(("left", "goes"), [(-1, False), (0, False), (1, True)])
def test_a_mail_expires_with_its_last_second(left: int, goes: bool) -> None:
    assert isinstance(ask(replace(FINE, expires_at=NOW + left), RULES), Go) is goes


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((), "no opt-in is recorded for this address"),
        ((("", False, False),), "the opt-in status is none"),
        (
            (("SINGLE_OPT_IN", True, True), ("LIST_UNSUBSCRIBE", False, False)),
            "the opt-in status is LIST_UNSUBSCRIBE",
        ),
    ],
)
@pytest.mark.parametrize("purpose", ["marketing", "service", "transactional"])
def test_every_contact_with_the_address_must_allow_mail_and_there_must_be_one(
    statuses: tuple[tuple[str, bool, bool], ...], reason: str, purpose: str
) -> None:
    assert ask(replace(FINE, statuses=statuses, purpose=purpose), RULES) == Refuse("consent", reason)


@pytest.mark.parametrize(
    ("purpose", "needs_opt_in", "goes"),
    [
        ("marketing", True, False), ("marketing", False, False), ("service", True, False), ("service", False, True),
        ("transactional", True, True),
    ],
)  # fmt: skip
def test_who_never_opted_in_and_never_out_gets_what_the_law_leaves_room_for(
    purpose: str, needs_opt_in: bool, goes: bool
) -> None:
    unsought = replace(FINE, statuses=(("NON_MARKETABLE", False, True),), purpose=purpose)

    assert isinstance(ask(unsought, Rules(service_needs_opt_in=needs_opt_in)), Go) is goes


def test_two_contacts_that_both_allow_it_are_both_the_basis() -> None:
    both = (("SINGLE_OPT_IN", True, True), ("CONFIRMED", True, True), ("CONFIRMED", True, True))

    assert ask(replace(FINE, statuses=both), RULES) == Go(
        "CRM opt-in status CONFIRMED; CRM opt-in status SINGLE_OPT_IN"
    )


@pytest.mark.parametrize("purpose", ["marketing", "service", "transactional"])
def test_who_asked_for_no_more_gets_nothing_of_any_class(purpose: str) -> None:
    stopped = replace(FINE, stopped="asked for no more", purpose=purpose)

    assert ask(stopped, RULES) == Refuse("suppression", "asked for no more")


def test_nobody_is_written_to_whom_somebody_must_help_first() -> None:
    assert ask(replace(FINE, troubles=("an urgent ticket is open", "more")), RULES) == Refuse(
        "suppression", "an urgent ticket is open"
    )


@pytest.mark.parametrize(("purpose", "goes"), [("marketing", False), ("service", True), ("transactional", True)])
def test_nothing_promotional_goes_while_a_ticket_waits(purpose: str, goes: bool) -> None:
    verdict = ask(replace(FINE, purpose=purpose, promotion_amiss="a ticket is open"), RULES)

    assert isinstance(verdict, Go) is goes


@pytest.mark.parametrize(("purpose", "goes"), [("service", False), ("transactional", True)])
def test_a_person_who_was_just_in_touch_has_the_word(purpose: str, goes: bool) -> None:
    verdict = ask(replace(FINE, purpose=purpose, person_until=NOW + DAY), RULES)

    assert isinstance(verdict, Go) is goes
    assert isinstance(ask(replace(FINE, person_until=NOW), RULES), Go)


@pytest.mark.parametrize(("known", "goes"), [(39, False), (40, True)])
def test_a_score_of_which_too_little_is_known_moves_nobody(known: int, goes: bool) -> None:
    assert isinstance(ask(replace(FINE, known=known), RULES), Go) is goes
    assert isinstance(ask(replace(FINE, known=known, purpose="transactional"), RULES), Go)


@pytest.mark.parametrize(("ago", "goes"), [
    (0, False), (7 * DAY - 1, False), (7 * DAY, True), (7 * DAY + 1, True),
])  # fmt: skip
def test_the_next_mail_may_go_exactly_seven_days_after_the_last(ago: int, goes: bool) -> None:
    case = replace(FINE, mails=(NOW - ago,), expires_at=NOW + 30 * DAY)

    verdict = ask(case, RULES)

    if goes:
        assert isinstance(verdict, Go)
    else:
        assert isinstance(verdict, Wait)
        assert verdict.until == NOW - ago + 7 * DAY
        assert isinstance(ask(replace(case, now=verdict.until), RULES), Go)


def test_the_month_has_a_limit_of_its_own_and_tells_when_there_is_room_again() -> None:
    sent = tuple(NOW - ago * DAY for ago in (29, 22, 15, 8))
    case = replace(FINE, mails=sent, expires_at=NOW + 30 * DAY)

    assert isinstance(ask(case, Rules(most_in_30_days=5)), Go)
    assert ask(case, Rules(most_in_30_days=4)) == Wait(
        "frequency", "4 mails went in the last 30 days; the limit is 4", sent[0] + 30 * DAY
    )


@pytest.mark.parametrize("rule", ["frequency", "stability"])
def test_what_is_owed_to_the_customer_passes_the_limits_on_outreach(rule: str) -> None:
    assert isinstance(ask(replace(against(rule), purpose="transactional"), RULES), Go)


def test_a_mail_that_would_be_stale_by_then_is_refused_and_not_held() -> None:
    case = replace(FINE, mails=(NOW - DAY,))

    assert isinstance(ask(replace(case, expires_at=NOW + 6 * DAY), RULES), Refuse)
    assert isinstance(ask(replace(case, expires_at=NOW + 6 * DAY + 1), RULES), Wait)


def test_the_less_pressing_play_waits() -> None:
    assert ask(replace(FINE, outranked_by="failed-payment"), RULES) == Wait(
        "priority", "failed-payment is more pressing and goes first", NOW + HOUR
    )


@pytest.mark.parametrize(
    ("start", "end", "minute", "quiet"),
    [
        (20 * 60, 8 * 60, 19 * 60 + 59, False),
        (20 * 60, 8 * 60, 20 * 60, True),
        (20 * 60, 8 * 60, 23 * 60 + 59, True),
        (20 * 60, 8 * 60, 0, True),
        (20 * 60, 8 * 60, 8 * 60 - 1, True),
        (20 * 60, 8 * 60, 8 * 60, False),
        (60, 300, 59, False),
        (60, 300, 60, True),
        (60, 300, 299, True),
        (60, 300, 300, False),
        (600, 600, 600, False),
        (0, 0, 0, False),
    ],
)
def test_quiet_hours_hold_from_their_first_minute_to_before_their_last(
    start: int, end: int, minute: int, quiet: bool
) -> None:
    verdict = ask(replace(FINE, minute_of_day=minute), Rules(quiet_from=start, quiet_until=end))

    assert isinstance(verdict, Wait) is quiet


def test_a_closed_day_holds_until_it_is_over_but_not_what_is_owed() -> None:
    closed = replace(FINE, day_is_closed=True, minute_of_day=10 * 60)

    assert ask(closed, RULES) == Wait("hours", "it is a closed day", NOW + 14 * HOUR)
    assert isinstance(ask(replace(closed, purpose="transactional"), RULES), Go)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_who_waits_for_the_end_of_the_night_can_go_then(start: int, end: int, minute: int) -> None:
    rules = Rules(quiet_from=start, quiet_until=end)

    verdict = ask(replace(FINE, minute_of_day=minute), rules)

    if isinstance(verdict, Wait):
        passed = (verdict.until - NOW) // 60
        assert 0 < passed < 1440
        later = replace(FINE, now=verdict.until, minute_of_day=(minute + passed) % 1440)
        assert isinstance(ask(later, rules), Go)


def test_a_person_is_asked_only_about_what_could_leave() -> None:
    wanted = replace(FINE, approval="wanted", approval_why="one of the first 3 sends")

    assert ask(wanted, RULES) == Ask("approval", "one of the first 3 sends")
    for rule in ("goal", "reentry", "deliverability", "repeat", "holdout"):
        verdict = ask(against(rule, case=wanted), RULES)
        assert getattr(verdict, "rule", "") == rule
    assert isinstance(ask(replace(wanted, approval="given"), RULES), Go)


@pytest.mark.parametrize(("ago", "goes"), [(14 * DAY - 1, False), (14 * DAY, True)])
def test_a_play_rests_for_as_long_as_it_says(ago: int, goes: bool) -> None:
    assert isinstance(ask(replace(FINE, acted_at=NOW - ago, cool_down=14 * DAY), RULES), Go) is goes


@pytest.mark.parametrize(("purpose", "goes"), [("service", False), ("transactional", True)])
def test_complaints_pause_outreach_and_in_the_end_stop_all(purpose: str, goes: bool) -> None:
    paused = replace(FINE, purpose=purpose, reputation="pause", reputation_why="1 of 900 called it spam")

    assert isinstance(ask(paused, RULES), Go) is goes
    assert isinstance(ask(replace(paused, reputation="stop"), RULES), Refuse)


CASES = st.builds(
    Case, now=st.just(NOW), expires_at=st.integers(NOW - 9, NOW + 9 * DAY),
    purpose=st.sampled_from(["marketing", "service", "transactional"]),
    barred=st.sampled_from(["", "", "", "the workspace is in watch"]), paused=st.booleans(),
    stranger=st.sampled_from(["", "", "no longer a customer"]),
    statuses=st.lists(st.tuples(st.text(max_size=5), st.booleans(), st.booleans()), max_size=3).map(tuple),
    stopped=st.sampled_from(["", "", "no more"]),
    mails=st.lists(st.integers(NOW - 9 * DAY, NOW), max_size=8).map(sorted).map(tuple),
    troubles=st.sampled_from([(), (), ("a charge is disputed",)]), minute_of_day=st.integers(0, 1439),
    day_is_closed=st.booleans(), approval=st.sampled_from(["", "", "wanted", "given", "denied"]),
    over=st.sampled_from(["", "", "payment came"]), held_out=st.booleans(),
)  # fmt: skip


@given(CASES)
def test_go_means_that_every_single_check_has_nothing_against_it(case: Case) -> None:
    verdict = ask(case, RULES)

    assert isinstance(verdict, Go) is all(check(case, RULES) is None for check in CHECKS)
    if isinstance(verdict, Go):
        assert not any((case.barred, case.paused, case.stopped, case.troubles, case.held_out))
        assert case.statuses
        assert verdict.basis


@given(CASES)
def test_who_is_told_to_wait_is_never_told_to_come_back_at_once(case: Case) -> None:
    verdict = ask(case, RULES)

    if isinstance(verdict, Wait):
        assert verdict.until > case.now
