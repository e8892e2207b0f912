"""Ticks that are killed with SIGKILL: what a stream held and what was due is there once, whenever the kill came."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from servers import RedisServer

from stackwright.assembly.stack import Stack

BLUEPRINT = """
name = "visits"
[feature_store]
offline = {{ adapter = "duckdb", path = "data" }}
online = {{ adapter = "sqlite", path = "data/online.db" }}
[streams.visits]
adapter = "redis"
view = "visits"
url = "{url}"
stream = "visits"
"""

FEATURES = """
from datetime import timedelta
from stackwright import (
    FLOAT64, INT64, Aggregate, Computation, Entity, FeatureService, FeatureView, Field, Schedule, Window,
)

DAY = timedelta(days=1)
home = Entity(name="home", keys=(Field("home_id", INT64),))
visits = FeatureView(
    name="visits", entity=home, fields=(Field("visit", INT64),), event_id="visit",
    windows=(Window(name="count", aggregate=Aggregate.COUNT, length=1000 * DAY),),
)
daily = FeatureView(
    name="daily", entity=home, fields=(Field("visits", INT64),), schedule=Schedule(every=DAY),
    computed=Computation(
        inputs=(visits,), lookback=1000 * DAY, sql="SELECT home_id, count(*) AS visits FROM visits GROUP BY home_id"
    ),
)
service = FeatureService(name="s", selections=(visits.select("count"), daily.select("visits")))
"""

KILLED = """
import os, signal, sys
from stackwright.cli.main import main
from stackwright.workflows.features import computation, ingestion, push, schedule

place, number = sys.argv[1], int(sys.argv[2])
BATCH = push.BATCH = 40

def killing(function, after):
    def call(*arguments, **options):
        global number
        number -= 1
        if not number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = function(*arguments, **options)
        if not number and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return call

home, name, after = {
    "before ingest": (push, "add_rows", False),
    "after ingest": (push, "add_rows", True),
    "after materialize": (push, "materialize", True),
    "after interval": (schedule, "compute_interval", True),
    "in interval": (computation, "add_rows", True),
}[place]
setattr(home, name, killing(getattr(home, name), after))
main(sys.argv[3:])
"""

EVENTS = 200
HOMES = 5


@pytest.fixture(scope="module")
def server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    return start_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.raw() as client:
        yield client
        client.flushall()


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("before ingest", 1), ("after ingest", 1), ("in interval", 1),
        *(pytest.param(*late, marks=pytest.mark.nightly)
          for late in (("after materialize", 1), ("after interval", 1),
                       ("before ingest", 3), ("after ingest", 5), ("after materialize", 4))),
    ],
)  # fmt: skip
def test_a_tick_that_is_killed_leaves_everything_there_once(
    server: RedisServer, client: Any, tmp_path: Path, run: Any, place: str, number: int
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "blueprint.toml").write_text(BLUEPRINT.format(url=server.url))
    (folder / "features.py").write_text(FEATURES)
    run("apply", "--project", folder)
    for visit in range(EVENTS):
        time_ = f"2026-03-0{1 + visit % 3}T00:00:00Z"
        client.xadd("visits", {"home_id": str(visit % HOMES), "visit": str(visit), "event_time": time_})
    tick = ["tick", "--project", str(folder), "--at", "2026-03-14T12:00:00Z"]
    killed = subprocess.run([sys.executable, "-c", KILLED, place, str(number), *tick], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    done = run(*tick)
    assert [item["state"] for item in done["views"]] == ["done"]
    with Stack(folder) as stack:
        at = "2026-03-14T12:00:00Z"
        labels = pa.table({"home_id": list(range(HOMES)), "event_time": [at] * HOMES})
        joined = pa.table(stack.features.join("s@1", labels))
        assert joined.column("count").to_pylist() == [EVENTS // HOMES] * HOMES
        assert joined.column("visits").to_pylist() == [EVENTS // HOMES] * HOMES
        rows = stack.features.read("s@1", {"home_id": list(range(HOMES))}, at=_instant(at))
        assert rows.columns["count"].tolist() == [float(EVENTS // HOMES)] * HOMES
    assert json.loads((folder / ".stackwright" / "schedule" / "daily@1.json").read_text())["done"].startswith(
        "2026-03-14"
    )
    again = run(*tick)
    assert ([item["state"] for item in again["views"]], again["streams"][0]["events"]) == (["not due"], 0)


def _instant(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)
