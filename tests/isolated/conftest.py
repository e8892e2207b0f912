"""Wheels of small adapters: two that need other versions of one package, and one of a vendor as it is published."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import pytest

PLUGIN: Final = """
from dataclasses import dataclass
from stackwright_interfaces.model import CONTRACT as MODEL, ModelFormat
from stackwright_interfaces.monitor import CONTRACT as MONITOR, Monitor
from stackwright_interfaces.plugin import AdapterSpec, hookimpl
from stackwright_interfaces.trainer import CONTRACT as TRAINER, Trainer

@dataclass(frozen=True, kw_only=True)
class Config:
    shift: float = 0.0

    def __post_init__(self):
        if self.shift < 0:
            raise ValueError(f"shift is {{self.shift}}, must be 0 or more")

@dataclass(frozen=True, kw_only=True)
class FormatConfig:
    pass

def spec(provides, contract, factory, config=Config):
    return AdapterSpec(
        name="{name}", provides=provides, contract=contract, config=config, factory="{package}.adapter:" + factory
    )

@hookimpl
def stackwright_adapters():
    return {offers}
"""

TRAINER: Final = """
import json
from importlib.metadata import version
import numpy as np
from stackwright_interfaces.model import ModelFormat, Predictor
from stackwright_interfaces.trainer import FittedModel, Trainer

class Mean(Predictor):
    def __init__(self, mean):
        self.mean = mean

    def predict(self, inputs):
        return np.full(len(inputs), self.mean)

class Fitted(FittedModel):
    flavour = "older"

    def __init__(self, mean):
        self.mean, self.parameters, self.metrics = mean, {}, {}

    def predictor(self):
        return Mean(self.mean)

    def save(self, folder):
        (folder / "model.json").write_text(json.dumps({"mean": self.mean, "iniconfig": version("iniconfig")}))

class Means(Trainer):
    def __init__(self, config, context):
        self.shift = config.shift

    def space(self, task):
        return {}

    def fit(self, task, train, valid, params, *, seed, threads, report=None):
        return Fitted(float(np.mean(train.target)) + self.shift)

class Format(ModelFormat):
    flavour = "older"

    def __init__(self, config, context):
        pass

    def load(self, folder, manifest, *, threads=1):
        return Mean(json.loads((folder / "model.json").read_text())["mean"])
"""

TRAINS: Final = '(spec(Trainer, TRAINER, "Means"), spec(ModelFormat, MODEL, "Format", FormatConfig))'

MONITOR: Final = """
from importlib.metadata import version
import pyarrow as pa
from stackwright_interfaces.monitor import Monitor, MonitorResult

class Page(Monitor):
    def __init__(self, config, context):
        pass

    def compare(self, reference, current, signature, out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "page.html").write_text(f"<html>iniconfig {version('iniconfig')}</html>")
        rows = pa.table(reference).num_rows, pa.table(current).num_rows
        return MonitorResult(page=out / "page.html", files=(out / "page.html",), findings={"rows": list(rows)})
"""

DETECTOR: Final = """
import json
from importlib.metadata import version
import pyarrow as pa
from alibi_detect.cd import KSDrift
from stackwright_interfaces.monitor import Monitor, MonitorResult

class Tests(Monitor):
    def __init__(self, config, context):
        pass

    def compare(self, reference, current, signature, out):
        sides = [pa.table(side) for side in (reference, current)]
        names = [field.name for field in signature.inputs]
        learned, seen = (side.select(names).to_pandas().to_numpy() for side in sides)
        found = KSDrift(learned, p_val=0.01).predict(seen, drift_type="feature", return_p_val=True)["data"]
        out.mkdir(parents=True, exist_ok=True)
        page = out / "page.html"
        page.write_text(f"<html>alibi-detect {version('alibi-detect')}, numpy {version('numpy')}</html>")
        drifted = {name: bool(far) for name, far in zip(names, found["is_drift"], strict=True)}
        return MonitorResult(page=page, files=(page,), findings=drifted)
"""


def wheel(folder: Path, name: str, needs: str, offers: str, adapter: str, *, version: str = "0.1.0") -> None:
    """Write a wheel: https://packaging.python.org/en/latest/specifications/binary-distribution-format/."""
    package = f"stackwright_{name}"
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}/__init__.py": "",
        f"{package}/plugin.py": PLUGIN.format(name=name, package=package, offers=offers),
        f"{package}/adapter.py": adapter,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: stackwright-{name}\nVersion: {version}\n"
        f"Requires-Dist: {needs}\nRequires-Dist: numpy\nRequires-Dist: stackwright-interfaces\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[stackwright]\n{name} = {package}.plugin\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "older", "iniconfig==2.0.0", TRAINS, TRAINER)
    wheel(folder, "newer", "iniconfig==2.1.0", '(spec(Monitor, MONITOR, "Page"),)', MONITOR)
    numpy_1 = "pyarrow<26"  # later ones are built for numpy 2, and do not say so
    wheel(
        folder, "alibi", f"alibi-detect>=0.12\nRequires-Dist: {numpy_1}", '(spec(Monitor, MONITOR, "Tests"),)', DETECTOR
    )
    return folder


@pytest.fixture
def upgraded(tmp_path: Path) -> Path:
    """A folder with a later version of what trains, which needs what the other one does."""
    folder = tmp_path / "upgraded"
    folder.mkdir()
    wheel(folder, "older", "iniconfig==2.1.0", TRAINS, TRAINER, version="0.2.0")
    return folder


@pytest.fixture(autouse=True)
def found(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let installers look into the folder of the wheels as well."""
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
