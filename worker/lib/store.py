"""One door to the database: the same SQL text on SQLite (by sqlite-utils) and PostgreSQL (by psycopg 3).

Statements take named binds (`:name`). Named queries live in `worker/sql/*.sql` as `-- name: …` blocks. Two dialect
branches and no more, written in the SQL as `{skip_locked}` and `{clustered}`.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import sqlite_utils

Row = dict[str, Any]
Binds = Mapping[str, Any]

_SQL: Final = Path(__file__).resolve().parents[1] / "sql"
_BIND: Final = re.compile(r"('[^']*'|--[^\n]*)|(?<![:\w]):([a-z_][a-z0-9_]*)")
"""A string or comment, which stays as it is, or a bind."""


class StoreError(Exception):
    """The database cannot be used; the sentence says why and what to do."""


@lru_cache(maxsize=64)
def _queries(file: str) -> dict[str, str]:
    blocks = re.split(r"^-- name: *(\w+).*\n", (_SQL / f"{file}.sql").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(blocks[1::2], (block.strip().rstrip(";") for block in blocks[2::2]), strict=True))


def sql(file: str, name: str) -> str:
    """The text of a named query: `sql("intake", "add_fact")` reads `worker/sql/intake.sql`."""
    return _queries(file)[name]


def named_queries() -> Iterator[tuple[str, str, str]]:
    """Every named query as (file, name, text), for the test that runs each on both databases."""
    for path in sorted(_SQL.glob("[a-z]*.sql")):
        for name, text in _queries(path.stem).items():
            yield path.stem, name, text


def migrations() -> list[tuple[str, str]]:
    """The ordered list of migrations, (name, text)."""
    return [(path.stem, path.read_text("utf-8")) for path in sorted(_SQL.glob("[0-9]*.sql"))]


class Store(ABC):
    """A workspace's database. One connection per thread; safe to share between threads."""

    def __init__(self) -> None:
        """Connections open when a thread first asks."""
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Any] = []

    # -- reading and writing ------------------------------------------------------------------------------------------

    def rows(self, text: str, binds: Binds | None = None) -> list[Row]:
        """Run a statement and give all its rows as dicts.

        Here and below: raises ValueError or OverflowError for a value that no column can hold.
        """
        return self._rows(self._dialect(text), binds or {})

    def row(self, text: str, binds: Binds | None = None) -> Row | None:
        """The first row, None where there is none."""
        found = self.rows(text, binds)
        return found[0] if found else None

    def value(self, text: str, binds: Binds | None = None) -> Any:
        """The first column of the first row, None where there is none."""
        found = self.row(text, binds)
        return next(iter(found.values())) if found else None

    def run(self, text: str, binds: Binds | None = None) -> int:
        """Run a statement and give the number of rows it touched. Outside `atomic` it commits by itself."""
        return self._run(self._dialect(text), binds or {})

    def tuples(self, text: str, binds: Binds | None = None) -> list[tuple[Any, ...]]:
        """Run a statement and give all its rows as tuples, where there are too many to make dicts of."""
        return self._tuples(self._dialect(text), binds or {})

    def many(self, text: str, binds: Iterable[Binds]) -> int:
        """Run one statement for each of many binds, in one transaction; gives the number of rows they touched."""
        listed = list(binds)
        if not listed:
            return 0
        if self.in_transaction:
            return self._many(self._dialect(text), listed)
        with self.atomic():
            return self._many(self._dialect(text), listed)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All or nothing. The outermost takes the write lock at once; inner ones are savepoints."""
        depth = getattr(self._local, "depth", 0)
        self._begin(depth)
        self._local.depth = depth + 1
        try:
            yield
        except BaseException:
            self._rollback(depth)
            raise
        else:
            self._commit(depth)
        finally:
            self._local.depth = depth

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside `atomic`."""
        return bool(getattr(self._local, "depth", 0))

    # -- care -------------------------------------------------------------------------------------------------------

    def migrate(self) -> list[str]:
        """Bring the tables up to date; gives the names of what was applied. Each runs in its own transaction."""
        with self.atomic():
            self._lock_migrations()
            self.run("create table if not exists migrations (name text primary key, applied_at bigint not null)")
        applied = []
        for name, text in migrations():
            with self.atomic():
                self._lock_migrations()
                if self.row("select name from migrations where name = :name", {"name": name}):
                    continue
                for statement in _statements(text):
                    self.run(statement)
                self.run("insert into migrations (name, applied_at) values (:name, 0)", {"name": name})
                applied.append(name)
        return applied

    def pending_migrations(self) -> list[str]:
        """What `migrate` would apply."""
        try:
            done = {row["name"] for row in self.rows("select name from migrations")}
        except StoreError:
            raise
        except Exception as error:
            if self.in_transaction:
                raise StoreError(f"the tables cannot be looked at: {error}") from error
            done = set()
        return [name for name, _ in migrations() if name not in done]

    def close(self) -> None:
        """Close the connections of all threads; none may be in use. The next use opens anew."""
        with self._lock:
            connections, self._connections = self._connections, []
        self._local = threading.local()
        for connection in connections:
            connection.close()

    def let_go(self) -> None:
        """Close this thread's connection, where the thread ends before the store does."""
        connection = getattr(self._local, "raw", None)
        if connection is not None:
            with self._lock:
                if connection in self._connections:
                    self._connections.remove(connection)
            connection.close()
        self._local.__dict__.clear()

    def _opened(self, connection: Any) -> None:
        """Note a connection that this thread has opened."""
        self._local.raw = connection
        with self._lock:
            self._connections.append(connection)

    @property
    @abstractmethod
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""

    # -- what the engines do each in their own way --------------------------------------------------------------------

    @abstractmethod
    def _dialect(self, text: str) -> str: ...
    @abstractmethod
    def _rows(self, text: str, binds: Binds) -> list[Row]: ...
    @abstractmethod
    def _run(self, text: str, binds: Binds) -> int: ...
    @abstractmethod
    def _tuples(self, text: str, binds: Binds) -> list[tuple[Any, ...]]: ...
    @abstractmethod
    def _many(self, text: str, binds: Sequence[Binds]) -> int: ...
    @abstractmethod
    def _begin(self, depth: int) -> None: ...
    @abstractmethod
    def _commit(self, depth: int) -> None: ...
    @abstractmethod
    def _rollback(self, depth: int) -> None: ...
    @abstractmethod
    def _lock_migrations(self) -> None: ...


