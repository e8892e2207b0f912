"""The rows of an ingestion as they arrive: checked, and laid down in a file until the engine takes them over."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import EVENT, ORDER, ArrowStream
from stackwright_parquet.columns import integers, unsized
from stackwright_parquet.folder import writing_errors
from stackwright_parquet.incoming import batches, contents, named, without_refused
from stackwright_parquet.manifest import CONTENT, EARLIEST, LATEST, Manifest

_BATCH: Final = 65_536
"""Rows that are looked at together, or more where they come so."""


@dataclass(frozen=True)
class Arrived:
    """The rows of an ingestion, in a file of their own.

    Args:
        path: the Parquet file, in the order they came, with the names that all views share; there is none where no row
            is admitted.
        fields: how many of the view's value columns it holds.
        rows: how many were handed over.
        admitted: how many were not refused.
        oldest: least event time of those, microseconds since 1970.
        newest: greatest.
    """

    path: Path
    fields: int
    rows: int = 0
    admitted: int = 0
    oldest: int = LATEST
    newest: int = EARLIEST

    @property
    def refused(self) -> int:
        """How many were refused."""
        return self.rows - self.admitted

    def without_deleted(self, keys: int, deleted: Any, path: Path) -> Arrived:
        """Return these rows without those of deleted keys, in another file.

        Args:
            keys: number of key columns.
            deleted: what :meth:`Deletions.read <stackwright_parquet.deletion.Deletions.read>` gives.
            path: the other file.

        Raises:
            FeatureStoreError: it cannot be written.
        """
        if deleted is None or not self.admitted:
            return self
        names = [f"k{number}" for number in range(keys)]
        with pq.ParquetFile(self.path, pre_buffer=False) as file:  # else all of it is held
            parts = (pa.Table.from_batches([batch]) for batch in file.iter_batches(_BATCH))
            kept = _laid_down(self.fields, (without_refused(part, names, deleted) for part in parts), path)
        return replace(kept, rows=self.rows)


def receive(view: FeatureView, manifest: Manifest, stream: ArrowStream, path: Path, *, token: bool) -> Arrived:
    """Lay down the rows of a stream, but for those without a whole key.

    Args:
        view: whose rows they are; columns that the history has and it lacks are null.
        manifest: the history.
        stream: the rows, of which no more are held than come together.
        path: the file.
        token: keep the order token (``__order``); without it, of what it holds the hash of the content (``__content``).

    Raises:
        DataError: a column is missing or of another type, a time is null, or a token does not fit its row's times.
        FeatureStoreError: the file cannot be written.
    """
    handed = 0

    def admitted() -> Iterable[Any]:
        nonlocal handed
        for part in batches(stream, _BATCH):
            rows = named(view, manifest, part)
            handed += len(rows)
            rows = without_refused(rows, manifest.key_names, None)
            if not token:
                rows = rows.append_column(CONTENT, pa.array(contents(rows[ORDER]))).drop_columns([ORDER])
            yield pa.table({name: unsized(rows[name]) for name in rows.column_names})

    return replace(_laid_down(len(manifest.fields), admitted(), path), rows=handed)


def _laid_down(fields: int, tables: Iterable[Any], path: Path) -> Arrived:
    rows, oldest, newest = 0, LATEST, EARLIEST
    writer = None
    with ExitStack() as opened:
        for table in tables:
            if len(table):
                events = integers(table[EVENT])
                rows, oldest, newest = rows + len(table), min(oldest, int(events.min())), max(newest, int(events.max()))
                with writing_errors(path):
                    if writer is None:
                        writer = pq.ParquetWriter(path, table.schema, write_statistics=False, use_dictionary=False)
                        opened.callback(writer.close)
                    writer.write_table(table)
        with writing_errors(path):
            opened.close()
    return Arrived(path, fields, admitted=rows, oldest=oldest, newest=newest)
