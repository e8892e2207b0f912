"""Declared types as Spark types."""

from __future__ import annotations

from typing import Final

from stackwright_interfaces.types import Kind, Type

_SPARK: Final = {
    Kind.BOOL: "BOOLEAN",
    Kind.INT64: "BIGINT",
    Kind.FLOAT64: "DOUBLE",
    Kind.STRING: "STRING",
    Kind.BYTES: "BINARY",
    Kind.TIMESTAMP: "TIMESTAMP_LTZ",
    Kind.VECTOR: "ARRAY<DOUBLE>",
}


def spark_type(type: Type) -> str:
    """Return the Spark type that carries a declared type."""
    match type.kind:
        case Kind.DECIMAL:
            return f"DECIMAL({type.precision}, {type.scale})"
        case Kind.LIST if type.item is not None:
            return f"ARRAY<{spark_type(type.item)}>"
    return _SPARK[type.kind]
