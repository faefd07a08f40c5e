"""The arbiter: the order of its checks, the edges of each, and silence when in doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.plays.arbiter import CHECKS, DAY, Case, Go, Refuse, Rules, Wait, ask

NOW = 1_767_268_800
RULES = Rules()
FINE = Case(
    now=NOW, mode="live", paused=False, expires_at=NOW + 5 * DAY, customer_here=True,
    statuses=(("SINGLE_OPT_IN", True),), suppressed="", last_mail_at=None, open_urgent_tickets=0, open_disputes=0,
    minute_of_day=12 * 60,
)  # fmt: skip

OBJECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("switch", {"mode": "watch"}),
    ("expiry", {"expires_at": NOW}),
    ("customer", {"customer_here": False}),
    ("unsubscribed", {"suppressed": "asked for no more mail"}),
    ("consent", {"statuses": (("MANUAL", False),)}),
    ("over", {"over": "payment came later"}),
    ("trouble", {"open_urgent_tickets": 1}),
    ("source down", {"not_coming_in": ("usage",)}),
    ("frequency", {"last_mail_at": NOW - DAY}),
    ("quiet hours", {"minute_of_day": 3 * 60}),
]
"""Each rule with what makes it object, in the order in which they speak."""


def test_a_mail_that_nothing_speaks_against_goes_on_the_basis_that_the_crm_records() -> None:
    assert ask(FINE, RULES) == Go("CRM opt-in status SINGLE_OPT_IN")


def test_the_checks_speak_in_their_order() -> None:
    assert [check.__name__.replace("_", " ") for check in CHECKS] == [rule for rule, _ in OBJECTIONS]


@pytest.mark.parametrize("place", range(len(OBJECTIONS)))
def test_of_several_objections_the_first_is_recorded(place: int) -> None:
    against: dict[str, Any] = {}
    for _, changes in reversed(OBJECTIONS[place:]):
        against |= changes

    verdict = ask(replace(FINE, **against), RULES)

    assert isinstance(verdict, Wait | Refuse)
    assert verdict.rule == OBJECTIONS[place][0]
    assert verdict.reason


@pytest.mark.parametrize("mode", ["watch", "draft", "approve", "", "LIVE", "?"])
def test_nothing_leaves_in_any_mode_but_live(mode: str) -> None:
    assert ask(replace(FINE, mode=mode), RULES) == Refuse("switch", f"the workspace is in {mode}")


def test_a_paused_mail_waits_even_past_its_time() -> None:
    assert isinstance(ask(replace(FINE, paused=True, expires_at=NOW - DAY), RULES), Wait)


@pytest.mark.parametrize(("left", "goes"), [(-1, False), (0, False), (1, True)])
def test_a_mail_expires_with_its_last_second(left: int, goes: bool) -> None:
    assert isinstance(ask(replace(FINE, expires_at=NOW + left), RULES), Go) is goes


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((), "no opt-in is recorded for this address"),
        ((("", False),), "the opt-in status is none"),
        ((("SINGLE_OPT_IN", True), ("LIST_UNSUBSCRIBE", False)), "the opt-in status is LIST_UNSUBSCRIBE"),
    ],
)
def test_every_contact_with_the_address_must_allow_mail_and_there_must_be_one(
    statuses: tuple[tuple[str, bool], ...], reason: str
) -> None:
    assert ask(replace(FINE, statuses=statuses), RULES) == Refuse("consent", reason)


def test_two_contacts_that_both_allow_it_are_both_the_basis() -> None:
    both = (("SINGLE_OPT_IN", True), ("CONFIRMED", True), ("CONFIRMED", True))

    assert ask(replace(FINE, statuses=both), RULES) == Go(
        "CRM opt-in status CONFIRMED; CRM opt-in status SINGLE_OPT_IN"
    )


@pytest.mark.parametrize(("field", "reason"), [
    ("open_urgent_tickets", "an urgent ticket is open"), ("open_disputes", "a charge is disputed"),
])  # fmt: skip
@pytest.mark.parametrize(("n", "goes"), [(-1, True), (0, True), (1, False), (7, False)])
def test_nobody_is_written_to_whom_somebody_must_help_first(field: str, reason: str, n: int, goes: bool) -> None:
    verdict = ask(replace(FINE, **{field: n}), RULES)  # type: ignore[arg-type]  # both fields are numbers

    assert isinstance(verdict, Go) if goes else verdict == Refuse("trouble", reason)


@pytest.mark.parametrize(("ago", "goes"), [
    (0, False), (7 * DAY - 1, False), (7 * DAY, True), (7 * DAY + 1, True),
])  # fmt: skip
def test_the_next_mail_may_go_exactly_seven_days_after_the_last(ago: int, goes: bool) -> None:
    case = replace(FINE, last_mail_at=NOW - ago, expires_at=NOW + 30 * DAY)

    verdict = ask(case, RULES)

    if goes:
        assert isinstance(verdict, Go)
    else:
        assert isinstance(verdict, Wait)
        assert verdict.until == NOW - ago + 7 * DAY
        assert isinstance(ask(replace(case, now=verdict.until), RULES), Go)


def test_a_mail_that_would_be_stale_by_then_is_refused_and_not_held() -> None:
    case = replace(FINE, last_mail_at=NOW - DAY)

    assert isinstance(ask(replace(case, expires_at=NOW + 6 * DAY), RULES), Refuse)
    assert isinstance(ask(replace(case, expires_at=NOW + 6 * DAY + 1), RULES), Wait)


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


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_who_waits_for_the_end_of_the_night_can_go_then(start: int, end: int, minute: int) -> None:
    rules = Rules(quiet_from=start, quiet_until=end)

    verdict = ask(replace(FINE, minute_of_day=minute), rules)

    if isinstance(verdict, Wait):
        passed = (verdict.until - NOW) // 60
        assert 0 < passed < 1440
        later = replace(FINE, now=verdict.until, minute_of_day=(minute + passed) % 1440)
        assert isinstance(ask(later, rules), Go)


CASES = st.builds(
    Case, now=st.just(NOW), mode=st.sampled_from(["live", "live", "live", "watch"]), paused=st.booleans(),
    expires_at=st.integers(NOW - 9, NOW + 9 * DAY), customer_here=st.booleans(),
    statuses=st.lists(st.tuples(st.text(max_size=5), st.booleans()), max_size=3).map(tuple),
    suppressed=st.sampled_from(["", "", "no more"]), last_mail_at=st.none() | st.integers(NOW - 9 * DAY, NOW),
    open_urgent_tickets=st.integers(-1, 1), open_disputes=st.integers(-1, 1), minute_of_day=st.integers(0, 1439),
)  # fmt: skip


@given(CASES)
def test_go_means_that_every_single_check_has_nothing_against_it(case: Case) -> None:
    verdict = ask(case, RULES)

    assert isinstance(verdict, Go) is all(check(case, RULES) is None for check in CHECKS)
    if isinstance(verdict, Go):
        assert case.mode == "live"
        assert not case.paused
        assert not case.suppressed
        assert case.statuses
        assert all(allowed for _, allowed in case.statuses)
        assert verdict.basis


@given(CASES)
def test_who_is_told_to_wait_is_never_told_to_come_back_at_once(case: Case) -> None:
    verdict = ask(case, RULES)

    if isinstance(verdict, Wait):
        assert verdict.until > case.now
