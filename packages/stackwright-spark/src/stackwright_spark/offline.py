"""The offline half of a feature store: Apache Spark over Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import (
    ROW,
    ArrowStream,
    Asked,
    IngestReport,
    OfflineStore,
    Watermark,
)
from stackwright_interfaces.plugin import Context
from stackwright_parquet.arrival import receive
from stackwright_parquet.durable import Scratch, fresh_folder
from stackwright_parquet.folder import ViewFolder, writing_errors
from stackwright_parquet.histories import Histories
from stackwright_parquet.manifest import HistoryFile, Manifest
from stackwright_spark import changes as stream
from stackwright_spark import ingest as intake
from stackwright_spark.join import Labels, ViewJoin
from stackwright_spark.plugin import SparkConfig
from stackwright_spark.rewrite import Writer
from stackwright_spark.scan import check_file, damaged
from stackwright_spark.session import ERRORS, Sparks, first_line

_ATTEMPTS: Final = 5
_TEMP: Final = "_temp"

T = TypeVar("T")


class SparkOfflineStore(OfflineStore):
    """History as Parquet files in a folder, one folder a view; see :mod:`stackwright_parquet.folder`.

    Spark starts with the first call that needs it, unless it runs already: then that application is used and left
    alone. Threads may share a store, and processes a folder: ingestions and deletions of a view wait for each other,
    reading waits for nobody. An answer is of one state of a view's history, the last that was published when it began.

    Args:
        config: where the history lies and how Spark is started.
        context: gives the cache folder and the clock.
    """

    def __init__(self, config: SparkConfig, context: Context) -> None:
        self._config = config
        self._histories = Histories(context.project / config.path, config.lock_timeout, context.clock)
        self._cache = context.cache
        self._lock = Lock()
        self._closed = False
        self._sparks: Sparks | None = None
        self._scratch: Scratch | None = None

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Prepare for these views.

        Raises:
            VersionRequired: a view lost or changed a column.
            FeatureStoreError: the folder cannot be written.
        """
        self._histories.prepare(views)

    def ingest(self, view: FeatureView, rows: ArrowStream) -> IngestReport:
        """Add rows.

        Raises:
            UnknownName: the view was never applied.
            DataError: a column is missing or of another type.
            FeatureStoreError: the history cannot be read or written; nothing was added.
        """
        folder = self._histories.folder(view)
        manifest = folder.manifest()
        with fresh_folder(self._temporary().path) as staging:
            arrived = receive(view, manifest, rows, staging / "arrived.parquet", token=True)
            with self._changing(folder) as writer:
                deleted = self._histories.deletions(view.entity).read()
                kept = arrived.without_deleted(len(manifest.keys), deleted, staging / "kept.parquet")
                tidy = replace(writer, manifest=writer.merged(self._config.merge_files))
                return intake.add(tidy, kept)

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label.

        Raises:
            UnknownName: a view was never applied.
            DataError: a key is missing or of another type.
            FeatureStoreError: a file of the history is damaged.
        """
        views = {wanted.view.ref: wanted.view for wanted in asked}
        for view in views.values():
            self._histories.folder(view).manifest()
        with fresh_folder(self._temporary().path) as folder:
            given = Labels.receive(labels, asked, folder / "labels.parquet")

            def answer(manifests: Mapping[str, Manifest]) -> ArrowStream:
                columns: dict[str, Any] = {ROW: pa.array(np.arange(given.count))}
                for number, wanted in enumerate(asked):
                    part = ViewJoin(
                        session=self._session(),
                        folder=self._histories.folder(wanted.view),
                        manifest=manifests[wanted.view.ref],
                        asked=wanted,
                        labels=given,
                        known_by=known_by,
                    )
                    columns |= part.columns(number)
                joined: ArrowStream = pa.table(columns)
                return joined

            return self._reading(list(views.values()), answer)

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give the rows admitted by ``until`` but not by ``since``, whole keys at a time.

        Spark writes them to a temporary folder, in order; they are read from there file by file.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: a file of the history is damaged.
        """
        with fresh_folder(self._temporary().path) as temporary:

            def write(manifests: Mapping[str, Manifest]) -> tuple[Manifest, Path]:
                manifest = manifests[view.ref]
                rows = stream.query(self._session(), self._histories.folder(view), manifest, since, until, history)
                stream.write(rows, manifest, temporary / str(manifest.rewrites))
                return manifest, temporary / str(manifest.rewrites)

            manifest, written = self._reading([view], write)
            yield from stream.chunks(manifest, written, self._config.chunk_rows)

    def watermark(self, view: FeatureView, at: datetime | None = None) -> Watermark:
        """Return the last position ingested by ``at``.

        Raises:
            UnknownName: the view was never applied.
        """
        return self._histories.watermark(view, at)

    def delete(self, views: Sequence[FeatureView], keys: ArrowStream, at: datetime) -> int:
        """Remove the rows of these keys, and refuse older ones in every view of their entity from now on.

        Raises:
            UnknownName: a view was never applied.
            DataError: a key is missing or of another type.
            FeatureStoreError: the history cannot be read or written. What was remembered stays so; call again.
        """
        table = pa.table(keys)
        self._histories.remember_deletion(views, table, at)
        removed = 0
        for view in views:
            with self._changing(self._histories.folder(view)) as writer:
                removed += writer.without_keys(self._histories.deletions(view.entity).named(table))
        return removed

    def close(self) -> None:
        """Release what is held."""
        with self._lock:
            self._closed = True
            if self._sparks is not None:
                self._sparks.release()
            if self._scratch is not None:
                self._scratch.close()

    def _check_open(self) -> None:
        if self._closed:
            raise FeatureStoreError("spark", "the store is closed", "Open it again.")

    def _session(self) -> SparkSession:
        with self._lock:
            self._check_open()
            if self._sparks is None or self._sparks.stopped:
                self._sparks = Sparks(self._config, self._cache)
            return self._sparks.session

    def _temporary(self) -> Scratch:
        base = self._config.temp or self._histories.root / _TEMP
        with self._lock, writing_errors(base):
            self._check_open()
            self._scratch = self._scratch or Scratch(base, "spark")
            return self._scratch

    @contextmanager
    def _changing(self, folder: ViewFolder) -> Iterator[Writer]:
        """Hold the right to change a view's history, with the history as it is."""
        session = self._session()
        with folder.writing():
            manifest = folder.manifest()
            try:
                yield Writer(session=session, folder=folder, manifest=manifest, now=self._histories.now)
            except ERRORS as error:
                raise _explained(error, [(folder, manifest)]) from error

    def _reading(self, views: Sequence[FeatureView], work: Callable[[Mapping[str, Manifest]], T]) -> T:
        """Do work on the histories of views; again, where files were replaced by another writer meanwhile."""
        folders = {view.ref: self._histories.folder(view) for view in views}
        manifests = {ref: folder.manifest() for ref, folder in folders.items()}
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                return work(manifests)
            except (*ERRORS, FeatureStoreError) as error:
                newer = {ref: folder.manifest() for ref, folder in folders.items()}
                if not attempts_left or all(newer[ref].rewrites == manifests[ref].rewrites for ref in newer):
                    if isinstance(error, FeatureStoreError):
                        raise
                    raise _explained(error, [(folders[ref], manifests[ref]) for ref in folders]) from error
                manifests = newer
        raise AssertionError("unreachable")


def _explained(error: Exception, read: Sequence[tuple[ViewFolder, Manifest]]) -> FeatureStoreError:
    """Translate an error of Spark, naming the file of the history that is to blame, if one is."""
    for folder, manifest in read:
        for file in manifest.files:
            damage = _damage(folder, file)
            if damage is not None:
                return damage
    return FeatureStoreError(", ".join(str(folder.path) for folder, _ in read), first_line(error))


def _damage(folder: ViewFolder, file: HistoryFile) -> FeatureStoreError | None:
    path = folder.file(file)
    try:
        check_file(folder, file)
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as parquet:
            for _ in parquet.iter_batches():
                pass
    except FeatureStoreError as found:
        return found
    except (OSError, pa.ArrowException) as found:
        return damaged(path, f"is damaged: {found}")
    return None
