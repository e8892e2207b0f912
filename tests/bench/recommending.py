"""Lists over HTTP, the same features by Feast and scikit-learn, and EASE at 20,000 items; for ``recommender.py``."""

from __future__ import annotations

import http.client
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Measured, Row
from peers import Child, feast

import stackwright
from stackwright_interfaces.model import Manifest, Signature, describe_files
from stackwright_interfaces.registry import Event
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_recommender import Recommender, artifact
from stackwright_serving import golden_lists

CANDIDATES: Final = 500
WIDTH: Final = 40
SECONDS: Final = 6.0
CLIENTS: Final = 4
PEER_CALLS: Final = 6
VIEWS: Final = (1, 4)
EASE_ITEMS: Final = 20_000
HTTP_BARS: Final = (25.0, 1_000 / 150)
PEER_BAR: Final = 1 / 50

BLUEPRINT: Final = """\
name = "town"

[recommenders.homes]
trainer = { adapter = "recommender" }
interactions = { source = "none.parquet", user = "user", item = "item", time = "time" }
list = { n = 20 }

[registry]
adapter = "files"

[server]
adapter = "uvicorn"
port = 0
"""


@contextmanager
def on_one_core(core: int = 0) -> Iterator[None]:
    """Keep this process, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def over_http(made: Recommender, people: Sequence[str], searched: Sequence[Sequence[str]], live: Any) -> list[Row]:
    """Time ``POST /recommend`` of a server on one core, with 500 candidates and four live numbers."""
    numbers = {name: values.tolist() for name, values in live.items()}
    bodies = [
        json.dumps({"user": person, "candidates": list(found), "live": numbers}).encode()
        for person, found in zip(people, searched, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder, serving(made, Path(folder)) as (netloc, pid), on_one_core(1):
        while not any(Path(folder).glob("**/lightgbm/*.code")):
            ask_for(netloc, bodies, 1.0)
        ask_for(netloc, bodies, 2.0)
        busy = cpu_of(pid)
        alone = ask_for(netloc, bodies, SECONDS)
        busy = (cpu_of(pid) - busy) / len(alone)
        together, started = [0] * CLIENTS, time.perf_counter()

        def client(number: int) -> None:
            together[number] = len(ask_for(netloc, bodies[number::CLIENTS], SECONDS))

        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - started
    middle, slow = (1_000 * float(np.quantile(alone, share)) for share in (0.5, 0.99))
    each = 1_000 * taken / sum(together)
    called = f"POST /recommend, {CANDIDATES} candidates"
    return [
        Row(f"{called}, one client, median", "ms", Measured.of([middle])),
        Row(f"{called}, one client, 99 %", "ms", Measured.of([slow]), bar=HTTP_BARS[0]),
        Row(f"{called}, CPU of the server", "ms", Measured.of([1_000 * busy])),
        Row(f"{called}, {CLIENTS} clients, a request of one core", "ms", Measured.of([each]), bar=HTTP_BARS[1]),
    ]


@contextmanager
def serving(made: Recommender, folder: Path) -> Iterator[tuple[str, int]]:
    """Publish a recommender, and serve it by one worker on the first core; give where, and its process."""
    (folder / "blueprint.toml").write_text(BLUEPRINT)
    work = folder / "staged"
    work.mkdir()
    artifact.save(made, work)
    golden_lists.write(work, made, [{"n": 5}])
    signature = Signature(inputs=(), outputs=(Field("score", FLOAT64),))
    files = describe_files(work)
    Manifest(files=files, flavour="recommender", signature=signature, task="recommendation", service="").write(work)
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        version = stack.registry.publish("homes", work, {}, who="bench")
        event = Event(at=datetime.now(UTC), kind="alias", name="homes", alias="champion", after=version.version)
        stack.registry.record(event, expected=None)
    command = [sys.executable, "-m", "stackwright.cli.main", "serve", "--project", str(folder)]
    with (folder / "log.txt").open("w") as log, on_one_core(0):
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = folder / ".stackwright" / "address.json"
        for _ in range(1200):
            if address.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("the server does not start")
        if process.poll() is not None:
            raise SystemExit((folder / "log.txt").read_text()[-2000:])
        yield urlsplit(json.loads(address.read_text())["url"]).netloc, process.pid
    finally:
        process.terminate()
        process.wait(30)


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have had."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK") + sum(cpu_of(int(child)) for child in children)


def ask_for(netloc: str, bodies: Sequence[bytes], seconds: float) -> list[float]:
    """Ask one after the other over one connection; return the seconds of each."""
    connection, taken = http.client.HTTPConnection(netloc, timeout=30), []
    until, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        started = time.perf_counter()
        connection.request("POST", "/recommend", bodies[number % len(bodies)])
        response = connection.getresponse()
        answer = response.read()
        taken.append(time.perf_counter() - started)
        if response.status != 200:
            raise SystemExit(f"{response.status}: {answer[:500]!r}")
        number += 1
    connection.close()
    return taken


def beside_feast(ours: Callable[[], None], homes: int) -> list[Row]:
    """Time lists of ours in turn with Feast's reading of as many features and a pipeline over pandas, on one core."""
    rng = np.random.default_rng(5)
    names = [f"f{number}" for number in range(WIDTH)]
    table = {name: rng.random(homes) for name in names}
    score = pipeline(pd.DataFrame(table), rng)
    rows = []
    with tempfile.TemporaryDirectory() as place, on_one_core():
        folder = Path(place)
        python, number = feast()
        (folder / "feast").mkdir()
        with Child(python, "feast_online.py", [str(folder / "feast")], folder / "feast.log") as child:
            for views in VIEWS:
                parts = [names[first::views] for first in range(views)]
                files = [written(folder / f"{views}-{part[0]}.parquet", homes, table, part) for part in parts]
                online = {"type": "sqlite", "path": "online.db"}
                child.ask(work="load", name=f"of{views}", online=online, files=files, names=parts)
                found: list[float] = []
                peers: list[float] = []
                for round_ in range(PEER_CALLS + 1):
                    keys = rng.choice(homes, CANDIDATES, replace=False)
                    read = child.ask(work="read", name=f"of{views}", batches=[keys.tolist()], frame=True)["seconds"][0]
                    frame = pd.DataFrame({name: table[name][keys] for name in names})
                    peer = read + seconds_of(lambda frame=frame: score(frame))
                    each = seconds_of(lambda: [ours() for _ in range(10)]) / 10
                    if round_:
                        peers.append(1_000 * peer)
                        found.append(1_000 * each)
                reference = f"Feast {number} over SQLite, {views} views, and scikit-learn's pipeline over pandas"
                what = f"a list of {CANDIDATES} candidates x {WIDTH} features or more"
                rows.append(Row(what, "ms", Measured.of(found), reference, Measured.of(peers), ratio_bar=PEER_BAR))
    return rows


