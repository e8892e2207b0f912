"""Adding rows to a history.

The driver takes the rows in as they stream, checks them and passes over those that are refused; Spark finds which of
the others are new, and writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ArrowStream, IngestReport
from stackwright_numerics.order import TOKEN_BYTES, order_tokens
from stackwright_spark.columns import STAMP, arrow_type, for_spark, integers, one_piece, pick, spark_type, without_nulls
from stackwright_spark.deletion import DELETED
from stackwright_spark.history import Manifest
from stackwright_spark.rewrite import Writer
from stackwright_spark.scan import EARLIEST, LATEST, POSITION, instant, key_names, read_files, select_files, table

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
            rows = _named(view, manifest, part)
            arrived.rows += len(rows)
            rows = _without_refused(rows, key_names(manifest), deleted)
            arrived.admitted += len(rows)
            if len(rows):
                events = integers(rows[EVENT])
                arrived.oldest = min(arrived.oldest, int(events.min()))
                arrived.newest = max(arrived.newest, int(events.max()))
                writer = writer or pq.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
    finally:
        if writer is not None:
            writer.close()
    return arrived


def batches(stream: ArrowStream, rows: int) -> Iterator[Any]:
    """Give a stream as tables of at least so many rows but for the last; one at least, so that its columns are seen."""
    reader = pa.RecordBatchReader.from_stream(stream)
    held: list[Any] = []
    for batch in reader:
        held.append(batch)
        if sum(map(len, held)) >= rows:
            yield pa.Table.from_batches(held).combine_chunks()
            held = []
    yield pa.Table.from_batches(held, reader.schema).combine_chunks()


def _named(view: FeatureView, manifest: Manifest, rows: Any) -> Any:
    where = f"rows of {view.ref!r}"
    declared = {item.name for item in (*view.entity.keys, *view.fields)}
    stored = {f"k{number}": item for number, item in enumerate(manifest.keys)}
    stored |= {f"c{number}": item for number, item in enumerate(manifest.fields)}
    columns = {
        name: pick(rows, item.name, arrow_type(item.type), where)
        if item.name in declared
        else pa.chunked_array([pa.nulls(len(rows), arrow_type(item.type))])
        for name, item in stored.items()
    }
    columns |= {name: without_nulls(rows, name, STAMP, where) for name in (EVENT, CREATED)}
    columns[ORDER] = without_nulls(rows, ORDER, pa.binary(), where)
    _check_tokens(columns, where)
    return pa.table({name: for_spark(column) for name, column in columns.items()})


def _check_tokens(columns: dict[str, Any], where: str) -> None:
    try:
        tokens = one_piece(columns[ORDER].cast(pa.binary(TOKEN_BYTES)))
    except pa.ArrowInvalid as error:
        raise DataError(where, f"column {ORDER!r} holds other than {TOKEN_BYTES} bytes", "Give tokens.") from error
    first = tokens.offset * TOKEN_BYTES
    data = np.frombuffer(tokens.buffers()[1] or b"", np.uint8)[first : first + len(tokens) * TOKEN_BYTES]
    content = data.view(">u8").reshape(-1, 3)[:, 2].astype(np.uint64)
    expected = order_tokens(integers(columns[EVENT]), integers(columns[CREATED]), content)
    if not np.array_equal(expected.reshape(-1), data):
        raise DataError(where, f"column {ORDER!r} does not begin with the row's times", "Compute it from them.")


def _without_refused(rows: Any, keys: Sequence[str], deleted: Any) -> Any:
    whole = reduce(pc.and_, (pc.is_valid(rows[key]) for key in keys))
    rows = rows.filter(whole)
    if deleted is None or not len(rows):
        return rows
    place = "__place"
    asked = rows.select([*keys, CREATED]).append_column(place, pa.array(np.arange(len(rows))))
    found = asked.join(deleted, keys, join_type="inner")
    refused = found.filter(pc.less_equal(found[CREATED], found[DELETED]))[place]
    kept = np.ones(len(rows), np.bool_)
    kept[integers(refused)] = False
    return rows.filter(pa.array(kept))


def add(writer: Writer, arrived: Arrived) -> IngestReport:
    """Add the rows that are new, and publish; the folder's lock must be held."""
    manifest = writer.manifest
    position = manifest.position + 1
    after = replace(manifest, ingested=(*manifest.ingested, writer.now))
    added = future = 0
    if arrived.admitted:
        fresh = _fresh(writer, arrived).selectExpr("*", f"{position}L AS {POSITION}")
        written = writer.write(fresh, position, position, arrived.admitted)
        added, future = written.rows, written.future
        after = replace(after, files=(*after.files, *written.files))
    writer.folder.publish(after)
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
    identity = [*key_names(manifest), ORDER]
    types = {f"k{number}": item for number, item in enumerate(manifest.keys)}
    types |= {f"c{number}": item for number, item in enumerate(manifest.fields)}
    columns = {name: spark_type(item.type) for name, item in types.items()}
    columns |= {EVENT: "TIMESTAMP_LTZ", CREATED: "TIMESTAMP_LTZ", ORDER: "BINARY"}
    incoming = read_files(writer.session, [arrived.path], columns)
    files = select_files(manifest, oldest=arrived.oldest, newest=arrived.newest)
    if files:
        known = table(writer.session, writer.folder, manifest, files, ())
        known = known.filter(f"{EVENT} BETWEEN {instant(arrived.oldest)} AND {instant(arrived.newest)}").select(
            identity
        )
        if arrived.admitted <= _FEW < sum(file.rows for file in files):
            known = known.join(incoming.select(identity).hint("broadcast"), identity, "left_semi")
        incoming = incoming.join(known, identity, "left_anti")
    return incoming.dropDuplicates(identity)
