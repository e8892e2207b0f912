"""Files of rows: how the rows of a training are written, and read again, some columns or all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stackwright.workflows.datasets.dataset import Dataset
from stackwright.workflows.datasets.shared_parts import Shared
from stackwright.workflows.rows.files import first_line
from stackwright_interfaces.errors import DataError, ObjectNotFound, StorageError

_COLUMN: Final = "column "
_KEY: Final = "key "


@dataclass(frozen=True)
class Part:
    """A file of rows.

    Args:
        path: the file.
        rows: how many of its rows are left.
        first: when the first of them was asked for.
        last: when the last was.
        shared: the same file where others read it, who do not see this one.
    """

    path: Path | Shared
    rows: int
    first: np.datetime64
    last: np.datetime64
    shared: Shared | None = None


def columns_of(path: Path | Shared) -> tuple[str, ...]:
    """Return the names of a part's columns."""
    return _columns(pq.read_schema(_opened(path)).names)


def write(path: Path, rows: Dataset) -> Part:
    """Write rows in order of the time asked as a part.

    Raises:
        StorageError: the disk cannot take them.
    """
    texts = {name: column.dtype == object for name, column in rows.columns.items()}
    arrays = {
        f"{_COLUMN}{name}": pa.array(column, pa.string() if texts[name] else None)
        for name, column in rows.columns.items()
    }
    arrays |= {f"{_KEY}{name}": pa.array(values.tolist()) for name, values in rows.keys.items()}
    table = pa.table({**arrays, "target": rows.target, "asked": rows.asked, "observed": rows.observed})
    try:
        pq.write_table(table, path, use_dictionary=[f"{_COLUMN}{name}" for name in texts if texts[name]])
    except OSError as error:
        raise StorageError(str(path), f"cannot be written ({first_line(error)})", "Free space there.") from error
    return Part(path, len(rows), rows.asked[0], rows.asked[-1])


def read(path: Path | Shared, columns: Collection[str] | None, *, keys: bool) -> Dataset:
    """Read a part, or some of its columns; ``None`` is all.

    Raises:
        DataError: it is damaged, or gone.
    """
    try:
        with pq.ParquetFile(_opened(path)) as file:
            stored = file.schema_arrow.names
            columns = _columns(stored) if columns is None else columns
            kept = [name for name in stored if keys and name.startswith(_KEY)]
            wanted = [*(f"{_COLUMN}{name}" for name in columns), *kept, "target", "asked", "observed"]
            table = file.read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException, ObjectNotFound) as error:
        found = f"the rows of a training cannot be read any more ({first_line(error)})"
        raise DataError(str(path), found, "Do the workers see it? Train again.") from error
    return Dataset(
        columns={name: _array(table.column(f"{_COLUMN}{name}")) for name in columns},
        target=_array(table.column("target")),
        asked=_array(table.column("asked")),
        observed=_array(table.column("observed")),
        keys={name.removeprefix(_KEY): np.array(table.column(name).to_pylist(), dtype=object) for name in kept},
    )


def _opened(path: Path | Shared) -> Any:
    return path if isinstance(path, Path) else pa.BufferReader(path.read())


def _columns(stored: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(_COLUMN) for name in stored if name.startswith(_COLUMN))


def _array(column: pa.ChunkedArray) -> Any:
    if not pa.types.is_string(column.type):
        return column.to_numpy()
    coded = column.combine_chunks().dictionary_encode()  # few texts stand in many rows: equal ones are one object
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    known = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return known[coded.indices.fill_null(len(known) - 1).to_numpy()]
