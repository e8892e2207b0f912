"""``serving``: CPU, latency and memory of answering over HTTP, beside an app by hand, BentoML, MLflow and Feast.

One LightGBM model of 200 trees with 63 leaves over 30 features. Ours and the app by hand take a key, read three views
of ten floats and predict; BentoML and MLflow are handed the 30 numbers, and only predict; Feast's feature server reads
for a BentoML service. Every server runs one worker, all at once, and is driven in turn.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import lmdb
import load
import numpy as np
import pyarrow.parquet as pq
import serving_project
from harness import Measured, Row, report
from peers import DROPPED, feast, mlflow

HERE: Final = Path(__file__).parent
CONCURRENCIES: Final = (1, 16, 64)
CANDIDATES: Final = 500
BARS: Final = {"by hand": 3.0, "BentoML": 1 / 8, "BentoML batching": 1 / 5, "MLflow": 1 / 7, "Feast + BentoML": 1 / 15}
WORKERS_BAR: Final = 1.15
CANDIDATES_BAR: Final = 25.0
START_BAR: Final = 1.5


@dataclass(frozen=True)
class Target:
    """A running server, or several that answer together.

    Args:
        url: where requests are sent.
        requests: their bytes, in turn.
        roots: its processes, whose descendants count too.
        count: requests a measurement.
        seconds: from its start to its first answer.
    """

    url: str
    requests: Sequence[bytes]
    roots: Sequence[int]
    count: int
    seconds: float

    def drive(self, concurrency: int, count: int | None = None) -> load.Loaded:
        """Measure it once."""
        return load.drive(
            self.url, self.requests, concurrency=concurrency, count=count or self.count, roots=self.roots, warm=50
        )

    def memory(self) -> float:
        """Return the megabytes of all its processes."""
        return sum(load.memory_of(load.family(self.roots)).values()) / 1e6


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], url: str, first: bytes, log: Path, cwd: Path = HERE
) -> Iterator[tuple[int, float]]:
    """Run a server until the block ends; give its process and the seconds to its first right answer."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED} | dict(variables)
    with log.open("ab") as out:
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment, cwd=cwd, stdout=out, stderr=out, process_group=0)
    try:
        while not load.answers(url, first):
            if child.poll() is not None or time.perf_counter() - started > 180:
                raise SystemExit(f"{command} did not come up:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.01)
        yield child.pid, time.perf_counter() - started
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def until_compiled(url: str, lists: Sequence[bytes], project: Path, model: Path, began: float) -> None:
    """Ask a server for lists until it has compiled a model, or taken what another had compiled."""
    code = f".stackwright/**/lightgbm/{sha256(model.read_bytes()).hexdigest()}-*.code"
    while not any(found.stat().st_mtime >= began for found in project.glob(code)):
        load.drive(url, lists, concurrency=1, count=50, roots=(), warm=0)
    time.sleep(1)


class Servers:
    """All servers, over one set of rows and one model.

    Args:
        folder: where their files lie.
        entities: keys of each view.
        counts: requests a measurement: of ours and the app by hand, and of the peers.
    """

    def __init__(self, folder: Path, entities: int, counts: tuple[int, int], opened: ExitStack) -> None:
        self._folder, self._entities, self._opened = folder, entities, opened
        self._ours, self._peers = counts
        self._keys = [random.randrange(entities) for _ in range(1000)]
        self.model = {name: serving_project.make(folder / name, name, entities) for name in ("sqlite", "lmdb")}

    def ours(self, store: str, env: str = "", model: str = "valuation", rows: int = 1) -> Target:
        """Start our server."""
        port = free_port()
        url, path = f"http://127.0.0.1:{port}", f"/predict/{model}"
        command = [sys.executable, "-m", "stackwright.cli.main", "serve", f"--env={env}", "--port", str(port)]
        requests = [load.request(url, path, {"entity_id": key}) for key in self._keys]
        batches = [random.sample(range(self._entities), max(rows, 500)) for _ in range(50)]
        lists = [load.request(url, path, {"rows": [{"entity_id": key} for key in batch]}) for batch in batches]
        began, project = time.time(), self._folder / store
        target = self._started(command, {}, url, requests if rows == 1 else lists, self._ours, cwd=project)
        until_compiled(url, lists, project, self.model[store][model], began)
        return target

    def by_hand(self, store: str, *, native: bool = False) -> Target:
        """Start the app written by hand."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "BARE_STORE": str(self._bare(store)),
            "BARE_MODEL": str(self.model["sqlite"]["valuation"]),
            "BARE_NATIVE": "1" if native else "",
        }
        command = [sys.executable, "-m", "uvicorn", "bare_app:app", "--port", str(port), "--no-access-log"]
        requests = [load.request(url, "/predict", {"entity_id": key}) for key in self._keys]
        return self._started([*command, "--log-level", "warning"], variables, url, requests, self._ours)

    def bentoml(self, service: str, requests: Callable[[str], Sequence[bytes]], **more: Any) -> Target:
        """Start a BentoML service."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "BENCH_MODEL": str(self.model["sqlite"]["valuation"]),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(self._folder / "bentoml"),
            **more.get("variables", {}),
        }
        bentoml = str(Path(sys.executable).parent / "bentoml")
        command = [bentoml, "serve", f"bento_services:{service}", "--host", "127.0.0.1", "--port", str(port)]
        return self._started(command, variables, url, requests(url), self._peers, beside=more.get("beside", ()))

    def numbers(self, path: str, key: str) -> Callable[[str], Sequence[bytes]]:
        """Return what makes requests of 30 numbers."""
        rows = np.random.default_rng(5).normal(size=(500, 1, 30)).tolist()
        return lambda url: [load.request(url, path, {key: row}) for row in rows]

    def mlflow(self) -> tuple[Target, str]:
        """Start MLflow's scoring server; return its version too."""
        python, number = mlflow()
        saved, port = self._folder / "mlflow-model", free_port()
        url = f"http://127.0.0.1:{port}"
        model = "lightgbm.Booster(model_file=sys.argv[1])"
        code = f"import sys, lightgbm, mlflow.lightgbm; mlflow.lightgbm.save_model({model}, sys.argv[2])"
        subprocess.run(
            [str(python), "-c", code, str(self.model["sqlite"]["valuation"]), str(saved)],
            check=True,
            capture_output=True,
        )
        command = [str(python), "-m", "mlflow", "models", "serve", "-m", str(saved), "--env-manager", "local"]
        variables = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        requests = self.numbers("/invocations", "inputs")(url)
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        return self._started(command, variables, url, requests, self._peers), number

    def feast(self) -> tuple[Target, str]:
        """Start Feast's feature server and a BentoML service that asks it; return Feast's version too."""
        python, number = feast()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        files = [str(path) for name, path in serving_project.files(self._entities).items() if name != "wide"]
        command = [str(python), str(HERE / "feast_serving.py"), str(self._folder / "feast"), str(port), *files]
        first = load.request(url, "/get-online-features", {"feature_service": "all", "entities": {"entity_id": [0]}})
        log = self._folder / "feast.log"
        root, _ = self._opened.enter_context(running(command, {"FEAST_USAGE": "False"}, url, first, log))
        made = [{"entity_id": key} for key in self._keys]
        target = self.bentoml(
            "WithFeast",
            lambda own: [load.request(own, "/predict", document) for document in made],
            variables={"BENCH_FEAST": url},
            beside=(root,),
        )
        return target, number

    def _started(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        url: str,
        requests: Sequence[bytes],
        count: int,
        beside: Sequence[int] = (),
        cwd: Path = HERE,
    ) -> Target:
        log = self._folder / f"{url.rpartition(':')[2]}.log"
        root, seconds = self._opened.enter_context(running(command, variables, url, requests[0], log, cwd))
        return Target(url, requests, (root, *beside), count, seconds)

    def _bare(self, store: str) -> Path:
        """Return the store of the app by hand, written if it is not there yet."""
        path = self._folder / ("bare.mdb" if store == "lmdb" else "bare.db")
        if not path.exists():
            tables = [
                pq.read_table(file) for name, file in serving_project.files(self._entities).items() if name != "wide"
            ]
            write_lmdb(path, tables) if store == "lmdb" else write_sqlite(path, tables)
        return path


