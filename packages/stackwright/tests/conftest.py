from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.discovery import Plugins
from stackwright.cli.main import main
from stackwright.notebook import NotebookStack
from stackwright_interfaces.feature_store import CONTRACT, OfflineStore, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, Capability, hookimpl


@dataclass(frozen=True, kw_only=True)
class ShelfConfig:
    path: Path
    rows: int = 10
    ratio: float = 0.5
    password: str = ""
    names: tuple[str, ...] = ()


class ShelfPlugin:
    """A plugin whose factory cannot be imported: planning must never try."""

    @hookimpl
    def stackwright_adapters(self) -> list[AdapterSpec]:
        common: dict[str, Any] = {"contract": CONTRACT, "config": ShelfConfig, "factory": "no_such_vendor:Shelf"}
        return [
            AdapterSpec(name="shelf", provides=OfflineStore, **common),
            AdapterSpec(name="shelf", provides=OnlineStore, capabilities=frozenset({Capability.READERS}), **common),
        ]


@pytest.fixture
def plugins() -> Plugins:
    return Plugins(extra={"shelf": ShelfPlugin()})


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "blueprint.toml"
        path.write_text(text)
        return path

    return write


BLUEPRINT = """\
name = "homes"

[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }

[models.valuation]
service = "valuation@1"
target = "sale_price"
transform = "log"
trainer = { adapter = "lightgbm", num_iterations = 30, learning_rate = 0.1, min_data_in_leaf = 5 }

[registry]
adapter = "files"

[server]
adapter = "uvicorn"
"""

FEATURES = '''\
from datetime import timedelta

import numpy as np

from stackwright import (
    FLOAT64, INT64, STRING, Aggregate, Entity, FeatureService, FeatureView, Field, Source, Target, Window, transform,
)

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes",
    entity=home,
    source=Source(event_time="changed_at"),
    fields=(Field("area", FLOAT64, description="living area"), Field("kind", STRING, tags={"team": "listing"})),
    owner="ada",
)
visits = FeatureView(
    name="visits",
    entity=home,
    source=Source(event_time="visited_at"),
    fields=(Field("minutes", FLOAT64),),
    windows=(Window(name="visits_30d", aggregate=Aggregate.COUNT, length=timedelta(days=30)),),
)


@transform(inputs=("area", "rooms"), type=FLOAT64)
def room_size(area, rooms):
    """Area a room."""
    return area / np.maximum(rooms, 1)


valuation = FeatureService(
    name="valuation",
    selections=(homes.select(), visits.select("visits_30d")),
    request=(Field("rooms", INT64),),
    transforms=(room_size,),
)
sale_price = Target(
    name="sale_price",
    entity=home,
    value=Field("price", FLOAT64),
    asked="asked_at",
    happened="sold_at",
    observed="known_at",
    request=valuation.request,
)
'''

HOMES = 300
START = datetime(2024, 1, 1, tzinfo=UTC)
AFTER = START + timedelta(days=HOMES + 60)
"""An instant after every row of the little market."""


