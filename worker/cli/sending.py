"""What came back of our mails, and letting them leave again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell reputation usage-drop --resume")
@click.argument("play", required=False)
@click.option("--resume", is_flag=True, help="You have seen to it: mails leave again, and are counted anew from now.")
@as_json_option
@with_workspace
def reputation(workspace: Workspace, play: str | None, resume: bool, as_json: bool) -> None:
    """Show what came back of the mails of the last 30 days: complaints, and what could not be delivered.

    From 0.1 % complaints on mails wait; from 0.3 % on they are stopped until you say --resume, for one PLAY or for all.
    """
    from worker import deliverability

    if resume:
        deliverability.lift(workspace, play or "")
        click.echo(f"Mails{f' of {play}' if play else ''} may leave again, and are counted anew from now.")
        return
    found = [row for row in deliverability.told(workspace) if play in (None, row["play"])]
    print_json(found) if as_json else print_table(
        [
            (
                row["play"] or "all", row["sent"], row["complaints"],
                f"{row['bounced']} of {row['newest']}" if row["play"] else "", row["state"], row["reason"],
            )
            for row in found
        ],
        ["play", "mails", "complaints", "bounced", "state", "why"],
    )  # fmt: skip
