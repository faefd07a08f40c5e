"""Plays: which are set off, by what, and which mail fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from worker.effects import Alert, Mail
from worker.lib import assets
from worker.lib.problems import Problems
from worker.plays.files import load, templates_missing
from worker.plays.rules import DAY, Happening, Recipient, plan

NOW = 1_767_268_800
PLAYS = load((assets.folder("recipes") / "plays").glob("*.toml"))


@dataclass(frozen=True)
class Made:
    """A template, as a plan sees it."""

    purpose: str
    needs: frozenset[str]
    topic: str = ""


USAGE = frozenset({"usage_days", "usage_last_on", "usage_last_label"})
TEMPLATES = {variant.template: Made("service", frozenset({"usage_days"})) for play in PLAYS.values() for _, variant in play.variants} | {
    "went-quiet": Made("service", USAGE), "usage-drop": Made("service", USAGE), "usage-drop-team": Made("service", USAGE),
    "not-seen": Made("service", frozenset({"payment_last_on"})), "low-nps": Made("service", frozenset({"nps_answer_last_on"})),
    "open-tickets": Made("service", frozenset({"ticket_raised_count"})), "thriving": Made("marketing", USAGE),
    **{name: Made("transactional", frozenset({"payment_failed_last_on"})) for name in ("failed-payment", "failed-payment-again", "failed-payment-last")},
}  # fmt: skip
EVIDENCE = dict.fromkeys(USAGE, "x") | {"payment_last_on": "3 March", "payment_failed_last_on": "4 March"}
DROPPED = Happening(
    "cus_1", "Engines", NOW, "scr_1", "yellow", "green", "active_days", answers=("usage-drop", "low-nps"), evidence=EVIDENCE,
    recipients={"main": Recipient("ada@b.example", "Ada"), "billing": Recipient("pay@b.example", "Bob")},
    why="active on 2 of the last 30 days", link="https://k.example/customers/cus_1",
)  # fmt: skip


def mails(happening: Happening) -> list[str]:
    """The mails of first steps."""
    intents = plan(PLAYS, TEMPLATES, happening).intents
    return [one.effect.template for one in intents if isinstance(one.effect, Mail) and not one.effect.step]


def refused(happening: Happening) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.play, one.rule) for one in plan(PLAYS, TEMPLATES, happening).refusals))


@pytest.mark.parametrize(
    ("band", "segment", "evidence", "template"),
    [
        ("yellow", "", EVIDENCE, "usage-drop"),
        ("yellow", "Team", EVIDENCE, "usage-drop-team"),
        ("yellow", "Starter", EVIDENCE, "usage-drop"),
        ("red", "Team", EVIDENCE, "went-quiet"),
        ("red", "", {"payment_last_on": "3 March"}, "not-seen"),
    ],
)
def test_the_first_mail_that_fits_band_and_segment_and_has_its_evidence_is_taken(
    band: str, segment: str, evidence: dict[str, str], template: str
) -> None:
    assert mails(replace(DROPPED, band=band, segment=segment, evidence=evidence)) == [template]


def test_where_there_is_nothing_to_name_nothing_is_sent_and_that_is_recorded() -> None:
    happening = replace(DROPPED, evidence={})
    (refusal,) = plan(PLAYS, TEMPLATES, happening).refusals

    assert mails(happening) == []
    assert (refusal.play, refusal.rule) == ("usage-drop", "evidence")
    assert "usage_days" in refusal.reason


def test_only_the_costliest_driver_speaks() -> None:
    assert mails(replace(DROPPED, answers=("low-nps", "usage-drop"), evidence={"nps_answer_last_on": "x"})) == [
        "low-nps"
    ]
    assert mails(replace(DROPPED, answers=())) == []


@pytest.mark.parametrize(("ago", "acts"), [(0, False), (21 * DAY - 1, False), (21 * DAY, True)])
def test_a_play_rests_after_it_has_acted(ago: int, acts: bool) -> None:
    happening = replace(DROPPED, last_acts={"usage-drop": NOW - ago})

    assert bool(mails(happening)) is acts
    assert refused(happening) == ([] if acts else [("usage-drop", "reentry")])


def test_a_band_that_did_not_turn_sets_nothing_off() -> None:
    assert plan(PLAYS, TEMPLATES, replace(DROPPED, old_band="")) == ([], [], {})
    assert mails(replace(DROPPED, band="green", old_band="red")) == []


def test_a_turn_to_red_tells_the_team_who_why_and_where() -> None:
    intents, _, _ = plan(PLAYS, TEMPLATES, replace(DROPPED, band="red"))

    (alert,) = [one.effect for one in intents if isinstance(one.effect, Alert)]
    assert alert == Alert("cus_1", "Engines turned red (was green)", DROPPED.why, DROPPED.link)


def test_a_name_cannot_play_with_the_title_of_an_alert() -> None:
    intents, _, _ = plan(PLAYS, TEMPLATES, replace(DROPPED, band="red", name="{band} {0} %s"))

    assert [one.effect.title for one in intents if isinstance(one.effect, Alert)] == [
        "{band} {0} %s turned red (was green)"
    ]


def test_the_notice_of_a_failed_payment_goes_to_who_pays_and_else_to_the_main_person() -> None:
    failed = replace(DROPPED, old_band="", new_facts={"payment_failed": "in_1:payment_failed:1"})
    alone = replace(failed, recipients={"main": Recipient("ada@b.example", "Ada")})

    to = [
        intent.effect.to
        for happening in (failed, alone)
        for intent in plan(PLAYS, TEMPLATES, happening)[0]
        if isinstance(intent.effect, Mail) and not intent.effect.step
    ]

    assert to == ["pay@b.example", "ada@b.example"]
    assert refused(replace(failed, recipients={})) == [("failed-payment", "recipient")]


def test_the_same_occasion_has_the_same_key_and_another_one_another() -> None:
    failed = replace(DROPPED, old_band="", new_facts={"payment_failed": "in_1:1"})
    keys = [plan(PLAYS, TEMPLATES, one)[0][0].key for one in (
        failed, replace(failed, at=NOW + DAY, score_id="scr_2"), replace(failed, new_facts={"payment_failed": "in_1:2"}),
    )]  # fmt: skip

    assert keys[0] == keys[1] != keys[2]


def test_a_mail_is_given_the_evidence_and_never_score_band_or_reason() -> None:
    (intent,) = plan(PLAYS, TEMPLATES, DROPPED)[0]

    assert isinstance(intent.effect, Mail)
    assert intent.effect.values == EVIDENCE
    assert DROPPED.why not in intent.effect.values.values()
    assert intent.effect.expires_at == NOW + 5 * DAY


def test_every_mistake_of_every_play_is_told_with_its_cure(tmp_path: Path) -> None:
    for name, text in {
        "a": 'title = "A"\nabout = "x"\n[when]\n[alert]\ntitle = "x"\n',
        "b": 'title = "B"\nabout = "x"\n[when]\nfact = "payment_faild"\n[alert]\ntitle = "x"\n',
        "c": 'title = "C"\nabout = "x"\n[when]\nsignal = "expansion"\n',
        "d": 'title = "D"\nabout = "x"\ncolour = 3\n[when]\nsignal = "expansion"\n[alert]\ntitle = "x"\n',
        "e": "title = \n",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.toml").write_text(text)

    with pytest.raises(Problems) as caught:
        load(tmp_path.glob("*.toml"))

    told = {problem.file: str(problem) for problem in caught.value.problems}
    assert sorted(told) == [f"{name}.toml" for name in "abcde"]
    assert "payment_failed" in told["b.toml"]


def test_a_mail_without_a_template_is_told_before_anything_runs() -> None:
    missing = {name: made for name, made in TEMPLATES.items() if name != "not-seen"}

    (problem,) = templates_missing(PLAYS, missing)

    assert (problem.file, "not-seen" in str(problem)) == ("usage-drop.toml", True)
    assert list(templates_missing(PLAYS, TEMPLATES)) == []


def test_an_alert_title_that_names_something_unknown_is_told_before_anything_runs(tmp_path: Path) -> None:
    for name, title in {"a": "{nme} turned red", "b": "{name", "c": "{name.__class__}", "d": "{}"}.items():
        (tmp_path / f"{name}.toml").write_text(
            f'title = "A"\nabout = "x"\n[when]\nband_turns = ["red"]\n[alert]\ntitle = "{title}"\n'
        )

    with pytest.raises(Problems) as caught:
        load(tmp_path.glob("*.toml"))

    assert [problem.file for problem in caught.value.problems] == ["a.toml", "b.toml", "c.toml", "d.toml"]


# -- what cannot be known, and what is over ---------------------------------------------------------------------------

FAILED = replace(DROPPED, old_band="", answers=(), new_facts={"payment_failed": "ch_1"})


def test_a_play_whose_trigger_rests_on_a_source_that_is_down_is_not_planned() -> None:
    rests_on = {"usage-drop": frozenset({"usage"}), "failed-payment": frozenset({"payment_failed"})}
    for happening, kind, play in ((DROPPED, "usage", "usage-drop"), (FAILED, "payment_failed", "failed-payment")):
        down = replace(happening, rests_on=rests_on, not_coming_in=frozenset({kind}))

        assert mails(down) == []
        assert refused(down) == [(play, "switch")]
        assert mails(replace(down, not_coming_in=frozenset({"login"}))) == mails(happening) != []


def test_a_mail_that_would_name_what_is_not_coming_in_is_not_written() -> None:
    assert refused(replace(DROPPED, not_coming_in=frozenset({"usage"}))) == [("usage-drop", "switch")]


def test_a_mail_carries_what_it_rests_on_until_it_leaves() -> None:
    mail = next(one.effect for one in plan(PLAYS, TEMPLATES, FAILED).intents if isinstance(one.effect, Mail))

    assert mail.rests_on == ("payment_failed",)


def test_what_is_over_is_not_acted_on() -> None:
    over = replace(FAILED, over={"failed-payment": "payment came later"})

    assert (mails(over), refused(over)) == ([], [("failed-payment", "dunning")])


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('later = "paymnt"', "unless.later: 'paymnt' is no kind of fact → did you mean 'payment'?"),
        ("", "unless: says nothing → give later or none_open"),
    ],
)
def test_a_mistaken_unless_is_told(tmp_path: Path, lines: str, problem: str) -> None:
    text = f'title = "T"\nabout = "A"\n[when]\nfact = "payment_failed"\n[unless]\n{lines}\n[alert]\ntitle = "A"\n'
    (tmp_path / "play.toml").write_text(text, "utf-8")

    with pytest.raises(Problems) as found:
        load(tmp_path.glob("*.toml"))

    assert [str(one) for one in found.value.problems] == [f"play.toml: {problem}"]


def test_later_than_no_fact_is_a_mistake(tmp_path: Path) -> None:
    text = 'title = "T"\nabout = "A"\n[when]\nband_turns = ["red"]\n[unless]\nlater = "payment"\n[alert]\ntitle = "A"\n'
    (tmp_path / "play.toml").write_text(text, "utf-8")

    with pytest.raises(Problems, match="is later than no fact"):
        load(tmp_path.glob("*.toml"))
