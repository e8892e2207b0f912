"""Feast's half of ``offline.py``; runs in Feast's environment, a process a join."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from answering import answer, peak
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

WARM = 100


def join(engine: str, history: str, labels: str, names: list[str]) -> dict[str, Any]:
    """Join once a few labels, then all; give seconds (also of CPU), rows, the sum of all values and the most memory."""
    folder = Path(sys.argv[1])
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": engine},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    entity = Entity(name="entity", join_keys=["entity_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="history",
        entities=[entity],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float64) for name in names],
        source=FileSource(path=history, timestamp_field="event_timestamp", created_timestamp_column="created"),
    )
    store.apply([entity, view])
    frame = pd.read_parquet(labels)
    features = [f"history:{name}" for name in names]
    store.get_historical_features(entity_df=frame.head(WARM).copy(), features=features).to_arrow()
    started, worked = time.perf_counter(), time.process_time()
    table = store.get_historical_features(entity_df=frame, features=features).to_arrow()
    took, cpu = time.perf_counter() - started, time.process_time() - worked
    most = peak()
    total = table.select(names).to_pandas().to_numpy()
    whole = float(pd.DataFrame(total).sum().sum())
    return {"seconds": took, "cpu": cpu, "peak": most, "rows": len(table), "sum": whole}


if __name__ == "__main__":
    answer({"join": join})
