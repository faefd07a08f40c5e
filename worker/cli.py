"""Every command, thin: it reads its words, calls the part that does the work, and prints what came of it."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tabulate import tabulate

from worker.lib.problems import Problems
from worker.lib.store import StoreError

if TYPE_CHECKING:
    from worker.schedule import Wheel
    from worker.workspace import Workspace

FINDING, USAGE = 1, 2
"""Exit codes: something was found; usage, config or a file is wrong."""


class _Unusable(click.ClickException):
    """What was asked for cannot be had as things are."""

    exit_code = USAGE


class _Group(click.Group):
    """Turns the mistakes that people make into one line each, and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Problems as found:
            for problem in found.problems:
                click.echo(str(problem), err=True)
            context.exit(USAGE)
        except StoreError as error:
            click.echo(f"keepwell: {error}", err=True)
            context.exit(USAGE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--workspace", "-w", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(),
    envvar="KEEPWELL_WORKSPACE", help="The business's folder; else KEEPWELL_WORKSPACE, else where you are.",
)  # fmt: skip
@click.version_option(package_name="keepwell")
@click.pass_context
def main(context: click.Context, folder: Path) -> None:
    """Keepwell keeps customers well: facts in, a health score that explains itself, the right act out."""
    context.obj = folder
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("apscheduler", "waitress.queue"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _with_workspace(command: Callable[..., Any]) -> Callable[..., Any]:
    """Open the workspace of `--workspace` for a command, and close it after."""

    @click.pass_obj
    def opened(folder: Path, *args: Any, **named: Any) -> Any:
        from worker.workspace import open_workspace

        workspace = open_workspace(folder, os.environ)
        try:
            missing = workspace.store.pending_migrations()
            if missing:
                raise StoreError(f"{len(missing)} changes of the tables wait; run: keepwell migrate")
            return command(workspace, *args, **named)
        finally:
            workspace.close()

    return update_wrapper(opened, command)


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def _print_table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    click.echo(tabulate(rows, headers=headers, tablefmt="plain") if rows else "none")


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# -- setting up -------------------------------------------------------------------------------------------------------


@main.command(epilog="Example: keepwell init acme --name 'Acme Software'")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="", help="What the business is called; else the folder's name.")
def init(folder: Path, name: str) -> None:
    """Make a workspace: a folder with config.toml, its tables, and the operator's password. It starts in `watch`.

    The password for the pages is taken from KEEPWELL_PASSWORD, or asked for.
    """
    from worker import setup

    password = os.environ.get("KEEPWELL_PASSWORD") or str(
        click.prompt("Password for the pages (10 characters or more)", hide_input=True, confirmation_prompt=True)
    )
    for line in setup.init(folder, name or folder.resolve().name, password, os.environ):
        click.echo(line)


@main.command(epilog="Example: keepwell migrate")
@click.pass_obj
def migrate(folder: Path) -> None:
    """Bring the tables up to date. Safe at any time; the first thing to do after an upgrade."""
    from worker import setup

    applied = setup.migrate(folder, os.environ)
    click.echo(f"{len(applied)} applied: {', '.join(applied)}" if applied else "The tables are up to date.")


@main.command(epilog="Example: keepwell check --canary 4711")
@click.option("--canary", metavar="CONTACT", help="Try on this one CRM contact how a field write treats other fields.")
@_json
@_with_workspace
def check(workspace: Workspace, canary: str | None, as_json: bool) -> None:
    """Ask every vendor who we are, and tell what needs a person. Exit code 1 where something does."""
    from worker import check as checks

    report = checks.check(workspace, canary)
    if as_json:
        _print_json(asdict(report))
    else:
        for line in report.fine:
            click.echo(f"  fine  {line}")
        for line in report.findings:
            click.echo(f"  LOOK  {line}")
    sys.exit(FINDING if report.findings else 0)


@main.command("config-example", epilog="Example: keepwell config-example > config.toml")
def config_example() -> None:
    """Print a config.toml with every setting, its default and what it is for."""
    from worker.example import example

    click.echo(example(), nl=False)


