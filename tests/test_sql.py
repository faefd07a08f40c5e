"""Every named query runs on both databases, and gives the same on both."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from worker.lib.store import Row, SqliteStore, Store, migrations, named_queries

Values = dict[str, int | str | None]

QUERIES = list(named_queries())

NUMBERS = (
    "applied_at as_of at attempt assessed_at attempts before begun_since created_at day days due_at final first first_at gone highest history"
    " idle_since known_at last_at last_value lowest may_mail mended_at most n not_before now number oldest pulled pulse pulse_at received_at"
    " pause replaced seen_at sent_at settled since since_day sighted_at stale stranded today until updated_at urgent waiting_since"
)
"""Binds that are whole numbers; all others are text."""

NUMBERS_IN = {"intake.add_fact": "value", "intake.mend_fact": "value", "intake.put_former": "value"}
TEXTS_IN = {"dispatch.journal": "before", "receive.stored_between": "lowest highest"}
"""Where a name means the other thing."""

GIVEN: dict[str, Values] = {
    "intake.put_former": {"fact_id": "new"}, "scoring.add_moment": {"pass": "new"}, "web.soil": {"id": "1"},
}  # fmt: skip

FRESH = frozenset({"id", "source_id", "key_hash", "id_hash", "name"})
"""Of an insert: what must not be there yet."""


def _tables() -> Iterator[tuple[str, Values]]:
    """Every table with one row: '1' wherever a text stands, 1 wherever a number does, so that all references meet."""
    text = re.sub(r"--.*", "", "\n".join(text for _, text in migrations()))
    for name, body in re.findall(r"create table (\w+) \((.*?)\n\)", text, re.DOTALL):
        lines = [line.strip() for line in body.splitlines()]
        columns = [match for line in lines if (match := re.match(r"(\w+) (text|bigint)\b", line))]
        yield name, {match[1]: 1 if match[2] == "bigint" else "1" for match in columns}


def _fill(store: Store) -> None:
    """One row in each table, and every state in which rows are looked for."""
    for table, row in _tables():
        row = row | OPEN.get(table, {})
        store.run(f"insert into {table} ({', '.join(row)}) values ({', '.join(f':{name}' for name in row)})", row)


OPEN: dict[str, Values] = {
    "api_keys": {"revoked_at": None}, "customers": {"merged_into": None}, "deliveries": {"parsed_at": None},
    "doubts": {"settled_at": None}, "effects": {"state": "waiting"}, "identities": {"gone_at": None},
    "disagreements": {"closed_at": None, "asked_at": None}, "overrides": {"ended_at": None},
    "journal": {"state": "written", "undone_at": None}, "merges": {"undone_at": None}, "rollup": {"day": 0},
}  # fmt: skip
"""What is not over yet, and what must not stand where a query puts something."""


def _binds(name: str, text: str) -> Values:
    plain = re.sub(r"'[^']*'|--.*", "", text)
    inserts = plain.lstrip().lower().startswith("insert")
    binds: Values = {}
    for bind in re.findall(r"(?<![:\w]):([a-z_]+)", plain):
        number = bind in NUMBERS.split() and bind not in TEXTS_IN.get(name, "").split()
        if number or bind in NUMBERS_IN.get(name, "").split():
            binds[bind] = 1
        else:
            binds[bind] = "new" if inserts and bind in FRESH else "1"
    return binds | GIVEN.get(name, {})


def _outcome(store: Store, text: str, binds: Values) -> tuple[str, list[Row] | int]:
    """What a statement gives, and nothing of it stays."""

    class Over(Exception):
        pass

    reads = text.lstrip().lower().startswith(("select", "with")) or "returning" in text
    found: list[Row] | int = []
    try:
        with store.atomic():
            found = store.rows(text, binds) if reads else store.run(text, binds)
            raise Over
    except Over:
        return ("rows" if reads else "touched"), found


@pytest.mark.parametrize("file", sorted({file for file, _, _ in QUERIES}))
def test_every_named_query_gives_the_same_on_both_databases(store: Store, file: str) -> None:
    reference = SqliteStore(None)
    reference.migrate()
    _fill(reference)
    _fill(store)
    ran = 0
    for _, name, text in (query for query in QUERIES if query[0] == file):
        binds = _binds(f"{file}.{name}", text)
        try:
            assert _outcome(store, text, binds) == _outcome(reference, text, binds), f"{file}.{name}"
        except Exception as error:
            error.add_note(
                f"in worker/sql/{file}.sql, {name}, with {binds}: is a bind missing in NUMBERS, or in GIVEN?"
            )
            raise
        ran += 1
    reference.close()

    assert ran > 0


def test_no_two_queries_of_a_file_have_one_name() -> None:
    names = [(file, name) for file, name, _ in QUERIES]

    assert len(names) == len(set(names))


def test_no_query_uses_a_word_that_only_one_engine_knows() -> None:
    unportable = re.compile(
        r"\b(least|greatest|filter|now\(\)|current_timestamp|strftime|date\(|ilike|glob|rowid|insert or|replace into)\b|::"
    )
    found = {
        f"{file}.{name}": match[0]
        for file, name, text in QUERIES
        if (match := unportable.search(re.sub(r"'[^']*'|--.*", "", text).lower()))
    }

    assert found == {}
