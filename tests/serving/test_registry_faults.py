"""A registry that is away, published to by several at once, or left by a publisher that died."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackwright_interfaces.errors import AliasConflict
from stackwright_interfaces.model import ModelRef
from stackwright_interfaces.registry import Event

KILLED = """
import os, signal, sys
from pathlib import Path
from stackwright.assembly.stack import Stack

def kill(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

with Stack(Path(sys.argv[1])) as stack:
    registry = stack.registry
    os.rename = os.replace = os.link = Path.rename = Path.replace = Path.hardlink_to = kill
    registry.publish("valuation", Path(sys.argv[2]), {})
"""


def test_a_publisher_killed_in_the_middle_leaves_nothing_to_be_seen_and_the_next_one_tidies_up(
    server: Any, champion: Any, tmp_path: Path
) -> None:
    shutil.copytree(published(champion, 1), tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("another version")
    from stackwright_interfaces.model import Manifest, describe_files

    manifest = Manifest.read(published(champion, 1))
    (tmp_path / "model" / "manifest.json").unlink()
    Manifest(**{**vars(manifest), "files": describe_files(tmp_path / "model")}).write(tmp_path / "model")
    with champion.stack() as stack:
        before = [version.version for version in stack.registry.history()[0]]
    files = {path for path in (champion.folder / "registry").rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(champion.folder), str(tmp_path / "model")], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    left = {path for path in (champion.folder / "registry").rglob("*") if path.is_file()} - files
    assert left
    assert server.ask("/models").json["models"][0]["version"] == 1
    with champion.stack() as stack:
        assert [version.version for version in stack.registry.history()[0]] == before
    for path in left:  # a writer may still be at work on what is young
        os.utime(path, (0, 0))
    assert champion.publish(3000.0) == max(before) + 1
    assert [path for path in left if path.exists()] == []
    assert server.predict().json["version"] == 1


def published(project: Any, version: int) -> Path:
    with project.stack() as stack:
        return Path(stack.registry.fetch(stack.registry.resolve(ModelRef("valuation", version=version))))


def test_two_publishers_get_two_versions_and_two_promoters_have_one_winner(
    server: Any, champion: Any, kit: Any
) -> None:
    with ThreadPoolExecutor(2) as publishers:
        versions = list(publishers.map(champion.publish, [4000.0, 5000.0]))
    assert len(set(versions)) == 2
    go = threading.Barrier(2)

    def promote(version: int) -> bool:
        with champion.stack() as stack:
            event = Event(at=datetime.now(UTC), kind="alias", name="valuation", alias="champion", after=version)
            go.wait()
            try:
                stack.registry.record(event, expected=1)
            except AliasConflict:
                return False
            return True

    with ThreadPoolExecutor(2) as promoters:
        won = list(promoters.map(promote, versions))
    assert sorted(won) == [False, True]
    winner = versions[won.index(True)]
    server.until_served(winner)
    assert server.predict(2).json["predictions"][0]["value"] == kit.value_of(2, {0: 4000.0, 1: 5000.0}[won.index(True)])


def test_a_registry_that_is_away_stops_nothing_that_runs(server: Any, champion: Any, kit: Any) -> None:
    registry, away = champion.folder / "registry", champion.folder / "elsewhere"
    registry.rename(away)
    try:
        time.sleep(0.5)
        assert server.predict(4).json["predictions"][0]["value"] == kit.value_of(4)
        assert server.ask("/health/ready").status == 200
    finally:
        if registry.exists():
            shutil.rmtree(registry)
        away.rename(registry)


def test_a_server_does_not_start_without_its_registry(copied: Any, kit: Any, tmp_path: Path) -> None:
    project = copied(tmp_path / "project")
    shutil.rmtree(project.folder / "registry")
    running = kit.server(project)
    assert running.end() != 0
    assert "Traceback" not in running.log
    assert len(running.log.strip().splitlines()) == 1


def test_an_alias_that_flips_under_load_leaves_one_version_a_request(server: Any, champion: Any, kit: Any) -> None:
    other = champion.publish(6000.0)
    factors = {1: 1000.0, other: 6000.0}
    stop, seen, wrong = threading.Event(), Counter[int](), []

    def ask_on(start: int) -> None:
        connection = server.connect()
        while not stop.is_set():
            rows = [{"home_id": f"H{(start + row) % 190}"} for row in range(5)]
            reply = server.over(connection, "/predict", {"rows": rows}).json
            values = [item["value"] for item in reply["predictions"]]
            expected = [kit.value_of((start + row) % 190, factors[reply["version"]]) for row in range(5)]
            seen[reply["version"]] += 1
            if values != expected:
                wrong.append(reply)
        connection.close()

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask_on, number * 7) for number in range(4)]
        for turn in range(6):
            champion.promote(other if turn % 2 == 0 else 1)
            time.sleep(0.3)
        kit.until(lambda: len(seen) == 2, 20)
        stop.set()
        for one in asking:
            one.result()
    assert wrong == []
