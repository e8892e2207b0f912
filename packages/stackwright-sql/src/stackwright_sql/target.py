"""Rows appended to a table, a batch a transaction, each batch once."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Column, Connection, MetaData, Table, inspect
from sqlalchemy import types as sql
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.feature_store import ArrowStream
from stackwright_interfaces.plugin import Context
from stackwright_interfaces.tables import TableTarget
from stackwright_sql.address import Address
from stackwright_sql.failures import Stage, translated
from stackwright_sql.plugin import SqlConfig

BATCHES: Final = "stackwright_batches"
"""The table that notes which batches were appended."""


class SqlTableTarget(TableTarget):
    """A database by SQLAlchemy.

    Args:
        config: which database.
        _context: what every adapter is given.

    Raises:
        UsageError: the url cannot be used.
        PluginError: its dialect or driver is not installed.
    """

    def __init__(self, config: SqlConfig, _context: Context) -> None:
        self._address = Address(config, makes=True)
        self._batch_rows = config.batch_rows
        self._engine = self._address.engine()

    def append(self, table: str, rows: ArrowStream, *, batch: str) -> bool:
        """Append rows, unless a batch of this name was appended before."""
        reader: Any = pa.RecordBatchReader.from_stream(rows)
        with translated(self._address, Stage.CONNECT):
            connection = self._engine.connect()
        with connection:
            with translated(self._address, Stage.WRITE):
                found = self._table(connection, table, reader.schema)
                connection.commit()
            with translated(self._address, Stage.WRITE), connection.begin():
                if not _note(connection, batch):
                    return False
                for some in reader:
                    for start in range(0, some.num_rows, self._batch_rows):
                        connection.execute(found.insert(), some.slice(start, self._batch_rows).to_pylist())
        return True

    def close(self) -> None:
        """End the connections."""
        with suppress(SQLAlchemyError):
            self._engine.dispose()

    def _table(self, connection: Connection, name: str, schema: pa.Schema) -> Table:
        """Return the table, made where it is not there, and see to that of the batches.

        Raises:
            UsageError: it lacks a column.
        """
        before, _, plain = name.rpartition(".")
        metadata = MetaData()
        columns = [Column(field.name, _type_of(field.type)) for field in schema]
        wanted = Table(plain, metadata, *columns, schema=before or None)
        _batches(metadata)
        inspector = inspect(connection)
        if inspector.has_table(plain, schema=before or None):
            there = {column["name"] for column in inspector.get_columns(plain, schema=before or None)}
            lacking = [field.name for field in schema if field.name not in there]
            if lacking:
                todo = f"Add it, or name another table. It has: {', '.join(sorted(there))}."
                raise UsageError(f"{self._address.where} {name}", f"it has no column {lacking[0]!r}", todo)
        metadata.create_all(connection)
        return wanted


def _batches(metadata: MetaData) -> Table:
    return Table(
        BATCHES,
        metadata,
        Column("batch", sql.String(200), primary_key=True),
        Column("at", sql.DateTime(timezone=True), nullable=False),
    )


def _note(connection: Connection, batch: str) -> bool:
    """Note a batch; return whether it is new. Whoever notes the same at the same time waits for our end."""
    try:
        with connection.begin_nested():
            connection.execute(_batches(MetaData()).insert(), {"batch": batch, "at": datetime.now(UTC)})
    except IntegrityError:
        return False
    return True


def _type_of(type_: pa.DataType) -> Any:
    """Return the SQL type that carries an Arrow type; what has no like is written as text."""
    for belongs, made in _TYPES:
        if belongs(type_):
            return made(type_)
    return sql.Text()


_TYPES: Final[tuple[tuple[Any, Any], ...]] = (
    (pa.types.is_boolean, lambda _: sql.Boolean()),
    (pa.types.is_integer, lambda _: sql.BigInteger()),
    (pa.types.is_floating, lambda _: sql.Double()),
    (pa.types.is_decimal, lambda type_: sql.Numeric(type_.precision, type_.scale)),
    (pa.types.is_timestamp, lambda type_: sql.DateTime(timezone=type_.tz is not None)),
    (pa.types.is_date, lambda _: sql.Date()),
    (pa.types.is_time, lambda _: sql.Time()),
    (pa.types.is_binary, lambda _: sql.LargeBinary()),
    (pa.types.is_large_binary, lambda _: sql.LargeBinary()),
)
