"""What waits for a person's yes: read, edited, sent, refused."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.web.asking import VALUES, approval, ask, ask_about_ann, effect, refusals
from tests.web.house import House, Page
from worker import approvals, controls
from worker.acts import reflowed
from worker.dispatch import outbox
from worker.dispatch.mail_lint import made_up
from worker.effects import Alert, Lane
from worker.lib.clock import DAY
from worker.lib.problems import Problems


def text_of(operator: FlaskClient, path: str) -> str:
    return " ".join(Page(operator.get(path).text).text.split())


def press(operator: FlaskClient, path: str, **form: str) -> TestResponse:
    csrf = Page(operator.get("/approvals").text).value("csrf")
    return operator.post(path, data={"csrf": csrf, "by": "Bea", **form})


def test_what_waits_is_listed_newest_first_with_all_one_must_know(any_house: House) -> None:
    first = ask_about_ann(any_house)
    any_house.clock.sleep(60)
    second = ask(any_house, any_house.customer_id("ann@example.com"), "bob@example.com", why="worth over 10,000")

    listed = approvals.waiting(any_house.workspace)
    shown = approvals.shown(any_house.workspace, listed[1])

    assert [one.act.id for one in listed] == [second, first]
    assert shown == {
        "effect_id": first,
        "customer_id": any_house.customer_id("ann@example.com"),
        "customer": "Ann's Garden",
        "kind": "mail",
        "play": "low-nps",
        "what": "mail to ann@example.com",
        "why": "the first mails of this template",
        "because": any_house.workspace.plays["low-nps"].title,
        "subject": "Your answer of 30 December",
        "text": shown["text"],
        "trouble": "",
        "asked_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-06T00:00:00.000Z",
        "url": f"http://localhost/approvals/{first}",
    }
    assert "answered with\n3 out of 10" in shown["text"].replace(" answered with 3", " answered with\n3")
    assert "No more of these mails" not in shown["text"]
    text = text_of(any_house.operator(), "/approvals")
    assert "Ann's Garden: mail to bob@example.com Read and decide Your answer of 30 December" in text
    assert "asked because: worth over 10,000 · play “low nps”" in text


def test_a_message_is_shown_whole_with_its_customers_drivers_beside_it(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)

    page = Page(any_house.operator().get(f"/approvals/{effect_id}").text)
    text = " ".join(page.text.split())

    assert ("input", "value", "Your answer of 30 December") in page.attributes
    assert "Thank you for being frank." in text
    assert "active on 2 of the last 30 days; 10 is full marks; costs 80 points" in text
    assert "Worth sending until 6 January" in text


def test_a_yes_lets_it_leave_with_the_text_of_the_template(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)
    one = approvals.find(any_house.workspace, effect_id)
    assert one.draft is not None
    assert outbox.claim(any_house.store, Lane.MAIL, any_house.now) is None
    any_house.clock.sleep(60)

    answer = press(
        any_house.operator(), f"/approvals/{effect_id}/send",
        subject=one.draft[0], body=one.draft[1].replace("\n", "\r\n"),
    )  # fmt: skip

    assert (answer.status_code, answer.location) == (303, "/approvals?said=desk.send")
    decided = approval(any_house, effect_id)
    assert (decided["decision"], decided["by"], decided["decided_at"]) == ("send", "Bea", any_house.now)
    assert (decided["subject"], decided["body"]) == (None, None)
    assert (effect(any_house, effect_id)["state"], effect(any_house, effect_id)["due_at"]) == ("waiting", any_house.now)
    assert any_house.woken == [1]
    assert outbox.claim(any_house.store, Lane.MAIL, any_house.now) is not None


def test_a_yes_brings_nothing_forward_that_is_for_a_later_day(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)
    day = any_house.now + 3 * DAY
    any_house.store.run("update effects set due_at = :day where id = :id", {"day": day, "id": effect_id})

    approvals.send(any_house.workspace, effect_id, "Bea")

    assert (effect(any_house, effect_id)["state"], effect(any_house, effect_id)["due_at"]) == ("waiting", day)


def test_an_edited_text_is_kept_as_the_person_wrote_it(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)

    press(
        any_house.operator(), f"/approvals/{effect_id}/send",
        subject="About  your answer", body="Hello Ann,\r\n\r\nmany *many* thanks.\x07\r\n",
    )  # fmt: skip

    decided = approval(any_house, effect_id)
    assert decided["subject"] == "About your answer"
    assert decided["body"] == "Hello Ann,\n\nmany *many* thanks."
    text = text_of(any_house.operator(), f"/approvals/{effect_id}")
    assert "Bea said yes" in text
    assert "As Bea wrote it." in text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("Hello {{ first_name }}", "which nothing fills in any more"),
        ("[Here](javascript:alert(1))", "is no web address"),
        ("  ", "is empty"),
        ("x" * 20_001, "has 20001 characters"),
    ],
)
def test_a_text_that_could_not_leave_is_refused_while_somebody_looks(house: House, body: str, why: str) -> None:
    effect_id = ask_about_ann(house)

    answer = press(house.operator(), f"/approvals/{effect_id}/send", subject="About it", body=body)

    assert answer.status_code == 422
    assert why in answer.text
    assert approval(house, effect_id)["decided_at"] is None


def test_what_a_customer_wrote_is_no_markdown_in_the_text_to_change(house: House) -> None:
    ask_about_ann(house)
    word = "[win](https://evil.example) *now*"
    values = {**VALUES, "nps_answer_last_value": word}
    effect_id = ask(house, house.customer_id("ann@example.com"), "bob@example.com", values=values)
    one = approvals.find(house.workspace, effect_id)
    assert one.draft is not None
    subject, body = one.draft

    approvals.send(house.workspace, effect_id, "Bea", subject, f"{body}\n\nP.S. See you.")

    kept = approval(house, effect_id)
    sender = house.workspace.sender
    written = house.workspace.templates.write("low-nps", kept["subject"], kept["body"], sender, "https://x.example/")
    assert word in written.text
    assert "P.S. See you." in written.text
    assert 'href="https://evil.example' not in written.html


def test_a_no_needs_a_reason_and_is_kept_with_the_customer(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)
    operator = any_house.operator()

    without = press(operator, f"/approvals/{effect_id}/refuse", note="  ")
    answer = press(operator, f"/approvals/{effect_id}/refuse", note="I talk to her tomorrow")

    assert (without.status_code, answer.status_code) == (422, 303)
    assert "say why not" in without.text
    assert effect(any_house, effect_id)["state"] == "refused"
    assert refusals(any_house) == [("approval", "Bea said no: I talk to her tomorrow")]
    assert (approval(any_house, effect_id)["decision"], approval(any_house, effect_id)["note"]) == (
        "refuse",
        "I talk to her tomorrow",
    )
    assert "A person said no" in text_of(operator, "/")


def test_what_is_decided_stays_so(any_house: House) -> None:
    workspace, sent = any_house.workspace, ask_about_ann(any_house)
    refused = ask(any_house, any_house.customer_id("ann@example.com"), "bob@example.com")
    approvals.send(workspace, sent, "Bea")
    approvals.refuse(workspace, refused, "Bea", "no")
    before = [
        approval(any_house, sent),
        approval(any_house, refused),
        effect(any_house, sent),
        effect(any_house, refused),
    ]

    again = [
        approvals.send(workspace, sent, "Cid", "other", "other"),
        approvals.refuse(workspace, sent, "Cid", "no"),
        approvals.send(workspace, refused, "Cid"),
        approvals.refuse(workspace, refused, "Cid", "another reason"),
    ]

    after = [
        approval(any_house, sent),
        approval(any_house, refused),
        effect(any_house, sent),
        effect(any_house, refused),
    ]
    assert after == before
    assert len(refusals(any_house)) == 1
    assert [one.done for one in again] == [False] * 4
    assert again[0].words == "It was decided already: Bea said yes. Nothing more was changed."
    assert again[2].words == "It was decided already: Bea said no (no). Nothing more was changed."


def test_what_has_expired_meanwhile_says_so_and_does_not_leave(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)
    any_house.clock.sleep(5 * DAY)
    operator = any_house.operator()

    assert "Nothing waits for a yes." in text_of(operator, "/approvals")
    answer = press(operator, f"/approvals/{effect_id}/send")

    assert answer.location == f"/approvals/{effect_id}"
    assert "It has expired" in text_of(operator, answer.location)
    assert effect(any_house, effect_id)["state"] == "refused"
    assert refusals(any_house) == [("goal", "it waited until it was no longer worth sending")]
    assert approval(any_house, effect_id)["decision"] == "expire"


def test_what_expires_unseen_is_let_go_with_its_reason(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)

    assert approvals.let_go(any_house.workspace) == 0
    any_house.clock.sleep(5 * DAY)
    assert [approvals.let_go(any_house.workspace) for _ in range(2)] == [1, 0]

    assert effect(any_house, effect_id)["state"] == "refused"
    assert approvals.how_many(any_house.workspace) == 0


def test_what_was_let_go_by_a_change_of_mode_can_no_longer_be_decided(any_house: House) -> None:
    effect_id = ask_about_ann(any_house)
    any_house.store.run("update effects set state = 'replaced', reason = 'the mode changed to watch'")

    decision = approvals.send(any_house.workspace, effect_id, "Bea")

    assert (decision.done, decision.words) == (False, "It no longer waits: the mode changed to watch.")
    assert approval(any_house, effect_id)["decided_at"] is None


def test_while_everything_is_stopped_a_yes_says_that_it_waits(house: House) -> None:
    effect_id = ask_about_ann(house)
    controls.set_paused(house.store, house.now, paused=True)

    assert "Everything outward is stopped" in approvals.send(house.workspace, effect_id, "Bea").words


def test_only_the_text_of_a_message_to_a_customer_can_be_changed(house: House) -> None:
    ask_about_ann(house)
    alert = Alert(house.customer_id("ann@example.com"), "Look", "at this")
    effect_id = outbox.put(house.store, alert, "alert", house.now, state="asked")
    house.store.run("insert into approvals (effect_id, why, asked_at) values (:id, 'all', 1)", {"id": effect_id})

    with pytest.raises(Problems, match="cannot be changed here"):
        approvals.send(house.workspace, effect_id, "Bea", body="something else")
    assert approvals.send(house.workspace, effect_id, "Bea").done


def test_a_mail_that_cannot_be_written_says_why(house: House) -> None:
    ask_about_ann(house)
    effect_id = ask(house, house.customer_id("ann@example.com"), "bob@example.com", values={})

    page = house.operator().get(f"/approvals/{effect_id}")

    assert page.status_code == 200
    assert "It cannot be written" in page.text


def test_nobody_is_asked_about_what_is_not_there(house: House) -> None:
    operator = house.operator()

    assert operator.get("/approvals/eff_nobody").status_code == 404
    assert press(operator, "/approvals/eff_nobody/send").status_code == 404
    with pytest.raises(Problems, match="nobody is asked about"):
        approvals.send(house.workspace, "eff_nobody", "Bea")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=st.text(max_size=40), body=st.text(max_size=60), by=st.text(max_size=20))
def test_whatever_is_typed_is_kept_whole_or_refused_in_words(house: House, subject: str, body: str, by: str) -> None:
    house.store.run("delete from approvals")
    house.store.run("delete from effects")
    if not house.store.value("select count(*) as n from customers"):
        house.used("ann@example.com", 2)
        house.turn()
    effect_id = ask(house, house.customer_id("ann@example.com"), "ann@example.com")
    try:
        approvals.send(house.workspace, effect_id, by, subject, body)
    except Problems:
        assert approval(house, effect_id)["decided_at"] is None
        return
    kept = approval(house, effect_id)
    assert "\n" not in kept["subject"]
    assert kept["subject"] == " ".join(kept["subject"].split())
    assert kept["body"] == kept["body"].strip()
    assert kept["by"].strip()


def test_the_pages_hold_what_strangers_write_as_text(house: House) -> None:
    word = '"><script>alert(1)</script></textarea><img src=x onerror=alert(1)>'
    house.used("ann@example.com", 2, name=word)
    house.turn()
    values = {"nps_answer_last_value": word, "nps_answer_last_on": word}
    effect_id = ask(house, house.customer_id("ann@example.com"), "ann@example.com", why=word, values=values)
    house.store.run("update effects set play = :word", {"word": word})
    operator = house.operator()

    for path in ("/approvals", f"/approvals/{effect_id}"):
        page = Page(operator.get(path).text)
        assert {tag for tag, _ in page.shape} & {"script", "img"} == set()
    assert word in page.text


def test_the_text_to_change_makes_the_mail_that_would_have_left(house: House) -> None:
    templates, sender = house.workspace.templates, house.workspace.sender
    for name, template in templates.by_name.items():
        for sample in made_up(template):
            values = {**sample.values, "sender_name": templates.signed_by(name, sample.values, sender)}
            values["business"] = sender.business
            as_it_is = templates.render(name, values, sender, "https://x.example/")
            subject, body = templates.editable(name, values)
            signer = values["sender_name"]

            changed = templates.write(name, subject, reflowed(body), sender, "https://x.example/", signer=signer)

            assert (changed.subject, changed.text) == (as_it_is.subject, as_it_is.text), name


@pytest.mark.parametrize(
    ("markdown", "same"),
    [
        ("one\ntwo\n\nthree\n4 out of 10", "one two\n\nthree 4 out of 10"),
        ("- one\n- two\n\n1. one\n2. two", "- one\n- two\n\n1. one\n2. two"),
        ("# Head\nbody", "# Head\nbody"),
        ("meant  \nbreak\n\nmeant\\\nbreak", "meant  \nbreak\n\nmeant\\\nbreak"),
        ("Head\n====\n\n> one\ntwo", "Head\n====\n\n> one\ntwo"),
        ("    code\n    more", "    code\n    more"),
    ],
)
def test_only_plain_paragraphs_are_put_on_one_line(markdown: str, same: str) -> None:
    assert reflowed(markdown) == same