@dataclass(frozen=True)
class Market:
    """A little market of homes: one home is asked for a day, sold ten days later, and the sale known twenty later."""

    folder: Path

    @property
    def homes(self) -> Path:
        return self.folder / "homes.csv"

    @property
    def visits(self) -> Path:
        return self.folder / "visits.parquet"

    @property
    def sales(self) -> Path:
        return self.folder / "sales.csv"


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    found = Market(tmp_path_factory.mktemp("market"))
    random = np.random.default_rng(5)
    days = [START + timedelta(days=day) for day in range(HOMES)]
    names = [f"{number:04}" for number in range(HOMES)]
    area = random.uniform(30, 200, HOMES).round(1)
    kind = random.choice(["flat", "house"], HOMES)
    rooms = np.maximum(1, (area // 30).astype(np.int64))
    price = 2000 * area * np.where(kind == "house", 1.4, 1.0) * np.exp(random.normal(0, 0.05, HOMES))
    homes = {"home_id": names, "changed_at": [day - timedelta(days=1) for day in days], "area": area, "kind": kind}
    pyarrow.csv.write_csv(pa.table(homes), found.homes)
    seen = np.concatenate([np.arange(HOMES), random.integers(0, HOMES, HOMES)]).tolist()
    hours = random.integers(1, 2000, len(seen)).tolist()
    visits = {
        "home_id": [names[home] for home in seen],
        "visited_at": [days[home] - timedelta(hours=hour) for home, hour in zip(seen, hours, strict=True)],
        "minutes": random.uniform(1, 60, len(seen)).round(1),
    }
    pyarrow.parquet.write_table(pa.table(visits), found.visits)
    sales = {
        "home_id": names,
        "asked_at": days,
        "sold_at": [day + timedelta(days=10) for day in days],
        "known_at": [day + timedelta(days=20) for day in days],
        "rooms": rooms,
        "price": price.round(0),
    }
    pyarrow.csv.write_csv(pa.table(sales), found.sales)
    return found


def write_project(folder: Path, blueprint: str = BLUEPRINT, changes: Sequence[tuple[str, str]] = ()) -> Path:
    """Write a project's files, with these changes (old text, new text) to its features."""
    features = FEATURES
    for old, new in changes:
        assert old in features
        features = features.replace(old, new, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blueprint.toml").write_text(blueprint)
    (folder / "features.py").write_text(features)
    return folder


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, market: Market) -> Path:
    """A project with history, online rows and labels, but no model. To be copied or read."""
    folder = write_project(tmp_path_factory.mktemp("filled") / "project")
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        stack.ingest("homes", market.homes)
        stack.ingest("visits", market.visits)
        stack.materialize()
        stack.label(market.sales)
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, filled: Path) -> Path:
    """The same with a promoted model. To be copied or read."""
    folder = tmp_path_factory.mktemp("served") / "project"
    shutil.copytree(filled, folder)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        outcome = stack.train()
        assert outcome.ok, str(outcome)
        stack.promote("valuation")
    return folder


@pytest.fixture
def work(served: Path, tmp_path: Path) -> Path:
    """A copy of the project with a promoted model, to be changed."""
    return Path(shutil.copytree(served, tmp_path / "work"))


@pytest.fixture(scope="session")
def project_in() -> Callable[..., Path]:
    """Writes a project's files into a folder, and gives the folder."""
    return write_project


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a project's files, and gives its folder."""
    return lambda **given: write_project(tmp_path / "project", **given)


@pytest.fixture(scope="session")
def odd() -> Iterator[Plugins]:
    """Plugins with the trainer of ``odd/``, which child processes find as well."""
    folder = str(Path(__file__).parent / "odd")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        yield Plugins(extra={"odd": importlib.import_module("odd_trainer")})


ODD = {
    "service": "valuation@1",
    "target": "sale_price",
    "transform": "log",
    "trainer": {"adapter": "odd"},
    "interval": 0,
}


@dataclass(frozen=True)
class Copies:
    """Gives copies of a project, with the odd trainer; options replace those of its model."""

    project: Path
    root: Path
    plugins: Plugins

    def copy(self, name: str = "odd", **options: Any) -> Path:
        folder = self.root / name
        if not folder.exists():
            shutil.copytree(self.project, folder)
        parts, _, rest = BLUEPRINT.partition("[models.valuation]")
        model = "\n".join(f"{key} = {_toml(value)}" for key, value in {**ODD, **options}.items())
        registry = rest[rest.index("[registry]") :]
        (folder / "blueprint.toml").write_text(f"{parts}[models.valuation]\n{model}\n\n{registry}")
        return folder

    def open(self, name: str = "odd", **options: Any) -> NotebookStack:
        return self.load(self.copy(name, **options))

    def load(self, folder: Path) -> NotebookStack:
        return stackwright.load(folder, plugins=self.plugins, progress=lambda *_: None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture(scope="session")
def copies_of(odd: Plugins) -> Callable[[Path, Path], Copies]:
    """Gives copies of a project below a folder."""
    return lambda project, root: Copies(project, root, odd)


@pytest.fixture
def copies(filled: Path, tmp_path: Path, odd: Plugins) -> Copies:
    return Copies(filled, tmp_path, odd)


@dataclass(frozen=True)
class Ran:
    """A finished command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line in this process; what is no error of ours is raised as it is."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        written = capsys.readouterr()
        return Ran(code, written.out, written.err)

    return run


@pytest.fixture
def unmeasured() -> dict[str, str]:
    """The environment for a child that counts its modules: coverage would add its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Installs the package of a folder as ``pip install -e`` would, for this process and its children."""
    packages: list[str] = []

    def installed(folder: Path) -> None:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        points = project["entry-points"]["stackwright"]
        info = folder / f"src/{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        lines = [f"{name} = {module}" for name, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[stackwright]", *lines, ""]))
        monkeypatch.syspath_prepend(folder / "src")
        monkeypatch.setenv("PYTHONPATH", str(folder / "src"), prepend=os.pathsep)
        packages.extend(module.partition(".")[0] for module in points.values())

    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
