"""Adding rows to a history.

The driver takes the rows in as they stream, checks them and passes over those that are refused; Spark finds which of
the others are new, and writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ArrowStream, IngestReport
from stackwright_parquet.columns import integers
from stackwright_parquet.incoming import batches, named, without_refused
from stackwright_parquet.manifest import EARLIEST, LATEST, POSITION, HistoryFile, Manifest
from stackwright_spark.columns import for_spark, spark_type
from stackwright_spark.rewrite import Writer
from stackwright_spark.scan import instant, read_files, table

_BATCH: Final = 500_000
_FEW: Final = 100_000
"""So many rows are sent to all workers, for each to look through its part of a longer history."""


@dataclass
class Arrived:
    """What the driver knows of the rows that were handed over.

    Args:
        path: Parquet file of the rows that were not refused.
        rows: how many were handed over.
        admitted: how many were not refused.
        oldest: least event time of those, microseconds since 1970.
        newest: greatest.
    """

    path: Path
    rows: int = 0
    admitted: int = 0
    oldest: int = LATEST
    newest: int = EARLIEST


def receive(view: FeatureView, manifest: Manifest, stream: ArrowStream, deleted: Any, path: Path) -> Arrived:
    """Write the rows that are not refused to a Parquet file, under the names of :mod:`stackwright_spark.scan`.

    Args:
        view: whose rows they are; columns that the history has and it lacks are null.
        manifest: the history.
        stream: the rows.
        deleted: keys and the times of their deletion, or ``None``.
        path: the file.

    Raises:
        DataError: a column is missing or of another type, a time is null, or a token does not fit its row's times.
    """
    arrived = Arrived(path)
    writer = None
    try:
        for part in batches(stream, _BATCH):
            rows = named(view, manifest, part)
            arrived.rows += len(rows)
            rows = without_refused(rows, manifest.key_names, deleted)
            arrived.admitted += len(rows)
            if len(rows):
                events = integers(rows[EVENT])
                arrived.oldest = min(arrived.oldest, int(events.min()))
                arrived.newest = max(arrived.newest, int(events.max()))
                rows = pa.table({name: for_spark(rows[name]) for name in rows.column_names})
                writer = writer or pq.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
    finally:
        if writer is not None:
            writer.close()
    return arrived


def add(writer: Writer, arrived: Arrived) -> IngestReport:
    """Add the rows that are new, and publish; the folder's lock must be held."""
    manifest = writer.manifest
    position = manifest.position + 1
    added = future = 0
    files: tuple[HistoryFile, ...] = ()
    if arrived.admitted:
        fresh = _fresh(writer, arrived).selectExpr("*", f"{position}L AS {POSITION}")
        written = writer.write(fresh, position, position, arrived.admitted)
        added, future, files = written.rows, written.future, written.files
    writer.folder.publish(manifest.ingesting(writer.now, files))
    return IngestReport(
        view=manifest.view,
        rows=arrived.rows,
        added=added,
        duplicates=arrived.admitted - added,
        future=future,
        refused=arrived.rows - arrived.admitted,
        position=position,
    )


def _fresh(writer: Writer, arrived: Arrived) -> DataFrame:
    """The rows that history lacks, each once."""
    manifest = writer.manifest
    identity = [*manifest.key_names, ORDER]
    columns = {name: spark_type(item.type) for name, item in manifest.columns.items()}
    columns |= {EVENT: "TIMESTAMP_LTZ", CREATED: "TIMESTAMP_LTZ", ORDER: "BINARY"}
    incoming = read_files(writer.session, [arrived.path], columns)
    files = manifest.select(oldest=arrived.oldest, newest=arrived.newest)
    if files:
        known = table(writer.session, writer.folder, manifest, files, ())
        known = known.filter(f"{EVENT} BETWEEN {instant(arrived.oldest)} AND {instant(arrived.newest)}").select(
            identity
        )
        if arrived.admitted <= _FEW < sum(file.rows for file in files):
            known = known.join(incoming.select(identity).hint("broadcast"), identity, "left_semi")
        incoming = incoming.join(known, identity, "left_anti")
    return incoming.dropDuplicates(identity)
