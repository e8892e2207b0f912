"""Files that survive a crash whole or not at all, and a lock between processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow.parquet as pq

from stackwright_interfaces.errors import FeatureStoreError

_POLL_SECONDS: Final = 0.02


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content, atomically and durably."""
    temporary = _temporary(path)
    temporary.write_bytes(content)
    _settle(temporary, path)


def write_parquet(path: Path, table: Any) -> None:
    """Replace a Parquet file, atomically and durably."""
    temporary = _temporary(path)
    pq.write_table(table, temporary)
    _settle(temporary, path)


@contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock between threads and processes; the system frees it when its process dies.

    Args:
        path: the lock file, created if need be.
        timeout: seconds to wait for another holder.

    Raises:
        FeatureStoreError: it was held all that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + timeout
        while not _taken(handle):
            if time.monotonic() >= deadline:
                found = f"another process has been writing for more than {timeout:g} s"
                raise FeatureStoreError(str(path.parent), found, "Wait for it to end, or raise lock_timeout.")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _temporary(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".tmp-{uuid4().hex}-{path.name}")


def _settle(temporary: Path, path: Path) -> None:
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
