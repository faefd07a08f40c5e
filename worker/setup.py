"""Making a workspace, and keeping its tables up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.config import FILE, load, read, secret_fields, variable
from worker.integration import Settings
from worker.lib.clock import SystemClock, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Store, open_store
from worker.plays.records import set_switch, switch
from worker.registry import find
from worker.web.auth import hash_password

SHORTEST_PASSWORD = 10

_CONFIG = """\
# What this business is, and whom it is connected to. Every setting with its default: keepwell config-example

[workspace]
name = {name}
time_zone = "UTC"

# Connect a vendor by adding its section; the key itself goes into the environment, never into this file.
# [integrations.keap]
# key_env = "KEAP_KEY"
"""

_OF_KEYS = """\
# Made of the keys in the environment, which stay there. Every setting with its default: keepwell config-example

[workspace]
name = {name}
"""


def init(folder: Path, name: str, password: str, environ: Mapping[str, str]) -> list[str]:
    """Make a workspace in a new or empty folder; gives what to tell the operator. Raises Problems, changing nothing.

    One that a look-back has made of keys alone has no operator yet: it gets one, and its config.toml stays as it is.
    """
    is_there = (folder / FILE).exists()
    if is_there and _has_operator(folder, environ):
        raise Problems([Problem(str(folder / FILE), 0, "", "is there already", "choose another folder")])
    if len(password) < SHORTEST_PASSWORD:
        raise Problems(
            [Problem("password", 0, "", f"is shorter than {SHORTEST_PASSWORD} characters", "use a sentence")]
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not is_there:
        (folder / FILE).write_text(_CONFIG.format(name=json.dumps(name, ensure_ascii=False)), "utf-8")
    migrate(folder, environ)
    with opened_store(folder, environ) as store:
        set_switch(store, "operator_password", hash_password(password), seconds(SystemClock()))
    return [
        f"{folder} is a workspace in `watch`: it reads and scores, and writes nothing anywhere.",
        f"1. Connect your vendors in {folder / FILE}",
        f"2. See that they answer:  keepwell -w {folder} check",
        f"3. Read and score once:   keepwell -w {folder} run",
        f"4. Open the pages:        keepwell -w {folder} serve",
    ]


def _has_operator(folder: Path, environ: Mapping[str, str]) -> bool:
    with opened_store(folder, environ) as store:
        return not store.pending_migrations() and bool(switch(store, "operator_password"))


def from_environment(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Where there is no config.toml in a new or empty folder, make a workspace of the vendors' keys in the environment.

    KEAP_KEY stands for the setting `key` of keap, STRIPE_BASE_URL for `base_url` of stripe; the file that is written
    names the variables of secrets and holds none. Gives what to tell the operator, nothing where the workspace is there
    already. Raises Problems where the folder holds something else, no key is set, or one lacks its companions.
    """
    if (folder / FILE).exists():
        return []
    if folder.is_dir() and any(folder.iterdir()):
        cure = "make a workspace with: keepwell init, or name a new folder: keepwell -w acme lookback"
        raise Problems([Problem(str(folder / FILE), 0, "", "is not there", cure)])
    sections, problems = [], []
    for name, one in find().items():
        if one.pulls:
            lines, lacking = _section(name, one.settings, environ)
            sections += [f"[integrations.{name}]", *lines, ""] if lines else []
            problems += lacking if lines else []
    if not sections:
        cure = "export KEAP_KEY=… or STRIPE_KEY=…, or make a workspace with: keepwell init"
        problems.append(Problem("environment", 0, "", "there is neither a config.toml nor a vendor's key", cure))
    if problems:
        raise Problems(problems)
    named = json.dumps(folder.resolve().name or "Workspace", ensure_ascii=False)
    text = "\n".join([_OF_KEYS.format(name=named), *sections])
    read(text, "environment", folder, environ)  # raises before anything is made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / FILE).write_text(text, "utf-8")
    migrate(folder, environ)
    return [f"{folder} is a workspace in `watch` now: it reads and scores, and writes nothing anywhere."]


def _section(name: str, settings: type[Settings], environ: Mapping[str, str]) -> tuple[list[str], list[Problem]]:
    """The lines of an integration's section as far as the environment has them, and what lacks beside them."""
    lines, lacking = [], []
    secrets = secret_fields(settings)
    for key, info in settings.model_fields.items():
        named = variable(name, key)
        value = environ.get(named, "").strip()
        if value and key in secrets:
            lines.append(f"{key}_env = {json.dumps(named)}")
        elif value:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        elif info.is_required():
            lacking.append(Problem("environment", 0, named, "is not set", f"export {named}=…; {info.description}"))
    return lines, lacking


def migrate(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Bring the tables up to date; gives the names of what was applied."""
    with opened_store(folder, environ) as store:
        return store.migrate()


@contextmanager
def opened_store(folder: Path, environ: Mapping[str, str]) -> Iterator[Store]:
    """A workspace's store alone: for what must go on working while a card, a play or a mail has a mistake."""
    config = load(folder, environ)
    store = open_store(config.database, schema=config.workspace.database_schema)
    try:
        yield store
    finally:
        store.close()
