"""CSV files as strangers write them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from worker.lib.tables import Index, read, read_text


def said(text: str) -> tuple[list[tuple[int, dict[str, str]]], list[tuple[int, str]]]:
    """The rows, and the refusals, with their lines."""
    sheet = read_text(text, "t.csv")
    return [(row.line, dict(row.cells)) for row in sheet.rows], [(one.line, one.reason) for one in sheet.refused]


def test_rows_know_their_lines_and_cells_are_trimmed() -> None:
    assert said('id,n\r\n a ,1\r\n\r\n"b, c","2\r\n3"\r\nd,4') == (
        [(2, {"id": "a", "n": "1"}), (4, {"id": "b, c", "n": "2\n3"}), (6, {"id": "d", "n": "4"})],
        [],
    )


def test_a_row_with_the_wrong_number_of_cells_is_refused_with_its_line() -> None:
    rows, refused = said("id,n\na,1\nb\nc,1,2\nd,4\n")

    assert [line for line, _ in rows] == [2, 5]
    assert refused == [(3, "has 1 cell, the header has 2"), (4, "has 3 cells, the header has 2")]


def test_a_stray_quotation_mark_costs_one_row_and_not_the_rest_of_the_file() -> None:
    rows, refused = said('id,n\na,"1\nb,2\nc,3\nd,4"x\ne,5\nf,"6\n')

    assert [line for line, _ in rows] == [3, 4, 5, 6]
    assert refused == [
        (2, "text goes on after a closing quotation mark"),
        (7, "a quotation mark that opens in this line is never closed"),
    ]


def test_a_quoted_cell_may_go_over_lines_and_two_stray_marks_do_not_hide_what_lies_between() -> None:
    rows, refused = said('id,n\na,"1\nb,2"\nd,4\n"e,5\nf,6\ng,"7\nh,8\n')

    assert [line for line, _ in rows] == [2, 4, 6, 8]
    assert [line for line, _ in refused] == [5, 7]


def test_rows_that_a_stray_mark_has_swallowed_are_read_again() -> None:
    rows, refused = said('id,n\na,"1\nb,2\nc,3",x\nd,4\n')

    assert [line for line, _ in rows] == [3, 5]
    assert refused == [(2, "has 3 cells, the header has 2"), (4, "has 3 cells, the header has 2")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,näme\n1,ß\n".encode("utf-8-sig"))

    assert read(tmp_path / "t.csv").columns == ("id", "näme")


def test_what_no_database_takes_is_refused_by_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"id\ngood\nz\xe9\nze\0ro\n")

    sheet = read(tmp_path / "t.csv")

    assert [row.cells["id"] for row in sheet.rows] == ["good"]
    assert [(one.line, one.reason) for one in sheet.refused] == [
        (3, "is not UTF-8; save the file as CSV UTF-8"),
        (4, "holds a zero byte"),
    ]


def test_a_header_that_cannot_be_read_leaves_the_rows_alone() -> None:
    sheet = read_text('id,"n\na,1\n', "t.csv")

    assert sheet.columns == ()
    assert sheet.rows == []


def test_rows_are_found_by_several_keys_and_an_empty_key_finds_none() -> None:
    sheet = read_text("a,b\n1,x\n1,y\n1,x\n,x\n", "t.csv")

    index = Index(sheet.rows, ["a", "b"])

    assert [row.line for row in index.find(("1", "x"))] == [2, 4]
    assert index.find(("2", "x")) == ()
    assert index.find(("", "x")) == ()


@given(st.text(alphabet='a1",;\n\r\0\ud800é', max_size=60))
@example('id\n"')
@example("\ufeff")
def test_any_text_is_rows_and_refusals(text: str) -> None:
    sheet = read_text("id,n\n" + text, "t.csv")

    assert all(len(row.cells) == 2 for row in sheet.rows)
    lines = [row.line for row in sheet.rows] + [one.line for one in sheet.refused]
    assert len(lines) == len(set(lines))
