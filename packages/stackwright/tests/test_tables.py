"""Tables from files and into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackwright.workflows.rows.tables import read_table, write_table
from stackwright_interfaces.errors import DataError, UsageError, WrongType
from stackwright_interfaces.types import BOOL, FLOAT64, INT64, STRING, TIMESTAMP, Type

DECLARED: dict[str, Type] = {"id": STRING, "n": INT64, "x": FLOAT64, "b": BOOL, "at": TIMESTAMP}

Read = Callable[..., dict[str, list[Any]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str, nulls: tuple[str, ...] = ("NA",)) -> dict[str, list[Any]]:
        path = tmp_path / "rows.csv"
        path.write_bytes(text.encode())
        found: dict[str, list[Any]] = read_table(path, DECLARED, nulls=nulls).to_pydict()
        return found

    return read


def test_texts_stay_what_they_are(read: Read) -> None:
    assert read("id,note\n007,1\n0012,2.50\n 3 ,x\n") == {"id": ["007", "0012", " 3 "], "note": ["1", "2.50", "x"]}


def test_times_stay_texts_for_their_view_to_read(read: Read) -> None:
    assert read("at\n2024-01-01\n") == {"at": ["2024-01-01"]}


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3.", 3),
        ("-4.00", -4),
        (" 5 ", 5),
        ("1.225e+006", 1_225_000),
        ("+7", 7),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_a_whole_number_may_be_written_as_tools_export_it(read: Read, written: str, number: int) -> None:
    assert read(f"n\n{written}\n12345678901234567\n") == {"n": [number, 12345678901234567]}


@pytest.mark.parametrize("written", ["3.5", "1e30", "three", "1,5", str(2**63), "nan", "0x10"])
def test_what_is_no_whole_number_is_refused_with_its_line(read: Read, written: str) -> None:
    with pytest.raises(WrongType, match=r"rows\.csv line 3: column 'n' holds ") as caught:
        read(f'n,id\n1,a\n"{written}",b\n')
    assert repr(written) in caught.value.found


@pytest.mark.parametrize(
    ("written", "number"), [("1.225e+006", 1225000.0), ("-0", 0.0), ("inf", float("inf")), (" 2.5 ", 2.5), ("+.5", 0.5)]
)
def test_numbers_are_read_in_every_notation(read: Read, written: str, number: float) -> None:
    assert read(f"x\n{written}\n") == {"x": [number]}


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("FALSE", False), ("True", True), ("1", True), ("0", False)]
)
def test_booleans_are_read_as_tools_write_them(read: Read, written: str, value: bool) -> None:
    assert read(f"b\n{written}\n") == {"b": [value]}


def test_an_empty_value_and_the_declared_texts_are_null(read: Read) -> None:
    assert read("id,n,x,b\n,NA,,\nNA,1,NA,NA\n?,2,3,1\n") == {
        "id": [None, "NA", "?"],
        "n": [None, 1, 2],
        "x": [None, None, 3.0],
        "b": [None, None, True],
    }
    with pytest.raises(WrongType, match="'NA'"):
        read("n\nNA\n", nulls=())


def test_a_text_that_stands_for_null_elsewhere_is_a_text_in_a_column_of_texts(read: Read) -> None:
    text = "id,note,at,n\nNA,null,NA,NA\nNone,NaN,null,null\n,?,?,?\n"
    assert read(text, nulls=("NA", "null", "?")) == {
        "id": ["NA", "None", None],
        "note": ["null", "NaN", None],
        "at": [None, None, None],
        "n": [None, None, None],
    }


def test_quoted_values_hold_commas_quotes_and_line_ends(read: Read) -> None:
    assert read('id,n\n"a, ""b""\nc","4"\n') == {"id": ['a, "b"\nc'], "n": [4]}


def test_the_line_of_a_mistake_counts_empty_and_continued_lines(read: Read) -> None:
    with pytest.raises(WrongType, match=r"rows\.csv line 7:"):
        read('id,n\n\n\n"a\nb",1\n\nc,x\n')


def test_a_mistake_is_found_among_many_rows(read: Read) -> None:
    rows = [str(row) for row in range(5000)]
    rows[4321] = "4321 or so"
    rows[4400] = "another"
    with pytest.raises(WrongType, match="line 4323: column 'n' holds '4321 or so'"):
        read("n\n" + "\n".join(rows))


def test_a_header_alone_has_no_rows(read: Read) -> None:
    assert read("id,n\n") == {"id": [], "n": []}


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_values(read: Read) -> None:
    assert read("\ufeffid,n\r\na,1\r\n") == {"id": ["a"], "n": [1]}


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n"])
def test_a_file_without_a_header_is_refused(read: Read, text: str) -> None:
    with pytest.raises(DataError, match="the file is empty"):
        read(text)


def test_an_unfinished_quote_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match="line 2"):
        read('id,n\n"a,1\nb,2\n')


def test_a_suffix_may_be_written_large(tmp_path: Path) -> None:
    (tmp_path / "ROWS.CSV").write_text("id\n1\n")
    assert read_table(tmp_path / "ROWS.CSV", {}).to_pydict() == {"id": ["1"]}


def test_parquet_keeps_its_types_and_a_folder_of_it_is_one_table(tmp_path: Path) -> None:
    for part in range(2):
        pyarrow.parquet.write_table(pa.table({"n": pa.array([part], pa.int32())}), tmp_path / f"{part}.parquet")
    assert read_table(tmp_path / "1.parquet", DECLARED).schema.field("n").type == pa.int32()
    assert read_table(tmp_path, DECLARED).to_pydict() == {"n": [0, 1]}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text('ab0,"\n ', min_size=1)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, int | None]]
) -> None:
    table = pa.table(
        {"id": pa.array([row[0] for row in rows], pa.string()), "n": pa.array([row[1] for row in rows], pa.int64())}
    )
    folder = tmp_path_factory.mktemp("written")
    for suffix in (".csv", ".parquet"):
        path = folder / f"rows{suffix}"
        write_table(table, path)
        assert read_table(path, DECLARED).to_pydict() == table.to_pydict()


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_table(pa.table({"n": [1]}), tmp_path / "a" / "b" / "out.csv")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["out.csv"]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(DataError, match="cannot be written"):
        write_table(pa.table({"n": pa.array([[1]], pa.list_(pa.int64()))}), path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["out.csv"]


def test_another_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"suffix '\.xlsx' is not known\. Give a file that ends in \.csv or \.parquet"):
        write_table(pa.table({"n": [1]}), tmp_path / "out.xlsx")
    assert not list(tmp_path.iterdir())
