"""Tables and queries, read through one connection."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Connection, CursorResult, Inspector, Select, column, inspect, select, table
from sqlalchemy import types as sql
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from stackwright_interfaces.errors import UsageError, did_you_mean
from stackwright_interfaces.feature_store import ArrowStream
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.tables import TableSource
from stackwright_sql.address import Address
from stackwright_sql.columns import Column, of_result
from stackwright_sql.failures import Stage, translated
from stackwright_sql.plugin import SqlConfig

_COMMENTS: Final = re.compile(r"\A(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_READS: Final = re.compile(r"(select|with|values|table|from)\b", re.IGNORECASE)
_SHOWN: Final = 20


class SqlTableSource(TableSource):
    """A database by SQLAlchemy. A table is read by one SELECT, so as of one moment; nothing is ever committed.

    Args:
        config: which database.
        _context: what every adapter is given.

    Raises:
        UsageError: the url cannot be used.
        PluginError: its dialect or driver is not installed.
    """

    def __init__(self, config: SqlConfig, _context: Context) -> None:
        self._address = Address(config)
        self._batch_rows = config.batch_rows
        self._engine = self._address.engine()
        self._open: list[Connection] = []

    def read(self, what: str, *, query: bool = False, columns: Collection[str] = ()) -> ArrowStream:
        """Return a table, or what a query gives, as a ``pyarrow.RecordBatchReader`` that fetches as it is read."""
        if query:
            _check_query(self._address.where, what)
        connection = self._connect()
        if query:
            return self._ask(connection, what, columns)
        return self._select(connection, what, columns)

    def close(self) -> None:
        """End the connections; a stream that is still read ends with an error."""
        while self._open:
            with suppress(SQLAlchemyError):
                self._open.pop().close()
        self._engine.dispose()

    def _connect(self) -> Connection:
        with translated(self._address, Stage.CONNECT):
            connection = self._engine.connect()
            self._open.append(connection)
            if self._address.backend == "sqlite":  # its driver commits what it does not know for a change
                connection.exec_driver_sql("PRAGMA query_only = ON")
        options: dict[str, Any] = {"stream_results": True, "yield_per": self._batch_rows}
        if self._address.backend == "postgresql":
            options["postgresql_readonly"] = True
        return connection.execution_options(**options)

    def _ask(self, connection: Connection, query: str, wanted: Collection[str]) -> ArrowStream:
        with translated(self._address, Stage.ASK):
            result = connection.exec_driver_sql(query, execution_options={"no_parameters": True})
            found = of_result(result.cursor.description if result.cursor else (), _registry(connection))
        names = [item.name for item in found]
        taken = [place for place, name in enumerate(names) if name in wanted or not set(wanted) <= set(names)]
        return self._stream(result, found, taken or range(len(names)))

    def _select(self, connection: Connection, name: str, wanted: Collection[str]) -> ArrowStream:
        with translated(self._address, Stage.ASK), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # of types it does not know: they are read as they come
            schema, found = self._find(inspect(connection), name)
            if wanted and set(wanted) <= {item["name"] for item in found}:
                found = [item for item in found if item["name"] in wanted]
            result = connection.execute(_selection(found, name, schema))
            declared = {item["name"]: item["type"] for item in found}
            columns = of_result(result.cursor.description if result.cursor else (), _registry(connection), declared)
        return self._stream(result, columns, range(len(columns)))

    def _find(self, inspector: Inspector, name: str) -> tuple[str | None, list[Any]]:
        """Return the schema of a table, or ``None`` for the usual one, and its columns."""
        before, _, last = name.rpartition(".")
        for schema, plain in ((None, name), (before or None, last)):
            if inspector.has_table(plain, schema=schema):
                return schema, inspector.get_columns(plain, schema=schema)
        raise self._no_table(inspector, name)

    def _no_table(self, inspector: Inspector, name: str) -> UsageError:
        schema, _, last = name.rpartition(".")
        schemas = inspector.get_schema_names() if schema else []
        if schema and schema not in schemas:
            return UsageError(self._address.where, f"no schema named {schema!r}", _nearest(schema, schemas))
        known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
        return UsageError(self._address.where, f"no table named {name!r}", _nearest(last, known))

    def _stream(self, result: CursorResult[Any], columns: Sequence[Column], taken: Sequence[int]) -> ArrowStream:
        batches = self._batches(result, [columns[place] for place in taken], list(taken))
        first = next(batches)
        reader: ArrowStream = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
        return reader

    def _batches(self, result: CursorResult[Any], columns: Sequence[Column], taken: Sequence[int]) -> Iterator[Any]:
        """Give the rows of a result, at least one batch, be it empty."""
        with translated(self._address, Stage.READ):
            none: list[Any] = [()] * len(columns)
            partitions = chain(result.partitions(self._batch_rows), ())
            rows = next(partitions, None)
            while True:
                every = list(zip(*rows, strict=True)) if rows else []
                values = [every[place] for place in taken] if rows else none
                arrays = [item.array(some, self._address.where) for item, some in zip(columns, values, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, names=[item.name for item in columns])
                rows = next(partitions, None)
                if rows is None:
                    return


def _registry(connection: Connection) -> Any:
    """Return psycopg's types of a connection, ``None`` where another driver made it."""
    if connection.dialect.driver != "psycopg":
        return None
    return connection.connection.driver_connection.adapters.types  # type: ignore[union-attr] # psycopg's own


def _selection(columns: Sequence[Any], name: str, schema: str | None) -> Select[Any]:
    """Return the SELECT of a table's columns; an enum is read as the text it is."""
    plain = name if schema is None else name.rpartition(".")[2]
    read_as = [sql.String() if isinstance(item["type"], sql.Enum) else item["type"] for item in columns]
    named = [column(item["name"], type_) for item, type_ in zip(columns, read_as, strict=True)]
    return select(*named).select_from(table(plain, *named, schema=schema))


def _check_query(where: str, query: str) -> None:
    start = _COMMENTS.match(query)
    if not _READS.match(query, start.end() if start else 0):
        raise UsageError(
            where, "the query is no SELECT", "Give one statement that reads: SELECT ... or WITH ... SELECT."
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    """Name what was probably meant, or what is there."""
    same = next((other for other in known if other.casefold() == name.casefold()), None)
    if same is not None:
        return f"Did you mean {same!r}?"
    more = ", ..." if len(known) > _SHOWN else ""
    return did_you_mean(name, known) or f"There are: {', '.join(sorted(known)[:_SHOWN]) or 'none'}{more}."
