"""What people say against, or beside, the score: overrides, pulses, and answers to disagreements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.cli.base import as_json_option, main, print_json, print_table, with_workspace

if TYPE_CHECKING:
    from worker.workspace import Workspace


@main.command(
    epilog='Example: keepwell override Acme --at-most yellow --until 2026-03-01 --reason "new owner" --by ann'
)
@click.argument("customer", required=False)
@click.option("--set", "set_", metavar="LIMIT", help="The band or the score that holds instead: red, 40.")
@click.option("--at-most", metavar="LIMIT", help="No better than this band or score.")
@click.option("--at-least", metavar="LIMIT", help="No worse than this band or score.")
@click.option("--until", default="", help="The last day on which it holds, at most a year away.")
@click.option("--reason", default="", help="Why.")
@click.option("--by", default="", help="Who says so.")
@click.option("--end", is_flag=True, help="End the one that is in force.")
@as_json_option
@with_workspace
def override(
    workspace: Workspace, customer: str | None, set_: str | None, at_most: str | None, at_least: str | None, until: str,
    reason: str, by: str, end: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say against the score where a customer stands, until a day. Without a limit, list the overrides in force.

    The computed score goes on beside it; when its time is over it ends by itself. CUSTOMER is an id, a name, an address,
    or keap:123.
    """
    from worker import opinions, report

    given = {how: limit for how, limit in (("set", set_), ("at_most", at_most), ("at_least", at_least)) if limit}
    if customer is None and (given or end):
        raise click.UsageError("say whose: keepwell override CUSTOMER …")
    customer_id = report.find_customer(workspace.store, customer) if customer is not None else ""
    if not given and not end:
        found = [one for one in opinions.overrides_in_force(workspace) if customer_id in ("", one["customer_id"])]
        print_json(found) if as_json else _table_of_overrides(found)
        return
    if end:
        ended = opinions.end_override(workspace, customer_id, by)
        click.echo(f"Ended: the override by {ended.author}. The next turn gives the computed band back.")
        return
    if len(given) != 1:
        raise click.UsageError("say only one of --set, --at-most and --at-least")
    [(how, limit)] = given.items()
    shown = opinions.set_override(workspace, customer_id, how=how, limit=limit, until=until, reason=reason, by=by)
    if as_json:
        print_json(shown)
        return
    words = f"{shown['how'].replace('_', ' ')} {shown['limit']} until {shown['last_day']}"
    click.echo(f"{shown['name'] or customer_id}: {words}. The next turn shows it (keepwell run).")


def _table_of_overrides(found: list[dict[str, object]]) -> None:
    print_table(
        [
            (
                one["name"] or one["customer_id"], f"{str(one['how']).replace('_', ' ')} {one['limit']}",
                " ".join(str(part) for part in (one["computed_band"], one["computed_score"]) if part is not None),
                one["author"], one["last_day"], one["reason"],
            )
            for one in found
        ],
        ["customer", "override", "without it", "by", "until", "why"],
    )  # fmt: skip


@main.command(epilog='Example: keepwell pulse Acme 2 --note "sponsor has left" --by ann')
@click.argument("customer", required=False)
@click.argument("value", required=False)
@click.option("--note", default="", help="What is behind it.")
@click.option("--by", default="", help="Whose pulse or answer it is.")
@click.option("--answer", nargs=2, metavar="DISAGREEMENT TEXT", help="Close a disagreement with this answer.")
@click.option("--right", type=click.Choice(["score", "pulse"]), help="With --answer: which of the two was right.")
@as_json_option
@with_workspace
def pulse(
    workspace: Workspace, customer: str | None, value: str | None, note: str, by: str, answer: tuple[str, str] | None,
    right: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say how a customer is, from 1 (worst) to 5 (best). Without CUSTOMER, list the open disagreements.

    A disagreement is where a pulse and the band part by two steps. CUSTOMER is an id, a name, an address, or keap:123.
    """
    from worker import opinions, report
    from worker.intake import pulses
    from worker.intake.pull import store_raw
    from worker.lib.clock import seconds

    if answer:
        closed = opinions.answer(workspace, *answer, by=by, right=right or "")
        click.echo(f"Closed: the disagreement about {closed.name or closed.customer_id}.")
        return
    if customer is None:
        found = opinions.open_disagreements(workspace)
        print_json(found) if as_json else _table_of_disagreements(found)
        return
    if value is None:
        raise click.UsageError("say how it is, 1 to 5: keepwell pulse CUSTOMER 2")
    customer_id = report.find_customer(workspace.store, customer)
    given = opinions.pulse_given(workspace, customer_id, value=value, note=note, by=by)
    receipt = given.receipt()
    store_raw(
        workspace.store, pulses.SOURCE, "cli", receipt.external_id, receipt.body, seconds(workspace.clock)
    )  # fmt: skip
    click.echo(f"Stored: {given.value} of 5 by {given.author}. The next turn takes it in (keepwell run).")


def _table_of_disagreements(found: list[dict[str, object]]) -> None:
    print_table(
        [
            (
                one["id"], one["name"] or one["customer_id"], one["band"], f"{one['pulse']} by {one['pulse_author'] or '?'}",
                one["owner"], str(one["opened_at"])[:10],
            )
            for one in found
        ],
        ["disagreement", "customer", "band", "pulse", "owner", "since"],
    )  # fmt: skip
