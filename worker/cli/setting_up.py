"""Making a workspace, and the keys to it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell init acme --name 'Acme Software'")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="", help="What the business is called; else the folder's name.")
def init(folder: Path, name: str) -> None:
    """Make a workspace: a folder with config.toml, its tables, and the operator's password. It starts in `watch`.

    The password for the pages is taken from KEEPWELL_PASSWORD, or asked for.
    """
    from worker import setup

    password = os.environ.get("KEEPWELL_PASSWORD") or str(
        click.prompt("Password for the pages (10 characters or more)", hide_input=True, confirmation_prompt=True)
    )
    for line in setup.init(folder, name or folder.resolve().name, password, os.environ):
        click.echo(line)


@main.command(epilog="Example: keepwell migrate")
@click.pass_obj
def migrate(folder: Path) -> None:
    """Bring the tables up to date. Safe at any time; the first thing to do after an upgrade."""
    from worker import setup

    applied = setup.migrate(folder, os.environ)
    click.echo(f"{len(applied)} applied: {', '.join(applied)}" if applied else "The tables are up to date.")


@main.command(epilog="Example: keepwell check --canary 4711")
@click.option("--canary", metavar="CONTACT", help="Try on this one CRM contact how a field write treats other fields.")
@click.option(
    "--sender", is_flag=True, help="Only whether mailbox providers believe our mails: SPF, DKIM, DMARC and all."
)
@as_json_option
@with_workspace
def check(workspace: Workspace, canary: str | None, sender: bool, as_json: bool) -> None:
    """Ask every vendor who we are, and tell what needs a person. Exit code 1 where something does."""
    from worker import check as checks
    from worker import deliverability

    resolver = deliverability.resolver_of(workspace)
    report = checks.sender(workspace, resolver) if sender else checks.check(workspace, canary, resolver)
    if as_json:
        print_json(asdict(report))
    else:
        for line in report.fine:
            click.echo(f"  fine  {line}")
        for line in report.findings:
            click.echo(f"  LOOK  {line}")
    sys.exit(FINDING if report.findings else 0)


@main.command("config-example", epilog="Example: keepwell config-example > config.toml")
def config_example() -> None:
    """Print a config.toml with every setting, its default and what it is for."""
    from worker.example import example

    click.echo(example(), nl=False)


@main.group()
def keys() -> None:
    """Keys for the API: what Make, Zapier and your product sign in with."""


@keys.command("create", epilog="Example: keepwell keys create make")
@click.argument("name")
@with_workspace
def keys_create(workspace: Workspace, name: str) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from worker.web import auth

    click.echo(auth.create_key(workspace.store, name, int(workspace.clock.now())))


@keys.command("list", epilog="Example: keepwell keys list --json")
@as_json_option
@with_workspace
def keys_list(workspace: Workspace, as_json: bool) -> None:
    """List the keys by name."""
    from worker.web import auth

    found = auth.keys(workspace.store)
    print_json(found) if as_json else print_table(
        [list(one.values()) for one in found], ["id", "name", "made", "revoked"]
    )


@keys.command("revoke", epilog="Example: keepwell keys revoke key_0k3f…")
@click.argument("key_id")
@with_workspace
def keys_revoke(workspace: Workspace, key_id: str) -> None:
    """Make a key worthless at once."""
    from worker.web import auth

    if not auth.revoke_key(workspace.store, key_id, int(workspace.clock.now())):
        raise click.BadParameter(f"there is no key {key_id!r} in use; see: keepwell keys list")
    click.echo(f"{key_id} is revoked.")
