"""Types and values of stackwright and of Feast, one as the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from stackwright_feast.vendor import Value, types
from stackwright_interfaces.errors import DefinitionError
from stackwright_interfaces.types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    Kind,
    Type,
    list_of,
)
from stackwright_numerics.columns import Column

_TO_FEAST: Final = {
    Kind.BOOL: types.Bool,
    Kind.INT64: types.Int64,
    Kind.FLOAT64: types.Float64,
    Kind.STRING: types.String,
    Kind.BYTES: types.Bytes,
    Kind.TIMESTAMP: types.UnixTimestamp,
    Kind.DECIMAL: types.Decimal,
}
_FROM_FEAST: Final = {
    types.Bool: BOOL,
    types.Int32: INT64,
    types.Int64: INT64,
    types.Float32: FLOAT64,
    types.Float64: FLOAT64,
    types.String: STRING,
    types.Bytes: BYTES,
    types.UnixTimestamp: TIMESTAMP,
}
_HELD_IN: Final = {
    types.Bool: "bool_val",
    types.Int32: "int32_val",
    types.Int64: "int64_val",
    types.Float32: "float_val",
    types.Float64: "double_val",
    types.String: "string_val",
    types.Bytes: "bytes_val",
    types.UnixTimestamp: "unix_timestamp_val",
    types.Decimal: "decimal_val",
}


def feast_type(type: Type) -> Any:
    """Return Feast's type for a declared one."""
    if type.kind is Kind.VECTOR:
        return types.Array(types.Float64)
    if type.kind is Kind.LIST and type.item is not None:
        return types.Array(_TO_FEAST[type.item.kind])
    return _TO_FEAST[type.kind]


def type_of(found: Any, where: str, name: str) -> Type:
    """Return the type of a Feast field.

    Raises:
        DefinitionError: stackwright has no such type.
    """
    plain: Any = found.base_type if isinstance(found, types.Array) else found
    if isinstance(plain, types.PrimitiveFeastType) and plain in _FROM_FEAST:
        return _FROM_FEAST[plain] if plain is found else list_of(_FROM_FEAST[plain])
    what = f"field {name!r} is a {found}, which has no counterpart here"
    todo = f"Leave it out with definitions_of(repo, without=[{name!r}]), or give Feast another type for it."
    raise DefinitionError(where, what, todo)


def to_values(column: Column, held_as: Any) -> list[Any]:
    """Return a column of n as Feast's values.

    A timestamp loses its fraction of a second, and a list with a null in it is null: Feast has no other form.

    Args:
        column: the values.
        held_as: Feast's type.
    """
    make = _list_maker(held_as.base_type) if isinstance(held_as, types.Array) else _maker(held_as)
    pairs = zip(column.values.tolist(), column.valid.tolist(), strict=True)
    return [make(value) if there else Value() for value, there in pairs]


def from_value(value: Any) -> Any:
    """Return what a Feast value holds: ``None``, a plain value, or a list of them."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    held = getattr(value, kind)
    if kind == "unix_timestamp_val":
        return np.datetime64(held, "s")
    if kind == "unix_timestamp_list_val":
        return [np.datetime64(item, "s") for item in held.val]
    return list(held.val) if kind.endswith("_list_val") else held


def _maker(held_as: Any) -> Callable[[Any], Any]:
    name, plain = _HELD_IN[held_as], _plain(held_as)
    return lambda value: Value(**{name: plain(value)})


def _list_maker(held_as: Any) -> Callable[[Any], Any]:
    name, plain = _HELD_IN[held_as].replace("_val", "_list_val"), _plain(held_as)
    holder = type(getattr(Value(), name))
    return lambda items: Value() if None in items else Value(**{name: holder(val=[plain(item) for item in items])})


def _plain(held_as: Any) -> Callable[[Any], Any]:
    if held_as == types.UnixTimestamp:
        return _seconds
    return str if held_as == types.Decimal else lambda value: value


def _seconds(instant: datetime) -> int:
    return int(instant.replace(tzinfo=UTC).timestamp() // 1)
