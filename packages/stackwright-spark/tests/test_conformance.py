"""The kits of the offline half and of a whole store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from stackwright_features.store import ComposedFeatureStore
from stackwright_interfaces.definitions import FeatureView
from stackwright_interfaces.feature_store import OfflineStore
from stackwright_interfaces.testing.adapters import spec_of
from stackwright_interfaces.testing.kits import cases_of, composed_cases_of
from stackwright_spark import plugin

FEW = {"shuffle_partitions": 2}

TestSparkOfflineStore = cases_of(spec_of(plugin, OfflineStore), options=FEW)


@pytest.mark.nightly  # its parts are under the kits of the halves by day
class TestSparkInAStore(composed_cases_of(spec_of(plugin, OfflineStore), ComposedFeatureStore, options=FEW)):
    store_name = "spark"

    def raw_offline(self, view: FeatureView) -> Sequence[Mapping[str, Any]]:
        files = sorted((self.config(self.folder).path / view.ref).glob("*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