@main.group()
def keys() -> None:
    """Keys for the API: what Make, Zapier and your product sign in with."""


@keys.command("create", epilog="Example: keepwell keys create make")
@click.argument("name")
@_with_workspace
def keys_create(workspace: Workspace, name: str) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from worker.web import auth

    click.echo(auth.create_key(workspace.store, name, int(workspace.clock.now())))


@keys.command("list", epilog="Example: keepwell keys list --json")
@_json
@_with_workspace
def keys_list(workspace: Workspace, as_json: bool) -> None:
    """List the keys by name."""
    from worker.web import auth

    found = auth.keys(workspace.store)
    _print_json(found) if as_json else _print_table(
        [list(one.values()) for one in found], ["id", "name", "made", "revoked"]
    )


@keys.command("revoke", epilog="Example: keepwell keys revoke key_0k3f…")
@click.argument("key_id")
@_with_workspace
def keys_revoke(workspace: Workspace, key_id: str) -> None:
    """Make a key worthless at once."""
    from worker.web import auth

    if not auth.revoke_key(workspace.store, key_id, int(workspace.clock.now())):
        raise click.BadParameter(f"there is no key {key_id!r} in use; see: keepwell keys list")
    click.echo(f"{key_id} is revoked.")


# -- facts in ---------------------------------------------------------------------------------------------------------


@main.command(epilog="Example: keepwell facts")
@_json
@_with_workspace
def facts(workspace: Workspace, as_json: bool) -> None:
    """List every kind of fact a scorecard can read, and how many this business has."""
    from worker import report

    found = report.facts(workspace.store)
    if as_json:
        _print_json(found)
        return
    _print_table(
        [(one["kind"], one["plural"], one["facts"], one["customers"], one["labels"], one["sentence"]) for one in found],
        ["kind", "in a scorecard", "facts", "customers", "labels", "what it is"],
    )


@main.command(epilog="Example: keepwell pull")
@_with_workspace
def pull(workspace: Workspace) -> None:
    """Ask every vendor for what is new, and take it in. Scores nothing and sends nothing."""
    from worker import river

    with _lease(workspace, "pull", "wheel"):
        done = river.take_in(workspace)
    click.echo(f"{len(done.pulled)} streams, {done.taken.deliveries} deliveries, {done.taken.facts} facts")
    _tell_troubles(done.troubles)


@main.command("import", epilog="Example: keepwell import recipes/imports/ravenstack.toml data/*.csv")
@click.argument("mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--report",
    "to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the data report goes; else into the workspace.",
)
@_json
@_with_workspace
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
@_with_workspace
def replay(workspace: Workspace, source: str, since: str) -> None:
    """Read stored deliveries again, as after an upgrade. What is known already changes nothing."""
    from worker import report

    with _lease(workspace):
        taken = report.replay(workspace, source, _day(since))
    click.echo(f"{taken.deliveries} deliveries read again, {taken.facts} facts new or mended, {taken.parked} parked")


# -- scoring ----------------------------------------------------------------------------------------------------------


@main.command(epilog="Example: keepwell score --as-of 2024-06-30")
@click.option("--as-of", "as_of", default="", help="The end of this local day instead of now.")
@_json
@_with_workspace
def score(workspace: Workspace, as_of: str, as_json: bool) -> None:
    """Score everybody and print the bands. Keeps nothing: what `run` keeps is what counts."""
    from worker import report

    result = report.scores(workspace, as_of)
    if as_json:
        _print_json(result)
        return
    left = f", {result['left']} of whom had left" if result["left"] else ""
    click.echo(f"{len(result['customers'])} customers as of {result['as_of']} under {result['card']}{left}")
    _print_table([(band, n) for band, n in result["bands"].items()], ["band", "customers"])


@main.command(epilog="Example: keepwell explain ann@example.com")
@click.argument("customer")
@_json
@_with_workspace
def explain(workspace: Workspace, customer: str, as_json: bool) -> None:
    """Say why a customer stands where they stand. CUSTOMER is an id, a name, an address, or keap:123."""
    from worker import report

    found = report.explain(workspace, customer)
    if as_json:
        _print_json(found)
        return
    for line in found["lines"]:
        click.echo(line)


