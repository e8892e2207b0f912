"""Chosen wheels in clean environments, outside the lock: what was chosen is there, and nothing else is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(900)  # an empty cache downloads for minutes

ROOT = Path(__file__).parents[2]

STORE = """
name = "features"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
online = { adapter = "sqlite", path = "data/online.db" }
"""

FEATURES = """
from stackwright import FLOAT64, STRING, Entity, FeatureService, FeatureView, Field, Source
home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes", entity=home, source=Source(event_time="changed_at"), fields=(Field("area", FLOAT64),)
)
valuation = FeatureService(name="valuation", selections=(homes.select(),))
"""

ROWS = "home_id,changed_at,area\n0001,2024-01-01T00:00:00Z,50\n0002,2024-01-01T00:00:00Z,70\n"

READ = """
import stackwright
with stackwright.load(".") as stack:
    print(stack.features.read("valuation@1", {"home_id": ["0001", "0002", "none"]}).columns["area"].tolist())
"""


@pytest.fixture(scope="session")
def store(environment: Any) -> Any:
    """The engine and two adapters, by plain pip."""
    return environment("store", "stackwright", "stackwright-duckdb", "stackwright-sqlite", by="pip")


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    def project(blueprint: str = STORE) -> Path:
        (tmp_path / "blueprint.toml").write_text(blueprint)
        (tmp_path / "features.py").write_text(FEATURES)
        (tmp_path / "homes.csv").write_text(ROWS)
        return tmp_path

    return project


def test_only_the_chosen_adapters_are_there(store: Any) -> None:
    found = {(item["slot"], item["name"]) for item in store.json("plugins")["plugins"]}
    blueprints = {("blueprint", "batch"), ("blueprint", "realtime"), ("blueprint", "recommender")}
    assert found == {("offline", "duckdb"), ("online", "sqlite"), ("compute", "local"), *blueprints}
    assert not store.installed() & {
        "lightgbm",
        "scikit-learn",
        "pandas",
        "evidently",
        "uvicorn",
        "pytest",
        "hypothesis",
    }


IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module

FOR_EXTRAS = (
    "stackwright_interfaces.testing", "stackwright_isolated.testing", "stackwright_serving.otel",
    "stackwright_storage.postgres", "stackwright_storage.s3", "stackwright.gate_tests",
)

def modules(package):
    yield package.__name__
    for item in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if item.name not in FOR_EXTRAS:
            yield from modules(import_module(item.name)) if item.ispkg else [import_module(item.name).__name__]

rooms = [item.name for item in pkgutil.iter_modules() if item.name.startswith("stackwright")]
print(sum(1 for room in rooms for module in modules(import_module(room))), *{"numpy", "pandas"} & set(sys.modules))
"""


