"""What BentoML by itself does otherwise, or does besides."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stackwright_bentoml import bento, server
from stackwright_bentoml.plugin import BentoMLConfig
from stackwright_bentoml.server import BentoMLServer
from stackwright_interfaces.errors import ServerError
from stackwright_interfaces.server import App
from stackwright_interfaces.testing import server_app
from stackwright_interfaces.testing.context import make_context
from stackwright_interfaces.testing.server_child import Running, free_port, until, wait_for

pytestmark = [pytest.mark.usefixtures("bentoml"), pytest.mark.nightly]

Start = Callable[..., Running]

PRICES = """
import asyncio, json, os
from pathlib import Path

HERE = os.environ.get("PROJECT", "")

def make():
    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["method"] == "GET":
            answer = {"path": scope["path"], "project": HERE}
            answer["plan"] = json.loads(Path(os.environ["PLAN"]).read_text()) if "PLAN" in os.environ else None
            answer["file"] = (Path(HERE) / "data.txt").read_text() if HERE else ""
            status = 200
        else:
            body = b""
            while True:
                message = await receive()
                body += message["body"]
                if not message.get("more_body"):
                    break
            rows = json.loads(body)["rows"]
            await asyncio.sleep(0.03)
            bad = [row for row in rows if row["area"] < 0]
            status = 422 if bad else 200
            answer = {"error": f"area is {bad[0]['area']}"} if bad else {
                "model": "valuation", "version": 1, "digest": "sha256:0",
                "predictions": [{"value": row["area"] * 10, "together": len(rows)} for row in rows],
            }
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
    return application
"""


def ask(url: str, method: str, path: str, document: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    body = None if document is None else json.dumps(document)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, json.loads(answer or b"null")


@contextmanager
def served(app: App, folder: Path, **options: Any) -> Iterator[str]:
    """Serve in a thread while the block runs."""
    running = BentoMLServer(BentoMLConfig(port=0, **options), make_context(folder))
    urls: list[str] = []
    thread = threading.Thread(target=running.serve, args=(app, urls.append))
    thread.start()
    try:
        until(lambda: urls or not thread.is_alive())
        yield urls[0]
    finally:
        running.close()
        thread.join(60)
        assert not thread.is_alive()


def test_rows_of_many_requests_are_predicted_at_once_and_a_bad_one_spoils_no_other(
    written: Callable[[str], App], tmp_path: Path
) -> None:
    with served(written(PRICES), tmp_path, batch="/predict", batch_latency=5.0) as url:
        areas = [*range(1, 40), -1]

        def predict(area: int) -> Any:
            return ask(url, "POST", "/predict_batch", {"rows": [{"area": area}]})

        with ThreadPoolExecutor(20) as clients:
            answers = list(clients.map(predict, areas))
        assert {status for status, _ in answers} == {200}
        *good, bad = [answer for _, (answer,) in answers]
        assert [answer["value"] for answer in good] == [area * 10 for area in areas[:-1]]
        assert {answer["model"] for answer in good} == {"valuation"}
        assert max(answer["together"] for answer in good) > 1
        assert bad == {"error": "area is -1", "status": 422}


def test_the_application_answers_at_the_paths_that_bentoml_takes_for_its_metrics_and_its_index(
    written: Callable[[str], App], tmp_path: Path
) -> None:
    with served(written(PRICES), tmp_path) as url:
        for path in ("/", "/metrics", "/health/ready"):
            assert ask(url, "GET", path)[1]["path"] == path
        assert ask(url, "POST", "/predict", {"rows": [{"area": 2}]})[1]["predictions"][0]["value"] == 20


def test_an_application_that_takes_too_long_to_start_is_an_error(start: Start) -> None:
    running = start("slow_starting", start=0.5)
    assert running.end() == 1
    (said,) = running.said
    assert "not ready within 0.5 s" in said["error"]
    assert running.workers == set()


def test_a_request_that_outlasts_the_drain_is_cut_off(start: Start) -> None:
    running = start(drain=1)
    with ThreadPoolExecutor(1) as client:
        slow = client.submit(running.ask, "/slow")
        until((running.folder / server_app.ACCEPTED).exists)
        running.tell()
        assert running.end() == 0
        assert isinstance(slow.exception(), http.client.HTTPException | OSError) or slow.result().status == 500
    assert running.workers == set()


def test_a_worker_that_keeps_failing_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FAILURES", 1)
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for pid in server_app.living(tmp_path):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    app = App(factory=f"{server_app.__name__}:application", plan=plan, environment={server_app.FOLDER: str(tmp_path)})
    failing = BentoMLServer(BentoMLConfig(port=0), make_context(tmp_path))
    try:
        with pytest.raises(ServerError, match="a worker failed 2 times in a row"):
            failing.serve(app, lambda _url: killer.start())
    finally:
        ended.set()
    killer.join()
    assert server_app.living(tmp_path) == set()


def test_a_bento_serves_the_copy_of_the_project_wherever_it_lies(written: Callable[[str], App], tmp_path: Path) -> None:
    made = written(PRICES)
    project = tmp_path / "project"
    project.mkdir()
    (project / "data.txt").write_text("data")
    (project / "written_app.py").write_text(PRICES)
    plan = project / "plan.json"
    plan.write_text(json.dumps({"project": str(project)}))
    environment = {"PLAN": str(plan), "PROJECT": str(project)}
    app = App(factory=made.factory, plan=plan, environment=environment)
    first = bento.build(app, project, tmp_path / "first")
    assert (first / "bento.yaml").exists()
    needs = (first / "env" / "python" / "requirements.txt").read_text()
    assert "stackwright-bentoml==" in needs
    moved = first.rename(tmp_path / "moved")
    project.rename(tmp_path / "gone")
    port = free_port()
    variables = {**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)}
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "bentoml", "serve", str(moved), "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log.txt").open("w") as log:
        child = subprocess.Popen(command, env=variables, stdout=log, stderr=log, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> Any:
            assert child.poll() is None, (tmp_path / "log.txt").read_text()
            try:
                return ask(url, "GET", "/where")
            except (OSError, http.client.HTTPException):
                return None

        assert wait_for(answers, 60.0), (tmp_path / "log.txt").read_text()
        status, answer = answers()
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)
    assert status == 200
    assert answer["file"] == "data"
    assert answer["project"] == answer["plan"]["project"] == str(moved / "src" / "project")


def test_a_bento_is_not_written_over_what_is_there(written: Callable[[str], App], tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="exists already"):
        bento.build(written(PRICES), tmp_path, tmp_path)
