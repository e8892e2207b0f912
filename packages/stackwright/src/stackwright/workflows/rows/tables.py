"""Tables from files, whole, and into files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stackwright.assembly.replacing import replacing
from stackwright.workflows.rows import files
from stackwright.workflows.rows.files import first_line
from stackwright_interfaces.errors import DataError, UsageError
from stackwright_interfaces.types import Type
from stackwright_interfaces.views import NULLS


def read_table(path: Path, declared: Mapping[str, Type], *, nulls: Sequence[str] = NULLS) -> pa.Table:
    """Read a file, a folder of files, or those that fit a pattern, as :func:`files.read` says.

    Raises:
        UsageError: there is no such file, or its suffix is unknown.
        DataError: it is damaged, names a column twice, or a value is not of the declared type.
    """
    stream = files.read(files.find(str(path)), declared, nulls=nulls)
    return pa.Table.from_batches(stream.batches, stream.schema)


def suffix_of(path: Path) -> str:
    """Return the suffix of a file that can be written.

    Raises:
        UsageError: it has another one.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        todo = f"Give a file that ends in {' or '.join(_WRITERS)}."
        raise UsageError(str(path), f"suffix {path.suffix!r} is not known", todo)
    return suffix


def write_table(table: pa.Table, path: Path) -> None:
    """Write a file, as :func:`write_tables` does."""
    write_tables(table.schema, [table], path)


def write_tables(schema: pa.Schema, tables: Iterable[pa.Table], path: Path) -> None:
    """Write a file, whole or not at all, out of one table after the other.

    Args:
        schema: of each of them.
        path: ends in ``.csv`` or ``.parquet``.

    Raises:
        UsageError: another suffix.
        DataError: it cannot be written.
    """
    writer = _WRITERS[suffix_of(path)]
    try:
        with replacing(path) as temporary, writer(temporary, schema) as out:
            for table in tables:
                out.write_table(table)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            str(path), f"cannot be written ({first_line(error)})", "Free space or allow writing there."
        ) from error


_WRITERS: Final[Mapping[str, Callable[[Path, pa.Schema], Any]]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
}
