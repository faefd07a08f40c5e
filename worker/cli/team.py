"""What our own people are told: what to do first in the morning, and what customers lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell feedback")
@as_json_option
@with_workspace
def feedback(workspace: Workspace, as_json: bool) -> None:
    """Show what several customers lack, since the product team was last told.

    It is told by itself once a week, for each play with a section [collect]. To look changes nothing.
    """
    from worker import feedback

    found = feedback.digests(workspace)
    if as_json:
        print_json([one.shown() for one in found])
        return
    for one in found:
        click.echo(f"{one.title} ({one.play}): {one.customers} customers since {one.shown()['since'][:10]}")
    print_table(
        [(one.play, lack.kind, lack.label, lack.customers, lack.times) for one in found for lack in one.lacks],
        ["play", "what", "which", "customers", "times"],
    )
