"""What LMDB and the file system complain about, in the words of the feature store."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import lmdb

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout

AGAIN: Final = "Move it away together with its -lock file, and materialize again: the rows are rebuilt from history."
"""What to do about a file that cannot be trusted."""

_DAMAGED: Final = ("the file is damaged", AGAIN)
_ACCESS: Final = (
    "the file or its folder cannot be opened or written to",
    "Make both writable for this user; readers write to the -lock file.",
)
_DISK: Final = ("the disk is full or failing", "Make room and run the command again: nothing was half written.")

_BY_CLASS: Final[dict[type[lmdb.Error], tuple[str, str]]] = {
    lmdb.InvalidError: ("the file is not an LMDB file", AGAIN),
    lmdb.VersionMismatchError: ("the file is of another version of LMDB", AGAIN),
    lmdb.CorruptedError: _DAMAGED,
    lmdb.PageNotFoundError: _DAMAGED,
    lmdb.PanicError: ("an earlier failure made LMDB stop", "Open the store again; if that does not help: " + AGAIN),
    lmdb.ReadonlyError: _ACCESS,
    lmdb.ReadersFullError: ("too many processes read at once", "End some of them."),
    lmdb.MemoryError: (
        "the file cannot be mapped into memory",
        "Allow the process more address space (ulimit -v), or lower map_mb.",
    ),
}
_BY_CODE: Final = {
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.EIO: _DISK,
    errno.EFBIG: _DISK,
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: _ACCESS,
}


def translate(error: lmdb.Error, path: Path) -> FeatureStoreError:
    """Return the error to raise for one of LMDB's."""
    if path.is_dir():
        return FeatureStoreError(
            str(path), "a folder, not a file", "Name a file in it as the path of the online store."
        )
    known = _BY_CLASS.get(type(error)) or _BY_CODE.get(error.code) or ("LMDB failed", "")
    found, todo = known
    return FeatureStoreError(str(path), f"{found} ({error})", todo)


def translate_os(error: OSError, path: Path) -> FeatureStoreError:
    """Return the error to raise for one of the file system's."""
    found = f"cannot be made or locked ({error.strerror or error})"
    return FeatureStoreError(
        str(error.filename or path), found, "Check the folder, its rights and the room on the disk."
    )


def timed_out(path: Path) -> StoreTimeout:
    """Return the error for a read that took too long."""
    return StoreTimeout(
        str(path), "the read did not end before its deadline", "Ask for fewer keys, or allow more time."
    )


def no_row(path: Path) -> FeatureStoreError:
    """Return the error for a value that is no row."""
    return FeatureStoreError(str(path), "a row is damaged: it is empty", AGAIN)


def cut_short(path: Path, length: int, needed: int) -> FeatureStoreError:
    """Return the error for a file that ends before its last page."""
    return FeatureStoreError(str(path), f"the file is damaged: {length} bytes are left of {needed}", AGAIN)


def closed(path: Path) -> FeatureStoreError:
    """Return the error for a store that is used after it was closed."""
    return FeatureStoreError(str(path), "the online store was closed", "Open it again.")
