"""The rows that a watermark admits and an earlier one does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_numerics.order import TOKEN_BYTES
from stackwright_spark.columns import STAMP, arrow_type, instant_of
from stackwright_spark.history import HistoryFile, Manifest, ViewFolder
from stackwright_spark.scan import EARLIEST, admitted, instant, key_names, select_files, table

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
    keys = key_names(manifest)
    due = instant_of(until.due)
    files = select_files(manifest, as_of=until.position, newest=due)
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
    fields = [f"c{number}" for number in range(len(manifest.fields))]
    columns = [*key_names(manifest), *fields, EVENT, CREATED, ORDER]
    rows.select(*columns).write.option("compression", "snappy").parquet(f"file://{folder}")


def chunks(manifest: Manifest, folder: Path, chunk_rows: int) -> Iterator[Any]:
    """Give what :func:`write` wrote as rows were ingested, in chunks of whole keys."""
    keys = key_names(manifest)
    held: list[Any] = []
    for part in _parts(folder, chunk_rows):
        goes_on = bool(held) and _last_key(part.slice(0, 1), keys) == _last_key(held[-1], keys)
        start = _last_key_starts(part, keys)
        if start == 0 and goes_on:
            held.append(part)
            continue
        whole = [*held, part.slice(0, start)]
        held = [part.slice(start)]
        if sum(map(len, whole)):
            yield _as_ingested(whole, manifest)
    if held:
        yield _as_ingested(held, manifest)


def _parts(folder: Path, rows: int) -> Iterator[Any]:
    # Spark numbers the files of an ordered table in its order.
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows):
                if len(batch):
                    yield pa.Table.from_batches([batch])


def _last_key(table: Any, keys: list[str]) -> list[Any]:
    return [table[key][-1] for key in keys]


def _last_key_starts(table: Any, keys: list[str]) -> int:
    same = [pc.equal(table[key], last) for key, last in zip(keys, _last_key(table, keys), strict=True)]
    return len(table) - int(pc.sum(reduce(pc.and_, same)).as_py())


def _as_ingested(tables: list[Any], manifest: Manifest) -> Any:
    table = pa.concat_tables(tables).combine_chunks()
    stored = {f"k{number}": item for number, item in enumerate(manifest.keys)}
    stored |= {f"c{number}": item for number, item in enumerate(manifest.fields)}
    columns = {item.name: table[name].cast(arrow_type(item.type)) for name, item in stored.items()}
    columns |= {name: table[name].cast(STAMP) for name in (EVENT, CREATED)}
    columns[ORDER] = table[ORDER].cast(pa.binary(TOKEN_BYTES))
    return pa.table(columns)