def write_sqlite(path: Path, tables: Sequence[Any]) -> None:
    """Write a table a view, a column a feature."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    for view, table in enumerate(tables):
        names = serving_project.names_of(view)
        columns = ", ".join(f"{name} REAL" for name in names)
        connection.execute(f"CREATE TABLE view{view} (entity_id INTEGER PRIMARY KEY, {columns})")
        rows = zip(*(table[name].to_pylist() for name in ["entity_id", *names]), strict=True)
        marks = ", ".join("?" * (1 + len(names)))
        connection.executemany(f"INSERT INTO view{view} VALUES ({marks})", rows)
    connection.commit()
    connection.close()


def write_lmdb(path: Path, tables: Sequence[Any]) -> None:
    """Write ten floats a view and key."""
    with lmdb.open(str(path), map_size=1 << 31) as opened, opened.begin(write=True) as transaction:
        for view, table in enumerate(tables):
            matrix = np.column_stack([table[name].to_numpy() for name in serving_project.names_of(view)])
            for key, row in zip(table["entity_id"].to_pylist(), matrix, strict=True):
                transaction.put(b"%d:%d" % (view, key), row.tobytes())


def rounds_of(targets: Mapping[str, Target], rounds: int) -> dict[tuple[str, int, str], Measured]:
    """Drive every server at every concurrency in turn; return (name, concurrency, figure) → what was measured."""
    values: dict[tuple[str, int, str], list[float]] = {}
    for number in range(rounds):
        for concurrency in CONCURRENCIES:
            for name, target in targets.items():
                found = target.drive(concurrency)
                for figure, value in vars(found).items():
                    values.setdefault((name, concurrency, figure), []).append(value)
                told = f"{found.cpu:,.0f} µs CPU, p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms"
                sys.stderr.write(f"round {number + 1} of {rounds}, {concurrency} at once, {name}: {told}\n")
    return {key: Measured.of(found) for key, found in values.items()}


def compared(found: Mapping[tuple[str, int, str], Measured], pairs: Sequence[tuple[str, str, str, str]]) -> list[Row]:
    """Return the rows: CPU first, then the clock a request, then latencies.

    Args:
        pairs: ours, the peer, what its bar is called, and its name with its version.
    """
    rows = []
    for figure, unit in (("cpu", "µs CPU"), ("clock", "µs"), ("p50", "ms"), ("p99", "ms")):
        for concurrency in CONCURRENCIES:
            for ours, peer, bar, shown in pairs:
                ratio = BARS.get(bar) if figure == "cpu" and concurrency == CONCURRENCIES[1] else None
                own, theirs = (found[name, concurrency, figure] for name in (ours, peer))
                rows.append(Row(f"{figure}, {concurrency} at once: {ours}", unit, own, shown, theirs, ratio_bar=ratio))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few entities and rounds, to try it out")
    parser.add_argument("--only", choices=("ours",), help="leave out BentoML, MLflow and Feast")
    options = parser.parse_args()
    entities, rounds, counts = (5_000, 2, (600, 150)) if options.quick else (100_000, 7, (3000, 600))
    random.seed(7)
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        servers = Servers(Path(place), entities, counts, opened)
        targets = {f"{store}": servers.ours(store) for store in ("sqlite", "lmdb")}
        pairs: list[tuple[str, str, str, str]] = []
        starlette = f"Starlette {version('starlette')} by hand"
        for store in ("sqlite", "lmdb"):
            targets[f"by hand, {store}"] = servers.by_hand(store)
            pairs.append((store, f"by hand, {store}", "by hand", f"{starlette}, {store}"))
        targets["by hand, native"] = servers.by_hand("sqlite", native=True)
        pairs.append(("sqlite", "by hand, native", "", f"{starlette}, our C call"))
        if options.only is None:
            pairs += peers(servers, targets)
        found = rounds_of(targets, rounds)
        rows = compared(found, pairs)
        rows += workers(servers, targets["sqlite"], rounds)
        rows += candidates(servers, rounds, 40 if options.quick else 200)
        rows += starts(servers, targets, pairs, rounds)
        notes = [
            f"{name}: {target.memory():,.0f} MB, ready after {target.seconds:.1f} s" for name, target in targets.items()
        ]
        report("serving-quick" if options.quick else "serving", rows, notes)


def peers(servers: Servers, targets: dict[str, Target]) -> list[tuple[str, str, str, str]]:
    """Start the peers; return what they are compared with."""
    number = version("bentoml")
    targets["BentoML"] = servers.bentoml("Alone", servers.numbers("/predict", "rows"))
    targets["BentoML batching"] = servers.bentoml("Batching", servers.numbers("/predict", "rows"))
    targets["MLflow"], of_mlflow = servers.mlflow()
    targets["Feast + BentoML"], of_feast = servers.feast()
    shown = {
        "BentoML": f"BentoML {number}, prediction alone",
        "BentoML batching": f"BentoML {number}, batching",
        "MLflow": f"MLflow {of_mlflow}, prediction alone",
        "Feast + BentoML": f"Feast {of_feast} + BentoML {number}",
    }
    return [("sqlite", name, name, text) for name, text in shown.items()]


def workers(servers: Servers, one: Target, rounds: int) -> list[Row]:
    """Measure two workers against one: with as many requests at once for each of them, and for both together.

    Requests that come at the same moment share work, so that a worker which gets half of them takes more for each.
    """
    two = servers.ours("sqlite", env="two")
    rows = []
    for at_once, bar in ((16, WORKERS_BAR), (8, None)):
        alone, both = (Measured.of(values) for values in zip(*turns(one, two, at_once, rounds), strict=True))
        metric = f"cpu, {at_once} at once a worker: two workers"
        rows.append(Row(metric, "µs CPU", both, "one worker, 16 at once", alone, ratio_bar=bar))
    return rows


def turns(one: Target, two: Target, at_once: int, rounds: int) -> list[tuple[float, float]]:
    """Drive one worker with 16 requests at once, and two with so many each; return the CPU of both, round by round."""
    return [(one.drive(16).cpu, two.drive(2 * at_once).cpu) for _ in range(rounds)]


def candidates(servers: Servers, rounds: int, count: int) -> list[Row]:
    """Measure 500 candidates with 40 features in one request."""
    rows = []
    for store in ("lmdb", "sqlite"):
        target = servers.ours(store, model="ranking", rows=CANDIDATES)
        found = [target.drive(1, count) for _ in range(rounds)]
        name = f"{CANDIDATES} candidates, 40 features: {store}"
        bar = CANDIDATES_BAR if store == "lmdb" else None
        rows.append(Row(f"p99, {name}", "ms", Measured.of([one.p99 for one in found]), bar=bar))
        rows.append(Row(f"cpu, {name}", "µs CPU", Measured.of([one.cpu for one in found])))
    return rows


def starts(
    servers: Servers, targets: Mapping[str, Target], pairs: Sequence[tuple[str, str, str, str]], rounds: int
) -> list[Row]:
    """Measure how long the start takes, and the memory a worker holds."""
    seconds = []
    for _ in range(rounds):
        with ExitStack() as opened:
            other = Servers.__new__(Servers)
            vars(other).update(vars(servers) | {"_opened": opened})
            seconds.append(other.ours("sqlite").seconds)
    rows = [Row("start to the first answer: sqlite", "s", Measured.of(seconds), bar=START_BAR)]
    own = Measured.of([targets["sqlite"].memory()])
    for ours, peer, _, shown in pairs:
        if ours == "sqlite":
            rows.append(Row("memory of all processes: sqlite", "MB", own, shown, Measured.of([targets[peer].memory()])))
    return rows


if __name__ == "__main__":
    if shutil.which("uv") is None:
        raise SystemExit("uv is not installed; run: pip install uv")
    main()
