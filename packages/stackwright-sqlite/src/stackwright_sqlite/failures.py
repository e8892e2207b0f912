"""What SQLite and the file system complain about, in the words of the feature store."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from stackwright_interfaces.errors import FeatureStoreError, StoreTimeout

_DAMAGED: Final = (
    "the file is damaged",
    "Move it away together with its -wal and -shm files, and materialize again: the rows are rebuilt from history.",
)
_ACCESS: Final = (
    "the file or its folder cannot be written to",
    "Make both writable for this user; readers need the folder too, for the -shm file.",
)
_FOUND: Final = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: ("the file is not an SQLite database", _DAMAGED[1]),
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room and run the command again: nothing was half written."),
    sqlite3.SQLITE_READONLY: _ACCESS,
    sqlite3.SQLITE_PERM: _ACCESS,
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "Check that the path is a file, and that this user may read it and write to its folder.",
    ),
    sqlite3.SQLITE_IOERR: ("the disk cannot be read or written", "Check the disk, its quota and its mount."),
    sqlite3.SQLITE_BUSY: (
        "the database stayed locked",
        "End the program that holds it open (a database browser, a backup), or raise lock_timeout.",
    ),
}


def primary_code(error: sqlite3.Error) -> int | None:
    """Return SQLite's primary result code, or ``None`` where the error is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def translate(error: sqlite3.Error, path: Path) -> FeatureStoreError:
    """Return the error to raise for one of SQLite's."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_INTERRUPT:
        return timed_out(path)
    if path.is_dir():
        return FeatureStoreError(
            str(path), "a folder, not a file", "Name a file in it as the path of the online store."
        )
    found, todo = _FOUND.get(-1 if code is None else code, ("SQLite failed", ""))
    return FeatureStoreError(str(path), f"{found} ({error})", todo)


def timed_out(path: Path) -> StoreTimeout:
    """Return the error for a read that took too long."""
    return StoreTimeout(
        str(path), "the read did not end before its deadline", "Ask for fewer keys, or allow more time."
    )


def closed(path: Path) -> FeatureStoreError:
    """Return the error for a store that is used after it was closed."""
    return FeatureStoreError(str(path), "the online store was closed", "Open it again.")
