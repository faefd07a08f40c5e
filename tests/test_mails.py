"""Mails before customers get them: shown, sent to ourselves, looked over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.dispatch.business import CONFIG, Business, business
from worker import controls, mails
from worker.cli import main
from worker.dispatch import mail_lint
from worker.dispatch.letters import Sender, Templates
from worker.dispatch.mail_lint import Sample
from worker.lib import assets
from worker.lib.clock import SystemClock, seconds
from worker.lib.problems import Problem, Problems

OURS = assets.folder("templates") / "email"
SENDER = Sender("Engines", "Ann", "ann@engines.example", "", "1 Loopback Lane", "https://keepwell.example")
HEAD = 'subject = "Hello {{ first_name }}"\npreheader = "A word about it"\npurpose = "service"\nneeds = ["usage_last_label"]\n'
BODY = "Hello {{ first_name }},\n\nyou have used {{ usage_last_label }} and I would like to know how it went.\n\n{{ sender_name }}\n"
ME = "me@engines.example"

Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Business]:
    with business(tmp_path / "workspace") as opened:
        outreach = opened.workspace.config.outreach.model_copy(update={"test_addresses": (ME,)})
        opened.workspace.config = replace(opened.workspace.config, outreach=outreach)
        yield opened


@pytest.fixture
def ada(here: Business) -> str:
    """A customer who used it on three days; gives the contact's id."""
    contact_id = here.enter("Ada")
    here.clock.sleep(300)
    here.turn()
    here.uses(contact_id, 3)
    return contact_id


# -- preview and test ---------------------------------------------------------------------------------------------------


def test_a_mail_is_shown_as_a_customer_would_get_it(here: Business, ada: str) -> None:
    shown = mails.preview(here.workspace, "usage-drop", f"keap:{ada}")

    assert (shown.customer_id, shown.sender) == (here.customer(ada), "Ann Keeper <ann@engines.example>")
    assert shown.rendered.subject == "Is reports still doing its job?"
    assert shown.rendered.text.startswith("Hello Ada,\n\nin the last 30 days you were in Engines Ltd on 3 of them,")
    assert "1 Loopback Lane" in shown.rendered.html
    assert here.mailbox.messages == []


def test_without_a_customer_it_is_shown_for_somebody_made_up(here: Business) -> None:
    shown = mails.preview(here.workspace, "usage-drop")

    assert (shown.customer_id, shown.customer) == ("", "somebody made up")
    assert "on 12 of them, the last time on 28 September, for monthly reports." in shown.rendered.text
    assert "Engines Ltd" in shown.rendered.text


def test_a_customer_who_lacks_what_a_mail_needs_is_no_customer_for_it(here: Business, ada: str) -> None:
    with pytest.raises(
        Problems, match="cannot be written for Ada Lovelace, of whom this is unknown: nps_answer_last_on"
    ):
        mails.preview(here.workspace, "low-nps", f"keap:{ada}")
    with pytest.raises(Problems, match="there is no such mail → did you mean 'low-nps'"):
        mails.preview(here.workspace, "low-npss")


def test_a_test_goes_to_ourselves_alone_and_is_kept_nowhere_as_outreach(here: Business, ada: str) -> None:
    before = here.store.rows("select * from effects"), here.store.rows("select * from messages")

    mails.send_test(here.workspace, "usage-drop", f"keap:{ada}", ME.upper())

    (mail,) = here.mailbox.messages
    assert mail.headers["to"].strip("<>").casefold() == ME
    assert mail.headers["subject"] == "[Test] Is reports still doing its job?"
    assert "list-unsubscribe" not in mail.headers  # nobody can be unsubscribed by it
    assert (here.store.rows("select * from effects"), here.store.rows("select * from messages")) == before


def test_a_test_goes_to_no_address_but_the_operators_and_never_while_paused(here: Business, ada: str) -> None:
    for to in ("ada@customer.example", "", "me@engines.example, ada@customer.example", "x" + ME):
        with pytest.raises(Problems, match="is not among them"):
            mails.send_test(here.workspace, "usage-drop", f"keap:{ada}", to)
    mails.send_test(here.workspace, "usage-drop", f"keap:{ada}", ME, dry_run=True)
    controls.set_paused(here.store, here.now, paused=True)
    with pytest.raises(Problems, match="is paused"):
        mails.send_test(here.workspace, "usage-drop", f"keap:{ada}", ME)

    assert here.mailbox.messages == []


