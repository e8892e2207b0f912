"""Values of a request, checked against the fields they stand for."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from stackwright_interfaces.errors import DataError
from stackwright_interfaces.types import Field, Kind

_INT64: Final = 2**63


class InvalidValue(DataError):
    """A row of a request that does not fit the model."""


def columns(
    rows: Sequence[Mapping[str, Any]], fields: Sequence[Field], *, keys: Sequence[Field] = ()
) -> dict[str, list[Any]]:
    """Return field → values of all rows.

    Args:
        rows: JSON objects.
        fields: what a row holds; a field with a default may be left out.
        keys: those of them that may not be null.

    Raises:
        InvalidValue: a field is missing, unknown, or of another type; the message names row and field.
    """
    known = {field.name for field in fields}
    required = {field.name for field in keys}
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidValue(f"row {place}", f"is {_kind(row)}", "Send an object.")
        for name in row:
            if name not in known:
                raise InvalidValue(f"row {place}", f"unknown field {name!r}", f"Known: {', '.join(sorted(known))}.")
    return {
        field.name: [_value(row, place, field, required=field.name in required) for place, row in enumerate(rows)]
        for field in fields
    }


def _value(row: Mapping[str, Any], place: int, field: Field, *, required: bool) -> Any:
    if field.name not in row:
        if field.has_default:
            return field.default
        raise InvalidValue(f"row {place}", f"field {field.name!r} is missing", f"Send a {field.type}.")
    value = row[field.name]
    if value is None:
        if required:
            raise InvalidValue(f"row {place}", f"field {field.name!r} is null", f"Send a {field.type}.")
        return None
    return check_value(value, field, f"row {place}")


def check_value(value: Any, field: Field, where: str) -> Any:
    """Return a JSON value as a value of the field's type.

    Raises:
        InvalidValue: it is none.
    """
    match field.type.kind:
        case Kind.BOOL if isinstance(value, bool):
            return value
        case Kind.INT64 if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64:
            return value
        case Kind.FLOAT64 if isinstance(value, int | float) and not isinstance(value, bool):
            return _float(value, field, where)
        case Kind.STRING if isinstance(value, str):
            return value
        case Kind.TIMESTAMP if isinstance(value, str):
            return _time(value, field, where)
        case Kind.BYTES if isinstance(value, str):
            return _bytes(value, field, where)
        case Kind.LIST | Kind.VECTOR | Kind.DECIMAL:
            raise InvalidValue(
                where, f"field {field.name!r} is a {field.type}", "Such values are read from the store alone."
            )
    raise InvalidValue(where, f"field {field.name!r} is {_kind(value)}", f"Send a {field.type}.")


def _float(value: float, field: Field, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise InvalidValue(where, f"field {field.name!r} is too large", "Send a float64.")
    return number


def _time(value: str, field: Field, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidValue(where, f"field {field.name!r} is no time", "Send 2025-03-01T12:00:00Z, say.") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bytes(value: str, field: Field, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise InvalidValue(where, f"field {field.name!r} is not base64", "Send base64.") from error


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), "something else")
