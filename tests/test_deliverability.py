"""`keepwell check --sender`, `keepwell reputation`, and what the schedule and going live ask of the sender."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from tests.conftest import START
from tests.dispatch.test_senders import GOOD, SENDER
from tests.names import Names, name_server
from tests.plays.post import Post
from worker import check, deliverability, setup
from worker.cli import main
from worker.lib.clock import SystemClock, VirtualClock, seconds
from worker.plays import sending
from worker.schedule import Wheel
from worker.workspace import Workspace, open_workspace

SENDS = """
[outreach]
mailer = "smtp"
spf_include = ["mail.example"]
dkim_selectors = ["k1"]
name_server = "{server}"

[integrations.smtp]
host = "127.0.0.1"
tls = "none"
"""


def folder_of(tmp_path: Path, server: str = "") -> Path:
    """A workspace whose mails leave by SMTP, and that has never sent one."""
    setup.init(tmp_path, "Acme", "a sentence of some length", {})
    config = tmp_path / "config.toml"
    text = config.read_text("utf-8").replace(
        "[workspace]\n",
        f'[workspace]\nsender_address = "{SENDER.address}"\npostal_address = "1 Lane"\npublic_url = "{SENDER.public_url}"\n',
    )
    config.write_text(text + SENDS.format(server=server), "utf-8")
    return tmp_path


def keepwell(folder: Path, *words: str) -> Result:
    done = CliRunner().invoke(main, ["-w", str(folder), *words], prog_name="keepwell")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def opened(folder: Path, clock: VirtualClock | None = None) -> Workspace:
    return open_workspace(folder, {}, clock)


def zone(*without: str) -> dict[tuple[str, str], list[str]]:
    records = {(name, "TXT"): [f'"{text[:200]}" "{text[200:]}"' for text in texts] for name, texts in GOOD.items()}
    return {key: texts for key, texts in records.items() if key[0] not in without} | {
        ("acme.example", "MX"): ["10 mx.acme.example."]
    }


def test_check_asks_for_the_sender_s_records_and_keeps_what_it_saw(tmp_path: Path) -> None:
    with name_server(zone("_dmarc.acme.example")) as server:
        folder = folder_of(tmp_path, server)
        done = keepwell(folder, "check", "--sender")

    assert done.exit_code == 1
    assert "  fine  SPF of acme.example: one record, 1 of 10 lookups" in done.output
    assert "  LOOK  DMARC: neither acme.example nor a domain above it has a DMARC record" in done.output
    workspace = opened(folder)
    kept = sending.seen(workspace.store)
    assert kept is not None
    assert kept.asked_at is not None
    assert [one.split(":")[0] for one in kept.findings] == ["DMARC"]
    workspace.close()


def test_check_tells_of_the_sender_beside_all_else_and_exits_well_where_all_is_well(tmp_path: Path) -> None:
    with name_server(zone()) as server:
        folder = folder_of(tmp_path, server)
        whole, alone = keepwell(folder, "check"), keepwell(folder, "check", "--sender", "--json")

    assert "Acme is in watch" in whole.output
    assert "alignment: signatures of acme.example speak for acme.example" in whole.output
    assert alone.exit_code == 0
    assert json.loads(alone.output)["findings"] == []


def test_where_mails_are_only_shown_nobody_is_asked(tmp_path: Path) -> None:
    setup.init(tmp_path, "Acme", "a sentence of some length", {})
    workspace, names = opened(tmp_path, VirtualClock(START)), Names({})

    check.check(workspace, None, names)

    assert names.questions == []
    assert deliverability.before_live(workspace) == []
    workspace.close()


def test_whoever_goes_live_is_told_what_mails_will_wait_for(tmp_path: Path) -> None:
    with name_server(zone("k1._domainkey.acme.example")) as server:
        folder = folder_of(tmp_path, server)
        workspace = opened(folder)
        assert deliverability.before_live(workspace) == [
            "No mail leaves before the sender's records have been looked at: keepwell check --sender"
        ]
        workspace.close()
        done = keepwell(folder, "mode", "live", "--yes")

    assert "Mails wait until this is mended: DKIM: there is no key at k1._domainkey.acme.example" in done.output
    assert "The workspace is in live." in done.output


def test_the_schedule_looks_once_a_day(tmp_path: Path) -> None:
    clock = VirtualClock(START + 12 * 3600)
    workspace = opened(folder_of(tmp_path), clock)
    names = Names(GOOD, mx={"acme.example": ["mx.acme.example"]})
    wheel = Wheel(workspace, names)

    wheel.daily()
    asked = len(names.questions)
    wheel.daily()

    assert asked == len(names.questions) > 0
    assert deliverability.before_live(workspace) == []
    clock.sleep(86_400)
    wheel.daily()
    assert len(names.questions) == 2 * asked
    workspace.close()


def test_a_stop_is_shown_by_check_and_lifted_by_a_person(tmp_path: Path) -> None:
    with name_server(zone()) as server:
        folder = folder_of(tmp_path, server)
        workspace = opened(folder)
        now = seconds(SystemClock())
        post = Post(workspace.store)
        for n in range(3):
            post.complained(post.mailed("usage-drop", now - 100), f"{n}@x.example", now - 50)
        assert sending.reputation(workspace.store, "usage-drop", now).state == "stop"
        workspace.close()

        told = keepwell(folder, "check", "--sender")
        listed = json.loads(keepwell(folder, "reputation", "--json").output)
        keepwell(folder, "reputation", "--resume")
        lifted = keepwell(folder, "reputation", "usage-drop", "--resume")
        after = keepwell(folder, "check", "--sender")

    assert "mails of usage-drop are stopped: 3 people called one of the 3 mails" in told.output
    assert "then: keepwell reputation usage-drop --resume" in told.output
    assert [(one["play"], one["sent"], one["complaints"], one["state"]) for one in listed] == [
        ("", 3, 3, "stop"), ("usage-drop", 3, 3, "stop"),
    ]  # fmt: skip
    assert "Mails of usage-drop may leave again" in lifted.output
    assert after.exit_code == 0, after.output


def test_a_play_that_there_is_not_cannot_be_resumed(tmp_path: Path) -> None:
    done = keepwell(folder_of(tmp_path), "reputation", "usage-dorp", "--resume")

    assert done.exit_code == 2
    assert "is no play → did you mean 'usage-drop'?" in done.output


def test_the_settings_of_the_sender_are_held_against_their_spelling(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    config = folder / "config.toml"
    for setting, cure in {
        'name_server = "dns.example"': "write the IP address of a name server",
        'dkim_domain = "https://acme.example"': "write a domain and nothing else",
        'spf_include = ["include:x.example"]': "write a domain and nothing else",
        'dkim_selectors = ["k1._domainkey.acme.example;"]': "dkim_selectors",
    }.items():
        before = config.read_text("utf-8")
        key = setting.split(" = ")[0]
        lines = [one for one in before.splitlines() if not one.startswith(key)]
        config.write_text("\n".join(lines).replace("[outreach]\n", f"[outreach]\n{setting}\n"), "utf-8")
        done = keepwell(folder, "facts")
        assert done.exit_code == 2
        assert cure in done.output
        config.write_text(before, "utf-8")
