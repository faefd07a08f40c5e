"""config.toml and the environment: read whole, or refused with every mistake and its cure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from worker.config import FORGETFUL_HOSTS, Config, load, read
from worker.effects import Alert
from worker.integration import Integration, Letter, Mailer, Settings, Sought
from worker.lib.clock import Clock
from worker.lib.problems import Problems


class PostOffice(Settings):
    """A mailer that wants to be told much."""

    host: str = Field(description="The server.")
    port: int = Field(25, ge=1, description="Its port.")
    password: SecretStr = Field(min_length=4, description="The password.")
    old_passwords: tuple[SecretStr, ...] = Field((), description="Those that still hold.")


class Printed:
    deduplicates = True
    connections = 1

    def send(self, letter: Letter) -> str:
        return letter.message_id

    def find(self, sought: Sought) -> str | None:
        return sought.message_id

    def close(self) -> None:
        """Nothing is open."""


class Shouted:
    def send(self, alert: Alert) -> None:
        """Heard by nobody."""


def printing(_http: object, _settings: object, _clock: Clock) -> Mailer:
    return Printed()


KNOWN = {
    "console": Integration(
        "console", "Console", "shows", Settings, mailer=printing, alerter=lambda _http, _settings: Shouted()
    ),
    "post": Integration("post", "Post", "mails", PostOffice, mailer=printing),
    "telegraph": Integration("telegraph", "Telegraph", "texts", Settings, texter=printing),
}

SECRET = "hunter2-hunter2"


def config(
    folder: Path, text: str = '[workspace]\nname = "Acme"\n', environ: Mapping[str, str] | None = None
) -> Config:
    return read(text, "config.toml", folder, environ or {}, KNOWN)


def told(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(Problems) as caught:
        config(folder, text, environ)
    assert SECRET not in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_a_name_is_all_that_a_workspace_must_say(tmp_path: Path) -> None:
    found = config(tmp_path)

    assert (found.workspace.name, found.workspace.time_zone) == ("Acme", "UTC")
    assert (found.workspace.quiet_from, found.workspace.quiet_until) == (20 * 60, 8 * 60)
    assert (found.server.host, found.server.port, found.outreach.one_mail_every) == ("127.0.0.1", 8700, 7 * 86_400)
    assert found.database == f"sqlite:///{tmp_path.resolve()}/keepwell.db"
    assert list(found.integrations) == ["console"]


def test_a_config_cannot_be_changed_once_it_is_read(tmp_path: Path) -> None:
    found = config(tmp_path)

    with pytest.raises(ValidationError, match="frozen"):
        found.workspace.name = "Other"  # type: ignore[misc]  # what is being tested


def test_every_mistake_is_told_at_once_with_its_place_and_cure(tmp_path: Path) -> None:
    text = """\
[workspace]
nmae = "Acme"
time_zone = "Europe/Berln"
quiet_from = "8pm"
sender_address = "anna at example.com"
public_url = "health.example.com"
scorecard = "mine.toml"

[schedule]
pull_every = "often"

[server]
port = "many"
threads = 0

[crm]
adopt = "perhaps"
fields = { scor = "Points" }

[outreech]
one_mail_every = "7 days"

