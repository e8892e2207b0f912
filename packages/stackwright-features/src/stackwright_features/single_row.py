"""One online row of a view without windows, read without a column for every field.

The read of one key is the hot path of a live prediction, where columns of one row would cost more than all else. The
layout is that of ``stackwright_numerics.rows`` and ``stackwright_numerics.records``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stackwright_features.answers import INSTANT, NULL, PRESENT, Statuses, show
from stackwright_features.service_plan import Lookup
from stackwright_interfaces.types import Kind
from stackwright_numerics.cells import cell_decoder
from stackwright_numerics.columns import Column, dtype_of, nulls
from stackwright_numerics.records import RecordLayout
from stackwright_numerics.rows import FORMAT

_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64})
_WORDS: Final = frozenset({*_NUMBERS, Kind.TIMESTAMP})
_HEAD: Final = "<8sqqqq"
_HEAD_WORDS: Final = 5
_EVENT_OFFSET: Final = 24

Outputs: TypeAlias = tuple[Sequence[NDArray[Any]], Sequence[Statuses]]


class SingleRow(NamedTuple):
    """A payload, taken apart.

    Attributes:
        payload: the payload.
        words: its magic, position, due time, event time, created time, validity bits, and a word a field.
        valid: a bit a field, in the order of the words.
        events: its event time as an array of one.
    """

    payload: bytes
    words: tuple[Any, ...]
    valid: int
    events: NDArray[np.datetime64]


class SingleRowReader:
    """Reads the outputs of one lookup from one payload.

    Statuses, and values of rows that do not count, are arrays that all answers share, and read-only.

    Args:
        lookup: what is needed of the view.
        defaults: output → its default.
    """

    def __init__(self, lookup: Lookup, defaults: Mapping[str, Column]) -> None:
        layout = RecordLayout(lookup.view.fields, FORMAT)
        self._first = _HEAD_WORDS + layout.first - 2
        codes = ("d" if field.type.kind is Kind.FLOAT64 else "q" for field in layout.fields)
        self._struct = struct.Struct(f"{_HEAD}{layout.first - 2}Q{''.join(codes)}")
        self._magic = layout.magic
        self._valid_words = [(64 * place, _HEAD_WORDS + place) for place in range(layout.first - 2)]
        self._all = (1 << len(layout.fields)) - 1
        self._places = {field.name: place for place, field in enumerate(layout.fields)}
        self._types = {field.name: field.type for field in layout.fields}
        self._decoders = {
            field.name: cell_decoder(field.type) for field in layout.fields if field.type.kind not in _WORDS
        }
        outputs = lookup.outputs
        self._outputs = outputs
        self._defaults = [defaults.get(output.field.name) for output in outputs]
        self._slots = [(slot, output.feature, 1 << self._places[output.feature]) for slot, output in enumerate(outputs)]
        self._numbers = [slot for slot, name, _ in self._slots if self._types[name].kind in _NUMBERS]
        self._number_words = [self._first + self._places[outputs[slot].feature] for slot in self._numbers]
        self._others = [item for item in self._slots if self._types[item[1]].kind not in _NUMBERS]
        self._present = [_status(PRESENT)] * len(outputs)
        self._null = self.outputs_of_null(NULL)

    def outputs_of_null(self, why: np.int8) -> Outputs:
        """Return the outputs of a row that does not count: defaults, or nulls for this reason."""
        shown = [
            show(nulls(output.field.type, 1), output.field.type, _status(why), default)
            for output, default in zip(self._outputs, self._defaults, strict=True)
        ]
        for values, statuses in shown:
            values.flags.writeable = statuses.flags.writeable = False
        return [values for values, _ in shown], [statuses for _, statuses in shown]

    def take_apart(self, payload: bytes) -> SingleRow | None:
        """Take a payload apart; ``None`` if it was written with other fields, or is cut."""
        if payload[:8] != self._magic or len(payload) < self._struct.size:
            return None
        words = self._struct.unpack_from(payload)
        valid = 0
        for shift, place in self._valid_words:
            valid |= words[place] << shift
        return SingleRow(payload, words, valid, np.frombuffer(payload, INSTANT, 1, _EVENT_OFFSET))

    def outputs(self, row: SingleRow) -> Outputs:
        """Return the outputs of a row that counts.

        Raises:
            DAMAGED: a cell is damaged.
        """
        words = row.words
        values = list(np.array([words[place] for place in self._number_words], np.float64).reshape(-1, 1))
        if self._others:
            values = self._mixed(row, values)
        if row.valid == self._all:
            return values, self._present
        statuses = self._present.copy()
        for slot, _, bit in self._slots:
            if not row.valid & bit:
                values[slot], statuses[slot] = self._null[0][slot], self._null[1][slot]
        return values, statuses

    def held(self, row: SingleRow | None, names: Sequence[str]) -> dict[str, Column]:
        """Return stored columns as columns of one row; null without a row.

        Raises:
            DAMAGED: a cell is damaged.
        """
        columns: dict[str, Column] = {}
        for name in names:
            type_ = self._types[name]
            if row is None or not row.valid & 1 << self._places[name]:
                columns[name] = nulls(type_, 1)
            else:
                columns[name] = Column(self._value(row, name).astype(dtype_of(type_), copy=False), np.ones(1, np.bool_))
        return columns

    def _mixed(self, row: SingleRow, numbers: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        values = list(self._null[0])
        for slot, number in zip(self._numbers, numbers, strict=True):
            values[slot] = number
        for slot, name, bit in self._others:
            if row.valid & bit:
                values[slot] = self._value(row, name)
        return values

    def _value(self, row: SingleRow, name: str) -> NDArray[Any]:
        word = row.words[self._first + self._places[name]]
        if name not in self._decoders:
            number = np.array([word])
            return number.view(INSTANT) if self._types[name].kind is Kind.TIMESTAMP else number
        start, stop = word & 0xFFFFFFFF, word >> 32
        if not 0 <= start <= stop <= len(row.payload):
            raise ValueError("it ends too early")
        cell = np.empty(1, object)
        cell[0] = self._decoders[name](row.payload[start:stop])
        return cell


def _status(status: np.int8) -> Statuses:
    array = np.full(1, status)
    array.flags.writeable = False
    return array
