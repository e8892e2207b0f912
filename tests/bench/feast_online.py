"""Feast's half of ``online.py``; runs in Feast's environment."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from answering import answer
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64


def opened(folder: Path, online: dict[str, Any], files: list[str], names: list[list[str]]) -> tuple[Any, Any]:
    """Return a store over the files, and its service."""
    folder.mkdir()
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=online,
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    entity = Entity(name="entity", join_keys=["entity_id"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"view{number}",
            entities=[entity],
            ttl=timedelta(days=3650),
            schema=[Field(name=name, dtype=Float64) for name in fields],
            source=FileSource(path=path, timestamp_field="event_timestamp", created_timestamp_column="created"),
        )
        for number, (path, fields) in enumerate(zip(files, names, strict=True))
    ]
    service = FeatureService(name="all", features=views)
    store.apply([entity, *views, service])
    return store, service


class Works:
    """What the parent may ask."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores: dict[str, tuple[Any, Any]] = {}

    def load(self, name: str, online: dict[str, Any], files: list[str], names: list[list[str]]) -> dict[str, float]:
        """Materialise the files; give seconds."""
        store, service = self._stores[name] = opened(self._folder / name, online, files, names)
        started = time.perf_counter()
        store.materialize(datetime(2024, 12, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
        took = time.perf_counter() - started
        return {"seconds": took, "sum": self._sum(store, service, [0, 1, 2])}

    def read(self, name: str, batches: list[list[int]], *, frame: bool = False) -> dict[str, Any]:
        """Read each batch of keys, into a dictionary or a frame; give seconds of each, and of CPU time of all."""
        store, service = self._stores[name]
        seconds = []
        cpu_before = time.process_time()
        for batch in batches:
            started = time.perf_counter()
            rows = [{"entity_id": key} for key in batch]
            found = store.get_online_features(features=service, entity_rows=rows)
            _ = found.to_df() if frame else found.to_dict()
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds, "cpu": time.process_time() - cpu_before}

    @staticmethod
    def _sum(store: Any, service: Any, keys: list[int]) -> float:
        found = store.get_online_features(features=service, entity_rows=[{"entity_id": key} for key in keys]).to_dict()
        return float(sum(sum(values) for name, values in found.items() if name != "entity_id"))


if __name__ == "__main__":
    works = Works(Path(sys.argv[1]))
    answer({"load": works.load, "read": works.read})
