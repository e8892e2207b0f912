"""Databases beside PostgreSQL, with SQLite standing for them; and what is not installed."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import DataError, PluginError, UsageError
from stackwright_sql.plugin import SqlConfig

ROWS = """
CREATE TABLE homes (id TEXT, n INTEGER, area REAL, price NUMERIC(10, 2), flag BOOLEAN, at DATETIME, photo BLOB);
INSERT INTO homes VALUES ('007', 9007199254740993, 1, 12.5, 1, '2024-03-01 12:00:00.000001', x'00ff');
INSERT INTO homes (id) VALUES ('8');
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Writes a database, and gives its URL."""

    def write(script: str) -> str:
        with sqlite3.connect(tmp_path / "homes.db") as connection:
            connection.executescript(script)
        connection.close()
        return f"sqlite:///{tmp_path / 'homes.db'}"

    return write


def test_a_table_is_read_as_its_columns_are_declared(write: Any, open_source: Any) -> None:
    table = pa.table(open_source(write(ROWS)).read("homes"))
    assert table.schema.field("price").type == pa.decimal128(10, 2)
    assert table.schema.field("at").type == pa.timestamp("us")
    assert table.to_pylist()[0] == {
        "id": "007",
        "n": 9007199254740993,
        "area": 1.0,
        "price": Decimal("12.50"),
        "flag": True,
        "at": datetime(2024, 3, 1, 12, 0, 0, 1),  # noqa: DTZ001 -- it has no zone
        "photo": b"\x00\xff",
    }
    assert set(table.to_pylist()[1].values()) == {"8", None}


def test_the_first_rows_tell_the_types_of_a_query(write: Any, open_source: Any) -> None:
    table = pa.table(open_source(write(ROWS)).read("SELECT id, n, area * 1.5 AS x FROM homes", query=True))
    assert table.to_pydict() == {"id": ["007", "8"], "n": [9007199254740993, None], "x": [1.5, None]}


def test_a_later_value_of_a_query_that_does_not_fit_is_told(write: Any, open_source: Any) -> None:
    url = write("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), ('three')")
    with pytest.raises(DataError, match=r"column 'x', taken for int64, holds a value that does not fit .*CAST\(x AS"):
        list(open_source(url, batch_rows=2).read("SELECT x FROM t", query=True))


def test_a_table_is_found_by_its_nearest_name(write: Any, open_source: Any) -> None:
    with pytest.raises(UsageError, match="Did you mean 'homes'"):
        open_source(write(ROWS)).read("home")


def test_a_query_with_a_mistake_is_told(write: Any, open_source: Any) -> None:
    with pytest.raises(UsageError, match="no such table: nowhere"):
        open_source(write(ROWS)).read("SELECT * FROM nowhere", query=True)


def test_a_change_hidden_in_a_query_is_refused(write: Any, open_source: Any) -> None:
    url = write("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    source = open_source(url)
    with pytest.raises(UsageError, match="readonly database"):
        source.read("WITH a AS (SELECT 2 AS x) INSERT INTO t SELECT x FROM a RETURNING x", query=True)
    source.close()
    assert pa.table(open_source(url).read("t"))["x"].to_pylist() == [1]


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, open_source: Any) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_source(f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_told(tmp_path: Path, open_source: Any) -> None:
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be taken for one" * 100)
    with pytest.raises(Exception, match="not a database") as raised:
        open_source(f"sqlite:///{tmp_path / 'text.db'}").read("homes")
    assert raised.type.__module__ == "stackwright_interfaces.errors"


@pytest.mark.parametrize(
    ("url", "module", "line"),
    [
        ("postgresql://u:hidden-47@h/d", "psycopg", "pip install 'stackwright-sql[postgres]'"),
        ("postgres://u:hidden-47@h/d", "psycopg", "pip install 'stackwright-sql[postgres]'"),
        ("postgresql+psycopg2://u:hidden-47@h/d", "psycopg2", "pip install psycopg2-binary"),
        ("mysql://u:hidden-47@h/d", "MySQLdb", "pip install mysqlclient"),
        ("mysql+pymysql://u:hidden-47@h/d", "pymysql", "pip install pymysql"),
    ],
)
def test_a_driver_that_is_missing_is_answered_with_the_line_that_installs_it(
    open_source: Any, monkeypatch: pytest.MonkeyPatch, url: str, module: str, line: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PluginError, match="cannot be imported") as raised:
        open_source(url)
    assert line in str(raised.value)
    assert "hidden-47" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("snowflake://u:hidden-47@h/d", "pip install snowflake-sqlalchemy"),
        ("postgrsql://u:hidden-47@h/d", "Did you mean 'postgresql'?"),
        ("zzz://u:hidden-47@h/d", "Install its SQLAlchemy dialect"),
    ],
)
def test_a_kind_of_database_that_is_not_known_is_told(open_source: Any, url: str, told: str) -> None:
    with pytest.raises(PluginError, match="no SQLAlchemy dialect") as raised:
        open_source(url)
    assert told in str(raised.value)
    assert "hidden-47" not in str(raised.value)


@pytest.mark.parametrize("url", ["", "homes", "postgresql://h:port/d"])
def test_what_is_no_url_is_refused(open_source: Any, url: str) -> None:
    with pytest.raises(UsageError, match="cannot be read as the address"):
        open_source(url)


def test_the_configuration_does_not_show_its_url() -> None:
    assert "hidden-47" not in repr(SqlConfig(url="postgresql://u:hidden-47@h/d"))


@pytest.mark.parametrize("option", ["batch_rows", "connect_timeout"])
def test_a_limit_is_positive(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        SqlConfig(url="sqlite://", **{option: 0})
