"""Making a workspace, and keeping its tables up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.config import FILE, load
from worker.lib.clock import SystemClock, seconds
from worker.lib.problems import Problem, Problems
from worker.lib.store import Store, open_store
from worker.plays.records import set_switch
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


def init(folder: Path, name: str, password: str, environ: Mapping[str, str]) -> list[str]:
    """Make a workspace in a new or empty folder; gives what to tell the operator. Raises Problems, changing nothing."""
    if (folder / FILE).exists():
        raise Problems([Problem(str(folder / FILE), 0, "", "is there already", "choose another folder")])
    if len(password) < SHORTEST_PASSWORD:
        raise Problems(
            [Problem("password", 0, "", f"is shorter than {SHORTEST_PASSWORD} characters", "use a sentence")]
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
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
