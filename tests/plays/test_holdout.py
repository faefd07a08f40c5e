"""Who is left out of a play, and how many customers it takes to learn from that."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.plays.holdout import duration, is_held_out, power, sizes

SALT = "a salt"
PEOPLE = [f"cus_{n:05d}" for n in range(20_000)]
percents = st.integers(0, 100)
words = st.text(max_size=20)


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_about_that_share_is_held_out(percent: int) -> None:
    held = sum(is_held_out(SALT, "usage-drop", one, percent) for one in PEOPLE)

    share = percent / 100
    spread = math.sqrt(share * (1 - share) / len(PEOPLE))
    assert abs(held / len(PEOPLE) - share) < 4 * spread


def test_plays_are_drawn_apart_and_so_are_workspaces() -> None:
    for other in ((SALT, "low-nps"), ("another salt", "usage-drop")):
        both = sum(is_held_out(SALT, "usage-drop", one, 30) and is_held_out(*other, one, 30) for one in PEOPLE)
        assert abs(both / len(PEOPLE) - 0.09) < 0.01, "0.3 * 0.3"


@given(words, words, words, percents, percents)
def test_a_larger_share_holds_out_all_of_a_smaller_one(
    salt: str, play: str, customer: str, one: int, other: int
) -> None:
    smaller, larger = sorted((one, other))

    assert is_held_out(salt, play, customer, smaller) <= is_held_out(salt, play, customer, larger)
    assert is_held_out(salt, play, customer, 100)
    assert not is_held_out(salt, play, customer, 0)


def test_a_draw_never_changes() -> None:
    held = [one for one in PEOPLE[:40] if is_held_out(SALT, "usage-drop", one, 10)]

    assert held == ["cus_00009", "cus_00015", "cus_00032"]


# -- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "power", "n"),
    [
        (0.50, 0.75, 0.9, 76.7),  # the example of R's manual, ?power.prop.test
        (0.20, 0.30, 0.8, 293.15),
        (0.10, 0.05, 0.8, 434.4),
        (0.40, 0.60, 0.8, 96.9),
    ],
)
def test_equal_arms_agree_with_published_sizes(one: float, other: float, power: float, n: float) -> None:
    assert sizes(one, other, 1, power=power) == pytest.approx(n, rel=0.001)


@pytest.mark.parametrize("percent", [10, 20, 50])
@pytest.mark.parametrize(("base", "lift"), [(0.6, 0.15), (0.8, 0.1), (0.3, -0.12)])
def test_the_promised_power_is_there_when_counted_out(percent: int, base: float, lift: float) -> None:
    """Every outcome of both arms weighed with its exact probability, against the test that the sizes are made for."""
    needed = power(base, lift, percent, 10)
    held, acted = needed.held, needed.customers - needed.held

    def found(a: int, b: int) -> bool:
        pooled = (a + b) / (held + acted)
        spread = math.sqrt(pooled * (1 - pooled) * (1 / held + 1 / acted))
        return spread > 0 and abs(a / held - b / acted) / spread > NormalDist().inv_cdf(0.975)

    def likely(n: int, share: float) -> dict[int, float]:
        """How probable each count is; what is less so than a millionth is left out."""
        log = [
            math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(share) + (n - k) * math.log(1 - share)
            for k in range(n + 1)
        ]  # fmt: skip
        return {k: math.exp(one) for k, one in enumerate(log) if one > math.log(1e-6)}

    ours, theirs = likely(held, base), likely(acted, base + lift)
    chance = sum(p * q for a, p in ours.items() for b, q in theirs.items() if found(a, b))

    assert chance == pytest.approx(0.8, abs=0.03)


@given(st.floats(0.05, 0.9), st.floats(0.02, 0.1), st.integers(1, 49), st.floats(0.1, 1000))
def test_less_to_see_and_fewer_held_out_take_longer(base: float, lift: float, percent: int, per_week: float) -> None:
    one = power(base, lift, percent, per_week)

    assert power(base, lift / 2, percent, per_week).customers > one.customers
    # Near 100 % the two arms vary unequally, and halves are no longer quite the best.
    assert power(base, lift, 50, per_week).customers <= one.customers * 1.1 + 2
    assert power(base, lift, percent, per_week, power=0.9).customers > one.customers
    assert one.weeks == pytest.approx(one.customers / per_week)
    assert one.held == pytest.approx(one.customers * percent / 100, abs=1)


@given(st.floats(0.05, 0.9), st.floats(0.02, 0.1), st.floats(0.2, 20))
def test_it_does_not_matter_which_arm_is_named_first(base: float, lift: float, ratio: float) -> None:
    assert sizes(base, base + lift, ratio) * ratio == pytest.approx(sizes(base + lift, base, 1 / ratio))


def test_what_it_takes_is_said_in_words() -> None:
    assert power(0.8, 0.05, 20, 30).words == (
        "To tell 85.0% from 80.0% with 20 % held out, the play must be set off for 2,750 customers, 550 of them held out"
        " (95% sure, and 80% likely to see it): at the present 30.0 new customers a week that takes 92 weeks."
    )


def test_what_never_comes_is_said_to_never_come() -> None:
    assert "would take 11 years, too long to be an answer" in power(0.8, 0.05, 20, 4.79).words
    assert power(0.8, 0.05, 20, 0).weeks is None
    assert duration(None, 0) == "at present it is set off for nobody, so there would never be an answer"


@pytest.mark.parametrize(
    ("base", "lift", "percent"),
    [(0.98, 0.05, 10), (0.5, 0, 10), (0.02, -0.05, 10), (1.2, -0.5, 10), (0.5, 0.1, 0), (0.5, 0.1, 100)],
)
def test_what_cannot_be_is_refused(base: float, lift: float, percent: int) -> None:
    with pytest.raises(ValueError, match=r"hold out more than 0|a lift of"):
        power(base, lift, percent, 10)
