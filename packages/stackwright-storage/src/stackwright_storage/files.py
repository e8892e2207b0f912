"""Objects as files below a folder.

A put writes a temporary file on the same disk, forces it to disk, gives it its name in one step (a link where nothing
may be, a rename where something is replaced), and forces that to disk too. So whatever dies when, a reader finds the
whole object or none, and a put that returned lasts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, Final

from stackwright_interfaces.errors import ObjectNotFound
from stackwright_interfaces.storage import Storage, Stored
from stackwright_storage.failures import changed, exists, not_found, translated
from stackwright_storage.keys import RESERVED, check_key, check_prefix
from stackwright_storage.lock import locked

_TEMPORARY: Final = "put-"
_ABANDONED: Final = 3600.0
_PIECE: Final = 2**20


class FileStorage(Storage):
    """Objects as files below one folder, which is made by the first put. Usable from many threads and processes.

    The tag of an object is the SHA-256 of its bytes. Temporary files and the lock lie in ``.storage``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / RESERVED
        self._swept = False

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._folder

    def get(self, key: str) -> Stored:
        """Return the object."""
        path = self._path(key)
        where = str(path)
        with translated(where):
            try:
                data = path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise not_found(where) from error
        return Stored(data, tag_of(data))

    def fetch(self, key: str, path: Path) -> str:
        """Write the object into a file, some of it at a time, and return its tag."""
        source = self._path(key)
        where = str(source)
        with translated(where):
            try:
                stream = source.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise not_found(where) from error
        digest = hashlib.sha256()
        with stream, path.open("wb") as out:
            while piece := _piece(stream, where):
                digest.update(piece)
                out.write(piece)
        return digest.hexdigest()

    def put_if_absent(self, key: str, data: bytes) -> str:
        """Store an object where none is; return its tag."""
        path = self._path(key)
        where = str(path)
        with translated(where):
            if path.is_file():
                raise exists(where)
            with self._temporary(data) as temporary:
                _make_folder(path.parent)
                try:
                    os.link(temporary, path)
                except FileExistsError as error:
                    if path.is_dir():
                        raise
                    raise exists(where) from error
            _sync_folder(path.parent)
        return tag_of(data)

    def put_if_match(self, key: str, data: bytes, tag: str) -> str:
        """Replace the object that has this tag; return the new tag."""
        path = self._path(key)
        where = str(path)
        with translated(where), self._locked():
            try:
                found = self.get(key).tag
            except ObjectNotFound as error:
                raise changed(where, "nothing is stored there any more") from error
            if found != tag:
                raise changed(where, "someone else has replaced it")
            with self._temporary(data) as temporary:
                temporary.replace(path)
            _sync_folder(path.parent)
        return tag_of(data)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Give the keys that start with a prefix, sorted."""
        check_prefix(prefix)
        start = self._folder / prefix.rpartition("/")[0]
        with translated(str(start)):
            if self._folder.is_file():
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(self._folder))
            keys = [path.relative_to(self._folder).as_posix() for path in self._files(start)]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where none is."""
        path = self._path(key)
        with translated(str(path)):
            if path.is_file():
                with self._locked():
                    path.unlink(missing_ok=True)
                    _sync_folder(path.parent)

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._folder / key

    def _files(self, start: Path) -> Iterator[Path]:
        for folder, folders, names in os.walk(start, onerror=_unless_missing):
            if Path(folder) == self._folder and RESERVED in folders:
                folders.remove(RESERVED)
            yield from (Path(folder, name) for name in names)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        _make_folder(self._own)
        with locked(self._own / "lock"):
            yield

    @contextmanager
    def _temporary(self, data: bytes) -> Iterator[Path]:
        """A file with this content on disk, which may be linked or renamed."""
        _make_folder(self._own)
        self._sweep()
        descriptor, name = mkstemp(prefix=_TEMPORARY, dir=self._own)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(descriptor, 0o644)
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove, once for each storage, what processes that died left behind."""
        if self._swept:
            return
        self._swept = True
        for path in self._own.glob(f"{_TEMPORARY}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()


def tag_of(data: bytes) -> str:
    """Return the tag of an object with this content."""
    return hashlib.sha256(data).hexdigest()


def _piece(stream: BinaryIO, where: str) -> bytes:
    with translated(where):
        return stream.read(_PIECE)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each forced to disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
