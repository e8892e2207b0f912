"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes the place of ``path`` at the end; after an error it is gone.

    What writers left that were killed in the middle is removed.

    Raises:
        OSError: the folder cannot be made, or the file not be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    start, end = f".{path.name}.", ".tmp"
    for found in path.parent.iterdir():
        if found.name.startswith(start) and found.name.endswith(end):
            process = found.name[len(start) : -len(end)]
            if process.isdecimal() and not _alive(int(process)):
                with suppress(OSError):
                    found.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
