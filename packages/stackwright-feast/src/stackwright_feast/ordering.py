"""Rows of a view in order, however many there are: a few are held at a time, the rest lies on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stackwright_feast.history import schema
from stackwright_features.streams import Lazy
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import FeatureStoreError
from stackwright_interfaces.feature_store import EVENT, ORDER

BATCH: Final = 65_536
"""Rows that are held together."""

_SETTINGS: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "threads": 2,  # each sorts in memory of its own
}


@dataclass(frozen=True)
class Sorter:
    """Sorts by DuckDB.

    Args:
        memory: what it may hold, ``"256MB"`` say.
        temp: folder for the rest.
    """

    memory: str
    temp: Path

    def distinct(self, view: FeatureView, tables: Iterable[Any]) -> Iterator[Any]:
        """Give rows of a view's history by key and order token; of those alike in both, the first ingested.

        Args:
            view: the view.
            tables: ``pyarrow.Table`` of :func:`~stackwright_feast.history.schema`, in any order.

        Raises:
            FeatureStoreError: they cannot be sorted, for lack of memory say.
        """
        yield from _first_of_each(self._sorted(view, tables), [*view.entity.key_names, ORDER])

    def _sorted(self, view: FeatureView, tables: Iterable[Any]) -> Iterator[Any]:
        wanted = schema(view)
        numbers = [f"c{place}" for place in range(len(wanted))]  # DuckDB takes names that differ in case for one
        order = ", ".join([*numbers[: len(view.entity.keys)], *numbers[-2:]])
        rows = Lazy(
            pa.schema([field.with_name(name) for field, name in zip(wanted, numbers, strict=True)]),
            (batch for table in tables for batch in table.rename_columns(numbers).to_batches()),
        )
        settings = _SETTINGS | {"memory_limit": self.memory, "temp_directory": str(self.temp)}
        try:
            with rows.consumed(), duckdb.connect(config=settings) as db:
                db.execute("SET TimeZone = 'UTC'")
                db.execute("SET enable_progress_bar = false")  # it would be drawn into the answer of a verb
                given = db.from_arrow(pa.RecordBatchReader.from_stream(rows))
                for batch in given.order(order).to_arrow_reader(BATCH):
                    yield pa.Table.from_batches([batch]).rename_columns(wanted.names).cast(wanted)
        except duckdb.Error as error:
            where, todo = f"view {view.ref!r}", 'Set sort_memory higher, "1GB" say; where the disk is full, free space.'
            raise FeatureStoreError(where, f"its rows cannot be sorted: {error}", todo) from error


def newest_of_events(view: FeatureView, tables: Iterable[Any]) -> Iterator[Any]:
    """Give of sorted rows with one key and event time the last."""
    names = [*view.entity.key_names, EVENT]
    held = None
    for table in filter(len, tables):
        rows = table if held is None else pa.concat_tables([held, table])
        held = rows.slice(len(rows) - 1)
        yield rows.slice(0, len(rows) - 1).filter(pa.array(_differing(rows, names)))
    if held is not None:
        yield held


def _first_of_each(tables: Iterable[Any], names: Sequence[str]) -> Iterator[Any]:
    before = None
    for table in filter(len, tables):
        rows = table if before is None else pa.concat_tables([before, table])
        before = rows.slice(len(rows) - 1)
        first = np.ones(len(table), np.bool_)
        first[len(table) - len(rows) + 1 :] = _differing(rows, names)
        yield table.filter(pa.array(first))


def _differing(rows: Any, names: Sequence[str]) -> NDArray[np.bool_]:
    """Tell of n rows but the first whether they differ from the one before in one of these columns."""
    one, other = rows.slice(1), rows.slice(0, len(rows) - 1)
    found: NDArray[np.bool_] = reduce(pc.or_, (pc.not_equal(one[name], other[name]) for name in names)).to_numpy()
    return found
