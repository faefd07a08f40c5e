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


@main.command(epilog="Example: keepwell mode live")
@click.argument("to", required=False, type=click.Choice(["watch", "live"]))
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_workspace
def mode(workspace: Workspace, to: str | None, yes: bool) -> None:
    """Show the mode, or change it: `watch` writes nothing anywhere, `live` writes and sends."""
    from worker import controls

    if to is None or to == workspace.mode:
        click.echo(workspace.mode)
        return
    for line in controls.mode_would(workspace, to):
        click.echo(line)
    if not yes:
        click.confirm(f"Change from {workspace.mode} to {to}?", abort=True)
    controls.set_mode(workspace, to)
    click.echo(f"The workspace is in {to}.")


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
    """Let things leave again, and say what has waited."""
    from worker import controls
    from worker.lib.clock import seconds

    controls.set_paused(workspace.store, seconds(workspace.clock), paused=False)
    waiting = controls.waiting(workspace.store)
    click.echo(f"Resumed. {len(waiting)} effects have waited; each is asked about again before it leaves.")


@main.command(epilog="Example: keepwell undo run_0k3f… --dry-run")
@click.argument("run_id", metavar="RUN", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what would be put back.")
@as_json_option
@with_workspace
def undo(workspace: Workspace, run_id: str | None, dry_run: bool, as_json: bool) -> None:
    """Put back what a run wrote to the CRM, and pause. Without RUN, list the runs that wrote."""
    from worker import controls

    if run_id is None:
        runs = controls.runs_that_wrote(workspace.store)
        print_json(runs) if as_json else print_table(
            [list(one.values()) for one in runs], ["run", "when", "entries", "undone"]
        )
        return
    with lease(workspace):
        result = controls.undo(workspace, run_id, dry_run=dry_run)
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
    from worker.app import create_app
    from worker.schedule import Wheel
    from worker.web.server import CannotListen, WebServer

    over = _told_to_stop()
    wheel = None if no_scheduler else Wheel(workspace)
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
    from worker.schedule import Wheel

    over = _told_to_stop()
    wheel = Wheel(workspace)
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
