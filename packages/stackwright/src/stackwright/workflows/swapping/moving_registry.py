"""A registry's versions, aliases, evidence, journal and runs, brought into another and verified there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from stackwright.workflows.swapping.moves import Mismatch, Move
from stackwright.workflows.swapping.replaying import Clock, Life, live_on, unlike
from stackwright_interfaces.errors import RegistryError
from stackwright_interfaces.plugin import Progress
from stackwright_interfaces.registry import Registry, SupportsRuns


def move_registry(old: Registry, new: Registry, clock: Clock, progress: Progress) -> Move:
    """Live the old registry's life in the new one, and verify every version, line and run there.

    What is there already is compared and left; so a move that was cut off goes on where it ended.

    Args:
        new: built with the clock, which is set to the instant of every line.

    Raises:
        Mismatch: the new registry holds something else.
        RegistryError: one of them fails.
    """
    life = Life.of(old)
    lines = len(life.events)

    def done(number: int) -> None:
        progress("moving versions", min(number, lines - 1), lines)

    try:
        live_on(life, old.fetch, new, clock, done)
    except RegistryError as error:
        raise Mismatch(error.where, error.found) from error
    runs = _move_runs(old, new)
    digests = _verified(life, old, new, progress)
    size = sum(path.stat().st_size for version in life.versions.values() for path in _files(old.fetch(version)))
    things = {"versions": len(life.versions), "journal lines": lines, "runs": runs or 0}
    notes = () if runs is not None else ("The new registry keeps no runs: those of the old one stay there.",)
    return Move(things, size, digests, notes)


def _move_runs(old: Registry, new: Registry) -> int | None:
    """Bring runs over, oldest first; ``None`` where the new registry keeps none and the old one has some."""
    runs = list(old.runs()) if isinstance(old, SupportsRuns) else []
    if not isinstance(new, SupportsRuns):
        return None if runs else 0
    there = {run.id: run for run in new.runs()}
    for run in reversed(runs):
        if run.id not in there or any(unlike(run, there[run.id])):
            new.save_run(run)
    moved = {run.id: run for run in new.runs()}
    for run in runs:
        if run.id not in moved:
            raise Mismatch(f"run {run.id}", "is not in the new registry")
        _same(f"run {run.id}", run, moved[run.id])
    return len(runs)


def _verified(life: Life, old: Registry, new: Registry, progress: Progress) -> dict[str, str]:
    """Compare both registries line by line, and the files of every version by their digests; return these."""
    found = Life.of(new)
    if found.versions.keys() != life.versions.keys():
        odd = sorted(found.versions.keys() ^ life.versions.keys())
        raise Mismatch(odd[0], "is in one of the registries alone")
    for number, (was, now) in enumerate(zip(life.events, found.events, strict=True), 1):
        _same(f"line {number} of the journal", was, now)
    digests = {}
    for done, (ref, version) in enumerate(life.versions.items()):
        progress("verifying versions", done, len(life.versions))
        _same(ref, version, found.versions[ref])
        here, there = (_hashes(side.fetch(version)) for side in (old, new))
        if here != there:
            raise Mismatch(ref, f"has other files in the new registry: {min(here.items() ^ there.items())[0]}")
        digests[ref] = version.digest
    progress("verifying versions", 1, 1)
    return digests


def _same(where: str, was: Any, now: Any) -> None:
    for name, old, new in unlike(was, now):
        raise Mismatch(where, f"{name} is {new!r} in the new registry, and {old!r} in the old one")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hashes(folder: Path) -> dict[str, str]:
    files = _files(folder)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