def _statements(text: str) -> list[str]:
    """Cut a migration into statements. Ours hold no semicolon inside a string."""
    without_comments = re.sub(r"--.*", "", text)
    return [statement.strip() for statement in without_comments.split(";") if statement.strip()]


class SqliteStore(Store):
    """A file in the workspace's folder (0600), or a database in memory."""

    def __init__(self, path: Path | None) -> None:
        """`path` None gives a database in memory, shared by the threads of this object through one connection."""
        super().__init__()
        self._path = path
        self._memory: sqlite_utils.Database | None = None
        if path is None:
            self._memory = self._open(":memory:")
            self._connections.append(self._memory.conn)
            self._memory_lock = threading.RLock()
        else:
            try:
                path.touch(mode=0o600, exist_ok=True)
                path.chmod(0o600)
            except OSError as error:
                raise StoreError(f"{path} cannot be opened: {error.strerror}; is its folder there, and ours?") from None

    @property
    def dialect(self) -> str:
        """`sqlite`."""
        return "sqlite"

    @staticmethod
    def _open(target: str) -> sqlite_utils.Database:
        # Each thread uses its own; unchecked only so that the last one out may close them all.
        connection = sqlite3.connect(target, timeout=15, isolation_level=None, check_same_thread=False)
        database = sqlite_utils.Database(connection)
        if target != ":memory:":
            database.enable_wal()
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000", "temp_store=MEMORY"):
            connection.execute(f"pragma {pragma}")
        connection.row_factory = sqlite3.Row
        return database

    @property
    def database(self) -> sqlite_utils.Database:
        """This thread's sqlite-utils database, for care and introspection."""
        if self._memory is not None:
            return self._memory
        found: sqlite_utils.Database | None = getattr(self._local, "database", None)
        if found is None:
            assert self._path is not None
            try:
                found = self._local.database = self._open(str(self._path))
            except sqlite3.DatabaseError as error:
                raise StoreError(f"{self._path} cannot be opened: {error}") from error
            self._opened(found.conn)
            for suffix in ("-wal", "-shm"):  # SQLite gives them the mode of the file; an older file may differ
                beside = Path(str(self._path) + suffix)
                if beside.exists():
                    beside.chmod(0o600)
        return found

    def _dialect(self, text: str) -> str:
        return text.replace("{skip_locked}", "").replace("{clustered}", "without rowid")

    def _rows(self, text: str, binds: Binds) -> list[Row]:
        return [dict(row) for row in self.database.conn.execute(text, dict(binds))]

    def _run(self, text: str, binds: Binds) -> int:
        return self.database.conn.execute(text, dict(binds)).rowcount

    def _tuples(self, text: str, binds: Binds) -> list[tuple[Any, ...]]:
        cursor = self.database.conn.cursor()
        cursor.row_factory = None
        return cursor.execute(text, dict(binds)).fetchall()

    def _many(self, text: str, binds: Sequence[Binds]) -> int:
        return self.database.conn.executemany(text, binds).rowcount

    # A deferred begin fails at once when two writers meet; IMMEDIATE waits for the busy timeout.
    def _begin(self, depth: int) -> None:
        if self._memory is not None and depth == 0:
            self._memory_lock.acquire()
        self.database.conn.execute(f"savepoint level_{depth}" if depth else "begin immediate")

    def _commit(self, depth: int) -> None:
        self.database.conn.execute(f"release level_{depth}" if depth else "commit")
        self._let_go(depth)

    def _rollback(self, depth: int) -> None:
        if depth:
            self.database.conn.execute(f"rollback to level_{depth}")
            self.database.conn.execute(f"release level_{depth}")
        elif self.database.conn.in_transaction:  # SQLite has rolled back by itself after a full disk
            self.database.conn.execute("rollback")
        self._let_go(depth)

    def _let_go(self, depth: int) -> None:
        if self._memory is not None and depth == 0:
            self._memory_lock.release()

    def _lock_migrations(self) -> None:
        """BEGIN IMMEDIATE is lock enough."""


