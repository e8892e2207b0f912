"""The kits of the offline half and of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory.online import MemoryOnlineStore
from stackwright_memory.plugin import MemoryConfig
from stackwright_spark import plugin
from stackwright_spark.offline import SparkOfflineStore

TestSparkOfflineStore = cases_of(spec_of(plugin, OfflineStore), options={"shuffle_partitions": 2})


@pytest.mark.nightly  # its parts are under the kits of the halves by day
class TestComposedOfSparkAndMemory(FeatureStoreCases):
    store_name = "spark"

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        # Kept over reopening, as if the online half were durable too.
        kept = vars(self).setdefault("online", {})
        self.history = folder / "history"
        online = kept.setdefault(folder, MemoryOnlineStore(MemoryConfig(), context))
        offline = SparkOfflineStore(plugin.SparkConfig(path=self.history, shuffle_partitions=2), context)
        return ComposedFeatureStore(offline, online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        online = self.online[self.history.parent]
        return {row.key: row.payload for row in online.scan(view.ref)}

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        files = sorted((self.history / view.ref).glob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
