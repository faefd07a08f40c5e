"""What plays do, and what stands in their way."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell plays --explain ann@example.com")
@click.option(
    "--explain", "customer", metavar="CUSTOMER", help="What would happen to this customer now, and why not more."
)
@click.option("--worst", is_flag=True, help="Every customer in the worst band: what was done, or why nothing was.")
@as_json_option
@with_workspace
def plays(workspace: Workspace, customer: str | None, worst: bool, as_json: bool) -> None:
    """List the plays with what came of them in 30 days; explain one customer, or every one in the worst band."""
    from worker import playbook
    from worker.lib.clock import seconds

    if customer is not None:
        _explain(workspace, customer, as_json)
        return
    if worst:
        _worst(workspace, as_json)
        return
    since = seconds(workspace.clock) - playbook.LATELY
    told, refused = playbook.plays_told(workspace, since), playbook.refusals_told(workspace, since)
    if as_json:
        print_json({"plays": told, "refusals": refused})
        return
    print_table([[name, *counts.values()] for name, counts in sorted(told.items())],
                ["play", "set off", "mails", "tasks", "alerts", "refused", "waited"])  # fmt: skip
    if refused:
        click.echo("\nIn the way stood: " + ", ".join(f"{rule} {n} times" for rule, n in refused.items()))


def _explain(workspace: Workspace, customer: str, as_json: bool) -> None:
    from worker import playbook
    from worker.report import find_customer

    found = playbook.explain_plays(workspace, find_customer(workspace.store, customer))
    if as_json:
        print_json(asdict(found))
        return
    click.echo(f"{found.name or found.customer_id} is {found.band or 'not scored yet'}.")
    _tell(
        "Under way",
        [f"{one['what']}: {one['state']}, due {one['due_at']} {one['why']}" for one in found.under_way],
    )
    would = [one for one in found.would if one.does]
    _tell(
        "Would be done now, if it came about",
        [f"{one.play}: {one.does}" + (f" ({one.rule}: {one.reason})" if one.rule else "") for one in would],
    )
    _tell("Stands in the way", [f"{one.play}: {one.rule}: {one.reason}" for one in found.would if not one.does])
    _tell(
        "In the last 30 days",
        [f"{one['at'][:10]} {one['play']}: {one['what']} {one['rule']} {one['reason']}" for one in found.lately],
    )


def _tell(title: str, lines: list[str]) -> None:
    if lines:
        click.echo(f"\n{title}:")
    for line in lines:
        click.echo(f"  {line.rstrip()}")


def _worst(workspace: Workspace, as_json: bool) -> None:
    from worker import playbook
    from worker.lib.clock import iso

    found = playbook.worst(workspace)
    if as_json:
        print_json([{**asdict(one), "since": iso(one.since)} for one in found])
        return
    print_table(
        [[one.name, iso(one.since)[:10], one.act or f"nothing: {one.rule}: {one.reason}"] for one in found],
        ["customer", "since", "what was done"],
    )
    acted = sum(bool(one.act) for one in found)
    click.echo(f"\n{len(found)} in the worst band: {acted} with an act, {len(found) - acted} with a reason why not.")
