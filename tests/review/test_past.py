"""How customers came and went: who was here on a day, as it was known then, and which farewells count."""

from __future__ import annotations

from worker.review.past import Departure, Past, Step


def past(*steps: Step, first_known: int = 0) -> Past:
    return Past("cus_1", "Ann", "UTC", steps, first_known)


def joined(at: int, known_at: int = 0) -> Step:
    return Step("joined", "", at, max(at, known_at))


def left(at: int, how: str = "by choice", known_at: int = 0) -> Step:
    return Step("left", how, at, max(at, known_at))


def test_a_customer_is_one_from_the_joining_that_was_known() -> None:
    one = past(joined(20), joined(10, known_at=50), first_known=20)

    assert [one.since(at) for at in (19, 20, 49, 50)] == [None, 20, 20, 10]


def test_without_a_joining_they_begin_when_anything_was_known() -> None:
    assert [past(first_known=30).since(at) for at in (29, 30)] == [None, 30]


def test_who_has_left_is_none_until_they_come_again_and_only_once_it_is_known() -> None:
    one = past(joined(1), left(10, known_at=12), Step("subscription", "", 20, 20), first_known=1)

    assert [one.since(at) is not None for at in (9, 11, 12, 19, 20)] == [True, True, False, False, True]


def test_a_second_farewell_in_a_row_is_none_and_coming_back_is_told() -> None:
    one = past(joined(1), left(10), left(11), joined(15), left(30, "failed payment"))

    assert one.departures() == [Departure("by choice", 10, 15), Departure("failed payment", 30, None)]


def test_who_takes_another_subscription_in_the_same_second_has_not_left() -> None:
    one = past(joined(1), left(10), Step("subscription", "", 10, 10), left(30), first_known=1)

    assert one.departures() == [Departure("by choice", 30, None)]
    assert one.since(10) == 1
