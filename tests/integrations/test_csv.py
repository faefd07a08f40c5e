"""Files by a mapping, the pure half: what a mapping can say, what is wrong with one, and what rows become."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.csv import Reading, parse, read
from tests.conftest import START
from worker.facts import MILLION, Attribute, Delivery, Fact, Identity, Person, Sighting
from worker.lib.clock import from_iso
from worker.lib.problems import Problem, Problems

FILES = {
    "clients.csv": """\
        id,name,signed up,country,mail,churn_flag
        c1,Ada Ltd,2024-01-10,UK,ada@example.com,TRUE
        c2,Bo GmbH,2024-02-20,DE,,FALSE
        """,
    "deals.csv": """\
        deal,client,from,to,cents,state
        d1,c1,2024-01-12,2024-03-01,1250,gold
        d2,c1,2024-02-01T09:00:00,,900,basic
        """,
    "clicks.csv": """\
        n,deal,day,count
        1,d1,2024-01-13,3
        2,d2,2024-02-02,0
        3,d9,2024-02-03,7
        """,
}

MAPPING = """\
    name = "shop"
    time_zone = "Europe/Berlin"

    [tables.clients]
    file = "clients.csv"
    id = "id"
    customer = "id"
    name = "name"
    at = "[signed up]"
    identities = { keap = "mail" }

    [[tables.clients.facts]]
    kind = "joined"

    [[tables.clients.attributes]]
    columns = { country = { column = "country", labels = { UK = "GB", DE = "DE" } }, came_by = { is = "shop" } }

    [[tables.clients.people]]
    email = "mail"
    name = "name"
    role = { is = "main" }

    [tables.deals]
    file = "deals*.csv"
    id = "deal"
    customer = "client"
    at = "from"
    known_at = { state = "to" }

    [[tables.deals.facts]]
    kind = "subscription"
    opens = "from"
    closes = "to"

    [[tables.deals.facts]]
    kind = "payment"
    at = "from + 90 minutes"
    value = "cents / 100"
    label = { is = "EUR" }

    [[tables.deals.facts]]
    kind = "custom.state"
    known_at = "to"
    value = { column = "state", values = { gold = 2, otherwise = 0.5 } }
    label = "state"
    where = "to is not empty"

    [tables.clicks]
    file = "clicks.csv"
    id = ["deal.client", "n"]
    customer = "deal.client"
    at = "day"
    joins.deal = { table = "deals", on = { deal = "deal" } }

    [[tables.clicks.facts]]
    kind = "usage"
    value = "count"
    where = "count > 0"
    """


def reading(folder: Path, mapping: str = MAPPING, files: Mapping[str, str] = FILES) -> Reading:
    (folder / "m.toml").write_text(dedent(mapping), "utf-8")
    for name, text in files.items():
        (folder / name).write_text(dedent(text), "utf-8")
    return read(folder / "m.toml", [folder])


def said(found: Reading) -> list[Sighting]:
    return [one for chunk in found.chunks(START) for one in chunk.parsed.sightings]


def facts(found: Reading) -> list[Fact]:
    return [fact for one in said(found) for fact in one.facts]


def mistakes(folder: Path, mapping: str, files: Mapping[str, str] = FILES) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        reading(folder, mapping, files)
    return caught.value.problems


def at(text: str) -> int:
    return from_iso(text)


# -- what rows become -------------------------------------------------------------------------------------------------


def test_a_row_tells_of_a_customer_with_attributes_people_and_identities(tmp_path: Path) -> None:
    signed_up = at("2024-01-10T22:59:59Z")  # the end of that day in Berlin

    assert said(reading(tmp_path))[0] == Sighting(
        at=START,
        since=signed_up,
        identities=(Identity("shop", "c1"), Identity("keap", "ada@example.com")),
        name="Ada Ltd",
        people=(Person("ada@example.com", "Ada Ltd", "main"),),
        attributes=(Attribute("country", "GB", signed_up), Attribute("came_by", "shop", signed_up)),
        facts=(Fact("joined", signed_up, "shop", "clients/c1:joined"),),
    )


def test_one_row_becomes_several_dated_facts(tmp_path: Path) -> None:
    begun, ended = at("2024-01-12T22:59:59Z"), at("2024-03-01T22:59:59Z")

    assert [fact for fact in facts(reading(tmp_path)) if fact.source_id.startswith("deals/d1:")] == [
        Fact("subscription", begun, "shop", "deals/d1:subscription:opened"),
        Fact("subscription", ended, "shop", "deals/d1:subscription:closed", -MILLION),
        Fact("payment", begun + 90 * 60, "shop", "deals/d1:payment", 12_500_000, "EUR"),
        Fact("custom.state", begun, "shop", "deals/d1:custom.state", 2 * MILLION, "gold", ended),
    ]


def test_what_has_not_ended_stays_open_and_a_time_is_local(tmp_path: Path) -> None:
    begun = at("2024-02-01T08:00:00Z")

    assert [fact for fact in facts(reading(tmp_path)) if fact.source_id.startswith("deals/d2:")] == [
        Fact("subscription", begun, "shop", "deals/d2:subscription:opened"),
        Fact("payment", begun + 90 * 60, "shop", "deals/d2:payment", 9_000_000, "EUR"),
    ]


def test_a_row_belongs_to_the_customer_it_is_joined_to_and_an_orphan_to_nobody(tmp_path: Path) -> None:
    found = reading(tmp_path)

    assert [fact.source_id for fact in facts(found) if fact.kind == "usage"] == ["clicks/c1/1:usage"]
    clicks = found.findings["clicks"]
    assert [(one.line, one.reason) for one in clicks.refused] == [
        (4, "deal.client is empty: nothing was joined, so nobody knows whose row it is")
    ]


def test_an_orphan_that_names_its_customer_itself_is_kept_and_doubted(tmp_path: Path) -> None:
    mapping = MAPPING.replace('    known_at = { state = "to" }', "\n".join((
        '    known_at = { state = "to" }', '    since = "client.[signed up]"',
        '    joins.client = { table = "clients", on = { client = "id" } }',
    )))  # fmt: skip
    files = {**FILES, "deals.csv": FILES["deals.csv"] + "        d3,c7,2024-02-05,,100,basic\n"}

    found = reading(tmp_path, mapping, files)

    assert (Identity("shop", "c7"),) in [one.identities for one in said(found)]
    doubts = found.findings["deals"].doubted
    assert (doubts["no row in clients for its client"].n, doubts["no row in clients for its client"].examples) == (
        1, ["deals.csv:4: c7"],
    )  # fmt: skip


def test_ids_of_several_columns_cannot_be_mistaken_for_one_another(tmp_path: Path) -> None:
    mapping = """\
        name = "two"
        [tables.t]
        file = "t.csv"
        id = ["a", "b"]
        customer = "c"
        at = "day"
        [[tables.t.facts]]
        kind = "login"
        """
    rows = "a,b,c,day\nx/y,z,1,2024-01-01\nx,y/z,1,2024-01-01\nx:login,,1,2024-01-01\n"

    ids = [fact.source_id for fact in facts(reading(tmp_path, mapping, {"t.csv": rows}))]

    assert ids == ["t/x%2Fy/z:login", "t/x/y%2Fz:login", "t/x%3Alogin/:login"]


def test_a_delivery_gives_the_same_facts_again_without_the_files(tmp_path: Path) -> None:
    chunks = list(reading(tmp_path).chunks(START))

    for chunk in chunks:
        stored = Delivery("dlv_1", "shop", "import", chunk.page.external_id, chunk.page.body, START)
        assert parse(stored) == chunk.parsed


def test_a_delivery_keeps_only_the_columns_that_the_mapping_reads(tmp_path: Path) -> None:
    bodies = [json.loads(chunk.page.body) for chunk in reading(tmp_path).chunks(START)]

    assert [set(body["columns"]) for body in bodies] == [
        {"id", "name", "[signed up]", "mail", "country"},
        {"deal", "client", "from", "to", "cents", "state"},
        {"deal.client", "n", "day", "count"},
    ]
    assert "churn_flag" not in str(bodies)


def test_a_body_that_is_no_chunk_of_a_file_is_refused() -> None:
    for body in ("{}", "[]", '"x"', '{"rows": []}'):
        with pytest.raises(ValueError, match="no chunk of an imported file"):
            parse(Delivery("dlv_1", "shop", "import", "x", body, 0))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("d3,c1,soon,,100,gold", "from is 'soon', which is no date; write 2026-01-31 or 2026-01-31T09:30:00"),
        ("d3,c1,2024-01-01,2024-13-01,100,gold", "to is '2024-13-01', which is no date"),
        ("d3,c1,2024-01-01,,1.000.00,gold", "cents is '1.000.00', which is no number"),
        ("d3,c1,2024-01-01,,NaN,gold", "cents is 'NaN', which is no number"),
        ("d3,c1,2024-01-01,,9e30,gold", "is not a number between"),
        ("d3,,2024-01-01,,100,gold", "client is empty, so nobody knows whose row it is"),
        (",c1,2024-01-01,,100,gold", "deal is empty, so the row has no id"),
        ("d3,c1,2024-01-01", "has 3 cells, the header has 6"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_line_and_the_rest_goes_on(
    row: str, reason: str, tmp_path: Path
) -> None:
    found = reading(
        tmp_path, files={**FILES, "deals.csv": FILES["deals.csv"] + f"        {row}\n        d4,c2,2024-03-03,,1,x"}
    )

    assert "deals/d4:payment" in {fact.source_id for fact in facts(found)}
    [refused] = found.findings["deals"].refused
    assert (refused.file, refused.line) == ("deals.csv", 4)
    assert reason in refused.reason
    assert row.split(",")[0] in refused.row


def test_a_label_that_the_mapping_does_not_name_is_refused(tmp_path: Path) -> None:
    found = reading(tmp_path, files={**FILES, "clients.csv": FILES["clients.csv"].replace("DE", "FR")})
    list(found.chunks(START))

    assert [one.reason for one in found.findings["clients"].refused] == [
        "country is 'FR', which labels in the mapping do not name"
    ]


def doubts(found: Reading, table: str) -> dict[str, int]:
    list(found.chunks(START))
    return {what: tally.n for what, tally in found.findings[table].doubted.items()}


def test_contradictory_rows_are_kept_and_counted(tmp_path: Path) -> None:
    mapping = (
        MAPPING
        + """
    [tables.deals.doubts]
    "ended before it began" = "to before from"
    [tables.clients.doubts]
    "left and went on paying" = "churn_flag is 'TRUE' and some deal has (deal.to is empty and deal.cents > 0)"
    [tables.clients.joins]
    deal = { table = "deals", on = { id = "client" } }
    """
    )
    files = {**FILES, "deals.csv": FILES["deals.csv"] + "        d3,c2,2024-02-05,2024-02-01,1,x\n"}

    found = reading(tmp_path, mapping, files)

    assert doubts(found, "deals") == {"ended before it began": 1}
    assert doubts(found, "clients") == {"left and went on paying": 1}
    assert "deals/d3:subscription:closed" in {fact.source_id for fact in facts(found)}


def test_ids_that_ought_to_be_unique_and_rows_that_come_again_are_told_apart(tmp_path: Path) -> None:
    mapping = MAPPING.replace('id = "deal"', 'id = ["deal", "client"]\n    unique = "deal"')
    rows = "d1,c2,2024-01-12,,1,x", "d2,c1,2024-02-01T09:00:00,,900,basic", "d2,c1,2024-02-01T09:00:00,,901,basic"
    files = {**FILES, "deals.csv": FILES["deals.csv"] + "".join(f"        {row}\n" for row in rows)}

    found = reading(tmp_path, mapping, files)

    assert doubts(found, "deals") == {
        "deal that other rows have too": 5,  # d1 of two clients, and the three rows of d2 that are not all alike
        "the same row again": 1,
        "the same id with other content": 1,
    }


# -- what is wrong with a mapping -------------------------------------------------------------------------------------


def test_every_mistake_is_told_at_once_with_line_key_value_and_cure(tmp_path: Path) -> None:
    mapping = """\
        name = "Shop!"
        time_zone = "Berlin"

        [tables.clients]
        file = "clients.csv"
        id = "idd"
        customer = "owner.id"
        at = "signed up"
        colour = "red"

        [[tables.clients.facts]]
        kind = "joinned"

        [[tables.clients.facts]]
        kind = "login"
        opens = "[signed up]"
        value = "country *"

        [[tables.clients.people]]
        name = "name"

        [tables.deals]
        file = "deals.csv"
        joins.client = { table = "customers", on = {} }
        """

    found = [(one.line, one.key, one.message, one.cure) for one in mistakes(tmp_path, mapping)]

    brackets = "a column's name that is not one plain word stands in brackets: [Order Date]"
    assert found == [
        (1, "name", "'Shop!' will not do", "small letters, digits, - and _, a letter first"),
        (2, "time_zone", "'Berlin' is no time zone", "write one like Europe/Berlin"),
        (6, "tables.clients.id", "clients.csv has no column 'idd'", "did you mean 'id'?"),
        (
            7, "tables.clients.customer", "owner.id uses a join 'owner' that is not there",
            "add [tables.clients.joins.owner]",
        ),
        (8, "tables.clients.at", "'signed up' is understood up to 'signed'; next could come: +, the end", brackets),
        (9, "tables.clients.colour", "is no key of a mapping here",
            ("use one of: at, attributes, customer, doubts, facts, file, id, identities, joins, known_at, name, owner, people, "
            "since, unique, where")),
        (
            12, "tables.clients.facts.0.kind", "'joinned' is no kind of fact",
            "did you mean 'joined'? A kind of your own begins with custom.",
        ),
        (16, "tables.clients.facts.1.opens", "login does not stay open",
            ("date it with at; what opens and closes: cancellation_planned, open_dispute, open_task, open_ticket, subscription, "
            "unpaid_invoice")),
        (
            17, "tables.clients.facts.1.value",
            "'country *' is understood up to 'country *'; next could come: (, -, a column, a number", brackets,
        ),
        (19, "tables.clients.people.0.email", "is missing", "add it"),
        (24, "tables.deals.joins.client.on", "is missing", 'say which columns meet: on = { account_id = "account_id" }'),
        (24, "tables.deals.joins.client.table", "there is no table 'customers'", "use one of: clients, deals"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "use",
    [
        '[[tables.clients.facts]]\n    kind = "left"\n    where = "churn_flag is \'TRUE\'"',
        '[[tables.clients.facts]]\n    kind = "custom.x"\n    label = "churn_flag"',
        '[[tables.clients.facts]]\n    kind = "custom.x"\n    value = { column = "churn_flag", values = { TRUE = 1, FALSE = 0 } }',
        '[[tables.clients.attributes]]\n    columns = { churned = "churn_flag" }',
    ],
    ids=["filter", "label", "value", "attribute"],
)
def test_an_outcome_without_a_date_is_refused_as_history(use: str, tmp_path: Path) -> None:
    [problem] = mistakes(tmp_path, f"{MAPPING}\n    {use}\n")

    assert problem.message == (
        "churn_flag tells how it went but not when: dated [signed up], it would be known before it happened"
    )
    assert problem.cure == (
        "take a table that dates what happened; or, where this one does, say so: "
        '[tables.clients] known_at = { churn_flag = "<the date column>" }'
    )
    assert problem.line > 60


def test_an_outcome_without_a_date_is_refused_through_a_join_too(tmp_path: Path) -> None:
    mapping = MAPPING.replace('    known_at = { state = "to" }', "\n".join((
        '    known_at = { state = "to" }', '    joins.client = { table = "clients", on = { client = "id" } }',
    ))) + '\n    [[tables.deals.facts]]\n    kind = "custom.x"\n    label = "client.churn_flag"\n'  # fmt: skip

    [problem] = mistakes(tmp_path, mapping)

    assert problem.message.startswith("client.churn_flag tells how it went but not when")
    assert "[tables.clients] known_at" in problem.cure


def test_a_column_that_became_known_later_may_not_speak_earlier(tmp_path: Path) -> None:
    mapping = MAPPING.replace('    known_at = "to"\n', "")

    message, cure = "state became known on to, but this is dated from", 'date it to, or add known_at = "to"'
    assert [(one.key, one.message, one.cure) for one in mistakes(tmp_path, mapping)] == [
        ("tables.deals.facts.2.value.column", message, cure),
        ("tables.deals.facts.2.label", message, cure),
    ]


@pytest.mark.parametrize(
    ("doubt", "message"),
    [
        ("some deal has (cents > 0)", "looks through 'deal', a join that is not there"),
        ("some client has (client.deal.cents > 0)", "client.deal.cents leads on from client"),
        ("client.[signed on] before from", "clients.csv has no column 'signed on'"),
    ],
)
def test_a_doubt_that_looks_where_nothing_is_is_told(doubt: str, message: str, tmp_path: Path) -> None:
    mapping = f"""{MAPPING}
    [tables.deals.doubts]
    "odd" = "{doubt}"
    [tables.deals.joins]
    client = {{ table = "clients", on = {{ client = "id" }} }}
    """

    [problem] = mistakes(tmp_path, mapping)

    assert (problem.key, problem.message) == ("tables.deals.doubts.odd", message)


def test_looking_through_other_rows_is_for_doubts_only(tmp_path: Path) -> None:
    mapping = MAPPING.replace('where = "count > 0"', 'where = "some deal has (deal.cents > 0)"')

    assert "it is for doubts only" in [one.cure for one in mistakes(tmp_path, mapping)]


def test_files_that_lack_something_are_told_together(tmp_path: Path) -> None:
    files = {"clients.csv": "id,name,name\n", "clicks.csv": "", "notes.csv": "a\n"}
    (tmp_path / "m.toml").write_text(dedent(MAPPING), "utf-8")
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")

    with pytest.raises(Problems) as caught:
        read(tmp_path / "m.toml", [tmp_path / name for name in (*files, "gone.csv", "deals-2.csv")])

    found = {(Path(one.file).name, one.message) for one in caught.value.problems}
    assert {
        ("notes.csv", "no table of the mapping takes this file"),
        ("gone.csv", "no table of the mapping takes this file"),
        ("deals-2.csv", "cannot be read: No such file or directory"),
        ("clicks.csv", "has no header that can be read"),
        ("clients.csv", "two columns have the same name"),
        ("m.toml", "clients.csv has no column 'country'"),
    } <= found


def test_a_table_without_the_one_it_is_joined_to_is_a_problem(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if name != "deals.csv"}

    [problem] = mistakes(tmp_path, MAPPING, files)

    assert (problem.key, problem.message, problem.cure) == (
        "tables.clicks.joins.deal", "clicks is joined to deals, whose file is not there", "name deals*.csv too",
    )  # fmt: skip


def test_files_of_the_same_table_are_read_together_in_the_order_of_their_names(tmp_path: Path) -> None:
    header = "deal,client,from,to,cents,state\n"
    files = {**FILES, "deals-2.csv": header + "d9,c2,2024-02-01,,5,x\n"}

    found = reading(tmp_path, files=files)

    assert "clicks/c2/3:usage" in {fact.source_id for fact in facts(found)}
    assert found.findings["deals"].files == ("deals-2.csv", "deals.csv")


def test_a_mapping_that_is_no_toml_or_not_there_is_a_problem(tmp_path: Path) -> None:
    assert mistakes(tmp_path, 'name = "x\n')[0].line == 1
    with pytest.raises(Problems, match="cannot be read"):
        read(tmp_path / "nowhere.toml", [tmp_path])


KEYS = st.sampled_from(
    ["name", "tables", "t", "file", "id", "at", "facts", "kind", "value", "joins", "on", "doubts", "where"]
)
VALUES = st.recursive(
    st.sampled_from(["a", "", "usage", "a.b", "x is 'y'"]) | st.integers() | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(
    data=st.dictionaries(KEYS, VALUES, max_size=4)
    | st.builds(lambda t: {"tables": {"t": t}}, st.dictionaries(KEYS, VALUES))
)
def test_any_mapping_is_read_or_refused_in_sentences(data: dict[str, object]) -> None:
    from integrations._csv_mapping import read_book

    _, problems = read_book(data, "m.toml", lambda *_: 1)

    assert all(one.message and one.cure is not None for one in problems)


def test_the_page_about_importing_shows_a_mapping_that_works(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text("utf-8")
    [mapping] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    clients, orders = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)

    found = reading(tmp_path, mapping, {"clients.csv": clients, "orders.csv": orders})

    assert [(fact.source_id, fact.value, fact.label) for fact in facts(found)] == [
        ("clients/c1:joined", MILLION, ""),
        ("clients/c2:joined", MILLION, ""),
        ("orders/o1:payment", 1250 * MILLION, "EUR"),
        ("orders/o2:payment", 99 * MILLION, "EUR"),
        ("orders/o2:refund", 99 * MILLION, "EUR"),
    ]
    assert found.findings["orders"].doubted == {}


# -- any file at all --------------------------------------------------------------------------------------------------


@given(text=st.text(alphabet='c12d3,"\n\r-0\0é ', max_size=80))
def test_of_any_file_every_row_is_taken_refused_or_told_to_come_again(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {**FILES, "deals.csv": "deal,client,from,to,cents,state\n" + text}
    found = reading(tmp_path_factory.mktemp("any"), files=files)

    opened = [fact for fact in facts(found) if fact.source_id.endswith(":subscription:opened")]

    deals = found.findings["deals"]
    again = sum(tally.n for what, tally in deals.doubted.items() if what.startswith("the same"))
    assert len({fact.source_id for fact in opened}) + len(deals.refused) + again == deals.rows


ROWS = st.lists(
    st.builds("d{},c{},2024-01-{:02}T10:00:00,,{},x".format, *(st.integers(1, 9) for _ in range(4))), max_size=8
)


@given(rows=ROWS)
def test_whatever_the_rows_are_a_delivery_gives_them_again(
    rows: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {**FILES, "deals.csv": "\n".join(["deal,client,from,to,cents,state", *rows])}

    for chunk in reading(tmp_path_factory.mktemp("any"), files=files).chunks(START):
        assert parse(Delivery("", "shop", "import", "", chunk.page.body, START)) == chunk.parsed
