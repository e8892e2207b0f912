"""The context of an image: nothing is missing in it, and it serves without the project it was made from."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import stackwright
from stackwright.assembly.requirements import pinned
from stackwright.assembly.stack import Stack
from stackwright.workflows.live.image import image
from stackwright.workflows.live.imaged import CONTENT, content_of
from stackwright_interfaces.errors import ArtifactError, BlueprintError, ModelNotFound, PluginError, UsageError

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def written(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context, made from a project that is gone since. To be read."""
    root = tmp_path_factory.mktemp("image")
    project = Path(shutil.copytree(served, root / "project"))
    (project / "helpers").mkdir()
    (project / "helpers" / "sizes.py").write_text("UNIT = 1\n")
    (project / "helpers" / "table.csv").write_text("a\n")
    (project / ".venv").mkdir()
    (project / ".venv" / "gone.py").touch()
    (project / "secret.key").write_text("secret")
    with Stack(project) as stack:
        outcome = image(stack, root / "out", include=["*.csv"])
    assert outcome.ok
    shutil.rmtree(project)
    return root / "out"


def names(context: Path) -> dict[str, str]:
    lines = (context / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines)


def test_every_file_that_the_dockerfile_copies_is_there(written: Path) -> None:
    copied = re.findall(r"^COPY (?:--\S+ )?(.*) \S+$", (written / "Dockerfile").read_text(), re.MULTILINE)
    assert len(copied) == 2
    assert all((written / name).exists() for line in copied for name in line.split())


def test_it_holds_what_serves_and_nothing_that_only_learns(written: Path) -> None:
    project = written / "project"
    files = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    wanted = {"blueprint.toml", "features.py", "helpers/sizes.py", "helpers/table.csv", CONTENT, "data/online.db"}
    assert wanted <= files
    assert ".stackwright/definitions.json" in files
    assert "models/valuation/manifest.json" in files
    assert not [name for name in files if name.endswith((".parquet", ".key")) or ".venv" in name]
    assert not (project / "registry").exists()


def test_the_requirements_are_the_installed_versions_and_need_nothing_else(written: Path) -> None:
    found = names(written)
    assert {name: metadata.version(name) for name in found} == found
    assert pinned(found) == found
    assert {"stackwright", "stackwright-uvicorn", "stackwright-sqlite", "stackwright-lightgbm", "orjson"} <= set(found)
    assert not {"stackwright-duckdb", "duckdb", "stackwright-files", "evidently", "pytest"} & set(found)


