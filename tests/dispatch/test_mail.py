"""Mails: values are data, templates are checked whole, and every ending of a sending has its own outcome."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dispatch.business import VALUES, Business
from worker.dispatch.letters import ALWAYS, Sender, Templates
from worker.facts import KINDS
from worker.lib import assets
from worker.lib.clock import HOUR
from worker.lib.problems import Problems

SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Loopback Lane", "https://keepwell.example")
SHIPPED = Templates([assets.folder("templates") / "email"])
STOP = "https://keepwell.example/unsubscribe/token"

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "**bold** [x](https://evil.example)", "# head\n\n- list",
    "{{ 7 * 7 }}{% raw %}", "a\r\nBcc: evil@example.com\r\n\r\nbody", "\u202egnp.exe\u2066", "x" * 10_000,
    "javascript:alert(1)", "&lt;b&gt; &amp;", "kwv00000000x0z", "`code` ~~~", "<https://evil.example>", "\ud800", "\0",
]  # fmt: skip


class Reading(HTMLParser):
    """What a mail program would see: the tags and links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]


def values(text: str) -> dict[str, str]:
    """Every value that any shipped template may want, all the same."""
    wanted = set(ALWAYS).union(*(template.needs for template in SHIPPED.by_name.values()))
    return dict.fromkeys(wanted, text)


@pytest.mark.parametrize("name", sorted(SHIPPED.by_name))
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_becomes_anything_but_text(name: str, text: str) -> None:
    plain = SHIPPED.render(name, values("plain"), SENDER, STOP)

    rendered = SHIPPED.render(name, values(text), SENDER, STOP)

    assert Reading(rendered.html).tags == Reading(plain.html).tags
    assert Reading(rendered.html).links == Reading(plain.html).links
    assert rendered.subject.isprintable()
    assert len(rendered.subject) < 1500
    assert "kwv" not in rendered.html.replace("kwv00000000x0z", "")


@given(st.text(max_size=80))
def test_a_value_reads_in_the_text_as_it_is(text: str) -> None:
    shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())

    rendered = SHIPPED.render("usage-drop", {**values("x"), "usage_last_label": text}, SENDER, STOP)

    assert f"for\n{shown}. " in rendered.text or f"for {shown}. " in rendered.text or f"{shown}." in rendered.text


@pytest.mark.parametrize("name", sorted(SHIPPED.by_name))
def test_no_shipped_mail_can_tell_anybody_a_score_or_a_colour(name: str) -> None:
    template = SHIPPED.by_name[name]
    known = {
        f"{kind}_{ending}" for kind in KINDS
        for ending in ("count", "days", "last_on", "last_label", "last_value", "now")
    }  # fmt: skip

    assert template.needs <= known | {"as_of"}  # evidence: never the score, the band or the reason
    words = SHIPPED.render(name, values("x"), SENDER, STOP).text.lower().replace("-", " ").split()
    assert not set(words) & {"score", "band", "health", "red", "yellow", "green", "grey", "churn", "risk"}


def test_every_mail_says_how_to_get_no_more_of_them(here: Business) -> None:
    contact_id = here.enter()
    here.go_live(contact_id)
    effect_id = here.queue_mail(contact_id)

    here.turn(pulls=False)

    (mail,) = here.mailbox.messages
    link = mail.headers["list-unsubscribe"].strip("<>")
    assert mail.headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert link.startswith("https://keepwell.example/unsubscribe/")
    assert here.workspace.signed(link.rpartition("/")[2]) == effect_id
    assert link in mail.text
    assert "1 Loopback Lane" in mail.text
    assert mail.message_id.startswith(f"<{effect_id}@")


# -- templates ----------------------------------------------------------------------------------------------------------


