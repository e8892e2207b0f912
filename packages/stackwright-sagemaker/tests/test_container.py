"""An image as SageMaker runs it: its command in a child process, with a folder in place of ``/opt/ml``."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackwright_interfaces.errors import AdapterNotInstalled, ServerError
from stackwright_interfaces.server import App
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import free_port, until
from stackwright_sagemaker import image
from stackwright_sagemaker.model_folder import CARGO, pack, unpack
from stackwright_sagemaker.plugin import SageMakerConfig
from stackwright_sagemaker.server import PORT, WORKERS, hosting

GRACE = 30.0
"""Seconds that SageMaker gives a container from SIGTERM to SIGKILL."""

SOURCE = """
import asyncio, json, os
from pathlib import Path

def make():
    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            project = Path(json.loads(Path(os.environ["PLAN"]).read_text())["project"])
            (project / "journal.txt").write_text("")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        plan = json.loads(Path(os.environ["PLAN"]).read_text())
        if scope["path"] == "/invocations":
            body = (await receive())["body"]
            (Path(os.environ["SEEN"]) / "asked").touch()
            await asyncio.sleep(0.5)
            answer = {"predictions": json.loads(body)["instances"], "pid": os.getpid()}
        else:
            data = (Path(plan["project"]) / "data.txt").read_text()
            answer = {"data": data, "plan": plan, "metrics": os.environ["METRICS"]}
            answer["batch"] = os.environ.get("SAGEMAKER_BATCH")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
    return application
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / 'a "project"'
    (folder / "sub" / "__pycache__").mkdir(parents=True)
    (folder / "metrics").mkdir()
    (folder / "data.txt").write_text("data")
    (folder / "sub" / "kept.txt").write_text("kept")
    (folder / "sub" / "__pycache__" / "gone.pyc").write_text("gone")
    (folder / "plan.json").write_text(json.dumps({"project": str(folder)}))
    (tmp_path / "sagemaker_app.py").write_text(SOURCE)
    return folder


@pytest.fixture
def app(project: Path) -> App:
    plan = project / "plan.json"
    environment = {
        "PLAN": str(plan),
        "METRICS": str(project / "metrics"),
        "SEEN": str(project.parent),
        "DATA": str(project / "data.txt"),
    }
    return App(factory="sagemaker_app:make", plan=plan, environment=environment)


