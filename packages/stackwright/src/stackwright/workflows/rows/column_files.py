"""Rows of files that hold them by column: Parquet and Arrow, and the columns that their folders are named by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from stackwright.workflows.rows.csv_rows import File, Stream
from stackwright.workflows.rows.files import ARROW, BATCH_ROWS, Found, first_line, same_columns, suffix, told
from stackwright_interfaces.errors import DataError

_SCAN: Final = ds.ParquetFragmentScanOptions(
    pre_buffer=False, use_buffered_stream=True, page_checksum_verification=True
)
_FORMATS: Final[Mapping[str, Any]] = {
    ".parquet": ds.ParquetFileFormat(default_fragment_scan_options=_SCAN),
    **dict.fromkeys(ARROW, ds.IpcFileFormat()),
}


def read_columns(found: Found, needed: Collection[str]) -> Stream:
    """Open files; their rows are read as they are asked for, some batches at a time.

    Args:
        needed: where all of these columns are there, only they are read.

    Raises:
        DataError: one is damaged, or lacks a column that others have.
    """
    files = found.files
    format_ = _FORMATS[suffix(files[0].path)]
    schemas = [_inspect(file, format_) for file in files]
    every = ds.dataset(
        [str(file.path) for file in files],
        format=format_,
        partitioning=ds.partitioning(flavor="hive") if found.root else None,
        partition_base_dir=str(found.root) if found.root else None,
    )
    schema = _united(files, schemas)
    for field in every.schema:
        schema = schema if field.name in schema.names else schema.append(field)
    columns = [name for name in schema.names if name in needed] if needed and {*needed} <= {*schema.names} else None
    asked = {*(columns or schema.names)}
    for file, names in zip(files, (one.names for one in schemas), strict=True):
        inside = [name for name in schemas[0].names if name in asked]
        same_columns(file, [name for name in names if name in asked], inside, files[0])
    taken = schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
    return Stream(taken, _scanned(files, every, schema, taken))


def _scanned(files: Sequence[File], every: Any, schema: pa.Schema, taken: pa.Schema) -> Iterator[pa.RecordBatch]:
    for file, fragment in zip(files, every.get_fragments(), strict=True):
        with told(file):
            yield from fragment.to_batches(
                schema=schema, columns=taken.names, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
            )


def _inspect(file: File, format_: Any) -> pa.Schema:
    with told(file):
        schema: pa.Schema = format_.inspect(str(file.path), pyarrow.fs.LocalFileSystem())
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DataError(file.shown, f"column {twice[0]!r} is there twice", "Remove or rename one of them.")
    return schema


def _united(files: Sequence[File], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return a schema that holds what each file holds."""
    united = schemas[0]
    for file, schema in zip(files[1:], schemas[1:], strict=True):
        try:
            united = pa.unify_schemas([united, schema], promote_options="permissive")
        except pa.ArrowException as error:
            found = f"its columns do not go with those of {files[0].shown} ({first_line(error)})"
            raise DataError(file.shown, found, "Give a column the same type in every file.") from error
    return united
