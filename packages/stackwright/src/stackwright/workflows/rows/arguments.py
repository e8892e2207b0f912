"""A value as somebody typed it on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stackwright_interfaces.errors import WrongType
from stackwright_interfaces.types import Field, Kind


def parse_value(text: str, field: Field) -> Any:
    """Return a text as a value of the field's type.

    Raises:
        WrongType: it is none.
    """
    try:
        match field.type.kind:
            case Kind.INT64:
                return int(text)
            case Kind.FLOAT64:
                return float(text)
            case Kind.BOOL:
                return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
            case Kind.TIMESTAMP:
                return datetime.fromisoformat(text)
            case Kind.BYTES:
                return bytes.fromhex(text)
    except (ValueError, KeyError) as error:
        raise WrongType.of("arguments", field.name, repr(text), str(field.type)) from error
    return text
