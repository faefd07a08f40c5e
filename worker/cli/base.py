"""What every command leans on: the group, the workspace, tables and JSON, the lease, the exit codes."""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tabulate import tabulate

from worker.lib.problems import Problems
from worker.lib.store import StoreError

if TYPE_CHECKING:
    from worker.workspace import Workspace

FINDING, USAGE = 1, 2
"""Exit codes: something was found; usage, config or a file is wrong."""


class Unusable(click.ClickException):
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


def with_workspace(command: Callable[..., Any]) -> Callable[..., Any]:
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


def print_json(data: Any) -> None:
    """Print for a machine."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


def print_table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    """Print for a person."""
    click.echo(tabulate(rows, headers=headers, tablefmt="plain") if rows else "none")


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def lease(workspace: Workspace, *names: str) -> Iterator[None]:
    """Hold the leases of these names, so that no schedule gets in between; none means whoever decides or writes to the CRM."""
    from worker.lib.lease import Lease

    with ExitStack() as stack:
        for name in names or ("wheel", "lane:crm"):
            if not stack.enter_context(Lease(workspace.store, workspace.clock, name).held()):
                raise click.ClickException("another process is turning the wheel; try again in a minute")
        yield


def me() -> str:
    """Who types, by the machine's name for them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "a person at the terminal"


def day(text: str) -> int:
    """Read `2026-01-31` as the second it begins on, UTC. Raises click.BadParameter."""
    from worker.lib.clock import DAY, day_number

    try:
        return day_number(text) * DAY
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day; write it as 2026-01-31") from None


def tell_troubles(troubles: dict[str, str]) -> None:
    """Say on stderr what a turn could not do."""
    for where, why in troubles.items():
        click.echo(f"  LOOK  {where}: {why}", err=True)
