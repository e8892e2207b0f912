from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shops import Shop

from stackwright_interfaces.definitions import Entity, FeatureService, FeatureView
from stackwright_interfaces.feature_store import FeatureRows, FeatureStore, Status, Watermark
from stackwright_interfaces.model import Contributions, Manifest, ModelFormat, Predictor, Signature, describe_files
from stackwright_interfaces.registry import ModelVersion
from stackwright_interfaces.types import FLOAT64, INT64, STRING, Field
from stackwright_numerics import conformal
from stackwright_serving import golden
from stackwright_serving.app import create_app
from stackwright_serving.arms import Challenger
from stackwright_serving.host import ModelHost
from stackwright_serving.metrics import Metrics
from stackwright_serving.model import LoadedModel
from stackwright_serving.reads import Reads
from stackwright_serving.scorer import Scorer
from stackwright_serving.settings import Settings
from stackwright_serving.state import State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTING = Entity(name="listing", keys=(Field("listing_id", STRING),))
HOMES = FeatureView(name="homes", entity=LISTING, fields=(Field("area", FLOAT64), Field("kind", STRING)))
SERVICE = FeatureService(name="valuation", selections=(HOMES.select(),), request=(Field("rooms", INT64, default=3),))
SIGNATURE = Signature(
    inputs=SERVICE.output_fields, outputs=(Field("price", FLOAT64),), categories={"kind": ("flat", "house")}
)


class Linear(Predictor):
    """1000 x area + 10 x rooms + the code of the kind; NaN counts 0."""

    def __init__(self, factor: float = 1000.0) -> None:
        self.factor = factor

    def predict(self, inputs: Any) -> Any:
        return np.nan_to_num(inputs, posinf=np.inf) @ np.array([self.factor, 1.0, 10.0])

    def contributions(self, inputs: Any) -> Contributions:
        values = np.nan_to_num(inputs, posinf=np.inf) * np.array([self.factor, 1.0, 10.0])
        return Contributions(values=values, base=np.zeros(len(values)))


class LinearFormat(ModelFormat):
    flavour = "linear"

    def load(self, folder: Path, manifest: Manifest, *, threads: int = 1) -> Predictor:
        return Linear(float((folder / "factor.txt").read_text()))


class Homes(FeatureStore):
    """Three homes; the fourth is not there. ``failure`` is raised by every read."""

    rows: Mapping[str, tuple[float | None, str | None]] = {
        "L1": (50.0, "flat"),
        "L2": (None, "house"),
        "L3": (70.0, "castle"),
    }
    failure: Exception | None = None

    def read(
        self,
        service: str,
        keys: Mapping[str, Sequence[Any]],
        request: Mapping[str, Sequence[Any]] | None = None,
        *,
        at: datetime | None = None,
        timeout: float | None = None,
    ) -> FeatureRows:
        if self.failure is not None:
            raise self.failure
        ids = keys["listing_id"]
        found = [self.rows.get(key, (None, None)) for key in ids]
        there = np.array([key in self.rows for key in ids], dtype=bool)
        statuses = {}
        for name, place in (("area", 0), ("kind", 1)):
            null = np.array([row[place] is None for row in found], dtype=bool)
            statuses[name] = np.where(there, np.where(null, Status.NULL, Status.PRESENT), Status.NOT_FOUND)
        kinds = np.empty(len(ids), dtype=object)
        kinds[:] = [row[1] for row in found]
        day = np.datetime64("2026-02-28T12:00:00", "us")
        return FeatureRows(
            names=("area", "kind", "rooms"),
            columns={
                "area": np.array([np.nan if row[0] is None else row[0] for row in found], dtype=np.float64),
                "kind": kinds,
                "rooms": np.array((request or {})["rooms"], dtype=np.float64),
            },
            statuses={**statuses, "rooms": np.zeros(len(ids), dtype=np.int64)},
            events={"homes@1": np.where(there, day, np.datetime64("NaT", "us"))},
            watermarks={"homes@1": Watermark(3, NOW)},
            at=at or NOW,
        )

    def apply(self, definitions: Any) -> None: ...
    def ingest(self, view: str, table: Any) -> Any: ...
    def join(self, service: str, labels: Any, **options: Any) -> Any: ...
    def materialize(self, views: Any = (), **options: Any) -> Any: ...
    def delete(self, entity: str, keys: Any) -> int:
        return 0

    def close(self) -> None: ...


