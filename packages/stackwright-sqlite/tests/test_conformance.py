"""The kit's cases on SQLite, alone and as half of a whole store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OnlineStore, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig
from stackwright_sqlite import plugin, schema
from stackwright_sqlite.online import SQLiteOnlineStore


def rows_in_the_file(path: Path, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a connection of our own."""
    with closing(sqlite3.connect(path)) as raw:
        if schema.table(view) not in schema.tables(raw):
            return {}
        rows = dict(raw.execute(f"SELECT key, payload FROM {schema.table(view)}"))
        return rows | dict(raw.execute(schema.PAYLOADS_OF_OTHERS, (schema.table(view),)))


class TestSQLiteOnlineStore(cases_of(spec_of(plugin, OnlineStore))):
    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.config(folder).path, view)


class TestComposedOfMemoryAndSQLite(FeatureStoreCases):
    store_name = "sqlite"

    durable = False

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        self.offline = MemoryOfflineStore(MemoryConfig(), context)
        # A file for each opening, since the history in memory forgets: what was online before it must not stay.
        self.path, self.clock = folder / f"online-{len(list(folder.glob('online-*.db')))}.db", clock
        online = SQLiteOnlineStore(plugin.SQLiteConfig(path=self.path), context)
        return ComposedFeatureStore(self.offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.path, view.ref)

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        until = Watermark(self.offline.watermark(view).position, self.clock() + timedelta(days=10_000))
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]
