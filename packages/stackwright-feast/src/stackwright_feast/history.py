"""Rows of a view's history, sorted by key and then by order token, and which of them count when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT, arrow_type, microseconds, to_column, to_columns
from stackwright_features.casts import cast
from stackwright_features.times import to_microseconds
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER, Watermark
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column
from stackwright_numerics.keys import encode_keys
from stackwright_numerics.order import TOKEN_BYTES

POSITION: Final = "__position"

_CHUNK: Final = 10_000


def schema(view: FeatureView) -> Any:
    """Return the Arrow schema of a view's history: its normalised rows, and the ingestion that each came with.

    A vector is a list there: pyarrow 22 and older cannot read null ones from Parquet.
    """
    declared = [*view.entity.keys, *view.fields]
    columns = [pa.field(item.name, _kept_as(item.type)) for item in declared]
    times = [pa.field(EVENT, INSTANT), pa.field(CREATED, INSTANT)]
    return pa.schema([*columns, *times, pa.field(ORDER, pa.binary(TOKEN_BYTES)), pa.field(POSITION, pa.int64())])


def encoded_keys(view: FeatureView, columns: Sequence[Any]) -> list[bytes | None]:
    """Return n encoded keys.

    Args:
        view: whose keys.
        columns: an Arrow array of n for each key of its entity, in their order.
    """
    keys = view.entity.keys
    return encode_keys([to_column(column, key.type) for key, column in zip(keys, columns, strict=True)], _types(view))


@dataclass(frozen=True)
class History:
    """Rows of one view.

    Args:
        view: the view.
        table: ``pyarrow.Table`` of :func:`schema`, in any order; no key is null.
    """

    view: FeatureView
    table: Any

    @cached_property
    def keys(self) -> list[bytes]:
        """The key of each row of the table."""
        columns = [self.table.column(name) for name in self.view.entity.key_names]
        return [key for key in encoded_keys(self.view, columns) if key is not None]

    @cached_property
    def tokens(self) -> list[bytes]:
        """The order token of each row of the table."""
        found: list[bytes] = self.table.column(ORDER).to_pylist()
        return found

    @cached_property
    def sorted(self) -> SortedRows:
        """All rows by key and order token."""
        numbers = {key: number for number, key in enumerate(sorted(set(self.keys)))}
        key_id = np.fromiter((numbers[key] for key in self.keys), np.int64, len(self.keys))
        words = np.frombuffer(b"".join(self.tokens), ">u8").reshape(len(key_id), TOKEN_BYTES // 8)
        places = np.lexsort((*words.T[::-1], key_id))
        table = self.table.take(pa.array(places))
        return SortedRows(self.view, table, numbers, key_id[places])


@dataclass(frozen=True)
class SortedRows:
    """Rows of one view, or some of them, by key and then by order token.

    Args:
        view: the view.
        table: ``pyarrow.Table`` of n rows.
        numbers: encoded key → its number; greater keys have greater ones.
        key_id: the number of each row's key, int64 array of n.
    """

    view: FeatureView
    table: Any
    numbers: dict[bytes, int]
    key_id: NDArray[np.int64]

    @cached_property
    def event_us(self) -> NDArray[np.int64]:
        """Event times, microseconds."""
        return microseconds(self.table.column(EVENT))

    @cached_property
    def created_us(self) -> NDArray[np.int64]:
        """Created times, microseconds."""
        return microseconds(self.table.column(CREATED))

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The view's fields."""
        return to_columns(self.table, self.view.fields)

    def only(self, wanted: NDArray[np.bool_]) -> SortedRows:
        """Return the rows for which a mask of n is true."""
        if wanted.all():
            return self
        places = np.flatnonzero(wanted)
        return SortedRows(self.view, self.table.take(pa.array(places)), self.numbers, self.key_id[places])

    def admitted(self, mark: Watermark | None) -> NDArray[np.bool_]:
        """Return a mask of the rows that a watermark admits; ``None`` admits all."""
        if mark is None:
            return np.ones(len(self.key_id), np.bool_)
        position: NDArray[np.int64] = self.table.column(POSITION).to_numpy()
        admitted: NDArray[np.bool_] = (position <= mark.position) & (self.event_us <= to_microseconds(mark.due))
        return admitted

    def changes(self, since: Watermark | None, until: Watermark, history: timedelta | None) -> Iterator[Any]:
        """Give in tables, by key, what ``until`` admits and ``since`` does not; see ``OfflineStore.changes``."""
        rows = self.only(self.admitted(until))
        new = np.ones(len(rows.key_id), np.bool_) if since is None else ~rows.admitted(since)
        if history is not None:
            recent = rows.event_us >= to_microseconds(until.due) - history // timedelta(microseconds=1)
            new = np.isin(rows.key_id, rows.key_id[new]) & (recent | rows.last_of_keys())
        yield from rows.only(new).in_chunks()

    def in_chunks(self) -> Iterator[Any]:
        """Give the rows in tables of whole keys."""
        ends = np.flatnonzero(self.last_of_keys()) + 1
        start = 0
        for end in ends.tolist():
            if end - start >= _CHUNK or end == len(self.key_id):
                yield self._declared(self.table.slice(start, end - start).drop_columns([POSITION]))
                start = end

    def _declared(self, table: Any) -> Any:
        for item in self.view.fields:
            if item.type.kind is Kind.VECTOR:
                place = table.column_names.index(item.name)
                column = cast(table.column(place), item.type, where=f"view {self.view.ref!r}", name=item.name)
                table = table.set_column(place, item.name, column)
        return table

    def last_of_keys(self) -> NDArray[np.bool_]:
        """Return a mask of the rows that are the last of their key."""
        last = np.ones(len(self.key_id), np.bool_)
        last[:-1] = self.key_id[1:] != self.key_id[:-1]
        return last


def _kept_as(type: Type) -> Any:
    return pa.list_(pa.float64()) if type.kind is Kind.VECTOR else arrow_type(type)


def _types(view: FeatureView) -> list[Any]:
    return [key.type for key in view.entity.keys]
