"""The machine: Python, system, time zones, room on the disk, clock."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stackwright.workflows.doctor.finding import Finding

OLDEST: Final = (3, 11)
"""The oldest Python that is taken."""

ROOM: Final = 1 << 30
"""Bytes that should be free wherever something is written."""

_AHEAD: Final = 120.0


def machine() -> Iterator[Finding]:
    """Look at Python and the system."""
    said = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    fits = sys.version_info[:2] >= OLDEST and platform.python_implementation() == "CPython"
    yield Finding("Python", said, "" if fits else f"Use CPython {'.'.join(map(str, OLDEST))} or newer.")
    words = 64 if sys.maxsize > 1 << 32 else 32
    fits = os.name == "posix" and words == 64
    yield Finding("platform", f"{platform.platform()}, {words} bits", "" if fits else "Use 64-bit Linux or macOS.")
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield Finding("time zones", "the names of time zones are unknown here", "Run: pip install tzdata")
    else:
        yield Finding("time zones", "known by name")


def disks(folders: Sequence[Path]) -> Iterator[Finding]:
    """Look at the room on every disk that these folders, or the one for temporary files, lie on."""
    seen = set()
    for folder in (*folders, Path(tempfile.gettempdir())):
        place = existing(folder)
        disk = place.stat().st_dev
        if disk not in seen:
            seen.add(disk)
            free = shutil.disk_usage(place).free
            said = f"{free / 1e9:,.1f} GB free below {place}"
            yield Finding("disk", said, "" if free >= ROOM else f"Free {ROOM / 1e9:.1f} GB there.")


def clock(written: Sequence[Path]) -> Finding:
    """Hold the clock against what was written before.

    Args:
        written: files of the engine or of the project.
    """
    newest = max(written, key=lambda path: path.stat().st_mtime)
    now = time.time()
    ahead = newest.stat().st_mtime - now
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if ahead > _AHEAD:
        return Finding("clock", f"{said}, {ahead:,.0f} s before {newest} was written", "Set the clock, by NTP say.")
    return Finding("clock", said)


def existing(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())
