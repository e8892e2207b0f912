"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TEMPORARY: Final = re.compile(r"\..+\.(?P<process>\d+)\.tmp")


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


def leftovers(paths: Iterable[Path]) -> Iterator[Path]:
    """Give those temporary files whose writer was killed in the middle."""
    for path in paths:
        found = _TEMPORARY.fullmatch(path.name)
        if found and not alive(int(found["process"])):
            yield path


def _remove_leftovers(path: Path) -> None:
    mine = (found for found in path.parent.iterdir() if found.name.startswith(f".{path.name}."))
    for found in leftovers(mine):
        with suppress(OSError):
            found.unlink()


def alive(process: int) -> bool:
    """Return whether a process with this number runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