[outreach]
mailer = "pigeon"
urgent_labels = "urgent"
"""
    assert told(tmp_path, text) == [
        "config.toml:1: workspace.name: is missing → add it",
        "config.toml:2: workspace.nmae: is no setting here → did you mean 'name'?",
        "config.toml:3: workspace.time_zone: 'Europe/Berln' will not do → write a time zone's full name, as in \"Europe/Berlin\"",
        "config.toml:4: workspace.quiet_from: '8pm' will not do → write hours and minutes in quotes, as in \"20:00\"",
        "config.toml:5: workspace.sender_address: 'anna at example.com' will not do → write one e-mail address and nothing else, as in \"anna@example.com\"",
        "config.toml:6: workspace.public_url: 'health.example.com' will not do → write an address as browsers show it, as in \"https://health.example.com\"",
        "config.toml:10: schedule.pull_every: 'often' will not do → write a number of minutes, hours, days or weeks, as in \"7 days\"",
        "config.toml:13: server.port: 'many' will not do → write a whole number",
        "config.toml:14: server.threads: 0 will not do → write at least 1",
        "config.toml:17: crm.adopt: 'perhaps' will not do → write true or false",
        "config.toml:18: crm.fields: a table or list will not do → there is no field 'scor'; did you mean 'score'?",
        "config.toml:20: outreech: is no section here → did you mean 'outreach'?",
        "config.toml:25: outreach.urgent_labels: 'urgent' will not do → write a list: [\"…\"]",
    ]


def test_a_scorecard_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, '[workspace]\nname = "A"\nscorecard = "mine.toml"\nplays = "plays"\n') == [
        "config.toml:3: workspace.scorecard: 'mine.toml' is not there → write its place seen from this file",
        "config.toml:4: workspace.plays: 'plays' is not there → write its place seen from this file",
    ]


def test_some_labels_may_be_changed_and_the_others_stay(tmp_path: Path) -> None:
    found = config(
        tmp_path, '[workspace]\nname = "A"\n[crm]\nfields = { score = "Points" }\ntags = { gold = "Gold" }\n'
    )

    assert (found.crm.fields["score"], found.crm.fields["band"]) == ("Points", "Health band")
    assert (found.crm.tags["gold"], found.crm.tags["red"]) == ("Gold", "Health: red")


POST = """\
[workspace]
name = "Acme"
sender_address = "anna@example.com"
postal_address = "1 High Street"

[outreach]
mailer = "post"

[integrations.post]
host = "mail.example.com"
password_env = "POST_PASSWORD"
"""


def test_a_secret_comes_from_the_environment_and_is_shown_nowhere(tmp_path: Path) -> None:
    found = config(tmp_path, POST, {"POST_PASSWORD": f"{SECRET}\n"})

    settings = found.integrations["post"]
    assert isinstance(settings, PostOffice)
    assert settings.password.get_secret_value() == SECRET
    assert SECRET not in repr(found)


def test_several_secrets_may_hold_at_once(tmp_path: Path) -> None:
    found = config(
        tmp_path, POST + 'old_passwords_env = ["A", "B"]\n', {"POST_PASSWORD": SECRET, "A": "one", "B": "two"}
    )

    settings = found.integrations["post"]
    assert isinstance(settings, PostOffice)
    assert [one.get_secret_value() for one in settings.old_passwords] == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        (
            'password_env = "POST_PASSWORD"', {},
            "config.toml:3: integrations.post.password_env: the environment variable POST_PASSWORD is not set → export POST_PASSWORD=… before the start",
        ),
        (
            f'password = "{SECRET}"', {},
            'config.toml:3: integrations.post.password: a secret must not stand in this file → put it into an environment variable and write password_env = "POST_PASSWORD"',
        ),
        (
            f'password_env = "{SECRET}"', {},
            'config.toml:3: integrations.post.password_env: is no name of an environment variable → write a name in capital letters, as in "POST_PASSWORD"',
        ),
        (
            "", {},
            'config.toml:1: integrations.post.password_env: is missing → write password_env = "POST_PASSWORD" and set that environment variable',
        ),
        (
            'password_env = "P"', {"P": "abc"},
            "config.toml:3: integrations.post.password: the secret will not do → write at least 4 of it",
        ),
    ],
)  # fmt: skip
def test_a_secret_in_the_wrong_place_is_told_and_never_shown(
    tmp_path: Path, line: str, environ: dict[str, str], expected: str
) -> None:
    text = f'[integrations.post]\nhost = "mail.example.com"\n{line}\n[workspace]\nname = "Acme"\n'

    assert told(tmp_path, text, environ) == [expected]


def test_the_mistakes_of_an_integration_are_told_with_the_others(tmp_path: Path) -> None:
    text = """\
