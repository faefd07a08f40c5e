"""Conditions and arithmetic: what they come to, and what becomes of something missing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.scoring.expressions import Both, Either, Expression, Found, Known, Name, Not, Spoken, Value, leaves, truth
from worker.scoring.phrases import condition, formula

VALUES: dict[str, Value] = {
    "a": Decimal(6), "b": Decimal(4), "zero": Decimal(0), "plan": "Gold", "attribute plan": "Gold", "age": Decimal(45),
    "number of logins now": Decimal(2),
}  # fmt: skip

KNOWN = Known(
    VALUES, "yellow", ("green", "yellow", "red"), {"health": Decimal(55), "onboarding": None}, {"adoption": Decimal(30)}
)


def asked(text: str) -> bool | None:
    return truth(condition(text), KNOWN)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a >= 6", True), ("a > 6", False), ("a <= 5", False), ("b < 4.5", True), ("a = 6", True), ("a != 6", False),
        ("a > 550%", True), ("a > b + 1", True), ("2 * b = 8", True), ("missed > 1", None), ("a > missed", None),
        ("a in (4, 6)", True), ("a in (4, 5)", False), ("missed in (4, 5)", None), ("not a in (4, 5)", True),
        ("plan is gold", True), ("plan is not gold", False), ('plan is "gold" or "silver"', True),
        ("plan is not silver or bronze", True), ("plan > 3", None), ("plan = 3", False), ("missed is gold", False), ("missed is not gold", True), ('missed in ("gold", "silver")', False),
        ("attribute plan is GOLD", True), ("missed is missing", True), ("a is missing", False), ("a is not missing", True),
        ("score onboarding is missing", True), ("score < 60", True), ("score onboarding < 60", None),
        ("dimension adoption <= 30", True), ("age < 2 months", True), ("age < 1 month", False),
        ("band is yellow", True), ("band is green", False), ("band is not green", True), ("band is yellow or worse", True),
        ("band is green or better", False), ("band is green or worse", True), ("band is red or better", True),
        ("band is green or yellow", True), ("band is grey or better", False),
        ("missed > 1 and b > 9", False), ("missed > 1 and b > 1", None), ("missed > 1 or b > 1", True),
        ("missed > 1 or b > 9", None), ("not missed > 1", None), ("if(a > 1, b > 1, b > 9)", True),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not_or_is_unknown(text: str, holds: bool | None) -> None:
    assert asked(text) is holds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a / b", Decimal("1.5")), ("a - b - 1", Decimal(1)), ("a - (b - 1)", Decimal(3)), ("a + b * 2", Decimal(14)),
        ("-a", Decimal(-6)), ("a / zero", None), ("a / missed", None), ("a + plan", None), ("50% * a", Decimal(3)),
        ("min(a, b)", Decimal(4)), ("max(a, b, 9)", Decimal(9)), ("abs(b - a)", Decimal(2)), ("min(a, missed)", None),
        ("round(a / b)", Decimal(2)), ("round(a / 8, 1)", Decimal("0.8")), ("round(-2.5)", Decimal(-3)),
        ("if(a > b, a, missed)", Decimal(6)), ("if(a < b, a, missed)", None), ("if(missed > 1, a, b)", None),
        ("if(plan is gold, 2, 1)", Decimal(2)), ("attribute plan", "Gold"),
    ],
)  # fmt: skip
def test_a_formula_comes_to(text: str, found: Found) -> None:
    assert formula(text).found(KNOWN) == found


def test_a_division_by_zero_gives_what_was_said() -> None:
    said = Known(VALUES, "", (), by_zero=Decimal(7))

    assert formula("a / zero").found(said) == 7


def test_the_leaves_of_an_expression_are_its_single_things_from_the_left() -> None:
    found = list(leaves(condition("not (a > 1 or b in (c, 2)) and if(d is missing, age, e) * 2 > score")))

    assert [leaf.name for leaf in found if isinstance(leaf, Name)] == ["a", "b", "c", "d", "e"]
    assert [leaf.text for leaf in found if isinstance(leaf, Spoken)] == ["age"]


parts = st.sampled_from(["a > 1", "a > 9", "missed > 1", "missed is missing"]).map(condition)


@settings(max_examples=60, deadline=None)
@given(parts, parts)
def test_neither_is_both_of_not(one: Expression, other: Expression) -> None:
    """De Morgan's law holds with unknowns too."""
    neither = Not(Either((one, other)))
    both_not = Both((Not(one), Not(other)))

    assert truth(neither, KNOWN) is truth(both_not, KNOWN)
