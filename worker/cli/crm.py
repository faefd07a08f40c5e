"""What stands of ours in the CRM: kept, put back, put right, and taken out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, lease, main, me, print_json, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell snapshot")
@with_workspace
def snapshot(workspace: Workspace) -> None:
    """Keep our tags and fields in the CRM as they are now, in a file beside the workspace. The schedule does it nightly."""
    from worker import snapshots

    with _told_of_failures():
        contacts = snapshots.read_contacts(workspace)
    path = snapshots.keep(workspace, contacts)
    if path is None:
        click.echo(f"Nothing in {workspace.crm_source} is ours yet, so there is nothing to keep.")
        return
    click.echo(f"{len(contacts)} contacts are in {path}")


@main.command(epilog="Example: keepwell restore snapshots/2026-01-31.json --dry-run")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--customer", help="Only this customer's contacts: an id, a name, an address, or keap:123.")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@as_json_option
@with_workspace
def restore(workspace: Workspace, file: Path, customer: str | None, dry_run: bool, as_json: bool) -> None:
    """Have our tags and fields show again what a snapshot says, and pause. Nothing of others is touched."""
    from worker import report, snapshots

    customer_id = report.find_customer(workspace.store, customer) if customer else ""
    with lease(workspace), _told_of_failures():
        done = snapshots.restore(workspace, file, dry_run=dry_run, customer_id=customer_id)
    if as_json:
        print_json(asdict(done))
    elif dry_run or not done.run_id:
        click.echo("\n".join(done.lines) or "Everything is as the snapshot says.")
    else:
        click.echo(
            f"{done.fields} fields and {done.tags} tags are as in {file.name}; undo it with: keepwell undo {done.run_id}"
        )
        for one in done.failed:
            click.echo(f"  could not be written: {one}")
        click.echo("Everything outward is paused now; let it leave again with: keepwell resume")
    sys.exit(FINDING if done.failed else 0)


@main.command(epilog="Example: keepwell reconcile --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show what differs.")
@as_json_option
@with_workspace
def reconcile(workspace: Workspace, dry_run: bool, as_json: bool) -> None:
    """Look whether every contact shows what it should, and have what differs written again. The schedule does it nightly."""
    from worker import reconcile as parts

    with lease(workspace), _told_of_failures():
        done = parts.reconcile(workspace, dry_run=dry_run)
    if as_json:
        print_json(asdict(done))
        return
    for one in (*done.edits, *done.differ):
        click.echo(one)
    then = f"{done.queued} are written again in the next turn" if done.queued else "nothing is queued"
    click.echo(f"{done.contacts} contacts looked at, {len(done.differ)} differ; {then}.")


@main.command("take-back", epilog="Example: keepwell take-back Acme --by ann")
@click.argument("customer")
@click.option("--by", default=me, help="Who says so; else your name on this machine.")
@with_workspace
def take_back(workspace: Workspace, customer: str, by: str) -> None:
    """Write ours again where somebody put something else into a field or tag of ours on this CUSTOMER's contacts."""
    from worker import controls, report

    customer_id = report.find_customer(workspace.store, customer)
    n = controls.take_back(workspace, customer_id, by)
    click.echo(f"{n} places are ours again from the next turn on." if n else "Nobody has taken a place of ours there.")


@main.command(epilog="Example: keepwell uninstall --dry-run")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
@with_workspace
def uninstall(workspace: Workspace, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take our tags, fields and hooks out of every vendor, put back what was there before, and say what is left."""
    from worker import uninstall as parts

    lines = parts.would(workspace)
    if dry_run:
        print_json(lines) if as_json else click.echo("\n".join(lines))
        return
    if not yes:
        click.echo("\n".join(lines), err=as_json)
        click.confirm("Take Keepwell out?", abort=True, err=as_json)
    with lease(workspace):
        done = parts.uninstall(workspace)
    if as_json:
        print_json(asdict(done))
    else:
        for line in done.done:
            click.echo(line)
        for line in done.left:
            click.echo(f"  LEFT  {line}")
        for line in done.asked:
            click.echo(f"  YOU   {line}")
    sys.exit(FINDING if done.left else 0)


@contextmanager
def _told_of_failures() -> Iterator[None]:
    """A vendor's failure is one line."""
    from worker.lib.http import Failure

    try:
        yield
    except Failure as failure:
        raise click.ClickException(str(failure)) from None
