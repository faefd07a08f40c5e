"""Mails before customers get them: look at one, send one to yourself, look all of them over."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, main, print_json, with_workspace
from worker.lib.problems import Problem, Problems

if TYPE_CHECKING:
    from worker.workspace import Workspace

_customer = click.option("--customer", default="", help="An id, a name, an address, or keap:123.")
_language = click.option("--language", default="", metavar="TAG", help="The variant in this language, as `de`.")


@main.group()
def mail() -> None:
    """Mails before customers get them."""


@mail.command(epilog="Example: keepwell mail preview usage-drop --customer ann@example.com --html mail.html")
@click.argument("name")
@_customer
@click.option("--html", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write its HTML to this file.")
@_language
@as_json_option
@with_workspace
def preview(workspace: Workspace, name: str, customer: str, to: Path | None, language: str, as_json: bool) -> None:
    """Show a mail as a customer would get it, or somebody made up. Nothing is sent."""
    from worker import mails

    shown = mails.preview(workspace, name, customer, language)
    rendered = shown.rendered
    if to is not None:
        to.write_text(rendered.html, "utf-8")
    if as_json:
        print_json(
            {
                "template": shown.template.name, "customer_id": shown.customer_id, "customer": shown.customer,
                "from": shown.sender, **asdict(rendered),
            }
        )  # fmt: skip
        return
    click.echo(f"For:       {shown.customer}\nFrom:      {shown.sender}\nSubject:   {rendered.subject}")
    click.echo(f"Preheader: {rendered.preheader}\n\n{rendered.text}", nl=False)
    if to is not None:
        click.echo(f"written: {to}", err=True)


@mail.command(epilog="Example: keepwell mail test usage-drop --customer ann@example.com --to me@example.com --dry-run")
@click.argument("name")
@_customer
@click.option("--to", required=True, help="One of your own addresses, from test_addresses in [outreach].")
@_language
@click.option("--dry-run", is_flag=True, help="Do everything but send it.")
@with_workspace
def test(workspace: Workspace, name: str, customer: str, to: str, language: str, dry_run: bool) -> None:
    """Send a mail, as a customer would get it, to yourself. The customer gets nothing, and nothing of it is kept."""
    from worker import mails
    from worker.lib.http import Failure

    try:
        reference = mails.send_test(workspace, name, customer, to, language, dry_run=dry_run)
    except Failure as failure:
        raise click.ClickException(str(failure)) from None
    click.echo(f"would be sent to {to}" if dry_run else f"sent to {to}: {reference}")


@mail.command(epilog="Example: keepwell mail lint --json")
@click.argument("name", required=False, default="")
@as_json_option
@click.pass_obj
def lint(folder: Path, name: str, as_json: bool) -> None:
    """Write all mails, or NAME, for some customers and some made up, and tell what is wrong. Exit code 1 for findings."""
    from worker import mails
    from worker.workspace import open_workspace

    found: list[Problem]
    try:
        workspace = open_workspace(folder, os.environ)
    except Problems as faulty:  # of mails alone: those are findings like the others
        if not all(one.file.endswith((".md", ".mjml", ".txt")) for one in faulty.problems):
            raise
        found = list(faulty.problems)
    else:
        try:
            found = mails.lint(workspace, name)
        finally:
            workspace.close()
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            click.echo(str(one))
        click.echo(f"{len(found)} findings" if found else "No findings.", err=bool(found))
    sys.exit(FINDING if found else 0)
