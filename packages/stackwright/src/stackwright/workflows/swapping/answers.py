"""What an adapter answered to a recorded workload, and where two of them differ."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

_ABSENT: Final = "(nothing)"


@dataclass(frozen=True)
class Difference:
    """One value that two adapters give differently.

    Args:
        case: what was asked.
        key: of which row.
        column: which of its values.
        a: what the first gives.
        b: what the second gives.
    """

    case: str
    key: str
    column: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.case}, {self.key}, {self.column}: {shown(self.a)} and {shown(self.b)}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**vars(self), "a": shown(self.a), "b": shown(self.b)}


@dataclass
class Answers:
    """What one adapter answered, and what that cost.

    Args:
        values: (case, key) → column → value.
        seconds: operation → how long each took.
        told: measures that need not be equal, of a trainer's fit say: name → number.
        memory: bytes that the process which held the adapter grew by, at most, and that its children hold.
    """

    values: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    def add(self, case: str, key: str, **values: Any) -> None:
        """Note the values of a row, beside those that are noted already."""
        self.values.setdefault((case, key), {}).update(values)

    def add_columns(self, case: str, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> None:
        """Note the values of many rows, a column at a time."""
        for name, values in columns.items():
            for key, value in zip(keys, values, strict=True):
                self.values.setdefault((case, key), {})[name] = value

    def took(self, operation: str, seconds: float) -> None:
        """Note how long an operation took."""
        self.seconds.setdefault(operation, []).append(seconds)

    def quantile(self, operation: str, share: float) -> float:
        """Return a quantile of the seconds of an operation; NaN where it never ran."""
        found = self.seconds.get(operation)
        return float(np.quantile(found, share)) if found else math.nan


def differences(a: Answers, b: Answers, *, whole: bool = True) -> Iterator[Difference]:
    """Give every value that differs, in the order of the first adapter's answers.

    Args:
        whole: whether the second came to its end; else only what it answered is compared.
    """
    for place in dict.fromkeys([*a.values, *b.values]) if whole else b.values:
        left, right = a.values.get(place), b.values.get(place)
        if left is None or right is None:
            yield Difference(*place, "row", _ABSENT if left is None else left, _ABSENT if right is None else right)
            continue
        for column in dict.fromkeys([*left, *right]):
            one, other = left.get(column, _ABSENT), right.get(column, _ABSENT)
            if not same(one, other):
                yield Difference(*place, column, one, other)


def same(a: Any, b: Any) -> bool:
    """Return whether two values are the same to the last bit; null is not NaN, nor 0 false."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def shown(value: Any) -> Any:
    """Return a value as JSON and people read it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def plain(value: Any) -> Any:
    """Return a cell of a column as a plain value: numpy's scalars unpacked, NaT as null."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
