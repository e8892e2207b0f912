"""All rows of one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa

from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import CREATED, EVENT, ORDER
from stackwright_interfaces.types import Kind, Type

POSITION: Final = "__position"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN: Final = {
    Kind.BOOL: pa.bool_(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT64: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BYTES: pa.binary(),
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
}

Key = tuple[Any, ...]


class Row(NamedTuple):
    """What decides whether a row counts: its order token, times in microseconds since 1970, and ingestion.

    ``place`` is where it stands in the table.
    """

    order: bytes
    event: int
    created: int
    position: int
    place: int


@dataclass(frozen=True, kw_only=True)
class History:
    """All rows of one view, and which of them are whose.

    Args:
        view: the view as applied last.
        table: keys, values, event, created, order token and position of each row.
        ingested: when each ingestion took place.
    """

    view: FeatureView
    table: Any
    ingested: tuple[datetime, ...] = ()
    rows: dict[Key, list[Row]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _by_key(self.table, self.view.entity.key_names))

    @classmethod
    def empty(cls, view: FeatureView) -> Self:
        """A history without rows."""
        return cls(view=view, table=schema(view).append(pa.field(POSITION, pa.int64())).empty_table())

    def with_rows(self, added: Any, when: datetime) -> Self:
        """This history after one more ingestion; columns that ``added`` lacks are null."""
        table = pa.concat_tables([self.table, added], promote_options="default").combine_chunks()
        return replace(self, table=table, ingested=(*self.ingested, when))

    def without(self, gone: set[Key]) -> Self:
        """This history without the rows of some keys."""
        kept = sorted(row.place for key, rows in self.rows.items() if key not in gone for row in rows)
        return replace(self, table=self.table.take(pa.array(kept, pa.int64())))

    def take(self, places: Sequence[int]) -> Any:
        """Some rows, as they came in."""
        return self.table.drop_columns([POSITION]).take(pa.array(places, pa.int64()))


def schema(view: FeatureView) -> Any:
    """Return the Arrow schema of a view's normalised rows."""
    declared = [*view.entity.keys, *view.fields]
    times = [pa.field(EVENT, pa.timestamp("us", "UTC")), pa.field(CREATED, pa.timestamp("us", "UTC"))]
    columns = (pa.field(item.name, arrow_type(item.type)) for item in declared)
    return pa.schema([*columns, *times, pa.field(ORDER, pa.binary(24))])


def arrow_type(type: Type) -> Any:
    """Return the Arrow type that carries a declared type."""
    match type.kind:
        case Kind.DECIMAL:
            return pa.decimal128(type.precision, type.scale)
        case Kind.VECTOR:
            return pa.list_(pa.float64(), type.size)
        case Kind.LIST if type.item is not None:
            return pa.list_(arrow_type(type.item))
    return _PLAIN[type.kind]


def key_tuples(table: Any, names: Sequence[str]) -> list[Key]:
    """Return the key of each row of a table."""
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def microseconds(instant: datetime) -> int:
    """Return the microseconds between 1970-01-01 UTC and an instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _by_key(table: Any, names: Sequence[str]) -> dict[Key, list[Row]]:
    events, created = (table[name].cast(pa.int64()).to_pylist() for name in (EVENT, CREATED))
    orders, positions = (table[name].to_pylist() for name in (ORDER, POSITION))
    found: dict[Key, list[Row]] = {}
    for place, key in enumerate(key_tuples(table, names)):
        row = Row(orders[place], events[place], created[place], positions[place], place)
        found.setdefault(key, []).append(row)
    for rows in found.values():
        rows.sort()
    return found