# -- lint ---------------------------------------------------------------------------------------------------------------


def linted(
    folder: Path, text: str, *, name: str = "mail", bands: tuple[str, ...] = (), values: dict[str, str] | None = None
) -> list[Problem]:
    (folder / f"{name}.md").write_text(f"+++\n{text}", "utf-8")
    customers = (
        [Sample("Acme", {"first_name": "Ann", "sender_name": "Ann", "business": "Us", **values})] if values else []
    )
    return mail_lint.lint(Templates([OURS, folder]), name, SENDER, bands, customers)


@pytest.mark.parametrize("name", sorted(Templates([OURS]).by_name))
def test_nothing_stands_out_in_the_mails_that_ship(name: str) -> None:
    assert mail_lint.lint(Templates([OURS]), name, SENDER, ("green", "yellow", "red", "grey")) == []


MAIL = f"{HEAD}+++\n{BODY}"


@pytest.mark.parametrize(
    ("old", "new", "rule", "line"),
    [
        ("how it went", "about your health score", "words", 9), ("A word", "You are at risk", "words", 0),
        ("how it went", "why you are Red", "words", 9), ("how it went", "why you turned crimson", "words", 9),
        ("Hello {{", "Hello dear and much esteemed customer of ours, it is time that we talk, {{", "subject", 0),
        ("A word about it", "A word about it " * 8, "preheader", 0), ('preheader = "A word about it"\n', "", "preheader", 0),
        ("A word about it", "Hello {{ first_name }}", "preheader", 0), ("how it went", "how " * 250, "body", 0),
        (BODY, "Hi", "body", 0), ("how it went", "[how](http://a.example/) it went", "link", 9),
        ("how it went", "![](https://a.example/x.png)", "alt", 9), ("how it went", "![x](http://a.example/x.png)", "link", 9),
        ("how it went", "how <b>it</b> went", "html", 9), ("how it went", "None", "hole in body", 0),
        ("how it went", "{% if usage_last_label == 'x' %}{% else %} {% endif %} , or so", "hole in body", 0),
        (BODY, "![Our newest picture of all](https://a.example/x.png) {{ first_name }}", "image", 0),
    ],
)  # fmt: skip
def test_what_stands_out_in_a_mail_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, rule: str, line: int
) -> None:
    found = linted(tmp_path, MAIL.replace(old, new), bands=("crimson",))

    assert (rule, line) in {(one.key, one.line) for one in found}
    assert all(one.file == "mail.md" and one.cure for one in found)


def test_a_plain_mail_has_no_findings(tmp_path: Path) -> None:
    assert linted(tmp_path, MAIL, bands=("crimson",)) == []


def test_what_a_customer_has_written_is_not_held_against_the_mail(tmp_path: Path) -> None:
    assert linted(tmp_path, MAIL, values={"usage_last_label": "Red score <b> http://a.example"}) == []
    assert linted(tmp_path, MAIL) == linted(tmp_path, MAIL, values={"usage_count": "3"})


def test_a_hole_is_found_for_the_customer_who_has_it(tmp_path: Path) -> None:
    (found,) = linted(tmp_path, MAIL, values={"usage_last_label": "None"})

    assert (found.key, found.file) == ("hole in body", "mail.md")
    assert "None" in found.message
    assert "for Acme" in found.message


@pytest.mark.parametrize(
    ("file", "old", "rule"),
    [
        ("layout.mjml", 'href="{{ unsubscribe_url }}"', "unsubscribe"), ("layout.txt", "{{ unsubscribe_url }}", "unsubscribe"),
        ("layout.mjml", "{{ footer }}", "postal address"), ("layout.txt", "{{ footer }}", "postal address"),
        ("layout.mjml", "Helvetica, Arial, sans-serif", "loads"), ("layout.mjml", "No more of these mails", "html"),
    ],
)  # fmt: skip
def test_a_layout_without_what_the_law_asks_or_too_heavy_is_found(
    tmp_path: Path, file: str, old: str, rule: str
) -> None:
    new = {"loads": "Roboto", "html": "é" * 60_000}.get(rule, "")
    (tmp_path / file).write_text((OURS / file).read_text("utf-8").replace(old, new), "utf-8")

    assert rule in {one.key for one in linted(tmp_path, MAIL)}