def written(path: Path, homes: int, table: Mapping[str, Any], names: Sequence[str]) -> str:
    """Write some columns as Feast reads them; return the path."""
    moment = [datetime(2026, 1, 1, tzinfo=UTC)] * homes
    columns = {name: table[name] for name in names}
    about = {"entity_id": np.arange(homes), "event_timestamp": moment, "created": moment}
    pq.write_table(pa.table({**about, **columns}), path)
    return str(path)


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def pipeline(frame: pd.DataFrame, rng: np.random.Generator) -> Callable[[pd.DataFrame], Any]:
    """Return scores by scaled columns and 100 trees of 31 leaves, as a pipeline gives them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaled = ColumnTransformer([("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list(frame))])
    trees = HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=31, early_stopping=False)
    score: Callable[[pd.DataFrame], Any] = make_pipeline(scaled, trees).fit(frame, rng.random(len(frame))).predict
    return score


def ease_at_scale() -> list[Row]:
    """Time a fit of EASE at 20,000 items in a process of its own, and tell its memory."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    called = f"EASE, {EASE_ITEMS:,} items, {found['pairs']:,} interactions"
    return [
        Row(f"{called}: fit", "s", Measured.of([found["seconds"]])),
        Row(f"{called}: fit", "s of CPU", Measured.of([found["cpu"]])),
        Row(f"{called}: greatest memory of the process", "GB", Measured.of([found["memory"]])),
    ]


def _fit_ease() -> None:
    from stackwright_recommender.catalogue import Catalogue
    from stackwright_recommender.identifiers import Identifiers
    from stackwright_recommender.interactions import Interactions
    from stackwright_recommender.retrieval.ease import Ease

    rng = np.random.default_rng(1)
    users, pairs = 60_000, 1_200_000
    item = np.minimum((EASE_ITEMS * rng.random(pairs) ** 2).astype(np.int32), EASE_ITEMS - 1)
    item[:EASE_ITEMS] = np.arange(EASE_ITEMS)
    known = Interactions.of(rng.integers(0, users, pairs), item, users=users, items=EASE_ITEMS)
    items = Catalogue.bare(Identifiers([f"i{number}" for number in range(EASE_ITEMS)]))
    started, cpu = time.perf_counter(), time.process_time()
    Ease(l2=400.0).fit(known, items)
    seconds, busy = time.perf_counter() - started, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": seconds, "cpu": busy, "memory": memory, "pairs": len(known)}))


if __name__ == "__main__":
    _fit_ease()
