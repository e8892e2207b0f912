"""Rows appended to tables of a real PostgreSQL server: each batch whole, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import DataError, StorageError, UsageError
from stackwright_interfaces.tables import TableTarget
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_sql import plugin
from stackwright_sql.plugin import SqlConfig
from stackwright_sql.target import SqlTableTarget

Sql = Callable[..., Any]

ROWS = pa.table(
    {
        "flag": [True, None],
        "whole": [9007199254740993, None],
        "price": pa.array([Decimal("12.34"), None], pa.decimal128(10, 2)),
        "value": [0.1, None],
        "text": ["é", None],
        "kind": pa.array(["a", None]).dictionary_encode(),
        "data": [b"\x00\xff", None],
        "at": pa.array([datetime(2024, 3, 1, 10, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "day": [date(2024, 3, 1), None],
    }
)


@pytest.fixture
def url(server: Any, sql: Sql) -> str:
    found: str = server.url()
    return found


@pytest.fixture
def rows(server: Any, sql: Sql) -> Callable[[str], list[dict[str, Any]]]:
    """Gives what a query finds."""

    def found(query: str) -> list[dict[str, Any]]:
        with server.admin() as admin:
            cursor = admin.execute(query)
            names = [item.name for item in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return found


@pytest.fixture
def target(url: str) -> Iterator[SqlTableTarget]:
    context: Any = None
    made = SqlTableTarget(SqlConfig(url=url, batch_rows=2), context)
    yield made
    made.close()


class TestSqlTableTarget(AdapterCases):
    (spec,) = (spec for spec in plugin.stackwright_adapters() if spec.provides is TableTarget)

    def config(self, folder: Path) -> SqlConfig:
        (folder / "made.db").touch()
        return SqlConfig(url=f"sqlite:///{folder / 'made.db'}")


def test_a_table_is_made_and_holds_what_it_was_given(target: SqlTableTarget, rows: Sql) -> None:
    assert target.append("made", ROWS, batch="one")
    full, empty = sorted(rows("SELECT * FROM made"), key=lambda row: row["flag"] is None)
    assert full == {name: ROWS.column(name)[0].as_py() for name in ROWS.column_names}
    assert set(empty.values()) == {None}


def test_a_batch_is_appended_once(target: SqlTableTarget, rows: Sql) -> None:
    assert target.append("made", ROWS, batch="one")
    assert not target.append("made", ROWS, batch="one")
    assert target.append("made", ROWS, batch="two")
    assert len(rows("SELECT * FROM made")) == 4


def test_a_batch_that_breaks_off_leaves_nothing_and_is_tried_again(target: SqlTableTarget, rows: Sql) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        target.append("made", pa.RecordBatchReader.from_batches(ROWS.schema, batches()), batch="one")
    assert rows("SELECT * FROM made") == []
    assert target.append("made", ROWS, batch="one")
    assert len(rows("SELECT * FROM made")) == 2


def test_of_two_that_append_the_same_at_once_one_does(url: str, rows: Sql) -> None:
    found: list[bool] = []
    context: Any = None

    def append() -> None:
        target = SqlTableTarget(SqlConfig(url=url), context)
        found.append(target.append("made", ROWS, batch="one"))
        target.close()

    SqlTableTarget(SqlConfig(url=url), context).append("made", ROWS.slice(0, 0), batch="none")
    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, False, True]
    assert len(rows("SELECT * FROM made")) == 2


def test_a_table_that_is_there_keeps_its_types_and_may_have_more_columns(
    target: SqlTableTarget, sql: Sql, rows: Sql
) -> None:
    sql("CREATE SCHEMA sales; CREATE TABLE sales.values (whole smallint, note text DEFAULT 'n', value real)")
    target.append("sales.values", pa.table({"whole": [1], "value": [0.5]}), batch="one")
    assert rows("SELECT * FROM sales.values") == [{"whole": 1, "note": "n", "value": 0.5}]
    with pytest.raises(UsageError, match=r"sales\.values: it has no column 'price'. Add it"):
        target.append("sales.values", pa.table({"price": [1.0]}), batch="two")
    with pytest.raises(DataError, match="a row cannot be written"):
        target.append("sales.values", pa.table({"whole": [2**40]}), batch="two")
    assert target.append("sales.values", pa.table({"whole": [2]}), batch="two")


def test_who_may_not_write_is_told_and_no_password_is_shown(url: str, sql: Sql) -> None:
    sql("CREATE TABLE made (whole bigint)", "CREATE ROLE reader LOGIN PASSWORD 'hidden'")
    context: Any = None
    target = SqlTableTarget(SqlConfig(url=url.replace("postgres@", "reader:hidden@")), context)
    with pytest.raises(StorageError, match="it may not be written") as caught:
        target.append("made", pa.table({"whole": [1]}), batch="one")
    target.close()
    sql("DROP ROLE reader")
    assert "hidden" not in str(caught.value)
