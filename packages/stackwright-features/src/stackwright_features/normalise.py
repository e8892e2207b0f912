"""Incoming rows as an offline store wants them: declared names and types, UTC, order tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_features.arrow import arrow_type, microseconds, read_table, to_column
from stackwright_features.casts import cast, plain
from stackwright_features.streams import Lazy, in_pieces
from stackwright_features.times import Clock, Instants, to_utc
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import DataError, MissingColumn
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.types import Field, Kind, Type
from stackwright_numerics.columns import Column
from stackwright_numerics.order import TOKEN_BYTES, Hashed, content_hash, order_tokens, value_bits

_HASHED: Final = frozenset({Kind.STRING, Kind.BYTES})
_REMEMBERED: Final = 131_072
_REMEMBERED_BYTES: Final = 8 << 20


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
    return _Normaliser(view).normalised(read_table(table, f"view {view.ref!r}"))


class NormalisedRows(Lazy):
    """Rows of a view, normalised as they are consumed; see :func:`normalise`.

    Args:
        table: anything with ``__arrow_c_stream__``.
        view: names, types and source.

    Attributes:
        handed: rows before any was refused, so far.
        refused: rows with a null key or event time, so far.
        assumed_utc: rows with a naive time that was taken as UTC, so far.

    Raises:
        MissingColumn: a key, field or time column is not there.
        WrongType: a column cannot be what it is declared to be; of its values, when they are consumed.
        DataError: the table cannot be read, or names a column twice.
        DefinitionError: the source's time zone is not known.
    """

    def __init__(self, table: object, view: FeatureView) -> None:
        pieces = in_pieces(table, f"view {view.ref!r}")
        normaliser = _Normaliser(view)
        self.handed = self.refused = self.assumed_utc = 0
        super().__init__(
            normaliser.normalised(pieces.schema.empty_table()).rows.schema,
            self._counted(map(normaliser.normalised, pieces.tables)),
        )

    def _counted(self, found: Iterator[Normalised]) -> Iterator[Any]:
        for part in found:
            self.handed += part.handed
            self.refused += part.refused
            self.assumed_utc += part.assumed_utc
            yield from part.rows.to_batches()


class _Normaliser:
    """Normalises the rows of a view, a piece after the other."""

    def __init__(self, view: FeatureView) -> None:
        self._view = view
        self._clock = Clock.of(view.source)
        self._hashes = {field.name: _TextHashes(field.type) for field in view.fields if field.type.kind in _HASHED}
        self._done = 0

    def normalised(self, table: Any) -> Normalised:
        where, source = f"view {self._view.ref!r}", self._view.source
        incoming = Incoming(table, source.rename, where, self._clock, self._done)
        columns = {field.name: incoming.field(field) for field in (*self._view.entity.keys, *self._view.fields)}
        event = incoming.time(source.event_time)
        created = event if source.created_time is None else incoming.time(source.created_time)
        columns |= {EVENT: event.times, CREATED: pc.coalesce(created.times, event.times)}
        every = pa.table(columns)
        rows = _without_nulls(every, [*self._view.entity.key_names, EVENT])
        self._done += len(every)
        return Normalised(
            rows=rows.append_column(ORDER, self._tokens(rows)),
            handed=len(every),
            refused=len(every) - len(rows),
            assumed_utc=int(np.count_nonzero(event.assumed | created.assumed)),
        )

    def _tokens(self, rows: Any) -> Any:
        columns = {field.name: self._hashable(rows.column(field.name), field) for field in self._view.fields}
        content = content_hash(columns, rows=len(rows))
        tokens = order_tokens(microseconds(rows.column(EVENT)), microseconds(rows.column(CREATED)), content)
        return pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(TOKEN_BYTES), len(rows), [None, pa.py_buffer(np.ascontiguousarray(tokens))]
        )

    def _hashable(self, array: Any, field: Field) -> Column | Hashed:
        hashes = self._hashes.get(field.name)
        return to_column(array, field.type) if hashes is None else hashes.of(array)


class _TextHashes:
    """Hashes of the texts or bytes of one column: each different value is hashed once, as long as it is remembered."""

    def __init__(self, type: Type) -> None:
        self._type = type
        self._known = pa.array([], arrow_type(type))
        self._bits = np.zeros(0, np.uint64)

    def of(self, array: Any) -> Hashed:
        """Return the column, hashed."""
        encoded = array.combine_chunks().dictionary_encode()
        valid = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
        if not len(encoded.dictionary):
            return Hashed(np.zeros(len(encoded), np.uint64), valid)
        return Hashed(self._of_different(encoded.dictionary)[encoded.indices.fill_null(0).to_numpy()], valid)

    def _of_different(self, values: Any) -> NDArray[np.uint64]:
        places = pc.index_in(values, self._known)
        new = places.is_null().to_numpy(zero_copy_only=False)
        bits = np.zeros(len(values), np.uint64)
        bits[~new] = self._bits[places.drop_null().to_numpy()]
        fresh = values.filter(pa.array(new))
        bits[new] = value_bits(to_column(fresh, self._type).values)
        count, size = len(self._known) + len(fresh), self._known.nbytes + fresh.nbytes
        if len(fresh) and count <= _REMEMBERED and size <= _REMEMBERED_BYTES:
            self._known = pa.concat_arrays([self._known, fresh])
            self._bits = np.concatenate([self._bits, bits[new]])
        return bits


def warn_of_assumed_utc(where: str, rows: int, *, stacklevel: int) -> None:
    """Warn that naive times were taken as UTC, if any were."""
    if rows:
        message = (
            f"{where}: the times of {rows} rows have no zone and were taken as UTC. Declare the source's time_zone."
        )
        warnings.warn(message, AssumedUtcWarning, stacklevel=stacklevel + 1)


@dataclass(frozen=True)
class Incoming:
    """Columns of a table by the name they have in the file, and by the name they are given.

    Args:
        table: ``pyarrow.Table`` of n rows.
        rename: name in the file → name in the view.
        where: the place, for messages.
        clock: how texts and naive times are read.
        first: number of the first row, for messages.
    """

    table: Any
    rename: Mapping[str, str]
    where: str
    clock: Clock
    first: int = 0

    def field(self, field: Field) -> Any:
        """The column of a field, as an array of its declared type."""
        found = self._named(field.name)
        return cast(found, field.type, where=self.where, name=field.name, clock=self.clock, first=self.first)

    def time(self, name: str) -> Instants:
        """The column of a time, named as in the file or as renamed."""
        found = self._column(name) if name in self.table.column_names else self._named(name)
        return to_utc(found, self.clock, where=self.where, name=name, first=self.first)

    def _named(self, name: str) -> Any:
        given = [column for column, field in self.rename.items() if field == name and column in self.table.column_names]
        return self._column(given[0] if given else name)

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
