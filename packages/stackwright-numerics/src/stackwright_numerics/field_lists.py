"""Field lists: what a payload says of its fields, so that it can be read when they have changed.

One u32 (little-endian) a field: the lower 8 bits tell the type, the upper 24 are of the BLAKE2b of the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np

from stackwright_interfaces.errors import DefinitionError, FeatureStoreError
from stackwright_interfaces.types import Field, Kind, Type

BYTES_A_FIELD: Final = 4

_KINDS: Final = {
    Kind.BOOL: 1,
    Kind.INT64: 2,
    Kind.FLOAT64: 3,
    Kind.STRING: 4,
    Kind.BYTES: 5,
    Kind.TIMESTAMP: 6,
    Kind.DECIMAL: 7,
    Kind.LIST: 8,
    Kind.VECTOR: 9,
}


def write(fields: Sequence[Field]) -> bytes:
    """Return the field list.

    Raises:
        DefinitionError: two names that it could not tell apart.
    """
    seen: dict[int, str] = {}
    for field in fields:
        other = seen.setdefault(_name_code(field.name), field.name)
        if other != field.name:
            raise DefinitionError(f"field {field.name!r}", f"stored rows cannot tell it from {other!r}", "Rename one.")
    return np.array([_name_code(field.name) << 8 | _type_code(field.type) for field in fields], "<u4").tobytes()


def common(fields: Sequence[Field], stored: bytes) -> list[tuple[int, int]]:
    """Return the places of the fields that a stored list names too: (place in ``fields``, place in ``stored``).

    Raises:
        FeatureStoreError: one of them was stored under another type.
    """
    codes = np.frombuffer(stored, "<u4").tolist()
    places = {code >> 8: (place, code & 0xFF) for place, code in enumerate(codes)}
    found = []
    for place, field in enumerate(fields):
        source, type_code = places.get(_name_code(field.name), (-1, 0))
        if source < 0:
            continue
        if type_code != _type_code(field.type):
            what = f"field {field.name!r} is stored under another type than {field.type}"
            raise FeatureStoreError("stored row", what, "Give the view a new version.")
        found.append((place, source))
    return found


def _name_code(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=3).digest(), "little")


def _type_code(type: Type) -> int:
    return _KINDS[type.kind] << 4 | (_KINDS[type.item.kind] if type.item is not None else 0)
