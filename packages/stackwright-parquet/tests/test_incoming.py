"""Rows that come in are checked, and those that must not are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import DataError, MissingColumn, WrongType
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.testing.context import NOON
from stackwright_interfaces.testing.half_cases import BLOCKS, COLUMNS, PLAIN, fact
from stackwright_interfaces.testing.histories import US
from stackwright_interfaces.testing.tables import OneStream, normalised, stamps, token_of
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_parquet.columns import STAMP
from stackwright_parquet.deletion import DELETED
from stackwright_parquet.incoming import batches, contents, named, without_refused
from stackwright_parquet.manifest import Manifest

FACTS = [fact(1, NOON, x=1.0), fact(2, NOON, NOON + US, s="b")]


def read(table: Any, view: Any = PLAIN) -> Any:
    return named(view, Manifest.of(view), table)


def test_rows_get_the_names_that_all_views_share() -> None:
    rows = read(normalised(PLAIN, FACTS))
    assert rows.column_names == ["k0", "c0", "c1", "c2", EVENT, CREATED, ORDER]
    assert rows["k0"].to_pylist() == [1, 2]
    assert rows["c2"].to_pylist() == [None, "b"]


def test_columns_that_the_history_has_and_the_view_lacks_are_null() -> None:
    manifest = Manifest.of(replace(PLAIN, fields=(*COLUMNS, Field("y", FLOAT64))))
    assert named(PLAIN, manifest, normalised(PLAIN, FACTS))["c3"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("name", "array", "error", "message"),
    [
        ("x", None, MissingColumn, "'x' is missing"),
        ("x", pa.array(["a", "b"]), WrongType, "'x' holds string, declared is double"),
        (CREATED, stamps([NOON, None]), DataError, "'__created' holds 1 nulls"),
        (EVENT, stamps([NOON + US, NOON]), DataError, "'__order' does not begin with the row's times"),
        (ORDER, pa.array([b"short", b"short"]), DataError, "'__order' holds other than 24 bytes"),
    ],
)
def test_rows_that_break_the_contract_are_refused(name: str, array: Any, error: Any, message: str) -> None:
    table = normalised(PLAIN, FACTS).drop_columns([name])
    with pytest.raises(error, match=message):
        read(table if array is None else table.append_column(name, array))


def test_the_content_of_a_token_is_found_wherever_the_column_starts() -> None:
    tokens = normalised(PLAIN, FACTS)[ORDER].cast(pa.binary(24)).slice(1)
    assert [int(content).to_bytes(8, "big") for content in contents(tokens)] == [token_of(FACTS[1])[16:]]


def test_rows_without_a_part_of_their_key_are_refused() -> None:
    rows = read(normalised(BLOCKS, [fact(("1", "High"), NOON), fact(("2", None), NOON)]), BLOCKS)
    assert without_refused(rows, ["k0", "k1"], None)["k0"].to_pylist() == ["1"]


def test_rows_created_by_the_deletion_of_their_key_are_refused() -> None:
    rows = read(normalised(PLAIN, [fact(key, NOON, NOON + step * US) for key in (1, 2) for step in range(3)]))
    deleted = pa.table({"k0": [1], DELETED: pa.array([NOON + US], STAMP)})
    kept = without_refused(rows, ["k0"], deleted)
    assert [(row["k0"], (row[CREATED] - NOON) // US) for row in kept.to_pylist()] == [(1, 2), (2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize(("rows", "sizes"), [(4, [6, 1]), (1, [3, 3, 1]), (100, [7])])
def test_a_stream_is_taken_in_tables_of_at_least_so_many_rows(rows: int, sizes: list[int]) -> None:
    tables = list(batches(OneStream(normalised(PLAIN, [fact(key, NOON) for key in range(7)])), rows))
    assert [len(table) for table in tables] == sizes


def test_an_empty_stream_is_one_table_without_rows() -> None:
    (table,) = batches(OneStream(normalised(PLAIN, [])), 5)
    assert len(table) == 0
    assert ORDER in table.column_names
