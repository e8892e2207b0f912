"""What came to be known between two watermarks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_duckdb.engine import Session
from stackwright_duckdb.scan import ORDER_COLUMNS, admitted, instant, ordered, relation, same_key
from stackwright_interfaces.feature_store import CREATED, EVENT, Watermark
from stackwright_numerics.order import TOKEN_BYTES, order_tokens
from stackwright_parquet.chunks import as_ingested, whole_keys
from stackwright_parquet.columns import STAMP, integers, one_piece
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import CONTENT, EARLIEST, HistoryFile, Manifest

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
    files = ordered(manifest.select(as_of=mark.position, newest=due))
    changed = files if since is None else [file for file in files if not _admitted_whole(file, *since)]
    new = admitted(mark, due) if since is None else f"{admitted(mark, due)} AND NOT {admitted(*since)}"
    keys = ", ".join(manifest.key_names)
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
        f" ORDER BY {', '.join(f'r.{name}' for name in (*manifest.key_names, *ORDER_COLUMNS))}"
    )


def _admitted_whole(file: HistoryFile, mark: Watermark, due: int) -> bool:
    return file.last <= mark.position and file.newest <= due


def chunks(session: Session, manifest: Manifest, sql: str, chunk_rows: int) -> Iterator[Any]:
    """Run a query of :func:`query`; give its rows as they were ingested, in chunks of whole keys."""
    parts = (pa.Table.from_batches([batch]) for batch in session.reader(sql, chunk_rows))
    for rows in whole_keys(parts, manifest.key_names):
        event, created = (integers(rows[name].cast(STAMP)) for name in (EVENT, CREATED))
        tokens = order_tokens(event, created, one_piece(rows[CONTENT]).to_numpy())
        buffers = [None, pa.py_buffer(np.ascontiguousarray(tokens))]
        binary = pa.FixedSizeBinaryArray.from_buffers(pa.binary(TOKEN_BYTES), len(rows), buffers)
        yield as_ingested({name: rows[name] for name in rows.column_names}, manifest, binary)
