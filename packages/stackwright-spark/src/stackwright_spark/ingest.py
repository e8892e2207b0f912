"""Adding rows to a history: of those that arrived, Spark finds which are new, and writes them."""

from __future__ import annotations

from typing import Final

from pyspark.sql import DataFrame

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, IngestReport
from stackwright_parquet.arrival import Arrived
from stackwright_parquet.manifest import POSITION, HistoryFile
from stackwright_spark.columns import spark_type
from stackwright_spark.rewrite import Writer
from stackwright_spark.scan import instant, read_files, table

_FEW: Final = 100_000
"""So many rows are sent to all workers, for each to look through its part of a longer history."""


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
        refused=arrived.refused,
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
