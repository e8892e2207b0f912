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
_ABSENT: Final = object()


class InvalidValue(DataError):
    """A row of a request that does not fit the model."""


def columns(
    rows: Sequence[Mapping[str, Any]], fields: Sequence[Field], *, keys: Sequence[Field] = ()
) -> dict[str, list[Any]]:
    """Return field → values of all rows; for many calls keep a :class:`RowForm`.

    Raises:
        InvalidValue: a field is missing, unknown, or of another type; the message names row and field.
    """
    return RowForm(fields, keys)(rows)


class RowForm:
    """Checks rows of JSON objects against the fields that they hold.

    Args:
        fields: what a row holds; a field with a default may be left out.
        keys: those of them that may not be null.
    """

    def __init__(self, fields: Sequence[Field], keys: Sequence[Field] = ()) -> None:
        required = {field.name for field in keys}
        self._fields = [(field.name, field, field.name in required) for field in fields]
        self._known = {field.name for field in fields}

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """Return field → values of all rows.

        Raises:
            InvalidValue: a field is missing, unknown, or of another type; the message names row and field.
        """
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                raise InvalidValue(f"row {place}", f"is {_kind(row)}", "Send an object.")
            if not self._known.issuperset(row):
                name = next(name for name in row if name not in self._known)
                known = ", ".join(sorted(self._known))
                raise InvalidValue(f"row {place}", f"unknown field {name!r}", f"Known: {known}.")
        return {
            name: [_value(row, place, field, required=required) for place, row in enumerate(rows)]
            for name, field, required in self._fields
        }


def _value(row: Mapping[str, Any], place: int, field: Field, *, required: bool) -> Any:
    value = row.get(field.name, _ABSENT)
    if value is _ABSENT:
        if field.has_default:
            return field.default
        raise InvalidValue(f"row {place}", f"field {field.name!r} is missing", f"Send a value of type {field.type}.")
    if value is None:
        if required:
            raise InvalidValue(f"row {place}", f"field {field.name!r} is null", f"Send a value of type {field.type}.")
        return None
    return check_value(value, field, place)


def check_value(value: Any, field: Field, where: str | int) -> Any:
    """Return a JSON value as a value of the field's type.

    Args:
        where: what an error calls the place; a number is that of a row.

    Raises:
        InvalidValue: it is none.
    """
    kind, given = field.type.kind, type(value)
    if given is str and kind is Kind.STRING:
        return value
    if given is int and kind is Kind.INT64 and -_INT64 <= value < _INT64:
        return value
    if kind is Kind.FLOAT64 and (given is float or given is int):
        return _float(value, field, where)
    if given is bool and kind is Kind.BOOL:
        return value
    place = f"row {where}" if isinstance(where, int) else where
    if given is str and kind is Kind.TIMESTAMP:
        return _time(value, field, place)
    if given is str and kind is Kind.BYTES:
        return _bytes(value, field, place)
    if kind in (Kind.LIST, Kind.VECTOR, Kind.DECIMAL):
        found = f"field {field.name!r} is a {field.type}"
        raise InvalidValue(place, found, "Such values are read from the store alone.")
    raise InvalidValue(place, f"field {field.name!r} is {_kind(value)}", f"Send a value of type {field.type}.")


def _float(value: float, field: Field, where: str | int) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        place = f"row {where}" if isinstance(where, int) else where
        raise InvalidValue(place, f"field {field.name!r} is too large", "Send a float64.")
    return number


def instant(text: Any) -> datetime:
    """Return the instant in UTC that an ISO 8601 text names; without an offset it is one of UTC.

    Raises:
        ValueError: it is no such text, or names an instant before the year 1 or after 9999.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time") from error


def _time(value: str, field: Field, where: str) -> datetime:
    try:
        return instant(value)
    except ValueError as error:
        raise InvalidValue(where, f"field {field.name!r} is no time", "Send 2025-03-01T12:00:00Z, say.") from error


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
