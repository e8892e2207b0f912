"""``isolated``: what a call costs in an environment of its own, over the same call in this process.

The environment is the one that this runs in, started apart: what is measured is the way there and back. CPU is that of
both processes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from harness import Measured, Row, in_turn, report

from stackwright_duckdb import plugin as duckdb
from stackwright_interfaces.feature_store import OfflineStore
from stackwright_interfaces.model import Signature
from stackwright_interfaces.plugin import AdapterSpec
from stackwright_interfaces.testing.adapters import load_factory, spec_of
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.trainer import Task, TaskKind, Trainer, TrainingData
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_isolated.testing import build_apart
from stackwright_lightgbm import plugin as lightgbm

ROWS: Final = 1_000_000
COLUMNS: Final = 10
CALLS: Final = 1000
TREES: Final = 50
HERE: Final = "in this process"
TICK: Final = os.sysconf("SC_CLK_TCK")


@contextmanager
def both(spec: AdapterSpec, folder: Path, **given: Any) -> Iterator[dict[str, Any]]:
    """Give an adapter apart and in this process."""
    with ExitStack() as opened:
        here = load_factory(spec)(spec.config(**given), make_context(folder / "here"))
        apart = build_apart(spec, make_context(folder / "apart"), **given)
        for part in (here, apart):
            opened.callback(part.close)
        yield {"apart": apart, "here": here}


def cpu(child: int) -> float:
    """Return the CPU that this process and a child took, in seconds."""
    taken = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(taken[11]) + int(taken[12])) / TICK


def compared(metric: str, works: Mapping[str, Callable[[], object]], child: int, rounds: int, times: int) -> list[Row]:
    """Return two lines, by the clock and by CPU: apart over in this process.

    Args:
        times: calls in a round; their mean counts.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}

    def run(name: str) -> float:
        before, begun = cpu(child), time.perf_counter()
        for _ in range(times):
            works[name]()
        clock = time.perf_counter() - begun
        taken[name].append(1e3 * (cpu(child) - before) / times)
        return 1e3 * clock / times

    clock = in_turn({name: partial(run, name) for name in works}, rounds)
    used = {name: Measured.of(found[1:]) for name, found in taken.items()}
    return [
        Row(f"{metric}: by the clock", "ms", clock["apart"], HERE, clock["here"]),
        Row(f"{metric}: CPU", "ms", used["apart"], HERE, used["here"]),
    ]


def stores(table: pa.Table, rounds: int) -> Iterator[Row]:
    """Measure calls of an offline store."""
    with tempfile.TemporaryDirectory() as folder, both(spec_of(duckdb, OfflineStore), Path(folder), threads=1) as parts:
        child = parts["apart"]._apart.calls.process.number
        yield from compared(
            "an empty call", {n: partial(part.apply, []) for n, part in parts.items()}, child, rounds, CALLS
        )
        sums = f"SELECT {', '.join(f'sum({name})' for name in table.column_names)} FROM t"
        size = f"{table.num_rows:,} rows x {COLUMNS}"
        for metric, query in ((f"{size} in, one row out", sums), (f"{size} in and out", "SELECT * FROM t")):

            def run(store: Any, query: str = query) -> None:
                pa.table(store.sql(query, {"t": table}))

            yield from compared(metric, {n: partial(run, part) for n, part in parts.items()}, child, rounds, 1)


def trainers(matrix: Any, rounds: int) -> Iterator[Row]:
    """Measure a fit, and predictions."""
    fields = tuple(Field(f"f{place}", FLOAT64) for place in range(COLUMNS))
    task = Task(kind=TaskKind.REGRESSION, signature=Signature(inputs=fields, outputs=(Field("y", FLOAT64),)))
    data = TrainingData(inputs=matrix, target=matrix.sum(axis=1))
    spec = spec_of(lightgbm, Trainer)
    with tempfile.TemporaryDirectory() as folder, both(spec, Path(folder), num_iterations=TREES) as parts:
        child = parts["apart"]._apart.calls.process.number

        def fit(trainer: Any) -> Any:
            return trainer.fit(task, data, None, {}, seed=1, threads=1)

        metric = f"a fit of {TREES} trees on {len(matrix):,} rows x {COLUMNS}"
        yield from compared(metric, {n: partial(fit, part) for n, part in parts.items()}, child, rounds, 1)
        made = {name: fit(part).predictor() for name, part in parts.items()}
        for count, times in ((1, CALLS), (len(matrix), 1)):
            works = {name: partial(predictor.predict, matrix[:count]) for name, predictor in made.items()}
            yield from compared(f"predicting {count:,} rows", works, child, rounds, times)


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, to try it out")
    quick = parser.parse_args().quick
    rows, rounds = (ROWS // 20, 2) if quick else (ROWS, 5)
    matrix = np.random.default_rng(1).normal(size=(rows, COLUMNS))
    table = pa.table({f"f{place}": matrix[:, place].copy() for place in range(COLUMNS)})
    report("isolated", [*stores(table, rounds), *trainers(matrix, max(2, rounds - 2))])


if __name__ == "__main__":
    main()
