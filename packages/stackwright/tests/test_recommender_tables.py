"""The tables of a recommender: a value that cannot be used is told by its own row and its own column."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from stackwright.assembly.stack import Stack
from stackwright.workflows.recommending import tables
from stackwright_interfaces.errors import DataError, StackwrightError, WrongType

BLUEPRINT = """\
name = "x"

[recommenders.x]
trainer = "recommender"
interactions = {{ source = "looks.csv", user = "user", item = "item", time = "t"{more} }}
{items}

[registry]
adapter = "files"
"""


def read(folder: Path, *, more: str = "", items: str = "") -> tables.Tables:
    (folder / "blueprint.toml").write_text(BLUEPRINT.format(more=more, items=items))
    with Stack(folder) as stack:
        return tables.read(stack, stack.recommender())


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        ("", r"column 'w' holds nothing in row 2 \(1 of 3 rows\)"),
        ("-1", r"column 'w' holds -1.0 in row 2 \(1 of 3 rows\)"),
        ("inf", r"column 'w' holds inf in row 2 \(1 of 3 rows\)"),
    ],
)
def test_a_weight_is_0_or_more(tmp_path: Path, weight: str, told: str) -> None:
    (tmp_path / "looks.csv").write_text(f"user,item,t,w\n1,a,1,0\n2,a,2,{weight}\n3,a,3,1\n")
    with pytest.raises(DataError, match=told):
        read(tmp_path, more=', weight = "w"')


def misfits(column: str, values: list[object], tmp_path: Path, more: str = "") -> str:
    rows = {"user": list(range(len(values))), "item": ["a"] * len(values), "t": [1] * len(values), column: values}
    pyarrow.parquet.write_table(pa.table(rows), tmp_path / "looks.parquet")
    text = BLUEPRINT.format(more=more, items="").replace("looks.csv", "looks.parquet")
    (tmp_path / "blueprint.toml").write_text(text)
    with Stack(tmp_path) as stack, pytest.raises(WrongType) as told:
        tables.read(stack, stack.recommender())
    return told.value.found


def test_times_that_are_none_are_told_at_once_by_the_first_and_their_number(tmp_path: Path) -> None:
    times = ["2026-01-01", "soon", "2026-01-02T10:00:00Z", "2026-02-30", "later", None]
    assert misfits("t", times, tmp_path) == "column 't' holds 'soon' in row 2, no time (3 of 6 rows)"
    assert misfits("t", ["soon"] * 3000, tmp_path) == (
        "column 't' holds 'soon' in row 1, no time (1000 or more of 3000 rows)"
    )
    assert misfits("t", [True, False], tmp_path) == "column 't' holds True in row 1, no time (2 of 2 rows)"


def test_numbers_that_are_none_are_told_at_once_by_the_first_and_their_number(tmp_path: Path) -> None:
    told = "column 'w' holds 'much' in row 2, no number (2 of 4 rows)"
    assert misfits("w", ["1", "much", " 2.5 ", "more"], tmp_path, ', weight = "w"') == told
    (tmp_path / "looks.csv").write_text("1;a;1;1\n2;a;2;much\n3;a;3;2.5\n4;a;4;more\n")
    with pytest.raises(WrongType, match=re.escape(told)):
        read(tmp_path, more=', weight = "w", names = ["user", "item", "t", "w"], delimiter = ";"')


@pytest.mark.parametrize("header", [True, False])
def test_na_is_the_name_of_an_item_and_a_missing_number(tmp_path: Path, header: bool) -> None:
    text = "user,item,t,stars\nNA,null,1,NA\nb,NA,2,4\n"
    odd = "" if header else ', names = ["user", "item", "t", "stars"], delimiter = ";"'
    (tmp_path / "looks.csv").write_text(text if header else text.partition("\n")[2].replace(",", ";"))
    found = read(tmp_path, more=f', rating = "stars"{odd}').interactions.table
    assert found.select(["user", "item", "rating"]).to_pydict() == {
        "user": ["NA", "b"],
        "item": ["null", "NA"],
        "rating": [None, 4.0],
    }


def test_an_item_without_a_name_is_told_by_its_row_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "looks.csv").write_text("user,item,t\n1,a,1\n")
    (tmp_path / "items.csv").write_text("item,at\nb,3\na,2\n,1\nc,1\n")
    items = '[recommenders.x.items]\nsource = "items.csv"\nitem = "item"\ntime = "at"'
    with pytest.raises(DataError, match=r"column 'item' holds nothing in row 3 \(1 of 4 rows\)"):
        read(tmp_path, items=items)


@pytest.mark.parametrize(
    ("column", "values", "role"),
    [
        ("item", pa.array([2**64 - 1], pa.uint64()), ""),
        ("area", pa.array([[1]]), 'area = "area"'),
        ("kind", pa.array([{"a": 1}]), 'attributes = ["kind"]'),
        ("kind", pa.array([[{"a": 1}]]), 'attributes = ["kind"]'),
    ],
)
def test_a_column_of_a_type_that_is_no_text_is_told(tmp_path: Path, column: str, values: pa.Array, role: str) -> None:
    (tmp_path / "looks.csv").write_text("user,item,t\n1,a,1\n")
    table = pa.table({"item": pa.array(["a"]), column: values})
    pyarrow.parquet.write_table(table, tmp_path / "items.parquet")
    with pytest.raises(StackwrightError, match=f"column '{column}'") as told:
        read(tmp_path, items=f'[recommenders.x.items]\nsource = "items.parquet"\nitem = "item"\n{role}')
    assert isinstance(told.value, WrongType)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (["1", "23", "-4"], [1, 23, -4]),
        (["1", "00123", "123"], ["1", "00123", "123"]),
        (["1", "NA", "+1"], ["1", "NA", "+1"]),
        (["1", "9223372036854775808", "1.0"], ["1", "9223372036854775808", "1.0"]),
    ],
)
def test_identifiers_of_a_file_without_a_header_stay_as_many_as_there_are(
    tmp_path: Path, written: list[str], read_as: list[object]
) -> None:
    (tmp_path / "looks.csv").write_text("".join(f"u{row};{item};{row}\n" for row, item in enumerate(written)))
    found = read(tmp_path, more=', names = ["user", "item", "t"], delimiter = ";"')
    assert found.interactions.table["item"].to_pylist() == read_as
    assert found.interactions.table["user"].to_pylist() == ["u0", "u1", "u2"]
