"""Types of columns: what the database says of them, and the Arrow types that carry their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import types as sql
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import NullType, TypeEngine

from stackwright_interfaces.errors import DataError

INSTANT: Final = pa.timestamp("us", "UTC")
_NAIVE: Final = pa.timestamp("us")
_WIDEST: Final = 38
_ANY_SCALE: Final = pa.decimal256(76, _WIDEST)
"""Numbers without a declared scale: 38 digits before the point, 38 behind."""


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _documents(values: Sequence[Any]) -> list[str | None]:
    return [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]


@dataclass
class Column:
    """A column of a result.

    Args:
        name: its name.
        type: what carries it; ``None`` until the first values told.
        convert: makes plain values of what the driver gives.
    """

    name: str
    type: pa.DataType | None
    convert: Callable[[Sequence[Any]], Sequence[Any]] | None = None

    def array(self, values: Sequence[Any], where: str) -> pa.Array:
        """Return values as an array of the column's type; the first ones choose it where the database did not say.

        Raises:
            DataError: a value does not fit.
        """
        plain = values if self.convert is None else self.convert(values)
        try:
            if self.type is None:
                self.type = _widened(pa.array(plain).type)
            return pa.array(plain, self.type)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            found = str(error).partition("\n")[0]
            todo = f"Convert it in a query: CAST({self.name} AS ...)."
            kind = f", taken for {self.type}," if self.type is not None else ""
            raise DataError(
                where, f"column {self.name!r}{kind} holds a value that does not fit ({found})", todo
            ) from error


def _widened(found: pa.DataType) -> pa.DataType:
    """Return the type for values of which only the first are known."""
    if pa.types.is_decimal(found):
        return _ANY_SCALE
    if pa.types.is_timestamp(found):
        return _NAIVE if found.tz is None else INSTANT
    return found


def of_type(name: str, type_: TypeEngine[Any]) -> Column:
    """Return a column of a declared SQL type."""
    if isinstance(type_, sql.ARRAY):
        item = of_type(name, type_.item_type)
        nested = None if item.type is None or item.convert or type_.dimensions not in (None, 1) else pa.list_(item.type)
        return Column(name, nested)
    if isinstance(type_, sql.JSON):
        return Column(name, pa.string(), _documents)
    if isinstance(type_, sql.Uuid):
        return Column(name, pa.string(), _texts)
    return Column(name, next((arrow(type_) for kind, arrow in _ARROW.items() if isinstance(type_, kind)), None))


def _decimal(type_: Any) -> pa.DataType:
    precision, scale = type_.precision, type_.scale
    if not precision or scale is None or not 0 <= scale <= precision:
        return _ANY_SCALE
    if precision > 76:
        return _ANY_SCALE
    return pa.decimal128(precision, scale) if precision <= _WIDEST else pa.decimal256(precision, scale)


def _timestamp(type_: Any) -> pa.DataType:
    zoned = getattr(type_, "timezone", False) or type_.__visit_name__ == "DATETIMEOFFSET"
    return INSTANT if zoned else _NAIVE


_ARROW: Final[Mapping[type, Callable[[Any], pa.DataType]]] = {
    sql.Boolean: lambda _: pa.bool_(),
    sql.Integer: lambda type_: pa.uint64() if getattr(type_, "unsigned", False) else pa.int64(),
    sql.Float: lambda _: pa.float64(),
    sql.Numeric: _decimal,
    sql.String: lambda _: pa.string(),
    sql.DateTime: _timestamp,
    sql.Date: lambda _: pa.date32(),
    sql.Time: lambda _: pa.time64("us"),
    sql.Interval: lambda _: pa.duration("us"),
    sql.LargeBinary: lambda _: pa.binary(),
    sql._Binary: lambda _: pa.binary(),  # noqa: SLF001 -- the base of BYTEA and BINARY has no public name
}


def of_result(
    description: Sequence[Any], registry: Any, declared: Mapping[str, TypeEngine[Any]] | None = None
) -> list[Column]:
    """Return the columns of a result.

    Args:
        description: the DB-API's, of the cursor.
        registry: psycopg's types of the connection; ``None`` for another driver, whose values then choose the types.
        declared: types of the columns, as far as they are known.
    """
    if registry is None:
        return [of_type(item[0], (declared or {}).get(item[0], NullType())) for item in description]
    return [of_type(item[0], _postgres_type(item, registry)) for item in description]


def _postgres_type(item: Any, registry: Any) -> TypeEngine[Any]:
    info = registry.get(item.type_code)
    if info is None:
        return sql.Text()  # an enum, say: psycopg gives what it does not know as text
    name = info.regtype or info.name
    if info.oid != item.type_code:
        return sql.ARRAY(_scalar(name, item))
    return _scalar(name, item)


def _scalar(name: str, item: Any) -> TypeEngine[Any]:
    if name == "numeric":
        return sql.Numeric(item.precision, item.scale)
    if name.startswith("timestamp"):
        return sql.DateTime(timezone=name.endswith("with time zone"))
    kind: type[TypeEngine[Any]] = ischema_names.get(name, NullType)
    return kind()
