"""The kit for a whole feature store: the 45 cases of its specification.

A test module, of a store that is composed of two halves::

    from stackwright_features.store import ComposedFeatureStore
    from stackwright_interfaces.testing.context import make_context
    from stackwright_interfaces.testing.feature_store import FeatureStoreCases


    class TestComposed(FeatureStoreCases):
        store_name = "duckdb"

        def open(self, folder, clock):
            context = make_context(folder, clock)
            offline = DuckDBOfflineStore(DuckDBConfig(path=folder / "data"), context)
            online = SQLiteOnlineStore(SQLiteConfig(path=folder / "online.db"), context)
            return ComposedFeatureStore(offline, online, project=folder, clock=clock)

``raw_online`` and ``raw_offline`` may be overridden with a look past the store, so that a broken write is not vouched
for by its own read. Each test bears the number of its case: ``pytest --case 25`` runs those of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from stackwright_interfaces.feature_store import FeatureStore
from stackwright_interfaces.testing.adapters import AdapterCases
from stackwright_interfaces.testing.context import SettableClock
from stackwright_interfaces.testing.input_cases import InputCases
from stackwright_interfaces.testing.lifecycle_cases import LifecycleCases
from stackwright_interfaces.testing.offline_cases import OfflineCases
from stackwright_interfaces.testing.online_cases import OnlineCases
from stackwright_interfaces.testing.parity_cases import ParityCases


class FeatureStoreCases(OfflineCases, InputCases, OnlineCases, LifecycleCases, ParityCases):
    """Subclass it in a test module, under a name that starts with ``Test``.

    Attributes:
        store_name: its name in the matrix of cases and stores; without one it is left out.
        unmet: name of a test → why this store cannot meet it. Such a test must fail.
        durable: whether rows are there after the store was closed and opened again.
    """

    store_name: ClassVar[str] = ""
    unmet: ClassVar[Mapping[str, str]] = {}


class WholeStoreCases(FeatureStoreCases, AdapterCases):
    """The cases of an adapter that provides a whole store."""

    def open(self, folder: Path, clock: SettableClock) -> FeatureStore:
        """Build the store over a folder, running on a clock."""
        store: FeatureStore = self.build(folder, clock)
        return store
