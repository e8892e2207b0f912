"""Records of predictions as Arrow tables: wide ones that hold all that a report may ask for, and what is read of them.

A wide table holds the predictions of one model. Its columns are those of :data:`BASE`, and for what has other names in
each model ``key.NAME`` and ``feature.NAME``: numbers under the name itself (features as float64, keys as int64), texts
under ``NAME#text``, flags of keys under ``NAME#flag``; ``status.NAME`` holds the status of a feature where any row has
another than ``PRESENT``; ``items`` the answer of a ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stackwright_features.arrow import INSTANT, arrow_type
from stackwright_interfaces.types import Field, Kind

KEY: Final = "key."
FEATURE: Final = "feature."
STATUS: Final = "status."
ITEMS: Final = "items"
IDENTITY: Final = "identity"
"""64 bits of the prediction id, by which doubles and labels are found."""

BASE: Final[Mapping[str, Any]] = {
    "prediction_id": pa.string(),
    "request_id": pa.string(),
    "model": pa.string(),
    "version": pa.int64(),
    "digest": pa.string(),
    "blueprint": pa.string(),
    "arm": pa.string(),
    "asked_at": INSTANT,
    "predicted_at": INSTANT,
    "prediction": pa.float64(),
    "lower": pa.float64(),
    "upper": pa.float64(),
}
"""Columns that every table of predictions has."""

FALLBACKS: Final = "fallbacks"
_TEXT: Final = "#text"
_FLAG: Final = "#flag"
_ITEMS_TYPE: Final = pa.list_(
    pa.struct([("key", pa.string()), ("position", pa.int32()), ("score", pa.float64()), ("propensity", pa.float64())])
)
_NUMBERS: Final = (Kind.BOOL, Kind.INT64, Kind.FLOAT64)
_TIMES: Final = ("asked_at", "predicted_at")

Record = Mapping[str, Any]


def identities(ids: Iterable[str | None]) -> NDArray[np.uint64]:
    """Return 64 bits of each id (of BLAKE2b), 0 for none."""
    parts = [b"\0" * 8 if name is None else blake2b(name.encode(), digest_size=8).digest() for name in ids]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64, copy=False)


def tabulate(records: Sequence[Record]) -> Any:
    """Return the wide table of records of one model, in their order."""
    columns: dict[str, Any] = {IDENTITY: pa.array(identities(record["prediction_id"] for record in records))}
    for name, kind in BASE.items():
        columns[name] = _base(name, kind, [record.get(name) for record in records])
    columns[FALLBACKS] = pa.array([len(record.get(FALLBACKS) or ()) for record in records], pa.int16())
    columns |= _named(KEY, [record.get("keys") or {} for record in records], _keys)
    columns |= _named(FEATURE, [record.get("features") or {} for record in records], _features)
    columns |= _named(STATUS, [record.get("statuses") or {} for record in records], _statuses)
    if any(record.get(ITEMS) for record in records):
        columns[ITEMS] = pa.array([_items(record.get(ITEMS)) for record in records], _ITEMS_TYPE)
    return pa.table(columns)


def _base(name: str, kind: Any, values: list[Any]) -> Any:
    if name in _TIMES:
        return pa.array(values, pa.string()).cast(INSTANT)
    if kind == pa.float64():
        return _floats(values)
    if name == "arm":
        values = ["live" if value is None else value for value in values]
    array = pa.array(values, kind)
    # Names are few, and ids are not.
    return array.dictionary_encode() if kind == pa.string() and not name.endswith("_id") else array


def _named(
    prefix: str, rows: list[Mapping[str, Any]], split: Callable[[list[Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        f"{prefix}{name}{suffix}": array
        for name in names
        for suffix, array in split([row.get(name) for row in rows]).items()
    }


def _floats(values: list[Any]) -> Any:
    """Return numbers and flags as float64, everything else as null."""
    if set(map(type, values)) <= {float, type(None)}:
        return pa.array(values, pa.float64())
    return pa.array([float(value) if isinstance(value, int | float) else None for value in values], pa.float64())


def _texts(values: list[Any]) -> Any:
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string()).dictionary_encode()


def _features(values: list[Any]) -> dict[str, Any]:
    kinds = set(map(type, values))
    found = {"": _floats(values)} if kinds & {int, float, bool} else {}
    return found | ({_TEXT: _texts(values)} if str in kinds else {})


def _keys(values: list[Any]) -> dict[str, Any]:
    kinds = set(map(type, values))
    found = {}
    if int in kinds:
        found[""] = pa.array([value if type(value) is int else None for value in values], pa.int64())
    if str in kinds:
        found[_TEXT] = pa.array([value if type(value) is str else None for value in values], pa.string())
    if bool in kinds:
        found[_FLAG] = pa.array([value if type(value) is bool else None for value in values], pa.bool_())
    return found


def _statuses(values: list[Any]) -> dict[str, Any]:
    return {"": pa.array([value or 0 for value in values], pa.int8())}


def _items(items: Any) -> list[dict[str, Any]] | None:
    if not items:
        return None
    return [{**item, "key": None if item.get("key") is None else str(item["key"])} for item in items]


@dataclass(frozen=True)
class Wanted:
    """What is read of wide tables, and as which type.

    Args:
        keys: entity keys, each as its declared type.
        features: features; bool, int64 and float64 as float64, everything else as texts.
        base: the columns of :data:`BASE` that are wanted.
        more: further columns by their own names.
        compact: give names and texts of features as dictionary arrays: millions of rows then take a few bytes each.
    """

    keys: Sequence[Field] = ()
    features: Sequence[Field] = ()
    base: Sequence[str] = tuple(BASE)
    more: Sequence[str] = ()
    compact: bool = False

    @property
    def schema(self) -> Any:
        """The schema of what is read."""
        own = {FALLBACKS: pa.int16(), ITEMS: _ITEMS_TYPE, IDENTITY: pa.uint64()}
        return pa.schema(
            [
                *((name, self._shown(BASE[name], few=not name.endswith("_id"))) for name in self.base),
                *((name, own[name]) for name in self.more),
                *((KEY + item.name, arrow_type(item.type)) for item in self.keys),
                *((FEATURE + item.name, self._shown(_feature_type(item))) for item in self.features),
            ]
        )

    def _shown(self, kind: Any, *, few: bool = True) -> Any:
        return pa.dictionary(pa.int32(), pa.string()) if self.compact and few and kind == pa.string() else kind

    @property
    def stored(self) -> dict[str, str]:
        """Column of what is read → column of a wide table that holds it."""
        names = {name: name for name in (*self.base, *self.more)}
        names |= {KEY + item.name: f"{KEY}{item.name}{_key_suffix(item)}" for item in self.keys}
        suffix = {True: "", False: _TEXT}
        return names | {
            FEATURE + item.name: f"{FEATURE}{item.name}{suffix[item.type.kind in _NUMBERS]}" for item in self.features
        }

    def of(self, wide: Any) -> Any:
        """Return what is wanted of a wide table; what it lacks is null."""
        schema, stored = self.schema, self.stored
        columns = [_cast(wide, stored[field.name], field.type) for field in schema]
        return pa.table(columns, schema=schema)


def _cast(wide: Any, name: str, kind: Any) -> Any:
    if name not in wide.column_names:
        return pa.nulls(len(wide), kind)
    column = wide.column(name)
    if pa.types.is_binary(kind):
        return pa.chunked_array([[_bytes(value) for value in column.to_pylist()]], kind)
    return column if column.type == kind else column.cast(kind)


def _bytes(value: str | None) -> bytes | None:
    try:
        return None if value is None else bytes.fromhex(value)
    except ValueError:
        return None


def _key_suffix(item: Field) -> str:
    return {Kind.INT64: "", Kind.BOOL: _FLAG}.get(item.type.kind, _TEXT)


def _feature_type(item: Field) -> Any:
    return pa.float64() if item.type.kind in _NUMBERS else pa.string()
