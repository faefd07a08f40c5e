"""Messages that wait for a person's yes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.approvals import Decision
    from worker.workspace import Workspace

by_option = click.option("--by", default="the command line", show_default=True, help="Who decides.")


@main.command(epilog="Example: keepwell approvals --json")
@as_json_option
@with_workspace
def approvals(workspace: Workspace, as_json: bool) -> None:
    """List the messages that wait for a person's yes, the newest first."""
    from worker import approvals as desk

    found = [desk.shown(workspace, one) for one in desk.waiting(workspace)]
    if as_json:
        print_json(found)
        return
    print_table(
        [
            (one["effect_id"], one["customer"] or one["customer_id"], one["what"], one["subject"], one["why"],
             str(one["expires_at"] or "")[:10])
            for one in found
        ],
        ["effect", "customer", "what", "subject", "asked because", "until"],
    )  # fmt: skip


@main.command(epilog="Example: keepwell approve eff_0k3f… --by ann")
@click.argument("effect_id", metavar="EFFECT")
@click.option("--yes", is_flag=True, help="Do not show it and ask.")
@by_option
@with_workspace
def approve(workspace: Workspace, effect_id: str, yes: bool, by: str) -> None:
    """Let a message leave that waits for a yes. Its text can be changed on its page."""
    from worker import approvals as desk

    one = desk.find(workspace, effect_id)
    if one.waits and not yes:
        for line in (one.act.what, f"asked because: {one.why}", "", one.act.subject, "", one.act.text, ""):
            click.echo(line)
        click.confirm("Let it leave?", abort=True)
    _tell(desk.send(workspace, effect_id, by))


@main.command(epilog='Example: keepwell refuse eff_0k3f… --note "I talk to her tomorrow" --by ann')
@click.argument("effect_id", metavar="EFFECT")
@click.option("--note", default="", help="Why not.")
@by_option
@with_workspace
def refuse(workspace: Workspace, effect_id: str, note: str, by: str) -> None:
    """Do not let a message leave that waits for a yes, and say why."""
    from worker import approvals as desk

    _tell(desk.refuse(workspace, effect_id, by, note))


def _tell(decision: Decision) -> None:
    click.echo(decision.words)
    sys.exit(0 if decision.done else FINDING)
