"""What every test may ask for: a fresh store on either database, a virtual clock, the shared material."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from worker.lib.clock import VirtualClock
from worker.lib.store import PostgresStore, Row, SqliteStore, Store, StoreError

START = 1_767_225_600
"""2026-01-01T00:00:00Z: where virtual time begins unless a test says otherwise."""

POSTGRES = os.environ.get("KEEPWELL_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


settings.register_profile("quick", settings(max_examples=40, deadline=None))  # a busy machine is no fault
settings.load_profile("quick")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What proofs have measured, a line each: those that recorded a property `figures`."""
    reports = [one for some in terminalreporter.stats.values() for one in some if isinstance(one, pytest.TestReport)]
    lines = [str(value) for report in reports for name, value in report.user_properties if name == "figures"]
    if lines and not terminalreporter.no_summary:
        terminalreporter.section("figures")
        for line in sorted(set(lines)):
            terminalreporter.line(line)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file for every test to copy: to migrate one takes ten times as long."""
    path = tmp_path_factory.mktemp("migrated") / "keepwell.db"
    store = SqliteStore(path)
    store.migrate()
    store.close()
    return path


@pytest.fixture
def sqlite_store(tmp_path: Path, _migrated: Path) -> Iterator[Store]:
    path = tmp_path / "keepwell.db"
    shutil.copyfile(_migrated, path)
    store = SqliteStore(path)
    yield store
    store.close()


class Schema:
    """One migrated schema for all tests of a process: to empty it takes a hundredth of what it takes to make it."""

    def __init__(self) -> None:
        self.name = f"test_{secrets.token_hex(8)}"
        self._keeper = PostgresStore(POSTGRES, self.name)
        self._keeper.migrate()
        self._keeper.run("set lock_timeout = '20s'")  # a test that leaves a transaction open fails, and is named
        tables = self._keeper.rows(
            "select oid, relname from pg_class where relnamespace = cast(current_schema() as regnamespace)"
            " and relkind = 'r' and relname <> 'migrations' order by oid desc"  # what refers before what it refers to
        )
        self._emptying = ";".join(f"delete from {one['relname']}" for one in tables)
        self._oids = ", ".join(str(one["oid"]) for one in tables)
        self._shapes = self._seen()

    def clean(self) -> bool:
        """Leave no row; False where the test has altered tables, and the schema will not do any more."""
        if self._seen() != self._shapes:
            return False
        with self._keeper.atomic():
            self._keeper.run(self._emptying)
        return True

    def drop(self) -> None:
        self._keeper.drop()
        self._keeper.close()

    def _seen(self) -> list[Row]:
        # by their oids: to look for all of a schema reads the whole catalogue
        return self._keeper.rows(
            f"select relname, relnatts, relhasrules, relhastriggers, (select count(*) from pg_trigger where tgrelid = c.oid) as n"
            f" from pg_class c where oid in ({self._oids}) order by oid"
        )


class Schemas:
    """The schema of this process, made where a test first asks, and anew where one was altered."""

    def __init__(self) -> None:
        self._present: Schema | None = None

    def take(self) -> Schema:
        """Skips where no server answers, and fails where it must."""
        if self._present is None:
            try:
                self._present = Schema()
            except StoreError as error:
                if os.environ.get("CI"):
                    pytest.fail(f"CI must have PostgreSQL: {error}")
                pytest.skip(f"no PostgreSQL at {POSTGRES.split('@')[-1]}: {error}")
        return self._present

    def give_back(self) -> None:
        if self._present is not None and not self._present.clean():
            self.drop()

    def drop(self) -> None:
        if self._present is not None:
            self._present.drop()
            self._present = None


@pytest.fixture(scope="session")
def _schemas() -> Iterator[Schemas]:
    schemas = Schemas()
    yield schemas
    schemas.drop()


@pytest.fixture
def postgres_store(_schemas: Schemas) -> Iterator[Store]:
    store = PostgresStore(POSTGRES, _schemas.take().name)
    yield store
    store.close()
    _schemas.give_back()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """A fresh, migrated store; the test runs once on each database."""
    found: Store = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    return found


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data sets and vendors' descriptions beside the checkout."""
    folder = Path(os.environ.get("KEEPWELL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the shared material is not at {folder}; set KEEPWELL_SHARED")
    return folder