def test_every_mistake_of_every_template_is_told_at_once(tmp_path: Path) -> None:
    head = '+++\nsubject = "Hello"\npurpose = "service"\nneeds = ["usage_days"]\n+++\n'
    for name, text in {
        "a": "no head at all", "b": head + "Hello {{ usage_days\n", "c": head + "line\n\n{{ secret }}\n",
        "d": head.replace("service", "spam") + "x", "e": head + "{{ usage_days|upper }}\n",
        "f": head.replace('["usage_days"]', "[]") + "x", "fine": head + "{{ usage_days }}\n",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.md").write_text(text)

    with pytest.raises(Problems) as caught:
        Templates([assets.folder("templates") / "email", tmp_path])

    told = [(problem.file, problem.line > 0) for problem in caught.value.problems]
    assert told == [(f"{name}.md", True) for name in "abcdef"]


def test_a_faulty_head_does_not_hide_a_faulty_body(tmp_path: Path) -> None:
    text = '+++\nsubject = "Hello"\npurpose = "spam"\nneeds = ["usage_days"]\n+++\nHello\n{% if usage_days %}\n'
    (tmp_path / "a.md").write_text(text)

    with pytest.raises(Problems) as caught:
        Templates([assets.folder("templates") / "email", tmp_path])

    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(3, "purpose"), (7, "body")]


# -- how a sending ends -------------------------------------------------------------------------------------------------


def ready(here: Business, *names: str) -> list[str]:
    contacts = [here.enter(name) for name in names or ("Ada",)]
    here.go_live(contacts[0])
    return [here.queue_mail(contact_id) for contact_id in contacts]


def test_a_recipient_who_does_not_exist_stops_nobody_else(here: Business) -> None:
    here.mailbox.refuse("bob@customer.example")
    ada, bob, cyd = ready(here, "Ada", "Bob", "Cyd")

    done = here.turn(pulls=False)

    assert done.mails == {"sent": 2, "failed": 1}
    assert [here.effect(one)["state"] for one in (ada, bob, cyd)] == ["done", "failed", "done"]
    assert "550" in here.effect(bob)["reason"]


def test_a_mail_that_cannot_be_written_stops_nobody_else(here: Business) -> None:
    contacts = [here.enter("Ada"), here.enter("Bob")]
    here.go_live(contacts[0])
    odd = here.queue_mail(contacts[0], values={"usage_days": "3"})
    fine = here.queue_mail(contacts[1])

    here.turn(pulls=False)

    assert (here.effect(odd)["state"], here.effect(fine)["state"]) == ("failed", "done")
    assert "usage_last" in here.effect(odd)["reason"]


def test_a_mail_whose_answer_was_lost_is_unknown_and_never_sent_again(here: Business) -> None:
    here.mailbox.drop_next()
    (effect_id,) = ready(here)
    for _ in range(5):
        here.turn(pulls=False)
        here.clock.sleep(HOUR)

    assert here.effect(effect_id)["state"] == "unknown"
    assert len(here.mailbox.messages) == 1


def test_a_mail_that_is_not_taken_now_is_tried_later_with_growing_waits(here: Business) -> None:
    here.mailbox.refuse_next("ada@customer.example", *["451 4.7.1 Greylisted"] * 2)
    (effect_id,) = ready(here)

    here.turn(pulls=False)
    first = here.effect(effect_id)["due_at"] - here.now
    here.clock.sleep(first)
    here.turn(pulls=False)
    second = here.effect(effect_id)["due_at"] - here.now

    assert 0 < first < second
    assert here.effect(effect_id)["state"] == "waiting"
    here.clock.sleep(second)
    here.turn(pulls=False)
    assert here.effect(effect_id)["state"] == "done"
    assert len(here.mailbox.messages) == 1


def test_a_template_that_was_taken_away_fails_that_mail_alone(here: Business) -> None:
    contact_id = here.enter()
    here.go_live(contact_id)
    effect_id = here.queue_mail(contact_id, template="long-gone", values=VALUES)

    here.turn(pulls=False)

    assert here.effect(effect_id)["state"] == "failed"
