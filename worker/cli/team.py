"""What our own people are told: what to do first in the morning, and what customers lack."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, lease, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.morning import Message
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell morning --dry-run")
@click.option("--owner", metavar="ID", help="Only the message to this one, by the CRM's id.")
@click.option("--dry-run", is_flag=True, help="Only show what would be sent.")
@as_json_option
@with_workspace
def morning(workspace: Workspace, owner: str | None, dry_run: bool, as_json: bool) -> None:
    """Tell your people what changed and what to do first; by itself this happens at morning_at of [team].

    Each is told once a day at most. What is shown before holds no links by which anybody could do it.
    """
    from worker import morning

    if dry_run:
        found = [one for one in morning.messages(workspace) if owner in (None, one.who)]
        print_json([one.shown() for one in found]) if as_json else _letters(found)
        return
    if reason := morning.why_not(workspace):
        raise click.ClickException(f"nothing may leave: {reason}; see what would be sent with --dry-run")
    with lease(workspace, "team"):
        told = morning.send(workspace, only=owner)
    if as_json:
        print_json(asdict(told))
        return
    for words, names in (("Told", told.sent), ("Told before", told.before)):
        if names:
            click.echo(f"{words}: {', '.join(names)}.")
    for words, reasons in (("Waits", told.waiting), ("Not told, or perhaps", told.failed)):
        for name, why in reasons.items():
            click.echo(f"{words}: {name}: {why}", err=True)
    if not (told.sent or told.before or told.waiting or told.failed):
        click.echo("Nobody has anything to hear.")


def _letters(found: list[Message]) -> None:
    for one in found:
        by = f"mail to {one.email}" if one.by == "mail" else one.by
        click.echo(f"{one.name or 'Customers without an owner'} ({by}): {one.gist}")
        for line in one.lines:
            click.echo("  " + " ".join([line.text, *(f"[{button.label}]" for button in line.buttons)]))
    if not found:
        click.echo("Nobody has anything to hear.")


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
