"""Adding rows to a history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_duckdb.columns import STAMP, arrow_type, integers, one_piece, pick
from stackwright_duckdb.engine import Session
from stackwright_duckdb.history import HistoryFile, Manifest, ViewFolder
from stackwright_duckdb.rewrite import write_file
from stackwright_duckdb.scan import (
    CONTENT,
    EARLIEST,
    LATEST,
    ORDER_COLUMNS,
    POSITION,
    instant,
    key_names,
    relation,
    same_key,
    select_files,
)
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, IngestReport
from stackwright_numerics.order import TOKEN_BYTES, order_tokens

_NUMBER: Final = "__number"


def read_rows(view: FeatureView, manifest: Manifest, table: Any) -> Any:
    """Return rows as the relation of a history has them, and numbered; columns that the view lacks are null.

    Raises:
        DataError: a column is missing or of another type, a time is null, or a token does not fit its row's times.
    """
    where = f"rows of {view.ref!r}"
    declared = {item.name for item in (*view.entity.keys, *view.fields)}
    stored = {f"k{number}": key for number, key in enumerate(manifest.keys)}
    stored |= {f"c{number}": column for number, column in enumerate(manifest.fields)}
    columns = {
        name: pick(table, column.name, arrow_type(column.type), where)
        if column.name in declared
        else pa.nulls(len(table), arrow_type(column.type))
        for name, column in stored.items()
    }
    columns |= {name: pick(table, name, STAMP, where) for name in (EVENT, CREATED)}
    columns[CONTENT] = pa.array(_content(pick(table, ORDER, pa.binary(), where), columns, where))
    columns[_NUMBER] = pa.array(np.arange(len(table)))
    return pa.table(columns)


def _content(tokens: Any, columns: dict[str, Any], where: str) -> NDArray[np.uint64]:
    """What the order tokens hold beside the times."""
    for name, column in ((EVENT, columns[EVENT]), (CREATED, columns[CREATED]), (ORDER, tokens)):
        if column.null_count:
            raise DataError(where, f"column {name!r} holds {column.null_count} nulls", "Give every row one.")
    try:
        fixed = one_piece(tokens.cast(pa.binary(TOKEN_BYTES)))
    except pa.ArrowInvalid as error:
        raise DataError(where, f"column {ORDER!r} holds other than {TOKEN_BYTES} bytes", "Give tokens.") from error
    first = fixed.offset * TOKEN_BYTES
    data = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)[first : first + len(fixed) * TOKEN_BYTES]
    content = data.view(">u8").reshape(-1, 3)[:, 2].astype(np.uint64)
    expected = order_tokens(integers(columns[EVENT]), integers(columns[CREATED]), content)
    if not np.array_equal(expected.reshape(-1), data):
        raise DataError(where, f"column {ORDER!r} does not begin with the row's times", "Compute it from them.")
    return content


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """One ingestion; the folder's lock must be held.

    Args:
        session: where queries run.
        folder: the view's folder.
        manifest: the history before.
        now: the present, microseconds since 1970.
    """

    session: Session
    folder: ViewFolder
    manifest: Manifest
    now: int

    def add(self, rows: Any, deleted: Any) -> IngestReport:
        """Add the rows that are new, and publish.

        Args:
            rows: what :func:`read_rows` gives.
            deleted: keys and the times of their deletion, or ``None``.
        """
        self.session.register("incoming", rows)
        self._admit(deleted)
        self._keep_new(integers(rows[EVENT]))
        admitted, added, oldest, newest, future = self.session.one(
            f"SELECT (SELECT coalesce(sum(copies), 0)::BIGINT FROM admitted), count(*), min(epoch_us({EVENT})),"
            f" max(epoch_us({EVENT})), coalesce(sum(({EVENT} > {instant(self.now)})::BIGINT), 0)::BIGINT FROM fresh"
        )
        position = self.manifest.position + 1
        manifest = replace(self.manifest, ingested=(*self.manifest.ingested, self.now))
        if added:
            file = self._write(position, added, oldest, newest, all_new=added == len(rows))
            manifest = replace(manifest, files=(*manifest.files, file))
        self.folder.publish(manifest)
        return IngestReport(
            view=manifest.view,
            rows=len(rows),
            added=added,
            duplicates=admitted - added,
            future=future,
            refused=len(rows) - admitted,
            position=position,
        )

    def _admit(self, deleted: Any) -> None:
        """Make ``admitted``: what identifies the rows that are not refused, each once, and how often they came."""
        keys = key_names(self.manifest)
        conditions = [f"r.{key} IS NOT NULL" for key in keys]
        if deleted is not None:
            self.session.register("deleted", deleted)
            again = f"{same_key(self.manifest, 'r', 'd')} AND r.{CREATED} <= d.deleted"
            conditions.append(f"NOT EXISTS (FROM deleted d WHERE {again})")
        identity = ", ".join([*keys, *ORDER_COLUMNS])
        self.session.run(
            f"CREATE TEMP TABLE admitted AS SELECT {identity}, count(*) AS copies, min({_NUMBER}) AS {_NUMBER}"
            f" FROM incoming r WHERE {' AND '.join(conditions)} GROUP BY {identity}"
        )

    def _keep_new(self, events: NDArray[np.int64]) -> None:
        """Make ``fresh``: those of them that history lacks."""
        oldest, newest = int(events.min(initial=LATEST)), int(events.max(initial=EARLIEST))
        files = select_files(self.manifest, oldest=oldest, newest=newest)
        identity = ", ".join([*key_names(self.manifest), *ORDER_COLUMNS])
        history = (
            f"SELECT {identity} FROM ({relation(self.folder, self.manifest, files, ())})"
            f" WHERE {EVENT} BETWEEN {instant(oldest)} AND {instant(newest)}"
        )
        self.session.run(f"CREATE TEMP TABLE fresh AS FROM admitted ANTI JOIN ({history}) USING ({identity})")

    def _write(self, position: int, rows: int, oldest: int, newest: int, *, all_new: bool) -> HistoryFile:
        query = f"SELECT *, {position} AS {POSITION} FROM incoming"
        if not all_new:
            query += f" SEMI JOIN fresh USING ({_NUMBER})"
        file = HistoryFile(
            name=f"{position:08d}.parquet",
            first=position,
            last=position,
            rows=rows,
            size=0,
            oldest=oldest,
            newest=newest,
            fields=len(self.manifest.fields),
        )
        return write_file(self.session, self.folder, self.manifest, query, file)
