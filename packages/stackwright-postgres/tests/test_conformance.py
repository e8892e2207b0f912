"""The kit's cases on PostgreSQL, alone and as half of a whole store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_postgres import plugin


def rows_in_the_table(config: plugin.PostgresConfig, view: str) -> Mapping[bytes, bytes]:
    """Look past the store, with a connection of our own."""
    with psycopg.connect(config.url) as raw:
        try:
            return dict(raw.execute(f'SELECT key, payload FROM "{config.table}" WHERE view = %s', (view,)).fetchall())
        except psycopg.errors.UndefinedTable:
            return {}


class OnTheServer:
    @pytest.fixture(autouse=True)
    def _on(self, server: Any) -> None:
        self.options = {**self.options, "url": server.url()}

    def raw_rows(self, store: OnlineStore, folder: Path, view: str) -> Mapping[bytes, bytes]:
        return rows_in_the_table(self.config(folder), view)


class TestPostgresOnlineStore(OnTheServer, cases_of(spec_of(plugin, OnlineStore))):
    pass


class TestPostgresInAStore(OnTheServer, composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)):
    store_name = "postgres"