@main.command(
    "eval", epilog="Example: keepwell eval recipes/scorecards/starter.toml recipes/scorecards/starter.cases.jsonl"
)
@click.argument("card", type=click.Path(exists=True, path_type=Path))
@click.argument("cases", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def eval_(card: Path, cases: Path) -> None:
    """Judge made-up customers by a scorecard, one JSON line each. Exit code 1 where one differs from its `expect`."""
    from worker import evaluate

    sys.exit(evaluate.run(card, cases, click.echo))


# -- turning the wheel ------------------------------------------------------------------------------------------------


@main.command(epilog="Example: keepwell run --dry-run")
@click.option("--dry-run", is_flag=True, help="Decide everything, let nothing leave, and show what waits.")
@_json
@_with_workspace
def run(workspace: Workspace, dry_run: bool, as_json: bool) -> None:
    """Turn the wheel once: pull, parse, assess, dispatch. In `watch` nothing leaves."""
    from worker import controls, report, river

    with _lease(workspace, "pull", "wheel"):
        done = river.turn(workspace, dispatch=not dry_run)
    waiting = controls.waiting(workspace.store) if dry_run else []
    if as_json:
        _print_json({**asdict(done), "waiting": waiting})
        return
    for line in report.turn_in_words(done, workspace.mode):
        click.echo(line)
    for one in waiting:
        click.echo(f"  would: {one['what']}")
    _tell_troubles(done.troubles)


@main.command(epilog="Example: keepwell mode live")
@click.argument("to", required=False, type=click.Choice(["watch", "live"]))
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_workspace
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
@_with_workspace
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
@_json
@_with_workspace
def undo(workspace: Workspace, run_id: str | None, dry_run: bool, as_json: bool) -> None:
    """Put back what a run wrote to the CRM, and pause. Without RUN, list the runs that wrote."""
    from worker import controls

    if run_id is None:
        runs = controls.runs_that_wrote(workspace.store)
        _print_json(runs) if as_json else _print_table(
            [list(one.values()) for one in runs], ["run", "when", "entries", "undone"]
        )
        return
    with _lease(workspace):
        result = controls.undo(workspace, run_id, dry_run=dry_run)
    if as_json:
        _print_json(result)
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
@_with_workspace
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
        raise _Unusable(str(error)) from None
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
@_with_workspace
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
@_json
@click.option("--weeks", type=click.IntRange(1, 52), default=12, show_default=True, help="Weeks of virtual time.")
@click.option(
    "--customers", type=click.IntRange(10, 480), default=200, show_default=True, help="How large the world is."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Another seed, another world.")
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="Of the dashboard.")
def demo(once: bool, as_json: bool, weeks: int, customers: int, seed: int, port: int) -> None:
    """Show the whole river with no account anywhere: pretend vendors on loopback, twelve weeks in a minute or two."""
    from worker.sandbox.demo import Demo

    logging.getLogger().setLevel(logging.ERROR)  # the mailbox tells every word of SMTP
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that nothing of it is left behind
    sys.exit(Demo(weeks=weeks, customers=customers, seed=seed, port=port).show(once=once, as_json=as_json))


# -- helpers ----------------------------------------------------------------------------------------------------------


@contextmanager
def _lease(workspace: Workspace, *names: str) -> Iterator[None]:
    """Hold the leases of these names, of the wheel where none is named, so that no schedule gets in between."""
    from worker.lib.lease import Lease

    with ExitStack() as stack:
        for name in names or ("wheel",):
            if not stack.enter_context(Lease(workspace.store, workspace.clock, name).held()):
                raise click.ClickException("another process is turning the wheel; try again in a minute")
        yield


def _day(text: str) -> int:
    from worker.lib.clock import DAY, day_number

    try:
        return day_number(text) * DAY
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day; write it as 2026-01-31") from None


def _tell_troubles(troubles: dict[str, str]) -> None:
    for where, why in troubles.items():
        click.echo(f"  LOOK  {where}: {why}", err=True)


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
