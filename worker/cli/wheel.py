"""Turning the wheel, by hand or by the schedule; what may leave, and taking it back."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import (
    FINDING,
    Unusable,
    as_json_option,
    lease,
    main,
    me,
    print_json,
    print_table,
    tell_troubles,
    with_workspace,
)

if TYPE_CHECKING:
    from worker.schedule import Wheel
    from worker.workspace import Workspace


@main.command(epilog="Example: keepwell run --dry-run")
@click.option("--dry-run", is_flag=True, help="Decide everything, let nothing leave, and show what waits.")
@as_json_option
@with_workspace
def run(workspace: Workspace, dry_run: bool, as_json: bool) -> None:
    """Turn the wheel once: pull, parse, assess, dispatch. In `watch` nothing leaves."""
    from worker import controls, report, river

    with lease(workspace, "pull", "wheel"):
        done = river.turn(workspace, dispatch=not dry_run)
    waiting = controls.waiting(workspace.store) if dry_run else []
    if as_json:
        print_json({**asdict(done), "waiting": waiting})
        return
    for line in report.turn_in_words(done, workspace.mode):
        click.echo(line)
    for one in waiting:
        click.echo(f"  would: {one['what']}")
    tell_troubles(done.troubles)


@main.command(epilog="Example: keepwell mode approve")
@click.argument("to", required=False, type=click.Choice(["watch", "draft", "approve", "live"]))
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_workspace
def mode(workspace: Workspace, to: str | None, yes: bool) -> None:
    """Show the mode, or change it, after showing what that changes.

    \b
    watch    scores, and writes nothing anywhere
    draft    shows what it would write and send: keepwell drafts
    approve  lets out the kinds of act that a person has released: keepwell release
    live     writes and sends
    """
    from worker import controls, deliverability

    if to is None or to == workspace.mode:
        click.echo(workspace.mode)
        return
    if to in ("approve", "live") and deliverability.leaves(workspace):
        deliverability.look(workspace, deliverability.resolver_of(workspace))
    for line in controls.mode_would(workspace, to):
        click.echo(line)
    if not yes:
        click.confirm(f"Change from {workspace.mode} to {to}?", abort=True)
    controls.set_mode(workspace, to)
    click.echo(f"The workspace is in {to}.")


@main.command(epilog="Example: keepwell drafts --json")
@as_json_option
@with_workspace
def drafts(workspace: Workspace, as_json: bool) -> None:
    """List what would be written and sent, in the mode `draft`."""
    from worker import controls

    found = controls.pooled(workspace.store, "draft")
    print_json(found) if as_json else print_table([[one["due_at"], one["what"]] for one in found], ["from", "what"])


BACKFILL = "backfill"
"""Not a kind of act: the tags of those who merely stand where they stood before anything left."""


@main.command(epilog="Example: keepwell release play:usage-drop")
@click.argument("kind", required=False)
@click.option("--all", "everything", is_flag=True, help="Release every kind that waits.")
@click.option("--per-hour", type=click.IntRange(min=1), help="Of the backfill: so many tags an hour, not all at once.")
@click.option("--by", default=me, help="Who releases it; else your name on this machine.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
@with_workspace
def release(
    workspace: Workspace, kind: str | None, everything: bool, per_hour: int | None, by: str, yes: bool, as_json: bool
) -> None:
    """Let acts of one KIND leave, in the mode `approve`. Without KIND, list the kinds that wait, with three cases each.

    \b
    tag:red, field:score   a place in the CRM
    play:usage-drop        the mails, tasks and alerts of a play
    alert                  what the team is told otherwise
    backfill               in any mode: the tags of those who merely stand where they stood before anything left
    """
    from worker import controls, deliverability
    from worker.dispatch import backfill

    if (per_hour is not None and kind != BACKFILL) or (kind and everything):
        raise click.UsageError("--per-hour is for the backfill, and --all stands alone")
    if kind == BACKFILL:
        n = len(backfill.waiting(workspace.store))
        pace = f"{per_hour} an hour" if per_hour else "all at once"
        click.echo(f"The tags of {n} customers, {pace}. Automations in {workspace.crm_source} may hang on them.")
        if not yes:
            click.confirm("Release them?", abort=True)
        controls.release_backfill(workspace, per_hour)
        return
    kinds = controls.kinds(workspace)
    if kind is None and not everything:
        if as_json:
            print_json([asdict(one) for one in kinds])
            return
        for one in kinds:
            by_whom = f"released by {one.released_by}" if one.released_at is not None else f"{one.n} wait"
            click.echo("\n  ".join([f"{one.name}: {by_whom}", *one.cases]))
        return
    chosen = [one for one in kinds if one.released_at is None and (everything or one.name == kind)]
    for one in chosen:
        click.echo("\n  ".join([f"{one.name}: {one.n} wait", *one.cases]))
    if any(one.name.startswith("play:") for one in chosen):
        for line in deliverability.before_live(workspace):
            click.echo(line)
    names = [one.name for one in chosen] or ([kind] if kind else [])
    if names and not yes:
        click.confirm(f"Release {', '.join(names)}?", abort=True)
    for name in names:
        click.echo(f"{name} is released; {controls.release(workspace, name, by)} acts that were held wait to leave.")


@main.command(epilog="Example: keepwell pause")
@click.pass_obj
def pause(folder: Path) -> None:
    """Stop everything outward at once. Facts still come in, and scores are still made."""
    from worker import controls, setup
    from worker.lib.clock import SystemClock, seconds

    with setup.opened_store(folder, os.environ) as store:
        controls.set_paused(store, seconds(SystemClock()), paused=True)
    click.echo("Paused. Nothing leaves until: keepwell resume")


@main.command(epilog="Example: keepwell resume")
@with_workspace
def resume(workspace: Workspace) -> None:
    """Let things leave again, and say what has waited, by kind, and what is old news by now."""
    from worker import controls
    from worker.lib.clock import seconds

    done = controls.resume(workspace.store, seconds(workspace.clock))
    click.echo(f"Resumed. {sum(done.waited.values())} effects have waited; each is asked about again before it leaves.")
    for kind, n in done.waited.items():
        click.echo(f"  {n} of {kind}")
    for one in done.expired:
        click.echo(f"  no longer worth sending: {one}")


@main.command(epilog="Example: keepwell undo run_0k3f… --dry-run")
@click.argument("run_id", metavar="RUN", required=False)
@click.option("--customer", help="Only this customer's contacts: an id, a name, an address, or keap:123.")
@click.option("--dry-run", is_flag=True, help="Only show what would be put back.")
@as_json_option
@with_workspace
def undo(workspace: Workspace, run_id: str | None, customer: str | None, dry_run: bool, as_json: bool) -> None:
    """Put back what a run wrote to the CRM, and pause. Without RUN, list the runs that wrote.

    What somebody has changed since stays as it is, and is named.
    """
    from worker import controls, report

    if run_id is None:
        runs = controls.runs_that_wrote(workspace.store)
        print_json(runs) if as_json else print_table(
            [list(one.values()) for one in runs], ["run", "when", "entries", "undone"]
        )
        return
    with lease(workspace):
        customer_id = report.find_customer(workspace.store, customer) if customer else ""
        result = controls.undo(workspace, run_id, dry_run=dry_run, customer_id=customer_id)
    if as_json:
        print_json(result)
        return
    for line in result["lines"]:
        click.echo(line)
    sys.exit(FINDING if result["failed"] else 0)


@main.command(epilog="Example: keepwell serve --port 8080")
@click.option("--no-scheduler", is_flag=True, help="Only the doors; `keepwell schedule` runs elsewhere.")
@click.option("--host", help="The address to listen on; else that of config.toml.")
@click.option(
    "--port", envvar="PORT", type=click.IntRange(0, 65_535),
    help="The port to listen on, 0 for a free one; else PORT, as hosts like Heroku set it, else that of config.toml.",
)  # fmt: skip
@with_workspace
def serve(workspace: Workspace, no_scheduler: bool, host: str | None, port: int | None) -> None:
    """Open the doors: hooks, API and pages, with the schedule inside unless told otherwise."""
    from worker import deliverability
    from worker.app import create_app
    from worker.schedule import Wheel
    from worker.web.server import CannotListen, WebServer

    over = _told_to_stop()
    wheel = None if no_scheduler else Wheel(workspace, deliverability.resolver_of(workspace))
    app = create_app(workspace, wake=wheel.wake if wheel else lambda: None)
    settings = workspace.config.server
    try:
        server = WebServer(app, settings, host or settings.host, settings.port if port is None else port)
    except CannotListen as error:
        raise Unusable(str(error)) from None
    if wheel:
        wheel.start()
    click.echo(f"Keepwell listens on http://{server.host}:{server.port} ({workspace.mode})", err=True)
    try:
        server.run(over.is_set)
    finally:
        app.extensions["receiver"].close()
        if wheel:
            _stop(wheel)


@main.command(epilog="Example: keepwell schedule")
@with_workspace
def schedule(workspace: Workspace) -> None:
    """Turn the wheel by the schedule, without doors. Several may run; one lease makes them one."""
    from worker import deliverability
    from worker.schedule import Wheel

    over = _told_to_stop()
    wheel = Wheel(workspace, deliverability.resolver_of(workspace))
    wheel.start()
    click.echo(f"Keepwell turns by the schedule ({workspace.mode})", err=True)
    over.wait()
    _stop(wheel)


@main.command(epilog="Example: keepwell demo --once --json")
@click.option("--once", is_flag=True, help="Exit at the end instead of serving the dashboard.")
@as_json_option
@click.option("--weeks", type=click.IntRange(1, 52), default=12, show_default=True, help="Weeks of virtual time.")
@click.option(
    "--customers", type=click.IntRange(10, 480), default=200, show_default=True, help="How large the world is."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another world.")
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="Of the dashboard.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep its workspace in this new folder, to try commands on."
)
def demo(once: bool, as_json: bool, weeks: int, customers: int, seed: int, port: int, keep: Path | None) -> None:
    """Show the whole river with no account anywhere: pretend vendors on loopback, twelve weeks in a minute or two."""
    from worker.sandbox.demo import Demo

    logging.getLogger().setLevel(logging.ERROR)  # the mailbox tells every word of SMTP
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that nothing of it is left behind
    made = Demo(weeks=weeks, customers=customers, seed=seed, port=port, keep=keep)
    sys.exit(made.show(once=once, as_json=as_json))


def _told_to_stop() -> threading.Event:
    """Set when the system, or Ctrl-C, asks us to end."""
    over = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: over.set())
    return over


def _stop(wheel: Wheel) -> None:
    if not wheel.stop():
        # A vendor that does not answer holds a thread, and Python would wait for it. All that is done is stored.
        wheel.abandon()
        os._exit(0)
