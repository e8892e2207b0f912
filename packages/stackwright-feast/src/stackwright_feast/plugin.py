"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, FeatureStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


@dataclass(frozen=True, kw_only=True)
class FeastConfig:
    """Where the Feast repository lies, and how it is written to.

    Args:
        repo: folder of the repository. Its ``feature_store.yaml`` is used if there is one, and written otherwise: a
            local one with a registry file, DuckDB offline and SQLite online.
        project: name of the Feast project in a ``feature_store.yaml`` that is written.
        lock_timeout: seconds that a change waits for one of another process.
        sort_memory: what may be held while rows of a new view are sorted; the rest goes into the cache of the project.
    """

    repo: Path = Path("feature_repo")
    project: str = "stackwright"
    lock_timeout: float = 300.0
    sort_memory: str = "256MB"


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer a whole feature store."""
    return (
        AdapterSpec(
            name="feast",
            provides=FeatureStore,
            contract=CONTRACT,
            config=FeastConfig,
            factory="stackwright_feast.store:FeastFeatureStore",
            capabilities=frozenset({Capability.COMPUTES}),
            description="A Feast repository: new views in it, and those it has already",
        ),
    )
