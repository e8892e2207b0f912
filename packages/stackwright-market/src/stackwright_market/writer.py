"""Parquet files that grow row group by row group, whatever their final size, and appear under their name when whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stackwright_interfaces.errors import StorageError
from stackwright_market.streams import Columns, Ints

ROW_GROUP: Final = 65_536
"""Rows that are gathered before they are written."""

_TYPES: Final[Mapping[str, Any]] = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}


def identifiers(prefix: str, count: int) -> Any:
    """Return an Arrow array of texts: the prefix and seven digits, from 0 on."""
    digits = pc.utf8_lpad(pc.cast(pa.array(np.arange(count)), pa.string()), 7, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


class TableWriter:
    """One Parquet file.

    Args:
        path: the file.
        columns: column → ``text``, ``int``, ``float``, ``flag`` or ``time``.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self.path = path
        self.rows = 0
        self._partial = path.with_name(path.name + ".partial")
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        self._waiting: list[Any] = []
        self._file = pq.ParquetWriter(self._partial, self._schema, compression="zstd")

    def add(self, columns: Columns) -> None:
        """Add rows. Masked values are null, and so is NaN; times are microseconds since 1970."""
        table = pa.table([_array(columns[field.name], field.type) for field in self._schema], schema=self._schema)
        self.rows += table.num_rows
        self._waiting.append(table)
        if sum(waiting.num_rows for waiting in self._waiting) >= ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and put the file in its place."""
        self._flush()
        self._file.close()
        self._partial.replace(self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP)
            self._waiting = []


def _array(values: Any, kind: Any) -> Any:
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "f":
        return pa.array(values, kind, mask=np.isnan(values))
    return pa.array(values, kind)


class Writer:
    """The tables of a folder, each opened at its first rows. A context: an error leaves no half-written file.

    Args:
        folder: where the files go.
        tables: table → its columns, as in :class:`TableWriter`; the file is ``TABLE.parquet``.

    Raises:
        StorageError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, tables: Mapping[str, Mapping[str, str]]) -> None:
        self.folder = folder
        self._tables = tables
        self._open: dict[str, TableWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                for table in self._open.values():
                    table.finish()
            except OSError as failure:
                raise self._unwritable(failure) from failure
            return
        for table in self._open.values():
            table.abandon()
        if isinstance(error, OSError):
            raise self._unwritable(error) from error

    def add(self, table: str, columns: Columns) -> None:
        """Add rows to a table."""
        if table not in self._open:
            path = self.path(table)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[table] = TableWriter(path, self._tables[table])
        self._open[table].add(columns)

    def path(self, table: str) -> Path:
        """Return the file of a table."""
        return self.folder / f"{table}.parquet"

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(str(self.folder), f"cannot be written to ({error})", "Choose another folder, or make room.")

    @property
    def rows(self) -> dict[str, int]:
        """Table → rows so far."""
        return {name: table.rows for name, table in self._open.items()}


def chosen(texts: Any, places: Ints) -> Any:
    """Return the Arrow array of texts at these places; a masked place is null."""
    return texts.take(_array(places, pa.int64()))
