"""``training``: what the platform adds to one LightGBM fit on a million rows, in time and in memory.

The platform reads the rows, cuts them by time, fits, measures on the newer rows, stages, hashes, publishes and keeps
the run; the plain script reads, cuts, fits, measures and saves. Both are whole processes with the same parameters and
threads. The search, the intervals and the gates, most of which fit again, are no part of it. On a busy machine CPU time
tells more than wall time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from harness import Measured, Row, in_turn, report

ROWS: Final = int(os.environ.get("BENCH_ROWS", "1000000"))
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "3"))
TREES: Final = int(os.environ.get("BENCH_TREES", "100"))

BLUEPRINT: Final = """
name = "training"
registry = "files"
[models.price]
data = {{ source = "{source}", time = "asked", target = "price" }}
interval = 0
trainer = {{ adapter = "lightgbm", num_iterations = {trees}, learning_rate = 0.1, feature_fraction = 1.0 }}
[models.price.gates]
{gates}
"""

PLAIN: Final = """
import sys
import lightgbm
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet
rows = pyarrow.parquet.read_table(sys.argv[1])
names = [name for name in rows.column_names if name not in ("asked", "price")]
order = np.argsort(rows["asked"].to_numpy(), kind="stable")
texts = [name for name in names if name.startswith("k")]
inputs = np.empty((rows.num_rows, len(names)))
for place, name in enumerate(names):
    column = rows[name]
    if name in texts:
        column = pc.index_in(column, pc.unique(column).sort())
    inputs[:, place] = column.to_numpy()
inputs, target = inputs[order], rows["price"].to_numpy()[order]
del rows
cut = int(len(order) * 0.8)
parameters = {"objective": "regression", "num_leaves": 31, "learning_rate": 0.1, "seed": 7, "deterministic": True,
              "force_col_wise": True, "num_threads": int(sys.argv[2]), "verbosity": -1}
places = [names.index(name) for name in texts]
data = lightgbm.Dataset(inputs[:cut], target[:cut], feature_name=names, categorical_feature=places)
model = lightgbm.train(parameters, data, int(sys.argv[4]))
error = np.abs(model.predict(inputs[cut:], num_threads=int(sys.argv[2])) - target[cut:])
print(error.mean(), np.median(error / target[cut:]))
model.save_model(sys.argv[3])
"""

DATA: Final = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet
random, count = np.random.default_rng(1), int(sys.argv[2])
columns = {f"x{number}": random.normal(size=count) for number in range(36)}
texts = np.array([f"category {item}" for item in range(20)])
columns |= {f"k{number}": texts[random.integers(0, 20, count)] for number in range(4)}
level = 5 + 0.3 * columns["x0"] + 0.2 * columns["x1"] * columns["x2"]
asked = np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "m")
price = np.exp(level + random.normal(0, 0.1, count))
columns |= {"asked": pa.array(asked).cast(pa.timestamp("us", "UTC")), "price": price}
pa.parquet.write_table(pa.table(columns), sys.argv[1])
"""


def measured(command: list[str], costs: list[tuple[float, float]]) -> tuple[float, str]:
    """Run a command; return its seconds and what it printed, and note its CPU seconds and peak memory in megabytes."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - started
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{printed}")
    costs.append((used.ru_utime + used.ru_stime, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)))
    return took, printed


def main() -> None:
    """Run the benchmark."""
    from stackwright.assembly.gate_options import GATE_OPTIONS
    from stackwright_interfaces.compute import cores

    program, threads = str(Path(sys.executable).parent / "stackwright"), str(cores())
    with tempfile.TemporaryDirectory() as place:
        folder, source = Path(place), Path(place) / "rows.parquet"
        subprocess.run([sys.executable, "-c", DATA, str(source), str(ROWS)], check=True)
        gates = "\n".join(f"{name} = false" for name in GATE_OPTIONS)
        (folder / "blueprint.toml").write_text(BLUEPRINT.format(source=source, gates=gates, trees=TREES))
        (folder / "features.py").touch()
        ours, theirs = [program, "train", "--force", "--json", "--project", str(folder)], folder / "model.txt"
        plain = [sys.executable, "-c", PLAIN, str(source), threads, str(theirs), str(TREES)]
        costs: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
        steps: list[dict[str, float]] = []

        def platform() -> float:
            took, printed = measured(ours, costs["ours"])
            steps.append(json.loads(printed)["seconds"])
            return took

        works: dict[str, Callable[[], float]] = {"ours": platform, "plain": lambda: measured(plain, costs["plain"])[0]}
        found = in_turn(works, ROUNDS, warm=int(ROUNDS > 1))
    reference = f"plain script, lightgbm {version('lightgbm')}"
    cpu, memory = (
        {name: Measured.of([cost[place] for cost in values[-ROUNDS:]]) for name, values in costs.items()}
        for place in (0, 1)
    )
    rows = [
        Row(f"train on {ROWS:,} x 40 rows", "s", found["ours"], reference, found["plain"], ratio_bar=1.1),
        Row("CPU time", "s", cpu["ours"], reference, cpu["plain"], ratio_bar=1.1),
        Row("peak memory", "MB", memory["ours"], reference, memory["plain"], ratio_bar=1.3),
    ]
    rows += [Row(f"of it: {step}", "s", Measured.of([item[step] for item in steps[-ROUNDS:]])) for step in steps[-1]]
    report("training", rows)


if __name__ == "__main__":
    main()