def write_model(folder: Path, factor: float = 1000.0, *, intervals: bool = True) -> Manifest:
    """Write a model folder of flavour ``linear``."""
    folder.mkdir(parents=True)
    (folder / "factor.txt").write_text(str(factor))
    columns = {
        "area": np.array([50.0, np.nan]),
        "kind": np.array(["flat", None], dtype=object),
        "rooms": np.array([3.0, 1.0]),
    }
    golden.write(folder, columns, SIGNATURE.inputs, [factor * 50 + 30, 10.0])
    random = np.random.default_rng(1)
    answers = random.uniform(1e4, 1e5, 400)
    table = conformal.fit(answers, answers * np.exp(random.normal(0, 0.1, 400)), level=0.9)
    manifest = Manifest(
        flavour="linear",
        files=describe_files(folder),
        signature=SIGNATURE,
        task="regression",
        service="valuation@1",
        intervals=table.to_json() if intervals else None,
    )
    manifest.write(folder)
    return manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def model(folder: Path) -> LoadedModel:
    return LoadedModel.load(folder, LinearFormat(), name="valuation", version=1)


@dataclass
class Source:
    """Published models in folders; ``promote`` moves the champion."""

    root: Path
    homes: Homes
    served: dict[str, ModelVersion] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    moves: int = 0
    trials: dict[str, Challenger] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    services: dict[str, FeatureService] = field(default_factory=dict)

    def publish(self, version: int, factor: float, name: str = "valuation") -> ModelVersion:
        where = self.root / f"{name}-{version}"
        digest = write_model(where, factor).digest if not where.exists() else Manifest.read(where).digest
        published = ModelVersion(name=name, version=version, digest=digest, created=NOW)
        self.folders[published.ref] = where
        return published

    def promote(self, version: int, factor: float, name: str = "valuation") -> Path:
        self.served[name] = self.publish(version, factor, name)
        self.moves += 1
        return self.folders[self.served[name].ref]

    def challenge(self, version: int, factor: float, name: str = "valuation", **options: Any) -> None:
        self.trials[name] = Challenger(version=self.publish(version, factor, name), **options)
        self.moves += 1

    def end(self, name: str = "valuation") -> None:
        self.trials.pop(name)
        self.moves += 1

    def generation(self) -> str:
        return str(self.moves)

    def promoted(self) -> Mapping[str, ModelVersion]:
        return self.served

    def challengers(self) -> Mapping[str, Challenger]:
        return self.trials

    def open(self, version: ModelVersion) -> tuple[Scorer, Path]:
        where = self.folders[version.ref]
        self.opened.append(version.ref)
        model = LoadedModel.published(version, where, LinearFormat())
        return Scorer(model, self.homes, service=self.services.get(version.ref)), where


@dataclass
class Shelf:
    """A prediction sink that keeps what it gets, as long as there is room."""

    records: list[Any] = field(default_factory=list)
    room: int = 1000
    lost: int = 0

    def append(self, record: Any) -> bool:
        if len(self.records) >= self.room:
            return False
        self.records.append(record)
        return True


@dataclass
class World:
    """An application over a source, a feature store and a sink; ``host`` is there while it is served."""

    source: Source
    sink: Shelf
    settings: Settings
    host: Any = None
    service: FeatureService = SERVICE
    tracing: Any = None
    started: Callable[[], None] = lambda: None

    def app(self) -> Any:
        def open_state(opened: AsyncExitStack, metrics: Metrics) -> State:
            self.host = ModelHost(self.source, metrics, {SERVICE.ref: SERVICE}, self.settings)
            return State(
                host=self.host,
                metrics=metrics,
                reads=Reads(self.settings, metrics, self.tracing),
                settings=self.settings,
                sink=self.sink,
                clock=lambda: NOW,
                blueprint="sha256:plan",
            )

        return create_app(open_state, self.started)


def new_world(root: Path) -> World:
    source = Source(root / "registry", Homes())
    source.promote(1, 1000.0)
    return World(source, Shelf(), Settings(max_body=10_000, max_rows=50, max_depth=8, poll=0.02))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path)


@pytest.fixture(scope="session")
def worlds() -> Callable[[Path], World]:
    """Makes worlds that live longer than a test."""
    return new_world


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    made.promote(1)
    return made
