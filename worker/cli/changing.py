"""Changing a scorecard without fear: look at it, live with it, make it count, and take it back."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import FINDING, as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.scoring.lint import Report
    from worker.workspace import Workspace

SHOWN = 30
"""Customers in a table; JSON and the page have more."""

_card = click.Path(exists=True, path_type=Path)


@main.command(epilog="Example: keepwell lint scorecard.toml")
@click.argument("card", type=_card, required=False)
@as_json_option
@click.pass_obj
def lint(folder: Path, card: Path | None, as_json: bool) -> None:
    """Look for faults in CARD: a file, a folder of cards, or the workspace's own. Exit code 1 where one is an error.

    In a workspace its plays, sources and past are asked as well; a file by itself is looked at by itself.
    """
    from worker import cards, grounds
    from worker.config import FILE
    from worker.lib.store import StoreError
    from worker.workspace import open_workspace

    workspace = open_workspace(folder, os.environ) if card is None or (folder / FILE).is_file() else None
    try:
        if workspace is not None and workspace.store.pending_migrations():
            raise StoreError("changes of the tables wait; run: keepwell migrate")
        differs = ""
        if workspace is not None and card is None:
            files, differs = grounds.own(workspace)
        else:
            assert card is not None
            files = cards.read_files(card)
        reports = grounds.lint_files(files, workspace)
    finally:
        if workspace is not None:
            workspace.close()
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        for report in reports:
            _tell(report)
        if differs:
            click.echo(differs)
    sys.exit(FINDING if any(report.errors for report in reports) else 0)


def _tell(report: Report) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    warnings = len(report.findings) - report.errors
    click.echo(f"{report.file}: {report.errors} errors, {warnings} warnings")
    for one in report.not_checked:
        click.echo(f"not checked: {one}")


@main.command(epilog="Example: keepwell preview scorecard.toml --html preview.html")
@click.argument("card", metavar="NEW", type=_card)
@click.option("--days", type=click.IntRange(1, 730), default=90, show_default=True, help="How many days to live again.")
@click.option("--html", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write it as one page as well.")
@as_json_option
@with_workspace
def preview(workspace: Workspace, card: Path, days: int, to: Path | None, as_json: bool) -> None:
    """Live the past again under the scorecard NEW: who would stand where, and what would have been done.

    Nothing is written or sent; that exactly this file was previewed is remembered, for `keepwell activate`.
    """
    from worker import cards
    from worker import preview as joined
    from worker.review import preview as words

    if to is not None and not to.resolve().parent.is_dir():
        raise click.BadParameter(f"{str(to.parent)!r} is no folder, so nothing could be written", param_hint="--html")
    with click.progressbar(
        length=joined.count(workspace, days), label="Living it again", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        found = joined.preview(workspace, cards.read_files(card), days, lambda done: bar.update(done - bar.pos))
    if to is not None:
        to.write_text(joined.as_page(found), "utf-8")
    if as_json:
        print_json(joined.as_json(found))
    else:
        for line in words.headline(found):
            click.echo(line)
        print_table(words.band_table(found), words.BAND_HEADERS)
        if found.turned:
            print_table(words.turned_table(found, SHOWN), words.TURNED_HEADERS)
        if len(found.turned) > SHOWN:
            click.echo(f"… and {len(found.turned) - SHOWN} more; --html and --json have them")
        for line in words.the_rest(found):
            click.echo(line)
        click.echo(f"Make it count with: keepwell activate {card}")
    if to is not None:
        click.echo(f"written: {to}", err=True)


@main.command(epilog="Example: keepwell activate scorecard.toml")
@click.argument("card", metavar="NEW", type=_card, required=False)
@click.option("--back", is_flag=True, help="Let the version before this one count again.")
@click.option("--version", "number", type=click.IntRange(1), help="Let the version of this number count again.")
@as_json_option
@with_workspace
def activate(workspace: Workspace, card: Path | None, back: bool, number: int | None, as_json: bool) -> None:
    """Make the scorecard NEW count, from the next run on. Without NEW, list the versions.

    Only after `keepwell preview` of exactly this file, not longer than a week ago, and without an error in `keepwell
    lint`. Going back needs neither.
    """
    from worker import cards, changing
    from worker.lib.clock import seconds

    if sum((card is not None, back, number is not None)) > 1:
        raise click.UsageError("name a file, or --back, or --version; not two of them")
    if card is None and not back and number is None:
        rows = changing.listed(workspace)
        if as_json:
            print_json(rows)
        else:
            shown = [[*list(row.values())[:-1], "counts now" if row["counts"] else ""] for row in rows]
            print_table(shown, ["number", "name", "version", "since", "by", ""])
        return
    if card is None:
        version = cards.go_back(workspace.store, workspace.deck.version, seconds(workspace.clock), number)
    else:
        try:
            version = changing.activate(workspace, cards.read_files(card), _author())
        except changing.Faulty as faulty:
            for report in faulty.reports:
                _tell(report)
            click.echo("Not activated: mend the errors first.", err=True)
            sys.exit(FINDING)
    left = changing.write_back(workspace, version)
    if as_json:
        print_json({"number": version.number, "name": version.name, "version": version.version})
    else:
        click.echo(f"Version {version.number} of the scorecard, “{version.name}”, counts from the next run on.")
    if left:
        click.echo(left, err=True)


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a machine that has no name for its user
        return "the operator"


@main.command(epilog='Example: keepwell colours today.csv --words "green=Happy,yellow=So so,red=Worried"')
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--tags", default="", metavar="BAND=ID,…", help="Take them from the CRM's tags instead, by their ids.")
@click.option("--words", default="", metavar="BAND=WORD,…", help="What the file calls our bands, where it differs.")
@click.option("--customer", default="", metavar="COLUMN", help="The column that names the customer.")
@click.option("--colour", default="", metavar="COLUMN", help="The column with the colour.")
@as_json_option
@with_workspace
def colours(
    workspace: Workspace, file: Path | None, tags: str, words: str, customer: str, colour: str, as_json: bool
) -> None:
    """Bring in the colours your customers have today, and see where they agree with ours.

    FILE is a CSV file with a row a customer: an id, an address, a name or a Keap id, and a colour. Each import takes the
    place of the one before. Without FILE and --tags nothing is brought in, only compared; the page /colours shows the
    same.
    """
    from worker import colours as joined

    if file is not None and tags:
        raise click.UsageError("name a file or --tags, not both")
    done = None
    if file is not None:
        done = joined.import_file(workspace, file, customer=customer, colour=colour, words=_pairs(words))
    elif tags:
        done = joined.import_tags(workspace, _pairs(tags))
    found = joined.side_by_side(workspace)
    if as_json:
        print_json({"imported": asdict(done) if done else None, **asdict(found), "share": found.share})
        return
    if done is not None:
        for line in done.doubtful:
            click.echo(f"left out: {line}", err=True)
        taken = ", ".join(f"{n} {band}" for band, n in done.given.items())
        click.echo(f"{done.rows} rows, {sum(done.given.values())} customers taken in ({taken or 'none'})")
    if not found.as_of:
        click.echo("There are no given colours yet.")
        return
    rows = [[given, *row.values()] for given, row in found.matrix.items()]
    print_table(rows, ["given", *(f"ours: {band}" for band in found.bands)])
    click.echo(f"{found.agreeing} of {found.compared} agree ({found.share}%); {found.unknown} are unknown to us")
    for one in found.apart:
        click.echo(f"{one.name or one.customer_id}: given {one.given}, ours {one.ours} {one.score}".rstrip())
        for why in one.why[:3]:
            click.echo(f"    {why}")


def _pairs(text: str) -> dict[str, str]:
    """Read `green=12,yellow=14` as {what it is called there: our band}."""
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        band, sign, word = part.partition("=")
        if not sign or not word.strip():
            raise click.BadParameter(f"{part!r} should be band=word, as in green=Happy")
        found[word.strip()] = band.strip().casefold()
    return found
