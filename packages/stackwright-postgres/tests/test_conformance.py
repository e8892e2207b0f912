"""The kit's cases on PostgreSQL, alone and as half of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OnlineStore, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.plugin import MemoryConfig
from stackwright_postgres import plugin
from stackwright_postgres.online import PostgresOnlineStore


def config_of(server: Any, name: str) -> plugin.PostgresConfig:
    """Return a configuration with a table for each name."""
    return plugin.PostgresConfig(url=server.url(), table=f"kit {sha256(name.encode()).hexdigest()[:20]}")


def rows_in_the_table(config: plugin.PostgresConfig, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a connection of our own."""
    with psycopg.connect(config.url) as raw:
        try:
            return dict(raw.execute(f'SELECT key, payload FROM "{config.table}" WHERE view = %s', (view,)).fetchall())
        except psycopg.errors.UndefinedTable:
            return {}


class TestPostgresOnlineStore(cases_of(spec_of(plugin, OnlineStore))):
    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self.options = {**self.options, "url": server.url()}

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_table(self.config(folder), view)


class TestComposedOfMemoryAndPostgres(FeatureStoreCases):
    store_name = "postgres"

    durable = False

    @pytest.fixture(autouse=True)
    def _server(self, server: Any) -> None:
        self.server = server
        self.opened = 0

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        self.offline = MemoryOfflineStore(MemoryConfig(), context)
        # A table for each opening, since the history in memory forgets: what was online before it must not stay.
        self.opened += 1
        self.config, self.clock = config_of(self.server, f"{folder} {self.opened}"), clock
        online = PostgresOnlineStore(self.config, context)
        return ComposedFeatureStore(self.offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        return rows_in_the_table(self.config, view.ref)

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        until = Watermark(self.offline.watermark(view).position, self.clock() + timedelta(days=10_000))
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]
