"""One at a time, among threads and processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import StorageError

_PATIENCE: Final = 60.0
_FIRST_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the advisory lock on a file; the kernel releases it when its holder dies.

    Raises:
        StorageError: someone held it for a minute.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(descriptor, path)
        yield
    finally:
        # Explicitly, because a child forked in the meantime shares the open file and would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _wait(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                found = f"another process has held it for more than {_PATIENCE:g} s"
                raise StorageError(str(path), found, "End that process.") from None
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
