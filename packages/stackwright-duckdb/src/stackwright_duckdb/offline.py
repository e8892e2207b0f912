"""The offline half of a feature store: DuckDB over Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import duckdb
import pyarrow as pa

from stackwright_duckdb import changes as stream
from stackwright_duckdb import rewrite, sandbox
from stackwright_duckdb.engine import Engine, Session
from stackwright_duckdb.ingest import Ingestion
from stackwright_duckdb.join import Labels, ViewJoin
from stackwright_duckdb.plugin import DuckDBConfig
from stackwright_interfaces.definitions import FeatureView
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
from stackwright_parquet.columns import instant_of, pick
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.histories import Histories
from stackwright_parquet.manifest import Manifest

_ATTEMPTS: Final = 5

T = TypeVar("T")


class DuckDBOfflineStore(OfflineStore):
    """History as Parquet files in a folder, one folder a view; see :mod:`stackwright_parquet.folder`.

    Threads may share a store, and processes a folder: ingestions and deletions of a view wait for each other, reading
    waits for nobody. An answer is of one state of a view's history, the last that was published when it began.

    Args:
        config: where the history lies and what DuckDB may use.
        context: gives the cache folder and the clock.

    Raises:
        FeatureStoreError: DuckDB cannot be set up so.
    """

    def __init__(self, config: DuckDBConfig, context: Context) -> None:
        self._config = config
        self._histories = Histories(context.project / config.path, config.lock_timeout, context.clock)
        self._engine = Engine(config, context)

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
        with self._engine.staging() as staging:
            arrived = receive(view, folder.manifest(), rows, staging / "arrived.parquet", token=False)

            def add(session: Session, manifest: Manifest) -> IngestReport:
                deleted = self._histories.deletions(view.entity).read()
                kept = arrived.without_deleted(len(manifest.keys), deleted, staging / "kept.parquet")
                tidy = rewrite.merged(session, folder, manifest, self._config.merge_files)
                return Ingestion(session=session, folder=folder, manifest=tidy, now=self._histories.now).add(kept)

            return self._changing(folder, add)

    def join(self, labels: ArrowStream, asked: Sequence[Asked], *, known_by: bool = False) -> ArrowStream:
        """Answer as of each label.

        Raises:
            UnknownName: a view was never applied.
            DataError: a key is missing or of another type.
            FeatureStoreError: a file of the history is damaged.
        """
        given = Labels.read(labels)
        columns = {ROW: pick(given.table, ROW, pa.int64(), "labels")}
        for number, wanted in enumerate(asked):
            columns |= self._reading(wanted.view, self._view_join(wanted, number, given, known_by))
        answer: ArrowStream = pa.table(columns)
        return answer

    def _view_join(
        self, asked: Asked, number: int, labels: Labels, known_by: bool
    ) -> Callable[[Session, ViewFolder, Manifest], dict[str, Any]]:
        def join(session: Session, folder: ViewFolder, manifest: Manifest) -> dict[str, Any]:
            part = ViewJoin(
                session=session,
                folder=folder,
                manifest=manifest,
                asked=asked,
                labels=labels,
                known_by=known_by,
                batch_rows=self._config.batch_rows,
            )
            return part.columns(number)

        return join

    def changes(
        self, view: FeatureView, since: Watermark | None, until: Watermark, *, history: timedelta | None = None
    ) -> Iterator[ArrowStream]:
        """Give the rows admitted by ``until`` but not by ``since``, whole keys at a time.

        Raises:
            UnknownName: the view was never applied.
            FeatureStoreError: a file of the history is damaged.
        """
        before = None if since is None else (since, instant_of(since.due))
        now = (until, instant_of(until.due))
        with ExitStack() as open_sessions:

            def start(_: Session, folder: ViewFolder, manifest: Manifest) -> tuple[Any, Iterator[Any]]:
                session = open_sessions.enter_context(self._engine.session())
                sql = stream.query(folder, manifest, before, now, history)
                rest = stream.chunks(session, manifest, sql, self._config.chunk_rows)
                return next(rest, None), rest

            chunk, rest = self._reading(view, start)
            while chunk is not None:
                yield chunk
                try:
                    chunk = next(rest, None)
                except duckdb.Error as error:
                    folder = self._histories.folder(view)
                    raise self._engine.explain(error, folder, folder.find()) from error

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
            folder = self._histories.folder(view)
            gone = self._histories.deletions(view.entity).named(table)

            def remove(session: Session, manifest: Manifest, folder: ViewFolder = folder, gone: Any = gone) -> int:
                session.register("gone", gone)
                return rewrite.without_keys(session, folder, manifest)

            removed += self._changing(folder, remove)
        return removed

    def sql(self, query: str, tables: Mapping[str, ArrowStream]) -> ArrowStream:
        """Return the result of one SELECT over these tables alone.

        Raises:
            FeatureStoreError: the query is not understood, is no SELECT, or fails.
        """
        answer: ArrowStream = sandbox.run(query, tables, self._config, self._engine.scratch)
        return answer

    def close(self) -> None:
        """Release what is held."""
        self._engine.close()

    def _changing(self, folder: ViewFolder, work: Callable[[Session, Manifest], T]) -> T:
        """Do work that changes a view's history: in little memory or, where that does not do, in what there may be."""
        with folder.writing():
            try:
                with self._engine.frugal_session() as session:
                    return work(session, folder.manifest())
            except duckdb.OutOfMemoryException:
                pass
            except duckdb.Error as error:
                raise self._engine.explain(error, folder, folder.find()) from error
            try:
                with self._engine.session() as session:
                    return work(session, folder.manifest())
            except duckdb.Error as error:
                raise self._engine.explain(error, folder, folder.find()) from error

    def _reading(self, view: FeatureView, work: Callable[[Session, ViewFolder, Manifest], T]) -> T:
        """Do work on a view's history; again, where its files were replaced by another writer meanwhile."""
        folder = self._histories.folder(view)
        manifest = folder.manifest()
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                with self._engine.session() as session:
                    return work(session, folder, manifest)
            except duckdb.Error as error:
                newer = folder.manifest()
                if newer.rewrites == manifest.rewrites or not attempts_left:
                    raise self._engine.explain(error, folder, manifest) from error
                manifest = newer
        raise AssertionError("unreachable")
