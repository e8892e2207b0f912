"""What the stores of ``crooked_stores.py`` and the server of ``crooked_server.py`` are offered as."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stackwright_interfaces import registry, server
from stackwright_interfaces.feature_store import CONTRACT, OfflineStore, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


class CrookedConformance:
    """What their kits are told."""

    inapplicable: ClassVar = {"test_the_entry_point_has_the_name_of_the_adapter": "they are registered by hand"}


@dataclass(frozen=True, kw_only=True)
class CrookedConfig:
    """No ``vice`` is an honest part; ``dying`` ones do so after as many rows or lines."""

    path: Path = Path("crooked")
    vice: str = ""
    after: int = 0


@hookimpl
def stackwright_adapters() -> list[AdapterSpec]:
    """Offer them."""
    return [
        AdapterSpec(
            name="crooked",
            provides=provides,
            contract=contract,
            config=CrookedConfig,
            factory=factory,
            conformance="crooked_plugin:CrookedConformance",
            capabilities=capabilities,
        )
        for provides, contract, factory, capabilities in (
            (OnlineStore, CONTRACT, "crooked_stores:CrookedOnline", frozenset({Capability.READERS})),
            (OfflineStore, CONTRACT, "crooked_stores:CrookedOffline", frozenset()),
            (registry.Registry, registry.CONTRACT, "crooked_stores:CrookedRegistry", frozenset({Capability.RUNS})),
            (server.Server, server.CONTRACT, "crooked_server:CrookedServer", frozenset()),
        )
    ]