def test_the_requirements_resolve_to_themselves_without_an_index(written: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed; run: pip install uv")
    command = [uv, "pip", "install", "--dry-run", "--offline", "--no-deps", "--python", sys.executable]
    done = subprocess.run(
        [*command, "-r", str(written / "requirements.txt")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Would make no changes" in done.stderr


@contextmanager
def serving(project: Path) -> Iterator[Callable[..., Any]]:
    """Run the image's command in a project; gives a function that sends requests."""
    port = free_port()
    variables = {**os.environ, "PORT": str(port), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "stackwright.workflows.live.imaged", "serve"]
    with (project.parent / "log.txt").open("w+") as log:
        child = subprocess.Popen(command, cwd=project, env=variables, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while "Serving on" not in (project.parent / "log.txt").read_text():
                assert child.poll() is None, (project.parent / "log.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

            def ask(method: str, path: str, document: Any = None) -> Any:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request(method, path, None if document is None else json.dumps(document))
                response = connection.getresponse()
                body = response.read()
                connection.close()
                assert response.status == 200, body
                return json.loads(body) if body.strip() else None

            yield ask
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(30) == 0


def test_it_predicts_what_the_project_predicts(written: Path, served: Path, tmp_path: Path) -> None:
    with stackwright.load(served) as stack:
        wanted = stack.predict(home_id="0007", rooms=3).data
    with serving(Path(shutil.copytree(written / "project", tmp_path / "project"))) as ask:
        ask("GET", "/ping")
        answer = ask("POST", "/predict", {"home_id": "0007", "rooms": 3})
        many = ask("POST", "/invocations", {"dataframe_records": [{"home_id": "0007", "rooms": 3}]})
    assert answer["predictions"][0]["value"] == many["predictions"][0]
    assert str(answer["predictions"][0]["value"]) in json.dumps(wanted)
    (baked,) = content_of(written / "project")["models"]
    assert answer["digest"] == baked["digest"]


def test_a_model_that_is_not_what_was_baked_in_is_not_served(written: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(written / "project", tmp_path / "project"))
    manifest = project / "models" / "valuation" / "manifest.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "task": "other"}))
    with pytest.raises(ArtifactError, match="Baked in was sha256"):
        content_of(project)
    command = [sys.executable, "-m", "stackwright.workflows.live.imaged"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "port", "code", "words"),
    [([], "many", 1, "environment PORT: is 'many'"), (["train"], "", 2, "usage: "), ([], "99999", 1, "port is 99999")],
)
def test_a_mistake_in_how_it_is_run_is_told_in_one_line(
    written: Path, tmp_path: Path, arguments: list[str], port: str, code: int, words: str
) -> None:
    project = Path(shutil.copytree(written / "project", tmp_path / "project"))
    command = [sys.executable, "-m", "stackwright.workflows.live.imaged", *arguments]
    variables = {**os.environ, "PORT": port}
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_line_writes_it(run: Run, served: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "stackwright_sqlite-0.1.0-py3-none-any.whl").touch()
    done = run("image", tmp_path / "out", "--wheels", wheels, "--project", served, "--json")
    assert done.code == 0, done.err
    assert done.json["models"][0]["name"] == "valuation"
    assert (tmp_path / "out" / "wheels" / "stackwright_sqlite-0.1.0-py3-none-any.whl").exists()
    again = run("image", tmp_path / "out", "--project", served)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_what_is_missing_is_told(filled: Path, work: Path, tmp_path: Path) -> None:
    with Stack(filled) as stack, pytest.raises(ModelNotFound, match="stackwright promote"):
        image(stack, tmp_path / "out")
    with Stack(work) as stack, pytest.raises(UsageError, match="holds no wheels"):
        image(stack, tmp_path / "out", wheels=tmp_path)
    text = (work / "blueprint.toml").read_text()
    (work / "blueprint.toml").write_text(text.replace('[server]\nadapter = "uvicorn"\n', ""))
    with Stack(work) as stack, pytest.raises(BlueprintError, match="the slot is empty"):
        image(stack, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_outside_of_the_project_is_named(work: Path, tmp_path: Path) -> None:
    text = (work / "blueprint.toml").read_text()
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(work / "data" / "online.db", elsewhere)
    (work / "blueprint.toml").write_text(text.replace("data/online.db", str(elsewhere)))
    with Stack(work) as stack:
        outcome = image(stack, work / "out")
    assert outcome.data["left_out"] == [str(elsewhere)]
    assert "lies outside of the project" in str(outcome)
    assert not (work / "out" / "project" / "out").exists()


def test_requirements_of_what_is_not_installed_are_an_error() -> None:
    with pytest.raises(PluginError, match="no-such-thing is not installed"):
        pinned(["no-such-thing"])


def test_requirements_of_an_extra_come_when_it_is_asked_for() -> None:
    plain = set(pinned(["stackwright-interfaces"]))
    assert "pluggy" in plain
    assert "pytest" not in plain


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def answering(command: list[str], port: int, **variables: str) -> Iterator[Callable[[str], Any]]:
    """Run a server; gives a function that asks it for the price of a home once it answers."""
    child = subprocess.Popen(command, env={**os.environ, **variables})

    def ask(path: str) -> Any:
        deadline = time.monotonic() + 120
        while True:
            assert child.poll() is None
            assert time.monotonic() < deadline
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("POST", path, json.dumps({"home_id": "0007", "rooms": 3}))
                response = connection.getresponse()
                body = response.read()
                if response.status == 200:
                    return json.loads(body)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.1)

    try:
        yield ask
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(40) == 0


def test_sagemaker_gets_its_archive_and_serves_what_the_project_predicts(
    served: Path, tmp_path: Path, run: Run
) -> None:
    done = run("image", tmp_path / "out", "--for", "sagemaker", "--project", served, "--json")
    assert done.code == 0, done.err
    assert {"stackwright", "stackwright-sagemaker", "stackwright-uvicorn"} <= set(done.json["requirements"])
    assert (tmp_path / "out" / "model.tar.gz").exists()
    port = free_port()
    variables = {"SM_MODEL_DIR": str(tmp_path / "out" / "model"), "SAGEMAKER_BIND_TO_PORT": str(port)}
    with stackwright.load(served) as stack:
        wanted = stack.predict(home_id="0007", rooms=3).data["prediction"]
    with answering([sys.executable, "-m", "stackwright_sagemaker.container", "serve"], port, **variables) as ask:
        assert ask("/invocations")["predictions"] == [wanted]


@pytest.mark.nightly
def test_bentoml_gets_a_bento_that_holds_wheels_and_models_and_serves_without_the_project(
    served: Path, tmp_path: Path, run: Run
) -> None:
    project, out, wheels = tmp_path / "project", tmp_path / "out", tmp_path / "wheels"
    shutil.copytree(served, project)
    wheels.mkdir()
    (wheels / "stackwright_sqlite-0.1.0-py3-none-any.whl").touch()
    done = run("image", out, "--for", "bentoml", "--wheels", wheels, "--project", project)
    assert done.code == 0, done.err
    assert f"bentoml serve {out}" in done.out
    needs = (out / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert "./wheels/stackwright_sqlite-0.1.0-py3-none-any.whl" in needs
    assert not [line for line in needs if line.startswith("stackwright-sqlite")]
    assert (out / "env" / "python" / "wheels" / "stackwright_sqlite-0.1.0-py3-none-any.whl").exists()
    with stackwright.load(project) as stack:
        wanted = stack.predict(home_id="0007", rooms=3).data["prediction"]
    project.rename(tmp_path / "gone")
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "bentoml", "serve", str(out), "--host", "127.0.0.1", "--port", str(port)]
    with answering(command, port, BENTOML_HOME=str(home), BENTOML_DO_NOT_TRACK="True") as ask:
        assert ask("/predict")["predictions"][0]["value"] == wanted


def test_a_server_that_writes_no_images_is_told(served: Path, tmp_path: Path, run: Run) -> None:
    done = run("image", tmp_path / "out", "--for", "uvicorn", "--project", served)
    assert (done.code, "writes no images of its own" in done.err) == (2, True)
    assert run("image", tmp_path / "out", "--for", "rocket", "--project", served).code == 1
    assert not (tmp_path / "out").exists()
