"""The reference, put through the kits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.feature_store import OfflineStore, OnlineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_memory import plugin
from stackwright_numerics.categories import encode

TestMemoryOfflineStore = cases_of(spec_of(plugin, OfflineStore))
TestMemoryOnlineStore = cases_of(spec_of(plugin, OnlineStore))


class TestMemoryInAStore(composed_cases_of(spec_of(plugin, OnlineStore), ComposedFeatureStore)):
    store_name = "memory"

    def encode(self, values: Sequence[str | None], known: Sequence[str]) -> Sequence[float]:
        return encode(np.array(values, object), tuple(known)).tolist()
