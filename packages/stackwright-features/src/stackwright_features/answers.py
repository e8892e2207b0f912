"""What the online rows of one view say: values, and why they are what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stackwright_features.service_plan import Lookup
from stackwright_interfaces.feature_store import Status
from stackwright_interfaces.types import Kind, Type
from stackwright_numerics.columns import Column, to_model_array

INSTANT: Final = np.dtype("datetime64[us]")

PRESENT: Final = np.int8(Status.PRESENT)
NULL: Final = np.int8(Status.NULL)
NOT_FOUND: Final = np.int8(Status.NOT_FOUND)
EXPIRED: Final = np.int8(Status.EXPIRED)
DEFAULTED: Final = np.int8(Status.DEFAULTED)

Statuses = NDArray[np.int8]

_SEQUENCES: Final = frozenset({Kind.LIST, Kind.VECTOR})


class Shown(NamedTuple):
    """An output of n rows: its values as models have them, and its statuses."""

    values: NDArray[Any]
    statuses: Statuses


class Answer(NamedTuple):
    """What a view says of n keys.

    Attributes:
        values: the lookup's outputs, in order, as models have them: arrays of n.
        statuses: their statuses, likewise.
        events: event times of the rows that were found, ``datetime64[us]``; ``NaT`` where none was.
        knows: the greatest position and due time (microseconds) of the rows; (0, ``NAT``) if none was found.
        held: the lookup's keys of the second wave, null where a row does not count.
    """

    values: Sequence[NDArray[Any]]
    statuses: Sequence[Statuses]
    events: NDArray[np.datetime64]
    knows: tuple[int, int]
    held: Mapping[str, Column]


class Reader(Protocol):
    """Reads the payloads of one lookup."""

    lookup: Lookup

    def answer(self, payloads: Sequence[bytes | None], at_us: int, keyless: NDArray[np.bool_] | None, /) -> Answer:
        """Say what n payloads hold.

        Args:
            payloads: what the online store gave, n of it.
            at_us: the asked instant in microseconds.
            keyless: rows whose key has a null part, of n; ``None`` if there is none.
        """
        ...


def show(column: Column, type: Type, why_null: Statuses, default: Column | None) -> Shown:
    """Show a column as an output, with its default where it is null.

    Args:
        column: n values.
        type: their type.
        why_null: the status of each row if it is null, of n.
        default: the default, a column of one row.
    """
    valid = column.valid
    everywhere = valid[0] if len(valid) == 1 else valid.all()
    if everywhere:
        values = column.values if type.kind is Kind.FLOAT64 else to_model_array(column, type)
        return Shown(values, np.full(len(valid), PRESENT))
    values = to_model_array(column, type)
    if default is None:
        return Shown(values, np.where(valid, PRESENT, why_null))
    value = to_model_array(default, type)[0]
    if type.kind in _SEQUENCES:
        for row in np.flatnonzero(~valid):
            values[row] = value
    else:
        values[~valid] = value
    return Shown(values, np.where(valid, PRESENT, DEFAULTED))


def microseconds_of(span: timedelta | None) -> int | None:
    """Return a span in microseconds."""
    return None if span is None else span // timedelta(microseconds=1)
