"""Runs as they are: one whose process is gone has failed, whatever the registry still says of it.

The log of a run lies in the project where it goes on, and its process holds it locked for as long as it lives.
"""

from __future__ import annotations

import fcntl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stackwright.assembly.stack import Stack
from stackwright_interfaces.registry import Run, SupportsRuns

LINES: Final = 30
"""Lines of the tail that a run's record holds."""

_WIDTH: Final = 500
_KILLED: Final = "its process ended without a word: it was killed, or the machine stopped"


def runs_of(stack: Stack, name: str | None = None) -> list[Run]:
    """Return the runs of a model or of all, newest first; none where the registry keeps none. Nothing is written."""
    return _looked_at(stack, name)[0]


def mark_killed(stack: Stack, name: str) -> list[str]:
    """Mark runs of a model as failed that go on no more: their log lies here, and no process holds it.

    Returns:
        Their ids.
    """
    runs, killed = _looked_at(stack, name)
    if not isinstance(stack.registry, SupportsRuns):
        return []
    for run in runs:
        if run.id in killed:
            stack.registry.save_run(run)
    return sorted(killed)


def log_path(stack: Stack, id_: str) -> Path:
    """Return where the log of a run lies."""
    return stack.project.state / "runs" / f"{id_}.log"


def tail(path: Path) -> list[str]:
    """Return the last lines of a log; none where there is no such file."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - LINES * _WIDTH))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line[:_WIDTH] for line in lines[-LINES:]]


def abandoned(path: Path) -> bool:
    """Tell whether a log lies here whose process is gone."""
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(stream, fcntl.LOCK_UN)
    except OSError:
        return False
    return True


def _looked_at(stack: Stack, name: str | None) -> tuple[list[Run], set[str]]:
    """Return runs, and the ids of those whose process is gone."""
    if not isinstance(stack.registry, SupportsRuns):
        return [], set()
    runs = list(stack.registry.runs(name))
    left = {run.id for run in runs if run.status == "running" and abandoned(log_path(stack, run.id))}
    if not left:
        return runs, left
    runs = list(stack.registry.runs(name))  # asked anew: one that ended meanwhile let go of its log as well
    killed = {run.id for run in runs if run.id in left and run.status == "running"}
    return [_killed(run, log_path(stack, run.id)) if run.id in killed else run for run in runs], killed


def _killed(run: Run, path: Path) -> Run:
    failure = {"step": run.record.get("step", ""), "type": "killed", "error": _KILLED, "inputs": {}}
    log = {**run.record.get("log", {}), "tail": tail(path)}
    ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    record = {**run.record, "error": _KILLED, "failure": failure, "log": log}
    return replace(run, status="failed", ended=ended, record=record)
