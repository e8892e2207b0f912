"""A small project whose answers can be worked out by hand, and servers of it in processes of their own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.stack import Stack
from stackwright_interfaces.errors import ModelNotFound
from stackwright_interfaces.model import Manifest, ModelRef, Signature, describe_files
from stackwright_interfaces.registry import Event
from stackwright_interfaces.trainer import Task, TaskKind, TrainingData
from stackwright_interfaces.types import FLOAT64, Field
from stackwright_serving import golden

HOMES = 200
PATIENCE = 60.0
TOKEN, OLD_TOKEN, ADMIN_TOKEN = "predict-token-0123456789", "older-token-0123456789", "admin-token-0123456789"
SLOTS = 8

BLUEPRINT = """\
name = "homes"

[feature_store]
offline = {{ adapter = "duckdb", path = "data" }}
online = {online}

[models.valuation]
service = "valuation@1"
target = "sale_price"
trainer = {{ adapter = "python", class = "linear:Linear" }}
{model}

[registry]
adapter = "files"

[server]
adapter = "uvicorn"
port = 0
{server}

[serving]
poll = 0.1
{serving}
"""

LIMITED = f"""
tokens = [{{ env = "PREDICT_TOKEN" }}, {{ env = "OLD_TOKEN" }}]
admin_tokens = [{{ env = "ADMIN_TOKEN" }}]
max_body = 20_000
max_rows = 100
max_depth = 16
concurrency = {SLOTS}
timeout = 20.0
access_log = true
"""

FEATURES = """\
from datetime import timedelta
from stackwright import FLOAT64, INT64, STRING, Entity, FeatureService, FeatureView, Field, Source, Target

