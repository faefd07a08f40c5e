"""Opening a business's folder: what people wrote is held against itself before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import setup
from worker.lib.problems import Problems
from worker.workspace import open_workspace

PLAY = 'title = "P"\nabout = "For a test."\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    setup.init(tmp_path, "Acme", "a long enough sentence", {})
    (tmp_path / "config.toml").write_text('[workspace]\nname = "Acme"\nplays = "plays"\n', "utf-8")
    (tmp_path / "plays").mkdir()
    (tmp_path / "templates" / "email").mkdir(parents=True)
    for ours in ("usage-drop", "failed-payment", "low-nps", "open-tickets", "expansion", "thriving"):
        (tmp_path / "plays" / f"{ours}.toml").write_text(
            PLAY + '[when]\nband_turns = ["red"]\n[alert]\ntitle = "{name}"\n', "utf-8"
        )
    open_workspace(tmp_path, {}).close()
    return tmp_path


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(Problems) as found:
        open_workspace(folder, {})
    return [str(problem) for problem in found.value.problems]


def test_a_play_whose_sections_are_words_is_told_what_to_write(folder: Path) -> None:
    (folder / "plays" / "odd.toml").write_text(PLAY + 'when = "red"\nmail = "nope"\n', "utf-8")

    assert mistakes(folder) == [
        "odd.toml:3: when: 'red' will not do → write a section, or { key = … }",
        """odd.toml:4: mail: 'nope' will not do → write a list: ["…"]""",
    ]


def test_a_play_that_waits_for_what_the_scorecard_never_says_is_a_mistake(folder: Path) -> None:
    (folder / "plays" / "odd.toml").write_text(
        PLAY + '[when]\nband_turns = ["rad", "grey"]\nsignal = "expansoin"\n[[mail]]\ntemplate = "thriving"\nband = ["blue"]\n', "utf-8"
    )  # fmt: skip

    assert mistakes(folder) == [
        "odd.toml: mail[0].band: 'blue' is no band of the scorecard → use one of: green, grey, red, yellow",
        "odd.toml: when.band_turns: 'rad' is no band of the scorecard → did you mean 'red'?",
        "odd.toml: when.signal: 'expansoin' is no signal of the scorecard → did you mean 'expansion'?",
    ]


def test_a_mail_that_needs_what_nobody_ever_has_is_a_mistake(folder: Path) -> None:
    head = '+++\nsubject = "Hello"\npurpose = "service"\nneeds = ["usage_dayz", "custom_reports_count"]\n+++\n'
    (folder / "templates" / "email" / "odd.md").write_text(head + "{{ usage_dayz }} {{ custom_reports_count }}\n", "utf-8")  # fmt: skip

    assert mistakes(folder) == [
        "odd.md: needs: 'usage_dayz' is nothing that is known of a customer → did you mean 'usage_days'?"
    ]


def test_files_that_are_no_text_are_told_together(folder: Path) -> None:
    config = '[workspace]\nname = "Acme"\nplays = "plays"\nscorecard = "card.toml"\n'
    (folder / "config.toml").write_text(config, "utf-8")
    for file in ("card.toml", "plays/odd.toml", "templates/email/odd.md"):
        (folder / file).write_bytes(b"\xff\xfe")

    assert mistakes(folder) == [
        "card.toml: is not UTF-8 text → save it as UTF-8",
        "odd.md: is not UTF-8 text → save it as UTF-8",
        "odd.toml: is not UTF-8 text → save it as UTF-8",
    ]


KEAP = '[workspace]\nname = "Acme"\npostal_address = "1 Way"\nsender_address = "us@acme.example"\n[crm]\nsource = "{crm}"\n[outreach]\nmailer = "{mailer}"\ndesk = "{desk}"\n[integrations.keap]\nkey_env = "KEAP_KEY"\n[integrations.smtp]\nhost = "127.0.0.1"\ntls = "none"\n'  # fmt: skip


@pytest.mark.parametrize(
    ("crm", "mailer", "desk", "roles"),
    [
        ("console", "smtp", "", (True, True)),  # the CRM is told of mails that left elsewhere, and holds the tasks
        ("console", "console", "", (False, True)),  # what is only shown was not sent
        ("keap", "console", "console", (False, True)),
    ],
)
def test_the_crm_hears_of_mails_it_did_not_send_and_holds_tasks_unless_others_do(
    folder: Path, crm: str, mailer: str, desk: str, roles: tuple[bool, bool]
) -> None:
    (folder / "config.toml").write_text(KEAP.format(crm=crm, mailer=mailer, desk=desk), "utf-8")

    workspace = open_workspace(folder, {"KEAP_KEY": "KeapAK-1"})

    assert (workspace.history is not None, workspace.desk is not None) == roles
    workspace.close()


@pytest.mark.parametrize("named", [True, False])
def test_text_messages_go_through_whom_the_config_names(tmp_path: Path, named: bool) -> None:
    text = '[workspace]\nname = "Acme"\n[integrations.twilio]\naccount_sid = "AC{}"\nauth_token_env = "TOKEN"\nsender = "Acme"\n'
    outreach = '[outreach]\ntexter = "twilio"\n' if named else ""
    (tmp_path / "config.toml").write_text(text.format("5" * 32) + outreach, "utf-8")
    environ = {"TOKEN": "tell-nobody"}
    setup.migrate(tmp_path, environ)
    workspace = open_workspace(tmp_path, environ)

    assert (workspace.texter is not None) is named
    workspace.close()
