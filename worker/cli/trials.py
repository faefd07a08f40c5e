"""Leaving some customers out of a play, so that its worth can be told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


class _Percent(click.ParamType[float]):
    """`10` or `10%`, between two bounds."""

    name = "percent"

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(str(value).strip().removesuffix("%"))
        except ValueError:
            number = float("nan")
        if not self._least <= number <= self._most:
            self.fail(f"{value!r} is none; write a number from {self._least:g} to {self._most:g}", param, ctx)
        return number


@main.command("hold-out", epilog="Example: keepwell hold-out usage-drop 20% --lift 5")
@click.argument("play", required=False)
@click.argument("percent", required=False, type=_Percent(1, 50))
@click.option("--off", is_flag=True, help="End it: the play acts for everybody again.")
@click.option(
    "--base-rate", type=_Percent(0, 100),
    help="How many of a hundred reach the play's goal without it; else how many stayed for 90 days in the past.",
)  # fmt: skip
@click.option(
    "--lift", type=_Percent(-100, 100), default=5, show_default=True,
    help="How many more of a hundred the play must bring to be worth knowing of.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
@with_workspace
def hold_out(
    workspace: Workspace, play: str | None, percent: float | None, off: bool, base_rate: float | None, lift: float,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Leave a share of customers out of PLAY, to learn whether it helps; first say how many customers and weeks that takes.

    Without PLAY, list those that are on. With --json and without --yes, only say what it would take.
    """
    from worker import holdouts

    if play is None:
        found = holdouts.running(workspace)
        print_json(found) if as_json else print_table(
            [
                (
                    one["play"], f"{one['percent']} %", one["since"][:10], one["acted"], one["held"], one["merged"],
                    one["earlier"], one["still"],
                )
                for one in found
            ],
            ["play", "held out", "since", "acted", "held", "merged away", "of an earlier one", "still needed"],
        )  # fmt: skip
        return
    if off:
        holdouts.switch_off(workspace, play)
        click.echo(f"{play} acts for everybody again. Who was drawn stays on record.")
        return
    if percent is None:
        raise click.UsageError(f"say how many of a hundred: keepwell hold-out {play} 20")
    if percent != int(percent):
        raise click.UsageError("hold out a whole number of a hundred")
    planned = holdouts.plan(
        workspace, play, int(percent), None if base_rate is None else base_rate / 100, lift / 100
    )  # fmt: skip
    if as_json:
        if yes:
            holdouts.switch_on(workspace, planned)
        print_json({**asdict(planned), "on": yes})
        return
    for line in planned.lines:
        click.echo(line)
    if not yes:
        click.confirm(f"Hold {int(percent)} % out of {play}?", abort=True)
    holdouts.switch_on(workspace, planned)
    click.echo(f"{int(percent)} % of the customers for whom {play} is set off from now on are held out.")
