"""``start``: how long the command line takes to start, and what the steps of a training add to a plain script.

Whole processes, byte code cached, with 600 distributions installed beside. The peers lie in environments of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from harness import Measured, Row, in_turn, report

ROOT: Final = Path(__file__).parents[2]
PEERS: Final = ("kedro", "metaflow", "zenml")
ROUNDS: Final = 15

FEATURES = """
from stackwright import FLOAT64, INT64, Entity, FeatureService, FeatureView, Field, Source, Target
home = Entity(name="home", keys=(Field("home_id", INT64),))
names = tuple(f"x{number}" for number in range(20))
homes = FeatureView(
    name="homes", entity=home, source=Source(event_time="at"), fields=tuple(Field(name, FLOAT64) for name in names)
)
valuation = FeatureService(name="valuation", selections=(homes.select(),))
price = Target(
    name="price", entity=home, value=Field("price", FLOAT64), asked="asked", happened="sold", observed="known"
)
"""

BLUEPRINT = """
name = "start"
registry = "files"
[feature_store]
offline = { adapter = "duckdb", path = "data" }
[models.valuation]
service = "valuation@1"
target = "price"
interval = 0
trainer = { adapter = "lightgbm", num_iterations = 100, num_leaves = 31, learning_rate = 0.1, min_data_in_leaf = 20 }
gates = { contract = false, smoke = false, reproducible = false, artifact = false, servable = false, baseline = false }
"""

PLAIN = """
import sys
import lightgbm
import numpy as np
import pyarrow.parquet
homes = pyarrow.parquet.read_table(sys.argv[1])
prices = pyarrow.parquet.read_table(sys.argv[2])
names = [name for name in homes.column_names if name.startswith("x")]
place = {key: row for row, key in enumerate(homes["home_id"].to_pylist())}
rows = np.array([place[key] for key in prices["home_id"].to_pylist()])
inputs = np.column_stack([homes[name].to_numpy() for name in names])[rows]
target = prices["price"].to_numpy()
order = np.argsort(prices["asked"].to_numpy(), kind="stable")
cut = int(len(order) * 0.8)
old, new = order[:cut], order[cut:]
parameters = {"objective": "regression", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 20, "seed": 7,
              "num_threads": int(sys.argv[3]), "deterministic": True, "verbosity": -1}