def test_a_variant_in_another_language_wants_its_own_frame_and_greeting(tmp_path: Path) -> None:
    linted(tmp_path, MAIL)

    found = linted(tmp_path, MAIL.replace("+++", 'language = "de"\n+++', 1), name="mail.de")

    assert {one.key for one in found} == {"layout", "nameless"}


def test_a_text_message_is_short_and_says_how_to_stop(tmp_path: Path) -> None:
    sms = MAIL.replace("+++", 'medium = "sms"\n+++', 1)

    assert [one.key for one in linted(tmp_path, sms)] == ["unsubscribe"]
    assert linted(tmp_path, sms.replace("how it went", "how it went. Reply STOP to get no more")) == []
    assert [one.key for one in linted(tmp_path, sms.replace("how it went", "STOP " * 80 + "now"))] == ["text"]


def test_mails_are_looked_over_for_the_customers_that_there_are(here: Business, ada: str) -> None:
    assert mails.lint(here.workspace) == []
    assert [one.name for one in mails.samples(here.workspace)] == ["Ada Lovelace"]
    here.happens(ada, "usage", at=here.now + 1, label="null")
    here.clock.sleep(2)

    (found,) = mails.lint(here.workspace, "usage-drop-team")

    assert (found.key, found.file) == ("hole in body", "usage-drop-team.md")
    with pytest.raises(Problems, match="there is no such mail"):
        mails.lint(here.workspace, "nothing")


# -- the commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def keepwell(here: Business) -> Run:
    """Runs `keepwell` over the business's folder."""
    text = CONFIG.format(keap=here.keap.base_url, smtp=here.mailbox.port)
    text = text.replace("[outreach]\n", f'[outreach]\ntest_addresses = ["{ME}"]\n')
    folder = here.workspace.config.folder
    (folder / "config.toml").write_text(text, "utf-8")
    env = {"KEAP_KEY": here.keap.key, "KEAP_HOOK_SECRET": "0123456789abcdef", "SLACK_URL": here.slack.webhook_url}

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["-w", str(folder), "mail", *words], env=env, prog_name="keepwell")

    return run


def test_the_commands_show_send_and_look_over(keepwell: Run, here: Business, ada: str, tmp_path: Path) -> None:
    here.uses(ada, 3, until=seconds(SystemClock()))  # the command lives now
    whose = ["--customer", f"keap:{ada}"]
    shown = keepwell("preview", "usage-drop", *whose, "--html", str(tmp_path / "mail.html"))
    told = json.loads(keepwell("preview", "usage-drop", "--json").output)
    tried = keepwell("test", "usage-drop", *whose, "--to", ME, "--dry-run")
    sent = keepwell("test", "usage-drop", *whose, "--to", ME)

    assert "Hello Ada," in shown.output
    assert "Hello Ada," in (tmp_path / "mail.html").read_text("utf-8")
    assert told["from"] == "Ann Keeper <ann@engines.example>"
    assert (tried.output, sent.exit_code) == (f"would be sent to {ME}\n", 0)
    assert len(here.mailbox.messages) == 1
    assert keepwell("test", "usage-drop", "--to", "ada@customer.example").exit_code == 2
    assert keepwell("preview", "nothing").exit_code == 2
    fine = keepwell("lint")
    assert (fine.exit_code, fine.output) == (0, "No findings.\n")
    assert json.loads(keepwell("lint", "usage-drop", "--json").output) == []


def test_a_faulty_template_is_a_finding_like_the_others(keepwell: Run, here: Business) -> None:
    own = here.workspace.config.folder / "templates" / "email"
    own.mkdir(parents=True)
    (own / "mine.md").write_text(f"+++\n{MAIL.replace('how it went', 'your score')}", "utf-8")
    standing_out = keepwell("lint", "--json")
    (own / "layout.mjml").write_text(
        (OURS / "layout.mjml").read_text("utf-8").replace("mj-column", "mj-colunm"), "utf-8"
    )
    faulty = keepwell("lint", "--json")

    assert (standing_out.exit_code, faulty.exit_code) == (1, 1)
    assert [(one["file"], one["key"], one["line"]) for one in json.loads(standing_out.output)] == [
        ("mine.md", "words", 9)
    ]
    assert {one["file"] for one in json.loads(faulty.output)} == {"layout.mjml"}
    assert keepwell("preview", "mine").exit_code == 2
