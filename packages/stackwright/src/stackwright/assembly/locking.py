"""Work that one caller at a time may do, of all processes of a machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stackwright_interfaces.errors import ProjectError


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock, if nobody has it; the system takes it back when a process dies.

    Args:
        path: the file of the lock; made, with its folder, where it is not there.

    Raises:
        ProjectError: it cannot be made.
    """
    with _opened(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        todo = "Free space or allow writing there, and run the same again."
        raise ProjectError(str(path), f"the lock cannot be taken ({error.strerror})", todo) from error
