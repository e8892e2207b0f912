"""What lies in a project's folders: may it be written, was it written whole, and who holds its locks?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from stackwright.assembly.project import Project
from stackwright.assembly.replacing import leftovers
from stackwright.workflows.doctor.finding import Finding
from stackwright.workflows.doctor.machine import existing

_LOOKED_AT: Final = 20_000
"""Files of one folder that are looked at."""

_LOCKS: Final = Path("/proc/locks")
_LOCK_NAMES: Final = ("lock", ".lock", ".writer")


def folders(places: Sequence[Path]) -> Iterator[Finding]:
    """Look whether these folders can be read and written, or made where they are not there."""
    for place in places:
        nearest = existing(place)
        if place.exists() and not place.is_dir():
            yield Finding(f"folder {place}", "is a file", "Move it away.")
        elif not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
            yield Finding(f"folder {place}", f"{nearest} cannot be written", f"Run: sudo chown -R $(id -u) {nearest}")
        else:
            yield Finding(f"folder {place}", "can be written" if place.exists() else "is not there yet; can be made")


def files(places: Sequence[Path]) -> Iterator[Finding]:
    """Look for files that this user may not read or write, and for what killed writers left."""
    found = [path for place in places for path in _below(place)]
    strange = [path for path in found if not os.access(path, os.R_OK | os.W_OK)]
    for path in strange[:1]:
        said = f"{path} cannot be read and written" + (f", nor {len(strange) - 1} others" if strange[1:] else "")
        yield Finding("files", said, f"Run: sudo chown -R $(id -u) {path.parent}")
    for path in leftovers(found):
        yield Finding("half-written", f"{path} was left by a process that was killed", f"Run: rm '{path}'")
    yield Finding("files", f"{len(found)} looked at")


def documents(project: Project) -> Iterator[Finding]:
    """Look whether what stackwright keeps of the project can be read."""
    paths = sorted(project.state.glob("*.json"))
    for path in paths:
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            known = path in (project.catalogue, project.catalogue.with_name("ever_applied.json"))
            todo = f"Run: rm '{path}'" + (", then: stackwright apply" if known else "")
            yield Finding("half-written", f"{path} cannot be read ({error})", todo)
    yield Finding("state", f"{len(paths)} documents in {project.state}")


def locks(places: Sequence[Path]) -> Iterator[Finding]:
    """Look who holds locks. The system takes one back when its holder dies: a stale one is of a process that stands."""
    holders = _holders()
    for path in (path for place in places for path in _below(place) if path.name.endswith(_LOCK_NAMES)):
        process = holders.get(path.stat().st_ino)
        if process is not None:
            subject, held = f"lock {path}", f"held by process {process} ({_command(process)})"
            if _state(process) in "TtZ":
                yield Finding(subject, f"{held}, which is stopped", f"Run: kill -CONT {process}, or: kill -9 {process}")
            else:
                yield Finding(subject, held)


def _below(place: Path) -> Iterator[Path]:
    counted = 0
    for folder, _, names in os.walk(place):
        for name in names:
            counted += 1
            if counted > _LOOKED_AT:
                return
            yield Path(folder, name)


def _holders() -> dict[int, int]:
    """Return inode → process of every lock on this machine; nothing where the system does not tell."""
    if not _LOCKS.exists():
        return {}
    lines = [line.split() for line in _LOCKS.read_text(encoding="ascii").splitlines()]
    return {int(line[5].rpartition(":")[2]): int(line[4]) for line in lines if line[1] != "->"}


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "?"


def _command(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    return " ".join(word.decode(errors="replace") for word in words if word)[:60]
