"""Folders for rows on their way, which may be many: gone at the end, also where a process is killed before it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from stackwright.assembly.locking import held
from stackwright_interfaces.errors import ProjectError


@contextmanager
def spool(cache: Path, name: str) -> Iterator[Path]:
    """Give an empty folder; remove those that killed processes left.

    Args:
        cache: where folders lie that need not last; made where it is not there.
        name: what they are for, of all that lie there.

    Raises:
        ProjectError: it cannot be made.
    """
    for lock in cache.glob(f"{name}-*.lock"):
        _remove_if_free(lock)
    folder = cache / f"{name}-{uuid4().hex}"
    lock = folder.with_suffix(".lock")
    with held(lock):
        try:
            _make(folder)
            yield folder
        finally:
            _remove(lock)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        found = f"the folder cannot be made ({error.strerror})"
        raise ProjectError(str(folder), found, "Free space or allow writing there, and run the same again.") from error


def _remove_if_free(lock: Path) -> None:
    with suppress(ProjectError), held(lock) as free:
        if free:
            _remove(lock)


def _remove(lock: Path) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    with suppress(OSError):
        lock.unlink(missing_ok=True)
