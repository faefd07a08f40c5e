"""What people say, through every door, and what the river makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.dispatch.business import CONFIG, Business, business
from tests.test_assess import band, live
from tests.web.conftest import any_house, house
from tests.web.house import House, Page
from worker import opinions, setup
from worker.cli import main
from worker.config import read
from worker.facts import Fact, Identity, millionths
from worker.intake import records as intake
from worker.intake.identity import Register
from worker.intake.pull import store_raw
from worker.lib.clock import DAY, HOUR, SystemClock, day_text, iso, seconds
from worker.lib.store import SqliteStore, Store
from worker.review import opinions as kept
from worker.scoring import records

__all__ = ["any_house", "house"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture
def anywhere(tmp_path: Path, store: Store) -> Iterator[Business]:
    with business(tmp_path / "workspace", store) as opened:
        yield opened


def override(here: Business, contact_id: str, how: str = "at_most", limit: str = "yellow", days: int = 10) -> None:
    """Ann says so, until so many days from now."""
    opinions.set_override(
        here.workspace, here.customer(contact_id), how=how, limit=limit, until=day_text(here.now // DAY + days),
        reason="new owner", by="Ann",
    )  # fmt: skip


def pulse(here: Business, contact_id: str, value: int, note: str = "") -> None:
    """Ann says so, as a delivery."""
    given = opinions.pulse_given(here.workspace, here.customer(contact_id), value=value, by="Ann", note=note)
    store_raw(here.store, "pulse", "page", given.pulse_id, given.receipt().body, here.now)


def told(here: Business, words: str) -> list[str]:
    """What the team was told that has these words."""
    return [message.text for message in here.slack.messages if words in message.text]


def last_score(here: Business, contact_id: str) -> records.Score:
    customer_id = here.customer(contact_id)
    return records.latest_scores(here.store, [customer_id])[customer_id]


# -- overrides in the river -------------------------------------------------------------------------------------------


def test_an_override_shows_with_the_next_turn_and_the_computed_score_goes_on_beside_it(anywhere: Business) -> None:
    here = anywhere
    (ada,) = live(here)
    here.clock.sleep(HOUR)
    before = last_score(here, ada).assessment

    override(here, ada)
    here.turn(pulls=False)

    now = last_score(here, ada).assessment
    assert (band(here, ada), here.shown(ada)[0], here.shown(ada)[1]) == ("yellow", {"Health: yellow"}, "yellow")
    assert (now.computed_band, now.computed_score, now.score) == ("green", before.score, before.score)
    assert now.readings == before.readings
    here.clock.sleep(DAY)
    here.turn(pulls=False)
    later = last_score(here, ada).assessment
    assert (later.band, later.computed_band) == ("yellow", "green")


def test_when_its_time_is_over_the_band_returns_and_the_team_hears_of_it_once(anywhere: Business) -> None:
    here = anywhere
    (ada,) = live(here)
    here.clock.sleep(HOUR)
    override(here, ada, "set", "red", days=0)
    here.turn(pulls=False)
    assert band(here, ada) == "red"

    here.clock.move_to(here.now - here.now % DAY + DAY)  # the first second of the next day
    here.turn(pulls=False)

    assert (band(here, ada), here.shown(ada)[0]) == ("green", {"Health: green"})
    (words,) = told(here, "has ended")
    assert "set to red by Ann until 2026-01-01: new owner. Now: green" in words
    ended = last_score(here, ada).assessment.ended
    assert ended is not None
    assert ended.reason == "new owner"
    for _ in range(3):
        here.clock.sleep(DAY)
        here.turn(pulls=False)
    assert len(told(here, "has ended")) == 1
    row = here.store.row("select ended_at, ended_why from overrides")
    assert row is not None
    assert row["ended_why"] == "expired"
    assert last_score(here, ada).assessment.ended is None


def test_the_moment_at_which_it_ended_can_be_looked_at_again_and_nothing_is_new(here: Business) -> None:
    (ada,) = live(here)
    here.clock.sleep(HOUR)
    override(here, ada, days=0)
    here.turn(pulls=False)
    here.clock.sleep(DAY)
    here.turn(pulls=False, dispatch=False)
    count = "select count(*) as n from scores"
    before = here.store.value(count)

    here.turn(pulls=False, dispatch=False, everyone=True)

    assert here.store.value(count) == before


def test_one_that_a_person_ends_gives_the_band_back_without_an_alert(here: Business) -> None:
    (ada,) = live(here)
    here.clock.sleep(HOUR)
    override(here, ada)
    here.turn(pulls=False)

    opinions.end_override(here.workspace, here.customer(ada), "Bo")
    here.turn(pulls=False)

    assert band(here, ada) == "green"
    assert told(here, "has ended") == []
    assert here.store.value("select ended_why from overrides") == "ended by Bo"


def test_in_watch_it_ends_as_well_and_nobody_is_told(here: Business) -> None:
    ada = here.enter("Ada")
    here.clock.sleep(300)
    here.turn()
    override(here, ada, "set", "red", days=0)
    here.turn(pulls=False)
    assert band(here, ada) == "red"

    here.clock.sleep(DAY)
    here.turn(pulls=False)

    assert band(here, ada) == "grey"
    assert (here.store.value("select ended_why from overrides"), here.slack.messages) == ("expired", [])


def test_another_takes_the_place_of_the_one_there_is_and_the_same_again_changes_nothing(here: Business) -> None:
    ada, _ = live(here, "Ada", "Bob")
    for limit in ("yellow", "yellow", "red"):
        override(here, ada, "set", limit)

    assert here.store.rows("select band, ended_why from overrides order by id") == [
        {"band": "yellow", "ended_why": "replaced by Ann"},
        {"band": "red", "ended_why": None},
    ]


def test_an_override_follows_its_customer_into_a_merge(here: Business) -> None:
    ada, bob = live(here, "Ada", "Bob")
    here.clock.sleep(HOUR)
    override(here, bob, "set", "red")
    Register(here.store, here.now).merge(here.customer(ada), here.customer(bob), "the same person")

    here.turn(pulls=False)

    assert band(here, ada) == "red"


# -- pulses and disagreements in the river ----------------------------------------------------------------------------


def test_a_pulse_that_parts_from_the_band_is_asked_about_once_and_closed_with_an_answer(anywhere: Business) -> None:
    here = anywhere
    (ada,) = live(here)
    here.store.run("update customers set owner = 'Cleo'")
    here.clock.sleep(HOUR)

    pulse(here, ada, 1, "sponsor has left")
    for _ in range(3):
        here.turn(pulls=False)
        here.clock.sleep(DAY)

    (one,) = kept.open_disagreements(here.store)
    assert (one.owner, one.band, one.pulse, one.pulse_author) == ("Cleo", "green", 1, "Ann")
    (words,) = told(here, "score and pulse part")
    assert "Cleo: score and pulse part over Ada Lovelace" in words
    assert "“sponsor has left”" in words
    assert f"https://keepwell.example/customers/{here.customer(ada)}" in str(here.slack.messages[-1].blocks)

    opinions.answer(here.workspace, one.id, "they will stay", by="Cleo", right="score")
    here.turn(pulls=False, everyone=True)

    assert kept.open_disagreements(here.store) == []
    (closed,) = kept.disagreements_of(here.store, here.customer(ada))
    assert (closed.answer, closed.was_right, closed.author) == ("they will stay", "the score", "Cleo")
    assert len(told(here, "score and pulse part")) == 1


def test_it_closes_by_itself_when_they_agree_again_or_the_pulse_grows_old(here: Business) -> None:
    ada, bob = live(here, "Ada", "Bob")
    here.clock.sleep(HOUR)
    pulse(here, ada, 2)
    pulse(here, bob, 2)
    here.turn(pulls=False)
    assert len(kept.open_disagreements(here.store)) == 2

    here.clock.sleep(HOUR)
    pulse(here, ada, 4)
    here.turn(pulls=False)
    here.clock.sleep(90 * DAY)
    here.uses(bob, 90)  # so that the band stays
    here.turn(pulls=False)

    answers = {contact: kept.disagreements_of(here.store, here.customer(contact))[0].answer for contact in (ada, bob)}
    assert answers == {ada: "agreed again", bob: "the pulse is too old to speak"}


def test_what_opened_in_watch_is_asked_about_once_it_is_live(here: Business) -> None:
    ada = here.enter("Ada")
    here.clock.sleep(300)
    here.turn()
    override(here, ada, "set", "green")  # a stranger is grey, and grey parts from nothing
    pulse(here, ada, 1)
    here.turn(pulls=False)
    (one,) = kept.open_disagreements(here.store)
    assert (one.asked_at, here.slack.messages) == (None, [])

    here.go_live(ada)
    for _ in range(2):
        here.turn(pulls=False, everyone=True)

    assert len(told(here, "score and pulse part")) == 1


def test_a_field_of_the_crm_is_a_pulse_where_it_shows_another_value_from_1_to_5(tmp_path: Path) -> None:
    with business(tmp_path / "workspace") as here:
        text = CONFIG.format(keap=here.keap.base_url, smtp=here.mailbox.port) + '\n[crm]\npulse_field = "Our pulse"\n'
        environ = {
            "KEAP_KEY": here.keap.key,
            "KEAP_HOOK_SECRET": "0123456789abcdef",
            "SLACK_URL": here.slack.webhook_url,
        }
        here.workspace.config = read(text, "config.toml", tmp_path / "workspace", environ)
        ada = here.enter("Ada")
        here.clock.sleep(300)
        trouble = here.turn().troubles
        assert trouble == {
            "keap pulse field": "the contacts have no custom field 'Our pulse', or several; see pulse_field in [crm] of"
            " config.toml"
        }

        dates = []
        for label, value in [
            ("Our pulse", "2"), ("Plan", "Team"), ("Our pulse", "9"), ("Our pulse", "well"), ("Our pulse", "4"),
        ]:  # fmt: skip
            here.clock.sleep(HOUR)
            here.keap.edit_field(ada, label, value)
            dates.append(here.now)
            here.clock.sleep(300)
            assert here.turn().troubles == {}
        here.workspace.store.run("update deliveries set parsed_at = null")
        here.turn(pulls=False)  # read again: nothing is new

        found = kept.pulses_of(here.store, here.customer(ada), here.now)
        assert [(one.value, one.at, one.source, one.author) for one in found] == [
            (4, dates[4], "keap", "Keap"), (2, dates[0], "keap", "Keap"),
        ]  # fmt: skip
        assert here.store.value("select n from counters where name = 'unknown:keap:a pulse that is not 1 to 5'") == 2


def test_a_pulse_is_a_fact_like_any_other_and_the_same_twice_is_one(here: Business) -> None:
    (ada,) = live(here)
    given = opinions.pulse_given(here.workspace, here.customer(ada), value="3", by="Ann", note="so so", pulse_id="p1")
    for stream in ("page", "api"):
        store_raw(here.store, "pulse", stream, "p1", given.receipt().body, here.now)
    here.turn(pulls=False)

    assert here.store.rows("select value, source, source_id from facts where kind = 'pulse'") == [
        {"value": millionths(3), "source": "pulse", "source_id": "p1"}
    ]
    (one,) = kept.pulses_of(here.store, here.customer(ada), here.now)
    assert (one.value, one.author, one.note) == (3, "Ann", "so so")


# -- the API ----------------------------------------------------------------------------------------------------------


def happy(house: House) -> str:
    """A green customer; gives their id."""
    house.used("ann@example.com", 10, name="Ann")
    house.post({"event_id": "n", "kind": "nps_answer", "email": "ann@example.com", "value": 10})
    house.turn()
    return house.customer_id("ann@example.com")


def test_a_pulse_by_the_api_becomes_a_disagreement_that_the_api_lists(any_house: House) -> None:
    ann = happy(any_house)
    body = {"pulse_id": "p1", "email": "ann@example.com", "value": 1, "author": "Bo", "note": "<b>cold</b>"}

    answers = [any_house.call("POST", "/pulses", json=body) for _ in range(2)]
    any_house.turn()

    assert [(one.status_code, one.get_json()["duplicate"]) for one in answers] == [(202, False), (202, True)]
    (listed,) = any_house.call("GET", "/disagreements").get_json()
    assert listed == {
        "id": listed["id"], "customer_id": ann, "name": "Ann", "owner": "Acme", "band": "green", "pulse": 1,
        "pulse_author": "Bo", "pulse_at": iso(any_house.now), "opened_at": iso(any_house.now), "asked_at": None,
        "url": f"http://localhost/customers/{ann}",
    }  # fmt: skip


def test_an_override_by_the_api_is_listed_flat(any_house: House) -> None:
    ann = happy(any_house)
    body = {
        "customer": ann, "how": "at_most", "limit": 30, "until": "2026-02-01", "reason": "new owner", "author": "Bo",
    }  # fmt: skip

    given = any_house.call("POST", "/overrides", json=body)
    any_house.turn()

    assert given.status_code == 202
    (listed,) = any_house.call("GET", "/overrides").get_json()
    assert listed == given.get_json()
    assert (listed["limit"], listed["until"], listed["last_day"]) == ("30", "2026-02-02T00:00:00.000Z", "2026-02-01")
    assert (listed["computed_score"], listed["computed_band"]) == (100, "green")
    shown = any_house.call("GET", f"/customers/{ann}").get_json()
    assert (shown["score"], shown["band"]) == (30, "red")


OVERRIDE: dict[str, Any] = {
    "email": "ann@example.com", "how": "set", "limit": "red", "until": "2026-02-01", "reason": "x", "author": "Bo",
}  # fmt: skip
PULSE: dict[str, Any] = {"pulse_id": "p1", "email": "ann@example.com", "value": 1, "author": "Bo"}


@pytest.mark.parametrize(
    ("path", "body", "field", "hint"),
    [
        ("/pulses", {**PULSE, "value": 6}, "value", "write 1 (worst) to 5 (best)"),
        ("/pulses", {**PULSE, "value": 2.5}, "value", "write 1 (worst) to 5 (best)"),
        ("/pulses", {**PULSE, "value": True}, "value", "write 1 (worst) to 5 (best)"),
        ("/pulses", {**PULSE, "author": " "}, "author", "say whose pulse it is"),
        ("/pulses", {**PULSE, "pulse_id": ""}, "pulse_id", "give each its own: the same again is no second"),
        ("/pulses", {**PULSE, "at": "yesterday"}, "at", ""),
        ("/pulses", {**PULSE, "email": "nobody@example.com"}, "customer", "try an id, a name, an address or keap:123"),
        ("/pulses", {**PULSE, "email": "", "customer": "Ann"}, "customer", "write cus_…, keap:123, or give email"),
        ("/pulses", {**PULSE, "score": 1}, "score", "write at, author, customer, email, note, pulse_id, value"),
        ("/overrides", {**OVERRIDE, "until": "2025-12-31"}, "until", "write a day that is still to come"),
        ("/overrides", {**OVERRIDE, "until": "2027-02-01"}, "until", "write an earlier day; it can be set anew"),
        ("/overrides", {**OVERRIDE, "until": ""}, "until", "write its last day, as in 2026-03-01"),
        ("/overrides", {**OVERRIDE, "limit": "grey"}, "limit", "write green, yellow, red, or a number from 0 to 100"),
        ("/overrides", {**OVERRIDE, "how": "about"}, "how", "write one of set, at_most, at_least"),
        ("/overrides", {**OVERRIDE, "reason": ""}, "reason", "say why, for those who ask later"),
        ("/overrides", {**OVERRIDE, "reason": ["x"]}, "reason", "write it in quotes"),
    ],
)
def test_what_the_api_cannot_take_is_refused_with_its_cure_and_nothing_is_kept(
    house: House, path: str, body: dict[str, Any], field: str, hint: str
) -> None:
    happy(house)
    before = house.store.value("select count(*) as n from deliveries")

    refused = house.call("POST", path, json=body)

    told = refused.get_json()
    assert (refused.status_code, told["code"], told["field"], told["hint"]) == (422, "bad_field", field, hint)
    assert house.store.value("select count(*) as n from deliveries") == before
    assert house.store.value("select count(*) as n from overrides") == 0


def test_the_api_refuses_what_is_no_object(house: House) -> None:
    for body in (b"[]", b"{", b"\xff", b"7"):
        assert house.call("POST", "/pulses", data=body).get_json()["code"] == "bad_body"


# -- the pages --------------------------------------------------------------------------------------------------------


def test_the_page_takes_an_override_a_pulse_and_an_answer(any_house: House) -> None:
    house = any_house
    ann, browser = happy(house), house.operator()
    address = f"/customers/{ann}"
    csrf = Page(browser.get(address).text).value("csrf")

    def post(path: str, **form: str) -> str:
        answer = browser.post(path, data={"csrf": csrf, **form})
        assert answer.status_code == 303, answer.text
        return browser.get(answer.location.split("#")[0]).text

    pulse_id = Page(browser.get(address).text).value("pulse_id")
    for _ in range(2):  # a double click is one pulse
        page = post(f"{address}/pulse", value="1", by="Bo", note="<b>cold</b>", pulse_id=pulse_id)
    assert "Stored. The next turn takes it in." in page
    assert house.woken
    house.turn()
    shown = Page(browser.get(address).text)
    assert "Score and pulse part." in shown.text
    assert shown.text.count("<b>cold</b>") == 1
    assert Page(browser.get("/disagreements").text).text.count("said 1 of 5") == 1

    (one,) = kept.open_disagreements(house.store)
    assert "They will stay" in post(f"/disagreements/{one.id}/answer", answer="they will stay", by="Bo", right="score")
    assert "Nobody disagrees" in browser.get("/disagreements").text

    form = {"how": "at_most", "limit": "yellow", "until": "2026-01-31", "reason": "new owner", "by": "Bo"}
    assert "Held at most yellow by Bo until 2026-01-31: new owner" in post(f"{address}/override", **form)
    house.turn()
    assert house.call("GET", address).get_json()["band"] == "yellow"
    assert "Held at most" not in post(f"{address}/override/end", by="Bo")
    house.turn()
    assert house.call("GET", address).get_json()["band"] == "green"


def test_the_page_refuses_what_it_cannot_take_whom_it_does_not_know_and_what_others_send(house: House) -> None:
    ann, browser = happy(house), house.operator()
    csrf = Page(browser.get(f"/customers/{ann}").text).value("csrf")
    whole = {"how": "set", "limit": "red", "until": "2026-01-31", "reason": "x", "by": "Bo", "csrf": csrf}

    refused = browser.post(f"/customers/{ann}/override", data={**whole, "limit": "<i>", "until": "2020-01-01"})
    assert refused.status_code == 422
    assert "write a day that is still to come" in refused.text
    assert "<i>" not in refused.text
    assert browser.post(f"/customers/{ann}/override/end", data={"csrf": csrf, "by": "Bo"}).status_code == 422
    assert browser.post("/disagreements/dsg_0/answer", data={"csrf": csrf, "by": "B", "answer": "x"}).status_code == 422
    assert browser.post("/customers/cus_0/override", data=whole).status_code == 404
    for path in (f"/customers/{ann}/override", f"/customers/{ann}/override/end", f"/customers/{ann}/pulse"):
        assert browser.post(path, data={**whole, "csrf": "forged"}).status_code == 403
        assert house.browser().post(path, data=whole).location.startswith("/login")
    assert house.store.value("select count(*) as n from overrides") == 0


# -- the terminal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A workspace with one customer, Ann, of whom too little is known."""
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "config.toml").write_text('[workspace]\nname = "Acme"\n', "utf-8")
    setup.migrate(folder, {})
    store = SqliteStore(folder / "keepwell.db")
    customer_id = intake.add_customer(store, name="Ann", first_at=0)
    who = intake.add_identity(store, Identity("email", "ann@example.com"), customer_id, 0)
    intake.add_facts(store, customer_id, who, [Fact("usage", 86_400, "test", "u1")])
    store.close()
    return folder


