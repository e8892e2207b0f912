"""Rows of the kits as Arrow tables, and results as plain values that compare bit for bit."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, ROW, ArrowStream
from stackwright_interfaces.testing.oracle import EPOCH, Fact, microseconds
from stackwright_interfaces.types import Field, Kind, Type

STAMP: Final = pa.timestamp("us", "UTC")

_PLAIN: Final = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BYTES: pa.binary(),
    Kind.TIMESTAMP: STAMP,
}
_NUMBERS: Final = {Kind.BOOL, Kind.INT64, Kind.FLOAT64}


class OneStream:
    """A table that can do nothing but be streamed once, in small batches."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the stream away."""
        table, self._table = self._table, None
        assert table is not None, "an Arrow stream was consumed twice"
        reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=3))
        return reader.__arrow_c_stream__(requested_schema)


class CutOff:
    """A table whose stream gives its rows in small batches, and then fails instead of ending."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the stream away."""
        return pa.RecordBatchReader.from_batches(self._table.schema, self._batches()).__arrow_c_stream__()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._table.to_batches(max_chunksize=3)
        raise ValueError("the source went away")


def arrow_type(type: Type) -> Any:
    """Return the Arrow type that carries a declared type between the composed store and a half."""
    match type.kind:
        case Kind.DECIMAL:
            return pa.decimal128(type.precision, type.scale)
        case Kind.VECTOR:
            return pa.list_(pa.float64(), type.size)
        case Kind.LIST if type.item is not None:
            return pa.list_(arrow_type(type.item))
    return _PLAIN[type.kind]


def column(values: Iterable[Any], type: Type) -> Any:
    """Return plain values as an Arrow array."""
    return pa.array(list(values), arrow_type(type), from_pandas=False)


def stamps(instants: Iterable[datetime | None]) -> Any:
    """Return instants as an Arrow array."""
    return pa.array(list(instants), STAMP)


def ingested(view: FeatureView, facts: Sequence[Fact]) -> Any:
    """Return rows as a user hands them to ``FeatureStore.ingest``, times in the columns that the source names."""
    columns = _keys_and_values(view, facts)
    columns[view.source.event_time] = stamps(fact.event for fact in facts)
    if view.source.created_time is not None:
        columns[view.source.created_time] = stamps(fact.created for fact in facts)
    return pa.table(columns)


def normalised(view: FeatureView, facts: Sequence[Fact]) -> Any:
    """Return rows as the composed store hands them to ``OfflineStore.ingest``."""
    columns = _keys_and_values(view, facts)
    columns[EVENT] = stamps(fact.event for fact in facts)
    columns[CREATED] = stamps(fact.created for fact in facts)
    columns[ORDER] = pa.array([token_of(fact) for fact in facts], pa.binary(24))
    return pa.table(columns)


def asked(keys: Sequence[Field], rows: Sequence[tuple[tuple[Any, ...], datetime]]) -> Any:
    """Return labels as the composed store hands them to ``OfflineStore.join``.

    Args:
        keys: the key columns of the label table.
        rows: for each label the key and the asked instant.
    """
    columns: dict[str, Any] = {ROW: pa.array(range(len(rows)), pa.int64()), EVENT: stamps(at for _, at in rows)}
    for place, key in enumerate(keys):
        columns[key.name] = column([parts[place] for parts, _ in rows], key.type)
    return pa.table(columns)


def ranked(fact: Fact) -> Fact:
    """Return the row with the hash of its content as its rank."""
    content = repr(sorted((name, value) for name, value in fact.values.items() if value is not None))
    rank = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big")
    return Fact(fact.key, fact.event, fact.created, fact.values, fact.position, rank)


def token_of(fact: Fact) -> bytes:
    """Return the order token of a ranked row."""
    times = (microseconds(fact.event) + 2**63, microseconds(fact.created) + 2**63)
    return b"".join(part.to_bytes(8, "big") for part in (*times, fact.rank))


def read_token(token: bytes) -> tuple[datetime, datetime, int]:
    """Return event time, created time and rank of an order token."""
    event, created, rank = struct.unpack(">QQQ", token)
    return _instant(event - 2**63), _instant(created - 2**63), rank


def rows_of(stream: ArrowStream) -> list[dict[str, Any]]:
    """Return a table as one dictionary a row, with times in UTC."""
    rows: list[dict[str, Any]] = pa.table(stream).to_pylist()
    return [{name: _utc(value) for name, value in row.items()} for row in rows]


def bits(value: Any) -> Any:
    """Return what compares equal only for the same value: floats by their bits, all NaNs alike, null as ``None``."""
    if isinstance(value, float | np.floating):
        return "NaN" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, list | tuple | np.ndarray):
        return [bits(item) for item in value]
    if isinstance(value, Mapping):
        return {name: bits(item) for name, item in value.items()}
    return value


def as_online(values: Sequence[Any], type: Type) -> list[Any]:
    """Return plain values as an online read holds them: numbers as floats with NaN for null, times in microseconds."""
    if type.kind in _NUMBERS:
        return [math.nan if value is None else float(value) for value in values]
    if type.kind is Kind.TIMESTAMP:
        return [None if value is None else microseconds(value) for value in values]
    return list(values)


def read_column(values: Any, type: Type) -> list[Any]:
    """Return a column of an online read in the form of :func:`as_online`."""
    array = np.asarray(values)
    if type.kind in _NUMBERS:
        assert array.dtype == np.float64, f"numbers are float64, this is {array.dtype}"
        return list(array.tolist())
    if type.kind is Kind.TIMESTAMP:
        assert array.dtype == np.dtype("datetime64[us]"), f"times are datetime64[us], this is {array.dtype}"
        return [None if np.isnat(value) else int(value.astype(np.int64)) for value in array]
    assert array.dtype == object, f"a {type} is held in an object array, this is {array.dtype}"
    return list(array)


def _keys_and_values(view: FeatureView, facts: Sequence[Fact]) -> dict[str, Any]:
    keys = {key.name: [fact.key[place] for fact in facts] for place, key in enumerate(view.entity.keys)}
    columns = {key.name: column(keys[key.name], key.type) for key in view.entity.keys}
    return columns | {
        item.name: column((fact.values.get(item.name) for fact in facts), item.type) for item in view.fields
    }


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
