"""A source cut into parts: some row groups of a Parquet file, or a file. Cut alike whenever the files are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet

from stackwright.workflows.rows.files import Found, first_line
from stackwright_interfaces.errors import DataError

PART_ROWS: Final = 500_000
"""Rows of a part: few enough that a part that is done twice costs little, enough that its file is worth opening."""

BATCH_ROWS: Final = 65_536
"""Rows that are scored at once."""

_PARQUET: Final = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(
        pre_buffer=False, use_buffered_stream=True, page_checksum_verification=True
    )
)
_ARROW: Final = ds.IpcFileFormat()


@dataclass(frozen=True)
class Part:
    """Some rows of a source.

    Args:
        number: its place, from 0.
        path: the file.
        root: the folder below which ``key=value`` folders are columns.
        rows: how many there are.
        groups: the row groups of a Parquet file; ``None`` is the whole file.
    """

    number: int
    path: str
    root: str | None
    rows: int
    groups: tuple[int, ...] | None = None

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows, some at a time.

        Args:
            schema: that of the whole source: what another file has as null or in a narrower type is cast.
            columns: those that are read.

        Raises:
            DataError: the file is damaged, or is no longer what it was.
        """
        try:
            fragment = self._fragment()
            yield from fragment.to_batches(
                schema=schema, columns=list(columns), batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1
            )
        except (pa.ArrowException, OSError) as error:
            todo = "Was it cut off, or altered? Mend it and run the same again: what is done stays done."
            raise DataError(self.path, f"cannot be read ({first_line(error)})", todo) from error

    def _fragment(self) -> Any:
        (fragment,) = _dataset(self.path, self.root).get_fragments()
        return fragment if self.groups is None else fragment.subset(row_group_ids=list(self.groups))


def parts_of(found: Found) -> list[Part]:
    """Cut files into parts.

    Raises:
        DataError: a file cannot be read.
    """
    root, parts = _root(found), list[Part]()
    for file in found.files:
        try:
            for groups, rows in _groups(file.path):
                parts.append(Part(len(parts), str(file.path), root, rows, groups))
        except (pa.ArrowException, OSError) as error:
            found_ = f"cannot be read ({first_line(error)})"
            raise DataError(file.shown, found_, "Was it cut off, or altered? Mend or export the file again.") from error
    return parts


def _root(found: Found) -> str | None:
    return str(found.root) if found.root else None


def _dataset(path: str, root: str | None) -> Any:
    return ds.dataset(
        [path],
        format=_PARQUET if path.lower().endswith(".parquet") else _ARROW,
        partitioning=ds.partitioning(flavor="hive") if root else None,
        partition_base_dir=root,
    )


def _groups(path: Path) -> Iterator[tuple[tuple[int, ...] | None, int]]:
    """Give row groups that make a part together, with their rows."""
    if path.suffix.lower() != ".parquet":
        yield None, int(_dataset(str(path), None).count_rows())
        return
    metadata = pyarrow.parquet.read_metadata(path)
    taken: list[int] = []
    rows = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if taken and rows + size > PART_ROWS:
            yield tuple(taken), rows
            taken, rows = [], 0
        taken.append(group)
        rows += size
    yield tuple(taken), rows