def test_a_day_of_opinions_at_the_terminal(acme: Path) -> None:
    def keepwell(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, ["-w", str(acme), *words])
        assert done.exit_code == code, done.output
        return done

    assert "say why" in keepwell("override", "Ann", "--set", "green", "--by", "Bo", code=2).stderr
    until = day_text(seconds(SystemClock()) // DAY + 1)
    words = ("override", "Ann", "--set", "green", "--until", until, "--reason", "we know them", "--by", "Bo")
    assert f"Ann: set green until {until}" in keepwell(*words).output
    keepwell("run")
    assert [(one["band"], one["score"]) for one in json.loads(keepwell("score", "--json").output)["customers"]] == [
        ("green", "0")
    ]
    (listed,) = json.loads(keepwell("override", "--json").output)
    assert (listed["limit"], listed["author"], listed["computed_band"]) == ("green", "Bo", "grey")
    assert "we know them" in keepwell("override", "Ann").output

    assert "1 of 5 by Bo" in keepwell("pulse", "Ann", "1", "--by", "Bo", "--note", "cold").output
    keepwell("run")
    (one,) = json.loads(keepwell("pulse", "--json").output)
    assert one["id"] in keepwell("pulse").output
    assert "Closed" in keepwell("pulse", "--answer", one["id"], "we called", "--by", "Bo", "--right", "pulse").output
    assert "is closed already: we called" in keepwell("pulse", "--answer", one["id"], "x", "--by", "Bo", code=2).stderr
    assert keepwell("pulse").output == "none\n"

    assert "Ended: the override by Bo" in keepwell("override", "Ann", "--end", "--by", "Bo").output
    assert "no override is in force here" in keepwell("override", "Ann", "--end", "--by", "Bo", code=2).stderr
    assert keepwell("override").output == "none\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["override", "--end"], "say whose"),
        (["override", "Ann", "--set", "red", "--at-most", "red"], "say only one of"),
        (["override", "Bob", "--set", "red"], "'Bob' is no customers"),
        (["pulse", "Ann"], "say how it is, 1 to 5"),
        (["pulse", "Ann", "7", "--by", "Bo"], "write 1 (worst) to 5 (best)"),
        (["pulse", "Ann", "3"], "say whose pulse it is"),
        (["pulse", "--answer", "dsg_1", "x", "--by", "Bo"], "dsg_1 is not known"),
    ],
)
def test_what_the_terminal_cannot_take_is_told_with_its_cure(acme: Path, words: list[str], says: str) -> None:
    done = CliRunner().invoke(main, ["-w", str(acme), *words])

    assert (done.exit_code, says in done.stderr) == (2, True), done.output