class Container:
    """The command of an image."""

    def __init__(self, tmp_path: Path, model: Path, **environment: str) -> None:
        self.port = free_port()
        (tmp_path / "work").mkdir(exist_ok=True)
        variables = {
            **os.environ,
            "SM_MODEL_DIR": str(model),
            "STACKWRIGHT_WORK": str(tmp_path / "work"),
            "PYTHONPATH": str(tmp_path),
            PORT: str(self.port),
            **environment,
        }
        self.log = tmp_path / "log.txt"
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "stackwright_sagemaker.container", "serve"]
            self.process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, cwd="/")

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            response = connection.getresponse()
            return json.loads(response.read())
        finally:
            connection.close()

    def wait(self) -> None:
        """Wait until it answers pings."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return bool(self.ask("GET", "/ping"))
            except OSError:
                return False

        until(answers)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    started: list[Container] = []

    def run(model: Path, **environment: str) -> Container:
        started.append(Container(tmp_path, model, **environment))
        return started[-1]

    yield run
    for container in started:
        container.process.kill()
        container.process.wait()


def test_the_model_folder_is_served_read_only_and_elsewhere_than_the_project_was(
    run: Callable[..., Container], app: App, project: Path, tmp_path: Path
) -> None:
    model = tmp_path / "opt" / "ml" / "model"
    pack(app, project, model, options={}, skipped=["metrics"])
    project.rename(tmp_path / "gone")
    for path in (model / "project", model):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    container = run(model, SAGEMAKER_BATCH="true")
    container.wait()
    answer = container.ask("GET", "/ping")
    assert answer["data"] == "data"
    assert answer["batch"] == "true"
    assert Path(answer["plan"]["project"]).parent.parent == tmp_path / "work"
    assert Path(answer["metrics"]).is_dir()
    assert not (model / "project" / "journal.txt").exists()
    for path in (model, model / "project"):
        path.chmod(stat.S_IRWXU)


def test_on_sigterm_accepted_requests_are_answered_within_the_grace_and_nothing_is_left(
    run: Callable[..., Container], app: App, project: Path, tmp_path: Path
) -> None:
    pack(app, project, tmp_path / "model", options={"drain": 5.0})
    container = run(tmp_path / "model", **{WORKERS: "2"})
    container.wait()
    with ThreadPoolExecutor(1) as client:
        slow = client.submit(container.ask, "POST", "/invocations", {"instances": [1, 2]})
        until((tmp_path / "asked").exists)
        container.process.send_signal(signal.SIGTERM)
        assert slow.result()["predictions"] == [1, 2]
    assert container.process.wait(GRACE) == 0
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_sagemaker_says_how_many_workers(
    run: Callable[..., Container], app: App, project: Path, tmp_path: Path, workers: int
) -> None:
    pack(app, project, tmp_path / "model", options={"workers": 2})
    container = run(tmp_path / "model", **{WORKERS: str(workers)})
    container.wait()
    pids: set[int] = set()

    def all_answered() -> bool:
        with ThreadPoolExecutor(6) as clients:
            asked = [clients.submit(container.ask, "POST", "/invocations", {"instances": []}) for _ in range(6)]
        pids.update(future.result()["pid"] for future in asked)
        return len(pids) == workers

    until(all_answered)


def ended(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "stackwright_sagemaker.container", *arguments]
    variables = {**os.environ, "SM_MODEL_DIR": str(tmp_path / "model"), **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def test_a_folder_that_holds_no_model_ends_the_container_with_one_line(tmp_path: Path) -> None:
    code, words = ended(tmp_path, "serve")
    assert code == 1
    assert words.count("\n") == 1
    assert "is no model folder of stackwright" in words


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_torn_model_folder_is_an_error_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "model" / "project").mkdir(parents=True)
    (tmp_path / "model" / CARGO).write_text(text)
    with pytest.raises(ServerError, match="is no model folder"):
        unpack(tmp_path / "model", tmp_path / "work")


def test_a_variable_that_is_no_number_is_named(app: App, project: Path, tmp_path: Path) -> None:
    pack(app, project, tmp_path / "model", options={})
    code, words = ended(tmp_path, "serve", **{WORKERS: "many"})
    assert code == 1
    assert f"environment {WORKERS}: is 'many'" in words


@pytest.mark.parametrize("arguments", [(), ("train",), ("serve", "now")])
def test_any_other_command_is_a_mistake_of_use(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert ended(tmp_path, *arguments) == (2, "usage: stackwright-sagemaker serve\n")


def test_the_context_of_an_image_refers_to_nothing_that_is_not_in_it(app: App, project: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "own-1.0-py3-none-any.whl"
    wheel.touch()
    folder = image.build(app, project, tmp_path / "image", requirements=["own==1.0"], wheels=[wheel])
    dockerfile = (folder / "Dockerfile").read_text()
    (copied,) = re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE)
    assert all((folder / name).exists() for name in copied.split())
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in dockerfile
    assert (folder / "requirements.txt").read_text() == "own==1.0\n"
    assert (folder / "wheels" / wheel.name).exists()
    with tarfile.open(folder / image.ARCHIVE) as archive:
        names = set(archive.getnames())
    assert {CARGO, "project/data.txt", "project/sub/kept.txt"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_archive_is_what_sagemaker_unpacks(
    run: Callable[..., Container], app: App, project: Path, tmp_path: Path
) -> None:
    folder = image.build(app, project, project / "image", config=SageMakerConfig(workers=1), requirements=[])
    with tarfile.open(folder / image.ARCHIVE) as archive:
        archive.extractall(tmp_path / "model", filter="data")
    assert not (tmp_path / "model" / "project" / "image").exists()
    container = run(tmp_path / "model")
    container.wait()
    assert container.ask("POST", "/invocations", {"instances": [7]})["predictions"] == [7]


def test_the_requirements_are_the_installed_versions_of_what_is_needed(app: App, project: Path, tmp_path: Path) -> None:
    ours = replace(app, factory="stackwright_interfaces.testing.server_app:application")
    lines = (image.build(ours, project, tmp_path / "image") / "requirements.txt").read_text().splitlines()
    names = [line.partition("==")[0] for line in lines]
    assert {"stackwright-interfaces", "stackwright-sagemaker", "stackwright-uvicorn"} <= set(names)
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)


def test_nothing_is_written_over_what_is_there(app: App, project: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="exists already"):
        image.build(app, project, tmp_path)
    with pytest.raises(ServerError, match="exists already"):
        pack(app, project, tmp_path, options={})


def test_a_server_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterNotInstalled, match="no adapter named 'absent'"):
        hosting(SageMakerConfig(server="absent"), make_context(tmp_path), {})


def test_a_port_that_sagemaker_cannot_mean_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="port is 99999"):
        hosting(SageMakerConfig(), make_context(tmp_path), {PORT: "99999"})


@pytest.mark.parametrize(
    ("option", "value"),
    [("host", ""), ("port", -1), ("workers", 0), ("drain", 25.0), ("server", "sagemaker")],
)
def test_an_option_out_of_range_is_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{option} is {value!r}, must be "):
        SageMakerConfig(**{option: value})
