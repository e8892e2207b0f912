"""Tables and queries of a real PostgreSQL server."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from stackwright_interfaces.errors import DataError, StorageError, UsageError
from stackwright_sql.source import SqlTableSource

Sql = Callable[..., None]

EVERY_TYPE = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN share AS numeric(5, 4) CHECK (value <= 1);
CREATE TABLE every (
    flag boolean, small smallint, whole bigint, real real, double double precision,
    price numeric(18, 2), wide numeric(50, 3), free numeric, text text, code varchar(8), fixed char(3), mood mood,
    data bytea, instant timestamptz, naive timestamp, day date, id uuid, document jsonb, items bigint[], words text[],
    share share
);
INSERT INTO every VALUES (
    true, 1, 9007199254740993, 0.5, 0.1, 1234567890123456.78, 1.5, 0.000000000000000000001, 'é', '007', 'a', 'sad',
    '\\x00ff', '2024-03-01 12:00:00.000001+02', '2024-03-01 12:00', '2024-03-01',
    '6b1b6a5e-0000-4000-8000-000000000001', '{"a": 1}', '{1,null}', '{x}', 0.25
);
INSERT INTO every (flag) VALUES (null)
"""

FOUND: dict[str, tuple[pa.DataType, Any]] = {
    "flag": (pa.bool_(), True),
    "small": (pa.int64(), 1),
    "whole": (pa.int64(), 9007199254740993),
    "real": (pa.float64(), 0.5),
    "double": (pa.float64(), 0.1),
    "price": (pa.decimal128(18, 2), Decimal("1234567890123456.78")),
    "wide": (pa.decimal256(50, 3), Decimal("1.500")),
    "free": (pa.decimal256(76, 38), Decimal("1e-21")),
    "text": (pa.string(), "é"),
    "code": (pa.string(), "007"),
    "fixed": (pa.string(), "a  "),
    "mood": (pa.string(), "sad"),
    "data": (pa.binary(), b"\x00\xff"),
    "instant": (pa.timestamp("us", "UTC"), datetime(2024, 3, 1, 10, 0, 0, 1, tzinfo=UTC)),
    "naive": (pa.timestamp("us"), datetime(2024, 3, 1, 12)),  # noqa: DTZ001 -- it has no zone
    "day": (pa.date32(), date(2024, 3, 1)),
    "id": (pa.string(), "6b1b6a5e-0000-4000-8000-000000000001"),
    "document": (pa.string(), '{"a": 1}'),
    "items": (pa.list_(pa.int64()), [1, None]),
    "words": (pa.list_(pa.string()), ["x"]),
    "share": (pa.decimal128(5, 4), Decimal("0.2500")),
}


@pytest.mark.parametrize(("what", "query"), [("every", False), ("SELECT * FROM every", True)], ids=["table", "query"])
def test_every_type_arrives_as_what_it_is_and_null_as_null(
    sql: Sql, source: SqlTableSource, what: str, query: bool
) -> None:
    sql(EVERY_TYPE)
    table = pa.table(source.read(what, query=query))
    assert {name: table.schema.field(name).type for name in FOUND} == {
        name: type_ for name, (type_, _) in FOUND.items()
    }
    full, empty = sorted(table.to_pylist(), key=lambda row: row["flag"] is None)
    assert {name: value for name, value in full.items() if name != "free"} == {
        name: value for name, (_, value) in FOUND.items() if name != "free"
    }
    assert full["free"] == Decimal("1e-21")
    assert set(empty.values()) == {None}


def test_a_table_of_no_rows_keeps_its_types(sql: Sql, source: SqlTableSource) -> None:
    sql("CREATE TABLE homes (id text, area double precision)")
    for table in (source.read("homes"), source.read("SELECT * FROM homes", query=True)):
        assert pa.table(table) == pa.table({"id": pa.array([], pa.string()), "area": pa.array([], pa.float64())})


def test_rows_come_in_batches_and_none_is_lost_or_doubled(sql: Sql, server: Any, open_source: Any) -> None:
    sql("CREATE TABLE numbers AS SELECT n FROM generate_series(1, 1001) n")
    reader: Any = open_source(server.url(), batch_rows=100).read("numbers")
    batches = list(reader)
    assert max(len(batch) for batch in batches) == 100
    assert sorted(pa.Table.from_batches(batches)["n"].to_pylist()) == list(range(1, 1002))