model = lightgbm.train(parameters, lightgbm.Dataset(inputs[old], target[old]), 100)
error = np.abs(model.predict(inputs[new]) - target[new])
print(error.mean(), np.median(error / target[new]))
"""

DATA = """
import sys
from datetime import datetime, timedelta, timezone
import numpy as np
import pyarrow as pa
import pyarrow.parquet
random = np.random.default_rng(1)
count, start = 20_000, datetime(2024, 1, 1, tzinfo=timezone.utc)
inputs = random.normal(size=(count, 20))
keys = pa.array(np.arange(count))
asked = [start + timedelta(minutes=10 * number) for number in range(count)]
homes = {"home_id": keys, "at": [start - timedelta(days=1)] * count}
homes |= {f"x{number}": inputs[:, number] for number in range(20)}
pyarrow.parquet.write_table(pa.table(homes), sys.argv[1])
price = np.exp(5 + 0.3 * inputs[:, 0] + 0.2 * inputs[:, 1] * inputs[:, 2] + random.normal(0, 0.1, count))
prices = {"home_id": keys, "asked": asked, "sold": asked, "known": asked, "price": price}
pyarrow.parquet.write_table(pa.table(prices), sys.argv[2])
"""


def timed(command: list[str], variables: dict[str, str]) -> Callable[[], float]:
    """Return what runs a command and gives its seconds."""

    def work() -> float:
        started = time.perf_counter()
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        took = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
        return took

    return work


def distributions(folder: Path, count: int = 600) -> Path:
    """Make as many installed distributions, a third of them with entry points of other groups."""
    for number in range(count):
        info = folder / f"dummy_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dummy-{number}\nVersion: 1.0\n")
        (info / "RECORD").write_text("")
        if number % 3 == 0:
            (info / "entry_points.txt").write_text(f"[console_scripts]\ndummy-{number} = dummy:main\n")
    return folder


def peer(name: str) -> tuple[Path, str] | None:
    """Install a peer into an environment of its own; return its program and version, or ``None``."""
    folder = ROOT / ".nox" / "bench-peers" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), name]
    program = folder / "bin" / name
    if subprocess.run(install, capture_output=True, check=False).returncode or not program.exists():
        return None
    code = f"from importlib.metadata import version; print(version({name!r}))"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return program, found


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        variables["PYTHONPATH"] = str(distributions(folder / "site"))
        rows, notes = starts(folder, variables)
        report("start", [*rows, *training(folder, variables)], notes)


def starts(folder: Path, variables: dict[str, str]) -> tuple[list[Row], list[str]]:
    """Measure ``--help`` and ``check`` over ``python -c pass``."""
    program = str(Path(sys.executable).parent / "stackwright")
    shutil.copytree(ROOT / "blueprints" / "realtime", folder / "realtime")
    peers = {name: found for name in PEERS if (found := peer(name))}
    notes = [f"{name} could not be installed" for name in PEERS if name not in peers]
    works = {
        "pass": timed([sys.executable, "-c", "pass"], variables),
        "help": timed([program, "--help"], variables),
        "check": timed([program, "check", "--project", str(folder / "realtime")], variables),
    }
    works |= {name: timed([str(path), "--help"], variables) for name, (path, _) in peers.items()}
    found = in_turn(works, ROUNDS)
    nothing = found["pass"]
    rows = [
        Row("--help", "s", found["help"].less(nothing), f"{name} {number} --help", found[name].less(nothing), bar=0.08)
        for name, (_, number) in peers.items()
    ] or [Row("--help", "s", found["help"].less(nothing), bar=0.08)]
    return [*rows, Row("check", "s", found["check"].less(nothing), bar=0.15)], notes


def training(folder: Path, variables: dict[str, str]) -> list[Row]:
    """Measure load, train and evaluate on 20,000 rows against a plain script that does the same."""
    project, homes, prices = folder / "project", folder / "homes.parquet", folder / "prices.parquet"
    project.mkdir()
    (project / "blueprint.toml").write_text(BLUEPRINT)
    (project / "features.py").write_text(FEATURES)
    timed([sys.executable, "-c", DATA, str(homes), str(prices)], variables)()
    program, at = str(Path(sys.executable).parent / "stackwright"), ["--project", str(project)]
    for line in (["apply"], ["ingest", "homes", str(homes)], ["label", str(prices)]):
        timed([program, *line, *at], variables)()
    threads = str(min(2, os.cpu_count() or 1))
    command = [program, "train", "--force", "--json", *at]
    beside: list[float] = []

    def steps() -> float:
        """Load, train and evaluate alone: the whole process without staging, gates and publishing."""
        started = time.perf_counter()
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        whole = time.perf_counter() - started
        seconds = json.loads(done.stdout)["seconds"]
        beside.append(sum(seconds[step] for step in ("stage", "gates", "publish")))
        return whole - beside[-1]

    found = in_turn(
        {
            "ours": steps,
            "plain": timed([sys.executable, "-c", PLAIN, str(homes), str(prices), threads], variables),
        },
        ROUNDS,
    )
    reference = f"plain script, lightgbm {version('lightgbm')}"
    added = Row("load, train, evaluate over the plain script", "s", found["ours"].less(found["plain"]), bar=0.4)
    published = Row("stage and publish, gates off", "s", Measured.of(beside))
    return [
        Row("load, train, evaluate of 20,000 rows", "s", found["ours"], reference, found["plain"]),
        added,
        published,
    ]


if __name__ == "__main__":
    main()
