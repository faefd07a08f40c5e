"""Facts in: what there is, what is pulled, imported and read again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, day, lease, main, print_json, print_table, tell_troubles, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell facts")
@as_json_option
@with_workspace
def facts(workspace: Workspace, as_json: bool) -> None:
    """List every kind of fact a scorecard can read, and how many this business has."""
    from worker import report

    found = report.facts(workspace.store)
    if as_json:
        print_json(found)
        return
    print_table(
        [(one["kind"], one["plural"], one["facts"], one["customers"], one["labels"], one["sentence"]) for one in found],
        ["kind", "in a scorecard", "facts", "customers", "labels", "what it is"],
    )


@main.command(epilog="Example: keepwell pull")
@with_workspace
def pull(workspace: Workspace) -> None:
    """Ask every vendor for what is new, and take it in. Scores nothing and sends nothing."""
    from worker import river

    with lease(workspace, "pull", "wheel"):
        done = river.take_in(workspace)
    click.echo(f"{len(done.pulled)} streams, {done.taken.deliveries} deliveries, {done.taken.facts} facts")
    tell_troubles(done.troubles)


@main.command("import", epilog="Example: keepwell import recipes/imports/ravenstack.toml data/*.csv")
@click.argument("mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--report",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the data report goes; else into the workspace.",
)
@as_json_option
@with_workspace
def import_(workspace: Workspace, mapping: Path, files: tuple[Path, ...], to: Path | None, as_json: bool) -> None:
    """Take in CSV files by a mapping. What cannot be read is refused by line; doubtful rows are kept and counted."""
    from integrations import csv
    from worker.intake.imports import import_files

    to = to or workspace.config.folder / f"{mapping.stem}.report.txt"
    if not to.resolve().parent.is_dir():
        raise click.BadParameter(
            f"{str(to.parent)!r} is no folder, so the report could not be written", param_hint="--report"
        )
    reading = csv.read(mapping, list(files))
    with click.progressbar(
        length=reading.rows, label="Taking in", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        report = import_files(
            workspace.store, reading, now=int(workspace.clock.now()), time_zone=workspace.time_zone,
            progress=lambda done, _: bar.update(done - bar.pos),
        )  # fmt: skip
    click.echo(report.as_json() if as_json else report.as_text())
    for path in report.write(to):
        click.echo(f"written: {path}", err=True)


@main.command(epilog="Example: keepwell replay stripe --since 2026-01-01")
@click.argument("source")
@click.option("--since", default="1970-01-01", help="Only what arrived on or after this day (UTC).")
@with_workspace
def replay(workspace: Workspace, source: str, since: str) -> None:
    """Read stored deliveries again, as after an upgrade. What is known already changes nothing."""
    from worker import report

    with lease(workspace):
        taken = report.replay(workspace, source, day(since))
    click.echo(f"{taken.deliveries} deliveries read again, {taken.facts} facts new or mended, {taken.parked} parked")
