"""Writing the files of a history: new ones, merged ones, and those without some keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_parquet import durable
from stackwright_parquet.columns import integers
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import LATEST, POSITION, HistoryFile, Manifest
from stackwright_spark.scan import FILE, footer_sum, quoted, read_files, table

_SMALL: Final = 500_000
"""Files of fewer rows are merged."""

_ROWS_A_FILE: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files that were written and do not count before a manifest names them.

    Args:
        files: what holds rows.
        future: rows whose event time is after the present.
    """

    files: tuple[HistoryFile, ...]
    future: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes files of a view; the folder's lock must be held.

    Args:
        session: where Spark runs.
        folder: the view's folder.
        manifest: its history.
        now: the present, microseconds since 1970.
    """

    session: SparkSession
    folder: ViewFolder
    manifest: Manifest
    now: int = LATEST

    def write(self, rows: DataFrame, first: int, last: int, count: int) -> Written:
        """Write rows durably, sorted by keys and order token in each file.

        Args:
            rows: what :func:`~stackwright_spark.scan.table` gives.
            first: least position that they may have.
            last: greatest.
            count: how many they are at most.
        """
        stored = [f"{name} AS {quoted(item.column)}" for name, item in self.manifest.columns.items()]
        parts = rows.coalesce(max(1, -(-count // _ROWS_A_FILE)))
        parts = parts.sortWithinPartitions(*self.manifest.key_names, ORDER)
        files: list[HistoryFile] = []
        future = 0
        with self.folder.staging() as staging:
            out = staging / "rows"
            columns = [*stored, EVENT, CREATED, ORDER, POSITION]
            parts.selectExpr(*columns).write.option("compression", "snappy").parquet(f"file://{out}")
            for part in sorted(out.glob("part-*.parquet")):
                found, later = self._measured(part)
                if found.rows:
                    name = f"{first:08d}-{last:08d}.{self.manifest.rewrites}.{len(files)}.parquet"
                    files.append(replace(found, name=name, first=first, last=last))
                    durable.settle(part, self.folder.file(files[-1]))
                    future += later
        return Written(files=tuple(files), future=future)

    def _measured(self, path: Path) -> tuple[HistoryFile, int]:
        rows = future = 0
        oldest, newest = LATEST, -LATEST
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(1_000_000, columns=[EVENT]):
                events = integers(batch.column(0))
                oldest, newest = min(oldest, int(events.min())), max(newest, int(events.max()))
                rows, future = rows + len(events), future + int((events > self.now).sum())
        size, footer = path.stat().st_size, footer_sum(path)
        found = HistoryFile(name="", first=0, last=0, rows=rows, size=size, oldest=oldest, newest=newest, footer=footer)
        return found, future

    def merged(self, merge_files: int) -> Manifest:
        """Merge the small files, where there are many; return the manifest that is published then."""
        small = [file for file in self.manifest.files if file.rows < _SMALL]
        return self.manifest if len(small) < merge_files else self._replaced(small, gone=None)

    def without_keys(self, gone: Any) -> int:
        """Publish the history without the rows of some keys; return how many they were.

        Args:
            gone: Arrow table of keys, ``k0, k1, ...``.
        """
        if not self.manifest.files or not len(gone):
            return 0
        with self.folder.staging() as staging:
            keys = self._keys(gone, staging / "gone.parquet")
            held = table(self.session, self.folder, self.manifest, self.manifest.files, ())
            counted = held.join(keys, self.manifest.key_names, "left_semi").groupBy(FILE).count().collect()
            touched = [file for file in self.manifest.files if file.name in {row[0] for row in counted}]
            if touched:
                self._replaced(touched, keys)
        return sum(row[1] for row in counted)

    def _keys(self, gone: Any, path: Path) -> DataFrame:
        pq.write_table(gone, path)
        names = self.manifest.key_names
        types = table(self.session, self.folder, self.manifest, (), ()).select(names).dtypes
        return read_files(self.session, [path], dict(types))

    def _replaced(self, old: Sequence[HistoryFile], gone: DataFrame | None) -> Manifest:
        """Replace files by others with the same rows but those of some keys, and publish that."""
        writer = replace(self, manifest=replace(self.manifest, rewrites=self.manifest.rewrites + 1))
        rows = table(self.session, self.folder, self.manifest, old)
        if gone is not None:
            rows = rows.join(gone, self.manifest.key_names, "left_anti")
        first, last = min(file.first for file in old), max(file.last for file in old)
        new = writer.write(rows, first, last, sum(file.rows for file in old)).files
        return self.folder.replace_files(self.manifest, old, new)
