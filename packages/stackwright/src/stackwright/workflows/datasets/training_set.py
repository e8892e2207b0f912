"""Training sets as files: labels joined with features as they were, pinned so that they can be built again."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright.assembly.stack import Stack
from stackwright.workflows.outcome import Outcome
from stackwright.workflows.rows.sources import rows_of
from stackwright.workflows.rows.tables import write_table
from stackwright_interfaces.catalogue import meaning
from stackwright_interfaces.definitions import FeatureService
from stackwright_interfaces.errors import UsageError
from stackwright_interfaces.types import TIMESTAMP

METADATA: Final = b"stackwright"


def training_set(
    stack: Stack,
    service: str,
    labels: Path | str,
    out: Path,
    *,
    table: str | None = None,
    query: str | None = None,
    time: str = "event_time",
    as_of: datetime | None = None,
    known_by: bool = False,
) -> Outcome:
    """Join labels with the features of a service, as of each label's instant, into a Parquet file.

    The same labels, definitions and ``as_of`` give the same rows again, whatever was ingested since; the fingerprint
    tells. Only a deletion of entities changes what can be built again. Everything is written into the file's metadata.

    Args:
        labels: as :func:`stackwright.workflows.rows.sources.rows_of` has a source.
        table: the table of a database that holds them.
        query: a SELECT for a database, instead.
        time: the column that says at which instant each row asks.
        as_of: pass over what was ingested after this instant; ``None`` pins the present.
        known_by: pass over rows created after the asked instant.

    Raises:
        UsageError: ``out`` is no Parquet file, or there are no such labels.
        UnknownName: no such service is applied.
        DataError: the labels do not hold what the service is asked with, or are damaged.
        StorageError: bucket or database cannot be reached.
    """
    if out.suffix.lower() != ".parquet":
        raise UsageError(str(out), "is no Parquet file", "Give a file that ends in .parquet: it keeps the types.")
    found: FeatureService = stack.service(service)
    pinned = as_of or stack.clock()
    declared = {field.name: field.type for field in (*found.request_keys, *found.request)}
    stack.progress("training set", 0, 1)
    with rows_of(stack, labels, {**declared, time: TIMESTAMP}, table=table, query=query) as frame:
        joined = pa.table(stack.features.join(found.ref, frame, time=time, known_by=known_by, as_of=pinned))
    stack.progress("training set", 1, 1)
    record = {
        "service": found.ref,
        "meaning": meaning(found),
        "as_of": pinned.isoformat(),
        "time": time,
        "known_by": known_by,
        "rows": joined.num_rows,
        "fingerprint": fingerprint(joined),
    }
    metadata = {**(joined.schema.metadata or {}), METADATA: json.dumps(record, sort_keys=True).encode()}
    write_table(joined.replace_schema_metadata(metadata), out)
    title = f"Wrote {joined.num_rows:,} rows x {joined.num_columns} columns to {out}"
    again = f"Build it again: the same line with --as-of {pinned.isoformat()} gives fingerprint {record['fingerprint']}"
    return Outcome(title, {**record, "out": str(out)}, notes=(again, *frame.notes))


def fingerprint(table: pa.Table) -> str:
    """Return ``sha256:`` of names, types and values in order; what lies under a null does not count."""
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        for part in (name.encode(), str(column.type).encode(), _values(column)):
            digest.update(b"%d:" % len(part))
            digest.update(part)
    return "sha256:" + digest.hexdigest()


def _values(column: Any) -> bytes:
    valid = np.packbits(np.asarray(column.is_valid())).tobytes()
    if pa.types.is_floating(column.type):
        numbers = np.asarray(pc.fill_null(column, 0.0), dtype=np.float64)
        return valid + np.where(np.isnan(numbers), np.nan, numbers).tobytes()
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return valid + np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0)).tobytes()
    if pa.types.is_timestamp(column.type):
        return valid + np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0)).tobytes()
    return valid + json.dumps(column.to_pylist(), default=repr).encode()
