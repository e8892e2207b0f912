"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


@dataclass(frozen=True, kw_only=True)
class SQLiteConfig:
    """Where the online rows lie, and how much a process may spend on them.

    Args:
        path: the database file; ``-wal``, ``-shm`` and ``.lock`` files lie beside it.
        lock_timeout: seconds a writer waits for its turn, and a read without a timeout for a database that is locked.
        cache_mb: memory for pages that one reading thread may fill, in MiB.
        mmap_mb: how much of the file reads map into memory, in MiB. Mapped pages are shared by all processes, but a
            file that is cut short by someone else, or an unreadable disk, then ends the process (``SIGBUS``).
    """

    path: Path
    lock_timeout: float = 30.0
    cache_mb: int = 64
    mmap_mb: int = 0


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the online half of a feature store."""
    return (
        AdapterSpec(
            name="sqlite",
            provides=OnlineStore,
            contract=CONTRACT,
            config=SQLiteConfig,
            factory="stackwright_sqlite.online:SQLiteOnlineStore",
            capabilities=frozenset({Capability.READERS}),
            description="Online rows in one SQLite file, read by many processes and written by one at a time",
        ),
    )