home = Entity(name="home", keys=(Field("home_id", STRING),))
homes = FeatureView(
    name="homes", entity=home, source=Source(event_time="at"), fields=(Field("area", FLOAT64), Field("kind", STRING))
)
prices = FeatureView(
    name="prices", entity=home, source=Source(event_time="at"), fields=(Field("asking", FLOAT64),),
    max_age=timedelta(days=1),
)
valuation = FeatureService(
    name="valuation", selections=(homes.select(), prices.select()), request=(Field("rooms", INT64, default=3),)
)
sale_price = Target(
    name="sale_price", entity=home, value=Field("price", FLOAT64), asked="asked_at", happened="sold_at",
    observed="known_at", label_id="label_id", request=valuation.request,
)
"""

LINEAR = '''\
"""factor x area + 10 x rooms; and what a model may do that it should not, as ``mood.json`` says."""

import json
import time
from pathlib import Path

import numpy as np

MOOD = Path(__file__).parent / "mood.json"


class Linear:
    takes = "numpy"

    def get_parameters(self):
        return {"factor": 1000.0}

    def train(self, inputs, target, params):
        self.factor = params["factor"]
        return self

    def predict(self, inputs):
        mood = json.loads(MOOD.read_text())
        time.sleep(mood.get("sleep", {}).get(str(self.factor), 0.0))
        if "raise" in mood:
            raise RuntimeError(mood["raise"])
        answer = self.factor * np.nan_to_num(inputs[:, 0]) + 10.0 * inputs[:, 3]
        return np.full_like(answer, float(mood["answer"])) if "answer" in mood else answer
'''


def area_of(home: int) -> float:
    return 50.0 + home


def value_of(home: int, factor: float = 1000.0, rooms: int = 3) -> float:
    return factor * area_of(home) + 10.0 * rooms


@dataclass
class Project:
    """A project with features online. Stale are the asking prices of homes whose number ends with 7."""

    folder: Path

    def stack(self, **options: Any) -> Stack:
        return Stack(self.folder, **options)

    def mood(self, **mood: Any) -> None:
        """Say what models do from now on; nothing special without arguments."""
        path = self.folder / "mood.json"
        path.with_suffix(".new").write_text(json.dumps(mood))
        path.with_suffix(".new").replace(path)

    def publish(self, factor: float, *, spoil: Callable[[Path], None] | None = None, **manifest: Any) -> int:
        """Publish a model; ``spoil`` may change its folder before its files are described."""
        with self.stack() as stack:
            work = self.folder / f"staged-{time.monotonic_ns()}"
            self._write(stack, work, factor, spoil, manifest)
            version = stack.registry.publish("valuation", work, {}, who="test")
            shutil.rmtree(work)
            return version.version

    def _write(
        self, stack: Stack, work: Path, factor: float, spoil: Callable[[Path], None] | None, manifest: Mapping[str, Any]
    ) -> None:
        work.mkdir()
        inputs = stack.service("valuation@1").output_fields
        signature = Signature(inputs=inputs, outputs=(Field("price", FLOAT64),), categories={"kind": ("flat", "house")})
        learned = {name: np.zeros(8) for name in ("area", "asking", "rooms")}
        rows = TrainingData(inputs={**learned, "kind": np.full(8, "flat", dtype=object)}, target=np.zeros(8))
        fitted = stack.trainer(stack.model("valuation")).fit(
            Task(kind=TaskKind.REGRESSION, signature=signature), rows, None, {"factor": factor},
            seed=1, threads=1,
        )  # fmt: skip
        fitted.save(work)
        columns = {
            "area": np.array([50.0, np.nan]),
            "kind": np.array(["flat", None], dtype=object),
            "asking": np.array([1.0, np.nan]),
            "rooms": np.array([3.0, 1.0]),
        }
        golden.write(work, columns, inputs, np.array([factor * 50.0 + 30.0, 10.0]))
        if spoil is not None:
            spoil(work)
        written = {
            "flavour": "python", "signature": signature, "task": "regression", "service": "valuation@1",
            "target": "sale_price", **manifest,
        }  # fmt: skip
        Manifest(files=describe_files(work), **written).write(work)

    def promote(self, version: int | None) -> None:
        """Point the champion to a version."""
        with self.stack() as stack:
            try:
                before = stack.registry.resolve(ModelRef("valuation", alias="champion")).version
            except ModelNotFound:
                before = None
            event = Event(at=datetime.now(UTC), kind="alias", name="valuation", alias="champion", after=version)
            stack.registry.record(event, expected=before)


def write_project(folder: Path, **sections: str) -> Project:
    """Write a project, apply its features and bring rows online; no model is published."""
    defaults = {"online": '{ adapter = "sqlite", path = "data/online.db" }', "model": "", "server": "", "serving": ""}
    folder.mkdir(parents=True)
    (folder / "blueprint.toml").write_text(BLUEPRINT.format(**{**defaults, **sections}))
    (folder / "features.py").write_text(FEATURES)
    (folder / "linear.py").write_text(LINEAR)
    project = Project(folder)
    project.mood()
    now = datetime.now(UTC)
    names = [f"H{home}" for home in range(HOMES)]
    homes = {
        "home_id": names,
        "at": [now - timedelta(days=2)] * HOMES,
        "area": [area_of(home) for home in range(HOMES)],
        "kind": ["house" if home % 3 else "flat" for home in range(HOMES)],
    }
    prices = {
        "home_id": names,
        "at": [now - timedelta(days=9 if home % 10 == 7 else 0, minutes=1) for home in range(HOMES)],
        "asking": [100.0] * HOMES,
    }
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        for view, rows in (("homes", homes), ("prices", prices)):
            pyarrow.parquet.write_table(pa.table(rows), folder / f"{view}.parquet")
            stack.ingest(view, folder / f"{view}.parquet")
        stack.materialize()
    return project


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Server:
    """``stackwright serve`` in a process of its own."""

    project: Project
    token: str = ""
    more: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    script: str = ""

    def __post_init__(self) -> None:
        self.address = self.project.folder / ".stackwright" / "address.json"
        self.address.unlink(missing_ok=True)
        self._log = self.project.folder / f"log-{time.monotonic_ns()}.txt"
        program = ["-c", self.script] if self.script else ["-m", "stackwright.cli.main"]
        command = [sys.executable, *program, "serve", "--project", str(self.project.folder)]
        variables = {
            **os.environ, "PREDICT_TOKEN": TOKEN, "OLD_TOKEN": OLD_TOKEN, "ADMIN_TOKEN": ADMIN_TOKEN,
            **self.environment,
        }  # fmt: skip
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *self.more], stdout=log, stderr=log, start_new_session=True, env=variables
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines, those that are JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def url(self) -> str:
        until(lambda: self.address.exists() or self.process.poll() is not None)
        assert self.address.exists(), f"the server ended with code {self.process.poll()}: {self.log}"
        return str(json.loads(self.address.read_text())["url"])

    @property
    def netloc(self) -> str:
        return urlsplit(self.url()).netloc

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.netloc, timeout=timeout)

    def ask(self, path: str, body: Any = None, *, method: str = "", timeout: float = PATIENCE, **headers: str) -> Reply:
        """Send a request over a connection of its own; a body that is no bytes is sent as JSON."""
        connection = self.connect(timeout)
        try:
            return self.over(connection, path, body, method=method, **headers)
        finally:
            connection.close()

    def over(
        self, connection: http.client.HTTPConnection, path: str, body: Any = None, *, method: str = "", **headers: str
    ) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token and "Authorization" not in given:
            given["Authorization"] = f"Bearer {self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method or ("GET" if body is None else "POST"), path, data, given)
        response = connection.getresponse()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def predict(self, home: int = 1, **row: Any) -> Reply:
        return self.ask("/predict", {"home_id": f"H{home}", **row})

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes back until the server closes the connection."""
        with self.open() as sock:
            sock.sendall(data)
            return rest(sock)

    def open(self) -> socket.socket:
        address = urlsplit(self.url())
        return socket.create_connection((str(address.hostname), address.port or 80), timeout=PATIENCE)

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric, added up over what the labels leave open."""
        from prometheus_client.parser import text_string_to_metric_families

        page = self.ask("/metrics").body.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == f"stackwright_{name}" and labels.items() <= sample.labels.items()
        )

    def until_served(self, version: int) -> None:
        """Wait until many looks in a row find a version."""

        def everywhere() -> bool:
            found = [self.ask("/models").json["models"] for _ in range(8)]
            return all(models and models[0]["version"] == version for models in found)

        until(everywhere)

    def refusal_of(self, version: int) -> str:
        """Promote a version that must not be served; return what the log says of it."""
        before = self.metric("model_swaps_total", result="refused")
        self.project.promote(version)
        until(lambda: self.metric("model_swaps_total", result="refused") > before)
        assert self.predict(3).json["version"] == 1
        assert self.predict(3).json["predictions"][0]["value"] == value_of(3)

        def told() -> list[str]:
            messages = [line["message"] for line in self.lines]
            return [message for message in messages if f"valuation@{version} cannot be served" in message]

        until(told)  # it is counted before it is told
        return told()[-1]

    def tell(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(PATIENCE)

    def clear(self) -> None:
        workers = self.workers
        self.process.kill()
        self.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def rest(sock: socket.socket) -> bytes:
    """Return everything until the server closes the connection, which resets it where it has not read all."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def on_redis(url: str) -> str:
    """Return the online store of a blueprint that lies on a Redis."""
    return f'{{ adapter = "redis", url = "{url}" }}'


