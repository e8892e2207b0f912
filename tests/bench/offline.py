"""``offline``: point-in-time joins against Feast and against a bare ASOF join of DuckDB; windows; ingestion.

Every piece of work is a process of its own, which joins a few labels to get warm and is then timed; its memory is the
most that it held. Ten features, 100,000 entities. Reading the labels and starting the process are not timed.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import bench_data
from harness import Measured, Row, in_turn, report
from peers import Child, feast

NAMES: Final = [f"f{number}" for number in range(10)]
EVENT_NAMES: Final = ["value"]
ENTITIES: Final = 100_000
MILLION: Final = 1_000_000
GB: Final = 1e9
ROUNDS: Final = 3
NEAR: Final = 1e-9


@dataclass(frozen=True)
class Case:
    """A join that is measured.

    Args:
        labels: rows of labels.
        rows: rows of history.
        against_duckdb: greatest ratio of time to Feast on DuckDB.
        against_dask: the same on Feast's default engine; ``None`` leaves that out.
        against_bare: the same to a bare ASOF join, where asked for.
        memory: greatest ratio of memory to Feast on DuckDB, where asked for.
    """

    labels: int
    rows: int
    against_duckdb: float
    against_dask: float | None = None
    against_bare: float | None = None
    memory: float | None = None

    @property
    def name(self) -> str:
        """Labels x history."""
        return f"{shown(self.labels)} x {shown(self.rows)}"


CASES: Final = (
    Case(MILLION, MILLION, against_duckdb=1 / 5, against_dask=1 / 20, memory=1 / 2),
    Case(MILLION, 10 * MILLION, against_duckdb=1 / 8, against_bare=1.7),
    Case(MILLION // 100, 10 * MILLION, against_duckdb=1.0),
)


def shown(count: int) -> str:
    """Return a number of rows as people write it."""
    return f"{count / MILLION:g} M" if count >= MILLION else f"{count:,}"


@dataclass(frozen=True)
class Found:
    """What was measured: name → value.

    Args:
        seconds: by the clock.
        cpu: seconds of all cores, which a busy machine changes less.
        memory: GB.
        last: what each answered in the last round.
    """

    seconds: dict[str, Measured]
    cpu: dict[str, Measured]
    memory: dict[str, Measured]
    last: dict[str, dict[str, Any]]


@dataclass
class Bench:
    """Where things lie, and what was found on the way.

    Args:
        folder: for this run.
        shrink: by how much all sizes are smaller.
        feast: interpreter and version of Feast.
    """

    folder: Path
    shrink: int
    feast: tuple[Path, str]
    notes: list[str] = field(default_factory=list)
    made: int = 0

    def run(self, program: str, python: Path | str, work: str, **question: Any) -> dict[str, Any]:
        """Do one piece of work in a process of its own."""
        self.made += 1
        place = self.folder / f"child{self.made}"
        place.mkdir()
        with Child(python, program, [str(place)], place / "log") as child:
            found = child.ask(work=work, **question)
        shutil.rmtree(place)
        return found

    def ours(self, work: str, **question: Any) -> dict[str, Any]:
        """Do ours, or the bare one."""
        return self.run("offline_child.py", sys.executable, work, **question)

    def size(self, count: int) -> int:
        """Return a number of rows as this run has it."""
        return max(count // self.shrink, 100)

    def history(self, rows: int, names: list[str]) -> tuple[Path, str]:
        """Return a file of history, and the folder of a store that holds it."""
        path = bench_data.history(self.size(rows), self.size(ENTITIES), names)
        folder = self.folder / path.stem
        if not folder.exists():
            folder.mkdir()
            found = self.ours("ingest_ours", folder=str(folder), history=str(path), names=names)
            assert found["rows"] == self.size(rows), found
            speed = f"{found['rows'] / found['seconds']:,.0f} rows/s, {found['peak'] / GB:.2f} GB"
            self.notes.append(f"ingest of {shown(self.size(rows))} x {len(names)}, a million a call: {speed}")
        return path, str(folder)

    def in_turn(self, works: dict[str, Callable[[], dict[str, Any]]], rounds: int) -> Found:
        """Do each once a round."""
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in works}

        def seconds(name: str) -> float:
            answers[name].append(works[name]())
            return float(answers[name][-1]["seconds"])

        found = in_turn({name: lambda name=name: seconds(name) for name in works}, rounds, warm=0)
        return Found(
            seconds=found,
            cpu={name: Measured.of([answer["cpu"] for answer in given]) for name, given in answers.items()},
            memory={name: Measured.of([answer["peak"] / GB for answer in given]) for name, given in answers.items()},
            last={name: given[-1] for name, given in answers.items()},
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the rows, to try it out")
    parser.add_argument("--only", choices=("join", "windows", "ingest"), help="one part of it")
    chosen = parser.parse_args()
    parts = {"join": joins, "windows": windows, "ingest": ingestion}
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place), 50 if chosen.quick else 1, feast())
        rows = [row for name, part in parts.items() if chosen.only in (None, name) for row in part(bench)]
    name = "-".join(["offline", *([chosen.only] if chosen.only else []), *(["quick"] if chosen.quick else [])])
    report(name, rows, bench.notes)


def joins(bench: Bench) -> list[Row]:
    """Measure the cases."""
    return [row for case in CASES for row in joined(bench, case)]


def joined(bench: Bench, case: Case) -> list[Row]:
    """Measure one case."""
    labels = str(bench_data.labels(bench.size(case.labels), bench.size(ENTITIES)))
    path, folder = bench.history(case.rows, NAMES)
    history = str(path)
    python, number = bench.feast

    def peer(engine: str) -> Callable[[], dict[str, Any]]:
        question = {"engine": engine, "history": history, "labels": labels, "names": NAMES}
        return lambda: bench.run("feast_offline.py", python, "join", **question)

    works = {
        "ours": lambda: bench.ours("join_ours", folder=folder, labels=labels, names=NAMES),
        "bare": lambda: bench.ours("join_bare", history=history, labels=labels, names=NAMES),
        "duckdb": peer("duckdb"),
    }
    if case.against_dask is not None:
        works["dask"] = peer("dask")
    found = bench.in_turn(works, ROUNDS)
    check(bench, case, found.last)
    references = {
        "duckdb": (f"Feast {number} duckdb", case.against_duckdb, case.memory),
        "dask": (f"Feast {number} dask", case.against_dask, None),
        "bare": (f"DuckDB {version('duckdb')} ASOF", case.against_bare, None),
    }
    rows = []
    for name, (reference, bar, memory_bar) in references.items():
        if name in works:
            rows += [
                Row(case.name, "s", found.seconds["ours"], reference, found.seconds[name], ratio_bar=bar),
                Row(f"{case.name}, CPU", "s", found.cpu["ours"], reference, found.cpu[name]),
                Row(
                    f"{case.name}, memory",
                    "GB",
                    found.memory["ours"],
                    reference,
                    found.memory[name],
                    ratio_bar=memory_bar,
                ),
            ]
    return rows


def check(bench: Bench, case: Case, answers: dict[str, dict[str, Any]]) -> None:
    """Compare what was joined; we must agree with the bare join, and what Feast gives otherwise is told.

    Raises:
        SystemExit: we do not agree with the bare join.
    """
    ours = answers["ours"]
    for name, found in answers.items():
        if found["rows"] == ours["rows"] and math.isclose(found["sum"], ours["sum"], rel_tol=NEAR, abs_tol=1e-3):
            continue
        text = f"{case.name}: {name} gives {found['rows']:,} rows, sum {found['sum']:.6f}; "
        text += f"ours {ours['rows']:,}, sum {ours['sum']:.6f}"
        if name == "bare":
            raise SystemExit(text)
        bench.notes.append(text)


def windows(bench: Bench) -> list[Row]:
    """Measure five windows over ever more events."""
    labels = str(bench_data.labels(bench.size(MILLION), bench.size(ENTITIES)))
    sizes = [2_500_000, 5 * MILLION, 10 * MILLION]
    works = {}
    for size in sizes:
        _, folder = bench.history(size, EVENT_NAMES)
        question = {"folder": folder, "labels": labels, "names": EVENT_NAMES, "service": "aggregates@1"}
        works[shown(size)] = lambda question=question: bench.ours("join_ours", **question)
    found = bench.in_turn(works, ROUNDS)
    for kind, values in (("time", found.seconds), ("CPU", found.cpu)):
        first, last = values[shown(sizes[0])].median, values[shown(sizes[-1])].median
        power = math.log(last / first) / math.log(sizes[-1] / sizes[0])
        bench.notes.append(f"five windows: {kind} grows with the events to the power of {power:.2f}")
    name = f"{shown(MILLION)} labels x 5 windows over {{}} events"
    return [
        row
        for size in works
        for row in (
            Row(name.format(size), "s", found.seconds[size]),
            Row(f"{name.format(size)}, CPU", "s", found.cpu[size]),
            Row(f"{name.format(size)}, memory", "GB", found.memory[size]),
        )
    ]


def ingestion(bench: Bench) -> list[Row]:
    """Measure ingesting a table, and files by the verb."""
    return [*ingested_table(bench), *ingested_files(bench)]


def ingested_files(bench: Bench) -> list[Row]:
    """Measure the verb ``ingest`` on five million rows of four columns, of Parquet and of CSV."""
    places = iter(bench.folder / f"files{number}" for number in range(10 * ROUNDS))

    def ours(source: Path) -> dict[str, Any]:
        place = next(places)
        place.mkdir()
        found = bench.ours("ingest_file", folder=str(place), source=str(source))
        shutil.rmtree(place)
        return found

    files = {
        suffix: bench_data.listings(bench.size(5 * MILLION), bench.size(ENTITIES), suffix)
        for suffix in (".parquet", ".csv")
    }
    found = bench.in_turn({suffix: lambda path=path: ours(path) for suffix, path in files.items()}, ROUNDS)
    rows = []
    for suffix, last in found.last.items():
        name = f"verb ingest of {shown(5 * MILLION)} rows of {suffix}"
        count = int(last["rows"])
        speeds = (f"{count / value[suffix].median:,.0f} rows/s {by}" for value, by in
                  ((found.seconds, "by the clock"), (found.cpu, "of CPU")))  # fmt: skip
        bench.notes.append(f"{name}: {', '.join(speeds)}; {last['before'] / GB:.2f} GB were held before it")
        rows += [
            Row(name, "s", found.seconds[suffix]),
            Row(f"{name}, CPU", "s", found.cpu[suffix]),
            Row(f"{name}, memory", "GB", found.memory[suffix], bar=0.7),
        ]
    return rows


def ingested_table(bench: Bench) -> list[Row]:
    """Measure ingesting a million rows of ten features."""
    path = str(bench_data.history(bench.size(MILLION), bench.size(ENTITIES), NAMES))
    places = iter(bench.folder / f"ingest{number}" for number in range(10 * ROUNDS))

    def ours() -> dict[str, Any]:
        place = next(places)
        place.mkdir()
        found = bench.ours("ingest_ours", folder=str(place), history=path, names=NAMES)
        shutil.rmtree(place)
        return found

    copy = bench.folder / "copy.parquet"
    works = {"ours": ours, "bare": lambda: bench.ours("copy_bare", file=str(copy), history=path)}
    found = bench.in_turn(works, ROUNDS)
    reference = f"DuckDB {version('duckdb')} COPY to Parquet"
    count, seconds = bench.size(MILLION), found.seconds
    bench.notes += [
        f"ingest: {count / seconds['ours'].median:,.0f} rows/s; COPY: {count / seconds['bare'].median:,.0f} rows/s"
    ]
    name = f"ingest of {shown(MILLION)} rows"
    return [
        Row(name, "s", seconds["ours"], reference, seconds["bare"]),
        Row(f"{name}, CPU", "s", found.cpu["ours"], reference, found.cpu["bare"]),
        Row(f"{name}, memory", "GB", found.memory["ours"], reference, found.memory["bare"]),
    ]


if __name__ == "__main__":
    main()
