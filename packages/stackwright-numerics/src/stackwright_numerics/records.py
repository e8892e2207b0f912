"""Records: the part that row and event payloads have in common.

A record is one row as 64-bit little-endian words: event time, created time, validity bits (64 fields a word), one
word a field. A bool, int64, float64 or timestamp is its word; any other value is a *cell* elsewhere in the payload,
and its word holds where the cell starts and stops (u32 each, from the payload's first byte).

A payload begins with its *magic*: format (u8), 0, number of fields (u16), CRC-32 of its field list (u32). After the
rest of its head come the records, the field list and the cells.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.errors import DataError, FeatureStoreError, MissingColumn
from stackwright_interfaces.types import Field, Kind, Type
from stackwright_numerics import field_lists
from stackwright_numerics.cells import VARIABLE, cell_decoder, encode_cells
from stackwright_numerics.columns import NAT, Column, dtype_of, filler_of

WORD: Final = np.dtype("<i8")
_MAGIC: Final = struct.Struct("<BxHI")
_MAX_PAYLOAD: Final = 2**31 - 1
DAMAGED: Final = (ValueError, ArithmeticError, struct.error)
"""What reading a damaged payload raises."""
_PLAIN: Final = tuple(np.dtype(code) for code in ("<f8", "<i8", "<M8[us]", "?"))
_column: Final = partial(tuple.__new__, Column)  # spares a call into Python for every column


class RecordLayout:
    """Packs columns into records and back.

    Words are sorted by the way they are held, then by name, so that the order in which fields are declared does not
    matter and columns that are held alike lie side by side.

    Args:
        fields: the fields.
        format: number of the payload format, 1 to 255.

    Attributes:
        fields: the fields in the order of their words.
        first: place of the first field's word in a record.
        words: words of a record.
        bytes: bytes of a record.
        blank: words of a record in which all is null, times too.
        field_list: the field list.
        magic: the first eight bytes of a payload.
        full_bits: the words of validity bits, as bytes, of a record in which nothing is null.
        dtypes: how words are held, and how many fields are held so, in the order of the words; without cells.

    Raises:
        DefinitionError: two names that a field list could not tell apart.
    """

    def __init__(self, fields: Sequence[Field], format: int) -> None:
        self.fields = tuple(sorted(fields, key=lambda field: (_holding(field), field.name)))
        self.first = 2 + _bit_words(len(self.fields))
        self.words = self.first + len(self.fields)
        self.bytes = 8 * self.words
        self.field_list = field_lists.write(self.fields)
        self.magic = _magic(format, self.field_list)
        self.blank = np.array([NAT, NAT, *[0] * (self.first - 2), *map(_filler_word, self.fields)], WORD)
        self._format = format
        self._names = [field.name for field in self.fields]
        self._full = _bits(np.ones((1, len(self.fields)), np.bool_))[0].tolist()
        holdings = list(map(_holding, self.fields))
        self.full_bits = [word.to_bytes(8, "little", signed=True) for word in self._full]
        self._blocks = [
            (dtype, holdings.index(holding), holdings.index(holding) + holdings.count(holding))
            for holding, dtype in enumerate(_PLAIN)
            if holding in holdings
        ]
        self.dtypes = [(dtype, stop - start) for dtype, start, stop in self._blocks]
        self._variable = [(place, field) for place, field in enumerate(self.fields) if field.type.kind in VARIABLE]

    def pack(
        self,
        columns: Mapping[str, Column],
        event_us: NDArray[np.int64],
        created_us: NDArray[np.int64],
        offsets: NDArray[np.int64],
        head_bytes: int,
    ) -> tuple[NDArray[np.int64], list[bytes]]:
        """Pack n rows for payloads that hold rows ``offsets[i]`` to ``offsets[i + 1]`` each.

        Args:
            columns: a column of n for every field.
            event_us: event times, of n.
            created_us: created times, of n.
            offsets: where each payload's rows begin and end.
            head_bytes: bytes of a payload before its records.

        Returns:
            Words (n, words), and the joined cells of each payload.

        Raises:
            MissingColumn: a field has no column.
            WrongType: a value is not of its field's type.
            DataError: an event time is NaT, or a payload would exceed 2 GiB.
        """
        words = np.empty((len(event_us), self.words), WORD)
        words[:, 0], words[:, 1] = event_us, created_us
        if (words[:, 0] == NAT).any():
            raise DataError("row", "an event time is missing", "Give every row an event time.")
        valid = np.empty((len(event_us), len(self.fields)), np.bool_)
        for place, field in enumerate(self.fields):
            if field.name not in columns:
                raise MissingColumn.of("row", field.name, columns)
            column = columns[field.name]
            valid[:, place] = column.valid
            if field.type.kind not in VARIABLE:
                words[:, self.first + place] = _words_of(column, field.type)
        words[:, 2 : self.first] = _bits(valid)
        return words, self._pack_cells(columns, words, offsets, head_bytes)

    def unpack(
        self, turned: NDArray[np.int64], payloads: Sequence[bytes | None], counts: Sequence[int] | None = None
    ) -> dict[str, Column]:
        """Read the columns of n records.

        Args:
            turned: (words, n), contiguous.
            payloads: where the cells are.
            counts: number of records of each payload; without it each has one.

        Raises:
            FeatureStoreError: a cell is damaged.
        """
        masks = self._masks(turned)
        columns: dict[str, Column] = {}
        for dtype, start, stop in self._blocks:
            block = turned[self.first + start : self.first + stop]
            values = block != 0 if dtype.kind == "b" else block.view(dtype)
            pairs = zip(values, masks[start:stop], strict=True)
            columns.update(zip(self._names[start:stop], map(_column, pairs), strict=True))
        if self._variable:
            owners, held = np.repeat(np.arange(len(payloads)), 1 if counts is None else counts), list(payloads)
            for place, field in self._variable:
                values = _read_cells(field, turned[self.first + place], masks[place], held, owners)
                columns[field.name] = Column(values, masks[place])
        return columns

    def adapt(self, payload: bytes, head_bytes: int, records: int) -> NDArray[np.int64]:
        """Return the records of a payload, whatever fields it was written with, as words of this layout.

        Raises:
            FeatureStoreError: the payload is of another format, or holds a field under another type.
            DAMAGED: it is damaged.
        """
        number, count, _ = _MAGIC.unpack_from(payload)
        first = 2 + _bit_words(count)
        stop = head_bytes + 8 * records * (first + count)
        field_list = payload[stop : stop + field_lists.BYTES_A_FIELD * count]
        if number != self._format or payload[: _MAGIC.size] != _magic(number, field_list):
            what = "its bytes are no row of this format"
            raise FeatureStoreError("stored row", what, "Materialise the view again.")
        stored = np.frombuffer(payload, WORD, records * (first + count), head_bytes).reshape(records, first + count)
        there = _masks(stored[:, 2:first])
        words = np.tile(self.blank, (records, 1))
        valid = np.zeros((records, len(self.fields)), np.bool_)
        words[:, :2] = stored[:, :2]
        for place, source in field_lists.common(self.fields, field_list):
            words[:, self.first + place] = stored[:, first + source]
            valid[:, place] = there[:, source]
        words[:, 2 : self.first] = _bits(valid)
        return words

    def _masks(self, turned: NDArray[np.int64]) -> Sequence[NDArray[np.bool_]]:
        """The mask of each field; one, read-only, for all where nothing is null."""
        rows, bits = turned.shape[1], turned[2 : self.first]
        if bits.tolist() == [[full] * rows for full in self._full]:
            return [np.frombuffer(b"\1" * rows, np.bool_)] * len(self.fields)
        return list(np.ascontiguousarray(_masks(bits.T)[:, : len(self.fields)].T))

    def _pack_cells(
        self, columns: Mapping[str, Column], words: NDArray[np.int64], offsets: NDArray[np.int64], head_bytes: int
    ) -> list[bytes]:
        """Write where the cells will be into the words, and return the joined cells of each payload."""
        if not self._variable:
            return [b""] * (len(offsets) - 1)
        encoded = [encode_cells(columns[field.name], field.type, field.name) for _, field in self._variable]
        cells = [cell for row in zip(*encoded, strict=True) for cell in row]
        ends = np.zeros(len(cells) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, cells), np.int64, len(cells)), out=ends[1:])
        edges, counts = offsets * len(self._variable), np.diff(offsets)
        bases = head_bytes + counts * self.bytes + len(self.field_list) - ends[edges[:-1]]
        shifts = np.repeat(bases, counts * len(self._variable))
        starts, stops = ends[:-1] + shifts, ends[1:] + shifts
        if stops.max(initial=0) > _MAX_PAYLOAD:
            raise DataError("row", f"a payload of {stops.max()} bytes", "Keep the values of one key below 2 GiB.")
        where = (starts | stops << 32).reshape(len(words), len(self._variable))
        words[:, [self.first + place for place, _ in self._variable]] = where
        return [b"".join(cells[a:b]) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def _read_cells(
    field: Field,
    words: NDArray[np.int64],
    valid: NDArray[np.bool_],
    payloads: Sequence[bytes | None],
    owners: NDArray[np.int64],
) -> NDArray[Any]:
    decode, rows = cell_decoder(field.type), np.flatnonzero(valid)
    where = words[rows]
    places = zip(owners[rows].tolist(), (where & 0xFFFFFFFF).tolist(), (where >> 32).tolist(), strict=True)
    try:
        cells = [decode(_cell(payloads[owner], start, stop)) for owner, start, stop in places]
    except DAMAGED as error:
        what = f"field {field.name!r} is damaged ({error})"
        raise FeatureStoreError("stored row", what, "Materialise the view again.") from error
    if field.type.kind is Kind.VECTOR:
        vectors = np.full((len(words), field.type.size), np.nan)
        vectors[rows] = np.array(cells).reshape(-1, field.type.size)
        return vectors
    values = np.full(len(words), None, object)
    for row, cell in zip(rows.tolist(), cells, strict=True):
        values[row] = cell
    return values


def _cell(payload: bytes | None, start: int, stop: int) -> bytes:
    if payload is None or not 0 <= start <= stop <= len(payload):
        raise ValueError("it ends too early")
    return payload[start:stop]


def _holding(field: Field) -> int:
    """Place among the dtypes whose values are words, or after them."""
    return len(_PLAIN) if field.type.kind in VARIABLE else _PLAIN.index(dtype_of(field.type))


def _magic(format: int, field_list: bytes) -> bytes:
    return _MAGIC.pack(format, len(field_list) // field_lists.BYTES_A_FIELD, crc32(field_list))


def _bit_words(fields: int) -> int:
    return -(-fields // 64)


def _bits(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Masks (n, fields) as words (n, bit words)."""
    rows, fields = valid.shape
    padded = np.zeros((rows, 64 * _bit_words(fields)), np.bool_)
    padded[:, :fields] = valid
    return np.packbits(padded, axis=1, bitorder="little").view(WORD)


def _masks(words: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Words (n, bit words) as masks (n, 64 a word)."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little").view(np.bool_)


def _filler_word(field: Field) -> int:
    if field.type.kind in VARIABLE:
        return 0
    dtype = dtype_of(field.type)
    return int(_as_words(np.array([filler_of(dtype)], dtype))[0])


def _words_of(column: Column, type: Type) -> NDArray[np.int64]:
    values = np.asarray(column.values, dtype_of(type))
    if not column.valid.all():
        values = np.where(column.valid, values, np.array(filler_of(values.dtype), values.dtype))
    return _as_words(values)


def _as_words(values: NDArray[Any]) -> NDArray[np.int64]:
    return values.astype(np.int64) if values.dtype.kind == "b" else np.ascontiguousarray(values).view(np.int64)