def test_every_module_imports_with_what_was_installed(store: Any) -> None:
    done = store.run("python", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    number, *brought = done.stdout.split()
    assert int(number) > 100
    assert brought == ["numpy"]


def test_they_are_enough_for_a_feature_store(store: Any, project: Any) -> None:
    at = ("--project", project())
    assert store.json("check", *at)["plan"] == {"offline": "duckdb", "online": "sqlite"}
    assert store.json("apply", *at)["changed"] is True
    assert store.json("ingest", "homes", at[1] / "homes.csv", *at)["added"] == 2
    assert store.json("materialize", *at)["views"]["homes@1"]["written"] == 2
    assert store.run("python", "-c", READ, cwd=at[1]).stdout.strip() == "[50.0, 70.0, nan]"


def test_a_blueprint_that_names_an_absent_adapter_is_answered_with_the_line_that_installs_it(
    store: Any, tmp_path: Path
) -> None:
    made = store.stackwright("new", tmp_path / "avm", "--blueprint", "realtime")
    assert made.returncode == 0, made.stderr
    checked = store.stackwright("check", "--project", tmp_path / "avm")
    assert checked.returncode == 1
    for absent in ("lightgbm", "files", "uvicorn", "evidently"):
        assert f"Run: pip install stackwright-{absent}" in checked.stdout
    assert "Traceback" not in checked.stdout + checked.stderr
    sampled = store.stackwright("new", tmp_path / "more", "--blueprint", "realtime", "--sample")
    assert sampled.returncode == 1
    assert "pip install stackwright-market" in sampled.stderr


PLUGIN_PROJECT = """
[project]
name = "shelf-for-stackwright"
version = "3.1"
dependencies = ["stackwright-interfaces>=0.1,<0.2"]
[project.entry-points.stackwright]
shelf = "shelf"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
only-include = ["shelf.py"]
"""

PLUGIN_MODULE = '''
"""Online rows in one JSON file."""
import json
from dataclasses import dataclass
from pathlib import Path

from stackwright_interfaces.feature_store import CONTRACT, OnlineRow, OnlineStore
from stackwright_interfaces.plugin import AdapterSpec, hookimpl


@dataclass(frozen=True)
class ShelfConfig:
    path: Path


class ShelfStore(OnlineStore):
    def __init__(self, config, context):
        self._path = config.path
        self._rows = json.loads(self._path.read_text()) if self._path.exists() else {}

    def _save(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._rows))

    def write(self, view, rows):
        held, took = self._rows.setdefault(view, {}), {}
        for place, row in enumerate(rows):
            old = held.get(row.key.hex())
            if old is None or bytes.fromhex(old[0]) < row.order:
                held[row.key.hex()] = [row.order.hex(), row.payload.hex()]
                took[row.key] = place
        self._save()
        return [took.get(row.key) == place for place, row in enumerate(rows)]

    def read(self, views, keys, *, timeout=None):
        found = [[self._rows.get(view, {}).get(key.hex()) for key in wanted] for view, wanted in zip(views, keys)]
        return [[None if row is None else bytes.fromhex(row[1]) for row in rows] for rows in found]

    def scan(self, view):
        for key, (order, payload) in self._rows.get(view, {}).items():
            yield OnlineRow(bytes.fromhex(key), bytes.fromhex(order), bytes.fromhex(payload))

    def drop(self, view, keys=None):
        rows = self._rows.get(view, {})
        gone = list(rows) if keys is None else {key.hex() for key in keys} & set(rows)
        for key in gone:
            del rows[key]
        self._save()
        return len(gone)

    def close(self):
        pass


@hookimpl
def stackwright_adapters():
    spec = dict(provides=OnlineStore, contract=CONTRACT, config=ShelfConfig, factory="shelf:ShelfStore")
    return [AdapterSpec(name="shelf", description="Online rows in one JSON file", **spec)]
'''


@pytest.fixture
def stranger(environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with an adapter of somebody else, made of two files outside the repository."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "pyproject.toml").write_text(PLUGIN_PROJECT)
    (folder / "shelf.py").write_text(PLUGIN_MODULE)
    return environment("stranger", "stackwright", "stackwright-duckdb", "stackwright-interfaces[testing]", str(folder))


def test_an_adapter_of_a_stranger_is_listed_locked_and_used(stranger: Any, project: Any) -> None:
    listed = {item["name"]: item for item in stranger.json("plugins")["plugins"]}
    assert (listed["shelf"]["distribution"], listed["shelf"]["version"]) == ("shelf-for-stackwright", "3.1")
    folder = project(
        STORE.replace('adapter = "sqlite", path = "data/online.db"', 'adapter = "shelf", path = "shelf.json"')
    )
    at = ("--project", folder)
    assert stranger.json("lock", *at)["parts"]["online"]["distribution"] == "shelf-for-stackwright"
    for line in (["apply"], ["ingest", "homes", folder / "homes.csv"], ["materialize"]):
        stranger.json(*line, *at)
    assert len(json.loads((folder / "shelf.json").read_text())["homes@1"]) == 2
    assert stranger.run("python", "-c", READ, cwd=folder).stdout.strip() == "[50.0, 70.0, nan]"


def test_the_published_kit_proves_the_adapter_of_a_stranger(stranger: Any) -> None:
    counts = stranger.json("conform", "shelf")["counts"]
    assert counts.keys() == {"passed", "not applicable"}
    assert counts["passed"] > 10


FRAMES = """
import sys
import pandas as pd
import stackwright

with stackwright.load(".") as stack:
    stack.apply()
    days = pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True)
    rows = pd.DataFrame({"home_id": ["0001", "0002"], "changed_at": days, "area": [50.0, None]})
    assert stack.features.ingest("homes@1", rows).added == 2
    labels = pd.DataFrame({"home_id": ["0002", "0001"], "event_time": pd.to_datetime(["2024-06-01"] * 2, utc=True)})
    joined = stack.features.join("valuation@1", labels).to_pandas()
    print(pd.__version__.split(".")[0], joined["home_id"].tolist(), joined["area"].tolist())
"""


@pytest.mark.parametrize("major", [2, 3])
def test_frames_of_pandas_2_and_of_pandas_3_go_in_and_come_out(environment: Any, project: Any, major: int) -> None:
    requirements = ("stackwright", "stackwright-duckdb", "stackwright-sqlite", f"pandas=={major}.*")
    made = environment(f"pandas{major}", *requirements)
    done = made.run("python", "-c", FRAMES, cwd=project())
    assert done.stdout.strip() == f"{major} ['0002', '0001'] [nan, 50.0]", done.stderr


def test_the_standard_stack_installs_and_goes_the_whole_way(environment: Any, tmp_path: Path) -> None:
    made = environment("standard", "stackwright[standard]")
    small = ("--set", "listings=5000", "--set", "events=20000")
    done = made.stackwright("up", "--project", tmp_path / "market", "--sample", *small, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["model"] == "valuation@1"
    assert Path(answer["report"]["page"]).is_file()
    assert not made.installed() & {"pytest", "hypothesis"}
    shutil.rmtree(tmp_path / "market")


def test_the_contracts_import_without_numpy(environment: Any) -> None:
    made = environment("interfaces", str(ROOT / "interfaces"), by="uv")
    assert made.installed() == {"stackwright-interfaces", "pluggy"}
    done = made.run("python", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 1


VERSIONS = "from importlib.metadata import distributions as d; print(*sorted(f'{i.name}=={i.version}' for i in d()))"


@pytest.mark.nightly
def test_what_a_lock_writes_is_installed_alike_by_uv_and_by_pip(
    store: Any, project: Any, wheelhouse: Path, environment: Any
) -> None:
    folder = project()
    done = store.run("stackwright", "lock", "--python", folder / "r.txt", "--wheels", wheelhouse, "--project", folder)
    assert done.returncode == 0, done.stderr
    made = [
        environment(f"locked-by-{tool}", "--require-hashes", "-r", folder / "r.txt", by=tool) for tool in ("uv", "pip")
    ]
    by_uv, by_pip = ({*each.run("python", "-c", VERSIONS).stdout.split()} for each in made)
    seeds = {line for line in by_pip if line.startswith(("pip==", "setuptools==", "wheel=="))}
    assert by_uv == by_pip - seeds
    assert "stackwright-duckdb==0.1.0" in by_uv
    assert made[1].stackwright("check", "--project", folder).returncode == 0
