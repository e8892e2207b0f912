"""Jobs over databases that are killed, buckets that fail, disks that fill, a bad file of a thousand: each row once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import stackwright
from stackwright.assembly.gate_options import GATE_OPTIONS
from stackwright_interfaces.errors import DataError, StackwrightError, StorageError

ROWS, PART = 120, 20

BLUEPRINT = """
name = "batch"
registry = "files"
[models.price]
data = {{ source = "{learned}", target = "price", inputs = ["area", "rooms"] }}
interval = 0
trainer = {{ adapter = "lightgbm", num_iterations = 10 }}
[models.price.gates]
{gates}
"""


def homes(rows: int = ROWS, seed: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "number": np.arange(rows),
        "area": random.uniform(30, 200, rows).round(1),
        "rooms": random.integers(1, 6, rows),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    learned = homes(400, seed=2)
    pyarrow.parquet.write_table(pa.table({**learned, "price": 3.0 * learned["area"]}), folder / "learned.parquet")
    gates = "\n".join(f"{name} = false" for name in GATE_OPTIONS)
    (folder / "blueprint.toml").write_text(BLUEPRINT.format(gates=gates, learned=folder / "learned.parquet"))
    (folder / "features.py").touch()
    with stackwright.load(folder, progress=lambda *_: None) as stack:
        stack.train()
        stack.promote("price")
    return folder


@pytest.fixture
def stack(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A project whose jobs have six parts."""
    monkeypatch.setattr("stackwright.workflows.batch.parts.PART_ROWS", PART)
    folder = Path(shutil.copytree(trained, tmp_path / "project"))
    pyarrow.parquet.write_table(pa.table(homes()), folder / "in.parquet", row_group_size=PART)
    with stackwright.load(folder, progress=lambda *_: None) as opened:
        yield opened


@pytest.fixture
def source(stack: Any) -> Path:
    return Path(stack.project.folder / "in.parquet")


@pytest.fixture
def expected(stack: Any, source: Path, tmp_path: Path) -> list[tuple[int, float]]:
    """What an undisturbed run writes."""
    stack.score(source, tmp_path / "expected.parquet", keep=["number"])
    return rows_of(pyarrow.parquet.read_table(tmp_path / "expected.parquet"))


def rows_of(table: pa.Table) -> list[tuple[int, float]]:
    return sorted(zip(table["number"].to_pylist(), table["prediction"].to_pylist(), strict=True))


def parts_done(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("done/*.json"))


