"""The project that ``serving`` serves: three views of ten floats and one of forty, and a LightGBM model over each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import bench_data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import stackwright

VIEWS: Final = 3
WIDTH: Final = 10
WIDE: Final = 40
TREES: Final = 200
LEAVES: Final = 63

FEATURES: Final = f"""
from datetime import timedelta
from stackwright import FLOAT64, INT64, Entity, FeatureService, FeatureView, Field, Source, Target

entity = Entity(name="entity", keys=(Field("entity_id", INT64),))


def view(name, names):
    source = Source(event_time="event_timestamp", created_time="created")
    fields = tuple(Field(name, FLOAT64) for name in names)
    return FeatureView(name=name, entity=entity, source=source, fields=fields, max_age=timedelta(days=3650))


view0 = view("view0", [f"v0_{{number}}" for number in range({WIDTH})])
view1 = view("view1", [f"v1_{{number}}" for number in range({WIDTH})])
view2 = view("view2", [f"v2_{{number}}" for number in range({WIDTH})])
wide = view("wide", [f"v9_{{number}}" for number in range({WIDE})])
three = FeatureService(name="three", selections=(view0.select(), view1.select(), view2.select()))
candidates = FeatureService(name="candidates", selections=(wide.select(),))
price = Target(
    name="price", entity=entity, value=Field("price", FLOAT64), asked="asked", happened="sold", observed="known"
)
"""

BLUEPRINT: Final = """
name = "serving"
registry = "files"
[server]
adapter = "uvicorn"
workers = 1
[env.two.server]
workers = 2
[feature_store]
offline = {{ adapter = "duckdb", path = "history" }}
online = {{ adapter = "{online}", path = "{path}" }}
[models.valuation]
service = "three@1"
target = "price"
interval = 0
trainer = {{ adapter = "lightgbm", num_iterations = {trees}, num_leaves = {leaves}, min_data_in_leaf = 20 }}
gates = {gates}
[models.ranking]
service = "candidates@1"
target = "price"
interval = 0
trainer = {{ adapter = "lightgbm", num_iterations = {trees}, num_leaves = {leaves}, min_data_in_leaf = 20 }}
gates = {gates}
"""
_OFF: Final = ("contract", "smoke", "reproducible", "baseline", "parity", "latency", "drift", "invariance", "slices",
               "leakage", "calibration", "servable", "artifact")  # fmt: skip


def names_of(view: int) -> list[str]:
    """Names of a view's fields."""
    return [f"v{view}_{number}" for number in range(WIDTH)]


def files(entities: int) -> dict[str, Path]:
    """Return view → file of its rows."""
    found = {
        f"view{view}": bench_data.newest(f"online-view{view}", entities, names_of(view), view) for view in range(3)
    }
    wide = [f"v9_{number}" for number in range(WIDE)]
    return {**found, "wide": bench_data.newest("online-wide", entities, wide, 4)}


def make(folder: Path, online: str, entities: int) -> dict[str, Path]:
    """Make a project with two promoted models, its rows online; return name → model file."""
    folder.mkdir()
    path = "online.db" if online == "sqlite" else "online.mdb"
    gates = "{ " + ", ".join(f"{gate} = false" for gate in _OFF) + " }"
    text = BLUEPRINT.format(online=online, path=path, trees=TREES, leaves=LEAVES, gates=gates)
    (folder / "blueprint.toml").write_text(text)
    (folder / "features.py").write_text(FEATURES)
    prices = folder / "prices.parquet"
    pq.write_table(_prices(entities), prices)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        for view, file in files(entities).items():
            stack.ingest(view, file)
        stack.materialize()
        stack.label(prices)
        for model in ("valuation", "ranking"):
            outcome = stack.train(model)
            if not outcome.ok:
                raise SystemExit(str(outcome))
            stack.promote(model)
        with stackwright.load(folder, env="two", progress=lambda *_: None) as two:
            two.apply()
        versions = {name: stack.registry.resolve(stackwright_ref(name)) for name in ("valuation", "ranking")}
        return {name: Path(stack.registry.fetch(version)) / "model.txt" for name, version in versions.items()}


def stackwright_ref(name: str) -> object:
    """Return the reference of a model's champion."""
    from stackwright_interfaces.model import ModelRef

    return ModelRef(name, alias="champion")


def _prices(entities: int) -> pa.Table:
    random = np.random.default_rng(3)
    views = files(entities)
    count = min(entities, 20_000)
    first, last = (pq.read_table(views[name]) for name in ("view0", "wide"))
    value = first["v0_0"].to_numpy()[:count] + last["v9_0"].to_numpy()[:count] + random.normal(0, 0.1, count)
    day = 86_400_000_000
    asked = bench_data.START_US + bench_data.YEAR_US + random.integers(0, 30 * day, count)
    stamp = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "entity_id": first["entity_id"].slice(0, count),
            **{name: pa.array(asked).cast(stamp) for name in ("asked", "sold", "known")},
            "price": pa.array(value),
        }
    )
