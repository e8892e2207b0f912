"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, OfflineStore
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class SparkConfig:
    """Where the history lies, and how Spark is started where none runs yet.

    Args:
        path: folder of the history; one folder a view, seen under this path by every worker of Spark.
        master: where Spark runs, ``"local[2]"`` (two threads of this process's machine) or a cluster's address.
        driver_memory: what the driver may hold; with a local master, all there is.
        shuffle_partitions: parts that a shuffle splits into; small ones are put together again.
        conf: further settings of Spark, which go before the ones of this adapter.
        temp: folder for rows, labels and results on their way, seen by every worker too; without it, one beside the
            history.
        lock_timeout: seconds that an ingestion or deletion waits for another one of the same view.
        chunk_rows: rows a chunk of ``changes`` aims at.
        merge_files: as many small files as this in a view are merged by the next ingestion.
    """

    path: Path = Path("data")
    master: str = "local[2]"
    driver_memory: str = "2g"
    shuffle_partitions: int = 16
    conf: Mapping[str, str] = field(default_factory=dict)
    temp: Path | None = None
    lock_timeout: float = 300.0
    chunk_rows: int = 100_000
    merge_files: int = 64


@hookimpl
def stackwright_adapters() -> Iterable[AdapterSpec]:
    """Offer the offline half of a feature store."""
    return (
        AdapterSpec(
            name="spark",
            provides=OfflineStore,
            contract=CONTRACT,
            config=SparkConfig,
            factory="stackwright_spark.offline:SparkOfflineStore",
            description="History as Parquet files in a folder, joined by Apache Spark",
        ),
    )