[integrations.post]
prot = 25
passwrd_env = "POST_PASSWORD"
password_env = "POST_PASSWORD"
[integrations.poste]
[workspace]
name = 5
"""
    assert told(tmp_path, text) == [
        "config.toml:1: integrations.post.host: is missing → add it",
        "config.toml:2: integrations.post.prot: is no setting here → did you mean 'port'?",
        "config.toml:3: integrations.post.passwrd_env: is no setting here → did you mean 'password_env'?",
        "config.toml:4: integrations.post.password_env: the environment variable POST_PASSWORD is not set → export POST_PASSWORD=… before the start",
        "config.toml:5: integrations.poste: is no integration → did you mean 'post'?",
        'config.toml:7: workspace.name: 5 will not do → write text in quotes: "…"',
    ]


def test_text_messages_are_sent_where_somebody_is_named_who_can(tmp_path: Path) -> None:
    start = '[workspace]\nname = "A"\n'

    assert config(tmp_path, start).outreach.texter == ""
    assert "telegraph" in config(tmp_path, f'{start}[outreach]\ntexter = "telegraph"\n').integrations
    assert told(tmp_path, f'{start}[outreach]\ntexter = "post"\n') == [
        "config.toml:4: outreach.texter: 'post' cannot do this → use one of: telegraph"
    ]


def test_what_a_workspace_rests_on_must_be_able_and_set_up(tmp_path: Path) -> None:
    text = (
        '[workspace]\nname = "A"\n[crm]\nsource = "post"\n[outreach]\nmailer = "post"\nalerts = "post"\ndesk = "post"\n'
    )

    assert told(tmp_path, text) == [
        'config.toml:1: workspace.postal_address: is missing, and no mail may leave without it → write postal_address = "…"',
        'config.toml:1: workspace.sender_address: is missing, and no mail may leave without it → write sender_address = "…"',
        "config.toml:4: crm.source: 'post' cannot do this",
        "config.toml:6: outreach.mailer: 'post' is not set up → add a section [integrations.post]",
        "config.toml:7: outreach.alerts: 'post' cannot do this → use one of: console",
        "config.toml:8: outreach.desk: 'post' cannot do this",
    ]


def test_the_database_may_be_named_by_the_environment(tmp_path: Path) -> None:
    address = f"postgresql://keepwell:{SECRET}@db.example.com/keepwell"

    found = config(tmp_path, environ={"DATABASE_URL": address})

    assert found.database == address
    assert SECRET not in repr(found)


@pytest.mark.parametrize("host", sorted(FORGETFUL_HOSTS))
def test_a_host_that_forgets_its_disk_gets_no_sqlite(tmp_path: Path, host: str) -> None:
    assert told(tmp_path, '[workspace]\nname = "A"\n', {host: "here"}) == [
        f"config.toml:1: workspace.database: {FORGETFUL_HOSTS[host]} forgets its disk at every restart, and SQLite is a file on it → add a PostgreSQL database there and set DATABASE_URL to its address"
    ]
    config(tmp_path, environ={host: "here", "DATABASE_URL": "postgres://db.example.com/keepwell"})


@pytest.mark.parametrize(
    ("database", "environ", "says"),
    [
        (f"postgresql://keepwell:{SECRET}@db/x", {}, "a password must not stand in this file"),
        (f"postgresql://db/x?password={SECRET}", {}, "a password must not stand in this file"),
        ("mysql://db/x", {}, "'mysql://db/x' names no database"),
        ("sqlite:///k.db", {"DATABASE_URL": f"mysql://u:{SECRET}@db"}, "DATABASE_URL in the environment names no data"),
    ],
)
def test_a_database_that_will_not_do_is_told(tmp_path: Path, database: str, environ: dict[str, str], says: str) -> None:
    (line,) = told(tmp_path, f'[workspace]\nname = "A"\ndatabase = "{database}"\n', environ)

    assert line.startswith(f"config.toml:3: workspace.database: {says}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not there → make a workspace with: keepwell init"),
        (b"name = '\xff'", "is not UTF-8 text → save it as UTF-8"),
        (b"a = ", 'a has no value → write a = "…", or take the line out'),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "config.toml").write_bytes(content)

    with pytest.raises(Problems, match=r"config\.toml") as caught:
        load(tmp_path, {})

    assert str(caught.value).endswith(says)


def test_a_trial_names_who_may_be_reached(tmp_path: Path) -> None:
    text = '[workspace]\nname = "A"\n[outreach]\nonly_to = ["ann@acme.example", "@acme.example"]\n[crm]\nonly_contacts = ["7"]\n'
    found = config(tmp_path, text)
    assert (found.outreach.only_to, found.crm.only_contacts) == (("ann@acme.example", "@acme.example"), ("7",))

    for wrong in ("acme.example", "@acme", "ann@acme@example.com", "@"):
        (line,) = told(tmp_path, f'[workspace]\nname = "A"\n[outreach]\nonly_to = ["{wrong}"]\n')
        assert 'write an e-mail address, or an @ and a domain, as in "@acme.example"' in line
