"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackwright_interfaces.feature_store import CONTRACT, OfflineStore, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Nothing can be set."""


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer both halves of a feature store."""
    return (
        AdapterSpec(
            name="memory",
            provides=OfflineStore,
            contract=CONTRACT,
            config=MemoryConfig,
            factory="stackwright_memory.offline:MemoryOfflineStore",
            conformance="stackwright_memory.conformance:MemoryConformance",
            description="History in memory, gone when the process ends; for tests and notebooks",
        ),
        AdapterSpec(
            name="memory",
            provides=OnlineStore,
            contract=CONTRACT,
            config=MemoryConfig,
            factory="stackwright_memory.online:MemoryOnlineStore",
            conformance="stackwright_memory.conformance:MemoryConformance",
            description="Online rows in memory, gone when the process ends; for tests and notebooks",
        ),
    )
