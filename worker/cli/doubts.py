"""Letters of which nobody knows whether they arrived."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell unknown eff_0k3f… --arrived")
@click.argument("effect", required=False)
@click.option("--arrived", "word", flag_value="arrived", help="It is with its recipient: it is done.")
@click.option("--send-again", "word", flag_value="send_again", help="It never left: it is sent again.")
@click.option("--let-go", "word", flag_value="let_go", help="Nobody knows, and it is not sent again.")
@click.option("--by", default="", help="Who says so; else the name you are logged in with.")
@as_json_option
@with_workspace
def unknown(workspace: Workspace, effect: str | None, word: str | None, by: str, as_json: bool) -> None:
    """List the letters of which nobody knows whether they arrived, or say what became of one.

    A mail server that breaks off in the middle leaves such a letter: it is never sent again by itself. Exit code 1 where
    there are any.
    """
    from worker import unknowns

    if bool(effect) != bool(word):
        raise click.UsageError("EFFECT and one of --arrived, --send-again, --let-go go together.")
    if effect and word:
        say = {"arrived": unknowns.arrived, "send_again": unknowns.send_again, "let_go": unknowns.let_go}[word]
        say(workspace, effect, by or getpass.getuser())
        if as_json:
            print_json({"id": effect, "said": word})
        else:
            click.echo(f"{effect}: {word.replace('_', ' ')}")
        return
    found = unknowns.listed(workspace)
    if as_json:
        print_json(found)
    else:
        print_table(
            [[one["id"], one["lane"], one["to"], one["subject"], one["tried_at"], one["reason"]] for one in found],
            ["effect", "lane", "to", "subject", "tried", "why"],
        )
    if found:
        click.get_current_context().exit(FINDING)
