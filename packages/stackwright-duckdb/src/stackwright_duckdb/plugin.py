"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, OfflineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


@dataclass(frozen=True, kw_only=True)
class DuckDBConfig:
    """Where the history lies, and what DuckDB may use.

    Args:
        path: folder of the history; one folder a view, shared by all processes of a machine.
        memory_limit: what DuckDB may hold, ``"4GB"`` say; without it four fifths of the machine's memory.
        threads: threads that DuckDB may use; without it one a core.
        sort_memory: what DuckDB may hold while it sorts rows to be written; the rest goes to ``temp``. If that is too
            little, ``memory_limit`` counts.
        temp: folder for what does not fit in memory; without it, one in the cache of the project.
        lock_timeout: seconds that an ingestion or deletion waits for another one of the same view.
        batch_rows: rows of history that a join holds at once; more are worked off in groups of whole keys.
        chunk_rows: rows a chunk of ``changes`` aims at.
        merge_files: as many small files as this in a view are merged into one by the next ingestion.
    """

    path: Path = Path("data")
    memory_limit: str | None = None
    threads: int | None = None
    sort_memory: str = "256MB"
    temp: Path | None = None
    lock_timeout: float = 300.0
    batch_rows: int = 20_000_000
    chunk_rows: int = 100_000
    merge_files: int = 64


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the offline half of a feature store."""
    return (
        AdapterSpec(
            name="duckdb",
            provides=OfflineStore,
            contract=CONTRACT,
            config=DuckDBConfig,
            factory="stackwright_duckdb.offline:DuckDBOfflineStore",
            capabilities=frozenset({Capability.SQL}),
            description="History as Parquet files in a folder, joined by DuckDB",
        ),
    )
