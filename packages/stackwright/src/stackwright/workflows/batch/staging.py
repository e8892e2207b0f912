"""Rows that cannot be read twice, or not from the middle, are laid down as Parquet first: CSV, databases, buckets."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from stackwright.assembly.stack import Stack
from stackwright.workflows.batch.parts import PART_ROWS
from stackwright.workflows.rows import files
from stackwright.workflows.rows.csv_rows import File
from stackwright.workflows.rows.files import Found, first_line
from stackwright.workflows.rows.sources import rows_of
from stackwright_interfaces.errors import StorageError

_DIRECT: Final = frozenset({".parquet", ".arrow", ".feather"})


def on_disk(source: str) -> Found | None:
    """Return the files of a source that is a path; ``None`` of any other.

    Raises:
        UsageError: nothing that can be read is there.
    """
    return None if "://" in source or source.startswith("env:") else files.find(source)


def is_direct(found: Found) -> bool:
    """Tell whether files are read where they are: from the middle, and again."""
    return found.files[0].path.suffix.lower() in _DIRECT


def staged(stack: Stack, source: str, folder: Path, part: Mapping[str, Any]) -> Found:
    """Lay the rows of a source down in a folder, once; texts of a CSV as they are.

    Args:
        folder: is there when all of them are.
        part: ``table`` or ``query`` of a database.

    Raises:
        StackwrightError: as :func:`rows_of` has it.
        StorageError: the disk cannot take them.
    """
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        with rows_of(stack, source, {}, **part) as rows:
            try:
                _lay_down(stack, pa.RecordBatchReader.from_stream(rows), begun)
            except OSError as error:
                raise StorageError(str(begun), f"cannot be written ({first_line(error)})", "Free space.") from error
        begun.replace(folder)
    paths = sorted(folder.glob("*.parquet"))
    return Found([File(path, f"{source} (copy {path.stem})") for path in paths])


def _lay_down(stack: Stack, reader: Any, folder: Path) -> None:
    number, rows, batches = 0, 0, list[Any]()
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        if sum(item.num_rows for item in batches) >= PART_ROWS:
            _write(batches, reader.schema, folder, number)
            number, batches = number + 1, []
            stack.progress("read", rows, rows + PART_ROWS)
    _write(batches, reader.schema, folder, number)
    stack.progress("read", rows, rows)


def _write(batches: list[Any], schema: pa.Schema, folder: Path, number: int) -> None:
    if batches or not number:
        pyarrow.parquet.write_table(pa.Table.from_batches(batches, schema), folder / f"{number:05}.parquet")
