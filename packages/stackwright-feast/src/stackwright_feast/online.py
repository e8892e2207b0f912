"""The half that answers now, over whatever online store the repository has.

A row of a new view is written as Feast features, for other users of Feast, and whole in the feature ``__row``: order
token and payload, which is what is read here. Deleting writes an empty ``__row`` and nulls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final

import numpy as np

from stackwright_feast.existing import Existing
from stackwright_feast.files import AT
from stackwright_feast.keys import entity_key, parts_of
from stackwright_feast.registration import ROW, STATES, feast_name
from stackwright_feast.repository import Repository
from stackwright_feast.serving import read_existing
from stackwright_feast.values import to_values
from stackwright_feast.vendor import Value, translated
from stackwright_features.times import from_microseconds
from stackwright_features.watermarks import VIEW as WATERMARKS
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout, UnknownName
from stackwright_interfaces.feature_store import OnlineRow, OnlineStore
from stackwright_numerics.columns import Column
from stackwright_numerics.events import EventsCodec
from stackwright_numerics.rows import RowCodec

_BATCH: Final = 500
_EPOCH: Final = from_microseconds(0)


class FeastOnlineStore(OnlineStore):
    """Online rows in a Feast repository; threads take turns.

    Args:
        repository: the repository.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = repository.online_lock
        self._tables: Mapping[str, _Table] = {}
        self._existing: Mapping[str, Existing] = {}

    def know(
        self, views: Iterable[FeatureView], feast_views: Mapping[str, Any], existing: Mapping[str, Existing]
    ) -> None:
        """Take note of the applied views."""
        if feast_views:
            tables = {
                view.ref: _Table(view, feast_views[feast_name(view)]) for view in views if view.ref not in existing
            }
            self._tables = {WATERMARKS: _Table(None, feast_views[STATES]), **tables}
        self._existing = existing

    def write(self, view: str, rows: Sequence[OnlineRow]) -> list[bool]:
        """Store the rows that are newer than what is there; of one key's rows in a call only the greatest is."""
        table = self._table(view)
        taken = [False] * len(rows)
        with self._lock:
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                orders = [_split(found)[0] for found in self._found(table, [row.key for row in batch])]
                greatest = {row.key: order for row, order in zip(batch, orders, strict=True)}
                chosen: dict[bytes, int] = {}
                for place, row in enumerate(batch):
                    if row.order > greatest[row.key]:
                        greatest[row.key] = row.order
                        chosen[row.key] = place
                self._write(table, [batch[place] for place in chosen.values()])
                for place in chosen.values():
                    taken[start + place] = True
        return taken

    def read(
        self, views: Sequence[str], keys: Sequence[Sequence[bytes]], *, timeout: float | None = None
    ) -> list[list[bytes | None]]:
        """Return payloads.

        Raises:
            StoreTimeout: the deadline passed.
            FeatureStoreError: Feast fails.
        """
        deadline = None if timeout is None else monotonic() + timeout
        answers = []
        for view, asked in zip(views, keys, strict=True):
            if deadline is not None and monotonic() >= deadline:
                raise StoreTimeout("online store", "the deadline passed before all views were read", "Allow more time.")
            with self._lock:
                answers.append(self._payloads(view, asked))
        return answers

    def scan(self, view: str) -> Iterator[OnlineRow]:
        """Refuse: Feast cannot list the rows of an online store.

        Raises:
            FeatureStoreError: always.
        """
        raise FeatureStoreError(f"view {view!r}", "Feast cannot list the rows of an online store", "Ask for keys.")

    def drop(self, view: str, keys: Iterable[bytes] | None = None) -> int:
        """Blank these rows; return how many there were.

        Raises:
            FeatureStoreError: no keys are named.
        """
        if keys is None:
            raise FeatureStoreError(f"view {view!r}", "Feast cannot empty an online view", "Name the keys.")
        table, asked = self._table(view), list(dict.fromkeys(keys))
        with self._lock:
            found = self._found(table, asked)
            there = [key for key, row in zip(asked, found, strict=True) if row]
            blank = {name: Column(np.zeros(len(there)), np.zeros(len(there), np.bool_)) for name in table.types}
            self._put(table, there, blank, [b""] * len(there), [_EPOCH] * len(there))
        return len(there)

    def close(self) -> None:
        """Nothing is held that must be released."""

    def _table(self, view: str) -> _Table:
        if view not in self._tables:
            raise UnknownName.of("view", view, self._tables)
        return self._tables[view]

    def _payloads(self, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        if view in self._existing:
            return read_existing(self._existing[view], keys)
        if view == WATERMARKS and view not in self._tables:
            return [None] * len(keys)
        return [_split(row)[1] for row in self._found(self._table(view), keys)]

    def _found(self, table: _Table, keys: Sequence[bytes]) -> list[bytes]:
        """What is stored whole of each key; empty where nothing is."""
        store = self._repository.ours
        unique = list(dict.fromkeys(keys))
        held: dict[bytes, bytes] = {}
        with translated(f"online rows of the Feast view {table.feast.name!r}"):
            for start in range(0, len(unique), _BATCH):
                part = unique[start : start + _BATCH]
                asked = [table.entity_key(key) for key in part]
                rows = store.provider.online_read(store.config, table.feast, asked, [ROW])
                held |= {key: _row_in(values) for key, (_, values) in zip(part, rows, strict=True)}
        return [held[key] for key in keys]

    def _write(self, table: _Table, rows: Sequence[OnlineRow]) -> None:
        if rows:
            columns, events = table.shown([row.payload for row in rows])
            whole = [bytes([len(row.order)]) + row.order + row.payload for row in rows]
            self._put(table, [row.key for row in rows], columns, whole, events)

    def _put(
        self,
        table: _Table,
        keys: Sequence[bytes],
        columns: Mapping[str, Column],
        whole: Sequence[bytes],
        events: Sequence[datetime],
    ) -> None:
        store = self._repository.ours
        values = {name: to_values(column, table.types[name]) for name, column in columns.items()}
        data = [
            (
                table.entity_key(key),
                {**{name: column[place] for name, column in values.items()}, ROW: Value(bytes_val=whole[place])},
                events[place],
                None,
            )
            for place, key in enumerate(keys)
        ]
        with translated(f"online rows of the Feast view {table.feast.name!r}"):
            store.provider.online_write_batch(store.config, table.feast, data, None)


class _Table:
    """Where the rows of one view lie, and what they show to other users of Feast.

    Args:
        view: the view; ``None`` for the watermarks.
        feast: the view as Feast has it.
    """

    def __init__(self, view: FeatureView | None, feast: Any) -> None:
        self.feast = feast
        self.types = {item.name: item.dtype for item in feast.features if item.name != ROW}
        self._view = view
        self._names = ("view_ref",) if view is None else view.entity.key_names

    def entity_key(self, key: bytes) -> Any:
        """Feast's key."""
        return entity_key(self._names, [key.decode()] if self._view is None else parts_of(key))

    def shown(self, payloads: Sequence[bytes]) -> tuple[Mapping[str, Column], list[datetime]]:
        """The newest values of n payloads, and their event times."""
        view = self._view
        if view is None:
            return {}, [_EPOCH] * len(payloads)
        if view.windows:
            events = EventsCodec(view.fields).decode(payloads)
            newest = events.offsets[1:] - 1
            columns = {name: Column(values[newest], valid[newest]) for name, (values, valid) in events.columns.items()}
            event_us = events.event_us[newest]
        else:
            rows = RowCodec(view.fields).decode(payloads)
            columns, event_us = dict(rows.columns), rows.event_us
        columns[AT] = Column(event_us, np.ones(len(payloads), np.bool_))
        return columns, [from_microseconds(int(event)) for event in event_us]


def _row_in(values: Mapping[str, Any] | None) -> bytes:
    found: bytes = values[ROW].bytes_val if values and ROW in values else b""
    return found


def _split(row: bytes) -> tuple[bytes, bytes | None]:
    """Order token and payload; the least token and ``None`` of a row that is not there."""
    if not row:
        return b"", None
    end = 1 + row[0]
    return row[1:end], row[end:]
