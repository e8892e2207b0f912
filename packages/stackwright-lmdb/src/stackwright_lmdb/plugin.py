"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


@dataclass(frozen=True, kw_only=True)
class LMDBConfig:
    """Where the online rows lie.

    Args:
        path: the data file; ``-lock`` and ``.writer`` files lie beside it.
        map_mb: address space for the file at first, in MiB; doubled whenever it is full. Nothing is taken from disk or
            memory before rows fill it.
        lock_timeout: seconds a writer waits for its turn.

    Raises:
        ValueError: ``map_mb`` or ``lock_timeout`` is not positive.
    """

    path: Path
    map_mb: int = 1024
    lock_timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.map_mb < 1:
            raise ValueError(f"map_mb is {self.map_mb}, must be 1 or more")
        if self.lock_timeout <= 0:
            raise ValueError(f"lock_timeout is {self.lock_timeout}, must be more than 0")


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the online half of a feature store."""
    return (
        AdapterSpec(
            name="lmdb",
            provides=OnlineStore,
            contract=CONTRACT,
            config=LMDBConfig,
            factory="stackwright_lmdb.online:LMDBOnlineStore",
            capabilities=frozenset({Capability.READERS}),
            description="Online rows in one LMDB file, read by many processes and written by one at a time",
        ),
    )
