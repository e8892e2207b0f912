"""Where an append-only log puts its bytes. Two small protocols, so that another place than a folder can follow."""

from __future__ import annotations

import math
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

MODE: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


class Segment(Protocol):
    """A file that one writer appends to."""

    def write(self, data: bytes | memoryview) -> int:
        """Append; return how many bytes were taken, which may be fewer.

        Raises:
            OSError: nothing more can be written.
        """
        ...

    def sync(self) -> None:
        """Return when what was written survives a loss of power."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class Segments(Protocol):
    """A place where segments are made."""

    @property
    def rotate_seconds(self) -> float:
        """Age in seconds from which a segment is closed, and another begun when there is something to write."""
        ...

    def create(self, name: str) -> Segment:
        """Make a segment that did not exist, under a relative name (``2026-11-20/a.jsonl``).

        Raises:
            OSError: it cannot be made.
        """
        ...

    def close(self) -> None:
        """Called when the last segment is closed. Closing twice is allowed."""
        ...


class FolderSegments:
    """Segments as files below a folder, which is made when it is needed."""

    rotate_seconds = math.inf

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str) -> Segment:
        """Make a file that did not exist, durable in its folder."""
        return FileSegment(create_file(self.folder / name))

    def close(self) -> None:
        """Do nothing: the files are where they are read."""


class FileSegment:
    """A file that is written through its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | memoryview) -> int:
        """Append; return how many bytes were taken."""
        return os.write(self._descriptor, data)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def create_file(path: Path) -> int:
    """Make a file that did not exist, durable in its folder; return its descriptor.

    Raises:
        OSError: it cannot be made.
    """
    made = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, MODE, 0o644)
    sync_folder(path.parent)
    if made:
        sync_folder(path.parent.parent)
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system knows how to."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unique_name(now: datetime, suffix: str) -> str:
    """Return ``20261120T101112.123456-<16 hex digits><suffix>``: sorted by time, never the same twice."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(8)}{suffix}"
