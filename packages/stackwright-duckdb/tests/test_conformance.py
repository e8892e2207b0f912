"""The kits of the offline half and of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stackwright_duckdb import plugin
from stackwright_duckdb.offline import DuckDBOfflineStore
from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory.online import MemoryOnlineStore
from stackwright_memory.plugin import MemoryConfig

TestDuckDBOfflineStore = cases_of(spec_of(plugin, OfflineStore))


class TestComposedOfDuckDBAndMemory(FeatureStoreCases):
    store_name = "duckdb"

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        # Kept over reopening, as if the online half were durable too.
        kept = vars(self).setdefault("online", {})
        self.history = folder / "history"
        online = kept.setdefault(folder, MemoryOnlineStore(MemoryConfig(), context))
        offline = DuckDBOfflineStore(plugin.DuckDBConfig(path=self.history), context)
        return ComposedFeatureStore(offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        online = self.online[self.history.parent]
        return {row.key: row.payload for row in online.scan(view.ref)}

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        files = sorted((self.history / view.ref).glob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
