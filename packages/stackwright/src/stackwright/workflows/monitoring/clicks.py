"""Clicks that a file tells: what became of the items of lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright.workflows.outcome import Outcome, Table
from stackwright.workflows.rows.sources import rows_of
from stackwright_features.arrow import microseconds
from stackwright_interfaces.errors import DataError, MissingColumn, StorageError
from stackwright_journal.list_records import FOLDER, ClickRecord
from stackwright_journal.predictions import PredictionLog

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def add_clicks(stack: Stack, source: Path | str, *, table: str | None = None, query: str | None = None) -> Outcome:
    """Add the clicks of a source to the log of lists: ``list_id`` and ``item``, ``value`` and ``observed`` if known.

    Adding them again changes nothing: of one item of a list the last observed counts.

    Args:
        source: as :func:`stackwright.workflows.rows.sources.rows_of` has it.
        table: the table of a database.
        query: a SELECT for a database, instead.

    Raises:
        UsageError: there is no such source.
        DataError: the rows are damaged, lack a column, or hold a value that is none.
        StorageError: bucket or database cannot be reached, or the journal cannot be written to.
    """
    now = stack.clock()
    with rows_of(stack, source, {}, table=table, query=query) as rows:
        found = pa.table(rows)
        name, notes = rows.name, tuple(rows.notes)
    records = clicks_of(found, name, now)
    with PredictionLog(journal.segments(stack), name=FOLDER, limit=len(records) + 1) as log:
        for record in records:
            log.append(record)
    counts = log.counts
    if counts.written < len(records):
        raise StorageError(name, f"{len(records) - counts.written} clicks could not be written", counts.last_error)
    data = {"rows": len(records), "source": name}
    return Outcome(f"Added {len(records):,} clicks", data, (Table(("rows",), [(len(records),)]),), notes)


def clicks_of(table: Any, name: str, now: datetime) -> list[ClickRecord]:
    """Return the clicks of a table.

    Raises:
        MissingColumn: ``list_id`` or ``item`` is not there.
        DataError: a value is none.
    """
    for column in ("list_id", "item"):
        if column not in table.column_names:
            raise MissingColumn.of(name, column, table.column_names)
    lists, items = (table.column(column).to_pylist() for column in ("list_id", "item"))
    values = _values(table, name)
    observed = _observed(table, name, now)
    records = []
    for row, (list_id, item) in enumerate(zip(lists, items, strict=True)):
        if not isinstance(list_id, str) or not isinstance(item, str | int):
            todo = "Give the ids of lists and items as the answers had them."
            raise DataError(f"{name} row {row + 1}", "no list_id, or no item", todo)
        records.append(
            ClickRecord(list_id=list_id, item=item, value=values[row], observed=observed[row], predicted_at=now)
        )
    return records


def _values(table: Any, name: str) -> list[float]:
    if "value" not in table.column_names:
        return [1.0] * len(table)
    try:
        values = np.asarray(table.column("value").cast(pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(name, f"column value holds no numbers ({error})", "Give 1 for a click.") from error
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
        raise DataError(f"{name} row {wrong[0] + 1}", f"value is {values[wrong[0]]}", "Give numbers from 0 on.")
    found: list[float] = values.tolist()
    return found


def _observed(table: Any, name: str, now: datetime) -> list[datetime]:
    if "observed" not in table.column_names:
        return [now] * len(table)
    column = table.column("observed")
    if column.null_count:
        raise DataError(name, f"{column.null_count} rows without observed", "Say when each was observed.")
    try:
        nanoseconds = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        micros = microseconds(column.cast(pa.timestamp("us", "UTC"), safe=not nanoseconds))  # what is below is cut off
        return [_EPOCH + timedelta(microseconds=value) for value in micros.tolist()]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OverflowError) as error:
        raise DataError(name, f"column observed holds no times ({error})", "Give times with a zone.") from error
