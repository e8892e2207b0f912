"""Adding rows to a history: what arrived is sorted and compared with history by DuckDB, in little memory."""

from __future__ import annotations

from dataclasses import dataclass

from stackwright_duckdb.columns import sql_type
from stackwright_duckdb.engine import Session
from stackwright_duckdb.rewrite import in_order, write_file
from stackwright_duckdb.scan import ORDER_COLUMNS, PLACE, instant, one_file, ordered, relation
from stackwright_interfaces.feature_store import EVENT, IngestReport
from stackwright_parquet.arrival import Arrived
from stackwright_parquet.folder import ViewFolder
from stackwright_parquet.manifest import POSITION, HistoryFile, Manifest


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

    def add(self, arrived: Arrived) -> IngestReport:
        """Add the rows that are new, and publish."""
        position = self.manifest.position + 1
        file = self._written(arrived, position) if arrived.admitted else None
        future = 0 if file is None else self._future(file)
        self.folder.publish(self.manifest.ingesting(self.now, () if file is None else (file,)))
        added = 0 if file is None else file.rows
        return IngestReport(
            view=self.manifest.view,
            rows=arrived.rows,
            added=added,
            duplicates=arrived.admitted - added,
            future=future,
            refused=arrived.refused,
            position=position,
        )

    def _written(self, arrived: Arrived, position: int) -> HistoryFile | None:
        """Write the rows that history lacks, each once: those that are alike stand beside each other in their order."""
        identity = ", ".join([*self.manifest.key_names, *ORDER_COLUMNS])
        rows = f"SELECT *, {position} AS {POSITION} FROM ({self._arrived(arrived)})"
        files = ordered(self.manifest.select(oldest=arrived.oldest, newest=arrived.newest))
        if files:
            known = (
                f"SELECT {identity} FROM ({relation(self.folder, self.manifest, files, ())})"
                f" WHERE {EVENT} BETWEEN {instant(arrived.oldest)} AND {instant(arrived.newest)}"
            )
            rows += f" ANTI JOIN ({known}) USING ({identity})"
        again = f"ROW({identity}) IS NOT DISTINCT FROM lag(ROW({identity})) OVER ()"
        once = (
            f"SELECT * FROM (SELECT *, {again} AS again FROM ({in_order(self.manifest, rows, PLACE)})) WHERE NOT again"
        )
        name = f"{position:08d}.parquet"
        return write_file(self.session, self.folder, self.manifest, once, name=name, first=position, last=position)

    def _arrived(self, arrived: Arrived) -> str:
        """Return a SELECT of what arrived; columns that the view has gained since are null."""
        lacking = {f"c{number}" for number in range(arrived.fields, len(self.manifest.fields))}
        columns = [
            f"CAST({'NULL' if name in lacking else name} AS {sql_type(stored.type)}) AS {name}"
            for name, stored in self.manifest.columns.items()
        ]
        listed = ", ".join([*columns, *ORDER_COLUMNS, f"file_row_number AS {PLACE}"])
        return f"SELECT {listed} FROM read_parquet([{one_file(arrived.path)}])"

    def _future(self, file: HistoryFile) -> int:
        if file.newest <= self.now:
            return 0
        source = f"read_parquet([{one_file(self.folder.file(file))}])"
        (count,) = self.session.one(f"SELECT count(*) FROM {source} WHERE {EVENT} > {instant(self.now)}")
        return int(count)
