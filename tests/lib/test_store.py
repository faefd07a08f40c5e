"""The store: one SQL on two databases, all or nothing, many threads, and files that nobody else may read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import POSTGRES
from worker.lib.store import PostgresStore, SqliteStore, Store, StoreError, migrations, open_store


@pytest.fixture
def tallies(store: Store) -> Iterator[Store]:
    store.run("create table tallies (name text primary key, n bigint not null)")
    store.run("insert into tallies (name, n) values ('visits', 0)")
    yield store
    store.run("drop table tallies")


def _names(store: Store) -> list[str]:
    return [row["name"] for row in store.rows("select name from tallies order by name")]


def _add(store: Store, name: str) -> None:
    store.run("insert into tallies (name, n) values (:name, 0)", {"name": name})


class BreakOff(Exception):
    pass


def _break_off(store: Store, *names: str) -> None:
    """Add the first, each other in a transaction inside that one, and then fail."""
    try:
        with store.atomic():
            _add(store, names[0])
            for name in names[1:]:
                with store.atomic():
                    _add(store, name)
            raise BreakOff
    except BreakOff:
        return


# -- all or nothing ---------------------------------------------------------------------------------------------------


def test_what_breaks_off_leaves_nothing(tallies: Store) -> None:
    _break_off(tallies, "half")

    assert _names(tallies) == ["visits"]


def test_an_inner_failure_that_is_caught_undoes_only_the_inner_part(tallies: Store) -> None:
    with tallies.atomic():
        _add(tallies, "before")
        _break_off(tallies, "inner", "innermost")
        _add(tallies, "after")

    assert _names(tallies) == ["after", "before", "visits"]


def test_an_outer_failure_undoes_what_was_done_inside_too(tallies: Store) -> None:
    _break_off(tallies, "outer", "inner")

    assert _names(tallies) == ["visits"]
    assert not tallies.in_transaction


def test_a_refused_statement_inside_leaves_the_rest_of_the_transaction_usable(tallies: Store) -> None:
    with tallies.atomic():
        with pytest.raises(Exception, match=r"(?i)unique"), tallies.atomic():
            _add(tallies, "visits")
        _add(tallies, "second")

    assert _names(tallies) == ["second", "visits"]


def test_many_at_once_are_all_or_nothing(tallies: Store) -> None:
    insert = "insert into tallies (name, n) values (:name, 1)"
    with pytest.raises(Exception, match=r"(?i)unique"):
        tallies.many(insert, [{"name": "new"}, {"name": "visits"}])

    assert _names(tallies) == ["visits"]
    tallies.many(insert, [])
    tallies.many(insert, ({"name": name} for name in ("one", "two")))
    assert _names(tallies) == ["one", "two", "visits"]


# -- many at once -----------------------------------------------------------------------------------------------------


def _together(work: Callable[[], None], threads: int) -> list[Exception]:
    failed: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
            failed.append(error)

    running = [threading.Thread(target=guarded) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return failed


def test_writers_that_read_before_they_write_wait_for_each_other_and_lose_nothing(tallies: Store) -> None:
    locking = "" if tallies.dialect == "sqlite" else " for update"

    def visit() -> None:
        for _ in range(10):
            with tallies.atomic():
                n = tallies.value(f"select n from tallies where name = 'visits'{locking}")
                tallies.run("update tallies set n = :n where name = 'visits'", {"n": n + 1})
        tallies.let_go()

    assert _together(visit, threads=4) == []
    assert tallies.value("select n from tallies where name = 'visits'") == 40


def test_what_one_thread_has_not_committed_no_other_thread_sees(tallies: Store) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(_names(tallies))
        tallies.let_go()

    with tallies.atomic():
        _add(tallies, "unfinished")
        assert _together(look, threads=1) == []
    assert _together(look, threads=1) == []

    assert seen == [["visits"], ["unfinished", "visits"]]


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    store = SqliteStore(None)
    store.run("create table tallies (name text primary key, n bigint not null)")

    def visit() -> None:
        for _ in range(20):
            with store.atomic():
                store.run(
                    "insert into tallies (name, n) values ('visits', 1)"
                    " on conflict (name) do update set n = tallies.n + excluded.n"
                )

    assert _together(visit, threads=3) == []
    assert store.rows("select name, n from tallies") == [{"name": "visits", "n": 60}]
    store.close()


# -- the same SQL -----------------------------------------------------------------------------------------------------


def test_binds_are_found_among_percents_colons_and_casts(store: Store) -> None:
    found = store.row(
        "select cast(:a as bigint) % 3 as rest, '100%' as share, 'at 10:30, :a or %(a)s' as said, cast(:a as bigint) as n",
        {"a": 7},
    )

    assert found == {"rest": 1, "share": "100%", "said": "at 10:30, :a or %(a)s", "n": 7}


def test_a_comment_may_hold_anything(store: Store) -> None:
    assert store.value("select cast(:a as bigint) -- :b, 50 % and it's\n + 1 as n", {"a": 1}) == 2


def test_a_value_is_never_read_as_sql(tallies: Store) -> None:
    nasty = "x'); drop table tallies; -- %s :n"
    _add(tallies, nasty)

    assert _names(tallies) == sorted(["visits", nasty])


def test_large_numbers_and_letters_of_all_scripts_come_back_as_they_went(tallies: Store) -> None:
    tallies.run("insert into tallies (name, n) values (:name, :n)", {"name": "Žofia 李 🙂", "n": 2**63 - 1})

    assert tallies.row("select name, n from tallies where n > 0") == {"name": "Žofia 李 🙂", "n": 2**63 - 1}


def test_a_value_that_is_not_there_is_none(tallies: Store) -> None:
    assert tallies.value("select n from tallies where name = 'nobody'") is None
    assert tallies.row("select n from tallies where name = 'nobody'") is None
    assert tallies.run("update tallies set n = 1 where name = 'nobody'") == 0


# -- migrations -------------------------------------------------------------------------------------------------------


def test_migrations_apply_once_in_the_order_of_their_names(store: Store) -> None:
    names = [name for name, _ in migrations()]

    assert names == sorted(names)
    assert [row["name"] for row in store.rows("select name from migrations order by name")] == names
    assert store.pending_migrations() == []
    assert store.migrate() == []


def test_a_store_without_tables_says_what_is_to_be_applied(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new.db")

    assert store.pending_migrations() == [name for name, _ in migrations()]
    assert store.migrate() == [name for name, _ in migrations()]
    store.close()


MIGRATE = """
import sys
from worker.lib.store import open_store
store = open_store(sys.argv[1], schema=sys.argv[2])
sys.stdin.readline()
print(len(store.migrate()))
"""


def test_two_processes_that_migrate_at_once_apply_each_migration_once(store: Store, tmp_path: Path) -> None:
    if store.dialect == "sqlite":
        url, schema = f"sqlite:///{tmp_path / 'both.db'}", "keepwell"
    else:
        url, schema = POSTGRES, str(store.value("select current_schema() as name"))
        for row in store.rows("select tablename from pg_tables where schemaname = :schema", {"schema": schema}):
            store.run(f"drop table {row['tablename']} cascade")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, url, schema], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2],
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in both]

    assert [stderr for _, stderr in answers] == ["", ""]
    assert sum(int(stdout) for stdout, _ in answers) == len(migrations())


# -- files ------------------------------------------------------------------------------------------------------------


def test_nobody_else_can_read_the_files_of_a_workspace(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = tmp_path / "keepwell.db"
        store = open_store(f"sqlite:///{path}")
        store.migrate()
        modes = {file.name: stat.filemode(file.stat().st_mode) for file in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["keepwell.db", "keepwell.db-shm", "keepwell.db-wal"], "-rw-------")


def test_files_that_others_could_read_are_closed_to_them_when_they_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "keepwell.db"
    first = SqliteStore(path)
    first.migrate()
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    second = SqliteStore(path)
    second.rows("select name from migrations")

    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    second.close()
    first.close()


def test_a_commit_is_on_the_disk_before_it_is_reported(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "keepwell.db")

    assert store.value("pragma synchronous") == 2
    assert store.value("pragma journal_mode") == "wal"
    assert store.value("pragma foreign_keys") == 1
    store.close()


# -- mistakes in words ------------------------------------------------------------------------------------------------


def test_an_unknown_database_is_named_with_those_that_are_known() -> None:
    with pytest.raises(StoreError, match="'mysql' is no database that Keepwell knows; use sqlite:/// or postgresql://"):
        open_store("mysql://root@localhost/x")


def test_a_server_that_does_not_answer_is_told_with_the_setting_to_look_at() -> None:
    with pytest.raises(StoreError, match=r"PostgreSQL does not answer: .*DATABASE_URL"):
        open_store("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("schema", ["Keep Well", "x; drop table y", "", "9lives", "a" * 64])
def test_a_schema_has_a_plain_name(schema: str) -> None:
    with pytest.raises(StoreError, match="is no name for a schema"):
        PostgresStore("postgresql://nobody@127.0.0.1:1/none", schema)


def test_a_database_file_in_a_folder_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        open_store(f"sqlite:///{tmp_path / 'missing' / 'keepwell.db'}")


def test_a_file_that_is_no_database_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "keepwell.db"
    path.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match=r"keepwell\.db"):
        open_store(f"sqlite:///{path}").migrate()


def test_without_psycopg_the_cure_is_named() -> None:
    script = (
        "import sys\nsys.modules['psycopg'] = None\nfrom worker.lib.store import StoreError, open_store\n"
        "try:\n    open_store('postgresql://x@127.0.0.1/x')\nexcept StoreError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip

    assert done.stdout == "PostgreSQL needs one more package: pip install 'keepwell[postgres]'\n"
