"""What came to be known between two watermarks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_duckdb.columns import STAMP, arrow_type, integers, one_piece
from stackwright_duckdb.engine import Session
from stackwright_duckdb.history import HistoryFile, Manifest, ViewFolder
from stackwright_duckdb.scan import (
    CONTENT,
    EARLIEST,
    ORDER_COLUMNS,
    admitted,
    instant,
    key_names,
    relation,
    same_key,
    select_files,
)
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_numerics.order import TOKEN_BYTES, order_tokens

_MICROSECOND: Final = timedelta(microseconds=1)


def query(
    folder: ViewFolder,
    manifest: Manifest,
    since: tuple[Watermark, int] | None,
    until: tuple[Watermark, int],
    history: timedelta | None,
) -> str:
    """Return the SELECT of :meth:`OfflineStore.changes`, ordered by key and order token.

    Args:
        folder: the view's folder.
        manifest: its history.
        since: what was known before, and its instant in microseconds.
        until: what is known now, likewise.
        history: how much of the past of a changed key to give.
    """
    mark, due = until
    files = select_files(manifest, as_of=mark.position, newest=due)
    changed = files if since is None else [file for file in files if not _admitted_whole(file, *since)]
    new = admitted(mark, due) if since is None else f"{admitted(mark, due)} AND NOT {admitted(*since)}"
    keys = ", ".join(key_names(manifest))
    if history is None:
        rows = relation(folder, manifest, changed)
        return f"SELECT * FROM ({rows}) WHERE {new} ORDER BY {', '.join([keys, *ORDER_COLUMNS])}"
    rows = f"SELECT * FROM ({relation(folder, manifest, files)}) WHERE {admitted(mark, due)}"
    times = f"SELECT * FROM ({relation(folder, manifest, files, ())}) WHERE {admitted(mark, due)}"
    edge = instant(max(due - history // _MICROSECOND, EARLIEST))
    token = ", ".join(ORDER_COLUMNS)
    return (
        f"WITH changed AS (SELECT DISTINCT {keys} FROM ({relation(folder, manifest, changed, ())}) WHERE {new}),"
        f" newest AS (SELECT {keys}, max(ROW({token})) AS token"
        f" FROM ({times}) SEMI JOIN changed USING ({keys}) GROUP BY {keys})"
        f" SELECT r.* FROM ({rows}) r JOIN newest n ON {same_key(manifest, 'r', 'n')}"
        f" WHERE r.{EVENT} >= {edge} OR ROW({', '.join(f'r.{name}' for name in ORDER_COLUMNS)}) = n.token"
        f" ORDER BY {', '.join(f'r.{name}' for name in (*key_names(manifest), *ORDER_COLUMNS))}"
    )


def _admitted_whole(file: HistoryFile, mark: Watermark, due: int) -> bool:
    return file.last <= mark.position and file.newest <= due


def chunks(session: Session, manifest: Manifest, sql: str, chunk_rows: int) -> Iterator[Any]:
    """Run a query of :func:`query`; give its rows as they were ingested, in chunks of whole keys."""
    keys = key_names(manifest)
    held: list[Any] = []
    for batch in session.reader(sql, chunk_rows):
        table = pa.Table.from_batches([batch])
        goes_on = bool(held) and _last_key(table.slice(0, 1), keys) == _last_key(held[-1], keys)
        start = _last_key_starts(table, keys)
        if start == 0 and goes_on:
            held.append(table)
            continue
        whole = [*held, table.slice(0, start)]
        held = [table.slice(start)]
        if sum(map(len, whole)):
            yield _as_ingested(whole, manifest)
    if held:
        yield _as_ingested(held, manifest)


def _last_key(table: Any, keys: list[str]) -> list[Any]:
    return [table[key][-1] for key in keys]


def _last_key_starts(table: Any, keys: list[str]) -> int:
    same = [pc.equal(table[key], last) for key, last in zip(keys, _last_key(table, keys), strict=True)]
    return len(table) - int(pc.sum(reduce(pc.and_, same)).as_py())


def _as_ingested(tables: list[Any], manifest: Manifest) -> Any:
    table = pa.concat_tables(tables).combine_chunks()
    stored = {f"k{number}": key for number, key in enumerate(manifest.keys)}
    stored |= {f"c{number}": column for number, column in enumerate(manifest.fields)}
    columns = {column.name: table[name].cast(arrow_type(column.type)) for name, column in stored.items()}
    columns |= {name: table[name].cast(STAMP) for name in (EVENT, CREATED)}
    event, created = (integers(columns[name]) for name in (EVENT, CREATED))
    tokens = order_tokens(event, created, one_piece(table[CONTENT]).to_numpy())
    buffers = [None, pa.py_buffer(np.ascontiguousarray(tokens))]
    columns[ORDER] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(TOKEN_BYTES), len(table), buffers)
    return pa.table(columns)