class PostgresStore(Store):
    """One schema of a PostgreSQL database."""

    def __init__(self, url: str, schema: str) -> None:
        """Raises StoreError where psycopg is not installed or the server does not answer."""
        super().__init__()
        try:
            import psycopg
        except ImportError:
            raise StoreError("PostgreSQL needs one more package: pip install 'keepwell[postgres]'") from None
        self._psycopg = psycopg
        self._url, self._schema = url, schema
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise StoreError(f"{schema!r} is no name for a schema; use small letters, digits and _")
        with self.atomic():
            self._lock_migrations()
            self.run(f"create schema if not exists {schema}")

    @property
    def dialect(self) -> str:
        """`postgresql`."""
        return "postgresql"

    @property
    def _connection(self) -> Any:
        found = getattr(self._local, "connection", None)
        if found is None or found.closed or found.broken:
            if self.in_transaction:
                raise StoreError("the connection to PostgreSQL broke in the middle of a transaction")
            try:
                found = self._psycopg.connect(
                    self._url, autocommit=True, row_factory=self._psycopg.rows.dict_row,
                    options=f"-c search_path={self._schema} -c timezone=UTC", connect_timeout=10,
                )  # fmt: skip
            except self._psycopg.OperationalError as error:
                said = " ".join(str(error).split())
                raise StoreError(f"PostgreSQL does not answer: {said}; is DATABASE_URL right?") from None
            found.prepare_threshold = 3
            self._local.connection = found
            self._opened(found)
        return found

    def drop(self) -> None:
        """Remove the schema with all that is in it. For tests."""
        self.run(f"drop schema if exists {self._schema} cascade")

    def _dialect(self, text: str) -> str:
        return _translated(text)

    def _rows(self, text: str, binds: Binds) -> list[Row]:
        with self._told():
            cursor = self._connection.execute(text, _storable(binds))
            return cast("list[Row]", cursor.fetchall()) if cursor.description else []

    def _run(self, text: str, binds: Binds) -> int:
        with self._told():
            return int(self._connection.execute(text, _storable(binds)).rowcount)

    def _tuples(self, text: str, binds: Binds) -> list[tuple[Any, ...]]:
        with self._told(), self._connection.cursor(row_factory=self._psycopg.rows.tuple_row) as cursor:
            return cast("list[tuple[Any, ...]]", cursor.execute(text, _storable(binds)).fetchall())

    def _many(self, text: str, binds: Sequence[Binds]) -> int:
        with self._told(), self._connection.cursor() as cursor:
            cursor.executemany(text, [_storable(bind) for bind in binds])
            return int(cursor.rowcount)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A number of more than 64 bits is the value's fault, not the server's: as SQLite's driver has it."""
        try:
            yield
        except self._psycopg.DataError as error:
            raise ValueError(" ".join(str(error).split())) from error

    def _begin(self, depth: int) -> None:
        self._connection.execute(f"savepoint level_{depth}" if depth else "begin")

    def _commit(self, depth: int) -> None:
        self._connection.execute(f"release savepoint level_{depth}" if depth else "commit")

    def _rollback(self, depth: int) -> None:
        if self._connection.closed or self._connection.broken:
            return  # the server has rolled back; the error that is under way says so
        self._connection.execute(f"rollback to savepoint level_{depth}" if depth else "rollback")

    def _lock_migrations(self) -> None:
        # Not a lock on the table: two that create it at once fail, in spite of `if not exists`; so with the schema.
        self.rows("select pg_advisory_xact_lock(hashtext(:name))", {"name": f"migrations of {self._schema}"})


def _storable(binds: Binds) -> dict[str, Any]:
    """PostgreSQL's text cannot hold NUL, which a vendor's JSON may (`\\u0000`): the replacement character stands in."""
    return {
        name: value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
        for name, value in binds.items()
    }


@lru_cache(maxsize=1024)
def _translated(text: str) -> str:
    text = text.replace("{skip_locked}", "for update skip locked").replace("{clustered}", "")
    return _BIND.sub(lambda found: found[1] or f"%({found[2]})s", text.replace("%", "%%"))


def open_store(url: str, *, schema: str = "keepwell") -> Store:
    """Open by address: `sqlite:///path/to/file.db`, `sqlite://` (in memory) or `postgresql://…`.

    Raises StoreError for any other address.
    """
    if url == "sqlite://":
        return SqliteStore(None)
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    if url.startswith(("postgresql://", "postgres://")):
        return PostgresStore("postgresql://" + url.split("://", 1)[1], schema)
    raise StoreError(f"{url.split('://', 1)[0]!r} is no database that Keepwell knows; use sqlite:/// or postgresql://")
