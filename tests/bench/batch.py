"""``batch``: scoring a table from Parquet to Parquet, beside the model alone, a pandas script, and MLflow.

The platform reads a folder of files, scores them part by part on all processors, checks the output and gives it its
place; it is the whole command, start of the interpreter and loading of the model included. ``Booster.predict`` has its
matrix in memory already, and its start is not counted. The script is what people write: pandas reads, a scikit-learn
pipeline around ``LGBMRegressor`` predicts, pandas writes; its fit does not count. MLflow loads the same model as a
``pyfunc``, which predicts the frames that pandas reads, and pandas writes; what it imports does not count. What a part
costs beside its rows is told by as many rows in many small files. ``--quick`` takes few rows, once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import peers
from harness import Measured, Row, in_turn, report
from training import measured

QUICK: Final = "--quick" in sys.argv
ROWS: Final = int(os.environ.get("BENCH_ROWS", "300000" if QUICK else "10000000"))
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "1" if QUICK else "3"))
FILE_ROWS: Final = 500_000
SMALL_ROWS: Final = 1000
SMALL_FILES: Final = 200

BLUEPRINT: Final = """
name = "batch"
registry = "files"
[models.price]
data = {{ source = "{source}", target = "price", inputs = [{inputs}] }}
interval = 0
trainer = {{ adapter = "lightgbm", num_iterations = 200, num_leaves = 63, learning_rate = 0.1, feature_fraction = 1.0 }}
[models.price.gates]
{gates}
"""

DATA: Final = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.parquet
random, folder, rows, size = np.random.default_rng(1), Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
folder.mkdir()
def table(count, first):
    columns = {f"x{number}": random.normal(size=count) for number in range(30)}
    return pa.table({"number": np.arange(first, first + count), **columns})
for part, first in enumerate(range(0, rows, size)):
    pa.parquet.write_table(table(min(size, rows - first), first), folder / f"{part:05}.parquet")
learned = table(50_000, 0)
price = 5 + learned["x0"].to_numpy() + learned["x1"].to_numpy() * learned["x2"].to_numpy() + random.normal(size=50_000)
pa.parquet.write_table(learned.append_column("price", pa.array(price)), sys.argv[4])
"""

IN_MEMORY: Final = """
import os, sys, time
import lightgbm
import numpy as np
import pyarrow.dataset as ds
table = ds.dataset(sys.argv[1]).to_table(columns=[f"x{number}" for number in range(30)])
matrix = np.empty((table.num_rows, 30))
for place, name in enumerate(table.column_names):
    matrix[:, place] = table[name].to_numpy()
del table
model = lightgbm.Booster(model_file=sys.argv[2])
model.predict(matrix[:1000])
started, busy = time.perf_counter(), time.process_time()
model.predict(matrix, num_threads=int(sys.argv[3]))
print(time.perf_counter() - started, time.process_time() - busy)
"""

SCRIPT: Final = """
import sys, time
import lightgbm
import pandas as pd
import pyarrow.parquet
from pathlib import Path
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
names = [f"x{number}" for number in range(30)]
learned = pd.read_parquet(sys.argv[1])
model = lightgbm.LGBMRegressor(n_estimators=200, num_leaves=63, n_jobs=int(sys.argv[4]), verbosity=-1)
steps = Pipeline([("scale", ColumnTransformer([("numbers", StandardScaler(), names)])), ("model", model)])
started, busy = time.perf_counter(), time.process_time()
steps.fit(learned[names], learned["price"])
print(time.perf_counter() - started, time.process_time() - busy)
out = Path(sys.argv[3])
out.mkdir(exist_ok=True)
for path in sorted(Path(sys.argv[2]).glob("*.parquet")):
    rows = pd.read_parquet(path)
    rows["prediction"] = steps.predict(rows[names])
    rows[["number", "prediction"]].to_parquet(out / path.name)
"""

PYFUNC: Final = """
import sys, time
import lightgbm
import mlflow.lightgbm
import pandas as pd
import pyarrow.parquet
from pathlib import Path
names = [f"x{number}" for number in range(30)]
booster = lightgbm.Booster(model_file=sys.argv[2], params={"num_threads": int(sys.argv[4])})
mlflow.lightgbm.save_model(booster, sys.argv[3] + "-model")
out = Path(sys.argv[3])
out.mkdir()
started, busy = time.perf_counter(), time.process_time()
model = mlflow.pyfunc.load_model(sys.argv[3] + "-model")
for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
    rows = pd.read_parquet(path)
    rows["prediction"] = model.predict(rows[names])
    rows[["number", "prediction"]].to_parquet(out / path.name)
print(time.perf_counter() - started, time.process_time() - busy)
"""


