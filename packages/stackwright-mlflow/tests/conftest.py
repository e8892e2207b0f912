"""A real MLflow server for the tests, on a free port of this machine, over SQLite and a folder of artifacts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from stackwright_interfaces.testing.context import SettableClock, make_context
from stackwright_interfaces.testing.registry_trial import write_model
from stackwright_mlflow.plugin import MlflowConfig
from stackwright_mlflow.registry import MlflowRegistry

INSTALL = "uv tool install 'mlflow>=3.17'"


def find_mlflow() -> Path:
    """Return MLflow's program; without it the test is skipped, but in CI it fails.

    It lies in an environment of its own, for MLflow holds back packages that others of our adapters need.
    """
    beside = Path(sys.executable).with_name("mlflow")
    found = shutil.which("mlflow") or (str(beside) if beside.exists() else None)
    if found is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"mlflow is not installed; run: {INSTALL}")
    assert found is not None
    return Path(found).resolve()


_MLFLOW = """
import json, os, signal, sys
from mlflow import MlflowClient
from mlflow.server.fastapi_app import app
import uvicorn

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
client = MlflowClient(f"http://127.0.0.1:{sys.argv[1]}")
for line in sys.stdin:
    space = {"client": client}
    if (code := json.loads(line)) is not None:
        exec(code, space)
    elif not (child := os.fork()):
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
    else:
        space["answer"] = child
    print("answer " + json.dumps(space.get("answer")), flush=True)
"""
"""MLflow, imported once: it takes many seconds. Forks what ``mlflow server`` starts, and runs code with ``client``."""


class MlflowServer:
    """A server that can be killed and started again over the same folder and port."""

    def __init__(self, folder: Path, memory: Path) -> None:
        python = find_mlflow().with_name("python")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.artifacts = folder / "artifacts"
        self.log = folder / "server.log"
        settings = {
            "DO_NOT_TRACK": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{memory}/mlflow.db",
            "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{memory}/mlflow.db",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.artifacts),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        with self.log.open("ab") as log:
            self.mlflow = subprocess.Popen(
                [python, "-c", _MLFLOW, str(port)],
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.start()

    def run(self, code: str | None) -> Any:
        """Run code with ``client``, an ``mlflow.MlflowClient``, and return what it named ``answer``."""
        assert self.mlflow.stdin is not None
        assert self.mlflow.stdout is not None
        print(json.dumps(code), file=self.mlflow.stdin, flush=True)
        for line in self.mlflow.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise AssertionError(f"MLflow failed: {self.log.read_text()}")

    def start(self) -> None:
        self.pid: int = self.run(None)
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                urlopen(f"{self.url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=60).close()
            except (URLError, OSError):
                assert Path(f"/proc/{self.pid}").exists() or sys.platform != "linux", self.log.read_text()
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the server does not start: {self.log.read_text()}")

    def kill(self) -> None:
        """End the server as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The server that all tests share, each with an experiment and a prefix of its own; its database is in memory."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as memory:
        started = MlflowServer(tmp_path_factory.mktemp("mlflow"), Path(memory))
        yield started
        started.kill()
        started.mlflow.kill()
        started.mlflow.communicate()


@pytest.fixture
def client(server: MlflowServer) -> Callable[[str], Any]:
    """Runs code with ``client``, an ``mlflow.MlflowClient`` of MLflow's own environment, and gives ``answer``."""
    return server.run


_numbers = count()


@pytest.fixture
def own(server: MlflowServer) -> str:
    """A name that no other test has."""
    return f"t{next(_numbers)}"


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def open_registry(
    server: MlflowServer, own: str, tmp_path: Path, clock: SettableClock
) -> Callable[..., MlflowRegistry]:
    """Opens registries of one project, each with a cache of its own."""
    caches = count()

    def open_(**options: Any) -> MlflowRegistry:
        config = MlflowConfig(**{"url": server.url, "experiment": own, "prefix": f"{own}.", "timeout": 20, **options})
        return MlflowRegistry(config, make_context(tmp_path / f"project{next(caches)}", clock))

    return open_


@pytest.fixture
def registry(open_registry: Callable[..., MlflowRegistry]) -> MlflowRegistry:
    return open_registry()


@pytest.fixture
def model(tmp_path: Path) -> Callable[[bytes], Path]:
    """Gives the folder of a model with a payload."""

    def folder(payload: bytes) -> Path:
        place = tmp_path / "trained" / payload.hex()
        return place if place.exists() else write_model(place, payload)

    return folder
