"""Values, fields and spans of time as JSON.

Values have these forms: bool, int64 and string their own; float64 a number or one of ``"NaN"``, ``"Infinity"``,
``"-Infinity"``; bytes hexadecimal digits; timestamp ISO 8601 in UTC; decimal a text with all digits after the point;
list and vector a list of these, ``null`` where an item is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from stackwright_interfaces.document import Node
from stackwright_interfaces.types import FLOAT64, NO_DEFAULT, Field, Kind, Type

_NOT_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def value_to_json(value: Any, type: Type) -> Any:
    """Return the JSON form of a value that is held as :func:`stackwright_interfaces.types.fit` gives it."""
    if value is None:
        return None
    match type.kind:
        case Kind.FLOAT64 if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Kind.BYTES:
            return value.hex()
        case Kind.TIMESTAMP:
            return value.isoformat()
        case Kind.DECIMAL:
            return f"{value:f}"
        case Kind.LIST | Kind.VECTOR:
            return [value_to_json(item, type.item or FLOAT64) for item in value]
    return value


def value_from_json(form: Any, type: Type) -> Any:
    """Read the JSON form of a value; what is none is returned as it is, or as something that does not fit the type.

    Raises:
        ValueError: it is none.
        ArithmeticError: it is none.
    """
    match form, type.kind:
        case str(), Kind.FLOAT64:
            return _NOT_NUMBERS.get(form, form)
        case str(), Kind.BYTES:
            return bytes.fromhex(form)
        case str(), Kind.TIMESTAMP:
            return datetime.fromisoformat(form)
        case str(), Kind.DECIMAL:
            return Decimal(form)
        case list(), Kind.LIST | Kind.VECTOR:
            return [value_from_json(item, type.item or FLOAT64) for item in form]
    return form


def field_to_json(field: Field, *, about: bool = True) -> dict[str, Any]:
    """Return the JSON form of a field, with or without what merely describes it."""
    document: dict[str, Any] = {"name": field.name, "type": str(field.type)}
    if field.has_default:
        document["default"] = value_to_json(field.default, field.type)
    if about and field.description:
        document["description"] = field.description
    if about and field.tags:
        document["tags"] = dict(field.tags)
    return document


def field_from_json(item: Mapping[str, Any]) -> Field:
    """Read the JSON form of a field.

    Raises:
        DefinitionError: it is none.
    """
    return read_field(Node(item, "field"))


def read_field(node: Node) -> Field:
    """Read a field of a document."""
    type_ = Type.parse(node["type"].text())
    return Field(
        node["name"].text(),
        type_,
        read_value(node["default"], type_) if "default" in node else NO_DEFAULT,
        node["description"].text() if "description" in node else "",
        node["tags"].text_map() if "tags" in node else {},
    )


def read_value(node: Node, type: Type) -> Any:
    """Read a value of a document, or what does not fit the type."""
    try:
        return value_from_json(node.value, type)
    except (ValueError, ArithmeticError) as error:
        raise node.expected(f"a {type}") from error


def span_to_json(span: timedelta | None) -> int | None:
    """Return a span in microseconds."""
    return None if span is None else span // timedelta(microseconds=1)
