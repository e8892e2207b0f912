"""The kit's cases on SQLite, alone and as half of a whole store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_sqlite import plugin, schema
from stackwright_sqlite.places import owner_of, places


def rows_in_the_file(path: Path, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a connection of our own."""
    with closing(sqlite3.connect(path)) as raw:
        place = places(raw).get(owner_of(view))
        if place is None:
            return {}
        rows = dict(raw.execute(f"SELECT key, {place.payload} FROM {place.table} WHERE {place.payload} IS NOT NULL"))
        return rows | dict(raw.execute(schema.PAYLOADS_OF_OTHERS, (place.owner,)))


class InTheFile:
    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_file(self.config(folder).path, view)


class TestSQLiteOnlineStore(InTheFile, cases_of(spec_of(plugin, OnlineStore))):
    pass


class TestSQLiteInAStore(InTheFile, composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)):
    store_name = "sqlite"
