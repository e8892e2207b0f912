"""A little market of homes, and a project with its history and labels."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HOMES = 400
START = datetime(2024, 1, 1, tzinfo=UTC)
UNSOLD = 7
"""Every seventh home is not sold by the time it is looked at."""

BLUEPRINT = """\
name = "homes"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }

[models.valuation]
service = "valuation@1"
target = "sale_price"
transform = "log"
interval = 0.8
trainer = { adapter = "lightgbm", num_iterations = 30, min_data_in_leaf = 5 }

[models.cheap]
service = "valuation@1"
target = "below"
task = "classification"
trainer = { adapter = "lightgbm", num_iterations = 30, min_data_in_leaf = 5 }

[registry]
adapter = "files"
"""

FEATURES = '''\
from datetime import timedelta

import numpy as np

from stackwright import (
    FLOAT64, INT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target, transform
)

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="changed_at"),
    fields=(Field("area", FLOAT64), Field("kind", STRING)),
)


@transform(inputs=("area", "rooms"), type=FLOAT64)
def room_size(area, rooms):
    """Area a room."""
    return area / np.maximum(rooms, 1)


valuation = FeatureService(
    name="valuation",
    selections=(homes.select(),),
    request=(Field("rooms", INT64),),
    transforms=(room_size,),
)
times = dict(asked="asked_at", happened="sold_at", observed="known_at", censored="unsold", request=valuation.request)
sale_price = Target(name="sale_price", entity=home, value=Field("price", FLOAT64), **times)
below = Target(name="below", entity=home, value=Field("below", FLOAT64), **times)
'''


@dataclass(frozen=True)
class Homes:
    """What is known of the homes."""

    X: pd.DataFrame
    y: np.ndarray
    time: pd.DatetimeIndex

    @property
    def older(self) -> slice:
        return slice(0, 300)

    @property
    def newer(self) -> slice:
        return slice(300, None)


def make_homes() -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(5)
    days = [START + timedelta(days=day) for day in range(HOMES)]
    names = [f"{number:04}" for number in range(HOMES)]
    area = random.uniform(30, 200, HOMES).round(1)
    kind = random.choice(["flat", "house"], HOMES)
    rooms = np.maximum(1, (area // 30).astype(np.int64))
    price = 2000 * area * np.where(kind == "house", 1.4, 1.0) * np.exp(random.normal(0, 0.05, HOMES))
    unsold = np.arange(HOMES) % UNSOLD == 0
    homes = pd.DataFrame(
        {"home_id": names, "changed_at": [day - timedelta(days=1) for day in days], "area": area, "kind": kind}
    )
    sales = pd.DataFrame(
        {
            "home_id": names,
            "asked_at": days,
            "sold_at": [None if gone else day + timedelta(days=10) for day, gone in zip(days, unsold, strict=True)],
            "known_at": [day + timedelta(days=20) for day in days],
            "unsold": unsold,
            "rooms": rooms,
            "price": np.where(unsold, np.nan, price.round(0)),
            "below": np.where(unsold, np.nan, (price < 230_000).astype(float)),
        }
    )
    return homes, sales


@pytest.fixture(scope="session")
def homes() -> Homes:
    """Homes as a frame: numbers, texts, and some values missing."""
    rows, sales = make_homes()
    frame = rows[["area", "kind"]].astype({"kind": object}).assign(rooms=sales["rooms"].astype(float))
    frame.loc[::31, "area"] = np.nan
    frame.loc[::37, "kind"] = None
    price = 2000 * rows["area"] * np.where(rows["kind"] == "house", 1.4, 1.0)
    noise = np.exp(np.random.default_rng(1).normal(0, 0.05, len(rows)))
    return Homes(frame, (price * noise).to_numpy(), pd.DatetimeIndex(sales["asked_at"]))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with history, online rows and labels. To be copied or read."""
    import stackwright

    folder = tmp_path_factory.mktemp("filled") / "project"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    (folder / "features.py").write_text(FEATURES)
    rows, sales = make_homes()
    rows.to_parquet(folder / "homes.parquet", index=False)
    sales.to_parquet(folder / "sales.parquet", index=False)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        stack.ingest("homes", folder / "homes.parquet")
        stack.materialize()
        for target in ("sale_price", "below"):
            stack.label(folder / "sales.parquet", target=target)
    return folder


@pytest.fixture
def stack(filled: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of the project, opened."""
    import stackwright

    folder = shutil.copytree(filled, tmp_path / "work")
    with stackwright.load(folder, progress=lambda *_: None) as opened:
        yield opened
