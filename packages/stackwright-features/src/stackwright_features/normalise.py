"""Incoming rows as an offline store wants them: declared names and types, UTC, order tokens."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stackwright_features.arrow import microseconds, read_table, to_column
from stackwright_features.casts import cast, plain
from stackwright_features.times import Clock, to_utc
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError, MissingColumn
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column
from stackwright_numerics.order import TOKEN_BYTES, Hashed, content_hash, order_tokens, value_bits


class AssumedUtcWarning(UserWarning):
    """Times had no zone and were taken as UTC."""


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """Rows of one view, ready to be ingested.

    Args:
        rows: ``pyarrow.Table``: keys, values, ``__event``, ``__created``, ``__order``.
        handed: rows before any was refused.
        refused: rows with a null key or event time.
        assumed_utc: rows with a naive time that was taken as UTC.
    """

    rows: Any
    handed: int
    refused: int
    assumed_utc: int


def normalise(table: object, view: FeatureView) -> Normalised:
    """Normalise rows of a view: columns renamed and cast to their declared types, times in UTC, tokens computed.

    Columns that the view does not know are passed over. The created time is the event time where it is null or the
    source has none.

    Args:
        table: anything with ``__arrow_c_stream__``.
        view: names, types and source.

    Raises:
        MissingColumn: a key, field or time column is not there.
        WrongType: a column or value cannot be what it is declared to be.
        DataError: the table cannot be read, or names a column twice.
        DefinitionError: the source's time zone is not known.
    """
    where, source, clock = f"view {view.ref!r}", view.source, Clock.of(view.source)
    incoming = Incoming(read_table(table, where), source.rename, where)
    declared = [*view.entity.keys, *view.fields]
    columns = {
        field.name: cast(incoming.field(field.name), field.type, where=where, name=field.name, clock=clock)
        for field in declared
    }
    event = to_utc(incoming.time(source.event_time), clock, where=where, name=source.event_time)
    created = event
    if source.created_time is not None:
        created = to_utc(incoming.time(source.created_time), clock, where=where, name=source.created_time)
    columns |= {EVENT: event.times, CREATED: pc.coalesce(created.times, event.times)}
    every = pa.table(columns)
    rows = _without_nulls(every, [*view.entity.key_names, EVENT])
    return Normalised(
        rows=rows.append_column(ORDER, _tokens(rows, view)),
        handed=len(every),
        refused=len(every) - len(rows),
        assumed_utc=int(np.count_nonzero(event.assumed | created.assumed)),
    )


def warn_of_assumed_utc(where: str, rows: int, *, stacklevel: int) -> None:
    """Warn that naive times were taken as UTC, if any were."""
    if rows:
        message = (
            f"{where}: the times of {rows} rows have no zone and were taken as UTC. Declare the source's time_zone."
        )
        warnings.warn(message, AssumedUtcWarning, stacklevel=stacklevel + 1)


@dataclass(frozen=True)
class Incoming:
    """Columns of a table by the name they have in the file, and by the name they are given."""

    table: Any
    rename: Mapping[str, str]
    where: str

    def field(self, name: str) -> Any:
        """The column of a field."""
        given = [column for column, field in self.rename.items() if field == name and column in self.table.column_names]
        return self._column(given[0] if given else name)

    def time(self, name: str) -> Any:
        """The column of a time, named as in the file or as renamed."""
        return self._column(name) if name in self.table.column_names else self.field(name)

    def _column(self, name: str) -> Any:
        return one_column(self.table, name, self.where)


def one_column(table: Any, name: str, where: str) -> Any:
    """Return a column of a table as one array.

    Raises:
        MissingColumn: it is not there.
        DataError: it is there twice.
    """
    places: Sequence[int] = [place for place, present in enumerate(table.column_names) if present == name]
    if not places:
        raise MissingColumn.of(where, name, table.column_names)
    if len(places) > 1:
        raise DataError(where, f"column {name!r} is there {len(places)} times", "Rename or remove all but one.")
    return plain(table.column(places[0]))


def _without_nulls(table: Any, names: Sequence[str]) -> Any:
    if not any(table.column(name).null_count for name in names):
        return table
    there = table.column(names[0]).is_valid()
    for name in names[1:]:
        there = pc.and_(there, table.column(name).is_valid())
    return table.filter(there)


def _tokens(rows: Any, view: FeatureView) -> Any:
    columns = {field.name: _hashable(rows.column(field.name), field.type) for field in view.fields}
    content = content_hash(columns, rows=len(rows))
    tokens = order_tokens(microseconds(rows.column(EVENT)), microseconds(rows.column(CREATED)), content)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(TOKEN_BYTES), len(rows), [None, pa.py_buffer(np.ascontiguousarray(tokens))]
    )


def _hashable(array: Any, type: Type) -> Column | Hashed:
    """Return a column to be hashed; of texts and bytes each different value is hashed once."""
    if type.kind not in (Kind.STRING, Kind.BYTES):
        return to_column(array, type)
    encoded = array.combine_chunks().dictionary_encode()
    bits = value_bits(to_column(encoded.dictionary, type).values)
    valid = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
    if not len(bits):
        return Hashed(np.zeros(len(encoded), np.uint64), valid)
    return Hashed(bits[encoded.indices.fill_null(0).to_numpy()], valid)
