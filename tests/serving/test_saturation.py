"""As many clients as the machine bears, while workers are killed and the store stalls: no wrong answer, none lost."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from servers import RedisServer

import stackwright

CLIENTS = 8
FAILURES = {503, 504}
"""What a stalled store may be answered with."""

APART = 12.0
"""Seconds between two kills: a worker that dies sooner after its start counts as one that cannot start."""

SERVING = "deadline = 0.5\nfailures = 50\nrest = 0.2\nconcurrency = 32"


@pytest.fixture
def redis(start_redis: Callable[..., RedisServer]) -> Iterator[RedisServer]:
    server = start_redis()
    yield server
    server.kill()


@dataclass
class Load:
    """Clients that ask on and on.

    Attributes:
        seen: what became of the requests.
        wrong: answers that are not those of their home.
        done: set when they are to end.
    """

    server: Any
    kit: Any
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def client(self, number: int) -> None:
        connection = self.server.connect(20)
        for home in itertools.cycle(range(number, 190, 3)):
            if self.done.is_set():
                break
            try:
                reply = self.server.over(connection, "/predict", {"home_id": f"H{home}"})
            except (OSError, http.client.HTTPException) as error:
                self.seen["broken" if not isinstance(error, TimeoutError) else "unanswered"] += 1
                connection.close()
                connection = self.server.connect(20)
                continue
            self.seen[str(reply.status)] += 1
            if reply.status == 200 and reply.json["predictions"][0]["value"] != self.kit.value_of(home):
                self.wrong.append(reply)
        connection.close()


def resident(server: Any) -> int:
    found = 0
    for pid in server.workers:
        with contextlib.suppress(OSError):
            found = max(found, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096)
    return found


def all_answer(server: Any) -> bool:
    """Return whether each of two workers has come up, as its gauge tells."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        page = server.ask("/metrics").body.decode()
        told = {line.split('pid="')[1].split('"')[0] for line in page.splitlines() if "worker_resident_bytes{" in line}
        workers = {str(pid) for pid in server.workers}
        return len(workers) == 2 and workers <= told
    return False


def saturate(server: Any, kit: Any, redis: RedisServer, seconds: float) -> tuple[Load, int, list[int]]:
    """Load a server for some seconds; return what happened, kills, and the memory of a worker meanwhile."""
    load, kills, memory = Load(server, kit), 0, []
    threads = [threading.Thread(target=load.client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    chance, due, end = random.Random(7), 0.0, time.monotonic() + seconds
    try:
        for turn in itertools.count():
            if time.monotonic() >= end:
                break
            time.sleep(1.0)
            memory.append(resident(server))
            if turn % 4 == 1:
                redis.stall()
                time.sleep(0.7)
                redis.go_on()
            if turn % 4 == 3 and time.monotonic() >= due and all_answer(server):
                os.kill(chance.choice(server.workers), signal.SIGKILL)
                kills, due = kills + 1, time.monotonic() + APART
    finally:
        load.done.set()
        for thread in threads:
            thread.join()
    return load, kills, memory


@pytest.mark.parametrize("seconds", [8.0, pytest.param(120.0, marks=pytest.mark.nightly)])
def test_at_saturation_no_answer_is_wrong_and_none_is_lost(
    copied: Any, kit: Any, redis: RedisServer, tmp_path: Path, seconds: float
) -> None:
    project = copied(tmp_path / "project", online=kit.on_redis(redis.url), server="workers = 2", serving=SERVING)
    with stackwright.load(project.folder, progress=lambda *_: None) as stack:
        stack.materialize()
    server = kit.server(project)
    try:
        kit.until(lambda: all(server.predict(home).status == 200 for home in range(8)))
        load, kills, memory = saturate(server, kit, redis, seconds)
        assert kills >= 1 + (seconds > 60)
        assert load.wrong == []
        assert load.seen["unanswered"] == 0
        assert {int(status) for status in load.seen if status.isdigit()} <= {200, *FAILURES}, load.seen
        assert load.seen["200"] > 10 * seconds
        assert load.seen["broken"] <= kills * CLIENTS, (load.seen, kills)
        assert max(memory) < 500_000_000
        late = memory[len(memory) // 2 :]
        assert max(late) - min(found for found in late if found) < 150_000_000, memory
        kit.until(lambda: len(server.workers) == 2 and server.predict(9).status == 200)
        assert server.predict(9).json["predictions"][0]["value"] == kit.value_of(9)
        server.tell(signal.SIGTERM)
        assert server.end() == 0
    finally:
        server.clear()
