"""Columns: values beside a mask that says which of them are there.

How the values of each kind are held:

========================= ====================================== ======
kind                      array                                  filler
========================= ====================================== ======
bool                      ``bool_`` (n)                          False
int64                     ``int64`` (n)                          0
float64                   ``float64`` (n)                        NaN
timestamp                 ``datetime64[us]`` (n), UTC            NaT
string, bytes, decimal    ``object`` (n) of str, bytes, Decimal  None
list                      ``object`` (n) of Python lists         None
vector                    ``float64`` (n, size)                  NaN
========================= ====================================== ======

A filler stands where ``valid`` is False. NaN is a value of float64 like any other, and not null. Null elements of a
list are ``None``; its timestamps are ``datetime`` in UTC.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stackwright_interfaces.types import Kind, Type

NAT: Final = int(np.iinfo(np.int64).min)
"""The int64 that stands for ``NaT``: no instant in microseconds."""

_DTYPES: Final = {
    Kind.BOOL: np.dtype(np.bool_),
    Kind.INT64: np.dtype(np.int64),
    Kind.FLOAT64: np.dtype(np.float64),
    Kind.TIMESTAMP: np.dtype("datetime64[us]"),
    Kind.VECTOR: np.dtype(np.float64),
}
_OBJECT: Final = np.dtype(object)
_NUMBERS: Final = frozenset({Kind.BOOL, Kind.INT64, Kind.FLOAT64})


class Column(NamedTuple):
    """Values and where they are valid: arrays of one length."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]


def dtype_of(type: Type) -> np.dtype[Any]:
    """Return the dtype of the values of a column."""
    return _DTYPES.get(type.kind, _OBJECT)


def filler_of(dtype: np.dtype[Any]) -> Any:
    """Return what stands in an array of this dtype where there is no value."""
    return {"b": False, "i": 0, "f": np.nan, "M": np.datetime64("NaT", "us")}.get(dtype.kind)


def nulls(type: Type, rows: int) -> Column:
    """Return a column of nulls."""
    dtype = dtype_of(type)
    shape = (rows, type.size) if type.kind is Kind.VECTOR else (rows,)
    return Column(np.full(shape, filler_of(dtype), dtype), np.zeros(rows, np.bool_))


def to_model_array(column: Column, type: Type) -> NDArray[Any]:
    """Return a column as models, transforms and online reads have it, where null has no mask of its own.

    Returns:
        float64 with NaN where null for bool, int64 and float64; ``datetime64[us]`` with ``NaT``; an object array with
        ``None`` for every other kind (the elements of a vector are float64 arrays).
    """
    values, valid = column
    if type.kind in _NUMBERS:
        return values.astype(np.float64) if valid.all() else np.where(valid, values, np.nan)
    if type.kind is Kind.TIMESTAMP:
        return np.where(valid, values, filler_of(values.dtype))
    objects = np.full(len(values), None, object)
    if type.kind is Kind.VECTOR:
        for row in np.flatnonzero(valid):
            objects[row] = values[row]
    else:
        objects[valid] = values[valid]
    return objects
