"""What the file system complains about, in the words of a storage."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stackwright_interfaces.errors import ObjectNotFound, PreconditionFailed, StorageError

_READ_ONLY: Final = ("no right to do this, or a read-only disk", "Check owner, rights and mount of the folder.")
_FULL: Final = ("the disk is full", "Make room and run the command again: nothing was half written.")
_IN_THE_WAY: Final = ("a folder lies where a file is meant, or a file where a folder is", "Move it away.")
_NO_LINKS: Final = ("this file system has no hard links", "Put the folder on a local disk.")

_FOUND: Final = {
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EOPNOTSUPP: _NO_LINKS,
    errno.ENOSYS: _NO_LINKS,
    errno.ENAMETOOLONG: ("a part of the key is too long for this file system", "Use a shorter name."),
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise :class:`StorageError` for what the file system raises.

    Args:
        where: the folder and the key that are worked on.
    """
    try:
        yield
    except OSError as error:
        found, todo = _FOUND.get(error.errno or 0, ("the file system failed", ""))
        raise StorageError(where, f"{found} ({error})", todo) from error


def not_found(where: str) -> ObjectNotFound:
    """Return the error for a key under which nothing is stored."""
    return ObjectNotFound(where, "nothing is stored there")


def exists(where: str) -> PreconditionFailed:
    """Return the error for a key that was expected to be free."""
    return PreconditionFailed(where, "something is stored there already", "Read it, and decide again.")


def changed(where: str, found: str) -> PreconditionFailed:
    """Return the error for an object that is not in the expected state."""
    return PreconditionFailed(where, found, "Read it, and decide again.")
