"""Processes that are stopped or killed, and what surrounds them: ports, disks, clocks."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stackwright.workflows import journal

Start = Callable[..., Any]


def test_no_accepted_request_is_lost_when_the_server_stops_under_load(start: Start, kit: Any) -> None:
    running = start(server="workers = 2\ndelay = 1.0")
    running.predict()
    outcomes: Counter[str] = Counter()
    wrong: list[Any] = []

    def ask_until_refused(client: int) -> None:
        for number in range(1_000_000):
            connection = running.connect()
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            home = (client * 31 + number) % 190
            try:
                reply = running.over(connection, "/predict", {"home_id": f"H{home}"})
                outcomes[str(reply.status)] += 1
                if reply.json["predictions"][0]["value"] != kit.value_of(home):
                    wrong.append(reply)
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
            finally:
                connection.close()

    with ThreadPoolExecutor(6) as clients:
        asking = [clients.submit(ask_until_refused, number) for number in range(6)]
        kit.until(lambda: outcomes["200"] > 20)
        running.tell(signal.SIGTERM)
        kit.until(lambda: running.ask("/health/ready").status == 503, 0.9)
        for one in asking:
            one.result()
    assert running.end() == 0
    assert (set(outcomes), wrong) == ({"200"}, [])
    with running.project.stack() as stack:
        assert sum(1 for _ in journal.predictions(stack).records()) == outcomes["200"] + 1


def test_a_worker_that_is_killed_is_replaced_and_one_that_keeps_dying_ends_the_server(start: Start, kit: Any) -> None:
    running = start()
    running.url()
    (first,) = running.workers
    os.kill(first, signal.SIGKILL)
    kit.until(lambda: running.workers and running.workers != [first])
    assert running.predict(8).json["predictions"][0]["value"] == kit.value_of(8)
    killed = {first}
    deadline = time.monotonic() + 60
    while running.process.poll() is None and time.monotonic() < deadline:
        for pid in set(running.workers) - killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.02)
    assert running.end() != 0
    assert "a worker failed 6 times in a row" in running.log


def test_workers_end_with_their_parent(start: Start, kit: Any) -> None:
    running = start(server="workers = 2")
    running.url()
    workers = running.workers
    assert len(workers) == 2
    running.process.kill()
    kit.until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and _lives(pid) for pid in workers))


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def test_a_port_in_use_and_a_disk_that_cannot_be_written_are_one_line_and_an_exit_code(
    start: Start, server: Any
) -> None:
    port = server.netloc.rpartition(":")[2]
    taken = start("--port", port)
    assert taken.end() != 0

    def write_protect(project: Any) -> None:
        shutil.rmtree(project.folder / ".stackwright" / "metrics", ignore_errors=True)
        (project.folder / ".stackwright" / "metrics").symlink_to("/proc/self/nowhere")

    stuck = start(prepare=write_protect)
    assert stuck.end() != 0
    for running, part in ((taken, "in use"), (stuck, "cannot be written")):
        lines = [line for line in running.log.splitlines() if line.strip()]
        assert (len(lines), part in lines[0]) == (1, True), running.log


SHIFTED = """
import datetime, os, pathlib
from stackwright.workflows.live import application as live

def clock():
    back = pathlib.Path(os.environ["SHIFT"]).exists()
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1 if back else 0)

class Shifted(live.Stack):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, clock=clock, **options)

live.Stack = Shifted
application = live.application
"""


SERVE_SHIFTED = """
import sys
from stackwright.workflows.live import serve
serve.FACTORY = "shifted:application"
from stackwright.cli.main import main
main(sys.argv[1:])
"""


def test_a_clock_that_steps_back_breaks_no_deadline_and_the_future_stays_refused(
    start: Start, kit: Any, tmp_path: Path
) -> None:
    (tmp_path / "shifted.py").write_text(SHIFTED)
    shift = tmp_path / "shift"
    environment = {"PYTHONPATH": str(tmp_path), "SHIFT": str(shift)}
    running = start(environment=environment, script=SERVE_SHIFTED, serving="timeout = 5.0")
    assert running.predict(9).status == 200
    shift.touch()
    now = datetime.now(UTC)
    assert running.predict(9).json["predictions"][0]["value"] == kit.value_of(9)
    ahead = running.ask(
        f"/predict?at={(now + timedelta(seconds=0)).isoformat().replace('+', '%2B')}", {"home_id": "H9"}
    )
    assert (ahead.status, "future" in ahead.error) == (422, True)
    past = now - timedelta(hours=2)
    assert running.ask(f"/predict?at={past.isoformat().replace('+', '%2B')}", {"home_id": "H9"}).status == 200