def test_a_column_that_is_null_for_long_has_its_declared_type(sql: Sql, server: Any, open_source: Any) -> None:
    sql(
        "CREATE TABLE late AS SELECT n, CASE WHEN n > 150 THEN n::numeric(9, 1) END AS x FROM generate_series(1, 200) n"
    )
    table = pa.table(open_source(server.url(), batch_rows=100).read("SELECT * FROM late ORDER BY n", query=True))
    assert table["x"].null_count == 150
    assert table["x"][199].as_py() == Decimal("200.0")


def test_reading_is_of_one_moment(sql: Sql, server: Any, open_source: Any) -> None:
    sql("CREATE TABLE numbers AS SELECT n FROM generate_series(1, 300) n")
    reader: Any = open_source(server.url(), batch_rows=100).read("numbers")
    first = reader.read_next_batch()
    sql("INSERT INTO numbers SELECT 1000 FROM generate_series(1, 300)")
    assert len(first) + sum(len(batch) for batch in reader) == 300


def test_a_view_and_a_table_of_another_schema_are_read(sql: Sql, source: SqlTableSource) -> None:
    sql("CREATE SCHEMA sales", "CREATE TABLE sales.homes AS SELECT 7 AS n", "CREATE VIEW seen AS TABLE sales.homes")
    sql("CREATE MATERIALIZED VIEW kept AS TABLE sales.homes", 'CREATE TABLE "odd.Name" AS SELECT 7 AS n')
    for name in ("sales.homes", "seen", "kept", "odd.Name"):
        assert pa.table(source.read(name)).to_pylist() == [{"n": 7}], name


def test_only_the_columns_that_are_needed_are_read_where_all_are_there(sql: Sql, source: SqlTableSource) -> None:
    sql("CREATE TABLE homes AS SELECT 1 AS a, 2 AS b, 'NaN'::numeric(4, 2) AS c")
    for what, query in (("homes", False), ("SELECT * FROM homes", True)):
        assert pa.table(source.read(what, query=query, columns=["b", "a"])).to_pylist() == [{"a": 1, "b": 2}]
        with pytest.raises(DataError, match="column 'c', taken for decimal128"):
            pa.table(source.read(what, query=query, columns=["a", "d"]))


def test_signs_that_drivers_give_a_meaning_to_are_left_alone(sql: Sql, source: SqlTableSource) -> None:
    query = "SELECT '%s' || ' :b' || '%' AS x, 5 % 3 AS y;"
    assert pa.table(source.read(query, query=True)).to_pylist() == [{"x": "%s :b%", "y": 2}]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("homs", "no table named 'homs'. Did you mean 'homes'?"),
        ("HOMES", "Did you mean 'homes'?"),
        ("zzz", "There are: homes, visits."),
        ("sale.homes", "no schema named 'sale'. Did you mean 'sales'?"),
        ("sales.price", "Did you mean 'prices'?"),
    ],
)
def test_a_table_that_is_not_there_is_answered_with_the_nearest(
    sql: Sql, source: SqlTableSource, name: str, told: str
) -> None:
    sql(
        "CREATE TABLE homes ()", "CREATE VIEW visits AS SELECT 1", "CREATE SCHEMA sales", "CREATE TABLE sales.prices ()"
    )
    with pytest.raises(UsageError) as raised:
        source.read(name)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "query", ["DELETE FROM homes", "-- SELECT\nDROP TABLE homes", "", "/* x */ UPDATE homes SET n = 1"]
)
def test_a_statement_that_is_no_query_is_refused(sql: Sql, source: SqlTableSource, query: str) -> None:
    sql("CREATE TABLE homes AS SELECT 1 AS n")
    with pytest.raises(UsageError, match="no SELECT"):
        source.read(query, query=True)
    assert len(pa.table(source.read("homes"))) == 1


