"""The rows that a watermark admits and an earlier one does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_parquet.chunks import as_ingested, whole_keys
from stackwright_parquet.columns import instant_of
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import EARLIEST, HistoryFile, Manifest
from stackwright_spark.scan import admitted, instant, table

_MICROSECOND: Final = timedelta(microseconds=1)
_NEWEST: Final = "__newest"


def query(
    session: SparkSession,
    folder: ViewFolder,
    manifest: Manifest,
    since: Watermark | None,
    until: Watermark,
    history: timedelta | None,
) -> DataFrame:
    """Return the rows of :meth:`OfflineStore.changes`, ordered by key and order token.

    Args:
        session: where Spark runs.
        folder: the view's folder.
        manifest: its history.
        since: what was known before.
        until: what is known now.
        history: how much of the past of a changed key to give.
    """
    keys = manifest.key_names
    due = instant_of(until.due)
    files = manifest.select(as_of=until.position, newest=due)
    touched = files if since is None else [file for file in files if not _admitted_whole(file, since)]
    new = admitted(until) if since is None else f"{admitted(until)} AND NOT {admitted(since)}"
    if history is None:
        return table(session, folder, manifest, touched).filter(new).orderBy(*keys, ORDER)
    changed = table(session, folder, manifest, touched, ()).filter(new).select(keys).distinct()
    rows = table(session, folder, manifest, files).filter(admitted(until)).join(changed, keys, "left_semi")
    edge = instant(max(due - history // _MICROSECOND, EARLIEST))
    rows = rows.selectExpr("*", f"max({ORDER}) OVER (PARTITION BY {', '.join(keys)}) AS {_NEWEST}")
    return rows.filter(f"{EVENT} >= {edge} OR {ORDER} = {_NEWEST}").orderBy(*keys, ORDER)


def _admitted_whole(file: HistoryFile, mark: Watermark) -> bool:
    return file.last <= mark.position and file.newest <= instant_of(mark.due)


def write(rows: DataFrame, manifest: Manifest, folder: Path) -> None:
    """Write the rows of :func:`query` to a new folder, for :func:`chunks` to read one file at a time."""
    columns = [*manifest.columns, EVENT, CREATED, ORDER]
    rows.select(*columns).write.option("compression", "snappy").parquet(f"file://{folder}")


def chunks(manifest: Manifest, folder: Path, chunk_rows: int) -> Iterator[Any]:
    """Give what :func:`write` wrote as rows were ingested, in chunks of whole keys."""
    for rows in whole_keys(_parts(folder, chunk_rows), manifest.key_names):
        yield as_ingested({name: rows[name] for name in rows.column_names}, manifest, rows[ORDER])


def _parts(folder: Path, rows: int) -> Iterator[Any]:
    # Spark numbers the files of an ordered table in its order.
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(rows):
                if len(batch):
                    yield pa.Table.from_batches([batch])
