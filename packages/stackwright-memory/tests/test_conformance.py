"""The reference, put through the kits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import FeatureStore, OfflineStore, OnlineStore, Watermark
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.feature_store import FeatureStoreCases
from stackwright_interfaces.testing.kits import cases_of
from stackwright_memory import plugin
from stackwright_memory.offline import MemoryOfflineStore
from stackwright_memory.online import MemoryOnlineStore
from stackwright_numerics.categories import encode

TestMemoryOfflineStore = cases_of(spec_of(plugin, OfflineStore))
TestMemoryOnlineStore = cases_of(spec_of(plugin, OnlineStore))


class TestComposedOfMemory(FeatureStoreCases):
    store_name = "memory"

    durable = False

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        context = make_context(folder, clock)
        self.offline = MemoryOfflineStore(plugin.MemoryConfig(), context)
        self.online = MemoryOnlineStore(plugin.MemoryConfig(), context)
        self.clock = clock
        return ComposedFeatureStore(self.offline, self.online, project=folder, clock=clock)

    def raw_online(self, view: FeatureView) -> Mapping[bytes, bytes]:
        return {row.key: row.payload for row in self.online.scan(view.ref)}

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        until = Watermark(self.offline.watermark(view).position, self.clock() + timedelta(days=10_000))
        return [row for chunk in self.offline.changes(view, None, until) for row in pa.table(chunk).to_pylist()]

    def encode(self, values: Sequence[str | None], known: Sequence[str]) -> Sequence[float]:
        return encode(np.array(values, object), tuple(known)).tolist()