@pytest.mark.parametrize(
    "query",
    [
        "WITH gone AS (DELETE FROM homes RETURNING n) SELECT * FROM gone",
        "SELECT 1; DROP TABLE homes",
        "SELECT nextval('counter')",
    ],
)
def test_a_query_changes_nothing(sql: Sql, source: SqlTableSource, query: str) -> None:
    sql("CREATE TABLE homes AS SELECT 1 AS n", "CREATE SEQUENCE counter")
    with pytest.raises((UsageError, StorageError, DataError)):
        pa.table(source.read(query, query=True))
    assert len(pa.table(source.read("homes"))) == 1
    assert pa.table(source.read("SELECT is_called FROM counter", query=True)).to_pylist() == [{"is_called": False}]


def test_a_query_with_a_mistake_is_told_in_the_words_of_the_database(source: SqlTableSource) -> None:
    with pytest.raises(UsageError, match=r'the query cannot be run .*"nowhere" does not exist'):
        source.read("SELECT * FROM nowhere", query=True)


def test_a_table_that_may_not_be_read_is_told(sql: Sql, server: Any, open_source: Any) -> None:
    sql("CREATE TABLE homes AS SELECT 1 AS n", "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
    with pytest.raises(StorageError, match=r"may not be read .*permission denied"):
        pa.table(open_source(server.url("stranger")).read("homes"))


@pytest.mark.parametrize("value", ["'infinity'::timestamp", "'NaN'::numeric"])
def test_a_value_that_no_arrow_type_carries_is_told(sql: Sql, source: SqlTableSource, value: str) -> None:
    with pytest.raises(DataError, match="CAST"):
        pa.table(source.read(f"SELECT {value} AS x", query=True))


def test_a_mistake_far_into_the_rows_ends_the_stream_with_an_error(sql: Sql, server: Any, open_source: Any) -> None:
    query = "SELECT 1 / (250 - n) AS x FROM generate_series(1, 300) n"
    reader: Any = open_source(server.url(), batch_rows=100).read(query, query=True)
    assert len(reader.read_next_batch()) == 100
    with pytest.raises(DataError, match="division by zero"):
        list(reader)


def test_a_server_that_goes_away_ends_the_stream_with_an_error(sql: Sql, server: Any, open_source: Any) -> None:
    reader: Any = open_source(server.url(), batch_rows=10).read("SELECT * FROM generate_series(1, 100000)", query=True)
    reader.read_next_batch()
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND client_port IS NOT NULL"
    )
    with pytest.raises(StorageError, match=r"broke off.*Nothing was taken"):
        list(reader)


def test_a_closed_source_gives_its_connections_back(sql: Sql, server: Any, open_source: Any) -> None:
    source = open_source(server.url(), batch_rows=10)
    source.read("SELECT * FROM generate_series(1, 100000)", query=True)
    source.close()
    source.close()
    count = "SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL AND pid <> pg_backend_pid()"
    with server.admin() as admin:
        for _ in range(100):
            if admin.execute(count).fetchone() == (1,):  # the fixture's own
                return
            admin.execute("SELECT pg_sleep(0.05)")
    pytest.fail("a connection is still open")


def test_a_wrong_password_is_told_and_not_shown(sql: Sql, server: Any, open_source: Any) -> None:
    sql("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    url = server.url("guarded:p%2540ss%2Fw0rd-47")
    with pytest.raises(StorageError, match="user or password were refused") as raised:
        open_source(url).read("homes")
    assert hidden(raised.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ada:p%2540ss%2Fw0rd-47@127.0.0.1:1/db", "127.0.0.1:1/db: the server cannot be reached"),
        ("postgresql://ada:p%2540ss%2Fw0rd-47@no-such-host.invalid/db", "the server cannot be reached"),
        ("postgresql://ada:p%40ss/w0rd-47@127.0.0.1:1/db", "the server cannot be reached"),
        ("postgresql://ada:p@ss/w0rd-47@127.0.0.1/db", "cannot be read as the address of a database"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_without_the_password(open_source: Any, url: str, told: str) -> None:
    with pytest.raises((StorageError, UsageError)) as raised:
        open_source(url).read("homes")
    assert told in str(raised.value)
    assert hidden(raised.value)


def test_a_database_that_is_not_there_is_told(server: Any, open_source: Any) -> None:
    with pytest.raises(StorageError, match="no such database"):
        open_source(server.url(database="nowhere")).read("homes")


def hidden(error: BaseException) -> bool:
    """Whether no part of the password is in the error, in what it came from, or in their representations."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__) + repr(error.__context__)
    return "w0rd-47" not in shown
