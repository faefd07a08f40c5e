"""Review: scores held against what really happened."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, lease, main, print_json, print_table, tell_troubles, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell -w acme lookback --html lookback.html")
@click.option(
    "--recipe",
    default="",
    metavar="CARD",
    help="A recipe's name, as `starter`, a card's file or a folder of cards; else your own.",
)
@click.option("--days", type=click.IntRange(30, 1830), default=365, show_default=True, help="How far to look back.")
@click.option("--as-of", "as_of", default="", help="End with this local day instead of now.")
@click.option("--html", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write it as one page as well.")
@click.option("--no-pull", is_flag=True, help="Ask no vendor; look at what is stored.")
@as_json_option
@click.pass_obj
def lookback(folder: Path, /, **asked: object) -> None:
    """Show who left, what the card would have said 90, 60 and 30 days before, and who was red and stayed.

    It only reads. In a new or empty folder it makes a workspace of the keys in the environment: KEAP_KEY, STRIPE_KEY,
    or ZENDESK_TOKEN with ZENDESK_EMAIL and ZENDESK_SUBDOMAIN.
    """
    from worker import setup

    for line in setup.from_environment(folder, os.environ):
        click.echo(line, err=True)
    _look_back(**asked)


@with_workspace
def _look_back(
    workspace: Workspace, *, recipe: str, days: int, as_of: str, to: Path | None, no_pull: bool, as_json: bool
) -> None:
    from worker import lookback as joined
    from worker.review import words

    if to is not None and not to.resolve().parent.is_dir():
        raise click.BadParameter(f"{str(to.parent)!r} is no folder, so nothing could be written", param_hint="--html")
    deck = joined.recipe(recipe) if recipe else workspace.deck
    troubles: dict[str, str] = {}
    if not no_pull:
        click.echo("Asking the vendors for all there is to know; the first time this may take a while.", err=True)
        with lease(workspace, "pull", "wheel"):
            troubles = joined.backfill(workspace)
    with click.progressbar(
        length=joined.steps(days), label="Looking back", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        look = joined.look_back(
            workspace, deck, days, as_of=as_of, troubles=troubles, progress=lambda done: bar.update(done - bar.pos)
        )
    if to is not None:
        to.write_text(joined.as_page(look), "utf-8")
    if as_json:
        print_json(joined.as_json(look))
    else:
        for line in words.headline(look):
            click.echo(line)
        print_table(words.table(look), words.HEADERS)
        for line in words.the_rest(look):
            click.echo(line)
    if to is not None:
        click.echo(f"written: {to}", err=True)
    tell_troubles(troubles)
