"""The kit of a whole store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stackwright_feast import plugin
from stackwright_feast.vendor import Value
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.kits import cases_of


class TestFeast(cases_of(spec_of(plugin, FeatureStore))):
    store_name = "feast"

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        self.repo = self.config(folder).repo
        return super().open(folder, clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        table = f"stackwright_{view.name}__v{view.version}"
        with closing(sqlite3.connect(self.repo / "data/online.db")) as database:
            found = database.execute(f'select entity_key, value from "{table}" where feature_name = ?', ["__row"])
            rows = {key: Value.FromString(value).bytes_val for key, value in found}
        return {key: row for key, row in rows.items() if row}

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        folder = self.repo / f"data/stackwright/{view.name}__v{view.version}"
        rows: list[Mapping[str, Any]] = pq.ParquetFile(folder / "history.parquet").read().to_pylist()
        return rows
