"""A run of ``up`` that is killed with SIGKILL at every step ends, taken up again, where an undisturbed run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stackwright.assembly.stack import Stack
from stackwright.workflows import journal
from stackwright_interfaces.model import ModelRef

SMALL = ("--sample", "--set", "listings=5000", "--set", "events=20000")
STEPS = (
    "project", "features", "history", "online", "labels", "training", "promotion", "serving", "late labels", "report",
)  # fmt: skip

MIDDLES = (
    ("project", 0.5), ("history", 0.15), ("online", 0.2), ("labels", 0.1), ("training", 2.0), ("serving", 4.0),
)  # fmt: skip

KILLED = """
import os, signal, sys, threading
from stackwright.cli.main import main
from stackwright.workflows.up import Steps

name, seconds = sys.argv[1], float(sys.argv[2])
run = Steps.run

def killed(steps, step, work):
    if step != name:
        return run(steps, step, work)
    if seconds:
        threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    run(steps, step, work)
    os.kill(os.getpid(), signal.SIGKILL)

Steps.run = killed
main(sys.argv[3:])
"""


def up(folder: Path, *more: str) -> list[str]:
    return ["up", "--project", str(folder), *SMALL, *more]


def finished(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "stackwright.cli.main", *up(folder, "--json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def killed_at(folder: Path, step: str, seconds: float = 0.0) -> None:
    """Run until a step is done, or has gone on for some seconds, and kill the run there."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, step, str(seconds), *up(folder)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stdout.decode() + done.stderr.decode()


def state(folder: Path) -> dict[str, Any]:
    """What a finished run leaves, read through the side door where there is one."""
    with Stack(folder) as stack:
        model = stack.registry.resolve(ModelRef("valuation", alias="champion"))
        asked = [(item["keys"]["listing_id"], item["asked_at"]) for item in journal.predictions(stack).records()]
        return {
            "digest": model.digest,
            "version": model.version,
            "history": {
                view.name: sum(
                    pyarrow.parquet.read_metadata(path).num_rows
                    for path in (folder / "data" / view.ref).glob("*.parquet")
                )
                for view in stack.definitions.views
            },
            "labels": journal.labels(stack, stack.target("sale_price")).read().num_rows,
            "asked": sorted(asked),
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed") / "market"
    finished(folder)
    return state(folder)


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.tmp") if path.is_file()]


@pytest.mark.nightly
def test_killed_after_every_step_before_it_is_told(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = tmp_path / "market"
    for step in STEPS:
        killed_at(folder, step)
    finished(folder)
    assert state(folder) == undisturbed
    assert half_written(folder) == []


@pytest.mark.nightly
def test_killed_in_the_middle_of_the_long_steps(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    folder = tmp_path / "market"
    for step, seconds in MIDDLES:
        killed_at(folder, step, seconds)
    assert processes_of(folder) == []
    finished(folder)
    after = state(folder)
    assert {**after, "asked": set(after["asked"])} == {**undisturbed, "asked": set(undisturbed["asked"])}
    assert len(after["asked"]) - len(set(after["asked"])) <= len(undisturbed["asked"]) // 10
    assert half_written(folder) == []


def processes_of(folder: Path, seconds: float = 30.0) -> list[str]:
    """Command lines of processes that name a folder and are still there after some time."""
    deadline = time.monotonic() + seconds
    while (left := [line for line in command_lines() if str(folder) in line]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
