"""What a play file can say: when, for whom, what, who, how often, until when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from worker.dispatch.letters import Sender, Templates
from worker.effects import Alert, Mail, Sms, Task
from worker.lib import assets
from worker.lib.problems import Problems
from worker.plays.files import Play, load
from worker.plays.rules import DAY, Happening, Plan, Recipient, fires, obstacle, plan
from worker.plays.worth import Worth
from worker.scoring import scorecard

NOW = 1_767_268_800
HEAD = 'title = "T"\nabout = "A"\n'
LINE = Worth("usd", (), Decimal(100), {"Team": Decimal(50)})
SO = Happening(
    "cus_1", "Engines", NOW, "scr_2", "red", "yellow", driver="active_days", answers=("p",), segment="Pro",
    lifecycle="settled", contact_id="17", mobile="+4930123456", why="active on 2 days", link="https://k.example/c",
    evidence={"usage_days": "2", "usage_count": "5", "usage_last_on": "3 March", "as_of": "4 March"},
    recipients={"main": Recipient("ada@b.example", "Ada")},
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    purpose: str = "service"
    needs: frozenset[str] = frozenset({"usage_days"})
    topic: str = ""


TEMPLATES = {"m": Made(), "other": Made(), "richer": Made(needs=frozenset({"nps_answer_last_on"}))}


def play(folder: Path, text: str) -> Play:
    (folder / "p.toml").write_text(HEAD + text, "utf-8")
    return load([folder / "p.toml"])["p"]


def planned(one: Play, happening: Happening = SO) -> Plan:
    return plan({"p": one}, TEMPLATES, happening, LINE)


def effects(one: Play, happening: Happening = SO) -> list[Any]:
    return [intent.effect for intent in planned(one, happening).intents]


MAIL = '\n[[mail]]\ntemplate = "m"\n'


@pytest.mark.parametrize(
    ("when", "so", "occasion"),
    [
        ('band_turns = ["red"]', {}, "band:scr_2"),
        ('band_turns = ["red"]', {"old_band": ""}, ""),
        ('band_left = ["yellow"]', {}, "left:scr_2"),
        ('band_left = ["red"]', {}, ""),
        ('signal = "s"', {"new_signals": frozenset({"s"})}, "signal:scr_2"),
        ('fact = "plan_changed"\nfact_label = ["down"]', {"new_facts": {"plan_changed": "c1"}, "new_labels": {"plan_changed": "down"}}, "fact:c1"),
        ('fact = "plan_changed"\nfact_label = ["down"]', {"new_facts": {"plan_changed": "c1"}, "new_labels": {"plan_changed": "up"}}, ""),
        ('fact = "custom.champion_left"', {"new_facts": {"custom.champion_left": "e1"}}, "fact:e1"),
        ("days_to_renewal = 30", {"days_to_renewal": 30, "renews_on": "2026-02-01"}, "renewal:2026-02-01"),
        ("days_to_renewal = 30", {"days_to_renewal": 31, "renews_on": "2026-02-02"}, ""),
        ("days_to_renewal = 30", {"days_to_renewal": -1, "renews_on": "2026-01-01"}, ""),
        ("days_to_renewal = 30", {}, ""),
        ("no_usage_for_days = 7", {"no_usage_for_days": 7, "last_usage_day": 20_000}, "quiet:20000"),
        ("no_usage_for_days = 7", {"no_usage_for_days": 6, "last_usage_day": 20_000}, ""),
        ('product = "never used"', {"never_used": "forms"}, "never-used:forms"),
        ('product = "gone silent"', {"never_used": "forms"}, ""),
        ('product = "gone silent"', {"gone_silent": "inbox"}, "gone-silent:inbox"),
        ('band_turns = ["red"]\nband = ["green"]', {}, ""),
        ('band_turns = ["red"]\nmain_driver = true', {}, "band:scr_2"),
        ('band_turns = ["red"]\nmain_driver = true', {"answers": ("q", "p")}, ""),
        ('band_turns = ["red"]', {"done": frozenset({"p:band:scr_2"})}, ""),
    ],
)  # fmt: skip
def test_a_play_is_set_off_by_what_it_says_and_once(
    tmp_path: Path, when: str, so: dict[str, Any], occasion: str
) -> None:
    assert fires(play(tmp_path, f"[when]\n{when}\n{MAIL}"), replace(SO, **so)) == occasion


@pytest.mark.parametrize(
    ("whom", "so", "is_for"),
    [
        ('segment = ["Pro"]', {}, True),
        ('segment = ["Team"]', {}, False),
        ('not_segment = ["Pro"]', {}, False),
        ("worth_from = 100", {"worth": Decimal(100)}, True),
        ("worth_from = 100", {"worth": Decimal("99.99")}, False),
        ("worth_from = 100", {"worth": None}, False),
        ("worth_below = 100", {"worth": Decimal(100)}, False),
        ("worth_below = 100", {"worth": None}, True),
        ('lifecycle = "new"', {}, False),
        ('lifecycle = "settled"', {}, True),
    ],
)
def test_a_play_is_for_whom_it_says(tmp_path: Path, whom: str, so: dict[str, Any], is_for: bool) -> None:
    one = play(tmp_path, f'[when]\nband_turns = ["red"]\n[whom]\n{whom}\n{MAIL}')

    assert bool(fires(one, replace(SO, **so))) is is_for
    assert (obstacle(one, replace(SO, **so)) == "") is is_for


TASK = '\n[task]\ntitle = "Call {name} ({band})"\nsay = "Ask what\\nchanged."\n'


@pytest.mark.parametrize(
    ("touch", "worth", "segment", "kinds"),
    [
        ("both", None, "Pro", [Task, Mail]),
        ("tech", 500, "Pro", [Mail]),
        ("owner", 1, "Pro", [Task]),
        ("by worth", 100, "Pro", [Task]),
        ("by worth", 99, "Pro", [Mail]),
        ("by worth", 99, "Team", [Task]),
        ("by worth", None, "Team", [Mail]),
    ],
)
def test_the_same_red_leads_to_a_person_above_the_line_and_to_a_mail_below_it(
    tmp_path: Path, touch: str, worth: int | None, segment: str, kinds: list[type]
) -> None:
    one = play(tmp_path, f'touch = "{touch}"\n[when]\nband_turns = ["red"]\n{TASK}{MAIL}')
    happening = replace(SO, worth=None if worth is None else Decimal(worth), segment=segment)

    assert [type(effect) for effect in effects(one, happening)] == kinds


def test_a_task_carries_why_what_to_say_the_facts_and_a_link(tmp_path: Path) -> None:
    (task,) = effects(play(tmp_path, f'touch = "owner"\n[when]\nband_turns = ["red"]\n{TASK}'))

    assert (task.title, task.link, task.contact_id, task.due_at) == ("Call Engines (red)", SO.link, "17", NOW + 2 * DAY)
    assert task.text == (
        "Why: active on 2 days\nSay: Ask what changed.\nFacts, as of 4 March: usage on 2 days, last on 3 March"
    )


def test_a_customer_without_a_contact_has_nowhere_for_a_task_and_that_is_said(tmp_path: Path) -> None:
    one = play(tmp_path, f'touch = "owner"\n[when]\nband_turns = ["red"]\n{TASK}')

    assert [(each.rule, each.reason[:10]) for each in planned(one, replace(SO, contact_id="")).refusals] == [
        ("recipient", "no contact")
    ]


def test_later_steps_wait_their_days_and_have_keys_of_their_own(tmp_path: Path) -> None:
    steps = '\n[[then]]\nname = "again"\nafter_days = 3\n[[then.mail]]\ntemplate = "other"\n[[then]]\nname = "person"\nafter_days = 6\n[then.alert]\ntitle = "{name}"\n'
    intents = planned(play(tmp_path, f'[when]\nband_turns = ["red"]\n{MAIL}{steps}')).intents

    assert [(one.after_days, type(one.effect)) for one in intents] == [(0, Mail), (3, Mail), (6, Alert)]
    assert [one.key for one in intents] == [
        "cus_1:p:band:scr_2:mail", "cus_1:p:band:scr_2:again:mail", "cus_1:p:band:scr_2:person:alert",
    ]  # fmt: skip
    later = intents[1].effect
    assert isinstance(later, Mail)
    assert (later.step, later.template, later.expires_at) == ("again", "other", NOW + 8 * DAY)


def test_a_text_message_goes_to_the_number_and_needs_one(tmp_path: Path) -> None:
    one = play(tmp_path, '[when]\nband_turns = ["red"]\n[[sms]]\ntemplate = "m"\n')

    (sms,) = effects(one)
    assert isinstance(sms, Sms)
    assert (sms.to, sms.lane) == ("+4930123456", "sms")
    assert [each.rule for each in planned(one, replace(SO, mobile="")).refusals] == ["recipient"]


def test_the_message_answers_the_driver_and_another_variant_is_taken_where_a_field_is_missing(tmp_path: Path) -> None:
    variants = '\n[[mail]]\ntemplate = "richer"\n[[mail]]\ntemplate = "other"\ndriver = ["usage_trend"]\n'
    one = play(tmp_path, f'[when]\nband_turns = ["red"]\nmain_driver = true\n{variants}{MAIL}')

    assert [each.template for each in effects(one)] == ["m"]
    assert [each.template for each in effects(one, replace(SO, driver="usage_trend"))] == ["other"]
    told = {**SO.evidence, "nps_answer_last_on": "1 March"}
    assert [each.template for each in effects(one, replace(SO, evidence=told))] == ["richer"]


def test_the_message_is_in_the_persons_language_where_there_is_one_that_can_be_written(tmp_path: Path) -> None:
    one = play(tmp_path, f'[when]\nband_turns = ["red"]\n{MAIL}')
    german = {**TEMPLATES, "m.de": Made()}
    lacking = {**TEMPLATES, "m.de": Made(needs=frozenset({"nps_answer_last_on"}))}

    def template(language: str, templates: dict[str, Made]) -> str:
        (intent,) = plan({"p": one}, templates, replace(SO, language=language), LINE).intents
        assert isinstance(intent.effect, Mail)
        return intent.effect.template

    assert [template("de", german), template("fr", german), template("", german)] == ["m.de", "m", "m"]
    assert template("de", lacking) == "m"


def test_the_message_carries_the_name_of_the_customers_own_person(tmp_path: Path) -> None:
    (mail,) = effects(play(tmp_path, f'[when]\nband_turns = ["red"]\n{MAIL}'), replace(SO, owner_name="Cleo"))

    assert mail.values["sender_name"] == "Cleo"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[when]\nfact_label = ["down"]\nband_turns = ["red"]' + MAIL, "when.fact_label"),
        ('[when]\nband_turns = ["red"]\n[until]' + MAIL, "until: says nothing"),
        ('[when]\nband_turns = ["red"]\n[until]\nfact = "usge"' + MAIL, "until.fact"),
        ('touch = "by worth"\n[when]\nband_turns = ["red"]' + MAIL, "touch: there is no task"),
        ('[when]\nband_turns = ["red"]\n[[then]]\nname = "x"\nafter_days = 2' + MAIL, "then.x: this step does nothing"),
        ('priority = "urgent"\n[when]\nband_turns = ["red"]' + MAIL, "priority"),
        ('[when]\nband_turns = ["red"]\n[task]\ntitle = "{score}"\nsay = "x"', "task.title"),
        ('[when]\nband_turns = ["red"]\n[collect]\ntitle = "x"\nkinds = ["erors_met"]', "collect.kinds"),
        ('[when]\nfact = "custom."' + MAIL, "when.fact"),
    ],
)
def test_a_slip_in_a_play_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(Problems) as found:
        play(tmp_path, text)

    assert any(problem in str(one) for one in found.value.problems), [str(one) for one in found.value.problems]


def test_worth_is_told_in_one_currency_at_the_rate_of_the_day() -> None:
    worth = Worth("usd", ((0, {"eur": Decimal("1.1")}), (NOW, {"eur": Decimal("1.2")})), Decimal(100))

    assert worth.of({"mrr": ("79", 5), "currency": ("usd", 5)}, NOW) == 79
    assert worth.of({"mrr": ("100", 5), "currency": ("eur", 5)}, NOW - 1) == Decimal("110.0")
    assert worth.of({"mrr_eur": ("100", 6), "mrr_usd": ("10", 6), "mrr": ("79", 5)}, NOW) == Decimal("130.0")
    assert worth.of({"mrr_gbp": ("100", 6)}, NOW) is None
    assert worth.of({"mrr": ("much", 5)}, NOW) is None
    assert worth.of({}, NOW) is None


# -- what ships -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", ["yellow", "red"])
@pytest.mark.parametrize("segment", ["", "Team"])
@pytest.mark.parametrize("card", ["starter", "saas"])
def test_two_customers_with_different_main_drivers_never_get_the_same_text(card: str, segment: str, band: str) -> None:
    recipes = assets.folder("recipes")
    shipped = load((recipes / "plays").glob("*.toml"))
    templates = Templates([assets.folder("templates") / "email"])
    measures = scorecard.load((recipes / "scorecards" / f"{card}.toml").read_text("utf-8")).measures
    every = {need: "1" for one in templates.by_name.values() for need in one.needs}
    texts: dict[str, str] = {}
    for name, measure in measures.items():
        answer = shipped.get(measure.do)
        if answer is None or not answer.when.main_driver or not answer.mail:
            continue
        so = replace(
            SO, old_band="green", band=band, segment=segment, driver=name, answers=(answer.name,), evidence=every
        )
        (mail,) = [one.effect for one in plan({answer.name: answer}, templates.by_name, so).intents]
        assert isinstance(mail, Mail)
        values = {**mail.values, "first_name": "Ada", "business": "Engines", "sender_name": "Ann"}
        texts[name] = templates.render(
            mail.template,
            values,
            Sender("E", "Ann", "a@e.example", "", "1", "https://e.example"),
            "https://e.example/u",
        ).text

    assert len(texts) >= 3
    assert len(set(texts.values())) == len(texts)
