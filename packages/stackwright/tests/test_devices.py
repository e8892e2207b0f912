"""The script of the docs for devices: it answers without stackwright, logs, and uploads each line once."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import stackwright

SCRIPT = Path(__file__).parents[3] / "docs" / "devices" / "device.py"
ROWS = [{"area": 50.0 + home, "kind": "flat", "visits_30d": home, "rooms": 2, "room_size": None} for home in range(5)]


class Collector(ThreadingHTTPServer):
    """Keeps what is put; its ``fault`` is to answer nothing, or 500."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: dict[str, str] = {}
        self.fault = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def lines(self) -> list[dict[str, str]]:
        return [line for text in self.kept.values() for line in csv.DictReader(text.splitlines())]


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.server.fault == "500":
            self._answer(500)
        elif self.path in self.server.kept and self.headers["If-None-Match"] == "*":
            self._answer(412)
        else:
            self.server.kept[self.path] = body
            if self.server.fault == "lost":
                self.close_connection = True
            else:
                self._answer(201)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def device(served: Path, tmp_path: Path) -> Path:
    with stackwright.load(served) as stack:
        stack.export("valuation@champion", tmp_path / "device")
    shutil.copy(SCRIPT, tmp_path / "device")
    return tmp_path / "device"


def start(device: Path, url: str) -> subprocess.Popen[str]:
    """Run it out of reach of every installed package, as a device does."""
    program = "import runpy, sys; sys.path.insert(0, '.'); sys.argv[0] = 'device.py'; runpy.run_path('device.py')"
    command = [sys.executable, "-I", "-S", "-c", program, url]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=device, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def answers(device: Path, url: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    process = start(device, url)
    printed, _ = process.communicate("".join(json.dumps(row) + "\n" for row in rows), timeout=60)
    assert process.returncode == 0
    return [json.loads(line) for line in printed.splitlines()]


def test_each_answer_arrives_once_whatever_becomes_of_the_connection(device: Path, collector: Collector) -> None:
    told = answers(device, "http://127.0.0.1:9", ROWS[:2])
    assert len(list((device / "log").glob("*.csv"))) == 1
    for fault in ("500", "lost", ""):
        collector.fault = fault
        told += answers(device, collector.url, ROWS[2:3])
    assert not list((device / "log").iterdir())
    found = {line["prediction_id"]: float(line["prediction"]) for line in collector.lines()}
    assert found == {item["prediction_id"]: item["prediction"] for item in told}
    assert len(collector.lines()) == len(told) == 5


def test_a_line_that_is_no_row_is_told_and_the_others_are_answered(device: Path, collector: Collector) -> None:
    process = start(device, collector.url)
    lines = [json.dumps(row) for row in ROWS]
    bad = ['{"area": 50', "3", "[]", json.dumps({**ROWS[0], "area": "large"}), json.dumps({**ROWS[0], "area": 10**400})]
    mixed = [line for pair in zip(bad, lines, strict=True) for line in pair]
    printed, told = process.communicate("\n".join(mixed), timeout=60)
    assert process.returncode == 0
    assert len(told.splitlines()) == len(bad)
    assert "area: is 'large', a number is wanted" in told
    answered = sorted(json.loads(line)["prediction_id"] for line in printed.splitlines())
    assert len(answered) == len(ROWS)
    assert sorted(line["prediction_id"] for line in collector.lines()) == answered


def test_what_a_killed_run_has_printed_is_uploaded_by_the_next(device: Path, collector: Collector) -> None:
    process = start(device, collector.url)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(ROWS[0]) + "\n")
    process.stdin.flush()
    told = [json.loads(process.stdout.readline())]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    told += answers(device, collector.url, ROWS[1:])
    assert sorted(line["prediction_id"] for line in collector.lines()) == sorted(item["prediction_id"] for item in told)
    assert len(told) == 5


def test_the_script_is_some_twenty_lines_and_needs_the_standard_library_alone() -> None:
    _, _, code = SCRIPT.read_text().partition('"""\n')
    assert len([line for line in code.splitlines() if line.strip()]) <= 38
    modules = {line.split()[1].split(".")[0] for line in code.splitlines() if line.startswith("from ")}
    assert modules - {"predict"} <= set(sys.stdlib_module_names)
