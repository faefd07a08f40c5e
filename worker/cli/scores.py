"""Scores: how everybody stands, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.scoring.card import Card
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell score --as-of 2024-06-30")
@click.option("--as-of", "as_of", default="", help="The end of this local day instead of now.")
@as_json_option
@with_workspace
def score(workspace: Workspace, as_of: str, as_json: bool) -> None:
    """Score everybody and print the bands. Keeps nothing: what `run` keeps is what counts."""
    from worker import report

    result = report.scores(workspace, as_of)
    if as_json:
        print_json(result)
        return
    left = f", {result['left']} of whom had left" if result["left"] else ""
    click.echo(f"{len(result['customers'])} customers as of {result['as_of']} under {result['card']}{left}")
    print_table([(band, n) for band, n in result["bands"].items()], ["band", "customers"])


@main.command(epilog="Example: keepwell explain ann@example.com --since 2026-01-01")
@click.argument("customer")
@click.option("--since", default="", help="Say as well what has moved the score since the end of this local day.")
@as_json_option
@with_workspace
def explain(workspace: Workspace, customer: str, since: str, as_json: bool) -> None:
    """Say why a customer stands where they stand. CUSTOMER is an id, a name, an address, or keap:123."""
    from worker import report

    found = report.explain(workspace, customer, since)
    if as_json:
        print_json(found)
        return
    for line in found["lines"]:
        click.echo(line)
    if found["ledger"]:
        click.echo(f"\n{found['ledger']['head']}")
        print_table(found["ledger"]["lines"], ["points", "by", "what"])


@main.command(epilog="Example: keepwell show recipes/scorecards/starter.toml")
@click.argument("card", required=False, type=click.Path(exists=True, path_type=Path))
@as_json_option
def show(card: Path | None, as_json: bool) -> None:
    """Print a scorecard in sentences, with what each measure can cost. CARD is a file or a folder; else our own."""
    from worker.scoring import choice, showing

    cards = list(choice.load_deck(card).cards.values()) if card else _own_cards()
    if as_json:
        print_json([showing.card_as_data(one) for one in cards])
        return
    for place, one in enumerate(cards):
        for line in ([""] if place else []) + showing.card_in_words(one):
            click.echo(line)


@with_workspace
def _own_cards(workspace: Workspace) -> list[Card]:
    return [workspace.card]


@main.command(
    "eval", epilog="Example: keepwell eval recipes/scorecards/starter.toml recipes/scorecards/starter.cases.jsonl"
)
@click.argument("card", type=click.Path(exists=True, path_type=Path))
@click.argument("cases", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def eval_(card: Path, cases: Path) -> None:
    """Judge made-up customers by a scorecard, one JSON line each. Exit code 1 where one differs from its `expect`."""
    from worker import evaluate

    sys.exit(evaluate.run(card, cases, click.echo))
