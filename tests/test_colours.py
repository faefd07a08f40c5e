"""The colours a business has today: taken in without a guess, and held beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.intake.worlds import seen, take
from tests.web.house import House, Page
from worker.colours import Imported, import_file, import_tags, side_by_side
from worker.facts import CrmContact
from worker.lib.clock import VirtualClock
from worker.lib.problems import Problems
from worker.lib.store import Store


@pytest.fixture
def house(store: Store, clock: VirtualClock, tmp_path: Path) -> Iterator[House]:
    """Ann uses it a lot (green), Bob hardly (red), Cid not at all (red); all under the card of tests/web/house.py."""
    made = House(store, clock, tmp_path)
    made.used("ann@example.com", 10, name="Ann")
    made.used("bob@example.com", 1, name="Bob")
    made.used("cid@example.com", 1, name="Cid", day=60)
    made.turn()
    yield made
    made.receiver.close()


def taken(house: House, text: str, **named: str) -> Imported:
    path = house.folder / "today.csv"
    path.write_text(text, "utf-8")
    return import_file(house.workspace, path, **named)  # type: ignore[arg-type]  # words is never among them


def test_given_colours_stand_beside_ours(house: House) -> None:
    done = taken(house, "E-Mail,Colour\nann@example.com,Green\nbob@example.com,green\ncid@example.com,red\n")
    found = side_by_side(house.workspace)

    assert (done.rows, done.given, done.doubtful) == (3, {"green": 2, "red": 1}, [])
    assert found.matrix["green"] == {"green": 1, "yellow": 0, "red": 1, "grey": 0}
    assert (found.compared, found.agreeing, found.share, found.unknown) == (3, 2, 67, 0)
    assert [(one.name, one.given, one.ours) for one in found.apart] == [("Bob", "green", "red")]
    assert found.apart[0].why == ("active on 1 of the last 30 days; 10 is full marks; costs 90 points",)


def test_what_is_doubtful_is_listed_and_left_out(house: House) -> None:
    done = taken(
        house,
        "customer,colour\nann@example.com,purple\nnobody@example.com,red\nBob,green\nbob@example.com,red\n"
        "Cid,yellow\nCid,Yellow\nann@example.com\n",
    )

    assert done.given == {"yellow": 1}
    assert sorted(done.doubtful) == [
        "one customer with several colours: today.csv:4 green, today.csv:5 red",
        "today.csv:2: 'purple' is no band of the scorecard; use one of: green, red, yellow",
        "today.csv:3: 'nobody@example.com' is no customers",
        "today.csv:8: has 1 cell, the header has 2",
    ]


def test_two_customers_of_one_name_are_not_guessed(house: House) -> None:
    house.used("other@example.com", 1, name="Ann")
    house.turn()

    assert taken(house, "name,colour\nAnn,green\n").doubtful == ["today.csv:2: 'Ann' is 2 customers"]


def test_an_import_takes_the_place_of_the_one_before_and_a_fruitless_one_does_not(house: House) -> None:
    taken(house, "name,colour\nAnn,green\nBob,green\n")
    taken(house, "name,colour\nCid,red\n")
    taken(house, "name,colour\nNobody,red\n")

    assert side_by_side(house.workspace).compared == 1


def test_a_file_with_other_words_and_columns(house: House) -> None:
    path = house.folder / "ours.csv"
    path.write_text("who,mood\nAnn,Happy\nBob,Worried\n", "utf-8")
    words = {"Happy": "green", "Worried": "red"}
    done = import_file(house.workspace, path, customer="who", colour="mood", words=words)

    assert done.given == {"green": 1, "red": 1}
    with pytest.raises(Problems, match=r"name one with --customer: who, mood"):
        import_file(house.workspace, path)


def test_colours_come_from_the_crms_tags(house: House) -> None:
    for number, tags in (("7", ("12",)), ("8", ("12", "16")), ("9", ("99",))):
        contact = CrmContact(number, f"{number}@example.com", "", may_mail=True, tags=tags, fields=(), updated_at=1)
        take(house.store, seen(f"keap:{number}", name=f"Keap {number}", crm=contact), now=house.now)
    done = import_tags(house.workspace, {"12": "green", "16": "red"})

    assert (done.given, done.doubtful) == (
        {"green": 1}, ["one customer with several colours: keap contact 8 green, keap contact 8 red"]
    )  # fmt: skip
    assert side_by_side(house.workspace).unknown == 1


def test_the_page_shows_it_to_the_team_alone(house: House) -> None:
    assert house.browser().get("/colours").status_code == 303
    empty = Page(house.operator().get("/colours").text)
    assert "No colours of yours are known yet" in empty.text

    taken(house, "name,colour\nAnn,green\nBob,green\n")
    page = Page(house.operator().get("/colours").text)
    assert "1 of 2" in page.text
    assert "costs 90 points" in page.text
