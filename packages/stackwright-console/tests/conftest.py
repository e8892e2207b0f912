from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import stackwright

OPTIONS = {"listings": "5000", "events": "5000"}
SLOW = "servable = false, latency = false, parity = false, reproducible = false, champion = false"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on the sample market with two versions, a champion, answers and a report. To be copied or read."""
    from stackwright.workflows.new import new

    folder = tmp_path_factory.mktemp("console") / "market"
    new(folder, "realtime", sample=True, options=OPTIONS, progress=lambda *_: None)
    blueprint = folder / "blueprint.toml"
    text = blueprint.read_text().replace('reports = ["evidently"]', "reports = []")
    blueprint.write_text(text.replace("gates = {", f"gates = {{ {SLOW},"))
    sample = folder / "sample"
    views = json.loads((sample / "sample.json").read_text())["views"]
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.apply()
        for view, path in views.items():
            stack.ingest(view, folder / path)
        stack.materialize(at=datetime(2025, 7, 1, tzinfo=UTC))
        stack.label(sample / "labels_sale_price.parquet", target="sale_price")
        assert stack.train().ok
        stack.promote("valuation@1", reason="the first")
        stack.score(sample / "requests.parquet", folder / "scored.parquet", journal=True)
        stack.label(sample / "late_labels_sale_price.parquet", target="sale_price")
        stack.train(force=True)
        stack.report("valuation", start=datetime(2025, 7, 1, tzinfo=UTC))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "market"))


@dataclass(frozen=True)
class Answer:
    """What the console answered."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Console:
    """A running console."""

    url: str

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.send(urllib.request.Request(self.url + path, headers=headers or {}))

    def post(self, path: str, body: str, headers: dict[str, str] | None = None) -> Answer:
        return self.send(urllib.request.Request(self.url + path, body.encode(), headers or {}))

    @staticmethod
    def send(request: urllib.request.Request) -> Answer:
        class Stays(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        try:
            reply = urllib.request.build_opener(Stays).open(request, timeout=60)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            return Answer(
                reply.status, reply.read().decode(), {key.lower(): value for key, value in reply.headers.items()}
            )


@contextmanager
def running(folder: Path, *more: str, token: str = "") -> Iterator[Console]:
    environment = {**os.environ, "STACKWRIGHT_CONSOLE_TOKEN": token}
    command = [sys.executable, "-m", "stackwright.cli.main", "console", "--project", str(folder), "--port", "0", *more]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert "answers on http://" in line, line + process.stderr.read()
        yield Console(line.split()[4])
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """Runs the console over a folder while a block lasts."""
    return running


@pytest.fixture(scope="session")
def console(made: Path) -> Iterator[Console]:
    """The console over the project, without a token."""
    with running(made) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        message = "no Chromium is installed; run: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=quiet)
        yield chromium
        chromium.close()
