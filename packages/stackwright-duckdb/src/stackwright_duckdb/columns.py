"""Declared types as SQL types."""

from __future__ import annotations

from typing import Final

from stackwright_interfaces.types import Kind, Type

_SQL: Final = {
    Kind.BOOL: "BOOLEAN",
    Kind.INT64: "BIGINT",
    Kind.FLOAT64: "DOUBLE",
    Kind.STRING: "VARCHAR",
    Kind.BYTES: "BLOB",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
}


def sql_type(type: Type) -> str:
    """Return the DuckDB type that carries a declared type."""
    match type.kind:
        case Kind.DECIMAL:
            return f"DECIMAL({type.precision}, {type.scale})"
        case Kind.VECTOR:
            return f"DOUBLE[{type.size}]"
        case Kind.LIST if type.item is not None:
            return f"{sql_type(type.item)}[]"
    return _SQL[type.kind]
