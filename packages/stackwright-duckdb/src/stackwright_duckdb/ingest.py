"""Adding rows to a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_duckdb.engine import Session
from stackwright_duckdb.rewrite import write_file
from stackwright_duckdb.scan import CONTENT, ORDER_COLUMNS, instant, ordered, relation, same_key
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, IngestReport
from stackwright_parquet.columns import integers
from stackwright_parquet.deletion import DELETED
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.incoming import named, token_words
from stackwright_parquet.manifest import EARLIEST, LATEST, POSITION, HistoryFile, Manifest

_NUMBER: Final = "__number"


def read_rows(view: FeatureView, manifest: Manifest, table: Any) -> Any:
    """Return rows as the relation of a history has them, and numbered; columns that the view lacks are null.

    Raises:
        DataError: a column is missing or of another type, a time is null, or a token does not fit its row's times.
    """
    rows = named(view, manifest, table)
    content = token_words(rows[ORDER])[:, 2].astype(np.uint64)
    rows = rows.drop_columns([ORDER]).append_column(CONTENT, pa.array(content))
    return rows.append_column(_NUMBER, pa.array(np.arange(len(table))))


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
        files = [self._write(position, added, oldest, newest, all_new=added == len(rows))] if added else []
        self.folder.publish(self.manifest.ingesting(self.now, files))
        return IngestReport(
            view=self.manifest.view,
            rows=len(rows),
            added=added,
            duplicates=admitted - added,
            future=future,
            refused=len(rows) - admitted,
            position=position,
        )

    def _admit(self, deleted: Any) -> None:
        """Make ``admitted``: what identifies the rows that are not refused, each once, and how often they came."""
        keys = self.manifest.key_names
        conditions = [f"r.{key} IS NOT NULL" for key in keys]
        if deleted is not None:
            self.session.register("deleted", deleted)
            again = f"{same_key(self.manifest, 'r', 'd')} AND r.{CREATED} <= d.{DELETED}"
            conditions.append(f"NOT EXISTS (FROM deleted d WHERE {again})")
        identity = ", ".join([*keys, *ORDER_COLUMNS])
        self.session.run(
            f"CREATE TEMP TABLE admitted AS SELECT {identity}, count(*) AS copies, min({_NUMBER}) AS {_NUMBER}"
            f" FROM incoming r WHERE {' AND '.join(conditions)} GROUP BY {identity}"
        )

    def _keep_new(self, events: NDArray[np.int64]) -> None:
        """Make ``fresh``: those of them that history lacks."""
        oldest, newest = int(events.min(initial=LATEST)), int(events.max(initial=EARLIEST))
        files = ordered(self.manifest.select(oldest=oldest, newest=newest))
        identity = ", ".join([*self.manifest.key_names, *ORDER_COLUMNS])
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