def infer(rows: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request of the Open Inference Protocol; ``changes`` name tensors and what is other of them."""
    tensors = [
        {"name": "area", "shape": [rows], "datatype": "FP64", "data": [50.0] * rows},
        {"name": "kind", "shape": [rows], "datatype": "BYTES", "data": ["flat"] * rows},
        {"name": "asking", "shape": [rows], "datatype": "FP64", "data": [1.0] * rows},
        {"name": "rooms", "shape": [rows], "datatype": "INT64", "data": [3] * rows},
    ]
    return {"inputs": [{**tensor, **changes.get(str(tensor["name"]), {})} for tensor in tensors]}


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What the tests of several modules use."""
    return SimpleNamespace(
        area_of=area_of,
        value_of=value_of,
        until=until,
        infer=infer,
        rest=rest,
        write_project=write_project,
        on_redis=on_redis,
        server=Server,
        token=TOKEN,
        old_token=OLD_TOKEN,
        admin_token=ADMIN_TOKEN,
        slots=SLOTS,
    )


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one promoted model. To be copied."""
    project = write_project(tmp_path_factory.mktemp("serving") / "base")
    project.promote(project.publish(1000.0))
    return project


@pytest.fixture(scope="session")
def copied(base: Project) -> Callable[..., Project]:
    """Copies the project, with other sections in its blueprint."""

    def copy(folder: Path, **sections: str) -> Project:
        shutil.copytree(base.folder, folder)
        defaults = {
            "online": '{ adapter = "sqlite", path = "data/online.db" }',
            "model": "",
            "server": "",
            "serving": "",
        }
        (folder / "blueprint.toml").write_text(BLUEPRINT.format(**{**defaults, **sections}))
        return Project(folder)

    return copy


@pytest.fixture
def start(copied: Callable[..., Project], tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of their own, over copies of the project."""
    started: list[Server] = []

    def start(
        *more: str,
        token: str = "",
        environment: Mapping[str, str] | None = None,
        script: str = "",
        prepare: Callable[[Project], None] = lambda _project: None,
        **sections: str,
    ) -> Server:
        project = copied(tmp_path / f"project-{len(started)}", **sections)
        prepare(project)
        started.append(Server(project, token, more, environment or {}, script))
        return started[-1]

    yield start
    for server in started:
        server.clear()


@pytest.fixture(scope="package")
def server(copied: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with low limits that many tests ask; each leaves it as it was."""
    project = copied(tmp_path_factory.mktemp("faults") / "project", server="receive = 1.5", serving=LIMITED)
    running = Server(project, TOKEN)
    until(lambda: running.ask("/health/ready").status == 200)
    yield running
    running.clear()


@pytest.fixture
def champion(server: Server) -> Iterator[Project]:
    """The server's project, whose champion is version 1 again after the test."""
    yield server.project
    server.project.mood()
    server.project.promote(1)
    server.until_served(1)