def main() -> None:
    """Run the benchmark."""
    from stackwright.assembly.gate_options import GATE_OPTIONS
    from stackwright_interfaces.compute import cores

    program, threads = str(Path(sys.executable).parent / "stackwright"), str(cores())
    mlflow, mlflow_version = peers.mlflow()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows, learned, out = folder / "rows", folder / "learned.parquet", folder / "out"
        subprocess.run([sys.executable, "-c", DATA, str(rows), str(ROWS), str(FILE_ROWS), str(learned)], check=True)
        gates = "\n".join(f"{name} = false" for name in GATE_OPTIONS)
        inputs = ", ".join(f'"x{number}"' for number in range(30))
        (folder / "blueprint.toml").write_text(BLUEPRINT.format(source=learned, gates=gates, inputs=inputs))
        (folder / "features.py").touch()
        at = ["--project", str(folder)]
        subprocess.run([program, "train", *at], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "promote", "price", *at], check=True, stdout=subprocess.DEVNULL)
        model = next(iter(folder.rglob("model.txt")))
        ours = [program, "score", str(rows), str(out), "--keep", "number", "--json", *at]
        alone = [sys.executable, "-c", IN_MEMORY, str(rows), str(model), threads]
        script = [sys.executable, "-c", SCRIPT, str(learned), str(rows), str(folder / "theirs"), threads]
        costs: dict[str, list[tuple[float, float]]] = {"ours": [], "alone": [], "script": [], "mlflow": []}
        busy: list[float] = []
        busy_mlflow: list[float] = []
        few, many = folder / "one", folder / "many"
        for place_, size in ((few, SMALL_FILES * SMALL_ROWS), (many, SMALL_ROWS)):
            make = [
                sys.executable,
                "-c",
                DATA,
                str(place_),
                str(SMALL_FILES * SMALL_ROWS),
                str(size),
                str(folder / "x"),
            ]
            subprocess.run(make, check=True)
        parts = [_part_cost(few, many, program, at) for _ in range(ROUNDS)]

        def in_memory() -> float:
            _, printed = measured(alone, costs["alone"])
            took, cpu = map(float, printed.split())
            busy.append(cpu)
            return took

        def by_script() -> float:
            took, printed = measured(script, costs["script"])
            fitted, fitting = map(float, printed.split())
            cpu_all, memory_all = costs["script"][-1]
            costs["script"][-1] = cpu_all - fitting, memory_all
            return took - fitted

        def by_mlflow() -> float:
            with tempfile.TemporaryDirectory(dir=folder) as theirs:
                pyfunc = [str(mlflow), "-c", PYFUNC, str(rows), str(model), f"{theirs}/out", threads]
                _, printed = measured(pyfunc, costs["mlflow"])
            took, cpu = map(float, printed.splitlines()[-1].split())
            busy_mlflow.append(cpu)
            return took

        def platform() -> float:
            took, printed = measured(ours, costs["ours"])
            assert json.loads(printed)["answered"] == ROWS
            return took

        works: dict[str, Callable[[], float]] = {
            "ours": platform, "alone": in_memory, "script": by_script, "mlflow": by_mlflow,
        }  # fmt: skip
        found = in_turn(works, ROUNDS, warm=int(ROUNDS > 1))
        written = sum(path.stat().st_size for path in out.rglob("*.parquet")) / ROWS
        read = sum(path.stat().st_size for path in rows.rglob("*.parquet")) / ROWS
    cpu = {name: Measured.of([cost[0] for cost in values[-ROUNDS:]]) for name, values in costs.items()}
    memory = {name: Measured.of([cost[1] for cost in values[-ROUNDS:]]) for name, values in costs.items()}
    booster = f"Booster.predict in memory, lightgbm {version('lightgbm')}"
    pandas = f"pandas {version('pandas')}, scikit-learn {version('scikit-learn')} script"
    pyfunc = f"MLflow {mlflow_version} pyfunc"
    what = f"{ROWS:,} rows x 30, Parquet to Parquet"
    report(
        "batch-quick" if QUICK else "batch",
        [
            Row(what, "s", found["ours"], booster, found["alone"], ratio_bar=1 / 0.9),
            Row("CPU time", "s", cpu["ours"], booster, Measured.of(busy[-ROUNDS:]), ratio_bar=1 / 0.9),
            Row("peak memory", "MB", memory["ours"], booster, memory["alone"], bar=1500),
            Row(what, "s", found["ours"], pandas, found["script"], ratio_bar=1 / 3),
            Row("CPU time", "s", cpu["ours"], pandas, cpu["script"]),
            Row("peak memory", "MB", memory["ours"], pandas, memory["script"]),
            Row(what, "s", found["ours"], pyfunc, found["mlflow"], ratio_bar=1 / 3),
            Row("CPU time", "s", cpu["ours"], pyfunc, Measured.of(busy_mlflow[-ROUNDS:])),
            Row("peak memory", "MB", memory["ours"], pyfunc, memory["mlflow"]),
            Row("CPU time of a part beside its rows", "ms", Measured.of([1000 * cost for cost in parts])),
        ],
        [
            f"{ROWS / found['ours'].median:,.0f} rows/s, {1e6 * cpu['ours'].median / ROWS:.2f} µs of CPU a row",
            f"{read:.0f} bytes a row read, {written:.1f} written",
        ],
    )


def _part_cost(few: Path, many: Path, program: str, at: list[str]) -> float:
    """Return the seconds of CPU that each further part of the same rows takes."""
    costs: list[tuple[float, float]] = []
    for rows in (few, many):
        measured([program, "score", str(rows), str(rows.with_name(f"{rows.name}-out")), "--json", *at], costs)
    return (costs[1][0] - costs[0][0]) / (SMALL_FILES - 1)


if __name__ == "__main__":
    main()