def test_a_database_that_is_killed_in_a_transaction_has_every_row_once_after_the_next_run(
    stack: Any,
    source: Path,
    expected: list[tuple[int, float]],
    start_postgres: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stackwright_sql import target

    server, note, noted = start_postgres(), target._note, []

    def killing(connection: Any, batch: str) -> bool:
        found = note(connection, batch)
        noted.append(found)
        if len(noted) == 3:
            server.stop(signal.SIGKILL)
        return found

    monkeypatch.setattr(target, "_note", killing)
    with pytest.raises(StorageError, match="nothing was written"):
        stack.score(source, server.url(), into="prices", keep=["number"])
    with pytest.raises(StackwrightError, match=r"127\.0\.0\.1"):
        stack.score(source, server.url(), into="prices", keep=["number"])
    server.start()
    assert len(parts_done(stack.project.state)) == ROWS // PART
    stack.score(source, server.url(), into="prices", keep=["number"])
    assert noted == [True] * 3 + [False] * 2 + [True] * 4
    with server.admin() as admin:
        found = admin.execute("SELECT number, prediction FROM prices ORDER BY number").fetchall()
    assert found == expected


class Weak(ThreadingHTTPServer):
    """Stands before a bucket; ``faults`` are what becomes of the next uploads: ``500``, ``slow``, or nothing."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = urlsplit(behind).netloc
        self.faults: list[str] = []
        self.uploads = 0


class Handler(BaseHTTPRequestHandler):
    server: Weak

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.uploads += self.command == "PUT"
        fault = self.server.faults.pop(0) if self.command == "PUT" and self.server.faults else ""
        if fault == "500":
            self._send(500, {}, b"<Error><Code>InternalError</Code></Error>")
            return
        connection = HTTPConnection(self.server.behind, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        if fault == "slow":
            time.sleep(1.0)
        with suppress(OSError):
            self._send(response.status, dict(response.getheaders()), content)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815 -- names that the base class looks for

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def weak(s3: Callable[[], str]) -> Iterator[tuple[Weak, str]]:
    bucket, _, endpoint = s3().partition("?endpoint_url=")
    server = Weak(endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, f"{bucket}/scored?endpoint_url=http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_bucket_that_answers_500_or_late_holds_the_whole_in_the_end(
    stack: Any,
    source: Path,
    expected: list[tuple[int, float]],
    weak: tuple[Weak, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stackwright_storage import s3 as storage

    server, url = weak
    config = storage.Config
    monkeypatch.setattr(storage, "Config", lambda **named: config(**{**named, "read_timeout": 0.5}))
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    server.faults = ["", "", *["500"] * 4]
    with pytest.raises(StorageError, match="S3 answered with InternalError"):
        stack.score(source, url, keep=["number"])
    bucket = stack.context.storage(url)
    assert "_SUCCESS" not in list(bucket.list())
    assert len(parts_done(stack.project.state)) == ROWS // PART
    server.faults = ["500", "", "slow", "500", "", "", "", "slow"]
    stack.score(source, url, keep=["number"])
    assert server.faults == []
    names = [name for name in bucket.list() if name != "_SUCCESS"]
    assert names == [f"part-{number:05}.parquet" for number in range(6)]
    tables = [pyarrow.parquet.read_table(pa.BufferReader(bucket.get(name).data)) for name in names]
    assert rows_of(pa.concat_tables(tables)) == expected
    bucket.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here ({done.stderr.strip()}); run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_in_the_middle_is_told_and_what_is_scored_stays_scored(
    stack: Any, source: Path, expected: list[tuple[int, float]], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler, out = disk / "filler", disk / "out"

    def fill(what: str, done: int, total: int) -> None:
        if what == "score" and done >= 2 * PART and not filler.exists():
            with filler.open("wb", buffering=0) as stream, suppress(OSError):
                while True:
                    stream.write(bytes(4096))

    monkeypatch.setattr(stack, "progress", fill)
    with pytest.raises((DataError, StorageError), match=str(disk)):
        stack.score(source, out, keep=["number"])
    assert not (out / "_SUCCESS").exists()
    assert len(parts_done(disk)) >= 2
    monkeypatch.setattr(stack, "progress", lambda *_: None)
    filler.unlink()
    stack.score(source, out, keep=["number"])
    assert rows_of(pyarrow.parquet.read_table(out)) == expected
    assert (out / "_SUCCESS").exists()


def test_of_two_jobs_that_start_at_once_with_one_output_none_spoils_the_other(
    stack: Any, source: Path, expected: list[tuple[int, float]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-m", "stackwright.cli.main", "score", str(source), str(out), "--keep", "number"]
    command = [*program, "--project", str(stack.project.folder)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for code, text in zip(codes, told, strict=True):
        assert code == 0 or "another run writes there" in text
    assert rows_of(pyarrow.parquet.read_table(out)) == expected


@pytest.mark.nightly
def test_one_damaged_file_of_a_thousand_is_named_and_the_rest_is_not_scored_again(stack: Any, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.parquet"
    folder.mkdir()
    table = homes(5000)
    for number in range(1000):
        some = {name: values[5 * number : 5 * number + 5] for name, values in table.items()}
        pyarrow.parquet.write_table(pa.table(some), folder / f"{number:04}.parquet", write_page_checksum=True)
    damaged = folder / "0613.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    with pytest.raises(DataError, match=r"0613\.parquet: cannot be read"):
        stack.score(folder, out, keep=["number"])
    assert not out.exists()
    assert len(parts_done(stack.project.state)) >= 600
    damaged.write_bytes(whole)
    stack.score(folder, out, keep=["number"])
    assert [number for number, _ in rows_of(pyarrow.parquet.read_table(out))] == list(range(5000))


def test_a_job_that_is_killed_at_any_moment_has_every_row_once_after_the_next_run(
    stack: Any, source: Path, expected: list[tuple[int, float]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = (
        "import sys, stackwright; from stackwright.workflows.batch import parts; parts.PART_ROWS = 20\n"
        "with stackwright.load(sys.argv[1], progress=lambda *_: None) as stack:\n"
        "    stack.score(sys.argv[2], sys.argv[3], keep=['number'])\n"
    )
    command = [sys.executable, "-c", program, str(stack.project.folder), str(source), str(out)]
    job = subprocess.Popen(command, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not parts_done(out) and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(job.pid, signal.SIGKILL)
    job.communicate()
    stack.score(source, out, keep=["number"])
    assert rows_of(pyarrow.parquet.read_table(out)) == expected
    assert (out / "_SUCCESS").exists()
