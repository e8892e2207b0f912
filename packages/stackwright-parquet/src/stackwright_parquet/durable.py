"""Files that survive a crash whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

TEMPORARY: Final = ".tmp-"
"""How names of files and folders begin that are being written."""


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, durably."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def settle(temporary: Path, path: Path) -> None:
    """Give a file that has been written its name, atomically and durably."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; at the end what lies there becomes the file, atomically and durably.

    Where the block fails, the file stays as it was. Of two at once on one path the writers must exclude each other.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        yield temporary
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Replace a file's content, atomically and durably."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def fresh_folder(above: Path, prefix: str = "") -> Iterator[Path]:
    """Give a new folder, removed at the end."""
    fresh = above / f"{prefix}{uuid4().hex}"
    fresh.mkdir()
    try:
        yield fresh
    finally:
        remove(fresh)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Scratch:
    """A folder of this process for what need not last; those of dead processes are removed.

    Args:
        base: folder that holds the scratch folders of all processes.
        name: what those begin with that may be removed.
    """

    def __init__(self, base: Path, name: str) -> None:
        base.mkdir(parents=True, exist_ok=True)
        for lock in base.glob(f"{name}-*.lock"):
            _remove_if_free(lock)
        self.path = base / f"{name}-{uuid4().hex}"
        self._lock = self.path.with_suffix(".lock")
        self._handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _try_lock(self._handle)
        self.path.mkdir()

    def close(self) -> None:
        """Remove the folder. Closing twice is allowed."""
        if self._handle >= 0:
            remove(self.path)
            self._lock.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def _remove_if_free(lock: Path) -> None:
    with suppress(OSError):
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            if _try_lock(handle):
                remove(lock.with_suffix(""))
                lock.unlink(missing_ok=True)
        finally:
            os.close(handle)
